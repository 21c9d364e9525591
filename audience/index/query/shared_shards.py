"""Questions that the processes of a cluster answer, each for some shards of the same snapshot."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from audience.cluster.cluster import Cluster
from audience.errors import ClusterError, InvalidIndexError, Problem
from audience.index.query.counting import count_in_shard
from audience.index.query.evaluate import find_live_rows
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.cache import DEFAULT_CACHE_BYTES
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot, reopen_snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr, Limit

Question = TypeVar("Question")
Answer = TypeVar("Answer")

MAX_TASKS = 32  # of one question; a task of many shards costs less than many tasks
OPEN_SNAPSHOTS = 4  # that a worker keeps open, with what it has read and evaluated


@dataclass(frozen=True, slots=True)
class SnapshotPlace:
    """Where a process of the cluster opens a snapshot: the index, its number, and the checksum of its manifest."""

    location: str
    number: int
    checksum: str

    @classmethod
    def of(cls, snapshot: Snapshot) -> "SnapshotPlace":
        """Return the place of *snapshot*."""
        return cls(snapshot.location, snapshot.manifest.number, snapshot.manifest.checksum)

    def open(self) -> Snapshot:
        """Return the snapshot, which this process keeps open.

        Raises:
            ClusterError: This machine does not see the index.
            InvalidIndexError: The index no longer keeps the snapshot.
        """
        return _open_snapshot(self)


@lru_cache(OPEN_SNAPSHOTS)
def _open_snapshot(place: SnapshotPlace) -> Snapshot:
    try:
        return reopen_snapshot(place.location, place.number, place.checksum, DEFAULT_CACHE_BYTES, 1)
    except InvalidIndexError as error:
        if error.code != "no-index":
            raise
        hint = "use a folder that all machines share, or the URL of an object store"
        message = f"{place.location} is not on every machine"
        raise ClusterError(Problem("other-source", message, hint=hint)) from None


@dataclass(frozen=True, slots=True)
class GroupTask(Generic[Question]):
    """Question about some shards.

    Attributes:
        place: The snapshot.
        question: What is asked, with expressions that are validated and expanded.
        positions: Positions of the shards among the `evaluated_shards`.
    """

    place: SnapshotPlace
    question: Question
    positions: tuple[int, ...]

    def shards(self) -> list[Shard]:
        """Return the shards."""
        shards = self.place.open().evaluated_shards
        return [shards[position] for position in self.positions]


def map_groups(
    function: Callable[[GroupTask[Question]], Answer], snapshot: Snapshot, question: Question, cluster: Cluster
) -> Iterator[Answer]:
    """Yield the answer of *function* to *question* for each group of shards."""
    return cluster.map(function, group_tasks(snapshot, question))


def group_tasks(snapshot: Snapshot, question: Question) -> list[GroupTask[Question]]:
    """Return *question* about each group of shards."""
    place, groups = SnapshotPlace.of(snapshot), divide_shards(len(snapshot.evaluated_shards))
    return [GroupTask(place, question, group) for group in groups]


def count_on_cluster(expr: Expr, snapshot: Snapshot, as_of: AsOf | None, cluster: Cluster) -> int:
    """Return the number of devices that match *expr*, as `counting.count_devices` does.

    Raises:
        ExpressionError: The expression refers to something that the index does not have.
        ClusterError: The cluster is lost, or its processes do not see the index.
    """
    expanded = validate_and_expand(expr, snapshot, as_of)
    counted = expanded.term if isinstance(expanded, Limit) else expanded
    total = sum(map_groups(count_in_group, snapshot, counted, cluster))
    return min(expanded.count, total) if isinstance(expanded, Limit) else total


def count_in_group(task: GroupTask[Expr]) -> int:
    """Return the number of devices in the shards of *task*."""
    return sum(count_in_shard(task.question, shard) for shard in task.shards())


def divide_shards(count: int) -> list[tuple[int, ...]]:
    """Return the positions of *count* shards in groups of consecutive ones.

    >>> divide_shards(3), len(divide_shards(100)), divide_shards(100)[1]
    ([(0,), (1,), (2,)], 25, (4, 5, 6, 7))
    """
    size = -(-count // MAX_TASKS) or 1
    return [tuple(range(first, min(first + size, count))) for first in range(0, count, size)]


def find_rows_of_shard(expr: Expr, shard: Shard, snapshot: Snapshot) -> BitMap:
    """Return the live rows of one of the `shards` that match *expr*, which is validated and expanded."""
    for evaluated in snapshot.evaluated_shards:
        if isinstance(evaluated, JoinedShard) and any(part is shard for part in evaluated.parts):
            rows: Sequence[BitMap] = evaluated.split_rows(find_live_rows(expr, evaluated))
            return next(each for part, each in zip(evaluated.parts, rows, strict=True) if part is shard)
    return find_live_rows(expr, shard)
