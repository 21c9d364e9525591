"""Is anything faster than the index, at any density, form of question and layout of tags? And how far is the limit?

Tags of 0.01 to 50 % of the devices are drawn at random, or correlated, or are those of real people. Questions of one
form are asked about different tags, each once, after every tag was read: nothing that is remembered of one answers
another. Few tags have few such questions: more about them are drawn for the index opened anew, and a cell of fewer
than eight is left out. The libraries take turns in one process and one thread, and all answers are compared. Other
memory fills the caches of the processor before each turn, since some libraries answer the same questions in several
ways. A time is the mean of the faster half of all questions.

    python -m benchmarks.regimes [--quick] [--devices N] [--layouts L,…] [--densities D,…] [--forms F,…] [--peers P,…]
                                 [--realdata FOLDER,…] [--part K/N] [--rounds N] [--folder DIR] [--json FILE]

Results are merged into the JSON file, so that parts of the run can follow each other; without tables to measure,
`--report`, it is printed again. A folder of --realdata has files of row numbers divided by commas, one for each tag.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audience import DeviceIndex
from benchmarks.devices import peak_bytes
from benchmarks.regime_peers import AGAIN, LOADERS, NEW, OURS, TEXT, Library, Way, measure_operand_bytes
from benchmarks.regime_questions import FORMS, Question, QuestionDraw
from benchmarks.regime_report import format_report
from benchmarks.regime_tables import (
    DENSITIES,
    REAL_FILE,
    REAL_LAYOUTS,
    SHARED_DATA,
    SYNTHETIC_LAYOUTS,
    Masks,
    RegimeTable,
    TagClass,
    classify_tags,
    read_densities,
    read_masks,
    write_table,
)
from benchmarks.report import describe_environment, make_parser, open_folder
from benchmarks.timing import fastest_times, run_in_process

DEVICES, QUICK_DEVICES = 4_000_000, 200_000
ROUND_QUESTIONS, MIN_QUESTIONS = 8, 4
FEWEST_QUESTIONS, ENOUGH_QUESTIONS, MAX_PASSES = 8, 24, 6  # of a cell; passes with the index opened anew
MAX_SLOW_SECONDS = 0.4  # of one variant; those that have taken it are not asked again
QUICK_ROUNDS = 3
SLOW_CALL_SECONDS, SLOW_QUESTIONS = 0.05, 3
EXTRA_QUESTIONS, EXTRA_ROUNDS = 4, 6  # in which rows are listed, and new expressions and texts are counted
LISTED_FORMS = ("and2", "nest")
TABLE_FOLDER, INDEX_FOLDER, WRITTEN_FILE = "table", "devices.index", "table.written"
_OTHER_WORDS = np.ones(1 << 23, dtype=np.uint64)  # more than a cache of the processor holds


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured of a table."""

    forms: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    threads: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One form over tags of one class: the seconds of a question by library and variant, and the bytes of its operands.

    `limit` is the time that it takes to read the operands.
    """

    table: str
    layout: str
    tags: str
    form: str
    measure: str
    devices: int
    answer: float
    operand_bytes: float
    limit: float
    seconds: dict[str, dict[str, float]]


class Times:
    """Seconds of each question by library and variant, and the questions and their answers."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], list[float]] = {}
        self.questions: list[Question] = []
        self.answers: list[int] = []

    def count_asked(self) -> int:
        """Return how many questions the index was asked."""
        return max([len(seconds) for (library, _), seconds in self.seconds.items() if library == OURS], default=0)

    def is_slow(self, way: tuple[str, str]) -> bool:
        """Return whether *way* has taken its share of time."""
        return sum(self.seconds.get(way, ())) > MAX_SLOW_SECONDS

    def summarize(self) -> dict[str, dict[str, float]]:
        """Return the mean of the faster half of the calls of each way, which other work has disturbed less."""
        found: dict[str, dict[str, float]] = {}
        for (library, variant), seconds in self.seconds.items():
            faster = sorted(seconds)[: max(1, len(seconds) // 2)]
            found.setdefault(library, {})[variant] = float(np.mean(faster))
        return found


def measure_bandwidth() -> float:
    """Return the bytes that numpy reads in a second from an array that no cache holds."""
    words = np.ones(1 << 24, dtype=np.uint64)
    return words.nbytes / fastest_times([words.sum], 9)[0]


def measure_table(table: RegimeTable, folder: Path, settings: Settings) -> dict[str, Any]:
    """Measure all questions about one table, in this process."""
    classes, masks = read_classes(table, folder)
    if not masks:
        print(f"  {table.name}: no tag that more than 0.01 % of the devices have", file=sys.stderr, flush=True)
        return {"cells": [], "bandwidth": measure_bandwidth(), "peak_bytes": peak_bytes()}
    passes = iter_libraries(masks, folder / INDEX_FOLDER, settings)
    cells = measure_questions(table, classes, masks, passes, settings.forms, settings.rounds)
    return {"cells": cells, "bandwidth": measure_bandwidth(), "peak_bytes": peak_bytes()}


def iter_libraries(masks: Masks, index_folder: Path, settings: Settings) -> Iterator[list[Library]]:
    """Iterate over the libraries of each pass: the index is opened anew, and has no answers of the last one."""

    def load(peer: str) -> list[Library]:
        return LOADERS[peer](masks, index_folder, settings.threads)

    peers = [library for peer in settings.peers if peer != OURS for library in load(peer)]
    for _ in range(MAX_PASSES):
        yield load(OURS) + peers


def read_classes(table: RegimeTable, folder: Path) -> tuple[list[TagClass], Masks]:
    """Return the tags to ask about, and the devices that have them."""
    classes = classify_tags(table, read_densities(folder / TABLE_FOLDER))
    return classes, read_masks(folder / TABLE_FOLDER, tuple(dict.fromkeys(tag for one in classes for tag in one.tags)))


def measure_questions(
    table: RegimeTable,
    classes: list[TagClass],
    masks: Masks,
    passes: Iterable[list[Library]],
    forms: Iterable[str],
    rounds: int,
    listed_forms: tuple[str, ...] = LISTED_FORMS,
) -> list[dict[str, Any]]:
    """Measure all forms over all classes of tags, in as many *passes* as it takes. Return the cells as JSON data."""
    bandwidth, operand_bytes = measure_bandwidth(), measure_operand_bytes(masks)
    times: dict[tuple[str, str, str], Times] = {}
    for number, libraries in enumerate(passes):
        print(f"  {table.name}: pass {number + 1}", file=sys.stderr, flush=True)
        draw = QuestionDraw(number)
        for tag_class, name in product(classes, forms):
            counted, listed = (
                times.setdefault((tag_class.label, name, measure), Times()) for measure in ("count", "rows")
            )
            questions = draw.iter_questions(FORMS[name], tag_class.tags)
            ask_rounds(questions, libraries, rounds, counted, listed if name in listed_forms else None)
        if all(each.count_asked() >= ENOUGH_QUESTIONS for each in times.values() if each.questions):
            break
    device_count = len(next(iter(masks.values())))
    cells = list[Cell]()
    for (label, name, measure), asked in times.items():
        if asked.count_asked() >= FEWEST_QUESTIONS:
            read_bytes = float(np.mean([sum(operand_bytes[tag] for tag in one.tags) for one in asked.questions]))
            answer, limit, seconds = float(np.mean(asked.answers)), read_bytes / bandwidth, asked.summarize()
            key = table.name, table.layout, label, name, measure
            cells.append(Cell(*key, device_count, answer, read_bytes, limit, seconds))
    return [asdict(cell) for cell in cells]


def ask_rounds(
    questions: Iterator[Question], libraries: list[Library], rounds: int, counted: Times, listed: Times | None
) -> None:
    """Ask all libraries the same questions in each round, and expressions and texts that are new other ones.

    What they take is added to *counted* and, if rows are to be listed, to *listed*.
    """
    news = [library for library in libraries if library.name in (AGAIN, NEW, TEXT)]
    counts = [library.way_to_count() for library in libraries if library not in news]
    lists = [way for library in libraries if (way := library.way_to_list())]
    gc.collect()
    gc.disable()
    for number in range(rounds):
        if len(drawn := list(islice(questions, ROUND_QUESTIONS))) < MIN_QUESTIONS:
            break
        measure_round(counts, drawn, counted)
        if number < EXTRA_ROUNDS:
            if listed is not None:
                measure_round(lists, list(islice(questions, EXTRA_QUESTIONS)), listed)
            for library in news:
                measure_round([library.way_to_count()], list(islice(questions, EXTRA_QUESTIONS)), counted)
    gc.enable()


def measure_round(ways: list[Way], questions: list[Question], times: Times) -> None:
    """Ask all *questions* in each way. All answers must be the same."""
    expected: list[tuple[int, ...]] = []
    for name, make_calls, order in ways if questions else ():
        calls = [make_calls(question) for question in questions]
        for variant in calls[0]:
            if times.is_slow((name, variant)):
                continue
            _OTHER_WORDS.sum()
            seconds, found = _time_calls([by_variant[variant] for by_variant in calls])
            times.seconds.setdefault((name, variant), []).extend(seconds)
            answers = [_summarize_answer(answer, order) for answer in found]
            texts = [question.text for question in questions]
            agreed = all(one == other for one, other in zip(answers, expected, strict=False))
            assert agreed, f"{name}, {variant}: {answers} for {texts}, and not {expected}"
            expected = max(expected, answers, key=len)  # of slow calls a few are made
    times.questions += questions if expected else []
    times.answers += [answer[0] for answer in expected]


def _time_calls(calls: list[Callable[[], Any]]) -> tuple[list[float], list[Any]]:
    """Return the seconds of each call, and what it returns; of slow calls only a few are made."""
    seconds: list[float] = []
    found = []
    for call in calls:
        start = time.perf_counter()
        answer = call()
        seconds.append(time.perf_counter() - start)
        found.append(answer)
        if seconds[0] > SLOW_CALL_SECONDS and len(seconds) == SLOW_QUESTIONS:
            break
    return seconds, found


def _summarize_answer(answer: Any, order: NDArray[np.uint32] | None) -> tuple[int, ...]:
    """Return a count; of rows their number, their sum and their bits."""
    if not isinstance(answer, np.ndarray):
        return (answer,)
    rows = answer if order is None else order[answer]
    return len(rows), int(rows.sum(dtype=np.uint64)), int(np.bitwise_xor.reduce(rows, initial=0))


def table_folder(folder: Path, table: RegimeTable, device_count: int) -> Path:
    return folder / f"{table.name} {device_count}".replace(" %", "%").replace(" ", "-").replace(",", "")


def build_table(table: RegimeTable, folder: Path, device_count: int) -> None:
    """Write the table unless it is there, and build the index of it."""
    if not (folder / WRITTEN_FILE).exists():
        (folder / TABLE_FOLDER).mkdir(parents=True, exist_ok=True)
        write_table(table, folder / TABLE_FOLDER, device_count)
        (folder / WRITTEN_FILE).touch()
    DeviceIndex.build(folder / TABLE_FOLDER, folder / INDEX_FOLDER, replace=True)


def list_tables(options: argparse.Namespace) -> tuple[list[RegimeTable], dict[str, str]]:
    """Return the tables to measure, and why others are not."""
    tables, skipped = [], {}
    for layout in options.layouts:
        if layout in SYNTHETIC_LAYOUTS:
            tables += [RegimeTable(layout, density) for density in options.densities]
        elif layout not in REAL_LAYOUTS:
            raise SystemExit(f"no layout {layout!r}; there are {', '.join((*SYNTHETIC_LAYOUTS, *REAL_LAYOUTS))}")
        elif (SHARED_DATA / REAL_FILE).exists():
            tables.append(RegimeTable(layout))
        else:
            skipped[layout] = f"{REAL_FILE} is not in {SHARED_DATA}"
    tables += [RegimeTable(f"real, {folder.name}", None, folder) for folder in options.realdata]
    return select_part(tables, options.part), skipped


def select_part(tables: list[RegimeTable], part: str) -> list[RegimeTable]:
    """Return part K of N, written K/N: every N-th table from the K-th on."""
    number, _, count = part.partition("/")
    return tables[int(number) - 1 :: int(count)]


def run_benchmark(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all tables, each in a process of its own. Return the results, ready for JSON."""
    tables, skipped = list_tables(options)
    settings = Settings(options.forms, options.peers, options.rounds, options.threads)
    measured: dict[str, Any] = {**describe_environment(), "devices": options.devices, "skipped": skipped, "cells": []}
    for number, table in enumerate(tables, 1):
        print(f"{number} of {len(tables)}: {table.name}", file=sys.stderr, flush=True)
        place = table_folder(folder, table, options.devices)
        run_in_process(build_table, table, place, options.devices, threads=options.threads)
        found = run_in_process(measure_table, table, place, settings, threads=options.threads)
        measured["cells"] += found["cells"]
        peak = max(found["peak_bytes"], measured.get("peak_bytes", 0))
        measured |= {"bandwidth": found["bandwidth"], "peak_bytes": peak}
        if options.json:
            merge_json(measured, options.json)
    return measured


def merge_json(measured: dict[str, Any], file: Path) -> dict[str, Any]:
    """Write *measured* to *file*, with the cells of an earlier run about other tables or forms."""
    earlier = json.loads(file.read_text())["cells"] if file.exists() else []
    asked = {(cell["table"], cell["form"]) for cell in measured["cells"]}
    kept = [cell for cell in earlier if (cell["table"], cell["form"]) not in asked]
    merged = {**measured, "cells": kept + measured["cells"]}
    file.write_text(json.dumps(merged, indent=1) + "\n")
    return merged


def parse_options() -> argparse.Namespace:
    def split(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    parser = make_parser(__doc__, "threads", "folder", "json")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_DEVICES:,} devices and three rounds")
    parser.add_argument("--devices", type=float, default=DEVICES)
    parser.add_argument("--layouts", type=split, default=(*SYNTHETIC_LAYOUTS, *REAL_LAYOUTS))
    parser.add_argument("--densities", type=lambda text: tuple(map(float, split(text))), default=DENSITIES)
    parser.add_argument("--forms", type=split, default=tuple(FORMS))
    parser.add_argument("--peers", type=split, default=tuple(LOADERS))
    parser.add_argument("--realdata", type=lambda text: tuple(map(Path, split(text))), default=())
    parser.add_argument("--part", default="1/1", help="K/N: every N-th table from the K-th on")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--report", action="store_true", help="print the results of the JSON file, measure nothing")
    options = parser.parse_args()
    options.devices = int(options.devices)
    if options.quick:
        options.devices, options.rounds = QUICK_DEVICES, QUICK_ROUNDS
    return options


def main() -> None:
    options = parse_options()
    if options.report:
        print(format_report(json.loads(options.json.read_text())))
        return
    with open_folder(options.folder) as folder:
        measured = run_benchmark(options, folder)
    print(format_report(merge_json(measured, options.json) if options.json else measured))


if __name__ == "__main__":
    main()
