"""The forms of questions about tags, and how each library is asked: every form in the words of every peer."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap

Words: TypeAlias = NDArray[np.uint64]
CountBitmaps: TypeAlias = Callable[[list[BitMap]], int]
CombineBitmaps: TypeAlias = Callable[[list[BitMap]], BitMap]
CombineWords: TypeAlias = Callable[[list[Words], list[Words]], Words]
MAX_DRAWS = 40  # for one question; few tags have few different questions
PAIR_SHARE = 3  # the part of all pairs of tags that one form may ask about


@dataclass(frozen=True, slots=True)
class Form:
    """One form of questions. Functions of bitmaps by the name of their variant; words are combined in given buffers."""

    name: str
    operand_count: int
    joins: tuple[tuple[str, tuple[int, ...]], ...]  # operator and operands; no two questions join the same tags
    text: str  # with {0}, {1}, … for tags
    polars: Callable[[list[pl.Expr]], pl.Expr]
    sql: str
    states: str  # of chdb
    counts: dict[str, CountBitmaps]
    bitmaps: dict[str, CombineBitmaps]
    words: CombineWords


@dataclass(frozen=True, slots=True)
class Question:
    """One form over tags."""

    form: Form
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.form.text.format(*self.tags)


class QuestionDraw:
    """Draws questions about one table, of which no two have a common subexpression but tags; by *seed*."""

    def __init__(self, seed: int = 0) -> None:
        self.chance = random.Random(15 + seed)
        self.seen: set[tuple[str, frozenset[str]]] = set()

    def iter_questions(self, form: Form, tags: tuple[str, ...]) -> Iterator[Question]:
        """Iterate over questions of *form*: few of few tags, so that other forms have some pairs left."""
        if len(tags) < form.operand_count:
            return
        failures, left = 0, math.comb(len(tags), 2) // PAIR_SHARE
        while left and failures < MAX_DRAWS:
            drawn = tuple(self.chance.sample(tags, form.operand_count))
            joined = {(operator, frozenset(drawn[number] for number in numbers)) for operator, numbers in form.joins}
            if self.seen.isdisjoint(joined):
                self.seen |= joined
                failures, left = 0, left - 1
                yield Question(form, drawn)
            else:
                failures += 1


def _and2_words(operands: list[Words], buffers: list[Words]) -> Words:
    return np.bitwise_and(operands[0], operands[1], out=buffers[0])


def _flag_words(operands: list[Words], buffers: list[Words]) -> Words:
    a, b, c, d = operands
    found, inverted = buffers[:2]
    np.bitwise_or(b, c, out=found)
    found &= a
    np.invert(d, out=inverted)
    found &= inverted
    return found


def _nest_words(operands: list[Words], buffers: list[Words]) -> Words:
    a, b, c, d, e, f = operands
    left, right, inverted = buffers[:3]
    np.bitwise_or(a, b, out=left)
    np.invert(c, out=inverted)
    left &= inverted
    np.bitwise_or(e, f, out=right)
    np.invert(right, out=right)
    right &= d
    left |= right
    return left


def _or_words(operands: list[Words], buffers: list[Words]) -> Words:
    found = np.bitwise_or(operands[0], operands[1], out=buffers[0])
    for operand in operands[2:]:
        found |= operand
    return found


def _two_words(operands: list[Words], buffers: list[Words]) -> Words:
    """Return what two or more have: one bit of a counter says that a row was seen once, the other that it was again."""
    once, twice, carried = buffers[:3]
    np.bitwise_and(operands[0], operands[1], out=twice)
    np.bitwise_or(operands[0], operands[1], out=once)
    for operand in operands[2:]:
        np.bitwise_and(once, operand, out=carried)
        twice |= carried
        once |= operand
    return twice


def _flag_in_place(operands: list[BitMap]) -> BitMap:
    a, b, c, d = operands
    found = b | c
    found &= a
    found -= d
    return found


def _count_flag_in_place(operands: list[BitMap]) -> int:
    a, b, c, d = operands
    found = b | c
    found &= a
    return found.difference_cardinality(d)


def _count_flag(operands: list[BitMap]) -> int:
    a, b, c, d = operands
    return (a & (b | c)).difference_cardinality(d)


def _count_flag_difference_first(operands: list[BitMap]) -> int:
    a, b, c, d = operands
    return (a - d).intersection_cardinality(b | c)


def _nest_in_place(operands: list[BitMap]) -> BitMap:
    a, b, c, d, e, f = operands
    left = a | b
    left -= c
    left |= d - (e | f)
    return left


def _nest(operands: list[BitMap]) -> BitMap:
    a, b, c, d, e, f = operands
    return (a | b) - c | (d - e - f)


def _count_nest_in_place(operands: list[BitMap]) -> int:
    a, b, c, d, e, f = operands
    left = a | b
    left -= c
    right = d - e
    right -= f
    return left.union_cardinality(right)


def _count_nest(operands: list[BitMap]) -> int:
    a, b, c, d, e, f = operands
    return ((a | b) - c).union_cardinality(d - (e | f))


def _count_nest_one_by_one(operands: list[BitMap]) -> int:
    a, b, c, d, e, f = operands
    return ((a | b) - c).union_cardinality(d - e - f)


def _union_in_place(operands: list[BitMap]) -> BitMap:
    found = operands[0] | operands[1]
    for operand in operands[2:]:
        found |= operand
    return found


def _union_many(operands: list[BitMap]) -> BitMap:
    return BitMap.union(*operands)


def _count_union_last(operands: list[BitMap]) -> int:
    return BitMap.union(*operands[:-1]).union_cardinality(operands[-1])


def _two_in_place(operands: list[BitMap]) -> BitMap:
    once, twice = operands[0] | operands[1], operands[0] & operands[1]
    for operand in operands[2:-1]:
        twice |= once & operand
        once |= operand
    twice |= once & operands[-1]
    return twice


def _two_many(operands: list[BitMap]) -> BitMap:
    """Unite the intersections of each with the union of those before it."""
    once, both = operands[0], []
    for operand in operands[1:]:
        both.append(once & operand)
        once = once | operand
    return BitMap.union(*both)


def _make_union(count: int) -> Form:
    every = range(count)
    return Form(
        f"or{count}",
        count,
        (("OR", tuple(every)),),
        " OR ".join(f"{{{number}}}" for number in every),
        lambda columns: pl.any_horizontal(columns),
        " OR ".join(f"{{{number}}}" for number in every),
        reduce(lambda left, number: f"bitmapOr({left}, {{{number}}})", every[1:], "{0}"),
        {
            "in place": lambda operands: len(_union_in_place(operands)),
            "at once": lambda operands: len(_union_many(operands)),
            "at once, last counted": _count_union_last,
        },
        {"in place": _union_in_place, "at once": _union_many},
        _or_words,
    )


def _make_states_of_two(count: int) -> str:
    pairs = (f"bitmapAnd({{{left}}}, {{{right}}})" for right in range(count) for left in range(right))
    return reduce(lambda left, right: f"bitmapOr({left}, {right})", pairs)


def _make_two_of(count: int) -> Form:
    every = range(count)
    return Form(
        f"at least 2 of {count}",
        count,
        (("2 of", tuple(every)),),
        f"at least 2 of ({', '.join(f'{{{number}}}' for number in every)})",
        lambda columns: reduce(add, (column.cast(pl.UInt8) for column in columns)) >= 2,
        " + ".join(f"{{{number}}}::int" for number in every) + " >= 2",
        _make_states_of_two(count),
        {
            "in place": lambda operands: len(_two_in_place(operands)),
            "at once": lambda operands: len(_two_many(operands)),
        },
        {"in place": _two_in_place, "at once": _two_many},
        _two_words,
    )


FORMS = {
    form.name: form
    for form in (
        Form(
            "and2",
            2,
            (("AND", (0, 1)),),
            "{0} AND {1}",
            lambda columns: columns[0] & columns[1],
            "{0} AND {1}",
            "bitmapAnd({0}, {1})",
            {"count": lambda operands: operands[0].intersection_cardinality(operands[1])},
            {"and": lambda operands: operands[0] & operands[1]},
            _and2_words,
        ),
        Form(
            "flag",
            4,
            (("OR", (1, 2)),),
            "{0} AND ({1} OR {2}) AND NOT {3}",
            lambda columns: columns[0] & (columns[1] | columns[2]) & ~columns[3],
            "{0} AND ({1} OR {2}) AND NOT {3}",
            "bitmapAndnot(bitmapAnd({0}, bitmapOr({1}, {2})), {3})",
            {
                "in place": _count_flag_in_place,
                "out of place": _count_flag,
                "difference first": _count_flag_difference_first,
            },
            {
                "in place": _flag_in_place,
                "out of place": lambda operands: (operands[0] & (operands[1] | operands[2])) - operands[3],
            },
            _flag_words,
        ),
        Form(
            "nest",
            6,
            (("OR", (0, 1)), ("OR", (4, 5))),
            "(({0} OR {1}) AND NOT {2}) OR ({3} AND NOT ({4} OR {5}))",
            lambda columns: ((columns[0] | columns[1]) & ~columns[2]) | (columns[3] & ~(columns[4] | columns[5])),
            "(({0} OR {1}) AND NOT {2}) OR ({3} AND NOT ({4} OR {5}))",
            "bitmapOr(bitmapAndnot(bitmapOr({0}, {1}), {2}), bitmapAndnot({3}, bitmapOr({4}, {5})))",
            {"in place": _count_nest_in_place, "out of place": _count_nest, "one by one": _count_nest_one_by_one},
            {"in place": _nest_in_place, "out of place": _nest},
            _nest_words,
        ),
        _make_union(8),
        _make_union(50),
        _make_two_of(8),
    )
}
