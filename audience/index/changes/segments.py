"""Segments: expressions that are saved by name in an index, as part of each snapshot from then on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from audience.errors import ExpressionError, Problem
from audience.index.query.validate import validate_and_expand
from audience.index.storage.snapshot import Snapshot, publish_successor
from audience.index.storage.write_lock import lock_for_update
from audience.language.ast import Expr, Segment
from audience.language.printer import render
from audience.language.segments import referenced_segments
from audience.language.suggest import did_you_mean


def save_segment(folder: Path, name: str, expr: Expr, wait: float) -> int:
    """Save *expr* as *name*, in place of what was saved so; the number of the snapshot.

    Raises ExpressionError where the index does not know what it asks for, and where it would lead back to itself.
    """
    with lock_for_update(folder, "segment", wait) as manifest:
        segments = {**manifest.segments, name: render(expr)}
        changed = replace(manifest, segments=segments)
        validate_and_expand(Segment(name), Snapshot(folder, changed))
        return publish_successor(folder, manifest, changed, f"segment {render(Segment(name))} saved")


def drop_segment(folder: Path, name: str, wait: float) -> int:
    """Forget what is saved as *name*; the number of the snapshot.

    Raises ExpressionError where nothing is, and where another segment mentions it.
    """
    with lock_for_update(folder, "segment", wait) as manifest:
        if name not in manifest.segments:
            hint = did_you_mean(name, manifest.segments)
            raise ExpressionError(Problem("unknown-segment", f"no segment is saved as {name!r}", hint=hint))
        users = [
            other for other, expr in Snapshot(folder, manifest).segments.items() if name in referenced_segments(expr)
        ]
        if users:
            shown = ", ".join(render(Segment(user)) for user in users)
            message = f"{render(Segment(name))} is mentioned by {shown}"
            raise ExpressionError(
                Problem("used-segment", message, hint="save them again without it, or drop them first")
            )
        left: Mapping[str, str] = {other: text for other, text in manifest.segments.items() if other != name}
        without = replace(manifest, segments=left)
        return publish_successor(folder, manifest, without, f"segment {render(Segment(name))} dropped")
