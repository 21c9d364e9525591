"""Questions about events, compared with other libraries.

Every device has one of an event on each day with a probability of 3 %, now and then two of them, over 90 days. The
index is asked without its memory for answers: each question is found anew from what was read before. The peers are
Polars and DuckDB, over columns in memory with a number for each device, ordered by day; pyroaring, over one bitmap for
each day; and numpy, over the numbers of each day. All answers are compared. The smallest time of several runs counts;
they take turns.

    python -m benchmarks.events [--devices N] [--runs N] [--threads N] [--folder DIR] [--json FILE]
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from pyroaring import BitMap

from audience import DeviceIndex, parse
from benchmarks import devices
from benchmarks.report import (
    describe_environment,
    format_bytes,
    format_ms,
    format_table,
    make_parser,
    open_folder,
    save_json,
)
from benchmarks.timing import fastest_times, run_in_process

DAYS, SHARE, REPEATED = 90, 0.03, 0.02  # days, devices with an event on a day, and how many of these have two
LAST_DAY = date(2026, 11, 27)
AS_OF = datetime(2026, 11, 28, 9, tzinfo=UTC)
CATEGORIES = [f"c{number}" for number in range(8)]
EVENTS_FOLDER, INDEX_FOLDER = "events", "events.index"
NUMBERS_FOLDER = "event_numbers"
FILES = 9  # of events; each is added by itself
SEED = 16


@dataclass(frozen=True, slots=True)
class Question:
    """Question in the language, and the condition and the groups of the same question in SQL."""

    text: str
    condition: str
    having: str = ""

    def sql(self) -> str:
        """Return the question as SQL over the table `events`."""
        if not self.having:
            return f"select count(distinct device) from events where {self.condition}"
        return f"select count(*) from (select device from events where {self.condition} group by device {self.having})"


FIRST_DAY = LAST_DAY - timedelta(days=28)  # of thirty days, of which the last has no events yet
WITHIN = f"day >= date '{FIRST_DAY}'"
QUESTIONS = {
    "once": Question("did(buy) within 30 days", WITHIN),
    "three times": Question("did(buy) >= 3 within 30 days", WITHIN, "having count(*) >= 3"),
    "where": Question("did(buy where category:c3) within 30 days", f"{WITHIN} and category = 'c3'"),
    "where, twice": Question(
        "did(buy where category in (c3, c4)) >= 2 within 30 days",
        f"{WITHIN} and category in ('c3', 'c4')",
        "having count(*) >= 2",
    ),
    "sum": Question("sum(buy.amount) > 100 within 30 days", WITHIN, "having sum(amount) > 100"),
    "hours": Question("did(buy) within 36 hours", "moment > timestamp '2026-11-26 21:00:00'"),
    "last": Question("last(buy) before 14 days ago", "true", "having max(day) < date '2026-11-14'"),
}


@dataclass(frozen=True, slots=True)
class EventMeasurement:
    """Answer of one line of the report to one question, and its time in seconds."""

    question: str
    line: str
    seconds: float
    result: int


@dataclass(frozen=True, slots=True)
class AddMeasurement:
    """What it took to add the events: seconds, the highest memory, and bytes of events on disk."""

    events: int
    seconds: float
    peak_bytes: int
    nbytes: int


def generate_events(folder: Path, device_count: int) -> None:
    """Write the events as tables with ids for the index, and with numbers for the peers."""
    rng = np.random.default_rng(SEED)
    (folder / EVENTS_FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / NUMBERS_FOLDER).mkdir(parents=True, exist_ok=True)
    for number, days in enumerate(np.array_split(np.arange(DAYS), FILES)):
        frame = pl.concat(
            [_generate_day(rng, LAST_DAY - timedelta(days=DAYS - 1 - int(day)), device_count) for day in days]
        )
        frame.write_parquet(folder / NUMBERS_FOLDER / f"{number}.parquet")
        tokens = pl.format("d{}", pl.col("device")).alias("token")
        frame.select(tokens, "at", "category", "amount").write_parquet(folder / EVENTS_FOLDER / f"{number}.parquet")


def _generate_day(rng: np.random.Generator, day: date, device_count: int) -> pl.DataFrame:
    numbers = np.flatnonzero(rng.random(device_count) < SHARE).astype(np.uint32)
    repeated = numbers[rng.random(len(numbers)) < REPEATED]
    numbers = np.sort(np.concatenate([numbers, repeated]))
    seconds = rng.integers(0, 86_400, len(numbers))
    return pl.DataFrame(
        {
            "device": numbers,
            "day": pl.Series([day]).new_from_index(0, len(numbers)),
            "at": pl.Series(seconds * 1_000_000).cast(pl.Duration("us")) + datetime.combine(day, datetime.min.time()),
            "category": pl.Series(np.array(CATEGORIES)[rng.integers(0, len(CATEGORIES), len(numbers))]),
            "amount": pl.Series(rng.integers(1, 10_000, len(numbers)) / 100).cast(pl.Decimal(12, 2)),
        }
    )


def build_index(folder: Path, device_count: int) -> AddMeasurement:
    """Build the index of the devices, and add the events file by file."""
    tokens = pl.DataFrame({"device": pl.int_range(device_count, eager=True)}).select(token=pl.format("d{}", "device"))
    index = DeviceIndex.build(tokens, folder / INDEX_FOLDER, timezone="UTC", replace=True)
    before, start = _folder_bytes(folder / INDEX_FOLDER), time.perf_counter()
    added = sum(index.add_events(folder / EVENTS_FOLDER / f"{number}.parquet", "buy").added for number in range(FILES))
    seconds = time.perf_counter() - start
    index.vacuum(1)
    return AddMeasurement(added, seconds, devices.peak_bytes(), _folder_bytes(folder / INDEX_FOLDER) - before)


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def measure_index(folder: Path, runs: int, threads: int | None) -> list[EventMeasurement]:
    """Measure the questions, each found anew."""
    index = DeviceIndex.open(folder / INDEX_FOLDER, cache_bytes=0, threads=threads)
    line = "audience" if threads == 1 else "audience, all cores"
    calls = {name: _ask_anew(index, question.text) for name, question in QUESTIONS.items()}
    return _measure(line, calls, runs)


def _ask_anew(index: DeviceIndex, text: str) -> Callable[[], int]:
    expr = parse(text)

    def ask() -> int:
        index.snapshot.shards[0].group.event_numbers.clear()
        return index.count(expr, as_of=AS_OF)

    return ask


def measure_polars(folder: Path, runs: int) -> list[EventMeasurement]:
    """Measure Polars over a frame in memory."""
    category, amount = pl.col("category").cast(pl.Categorical), pl.col("amount").cast(pl.Decimal(38, 2))
    frame = pl.read_parquet(folder / NUMBERS_FOLDER / "*.parquet").with_columns(category, amount).lazy()
    recent, two = pl.col("day") >= FIRST_DAY, pl.col("category").is_in(["c3", "c4"])

    def unique(*conditions: pl.Expr) -> int:
        return int(frame.filter(*conditions).select(pl.col("device").n_unique()).collect().item())

    def grouped(aggregate: pl.Expr, *conditions: pl.Expr) -> int:
        groups = frame.filter(*conditions).group_by("device").agg(wanted=aggregate)
        return int(groups.select(pl.col("wanted").sum()).collect().item())

    calls = {
        "once": lambda: unique(recent),
        "three times": lambda: grouped(pl.len() >= 3, recent),
        "where": lambda: unique(recent, pl.col("category") == "c3"),
        "where, twice": lambda: grouped(pl.len() >= 2, recent, two),
        "sum": lambda: grouped(pl.col("amount").sum() > 100, recent),
        "hours": lambda: unique(pl.col("at") > datetime(2026, 11, 26, 21)),
        "last": lambda: grouped(pl.col("day").max() < date(2026, 11, 14)),
    }
    return _measure("Polars", calls, runs)


def measure_duckdb(folder: Path, runs: int, threads: int) -> list[EventMeasurement]:
    """Measure DuckDB over a table in memory."""
    import duckdb

    connection = duckdb.connect(config={"threads": threads})
    categories = ", ".join(f"'{category}'" for category in CATEGORIES)
    connection.execute(f"create type kind as enum ({categories})")
    connection.execute(
        'create table events as select device, day, "at" as moment, category::kind as category, amount'
        f" from read_parquet('{folder / NUMBERS_FOLDER}/*.parquet') order by day"
    )

    def ask(sql: str) -> Callable[[], int]:
        return lambda: int(connection.execute(sql).fetchall()[0][0])

    return _measure("DuckDB", {name: ask(question.sql()) for name, question in QUESTIONS.items()}, runs)


def measure_by_hand(folder: Path, runs: int) -> list[EventMeasurement]:
    """Measure a union of one bitmap for each day, and counting by numpy."""
    numbers = [day["device"].to_numpy() for day in _iter_recent_days(folder)]
    bitmaps = [BitMap(day) for day in numbers]
    size = int(max(day.max() for day in numbers)) + 1
    calls = {
        "once": lambda: len(BitMap.union(*bitmaps)),
        "three times": lambda: int(np.count_nonzero(np.bincount(np.concatenate(numbers), minlength=size) >= 3)),
    }
    return _measure("by hand", calls, runs)


def _iter_recent_days(folder: Path) -> Iterator[pl.DataFrame]:
    events = pl.read_parquet(folder / NUMBERS_FOLDER / "*.parquet", columns=["device", "day"])
    yield from events.filter(pl.col("day") >= FIRST_DAY).partition_by("day")


def _measure(line: str, calls: dict[str, Callable[[], int]], runs: int) -> list[EventMeasurement]:
    results = [call() for call in calls.values()]
    times = fastest_times([*calls.values()], runs)
    return [
        EventMeasurement(name, line, seconds, result)
        for name, seconds, result in zip(calls, times, results, strict=True)
    ]


def check_agreement(answers: list[EventMeasurement]) -> None:
    """Require that all lines have the same results."""
    for name in QUESTIONS:
        results = {answer.line: answer.result for answer in answers if answer.question == name}
        assert len(set(results.values())) == 1, f"{name}: {results}"


def format_events(added: AddMeasurement, answers: list[EventMeasurement]) -> str:
    """Return the measurements as Markdown."""
    rate = (
        f"{added.events:,} events were added in {added.seconds:.1f} s, with {format_bytes(added.peak_bytes)} of memory"
    )
    head = f"{rate} at the highest; they take {format_bytes(added.nbytes)} on disk."
    lines = list(dict.fromkeys(answer.line for answer in answers))
    seconds = {(answer.question, answer.line): answer.seconds for answer in answers}
    rows = []
    for name, question in QUESTIONS.items():
        peers = [seconds[name, line] for line in lines if line in ("Polars", "DuckDB")]
        cells = [format_ms(seconds[name, line]) if (name, line) in seconds else "" for line in lines]
        result = next(answer.result for answer in answers if answer.question == name)
        rows.append((f"`{question.text}`", f"{result:,}", *cells, f"{min(peers) / seconds[name, lines[0]]:.1f}"))
    titles = ("question", "devices", *(f"{line} ms" for line in lines), "better of Polars and DuckDB / ours")
    return f"{head}\n\n{format_table(titles, rows)}"


def main() -> None:
    parser = make_parser(__doc__ or "", "devices", "runs", "threads", "folder", "json")
    options = parser.parse_args()
    count, threads = int(options.devices), os.cpu_count() or 1
    with open_folder(options.folder) as folder:
        if not (folder / NUMBERS_FOLDER).exists():
            run_in_process(generate_events, folder, count, threads=threads)
        added = run_in_process(build_index, folder, count, threads=threads)
        answers = run_in_process(measure_index, folder, options.runs, 1, threads=1)
        answers += run_in_process(measure_index, folder, options.runs, None, threads=threads)
        answers += run_in_process(measure_polars, folder, options.runs, threads=threads)
        answers += run_in_process(measure_duckdb, folder, options.runs, threads, threads=threads)
        answers += run_in_process(measure_by_hand, folder, options.runs, threads=1)
    check_agreement(answers)
    save_json({**describe_environment(), "added": asdict(added), "answers": [*map(asdict, answers)]}, options.json)
    print(format_events(added, answers))


if __name__ == "__main__":
    main()
