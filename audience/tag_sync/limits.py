"""Bounds of a vendor for the tags of a device, of an application, and for the devices of a tag."""

from collections.abc import Iterator

import numpy as np

from audience.counts import format_count
from audience.errors import PlanError, Problem
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.tag_sync.state import TagState
from audience.vendors.tag_spec import TagSpec
from audience.vendors.vendor_limit import VendorLimit

LIMIT_CODE = "tag-limit"


def require_limits(state: TagState, spec: TagSpec) -> None:
    """Raise PlanError with each bound of *spec* that a started sync would break.

    All tags that the application has count, also those that the sync is not about.
    """
    problems = [*find_limit_problems(state, spec)]
    if problems:
        raise PlanError(*problems)


def find_limit_problems(state: TagState, spec: TagSpec) -> Iterator[Problem]:
    """Yield each bound of *spec* that the tags would break at the end of the started sync of *state*."""
    rows = list_final_rows(state)
    if spec.max_tags is not None and spec.max_tags.is_exceeded_by(count := sum(map(bool, rows))):
        yield _limit_problem(f"the application would have {format_count(count, 'tag')}", spec.max_tags)
    if spec.max_devices_per_tag is not None:
        yield from _find_large_tags(state, rows, spec.max_devices_per_tag)
    if spec.max_tags_per_device is not None and spec.max_tags_per_device.maximum is not None:
        yield from _find_full_devices(state, rows, spec.max_tags_per_device)


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


def _limit_problem(message: str, limit: VendorLimit) -> Problem:
    hint = f"the maximum is {limit.maximum:,}: {limit.source}; sync fewer attributes: --attributes"
    return Problem(LIMIT_CODE, message, hint=hint)
