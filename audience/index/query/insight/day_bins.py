"""Choose the bins of a histogram of days or moments: hours, days, weeks, months, quarters or years.

Moments are counted by the days of the zone in which the question is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TypeAlias
from zoneinfo import ZoneInfo

from audience.index.query.insight.bins import MAX_ADDED_BINS, Bin, Spread
from audience.index.schema.instant_sets import ALL_INSTANTS, START, STOP, InstantSet, instants_before, subtract
from audience.index.schema.value_types import SortKey
from audience.language.ast import Between, Compare, Expr, Has, Tag
from audience.language.zones import DAY, EPOCH_ORDINAL, count_microseconds, offset_at

MAX_DAY_BINS = 31
YEAR_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
HOUR = timedelta(hours=1)
HOUR_STEPS = (1, 3)

KeyRange: TypeAlias = tuple[SortKey | None, SortKey | None]


@dataclass(frozen=True, slots=True)
class _DayUnit:
    """Unit of days: its days from *floor* of a day up to *follow* of that, and its name."""

    floor: Callable[[date], date]
    follow: Callable[[date], date]
    name: Callable[[date, date], str]


def _years(step: int) -> _DayUnit:
    def floor_year(day: date) -> date:
        return date(max(day.year - day.year % step, 1), 1, 1)

    def name_years(first: date, last: date) -> str:
        return f"{first.year:04}" if step == 1 else f"{first.year:04} to {last.year:04}"

    return _DayUnit(floor_year, lambda day: date(day.year - day.year % step + step, 1, 1), name_years)


def _months(step: int) -> _DayUnit:
    def floor_month(day: date) -> date:
        return date(day.year, day.month - (day.month - 1) % step, 1)

    def follow_month(day: date) -> date:
        months = day.year * 12 + day.month - 1 + step
        return date(months // 12, months % 12 + 1, 1)

    def name_months(first: date, last: date) -> str:
        return f"{first:%Y-%m}" if step == 1 else f"{first:%Y} Q{last.month // step}"

    return _DayUnit(floor_month, follow_month, name_months)


DAY_UNITS = (
    _DayUnit(lambda day: day, lambda day: day + timedelta(1), lambda first, _: first.isoformat()),
    _DayUnit(
        lambda day: date.fromordinal(max(day.toordinal() - day.weekday(), 1)),
        lambda day: day + timedelta(7 - day.weekday()),
        lambda first, last: f"{first} to {last}",
    ),
    _months(1),
    _months(3),
    *map(_years, YEAR_STEPS),
)


def bin_times(name: str, spread: Spread, zone: ZoneInfo) -> list[Bin]:
    """Return the bins of moments, whose sort keys are in UTC: hours if most are in few of them, else days of *zone*."""
    for step in HOUR_STEPS:
        if spread.high - spread.low < step * HOUR * MAX_DAY_BINS:
            return _bin_hours(name, spread, step * HOUR, zone)
    keys = (spread.smallest, spread.low, spread.middle, spread.high, spread.largest)
    return bin_days(name, Spread(*(_day_in_zone(key, zone) for key in keys)), zone)


def _day_in_zone(key: datetime, zone: ZoneInfo) -> date:
    instant = count_microseconds(key)
    ordinal = EPOCH_ORDINAL + (instant + offset_at(instant, zone)) // DAY
    return date.fromordinal(min(max(ordinal, date.min.toordinal()), date.max.toordinal()))


def _bin_hours(name: str, spread: Spread, size: timedelta, zone: ZoneInfo) -> list[Bin]:
    low = spread.smallest if spread.low - spread.smallest <= MAX_ADDED_BINS * size else spread.low
    high = spread.largest if spread.largest - spread.high <= MAX_ADDED_BINS * size else spread.high
    edges: list[datetime | None] = [_floor_hour(low, size, zone)]
    while (last := edges[-1]) is not None and last <= high:
        edges.append(last + size if last <= datetime.max - size else None)
    first, last = edges[0], edges[-1]
    bounds = [*([None] if first is not None and spread.smallest < first else []), *edges]
    if last is not None and spread.largest >= last:
        bounds.append(None)
    return [_bin_of_hours(name, low, high, zone) for low, high in pairwise(bounds)]


def _floor_hour(key: datetime, size: timedelta, zone: ZoneInfo) -> datetime:
    """Return the start of the hours of *zone* that *key*, in UTC, is in."""
    instant, step = count_microseconds(key), size // timedelta(microseconds=1)
    offset = offset_at(instant, zone)
    return _to_datetime(max((instant + offset) // step * step - offset, START))


def _bin_of_hours(name: str, low: datetime | None, high: datetime | None, zone: ZoneInfo) -> Bin:
    start, stop = (None if edge is None else format_moment(edge, zone) for edge in (low, high))
    query: Expr
    match start, stop:
        case None, str(stop):
            label, query = f"before {stop}", Compare(name, "<", stop)
        case str(start), None:
            label, query = f"{start} or later", Compare(name, ">=", start)
        case str(start), str(stop):
            label, query = start, Between(name, start, stop, "<=", "<")
    return Bin(label, start, stop, query, ((low, high),))


def format_moment(key: datetime, zone: ZoneInfo) -> str:
    """Return a moment in UTC as clocks of *zone* show it, with their offset.

    >>> format_moment(datetime(2026, 11, 28, 1), ZoneInfo("Asia/Shanghai"))
    '2026-11-28T09:00+08:00'
    """
    moment = key.replace(tzinfo=UTC)
    try:
        local = moment.astimezone(zone)
    except OverflowError:  # before the year 1 or after 9999 there
        local = moment
    if (local.utcoffset() or timedelta()) % timedelta(minutes=1):  # before zones had whole minutes
        local = moment
    return local.isoformat(timespec="auto" if local.second else "minutes")


def bin_days(name: str, spread: Spread, zone: ZoneInfo | None) -> list[Bin]:
    """Return the bins of days: days, weeks from Monday on, months, quarters or years.

    Args:
        name: Name of the attribute.
        spread: Days of the devices.
        zone: Zone whose days moments are counted by; None if the values are days.

    >>> days = Spread(*map(date.fromisoformat, ("2026-01-05", "2026-01-05", "2026-02-01", "2026-03-01", "2026-03-01")))
    >>> [each.label for each in bin_days("active", days, None)][:2]
    ['2026-01-05 to 2026-01-11', '2026-01-12 to 2026-01-18']
    """
    for unit in DAY_UNITS:
        edges = _list_days(unit, spread.low, spread.high)
        if len(edges) <= MAX_DAY_BINS + 1:
            break
    all_edges = _list_days(unit, spread.smallest, spread.largest)
    if len(all_edges) <= len(edges) + 2 * MAX_ADDED_BINS:
        edges = all_edges
    bounds = [*([None] if spread.smallest < edges[0] else []), *edges]
    if zone is not None and edges[0] == date.min:  # moments may be before it there
        bounds[0] = None
    if edges[-1] is not None and spread.largest >= edges[-1]:
        bounds.append(None)
    return [_bin_of_days(name, unit, low, high, zone) for low, high in pairwise(bounds)]


def _list_days(unit: _DayUnit, low: date, high: date) -> list[date | None]:
    """Return the edges from *low* to after *high*, none after more than are wanted; None after the last year."""
    edges: list[date | None] = [unit.floor(low)]
    while (last := edges[-1]) is not None and last <= high and len(edges) <= MAX_DAY_BINS + 2 * MAX_ADDED_BINS + 1:
        try:
            edges.append(unit.follow(last))
        except (ValueError, OverflowError):
            edges.append(None)
    return edges


def _bin_of_days(name: str, unit: _DayUnit, start: date | None, stop: date | None, zone: ZoneInfo | None) -> Bin:
    last = None if stop is None else stop - timedelta(1)
    query: Expr
    match start, last:
        case None, None:
            label, query = "any", Has(name)
        case None, date():
            label, query = f"before {stop}", Compare(name, "<", f"{stop}")
        case date(), None:
            label, query = f"{start} or later", Compare(name, ">=", f"{start}")
        case date(), date():
            label = unit.name(start, last)
            query = Tag(name, f"{start}") if start == last else Between(name, f"{start}", f"{last}", "<=", "<=")
    first, after = (None if day is None else day.isoformat() for day in (start, stop))
    parts = ((start, stop),) if zone is None else _find_moments(start, stop, zone)
    return Bin(label, first, after, query, parts)


def _find_moments(start: date | None, stop: date | None, zone: ZoneInfo) -> tuple[KeyRange, ...]:
    """Return the ranges of moments of the days from *start* up to *stop*."""
    before: InstantSet = () if start is None else instants_before(f"{start}", zone)
    instants = subtract(ALL_INSTANTS if stop is None else instants_before(f"{stop}", zone), before)
    return tuple((_to_key(first, START), _to_key(after, STOP)) for first, after in instants)


def _to_key(instant: int, end: int) -> datetime | None:
    """Return the sort key of an instant; None at *end*, the first or last of all."""
    return None if instant == end else _to_datetime(instant)


def _to_datetime(instant: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=instant)
