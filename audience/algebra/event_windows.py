"""Compare windows of events: which contains which, and which end before others begin.

    within 7 days      is inside  within 30 days, within 1 month, after 2 months ago
    within 36 hours    is inside  within 2 days of now; not of days, whose hours depend on the time zone

Ends are compared if both are days, both are moments, or both are counted from today or from now. Months have 28 to 31
days. What is not known is not contained.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeAlias

from audience.language.windows import CLOCK_UNITS, Comparison, Interval, Period, RelativeTime, TimePoint, Window
from audience.language.zones import count_microseconds, parse_time

Scale: TypeAlias = Literal["day", "instant", "today", "now"]

DAYS_OF_MONTH = 28, 31
MICROSECONDS = {"minute": 60 * 10**6, "hour": 3600 * 10**6}
DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "year": 12}


@dataclass(frozen=True, slots=True)
class WindowEnd:
    """First or last day or moment of a window.

    Attributes:
        scale: What it is counted in: days of the calendar, moments, days from today, or moments from now.
        months: Months from today, before the days.
        units: Days or microseconds.
    """

    scale: Scale
    units: int
    months: int = 0

    @property
    def slack(self) -> int:
        """Return how many units an earlier moment may be after a later one: clocks that are put back repeat a day."""
        return 1 if self.scale in ("day", "today") else 0

    def shift(self, units: int) -> "WindowEnd":
        """Return the end so many days or microseconds later."""
        return replace(self, units=self.units + units)

    def is_at_most(self, other: "WindowEnd") -> bool:
        """Return whether this end is surely not after *other*."""
        if self.scale != other.scale:
            return False
        months = other.months - self.months
        shortest, longest = DAYS_OF_MONTH
        return self.units <= other.units + months * (shortest if months > 0 else longest)


@dataclass(frozen=True, slots=True)
class WindowRange:
    """Ends of a window, both included; None is without bound."""

    low: WindowEnd | None
    high: WindowEnd | None

    def contains(self, other: "WindowRange") -> bool:
        """Return whether every moment of *other* is surely in this range."""
        reaches_down = self.low is None or (other.low is not None and self.low.is_at_most(other.low))
        return reaches_down and (self.high is None or (other.high is not None and other.high.is_at_most(self.high)))

    def is_before(self, other: "WindowRange") -> bool:
        """Return whether this range surely ends before *other* begins."""
        return self.high is not None and other.low is not None and self.high.shift(1).is_at_most(other.low)

    def passes(self, other: "WindowRange") -> bool:
        """Return whether each moment of this range surely passes before each moment of *other*."""
        return self.high is not None and replace(self, high=self.high.shift(self.high.slack)).is_before(other)

    def has_passed_with(self, other: "WindowRange") -> bool:
        """Return whether a moment before one of *other* is surely in this range, which is without a low end."""
        if self.high is None or other.high is None:
            return self.high is None
        return other.high.shift(other.high.slack).is_at_most(self.high)

    def begins_with(self, other: "WindowRange") -> bool:
        """Return whether a moment after one of *other* is surely in this range, which is without a high end."""
        if self.low is None or other.low is None:
            return self.low is None
        return self.low.is_at_most(other.low.shift(-other.low.slack))

    def reaches(self, other: "WindowRange") -> bool:
        """Return whether this range and *other* are surely all moments together, this one the earlier."""
        if self.low is not None or other.high is not None:
            return False
        return self.high is None or other.low is None or other.low.is_at_most(self.high.shift(1))


@lru_cache(4_096)
def find_window_range(window: Window | None) -> WindowRange | None:
    """Return the ends of *window*, or None if they are not known; no window is all moments.

    >>> week, month = find_window_range(Period(7, "day")), find_window_range(Period(1, "month"))
    >>> month.contains(week), week.contains(month)
    (True, False)
    """
    match window:
        case None:
            return WindowRange(None, None)
        case Comparison(operator=operator, time=time):
            end = _find_end(time)
            return None if end is None else _compare_with(operator, end)
        case Interval(first=first, last=last):
            low, high = _find_end(first), _find_end(last)
            return None if low is None or high is None else WindowRange(low, high)
        case Period():
            return _find_period(window)


def contains_window(outer: Window | None, inner: Window | None) -> bool:
    """Return whether every moment of *inner* is surely in *outer*."""
    if outer is None or outer == inner:
        return True
    outer_range, inner_range = find_window_range(outer), find_window_range(inner)
    return outer_range is not None and inner_range is not None and outer_range.contains(inner_range)


def _compare_with(operator: str, end: WindowEnd) -> WindowRange:
    match operator:
        case "<":
            return WindowRange(None, end.shift(-1))
        case "<=":
            return WindowRange(None, end)
        case ">":
            return WindowRange(end.shift(1), None)
        case ">=":
            return WindowRange(end, None)
    return WindowRange(end, end)


def _find_end(time: TimePoint) -> WindowEnd | None:
    if isinstance(time, RelativeTime):
        if time.anchor == "now":
            return WindowEnd("now", time.amount * MICROSECONDS[time.unit] if time.amount else 0)
        return _shift_days(WindowEnd("today", 0), time.amount, time.unit)
    try:
        read = parse_time(time)
    except ValueError:
        return None
    if not isinstance(read, datetime):
        return WindowEnd("day", read.toordinal())
    if read.tzinfo is None:  # its moment depends on the time zone
        return None
    try:
        return WindowEnd("instant", count_microseconds(read.astimezone(UTC)))
    except OverflowError:
        return None


def _shift_days(end: WindowEnd, amount: int, unit: str) -> WindowEnd | None:
    """Return the day so many units later; the day of a month is known only when months are counted from today."""
    if unit in DAYS:
        return end.shift(amount * DAYS[unit])
    if end != WindowEnd("today", 0):
        return None
    return replace(end, months=amount * MONTHS[unit])


def _find_period(period: Period) -> WindowRange | None:
    is_clock = period.unit in CLOCK_UNITS
    anchor = WindowEnd("now" if is_clock else "today", 0) if period.of is None else _find_end(period.of)
    scales = ("now", "instant") if is_clock else ("today", "day")
    if anchor is None or anchor.scale not in scales:
        return None
    amount = period.amount if period.direction == "next" else -period.amount
    if is_clock:
        other: WindowEnd | None = anchor.shift(amount * MICROSECONDS[period.unit])
    else:
        other = _shift_days(anchor, amount, period.unit)
    if other is None:
        return None
    return WindowRange(anchor, other.shift(-1)) if period.direction == "next" else WindowRange(other.shift(1), anchor)
