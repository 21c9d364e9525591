"""What the values of an attribute are: how they are written, and how they are ordered.

A query names a stretch of the sorted values: `age < 30` all those before 30, `seen = 2020-04-06` all moments of
that day. Values are kept as text; each kind has one *key* by which its texts are sorted.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from packaging.version import InvalidVersion, Version

from audience.errors import ExpressionError, Problem
from audience.index.columns import Role
from audience.language.expr import Compare, Tag, Within
from audience.language.render import render

Key: TypeAlias = Any  # what one kind of value is sorted by: Decimal, date, datetime or Version
Texts: TypeAlias = Any  # list[str], or a Polars series of texts: what has a length and gives its nth text
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


def stretch(query: Tag | Compare | Within, kind: Role, texts: Texts) -> Stretch:
    """The places of *texts*, sorted by their keys, that *query* means.

    Raises ExpressionError where *query* cannot be put to values of this *kind*.

    >>> stretch(Compare("age", ">=", "20"), "number", ["18", "20", "40"])
    (1, 3)
    >>> stretch(Within("active", 3, "2020-04-08"), "date", ["2020-04-05", "2020-04-06", "2020-04-08"])
    (1, 3)
    """
    keys = _Keys(kind, texts)
    match query:
        case Within(days=days, day=text):
            last = _day(query, kind, text)
            first = last - timedelta(days=min(days, last.toordinal()) - 1)
            return keys.before(first), keys.through(last)
        case Compare(order=order, value=text):
            key = _key(query, kind, text)
            below, through = keys.before(key), keys.through(key)
            bounds = {
                "<": (0, below),
                "<=": (0, through),
                ">": (through, len(texts)),
                ">=": (below, len(texts)),
            }
            return bounds[order]
        case Tag(value=text):
            key = _key(query, kind, text)
            return keys.before(key), keys.through(key)


class _Keys:
    """Finds places among sorted texts; only the few texts that a search looks at are read."""

    def __init__(self, kind: Role, texts: Texts):
        self.texts = texts
        self.kind = kind

    def before(self, key: Key) -> int:
        """How many values lie before *key*."""
        return bisect_left(self.texts, self._first(key), key=self._read)

    def through(self, key: Key) -> int:
        """How many values lie before or at *key*."""
        return bisect_right(self.texts, self._last(key), key=self._read)

    def _read(self, text: str) -> Key:
        return READ[self.kind](text)

    def _first(self, key: Key) -> Key:
        return key if self.kind != "time" or isinstance(key, datetime) else datetime.combine(key, datetime.min.time())

    def _last(self, key: Key) -> Key:
        return key if self.kind != "time" or isinstance(key, datetime) else datetime.combine(key, datetime.max.time())


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
