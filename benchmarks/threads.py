"""Measure questions to one index with one thread, and with one thread for each core.

Each question is counted and resolved in turns; answers are compared. Nothing is kept between two resolves. The first
count is measured in processes of their own, after the files were dropped from the page cache.

    python -m benchmarks.threads --index DIR [--runs N] [--json FILE]
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from audience import DeviceIndex, parse
from audience.index.query.shard_threads import count_cores
from benchmarks.queries import QUERIES
from benchmarks.report import describe_environment, format_ms, format_table, make_parser, save_json
from benchmarks.scale import evict_files
from benchmarks.timing import fastest_times, run_in_process

TEXTS = {name: question.text for name, question in QUERIES.items()} | {
    "six tags": "((t000 OR t001) AND NOT t002) OR (t003 AND NOT (t004 OR t005))",
    "thirty tags": " OR ".join(f"t{number:03}" for number in range(40, 70)),
    "two of four": "at least 2 of (t000, t001, t040, male)",
}


@dataclass(frozen=True, slots=True)
class ThreadsAnswer:
    """Seconds of a question, by number of threads."""

    question: str
    devices: int
    count: dict[int, float]
    resolve: dict[int, float]


def measure_question(name: str, indexes: dict[int, DeviceIndex], uncached: dict[int, DeviceIndex], runs: int) -> Any:
    """Count and resolve a question with each number of threads, in turns."""
    expr = parse(TEXTS[name])
    counts = {index.count(expr) for index in indexes.values()}
    found = [index.resolve(expr) for index in uncached.values()]
    if len(counts) > 1 or any(list(devices.bitmaps) != list(found[0].bitmaps) for devices in found):
        raise SystemExit(f"{name}: threads give different answers")
    return ThreadsAnswer(
        name,
        counts.pop(),
        _time_calls({threads: partial(index.count, expr) for threads, index in indexes.items()}, runs),
        _time_calls({threads: partial(index.resolve, expr) for threads, index in uncached.items()}, runs),
    )


def _time_calls(calls: dict[int, Callable[[], Any]], runs: int) -> dict[int, float]:
    for call in calls.values():
        call()
    return dict(zip(calls, fastest_times(list(calls.values()), runs), strict=True))


def measure_first_count(path: Path, threads: int) -> tuple[float, float]:
    """Return the seconds to open the index, and those of the first count, both without page cache."""
    expr = parse(TEXTS["flagship"])
    DeviceIndex.open(path, threads=threads).count(expr)  # what the process itself loads first
    evict_files(path)
    start = time.perf_counter()
    index = DeviceIndex.open(path, threads=threads)
    opened = time.perf_counter()
    index.count(expr)
    return opened - start, time.perf_counter() - opened


def run_benchmark(path: Path, runs: int) -> dict[str, Any]:
    """Measure everything. Return the results, ready for JSON."""
    numbers = (1, count_cores())
    firsts = {
        threads: min(
            (run_in_process(measure_first_count, path, threads, threads=threads) for _ in range(runs)), key=sum
        )
        for threads in numbers
    }
    indexes = {threads: DeviceIndex.open(path, threads=threads) for threads in numbers}
    uncached = {threads: DeviceIndex.open(path, threads=threads, cache_bytes=0) for threads in numbers}
    answers = [asdict(measure_question(name, indexes, uncached, runs)) for name in TEXTS]
    built = {"devices": len(indexes[1]), "shards": len(indexes[1].snapshot.shards)}
    return {**describe_environment(), "built": built, "threads": numbers, "first": firsts, "answers": answers}


def format_report(measured: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    one, many = measured["threads"]
    head = ("", f"count, {one} thread, ms", f"{many} threads", "times", f"resolve, {one} thread, ms", f"{many} threads",
            "times")  # fmt: skip
    rows = [
        (answer["question"], *(cell for kind in ("count", "resolve") for cell in _cells(answer[kind], one, many)))
        for answer in measured["answers"]
    ]
    firsts = ", ".join(
        f"{threads}: {format_ms(seconds[0])} ms to open, {format_ms(seconds[1])} ms to count"
        for threads, seconds in measured["first"].items()
    )
    built = measured["built"]
    sizes = f"{built['devices']:,} devices in {built['shards']} shards."
    return f"{sizes} Without page cache, by threads: {firsts}.\n\n{format_table(head, rows)}"


def _cells(seconds: dict[int, float], one: int, many: int) -> tuple[str, str, str]:
    return format_ms(seconds[one]), format_ms(seconds[many]), f"{seconds[one] / seconds[many]:.2f}"


def main() -> None:
    parser = make_parser(__doc__, "runs", "json")
    parser.add_argument("--index", type=Path, required=True, help="an index of many devices, see benchmarks.scale")
    options = parser.parse_args()
    measured = run_benchmark(options.index, options.runs)
    save_json(measured, options.json)
    print(format_report(measured))


if __name__ == "__main__":
    main()
