"""Changes of segments: who saved or dropped which, when, and with which expression.

    segment-history.json      the changes in order, and how many older ones were let go

They are records: no expiry of snapshots, vacuum or restore loses them. A change is written before the snapshot that has
it, and the manifest counts the changes up to it. So a change whose process died before its snapshot was published is
not counted, and the next writer replaces it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

import orjson

from audience.errors import ExpressionError, InvalidIndexError, Problem
from audience.index.records.record_files import RecordContent, read_record_file, replace_record_files
from audience.index.storage.manifest import Manifest, timestamp_now
from audience.index.storage.published import Storage
from audience.index.storage.retention import publish_successor

HISTORY_FILE = "segment-history.json"
HISTORY_VERSION = 1
MAX_CHANGES = 1_000
MAX_TEXT = 1 << 22  # characters of all expressions
MAX_AUTHOR = 200  # characters

SegmentAction: TypeAlias = Literal["saved", "dropped"]
SegmentOperation: TypeAlias = Literal["save", "drop", "apply", "restore", "build", "forget"]


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """Change of a segment.

    Attributes:
        name: Name of the segment.
        at: When it was changed, in UTC.
        by: Who changed it; None if that was not said.
        action: Whether there is a segment of this name from then on.
        operation: What changed it.
        expression: Text that was saved or dropped; None if it named an id that was forgotten.
        snapshot: Number of the first snapshot with the change; None if the index was built again since.
    """

    name: str
    at: str
    by: str | None
    action: SegmentAction
    operation: SegmentOperation
    expression: str | None
    snapshot: int | None


@dataclass(frozen=True, slots=True)
class SegmentHistory:
    """Kept changes of an index, oldest first. `let_go` is the number of older ones."""

    let_go: int = 0
    changes: tuple[SegmentChange, ...] = ()

    def __len__(self) -> int:
        return self.let_go + len(self.changes)

    def first(self, count: int) -> "SegmentHistory":
        """Return the history up to change *count*."""
        return replace(self, changes=self.changes[: max(0, count - self.let_go)])

    def add(self, changes: Sequence[SegmentChange]) -> "SegmentHistory":
        """Return the history with *changes*, without the oldest ones if they are too many or too long."""
        kept = [*self.changes, *changes]
        total, first = 0, len(kept)
        while first and len(kept) - first < MAX_CHANGES:
            total += len(kept[first - 1].expression or "")
            if total > MAX_TEXT and first < len(kept):
                break
            first -= 1
        return SegmentHistory(self.let_go + first, tuple(kept[first:]))


def read_history(storage: Storage, manifest: Manifest) -> SegmentHistory:
    """Return the kept changes up to the snapshot of *manifest*.

    Raises:
        DamagedError: Their file is not what was written.
        InvalidIndexError: Another version has written it.
    """
    return _read_all(storage).first(manifest.segment_changes)


def _read_all(storage: Storage) -> SegmentHistory:
    """Return all changes that are written, also those of a snapshot that was not published."""
    data = read_record_file(storage, HISTORY_FILE)
    if data is None:
        return SegmentHistory()
    body = orjson.loads(data)
    if body["version"] != HISTORY_VERSION:
        message = f"the history of segments of {storage.location} was written by another version of audience"
        raise InvalidIndexError(Problem("other-format", message, hint="use the version that has written it"))
    return SegmentHistory(body["let_go"], tuple(SegmentChange(**fields) for fields in body["changes"]))


def _history_record(history: SegmentHistory) -> RecordContent:
    return RecordContent(HISTORY_FILE, orjson.dumps({"version": HISTORY_VERSION, **asdict(history)}))


def publish_segments(
    storage: Storage,
    previous: Manifest,
    manifest: Manifest,
    description: str,
    *,
    operation: SegmentOperation,
    by: str | None,
    saved: Sequence[str] = (),
) -> Manifest:
    """Publish *manifest*, whose segments may differ from those of *previous*, and record the changes.

    Args:
        storage: Storage of the index, which the caller has locked.
        previous: Current manifest.
        manifest: Content of the next snapshot.
        description: What the operation did.
        operation: What changes the segments.
        by: Who changes them.
        saved: Segments that are saved, also if they stay the same.
    """
    counted = record_changes(storage, previous, manifest, operation=operation, by=by, saved=saved)
    return publish_successor(storage, previous, counted, description)


def record_changes(
    storage: Storage,
    previous: Manifest,
    manifest: Manifest,
    *,
    operation: SegmentOperation,
    by: str | None,
    saved: Sequence[str] = (),
) -> Manifest:
    """Write the changes from *previous* to *manifest*, which is not published yet. Return it with their count."""
    _require_author(by)
    at, number = timestamp_now(), previous.number + 1
    changes = [
        SegmentChange(name, at, by, "dropped", operation, text, number)
        for name, text in previous.segments.items()
        if name not in manifest.segments
    ]
    changes += [
        SegmentChange(name, at, by, "saved", operation, text, number)
        for name, text in manifest.segments.items()
        if name in saved or _is_changed(name, previous, manifest)
    ]
    if not changes:
        return replace(manifest, segment_changes=previous.segment_changes)
    history = read_history(storage, previous).add(changes)
    replace_record_files(storage, [_history_record(history)])
    return replace(manifest, segment_changes=len(history))


def _is_changed(name: str, previous: Manifest, manifest: Manifest) -> bool:
    before, after = (
        (each.segments.get(name), [(file.path, file.digest) for file in each.segment_files.get(name, ())])
        for each in (previous, manifest)
    )
    return before != after


def _require_author(by: str | None) -> None:
    if by is not None and not (0 < len(by) <= MAX_AUTHOR and by.isprintable()):
        hint = f"use 1 to {MAX_AUTHOR} printable characters"
        raise ExpressionError(Problem("bad-author", f"{by!r:.60} is not a name of an author", hint=hint))


def carry_history(storage: Storage, replaced: Manifest | None) -> int:
    """Carry the changes over to the index that replaces theirs, and return their count.

    Its snapshots have numbers of their own, so that the changes name none.

    Args:
        storage: Storage of the new index, which has the records of the replaced one.
        replaced: Manifest of the replaced index; None if it cannot be read: its segments are lost then.
    """
    history = _read_all(storage)
    if not len(history):
        return 0
    if replaced is not None:
        history = history.first(replaced.segment_changes)
    changes = tuple(replace(change, snapshot=None) for change in history.changes)
    carried = replace(history, changes=changes)
    if replaced is None:
        at, last = timestamp_now(), {change.name: change for change in changes}
        carried = carried.add(
            [
                replace(change, at=at, by=None, action="dropped", operation="build", snapshot=1)
                for change in last.values()
                if change.action == "saved"
            ]
        )
    replace_record_files(storage, [_history_record(carried)])
    return len(carried)


def cleared_history_records(storage: Storage, is_forgotten: Callable[[str], bool]) -> list[RecordContent]:
    """Return the record of the history without the expressions that name a forgotten id; none if no one does."""
    history = _read_all(storage)
    cleared = tuple(
        replace(change, expression=None)
        if change.expression is not None and is_forgotten(change.expression)
        else change
        for change in history.changes
    )
    return [] if cleared == history.changes else [_history_record(replace(history, changes=cleared))]
