"""Segments: expressions that are saved by name in an index and belong to each snapshot from then on."""

from dataclasses import replace

from audience.errors import ExpressionError, Problem
from audience.index.query.validate import validate_and_expand
from audience.index.storage.manifest import publish_successor
from audience.index.storage.published import Storage
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.ast import Expr, Segment
from audience.language.printer import render
from audience.language.segments import referenced_segments
from audience.language.suggest import did_you_mean


def save_segment(storage: Storage, name: str, expr: Expr, wait: float) -> int:
    """Save *expr* as the segment *name*, replacing one of that name. Return the number of the snapshot.

    Raises:
        ExpressionError: *expr* refers to something that the index does not have, or to the segment itself.
        LockedError: Another process changes the index.
    """
    with lock_for_update(storage, "segment", wait) as manifest:
        changed = replace(manifest, segments={**manifest.segments, name: render(expr)})
        validate_and_expand(Segment(name), Snapshot(storage, changed))
        return publish_successor(storage, manifest, changed, f"segment {render(Segment(name))} saved")


def drop_segment(storage: Storage, name: str, wait: float) -> int:
    """Delete the segment *name*. Return the number of the snapshot.

    Raises:
        ExpressionError: There is no such segment, or another segment refers to it.
        LockedError: Another process changes the index.
    """
    with lock_for_update(storage, "segment", wait) as manifest:
        if name not in manifest.segments:
            hint = did_you_mean(name, manifest.segments)
            raise ExpressionError(Problem("unknown-segment", f"no segment is saved as {name!r}", hint=hint))
        _reject_if_referenced(name, Snapshot(storage, manifest))
        remaining = {other: text for other, text in manifest.segments.items() if other != name}
        changed = replace(manifest, segments=remaining)
        return publish_successor(storage, manifest, changed, f"segment {render(Segment(name))} dropped")


def _reject_if_referenced(name: str, snapshot: Snapshot) -> None:
    users = [user for user, expr in snapshot.segments.items() if name in referenced_segments(expr)]
    if users:
        message = f"{render(Segment(name))} is mentioned by {', '.join(render(Segment(user)) for user in users)}"
        hint = "save them again without it, or drop them first"
        raise ExpressionError(Problem("used-segment", message, hint=hint))
