"""Measure profiles and overlaps of ten million devices, beside Polars and DuckDB.

A profile counts the devices of an audience with each of 349 values of six typed attributes and of tags; an overlap
counts what each two of twenty audiences share. The peers have the same devices in memory, strings as enums, the tags
that audiences name as Boolean columns, and all tags as a list. They count the audience; the counts of everybody are
known to them. All counts are compared. The index keeps no results: each question is found anew from what was read
before. The smallest time of several runs counts.

    python -m benchmarks.insight [--devices N] [--runs N] [--folder DIR] [--json FILE]
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from audience import DeviceIndex
from audience.testing.devices import BRANDS, LANGUAGES, PROVINCES, SEXES, TAGS, VERSIONS
from benchmarks import devices
from benchmarks.report import describe_environment, format_ms, format_table, make_parser, open_folder, save_json
from benchmarks.timing import fastest_times, run_in_process

TYPED = {"province": PROVINCES, "version": VERSIONS, "brand": BRANDS, "language": LANGUAGES}
NUMBERS = ("age", "active")
TAG_TYPE = pl.Enum(sorted([*SEXES, *TAGS]))
MAX_VALUES = 1_000
LINE, CORES_LINE, POLARS, DUCKDB = "audience, one thread", "audience, all cores", "Polars", "DuckDB"


@dataclass(frozen=True, slots=True)
class Audience:
    """Audience in the language, in Polars and in SQL."""

    text: str
    polars: pl.Expr
    sql: str


def _typed(column: str, value: str) -> Audience:
    return Audience(f'{column}:"{value}"', pl.col(column) == value, f"{column} = '{value}'")


def _tag(name: str) -> Audience:
    return Audience(name, pl.col(name), name)


def _and(first: Audience, second: Audience) -> Audience:
    return Audience(
        f"{first.text} AND {second.text}", first.polars & second.polars, f"({first.sql}) and ({second.sql})"
    )


YOUNG = Audience("age < 30", pl.col("age") < 30, "age < 30")
OLD = Audience("age >= 60", pl.col("age") >= 60, "age >= 60")
MIDDLE = Audience("age between 30 and 44", pl.col("age").is_between(30, 44), "age between 30 and 44")
RECENT = Audience("active >= 2020-04-01", pl.col("active") >= date(2020, 4, 1), "active >= date '2020-04-01'")
NAMED_TAGS = ("male", "t001", "t005", "t041", "t085", "t121")
SOUTH = _typed("province", "guangdong")
OVERLAPPING = (
    *(SOUTH, _typed("province", "hunan"), _typed("province", "shanghai"), YOUNG, OLD, MIDDLE, RECENT),
    *(_typed("language", "zh"), _typed("language", "en"), _typed("brand", "huawei"), _typed("brand", "apple")),
    *(_typed("version", "1.0.0"), *map(_tag, NAMED_TAGS)),
    *(_and(_tag("male"), YOUNG), _and(SOUTH, _typed("language", "zh"))),
)
PROFILED = (_and(SOUTH, YOUNG), _tag("t041"), _tag("male"), _and(_and(_tag("t121"), OLD), _typed("brand", "apple")))


@dataclass(frozen=True, slots=True)
class InsightMeasurement:
    """Answer of one line of the report to one question: its time in seconds, and its counts by name."""

    question: str
    line: str
    seconds: float
    counts: dict[str, int]


def measure_index(folder: Path, runs: int, threads: int | None) -> list[InsightMeasurement]:
    """Measure profiles and the overlap; the bitmaps are read before."""
    index = DeviceIndex.open(folder / devices.INDEX_FOLDER, cache_bytes=0, threads=threads)
    line = LINE if threads == 1 else CORES_LINE
    calls: dict[str, Callable[[], Any]] = {
        each.text: lambda text=each.text: index.profile(text, values=MAX_VALUES) for each in PROFILED
    }
    texts = [each.text for each in OVERLAPPING]
    calls["overlap"] = lambda: index.overlap(texts)
    results = [call() for call in calls.values()]
    times = fastest_times([*calls.values()], runs)
    counts = [*map(_profile_counts, results[:-1]), _overlap_counts(results[-1])]
    return [
        InsightMeasurement(name, line, seconds, found)
        for name, seconds, found in zip(calls, times, counts, strict=True)
    ]


def _profile_counts(profile: Any) -> dict[str, int]:
    """Return the counts of values; ranges of numbers are left out, since each library would have its own."""
    return {
        f"{attribute.name}:{each.value}": each.count
        for attribute in profile.attributes
        if attribute.form == "values"
        for each in attribute.values
        if each.count
    }


def _overlap_counts(overlap: Any) -> dict[str, int]:
    pairs = combinations(range(len(overlap.segments)), 2)
    return {f"{first} {second}": overlap.pairs[first][second].both for first, second in pairs}


def load_frame(folder: Path) -> pl.DataFrame:
    """Return the devices with enums for strings, and a Boolean column for each tag that an audience names."""
    types: dict[str, Any] = {name: pl.Enum(values) for name, values in TYPED.items()} | {"tags": pl.List(TAG_TYPE)}
    parts = [
        pl.scan_parquet(part)
        .select(*TYPED, *NUMBERS, "tags")
        .cast(types)
        .with_columns(**{name: pl.col("tags").list.contains(pl.lit(name, TAG_TYPE)) for name in NAMED_TAGS})
        .collect()
        for part in sorted((folder / devices.TABLE_FOLDER).iterdir())
    ]
    return pl.concat(parts, rechunk=True)


def measure_polars(folder: Path, runs: int) -> list[InsightMeasurement]:
    """Measure Polars: the rows of an audience, grouped by each column; Boolean columns, counted two by two."""
    frame = load_frame(folder)

    def profile(audience: Audience) -> dict[str, int]:
        found = frame.lazy().filter(audience.polars).select(*TYPED, *NUMBERS, "tags")
        columns = [
            *(found.group_by(name).len() for name in (*TYPED, *NUMBERS)),
            found.select(tag=pl.col("tags").explode()).group_by("tag").len(),
        ]
        return _to_counts({each.columns[0]: each.rows() for each in pl.collect_all(columns)})

    def overlap() -> dict[str, int]:
        masks = frame.select(each.polars.alias(f"{at}") for at, each in enumerate(OVERLAPPING))
        pairs = list(combinations(masks.columns, 2))
        sums = masks.select((pl.col(one) & pl.col(other)).sum().alias(f"{one} {other}") for one, other in pairs)
        return {name: int(count) for name, count in sums.row(0, named=True).items()}

    calls = {each.text: lambda each=each: profile(each) for each in PROFILED} | {"overlap": overlap}
    return _measure(POLARS, calls, runs)


def measure_duckdb(folder: Path, runs: int, threads: int) -> list[InsightMeasurement]:
    """Measure DuckDB: one query for the profile, and one for the overlap."""
    import duckdb

    connection = duckdb.connect(config={"threads": threads})
    frame = load_frame(folder)  # DuckDB finds it by its name
    connection.execute("create table devices as select * from frame")
    del frame

    def profile(audience: Audience) -> dict[str, int]:
        groups = [
            f"select '{name}' as name, {name}::text as value, count(*) from found group by all"
            for name in (*TYPED, *NUMBERS)
        ]
        groups.append("select 'tag', tag::text, count(*) from (select unnest(tags) as tag from found) group by all")
        sql = f"with found as materialized (select * from devices where {audience.sql}) {' union all '.join(groups)}"
        rows: dict[str, list[tuple[Any, int]]] = {}
        for name, value, count in connection.execute(sql).fetchall():
            rows.setdefault(name, []).append((value, count))
        return _to_counts(rows)

    def overlap() -> dict[str, int]:
        masks = ", ".join(f"({each.sql}) as s{at}" for at, each in enumerate(OVERLAPPING))
        pairs = list(combinations(range(len(OVERLAPPING)), 2))
        sums = ", ".join(f"sum((s{one} and s{other})::int)" for one, other in pairs)
        (row,) = connection.execute(f"select {sums} from (select {masks} from devices)").fetchall()
        return {f"{one} {other}": int(count) for (one, other), count in zip(pairs, row, strict=True)}

    calls = {each.text: lambda each=each: profile(each) for each in PROFILED} | {"overlap": overlap}
    return _measure(DUCKDB, calls, runs)


def _to_counts(rows: dict[str, list[tuple[Any, int]]]) -> dict[str, int]:
    """Return the counts of values by name; numbers and days were counted, but have no common bins."""
    return {
        f"{name}:{value}": count for name, counted in rows.items() if name not in NUMBERS for value, count in counted
    }


def _measure(line: str, calls: dict[str, Callable[[], dict[str, int]]], runs: int) -> list[InsightMeasurement]:
    counts = [call() for call in calls.values()]
    times = fastest_times([*calls.values()], runs)
    return [
        InsightMeasurement(name, line, seconds, found)
        for name, seconds, found in zip(calls, times, counts, strict=True)
    ]


def check_agreement(answers: list[InsightMeasurement]) -> None:
    """Require that all lines have the same counts."""
    for first in answers:
        for other in answers:
            if first.question == other.question:
                differing = first.counts.items() ^ other.counts.items()
                assert not differing, (
                    f"{first.question}: {first.line} and {other.line} differ in {sorted(differing)[:4]}"
                )


def format_insight(answers: list[InsightMeasurement]) -> str:
    """Return the measurements as Markdown."""
    lines = list(dict.fromkeys(answer.line for answer in answers))
    seconds = {(answer.question, answer.line): answer.seconds for answer in answers}
    rows = []
    for question in dict.fromkeys(answer.question for answer in answers):
        name = "overlap of 20 × 20" if question == "overlap" else f"profile of `{question}`"
        best = min(seconds[question, line] for line in (POLARS, DUCKDB))
        times = [format_ms(seconds[question, line]) for line in lines]
        rows.append((name, *times, f"{best / seconds[question, CORES_LINE]:.1f}"))
    titles = ("", *(f"{line} ms" for line in lines), "better of Polars and DuckDB / ours, all cores")
    return format_table(titles, rows)


def main() -> None:
    parser = make_parser(__doc__ or "", "devices", "runs", "folder", "json")
    options = parser.parse_args()
    count, threads = int(options.devices), os.cpu_count() or 1
    with open_folder(options.folder) as folder:
        if not (folder / devices.TABLE_FOLDER).exists():
            run_in_process(devices.generate_table, folder, count, threads=threads)
        if not (folder / devices.INDEX_FOLDER).exists():
            run_in_process(devices.build_index, folder, threads, threads=threads)
        answers = run_in_process(measure_index, folder, options.runs, 1, threads=1)
        answers += run_in_process(measure_index, folder, options.runs, None, threads=threads)
        answers += run_in_process(measure_polars, folder, options.runs, threads=threads)
        answers += run_in_process(measure_duckdb, folder, options.runs, threads, threads=threads)
    check_agreement(answers)
    measured = [{name: value for name, value in asdict(answer).items() if name != "counts"} for answer in answers]
    save_json({**describe_environment(), "answers": measured}, options.json)
    print(format_insight(answers))


if __name__ == "__main__":
    main()
