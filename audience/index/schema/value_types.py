"""Types of attribute values: how they are parsed and ordered.

A query names a range of ranks in the sorted values: `age < 30` all ranks before 30. Values are stored as strings; each
type has one sort *key* for them. Timestamps are stored in UTC, and the operands of a query are instants in UTC.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any, Protocol, TypeAlias

from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import Role
from audience.language.ast import Anniversary, Between, Compare, Tag, Within
from audience.language.event_atoms import read_number
from audience.language.printer import render
from audience.language.windows import Comparison

SortKey: TypeAlias = Any  # a Decimal, date, datetime or Version; of strings, the string
RankRange: TypeAlias = tuple[int, int]  # half-open
ValueQuery: TypeAlias = Tag | Compare | Within | Between
MAX_STORED_EXPONENT = 60  # stored numbers have fewer digits before and after the point


def _identity(key: SortKey) -> SortKey:
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueType:
    """Type of the values of an attribute.

    Attributes:
        example: Description with an example, for error messages.
        parse: Returns the sort key of a string, or raises ValueError.
        parse_operand: Like *parse*, for the value of a query.
        to_number: Returns a key as the number by which it is bit-sliced.
        from_number: Returns the key of such a number.
        is_ordered: Whether queries may compare values.
        has_days: Whether queries may name a number of days.
        compares_text: Whether two tags are equal only if their strings are. Versions 1.2 and 1.2.0 are different tags
            at every vendor, although neither is less than the other.
    """

    example: str
    parse: Callable[[str], SortKey]
    parse_operand: Callable[[str], SortKey]
    to_number: Callable[[SortKey], Decimal | int] = _identity
    from_number: Callable[[Decimal], SortKey] = _identity
    is_ordered: bool = True
    has_days: bool = False
    compares_text: bool = False

    def accepts(self, text: str) -> bool:
        """Return whether *text* is a value of this type."""
        try:
            self.parse(text)
        except ValueError:
            return False
        return True


def _parse_decimal(text: str) -> Decimal:
    number = read_number(text)
    if number is None:
        raise ValueError(text)
    return number


def _parse_instant(text: str) -> datetime:
    """Parse a timestamp with a zone; return it in UTC, without the zone."""
    timestamp = datetime.fromisoformat(text)
    if timestamp.tzinfo is None:
        raise ValueError(text)
    return timestamp.astimezone(UTC).replace(tzinfo=None)


def _days_since_epoch(key: date) -> int:
    return (key - date(1970, 1, 1)).days


def _day_from_number(number: Decimal) -> date:
    return date(1970, 1, 1) + timedelta(int(number))


def _microseconds_since_epoch(key: datetime) -> int:
    return (key - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _datetime_from_number(number: Decimal) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=int(number))


def _parse_version(text: str) -> SortKey:
    from packaging.version import Version  # takes 5 ms to import

    return Version(text)


STRING = ValueType(example="a string", parse=_identity, parse_operand=_identity, is_ordered=False, compares_text=True)
NUMBER = ValueType(
    example="a number, like 30 or 1.5",
    parse=_parse_decimal,
    parse_operand=_parse_decimal,
)
DATE = ValueType(
    example="a day, like 2020-04-08 or 20200408",
    parse=date.fromisoformat,
    parse_operand=date.fromisoformat,
    to_number=_days_since_epoch,
    from_number=_day_from_number,
    has_days=True,
)
TIME = ValueType(
    example='a day or a timestamp, like 2020-04-08, "2020-04-08T12:30" or "2020-04-08T12:30Z"',
    parse=_parse_instant,
    parse_operand=_parse_instant,
    to_number=_microseconds_since_epoch,
    from_number=_datetime_from_number,
    has_days=True,
)
VERSION = ValueType(
    example="a version, like 1.2.0",
    parse=_parse_version,
    parse_operand=_parse_version,
    compares_text=True,
)

VALUE_TYPES: Mapping[Role, ValueType] = {
    "string": STRING,
    "number": NUMBER,
    "date": DATE,
    "time": TIME,
    "version": VERSION,
}


def value_type_of(role: Role) -> ValueType:
    """Return the type of the values of a column with this role; of tags and ids, strings."""
    return VALUE_TYPES.get(role, STRING)


class StringSequence(Protocol):
    """Strings that are looked up by their index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...


class SortedValues(Protocol):
    """Values of an attribute in ascending order."""

    @property
    def value_type(self) -> ValueType:
        """Return the type of the values."""

    @property
    def size(self) -> int:
        """Return the number of values; it may be more than Python's `len` allows."""

    def rank_below(self, key: SortKey) -> int:
        """Return the number of values before *key*."""

    def rank_through(self, key: SortKey) -> int:
        """Return the number of values before or equal to *key*."""

    def key_at(self, rank: int) -> SortKey:
        """Return the key of the value at *rank*."""


def find_rank_range(query: Tag | Compare | Within | Between, sorted_values: SortedValues) -> RankRange:
    """Return the half-open range of ranks in *sorted_values* that *query* matches.

    Raises:
        ExpressionError: The value of *query* is not one of this type.

    >>> find_rank_range(Compare("age", ">=", "20"), SortedStrings(NUMBER, ["18", "20", "40"]))
    (1, 3)
    >>> steps = ArithmeticValues(NUMBER, base=150, step=25, scale=1, size=4)
    >>> find_rank_range(Compare("age", "<", "20"), steps)
    (0, 2)
    >>> dates = SortedStrings(DATE, ["2020-04-05", "2020-04-06", "2020-04-08"])
    >>> find_rank_range(Within("active", 3, "2020-04-08"), dates)
    (1, 3)
    >>> find_rank_range(Between("active", "2020-04-05", "2020-04-08", "<", "<="), dates)
    (1, 3)
    """
    if isinstance(query, Between):
        return _find_range_between(query, sorted_values)
    key = parse_operand(query, sorted_values.value_type)
    match query:
        case Within(days=days):
            first = key - timedelta(days=min(days, key.toordinal()) - 1)
            return sorted_values.rank_below(first), sorted_values.rank_through(key)
        case Compare(operator=operator):
            below, through = sorted_values.rank_below(key), sorted_values.rank_through(key)
            ranges = {
                "<": (0, below),
                "<=": (0, through),
                ">": (through, sorted_values.size),
                ">=": (below, sorted_values.size),
            }
            return ranges[operator]
        case Tag():
            return sorted_values.rank_below(key), sorted_values.rank_through(key)


def find_tag_range(tag: Tag, sorted_values: "SortedValues") -> RankRange:
    """Return the ranks of *tag* in *sorted_values*; the range is empty if it is not one of them.

    Versions 1.2 and 1.2.0 are equal, but two different tags at every vendor.

    >>> find_tag_range(Tag("app", "1.2"), SortedStrings(VERSION, ["1.2", "1.2.0"]))
    (0, 1)

    Raises:
        ExpressionError: The value of *tag* is not one of this type.
    """
    if not isinstance(sorted_values, SortedStrings) or not sorted_values.value_type.compares_text:
        return find_rank_range(tag, sorted_values)
    values = sorted_values.strings
    if not sorted_values.value_type.is_ordered:
        start = bisect_left(values, tag.value)
        return start, start + (start < len(values) and values[start] == tag.value)
    start, stop = find_rank_range(tag, sorted_values)
    same_text = [rank for rank in range(start, stop) if values[rank] == tag.value]
    return (same_text[0], same_text[0] + 1) if same_text else (start, start)


def _find_range_between(query: Between, sorted_values: SortedValues) -> RankRange:
    low, high = parse_bounds(query, sorted_values.value_type)
    first = sorted_values.rank_below(low) if query.low_operator == "<=" else sorted_values.rank_through(low)
    stop = sorted_values.rank_through(high) if query.high_operator == "<=" else sorted_values.rank_below(high)
    return first, max(first, stop)


def find_anniversary_ranges(query: Anniversary, sorted_values: SortedValues) -> list[RankRange]:
    """Return the ranges of ranks of the days in *sorted_values* with the month and day of *query*, one for each year.

    >>> dates = SortedStrings(DATE, ["2020-02-29", "2020-03-01", "2024-02-29"])
    >>> find_anniversary_ranges(Anniversary("birthday", Comparison("=", "02-29")), dates)
    [(0, 1), (2, 3)]
    """
    assert isinstance(query.window, Comparison)
    month, day = map(int, str(query.window.time).split("-"))
    years = range(*year_bounds(sorted_values))
    if sorted_values.size < len(years):  # a day of the year 9999 may mean "never"
        keys = map(sorted_values.key_at, range(sorted_values.size))
        return [(rank, rank + 1) for rank, key in enumerate(keys) if (key.month, key.day) == (month, day)]
    ranges = []
    for year in years:
        try:
            key = date(year, month, day)
        except ValueError:  # 29 February
            continue
        start, stop = sorted_values.rank_below(key), sorted_values.rank_through(key)
        if start < stop:
            ranges.append((start, stop))
    return ranges


def year_bounds(sorted_values: SortedValues) -> RankRange:
    """Return the first year of some days or timestamps, and the year after the last one."""
    if not sorted_values.size:
        return 0, 0
    try:
        last_year = sorted_values.key_at(sorted_values.size - 1).year
    except OverflowError:  # the last of as many numbers as bit slices can hold
        last_year = date.max.year
    return sorted_values.key_at(0).year, last_year + 1


def parse_bounds(query: Between, value_type: ValueType) -> tuple[SortKey, SortKey]:
    """Return the sort keys between which *query* asks for a value.

    Raises:
        ExpressionError: A bound is not a value of this type.
    """
    low, high = (Compare(query.type, "<=", bound, span=query.span) for bound in (query.low, query.high))
    return parse_operand(low, value_type), parse_operand(high, value_type)


def parse_operand(query: Tag | Compare | Within, value_type: ValueType) -> SortKey:
    """Return the sort key of the value in *query*.

    Raises:
        ExpressionError: The value is not one of this type.
    """
    if isinstance(query, Within):
        return _parse_query_day(query, value_type)
    try:
        return value_type.parse_operand(query.value)
    except ValueError:
        message = f"{query.type} is {value_type.example}; {query.value!r:.80} is not"
        hint = _suggest_value(query, value_type)
        raise ExpressionError(Problem("bad-value", message, query.span, hint=hint)) from None


def _suggest_value(query: Tag | Compare | Within, value_type: ValueType) -> str | None:
    from audience.index.schema import value_mistakes  # questions without errors do not need it

    value = query.day if isinstance(query, Within) else query.value
    if value_type.has_days:
        return value_mistakes.suggest_day(query, value)
    if isinstance(query, Within) or not value_type.is_ordered:
        return None
    suggest = value_mistakes.suggest_version if value_type.compares_text else value_mistakes.suggest_number
    return suggest(query, value)


def _parse_query_day(query: Within, value_type: ValueType) -> date:
    if not value_type.has_days:
        message = f"{render(query)!r}: the values of {query.type} are not days"
        raise ExpressionError(Problem("not-days", message, query.span))
    try:
        return date.fromisoformat(query.day)
    except ValueError:
        message, hint = f"{query.day!r} is not {DATE.example}", _suggest_value(query, value_type)
        raise ExpressionError(Problem("bad-value", message, query.span, hint=hint)) from None


@dataclass(frozen=True, slots=True)
class SortedStrings:
    """Sorted strings; a search reads only the few that it compares."""

    value_type: ValueType
    strings: StringSequence

    @property
    def size(self) -> int:
        """Return the number of values."""
        return len(self.strings)

    def rank_below(self, key: SortKey) -> int:
        """Return the number of values before *key*."""
        return bisect_left(self.strings, key, key=self.value_type.parse)

    def rank_through(self, key: SortKey) -> int:
        """Return the number of values before or equal to *key*."""
        return bisect_right(self.strings, key, key=self.value_type.parse)

    def key_at(self, rank: int) -> SortKey:
        """Return the key of the value at *rank*."""
        return self.value_type.parse(self.strings[rank])


@dataclass(frozen=True, slots=True)
class ArithmeticValues:
    """Numbers `(base + step × rank) / 10 ** scale`, for ranks below *size*; days and timestamps count as numbers."""

    value_type: ValueType
    base: int
    step: int
    scale: int
    size: int

    def rank_below(self, key: SortKey) -> int:
        """Return the number of values before *key*."""
        return self._clamp_rank(ceil(self._fractional_rank(key)))

    def rank_through(self, key: SortKey) -> int:
        """Return the number of values before or equal to *key*."""
        return self._clamp_rank(floor(self._fractional_rank(key)) + 1)

    def key_at(self, rank: int) -> SortKey:
        """Return the key of the value at *rank*."""
        return self.value_type.from_number(Decimal(self.base + self.step * rank).scaleb(-self.scale))

    def _fractional_rank(self, key: SortKey) -> Fraction:
        number: Fraction = Fraction(limit_exponent(self.value_type.to_number(key))) * 10**self.scale
        return (number - self.base) / self.step

    def _clamp_rank(self, rank: int) -> int:
        return min(max(rank, 0), self.size)


def limit_exponent(number: Decimal | int) -> Decimal | int:
    """Return *number*, or one with a smaller exponent that compares with all stored numbers as *number* does.

    A fraction with the exponent of 1e999999999 would have a billion digits.
    """
    if not isinstance(number, Decimal) or not number or abs(number.adjusted()) <= MAX_STORED_EXPONENT:
        return number
    exponent = MAX_STORED_EXPONENT if number.adjusted() > 0 else -MAX_STORED_EXPONENT
    return Decimal(1).scaleb(exponent).copy_sign(number)
