"""Drafts of shared builds: finished shards that outlive the processes of a build, so that the next one goes on.

.NAME.0123456789abcdef.draft/     beside the index NAME; the digits are the digest of the job
shards/                       files of finished shards
00000001-00002.json           record of a finished shard, written after its files
work-…/                       one folder for each call that writes a shard
spool-…/                      rows that only the head of the cluster could read
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp

import polars as pl

from audience._fs.atomic import atomic_replaced_file, fsync_path, link_or_copy
from audience._fs.private_files import PRIVATE_FOLDER_MODE
from audience.errors import DamagedError, OutputError, Problem
from audience.index.ingest.reader import ReadingCounts
from audience.index.ingest.shared.chunks import RowFile
from audience.index.ingest.shared.kept_calls import open_job_folder
from audience.index.storage.checked_json import read_checked, serialize_checked
from audience.index.storage.layout import SHARDS_FOLDER, ShardFiles
from audience.index.storage.manifest import parse_shard_files
from audience.index.storage.published import LocalStorage
from audience.index.storage.shard import Shard

WORK_PREFIX, SPOOL_PREFIX = "work-", "spool-"


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """Shard that a process of the cluster has written, and what it counted while it read its rows."""

    files: ShardFiles
    counts: ReadingCounts


@dataclass(frozen=True, slots=True)
class Draft:
    """Folder of the finished shards of one build."""

    folder: Path

    @classmethod
    def open(cls, index: Path, digest: str) -> "Draft":
        """Return the draft of the build *digest* of *index*, and remove the drafts of other builds of the index.

        The caller has the lock of *index*. Folders of calls and spools of earlier processes are removed, too.

        Raises:
            OutputError: The folder cannot be written.
        """
        draft = cls(open_job_folder(index, digest, "draft"))
        try:
            (draft.folder / SHARDS_FOLDER).mkdir(PRIVATE_FOLDER_MODE, exist_ok=True)
            for prefix in (WORK_PREFIX, SPOOL_PREFIX):
                for stale in draft.folder.glob(f"{prefix}*"):
                    shutil.rmtree(stale, ignore_errors=True)
        except OSError as error:
            raise OutputError(Problem("cannot-write", f"{draft.folder}: {error.strerror or error}")) from error
        return draft

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def write_rows(self, number: int, rows: pl.DataFrame) -> RowFile:
        """Write rows that only this process has read."""
        return RowFile.write(Path(mkdtemp(prefix=SPOOL_PREFIX, dir=self.folder)), number, rows)

    def find(self, name: str) -> FinishedShard | None:
        """Return the finished shard *name*; None if there is none, or if any byte of it is not what was written."""
        record = self._record(name)
        try:
            body = read_checked(record.read_bytes(), "shard", str(record))
            files = parse_shard_files(body["files"])
            Shard(LocalStorage(self.folder), files).verify()
        except (FileNotFoundError, DamagedError):
            return None
        return FinishedShard(files, ReadingCounts(**body["counts"]))

    @contextmanager
    def new_work(self) -> Iterator[LocalStorage]:
        """Yield a new folder in which one call writes a shard; another call may write the same one at once."""
        work = LocalStorage.create(Path(mkdtemp(prefix=WORK_PREFIX, dir=self.folder)))
        try:
            yield work
        finally:
            shutil.rmtree(work.folder, ignore_errors=True)

    def finish(self, shard: FinishedShard, work: LocalStorage) -> None:
        """Move the files of *shard* out of *work*, and then record it; all of it is durable."""
        for name in shard.files.file_names():
            (work.folder / SHARDS_FOLDER / name).rename(self.folder / SHARDS_FOLDER / name)
        fsync_path(self.folder / SHARDS_FOLDER)
        body = {"files": asdict(shard.files), "counts": asdict(shard.counts)}
        with atomic_replaced_file(self._record(shard.files.name)) as file:
            file.write_bytes(serialize_checked("shard", body))

    def copy_to(self, storage: LocalStorage, files: ShardFiles) -> None:
        """Give the files of a finished shard a second name in *storage*; where that is impossible, copy them."""
        for name in files.file_names():
            link_or_copy(self.folder / SHARDS_FOLDER / name, storage.folder / SHARDS_FOLDER / name)

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"
