"""Conditions of days and moments, as half-open ranges of days or of microseconds since 1970."""

from collections.abc import Iterable
from datetime import date
from typing import TypeAlias
from zoneinfo import ZoneInfo

from audience.index.query.instants import find_instants
from audience.index.query.sql import nodes
from audience.index.query.sql.column_types import SqlColumn
from audience.index.query.sql.nodes import Node, SqlDialect
from audience.index.schema.instant_sets import START, STOP, InstantSet, instants_of
from audience.index.schema.value_types import DATE, ValueQuery
from audience.language.zones import UTC_ZONE, format_instant

DayRange: TypeAlias = tuple[int, int]  # from the first day to the one before the last, as Python counts days
FIRST_DAY, AFTER_LAST_DAY = date.min.toordinal(), date.max.toordinal() + 1
DAY_MICROSECONDS = 86_400_000_000
CLICKHOUSE_DAYS = date(1900, 1, 1).toordinal(), date(2300, 1, 1).toordinal()  # of Date32 and DateTime64


def is_in_days(value: Node, query: ValueQuery, column: SqlColumn, dialect: SqlDialect) -> Node:
    """Return whether *value*, a day of *column*, fits *query*.

    >>> from audience.language.ast import Compare
    >>> query, signup = Compare("signup", "<=", "2026-11-28"), SqlColumn("signup", "date")
    >>> print(nodes.write_sql(is_in_days(nodes.column("signup"), query, signup, "duckdb"), "duckdb"))
    "signup" <= CAST('2026-11-28' AS DATE)
    """
    ranges = [_to_days(instants) for instants in find_instants(query, UTC_ZONE)]
    return nodes.disjunction([_is_in_day_range(value, first, stop, column, dialect) for first, stop in ranges])


def is_in_instants(value: Node, instants: InstantSet, column: SqlColumn, dialect: SqlDialect) -> Node:
    """Return whether *value*, a moment of *column*, is one of *instants*."""
    ranges = [_is_in_range(value, start, stop, column, dialect) for start, stop in instants]
    return nodes.disjunction(ranges)


def is_anniversary(value: Node, month_day: str, column: SqlColumn, dialect: SqlDialect) -> Node:
    """Return whether *value*, a day of *column*, has this month and day."""
    if column.type == "text":
        month_day_text = nodes.call("SUBSTR", _compact(value, dialect), nodes.number("5"), nodes.number("4"))
        return nodes.compare(month_day_text, "=", nodes.string(month_day.replace("-", ""), dialect))
    month, day = (str(int(part)) for part in month_day.split("-"))
    is_month = nodes.compare(nodes.extract("MONTH", value), "=", nodes.number(month))
    return nodes.conjunction([is_month, nodes.compare(nodes.extract("DAY", value), "=", nodes.number(day))])


def anniversary_instants(month_day: str, years: Iterable[int], zone: ZoneInfo) -> InstantSet:
    """Return all instants of the day of each of *years*."""
    days = [f"{year:04}-{month_day}" for year in years]
    return tuple(instant for day in days if DATE.accepts(day) for instant in instants_of(day, zone))


def _to_days(instants: tuple[int, int]) -> DayRange:
    epoch = date(1970, 1, 1).toordinal()
    start, stop = (instant // DAY_MICROSECONDS + epoch for instant in instants)
    return start, stop


def _is_in_day_range(value: Node, first: int, stop: int, column: SqlColumn, dialect: SqlDialect) -> Node:
    least, end = CLICKHOUSE_DAYS if dialect == "clickhouse" and column.type != "text" else (FIRST_DAY, AFTER_LAST_DAY)
    first, stop = max(first, least), min(stop, end)
    if first >= stop:
        return nodes.constant(False)
    if (first, stop) == (least, end):
        return nodes.is_present(value)
    read = _compact(value, dialect) if column.type == "text" else value
    if stop == first + 1:
        return nodes.compare(read, "=", _day(first, column, dialect))
    after = [] if first == least else [nodes.compare(read, ">=", _day(first, column, dialect))]
    before = [] if stop == end else [nodes.compare(read, "<=", _day(stop - 1, column, dialect))]
    return nodes.conjunction([*after, *before])


def _day(ordinal: int, column: SqlColumn, dialect: SqlDialect) -> Node:
    day = date.fromordinal(ordinal).isoformat()
    if column.type == "text":
        return nodes.string(day.replace("-", ""), dialect)
    text = nodes.string(day, dialect)
    return nodes.call("toDate32", text) if dialect == "clickhouse" else nodes.cast(text, "DATE", dialect)


def _compact(value: Node, dialect: SqlDialect) -> Node:
    """Return a day that is written with hyphens or without as its eight digits, in the order of their bytes."""
    compact = nodes.call("REPLACE", value, nodes.string("-", dialect), nodes.string("", dialect))
    return nodes.in_byte_order(compact) if dialect == "postgres" else compact


def _is_in_range(value: Node, start: int, stop: int, column: SqlColumn, dialect: SqlDialect) -> Node:
    least, end = _range_of_moments(dialect)
    start, stop = max(start, least), min(stop, end)
    if start >= stop:
        return nodes.constant(False)
    if (start, stop) == (least, end):
        return nodes.is_present(value)
    read = _read_moment(value, column, dialect)
    after = [] if start == least else [nodes.compare(read, ">=", _moment(start, column, dialect))]
    before = [] if stop == end else [nodes.compare(read, "<", _moment(stop, column, dialect))]
    return nodes.conjunction([*after, *before])


def _range_of_moments(dialect: SqlDialect) -> tuple[int, int]:
    if dialect != "clickhouse":
        return START, STOP
    epoch = date(1970, 1, 1).toordinal()
    first, stop = ((day - epoch) * DAY_MICROSECONDS for day in CLICKHOUSE_DAYS)
    return first, stop


def _read_moment(value: Node, column: SqlColumn, dialect: SqlDialect) -> Node:
    """Return *value*, or its microseconds since 1970, whether it has a zone or is in UTC, if its type is not known."""
    if dialect == "clickhouse" or column.type != "unknown":
        return value
    return nodes.call("EPOCH_US", value) if dialect == "duckdb" else nodes.extract("EPOCH", value)


def _moment(instant: int, column: SqlColumn, dialect: SqlDialect) -> Node:
    if dialect == "clickhouse":
        return nodes.call("fromUnixTimestamp64Micro", nodes.number(str(instant)), nodes.string("UTC", dialect))
    if column.type == "unknown":
        return nodes.number(str(instant) if dialect == "duckdb" else _to_seconds(instant))
    text = format_instant(instant).removesuffix("Z").replace("T", " ")
    if column.type == "timestamp":
        return nodes.cast(nodes.string(text, dialect), "TIMESTAMP", dialect)
    return nodes.cast(nodes.string(f"{text}+00", dialect), "TIMESTAMPTZ", dialect)


def _to_seconds(instant: int) -> str:
    seconds, microseconds = divmod(abs(instant), 1_000_000)
    return f"{'-' if instant < 0 else ''}{seconds}" + (f".{microseconds:06}" if microseconds else "")
