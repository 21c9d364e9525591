"""Bounds of a vendor for the tags of a device, of an application, and for the devices of a tag."""

from collections.abc import Callable, Iterator

import numpy as np

from audience.counts import format_count
from audience.errors import Problem
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.language.ast import Tag
from audience.language.attribute_names import UNTYPED
from audience.tag_sync.state import TagState
from audience.vendors.tag_spec import TagSpec
from audience.vendors.vendor_limit import VendorLimit

LIMIT_CODE, CLASH_CODE, VALUES_CODE = "tag-limit", "key-clash", "two-values"


def find_limit_problems(state: TagState, spec: TagSpec) -> Iterator[Problem]:
    """Yield each bound of *spec* that the tags would break at the end of the started sync of *state*.

    All tags that the application has count, also those that the sync is not about.
    """
    rows = list_final_rows(state)
    if spec.max_tags is not None and spec.max_tags.is_exceeded_by(count := sum(map(bool, rows))):
        yield _limit_problem(f"the application would have {format_count(count, 'tag')}", spec.max_tags)
    if spec.max_devices_per_tag is not None:
        yield from _find_large_tags(state, rows, spec.max_devices_per_tag)
    if spec.max_tags_per_device is not None and spec.max_tags_per_device.maximum is not None:
        yield from _find_full_devices(state, rows, spec.max_tags_per_device)
    if spec.find_key is not None:
        yield from _find_key_problems(state, rows, spec.find_key, spec.max_keys)


def list_final_rows(state: TagState) -> list[BitMap]:
    """Return the devices that have each tag at the end of the started sync; what is in doubt elsewhere counts."""
    assert state.started is not None
    scope = state.started.scope
    return [
        wanted - state.unknown_ids if tag.tag in scope else known | doubtful
        for tag, known, doubtful, wanted in zip(
            state.known.tags, state.known.rows, state.doubtful, state.wanted, strict=True
        )
    ]


def _find_large_tags(state: TagState, rows: list[BitMap], limit: VendorLimit) -> Iterator[Problem]:
    over = [at for at, devices in enumerate(rows) if limit.is_exceeded_by(len(devices))]
    if over:
        at = max(over, key=lambda each: len(rows[each]))
        count = format_count(len(rows[at]), "device")
        yield _limit_problem(
            f"{format_count(len(over), 'tag')} too large: {state.known.tags[at].name} of {count}", limit
        )


def _find_full_devices(state: TagState, rows: list[BitMap], limit: VendorLimit) -> Iterator[Problem]:
    counts = np.zeros(len(state.known.ids), dtype=np.uint16)
    for devices in rows:
        counts[bitmap_to_rows(devices)] += 1
    over = np.flatnonzero(counts > (limit.maximum or 0))
    if len(over):
        at = int(over[np.argmax(counts[over])])
        message = f"{format_count(len(over), 'id')} with too many tags: {state.known.ids[at]} of {counts[at]}"
        yield _limit_problem(message, limit)


def _find_key_problems(
    state: TagState, rows: list[BitMap], find_key: Callable[[str], str], limit: VendorLimit | None
) -> Iterator[Problem]:
    """Yield why tags of one key do not go together, and whether a call would have too many keys."""
    assert state.started is not None
    places_by_key: dict[str, list[int]] = {}
    for at, tag in enumerate(state.known.tags):
        if rows[at] or state.known.rows[at] or state.doubtful[at]:
            places_by_key.setdefault(find_key(tag.name), []).append(at)
    changed = 0
    for key, places in places_by_key.items():
        is_changed = {state.known.tags[at].tag in state.started.scope for at in places}
        owners = {_name_owner(state.known.tags[at].tag) for at in places if rows[at]}
        changed += any(is_changed)
        if len(owners) > 1 or len(is_changed) > 1:
            message = f"{key!r} is the key of several attributes, of which a device would have one value"
            yield Problem(CLASH_CODE, message, hint="give each a key of its own in the catalog, and sync all of them")
        elif double := _find_doubles([rows[at] for at in places]):
            message = f"{format_count(len(double), 'id')} with several values of {key!r}: {state.known.ids[double[0]]}"
            yield Problem(VALUES_CODE, message, hint=f"the vendor keeps one of them; leave {key} out: --attributes")
    if limit is not None and limit.is_exceeded_by(changed):
        yield _limit_problem(f"a call would change {format_count(changed, 'key')} of a device", limit)


def _name_owner(tag: Tag) -> tuple[str, str]:
    """Return the attribute of *tag*, of which a bare one is its own."""
    return (tag.type, tag.value if tag.type == UNTYPED else "")


def _find_doubles(rows: list[BitMap]) -> BitMap:
    """Return the devices that are in several of *rows*."""
    seen, double = BitMap(), BitMap()
    for devices in rows:
        double |= seen & devices
        seen |= devices
    return double


def _limit_problem(message: str, limit: VendorLimit) -> Problem:
    hint = f"the maximum is {limit.maximum:,}: {limit.source}; sync fewer attributes: --attributes"
    return Problem(LIMIT_CODE, message, hint=hint)
