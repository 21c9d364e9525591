"""Index in an object store: what is published there is read, by ranges; `audience index push` publishes."""

import errno
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

from audience._fs.object_urls import parse_object_url
from audience.errors import DamagedError, Problem
from audience.index.storage.block_cache import BlockCache, open_block_cache
from audience.index.storage.layout import HISTORY_FOLDER, MANIFEST_FILE, RECORDS_FOLDER
from audience.index.storage.manifest import Manifest, parse_manifest
from audience.index.storage.object_client import ObjectClient
from audience.index.storage.object_head import (
    HEAD_FILE,
    Head,
    history_key,
    opening_key,
    parse_head,
    record_key,
    shard_key,
)
from audience.index.storage.opening import Opening
from audience.index.storage.published import (
    RESTORE_HINT,
    VersionedBytes,
    damaged_error,
    remote_index_error,
    wrap_os_errors,
)
from audience.index.storage.remote_file import Ranges, RemoteFile

RECORD_LIST = f"{RECORDS_FOLDER}/records.json"


class ObjectStorage:
    """Storage of an index in an object store. It is read; what changes an index in place is refused."""

    def __init__(self, client: ObjectClient, cache: BlockCache, *, reads_copies: bool = True):
        self.client = client
        self._cache = cache
        self._reads_copies = reads_copies  # blocks in the cache and in openings
        self._head: tuple[Head, str] | None = None  # that was read last, and its etag
        self._opening: Opening | None = None  # of the head

    @property
    def location(self) -> str:
        """Return the URL of the index."""
        return str(self.client.url)

    def path_of(self, name: str) -> str:
        """Return a URL for messages."""
        return self.client.path_of(HEAD_FILE if name in (MANIFEST_FILE, RECORD_LIST) else name)

    def exists(self) -> bool:
        """Return whether there is any object at the URL."""
        return next(self.client.list(), None) is not None

    def load_head(self) -> tuple[Head, str]:
        """Return the current head and its etag. Raises FileNotFoundError if nothing is published."""
        content = self.client.get(HEAD_FILE, None if self._head is None else self._head[1])
        if content is not None:
            head = parse_head(content.data, self.client.path_of(HEAD_FILE))
            self._opening = self._find_opening(head) if self._reads_copies else None
            self._head = head, content.etag
        assert self._head is not None
        return self._head

    def _find_opening(self, head: Head) -> Opening:
        def read(start: int, stop: int) -> memoryview | None:
            try:
                return self.client.get_ranges(opening_key(head.opening), [(start, stop)])[0]
            except FileNotFoundError:  # a copy of the index may lack it; each file has its blocks, too
                return None

        return Opening(self._parse(head), shard_key, read)

    def _parse(self, head: Head) -> Manifest:
        return parse_manifest(self, MANIFEST_FILE, VersionedBytes(head.manifest.encode(), ""))

    def read(self, name: str, version: str = "") -> VersionedBytes:
        """Return the content of a small file."""
        folder, _, file_name = name.rpartition("/")
        if name == MANIFEST_FILE:
            head, etag = self.load_head()
            return VersionedBytes(head.manifest.encode(), etag)
        if name == RECORD_LIST:
            head, etag = self.load_head()
            if head.records is None:
                raise FileNotFoundError(errno.ENOENT, "nothing is recorded", self.path_of(name))
            return VersionedBytes(head.records.encode(), etag)
        key = record_key(file_name, version) if folder == RECORDS_FOLDER else self._find_history_key(file_name)
        content = self.client.get(key)
        assert content is not None
        return content

    def _find_history_key(self, file_name: str) -> str:
        head, _ = self._head or self.load_head()
        for kept in head.history:
            if f"{kept.number:08}.json" == file_name:
                return history_key(kept.checksum)
        raise FileNotFoundError(errno.ENOENT, "the snapshot is not kept", self.path_of(f"{HISTORY_FOLDER}/{file_name}"))

    def open(self, name: str, nbytes: int, version: str) -> RemoteFile:
        """Open a file for ranged reads; a request is only made to compare its size.

        Raises:
            DamagedError: It is missing, or its size is another one.
        """
        key = shard_key(Path(name).name, version)
        if not self._reads_copies:
            self._require_size(key, nbytes)
        return RemoteFile(self.client.path_of(key), key, nbytes, self._fetch, self._cache, self._opening)

    def _require_size(self, key: str, nbytes: int) -> None:
        """Raise DamagedError unless an object has its size: bytes behind its blocks are never read."""
        path = self.client.path_of(key)
        with wrap_os_errors(path):
            try:
                found = self.client.measure(key)
            except FileNotFoundError as error:
                raise self._missing_error(key) from error
        if found != nbytes:
            raise damaged_error(path)

    def _fetch(self, key: str, ranges: Ranges) -> "list[memoryview]":
        try:
            return self.client.get_ranges(key, ranges)
        except FileNotFoundError as error:
            raise self._missing_error(key) from error

    def _missing_error(self, key: str) -> DamagedError:
        """Return the error for an object that is gone: a newer snapshot may have taken its place."""
        path, (head, _) = self.client.path_of(key), self.load_head()
        if key in {shard_key(*file) for file in self._parse(head).file_versions().items()}:
            return DamagedError(Problem("damaged", f"{path} is missing", hint=RESTORE_HINT))
        message = f"{path} was deleted: snapshot {head.number} is published, and older ones were vacuumed"
        return DamagedError(Problem("object-gone", message, hint="open the index again and repeat the question"))

    def without_copies(self) -> "ObjectStorage":
        """Return the storage that reads each file itself, and compares its size."""
        return ObjectStorage(self.client, self._cache.disabled(), reads_copies=False)

    def list(self, folder: str) -> "list[str]":
        """Return the names of the files in *folder*, as the head has them."""
        head, _ = self._head or self.load_head()
        return [f"{kept.number:08}.json" for kept in head.history] if folder == HISTORY_FOLDER else []

    def lock(self, holder: bytes, wait: float) -> AbstractContextManager[bool]:
        """Refuse: only publishing is safe without a lock."""
        self._refuse()

    def lock_holder(self) -> bytes:
        """Refuse: there is no lock."""
        self._refuse()

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Refuse."""
        self._refuse()

    def swap(self, name: str, data: bytes, expected: str | None) -> str:
        """Refuse."""
        self._refuse()

    def delete(self, folder: str, names: Iterable[str]) -> None:
        """Refuse."""
        self._refuse()

    def delete_manifest_draft(self) -> None:
        """Refuse."""
        self._refuse()

    def draft_path(self, name: str) -> Path:
        """Refuse."""
        self._refuse()

    def link_draft(self, name: str, source: str) -> None:
        """Refuse."""
        self._refuse()

    def publish_draft(self, name: str) -> None:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise remote_index_error(self.location)


def open_object_storage(location: str | Path) -> ObjectStorage:
    """Return the storage of the index at the URL *location*.

    Raises:
        InvalidIndexError: The URL is invalid, or the settings for the store are.
        OutputError: The package for object stores is not installed.
    """
    url = parse_object_url(location)
    with wrap_os_errors(str(url)):
        return ObjectStorage(ObjectClient(url), open_block_cache())
