"""What the values of an attribute are: how they are written, and how they are ordered.

A query names a stretch of the sorted values: `age < 30` all those before 30, `seen = 2020-04-06` all moments of
that day. Values are kept as text; each kind has one *key* by which its texts are sorted.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil, floor
from typing import Any, Protocol, TypeAlias

from packaging.version import InvalidVersion, Version

from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import Role
from audience.language.ast import Compare, Tag, Within
from audience.language.printer import render

Key: TypeAlias = Any  # what one kind of value is sorted by: Decimal, date, datetime or Version
Stretch: TypeAlias = tuple[int, int]  # places of the sorted values, the second not included

WRITTEN = {
    "number": "a number, like 30 or 1.5",
    "date": "a day, like 2020-04-08 or 20200408",
    "time": 'a day or a moment, like 2020-04-08 or "2020-04-08T12:30", without a zone',
    "version": "a version, like 1.2.0",
}


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo:
        raise ValueError(text)
    return moment


READ: dict[str, Callable[[str], Key]] = {
    "number": _number,
    "date": date.fromisoformat,
    "time": _moment,
    "version": Version,
}


def read(kind: Role, text: str) -> Key:
    """The key of *text* as a value of *kind*; ValueError where it is none."""
    try:
        return READ[kind](text)
    except (InvalidOperation, InvalidVersion) as error:
        raise ValueError(text) from error


class Written(Protocol):
    """Texts that are looked up by their places."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> str: ...


class Line(Protocol):
    """The values of an attribute as places in rising order."""

    def __len__(self) -> int: ...

    def before(self, key: Key) -> int:
        """How many places lie before *key*."""

    def through(self, key: Key) -> int:
        """How many places lie before or at *key*."""


def stretch(query: Tag | Compare | Within, kind: Role, line: Line) -> Stretch:
    """The places of *line* that *query* means.

    Raises ExpressionError where *query* cannot be put to values of this *kind*.

    >>> stretch(Compare("age", ">=", "20"), "number", Texts("number", ["18", "20", "40"]))
    (1, 3)
    >>> stretch(Compare("age", "<", "20"), "number", Numbers("number", base=150, step=25, scale=1, size=4))
    (0, 2)
    >>> stretch(Within("active", 3, "2020-04-08"), "date", Texts("date", ["2020-04-05", "2020-04-06", "2020-04-08"]))
    (1, 3)
    """
    match query:
        case Within(days=days, day=text):
            last = _day(query, kind, text)
            first = last - timedelta(days=min(days, last.toordinal()) - 1)
            return line.before(first), line.through(last)
        case Compare(order=order, value=text):
            key = _key(query, kind, text)
            below, through = line.before(key), line.through(key)
            bounds = {
                "<": (0, below),
                "<=": (0, through),
                ">": (through, len(line)),
                ">=": (below, len(line)),
            }
            return bounds[order]
        case Tag(value=text):
            key = _key(query, kind, text)
            return line.before(key), line.through(key)


@dataclass(frozen=True, slots=True)
class Texts:
    """Sorted texts, of which only the few that a search looks at are read."""

    kind: Role
    texts: Written

    def __len__(self) -> int:
        return len(self.texts)

    def before(self, key: Key) -> int:
        return bisect_left(self.texts, _first(self.kind, key), key=READ[self.kind])

    def through(self, key: Key) -> int:
        return bisect_right(self.texts, _last(self.kind, key), key=READ[self.kind])


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers `(base + step × place) / 10 ** scale` of *size* places; days and moments are numbers too."""

    kind: Role
    base: int
    step: int
    scale: int
    size: int

    def __len__(self) -> int:
        return self.size

    def before(self, key: Key) -> int:
        return self._within(ceil(self._place(_first(self.kind, key))))

    def through(self, key: Key) -> int:
        return self._within(floor(self._place(_last(self.kind, key))) + 1)

    def _place(self, key: Key) -> Fraction:
        number: Fraction = Fraction(whole_number(self.kind, key)) * 10**self.scale
        return (number - self.base) / self.step

    def _within(self, place: int) -> int:
        return min(max(place, 0), self.size)


def whole_number(kind: Role, key: Key) -> Decimal | int:
    """The number that stands for *key*: of a day the days since 1970, of a moment the microseconds."""
    match kind:
        case "date":
            return (key - date(1970, 1, 1)).days  # type: ignore[no-any-return]
        case "time":
            return (key - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # type: ignore[no-any-return]
    return key  # type: ignore[no-any-return]


def _first(kind: Role, key: Key) -> Key:
    return datetime.combine(key, datetime.min.time()) if kind == "time" and not isinstance(key, datetime) else key


def _last(kind: Role, key: Key) -> Key:
    return datetime.combine(key, datetime.max.time()) if kind == "time" and not isinstance(key, datetime) else key


def _key(query: Tag | Compare, kind: Role, text: str) -> Key:
    """The key that *query* names; for moments a day is a key too, and means all of its moments."""
    try:
        return date.fromisoformat(text) if kind == "time" and _is_day(text) else read(kind, text)
    except ValueError:
        found = f"{query.type} is {WRITTEN[kind]}; {text!r} is not"
        raise ExpressionError(Problem("bad-value", found, query.span)) from None


def _day(query: Within, kind: Role, text: str) -> date:
    if kind not in ("date", "time"):
        raise ExpressionError(
            Problem("not-days", f"{render(query)!r}: the values of {query.type} are no days", query.span)
        )
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ExpressionError(Problem("bad-value", f"{text!r} is not {WRITTEN['date']}", query.span)) from None


def _is_day(text: str) -> bool:
    return text.isdecimal() or len(text) == len("2020-04-08")
