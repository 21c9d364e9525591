"""How soon is a change seen, and what do changes cost whoever reads?

In an index of N devices a tenth of them get other versions and ages, then a tag, then a hundredth are removed, then the
index is compacted. After each step every question is counted, beside what it took in an index that is built anew from
the same devices. DuckDB makes the same changes to a table in its own file. All counts are compared.

    python -m benchmarks.update [--devices N] [--folder DIR] [--json FILE]
"""

import shutil
import time
import timeit
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from audience import DeviceIndex, parse
from benchmarks import devices
from benchmarks.evaluate import alone
from benchmarks.queries import QUESTIONS
from benchmarks.report import circumstances, kept, options, save, seconds, table

THREADS = 2
CHANGES, ODD, GONE = "changes.parquet", "tagged.parquet", "gone.parquet"


@dataclass(frozen=True, slots=True)
class Step:
    """One change: seconds until it was visible, and what each question took and found then."""

    what: str
    seconds: float
    shards: int
    counts: dict[str, float]
    found: dict[str, int]


@dataclass(frozen=True, slots=True)
class Changed:
    """All steps, the memory at the highest, and what each question takes and finds in an index of the same devices."""

    steps: list[Step]
    peak_bytes: int
    fresh: Step


def prepare(folder: Path) -> None:
    """Write what will change: ids with versions and ages, ids to be tagged, ids to be removed."""
    ids = pl.read_parquet(folder / devices.TABLE, columns=["registration_id"]).to_series()
    random = np.random.default_rng(7)
    some = ids.gather(pl.Series(random.choice(len(ids), len(ids) // 10, replace=False)))
    versions = pl.Series(["2.1.0", "1.0.2"]).gather(pl.Series(random.integers(0, 2, len(some))))
    ages = pl.Series(random.integers(14, 80, len(some), dtype=np.int32))
    pl.DataFrame({"registration_id": some, "version": versions, "age": ages}).write_parquet(folder / CHANGES)
    some.to_frame().write_parquet(folder / ODD)
    some.head(len(some) // 10).to_frame().write_parquet(folder / GONE)


def changed(folder: Path) -> Changed:
    """Change the index step by step."""
    index = DeviceIndex.build(folder / devices.TABLE, folder / "changed.index", replace=True)
    tagged, gone = (pl.read_parquet(folder / name).to_series() for name in (ODD, GONE))
    steps = [
        _step("as built", index, lambda: None),
        _step("a tenth updated", index, lambda: index.update(folder / CHANGES)),
        _step("a tenth tagged", index, lambda: index.tag(tagged, add=["told"])),
        _step("one tagged", index, lambda: index.tag(tagged.head(1), add=["told twice"])),
        _step("a hundredth removed", index, lambda: index.remove(gone)),
        _step("compacted", index, index.compact),
    ]
    peak = devices.peak_bytes()
    fresh = DeviceIndex.build(_table(folder), folder / "fresh.index", replace=True)
    found = Changed(steps, peak, _step("built anew", fresh, lambda: None))
    for name in ("changed.index", "fresh.index"):
        shutil.rmtree(folder / name)
    return found


def _table(folder: Path) -> pl.LazyFrame:
    """The devices after all changes, as a table."""
    changes, gone = (pl.scan_parquet(folder / name) for name in (CHANGES, GONE))
    left = pl.scan_parquet(folder / devices.TABLE).join(gone, on="registration_id", how="anti")
    both = left.join(changes, on="registration_id", how="left", suffix="_new")
    return both.select(
        pl.all().exclude("version", "age", "version_new", "age_new"),
        version=pl.coalesce("version_new", "version"),
        age=pl.coalesce("age_new", "age"),
    )


def _step(what: str, index: DeviceIndex, change: Callable[[], Any]) -> Step:
    start = time.perf_counter()
    change()
    took = time.perf_counter() - start
    exprs = {name: parse(question.text) for name, question in QUESTIONS.items()}
    found = {name: index.count(expr) for name, expr in exprs.items()}
    counts = {
        name: min(timeit.repeat(lambda e=e: index.count(e), number=50, repeat=9)) / 50 for name, e in exprs.items()
    }
    return Step(what, took, len(index.snapshot.shards), counts, found)


def duckdb(folder: Path) -> dict[str, float]:
    """Seconds that DuckDB takes for the same update and the same removal, each committed to its file."""
    import duckdb

    place = folder / "changed.duckdb"
    place.unlink(missing_ok=True)
    connection = duckdb.connect(str(place))
    connection.execute(f"SET threads = {THREADS}")
    connection.execute(f"CREATE TABLE devices AS SELECT * FROM '{folder / devices.TABLE}/*.parquet'")
    took = {}
    for what, query in {
        "a tenth updated": f"UPDATE devices SET version = c.version, age = c.age FROM '{folder / CHANGES}' c"
        " WHERE devices.registration_id = c.registration_id",
        "a hundredth removed": "DELETE FROM devices WHERE registration_id IN"
        f" (SELECT registration_id FROM '{folder / GONE}')",
    }.items():
        start = time.perf_counter()
        connection.execute(query)
        connection.execute("CHECKPOINT")
        took[what] = time.perf_counter() - start
    connection.close()
    place.unlink()
    return took


def run(folder: Path, count: int) -> dict[str, Any]:
    """Everything that was measured, ready for JSON."""
    if not (folder / devices.TABLE).is_dir():
        alone(devices.generate, folder, count, threads=THREADS)
    alone(prepare, folder, threads=THREADS)
    found = alone(changed, folder, threads=THREADS)
    last = found.steps[-1].found
    assert last == found.fresh.found, f"{last} are not {found.fresh.found}"
    peers = alone(duckdb, folder, threads=THREADS)
    return {**circumstances(), "devices": count, **asdict(found), "duckdb": peers}


def printed(measured: dict[str, Any]) -> str:
    """What was measured as Markdown: each question as a multiple of what it takes in an index built anew."""
    fresh = measured["fresh"]["counts"]
    rows = []
    for step in [*measured["steps"], measured["fresh"]]:
        times = [f"{step['counts'][name] * 1e3:.3f} ({step['counts'][name] / fresh[name]:.2f})" for name in QUESTIONS]
        peer = measured["duckdb"].get(step["what"])
        rows.append(
            (step["what"], seconds(step["seconds"]), seconds(peer) if peer else "", str(step["shards"]), *times)
        )
    head = ("", "s", "DuckDB s", "shards", *(f"{name} ms" for name in QUESTIONS))
    return f"{measured['devices']:,} devices; memory at the highest {measured['peak_bytes'] / 1e9:.1f} GB\n\n" + table(
        head, rows
    )


def main() -> None:
    said = options(__doc__, "devices", "folder", "json").parse_args()
    with kept(said.folder) as folder:
        measured = run(folder, int(said.devices))
    save(measured, said.json)
    print(printed(measured))


if __name__ == "__main__":
    main()
