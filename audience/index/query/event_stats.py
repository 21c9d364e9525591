"""Statistics of the events of an index: devices, days, properties and size of each event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from audience.index.schema.columns import Role
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.index.storage.device_numbers import NumberSet
from audience.index.storage.events.segment import EventSegment
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class EventStats:
    """Event of an index.

    Attributes:
        name: Its name.
        device_count: Number of devices that did it.
        event_count: How often they did it, together.
        first_day: Day of the first event in the zone of the index; None if there is none.
        last_day: Day of the last event.
        covered_from: First day whose events are all there; None for any day before.
        covered_to: Last such day; None if there is none.
        keep_days: Number of days that are kept; None for all.
        properties: Roles of its properties, by name.
        nbytes: Size on disk.
    """

    name: str
    device_count: int
    event_count: int
    first_day: date | None
    last_day: date | None
    covered_from: date | None
    covered_to: date | None
    keep_days: int | None
    properties: Mapping[str, Role]
    nbytes: int


def collect_event_stats(snapshot: Snapshot) -> list[EventStats]:
    """Return the events of a snapshot, by name."""
    live = live_numbers(snapshot.shards)
    return [_describe_event(snapshot, name, live) for name in snapshot.events.names()]


def live_numbers(shards: Sequence[Shard]) -> NumberSet:
    """Return the numbers of the live devices."""
    return NumberSet.union(shard.numbers.to_set(shard.live_rows) for shard in shards)


def _describe_event(snapshot: Snapshot, name: str, live: NumberSet) -> EventStats:
    log = snapshot.events
    numbers, coverage, segments = log.numbers(name), log.coverage(name), log.segments(name)
    removed = numbers - live
    return EventStats(
        name,
        len(numbers) - len(removed),
        sum(_count_events(segment, removed.in_partition(segment.partition)) for segment in segments),
        _to_date(min((int(segment.days[0]) for segment in segments), default=None)),
        _to_date(max((int(segment.days[-1]) for segment in segments), default=None)),
        _to_date(coverage.first_day),
        _to_date(coverage.last_day),
        log.range_of(name).keep_days,
        log.properties(name),
        sum(segment.nbytes for segment in segments),
    )


def _count_events(segment: EventSegment, removed: BitMap) -> int:
    """Return the number of events of a segment, without those of *removed* devices."""
    if not removed:
        return segment.row_count
    numbers = segment.load_numbers(*segment.row_starts[[0, -1]].tolist())
    return int((~np.isin(numbers, bitmap_to_rows(removed))).sum())


def _to_date(day: int | None) -> date | None:
    return None if day is None else date(1970, 1, 1) + timedelta(day)
