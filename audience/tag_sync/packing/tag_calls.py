"""Calls for one tag and many ids. Their number is the least there can be of this form alone."""

from collections.abc import Iterator

import numpy as np

from audience.index.storage.bitmaps import RowNumbers
from audience.tag_sync.packing.calls import PackedCall, PackedGrid
from audience.tag_sync.packing.pair_table import PairTable
from audience.vendors.tag_spec import TagCallForm


def pack_tags(form: TagCallForm, added: PairTable, removed: PairTable) -> list[PackedCall]:
    """Return calls of *form* for all pairs: each is of one tag, and adds and removes at once if the form does."""
    return [call for tag in range(len(added.starts) - 1) for call in _pack_tag(form, tag, added, removed)]


def _pack_tag(form: TagCallForm, tag: int, added: PairTable, removed: PairTable) -> Iterator[PackedCall]:
    added_grids = [*_slice_grid(tag, added.devices_of(tag), form.max_ids)]
    removed_grids = [*_slice_grid(tag, removed.devices_of(tag), form.max_ids)]
    for at in range(max(len(added_grids), len(removed_grids))):
        yield PackedCall(
            form,
            added=added_grids[at] if at < len(added_grids) else PackedGrid(),
            removed=removed_grids[at] if at < len(removed_grids) else PackedGrid(),
        )


def _slice_grid(tag: int, positions: RowNumbers, size: int) -> Iterator[PackedGrid]:
    tags = np.array([tag], dtype=np.uint32)
    for start in range(0, len(positions), size):
        yield PackedGrid(positions[start : start + size], tags)
