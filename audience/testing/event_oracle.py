"""Slow and obvious oracle of conditions about events: every device and every event is looked at by itself.

An event is a dictionary `{"id": "d1", "event": "purchase", "at": datetime, "properties": {"amount": 20}}`. A moment
without an offset is wall-clock time of the zone. Properties are compared by their type in Python: numbers, dates,
datetimes and strings, and a property called `version` as versions; True is a tag with the name of the property, and
None, False and the empty text are no values.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from operator import eq, ge, gt, le, lt
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from audience.language.ast import (
    Aggregate,
    And,
    Between,
    Compare,
    Did,
    EventAtom,
    EventFilter,
    EventMoment,
    Everyone,
    Except,
    Expr,
    Has,
    Matches,
    Nobody,
    Not,
    Or,
    Relative,
    Tag,
    Threshold,
    Within,
)
from audience.language.attribute_names import UNTYPED
from audience.language.platforms import PLATFORM_TYPE, canonical_platform
from audience.language.windows import Comparison, Interval, Period, RelativeTime, TimePoint, Window
from audience.language.zones import find_instant, parse_time
from audience.testing.oracle import is_text_match, version_key

Event: TypeAlias = Mapping[str, Any]

OPERATORS: Mapping[str, Any] = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}
CLOCK_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
ONE_DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def find_fitting_ids(
    expr: Expr, events: Iterable[Event], ids: Iterable[str], zone: ZoneInfo, as_of: datetime | None = None
) -> set[str]:
    """Return those of *ids* whose events fit *expr*, which joins conditions about events.

    Args:
        expr: Expression, bound or not.
        events: Events of all devices, in any order; those of other ids are ignored.
        ids: All devices, also those without any event.
        zone: Zone whose days are meant.
        as_of: Moment of the question; only an expression that is not bound needs it.

    >>> from audience import parse
    >>> events = [{"id": "a", "event": "buy", "at": datetime(2026, 11, 2), "properties": {"amount": 20}}]
    >>> expr = parse("did(buy where amount > 5) from 2026-11-01 to 2026-11-02")
    >>> find_fitting_ids(expr, events, ["a", "b"], ZoneInfo("UTC"))
    {'a'}
    """
    by_id: dict[str, list[Event]] = {each: [] for each in ids}
    for event in events:
        if event["id"] in by_id:
            by_id[event["id"]].append(event)
    return {each for each, own in by_id.items() if fits_events(expr, own, zone, as_of)}


def fits_events(expr: Expr, events: Sequence[Event], zone: ZoneInfo, as_of: datetime | None = None) -> bool:
    """Return whether a device with these *events*, all of it alone, is in the audience *expr*."""
    match expr:
        case Did() | Aggregate() | EventMoment():
            return EventOracle(zone, as_of).fits(expr, events)
        case Everyone():
            return True
        case Nobody():
            return False
        case Not(term=term):
            return not fits_events(term, events, zone, as_of)
        case And(terms=terms):
            return all(fits_events(term, events, zone, as_of) for term in terms)
        case Or(terms=terms):
            return any(fits_events(term, events, zone, as_of) for term in terms)
        case Except(term=term, excluded=excluded):
            return fits_events(term, events, zone, as_of) and not fits_events(excluded, events, zone, as_of)
        case Threshold(operator=operator, count=count, terms=terms):
            found = sum(fits_events(term, events, zone, as_of) for term in terms)
            return {"at least": found >= count, "at most": found <= count, "exactly": found == count}[operator]
    raise AssertionError(expr)


@dataclass(frozen=True)
class EventOracle:
    """Answers about the events of one device, asked at *now* in *zone*."""

    zone: ZoneInfo
    now: datetime | None = None

    def fits(self, atom: EventAtom, events: Sequence[Event]) -> bool:
        """Return whether *events* fit *atom*."""
        selected = [event for event in events if self._is_selected(event, atom.events)]
        match atom:
            case Did(least=least, most=most):
                return least <= len(selected) and (most is None or len(selected) <= most)
            case Aggregate(function=function, operator=operator, value=value):
                values = [event.get("properties", {}).get(atom.property) for event in selected]
                amount = _aggregate(function, [_to_fraction(each) for each in values if each is not None])
                return amount is not None and bool(OPERATORS[operator](amount, Fraction(Decimal(value))))
            case EventMoment(function=function, window=window):
                moments = sorted(self._moment_of(event["at"]) for event in selected)
                if not moments:
                    return False
                return self._is_in_window(moments[0] if function == "first" else moments[-1], window)

    def _is_selected(self, event: Event, events: EventFilter) -> bool:
        if event["event"] != events.name:
            return False
        if events.window is not None and not self._is_in_window(self._moment_of(event["at"]), events.window):
            return False
        return events.where is None or self._fits_properties(events.where, event.get("properties", {}))

    def _fits_properties(self, where: Expr, properties: Mapping[str, Any]) -> bool:
        match where:
            case Not(term=term):
                return not self._fits_properties(term, properties)
            case And(terms=terms):
                return all(self._fits_properties(term, properties) for term in terms)
            case Or(terms=terms):
                return any(self._fits_properties(term, properties) for term in terms)
            case Has(type=type_) if type_ == UNTYPED:
                return any(value is True for value in properties.values())
            case Tag(type=type_, value=value) if type_ == UNTYPED:
                return properties.get(value) is True
            case Matches(type=type_, pattern=pattern, ignores_case=ignores_case) if type_ == UNTYPED:
                names = [name for name, value in properties.items() if value is True]
                return any(is_text_match(pattern, name, ignores_case) for name in names)
            case Tag() | Compare() | Between() | Within() | Matches() | Relative() | Has():
                found = properties.get(where.type)
                has_value = found is not None and found != "" and not isinstance(found, bool)
                return has_value and self._fits_value(where, found)
        raise AssertionError(where)

    def _fits_value(self, condition: Expr, value: Any) -> bool:
        """Return whether the value of a property fits *condition*."""
        match condition:
            case Has():
                return True
            case Tag(type=type_, value=text) if type_ == PLATFORM_TYPE:
                return canonical_platform(str(value)) == text
            case Tag(value=text):
                return self._compare(value, "=", text, is_version=False)
            case Compare(type=type_, operator=operator, value=text):
                return self._compare(value, operator, text, type_ == "version")
            case Between(type=type_, low=low, high=high):
                is_above = self._compare(value, {"<": ">", "<=": ">="}[condition.low_operator], low, type_ == "version")
                return is_above and self._compare(value, condition.high_operator, high, type_ == "version")
            case Within(days=days, day=text):
                last = date.fromisoformat(text)
                return last - days * ONE_DAY < self._day_of(value) <= last
            case Matches(pattern=pattern, ignores_case=ignores_case):
                return is_text_match(pattern, str(value), ignores_case)
            case Relative(window=window):
                return self._is_in_window(self._moment_of(value) if isinstance(value, datetime) else value, window)
        raise AssertionError(condition)

    def _compare(self, value: Any, operator: str, text: str, is_version: bool) -> bool:
        """Compare the value of a property with a text."""
        if isinstance(value, date):
            return self._compare_time(self._moment_of(value) if isinstance(value, datetime) else value, operator, text)
        if isinstance(value, str):
            assert is_version or operator == "=", "texts have no order"
            return bool(OPERATORS[operator](*map(version_key, (value, text))) if is_version else value == text)
        return bool(OPERATORS[operator](_to_fraction(value), Fraction(Decimal(text))))

    def _is_in_window(self, value: date, window: Window) -> bool:
        match window:
            case Comparison(operator=operator, time=time):
                return self._compare_time(value, operator, time)
            case Interval(first=first, last=last):
                return self._compare_time(value, ">=", first) and self._compare_time(value, "<=", last)
            case Period(amount=amount, unit=unit, direction=direction, of=of) if unit in CLOCK_UNITS:
                moment = self._read_moment(RelativeTime("now") if of is None else of)
                length = amount * CLOCK_UNITS[unit]
                low, high = (moment - length, moment) if direction == "past" else (moment, moment + length)
                return low < value <= high if direction == "past" else low <= value < high
            case Period(amount=amount, unit=unit, direction=direction, of=of):
                end = self._day_of(self._read_time(RelativeTime("today") if of is None else of))
                if direction == "past":
                    return _shift_day(end, -amount, unit) < self._day_of(value) <= end
                return end <= self._day_of(value) < _shift_day(end, amount, unit)

    def _compare_time(self, value: date, operator: str, time: TimePoint) -> bool:
        """Compare with a moment, or by days with a whole day."""
        bound = self._read_time(time)
        return bool(OPERATORS[operator](value if isinstance(bound, datetime) else self._day_of(value), bound))

    def _read_time(self, time: TimePoint) -> date:
        """Return a moment in UTC, or a day."""
        if isinstance(time, str):
            read = parse_time(time)
            return self._moment_of(read) if isinstance(read, datetime) else read
        assert self.now is not None, "an expression that is not bound is asked at a moment"
        now = self._moment_of(self.now)
        if time.anchor == "now":
            return now + time.amount * CLOCK_UNITS[time.unit] if time.amount else now
        return _shift_day(self._day_of(now), time.amount, time.unit)

    def _read_moment(self, time: TimePoint) -> datetime:
        read = self._read_time(time)
        return read if isinstance(read, datetime) else self._moment_of(datetime.combine(read, datetime.min.time()))

    def _moment_of(self, at: datetime) -> datetime:
        """Return *at* in UTC; without an offset it is wall-clock time of the zone."""
        return EPOCH + timedelta(microseconds=find_instant(at, self.zone))

    def _day_of(self, value: date) -> date:
        return value.astimezone(self.zone).date() if isinstance(value, datetime) else value


def _aggregate(function: str, values: list[Fraction]) -> Fraction | None:
    """Return the aggregate of *values*; the sum of none is 0, and they have no minimum, maximum or average."""
    if function == "sum":
        return sum(values, Fraction(0))
    if not values:
        return None
    return {"min": min(values), "max": max(values), "avg": sum(values, Fraction(0)) / len(values)}[function]


def _to_fraction(value: Any) -> Fraction:
    """Return a number as it is written: 0.1 is a tenth."""
    return Fraction(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))


def _shift_day(day: date, amount: int, unit: str) -> date:
    """Return the day *amount* units later; a day that a month does not have is the last one of that month.

    >>> _shift_day(date(2024, 3, 31), -1, "month"), _shift_day(date(2024, 2, 29), 1, "year")
    (datetime.date(2024, 2, 29), datetime.date(2025, 2, 28))
    """
    if unit in ("day", "week"):
        return day + amount * (7 if unit == "week" else 1) * ONE_DAY
    months = day.year * 12 + day.month - 1 + amount * (12 if unit == "year" else 1)
    first = date(months // 12, months % 12 + 1, 1)
    return max(each for each in (first + n * ONE_DAY for n in range(day.day)) if each.month == first.month)
