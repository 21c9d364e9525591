"""Bring tags of devices to one list of ids and one list of tags, so that their bitmaps can be combined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap, bitmap_to_rows, rows_to_bitmap
from audience.tag_sync.tags import DeviceTags, Rows, SyncedTag

Positions: TypeAlias = NDArray[np.uint32] | None  # new position of each old one, rising; None if they are the same

ID = "id"


@dataclass(frozen=True, slots=True)
class MergedIds:
    """Ids of two sorted lists in one, with the new position of each id of the first and of the second list."""

    ids: pl.Series
    first: Positions
    second: Positions


def merge_ids(first: pl.Series, second: pl.Series) -> MergedIds:
    """Merge two sorted lists of ids, each of which has an id once.

    >>> merged = merge_ids(pl.Series(["a", "c"]), pl.Series(["b", "c"]))
    >>> merged.ids.to_list(), merged.first.tolist(), merged.second.tolist()
    (['a', 'b', 'c'], [0, 2], [1, 2])
    """
    if first.equals(second):
        return MergedIds(first, None, None)
    if not len(first) or not len(second):
        return MergedIds(second if not len(first) else first, None, None)
    both = pl.DataFrame({ID: first, "is_second": np.zeros(len(first), dtype=np.bool_)}).merge_sorted(
        pl.DataFrame({ID: second, "is_second": np.ones(len(second), dtype=np.bool_)}), key=ID
    )
    ids, is_second = both[ID], both["is_second"].to_numpy()
    is_new = (ids != ids.shift(1)).fill_null(value=True)
    positions = (is_new.cum_sum().to_numpy() - 1).astype(np.uint32)
    return MergedIds(ids.filter(is_new), positions[~is_second], positions[is_second])


def move_rows(rows: Sequence[BitMap], positions: Positions) -> Rows:
    """Return *rows* with each position replaced by the new one."""
    return tuple(rows) if positions is None else tuple(move_bitmap(bitmap, positions) for bitmap in rows)


def move_bitmap(bitmap: BitMap, positions: Positions) -> BitMap:
    """Return *bitmap* with each position replaced by the new one."""
    return bitmap if positions is None else rows_to_bitmap(positions[bitmap_to_rows(bitmap)])


def merge_tags(first: Sequence[SyncedTag], second: Sequence[SyncedTag]) -> tuple[SyncedTag, ...]:
    """Return the tags of both, each name once: those of *first* in their order, then the others of *second*.

    If both have a tag of a name, the tag of *second* is returned.
    """
    newer = {tag.name: tag for tag in second}
    known = {tag.name for tag in first}
    return (*(newer.get(tag.name, tag) for tag in first), *(tag for tag in second if tag.name not in known))


def arrange_rows(device_tags: DeviceTags, tags: Sequence[SyncedTag], positions: Positions) -> Rows:
    """Return the rows of *device_tags* for each of *tags*, by name, at new positions; of a tag that it lacks none."""
    by_name = {tag.name: rows for tag, rows in zip(device_tags.tags, device_tags.rows, strict=True)}
    return move_rows([by_name.get(tag.name, BitMap()) for tag in tags], positions)
