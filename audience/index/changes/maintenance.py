"""Maintain an index: list, restore and delete snapshots, back one up, compact the current one."""

from dataclasses import dataclass
from pathlib import Path

from audience._fs.atomic import atomic_folder
from audience.counts import format_count
from audience.errors import InvalidIndexError, Problem
from audience.index.changes.compaction import plan_full_compaction, select_fragmented_groups
from audience.index.changes.events.merging import compact_events
from audience.index.changes.session import UpdateResult, UpdateSession
from audience.index.ingest.events.recorded_events import apply_records
from audience.index.records.record_files import copy_record_files
from audience.index.records.segment_history import publish_segments
from audience.index.storage.kept_snapshots import read_kept_manifest
from audience.index.storage.layout import OWNED_NAMES, history_file, shard_file
from audience.index.storage.manifest import (
    load_current_manifest,
    publish_manifest,
    read_manifest,
)
from audience.index.storage.published import LocalStorage, Storage
from audience.index.storage.retention import delete_snapshots, list_snapshot_numbers
from audience.index.storage.snapshot import Snapshot, open_snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.progress import Progress


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """Entry of the history of an index: a snapshot, and the operation that created it."""

    number: int
    created: str
    description: str
    device_count: int


def list_snapshots(storage: Storage) -> list[SnapshotInfo]:
    """Return the kept snapshots, oldest first; the last one is current."""
    numbers = list_snapshot_numbers(storage, load_current_manifest(storage))
    manifests = [read_manifest(storage, history_file(number)) for number in numbers]
    return [
        SnapshotInfo(manifest.number, manifest.created, manifest.description, manifest.device_count)
        for manifest in manifests
    ]


def restore_snapshot(storage: Storage, number: int, by: str | None, wait: float) -> int:
    """Publish an older snapshot, with the events that are recorded now, as a new one. Return the number of the new one.

    Raises:
        InvalidIndexError: Snapshot *number* is not kept.
        DamagedError: A file of it is not what was written.
        LockedError: Another process changes the index.
    """
    with lock_for_update(storage, "restore", wait) as manifest:
        old = read_kept_manifest(storage, manifest, number)
        snapshot = Snapshot(storage, old)
        snapshot.verify()
        recorded = apply_records(storage, old, snapshot.shards, number=manifest.number + 1, first_new=old.next_number)
        description = f"restore {number}: {old.description}"
        return publish_segments(storage, manifest, recorded, description, operation="restore", by=by).number


def backup_snapshot(storage: Storage, destination: Path) -> int:
    """Copy the current snapshot and the records to the new folder *destination*. Return the number of the snapshot.

    Other processes may change the index at the same time.

    Raises:
        DamagedError: A file is not what was written.
        OutputError: *destination* exists or cannot be written.
    """
    snapshot = open_snapshot(storage.without_copies())
    with atomic_folder(destination, owned_patterns=OWNED_NAMES) as draft:
        copy = LocalStorage.create(draft)
        for name, data in snapshot.iter_files():
            copy.put(shard_file(name), data)
        publish_manifest(copy, snapshot.manifest, None)
        copy_record_files(storage, copy)
    return snapshot.manifest.number


def require_kept(keep: int) -> None:
    """Raise InvalidIndexError if no snapshot would be kept."""
    if keep < 1:
        message = f"cannot keep {keep} snapshots"
        raise InvalidIndexError(Problem("bad-option", message, hint="keep 1 or more"))


def vacuum_snapshots(storage: Storage, keep: int, wait: float) -> list[str]:
    """Delete all snapshots but the last *keep*, and the files that no other snapshot needs. Return their names.

    Raises:
        InvalidIndexError: *keep* is less than 1.
        LockedError: Another process changes the index.
    """
    require_kept(keep)
    with lock_for_update(storage, "vacuum", wait) as manifest:
        numbers = list_snapshot_numbers(storage, manifest)[-keep:]
        return delete_snapshots(storage, [read_manifest(storage, history_file(number)) for number in numbers])


def compact_index(opened: Snapshot, wait: float, progress: Progress) -> UpdateResult:
    """Rewrite shards that have deleted rows, and merge small ones.

    Raises:
        LockedError: Another process changes the index.
    """
    with lock_for_update(opened.storage, "compact", wait) as manifest:
        session = UpdateSession.start(opened, manifest, progress)
        groups = plan_full_compaction(session.shards)
        shards = session.rewrite_shards(groups, select_fragmented_groups(groups), manifest.columns)
        compact_events(session.event_changes, shards)
        if shards == session.shards and session.event_changes.apply_to(manifest) == manifest:
            return UpdateResult(manifest.number)
        description = f"compact: {format_count(len(session.shards), 'shard')} before, {len(shards):,} after"
        return UpdateResult(session.publish(shards, description, manifest.columns).number)
