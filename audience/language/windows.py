"""Days and moments relative to the question, and windows between them."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from audience.errors import ExpressionError, Problem
from audience.language.validation import require_nonempty, type_error

TimeUnit: TypeAlias = Literal["minute", "hour", "day", "week", "month", "year"]
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)
CLOCK_UNITS: tuple[TimeUnit, ...] = ("minute", "hour")  # counted from a moment; the others are counted from a day
Anchor: TypeAlias = Literal["today", "now"]
Direction: TypeAlias = Literal["past", "next"]
WindowOp: TypeAlias = Literal["=", "<", "<=", ">", ">="]
WINDOW_OPS: tuple[WindowOp, ...] = get_args(WindowOp)
MAX_AMOUNT = 99_999


@dataclass(frozen=True, slots=True)
class RelativeTime:
    """Day or moment that depends on when the question is asked.

    Args:
        anchor: `today` is a day, `now` is a moment.
        amount: Number of units after the anchor; negative before it.
        unit: Minutes and hours count from `now`; days, weeks, months and years count from `today`. No units are days.

    >>> RelativeTime("today", -7)
    RelativeTime(anchor='today', amount=-7, unit='day')
    """

    anchor: Anchor
    amount: int = 0
    unit: TimeUnit = "day"

    def __post_init__(self) -> None:
        if self.anchor not in get_args(Anchor):
            raise type_error("anchor of a relative time", "today or now", self.anchor)
        _require_amount(self.amount, -MAX_AMOUNT)
        _require_unit(self.unit)
        if not self.amount:
            object.__setattr__(self, "unit", "day")  # no weeks and no hours are one text, and so one node
        elif (self.unit in CLOCK_UNITS) != (self.anchor == "now"):
            other = "now" if self.unit in CLOCK_UNITS else "today"
            message = f"{self.unit}s cannot be counted from {self.anchor}"
            raise ExpressionError(Problem("bad-time", message, hint=f"count {self.unit}s from {other}"))

    def __str__(self) -> str:
        if not self.amount:
            return self.anchor
        if self.unit == "day" and abs(self.amount) == 1:
            return "tomorrow" if self.amount > 0 else "yesterday"
        duration = format_duration(abs(self.amount), self.unit)
        return f"{self.anchor} + {duration}" if self.amount > 0 else f"{duration} ago"


TimePoint: TypeAlias = str | RelativeTime


@dataclass(frozen=True, slots=True)
class Comparison:
    """Times on the *operator* side of *time*."""

    operator: WindowOp
    time: TimePoint

    def __post_init__(self) -> None:
        if self.operator not in WINDOW_OPS:
            hint = f"use {' '.join(WINDOW_OPS)}"
            raise ExpressionError(Problem("unknown-order", f"unknown operator {self.operator!r}", hint=hint))
        _require_time(self.time)


@dataclass(frozen=True, slots=True)
class Interval:
    """Times from *first* to *last*, both included; a day is included as a whole."""

    first: TimePoint
    last: TimePoint

    def __post_init__(self) -> None:
        _require_time(self.first)
        _require_time(self.last)


@dataclass(frozen=True, slots=True)
class Period:
    """Number of units before or after a day or moment.

    The past 7 days are those that end with the day *of*, the next 7 days are those that start with it.

    Args:
        amount: Number of units, from 1.
        unit: Unit.
        direction: `past` or `next`.
        of: Day or moment at which the period ends or starts; None is today for days, weeks, months and years, and now
            for minutes and hours.
    """

    amount: int
    unit: TimeUnit
    direction: Direction = "past"
    of: TimePoint | None = None

    def __post_init__(self) -> None:
        _require_amount(self.amount, 1)
        _require_unit(self.unit)
        if self.direction not in get_args(Direction):
            raise type_error("direction of a period", "past or next", self.direction)
        if self.of is not None:
            _require_time(self.of)


Window: TypeAlias = Comparison | Interval | Period


def window_times(window: Window) -> list[TimePoint]:
    """Return the days and moments that *window* names.

    >>> window_times(Interval("2026-11-01", RelativeTime("today")))
    ['2026-11-01', RelativeTime(anchor='today', amount=0, unit='day')]
    """
    match window:
        case Comparison(time=time):
            return [time]
        case Interval(first=first, last=last):
            return [first, last]
        case Period(of=of):
            return [] if of is None else [of]


def is_clock_window(window: Window) -> bool:
    """Return whether *window* counts hours or minutes, or names a moment that is relative to the question.

    >>> is_clock_window(Period(36, "hour")), is_clock_window(Comparison("<", RelativeTime("today")))
    (True, False)
    """
    moments = [time for time in window_times(window) if isinstance(time, RelativeTime) and time.anchor == "now"]
    return bool(moments) or (isinstance(window, Period) and window.unit in CLOCK_UNITS)


def format_duration(amount: int, unit: TimeUnit) -> str:
    """Return a number of units in words.

    >>> format_duration(1, "day"), format_duration(36, "hour")
    ('1 day', '36 hours')
    """
    return f"{amount} {unit}{'' if amount == 1 else 's'}"


def _require_amount(amount: int, least: int) -> None:
    if not isinstance(amount, int) or isinstance(amount, bool) or not least <= amount <= MAX_AMOUNT:
        hint = f"use 1 to {MAX_AMOUNT}"
        raise ExpressionError(Problem("bad-days", f"invalid number of days {amount!r:.60}", hint=hint))


def _require_unit(unit: TimeUnit) -> None:
    if unit not in TIME_UNITS:
        raise type_error("unit of time", f"one of {', '.join(TIME_UNITS)}", unit)


def _require_time(time: TimePoint) -> None:
    if not isinstance(time, RelativeTime):
        require_nonempty("day", time, None)
