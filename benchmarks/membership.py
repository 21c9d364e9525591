"""Which audiences a device is in, asked by its id: one id at a time, and many ids at once.

The peers have every audience resolved beforehand, which the index has not: a dict from id to row with one bitmap for
each audience, and a Polars frame with one Boolean column for each, with which the ids are joined. Answers are asserted
equal, and the smallest time of several runs counts.

    python -m benchmarks.membership [--devices N] [--runs N] [--threads N] [--folder DIR] [--json FILE]
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from audience import DeviceIndex
from benchmarks.emit import prepare_index
from benchmarks.evaluate import fastest_times, run_in_process
from benchmarks.peers import _BitmapsByName
from benchmarks.queries import QUERIES
from benchmarks.report import OPTIONS, describe_environment, format_table, make_parser, open_folder, save_json

SINGLE_IDS, ID_COUNTS = 200, (1, 100, 10_000)
AUDIENCES = {name: query.text for name, query in QUERIES.items()}


@dataclass(frozen=True, slots=True)
class MembershipMeasurement:
    """Seconds for each id and expression, by method."""

    question: str
    seconds: dict[str, float]


def measure_all(index_folder: Path, runs: int) -> list[MembershipMeasurement]:
    """Measure one id at a time, many at once, and the first question of an index that was just opened."""
    index = DeviceIndex.open(index_folder)
    rows_by_id = {identifier: row for row, identifier in enumerate(index.resolve("everyone").ids())}
    sample = index.resolve("everyone limit 20000 seed x").ids().to_list()
    exprs = list(AUDIENCES.values())
    by_hand = {name: QUERIES[name].combine_bitmaps(_BitmapsByName(index)) for name in AUDIENCES}
    frame = pl.DataFrame({"id": list(rows_by_id)}).with_columns(
        pl.Series(name, [row in rows for row in rows_by_id.values()]) for name, rows in by_hand.items()
    )

    def ask_one(ids: list[str]) -> list[list[bool]]:
        return [index.member(identifier, exprs) for identifier in ids]

    def ask_many(ids: list[str]) -> list[list[bool]]:
        return [list(row[2:]) for row in index.members(ids, exprs).rows()]

    def ask_dict(ids: list[str]) -> list[list[bool]]:
        return [[rows_by_id[identifier] in rows for rows in by_hand.values()] for identifier in ids]

    def ask_polars(ids: list[str]) -> list[list[bool]]:
        joined = pl.DataFrame({"id": ids}).join(frame, on="id", how="left", maintain_order="left")
        return [list(row[1:]) for row in joined.rows()]

    singles = sample[:SINGLE_IDS]
    assert ask_one(singles) == ask_many(singles) == ask_dict(singles) == ask_polars(singles)
    one = {"the index": ask_one, "dict and resolved bitmaps": ask_dict}
    measured = [_measure("one id at a time", one, singles, len(exprs), runs)]
    many = {"the index": ask_many, "dict and resolved bitmaps": ask_dict, "Polars, resolved columns": ask_polars}
    for count in ID_COUNTS:
        measured.append(_measure(f"{count:,} ids at once", many, sample[:count], len(exprs), runs))
    first = {"the index": min(_time_first_answer(index_folder, singles[0], exprs) for _ in range(runs)) / len(exprs)}
    return [*measured, MembershipMeasurement("first id after opening", first)]


def _measure(
    question: str, methods: dict[str, Callable[[list[str]], Any]], ids: list[str], expr_count: int, runs: int
) -> MembershipMeasurement:
    seconds = fastest_times([lambda ask=ask: ask(ids) for ask in methods.values()], runs)
    per_answer = [each / len(ids) / expr_count for each in seconds]
    return MembershipMeasurement(question, dict(zip(methods, per_answer, strict=True)))


def _time_first_answer(index_folder: Path, identifier: str, exprs: list[str]) -> float:
    index = DeviceIndex.open(index_folder)
    start = time.perf_counter()
    index.member(identifier, exprs)
    return time.perf_counter() - start


def format_report(answers: list[MembershipMeasurement]) -> str:
    """Return *answers* as Markdown, in microseconds for each id and expression."""
    methods = list(dict.fromkeys(method for answer in answers for method in answer.seconds))
    rows = [
        (answer.question, *(f"{answer.seconds[name] * 1e6:.2f}" if name in answer.seconds else "" for name in methods))
        for answer in answers
    ]
    return format_table(("µs for each id and expression", *methods), rows)


def main() -> None:
    options = make_parser(__doc__, *OPTIONS).parse_args()
    with open_folder(options.folder) as folder:
        index_folder = prepare_index(folder, int(options.devices))
        answers = run_in_process(
            measure_all, index_folder, options.runs, threads=options.threads or os.cpu_count() or 1
        )
    save_json({**describe_environment(), "answers": [asdict(answer) for answer in answers]}, options.json)
    print(format_report(answers))


if __name__ == "__main__":
    main()
