"""Time to build an index, and the effect of the order of its devices.

Builds are compared with Polars, DuckDB and chdb on the same Parquet files: Polars in memory with strings as enums,
DuckDB and chdb in files of their own. Then the index is built in three row orders: the order of the table, the packed
codes of the attributes with few values (the default), and a sort by all single-valued columns.

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
    """Cost of loading the devices: seconds, peak memory of the process, bytes on disk."""

    name: str
    seconds: float
    peak_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class RowOrderMeasurement:
    """Cost of one row order: seconds to build, bytes of the bitmaps, and seconds of each count."""

    name: str
    build_seconds: float
    bitmap_bytes: int
    counts: dict[str, float]
    answers: dict[str, int]


def measure_load(name: str, folder: Path) -> LoadMeasurement:
    """Measure the loader *name*."""
    target = folder / f"load-{name}"
    start = time.perf_counter()
    LOADERS[name](folder, target)
    seconds = time.perf_counter() - start
    disk_bytes = _disk_bytes(target)
    shutil.rmtree(target, ignore_errors=True)
    target.unlink(missing_ok=True)
    return LoadMeasurement(name, seconds, devices.peak_bytes(), disk_bytes)


def _disk_bytes(path: Path) -> int:
    if path.is_dir():
        return devices.folder_bytes(path)
    return path.stat().st_size if path.is_file() else 0


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
    """Build the index in the row order *order_name*, and count in it."""
    source: Any = folder / devices.TABLE_FOLDER
    start = time.perf_counter()
    if order_name == "table order":
        keep_order: Any = lambda row_count, *columns: choose_row_order(row_count, *({} for _ in columns))  # noqa: E731
        setattr(encode, "choose_row_order", keep_order)  # noqa: B010
    elif order_name == "sorted by all columns":
        source = pl.read_parquet(source).sort("language", "brand", "version", "province", "age", "active")
    index = DeviceIndex.build(source, folder / "order.index", replace=True)
    build_seconds = time.perf_counter() - start
    bitmap_bytes = sum(shard.files.file_sizes["tags"] for shard in index.snapshot.shards)
    answers = {name: index.count(query.text) for name, query in QUERIES.items()}
    counts = {name: _fastest_seconds(lambda text=query.text: index.count(text)) for name, query in QUERIES.items()}
    shutil.rmtree(folder / "order.index")
    return RowOrderMeasurement(order_name, build_seconds, bitmap_bytes, counts, answers)


def _fastest_seconds(call: Callable[[], Any]) -> float:
    return min(timeit.repeat(call, number=100, repeat=5)) / 100


ROW_ORDERS = ("table order", "packed codes", "sorted by all columns")


def run_benchmark(folder: Path, count: int) -> dict[str, Any]:
    """Return all measurements as JSON data."""
    if not (folder / devices.TABLE_FOLDER).is_dir():
        run_in_process(devices.generate_table, folder, count, threads=THREADS)
    loads = [run_in_process(measure_load, name, folder, threads=THREADS) for name in LOADERS]
    orders = (
        [run_in_process(measure_row_order, name, folder, threads=THREADS) for name in ROW_ORDERS]
        if count <= 20_000_000
        else []
    )
    assert all(order.answers == orders[0].answers for order in orders), "counts differ between row orders"
    return {
        **describe_environment(),
        "devices": count,
        "loads": [asdict(load) for load in loads],
        "orders": [asdict(order) for order in orders],
    }


def format_report(measured: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    count = measured["devices"]
    loads = [
        (
            load["name"],
            format_seconds(load["seconds"]),
            f"{count / load['seconds'] / 1e6:.2f}",
            format_bytes(load["peak_bytes"]),
            format_bytes(load["disk_bytes"]),
        )
        for load in measured["loads"]
    ]  # fmt: skip
    orders = [
        (
            order["name"],
            format_seconds(order["build_seconds"]),
            format_bytes(order["bitmap_bytes"]),
            *map(format_ms, order["counts"].values()),
        )
        for order in measured["orders"]
    ]
    head = ("order", "build s", "bitmaps", *(f"{name} ms" for name in QUERIES))
    tables = [format_table(("", "s", "million devices a second", "peak memory", "on disk"), loads)]
    if orders:
        tables.append(format_table(head, orders))
    return "\n\n".join([f"{count:,} devices, {THREADS} threads", *tables])


def main() -> None:
    options = make_parser(__doc__, "devices", "folder", "json").parse_args()
    with open_folder(options.folder) as folder:
        measured = run_benchmark(folder, int(options.devices))
    save_json(measured, options.json)
    print(format_report(measured))


if __name__ == "__main__":
    main()
