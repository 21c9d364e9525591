"""Measure how soon a change is visible, what it writes, and how much changes slow down queries.

In an index of N devices, ten get other versions and ages, then a tenth do, which get a tag then, then a hundredth are
removed, then four other tenths get versions and ages one after another, then the index is compacted. After each step
every query is counted, and compared with a new index of the same devices. DuckDB makes the same changes to a table in
its own file, up to the first tenth. All counts are compared.

    python -m benchmarks.update [--devices N] [--folder DIR] [--json FILE]
"""

import shutil
import time
import timeit
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from audience import DeviceIndex, parse
from audience.index.storage.layout import history_file
from benchmarks import devices
from benchmarks.evaluate import run_in_process
from benchmarks.queries import QUERIES
from benchmarks.report import describe_environment, format_table, make_parser, open_folder, save_json

THREADS = 2
CHANGES_FILE, TAGGED_FILE, REMOVED_FILE = "changes.parquet", "tagged.parquet", "gone.parquet"
CHANGED_FOLDER = "changed devices"
LATER = ["a second tenth", "a third", "a fourth", "a fifth"]
FEW = 10  # devices of a small change


@dataclass(frozen=True, slots=True)
class UpdateStep:
    """One change, and the time and result of each query after it.

    Attributes:
        name: What was changed.
        visible_seconds: Until others could read it.
        seconds: Until the call returned, which may compact shards after that.
        written_bytes: Size of the files that it wrote.
        shard_count: Number of shards after it.
        counts: Seconds of each query.
        answers: Result of each query.
    """

    name: str
    visible_seconds: float
    seconds: float
    written_bytes: int
    shard_count: int
    counts: dict[str, float]
    answers: dict[str, int]


@dataclass(frozen=True, slots=True)
class UpdateMeasurement:
    """All steps, the peak memory, and the time and result of each query in a new index of the same devices."""

    steps: list[UpdateStep]
    peak_bytes: int
    rebuilt: UpdateStep


def write_changes(folder: Path) -> None:
    """Write the changes: ids with versions and ages, ids to tag, ids to remove."""
    ids = pl.read_parquet(folder / devices.TABLE_FOLDER, columns=["registration_id"]).to_series()
    random = np.random.default_rng(7)
    tenth, chosen = len(ids) // 10, random.choice(len(ids), len(ids) // 2, replace=False)
    for number, name in enumerate([CHANGES_FILE, *map(_later_file, LATER)]):
        sampled_ids = ids.gather(pl.Series(chosen[number * tenth : (number + 1) * tenth]))
        versions = pl.Series(["2.1.0", "1.0.2"]).gather(pl.Series(random.integers(0, 2, tenth)))
        ages = pl.Series(random.integers(14, 80, tenth, dtype=np.int32))
        changed = pl.DataFrame({"registration_id": sampled_ids, "version": versions, "age": ages})
        changed.write_parquet(folder / name)
    sampled_ids = ids.gather(pl.Series(chosen[:tenth]))
    sampled_ids.to_frame().write_parquet(folder / TAGGED_FILE)
    sampled_ids.head(len(sampled_ids) // 10).to_frame().write_parquet(folder / REMOVED_FILE)


def _later_file(name: str) -> str:
    return f"changes {name}.parquet"


def measure_changes(folder: Path) -> UpdateMeasurement:
    """Change the index step by step."""
    index = DeviceIndex.build(folder / devices.TABLE_FOLDER, folder / "changed.index", replace=True)
    tagged, gone = (pl.read_parquet(folder / name).to_series() for name in (TAGGED_FILE, REMOVED_FILE))
    few = pl.read_parquet(folder / CHANGES_FILE).head(FEW)
    steps = [
        _measure_step("as built", index, lambda: None),
        _measure_step("ten updated", index, lambda: index.update(few)),
        _measure_step("ten tagged", index, lambda: index.tag(few["registration_id"], add=["told at once"])),
        _measure_step("a tenth updated", index, lambda: index.update(folder / CHANGES_FILE)),
        _measure_step("a tenth tagged", index, lambda: index.tag(tagged, add=["told"])),
        _measure_step("one tagged", index, lambda: index.tag(tagged.head(1), add=["told twice"])),
        _measure_step("a hundredth removed", index, lambda: index.remove(gone)),
        *(_measure_step(name, index, partial(index.update, folder / _later_file(name))) for name in LATER),
        _measure_step("compacted", index, index.compact),
    ]
    peak = devices.peak_bytes()
    fresh = DeviceIndex.build(folder / CHANGED_FOLDER, folder / "fresh.index", replace=True)
    measurement = UpdateMeasurement(steps, peak, _measure_step("built anew", fresh, lambda: None))
    for name in ("changed.index", "fresh.index", CHANGED_FOLDER):
        shutil.rmtree(folder / name)
    return measurement


def write_changed_table(folder: Path) -> None:
    """Write the devices after all changes as a table, part by part, so that a hundred million fit into memory."""
    (folder / CHANGED_FOLDER).mkdir(exist_ok=True)
    changes = pl.concat(pl.scan_parquet(folder / name) for name in [CHANGES_FILE, *map(_later_file, LATER)])
    gone = pl.scan_parquet(folder / REMOVED_FILE)
    for part in sorted((folder / devices.TABLE_FOLDER).glob("*.parquet")):
        remaining = (
            pl.scan_parquet(part).join(gone, on="registration_id", how="anti").collect(engine="streaming").lazy()
        )
        changed = changes.join(remaining, on="registration_id", how="semi").collect(engine="streaming").lazy()
        both = remaining.join(changed, on="registration_id", how="left", suffix="_new")
        table = both.select(
            pl.all().exclude("version", "age", "version_new", "age_new"),
            version=pl.coalesce("version_new", "version"),
            age=pl.coalesce("age_new", "age"),
        )
        table.collect().write_parquet(folder / CHANGED_FOLDER / part.name)


def _measure_step(label: str, index: DeviceIndex, change: Callable[[], Any]) -> UpdateStep:
    number, files = index.snapshot.manifest.number, _list_files(index.folder)
    start, start_time = time.perf_counter(), time.time()
    change()
    took = time.perf_counter() - start
    published = index.folder / history_file(number + 1)
    visible = max(0.0, published.stat().st_mtime - start_time) if published.exists() else 0.0
    written = sum(size for inode, size in _list_files(index.folder).items() if inode not in files)
    exprs = {name: parse(question.text) for name, question in QUERIES.items()}
    results = {name: index.count(expr) for name, expr in exprs.items()}
    counts = {
        name: min(timeit.repeat(lambda e=e: index.count(e), number=50, repeat=9)) / 50 for name, e in exprs.items()
    }
    return UpdateStep(label, visible, took, written, len(index.snapshot.shards), counts, results)


def _list_files(folder: Path) -> dict[int, int]:
    """Return the size of each file by its number on the disk: a file with two names is one."""
    stats = [file.stat() for file in folder.rglob("*") if file.is_file()]
    return {stat.st_ino: stat.st_size for stat in stats}


def measure_duckdb(folder: Path) -> dict[str, float]:
    """Return the seconds DuckDB takes for the same update and removal, each committed to its file."""
    import duckdb

    database = folder / "changed.duckdb"
    database.unlink(missing_ok=True)
    connection = duckdb.connect(str(database))
    connection.execute("SET enable_progress_bar = false")  # it would stand among the results
    connection.execute(f"SET threads = {THREADS}")
    connection.execute(f"CREATE TABLE devices AS SELECT * FROM '{folder / devices.TABLE_FOLDER}/*.parquet'")
    took = {}
    for what, query in {
        "a tenth updated": f"UPDATE devices SET version = c.version, age = c.age FROM '{folder / CHANGES_FILE}' c"
        " WHERE devices.registration_id = c.registration_id",
        "a hundredth removed": "DELETE FROM devices WHERE registration_id IN"
        f" (SELECT registration_id FROM '{folder / REMOVED_FILE}')",
    }.items():
        start = time.perf_counter()
        connection.execute(query)
        connection.execute("CHECKPOINT")
        took[what] = time.perf_counter() - start
    connection.close()
    database.unlink()
    return took


def run_benchmark(folder: Path, count: int) -> dict[str, Any]:
    """Measure everything. Return the results, ready for JSON."""
    if not (folder / devices.TABLE_FOLDER).is_dir():
        run_in_process(devices.generate_table, folder, count, threads=THREADS)
    run_in_process(write_changes, folder, threads=THREADS)
    run_in_process(write_changed_table, folder, threads=THREADS)
    measurement = run_in_process(measure_changes, folder, threads=THREADS)
    last = measurement.steps[-1].answers
    assert last == measurement.rebuilt.answers, f"{last} are not {measurement.rebuilt.answers}"
    peers = run_in_process(measure_duckdb, folder, threads=THREADS)
    return {**describe_environment(), "devices": count, **asdict(measurement), "duckdb": peers}


def format_report(measured: dict[str, Any]) -> str:
    """Return the results as Markdown: each query as a multiple of its time in a newly built index."""
    fresh = measured["rebuilt"]["counts"]
    rows = []
    for step in [*measured["steps"], measured["rebuilt"]]:
        times = [f"{step['counts'][name] * 1e3:.3f} ({step['counts'][name] / fresh[name]:.2f})" for name in QUERIES]
        peer = measured["duckdb"].get(step["name"])
        rows.append(
            (
                step["name"],
                f"{step['visible_seconds']:.2f}",
                f"{step['seconds']:.2f}",
                f"{peer:.2f}" if peer else "",
                f"{step['written_bytes'] / 1e6:.1f}",
                str(step["shard_count"]),
                *times,
            )
        )
    head = (
        "",
        "visible after s",
        "done after s",
        "DuckDB s",
        "MB written",
        "shards",
        *(f"{name} ms" for name in QUERIES),
    )
    return (
        f"{measured['devices']:,} devices; memory at the highest {measured['peak_bytes'] / 1e9:.1f} GB\n\n"
        + format_table(head, rows)
    )


def main() -> None:
    options = make_parser(__doc__, "devices", "folder", "json").parse_args()
    with open_folder(options.folder) as folder:
        measured = run_benchmark(folder, int(options.devices))
    save_json(measured, options.json)
    print(format_report(measured))


if __name__ == "__main__":
    main()
