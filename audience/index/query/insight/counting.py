"""Count the devices of two groups by the values of attributes and the days of events, in some shards."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Protocol

import numpy as np

from audience.index.query.insight.bins import Bin, Spread
from audience.index.query.insight.comparison import GroupCounts, GroupSizes
from audience.index.query.insight.event_days import CountsByDay, EventUnions, NumberGroups, count_by_day, count_unions
from audience.index.query.insight.groups import Groups, split_groups
from audience.index.query.insight.histograms import count_bins, find_spread
from audience.index.query.insight.row_counts import count_with_value, make_counter
from audience.index.query.shard_threads import map_shards
from audience.index.schema.columns import Role
from audience.index.storage.events.event_log import EventLog
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard

MAX_JOINED_VALUES = 1 << 12  # of an attribute: to join the bitmaps of more takes longer than to count twice
HISTOGRAM_ROLES: frozenset[Role] = frozenset({"number", "date", "time"})


@dataclass(frozen=True, slots=True)
class ShardCounts:
    """Counts of an attribute in one shard.

    Attributes:
        attribute: Attribute as it is stored.
        known: Devices of the groups that have any value, each an array of one number.
        by_rank: Devices of the groups with each value; None of bit-sliced numbers and days.
        spread: Values that the devices of both groups have; None if they have none, or the values are not numbers.
    """

    attribute: StoredAttribute
    known: GroupCounts
    by_rank: GroupCounts | None
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class BinnedShard:
    """Attribute whose values are counted in bins: the number of the shard, its counts, and the bins."""

    number: int
    counted: ShardCounts
    bins: Sequence[Bin]


class ProfileCounter(Protocol):
    """Counter of the devices of two groups, in this process or on a cluster."""

    @property
    def sizes(self) -> GroupSizes:
        """Return the numbers of the devices of the groups."""

    @property
    def counted_shards(self) -> Sequence[Shard]:
        """Return the shards by their number."""

    def count_attributes(self, names: Sequence[str]) -> dict[str, dict[int, ShardCounts]]:
        """Return what is counted of each attribute in each shard that has it, by number of the shard."""

    def count_bins(self, parts: Sequence[BinnedShard]) -> list[GroupCounts]:
        """Return the devices in the bins of each of *parts*."""

    def count_days(self, events: Sequence[str]) -> dict[str, CountsByDay]:
        """Return the devices on each day of each event."""

    def count_unions(self, earlier: Mapping[str, Sequence[int]]) -> dict[str, EventUnions]:
        """Return the devices on any day, and on any of the *earlier* days, of each event."""


@dataclass(frozen=True)
class GroupCounter:
    """Counter of the threads of this process.

    Attributes:
        groups: Rows of the groups in each of the shards.
        shards: The shards, as they are evaluated: joined, and without the gaps of deleted rows.
        log: Events of their devices.
    """

    groups: Groups
    shards: Sequence[Shard]
    log: EventLog

    @property
    def sizes(self) -> GroupSizes:
        """Return the numbers of the devices of the groups."""
        return self.groups.sizes

    def count_attributes(self, names: Sequence[str]) -> dict[str, dict[int, ShardCounts]]:
        """Return what is counted of each attribute in each shard that has it, by number of the shard."""
        stored = list(_list_counted(self.shards, names))
        stored.sort(key=lambda each: -each[1].row_count * each[2].value_count)  # so that threads end at the same time
        results = map_shards(
            _count_attribute,
            [shard for _, shard, _ in stored],
            [number for number, _, _ in stored],
            [attribute for _, _, attribute in stored],
            [self._find_groups([number for number, _, _ in stored])] * len(stored),
        )
        found: dict[str, dict[int, ShardCounts]] = {name: {} for name in names}
        for (number, _, attribute), counts in zip(stored, results, strict=True):
            found[attribute.name][number] = counts
        return {name: dict(sorted(by_shard.items())) for name, by_shard in found.items()}

    def count_bins(self, parts: Sequence[BinnedShard]) -> list[GroupCounts]:
        """Return the devices in the bins of each of *parts*."""
        return map_shards(
            count_bins,
            [self.counted_shards[part.number] for part in parts],
            [part.number for part in parts],
            [part.counted.attribute for part in parts],
            [part.counted.by_rank for part in parts],
            [part.bins for part in parts],
            [self._find_groups([part.number for part in parts])] * len(parts),
        )

    def _find_groups(self, numbers: Sequence[int]) -> Groups:
        """Return the rows of the groups in shards with these numbers; they are split only if a part is among them."""
        return self.groups if all(number < len(self.shards) for number in numbers) else self._all_groups

    def count_days(self, events: Sequence[str]) -> dict[str, CountsByDay]:
        """Return the devices on each day of each event."""
        return {event: count_by_day(event, self._numbers, self.log) for event in events}

    def count_unions(self, earlier: Mapping[str, Sequence[int]]) -> dict[str, EventUnions]:
        """Return the devices on any day, and on any of the *earlier* days, of each event."""
        return {event: count_unions(event, days, self._numbers, self.log) for event, days in earlier.items()}

    @cached_property
    def _stored_shards(self) -> list[Shard]:
        return [part for shard in self.shards for part in _parts_of(shard)]

    @cached_property
    def counted_shards(self) -> Sequence[Shard]:
        """Return the shards by their number: the evaluated ones, then those that are stored, of which they consist."""
        return [*self.shards, *self._stored_shards]

    @cached_property
    def _split_groups(self) -> Groups:
        return split_groups(self.groups, self.shards, self._stored_shards)

    @cached_property
    def _all_groups(self) -> Groups:
        whole, split = self.groups, self._split_groups
        base = None if whole.base is None or split.base is None else [*whole.base, *split.base]
        return Groups(whole.sizes, [*whole.members, *split.members], base, [*whole.shared, *split.shared])

    @cached_property
    def _numbers(self) -> NumberGroups:
        return NumberGroups.of(self._split_groups, self._stored_shards)


def _parts_of(shard: Shard) -> Sequence[Shard]:
    return shard.parts if isinstance(shard, JoinedShard) else (shard,)


def _is_worth_joining(shard: JoinedShard, attribute: StoredAttribute) -> bool:
    """Return whether to join the bitmaps of an attribute. To close their gaps takes long: only if it is asked again."""
    if attribute.value_count > MAX_JOINED_VALUES:
        return False
    is_asked_again = attribute.name in shard.profiled
    shard.profiled.add(attribute.name)
    return is_asked_again or not shard.is_renumbered


def _list_counted(shards: Sequence[Shard], names: Sequence[str]) -> Iterator[tuple[int, Shard, StoredAttribute]]:
    """Yield where each attribute is counted: in a shard, or else in its parts, whose numbers follow those of *shards*.

    A joined shard lacks attributes that its parts store in ways that cannot be joined.
    """
    first_part = len(shards)
    for number, shard in enumerate(shards):
        parts = _parts_of(shard)
        for name in names:
            attribute = shard.attributes.get(name)
            if attribute is not None and (not isinstance(shard, JoinedShard) or _is_worth_joining(shard, attribute)):
                yield number, shard, attribute
            elif isinstance(shard, JoinedShard):
                stored = ((at, part, part.attributes.get(name)) for at, part in enumerate(parts, first_part))
                yield from ((at, part, attribute) for at, part, attribute in stored if attribute is not None)
        first_part += len(parts)


def _count_attribute(shard: Shard, number: int, attribute: StoredAttribute, groups: Groups) -> ShardCounts:
    is_histogram, is_sliced = attribute.role in HISTOGRAM_ROLES, attribute.bit_slicing is not None
    by_rank = None
    if not (is_histogram and is_sliced):
        by_rank = groups.count(number, make_counter(attribute, shard))
    if by_rank is not None and attribute.is_single_valued:
        known = GroupCounts(*(each.sum(keepdims=True) for each in (by_rank.members, by_rank.base, by_rank.shared)))
    else:
        known = groups.count(number, lambda rows: np.array([count_with_value(attribute, rows, shard)]))
    spread = find_spread(attribute, groups, number, by_rank, shard) if is_histogram else None
    return ShardCounts(attribute, known, by_rank, spread)


def sum_counts(counts: Sequence[GroupCounts], size: int) -> GroupCounts:
    """Return the sums of counts of the same *size* values in several shards."""
    none = np.zeros(size, dtype=np.int64)
    return GroupCounts(
        reduce(add, (each.members for each in counts), none),
        reduce(add, (each.base for each in counts), none),
        reduce(add, (each.shared for each in counts), none),
    )
