"""Shards of a new index that the processes of a cluster write; they are the bytes that one process would write."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import orjson

from audience._fs.checksums import hash128
from audience.cluster.cluster import Cluster
from audience.cluster.versions import read_versions
from audience.errors import ClusterError, Problem, TableError
from audience.index.ingest.encode import count_rows
from audience.index.ingest.encoded_shards import name_shard, write_shard
from audience.index.ingest.locations.fetching import Source, list_file_names
from audience.index.ingest.locations.source_files import detect_format
from audience.index.ingest.locations.stamps import FileStamp, Stamp, list_stamps, require_same, require_unchanged
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.reader import ReadingCounts, SourceTable
from audience.index.ingest.shared.chunks import (
    DIRECT_FORMATS,
    Chunk,
    group_chunks,
    read_chunks,
    require_rows,
    slice_table,
    spool_table,
)
from audience.index.ingest.shared.drafts import Draft, FinishedShard
from audience.index.schema.column_roles import ColumnRoles
from audience.index.storage.device_numbers import NumberSequence
from audience.index.storage.published import LocalStorage
from audience.index.storage.shard import Shard
from audience.progress import Progress

if TYPE_CHECKING:  # object stores are for few
    from audience.index.ingest.shared.staged_build import StagedBuild
    from audience.index.ingest.shared.store_drafts import StoreDraft

DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class SharedSource:
    """Source of a shared build.

    Attributes:
        source: The source; files that all machines read have absolute paths.
        names: Names of its files and objects.
        stamps: States of these; None if it is something else.
        is_direct: Whether all machines read the files themselves; else the head copies their rows for them.
    """

    source: Source
    names: tuple[str, ...]
    stamps: tuple[Stamp, ...] | None
    is_direct: bool

    @property
    def shared_stamps(self) -> tuple[FileStamp, ...]:
        """Return the states of the files that all machines read."""
        return tuple(each for each in self.stamps or () if isinstance(each, FileStamp)) if self.is_direct else ()

    def require_unchanged_copy(self) -> None:
        """Raise ClusterError if a file or object changed before its rows were copied for the other processes."""
        if self.stamps is not None and not self.is_direct:
            require_same(self.stamps, self.names)

    def digest(self, roles: ColumnRoles, options: ReadOptions, shard_rows: int) -> str:
        """Return what names the build: the same files, read in the same way, by the same versions.

        A table that is not in files or objects may be another one the next time, so its digest is random.
        """
        if self.stamps is None:
            return token_hex(DIGEST_DIGITS // 2)
        stamps = [asdict(stamp) for stamp in self.stamps]
        job = [stamps, asdict(roles), asdict(options), shard_rows, read_versions()]
        return hash128(orjson.dumps(job, default=str))[:DIGEST_DIGITS]


def share_source(source: Source) -> SharedSource:
    """Return *source* as a cluster reads it.

    Raises:
        TableError: There is no file or object, or a store cannot be read.
    """
    names = list_file_names(source)
    if names is None:
        return SharedSource(source, (), None, False)
    stamps = tuple(stamp for name in names for stamp in list_stamps(name))
    paths = [stamp.path for stamp in stamps if isinstance(stamp, FileStamp)]
    if len(paths) < len(stamps) or not {detect_format(str(path)) for path in paths} <= {*DIRECT_FORMATS}:
        return SharedSource(source, tuple(names), stamps, False)
    return SharedSource([Path(name).absolute() for name in names], tuple(names), stamps, True)


def require_shareable(options: ReadOptions) -> None:
    """Raise ClusterError for options by which the rows of a shard depend on those of other shards."""
    given = {
        "--on-bad-row reject": options.on_bad_row == "reject",
        f"--duplicates {options.duplicates}": options.duplicates != "refuse",
    }
    for option, is_given in given.items():
        if is_given:
            message = f"a cluster cannot build with {option}, by which shards depend on each other"
            raise ClusterError(Problem("not-shared", message, hint="build on one machine, or clean the table first"))


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Shard that is to be written.

    Attributes:
        table: The table, without its rows.
        stamps: States of the files that are read.
        chunks: Rows of the shard.
        draft: Draft of the build.
        name: Name of the shard.
        first_number: Number of its first device.
    """

    table: SourceTable
    stamps: tuple[FileStamp, ...]
    chunks: tuple[Chunk, ...]
    draft: "Draft | StoreDraft"
    name: str
    first_number: int


@dataclass(frozen=True, slots=True)
class SharedBuild:
    """Build whose shards the processes of a cluster write.

    Attributes:
        source: Source of the table.
        draft: Where processes put finished shards.
        shard_rows: Rows of a shard.
    """

    source: SharedSource
    draft: "Draft | StoreDraft"
    shard_rows: int

    def write_shards(
        self, table: SourceTable, storage: LocalStorage, numbers: NumberSequence, cluster: Cluster, progress: Progress
    ) -> list[Shard]:
        """Write the shards of *table* on *cluster*, but those that the draft has already.

        Args:
            table: The table.
            storage: Storage of the new index, in which the shards get their names.
            numbers: Numbers of devices, which are taken in the order of the rows.
            cluster: Processes that write the shards.
            progress: Progress callback.

        Raises:
            TableError: A row does not fit; the error is that of a build by one process.
            ClusterError: The cluster is lost, or the processes do not see the same files.
        """
        stamps = self.source.shared_stamps
        tasks = [
            ShardTask(
                replace(table, counts=ReadingCounts()),
                stamps,
                tuple(group),
                self.draft,
                name_shard(1, number),
                numbers.take(sum(chunk.row_count for chunk in group)),
            )
            for number, group in enumerate(group_chunks(self._list_chunks(table, progress), self.shard_rows))
        ]
        shards = _run_tasks(tasks, cluster, progress, table.row_count)
        for shard in shards:
            add_counts(table.counts, shard.counts)
            self.draft.copy_to(storage, shard.files)
        require_unchanged(stamps)
        return [Shard(storage, shard.files) for shard in shards]

    def _list_chunks(self, table: SourceTable, progress: Progress) -> list[Chunk]:
        if self.source.is_direct:
            return slice_table(table, self.shard_rows)
        chunks = spool_table(table, self.shard_rows, self.draft.write_rows, progress)
        self.source.require_unchanged_copy()
        return chunks


@contextmanager
def open_shared_build(
    source: Source,
    index: Path,
    roles: ColumnRoles,
    options: ReadOptions,
    shard_rows: int,
    staged: "StagedBuild | None" = None,
) -> Iterator[SharedBuild]:
    """Yield the build of *index*, which the caller has locked, or of one for an object store.

    Finished shards are kept for the next build if the cluster or this process is lost, and removed if the table is at
    fault, or when they are part of the index.

    Raises:
        TableError: There is no file.
        ClusterError: A cluster cannot build with these *options*.
    """
    require_shareable(options)
    shared = share_source(source)
    digest = shared.digest(roles, options, shard_rows)
    draft = Draft.open(index, digest) if staged is None else staged.open_draft(digest)
    try:
        yield SharedBuild(shared, draft, shard_rows)
    except TableError:
        draft.remove()
        raise
    if staged is None:  # else finished shards are needed until they are published
        draft.remove()


def _run_tasks(tasks: Sequence[ShardTask], cluster: Cluster, progress: Progress, row_count: int) -> list[FinishedShard]:
    """Return the shards of *tasks*, in order."""
    finished: list[FinishedShard] = []
    progress("indexing devices", 0, row_count)
    try:
        for shard in cluster.map(finish_shard, tasks):
            finished.append(shard)
            progress("indexing devices", sum(each.files.row_count for each in finished), row_count)
    except TableError:
        task = tasks[len(finished)]  # a worker may not see the files by which an error names rows: read them here
        task.table.read_shard(read_chunks(task.chunks, task.table), task.chunks[0].first_row)
        raise
    return finished


def finish_shard(task: ShardTask) -> FinishedShard:
    """Write one shard to its draft, or return the shard if the draft has it already.

    Raises:
        TableError: A row does not fit.
        ClusterError: The files of the source are not what the head of the cluster has read.
    """
    found = task.draft.find(task.name)
    if found is not None:
        return found
    require_unchanged(task.stamps)
    table = replace(task.table, counts=ReadingCounts())
    rows = table.read_shard(read_chunks(task.chunks, table), task.chunks[0].first_row)
    require_unchanged(task.stamps)
    require_rows(count_rows(rows), sum(chunk.row_count for chunk in task.chunks), f"the shard {task.name}")
    with task.draft.new_work() as work:
        shard = FinishedShard(write_shard(work, task.name, rows, task.first_number), table.counts)
        task.draft.finish(shard, work)
    return shard


def add_counts(counts: ReadingCounts, more: ReadingCounts) -> None:
    """Add to *counts* what another process has counted."""
    counts.rows += more.rows
    counts.duplicates += more.duplicates
    counts.renamed_platforms.update(more.renamed_platforms)
    pairs = (
        (counts.stripped, more.stripped),
        (counts.repeated_times, more.repeated_times),
        (counts.skipped_times, more.skipped_times),
    )
    for known, added in pairs:
        for name, count in added.items():
            known[name] = known.get(name, 0) + count
