"""Calls that remove many tags at once, also from devices that have only one of them.

Removing a tag that a device does not have changes nothing. So a call may name ten tags, and devices that lose any of
them, as long as no device keeps one of the ten. Devices that lose values of one attribute fit together: none of them
keeps such a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows, rows_to_bitmap
from audience.tag_sync.packing.common_tags import Found, Limits

MAX_CANDIDATES = 256  # tags that are tried for a call


def find_any_tags(rows: list[BitMap], kept: Sequence[BitMap], limits: Limits, caution: int = 0) -> list[Found]:
    """Return calls for all devices of *rows*, each without devices that have one of its tags in *kept*.

    With *caution*, a device that a call leaves out counts as so many that it takes: others have to carry it.
    """
    devices = bitmap_to_rows(BitMap.union(*rows)) if rows else np.empty(0, dtype=np.uint32)
    compact, compact_kept = ([_renumber(row, devices) for row in each] for each in (rows, kept))
    found: list[Found] = []
    while order := sorted((tag for tag, row in enumerate(compact) if row), key=lambda tag: (-len(compact[tag]), tag)):
        draft = _Draft([order[0]], compact[order[0]].copy(), compact_kept[order[0]].copy())
        candidates = order[1 : 1 + MAX_CANDIDATES]
        while len(draft.tags) < limits.max_tags and draft.extend(candidates, compact, compact_kept, limits, caution):
            candidates.remove(draft.tags[-1])
        positions = draft.choose_devices(compact, limits.max_ids)
        done = rows_to_bitmap(positions)
        for tag in draft.tags:
            compact[tag] -= done
        found.append((tuple(draft.tags), devices[positions]))
    return found


def _renumber(row: BitMap, devices: RowNumbers) -> BitMap:
    """Return the places in *devices* of those that *row* has."""
    positions = bitmap_to_rows(row)
    at = np.minimum(np.searchsorted(devices, positions), max(len(devices) - 1, 0))
    return rows_to_bitmap(at[devices[at] == positions].astype(np.uint32)) if len(devices) else BitMap()


@dataclass(slots=True, eq=False)
class _Draft:
    """Call that is being filled.

    Attributes:
        tags: Its tags.
        pool: Devices that lose one of the tags and keep none.
        kept: Devices that keep one of the tags.
    """

    tags: list[int]
    pool: BitMap
    kept: BitMap

    def extend(
        self,
        candidates: Sequence[int],
        rows: Sequence[BitMap],
        kept: Sequence[BitMap],
        limits: Limits,
        caution: int,
    ) -> bool:
        """Add the tag of *candidates* that brings most devices, or most changes of a full call, if any does."""
        is_full = len(self.pool) >= limits.max_ids
        best, best_gain = -1, (0, 0)
        for tag in candidates:
            if not is_full and len(rows[tag]) < best_gain[0]:
                break  # tags come in falling order: later ones cannot bring more
            lost = self.pool.intersection_cardinality(kept[tag])
            if is_full and len(self.pool) - lost < limits.max_ids:
                continue
            changed = self.pool.intersection_cardinality(rows[tag])
            brought = 0
            if not is_full:
                left_out = rows[tag].intersection_cardinality(self.kept) + lost
                brought = len(rows[tag]) - changed - left_out * (1 + caution)
            if (gain := (brought, changed)) > best_gain:
                best, best_gain = tag, gain
        if best >= 0:
            self.tags.append(best)
            self.kept |= kept[best]
            self.pool = (self.pool | rows[best]) - self.kept
        return best >= 0

    def choose_devices(self, rows: Sequence[BitMap], max_ids: int) -> RowNumbers:
        """Return the devices of the call: those that lose most of its tags, if there are too many."""
        positions = bitmap_to_rows(self.pool)
        if len(positions) <= max_ids:
            return positions
        losses = np.zeros(len(positions), dtype=np.int64)
        for tag in self.tags:
            losses[np.searchsorted(positions, bitmap_to_rows(self.pool & rows[tag]))] += 1
        return np.sort(positions[np.argsort(-losses, kind="stable")[:max_ids]])
