"""Queries of the benchmarks, in the language of each peer.

Each form was the fastest of those tried on ten million devices. Within an AND, cheap and selective operands come
first. If a peer has several ways to count or to list, `benchmarks.peers` measures all of them and keeps the fastest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyroaring import BitMap

BitmapsByName: TypeAlias = Mapping[str, BitMap]
PackedWords: TypeAlias = Mapping[str, NDArray[np.uint64]]


@dataclass(frozen=True, slots=True)
class BitmapStates:
    """Query over groupBitmap states: the values united under each letter, and the operation on them."""

    unions: Mapping[str, tuple[str, ...]]
    operation: str  # the last operation, which has a form that only counts
    operands: str


@dataclass(frozen=True, slots=True)
class BenchmarkQuery:
    """One audience: its text for this project, then the query of each peer."""

    text: str
    polars: Callable[[Callable[[str], pl.Expr]], list[pl.Expr]]  # operands of an AND; the function says "has this tag"
    sql: Callable[[Callable[[str], str]], str]
    states: BitmapStates
    words: Callable[[PackedWords], NDArray[np.uint64]]  # numpy, one bit a device
    count_bitmaps: Callable[[BitmapsByName], int]  # pyroaring by hand; the stored bitmaps must stay as they are
    combine_bitmaps: Callable[[BitmapsByName], BitMap]

    @property
    def has_tags(self) -> bool:
        """Return whether the query has any tag; without one, the list column has the form of the scalar columns."""
        return any(name in TAGS for names in self.states.unions.values() for name in names)


TAGS = ("male", "t000", "t039", "t040", "t041", "t079", "t080")  # those of the queries below
YOUNG_AGES = [f"age:{age}" for age in range(14, 30)]
RECENT_DAYS = [f"active:2020-04-0{day}" for day in (6, 7, 8)]
IN_SOUTH = (pl.col("province") == "guangdong") | (pl.col("province") == "hunan")  # faster than is_in here
OTHER_VERSION = pl.col("version") != "1.0.2"


def _flagship_words(words: PackedWords) -> NDArray[np.uint64]:
    rows = words["province:guangdong"] | words["province:hunan"]
    rows &= words["male"]
    rows &= ~words["version:1.0.2"]
    return rows


def _count_flagship(bitmaps: BitmapsByName) -> int:
    rows = bitmaps["province:guangdong"] | bitmaps["province:hunan"]
    rows &= bitmaps["male"]
    return rows.difference_cardinality(bitmaps["version:1.0.2"])


def _list_flagship(bitmaps: BitmapsByName) -> BitMap:
    rows = bitmaps["province:guangdong"] | bitmaps["province:hunan"]
    rows -= bitmaps["version:1.0.2"]
    rows &= bitmaps["male"]
    return rows


def _typed_words(words: PackedWords) -> NDArray[np.uint64]:
    rows = words["province:guangdong"] | words["province:hunan"]
    rows &= words["brand:huawei"]
    rows &= ~words["version:1.0.2"]
    rows &= np.bitwise_or.reduce([words[day] for day in RECENT_DAYS])
    return rows


def _typed_runs(bitmaps: BitmapsByName) -> BitMap:
    """Return all operands but the days; these bitmaps are a few runs, because rows are sorted by these attributes."""
    rows = bitmaps["province:guangdong"] | bitmaps["province:hunan"]
    rows &= bitmaps["brand:huawei"]
    rows -= bitmaps["version:1.0.2"]
    return rows


def _count_typed(bitmaps: BitmapsByName) -> int:
    rows = _typed_runs(bitmaps)
    return sum(rows.intersection_cardinality(bitmaps[day]) for day in RECENT_DAYS)  # a device has one day


def _list_typed(bitmaps: BitmapsByName) -> BitMap:
    rows = _typed_runs(bitmaps)
    first, *others = RECENT_DAYS
    days = rows & bitmaps[first]
    for day in others:
        days |= rows & bitmaps[day]
    return days


def _tags_words(words: PackedWords) -> NDArray[np.uint64]:
    rows = words["t040"] | words["t041"]
    rows &= words["t000"]
    rows &= ~words["t080"]
    return rows


def _count_tags(bitmaps: BitmapsByName) -> int:
    rows = bitmaps["t040"] | bitmaps["t041"]
    rows &= bitmaps["t000"]
    return rows.difference_cardinality(bitmaps["t080"])


def _list_tags(bitmaps: BitmapsByName) -> BitMap:
    rows = bitmaps["t040"] | bitmaps["t041"]
    rows &= bitmaps["t000"]
    rows -= bitmaps["t080"]
    return rows


def _range_words(words: PackedWords) -> NDArray[np.uint64]:
    rows = np.bitwise_or.reduce([words[age] for age in YOUNG_AGES])
    rows &= words["language:zh"]
    return rows


def _count_range(bitmaps: BitmapsByName) -> int:
    chinese = bitmaps["language:zh"]
    return sum(chinese.intersection_cardinality(bitmaps[age]) for age in YOUNG_AGES)  # a device has one age


def _list_range(bitmaps: BitmapsByName) -> BitMap:
    first, *others = YOUNG_AGES
    rows = bitmaps["language:zh"] & bitmaps[first]
    for age in others:
        rows |= bitmaps["language:zh"] & bitmaps[age]
    return rows


QUERIES = {
    "flagship": BenchmarkQuery(
        text="male AND (province:guangdong OR province:hunan) AND NOT version:1.0.2",
        polars=lambda tag: [IN_SOUTH, OTHER_VERSION, tag("male")],
        sql=lambda tag: f"province IN ('guangdong', 'hunan') AND version <> '1.0.2' AND {tag('male')}",
        states=BitmapStates(
            {"a": ("province:guangdong", "province:hunan"), "b": ("male",), "c": ("version:1.0.2",)},
            "bitmapAndnot",
            "bitmapAnd(a, b), c",
        ),
        words=_flagship_words,
        count_bitmaps=_count_flagship,
        combine_bitmaps=_list_flagship,
    ),
    "typed attributes": BenchmarkQuery(
        text="(province:guangdong OR province:hunan) AND active within 3 days of 2020-04-08"
        " AND brand:huawei AND NOT version:1.0.2",
        polars=lambda tag: [
            pl.col("active").is_between(date(2020, 4, 6), date(2020, 4, 8)),
            pl.col("brand") == "huawei",
            IN_SOUTH,
            OTHER_VERSION,
        ],
        sql=lambda tag: (
            "active BETWEEN DATE '2020-04-06' AND DATE '2020-04-08' AND brand = 'huawei'"
            " AND province IN ('guangdong', 'hunan') AND version <> '1.0.2'"
        ),
        states=BitmapStates(
            {
                "a": ("province:guangdong", "province:hunan"),
                "b": ("brand:huawei",),
                "c": tuple(RECENT_DAYS),
                "d": ("version:1.0.2",),
            },
            "bitmapAndnot",
            "bitmapAnd(bitmapAnd(a, b), c), d",
        ),
        words=_typed_words,
        count_bitmaps=_count_typed,
        combine_bitmaps=_list_typed,
    ),
    "tags": BenchmarkQuery(
        text="t000 AND (t040 OR t041) AND NOT t080",
        polars=lambda tag: [tag("t000"), tag("t040") | tag("t041"), ~tag("t080")],
        sql=lambda tag: f"{tag('t000')} AND ({tag('t040')} OR {tag('t041')}) AND NOT {tag('t080')}",
        states=BitmapStates(
            {"a": ("t000",), "b": ("t040", "t041"), "c": ("t080",)}, "bitmapAndnot", "bitmapAnd(a, b), c"
        ),
        words=_tags_words,
        count_bitmaps=_count_tags,
        combine_bitmaps=_list_tags,
    ),
    "range": BenchmarkQuery(
        text="age < 30 AND language:zh",
        polars=lambda tag: [pl.col("age") < 30, pl.col("language") == "zh"],
        sql=lambda tag: "age < 30 AND language = 'zh'",
        states=BitmapStates({"a": tuple(YOUNG_AGES), "b": ("language:zh",)}, "bitmapAnd", "a, b"),
        words=_range_words,
        count_bitmaps=_count_range,
        combine_bitmaps=_list_range,
    ),
    "rare tags": BenchmarkQuery(
        text="t039 AND t079",
        polars=lambda tag: [tag("t039"), tag("t079")],
        sql=lambda tag: f"{tag('t039')} AND {tag('t079')}",
        states=BitmapStates({"a": ("t039",), "b": ("t079",)}, "bitmapAnd", "a, b"),
        words=lambda has: has["t039"] & has["t079"],
        count_bitmaps=lambda has: has["t039"].intersection_cardinality(has["t079"]),
        combine_bitmaps=lambda has: has["t039"] & has["t079"],
    ),
}
