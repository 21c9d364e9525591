"""Calls for the devices that have the same values of two attributes.

Where two values have nearly as many devices in common as a call takes, or many times as many, dividing all devices by
pairs of attributes leaves no call half full. Which attributes go together is what `choose_blocks` finds.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from audience.index.storage.bitmaps import BitMap, bitmap_to_rows, rows_to_bitmap
from audience.tag_sync.packing.common_tags import Found, Limits

MIN_SHARE = 0.5  # of a full call, for which a call of two tags is worth it


def find_attribute_pairs(
    rows: list[BitMap], limits: Limits, pairs: Sequence[tuple[list[int], list[int]]]
) -> list[Found]:
    """Return calls for devices with a tag of each list of a pair, and remove what they carry from *rows*."""
    return [
        call
        for first, second in pairs
        for one, other in product(first, second)
        for call in _carry_both(rows, one, other, limits)
    ]


def _carry_both(rows: list[BitMap], one: int, other: int, limits: Limits) -> list[Found]:
    """Return the calls of the devices of both tags: those that are full, and the last if it is worth it."""
    size = limits.max_ids
    positions = bitmap_to_rows(rows[one] & rows[other])
    last = len(positions) % size
    carried = positions if last >= MIN_SHARE * size else positions[: len(positions) - last]
    if not len(carried):
        return []
    done = rows_to_bitmap(np.ascontiguousarray(carried))
    rows[one] -= done
    rows[other] -= done
    return [((one, other), carried[start : start + size]) for start in range(0, len(carried), size)]
