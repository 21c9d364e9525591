"""History of a segment: its changes, and its devices in each kept snapshot."""

from typing_extensions import TypedDict

from audience.index.query.snapshot_counts import SnapshotCount
from audience.index.records.segment_history import SegmentAction, SegmentChange, SegmentOperation


class SegmentChangeForm(TypedDict):
    """Change of a segment.

    Attributes:
        at: When it was changed, in UTC.
        by: Who changed it, if that was said.
        action: Whether there is a segment of this name from then on.
        operation: What changed it.
        expression: What was saved or dropped; null if it named an id that was forgotten.
        snapshot: First snapshot with the change; null if the index was built again since.
    """

    at: str
    by: str | None
    action: SegmentAction
    operation: SegmentOperation
    expression: str | None
    snapshot: int | None


class SnapshotCountForm(TypedDict):
    """Number of devices in a snapshot.

    Attributes:
        snapshot: Number of the snapshot.
        created: When it was published, in UTC; null if it cannot be opened.
        devices: Number of devices; null if the snapshot cannot answer.
        reason: Why it cannot.
    """

    snapshot: int
    created: str | None
    devices: int | None
    reason: str | None


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
