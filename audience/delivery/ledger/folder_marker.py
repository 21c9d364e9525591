"""Marks: empty files that tell a folder from a copy of it.

A mark is known by its name, which is never used twice, its inode, and the moment when the file system changed it last
(ctime), which nobody can set. A folder keeps its marks where it is renamed, mounted elsewhere or seen from another
machine; a copy, also one that is put back from a backup, has files with other traces.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from audience._fs.atomic import fsync_path

CREATED_MARKER_GLOB, SENT_MARKER_GLOB = "begun-*.mark", "sent-*.mark"
NANOSECONDS_PER_MICROSECOND = 1_000  # of nanoseconds; network file systems keep no finer ones


@dataclass(frozen=True, slots=True)
class FolderMarker:
    """The *name* of a mark, and its *trace*."""

    name: str
    fingerprint: str


def create_marker(folder: Path, kind: Literal["begun", "sent"]) -> FolderMarker:
    """A new mark in *folder*, on disk: that a run was begun there, or that somebody may have been told; OSError."""
    file = folder / f"{kind}-{uuid4().hex}.mark"
    file.touch(exist_ok=False)
    fsync_path(file)
    fsync_path(folder)
    return FolderMarker(file.name, read_fingerprint(file))


def read_fingerprint(file: Path) -> str:
    """What a copy of the mark *file* has not; empty where it is not there."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_ino} {found.st_ctime_ns // NANOSECONDS_PER_MICROSECOND}"


def list_marker_names(folder: Path) -> set[str]:
    """The names of all marks in *folder*."""
    return {file.name for kind in (CREATED_MARKER_GLOB, SENT_MARKER_GLOB) for file in folder.glob(kind)}
