"""JSON form of what changed in an audience between two snapshots."""

from typing_extensions import TypedDict

from audience.index.query.snapshot_diff import Diff


class DiffForm(TypedDict):
    """Devices of an audience in two snapshots, by what became of them.

    Attributes:
        came: Devices that match in the second snapshot only.
        added: How many of *came* are not in the first snapshot at all.
        went: Devices that match in the first snapshot only.
        removed: How many of *went* are not in the second snapshot at all.
        stayed: Devices that match in both.
    """

    came: int
    added: int
    went: int
    removed: int
    stayed: int


def diff_json(diff: Diff) -> DiffForm:
    """Return the counts of a diff as JSON data."""
    return {
        "came": len(diff.came),
        "added": len(diff.added),
        "went": len(diff.went),
        "removed": len(diff.removed),
        "stayed": len(diff.stayed),
    }
