"""Times that a vendor counts from the moment of sending: read as relative ones, and found again in bound atoms.

    last_session < 24 hours_ago      Relative("last_session", Period(24, "hour"))
    bound                            Between(…, written=that): the moments of the question, and how they were written

A vendor's days are 24 hours from the moment of sending; our `within 7 days` is seven days of the calendar.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from audience.errors import Problem
from audience.language.ast import Atom, Between, Compare, Expr, Relative, atoms
from audience.language.windows import (
    MAX_AMOUNT,
    Comparison,
    Direction,
    Interval,
    Period,
    RelativeTime,
    TimePoint,
    TimeUnit,
    WindowOp,
)

BOUND_TIME = "bound-time"  # code of the assumption that relative times are those of the question
NOW = RelativeTime("now")
MINUTES_PER_HOUR = 60
MINUTES_PER_DAY = 24 * MINUTES_PER_HOUR


def read_period(type_: str, minutes: int, direction: Direction = "past") -> Relative | None:
    """Return the devices with a moment in a number of minutes before or after now; None if the language has no such.

    >>> read_period("last_session", 66), read_period("last_session", 0)
    (Relative(type='last_session', window=Period(amount=66, unit='minute', direction='past', of=None)), None)
    """
    if minutes < 1 or (duration := _shorten(minutes)) is None:
        return None
    return Relative(type_, Period(*duration, direction))


def read_comparison(type_: str, operator: WindowOp, minutes: int) -> Relative | None:
    """Return the devices with a moment on the *operator* side of a number of minutes after now, or before if negative.

    >>> read_comparison("last_session", "<", -2_880).window.time
    RelativeTime(anchor='now', amount=-48, unit='hour')
    """
    if (duration := _shorten(abs(minutes))) is None:
        return None
    amount, unit = duration
    time = RelativeTime("now", amount if minutes > 0 else -amount, unit) if minutes else NOW
    return Relative(type_, Comparison(operator, time))


def _shorten(minutes: int) -> tuple[int, TimeUnit] | None:
    """Return *minutes* as hours if they are whole ones; None if there are too many."""
    hours, rest = divmod(minutes, MINUTES_PER_HOUR)
    if (minutes if rest else hours) > MAX_AMOUNT:
        return None
    return (minutes, "minute") if rest else (hours, "hour")


def find_minutes(compare: Compare) -> int | None:
    """Return the minutes from now to the bound of a comparison that was written relative to now, or None."""
    match compare.written:
        case Relative(window=Comparison(time=RelativeTime() as time)):
            return _count_minutes(time)
    return None


def find_minute_range(between: Between) -> tuple[int, int] | None:
    """Return the minutes from now to both ends of a range that was written relative to now, or None.

    >>> window = Period(36, "hour")
    >>> low, high = "2026-11-27T00:00:00Z", "2026-11-28T12:00:00Z"
    >>> find_minute_range(Between("seen", low, high, "<", "<=", written=Relative("seen", window)))
    (-2160, 0)
    """
    match between.written:
        case Relative(window=Period(amount, "minute" | "hour" as unit, direction, of)) if of in (None, NOW):
            minutes = amount * (MINUTES_PER_HOUR if unit == "hour" else 1)
            return (-minutes, 0) if direction == "past" else (0, minutes)
        case Relative(window=Interval(first=first, last=last)):
            ends = _count_minutes(first), _count_minutes(last)
            return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])
    return None


def _count_minutes(time: TimePoint) -> int | None:
    if not isinstance(time, RelativeTime) or time.anchor != "now":
        return None
    return time.amount * (MINUTES_PER_HOUR if time.unit == "hour" else 1)


def counts_from_now(atom: Atom) -> bool:
    """Return whether *atom* was bound from hours or minutes that count from now."""
    match atom:
        case Compare():
            return find_minutes(atom) is not None
        case Between():
            return find_minute_range(atom) is not None
    return False


def is_past_period(between: Between) -> bool:
    """Return whether a range was written as a number of hours or minutes up to now."""
    minutes = find_minute_range(between)
    return minutes is not None and minutes[1] == 0 and (between.low_operator, between.high_operator) == ("<", "<=")


def split_range(between: Between) -> tuple[Compare, Compare]:
    """Return the comparisons of both ends of a range, which one value must fulfil.

    >>> [f"{compare.operator} {compare.value}" for compare in split_range(Between("age", "18", "25", "<"))]
    ['> 18', '<= 25']
    """
    low = Compare(between.type, ">" if between.low_operator == "<" else ">=", between.low, span=between.span)
    high = Compare(between.type, between.high_operator, between.high, span=between.span)
    if (minutes := find_minute_range(between)) is None:
        return low, high
    return _write_back(low, minutes[0]), _write_back(high, minutes[1])


def _write_back(compare: Compare, minutes: int) -> Compare:
    """Return *compare* as one that was written as a number of minutes from now."""
    return replace(compare, written=read_comparison(compare.type, compare.operator, minutes))


def assume_times(expr: Expr, title: str, rolls: Callable[[Atom], bool] = lambda atom: False) -> Iterator[Problem]:
    """Yield when the relative times of *expr* are evaluated: by the vendor where it *rolls*, else by the question."""
    written = [atom for atom in atoms(expr) if getattr(atom, "written", None) is not None]
    if any(map(rolls, written)):
        message = f"hours and minutes are counted by {title} when it sends: later than here, if that is scheduled"
        yield Problem("rolling-time", message)
    if not all(map(rolls, written)):
        message = "days and moments are those of the question, also if the message is sent later or repeated"
        yield Problem(BOUND_TIME, message)
