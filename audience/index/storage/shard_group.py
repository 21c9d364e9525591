"""Share among the shards of a snapshot what only all of them together can answer."""

from collections.abc import Hashable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import ref

from audience.index.schema.value_types import RankRange
from audience.index.storage.bitmaps import BitMap, RowSet
from audience.index.storage.event_context import EventContext
from audience.language.ast import Expr

if TYPE_CHECKING:  # a shard has its group
    from audience.index.storage.shard import Shard

MAX_CHOSEN_EXPRS = 8
MAX_KEPT_TREES = 4_096


class ShardGroup:
    """Shards of one snapshot, and the rows of those expressions that only all of them together can answer.

    At most *threads* evaluate them; None is as many as there are cores.
    """

    def __init__(self, shards: "Sequence[Shard]", threads: int | None = None, events: EventContext | None = None):
        self._shards = [ref(shard) for shard in shards]  # each shard has the group: files are closed without a cycle
        self.threads = threads
        self._events = events
        self.event_lock = Lock()
        self.event_numbers: dict[Expr, dict[int, RowSet]] = {}  # by partition; of the last few conditions about events
        self.slow_exprs: dict[int, Expr] = {}  # by identity: those that are worth sharing among threads
        self.thread_trials: dict[tuple[int, str], Any] = {}  # by identity and what is asked: `query.thread_trials`
        self.tag_trees: dict[int, tuple[Expr, Any]] = {}  # by identity: those of `query.tag_trees`
        self.chosen_rows: dict[Expr, dict[str, BitMap]] = {}  # by name of the shard; of the last few expressions
        self.matching_ranges: dict[Hashable, Sequence[RankRange]] = {}  # by pattern and values; of the last few

    @property
    def shards(self) -> "Sequence[Shard]":
        """Return the shards. Raises ReferenceError if their snapshot is no longer held."""
        shards = [shard for each in self._shards if (shard := each()) is not None]
        if len(shards) < len(self._shards):
            raise ReferenceError("the snapshot of a shard that is evaluated must be held")
        return shards

    @property
    def has_several_shards(self) -> bool:
        """Return whether there are other shards."""
        return len(self._shards) > 1

    @property
    def events(self) -> EventContext:
        """Return the events of the devices; a shard that belongs to no snapshot has none."""
        assert self._events is not None, "only the shards of a snapshot have events"
        return self._events

    def detach(self, shards: "Sequence[Shard]") -> "ShardGroup":
        """Return a group of copies of the shards, with what this group keeps; what it keeps from now on is its own."""
        group = ShardGroup(shards, self.threads, self._events)
        group.event_numbers = {expr: kept.copy() for expr, kept in self.event_numbers.copy().items()}
        group.slow_exprs = self.slow_exprs.copy()
        group.thread_trials = self.thread_trials.copy()
        group.tag_trees = self.tag_trees.copy()
        group.chosen_rows = self.chosen_rows.copy()
        group.matching_ranges = self.matching_ranges.copy()
        return group

    def share_trees(self, group: "ShardGroup") -> None:
        """Keep what another group knows of expressions, whatever the shards: their trees, and which are slow."""
        self.tag_trees, self.slow_exprs, self.thread_trials = group.tag_trees, group.slow_exprs, group.thread_trials

    def keep_tree(self, expr: Expr, tree: Any) -> None:
        """Keep the tree of *expr*, or that there is none, for as long as the same object is evaluated."""
        if len(self.tag_trees) >= MAX_KEPT_TREES:
            self.tag_trees.clear()
        self.tag_trees[id(expr)] = expr, tree

    def keep_numbers(self, expr: Expr, partition: int, numbers: RowSet) -> RowSet:
        """Keep the numbers of the devices of *expr* in a partition until some other expressions were answered.

        Return them.
        """
        if expr not in self.event_numbers and len(self.event_numbers) >= MAX_CHOSEN_EXPRS:
            self.event_numbers = {}
        self.event_numbers.setdefault(expr, {})[partition] = numbers
        return numbers

    def keep_ranges(self, searched: Hashable, ranges: Sequence[RankRange]) -> Sequence[RankRange]:
        """Keep the ranks of the values that a pattern matches until some others were searched for, and return them."""
        if len(self.matching_ranges) >= MAX_CHOSEN_EXPRS:
            self.matching_ranges = {}
        self.matching_ranges[searched] = ranges
        return ranges

    def keep_rows(self, expr: Expr, rows_by_shard: "Sequence[BitMap]") -> dict[str, BitMap]:
        """Keep the rows of *expr* until some other expressions were answered. Return them by name of the shard."""
        if len(self.chosen_rows) >= MAX_CHOSEN_EXPRS:
            self.chosen_rows = {}
        names = (shard.name for shard in self.shards)
        self.chosen_rows[expr] = rows_by_name = dict(zip(names, rows_by_shard, strict=True))
        return rows_by_name
