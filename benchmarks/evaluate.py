"""Measure counting an audience and listing its ids, compared with other libraries.

The index is measured without its cache of results, with it, and on all cores. The peers are Polars, DuckDB and chdb
over scalar columns and over a list column of tags, groupBitmap states in chdb, packed words in numpy, and bitmaps of
the index combined by hand with pyroaring. All of them have the same devices, in the same order, in memory. Each library
runs in its own process with a fixed number of threads. All answers are compared. The report has the fastest form of
every peer and the smallest time of several runs, which take turns.

    python -m benchmarks.evaluate [--devices N] [--runs N] [--threads N] [--folder DIR] [--json FILE]
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from audience import DeviceIndex, parse
from benchmarks import databases, devices, peers
from benchmarks.peers import QueryForm
from benchmarks.queries import QUERIES
from benchmarks.report import OPTIONS, describe_environment, format_report, make_parser, open_folder, save_json
from benchmarks.timing import fastest_times, run_in_process

PEERS = {
    "bitmaps": peers.load_bitmaps,
    "numpy": peers.load_packed_words,
    "Polars": peers.load_polars,
    "DuckDB": databases.load_duckdb,
    "chdb": databases.load_chdb,
}


@dataclass(frozen=True, slots=True)
class QueryMeasurement:
    """Fastest form of one line of the report: its result, and its time in seconds."""

    question: str
    line: str
    measure: str
    variant: str
    seconds: float
    result: str


@dataclass(frozen=True, slots=True)
class PeerMeasurement:
    """All answers of one library, and the seconds and peak memory of loading the devices."""

    peer: str
    load_seconds: float
    gained_bytes: int
    answers: list[QueryMeasurement]


@dataclass(frozen=True, slots=True)
class OpenMeasurement:
    """Seconds to open the index, for the first count after that, and for the first list of ids."""

    open: float
    first_count: dict[str, float]
    first_ids: float


def measure_peer(
    peer: str, folder: Path, threads: int, runs: int, is_wanted: Callable[[QueryForm], bool]
) -> PeerMeasurement:
    """Load the devices into one library and measure every query in the wanted forms."""
    before, start = devices.peak_bytes(), time.perf_counter()
    ask = PEERS[peer](folder, threads)
    load = time.perf_counter() - start
    gained = devices.peak_bytes() - before
    forms = {question: list(filter(is_wanted, ask(QUERIES[question]))) for question in QUERIES}
    answers = [answer for question in QUERIES for answer in _fastest_per_line(question, forms[question], runs)]
    return PeerMeasurement(peer, load, gained, answers)


def _fastest_per_line(question: str, forms: list[QueryForm], runs: int) -> list[QueryMeasurement]:
    """Return the fastest form of each line and measure; all forms must have the same result."""
    best: dict[tuple[str, str], QueryMeasurement] = {}
    for measure in dict.fromkeys(form.measure for form in forms):
        same_measure = [form for form in forms if form.measure == measure]
        results = {_summarize_result(form.call()) for form in same_measure}
        assert len(results) == 1, f"{question}: the forms of {same_measure[0].line} differ in {measure}"
        for form, seconds in zip(same_measure, fastest_times([form.call for form in same_measure], runs), strict=True):
            answer = QueryMeasurement(question, form.line, measure, form.variant, seconds, *results)
            key = form.line, measure
            best[key] = min(best.get(key, answer), answer, key=lambda candidate: candidate.seconds)
    return list(best.values())


def _summarize_result(result: Any) -> str:
    """Return a count, or the number of rows or ids and a hash of them that does not depend on their order."""
    if isinstance(result, int):
        return f"{result}"
    if isinstance(result, np.ndarray):
        assert result.dtype == np.uint32 and result.flags.c_contiguous
        return f"{len(result)} {xxhash.xxh3_64_hexdigest(np.sort(result))}"
    return f"{len(result)} {xxhash.xxh3_64_hexdigest(result.hash().sort().to_numpy())}"


def measure_opening(folder: Path, runs: int) -> OpenMeasurement:
    """Measure the first queries after the index is opened; its files are in the page cache."""
    index_folder = folder / devices.INDEX_FOLDER
    opened = fastest_times([lambda: DeviceIndex.open(index_folder)], runs)[0]
    counts = {
        name: min(_time_first_query(index_folder, _count_query(query.text)) for _ in range(runs))
        for name, query in QUERIES.items()
    }
    flagship = QUERIES["flagship"].text
    first_ids = min(
        _time_first_query(index_folder, lambda index: index.resolve(parse(flagship)).ids()) for _ in range(runs)
    )
    return OpenMeasurement(opened, counts, first_ids)


def _count_query(text: str) -> Callable[[DeviceIndex], int]:
    return lambda index: index.count(parse(text))


def _time_first_query(index_folder: Path, ask: Callable[[DeviceIndex], Any]) -> float:
    index = DeviceIndex.open(index_folder)
    start = time.perf_counter()
    ask(index)
    return time.perf_counter() - start


def prepare_devices(folder: Path, count: int) -> devices.BuildMeasurement:
    """Prepare *count* devices and their index in *folder*, unless they are there already."""
    kept, threads = folder / "built.json", os.cpu_count() or 1
    if kept.exists():
        built = devices.BuildMeasurement(**json.loads(kept.read_text()))
        if built.devices == count:
            return built
    kept.unlink(missing_ok=True)
    if not (folder / devices.TABLE_FOLDER).is_dir():
        run_in_process(devices.generate_table, folder, count, threads=threads)
    built = run_in_process(devices.build_index, folder, threads, threads=threads)
    run_in_process(devices.write_peer_table, folder, threads=threads)
    kept.write_text(json.dumps(asdict(built)))
    return built


def check_agreement(visits: list[PeerMeasurement]) -> None:
    """Require that all peers have the same results."""
    results: dict[tuple[str, str], dict[str, str]] = {}
    for answer in (answer for visit in visits for answer in visit.answers):
        results.setdefault((answer.question, answer.measure), {})[answer.line] = answer.result
    for key, answers in results.items():
        assert len(set(answers.values())) == 1, f"{key}: {answers}"


def accept_all(form: QueryForm) -> bool:
    return True


def run_benchmark(
    folder: Path,
    count: int,
    runs: int,
    threads: int,
    peer_names: Iterable[str] = PEERS,
    is_wanted: Callable[[QueryForm], bool] = accept_all,
) -> dict[str, Any]:
    """Measure the index and the given peers in the wanted forms. Return the results, ready for JSON."""
    built = prepare_devices(folder, count)
    opened = run_in_process(measure_opening, folder, runs, threads=threads)
    visits = [
        run_in_process(measure_peer, name, folder, threads, runs, is_wanted, threads=threads) for name in peer_names
    ]
    check_agreement(visits)
    return {
        **describe_environment(),
        "runs": runs,
        "threads": threads,
        "built": asdict(built),
        "opening": asdict(opened),
        "visits": [asdict(visit) for visit in visits],
    }


def main() -> None:
    options = make_parser(__doc__, *OPTIONS).parse_args()
    with open_folder(options.folder) as folder:
        measured = run_benchmark(folder, int(options.devices), options.runs, options.threads)
    save_json(measured, options.json)
    print(format_report(measured))


if __name__ == "__main__":
    main()
