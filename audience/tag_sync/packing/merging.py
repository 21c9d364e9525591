"""Merge calls that are not full, if all devices of one call may also get the tags of the other."""

from collections.abc import Sequence

from audience.index.storage.bitmaps import BitMap, bitmap_to_rows, rows_to_bitmap
from audience.tag_sync.packing.common_tags import Found, Limits

MAX_MERGED = 400  # calls that are compared with each other


def merge_calls(found: Sequence[Found], allowed: Sequence[BitMap], limits: Limits) -> list[Found]:
    """Return the calls of *found*, fewer where two can be one; each device of a call is *allowed* all of its tags."""
    partial = sorted(
        (at for at, (_, devices) in enumerate(found) if len(devices) < limits.max_ids),
        key=lambda at: (len(found[at][1]), at),
    )[:MAX_MERGED]
    drafts: list[tuple[frozenset[int], BitMap]] = []
    for at in partial:
        draft = (frozenset(found[at][0]), rows_to_bitmap(found[at][1]))
        for other_at, other in enumerate(drafts):
            if merged := _merge(draft, other, allowed, limits):
                drafts[other_at] = merged
                break
        else:
            drafts.append(draft)
    others = {*range(len(found))} - {*partial}
    merged_calls = [(tuple(sorted(tags)), bitmap_to_rows(devices)) for tags, devices in drafts]
    return [*(found[at] for at in sorted(others)), *merged_calls]


def _merge(
    one: tuple[frozenset[int], BitMap], other: tuple[frozenset[int], BitMap], allowed: Sequence[BitMap], limits: Limits
) -> tuple[frozenset[int], BitMap] | None:
    tags = one[0] | other[0]
    if len(tags) > limits.max_tags or one[1].union_cardinality(other[1]) > limits.max_ids:
        return None
    if all(one[1] <= allowed[tag] for tag in other[0] - one[0]) and all(
        other[1] <= allowed[tag] for tag in one[0] - other[0]
    ):
        return tags, one[1] | other[1]
    return None
