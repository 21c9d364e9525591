"""Windows of events as instants in UTC, and the stored days that they cover as a whole or in part.

Events are kept by days of the index's zone. A window of whole days there is answered from the devices of each day; for
hours, instants and days of another zone, the moments of the events on the days at its edges are compared.
"""

#   days of the index's zone   │  27 Nov  │  28 Nov  │  29 Nov  │
#   36 hours                        ├────────────────┤
#                                part of it   whole       none

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from audience.errors import ExpressionError, Problem
from audience.index.schema.instant_sets import (
    ALL_INSTANTS,
    START,
    STOP,
    InstantSet,
    complement,
    instants_before,
    instants_of,
    instants_of_days,
    instants_through,
    intersect,
    subtract,
)
from audience.language.windows import Comparison, Interval, Period, Window
from audience.language.zones import DAY, EPOCH_ORDINAL, LocalTimeError, format_instant, offset_at
from audience.lazy_imports import np
from audience.span import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_KEPT_DAYS = 1 << 16
FAR_DAYS = 2  # from the day of an instant in UTC; its day in any zone is nearer


@dataclass(frozen=True, slots=True)
class InstantWindow(Interval):
    """Window of events as it is evaluated: the range from its first to its last instant, restricted to *instants*.

    The restriction matters only for a day that clocks of the zone begin twice: it is interrupted by another day.
    """

    instants: InstantSet = ALL_INSTANTS

    @classmethod
    def of(cls, instants: InstantSet) -> InstantWindow:
        """Return the window of *instants*.

        >>> InstantWindow.of(((0, 1_000_000),))
        InstantWindow(first='1970-01-01T00:00:00Z', last='1970-01-01T00:00:00.999999Z', instants=((0, 1000000),))
        """
        first, stop = (instants[0][0], instants[-1][1]) if instants else (STOP - 1, START + 1)
        return cls(format_instant(first), format_instant(stop - 1), instants)


@dataclass(frozen=True, slots=True)
class CoveredDays:
    """Days of a segment that a window covers.

    Attributes:
        whole: Positions of the days that are in the window from their first to their last instant.
        parts: Positions of the other days, each with its instants in the window.
    """

    whole: Sequence[int]
    parts: Sequence[tuple[int, InstantSet]]


def find_window_instants(window: Window, zone: ZoneInfo, span: Span | None = None) -> InstantSet:
    """Return the instants in *window*, which is absolute, with days of *zone*.

    Args:
        window: Window.
        zone: Time zone of days and of timestamps without an offset.
        span: Place of the window in its text.

    Raises:
        ExpressionError: A time is none, clocks of the zone show it twice or never, or the last time is before the
            first.

    >>> find_window_instants(Period(1, "day", of="1970-01-02"), ZoneInfo("UTC"))
    ((86400000000, 172800000000),)
    """
    if isinstance(window, InstantWindow):
        return window.instants
    try:
        instants = _find_instants(window, zone)
        if isinstance(window, Interval):
            _require_order(window, zone, span)
        return instants
    except LocalTimeError as error:
        raise ExpressionError(Problem("ambiguous-time", error.message, span, hint=error.hint)) from None
    except (ValueError, OverflowError):
        written = " and ".join(repr(time)[:80] for time in _list_times(window))
        hint = 'write a day like 2026-11-28, or a moment like "2026-11-28T09:00+08:00"'
        raise ExpressionError(Problem("bad-time", f"{written}: expected days or moments", span, hint=hint)) from None


def _require_order(interval: Interval, zone: ZoneInfo, span: Span | None) -> None:
    """Require that the last time of *interval* is not before its first one."""
    if not intersect(
        complement(instants_before(str(interval.first), zone)), instants_through(str(interval.last), zone)
    ):
        message, hint = f"{interval.first} is after {interval.last}", "write the earlier time first"
        raise ExpressionError(Problem("bad-time", message, span, hint=hint))


def _list_times(window: Window) -> list[object]:
    match window:
        case Comparison(time=time):
            return [time]
        case Interval(first=first, last=last):
            return [first, last]
    return [window.of]


def _find_instants(window: Window, zone: ZoneInfo) -> InstantSet:
    match window:
        case Comparison("=", str(time)):
            return instants_of(time, zone)
        case Comparison("<", str(time)):
            return instants_before(time, zone)
        case Comparison("<=", str(time)):
            return instants_through(time, zone)
        case Comparison(">=", str(time)):
            return complement(instants_before(time, zone))
        case Comparison(">", str(time)):
            return complement(instants_through(time, zone))
        case Interval(str(first), str(last)):
            return subtract(instants_through(last, zone), instants_before(first, zone))
        case Period(amount, "day" | "week" as unit, direction, str(of)):
            count = amount * (7 if unit == "week" else 1)
            last_day = date.fromisoformat(of) + timedelta(count - 1 if direction == "next" else 0)
            return instants_of_days(count, last_day.isoformat(), zone)
    raise AssertionError(f"{window!r} was not bound")


def find_covered_days(days: NDArray[np.int32], instants: InstantSet | None, zone: ZoneInfo) -> CoveredDays:
    """Return which of *days*, which rise, are in a window as a whole, and which in part.

    Args:
        days: Days since 1970 in *zone*.
        instants: Instants in the window; None is all.
        zone: Time zone of the index.

    >>> find_covered_days(np.array([0, 1, 5], np.int32), ((0, 86_400_000_001),), ZoneInfo("UTC"))
    CoveredDays(whole=[0], parts=[(1, ((86400000000, 86400000001),))])
    """
    if instants is None:
        return CoveredDays(range(len(days)), [])
    whole: list[int] = []
    parts: dict[int, InstantSet] = {}
    for start, stop in instants:
        first_day, last_day = start // DAY, (stop - 1) // DAY
        low = int(np.searchsorted(days, first_day - FAR_DAYS))
        high = int(np.searchsorted(days, last_day + FAR_DAYS, side="right"))
        for position in range(low, high):
            day = int(days[position])
            if first_day + FAR_DAYS <= day <= last_day - FAR_DAYS:
                whole.append(position)
                continue
            of_day = instants_of_day(day, zone)
            inside = intersect(of_day, ((start, stop),))
            if inside == of_day:
                whole.append(position)
            elif inside:
                parts[position] = tuple(sorted((*parts.get(position, ()), *inside)))
    return CoveredDays(whole, list(parts.items()))


@lru_cache(MAX_KEPT_DAYS)
def instants_of_day(day: int, zone: ZoneInfo) -> InstantSet:
    """Return the instants of a day of *zone*, which is given as days since 1970.

    >>> instants_of_day(1, ZoneInfo("UTC"))
    ((86400000000, 172800000000),)
    """
    return instants_of_days(1, to_date(day).isoformat(), zone)


def day_of(instant: int, zone: ZoneInfo) -> int:
    """Return the day in *zone* of microseconds since 1970, as days since 1970.

    >>> day_of(0, ZoneInfo("America/New_York"))
    -1
    """
    return (instant + offset_at(instant, zone)) // DAY


def to_date(day: int) -> date:
    """Return the date of days since 1970.

    >>> to_date(1)
    datetime.date(1970, 1, 2)
    """
    return date.fromordinal(EPOCH_ORDINAL + day)
