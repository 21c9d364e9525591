"""Slow and obvious meaning of relative times: every device is asked by itself, days are counted one by one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import eq, ge, gt, le, lt
from typing import TypeAlias
from zoneinfo import ZoneInfo

from audience import And, Anniversary, Except, Expr, Not, Or, Relative, Threshold
from audience.language.windows import Comparison, Interval, Period, RelativeTime, TimePoint, Window

Value: TypeAlias = date | datetime  # a day, or an instant in UTC
OPERATORS = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}
CLOCK_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class RelativeOracle:
    """Answers for devices with these values, asked at *now* in *zone*.

    >>> from datetime import UTC
    >>> noon, yesterday = datetime(2026, 11, 28, 12, tzinfo=UTC), date(2026, 11, 27)
    >>> oracle = RelativeOracle(noon, ZoneInfo("UTC"))
    >>> oracle.is_inside(Relative("active", Period(2, "day")), {"active": [yesterday]})
    True
    """

    now: datetime
    zone: ZoneInfo

    def is_inside(self, expr: Expr, device: dict[str, Sequence[Value]]) -> bool:
        """Return whether a device is in the audience *expr*."""
        match expr:
            case Relative(type=type_, window=window):
                return any(self._is_in_window(value, window) for value in device[type_])
            case Anniversary(type=type_, window=window):
                days = list(self._days_of(window))
                return any(is_anniversary(self._day_of_value(value), day) for value in device[type_] for day in days)
            case Not(term=term):
                return not self.is_inside(term, device)
            case And(terms=terms):
                return all(self.is_inside(term, device) for term in terms)
            case Or(terms=terms):
                return any(self.is_inside(term, device) for term in terms)
            case Except(term=term, excluded=excluded):
                return self.is_inside(term, device) and not self.is_inside(excluded, device)
            case Threshold(operator=operator, count=count, terms=terms):
                inside = sum(self.is_inside(term, device) for term in terms)
                return {"at least": inside >= count, "at most": inside <= count, "exactly": inside == count}[operator]
        raise AssertionError(expr)

    @property
    def today(self) -> date:
        """Return the day of the question."""
        return self.now.astimezone(self.zone).date()

    def _is_in_window(self, value: Value, window: Window) -> bool:
        match window:
            case Comparison(operator=operator, time=time):
                return self._compare(value, operator, time)
            case Interval(first=first, last=last):
                return self._compare(value, ">=", first) and self._compare(value, "<=", last)
            case Period(amount=amount, unit=unit, direction=direction, of=of) if unit in CLOCK_UNITS:
                length = amount * CLOCK_UNITS[unit]
                moment = self.now if of is None else self._read_time(of)
                return moment - length < value <= moment if direction == "past" else moment <= value < moment + length
            case Period():
                return self._day_of_value(value) in set(self._days_of(window))
        raise AssertionError(window)

    def _compare(self, value: Value, operator: str, time: TimePoint) -> bool:
        """Compare with a moment, or by days with a whole day."""
        bound = self._read_time(time)
        return OPERATORS[operator](value if isinstance(bound, datetime) else self._day_of_value(value), bound)

    def _days_of(self, window: Window) -> Iterable[date]:
        match window:
            case Comparison(time=time):
                return [self._read_time(time)]
            case Interval(first=first, last=last):
                day, days = self._read_time(first), []
                while day <= self._read_time(last):
                    days.append(day)
                    day += ONE_DAY
                return days
            case Period(amount=amount, unit=unit, direction=direction, of=of):
                step = -ONE_DAY if direction == "past" else ONE_DAY
                day = self.today if of is None else self._read_time(of)
                stop, days = move_day(day, amount if direction == "next" else -amount, unit), []
                while day != stop:
                    days.append(day)
                    day += step
                return days
        raise AssertionError(window)

    def _read_time(self, time: TimePoint) -> Value:
        match time:
            case RelativeTime(anchor="now", amount=amount, unit=unit):
                return self.now + amount * CLOCK_UNITS[unit] if amount else self.now
            case RelativeTime(amount=amount, unit=unit):
                return move_day(self.today, amount, unit)
        return date.fromisoformat(time)

    def _day_of_value(self, value: Value) -> date:
        return value.astimezone(self.zone).date() if isinstance(value, datetime) else value


def move_day(day: date, amount: int, unit: str) -> date:
    """Return the day *amount* units later, found one day or one month after the other.

    >>> move_day(date(2024, 3, 31), -1, "month"), move_day(date(2024, 2, 29), 1, "year")
    (datetime.date(2024, 2, 29), datetime.date(2025, 2, 28))
    """
    if unit in ("day", "week"):
        for _ in range(abs(amount) * (7 if unit == "week" else 1)):
            day += ONE_DAY if amount > 0 else -ONE_DAY
        return day
    first = day.replace(day=1)
    for _ in range(abs(amount) * (12 if unit == "year" else 1)):
        first = (first + 31 * ONE_DAY if amount > 0 else first - ONE_DAY).replace(day=1)
    return max(each for each in (first + n * ONE_DAY for n in range(day.day)) if each.month == first.month)


def is_anniversary(born: date, day: date) -> bool:
    """Return whether the anniversary of *born* is on *day*: that of 29 February on the 28th where there is none.

    >>> is_anniversary(date(2000, 2, 29), date(2026, 2, 28)), is_anniversary(date(2000, 2, 29), date(2028, 2, 28))
    (True, False)
    """
    try:
        return born.replace(year=day.year) == day
    except ValueError:
        return (day.month, day.day) == (2, 28)
