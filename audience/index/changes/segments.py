"""Segments: expressions that are saved by name in an index and belong to each snapshot from then on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from audience.errors import ExpressionError, Problem
from audience.index.query.validate import validate_segment
from audience.index.records.policies import read_policies
from audience.index.records.segment_history import SegmentChange, publish_segments, read_history
from audience.index.storage.id_lists import write_id_list
from audience.index.storage.published import Storage
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.ast import Expr, IdFile, Segment
from audience.language.id_files import list_id_files, require_unchanged_files
from audience.language.printer import render
from audience.language.segments import referenced_segments
from audience.language.suggest import did_you_mean
from audience.language.validation import join_some

Requirement: TypeAlias = Callable[[str | None], None]  # of the text that is saved now, or None


def accept_any(text: str | None) -> None:
    """Accept whatever is saved now."""


def save_segment(
    storage: Storage, name: str, expr: Expr, by: str | None, wait: float, require: Requirement = accept_any
) -> int:
    """Save *expr* as the segment *name*, replacing one of that name. Return the number of the snapshot.

    The index keeps the ids of the files that *expr* names: the segment does not change with the files. *require* raises
    an error if what is saved now must not be replaced.

    Raises:
        ExpressionError: *expr* refers to something that the index does not have, or to the segment itself.
        LockedError: Another process changes the index.
    """
    files = list(list_id_files(expr))
    require_distinct_paths(files)
    require_unchanged_files(expr)
    with lock_for_update(storage, "segment", wait) as manifest:
        require(manifest.segments.get(name))
        segment_files = {**manifest.segment_files, name: tuple(write_id_list(storage, file) for file in files)}
        segment_files = {owner: lists for owner, lists in segment_files.items() if lists}
        segments = {**manifest.segments, name: render(expr)}
        changed = replace(manifest, segments=segments, segment_files=segment_files)
        validate_segment(Segment(name), Snapshot(storage, changed))
        description = f"segment {render(Segment(name))} saved"
        return publish_segments(storage, manifest, changed, description, operation="save", by=by, saved=[name]).number


def require_distinct_paths(files: Sequence[IdFile]) -> None:
    """Require that no two of *files* have one path in the text of an expression."""
    paths = [file.path for file in files]
    for path in paths:
        if paths.count(path) > 1:
            message = f"two files of different content are both written @{path}"
            raise ExpressionError(Problem("same-name", message, hint="write their full paths"))


def drop_segment(storage: Storage, name: str, by: str | None, wait: float, require: Requirement = accept_any) -> int:
    """Delete the segment *name*, unless *require* raises an error. Return the number of the snapshot.

    Raises:
        ExpressionError: There is no such segment, or another segment or a policy refers to it.
        LockedError: Another process changes the index.
    """
    with lock_for_update(storage, "segment", wait) as manifest:
        if name not in manifest.segments:
            known = f"use one of {join_some(list(manifest.segments))}" if manifest.segments else None
            hint = did_you_mean(name, manifest.segments) or known
            raise ExpressionError(Problem("unknown-segment", f"no segment is saved as {name!r}", hint=hint))
        require(manifest.segments[name])
        _reject_if_used(name, Snapshot(storage, manifest))
        remaining = {other: text for other, text in manifest.segments.items() if other != name}
        segment_files = {other: lists for other, lists in manifest.segment_files.items() if other != name}
        changed = replace(manifest, segments=remaining, segment_files=segment_files)
        description = f"segment {render(Segment(name))} dropped"
        return publish_segments(storage, manifest, changed, description, operation="drop", by=by).number


def find_segment_changes(snapshot: Snapshot, name: str | None) -> list[SegmentChange]:
    """Return the kept changes of a segment up to *snapshot*, oldest first; None is all segments.

    Raises:
        ExpressionError: No segment has or had this name.
        DamagedError: The history is not what was written.
    """
    changes = read_history(snapshot.storage, snapshot.manifest).changes
    found = [change for change in changes if name in (None, change.name)]
    if name is not None and not found and name not in snapshot.segments:
        hint = did_you_mean(name, {*snapshot.segments, *(change.name for change in changes)})
        raise ExpressionError(Problem("unknown-segment", f"no segment is or was saved as {name!r}", hint=hint))
    return found


def list_segment_users(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """Return the users of each saved segment: segments that refer to it, such as `@vip`, then policies by name.

    Raises:
        DamagedError: A file of the policies is not what was written.
    """
    users: dict[str, list[str]] = {name: [] for name in snapshot.segments}
    for user, expr in _iter_named_exprs(snapshot):
        for name in referenced_segments(expr):
            users.setdefault(name, []).append(user)
    return {name: tuple(names) for name, names in users.items()}


def _iter_named_exprs(snapshot: Snapshot) -> Iterator[tuple[str, Expr]]:
    """Yield each expression that an index keeps, with what it is called in messages."""
    for name, expr in snapshot.segments.items():
        yield render(Segment(name)), expr
    for policy in read_policies(snapshot.storage).values():
        if policy.expr is not None:
            yield f"policy {policy.name}", policy.expr


def _reject_if_used(name: str, snapshot: Snapshot) -> None:
    users = list_segment_users(snapshot)[name]
    if users:
        message = f"{render(Segment(name))} is mentioned by {', '.join(users)}"
        hint = "save or set them again without it, or drop them first"
        raise ExpressionError(Problem("used-segment", message, hint=hint))
