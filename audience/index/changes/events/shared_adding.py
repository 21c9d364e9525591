"""Additions of events that the processes of a cluster share; the files are those of one process.

.NAME.DIGEST.events/ beside the index NAME; the next start of the same addition goes on from it
rows/                rows that only the head of the cluster could read
events-…             events of a chunk of the table, with the numbers of their devices
unknown-…            events of unknown ids that are kept
files-…/             files of events that one call has written; the head renames them into the index
….json               records of finished calls
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp
from typing import Any

import numpy as np
import orjson
import polars as pl

from audience._fs.atomic import fsync_path, link_or_copy, remove_stale_temp_files
from audience._fs.checksums import hash128
from audience._fs.private_files import create_file
from audience.cluster.cluster import Cluster
from audience.errors import ClusterError, Problem, TableError
from audience.index.changes.events.event_frames import (
    EventNotes,
    Unknown,
    count_names,
    drop_outdated,
    find_events,
    split_events,
)
from audience.index.changes.session import UpdateSession
from audience.index.ingest.events import spool
from audience.index.ingest.events.encoding import DAY, EVENT, encode_events, find_partition
from audience.index.ingest.events.event_table import EventColumns, EventTable
from audience.index.ingest.events.spool import concat_events, divide_events, plan_groups
from audience.index.ingest.locations.fetching import Source
from audience.index.ingest.locations.stamps import FileStamp, require_unchanged
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.reader import CHUNKS_PER_SHARD, ReadingCounts, SourceTable
from audience.index.ingest.shared.building import SharedSource, add_counts, require_shareable, share_source
from audience.index.ingest.shared.chunks import (
    Chunk,
    RowFile,
    read_chunks,
    require_rows,
    slice_table,
    spool_table,
)
from audience.index.ingest.shared.kept_calls import DIGEST_DIGITS, KeptCalls, ResultForm, digest_job, open_kept_calls
from audience.index.query.shared_shards import SnapshotPlace
from audience.index.storage.events.event_file import EventBatch
from audience.index.storage.events.writer import write_event_file
from audience.index.storage.layout import SHARDS_FOLDER
from audience.index.storage.manifest import EventFile, EventRange
from audience.index.storage.published import LocalStorage

KIND = "events"  # of the folder of finished calls


@dataclass(frozen=True, slots=True)
class SharedAddition:
    """Addition of a source whose events the processes of a cluster read and write.

    Attributes:
        cluster: The processes.
        source: Source of the table.
        options: How it is read.
        columns: Columns that the user named.
    """

    cluster: Cluster
    source: SharedSource
    options: ReadOptions
    columns: EventColumns

    def digest(self, place: SnapshotPlace, unknown: Unknown, max_rows: int) -> str:
        """Return what names the addition to a snapshot: the same files, read in the same way.

        A table that is not in files or objects may be another one the next time, so its digest is random.
        """
        stamps = self.source.stamps
        if stamps is None:
            return token_hex(DIGEST_DIGITS // 2)
        facts = [asdict(stamp) for stamp in stamps]
        read = [asdict(self.options), asdict(self.columns), unknown, max_rows, spool.MAX_RUN_EVENTS]
        return digest_job(facts, asdict(place), *read, spool.MAX_FILE_EVENTS)


def share_addition(
    source: Source, columns: EventColumns, options: ReadOptions, cluster: Cluster | None
) -> SharedAddition | None:
    """Return how *cluster* adds the events of *source*; None without a cluster.

    Raises:
        ClusterError: A cluster cannot read with these *options*.
        TableError: There is no file.
    """
    if cluster is None:
        return None
    require_shareable(options)
    return SharedAddition(cluster, share_source(source), options, columns)


def reject_unnamed() -> None:
    """Raise ClusterError for a table that is not in files and has no name of a batch."""
    message = "a cluster cannot name the batch of a table that is not in files: its name is a checksum of all rows"
    raise ClusterError(Problem("not-shared", message, hint="name it: --batch NAME"))


@dataclass(frozen=True, slots=True)
class _ChunkTask:
    """Rows of a table whose events are found: the snapshot, the table without its rows, and where these are."""

    place: SnapshotPlace
    table: EventTable
    stamps: tuple[FileStamp, ...]
    chunk: Chunk
    now: int
    unknown: Unknown
    folder: Path


@dataclass(frozen=True, slots=True)
class _ChunkFile:
    """File of events of known devices: its names of events, and how many events it has on each day."""

    path: Path
    names: tuple[str, ...]
    day_counts: Mapping[int, int]

    def __len__(self) -> int:
        return sum(self.day_counts.values())

    def read(self, events: Sequence[str], days: range | None) -> pl.DataFrame:
        """Return the events of *days*, or all of them, whose names are positions in *events*."""
        frame = pl.read_ipc(self.path)
        if days is not None:
            frame = frame.filter(pl.col(DAY).is_between(days.start, days.stop - 1))
        codes = np.array([events.index(name) for name in self.names], dtype=np.uint32)
        return frame.with_columns(pl.Series(EVENT, codes[frame[EVENT].to_numpy()], dtype=pl.UInt32))


@dataclass(frozen=True, slots=True)
class _ChunkEvents:
    """Findings of a process in a chunk: files of events, notes, and counts of the rows."""

    known: _ChunkFile
    unknown: _ChunkFile
    notes: EventNotes
    counts: ReadingCounts


@dataclass(frozen=True, slots=True)
class _GroupTask:
    """Files of events that one process writes.

    Attributes:
        runs: Files of chunks, in the groups in which one process would write temporary files.
        days: Days whose events are written; None for those of one run as it is.
        table: Table of the events, without rows.
        ranges: Days that are kept, by the name of the event; the names are in the order of the table.
        batches: Names of the batches.
        folder: Folder of the addition.
    """

    runs: tuple[tuple[_ChunkFile, ...], ...]
    days: range | None
    table: EventTable
    ranges: Mapping[str, EventRange]
    batches: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class _WrittenFile:
    """File of events that a process has written, with the number of its events by name."""

    path: Path
    entry: EventFile
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SharedRead:
    """Events of a table that the processes of a cluster have read."""

    session: UpdateSession
    table: EventTable
    notes: EventNotes
    cluster: Cluster
    kept: KeptCalls
    known: list[_ChunkFile] = field(default_factory=list)
    waiting: list[_ChunkFile] = field(default_factory=list)

    def load_waiting(self) -> list[pl.DataFrame]:
        """Return the events of unknown ids that are kept."""
        return [file.read(list(self.notes.names), None) for file in self.waiting]

    def write_files(self, names: tuple[str, ...]) -> tuple[dict[str, int], int]:
        """Write the events of known devices as batches of these *names*.

        Return the number of events of each name, and the bytes that were written.
        """
        changes, counts, nbytes, done = self.session.event_changes, Counter[str](), 0, 0
        groups = {_name_group(task): task for task in self._list_groups(names)}
        for written in self.kept.map(_write_group, groups, WRITTEN_FORM, self.cluster):
            for file in written:
                changes.adopt_file(file.entry, partial(self._place, file.path))
                counts.update(file.counts)
                nbytes += file.entry.nbytes
                done += file.entry.row_count
            self.session.progress("writing events", done, sum(map(len, self.known)))
        return dict(counts), nbytes

    def _place(self, path: Path, name: str) -> None:
        storage = self.session.storage
        assert isinstance(storage, LocalStorage)
        target = storage.folder / SHARDS_FOLDER / name
        target.unlink(missing_ok=True)  # of a process that was killed; no snapshot has the name
        link_or_copy(path, target)  # the file stays for the next start, if this process is killed, too
        fsync_path(target)
        fsync_path(target.parent)

    def _list_groups(self, names: tuple[str, ...]) -> list[_GroupTask]:
        """Return the groups of events that one process would take out of its spool."""
        ranges = {event: self.session.event_changes.ranges[event] for event in self.notes.names}
        runs = _divide_runs(self.known)
        if not runs:
            return []
        days: list[range | None] = [None]
        if len(runs) > 1 or sum(map(len, runs[0])) >= spool.MAX_RUN_EVENTS:
            pairs = [pair for run in runs for file in run for pair in file.day_counts.items()]
            groups = plan_groups(
                np.array([day for day, _ in pairs], dtype=np.int32), np.array([count for _, count in pairs])
            )
            days = [range(first, last + 1) for first, last in groups]
        table = replace(self.table, table=_without_rows(self.table))
        return [_GroupTask(runs, each, table, ranges, names, self.kept.folder) for each in days]


def _divide_runs(files: Sequence[_ChunkFile]) -> tuple[tuple[_ChunkFile, ...], ...]:
    """Return *files* in groups of at least `MAX_RUN_EVENTS` events, the last one with the rest."""
    runs: list[list[_ChunkFile]] = []
    for file in files:
        if not runs or sum(map(len, runs[-1])) >= spool.MAX_RUN_EVENTS:
            runs.append([])
        runs[-1].append(file)
    return tuple(map(tuple, runs))


@contextmanager
def read_on_cluster(
    session: UpdateSession,
    table: EventTable,
    notes: EventNotes,
    unknown: Unknown,
    shared: SharedAddition,
    max_rows: int,
) -> Iterator[SharedRead]:
    """Read the events of *table* on a cluster, which are noted in *notes*.

    What was read is removed at the end, but if the cluster or this process is lost: then the same addition goes on.

    Args:
        session: Change of the index.
        table: The table.
        notes: Notes of its events.
        unknown: Drop the events of unknown ids, or keep them.
        shared: The cluster, and the source.
        max_rows: Rows that a process reads at once.

    Raises:
        TableError: A row does not fit; the error is that of one process.
        ClusterError: The cluster is lost, or the processes do not see the same files.
    """
    index, stamps = Path(session.storage.location).absolute(), shared.source.shared_stamps
    place = SnapshotPlace(str(index), session.manifest.number, session.manifest.checksum)
    remove_stale_temp_files(index)  # the lock of the index is held, so whoever made them is dead
    with open_kept_calls(index, shared.digest(place, unknown, max_rows), KIND) as kept:
        notes.now = kept.keep("begun", notes.now)
        sent = replace(table, table=_without_rows(table))
        chunks = _list_chunks(table, shared.source, session, max_rows, kept)
        tasks = [_ChunkTask(place, sent, stamps, chunk, notes.now, unknown, kept.folder) for chunk in chunks]
        read = SharedRead(session, table, notes, shared.cluster, kept)
        for found in _find_all(tasks, session, kept, shared.cluster):
            add_counts(table.table.counts, found.counts)
            notes.join(found.notes)
            read.known.extend([found.known] if len(found.known) else [])
            read.waiting.extend([found.unknown] if len(found.unknown) else [])
        require_unchanged(stamps)
        yield read


def _without_rows(table: EventTable) -> SourceTable:
    return replace(table.table, counts=ReadingCounts())


def _list_chunks(
    table: EventTable, source: SharedSource, session: UpdateSession, max_rows: int, kept: KeptCalls
) -> list[Chunk]:
    if not table.table.row_count:
        return []
    if source.is_direct:
        return slice_table(table.table, CHUNKS_PER_SHARD * max_rows)
    write = partial(RowFile.write, kept.make_folder("rows"))
    chunks = spool_table(table.table, CHUNKS_PER_SHARD * max_rows, write, session.progress)
    source.require_unchanged_copy()
    return chunks


def _find_all(
    tasks: Sequence[_ChunkTask], session: UpdateSession, kept: KeptCalls, cluster: Cluster
) -> Iterator[_ChunkEvents]:
    """Yield what is found by each of *tasks*, in order."""
    done, named = 0, {f"rows-{task.chunk.first_row:012}-{task.chunk.row_count}": task for task in tasks}
    try:
        for found in kept.map(_find_chunk, named, CHUNK_FORM, cluster):
            chunk = tasks[done].chunk
            done += 1
            session.progress("reading events", chunk.first_row + chunk.row_count, tasks[0].table.table.row_count)
            yield found
    except TableError:
        _find_chunk(tasks[done])  # a worker may not see the files by which an error names rows: read them here
        raise


def _find_chunk(task: _ChunkTask) -> _ChunkEvents:
    """Write the events of some rows to files.

    Raises:
        TableError: A row does not fit.
        ClusterError: The files of the source are not what the head of the cluster has read.
    """
    require_unchanged(task.stamps)
    table = replace(task.table, table=_without_rows(task.table))
    notes, shards = EventNotes.start(table, task.now), task.place.open().shards
    chunks = table.table.read_frames(read_chunks((task.chunk,), table.table), task.chunk.first_row)
    parts = []
    for _, rows in chunks:
        if len(rows[table.id]):
            found = find_events(shards, table, rows, notes.names)
            notes.note(found)
            parts.append(split_events(found))
    require_unchanged(task.stamps)
    require_rows(table.table.counts.rows, task.chunk.row_count, "a part of the table")
    names = tuple(notes.names)
    known = _write_chunk("events", [known for known, _ in parts], names, task.folder)
    kept = [unknown for _, unknown in parts] if task.unknown == "keep" else []
    return _ChunkEvents(known, _write_chunk("unknown", kept, names, task.folder), notes, table.table.counts)


def _write_chunk(kind: str, frames: Sequence[pl.DataFrame], names: tuple[str, ...], folder: Path) -> _ChunkFile:
    """Write the events of a chunk, which is one frame or none; without any event there is no file."""
    path = folder / f"{kind}-{token_hex(8)}"
    if not any(map(len, frames)):
        return _ChunkFile(path, names, {})
    (frame,) = frames
    with create_file(path) as file:
        frame.write_ipc(file)
    days, counts = np.unique(frame[DAY].to_numpy(), return_counts=True)
    return _ChunkFile(path, names, dict(zip(days.tolist(), counts.tolist(), strict=True)))


def _write_group(task: _GroupTask) -> list[_WrittenFile]:
    """Write the events of some days to files of an index."""
    storage = LocalStorage.create(Path(mkdtemp(prefix="files-", dir=task.folder)))
    events, properties = list(task.ranges), task.table.properties
    written = []
    for number, frame in enumerate(divide_events([_read_run(run, task) for run in task.runs], properties)):
        kept = drop_outdated(frame, events, task.ranges)
        if len(kept):
            rows, batches = encode_events(kept, events, properties), [EventBatch(task.batches)]
            entry = write_event_file(storage, f"{number}.events", rows, batches, find_partition(kept))
            path = storage.folder / SHARDS_FOLDER / entry.name
            written.append(_WrittenFile(path, entry, count_names(kept, events)))
    return written


def _read_run(files: Sequence[_ChunkFile], task: _GroupTask) -> pl.DataFrame:
    """Return the events of a run as they stand in the temporary file that one process would write."""
    frame = concat_events([file.read(list(task.ranges), task.days) for file in files], task.table.properties)
    return frame if task.days is None else frame.sort(DAY, maintain_order=True)


def _name_group(task: _GroupTask) -> str:
    """Return a name of the files of *task* that differs if any of its events, days or batches do."""
    runs = [[file.path.name for file in run] for run in task.runs]
    days = None if task.days is None else [task.days.start, task.days.stop]
    ranges = [[name, asdict(kept)] for name, kept in task.ranges.items()]
    return f"files-{hash128(orjson.dumps([runs, days, ranges, task.batches]))}"


def _chunk_to_json(found: _ChunkEvents) -> Any:
    files = [[file.path.name, file.names, [*file.day_counts.items()]] for file in (found.known, found.unknown)]
    return {"files": files, "notes": asdict(found.notes), "counts": asdict(found.counts)}


def _chunk_from_json(data: Any, folder: Path) -> _ChunkEvents:
    known, unknown = (_ChunkFile(folder / name, tuple(names), dict(days)) for name, names, days in data["files"])
    return _ChunkEvents(known, unknown, EventNotes(**data["notes"]), ReadingCounts(**data["counts"]))


def _list_chunk_files(found: _ChunkEvents) -> list[Path]:
    return [file.path for file in (found.known, found.unknown) if len(file)]


def _written_to_json(written: list[_WrittenFile]) -> Any:
    return [[*file.path.parts[-3:], asdict(file.entry), dict(file.counts)] for file in written]


def _written_from_json(data: Any, folder: Path) -> list[_WrittenFile]:
    return [_WrittenFile(folder.joinpath(*parts), EventFile(**entry), counts) for *parts, entry, counts in data]


def _list_written_files(written: list[_WrittenFile]) -> list[Path]:
    return [file.path for file in written]


CHUNK_FORM = ResultForm(_chunk_to_json, _chunk_from_json, _list_chunk_files)
WRITTEN_FORM = ResultForm(_written_to_json, _written_from_json, _list_written_files)
