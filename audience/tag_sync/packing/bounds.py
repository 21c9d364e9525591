"""Lower bounds of the number of calls, whatever the calls are.

Each pair of a device and a tag gets a price such that the pairs of no possible call cost more than 1 together. Then all
pairs together cost no more than there are calls. This is the dual of covering the pairs with as few calls as possible.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.tag_sync.packing.pair_table import PairTable
from audience.vendors.tag_spec import TagCallForm

ROUNDING = 1e-6


def round_up(bound: float) -> int:
    """Return *bound* as a whole number of calls, rounding errors aside."""
    return int(np.ceil(bound - ROUNDING))


def bound_by_sizes(forms: Sequence[TagCallForm], added: PairTable, removed: PairTable) -> int:
    """Return the bound of prices by the largest call that each pair can be in.

    A call for one tag has no more pairs than the tag, and a call for one device no more than the device.
    """
    sides = (added, removed)
    prices = [np.ones(len(side.tags)) for side in sides]
    device_count = 1 + max(int(side.positions.max(initial=0)) for side in sides)
    degrees = [np.bincount(side.positions, minlength=device_count) for side in sides]
    for form in forms:
        usable = np.array((form.adds, form.removes))
        tag_sizes = usable @ [np.minimum(side.counts, form.max_ids) for side in sides]
        device_sizes = usable @ [np.minimum(each, form.max_tags) for each in degrees]
        for at in np.flatnonzero(usable).tolist():
            sizes = _find_sizes(form, sides[at], tag_sizes, device_sizes)
            prices[at] = np.minimum(prices[at], 1 / np.maximum(sizes, 1))
    return round_up(sum(float(each.sum()) for each in prices))


def _find_sizes(
    form: TagCallForm, side: PairTable, tag_sizes: NDArray[np.int64], device_sizes: NDArray[np.int64]
) -> NDArray[np.int64] | int:
    """Return the largest number of pairs in a call of *form* with each pair of *side*."""
    if form.max_pairs is None and form.max_tags == 1:
        return tag_sizes[side.tags]
    if form.max_pairs is None and form.max_ids == 1:
        return device_sizes[side.positions]
    return (form.max_pairs or form.max_ids * form.max_tags) * (form.adds + form.removes)


def bound_by_lists(rows: Sequence[BitMap], max_ids: int, max_tags: int) -> int:
    """Return the bound by the ids that all calls name, and by the tags.

    A device with twelve changes is named by two calls that take ten tags each.
    """
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    by_tags = float((-(counts // -max_ids)).sum()) / max_tags
    length = 1 + max((row.max() for row in rows if row), default=0)
    degrees = np.zeros(length, dtype=np.int64)
    for row in rows:
        degrees[bitmap_to_rows(row)] += 1
    by_ids = float((-(degrees // -max_tags)).sum()) / max_ids
    return max(round_up(by_tags), round_up(by_ids))
