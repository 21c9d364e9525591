"""Selectors of dates, in both directions.

    expression                         selector
    joined >= "2020-04-08T12:00:00Z"   after that moment, which it includes
    joined <= "2020-04-08T12:00:00Z"   before that moment, likewise
    joined > "2020-04-08T12:00:00Z"    NOT before it, and NOT is_empty
    joined >= 2020-04-08               after "2020-04-08"
    joined < 2020-04-08                NOT after "2020-04-08", and NOT is_empty
    joined within 7 days of DAY        range of seven whole days, whose end is the next midnight
    joined >= 36 hours ago             after 36 hours; before 7 days is joined <= 168 hours ago
    joined within 36 hours             NOT before 36 hours, and before "now"
    anniversary(birthday) = 05-04      equals "05-04", by the precision month_day

A date at Airship is one moment in UTC. Months and years that count from now are references: no page says how long.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from audience.errors import Problem
from audience.language.ast import (
    MAX_WITHIN_DAYS,
    MONTH_DAY,
    Anniversary,
    Between,
    Compare,
    CompareOp,
    Expr,
    Has,
    Not,
    Relative,
    Tag,
    Within,
    all_of,
    and_terms,
)
from audience.language.printer import render
from audience.language.windows import Comparison, RelativeTime
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.relative_times import (
    MINUTES_PER_DAY,
    MINUTES_PER_HOUR,
    counts_from_now,
    find_minutes,
    read_comparison,
    split_range,
)

DATE_OPERATORS: dict[str, CompareOp] = {"after": ">=", "before": "<="}
DAY_PRECISION, MONTH_DAY_PRECISION = "year_month_day", "month_day"
MINUTES_PER_UNIT = {"days": MINUTES_PER_DAY, "hours": MINUTES_PER_HOUR, "minutes": 1}
UNIT_PRECISIONS = ("years", "months", *MINUTES_PER_UNIT)
SIGNS = {None: -1, "past": -1, "future": 1}  # by relative_to
NOW = "now"
DAY_FORMAT = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
MAX_UNITS = 10**9  # ours: more are no number of units that the language has


# Reading. -----------------------------------------------------------------------------------------------------------


def parse_date_comparison(type_: str, operator: str, selector: PayloadCursor) -> Expr | None:
    """Parse before and after a moment, both of which include it; None if only Airship can evaluate it."""
    value, precision = selector["value"], selector["precision"]
    moment = parse_moment(value.value)
    if moment is None:
        _check_date(value)
        return _parse_relative_comparison(type_, DATE_OPERATORS[operator], selector)
    if selector["relative_to"].value is not None or precision.value not in (None, *UNIT_PRECISIONS):
        return None
    if precision.value is not None:
        precision.warn("a precision beside a date has no documented meaning; it is ignored")
    names_day = operator == "after" and DAY_FORMAT.fullmatch(value.string())
    return Compare(type_, DATE_OPERATORS[operator], moment.date().isoformat() if names_day else format_moment(moment))


def _check_date(value: PayloadCursor) -> None:
    """Fail if *value* is a text that is neither a number of units nor `now`."""
    if isinstance(value.value, str) and value.value != NOW and not (value.value.isascii() and value.value.isdecimal()):
        hint = "write it like 2019-07-22T13:17:55, in UTC, or a number of units"
        value.fail("unknown-value", f"expected an ISO 8601 date, found {value.value!r}", hint)


def _parse_relative_comparison(type_: str, operator: CompareOp, selector: PayloadCursor) -> Relative | None:
    """Parse a comparison with a moment that counts from that of sending."""
    value, precision = selector["value"].value, selector["precision"].value
    relative_to = selector["relative_to"].value
    if value == NOW and precision is None and relative_to is None:
        return Relative(type_, Comparison(operator, RelativeTime("now")))
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_UNITS
    if not is_count or precision not in tuple(MINUTES_PER_UNIT) or relative_to not in tuple(SIGNS):
        return None
    return read_comparison(type_, operator, SIGNS[relative_to] * value * MINUTES_PER_UNIT[precision])


def parse_range(type_: str, value: PayloadCursor) -> Within | Between:
    """Parse a range, whose end is not part of it: of whole days, or of moments."""
    bounds = [parse_moment(bound) for bound in value.string().split("/")]
    match bounds:
        case [datetime() as start, datetime() as end] if start < end:
            days = (end - start).days
            if start.time() == end.time() == time.min and days <= MAX_WITHIN_DAYS:
                return Within(type_, days, (end - timedelta(days=1)).date().isoformat())
            return Between(type_, format_moment(start), format_moment(end), "<=", "<")
    value.fail("unknown-value", f"expected two dates, found {value.value!r}", "write it like 2019-03-01/2019-05-11")


def parse_calendar_day(type_: str, value: PayloadCursor, precision: str) -> Expr | None:
    """Parse a day, or a month and day of any year; None if it is none of the calendar."""
    if value.value == NOW:
        value.warn("the day of now is taken to be that of the question; no page says in which time zone it is")
        today = Comparison("=", RelativeTime("today"))
        if precision == DAY_PRECISION:
            return Relative(type_, today)
        value.warn("29 February is taken to count on the 28th of other years, which no page says")
        return Anniversary(type_, today)
    if precision == DAY_PRECISION:
        return Tag(type_, value.value) if is_day(value.value) else None
    is_month_day = isinstance(value.value, str) and MONTH_DAY.fullmatch(value.value)
    return Anniversary(type_, Comparison("=", value.value)) if is_month_day else None


def parse_moment(value: Any) -> datetime | None:
    """Return a date or moment of ISO 8601 in UTC, without a zone; a day begins at midnight. None if it is neither."""
    try:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError):
        return None


def format_moment(moment: datetime) -> str:
    """Return *moment*, which is in UTC, as text of an expression."""
    return f"{moment.isoformat()}Z"


def is_day(value: Any) -> bool:
    """Return whether *value* is a day of the calendar."""
    return isinstance(value, str) and bool(DAY_FORMAT.fullmatch(value)) and parse_moment(value) is not None


# Writing. -----------------------------------------------------------------------------------------------------------


def view_date(compare: Compare) -> Expr:
    """Return a comparison of dates by those that Airship has: `>=` and `<=`, and NOT of them.

    >>> from audience.language.printer import render
    >>> render(view_date(Compare("joined", "<=", "2020-04-08")))
    'has(joined) AND NOT joined >= 2020-04-09'
    """
    operator, value = compare.operator, compare.value
    if is_day(value):
        if operator in (">", "<="):
            value = (date.fromisoformat(value) + timedelta(days=1)).isoformat()
        since = replace(compare, operator=">=", value=value)
        return since if operator in (">", ">=") else all_of([Has(compare.type), Not(since)])
    moment = parse_moment(value)
    assert moment is not None, f"checked by date_problems: {compare!r}"
    compare = replace(compare, value=format_moment(moment))
    if operator in DATE_OPERATORS.values():
        return compare
    return all_of([Has(compare.type), Not(replace(compare, operator="<=" if operator == ">" else ">="))])


def view_range(between: Between) -> Expr:
    """Return a range of dates as Airship expresses it: whole days, moments up to an open end, or two comparisons.

    >>> from audience.language.printer import render
    >>> render(view_range(Between("joined", "2020-04-02", "2020-04-08")))
    'joined within 7 days of 2020-04-08'
    """
    if (days := _count_days(between)) is not None:
        return Within(between.type, days, between.high, span=between.span, written=between.written)
    moments = parse_moment(between.low), parse_moment(between.high)
    has_open_end = (between.low_operator, between.high_operator) == ("<=", "<")
    if has_open_end and _is_ordered(*moments) and not is_day(between.low) and not counts_from_now(between):
        assert moments[0] is not None and moments[1] is not None
        return replace(between, low=format_moment(moments[0]), high=format_moment(moments[1]))
    terms = [term for compare in split_range(between) for term in and_terms(view_date(compare))]
    has_value = any(isinstance(term, Compare) for term in terms)
    return all_of(dict.fromkeys(term for term in terms if not (has_value and isinstance(term, Has))))


def _is_ordered(start: datetime | None, end: datetime | None) -> bool:
    return start is not None and end is not None and start < end


def _count_days(between: Between) -> int | None:
    """Return the number of days of a range of whole days; None if it is not one, or too long."""
    if not is_day(between.low) or not is_day(between.high):
        return None
    first, last = date.fromisoformat(between.low), date.fromisoformat(between.high)
    includes_both = (between.low_operator, between.high_operator) == ("<=", "<=")
    days = (last - first).days + 1
    return days if includes_both and 1 <= days <= MAX_WITHIN_DAYS and last < date.max else None


def emit_date(atom: Compare | Between | Within | Anniversary) -> dict[str, Any]:
    """Return operator and value of the selector of *atom*, which is one that `view_date` or `view_range` returns."""
    match atom:
        case Within(days=days, day=day):
            end = datetime.fromisoformat(day) + timedelta(days=1)
            start = end - timedelta(days=days)
            return {"operator": "range", "value": f"{start.isoformat()}/{end.isoformat()}"}
        case Between(low=low, high=high):
            return {"operator": "range", "value": f"{_drop_zone(low)}/{_drop_zone(high)}"}
        case Anniversary(window=Comparison(time=time)):
            return {"operator": "equals", "value": time, "precision": MONTH_DAY_PRECISION}
        case Compare(operator=operator, value=value):
            minutes = find_minutes(atom)
            bound = {"value": _drop_zone(value)} if minutes is None else _format_minutes(minutes)
            return {"operator": "after" if operator == ">=" else "before", **bound}
    raise AssertionError(f"not a date: {atom!r}")


def _drop_zone(value: str) -> str:
    return value.removesuffix("Z")


def _format_minutes(minutes: int) -> dict[str, Any]:
    if not minutes:
        return {"value": NOW}
    hours, rest = divmod(abs(minutes), MINUTES_PER_HOUR)
    count = {"value": abs(minutes), "precision": "minutes"} if rest else {"value": hours, "precision": "hours"}
    return {**count, "relative_to": "future"} if minutes > 0 else count


# Why a date cannot be written. --------------------------------------------------------------------------------------


def date_problems(compare: Compare) -> Iterator[Problem]:
    """Yield why no selector compares dates as *compare* does."""
    if is_day(compare.value):
        if compare.operator in (">", "<=") and date.fromisoformat(compare.value) == date.max:
            yield Problem("no-ranges", f"{render(compare)!r}: the calendar has no day after it", compare.span)
        return
    moment = parse_moment(compare.value)
    if moment is None:
        message = f"{render(compare)!r}: Airship compares numbers, dates and versions only"
        yield Problem("no-ranges", message, compare.span)
    elif datetime.fromisoformat(compare.value).tzinfo is None:
        message = f"{render(compare)!r}: Airship compares moments of UTC, and this one is of a time zone"
        hint = f'write "{format_moment(moment)}" if it is UTC, or add its offset'
        yield Problem("no-ranges", message, compare.span, hint=hint)


def within_problems(within: Within) -> Iterator[Problem]:
    """Yield why no range has the days of *within*."""
    if not is_day(within.day) or not _has_days_before(within.day, within.days):
        yield Problem("no-ranges", f"{render(within)!r}: Airship has ranges of days of the calendar only", within.span)


def _has_days_before(day: str, days: int) -> bool:
    """Return whether the calendar has *days* days up to *day* and the day after it."""
    return days <= date.fromisoformat(day).toordinal() < date.max.toordinal()
