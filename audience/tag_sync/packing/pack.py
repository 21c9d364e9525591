"""Packing of the changes of one application into calls of the vendor's forms."""

from collections.abc import Sequence

import numpy as np

from audience.index.storage.bitmaps import RowNumbers, bitmap_to_rows
from audience.tag_sync.packing.calls import PackedCall, PackedGrid, Packing
from audience.tag_sync.tags import TagChanges
from audience.vendors.tag_spec import TagCallForm


def pack_changes(
    changes: TagChanges, forms: Sequence[TagCallForm], *, max_tags_per_device: int | None = None
) -> Packing:
    """Return calls of *forms* that make exactly *changes*, and the least number of calls that could.

    Equal changes and forms give equal calls.

    Args:
        changes: The changes.
        forms: The forms that the vendor has.
        max_tags_per_device: Bound of the vendor that no device exceeds between two calls. Tags of other attributes
            count if *changes* has them as present.
    """
    calls: list[PackedCall] = []
    for is_added, rows in ((True, changes.added), (False, changes.removed)):
        usable = [form for form in forms if (form.adds if is_added else form.removes) and form.max_pairs is None]
        form = max(usable, key=lambda form: form.max_ids)
        for tag, bitmap in enumerate(rows):
            positions = bitmap_to_rows(bitmap)
            for start in range(0, len(positions), form.max_ids):
                grid = PackedGrid(positions[start : start + form.max_ids], _single(tag))
                calls.append(PackedCall(form, added=grid) if is_added else PackedCall(form, removed=grid))
    pairs = sum(len(bitmap) for rows in (changes.added, changes.removed) for bitmap in rows)
    largest = max((form.max_ids * form.max_tags * (1 + (form.adds and form.removes)) for form in forms), default=1)
    return Packing(tuple(calls), -(-pairs // largest))


def _single(tag: int) -> RowNumbers:
    return np.array([tag], dtype=np.uint32)
