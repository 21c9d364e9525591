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
from audience.index.ingest.row_order import numbered
from benchmarks import devices
from benchmarks.evaluate import alone
from benchmarks.peers import TYPED
from benchmarks.queries import QUESTIONS
from benchmarks.report import circumstances, kept, ms, options, save, seconds, size, table

THREADS = 2


@dataclass(frozen=True, slots=True)
class Load:
    """What it cost to make the devices ready: seconds, the memory of the process at its highest, bytes on disk."""

    what: str
    seconds: float
    peak_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Order:
    """One order of the devices: seconds to build, bytes of the bitmaps, and seconds to count."""

    what: str
    build_seconds: float
    bitmap_bytes: int
    counts: dict[str, float]
    found: dict[str, int]


def loaded(what: str, folder: Path) -> Load:
    """Load the devices in the way that is called *what*."""
    place = folder / f"load-{what}"
    start = time.perf_counter()
    LOADS[what](folder, place)
    took, kept = time.perf_counter() - start, devices.size_of(place) if place.is_dir() else 0
    kept = place.stat().st_size if place.is_file() else kept
    shutil.rmtree(place, ignore_errors=True)
    place.unlink(missing_ok=True)
    return Load(what, took, devices.peak_bytes(), kept)


def _audience(folder: Path, place: Path) -> None:
    DeviceIndex.build(folder / devices.TABLE, place)


def _polars(folder: Path, place: Path) -> None:
    parts = sorted((folder / devices.TABLE).iterdir())
    first = pl.read_parquet(parts[0])
    tag = pl.Enum(first["tags"].explode().unique().sort())
    types = {name: pl.Enum(first[name].unique().sort()) for name in TYPED} | {"tags": pl.List(tag)}
    pl.concat([pl.read_parquet(part).cast(types) for part in parts])


def _duckdb(folder: Path, place: Path) -> None:
    import duckdb

    connection = duckdb.connect(str(place))
    connection.execute(f"SET threads = {THREADS}")
    connection.execute(f"CREATE TABLE devices AS SELECT * FROM '{folder / devices.TABLE}/*.parquet'")
    connection.close()


def _chdb(folder: Path, place: Path) -> None:
    from chdb.session import Session

    session = Session(str(place))
    session.query("CREATE DATABASE benchmark")
    texts = ", ".join(f"{name} LowCardinality(String)" for name in TYPED)
    session.query(
        f"CREATE TABLE benchmark.devices (registration_id String, {texts}, age UInt8, active Date,"
        " tags Array(LowCardinality(String))) ENGINE = MergeTree ORDER BY (language, brand, version, province)"
    )
    names = ", ".join(("registration_id", *TYPED, "age", "active", "tags"))
    session.query(
        f"INSERT INTO benchmark.devices ({names}) SELECT {names} FROM file('{folder / devices.TABLE}/*.parquet')"
        f" SETTINGS max_threads = {THREADS}"
    )


LOADS: dict[str, Callable[[Path, Path], None]] = {
    "audience": _audience,
    "Polars, in memory": _polars,
    "DuckDB, its file": _duckdb,
    "chdb, MergeTree": _chdb,
}


def ordered(what: str, folder: Path) -> Order:
    """Build the index in the order that is called *what*, and count in it."""
    source: Any = folder / devices.TABLE
    start = time.perf_counter()
    if what == "as they come":
        encode.numbered = lambda rows, columns: numbered(rows, {})  # type: ignore[assignment]
    elif what == "all sorted before":
        source = pl.read_parquet(source).sort("language", "brand", "version", "province", "age", "active")
    index = DeviceIndex.build(source, folder / "order.index", replace=True)
    took = time.perf_counter() - start
    stored = sum(shard.files.sizes["tags"] for shard in index.snapshot.shards)
    found = {name: index.count(question.text) for name, question in QUESTIONS.items()}
    counts = {name: _fastest(lambda text=one.text: index.count(text)) for name, one in QUESTIONS.items()}
    shutil.rmtree(folder / "order.index")
    return Order(what, took, stored, counts, found)


def _fastest(call: Callable[[], Any]) -> float:
    return min(timeit.repeat(call, number=100, repeat=5)) / 100


ORDERS = ("as they come", "packed codes", "all sorted before")


def run(folder: Path, count: int) -> dict[str, Any]:
    """Everything that was measured, ready for JSON."""
    if not (folder / devices.TABLE).is_dir():
        alone(devices.generate, folder, count, threads=THREADS)
    loads = [alone(loaded, what, folder, threads=THREADS) for what in LOADS]
    orders = [alone(ordered, what, folder, threads=THREADS) for what in ORDERS] if count <= 20_000_000 else []
    assert all(order.found == orders[0].found for order in orders), "the orders differ in what they find"
    return {
        **circumstances(),
        "devices": count,
        "loads": [asdict(load) for load in loads],
        "orders": [asdict(order) for order in orders],
    }


def printed(measured: dict[str, Any]) -> str:
    """What was measured as Markdown."""
    count = measured["devices"]
    loads = [
        (one["what"], seconds(one["seconds"]), f"{count / one['seconds'] / 1e6:.2f}", size(one["peak_bytes"]),
         size(one["disk_bytes"]))
        for one in measured["loads"]
    ]  # fmt: skip
    orders = [
        (one["what"], seconds(one["build_seconds"]), size(one["bitmap_bytes"]), *map(ms, one["counts"].values()))
        for one in measured["orders"]
    ]
    head = ("order", "build s", "bitmaps", *(f"{name} ms" for name in QUESTIONS))
    parts = [table(("", "s", "million devices a second", "memory at the highest", "on disk"), loads)]
    return "\n\n".join([f"{count:,} devices, {THREADS} threads", *parts, *([table(head, orders)] if orders else [])])


def main() -> None:
    said = options(__doc__, "devices", "folder", "json").parse_args()
    with kept(said.folder) as folder:
        measured = run(folder, int(said.devices))
    save(measured, said.json)
    print(printed(measured))


if __name__ == "__main__":
    main()
