"""Published files of an index: the protocol of a storage, and the local disk that implements it.

A file has a name relative to the root of the index, with a slash between folder and file, for example
`shards/00000001-00000.tags.arrow`. A published file never changes, except for the manifest, which is replaced by
compare-and-swap. All other modules reach published files through `Storage`, so that another kind of storage is one
more class. Large files are written to a local draft and published when they are complete.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from audience._fs.atomic import atomic_write, commit_file, fsync_path, temp_path
from audience._fs.checksums import hash128
from audience._fs.locks import try_lock
from audience._fs.object_urls import is_url
from audience._fs.private_files import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE, create_file
from audience.errors import DamagedError, InvalidIndexError, LockedError, OutputError, Problem
from audience.index.storage import arrow_file
from audience.index.storage.layout import (
    HISTORY_FOLDER,
    LOCK_FILE,
    LOCK_HOLDER_FILE,
    MANIFEST_FILE,
    RECORDS_FOLDER,
    SHARDS_FOLDER,
)

RESTORE_HINT = "restore a copy, or build the index again"


class VersionedBytes(NamedTuple):
    """Content of a file, with a tag that changes whenever the content does."""

    data: bytes
    etag: str


class StoredFile(Protocol):
    """Published file, open for reading for as long as it is held, also after its name was deleted.

    `data` is as long as the file. A range of it holds the bytes of the file once it was loaded.
    """

    @property
    def path(self) -> str:
        """Return the path or URL of the file, for messages."""

    @property
    def data(self) -> memoryview:
        """Return the address space of the file."""

    @property
    def is_remote(self) -> bool:
        """Return whether each load is a request to another machine."""

    def load(self, start: int, stop: int) -> None:
        """Make the bytes from *start*, the beginning of a page, up to *stop* available in `data`."""

    def load_ranges(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin to load several ranges, if loading them together is faster."""

    def reload(self, start: int, stop: int) -> bool:
        """Load bytes from the storage again, past any copy of them. Return whether there may have been a copy."""

    def evict(self) -> None:
        """Release the memory of what was loaded; it stays readable."""


class Storage(Protocol):
    """Storage of the published files of one index.

    Methods raise OSError if the storage fails, FileNotFoundError if it lacks the file.
    """

    @property
    def location(self) -> str:
        """Return the path or URL of the index."""

    def path_of(self, name: str) -> str:
        """Return the path or URL of a file, for messages."""

    def exists(self) -> bool:
        """Return whether there is anything at `location`."""

    def read(self, name: str, version: str = "") -> VersionedBytes:
        """Return the content of a small file; *version* is its checksum if the file never changes."""

    def open(self, name: str, nbytes: int, version: str) -> StoredFile:
        """Open a file for ranged reads; *version* is a checksum that the manifest has for it.

        Raises DamagedError if it is missing or does not have *nbytes* bytes, at the latest when it is loaded.
        """

    def without_copies(self) -> "Storage":
        """Return the storage that reads everything where it is stored, and nothing from a cache on this machine."""

    def list(self, folder: str) -> "list[str]":
        """Return the names of the files in *folder*, without the folder, in order; drafts may be among them."""

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Publish a file durably: a reader finds the whole of it or nothing."""

    def swap(self, name: str, data: bytes, expected: str | None) -> str:
        """Replace a file if its etag is *expected*, or create it if that is None. Return the new etag.

        Raises:
            LockedError: Another writer has replaced the file.
        """

    def delete(self, folder: str, names: Iterable[str]) -> None:
        """Delete files of *folder*, durably before this returns."""

    def delete_manifest_draft(self) -> None:
        """Delete what an interrupted `swap` may have left."""

    def draft_path(self, name: str) -> Path:
        """Return the local path where a large file is written before it is published as *name*."""

    def link_draft(self, name: str, source: str) -> None:
        """Make the published file *source* the draft of *name*, without a copy if the disk allows that."""

    def publish_draft(self, name: str) -> None:
        """Publish the draft of *name* durably."""

    def lock(self, holder: bytes, wait: float) -> AbstractContextManager[bool]:
        """Hold the lock of the writers; False if another process still has it after *wait* seconds.

        *holder* describes this process to others while it has the lock.
        """

    def lock_holder(self) -> bytes:
        """Return the description of the process that has the lock."""


class LocalFile:
    """File on the local disk, mapped into memory as a whole."""

    is_remote = False

    def __init__(self, path: Path):
        self.path = str(path)
        self.data = arrow_file.map_file(path)

    def load(self, start: int, stop: int) -> None:
        """Let the operating system read the pages at once, rather than one after another when they are touched."""
        arrow_file.load_pages(self.data[start:stop])

    def load_ranges(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Do nothing: each range is loaded when it is needed."""

    def reload(self, start: int, stop: int) -> bool:
        """Return False: there is no copy."""
        return False

    def evict(self) -> None:
        """Let the operating system take back the memory."""
        arrow_file.evict_pages(self.data)


class LocalStorage:
    """Index in a folder of the local disk.

    Files appear by rename after fsync. The lock is the operating system's, so it ends with its process.

    >>> import tempfile
    >>> storage = LocalStorage.create(Path(tempfile.mkdtemp()))
    >>> storage.put("shards/a", b"123")
    >>> storage.list("shards"), bytes(storage.open("shards/a", 3, "").data)
    (['a'], b'123')
    >>> etag = storage.swap("manifest.json", b"{}", None)
    >>> storage.read("manifest.json") == (b"{}", etag)
    True
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "LocalStorage":
        """Create the folders of a new index in the empty *folder*."""
        for name in (SHARDS_FOLDER, HISTORY_FOLDER):
            (folder / name).mkdir(PRIVATE_FOLDER_MODE)
        return cls(folder)

    @property
    def location(self) -> str:
        """Return the path of the folder."""
        return str(self.folder)

    def path_of(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.folder / name)

    def exists(self) -> bool:
        """Return whether the folder exists."""
        return self.folder.exists()

    def read(self, name: str, version: str = "") -> VersionedBytes:
        """Return the content of a file; its etag is a checksum."""
        data = (self.folder / name).read_bytes()
        return VersionedBytes(data, hash128(data))

    def open(self, name: str, nbytes: int, version: str) -> StoredFile:
        """Map a file of *nbytes* bytes into memory."""
        path = self.folder / name
        with wrap_os_errors(str(path)):
            try:
                if not path.is_file():
                    raise FileNotFoundError(path)
                file = LocalFile(path)
            except FileNotFoundError as error:  # also if it is deleted between the two calls
                raise DamagedError(Problem("damaged", f"{path} is missing", hint=RESTORE_HINT)) from error
        if len(file.data) != nbytes:
            raise damaged_error(str(path))
        return file

    def without_copies(self) -> "LocalStorage":
        """Return itself: there are no copies."""
        return self

    def list(self, folder: str) -> "list[str]":
        """Return the names of the files in *folder*, in order."""
        return sorted(path.name for path in (self.folder / folder).iterdir())

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Write a file under a temporary name and rename it. Only the owner may read it."""
        path = self.folder / name
        if path.parent.name == RECORDS_FOLDER and not path.parent.is_dir():
            path.parent.mkdir(PRIVATE_FOLDER_MODE)
            fsync_path(self.folder)
        atomic_write(path, data)

    def swap(self, name: str, data: bytes, expected: str | None) -> str:
        """Replace a file by rename. The caller has the lock, so nobody replaces it after the comparison."""
        try:
            current = self.read(name).etag
        except FileNotFoundError:
            current = None
        if current != expected:
            message = f"{self.path_of(name)} was replaced by another writer"
            raise LockedError(Problem("locked", message, hint="try again"))
        self.put(name, data)
        return hash128(data)

    def delete(self, folder: str, names: Iterable[str]) -> None:
        """Delete files and sync the folder."""
        for name in names:
            (self.folder / folder / name).unlink()
        fsync_path(self.folder / folder)

    def delete_manifest_draft(self) -> None:
        """Delete the temporary file of the manifest."""
        temp_path(self.folder / MANIFEST_FILE).unlink(missing_ok=True)

    def draft_path(self, name: str) -> Path:
        """Return the path of a temporary file in the folder of the file, which only the owner may read."""
        draft = temp_path(self.folder / name)
        draft.unlink(missing_ok=True)  # one that an interrupted process has left may be another name of a shard's file
        draft.touch(PRIVATE_FILE_MODE)
        draft.chmod(PRIVATE_FILE_MODE)  # a umask such as 277 takes away too much
        return draft

    def link_draft(self, name: str, source: str) -> None:
        """Give the file *source* another name, or copy it on a disk where a file has only one."""
        draft = temp_path(self.folder / name)
        draft.unlink(missing_ok=True)
        try:
            draft.hardlink_to(self.folder / source)
        except OSError:
            shutil.copyfile(self.folder / source, self.draft_path(name))

    def publish_draft(self, name: str) -> None:
        """Sync the draft and rename it."""
        commit_file(temp_path(self.folder / name), self.folder / name)

    @contextmanager
    def lock(self, holder: bytes, wait: float) -> Iterator[bool]:
        """Hold the lock file; the description of the holder is a file beside it."""
        with try_lock(self.folder / LOCK_FILE, wait) as acquired:
            if not acquired:
                yield False
                return
            try:
                (self.folder / LOCK_HOLDER_FILE).unlink(missing_ok=True)
                with create_file(self.folder / LOCK_HOLDER_FILE) as file:
                    file.write(holder)
                yield True
            finally:
                (self.folder / LOCK_HOLDER_FILE).unlink(missing_ok=True)

    def lock_holder(self) -> bytes:
        """Return the content of the file beside the lock."""
        return (self.folder / LOCK_HOLDER_FILE).read_bytes()


def open_storage(location: str | Path) -> Storage:
    """Return the storage of the index at *location*, a folder or the URL of an object store.

    Raises:
        InvalidIndexError: The URL is invalid.
        OutputError: A package for object stores is not installed.
    """
    if is_url(location):
        from audience.index.storage.object_storage import open_object_storage  # loads slowly, and few need it

        return open_object_storage(location)
    return LocalStorage(Path(location))


def require_local(storage: Storage) -> None:
    """Raise OutputError if an index is in an object store, where it is published and not changed in place."""
    if is_url(storage.location):
        raise remote_index_error(storage.location)


def remote_index_error(location: str) -> OutputError:
    """Return the error for a change of an index in an object store."""
    message = f"{location} cannot be changed in place: an object store has no lock that keeps two changes apart"
    hint = f"pull it, change the copy, and push that: audience index pull {location} -o FOLDER"
    return OutputError(Problem("remote-index", message, hint=hint))


def damaged_error(path: str, detail: str = "") -> DamagedError:
    """Return the error for content of *path* that is not what was written, optionally naming the damaged part."""
    return DamagedError(Problem("damaged", f"{path}{detail} is not what was written", hint=RESTORE_HINT))


@contextmanager
def wrap_os_errors(path: str) -> Iterator[None]:
    """Raise InvalidIndexError, naming *path*, for errors of the operating system."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidIndexError(Problem("unreadable", f"{path}: {reason}")) from error
