"""Sets of instants that days and moments of a time zone mean, as ranges of microseconds since 1970 in UTC.

A day is all instants at which clocks of the zone show it: of 23, 24 or 25 hours, or none where a zone left a day out.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

from audience.language.zones import count_microseconds, day_bounds, find_instant, parse_time

InstantSet: TypeAlias = tuple[tuple[int, int], ...]  # half-open ranges in ascending order, none of them empty

START, STOP = count_microseconds(datetime.min), count_microseconds(datetime.max) + 1
ALL_INSTANTS: InstantSet = ((START, STOP),)


def instants_before(text: str, zone: ZoneInfo) -> InstantSet:
    """Return the instants before a timestamp, or before a day of *zone*.

    Raises:
        ValueError: *text* is no time of *zone*; LocalTimeError if it is one that occurs twice or never.
    """
    time = parse_time(text)
    if isinstance(time, datetime):
        return _clamp([(START, find_instant(time, zone))])
    return _before_day(time.toordinal(), zone)


def instants_through(text: str, zone: ZoneInfo) -> InstantSet:
    """Return the instants up to a timestamp, or up to the end of a day of *zone*. Raises as `instants_before`."""
    time = parse_time(text)
    if isinstance(time, datetime):
        return _clamp([(START, find_instant(time, zone) + 1)])
    return _before_day(time.toordinal() + 1, zone)


def instants_of(text: str, zone: ZoneInfo) -> InstantSet:
    """Return the instant of a timestamp, or all instants of a day of *zone*. Raises as `instants_before`."""
    return subtract(instants_through(text, zone), instants_before(text, zone))


def instants_of_days(day_count: int, last: str, zone: ZoneInfo) -> InstantSet:
    """Return the instants of the *day_count* days of *zone* that end with the day *last*.

    Raises:
        ValueError: *last* is no day.
    """
    ordinal = date.fromisoformat(last).toordinal()
    return subtract(_before_day(ordinal + 1, zone), _before_day(ordinal - day_count + 1, zone))


def complement(instants: InstantSet) -> InstantSet:
    """Return all other instants.

    >>> complement(((START, 0), (5, STOP)))
    ((0, 5),)
    """
    edges = [START, *(edge for each in instants for edge in each), STOP]
    return _clamp(zip(edges[::2], edges[1::2], strict=True))


def intersect(lhs: InstantSet, rhs: InstantSet) -> InstantSet:
    """Return the instants that are in both sets.

    >>> intersect(((0, 5), (8, 9)), ((3, 20),))
    ((3, 5), (8, 9))
    """
    return tuple(
        (max(start, other_start), min(stop, other_stop))
        for start, stop in lhs
        for other_start, other_stop in rhs
        if max(start, other_start) < min(stop, other_stop)
    )


def subtract(lhs: InstantSet, rhs: InstantSet) -> InstantSet:
    """Return the instants of *lhs* that are not in *rhs*."""
    return intersect(lhs, complement(rhs))


def contains(instants: InstantSet, instant: int) -> bool:
    """Return whether *instant* is in the set."""
    return any(start <= instant < stop for start, stop in instants)


def _before_day(ordinal: int, zone: ZoneInfo) -> InstantSet:
    bounds = (START, *day_bounds(ordinal, zone))
    return _clamp(zip(bounds[::2], bounds[1::2], strict=True))


def _clamp(ranges: Iterable[tuple[int, int]]) -> InstantSet:
    """Return the parts of *ranges* that are instants of the years 1 to 9999, without empty ones."""
    clamped = ((max(start, START), min(stop, STOP)) for start, stop in ranges)
    return tuple((start, stop) for start, stop in clamped if start < stop)
