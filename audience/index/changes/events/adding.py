"""Add the events of a table to an index."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import time_ns
from typing import get_args

import polars as pl

from audience.cluster.cluster import Cluster
from audience.errors import Problem, TableError
from audience.index.changes.events.event_frames import (
    EventNotes,
    FoundEvents,
    Unknown,
    count_names,
    drop_outdated,
    find_events,
    split_events,
)
from audience.index.changes.events.merging import merge_small_files
from audience.index.changes.events.ranges import RangeOptions, apply_ranges, today_in
from audience.index.changes.events.shared_adding import (
    SharedAddition,
    read_on_cluster,
    reject_unnamed,
    share_addition,
)
from audience.index.changes.session import UpdateSession
from audience.index.ingest.bad_rows import BadRowLog, open_bad_row_log
from audience.index.ingest.events.ahead import iter_ahead
from audience.index.ingest.events.batch_names import FrameHasher, name_file_batch
from audience.index.ingest.events.encoding import DAY, ID, NUMBER, encode_events, find_partition
from audience.index.ingest.events.event_table import EventColumns, EventTable, open_event_table
from audience.index.ingest.events.spool import EventSpool
from audience.index.ingest.events.waiting import keep_waiting
from audience.index.ingest.locations.fetching import Fetched, FetchedFiles, FetchedTable, Source, fetch_source
from audience.index.ingest.locations.source_files import SourceFile
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.table_reading import TableReading
from audience.index.records.recorded_batches import RECORD_PREFIX
from audience.index.storage.events.event_file import EventBatch
from audience.index.storage.manifest import Manifest
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.progress import Progress

MAX_CHUNK_EVENTS = 1 << 20  # rows of the table that are cast at once
MAX_LISTED_NAMES = 20  # of events, in the description of a snapshot


@dataclass(frozen=True, slots=True)
class EventsResult:
    """Result of adding events: the number of the current snapshot, and what was added.

    Attributes:
        snapshot: Number of the current snapshot.
        added: Number of events that were added.
        counts: Number of events that were added, by their name.
        unknown: Number of events whose id no device has.
        unknown_ids: Some of these ids.
        waiting: Number of these events that are kept until a device has their id.
        outdated: Number of events of days that are not kept.
        future: Number of events that are later than now.
        batches: Names of the batches that were added; one of which all ids were unknown and dropped is not.
        repeated: Names of batches that the index had already, of which nothing was added.
        reading: How the table was read.
    """

    snapshot: int
    added: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    unknown: int = 0
    unknown_ids: tuple[str, ...] = ()
    waiting: int = 0
    outdated: int = 0
    future: int = 0
    batches: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    reading: TableReading | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOptions:
    """Options of adding the events of a table.

    Attributes:
        batch: Name of the batch; None for one that the content of each file decides.
        covers_to: Day up to which all events of these names are there, since 1970-01-01.
        keep_days: Number of days that are kept of these names.
        unknown: Drop the events of unknown ids, or keep them until a device has the id.
    """

    batch: str | None = None
    covers_to: int | None = None
    keep_days: int | None = None
    unknown: Unknown = "drop"

    def __post_init__(self) -> None:
        if self.unknown not in get_args(Unknown):
            message = f"unknown is {self.unknown!r}, expected drop or keep"
            raise TableError(Problem("bad-option", message, hint="use 'drop'"))
        if self.batch is not None and not self.batch.strip():
            raise TableError(Problem("empty-name", "the name of the batch is empty", hint="use at least one character"))
        if self.batch is not None and self.batch.startswith(RECORD_PREFIX):
            message = f"{self.batch!r:.60} is a name of recorded events, which begin with {RECORD_PREFIX}"
            raise TableError(Problem("bad-name", message, hint="use another name"))


def add_events(
    opened: Snapshot,
    source: Source,
    columns: EventColumns,
    vendors: Sequence[str],
    *,
    options: ReadOptions,
    adding: AddOptions,
    wait: float,
    progress: Progress,
    cluster: Cluster | None = None,
) -> EventsResult:
    """Add the events of a table to the index.

    Args:
        opened: Snapshot of the index; what it has read is not read again.
        source: Table of events.
        columns: Columns that the user named.
        vendors: Names of vendors whose id columns are recognized.
        options: How to read the files.
        adding: What is done with the events.
        wait: Seconds to wait for another writer.
        progress: Progress callback.
        cluster: Processes that read the table and write the events; None for this one. The files are the same.

    Raises:
        TableError: The table is invalid, or a property has another type than before.
        LockedError: Another process changes the index.
        ClusterError: The cluster is lost, or cannot do what was asked.
    """
    shared = share_addition(source, columns, options, cluster)
    with (
        lock_for_update(opened.storage, "events add", wait) as manifest,
        open_bad_row_log(options.rejects_file) as log,
        fetch_source(shared.source.source if shared else source, options, columns.ignore, progress) as fetched,
    ):
        session = UpdateSession.start(opened, manifest, progress)
        names = _name_batches(fetched, columns.event, adding, session.event_changes.batch_names())
        if names.is_repeated and adding.covers_to is None and adding.keep_days is None:
            return EventsResult(manifest.number, repeated=names.repeated)
        if shared is not None and names.names is None:
            reject_unnamed()
        reading = replace(options, timezone=_index_zone(options, manifest))
        known = session.event_changes.properties()
        with open_event_table(names.source, columns, manifest.id_columns, known, vendors, reading, log) as table:
            return _add_table(session, table, names, adding, log, shared)


def _index_zone(options: ReadOptions, manifest: Manifest) -> str:
    if options.timezone not in (None, manifest.timezone):
        message = f"the index was built with the time zone {manifest.timezone}, and its days are days of that zone"
        raise TableError(Problem("other-timezone", message, hint="leave --timezone out, or write moments with a zone"))
    return manifest.timezone


@dataclass(frozen=True, slots=True)
class _Batches:
    """Batches of an addition: the source without files that were added before, and the names of the batches.

    `names` is None for a table that is no file, whose content has to be read first; with *is_repeated*, nothing is to
    be added.
    """

    source: Fetched
    names: tuple[str, ...] | None
    repeated: tuple[str, ...] = ()
    is_repeated: bool = False


def _name_batches(source: Fetched, event: str | None, adding: AddOptions, known: set[str]) -> _Batches:
    if adding.batch is not None:
        is_known = adding.batch in known
        return _Batches(source, (adding.batch,), (adding.batch,) if is_known else (), is_known)
    if isinstance(source, FetchedTable):
        return _Batches(source, None)
    new, repeated = dict[str, SourceFile](), dict[str, None]()
    for file in source.files:
        name = name_file_batch(file, event)
        if name in known or name in new:
            repeated[name] = None
        else:
            new[name] = file
    if not new:
        return _Batches(source, (), tuple(repeated), True)
    return _Batches(FetchedFiles(tuple(new.values())), tuple(new), tuple(repeated))


@dataclass(frozen=True, slots=True)
class _ReadTable:
    """Events of a table that were read.

    Attributes:
        notes: What was noted of them.
        batch: Name of the batch, if their content decides it.
        waiting: Events of unknown ids that are kept.
        write: Writes the others as batches of some names, and returns the number of the events of each name, and the
            bytes that were written.
    """

    notes: EventNotes
    batch: str | None
    waiting: Sequence[pl.DataFrame]
    write: Callable[[tuple[str, ...]], tuple[dict[str, int], int]]


def _add_table(
    session: UpdateSession,
    table: EventTable,
    batches: _Batches,
    adding: AddOptions,
    log: BadRowLog,
    shared: SharedAddition | None,
) -> EventsResult:
    with _read_table(session, table, batches, adding, shared) as read:
        log.require_good_rows(table.table.counts.rows)
        return _add_events(session, table, batches, adding, log, read)


def _add_events(
    session: UpdateSession,
    table: EventTable,
    batches: _Batches,
    adding: AddOptions,
    log: BadRowLog,
    read: _ReadTable,
) -> EventsResult:
    manifest, changes, notes = session.manifest, session.event_changes, read.notes
    names = batches.names if read.batch is None else (read.batch,)
    assert names is not None
    is_repeated = batches.is_repeated or (read.batch is not None and read.batch in changes.batch_names())
    options = RangeOptions(adding.keep_days, adding.covers_to, today_in(table.table.zone))
    counts, outdated, added_bytes, is_dropped = dict[str, int](), 0, 0, False
    last_days = {} if is_repeated else notes.last_days
    apply_ranges(changes, {name: last_days.get(name) for name in notes.names}, options)
    if not is_repeated:
        counts, added_bytes = read.write(names)
        outdated = table.table.counts.rows - notes.unknown - sum(counts.values())
        is_dropped = not counts and notes.unknown > 0 and not read.waiting
        if read.waiting:
            keep_waiting(changes, table, list(notes.names), read.waiting)
        if not counts and not is_dropped:
            changes.empty_batches += names
        merge_small_files(changes, added_bytes)
    log.commit()
    repeated = (*batches.repeated, *(names if is_repeated and read.batch is not None else ()))
    result = EventsResult(
        manifest.number,
        sum(counts.values()),
        counts,
        notes.unknown,
        tuple(notes.unknown_ids),
        sum(map(len, read.waiting)),
        outdated,
        notes.future,
        () if is_repeated or is_dropped else names,
        repeated,
        table.table.reading,
    )
    if is_repeated:
        result = EventsResult(manifest.number, repeated=repeated, reading=table.table.reading)
    if changes.apply_to(manifest) == manifest:
        return result
    return replace(result, snapshot=session.publish_events(f"events add: {_describe_counts(counts)}").number)


def _describe_counts(counts: Mapping[str, int]) -> str:
    if not counts:
        return "no event"
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())[:MAX_LISTED_NAMES])


@contextmanager
def _read_table(
    session: UpdateSession, table: EventTable, batches: _Batches, adding: AddOptions, shared: SharedAddition | None
) -> Iterator[_ReadTable]:
    """Read the events of *table*, in this process or on a cluster."""
    notes = EventNotes.start(table, time_ns() // 1_000)
    if shared is not None:
        with read_on_cluster(session, table, notes, adding.unknown, shared, MAX_CHUNK_EVENTS) as read:
            yield _ReadTable(notes, None, read.load_waiting(), read.write_files)
        return
    spool = EventSpool(session.storage, next(session.shard_names), table.properties)
    hasher = FrameHasher() if batches.names is None else None
    waiting = list[pl.DataFrame]()
    with closing(spool):
        for found in _iter_found(session, table, notes, hasher):
            known, unknown = split_events(found)
            spool.add(known)
            if len(unknown) and adding.unknown == "keep":
                waiting.append(unknown)
        batch = None if hasher is None else hasher.name()
        yield _ReadTable(notes, batch, waiting, partial(_write_files, session, table, notes, spool))


def _iter_found(
    session: UpdateSession, table: EventTable, notes: EventNotes, hasher: FrameHasher | None
) -> Iterator[FoundEvents]:
    """Yield the events of each chunk of rows, which are noted in *notes*."""
    if not table.table.row_count:
        return
    for first_row, chunk in iter_ahead(table.table.iter_chunks(MAX_CHUNK_EVENTS)):
        session.progress("reading events", first_row, table.table.row_count)
        if not len(chunk[table.id]):  # all rows of the chunk are bad
            continue
        found = find_events(session.shards, table, chunk, notes.names)
        notes.note(found)
        if hasher is not None:
            hasher.add(found.frame.drop(NUMBER, DAY).with_columns(found.ids.alias(ID)), list(notes.names))
        yield found


def _write_files(
    session: UpdateSession, table: EventTable, notes: EventNotes, spool: EventSpool, names: tuple[str, ...]
) -> tuple[dict[str, int], int]:
    """Write the events of known devices; return the number of those of each name, and the bytes that were written."""
    changes, events = session.event_changes, list(notes.names)
    counts, nbytes, done = Counter[str](), 0, 0
    for frame in iter_ahead(spool.iter_groups()):
        session.progress("writing events", done, spool.row_count)
        done += len(frame)
        kept = drop_outdated(frame, events, changes.ranges)
        if not len(kept):
            continue
        counts.update(count_names(kept, events))
        rows = encode_events(kept, events, table.properties)
        entry = changes.add_file(rows, [EventBatch(names)], find_partition(kept))
        nbytes += 0 if entry is None else entry.nbytes
    return dict(counts), nbytes
