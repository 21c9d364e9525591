"""Maintain an index: list, restore and delete snapshots, back one up, compact the current one."""

from dataclasses import dataclass
from pathlib import Path

from audience._fs.atomic import atomic_folder
from audience.errors import InvalidIndexError, Problem
from audience.index.changes.compaction import plan_full_compaction, select_fragmented_groups
from audience.index.changes.session import UpdateResult, UpdateSession
from audience.index.storage.layout import HISTORY_FOLDER, OWNED_NAMES, SHARDS_FOLDER, history_file, shard_file
from audience.index.storage.manifest import (
    Manifest,
    load_current_manifest,
    publish_manifest,
    publish_successor,
    read_manifest,
)
from audience.index.storage.published import LocalStorage, Storage
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
    numbers = _list_snapshot_numbers(storage, load_current_manifest(storage))
    manifests = [read_manifest(storage, history_file(number)) for number in numbers]
    return [
        SnapshotInfo(manifest.number, manifest.created, manifest.description, manifest.device_count)
        for manifest in manifests
    ]


def _list_snapshot_numbers(storage: Storage, current: Manifest) -> list[int]:
    """Return the numbers of the kept snapshots; a file with a higher number than *current* was never published."""
    stems = [name.removesuffix(".json") for name in storage.list(HISTORY_FOLDER) if name.endswith(".json")]
    numbers = [int(stem) for stem in stems if stem.isdecimal()]
    return sorted(number for number in numbers if number <= current.number)


def restore_snapshot(storage: Storage, number: int, wait: float) -> int:
    """Publish an older snapshot as a new one. Return the number of the new snapshot.

    Raises:
        InvalidIndexError: Snapshot *number* is not kept.
        DamagedError: A file of it is not what was written.
        LockedError: Another process changes the index.
    """
    with lock_for_update(storage, "restore", wait) as manifest:
        numbers = _list_snapshot_numbers(storage, manifest)
        if number not in numbers:
            message = f"{storage.location} keeps no snapshot {number}"
            raise InvalidIndexError(Problem("no-snapshot", message, hint=f"it keeps {', '.join(map(str, numbers))}"))
        old = read_manifest(storage, history_file(number))
        Snapshot(storage, old).verify()
        return publish_successor(storage, manifest, old, f"restore {number}: {old.description}")


def backup_snapshot(storage: Storage, destination: Path) -> int:
    """Copy the current snapshot to the new folder *destination*. Return the number of the snapshot.

    Other processes may change the index at the same time.

    Raises:
        DamagedError: A file is not what was written.
        OutputError: *destination* exists or cannot be written.
    """
    snapshot = open_snapshot(storage)
    with atomic_folder(destination, owned_patterns=OWNED_NAMES) as draft:
        copy = LocalStorage.create(draft)
        for name, data in snapshot.iter_files():
            copy.put(shard_file(name), data)
        publish_manifest(copy, snapshot.manifest, None)
    return snapshot.manifest.number


def vacuum_snapshots(storage: Storage, keep: int, wait: float) -> list[str]:
    """Delete all snapshots but the last *keep*, and the files that no other snapshot needs. Return their names.

    Raises:
        InvalidIndexError: *keep* is less than 1.
        LockedError: Another process changes the index.
    """
    if keep < 1:
        message = f"cannot keep {keep} snapshots"
        raise InvalidIndexError(Problem("bad-option", message, hint="keep 1 or more"))
    with lock_for_update(storage, "vacuum", wait) as manifest:
        numbers = _list_snapshot_numbers(storage, manifest)[-keep:]
        kept = [read_manifest(storage, history_file(number)) for number in numbers]
        history_files = {Path(history_file(number)).name for number in numbers}
        deleted = _delete_other_files(storage, HISTORY_FOLDER, history_files)  # before the files that they name
        deleted += _delete_other_files(storage, SHARDS_FOLDER, {name for old in kept for name in old.file_names()})
        storage.delete_manifest_draft()
        return deleted


def _delete_other_files(storage: Storage, folder: str, kept_names: set[str]) -> list[str]:
    """Delete all files of *folder* but *kept_names*, durably. Return their names."""
    names = [name for name in storage.list(folder) if name not in kept_names]
    storage.delete(folder, names)
    return names


def compact_index(storage: Storage, wait: float, progress: Progress) -> UpdateResult:
    """Rewrite shards that have deleted rows, and merge small ones.

    Raises:
        LockedError: Another process changes the index.
    """
    with lock_for_update(storage, "compact", wait) as manifest:
        session = UpdateSession.start(storage, manifest, progress)
        groups = plan_full_compaction(session.shards)
        shards = session.rewrite_shards(groups, select_fragmented_groups(groups), manifest.columns)
        if shards == session.shards:
            return UpdateResult(manifest.number)
        description = f"compact: {len(session.shards)} shards are {len(shards)} now"
        return UpdateResult(session.publish(shards, description, manifest.columns).number)
