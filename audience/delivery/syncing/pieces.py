"""Pieces of a packed call: without ids that the vendor does not know, or in halves to find them."""

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from audience.index.storage.bitmaps import RowNumbers
from audience.tag_sync.packing.calls import PackedCall, PackedGrid, PackedPairs


def list_positions(call: PackedCall) -> RowNumbers:
    """Return the positions of all ids of *call*, each once, sorted."""
    return np.unique(np.concatenate([part.positions for part in (call.added, call.removed) if len(part)] or [_NONE]))


def count_pairs(call: PackedCall) -> int:
    """Return how many tags *call* sets and removes."""
    return len(call.added) + len(call.removed)


def without_positions(call: PackedCall, dropped: Collection[int]) -> PackedCall:
    """Return *call* without the ids at *dropped*."""
    if not dropped:
        return call
    positions = np.fromiter(dropped, dtype=np.uint32, count=len(dropped))
    return replace(
        call,
        added=_select(call.added, ~np.isin(call.added.positions, positions)),
        removed=_select(call.removed, ~np.isin(call.removed.positions, positions)),
    )


def halve(call: PackedCall) -> tuple[PackedCall, PackedCall]:
    """Return two calls, each for a half of the ids of *call*, which has more than one.

    >>> call = PackedCall(None, added=PackedGrid(np.array([4, 5, 9], "u4"), np.array([0], "u4")))
    >>> [half.added.positions.tolist() for half in halve(call)]
    [[4], [5, 9]]
    """
    positions = list_positions(call)
    first = set(positions[: len(positions) // 2].tolist())
    second = set(positions[len(positions) // 2 :].tolist())
    return without_positions(call, second), without_positions(call, first)


def find_positions(call: PackedCall, ids: Iterable[str], names: Iterable[str]) -> set[int]:
    """Return the positions of *ids* in *call*, whose ids are *names* in the order of `list_positions`.

    An id that the call does not have is ignored.
    """
    wanted = set(ids)
    pairs = zip(list_positions(call).tolist(), names, strict=True)
    return {position for position, name in pairs if name in wanted}


def _select(
    part: PackedGrid | PackedPairs, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> PackedGrid | PackedPairs:
    match part:
        case PackedGrid():
            return PackedGrid(part.positions[chosen], part.tags) if chosen.any() else PackedGrid()
        case PackedPairs():
            return PackedPairs(part.positions[chosen], part.tags[chosen])


_NONE: RowNumbers = np.empty(0, dtype=np.uint32)
