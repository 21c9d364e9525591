"""How long does it take to count an audience and to list its ids, beside what else could do it?

Beside Polars, DuckDB and chdb over scalar columns and over a list column of tags, groupBitmap states in chdb, packed
words in numpy, and the index's own bitmaps combined by hand with pyroaring. All have the same devices, in the same
order, in memory; each library runs in a process of its own with a fixed number of threads; all answers are compared;
of every peer the fastest form is kept, and of several runs, in turns, the smallest time.

    python -m benchmarks.evaluate [--devices N] [--runs N] [--threads N] [--folder DIR] [--json FILE]
"""

import json
import os
import time
import timeit
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xxhash

from audience import DeviceIndex, parse
from benchmarks import databases, devices, peers
from benchmarks.peers import Form
from benchmarks.queries import QUESTIONS
from benchmarks.report import OPTIONS, circumstances, kept, options, printed, save

PEERS = {
    "bitmaps": peers.bitmaps,
    "numpy": peers.words,
    "Polars": peers.polars,
    "DuckDB": databases.duckdb,
    "chdb": databases.chdb,
}
LONG_ENOUGH = 0.01  # seconds that one run lasts, by repeating what is quicker

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """The fastest form of one line of the report: what it found, and the seconds it took."""

    question: str
    line: str
    measure: str
    how: str
    seconds: float
    found: str


@dataclass(frozen=True, slots=True)
class Visit:
    """All answers of one library, and what loading the devices cost it: seconds, and memory at the highest."""

    peer: str
    load_seconds: float
    gained_bytes: int
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class Opening:
    """Seconds to open the index, to count for the first time then, and to list ids for the first time."""

    open: float
    first_count: dict[str, float]
    first_ids: float


def visit(name: str, folder: Path, threads: int, runs: int, wanted: Callable[[Form], bool]) -> Visit:
    """Load the devices into one library and put every question to it, in the forms that are *wanted*."""
    before, start = devices.peak_bytes(), time.perf_counter()
    ask = PEERS[name](folder, threads)
    load = time.perf_counter() - start
    gained = devices.peak_bytes() - before
    forms = {question: list(filter(wanted, ask(QUESTIONS[question]))) for question in QUESTIONS}
    answers = [answer for question in QUESTIONS for answer in _answers(question, forms[question], runs)]
    return Visit(name, load, gained, answers)


def _answers(question: str, forms: list[Form], runs: int) -> list[Answer]:
    """The fastest form of each line and measure; all forms must find the same."""
    best: dict[tuple[str, str], Answer] = {}
    for measure in dict.fromkeys(form.measure for form in forms):
        some = [form for form in forms if form.measure == measure]
        found = {_digest(form.call()) for form in some}
        assert len(found) == 1, f"{question}: the forms of {some[0].line} differ in {measure}"
        for form, seconds in zip(some, fastest([form.call for form in some], runs), strict=True):
            answer = Answer(question, form.line, measure, form.how, seconds, *found)
            key = form.line, measure
            best[key] = min(best.get(key, answer), answer, key=lambda one: one.seconds)
    return list(best.values())


def fastest(calls: list[Callable[[], Any]], runs: int) -> list[float]:
    """The smallest time of each of *calls* in seconds, taken in turns; they have run before."""
    once = [timeit.timeit(call, number=1) for call in calls]
    times = [max(1, round(LONG_ENOUGH / seconds)) for seconds in once]
    rounds = [[timeit.timeit(call, number=n) / n for call, n in zip(calls, times, strict=True)] for _ in range(runs)]
    return [min(each) for each in zip(*rounds, strict=True)]


def _digest(found: Any) -> str:
    """A count itself, or a number of rows or ids and a hash of them that does not depend on their order."""
    if isinstance(found, int):
        return f"{found}"
    if isinstance(found, np.ndarray):
        assert found.dtype == np.uint32 and found.flags.c_contiguous
        return f"{len(found)} {xxhash.xxh3_64_hexdigest(np.sort(found))}"
    return f"{len(found)} {xxhash.xxh3_64_hexdigest(found.hash().sort().to_numpy())}"


def opening(folder: Path, runs: int) -> Opening:
    """What the first questions cost after the index has been opened; its files are in the memory of the system."""
    place = folder / devices.INDEX
    opened = fastest([lambda: DeviceIndex.open(place)], runs)[0]
    counts = {name: min(_first(place, _count(one.text)) for _ in range(runs)) for name, one in QUESTIONS.items()}
    flagship = QUESTIONS["flagship"].text
    first_ids = min(_first(place, lambda index: index.resolve(parse(flagship)).tokens()) for _ in range(runs))
    return Opening(opened, counts, first_ids)


def _count(text: str) -> Callable[[DeviceIndex], int]:
    return lambda index: index.count(parse(text))


def _first(place: Path, ask: Callable[[DeviceIndex], Any]) -> float:
    index = DeviceIndex.open(place)
    start = time.perf_counter()
    ask(index)
    return time.perf_counter() - start


def prepare(folder: Path, count: int) -> devices.Built:
    """The devices in *folder*: those that are there already if they are as many, else new ones and an index of them."""
    kept, threads = folder / "built.json", os.cpu_count() or 1
    if kept.exists():
        built = devices.Built(**json.loads(kept.read_text()))
        if built.devices == count:
            return built
    kept.unlink(missing_ok=True)
    if not (folder / devices.TABLE).is_dir():
        alone(devices.generate, folder, count, threads=threads)
    built = alone(devices.build, folder, threads, threads=threads)
    alone(devices.number, folder, threads=threads)
    kept.write_text(json.dumps(asdict(built)))
    return built


def alone(function: Callable[..., Result], *arguments: Any, threads: int) -> Result:
    """Call *function* in a process of its own, in which Polars has so many *threads*."""
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def check(visits: list[Visit]) -> None:
    """All peers must have found the same."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for answer in (answer for visit in visits for answer in visit.answers):
        found.setdefault((answer.question, answer.measure), {})[answer.line] = answer.found
    for asked, answers in found.items():
        assert len(set(answers.values())) == 1, f"{asked}: {answers}"


def anything(form: Form) -> bool:
    return True


def run(
    folder: Path,
    count: int,
    runs: int,
    threads: int,
    names: Iterable[str] = PEERS,
    wanted: Callable[[Form], bool] = anything,
) -> dict[str, Any]:
    """Everything that was measured beside the peers *names* in the forms that are *wanted*, ready for JSON."""
    built = prepare(folder, count)
    opened = alone(opening, folder, runs, threads=threads)
    visits = [alone(visit, name, folder, threads, runs, wanted, threads=threads) for name in names]
    check(visits)
    return {
        **circumstances(),
        "runs": runs,
        "threads": threads,
        "built": asdict(built),
        "opening": asdict(opened),
        "visits": [asdict(visit) for visit in visits],
    }


def main() -> None:
    said = options(__doc__, *OPTIONS).parse_args()
    with kept(said.folder) as folder:
        measured = run(folder, int(said.devices), said.runs, said.threads)
    save(measured, said.json)
    print(printed(measured))


if __name__ == "__main__":
    main()
