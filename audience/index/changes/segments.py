"""Segments: expressions that are saved by name in an index and belong to each snapshot from then on."""

from collections.abc import Sequence
from dataclasses import replace

from audience.errors import ExpressionError, Problem
from audience.index.query.validate import validate_segment
from audience.index.storage.id_lists import write_id_list
from audience.index.storage.published import Storage
from audience.index.storage.retention import publish_successor
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.ast import Expr, IdFile, Segment
from audience.language.id_files import list_id_files, require_unchanged_files
from audience.language.printer import render
from audience.language.segments import referenced_segments
from audience.language.suggest import did_you_mean


def save_segment(storage: Storage, name: str, expr: Expr, wait: float) -> int:
    """Save *expr* as the segment *name*, replacing one of that name. Return the number of the snapshot.

    The index keeps the ids of the files that *expr* names: the segment does not change with the files.

    Raises:
        ExpressionError: *expr* refers to something that the index does not have, or to the segment itself.
        LockedError: Another process changes the index.
    """
    files = list(list_id_files(expr))
    require_distinct_paths(files)
    require_unchanged_files(expr)
    with lock_for_update(storage, "segment", wait) as manifest:
        segment_files = {**manifest.segment_files, name: tuple(write_id_list(storage, file) for file in files)}
        segment_files = {owner: lists for owner, lists in segment_files.items() if lists}
        segments = {**manifest.segments, name: render(expr)}
        changed = replace(manifest, segments=segments, segment_files=segment_files)
        validate_segment(Segment(name), Snapshot(storage, changed))
        return publish_successor(storage, manifest, changed, f"segment {render(Segment(name))} saved").number


def require_distinct_paths(files: Sequence[IdFile]) -> None:
    """Require that no two of *files* have one path in the text of an expression."""
    paths = [file.path for file in files]
    for path in paths:
        if paths.count(path) > 1:
            message = f"two files of different content are both written @{path}"
            raise ExpressionError(Problem("same-name", message, hint="write their full paths"))


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
        segment_files = {other: lists for other, lists in manifest.segment_files.items() if other != name}
        changed = replace(manifest, segments=remaining, segment_files=segment_files)
        return publish_successor(storage, manifest, changed, f"segment {render(Segment(name))} dropped").number


def _reject_if_referenced(name: str, snapshot: Snapshot) -> None:
    users = [user for user, expr in snapshot.segments.items() if name in referenced_segments(expr)]
    if users:
        message = f"{render(Segment(name))} is mentioned by {', '.join(render(Segment(user)) for user in users)}"
        hint = "save them again without it, or drop them first"
        raise ExpressionError(Problem("used-segment", message, hint=hint))
