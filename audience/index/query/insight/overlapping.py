"""Compare several audiences: evaluate them in all shards, and count what each two of them share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from audience.cluster.cluster import Cluster
from audience.errors import PlanError, Problem
from audience.index.query.evaluate import find_live_rows
from audience.index.query.insight.overlap import (
    MAX_COMBINED,
    MAX_SEGMENTS,
    Combination,
    Overlap,
    OverlapPair,
    OverlapSegment,
)
from audience.index.query.shard_threads import map_shards
from audience.index.query.shared_shards import GroupTask, map_groups
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import BitMap, LazyUnion, bitmap_to_rows
from audience.index.storage.croaring import choose_operations
from audience.index.storage.packed_numbers import read_numbers
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr, ExprNode
from audience.language.parser import to_expr
from audience.language.printer import render

GATHER_RATIO = 16  # if fewer than one row in so many is in any audience, rows are looked up one by one


def name_segments(exprs: Mapping[str, Expr | str] | Sequence[Expr | str]) -> dict[str, Expr]:
    """Return *exprs*, parsed, by name; the name of one in a sequence is its text.

    Raises:
        TypeError: *exprs* is one expression.
        ExpressionError: One of them is invalid.
        PlanError: There are none, too many, or two of one name.
    """
    if isinstance(exprs, str | ExprNode):
        raise TypeError(f"exprs: expected several expressions, got {exprs!r:.60}")
    if not exprs:
        raise PlanError(Problem("no-segments", "no audiences to compare", hint="name two expressions or more"))
    if len(exprs) > MAX_SEGMENTS:
        message = f"{len(exprs):,} audiences, and at most {MAX_SEGMENTS} are compared with each other"
        raise PlanError(Problem("too-many-segments", message, hint="compare those that matter, or parts of the list"))
    if isinstance(exprs, Mapping):
        return {name: to_expr(expr) for name, expr in exprs.items()}
    named: dict[str, Expr] = {}
    for expr in exprs:
        name = expr if isinstance(expr, str) else render(expr)
        if name in named:
            message = f"two audiences have the name {name!r:.80}"
            raise PlanError(Problem("same-segment", message, hint="give each expression a name of its own"))
        named[name] = to_expr(expr)
    return named


@dataclass(frozen=True, slots=True)
class OverlapCounts:
    """Counts of what audiences share in some shards, which can be added.

    Attributes:
        both: How many devices each two audiences share, in a square of which the diagonal has their sizes.
        united: How many devices are in any of them.
        combined: How many devices are in exactly the audiences that the binary digits of each number name; None if
            there are too many.
    """

    both: NDArray[np.int64]
    united: int
    combined: NDArray[np.int64] | None

    def __add__(self, other: "OverlapCounts") -> "OverlapCounts":
        is_combined = self.combined is not None and other.combined is not None
        combined = self.combined + other.combined if is_combined else None  # type: ignore[operator]
        return OverlapCounts(self.both + other.both, self.united + other.united, combined)


def overlap_segments(
    segments: Mapping[str, Expr], snapshot: Snapshot, asked: AsOf, cluster: Cluster | None = None
) -> Overlap:
    """Count the devices that each two of *segments*, and each combination of up to ten, have in common.

    Args:
        segments: Audiences by name.
        snapshot: Snapshot.
        asked: When and where they are asked.
        cluster: Processes that count, each in some shards; None is this one.

    Raises:
        ExpressionError: An expression refers to something that the index does not have.
        ClusterError: The cluster is lost, or its processes do not see the index.
    """
    names = [*segments]
    exprs = tuple(validate_and_expand(expr, snapshot, asked) for expr in segments.values())
    if cluster is None:
        counted = count_overlap(exprs, snapshot.evaluated_shards)
    else:
        counted = reduce(add, map_groups(_count_group, snapshot, exprs, cluster))
    both, united = counted.both, counted.united
    counts = both.diagonal().tolist()
    devices, number = snapshot.device_count, snapshot.manifest.number
    return Overlap(
        number,
        asked.local_time.replace(microsecond=0),
        devices,
        tuple(
            OverlapSegment(name, render(expr), count, count / devices if devices else 0.0)
            for (name, expr), count in zip(segments.items(), counts, strict=True)
        ),
        tuple(
            tuple(_make_pair(int(shared), counts[row], counts[column]) for column, shared in enumerate(row_counts))
            for row, row_counts in enumerate(both.tolist())
        ),
        None if counted.combined is None else _list_combinations(names, counted.combined),
        devices - united,
    )


def count_overlap(exprs: Sequence[Expr], shards: Sequence[Shard]) -> OverlapCounts:
    """Return what the audiences of *exprs*, which are validated and expanded, share in *shards*."""
    rows = _resolve_all(exprs, shards)
    none = np.zeros(1 << len(exprs), dtype=np.int64) if len(exprs) <= MAX_COMBINED else None
    combined = None if none is None else sum(map_shards(_count_combinations, shards, rows), none)
    return OverlapCounts(_count_pairs(rows, shards), sum(map_shards(_count_any, shards, rows)), combined)


def _count_group(task: GroupTask[tuple[Expr, ...]]) -> OverlapCounts:
    return count_overlap(task.question, task.shards())


def _make_pair(both: int, first: int, second: int) -> OverlapPair:
    either = first + second - both
    return OverlapPair(both, both / either if either else None, both / first if first else None)


def _resolve_all(exprs: Sequence[Expr], shards: Sequence[Shard]) -> list[list[BitMap]]:
    """Return the rows of every expression, a list of them for each shard."""
    tasks = [(shard, expr) for shard in shards for expr in exprs]
    found = map_shards(_find_rows, [shard for shard, _ in tasks], [expr for _, expr in tasks])
    return [found[start : start + len(exprs)] for start in range(0, len(found), len(exprs))]


def _find_rows(shard: Shard, expr: Expr) -> BitMap:
    return find_live_rows(expr, shard)


def _count_pairs(rows: Sequence[Sequence[BitMap]], shards: Sequence[Shard]) -> NDArray[np.int64]:
    """Return how many devices each two audiences share, in a square of which the diagonal has their sizes."""
    size = len(rows[0]) if rows else 0
    tasks = [(number, at) for number in range(len(shards)) for at in range(size)]
    counted = map_shards(
        _count_with_later, [shards[number] for number, _ in tasks], [rows[number][at:] for number, at in tasks]
    )
    both = np.zeros((size, size), dtype=np.int64)
    for (_, at), counts in zip(tasks, counted, strict=True):
        both[at, at:] += counts
    return np.triu(both) + np.triu(both, 1).T


def _count_with_later(_: Shard, rows: Sequence[BitMap]) -> NDArray[np.int64]:
    """Return how many rows the first of *rows* shares with each of them."""
    first = rows[0]
    operations = choose_operations(2 * len(first), first)
    others = (operations.intersection_cardinality(first, other) if first and other else 0 for other in rows[1:])
    return np.array([len(first), *others], dtype=np.int64)


def _count_any(_: Shard, rows: Sequence[BitMap]) -> int:
    return len(_unite(rows))


def _unite(rows: Sequence[BitMap]) -> BitMap:
    return LazyUnion([*rows], sum(2 * len(each) for each in rows), False).materialize().bitmap


def _list_combinations(names: Sequence[str], counts: NDArray[np.int64]) -> tuple[Combination, ...]:
    """Return the combinations that any device is in, the largest first."""
    found = np.flatnonzero(counts[1:]) + 1
    members = [tuple(name for at, name in enumerate(names) if number >> at & 1) for number in found.tolist()]
    combinations = [Combination(each, int(counts[number])) for each, number in zip(members, found, strict=True)]
    return tuple(sorted(combinations, key=lambda each: (-each.count, len(each.names))))


def _count_combinations(shard: Shard, rows: Sequence[BitMap]) -> NDArray[np.int64]:
    """Return how many rows are in exactly the audiences that the binary digits of each number name, but for 0."""
    united = _unite(rows)
    if len(united) * GATHER_RATIO > shard.row_count:
        numbers = read_numbers(rows, shard.row_count)
    else:
        found = bitmap_to_rows(united)
        numbers = np.zeros(len(found), dtype=np.uint32)
        for at, each in enumerate(rows):
            numbers[np.searchsorted(found, bitmap_to_rows(each))] |= np.uint32(1 << at)
    return np.bincount(numbers, minlength=1 << len(rows)).astype(np.int64)
