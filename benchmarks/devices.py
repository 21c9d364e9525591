"""The devices of a benchmark in one folder: the table, the index of it, and the same table as the peers load it.

Both tables are written in parts, so that a hundred million devices need no more memory than five. The peers' table is
in the order in which the index numbers its rows, so that whatever they gain from sorted rows they have too, and its
column `row` is the row of the index.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import polars as pl

from audience import DeviceIndex
from audience.index.schema.columns import IdColumn
from audience.index.storage import polars_bridge
from audience.index.storage.shard import Shard
from audience.testing.devices import generate_devices
from benchmarks.queries import TAGS

TABLE_FOLDER, INDEX_FOLDER, ROWS_FOLDER = "devices", "devices.index", "rows"
DEVICES_PER_PART = 5_000_000  # a part takes about 1.5 GB of memory while it is made
PROCESSES = min(os.cpu_count() or 1, 4)  # that make parts at once


@dataclass(frozen=True, slots=True)
class BuildMeasurement:
    """What the index cost: seconds, the memory of the process at its highest, and bytes on disk by kind of file."""

    devices: int
    threads: int
    seconds: float
    peak_bytes: int
    table_bytes: int
    files: dict[str, int]


def generate_table(folder: Path, count: int) -> None:
    """Write the table of *count* devices, several parts at a time; parts that are there already stay as they are."""
    table = folder / TABLE_FOLDER
    table.mkdir(exist_ok=True)
    firsts = range(0, count, DEVICES_PER_PART)
    sizes = {
        table / f"part-{part:03}.parquet": min(DEVICES_PER_PART, count - first) for part, first in enumerate(firsts)
    }
    found = set(table.glob("*.parquet"))
    kept = {
        path for path in found & sizes.keys() if pl.scan_parquet(path).select(pl.len()).collect().item() == sizes[path]
    }
    assert found == kept, f"{table} has other devices: remove it"
    tasks = [
        (path, 42 + part, first, sizes[path]) for part, (path, first) in enumerate(zip(sizes, firsts, strict=True))
    ]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for written in [pool.submit(_write_part, *task) for task in tasks if task[0] not in kept]:
            written.result()


def _write_part(path: Path, seed: int, first: int, count: int) -> None:
    """Write *count* devices to *path*, which appears when it is complete."""
    draft = path.with_suffix(".tmp")
    generate_devices(count, seed, first).write_parquet(draft)
    draft.rename(path)


def build_index(folder: Path, threads: int) -> BuildMeasurement:
    """Build the index from the table; alone in its process, so that the highest memory is its own."""
    start = time.perf_counter()
    index = DeviceIndex.build(folder / TABLE_FOLDER, folder / INDEX_FOLDER, replace=True)
    seconds = time.perf_counter() - start
    files: dict[str, int] = {}
    for file in (folder / INDEX_FOLDER / "shards").iterdir():
        kind = file.name.split(".")[1]
        files[kind] = files.get(kind, 0) + file.stat().st_size
    return BuildMeasurement(len(index), threads, seconds, peak_bytes(), folder_bytes(folder / TABLE_FOLDER), files)


def folder_bytes(folder: Path) -> int:
    """The bytes of all files in *folder*."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def write_peer_table(folder: Path) -> None:
    """Write the peers' table, a part for each shard."""
    (folder / ROWS_FOLDER).mkdir(exist_ok=True)
    table, first = pl.scan_parquet(folder / TABLE_FOLDER), 0
    for part, shard in enumerate(DeviceIndex.open(folder / INDEX_FOLDER).snapshot.shards):
        _rows_of_shard(table, shard, first).write_parquet(folder / ROWS_FOLDER / f"part-{part:03}.parquet")
        first += shard.row_count


def _rows_of_shard(table: pl.LazyFrame, shard: Shard, first_row: int) -> pl.DataFrame:
    """The devices of *shard* in its order; it holds those of *table* from row *first* on."""
    ids = polars_bridge.read_ids(shard, IdColumn("id", "registration_id"))
    places = ids.str.tail(15).cast(pl.UInt32) - first_row  # an id ends in the number of its device
    found = table.slice(first_row, shard.row_count).collect()[places]
    assert (found["registration_id"] == ids).all()
    tags = [pl.col("tags").list.contains(tag).alias(tag) for tag in TAGS]
    return found.with_row_index("row", first_row).with_columns(pl.col("age").cast(pl.UInt8), *tags)


def peak_bytes() -> int:
    """The memory of this process at its highest."""
    return getrusage(RUSAGE_SELF).ru_maxrss * 1024
