"""The questions put to every peer, each in that peer's own words.

Each form was the fastest of those tried on ten million devices. Within an AND the cheap and selective operands come
first; where a peer has several ways to count or to list, `benchmarks.peers` measures them all and keeps the fastest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyroaring import BitMap

Bitmaps: TypeAlias = Mapping[str, BitMap]
Words: TypeAlias = Mapping[str, NDArray[np.uint64]]


@dataclass(frozen=True, slots=True)
class States:
    """A question over groupBitmap states: the values that are united under each letter, and what is made of them."""

    united: Mapping[str, tuple[str, ...]]
    last: str  # the last operation, of which there is a form that only counts
    operands: str


@dataclass(frozen=True, slots=True)
class Question:
    """One audience: *text* for this project, then what each peer is asked."""

    text: str
    polars: Callable[[Callable[[str], pl.Expr]], list[pl.Expr]]  # operands of an AND; the function says "has this tag"
    sql: Callable[[Callable[[str], str]], str]
    states: States
    words: Callable[[Words], NDArray[np.uint64]]  # numpy, one bit a device
    counted: Callable[[Bitmaps], int]  # pyroaring by hand; the stored bitmaps must stay as they are
    listed: Callable[[Bitmaps], BitMap]

    @property
    def asks_tags(self) -> bool:
        """Whether any tag stands in the question; without one the form of the list column is that of the scalars."""
        return any(name in TAGS for names in self.states.united.values() for name in names)


TAGS = ("male", "t000", "t039", "t040", "t041", "t079", "t080")  # those that stand in a question below
YOUNG = [f"age:{age}" for age in range(14, 30)]
RECENT = [f"active:2020-04-0{day}" for day in (6, 7, 8)]
SOUTH = (pl.col("province") == "guangdong") | (pl.col("province") == "hunan")  # faster than is_in here
OTHER_VERSION = pl.col("version") != "1.0.2"


def _flagship_words(has: Words) -> NDArray[np.uint64]:
    found = has["province:guangdong"] | has["province:hunan"]
    found &= has["male"]
    found &= ~has["version:1.0.2"]
    return found


def _flagship_counted(has: Bitmaps) -> int:
    found = has["province:guangdong"] | has["province:hunan"]
    found &= has["male"]
    return found.difference_cardinality(has["version:1.0.2"])


def _flagship_listed(has: Bitmaps) -> BitMap:
    found = has["province:guangdong"] | has["province:hunan"]
    found -= has["version:1.0.2"]
    found &= has["male"]
    return found


def _typed_words(has: Words) -> NDArray[np.uint64]:
    found = has["province:guangdong"] | has["province:hunan"]
    found &= has["brand:huawei"]
    found &= ~has["version:1.0.2"]
    found &= np.bitwise_or.reduce([has[day] for day in RECENT])
    return found


def _typed_runs(has: Bitmaps) -> BitMap:
    """All but the days: these bitmaps are a few runs, for rows are numbered in the order of these attributes."""
    found = has["province:guangdong"] | has["province:hunan"]
    found &= has["brand:huawei"]
    found -= has["version:1.0.2"]
    return found


def _typed_counted(has: Bitmaps) -> int:
    found = _typed_runs(has)
    return sum(found.intersection_cardinality(has[day]) for day in RECENT)  # a device has one day


def _typed_listed(has: Bitmaps) -> BitMap:
    found = _typed_runs(has)
    first, *rest = RECENT
    days = found & has[first]
    for day in rest:
        days |= found & has[day]
    return days


def _tags_words(has: Words) -> NDArray[np.uint64]:
    found = has["t040"] | has["t041"]
    found &= has["t000"]
    found &= ~has["t080"]
    return found


def _tags_counted(has: Bitmaps) -> int:
    found = has["t040"] | has["t041"]
    found &= has["t000"]
    return found.difference_cardinality(has["t080"])


def _tags_listed(has: Bitmaps) -> BitMap:
    found = has["t040"] | has["t041"]
    found &= has["t000"]
    found -= has["t080"]
    return found


def _range_words(has: Words) -> NDArray[np.uint64]:
    found = np.bitwise_or.reduce([has[age] for age in YOUNG])
    found &= has["language:zh"]
    return found


def _range_counted(has: Bitmaps) -> int:
    chinese = has["language:zh"]
    return sum(chinese.intersection_cardinality(has[age]) for age in YOUNG)  # a device has one age


def _range_listed(has: Bitmaps) -> BitMap:
    first, *rest = YOUNG
    found = has["language:zh"] & has[first]
    for age in rest:
        found |= has["language:zh"] & has[age]
    return found


QUESTIONS = {
    "flagship": Question(
        text="male AND (province:guangdong OR province:hunan) AND NOT version:1.0.2",
        polars=lambda tag: [SOUTH, OTHER_VERSION, tag("male")],
        sql=lambda tag: f"province IN ('guangdong', 'hunan') AND version <> '1.0.2' AND {tag('male')}",
        states=States(
            {"a": ("province:guangdong", "province:hunan"), "b": ("male",), "c": ("version:1.0.2",)},
            "bitmapAndnot",
            "bitmapAnd(a, b), c",
        ),
        words=_flagship_words,
        counted=_flagship_counted,
        listed=_flagship_listed,
    ),
    "typed attributes": Question(
        text="(province:guangdong OR province:hunan) AND active within 3 days of 2020-04-08"
        " AND brand:huawei AND NOT version:1.0.2",
        polars=lambda tag: [
            pl.col("active").is_between(date(2020, 4, 6), date(2020, 4, 8)),
            pl.col("brand") == "huawei",
            SOUTH,
            OTHER_VERSION,
        ],
        sql=lambda tag: (
            "active BETWEEN DATE '2020-04-06' AND DATE '2020-04-08' AND brand = 'huawei'"
            " AND province IN ('guangdong', 'hunan') AND version <> '1.0.2'"
        ),
        states=States(
            {
                "a": ("province:guangdong", "province:hunan"),
                "b": ("brand:huawei",),
                "c": tuple(RECENT),
                "d": ("version:1.0.2",),
            },
            "bitmapAndnot",
            "bitmapAnd(bitmapAnd(a, b), c), d",
        ),
        words=_typed_words,
        counted=_typed_counted,
        listed=_typed_listed,
    ),
    "tags": Question(
        text="t000 AND (t040 OR t041) AND NOT t080",
        polars=lambda tag: [tag("t000"), tag("t040") | tag("t041"), ~tag("t080")],
        sql=lambda tag: f"{tag('t000')} AND ({tag('t040')} OR {tag('t041')}) AND NOT {tag('t080')}",
        states=States({"a": ("t000",), "b": ("t040", "t041"), "c": ("t080",)}, "bitmapAndnot", "bitmapAnd(a, b), c"),
        words=_tags_words,
        counted=_tags_counted,
        listed=_tags_listed,
    ),
    "range": Question(
        text="age < 30 AND language:zh",
        polars=lambda tag: [pl.col("age") < 30, pl.col("language") == "zh"],
        sql=lambda tag: "age < 30 AND language = 'zh'",
        states=States({"a": tuple(YOUNG), "b": ("language:zh",)}, "bitmapAnd", "a, b"),
        words=_range_words,
        counted=_range_counted,
        listed=_range_listed,
    ),
    "rare tags": Question(
        text="t039 AND t079",
        polars=lambda tag: [tag("t039"), tag("t079")],
        sql=lambda tag: f"{tag('t039')} AND {tag('t079')}",
        states=States({"a": ("t039",), "b": ("t079",)}, "bitmapAnd", "a, b"),
        words=lambda has: has["t039"] & has["t079"],
        counted=lambda has: has["t039"].intersection_cardinality(has["t079"]),
        listed=lambda has: has["t039"] & has["t079"],
    ),
}
