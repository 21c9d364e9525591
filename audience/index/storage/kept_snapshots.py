"""Older snapshots that an index keeps, opened by their number."""

from audience.errors import InvalidIndexError, Problem
from audience.index.storage.layout import history_file
from audience.index.storage.manifest import Manifest, read_manifest
from audience.index.storage.published import Storage
from audience.index.storage.retention import list_snapshot_numbers
from audience.index.storage.snapshot import Snapshot


def read_kept_manifest(storage: Storage, current: Manifest, number: int) -> Manifest:
    """Return the manifest of snapshot *number*.

    Raises:
        InvalidIndexError: The snapshot is not kept; the hint lists those that are.
        DamagedError: The manifest is not what was written.
    """
    numbers = list_snapshot_numbers(storage, current)
    if number not in numbers:
        message = f"{storage.location} keeps no snapshot {number}"
        raise InvalidIndexError(Problem("no-snapshot", message, hint=f"it keeps {', '.join(map(str, numbers))}"))
    return read_manifest(storage, history_file(number))


def open_kept_snapshot(snapshot: Snapshot, number: int) -> Snapshot:
    """Open snapshot *number* of the index of *snapshot*.

    It shares nothing with it: joined shards can only be taken over by a later snapshot.

    Raises:
        InvalidIndexError: The snapshot is not kept, or newer than *snapshot*.
        DamagedError: A file is missing or not what was written.
    """
    if number == snapshot.manifest.number:
        return snapshot
    manifest = read_kept_manifest(snapshot.storage, snapshot.manifest, number)
    return Snapshot(snapshot.storage, manifest, threads=snapshot.threads)
