"""Calls that list pairs, for what calls for single tags leave over. The number of both together is the least possible.

A tag of 1,030 devices at 500 ids a call takes three calls, or two and 30 pairs. Each call that is saved moves the pairs
of the last call of a tag, and a second call of the same tag would move more of them. So the tags with the smallest
remainders are moved, as many as save calls.
"""

import numpy as np
from numpy.typing import NDArray

from audience.tag_sync.packing.calls import PackedCall, PackedPairs
from audience.tag_sync.packing.pair_table import PairTable
from audience.tag_sync.packing.tag_calls import pack_tags
from audience.vendors.tag_spec import TagCallForm


def pack_tags_and_pairs(
    tag_form: TagCallForm, pair_form: TagCallForm, pairs: PairTable, *, is_added: bool
) -> list[PackedCall]:
    """Return calls of both forms that add, or remove, all *pairs*: as few as there can be."""
    size = max_pairs_of(pair_form)
    moved = _choose_remainders(pairs.counts, tag_form.max_ids, size)
    is_listed = _find_listed(pairs, moved, tag_form.max_ids)
    listed, kept = pairs.select(is_listed), pairs.select(~is_listed)
    nothing = pairs.select(np.zeros_like(is_listed))
    by_tag = pack_tags(tag_form, *((kept, nothing) if is_added else (nothing, kept)))
    return [*by_tag, *pack_pairs(pair_form, listed, is_added=is_added)]


def pack_pairs(form: TagCallForm, pairs: PairTable, *, is_added: bool) -> list[PackedCall]:
    """Return calls that list *pairs*."""
    size = max_pairs_of(form)
    parts = [
        PackedPairs(pairs.positions[start : start + size], pairs.tags[start : start + size])
        for start in range(0, len(pairs.tags), size)
    ]
    return [PackedCall(form, added=part) if is_added else PackedCall(form, removed=part) for part in parts]


def max_pairs_of(form: TagCallForm) -> int:
    """Return how many pairs fit into a call of *form*, whatever they are."""
    return min(form.max_pairs or 1, form.max_ids, form.max_tags)


def _choose_remainders(counts: NDArray[np.int64], max_ids: int, size: int) -> NDArray[np.bool_]:
    """Return the tags of which the last call is replaced by pairs."""
    remainders = np.where(counts > 0, (counts - 1) % max_ids + 1, 0)
    order = np.argsort(remainders, kind="stable")[np.count_nonzero(remainders == 0) :]
    moved_pairs = np.cumsum(remainders[order])
    saved = np.arange(1, len(order) + 1) + moved_pairs // -size
    moved = np.zeros(len(counts), dtype=np.bool_)
    if len(order) and saved.max() > 0:
        moved[order[: int(np.argmax(saved)) + 1]] = True
    return moved


def _find_listed(pairs: PairTable, moved: NDArray[np.bool_], max_ids: int) -> NDArray[np.bool_]:
    """Return which pairs are those of the last calls of the *moved* tags."""
    first_listed = pairs.starts[:-1] + (np.maximum(pairs.counts, 1) - 1) // max_ids * max_ids
    rank = np.arange(len(pairs.tags), dtype=np.int64)
    return np.asarray(moved[pairs.tags] & (rank >= first_listed[pairs.tags]), dtype=np.bool_)
