"""Storage whose new files lie in another folder: a view of an index that differs from what is published."""

from pathlib import Path

from audience._fs.atomic import commit_file, temp_path
from audience.index.storage.published import LocalFile, LocalStorage, Storage, StoredFile


class SideStorage(LocalStorage):
    """Index of *base*, with files in the folder *side* that only this view has."""

    def __init__(self, base: Storage, side: Path):
        super().__init__(side)
        self._base = base
        self._side = side

    @property
    def location(self) -> str:
        """Return the path or URL of the index."""
        return self._base.location

    def open(self, name: str, nbytes: int, version: str) -> StoredFile:
        """Map a file of the view, or else of the index."""
        path = self._side / Path(name).name
        return LocalFile(path) if path.is_file() else self._base.open(name, nbytes, version)

    def draft_path(self, name: str) -> Path:
        """Return a temporary name in the folder of the view."""
        return temp_path(self._side / Path(name).name)

    def publish_draft(self, name: str) -> None:
        """Rename the draft; nobody but this process reads it."""
        commit_file(self.draft_path(name), self._side / Path(name).name)
