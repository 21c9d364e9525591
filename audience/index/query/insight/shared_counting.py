"""Counts of a profile by the processes of a cluster, each in some shards; only counts come back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from audience.cluster.cluster import Cluster
from audience.index.query.evaluate import find_live_rows
from audience.index.query.insight.bins import Bin
from audience.index.query.insight.comparison import GroupCounts, GroupSizes
from audience.index.query.insight.counting import BinnedShard, GroupCounter, ShardCounts, sum_counts
from audience.index.query.insight.event_days import CountsByDay, EventUnions
from audience.index.query.insight.groups import join_groups
from audience.index.query.insight.histograms import count_bins, needs_rows, sum_bins
from audience.index.query.shared_shards import GroupTask, SnapshotPlace, map_groups
from audience.index.query.validate import validate_and_expand
from audience.index.storage.joined_shard import rows_by_shard
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr

KEPT_GROUPS = 8  # whose rows a process keeps for the next question of the same profile


@dataclass(frozen=True, slots=True)
class ComparedExprs:
    """Expressions of the members and of the base, validated and expanded; no base is everybody."""

    members: Expr
    base: Expr | None


@dataclass(frozen=True, slots=True)
class _Names:
    """Attributes and events that are counted."""

    exprs: ComparedExprs
    attributes: tuple[str, ...]
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _FirstCounts:
    """Counts of them in some shards, by the names of these."""

    sizes: GroupSizes
    attributes: dict[str, dict[str, ShardCounts]]
    days: dict[str, CountsByDay]


@dataclass(frozen=True, slots=True)
class _Bins:
    """Bins of attributes."""

    exprs: ComparedExprs
    bins: dict[str, tuple[Bin, ...]]


@dataclass(frozen=True, slots=True)
class _EarlierDays:
    """Earlier days of events."""

    exprs: ComparedExprs
    days: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class SharedCounter:
    """Counter of the processes of a cluster.

    Attributes:
        exprs: Expressions of the groups.
        snapshot: Snapshot.
        cluster: The cluster.
        sizes: Numbers of the devices of the groups.
        attributes: What was counted of each attribute, by number of the shard.
        days: Devices on each day of each event.
    """

    exprs: ComparedExprs
    snapshot: Snapshot
    cluster: Cluster
    sizes: GroupSizes
    attributes: Mapping[str, dict[int, ShardCounts]]
    days: Mapping[str, CountsByDay]

    @property
    def counted_shards(self) -> Sequence[Shard]:
        """Return the shards by their number."""
        return self.snapshot.shards

    def count_attributes(self, names: Sequence[str]) -> dict[str, dict[int, ShardCounts]]:
        """Return what is counted of each attribute in each shard that has it, by number of the shard."""
        return {name: self.attributes[name] for name in names}

    def count_bins(self, parts: Sequence[BinnedShard]) -> list[GroupCounts]:
        """Return the devices in the bins of each of *parts*, which are counted again only where it is needed."""
        bins = {part.counted.attribute.name: tuple(part.bins) for part in parts if needs_rows(part.counted.attribute)}
        counted: dict[tuple[str, str], GroupCounts] = {}
        if bins:
            for answer in map_groups(_count_bins, self.snapshot, _Bins(self.exprs, bins), self.cluster):
                counted |= answer
        return [self._find_bins(part, counted) for part in parts]

    def _find_bins(self, part: BinnedShard, counted: Mapping[tuple[str, str], GroupCounts]) -> GroupCounts:
        shard, attribute, by_rank = self.snapshot.shards[part.number], part.counted.attribute, part.counted.by_rank
        if by_rank is not None and not needs_rows(attribute):
            return sum_bins(shard, attribute, by_rank, part.bins)
        return counted[shard.name, attribute.name]

    def count_days(self, events: Sequence[str]) -> dict[str, CountsByDay]:
        """Return the devices on each day of each event."""
        return {event: self.days[event] for event in events}

    def count_unions(self, earlier: Mapping[str, Sequence[int]]) -> dict[str, EventUnions]:
        """Return the devices on any day, and on any of the *earlier* days, of each event."""
        question = _EarlierDays(self.exprs, {event: tuple(days) for event, days in earlier.items()})
        answers = list(map_groups(_count_unions, self.snapshot, question, self.cluster))
        return {
            event: EventUnions(
                sum_counts([answer[event].known for answer in answers], 1),
                sum_counts([answer[event].earlier for answer in answers], 1),
            )
            for event in earlier
        }


def count_on_cluster(
    expr: Expr,
    against: Expr | None,
    snapshot: Snapshot,
    asked: AsOf,
    attributes: Sequence[str],
    events: Sequence[str],
    cluster: Cluster,
) -> SharedCounter:
    """Return the counter of a profile on *cluster*, with what is counted of *attributes* and *events* at first.

    Raises:
        ExpressionError: An expression refers to something that the index does not have.
        ClusterError: The cluster is lost, or its processes do not see the index.
    """
    exprs = ComparedExprs(
        validate_and_expand(expr, snapshot, asked),
        None if against is None else validate_and_expand(against, snapshot, asked),
    )
    question = _Names(exprs, tuple(attributes), tuple(events))
    parts = list(map_groups(_count_first, snapshot, question, cluster))
    numbers = {shard.name: number for number, shard in enumerate(snapshot.shards)}
    counted: dict[str, dict[int, ShardCounts]] = {name: {} for name in attributes}
    for part in parts:
        for name, by_shard in part.attributes.items():
            counted[name] |= {numbers[shard]: counts for shard, counts in by_shard.items()}
    days = {event: _join_days([part.days[event] for part in parts]) for event in events}
    in_order = {name: dict(sorted(by_number.items())) for name, by_number in counted.items()}
    return SharedCounter(exprs, snapshot, cluster, _join_sizes([part.sizes for part in parts]), in_order, days)


def _join_sizes(sizes: Iterable[GroupSizes]) -> GroupSizes:
    parts = [(each.members, each.base, each.shared) for each in sizes]
    return GroupSizes(*map(sum, zip(*parts, strict=True)))


def _join_days(parts: Sequence[CountsByDay]) -> CountsByDay:
    """Return the sum of the counts of *parts*, all of which have the days of the whole index."""
    days = parts[0].days
    assert all(part.days == days for part in parts)
    return CountsByDay(days, sum_counts([part.counts for part in parts], len(days)))


@lru_cache(KEPT_GROUPS)
def _open_counter(place: SnapshotPlace, exprs: ComparedExprs, positions: tuple[int, ...]) -> GroupCounter:
    """Return the counter of this process for the shards that are evaluated at *positions*."""
    snapshot = place.open()
    evaluated = [snapshot.evaluated_shards[position] for position in positions]
    members, base = (
        None if expr is None else rows_by_shard(evaluated, [find_live_rows(expr, shard) for shard in evaluated])
        for expr in (exprs.members, exprs.base)
    )
    assert members is not None
    shards = [shard for shard in snapshot.shards if shard.name in members]
    groups = join_groups(
        [members[shard.name] for shard in shards],
        None if base is None else [base[shard.name] for shard in shards],
        sum(shard.device_count for shard in shards),
    )
    return GroupCounter(groups, shards, snapshot.events)


def _count_first(task: GroupTask[_Names]) -> _FirstCounts:
    counter = _open_counter(task.place, task.question.exprs, task.positions)
    counted = counter.count_attributes(task.question.attributes)
    by_shard = {
        name: {counter.shards[number].name: counts for number, counts in by_number.items()}
        for name, by_number in counted.items()
    }
    return _FirstCounts(counter.sizes, by_shard, counter.count_days(task.question.events))


def _count_bins(task: GroupTask[_Bins]) -> dict[tuple[str, str], GroupCounts]:
    """Return the devices in the bins of each attribute that needs its rows, by the names of shard and attribute."""
    counter = _open_counter(task.place, task.question.exprs, task.positions)
    return {
        (shard.name, name): count_bins(shard, number, shard.attributes[name], None, bins, counter.groups)
        for number, shard in enumerate(counter.shards)
        for name, bins in task.question.bins.items()
        if name in shard.attributes and needs_rows(shard.attributes[name])
    }


def _count_unions(task: GroupTask[_EarlierDays]) -> dict[str, EventUnions]:
    return _open_counter(task.place, task.question.exprs, task.positions).count_unions(task.question.days)
