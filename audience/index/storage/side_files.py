"""Storage whose new files lie in another folder: a view of an index that differs from what is published."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from audience._fs.atomic import commit_file, temp_path
from audience.index.storage.published import LocalFile, Storage, StoredFile, VersionedBytes


class SideStorage:
    """Index of *base*, with files in the folder *side* that only this view has. All else is that of the index."""

    def __init__(self, base: Storage, side: Path):
        self._base = base
        self._side = side

    @property
    def location(self) -> str:
        """Return the path or URL of the index."""
        return self._base.location

    def path_of(self, name: str) -> str:
        """Return the path or URL of a file of the index, for messages."""
        return self._base.path_of(name)

    def exists(self) -> bool:
        """Return whether there is an index."""
        return self._base.exists()

    def read(self, name: str, version: str = "") -> VersionedBytes:
        """Return the content of a small file of the index."""
        return self._base.read(name, version)

    def open(self, name: str, nbytes: int, version: str) -> StoredFile:
        """Map a file of the view, or else of the index."""
        path = self._side / Path(name).name
        return LocalFile(path) if path.is_file() else self._base.open(name, nbytes, version)

    def without_copies(self) -> "SideStorage":
        """Return the view of the index that reads no copies."""
        return SideStorage(self._base.without_copies(), self._side)

    def list(self, folder: str) -> "list[str]":
        """Return the names of the files of the index in *folder*."""
        return self._base.list(folder)

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Publish a file of the index."""
        self._base.put(name, data)

    def swap(self, name: str, data: bytes, expected: str | None) -> str:
        """Replace a file of the index if its etag is *expected*."""
        return self._base.swap(name, data, expected)

    def delete(self, folder: str, names: Iterable[str]) -> None:
        """Delete files of the index."""
        self._base.delete(folder, names)

    def delete_manifest_draft(self) -> None:
        """Delete what an interrupted `swap` may have left."""
        self._base.delete_manifest_draft()

    def draft_path(self, name: str) -> Path:
        """Return a temporary name in the folder of the view."""
        return temp_path(self._side / Path(name).name)

    def link_draft(self, name: str, source: str) -> None:
        """Give a file of the view another name."""
        self.draft_path(name).hardlink_to(self._side / Path(source).name)

    def publish_draft(self, name: str) -> None:
        """Rename the draft; nobody but this process reads it."""
        commit_file(self.draft_path(name), self._side / Path(name).name)

    def lock(self, holder: bytes, wait: float) -> AbstractContextManager[bool]:
        """Hold the lock of the writers of the index."""
        return self._base.lock(holder, wait)

    def lock_holder(self) -> bytes:
        """Return the description of the process that has the lock."""
        return self._base.lock_holder()
