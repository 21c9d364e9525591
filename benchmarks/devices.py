"""The devices of a benchmark in one folder: the table, the index of it, and the same table as the peers load it.

The peers' table is in the order in which the index numbers its rows, so that whatever they gain from sorted rows they
have too, and its column `row` is the row of the index. The tags of the questions are columns of their own besides.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import polars as pl

from audience import DeviceIndex
from audience.demo import devices
from benchmarks.questions import TAGS

TABLE, INDEX, ROWS = "devices.parquet", "devices.index", "rows.parquet"


@dataclass(frozen=True, slots=True)
class Built:
    """What the index cost: seconds, the memory of the process at its highest, and bytes on disk by file."""

    devices: int
    threads: int
    seconds: float
    peak_bytes: int
    table_bytes: int
    files: dict[str, int]


def generate(folder: Path, count: int) -> None:
    """Write the table of *count* devices."""
    devices(count).write_parquet(folder / TABLE)


def build(folder: Path, threads: int) -> Built:
    """Build the index from the table; alone in its process, so that the highest memory is its own."""
    start = time.perf_counter()
    index = DeviceIndex.build(folder / TABLE, folder / INDEX, replace=True)
    seconds = time.perf_counter() - start
    files = {file.name: file.stat().st_size for file in sorted((folder / INDEX).iterdir())}
    return Built(len(index), threads, seconds, peak_bytes(), (folder / TABLE).stat().st_size, files)


def number(folder: Path) -> None:
    """Write the peers' table."""
    ids = DeviceIndex.open(folder / INDEX).resolve("everyone").tokens()
    places = pl.read_parquet(folder / TABLE, columns=["registration_id"]).to_series().str.tail(15).cast(pl.UInt32)
    assert (places == pl.int_range(len(places), dtype=pl.UInt32, eager=True)).all()  # an id ends in its place
    table = pl.read_parquet(folder / TABLE)[ids.str.tail(15).cast(pl.UInt32)]
    assert (table["registration_id"] == ids).all()
    tags = [pl.col("tags").list.contains(tag).alias(tag) for tag in TAGS]
    table.with_row_index("row").with_columns(pl.col("age").cast(pl.UInt8), *tags).write_parquet(folder / ROWS)


def peak_bytes() -> int:
    """The memory of this process at its highest."""
    return getrusage(RUSAGE_SELF).ru_maxrss * 1024
