"""Marker files: empty files that distinguish a folder from a copy of it.

A marker is identified by its unique name and by its fingerprint: the inode, and the time of the last status change
(ctime), which no program can set. Renaming or remounting a folder, or opening it from another machine, keeps the
fingerprints. Copying the folder or restoring it from a backup creates files with other fingerprints.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from audience._fs.atomic import fsync_path
from audience._fs.private_files import create_file

CREATED_MARKER_GLOB, SENT_MARKER_GLOB = "created-*.marker", "sent-*.marker"
NANOSECONDS_PER_MICROSECOND = 1_000  # network file systems keep no finer times


@dataclass(frozen=True, slots=True)
class FolderMarker:
    """Name and fingerprint of a marker file."""

    name: str
    fingerprint: str


def create_marker(folder: Path, kind: Literal["created", "sent"]) -> FolderMarker:
    """Create a marker in *folder* and sync it to disk. Raises OSError.

    Args:
        folder: The run folder.
        kind: "created" if nothing was sent yet, "sent" if a worker may have sent something.
    """
    file = folder / f"{kind}-{uuid4().hex}.marker"
    create_file(file).close()
    fsync_path(file)
    fsync_path(folder)
    return FolderMarker(file.name, read_fingerprint(file))


def read_fingerprint(file: Path) -> str:
    """Return the fingerprint of the marker *file*, which no copy of it has; empty if the file is missing."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return ""
    return f"{stat.st_ino} {stat.st_ctime_ns // NANOSECONDS_PER_MICROSECOND}"


def list_marker_names(folder: Path) -> set[str]:
    """Return the names of all markers in *folder*."""
    return {file.name for pattern in (CREATED_MARKER_GLOB, SENT_MARKER_GLOB) for file in folder.glob(pattern)}


def location_values(folder: Path, marker: FolderMarker, now: float) -> dict[str, Any]:
    """Return the row of the table `run_location` for a run in *folder* with *marker*."""
    return {
        "marker": marker.name,
        "fingerprint": marker.fingerprint,
        "folder": os.fsencode(folder.resolve()),
        "host": socket.gethostname(),
        "recorded_at": now,
    }
