"""How long does it take to build an index, and what does the order of its devices earn?

Beside Polars, DuckDB and chdb on the same Parquet files: Polars into memory with texts as enums, DuckDB and chdb
into files of their own. Then the index in three orders: devices numbered as they come, by the packed codes of the
attributes with few values (what a build does), and by one sort of all single-valued columns before it.

    python -m benchmarks.build [--devices N] [--folder DIR] [--json FILE]
"""

import shutil
import time
import timeit
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from audience import DeviceIndex
from audience.index.ingest import encode
from audience.index.ingest.row_order import choose_row_order
from benchmarks import devices
from benchmarks.evaluate import run_in_process
from benchmarks.peers import TYPED_COLUMNS
from benchmarks.queries import QUERIES
from benchmarks.report import (
    describe_environment,
    format_bytes,
    format_ms,
    format_seconds,
    format_table,
    make_parser,
    open_folder,
    save_json,
)

THREADS = 2


@dataclass(frozen=True, slots=True)
class LoadMeasurement:
    """What it cost to make the devices ready: seconds, the memory of the process at its highest, bytes on disk."""

    name: str
    seconds: float
    peak_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class RowOrderMeasurement:
    """One order of the devices: seconds to build, bytes of the bitmaps, and seconds to count."""

    name: str
    build_seconds: float
    bitmap_bytes: int
    counts: dict[str, float]
    answers: dict[str, int]


def measure_load(name: str, folder: Path) -> LoadMeasurement:
    """Load the devices in the way that is called *what*."""
    place = folder / f"load-{name}"
    start = time.perf_counter()
    LOADERS[name](folder, place)
    took, kept = time.perf_counter() - start, devices.folder_bytes(place) if place.is_dir() else 0
    kept = place.stat().st_size if place.is_file() else kept
    shutil.rmtree(place, ignore_errors=True)
    place.unlink(missing_ok=True)
    return LoadMeasurement(name, took, devices.peak_bytes(), kept)


def _load_audience(folder: Path, target: Path) -> None:
    DeviceIndex.build(folder / devices.TABLE_FOLDER, target)


def _load_polars(folder: Path, target: Path) -> None:
    parts = sorted((folder / devices.TABLE_FOLDER).iterdir())
    first = pl.read_parquet(parts[0])
    tag = pl.Enum(first["tags"].explode().unique().sort())
    types = {name: pl.Enum(first[name].unique().sort()) for name in TYPED_COLUMNS} | {"tags": pl.List(tag)}
    pl.concat([pl.read_parquet(part).cast(types) for part in parts])


def _load_duckdb(folder: Path, target: Path) -> None:
    import duckdb

    connection = duckdb.connect(str(target))
    connection.execute(f"SET threads = {THREADS}")
    connection.execute(f"CREATE TABLE devices AS SELECT * FROM '{folder / devices.TABLE_FOLDER}/*.parquet'")
    connection.close()


def _load_chdb(folder: Path, target: Path) -> None:
    from chdb.session import Session

    session = Session(str(target))
    session.query("CREATE DATABASE benchmark")
    texts = ", ".join(f"{name} LowCardinality(String)" for name in TYPED_COLUMNS)
    session.query(
        f"CREATE TABLE benchmark.devices (registration_id String, {texts}, age UInt8, active Date,"
        " tags Array(LowCardinality(String))) ENGINE = MergeTree ORDER BY (language, brand, version, province)"
    )
    names = ", ".join(("registration_id", *TYPED_COLUMNS, "age", "active", "tags"))
    session.query(
        f"INSERT INTO benchmark.devices ({names}) SELECT {names} FROM file('{folder / devices.TABLE_FOLDER}/*.parquet')"
        f" SETTINGS max_threads = {THREADS}"
    )


LOADERS: dict[str, Callable[[Path, Path], None]] = {
    "audience": _load_audience,
    "Polars, in memory": _load_polars,
    "DuckDB, its file": _load_duckdb,
    "chdb, MergeTree": _load_chdb,
}


def measure_row_order(order_name: str, folder: Path) -> RowOrderMeasurement:
    """Build the index in the order that is called *what*, and count in it."""
    source: Any = folder / devices.TABLE_FOLDER
    start = time.perf_counter()
    if order_name == "as they come":
        encode.choose_row_order = lambda rows, columns: choose_row_order(rows, {})  # type: ignore[assignment]
    elif order_name == "all sorted before":
        source = pl.read_parquet(source).sort("language", "brand", "version", "province", "age", "active")
    index = DeviceIndex.build(source, folder / "order.index", replace=True)
    took = time.perf_counter() - start
    stored = sum(shard.files.file_sizes["tags"] for shard in index.snapshot.shards)
    found = {name: index.count(question.text) for name, question in QUERIES.items()}
    counts = {name: _fastest_seconds(lambda text=one.text: index.count(text)) for name, one in QUERIES.items()}
    shutil.rmtree(folder / "order.index")
    return RowOrderMeasurement(order_name, took, stored, counts, found)


def _fastest_seconds(call: Callable[[], Any]) -> float:
    return min(timeit.repeat(call, number=100, repeat=5)) / 100


ROW_ORDERS = ("as they come", "packed codes", "all sorted before")


def run_benchmark(folder: Path, count: int) -> dict[str, Any]:
    """Everything that was measured, ready for JSON."""
    if not (folder / devices.TABLE_FOLDER).is_dir():
        run_in_process(devices.generate_table, folder, count, threads=THREADS)
    loads = [run_in_process(measure_load, what, folder, threads=THREADS) for what in LOADERS]
    orders = (
        [run_in_process(measure_row_order, what, folder, threads=THREADS) for what in ROW_ORDERS]
        if count <= 20_000_000
        else []
    )
    assert all(order.answers == orders[0].answers for order in orders), "the orders differ in what they find"
    return {
        **describe_environment(),
        "devices": count,
        "loads": [asdict(load) for load in loads],
        "orders": [asdict(order) for order in orders],
    }


def format_report(measured: dict[str, Any]) -> str:
    """What was measured as Markdown."""
    count = measured["devices"]
    loads = [
        (
            one["name"],
            format_seconds(one["seconds"]),
            f"{count / one['seconds'] / 1e6:.2f}",
            format_bytes(one["peak_bytes"]),
            format_bytes(one["disk_bytes"]),
        )
        for one in measured["loads"]
    ]  # fmt: skip
    orders = [
        (
            one["name"],
            format_seconds(one["build_seconds"]),
            format_bytes(one["bitmap_bytes"]),
            *map(format_ms, one["counts"].values()),
        )
        for one in measured["orders"]
    ]
    head = ("order", "build s", "bitmaps", *(f"{name} ms" for name in QUERIES))
    parts = [format_table(("", "s", "million devices a second", "memory at the highest", "on disk"), loads)]
    return "\n\n".join(
        [f"{count:,} devices, {THREADS} threads", *parts, *([format_table(head, orders)] if orders else [])]
    )


def main() -> None:
    said = make_parser(__doc__, "devices", "folder", "json").parse_args()
    with open_folder(said.folder) as folder:
        measured = run_benchmark(folder, int(said.devices))
    save_json(measured, said.json)
    print(format_report(measured))


if __name__ == "__main__":
    main()
