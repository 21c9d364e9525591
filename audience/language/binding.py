"""Bind an expression to the moment and the time zone in which it is asked.

    active within 7 days              active within 7 days of 2026-11-28
    last_seen < 36 hours ago          last_seen < "2026-11-27T01:00:00Z"
    anniversary(birthday) = today     anniversary(birthday) = 11-28
    did(purchase) within 2 weeks      did(purchase) within 14 days of 2026-11-28
    last(open) within 36 hours        last(open) from "2026-11-26T21:00:00.000001Z" to "2026-11-28T09:00:00Z"

Days are days of the zone; moments are written in UTC. Nothing relative is left, so that what is counted, planned and
proved is about the same days.
"""

import calendar
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from audience.argument_types import check_arguments
from audience.errors import ExpressionError, Problem
from audience.language.as_of import read_as_of
from audience.language.ast import (
    MONTH_DAY,
    Aggregate,
    Anniversary,
    Atom,
    Between,
    Compare,
    Did,
    EventAtom,
    EventFilter,
    EventMoment,
    Expr,
    Has,
    Relative,
    Tag,
    Within,
    any_of,
    atoms,
    map_atoms,
    map_operands,
    walk,
    walk_operands,
)
from audience.language.parser import to_expr
from audience.language.token_reader import locate_errors
from audience.language.windows import (
    CLOCK_UNITS,
    Comparison,
    Interval,
    Period,
    RelativeTime,
    TimePoint,
    TimeUnit,
    Window,
    window_times,
)
from audience.language.zones import DEFAULT_ZONE, MICROSECOND, LocalTimeError, find_moment
from audience.span import Span

DAYS_OF_LEAP_YEAR = 366


def is_relative(expr: Expr) -> bool:
    """Return whether *expr* depends on when it is asked.

    >>> from audience.language.parser import parse
    >>> is_relative(parse("vip AND signup > today - 7 days")), is_relative(parse("signup > 2026-11-01"))
    (True, False)
    """
    return any(_is_unbound(node) for node in walk_operands(expr))


@check_arguments
def bind(expr: Expr | str, as_of: datetime | str | None = None, tz: ZoneInfo | str = DEFAULT_ZONE) -> Expr:
    """Return *expr* with every relative day and moment replaced by the one that it is at *as_of* in the zone *tz*.

    Args:
        expr: Expression or text. Segments stay as they are.
        as_of: Moment of the question; without an offset it is wall-clock time of the zone. None is now.
        tz: Time zone whose days are meant, or its name.

    Raises:
        ExpressionError: A day is out of the calendar, or hours are counted from a day.

    >>> from audience.language.printer import render
    >>> render(bind("active within 7 days", "2026-11-29T02:00", "Asia/Shanghai"))
    'active within 7 days of 2026-11-29'
    >>> render(bind("signup before 3 months ago", datetime(2026, 11, 28, 18, tzinfo=ZoneInfo("UTC")), "Asia/Shanghai"))
    'signup < 2026-08-29'
    """
    expr = to_expr(expr)
    if not is_relative(expr):
        return expr
    asked = read_as_of(as_of, tz)
    clock = _Clock(asked.moment, asked.moment.astimezone(asked.zone).date(), asked.zone)
    return map_operands(expr, clock.bind_if_relative)


def forget_other_moments(expr: Expr, as_of: datetime, zone: ZoneInfo) -> Expr:
    """Return *expr* in which an atom that was bound at another moment does not know the relative form it came from.

    >>> from audience.language.parser import parse
    >>> utc = ZoneInfo("UTC")
    >>> noon = datetime(2026, 11, 28, 12, tzinfo=utc)
    >>> bound = bind(parse("seen > 36 hours ago"), noon, utc)
    >>> forget_other_moments(bound, noon, utc).written is None
    False
    >>> forget_other_moments(bound, datetime(2026, 11, 29, tzinfo=utc), utc).written is None
    True
    """

    def forget(atom: Atom) -> Atom:
        if not isinstance(atom, Tag | Compare | Between | Within | Anniversary) or atom.written is None:
            return atom
        return atom if atom in atoms(bind(atom.written, as_of, zone)) else replace(atom, written=None)

    return map_operands(expr, forget)


def _is_unbound(node: Expr) -> bool:
    match node:
        case Relative():
            return True
        case Anniversary():
            return not node.is_absolute
        case Did(events=events) | Aggregate(events=events):
            return _are_unbound(events)
        case EventMoment(events=events, window=window):
            return _are_unbound(events) or not _is_absolute(window)
    return False


def _are_unbound(events: EventFilter) -> bool:
    has_unbound_properties = events.where is not None and any(map(_is_unbound, walk(events.where)))
    return has_unbound_properties or not (events.window is None or _is_absolute(events.window))


def _is_absolute(window: Window) -> bool:
    """Return whether a window of events is written as `bind` writes it: a period is of past days, to a day."""
    if isinstance(window, Period) and (window.unit, window.direction) != ("day", "past"):
        return False
    times = window_times(window)
    return bool(times) and all(isinstance(time, str) for time in times)


class _Clock:
    """Day and moment of a question."""

    def __init__(self, now: datetime, today: date, zone: ZoneInfo):
        self.now = now
        self.today = today
        self.zone = zone

    def bind_if_relative(self, atom: Atom) -> Expr:
        """Return *atom* bound, or as it is if nothing in it is relative."""
        if not _is_unbound(atom):
            return atom
        try:
            if isinstance(atom, Anniversary):
                return self._bind_anniversary(atom)
            if isinstance(atom, EventAtom):
                return self._bind_event(atom)
            assert isinstance(atom, Relative)
            return self._bind_relative(atom)
        except OverflowError:
            problem = Problem("out-of-calendar", "the day is outside the years 1 to 9999", atom.span)
            raise ExpressionError(replace(problem, hint="use fewer units")) from None

    def _bind_relative(self, atom: Relative) -> Expr:
        type_, span = atom.type, atom.span
        match atom.window:
            case Comparison("=", time):
                return Tag(type_, self._format(time), span=span, written=atom)
            case Comparison(operator, time):
                assert operator != "="
                return Compare(type_, operator, self._format(time), span=span, written=atom)
            case Interval(first, last):
                return Between(type_, self._format(first), self._format(last), span=span, written=atom)
            case Period(unit=unit) as period if unit in CLOCK_UNITS:
                return self._bind_clock_period(atom, period)
            case Period() as period:
                first_day, last_day = self._find_days(period, span)
                days = (last_day - first_day).days + 1
                return Within(type_, days, last_day.isoformat(), span=span, written=atom)

    def _bind_clock_period(self, atom: Relative, period: Period) -> Between:
        """Bind a period of hours or minutes: it includes the moment from which it is counted, not the other end."""
        low, high = map(_format_moment, self._find_moments(period, atom.span))
        if period.direction == "past":
            return Between(atom.type, low, high, "<", "<=", span=atom.span, written=atom)
        return Between(atom.type, low, high, "<=", "<", span=atom.span, written=atom)

    def _find_days(self, period: Period, span: Span | None) -> tuple[date, date]:
        """Return the first and the last day of a period of days, weeks, months or years."""
        day = self.today if period.of is None else self._find_day(period.of, span)
        if period.direction == "past":
            return _shift_day(day, -period.amount, period.unit) + timedelta(1), day
        return day, _shift_day(day, period.amount, period.unit) - timedelta(1)

    def _bind_event(self, atom: EventAtom) -> EventAtom:
        """Bind the window of events and what is relative in the conditions of their properties."""
        events, span = atom.events, atom.span
        where = None if events.where is None else map_atoms(events.where, self.bind_if_relative)
        with locate_errors(span):
            window = None if events.window is None else self._bind_window(events.window, span)
            bound = replace(atom, events=EventFilter(events.name, where, window))
            if isinstance(bound, EventMoment):
                return replace(bound, window=self._bind_window(bound.window, span))
        return bound

    def _bind_window(self, window: Window, span: Span | None) -> Window:
        """Return a window with both ends absolute; that of a period of hours are moments, both included."""
        match window:
            case Comparison(operator, time):
                return Comparison(operator, self._format(time))
            case Interval(first, last):
                return Interval(self._format(first), self._format(last))
            case Period(unit=unit, direction=direction) if unit in CLOCK_UNITS:
                low, high = self._find_moments(window, span)
                if direction == "past":
                    return Interval(_format_moment(low + MICROSECOND), _format_moment(high))
                return Interval(_format_moment(low), _format_moment(high - MICROSECOND))
            case Period():
                if _is_absolute(window):
                    return window
                first_day, last_day = self._find_days(window, span)
                return Period((last_day - first_day).days + 1, "day", of=last_day.isoformat())

    def _find_moments(self, period: Period, span: Span | None) -> tuple[datetime, datetime]:
        """Return the ends of a period of hours or minutes."""
        moment = self.now if period.of is None else self._find_moment(period.of, span)
        length = timedelta(**{f"{period.unit}s": period.amount})
        return (moment - length, moment) if period.direction == "past" else (moment, moment + length)

    def _bind_anniversary(self, atom: Anniversary) -> Expr:
        match atom.window:
            case Comparison(time=time):
                first = last = self._find_day(time, atom.span)
            case Interval(str(first_name), str(last_name)) if _are_month_days(first_name, last_name):
                return _any_anniversary(atom, _iter_month_days(first_name, last_name))
            case Interval(first_time, last_time):
                first, last = self._find_day(first_time, atom.span), self._find_day(last_time, atom.span)
            case Period(unit=unit) as period if unit not in CLOCK_UNITS:
                first, last = self._find_days(period, atom.span)
            case _:
                message = "an anniversary is a day, and hours are not counted from days"
                hint = "write anniversary(birthday) within 2 days"
                raise ExpressionError(Problem("bad-time", message, atom.span, hint=hint))
        if first > last:
            hint = f"write the earlier day first, or days without a year: from {first:%m-%d} to {last:%m-%d}"
            raise ExpressionError(Problem("bad-time", f"{first} is after {last}", atom.span, hint=hint))
        if (last - first).days + 1 >= DAYS_OF_LEAP_YEAR:
            return Has(atom.type, span=atom.span)
        return _any_anniversary(atom, (name for day in _iter_days(first, last) for name in _month_days(day)))

    def _format(self, time: TimePoint) -> str:
        """Return a day as YYYY-MM-DD, a moment in UTC; a text stays as it is."""
        if isinstance(time, str):
            return time
        if time.anchor == "today":
            return _shift_day(self.today, time.amount, time.unit).isoformat()
        return _format_moment(self._shift_now(time))

    def _shift_now(self, time: RelativeTime) -> datetime:
        return self.now + timedelta(**{f"{time.unit}s": time.amount}) if time.amount else self.now

    def _find_day(self, time: TimePoint, span: Span | None) -> date:
        if isinstance(time, RelativeTime):
            if time.anchor == "today":
                return _shift_day(self.today, time.amount, time.unit)
            message = f"{time} is a moment; days are counted from a day"
            raise ExpressionError(Problem("bad-time", message, span, hint="write today, or count hours"))
        if MONTH_DAY.fullmatch(time):
            message = f"{time} has no year"
            hint = f"write {self.today.year}-{time}, or a single day: anniversary(birthday) = {time}"
            raise ExpressionError(Problem("bad-time", message, span, hint=hint))
        try:
            return date.fromisoformat(time)
        except ValueError:
            hint = "write a day like 2026-11-28, or today"
            raise ExpressionError(Problem("bad-time", f"{time!r:.60} is not a day", span, hint=hint)) from None

    def _find_moment(self, time: TimePoint, span: Span | None) -> datetime:
        if isinstance(time, RelativeTime):
            if time.anchor == "now":
                return self._shift_now(time)
            message = f"{time} is a day; hours and minutes are counted from a moment"
            raise ExpressionError(Problem("bad-time", message, span, hint="write now, or count days"))
        try:
            return find_moment(time, self.zone)
        except LocalTimeError as error:
            raise ExpressionError(Problem("ambiguous-time", error.message, span, hint=error.hint)) from None
        except ValueError:
            hint = 'write a moment like "2026-11-28T09:00+08:00", or now'
            raise ExpressionError(Problem("bad-time", f"{time!r:.60} is not a moment", span, hint=hint)) from None


def _any_anniversary(atom: Anniversary, names: Iterable[str]) -> Expr:
    """Return the anniversaries on any of the days *names*, which *atom* was bound to."""
    distinct = dict.fromkeys(names)
    return any_of(Anniversary(atom.type, Comparison("=", name), span=atom.span, written=atom) for name in distinct)


def _are_month_days(*texts: str) -> bool:
    return all(map(MONTH_DAY.fullmatch, texts))


def _iter_month_days(first: str, last: str) -> Iterator[str]:
    """Yield the days of a leap year from *first* to *last*, past its end if *last* comes before *first*.

    >>> list(_iter_month_days("12-30", "01-02"))
    ['12-30', '12-31', '01-01', '01-02']
    """
    days = [f"{day:%m-%d}" for day in _iter_days(date(2028, 1, 1), date(2028, 12, 31))]
    start, stop = days.index(first), days.index(last) + 1
    yield from days[start:stop] if start < stop else [*days[start:], *days[:stop]]


def _shift_day(day: date, amount: int, unit: TimeUnit) -> date:
    """Return the day *amount* units after *day*; a day that a month does not have is the last one of that month.

    >>> _shift_day(date(2024, 2, 29), 1, "year"), _shift_day(date(2026, 3, 31), -1, "month")
    (datetime.date(2025, 2, 28), datetime.date(2026, 2, 28))
    """
    if unit in ("day", "week"):
        return day + timedelta(days=amount * (7 if unit == "week" else 1))
    months = day.year * 12 + day.month - 1 + amount * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    if not date.min.year <= year <= date.max.year:
        raise OverflowError(year)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _iter_days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days) for days in range((last - first).days + 1))


def _month_days(day: date) -> list[str]:
    """Return the anniversaries on *day*: 29 February counts on the 28th where there is none.

    >>> _month_days(date(2026, 2, 28)), _month_days(date(2028, 2, 28))
    (['02-28', '02-29'], ['02-28'])
    """
    name = f"{day:%m-%d}"
    return [name, "02-29"] if name == "02-28" and not calendar.isleap(day.year) else [name]


def _format_moment(moment: datetime) -> str:
    """Return *moment*, which is in UTC, as text."""
    return moment.replace(tzinfo=None).isoformat() + "Z"
