"""Count devices a day for the days of events, which are kept by the numbers of devices and days of the index's zone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audience.index.query.events.windows import to_date
from audience.index.query.insight.comparison import Counts, GroupCounts
from audience.index.query.insight.groups import Groups
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.croaring import choose_operations
from audience.index.storage.device_numbers import NumberSet
from audience.index.storage.events.event_log import UNION_NBYTES, EventLog
from audience.index.storage.shard import Shard
from audience.language.ast import Did, EventFilter, Expr
from audience.language.windows import Comparison

MAX_EVENT_DAYS = 92  # the last ones


@dataclass(frozen=True, slots=True)
class EventDays:
    """Days of an event, and the devices of each group on each of them.

    Attributes:
        days: Days, each from the first one that is shown to the last one with an event.
        counts: Devices on each day.
        known: Devices with an event on any day.
        event_days: Number of all days with an event.
        earlier_days: Number of earlier days with an event.
        earlier: Devices with an event on an earlier day.
    """

    days: Sequence[int]
    counts: GroupCounts
    known: GroupCounts
    event_days: int
    earlier_days: int
    earlier: GroupCounts


@dataclass(frozen=True, slots=True)
class CountsByDay:
    """Days with an event, in rising order, and the devices of each group on each of them."""

    days: tuple[int, ...]
    counts: GroupCounts


@dataclass(frozen=True, slots=True)
class EventUnions:
    """Devices of each group with an event on any day, and on one of the earlier days, each an array of one number."""

    known: GroupCounts
    earlier: GroupCounts


@dataclass(frozen=True, slots=True)
class NumberGroups:
    """Numbers of the devices of some groups, in the form in which they are counted."""

    groups: Groups
    members: NumberSet
    base: NumberSet
    shared: NumberSet

    @classmethod
    def of(cls, groups: Groups, shards: Sequence[Shard]) -> "NumberGroups":
        """Return the numbers of the devices of *groups*, which are rows of *shards*."""
        live = [shard.live_rows for shard in shards]
        rows_of_groups = (groups.members, live if groups.base is None else groups.base, groups.shared)
        return cls(groups, *(find_numbers(rows, shards) for rows in rows_of_groups))

    def count(self, days: Sequence[NumberSet]) -> GroupCounts:
        """Return how many devices of each group are in each of *days*."""
        return GroupCounts(*(_count_devices(numbers, days) for numbers in (self.members, self.base, self.shared)))


def _count_devices(numbers: NumberSet, days: Sequence[NumberSet]) -> Counts:
    counts = np.zeros(len(days), dtype=np.int64)
    for partition, own in numbers.by_partition.items():
        operations = choose_operations(UNION_NBYTES, own)
        common = (operations.intersection_cardinality(own, devices.in_partition(partition)) for devices in days)
        counts += np.fromiter(common, dtype=np.int64, count=len(days))
    return counts


def find_numbers(rows_by_shard: Sequence[BitMap], shards: Sequence[Shard]) -> NumberSet:
    """Return the numbers of the devices in some rows of each shard."""
    return NumberSet.union(shard.numbers.to_set(rows) for rows, shard in zip(rows_by_shard, shards, strict=True))


def count_by_day(event: str, numbers: NumberGroups, log: EventLog) -> CountsByDay:
    """Return the devices of each group on each day on which any device has an event."""
    by_day = _load_days(event, log)
    return CountsByDay(tuple(by_day), numbers.count([*by_day.values()]))


def count_unions(event: str, earlier: Sequence[int], numbers: NumberGroups, log: EventLog) -> EventUnions:
    """Return the devices of each group with an event on any day, and on one of the *earlier* days."""
    by_day = _load_days(event, log)
    unions = [NumberSet.union(by_day.values()), NumberSet.union(by_day[day] for day in earlier)]
    return EventUnions(*(numbers.count([union]) for union in unions))


def list_met_days(counted: CountsByDay) -> list[int]:
    """Return the days on which any device of the groups has an event."""
    is_met = (counted.counts.members + counted.counts.base > 0).tolist()
    return [day for day, is_one in zip(counted.days, is_met, strict=True) if is_one]


def list_earlier_days(counted: CountsByDay) -> list[int]:
    """Return the days on which any device of the groups has an event that are too early to be listed."""
    met_days = list_met_days(counted)
    return [day for day in met_days if day <= met_days[-1] - MAX_EVENT_DAYS]


def join_event_days(counted: CountsByDay, unions: EventUnions) -> EventDays:
    """Return the last days on which any device of the groups has an event, and what is known of the others."""
    met_days, earlier = list_met_days(counted), list_earlier_days(counted)
    days = range(met_days[len(earlier)], met_days[-1] + 1) if met_days else range(0)
    positions = np.array([at for at, day in enumerate(counted.days) if day in days], dtype=np.int64)
    places = np.array([counted.days[at] for at in positions], dtype=np.int64) - days.start
    counts = GroupCounts(*(_spread_days(each[positions], places, len(days)) for each in counted.counts.parts))
    return EventDays(days, counts, unions.known, len(met_days), len(earlier), unions.earlier)


def _spread_days(counts: Counts, places: Counts, size: int) -> Counts:
    """Return *counts* at their *places* among *size* days, of which the others have none."""
    spread = np.zeros(size, dtype=np.int64)
    spread[places] = counts
    return spread


def _load_days(event: str, log: EventLog) -> dict[int, NumberSet]:
    """Return the numbers of the devices with an event on each day, by day since 1970 in rising order."""
    by_day: dict[int, list[NumberSet]] = {}
    for segment in log.segments(event):
        for position, day in enumerate(segment.days.tolist()):
            by_day.setdefault(day, []).append(NumberSet({segment.partition: segment.load_day_devices(position)}))
    return {day: NumberSet.union(by_day[day]) for day in sorted(by_day)}


def query_day(event: str, day: int) -> Expr:
    """Return the expression for the devices with an event on a day of the index's zone."""
    return Did(EventFilter(event, None, Comparison("=", to_date(day).isoformat())), 1, None)
