"""Recognition of folders of indexes, as commands about runs take both."""

from pathlib import Path

from audience.index.storage.layout import HISTORY_FOLDER, MANIFEST_FILE


def is_index_folder(folder: Path) -> bool:
    """Return whether *folder* is an index, and not a folder of requests."""
    return (folder / MANIFEST_FILE).is_file() and (folder / HISTORY_FOLDER).is_dir()
