"""Types of attribute values: how they are parsed and ordered.

A query names a range of ranks in the sorted values: `age < 30` all ranks before 30, `seen = 2020-04-06` all timestamps
of that day. Values are stored as strings; each type has one sort *key* for them.
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

SortKey: TypeAlias = Any  # what one kind of value is sorted by: Decimal, date, datetime or Version
RankRange: TypeAlias = tuple[int, int]  # places of the sorted values, the second not included

VALUE_EXAMPLES = {
    "number": "a number, like 30 or 1.5",
    "date": "a day, like 2020-04-08 or 20200408",
    "time": 'a day or a moment, like 2020-04-08 or "2020-04-08T12:30", without a zone',
    "version": "a version, like 1.2.0",
}


def _parse_decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _parse_datetime(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo:
        raise ValueError(text)
    return moment


PARSERS: dict[str, Callable[[str], SortKey]] = {
    "number": _parse_decimal,
    "date": date.fromisoformat,
    "time": _parse_datetime,
    "version": Version,
}


def parse_value(role: Role, text: str) -> SortKey:
    """Return the sort key of *text*; raise ValueError if it is not a value of this *role*."""
    try:
        return PARSERS[role](text)
    except (InvalidOperation, InvalidVersion) as error:
        raise ValueError(text) from error


class StringSequence(Protocol):
    """Strings that are looked up by their index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...


class SortedValues(Protocol):
    """Values of an attribute in ascending order."""

    def __len__(self) -> int: ...

    def rank_below(self, key: SortKey) -> int:
        """Return the number of values before *key*."""

    def rank_through(self, key: SortKey) -> int:
        """Return the number of values before or equal to *key*."""


def find_rank_range(query: Tag | Compare | Within, role: Role, sorted_values: SortedValues) -> RankRange:
    """Return the half-open range of ranks in *sorted_values* that *query* matches.

    Raises:
        ExpressionError: The value of *query* is not one of this *role*.

    >>> find_rank_range(Compare("age", ">=", "20"), "number", SortedStrings("number", ["18", "20", "40"]))
    (1, 3)
    >>> steps = ArithmeticValues("number", base=150, step=25, scale=1, size=4)
    >>> find_rank_range(Compare("age", "<", "20"), "number", steps)
    (0, 2)
    >>> dates = SortedStrings("date", ["2020-04-05", "2020-04-06", "2020-04-08"])
    >>> find_rank_range(Within("active", 3, "2020-04-08"), "date", dates)
    (1, 3)
    """
    key = parse_operand(query, role)
    match query:
        case Within(days=days):
            first = key - timedelta(days=min(days, key.toordinal()) - 1)
            return sorted_values.rank_below(first), sorted_values.rank_through(key)
        case Compare(operator=order):
            below, through = sorted_values.rank_below(key), sorted_values.rank_through(key)
            bounds = {
                "<": (0, below),
                "<=": (0, through),
                ">": (through, len(sorted_values)),
                ">=": (below, len(sorted_values)),
            }
            return bounds[order]
        case Tag():
            return sorted_values.rank_below(key), sorted_values.rank_through(key)


def parse_operand(query: Tag | Compare | Within, role: Role) -> SortKey:
    """Return the sort key of the value in *query*.

    Raises:
        ExpressionError: The value is not one of this *role*.
    """
    if isinstance(query, Within):
        return _parse_query_day(query, role, query.day)
    return _parse_query_key(query, role, query.value)


@dataclass(frozen=True, slots=True)
class SortedStrings:
    """Sorted strings; a search reads only the few that it compares."""

    role: Role
    strings: StringSequence

    def __len__(self) -> int:
        return len(self.strings)

    def rank_below(self, key: SortKey) -> int:
        """Return the number of values before *key*; a day counts from its first timestamp."""
        return bisect_left(self.strings, _start_of_day(self.role, key), key=PARSERS[self.role])

    def rank_through(self, key: SortKey) -> int:
        """Return the number of values before or equal to *key*; a day counts through its last timestamp."""
        return bisect_right(self.strings, _end_of_day(self.role, key), key=PARSERS[self.role])


@dataclass(frozen=True, slots=True)
class ArithmeticValues:
    """Numbers `(base + step × rank) / 10 ** scale`, for ranks below *size*; days and timestamps count as numbers."""

    role: Role
    base: int
    step: int
    scale: int
    size: int

    def __len__(self) -> int:
        return self.size

    def rank_below(self, key: SortKey) -> int:
        """Return the number of values before *key*; a day counts from its first timestamp."""
        return self._clamp_rank(ceil(self._fractional_rank(_start_of_day(self.role, key))))

    def rank_through(self, key: SortKey) -> int:
        """Return the number of values before or equal to *key*; a day counts through its last timestamp."""
        return self._clamp_rank(floor(self._fractional_rank(_end_of_day(self.role, key))) + 1)

    def _fractional_rank(self, key: SortKey) -> Fraction:
        number: Fraction = Fraction(key_to_number(self.role, key)) * 10**self.scale
        return (number - self.base) / self.step

    def _clamp_rank(self, rank: int) -> int:
        return min(max(rank, 0), self.size)


def key_to_number(role: Role, key: SortKey) -> Decimal | int:
    """Return *key* as a number: of a day the days since 1970, of a timestamp the microseconds."""
    match role:
        case "date":
            return (key - date(1970, 1, 1)).days  # type: ignore[no-any-return]
        case "time":
            return (key - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # type: ignore[no-any-return]
    return key  # type: ignore[no-any-return]


def _start_of_day(role: Role, key: SortKey) -> SortKey:
    return datetime.combine(key, datetime.min.time()) if role == "time" and not isinstance(key, datetime) else key


def _end_of_day(role: Role, key: SortKey) -> SortKey:
    return datetime.combine(key, datetime.max.time()) if role == "time" and not isinstance(key, datetime) else key


def _parse_query_key(query: Tag | Compare, role: Role, text: str) -> SortKey:
    """Return the sort key in *query*; a day is also a key for timestamps and covers all of that day."""
    try:
        return date.fromisoformat(text) if role == "time" and _is_date_only(text) else parse_value(role, text)
    except ValueError:
        found = f"{query.type} is {VALUE_EXAMPLES[role]}; {text!r} is not"
        raise ExpressionError(Problem("bad-value", found, query.span)) from None


def _parse_query_day(query: Within, role: Role, text: str) -> date:
    if role not in ("date", "time"):
        raise ExpressionError(
            Problem("not-days", f"{render(query)!r}: the values of {query.type} are no days", query.span)
        )
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ExpressionError(Problem("bad-value", f"{text!r} is not {VALUE_EXAMPLES['date']}", query.span)) from None


def _is_date_only(text: str) -> bool:
    return text.isdecimal() or len(text) == len("2020-04-08")
