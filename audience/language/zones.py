"""Time zones by their IANA name, and the days and moments of a zone as numbers of microseconds since 1970 in UTC.

Offsets come from `zoneinfo` alone: Polars and NumPy have other rules for years after 2100, or none.
"""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from audience.errors import ExpressionError, Problem
from audience.language.suggest import did_you_mean

DEFAULT_ZONE = "UTC"
UTC_ZONE = ZoneInfo(DEFAULT_ZONE)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = EPOCH.toordinal()
# Where the local time is a year from 1 to 9999 in every zone; no zone changes its offset outside.
FIRST_SAFE, LAST_SAFE = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
ISO_DAY_LENGTH = len("2020-04-08")
TOO_FINE = re.compile(r"[.,]\d{6}\d*[1-9]")  # a fraction that microseconds cannot hold
NO_ZONES = frozenset({"Factory", "localtime"})  # of the time zone database, but of no place, or of the machine
USUAL_MISTAKES = {
    "Asia/Beijing": "Asia/Shanghai",
    "Asia/Shenzhen": "Asia/Shanghai",
    "Asia/Guangzhou": "Asia/Shanghai",
    "Beijing": "Asia/Shanghai",
    "CST": "Asia/Shanghai or America/Chicago",
    "IST": "Asia/Kolkata, Europe/Dublin or Asia/Jerusalem",
    "JST": "Asia/Tokyo",
    "PST": "America/Los_Angeles",
    "BST": "Europe/London",
}


class LocalTimeError(ValueError):
    """Timestamp without an offset that clocks of a zone show twice, or never.

    Attributes:
        message: What is wrong with it.
        hint: What to write instead.
    """

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message = message
        self.hint = hint


def load_zone(name: str) -> ZoneInfo:
    """Return the time zone with this IANA name.

    Raises:
        ExpressionError: There is no such zone.

    >>> load_zone("Asia/Shanghai").key
    'Asia/Shanghai'
    """
    if name != DEFAULT_ZONE and name not in list_zone_names():  # to list them takes 70 ms
        raise ExpressionError(unknown_zone_problem(name))
    return ZoneInfo(name)


def unknown_zone_problem(name: str) -> Problem:
    """Return the problem of a name that no time zone has."""
    hint = f"write {USUAL_MISTAKES[name]}" if name in USUAL_MISTAKES else did_you_mean(name, list_zone_names())
    hint = hint or "write a name of the IANA time zone database, such as Asia/Shanghai, Europe/Berlin or UTC"
    return Problem("unknown-timezone", f"unknown time zone {name!r:.80}", hint=hint)


def open_zone(name: str) -> ZoneInfo:
    """Return the time zone that an index was built with.

    Raises:
        ExpressionError: This machine does not know the zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"the index was built with the time zone {name!r:.80}, which is unknown here"
        raise ExpressionError(Problem("unknown-timezone", message, hint="update the package tzdata")) from error


@lru_cache(1)
def list_zone_names() -> frozenset[str]:
    """Return the IANA names of all time zones that this machine knows."""
    return frozenset(available_timezones()) - NO_ZONES


def count_microseconds(timestamp: datetime) -> int:
    """Return the microseconds from 1970 to *timestamp*; a zone is ignored.

    >>> count_microseconds(datetime(1970, 1, 2))
    86400000000
    """
    return (timestamp.replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def format_instant(instant: int) -> str:
    """Return microseconds since 1970 as a timestamp in UTC.

    >>> format_instant(0)
    '1970-01-01T00:00:00Z'
    """
    return (EPOCH + timedelta(microseconds=instant)).replace(tzinfo=None).isoformat() + "Z"


def offset_at(instant: int, zone: tzinfo) -> int:
    """Return how far *zone* is ahead of UTC at an instant, in microseconds."""
    try:
        timestamp = min(max(EPOCH + timedelta(microseconds=instant), FIRST_SAFE), LAST_SAFE)
    except OverflowError:
        timestamp = FIRST_SAFE if instant < 0 else LAST_SAFE
    return _offset(timestamp.astimezone(zone))


def find_change(start: int, stop: int, zone: tzinfo) -> int:
    """Return the first instant after *start* with the offset that *zone* has at *stop*; there is one change between."""
    offset = offset_at(stop, zone)
    before, after = start // SECOND, stop // SECOND  # zones change their offsets at whole seconds
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if offset_at(middle * SECOND, zone) == offset else (middle, after)
    return after * SECOND


def local_instants(timestamp: datetime, zone: tzinfo) -> tuple[int, ...]:
    """Return the instants at which clocks of *zone* show *timestamp*: one, two if they were put back, or none.

    >>> [len(local_instants(datetime(2026, month, day, 2, 30), load_zone("Europe/Berlin"))) for month, day in
    ...  [(1, 1), (10, 25), (3, 29)]]
    [1, 2, 0]
    """
    wall = count_microseconds(timestamp)
    first, second = (_offset(timestamp.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first == second:
        return (wall - first,)
    return (wall - first, wall - second) if first > second else ()


def find_instant(timestamp: datetime, zone: ZoneInfo) -> int:
    """Return the instant of *timestamp*, which is wall-clock time of *zone* if it has no offset.

    Raises:
        LocalTimeError: Clocks of the zone show *timestamp* twice, or never.

    >>> find_instant(datetime(1970, 1, 2, 8), load_zone("Asia/Shanghai"))
    86400000000
    """
    if timestamp.tzinfo is not None:
        return count_microseconds(timestamp) - _offset(timestamp)
    instants = local_instants(timestamp, zone)
    if len(instants) == 1:
        return instants[0]
    written = timestamp.isoformat()
    if not instants:
        message = f"clocks of {zone.key} never show {written}, because they were put forward past it"
        raise LocalTimeError(message, "write another time, or one with its offset")
    message = f"clocks of {zone.key} show {written} twice, because they were put back"
    times = [(EPOCH + timedelta(microseconds=instant)).astimezone(zone).isoformat() for instant in instants]
    raise LocalTimeError(message, f'write "{times[0]}" or "{times[1]}"')


def parse_time(text: str) -> date | datetime:
    """Parse a day, or a timestamp with or without an offset.

    Raises:
        ValueError: *text* is neither.

    >>> parse_time("2026-11-28"), parse_time("2026-11-28T09:00")
    (datetime.date(2026, 11, 28), datetime.datetime(2026, 11, 28, 9, 0))
    """
    if text.isdecimal() or len(text) <= ISO_DAY_LENGTH:
        return date.fromisoformat(text)
    if TOO_FINE.search(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def parse_instant(text: str, zone: ZoneInfo) -> int:
    """Return the instant of a timestamp, which is wall-clock time of *zone* if it has no offset.

    Raises:
        ValueError: *text* is no timestamp of *zone*, or a day.
    """
    time = parse_time(text)
    if not isinstance(time, datetime):
        raise ValueError(text)
    return find_instant(time, zone)


def find_moment(text: str, zone: ZoneInfo) -> datetime:
    """Return the moment in UTC that *text* names: a timestamp, or the first moment of a day of *zone*.

    Raises:
        ValueError: *text* is no time; LocalTimeError if clocks of the zone show it twice or never.
        OverflowError: The moment is outside the years 1 to 9999 in UTC.

    >>> find_moment("2026-11-28", load_zone("Asia/Shanghai")).isoformat()
    '2026-11-27T16:00:00+00:00'
    """
    time = parse_time(text)
    instant = find_instant(time, zone) if isinstance(time, datetime) else day_bounds(time.toordinal(), zone)[0]
    return EPOCH + timedelta(microseconds=instant)


@lru_cache(4_096)
def day_bounds(ordinal: int, zone: ZoneInfo) -> tuple[int, ...]:
    """Return the instants at which local time of *zone* passes the start of a day: forwards, back, forwards again.

    Nearly always it is one instant. Where clocks are put back from 00:01 to 23:01, the day before has one hour more
    after the first minute of the day.

    Args:
        ordinal: Number of the day, as `date.toordinal` has it; it may be one day after 9999-12-31.
        zone: Time zone.

    >>> day_bounds(date(2026, 11, 28).toordinal(), load_zone("Asia/Shanghai"))
    (1795795200000000,)
    """
    midnight = (ordinal - EPOCH_ORDINAL) * DAY
    if not date.min.toordinal() <= ordinal <= date.max.toordinal():
        return (midnight - offset_at(midnight, zone),)
    start = datetime.fromordinal(ordinal)
    first, second = (_offset(start.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first == second:
        return (midnight - first,)
    earlier, later = midnight - max(first, second), midnight - min(first, second)
    change = find_change(earlier, later, zone)
    if first < second:  # clocks are put forward past midnight
        return (change,)
    return (earlier, change, later) if change < later else (earlier,)


def _offset(timestamp: datetime) -> int:
    offset = timestamp.utcoffset()
    assert offset is not None
    return offset // MICROSECOND
