"""Figures of earlier commits, which stand beside those of a run. They were measured on another machine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.peers import PARSED_LINE
from benchmarks.report import format_table

EARLIER_MACHINE, EARLIER_DEVICES = "Xeon 2.5 GHz, 2 cores", 10_000_000


@dataclass(frozen=True, slots=True)
class EarlierFigure:
    """One figure: the step it is from, what it is, its value and commit then, and where it is found in results."""

    step: str
    label: str
    value: float
    commit: str
    find: Callable[[dict[str, Any]], float]


def _growth_figures(
    count: int, build_seconds: float, counts: dict[str, tuple[float, float]]
) -> Iterator[EarlierFigure]:
    """Iterate over figures of *count* devices; *counts* are milliseconds, and how many times longer DuckDB took."""
    for question, (milliseconds, times) in counts.items():
        name = f"{question}, {count:,} devices"
        yield EarlierFigure(
            "scale",
            f"{name}, ms",
            milliseconds,
            "db11e68",
            lambda m, q=question: 1e3 * _count_seconds(m, count, q, PARSED_LINE),
        )
        yield EarlierFigure(
            "scale",
            f"{name}, DuckDB ×",
            times,
            "db11e68",
            lambda m, q=question: _count_seconds(m, count, q, DUCKDB_LINE) / _count_seconds(m, count, q, PARSED_LINE),
        )
    yield EarlierFigure(
        "scale",
        f"build of {count:,} devices, s",
        build_seconds,
        "c623fd4",
        lambda m: _size(m, count)["built"]["seconds"],
    )


DUCKDB_LINE = "DuckDB, scalar columns"


def _size(measured: dict[str, Any], count: int) -> dict[str, Any]:
    return next(size for size in measured["sizes"] if size["built"]["devices"] == count)


def _count_seconds(measured: dict[str, Any], count: int, question: str, line: str) -> float:
    answers = [answer for visit in _size(measured, count)["visits"] for answer in visit["answers"]]
    return next(a["seconds"] for a in answers if (a["question"], a["line"], a["measure"]) == (question, line, "count"))


def _rows_seconds(measured: dict[str, Any], question: str, line: str, measure: str) -> float:
    answers = [answer for visit in measured["visits"] for answer in visit["answers"]]
    return next(a["seconds"] for a in answers if (a["question"], a["line"], a["measure"]) == (question, line, measure))


def _emit_rate(measured: dict[str, Any], audience: str, form: str, where: str) -> float:
    answer = next(a for a in measured["answers"] if (a["audience"], a["form"]) == (audience, form))
    return answer["id_count"] / answer[f"{where}_seconds"]["the index"] / 1e6


def _emit_figures() -> Iterator[EarlierFigure]:
    for audience, form, memory, disk in (
        ("everyone", "an array", 93.2, 32.9),
        ("everyone", "commas", 97.7, 37.1),
        ("a third", "an array", 75.7, 29.3),
        ("a third", "commas", 74.7, 30.7),
        ("one in a hundred", "an array", 10.0, 5.6),
        ("one in a hundred", "commas", 5.8, 3.9),
    ):
        for where, value in (("memory", memory), ("disk", disk)):
            yield EarlierFigure(
                "emit",
                f"{audience}, {form}, {where}, million ids/s",
                value,
                "424926b",
                lambda m, a=audience, f=form, w=where: _emit_rate(m, a, f, w),
            )


def _listing_figures() -> Iterator[EarlierFigure]:
    for question, by_hand, polars in (
        ("flagship", 2.24, 1.21),
        ("typed attributes", 1.41, 0.35),
        ("tags", 1.23, 1.44),
        ("range", 2.12, 1.01),
        ("rare tags", 1.94, 0.45),
    ):
        yield EarlierFigure(
            "evaluate",
            f"{question}: rows, ours / pyroaring by hand",
            by_hand,
            "5943fc2",
            lambda m, q=question: (
                _rows_seconds(m, q, PARSED_LINE, "rows") / _rows_seconds(m, q, "pyroaring by hand", "rows")
            ),
        )
        yield EarlierFigure(
            "evaluate",
            f"{question}: ids, ours / Polars",
            polars,
            "5943fc2",
            lambda m, q=question: (
                _rows_seconds(m, q, PARSED_LINE, "ids") / _rows_seconds(m, q, "Polars, scalar columns", "ids")
            ),
        )


def _update_figures() -> Iterator[EarlierFigure]:
    for step, seconds in (
        ("a tenth updated", 9.1),
        ("a tenth tagged", 5.2),
        ("one tagged", 0.1),
        ("a hundredth removed", 0.9),
    ):
        yield EarlierFigure(
            "update",
            f"{step}, s",
            seconds,
            "424926b",
            lambda m, s=step: next(one["seconds"] for one in m["steps"] if one["name"] == s),
        )


# How many devices a run has whose earlier figures are of one number of devices only.
COUNT_DEVICES: dict[str, Callable[[dict[str, Any]], int]] = {
    "build": lambda measured: measured["devices"],
    "update": lambda measured: measured["devices"],
    "evaluate": lambda measured: measured["built"]["devices"],
    "emit": lambda measured: measured["answers"][0]["id_count"],  # of everyone
}

EARLIER_FIGURES = (
    *_growth_figures(
        10_000_000,
        11.1,
        {"flagship": (0.342, 85.5), "typed attributes": (0.281, 89.7), "range": (0.054, 171.1), "tags": (0.531, 45.4)},
    ),
    *_growth_figures(
        100_000_000,
        107.6,
        {"flagship": (4.610, 63.9), "typed attributes": (4.004, 52.9), "range": (0.619, 129.4), "tags": (8.769, 27.8)},
    ),
    EarlierFigure(
        "scale",
        "first count without page cache, 100,000,000 devices, ms",
        754.5,
        "db11e68",
        lambda m: 1e3 * _size(m, 100_000_000)["cold"]["first_count"]["flagship"],
    ),
    EarlierFigure("build", "audience, s", 9.1, "424926b", lambda m: m["loads"][0]["seconds"]),
    *_emit_figures(),
    *_listing_figures(),
    *_update_figures(),
)


def format_earlier_figures(step: str, measured: dict[str, Any]) -> str:
    """Return the earlier figures of *step* beside those of *measured*; nothing if there are none of as many devices."""
    if step in COUNT_DEVICES and COUNT_DEVICES[step](measured) != EARLIER_DEVICES:
        return ""
    rows = [
        (figure.label, f"{figure.value:,.3g}", figure.commit, value)
        for figure in EARLIER_FIGURES
        if figure.step == step and (value := _format_value(figure, measured))
    ]
    return format_table(("", f"earlier, {EARLIER_MACHINE}", "commit", "this run"), rows) if rows else ""


def _format_value(figure: EarlierFigure, measured: dict[str, Any]) -> str:
    """Return the value in this run, or nothing if it was not measured, as with other numbers of devices."""
    try:
        return f"{figure.find(measured):,.3g}"
    except StopIteration:
        return ""
