"""What is kept of an index: its history, older snapshots restored, copies, and files that nobody needs any more."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audience._fs.atomic import atomic_folder, fsync_path, temp_path
from audience.errors import InvalidIndexError, Problem
from audience.index.storage.snapshot import (
    HISTORY_FOLDER,
    MANIFEST_FILE,
    OWNED_NAMES,
    SHARDS_FOLDER,
    Manifest,
    Snapshot,
    load_current_manifest,
    open_snapshot,
    publish_manifest,
    publish_successor,
    read_manifest,
)
from audience.index.storage.write_lock import lock_for_update


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One snapshot of an index: its number, when and by what it was made, and its devices."""

    number: int
    created: str
    description: str
    device_count: int


def list_snapshots(folder: Path) -> list[SnapshotInfo]:
    """The snapshots that are kept, the oldest first; the last one is current."""
    manifests = [
        _read_kept_manifest(folder, number) for number in _list_snapshot_numbers(folder, load_current_manifest(folder))
    ]
    return [SnapshotInfo(each.number, each.created, each.description, each.device_count) for each in manifests]


def _list_snapshot_numbers(folder: Path, newest: Manifest) -> list[int]:
    """The numbers of the snapshots that are kept, up to *last*; one beyond it was never published."""
    numbers = [int(file.stem) for file in (folder / HISTORY_FOLDER).glob("*.json") if file.stem.isdecimal()]
    return sorted(number for number in numbers if number <= newest.number)


def _read_kept_manifest(folder: Path, number: int) -> Manifest:
    return read_manifest(folder / HISTORY_FOLDER / f"{number:08}.json")


def restore_snapshot(folder: Path, number: int, wait: float) -> int:
    """Make the snapshot *number* current again, as a new one; the number of that."""
    with lock_for_update(folder, "restore", wait) as manifest:
        numbers = _list_snapshot_numbers(folder, manifest)
        if number not in numbers:
            known = ", ".join(map(str, numbers))
            problem = Problem("no-snapshot", f"{folder} keeps no snapshot {number}", hint=f"it keeps {known}")
            raise InvalidIndexError(problem)
        old = _read_kept_manifest(folder, number)
        Snapshot(folder, old).verify()
        return publish_successor(folder, manifest, old, f"restore {number}: {old.description}")


def backup_snapshot(folder: Path, destination: Path) -> int:
    """Copy the current snapshot, and it alone, to the new folder *to*; the number of the snapshot.

    Writers may go on meanwhile. Raises DamagedError where what is to be copied is not what was written.
    """
    snapshot = open_snapshot(folder)
    with atomic_folder(destination, owned_patterns=OWNED_NAMES) as draft:
        for name in (SHARDS_FOLDER, HISTORY_FOLDER):
            (draft / name).mkdir()
        for name, data in snapshot.iter_files():
            (draft / SHARDS_FOLDER / name).write_bytes(data)
        publish_manifest(draft, snapshot.manifest)
    return snapshot.manifest.number


def vacuum_snapshots(folder: Path, keep: int, wait: float) -> list[str]:
    """Forget all snapshots but the last *keep*, and remove the files that no other needs; their names."""
    if keep < 1:
        raise InvalidIndexError(Problem("bad-option", f"{keep} snapshots cannot be kept", hint="keep 1 at least"))
    with lock_for_update(folder, "vacuum", wait) as manifest:
        kept = [_read_kept_manifest(folder, number) for number in _list_snapshot_numbers(folder, manifest)[-keep:]]
        names = {name for each in kept for name in each.file_names()}
        manifests = {f"{each.number:08}.json" for each in kept}
        gone = [
            *_remove_other_files(folder / HISTORY_FOLDER, manifests),
            *_remove_other_files(folder / SHARDS_FOLDER, names),
        ]
        temp_path(folder / MANIFEST_FILE).unlink(missing_ok=True)
        return gone


def _remove_other_files(folder: Path, kept_names: set[str]) -> Iterator[str]:
    """Remove all files of *folder* but those *kept*; what is left there is synced before anything else is removed."""
    for file in sorted(folder.iterdir()):
        if file.name not in kept_names:
            file.unlink()
            yield file.name
    fsync_path(folder)
