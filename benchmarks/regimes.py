"""Is anything faster than the index, at any density, form of question and layout of tags? And how far is the limit?

Tags of 0.01 to 50 % of the devices are drawn at random, or correlated, or are those of real people. Questions of one
form are asked about different tags, each once, after every tag was read: nothing that is remembered of one answers
another. The libraries take turns in one process and one thread, and all answers are compared. A time is the lower
quartile of the rounds, divided by the questions of a round.

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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from audience import DeviceIndex
from benchmarks.devices import peak_bytes
from benchmarks.regime_peers import LOADERS, NEW, OURS, TEXT, Calls, Library, Masks, measure_operand_bytes
from benchmarks.regime_questions import FORMS, Form, Question, draw_questions
from benchmarks.regime_report import format_report
from benchmarks.regime_tables import (
    DENSITIES,
    REAL_FILE,
    SHARED_DATA,
    SYNTHETIC_LAYOUTS,
    RegimeTable,
    TagClass,
    classify_tags,
    read_masks,
    write_table,
)
from benchmarks.report import describe_environment, make_parser, open_folder
from benchmarks.timing import fastest_times, run_in_process

DEVICES, QUICK_DEVICES = 4_000_000, 200_000
ROUND_QUESTIONS = 8
MAX_SLOW_SECONDS = 0.4  # of one variant; those that have taken it are not asked again
QUICK_ROUNDS = 3
EXTRA_ROUNDS = 4  # in which rows are listed, and new expressions and texts are counted
LISTED_FORMS = ("and2", "nest")
TABLE_FILE, INDEX_FOLDER = "table.parquet", "devices.index"
CELL_KEY = ("table", "tags", "form", "measure")

Way: TypeAlias = tuple[str, Callable[[Question], Calls], NDArray[np.uint32] | None]


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
    """Seconds of a question in each round, by library and variant."""

    def __init__(self) -> None:
        self.by_way: dict[tuple[str, str], list[float]] = {}

    def is_slow(self, way: tuple[str, str]) -> bool:
        """Return whether *way* has taken its share of time."""
        return sum(self.by_way.get(way, ())) * ROUND_QUESTIONS > MAX_SLOW_SECONDS

    def summarize(self) -> dict[str, dict[str, float]]:
        """Return the lower quartile of each way."""
        found: dict[str, dict[str, float]] = {}
        for (library, variant), seconds in self.by_way.items():
            found.setdefault(library, {})[variant] = float(np.quantile(seconds, 0.25, method="lower"))
        return found


def measure_bandwidth() -> float:
    """Return the bytes that numpy reads in a second from an array that no cache holds."""
    words = np.ones(1 << 24, dtype=np.uint64)
    return words.nbytes / fastest_times([words.sum], 9)[0]


def measure_table(table: RegimeTable, folder: Path, settings: Settings) -> dict[str, Any]:
    """Measure all questions about one table, in this process."""
    masks = read_masks(table, folder / TABLE_FILE)
    classes = classify_tags(table, masks)
    masks = {tag: masks[tag] for tag in dict.fromkeys(tag for tag_class in classes for tag in tag_class.tags)}
    bandwidth = measure_bandwidth()
    libraries = [
        library
        for peer in dict.fromkeys((OURS, *settings.peers))
        for library in LOADERS[peer](masks, folder / INDEX_FOLDER, settings.threads)
    ]
    cells = [
        cell
        for tag_class in classes
        for form in settings.forms
        for cell in measure_form(table, tag_class, FORMS[form], libraries, masks, settings.rounds, bandwidth)
    ]
    return {"cells": [asdict(cell) for cell in cells], "bandwidth": bandwidth, "peak_bytes": peak_bytes()}


def measure_form(
    table: RegimeTable,
    tag_class: TagClass,
    form: Form,
    libraries: list[Library],
    masks: Masks,
    rounds: int,
    bandwidth: float,
) -> Iterator[Cell]:
    """Measure one form over tags of one class; nothing if there are too few tags for a round."""
    questions = draw_questions(form, tag_class.tags, seed=15)
    counted, listed, answers = Times(), Times(), list[float]()
    compared = [library for library in libraries if library.name not in (NEW, TEXT)]
    asked: list[Question] = []
    for number in range(rounds):
        drawn = list(islice(questions, ROUND_QUESTIONS))
        if len(drawn) < ROUND_QUESTIONS:
            break
        asked += drawn
        answers += measure_round([(library.name, library.count, None) for library in compared], drawn, counted)
        if number >= EXTRA_ROUNDS:
            continue
        for library in libraries:
            if library.name in (NEW, TEXT):
                measure_round([(library.name, library.count, None)], list(islice(questions, ROUND_QUESTIONS)), counted)
        if form.name in LISTED_FORMS:
            lists = [(library.name, library.rows, library.order) for library in compared if library.rows]
            measure_round(lists, list(islice(questions, ROUND_QUESTIONS)), listed)
    for measure, times in (("count", counted), ("rows", listed)):
        if not times.by_way:
            continue
        operand_bytes = measure_operand_bytes(masks, asked)
        yield Cell(
            table.name,
            table.layout,
            tag_class.label,
            form.name,
            measure,
            len(masks[tag_class.tags[0]]),
            float(np.mean(answers)),
            operand_bytes,
            operand_bytes / bandwidth,
            times.summarize(),
        )
        print(f"  {table.name}, {tag_class.label}: {form.name}, {measure}", file=sys.stderr, flush=True)


def measure_round(ways: list[Way], questions: list[Question], times: Times) -> list[float]:
    """Ask all *questions* in each way. Return the answers, which must be the same: numbers, or numbers of rows."""
    expected: list[Any] = []
    for name, make_calls, order in ways if questions else []:
        calls = [make_calls(question) for question in questions]
        for variant in calls[0]:
            if times.is_slow((name, variant)):
                continue
            seconds, found = _time_calls([by_variant[variant] for by_variant in calls])
            times.by_way.setdefault((name, variant), []).append(seconds / len(questions))
            answers = [_summarize_answer(answer, order) for answer in found]
            expected = expected or answers
            texts = [question.text for question in questions]
            assert answers == expected, f"{name}, {variant}: {answers} for {texts}, and not {expected}"
    return [answer[0] if isinstance(answer, tuple) else answer for answer in expected]


def _time_calls(calls: list[Callable[[], Any]]) -> tuple[float, list[Any]]:
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    found = [call() for call in calls]
    seconds = time.perf_counter() - start
    gc.enable()
    return seconds, found


def _summarize_answer(answer: Any, order: NDArray[np.uint32] | None) -> Any:
    """Return a count as it is; of rows their number, their sum and their bits."""
    if not isinstance(answer, np.ndarray):
        return answer
    rows = answer if order is None else order[answer]
    return len(rows), int(rows.sum(dtype=np.uint64)), int(np.bitwise_xor.reduce(rows, initial=0))


def build_table(table: RegimeTable, folder: Path, device_count: int) -> None:
    """Write the table unless it is there, and build the index of it."""
    if not (folder / TABLE_FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_table(table, folder / TABLE_FILE, device_count)
    DeviceIndex.build(folder / TABLE_FILE, folder / INDEX_FOLDER, replace=True)


def list_tables(options: argparse.Namespace) -> tuple[list[RegimeTable], dict[str, str]]:
    """Return the tables to measure, and why others are not."""
    tables, skipped = [], {}
    for layout in options.layouts:
        if layout in SYNTHETIC_LAYOUTS:
            tables += [RegimeTable(layout, density) for density in options.densities]
        elif (SHARED_DATA / REAL_FILE).exists():
            tables.append(RegimeTable(layout))
        else:
            skipped[layout] = f"{REAL_FILE} is not in {SHARED_DATA}"
    tables += [RegimeTable(f"real, {folder.name}", None, folder) for folder in options.realdata]
    part, _, part_count = options.part.partition("/")
    return tables[int(part) - 1 :: int(part_count)], skipped


def run_benchmark(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all tables, each in a process of its own. Return the results, ready for JSON."""
    tables, skipped = list_tables(options)
    settings = Settings(options.forms, options.peers, options.rounds, options.threads)
    measured: dict[str, Any] = {**describe_environment(), "devices": options.devices, "skipped": skipped, "cells": []}
    for number, table in enumerate(tables, 1):
        print(f"{number} of {len(tables)}: {table.name}", file=sys.stderr, flush=True)
        place = folder / f"{table.name} {options.devices}".replace(" ", "-").replace(",", "").replace("%", "percent")
        run_in_process(build_table, table, place, options.devices, threads=options.threads)
        found = run_in_process(measure_table, table, place, settings, threads=options.threads)
        measured["cells"] += found["cells"]
        peak = max(found["peak_bytes"], measured.get("peak_bytes", 0))
        measured |= {"bandwidth": found["bandwidth"], "peak_bytes": peak}
        if options.json:
            merge_json(measured, options.json)
    return measured


def merge_json(measured: dict[str, Any], file: Path) -> dict[str, Any]:
    """Write *measured* to *file*, with the cells of an earlier run that it does not have."""
    earlier = json.loads(file.read_text())["cells"] if file.exists() else []
    cells = {tuple(cell[name] for name in CELL_KEY): cell for cell in (*earlier, *measured["cells"])}
    merged = {**measured, "cells": list(cells.values())}
    file.write_text(json.dumps(merged, indent=1) + "\n")
    return merged


def parse_options() -> argparse.Namespace:
    def split(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(","))

    parser = make_parser(__doc__, "threads", "folder", "json")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_DEVICES:,} devices and three rounds")
    parser.add_argument("--devices", type=float, default=DEVICES)
    parser.add_argument("--layouts", type=split, default=(*SYNTHETIC_LAYOUTS, "real"))
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
