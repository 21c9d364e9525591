"""Folder of an index that is being built, some of whose files are in an object store already."""

from pathlib import Path

from audience.index.storage.published import LocalStorage, Storage, StoredFile


class StagedStorage(LocalStorage):
    """Storage in a folder; files that are not there are those of *remote*, where the index will be published."""

    def __init__(self, folder: Path, remote: Storage):
        super().__init__(folder)
        self.remote = remote

    def has_file(self, name: str) -> bool:
        """Return whether a file is in the folder."""
        return (self.folder / name).is_file()

    def open(self, name: str, nbytes: int, version: str) -> StoredFile:
        """Map a file of the folder into memory, or open one of the object store for ranged reads."""
        return super().open(name, nbytes, version) if self.has_file(name) else self.remote.open(name, nbytes, version)
