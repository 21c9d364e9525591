"""Groups of devices that are compared: the members of an audience, and a base such as everybody."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from audience.index.query.evaluate import find_live_rows
from audience.index.query.insight.comparison import Counts, GroupCounts, GroupSizes
from audience.index.query.shard_threads import map_expr
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.joined_shard import rows_by_shard
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows of the members, of the base and of both at once, in each shard; None instead of all live rows."""

    sizes: GroupSizes
    members: Sequence[BitMap]
    base: Sequence[BitMap] | None
    shared: Sequence[BitMap]

    def count(self, shard_number: int, count_rows: Callable[[BitMap | None], Counts]) -> GroupCounts:
        """Return what *count_rows* counts of the rows of each group in a shard; rows are counted once."""
        sizes = self.sizes
        members = count_rows(self.members[shard_number])
        base = count_rows(None if self.base is None else self.base[shard_number])
        if sizes.shared == sizes.members:
            return GroupCounts(members, base, members)
        if sizes.shared == sizes.base:
            return GroupCounts(members, base, base)
        shared = count_rows(self.shared[shard_number]) if sizes.shared else np.zeros_like(members)
        return GroupCounts(members, base, shared)


def resolve_groups(expr: Expr, against: Expr | None, snapshot: Snapshot, asked: AsOf) -> Groups:
    """Return the devices of *expr*, and those of *against* as their base, in the evaluated shards; None is everybody.

    Raises:
        ExpressionError: An expression refers to something that the index does not have.
    """
    members, base = (
        None
        if each is None
        else map_expr(find_live_rows, validate_and_expand(each, snapshot, asked), snapshot.evaluated_shards)
        for each in (expr, against)
    )
    assert members is not None, "there is an expression"
    return join_groups(members, base, snapshot.device_count)


def split_groups(groups: Groups, shards: Sequence[Shard], stored: Sequence[Shard]) -> Groups:
    """Return the rows of *groups*, which are of *shards*, in each of the *stored* shards that these consist of."""
    members, base, shared = (
        None if rows is None else rows_by_shard(shards, rows) for rows in (groups.members, groups.base, groups.shared)
    )
    assert members is not None and shared is not None, "only the base can be everybody"
    return Groups(
        groups.sizes,
        [members[shard.name] for shard in stored],
        None if base is None else [base[shard.name] for shard in stored],
        [shared[shard.name] for shard in stored],
    )


def join_groups(members: Sequence[BitMap], base: Sequence[BitMap] | None, device_count: int) -> Groups:
    """Return the groups of these rows in some shards, which have so many live devices; no base is all of them."""
    count = sum(map(len, members))
    if base is None:
        return Groups(GroupSizes(count, device_count, count), members, None, members)
    shared = [rows & others for rows, others in zip(members, base, strict=True)]
    return Groups(GroupSizes(count, sum(map(len, base)), sum(map(len, shared))), members, base, shared)
