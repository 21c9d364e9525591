"""Drafts of shared builds in an object store: workers put shards where the index will be published.

drafts/DIGEST/started               when the build was started last
drafts/DIGEST/00000001-00002.json   record of a finished shard, put after its files
drafts/DIGEST/spool-…-000001        rows that only the head of the cluster could read
shards/CHECKSUM/NAME                files of a finished shard, as a snapshot names them

Each process has its own credentials, from its environment. Nothing refers to these objects before the index is
published, and `vacuum` deletes what is left of a build that never was.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

import polars as pl

from audience._fs.object_urls import parse_object_url
from audience.errors import DamagedError, OutputError, Problem
from audience.index.ingest.reader import ReadingCounts
from audience.index.ingest.shared.drafts import FinishedShard
from audience.index.storage.arrow_file import map_file
from audience.index.storage.checked_json import read_checked, serialize_checked
from audience.index.storage.layout import SHARDS_FOLDER, ShardFiles
from audience.index.storage.manifest import parse_shard_files
from audience.index.storage.object_client import ObjectClient
from audience.index.storage.object_head import DRAFT_OBJECTS, shard_key
from audience.index.storage.published import LocalStorage

STARTED = "started"
MAX_RECORD_AGE = timedelta(hours=12)  # half of the age from which on `vacuum` deletes what no snapshot names


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows of a table in an object."""

    url: str
    key: str

    def read(self) -> pl.DataFrame:
        """Return the rows."""
        with _store_errors(self.url):
            content = _open_client(self.url, os.getpid()).get(self.key)
        assert content is not None
        return pl.read_ipc(BytesIO(content.data))


@dataclass(frozen=True, slots=True)
class StoreDraft:
    """Finished shards of one build, in the store where its index will be published."""

    url: str
    digest: str

    @classmethod
    def open(cls, url: str, digest: str) -> "StoreDraft":
        """Return the draft of the build *digest* of the index at *url*.

        Shards that a vacuum might soon delete are forgotten; those of other builds stay, which may be under way.

        Raises:
            OutputError: The store cannot be written.
        """
        draft = cls(url, digest)
        with _store_errors(url):
            draft._client.put(draft._key(STARTED), b"1")
            found = list(draft._client.list(f"{DRAFT_OBJECTS}/{digest}"))
            now = next(each.modified for each in found if each.key == draft._key(STARTED))  # by the clock of the store
            draft._client.delete(each.key for each in found if now - each.modified > MAX_RECORD_AGE)
        return draft

    @property
    def _client(self) -> ObjectClient:
        return _open_client(self.url, os.getpid())

    def _key(self, name: str) -> str:
        return f"{DRAFT_OBJECTS}/{self.digest}/{name}"

    def remove(self) -> None:
        """Delete the records and rows; files of shards stay."""
        with _store_errors(self.url):
            self._client.delete([each.key for each in self._client.list(f"{DRAFT_OBJECTS}/{self.digest}")])

    def write_rows(self, number: int, rows: pl.DataFrame) -> StoredRows:
        """Put rows that only this process has read."""
        stream = BytesIO()
        rows.write_ipc(stream, compression="zstd")
        key = self._key(f"spool-{token_hex(4)}-{number:06}")
        with _store_errors(self.url):
            self._client.put(key, stream.getvalue())
        return StoredRows(self.url, key)

    def find(self, name: str) -> FinishedShard | None:
        """Return the finished shard *name*; None if there is none, or if an object of it has not its size.

        Its blocks are compared with their checksums when they are read.
        """
        key = self._key(f"{name}.json")
        try:
            with _store_errors(self.url):
                content = self._client.get(key)
                assert content is not None
                body = read_checked(content.data, "shard", key)
                files = parse_shard_files(body["files"])
                stored = {each.key: each.nbytes for each in self._client.list(f"{SHARDS_FOLDER}/{files.checksum}")}
        except (FileNotFoundError, DamagedError):
            return None
        sizes = {shard_key(files.file_name(kind), files.checksum): size for kind, size in files.file_sizes.items()}
        if any(stored.get(key) != size for key, size in sizes.items()):
            return None
        return FinishedShard(files, ReadingCounts(**body["counts"]))

    @contextmanager
    def new_work(self) -> Iterator[LocalStorage]:
        """Yield a folder of this machine in which one call writes a shard."""
        with TemporaryDirectory(prefix="audience-", ignore_cleanup_errors=True) as folder:
            yield LocalStorage.create(Path(folder))

    def finish(self, shard: FinishedShard, work: LocalStorage) -> None:
        """Put the files of *shard* from *work*, and then its record."""
        with _store_errors(self.url):
            for name in shard.files.file_names():
                self._client.put(shard_key(name, shard.files.checksum), map_file(work.folder / SHARDS_FOLDER / name))
            body = {"files": asdict(shard.files), "counts": asdict(shard.counts)}
            self._client.put(self._key(f"{shard.files.name}.json"), serialize_checked("shard", body))

    def copy_to(self, storage: LocalStorage, files: ShardFiles) -> None:
        """Do nothing: the files are where they will be published, and *storage* reads them there."""


@lru_cache(4)
def _open_client(url: str, process: int) -> ObjectClient:
    return ObjectClient(parse_object_url(url))


@contextmanager
def _store_errors(url: str) -> Iterator[None]:
    """Raise OutputError for errors of the store, which FileNotFoundError is not."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{error.filename or url}: {error.strerror or error}")) from error
