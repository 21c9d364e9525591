"""Packing of the changes of one application into calls of the vendor's forms."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.tag_sync.packing.bounds import bound_by_lists, bound_by_sizes
from audience.tag_sync.packing.calls import PackedCall, PackedGrid, Packing
from audience.tag_sync.packing.common_tags import Found, Limits
from audience.tag_sync.packing.device_calls import pack_devices, pack_tags_and_devices
from audience.tag_sync.packing.pair_calls import max_pairs_of, pack_pairs, pack_tags_and_pairs
from audience.tag_sync.packing.pair_table import PairTable, tabulate_pairs
from audience.tag_sync.packing.rectangle_bound import bound_by_prices
from audience.tag_sync.packing.rectangles import Changes, group_tags, pack_any, pack_common
from audience.tag_sync.packing.tag_calls import pack_tags
from audience.tag_sync.tags import Rows, TagChanges
from audience.vendors.tag_spec import TagCallForm

Packed = tuple[list[PackedCall], int]  # calls, and the least number that there can be
Bounded = tuple[list[PackedCall], Callable[[], int]]  # calls, and what finds that number


def pack_changes(
    changes: TagChanges, forms: Sequence[TagCallForm], *, max_tags_per_device: int | None = None
) -> Packing:
    """Return calls of *forms* that make exactly *changes*, and a number of calls below which there are none.

    Equal changes and forms give equal calls. Tags are added before others are removed, except where a device would
    have more than *max_tags_per_device* in between: removals of such devices come before everything else. A call never
    removes a tag that the device is to have, whether it has it already or not: of calls that are made at once, or whose
    replies are lost, it is not known which one the vendor handles last.

    Args:
        changes: The changes.
        forms: The forms that the vendor has.
        max_tags_per_device: Bound of the vendor that no device exceeds between two calls.

    Raises:
        ValueError: Two tags have the same name at the vendor. Removing one would take the other away.
    """
    _require_own_names(changes)
    crowded = find_crowded_devices(changes, max_tags_per_device)
    if not crowded:
        return _pack(changes, forms)
    first = replace(
        changes,
        added=_no_rows(changes),
        removed=tuple(row & crowded for row in changes.removed),
        present=tuple(row | more for row, more in zip(changes.present, changes.added, strict=True)),
    )
    rest = replace(changes, removed=tuple(row - crowded for row in changes.removed))
    calls = [*_pack(first, forms).calls, *_pack(rest, forms).calls]
    return Packing(tuple(calls), lambda: _pack(changes, forms).minimum)


def _require_own_names(changes: TagChanges) -> None:
    names = Counter(tag.name for tag in changes.tags)
    if shared := sorted(name for name, count in names.items() if count > 1):
        raise ValueError(f"two tags have the name {shared[0]} at the vendor; join their rows to those of one tag")


def find_crowded_devices(changes: TagChanges, max_tags_per_device: int | None) -> BitMap:
    """Return the devices that have more than *max_tags_per_device* tags if all are added before any is removed."""
    if max_tags_per_device is None or len(changes.tags) <= max_tags_per_device:
        return BitMap()
    counts = np.zeros(len(changes.ids), dtype=np.int64)
    for rows in (changes.added, changes.removed, changes.present, changes.others):
        for row in rows:
            counts[bitmap_to_rows(row)] += 1
    losing = BitMap.union(*changes.removed) if changes.removed else BitMap()
    return BitMap(np.flatnonzero(counts > max_tags_per_device).tolist()) & losing


def _pack(changes: TagChanges, forms: Sequence[TagCallForm]) -> Packing:
    added, removed = tabulate_pairs(changes.added), tabulate_pairs(changes.removed)
    forms = drop_weaker_forms(forms)
    two_way = [form for form in forms if form.adds and form.removes and 1 in (form.max_ids, form.max_tags)]
    by_sizes = partial(_bound_by_sizes, changes, forms)  # keeps no table of pairs while calls are made
    if two_way:
        calls, minimum = _pack_two_way(two_way, added, removed)
        return Packing(tuple(calls), lambda: max(by_sizes(), minimum if len(two_way) == len(forms) else 0))
    sides = _pack_rectangles(changes, forms) or [
        _with_minimum(_pack_one_way([form for form in forms if form.adds], added, is_added=True)),
        _with_minimum(_pack_one_way([form for form in forms if form.removes], removed, is_added=False)),
    ]
    join = max if any(form.adds and form.removes for form in forms) else _sum
    calls = [call for side_calls, _ in sides for call in side_calls]
    return Packing(tuple(calls), lambda: max(by_sizes(), join(*(find_minimum() for _, find_minimum in sides))))


def _bound_by_sizes(changes: TagChanges, forms: Sequence[TagCallForm]) -> int:
    return bound_by_sizes(forms, tabulate_pairs(changes.added), tabulate_pairs(changes.removed))


def _with_minimum(packed: Packed) -> Bounded:
    calls, minimum = packed
    return calls, lambda: minimum


def _sum(*minimums: int) -> int:
    return sum(minimums)


def drop_weaker_forms(forms: Sequence[TagCallForm]) -> list[TagCallForm]:
    """Return *forms* without those of which every call can also be made by another form."""
    return [
        form
        for at, form in enumerate(forms)
        if not any(
            _is_covered(form, other) and (not _is_covered(other, form) or other_at < at)
            for other_at, other in enumerate(forms)
            if other_at != at
        )
    ]


def _is_covered(form: TagCallForm, other: TagCallForm) -> bool:
    if form.adds > other.adds or form.removes > other.removes:
        return False
    if form.adds and form.removes and (form.max_tags == 1) != (other.max_tags == 1):
        return False  # both directions of a call are of its one tag, or its one device
    if other.max_pairs is not None:
        largest = max_pairs_of(form) if form.max_pairs is not None else form.max_ids * form.max_tags
        return largest <= max_pairs_of(other)
    return form.max_pairs is None and form.max_ids <= other.max_ids and form.max_tags <= other.max_tags


def _pack_two_way(forms: Sequence[TagCallForm], added: PairTable, removed: PairTable) -> Packed:
    tag_form = max((form for form in forms if form.max_tags == 1), key=lambda form: form.max_ids, default=None)
    device_form = max((form for form in forms if form.max_tags > 1), key=lambda form: form.max_tags, default=None)
    if tag_form and device_form:
        return pack_tags_and_devices(tag_form, device_form, added, removed)
    calls = pack_tags(tag_form, added, removed) if tag_form else []
    if device_form:
        calls = pack_devices(device_form, added, removed)
    return calls, len(calls)


def _pack_one_way(forms: Sequence[TagCallForm], pairs: PairTable, *, is_added: bool) -> Packed:
    """Return the calls of the forms for a tag, for a device and for pairs, whichever there are."""
    if not len(pairs.tags):
        return [], 0
    nothing = pairs.select(np.zeros(len(pairs.tags), dtype=np.bool_))
    sides = (pairs, nothing) if is_added else (nothing, pairs)
    tag_form = next((form for form in forms if form.max_tags == 1 and form.max_pairs is None), None)
    device_form = next((form for form in forms if form.max_ids == 1 < form.max_tags and form.max_pairs is None), None)
    pair_form = next((form for form in forms if form.max_pairs is not None), None)
    choices: list[list[PackedCall]] = []
    minimum = 0
    if tag_form and pair_form:
        choices.append(pack_tags_and_pairs(tag_form, pair_form, pairs, is_added=is_added))
        minimum = 0 if device_form else len(choices[0])
    if tag_form and device_form:
        calls, bound = pack_tags_and_devices(tag_form, device_form, *sides)
        choices.append(calls)
        minimum = 0 if pair_form else bound
    if not choices:
        choices = [
            *([pack_tags(tag_form, *sides)] if tag_form else []),
            *([pack_devices(device_form, *sides)] if device_form else []),
            *([pack_pairs(pair_form, pairs, is_added=is_added)] if pair_form else []),
        ]
        minimum = len(choices[0]) if len(choices) == 1 else 0
    if not choices:
        raise ValueError(f"no form of call {'adds' if is_added else 'removes'} tags")
    return min(choices, key=len), minimum


def _pack_rectangles(changes: TagChanges, forms: Sequence[TagCallForm]) -> list[Bounded] | None:
    """Return the calls of forms for several ids and tags, in the order in which they are made; None without such."""
    forms = [form for form in forms if form.max_pairs is None and form.max_ids > 1 and form.max_tags > 1]
    adding = next((form for form in forms if form.adds), None)
    removing = next((form for form in forms if form.removes), None)
    if adding is None or removing is None:
        return None
    added = _pack_added(changes, adding)
    kept = [row | more for row, more in zip(changes.present, changes.added, strict=True)]
    return [added, _pack_removed(changes, kept, removing)]


def _pack_added(changes: TagChanges, form: TagCallForm) -> Bounded:
    limits = Limits(form.max_ids, form.max_tags)
    found = pack_common(Changes(changes.added, changes.present, _group_tags(changes)), limits)
    return [PackedCall(form, added=_to_grid(each)) for each in found], partial(
        _bound_added, changes, limits, len(found)
    )


def _bound_added(changes: TagChanges, limits: Limits, found: int) -> int:
    by_lists = bound_by_lists(changes.added, limits.max_ids, limits.max_tags)
    if by_lists >= found:
        return by_lists
    allowed = [row | more for row, more in zip(changes.added, changes.present, strict=True)]
    return max(by_lists, bound_by_prices(changes.added, allowed, _group_tags(changes), limits, found))


def _pack_removed(changes: TagChanges, kept: Sequence[BitMap], form: TagCallForm) -> Bounded:
    limits = Limits(form.max_ids, form.max_tags)
    found = pack_any(Changes(changes.removed, kept, _group_tags(changes)), kept, limits)
    calls = [PackedCall(form, removed=_to_grid(each)) for each in found]
    return calls, partial(bound_by_lists, changes.removed, form.max_ids, form.max_tags)


def _group_tags(changes: TagChanges) -> list[list[int]]:
    return group_tags(tag.tag.type for tag in changes.tags)


def _to_grid(found: Found) -> PackedGrid:
    tags, positions = found
    return PackedGrid(positions, np.array(tags, dtype=np.uint32))


def _no_rows(changes: TagChanges) -> Rows:
    return tuple(BitMap() for _ in changes.tags)
