"""Ranges of days of events: the days that are kept, and the days that are covered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from audience.errors import Problem, TableError
from audience.index.ingest.events.event_changes import EventChanges
from audience.index.storage.manifest import EventRange
from audience.language.zones import EPOCH_ORDINAL


@dataclass(frozen=True, slots=True)
class RangeOptions:
    """Options of an addition that set the ranges of its events.

    Attributes:
        keep_days: Number of days that are kept from now on; None for as before.
        covers_to: Day up to which all events are there, since 1970-01-01; None for the day of the last event.
        today: Today in the zone of the index, after which no day counts for what is kept.
    """

    keep_days: int | None
    covers_to: int | None
    today: int


def parse_day(day: date | str, option: str) -> int:
    """Return a day as days since 1970-01-01. Raises TableError if *day* is not one."""
    try:
        parsed = date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError:
        message = f"{option} is {day!r}, expected a day"
        raise TableError(Problem("bad-option", message, hint="write it like 2026-11-28")) from None
    return parsed.toordinal() - EPOCH_ORDINAL


def parse_keep(keep: int | str | None) -> int | None:
    """Return the number of days of a retention such as `90d`. Raises TableError if there is none."""
    if keep is None:
        return None
    text = str(keep).strip().lower()
    digits = text.removesuffix("days").removesuffix("day").removesuffix("d").strip()
    if not digits.isascii() or not digits.isdecimal() or not 1 <= int(digits) <= 99_999:
        message = f"keep is {keep!r}, expected a number of days"
        raise TableError(Problem("bad-option", message, hint="write it like 90d"))
    return int(digits)


def today_in(zone: ZoneInfo) -> int:
    """Return today in *zone*, as days since 1970-01-01."""
    return datetime.now(UTC).astimezone(zone).date().toordinal() - EPOCH_ORDINAL


def next_range(current: EventRange, last_day: int | None, options: RangeOptions) -> EventRange:
    """Return the range of an event after an addition; what is not kept any more never comes back.

    Args:
        current: Range before.
        last_day: Day of the last event that is added; None if there is none.
        options: What the addition sets.

    >>> options = RangeOptions(keep_days=10, covers_to=None, today=1000)
    >>> next_range(EventRange(), 100, options)
    EventRange(keep_days=10, first_day=91, covers_to=100)
    """
    keep = options.keep_days or current.keep_days
    days = [day for day in (current.covers_to, options.covers_to, last_day) if day is not None]
    covers_to, first_day = max(days, default=None), current.first_day
    if keep is not None and covers_to is not None:
        cut = min(covers_to, options.today) - keep + 1
        first_day = cut if first_day is None else max(first_day, cut)
    return EventRange(keep, first_day, covers_to)


def apply_ranges(changes: EventChanges, last_days: Mapping[str, int | None], options: RangeOptions) -> None:
    """Set the ranges of the events that an addition names, and drop files without any day that is kept."""
    for event, last_day in last_days.items():
        current = changes.ranges.get(event, EventRange())
        changes.ranges[event] = next_range(current, last_day, options)
    changes.files = [file for file in changes.files if changes.open_segments(file)]
