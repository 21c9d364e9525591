"""Add the events of a table to an index."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import time_ns
from typing import Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

import polars as pl

from audience.errors import Problem, TableError
from audience.index.changes.events.merging import merge_small_files
from audience.index.changes.events.ranges import RangeOptions, apply_ranges, today_in
from audience.index.changes.session import UpdateSession
from audience.index.ingest.bad_rows import BadRowLog, open_bad_row_log
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.events.ahead import iter_ahead
from audience.index.ingest.events.batch_names import FrameHasher, name_file_batch
from audience.index.ingest.events.device_lookup import find_devices
from audience.index.ingest.events.encoding import (
    DAY,
    EVENT,
    ID,
    INSTANT,
    NUMBER,
    encode_events,
    property_column,
)
from audience.index.ingest.events.event_table import EventColumns, EventTable, open_event_table
from audience.index.ingest.events.spool import EventSpool
from audience.index.ingest.events.waiting import keep_waiting
from audience.index.ingest.local_times import read_instants, to_wall_clock
from audience.index.ingest.locations.fetching import Fetched, FetchedFiles, FetchedTable, Source, fetch_source
from audience.index.ingest.locations.source_files import SourceFile
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.table_reading import TableReading
from audience.index.query.events.validation import DELIVERED
from audience.index.records.recorded_batches import RECORD_PREFIX
from audience.index.storage.events.event_file import EventBatch
from audience.index.storage.manifest import Manifest
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.zones import DAY as DAY_MICROSECONDS
from audience.progress import Progress

MAX_CHUNK_EVENTS = 1 << 20  # rows of the table that are cast at once
MAX_LISTED_IDS = 20  # unknown ids that are listed
Unknown: TypeAlias = Literal["drop", "keep"]


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

    Raises:
        TableError: The table is invalid, or a property has another type than before.
        LockedError: Another process changes the index.
    """
    with (
        lock_for_update(opened.storage, "events add", wait) as manifest,
        open_bad_row_log(options.rejects_file) as log,
        fetch_source(source, options, columns.ignore, progress) as fetched,
    ):
        session = UpdateSession.start(opened, manifest, progress)
        names = _name_batches(fetched, columns.event, adding, session.event_changes.batch_names())
        if names.is_repeated and adding.covers_to is None and adding.keep_days is None:
            return EventsResult(manifest.number, repeated=names.repeated)
        reading = replace(options, timezone=_index_zone(options, manifest))
        known = session.event_changes.properties()
        with open_event_table(names.source, columns, manifest.id_columns, known, vendors, reading, log) as table:
            return _add_table(session, table, names, adding, log)


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


@dataclass(slots=True)
class _Reading:
    """Events of a table that were read so far.

    Attributes:
        spool: Events of known devices.
        names: Names of events; frames have positions in them.
        last_days: Day of the last event of each name.
        hasher: Hasher of the content of a frame.
        now: Instant of the addition.
        future: Number of events that are later.
        unknown: Number of events of unknown ids.
        unknown_ids: Some of these ids.
        waiting: Events of unknown ids that are kept.
    """

    spool: EventSpool
    names: dict[str, int]
    last_days: dict[str, int]
    hasher: FrameHasher | None
    now: int
    future: int = 0
    unknown: int = 0
    unknown_ids: dict[str, None] = field(default_factory=dict)
    waiting: list[pl.DataFrame] = field(default_factory=list)


def _add_table(
    session: UpdateSession, table: EventTable, batches: _Batches, adding: AddOptions, log: BadRowLog
) -> EventsResult:
    manifest, changes = session.manifest, session.event_changes
    spool = EventSpool(session.storage, next(session.shard_names), table.properties)
    with closing(spool):
        hasher = FrameHasher() if batches.names is None else None
        read = _Reading(spool, {}, {}, hasher, time_ns() // 1_000)
        if isinstance(table.event, str):
            _require_own_name(table.event)
            read.names[table.event] = 0
        for frame in _iter_event_frames(session, table, read, adding.unknown):
            spool.add(frame)
        log.require_good_rows(table.table.counts.rows)
        names = batches.names if hasher is None else (hasher.name(),)
        assert names is not None
        is_repeated = batches.is_repeated or (hasher is not None and names[0] in changes.batch_names())
        options = RangeOptions(adding.keep_days, adding.covers_to, today_in(table.table.zone))
        counts, outdated, added_bytes, is_dropped = dict[str, int](), 0, 0, False
        last_days = {} if is_repeated else read.last_days
        apply_ranges(changes, {name: last_days.get(name) for name in read.names}, options)
        if not is_repeated:
            counts, added_bytes = _write_files(session, table, read, names)
            outdated = table.table.counts.rows - read.unknown - sum(counts.values())
            is_dropped = not counts and read.unknown > 0 and not read.waiting
            if read.waiting:
                keep_waiting(changes, table, list(read.names), read.waiting)
            if not counts and not is_dropped:
                changes.empty_batches += names
            merge_small_files(changes, added_bytes)
    log.commit()
    repeated = (*batches.repeated, *(names if is_repeated and hasher is not None else ()))
    result = EventsResult(
        manifest.number,
        sum(counts.values()),
        counts,
        read.unknown,
        tuple(read.unknown_ids),
        sum(map(len, read.waiting)),
        outdated,
        read.future,
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
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())[:MAX_LISTED_IDS])


def _iter_event_frames(
    session: UpdateSession, table: EventTable, read: _Reading, unknown: Unknown
) -> Iterator[pl.DataFrame]:
    """Yield the events of known devices as frames; what else there is in the table is noted in *read*."""
    if not table.table.row_count:
        return
    for first_row, chunk in iter_ahead(table.table.iter_chunks(MAX_CHUNK_EVENTS)):
        session.progress("reading events", first_row, table.table.row_count)
        ids = chunk[table.id]
        if not len(ids):  # all rows of the chunk are bad
            continue
        found = find_devices(session.shards, table.id_column, ids)
        instants = _to_instants(chunk[table.at], table.table.zone)
        days = to_wall_clock(instants, table.table.zone).to_physical() // DAY_MICROSECONDS
        parts = {NUMBER: pl.Series(found.numbers), INSTANT: instants.to_physical(), DAY: days.cast(pl.Int32)}
        parts |= {property_column(at): chunk[column] for at, column in enumerate(table.properties)}
        frame = pl.DataFrame(parts).with_columns(_code_names(table, chunk, read.names).alias(EVENT))
        read.future += int((frame[INSTANT] > read.now).sum())
        if read.hasher is not None:
            read.hasher.add(frame.drop(NUMBER, DAY).with_columns(ids.alias(ID)), list(read.names))
        for event, day in frame.group_by(EVENT).agg(pl.col(DAY).max()).iter_rows():
            name = list(read.names)[event]
            read.last_days[name] = max(day, read.last_days.get(name, day))
        if found.is_known.all():
            yield frame
            continue
        is_known = pl.Series(found.is_known)
        yield frame.filter(is_known)
        unknown_ids = ids.filter(~is_known)
        read.unknown += len(unknown_ids)
        if len(read.unknown_ids) < MAX_LISTED_IDS:
            listed = unknown_ids.unique(maintain_order=True).head(MAX_LISTED_IDS).to_list()
            read.unknown_ids |= dict.fromkeys(listed)
            read.unknown_ids = dict.fromkeys(list(read.unknown_ids)[:MAX_LISTED_IDS])
        if unknown == "keep":
            read.waiting.append(frame.drop(NUMBER).filter(~is_known).with_columns(unknown_ids.alias(ID)))


def _to_instants(values: pl.Series, zone: ZoneInfo) -> pl.Series:
    """Return moments as they are, and days as their first moments in *zone*."""
    return read_instants(values.cast(pl.Datetime("us")), zone).instants if values.dtype == pl.Date else values


def _require_own_name(name: str) -> None:
    """Raise TableError if events of this name are those that runs record, which caps rely on."""
    if name == DELIVERED:
        message = f"events named {name} are recorded from runs, and not added from tables"
        hint = "use `audience events add INDEX --run FOLDER`, or another name with --event NAME"
        raise TableError(Problem("bad-name", message, hint=hint))


def _code_names(table: EventTable, chunk: DeviceTable, names: dict[str, int]) -> pl.Expr | pl.Series:
    """Return the name of each event as its position in *names*, which new ones are added to."""
    if isinstance(table.event, str):
        return pl.lit(0, dtype=pl.UInt32)
    values = chunk[table.event]
    distinct = values.unique(maintain_order=True).to_list()
    for name in distinct:
        _require_own_name(name)
        names.setdefault(name, len(names))
    codes = [names[name] for name in distinct]
    if len(distinct) == 1:
        return pl.lit(codes[0], dtype=pl.UInt32)
    return values.replace_strict(distinct, codes, return_dtype=pl.UInt32)


def _write_files(
    session: UpdateSession, table: EventTable, read: _Reading, names: tuple[str, ...]
) -> tuple[dict[str, int], int]:
    """Write the events of known devices; return the number of those of each name, and the bytes that were written."""
    changes, events = session.event_changes, list(read.names)
    counts, nbytes, done = dict[str, int](), 0, 0
    for frame in iter_ahead(read.spool.iter_groups()):
        session.progress("writing events", done, read.spool.row_count)
        done += len(frame)
        kept = _drop_outdated(frame, events, session)
        if not len(kept):
            continue
        for event, count in kept.group_by(EVENT).len().iter_rows():
            counts[events[event]] = counts.get(events[event], 0) + count
        entry = changes.add_file(encode_events(kept, events, table.properties), [EventBatch(names)])
        nbytes += 0 if entry is None else entry.nbytes
    return counts, nbytes


def _drop_outdated(frame: pl.DataFrame, events: Sequence[str], session: UpdateSession) -> pl.DataFrame:
    """Return the events of days that are kept."""
    ranges = session.event_changes.ranges
    first_days = {at: first for at, event in enumerate(events) if (first := ranges[event].first_day) is not None}
    for event, first_day in first_days.items():
        frame = frame.filter((pl.col(EVENT) != event) | (pl.col(DAY) >= first_day))
    return frame
