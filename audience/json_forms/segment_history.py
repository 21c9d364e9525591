"""History of a segment: its changes, and its devices in each kept snapshot."""

from typing import TypedDict

from audience.index.query.snapshot_counts import SnapshotCount
from audience.index.records.segment_history import SegmentAction, SegmentChange, SegmentOperation


class SegmentChangeForm(TypedDict):
    """Change of a segment."""

    at: str  # ISO 8601, in UTC
    by: str | None  # who changed it, if that was said
    action: SegmentAction
    operation: SegmentOperation  # what changed it
    expression: str | None  # what was saved or dropped; null if it named an id that was forgotten
    snapshot: int | None  # first snapshot with the change; null if the index was built again since


class SnapshotCountForm(TypedDict):
    """Number of devices in a snapshot."""

    snapshot: int
    created: str | None  # ISO 8601, in UTC; null if the snapshot cannot be opened
    devices: int | None  # null if the snapshot cannot answer
    reason: str | None  # why it cannot


def segment_change_json(change: SegmentChange) -> SegmentChangeForm:
    """Return a change of a segment as JSON data."""
    return {
        "at": change.at,
        "by": change.by,
        "action": change.action,
        "operation": change.operation,
        "expression": change.expression,
        "snapshot": change.snapshot,
    }


def snapshot_count_json(count: SnapshotCount) -> SnapshotCountForm:
    """Return the number of devices in a snapshot as JSON data."""
    return {
        "snapshot": count.number,
        "created": count.created,
        "devices": count.device_count,
        "reason": None if count.problem is None else count.problem.message,
    }
