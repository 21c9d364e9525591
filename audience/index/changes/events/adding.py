"""Add events of a table to an index."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from audience.counts import format_count
from audience.index.changes.session import UpdateSession
from audience.index.ingest.bad_rows import open_bad_row_log
from audience.index.ingest.events.device_lookup import find_devices
from audience.index.ingest.events.encoding import (
    DAY,
    EVENT,
    INSTANT,
    NUMBER,
    encode_events,
    property_column,
)
from audience.index.ingest.events.event_table import EventColumns, EventTable, open_event_table
from audience.index.ingest.local_times import to_wall_clock
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.sources import Source
from audience.index.ingest.table_reading import TableReading
from audience.index.schema.columns import Role
from audience.index.storage.events.event_file import EventBatch
from audience.index.storage.events.event_log import EventLog
from audience.index.storage.events.writer import write_event_file
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.zones import DAY as DAY_MICROSECONDS
from audience.progress import Progress

MAX_CHUNK_EVENTS = 1 << 20  # rows of the table that are cast at once


@dataclass(frozen=True, slots=True)
class EventsResult:
    """Result of adding events: the number of the current snapshot, and what was added.

    Attributes:
        snapshot: Number of the current snapshot.
        added: Number of events that were added.
        unknown: Number of events whose id no device has.
        unknown_ids: Some of these ids.
        batch: Name of the batch.
        is_repeated: Whether the index had the batch already, so that nothing was added.
        reading: How the table was read.
    """

    snapshot: int
    added: int = 0
    unknown: int = 0
    unknown_ids: tuple[str, ...] = ()
    batch: str = ""
    is_repeated: bool = False
    reading: TableReading | None = field(default=None, repr=False, compare=False)


def add_events(
    opened: Snapshot,
    source: Source,
    columns: EventColumns,
    vendors: Sequence[str],
    *,
    options: ReadOptions,
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
        wait: Seconds to wait for another writer.
        progress: Progress callback.

    Raises:
        TableError: The table is invalid, or a property has another type than before.
        LockedError: Another process changes the index.
    """
    with lock_for_update(opened.storage, "events add", wait) as manifest, open_bad_row_log(options.rejects_file) as log:
        session = UpdateSession.start(opened, manifest, progress)
        with open_event_table(
            source,
            columns,
            manifest.id_columns,
            _known_roles(session.events),
            vendors,
            replace(options, timezone=manifest.timezone),
            log,
        ) as table:
            frames, unknown = _read_events(session, table)
            frame = pl.concat(frames, how="vertical_relaxed") if frames else pl.DataFrame()
            if not len(frame):
                return EventsResult(manifest.number, unknown=unknown, reading=table.table.reading)
            name = f"{manifest.number + 1:08}-{0:05}.events"
            file = write_event_file(
                session.storage, name, encode_events(frame, table.properties), [EventBatch(("batch",))]
            )
            log.commit()
            description = f"events add: {format_count(len(frame), 'event')}"
            number = session.publish_events([*manifest.event_files, file], manifest.event_ranges, description).number
            return EventsResult(number, len(frame), unknown, reading=table.table.reading)


def _known_roles(events: EventLog) -> dict[str, Role]:
    """Return the roles of the properties that have one role in all events."""
    roles: dict[str, set[Role]] = {}
    for event in events.names():
        for name, role in events.properties(event).items():
            roles.setdefault(name, set()).add(role)
    return {name: next(iter(found)) for name, found in roles.items() if len(found) == 1}


def _read_events(session: UpdateSession, table: EventTable) -> tuple[list[pl.DataFrame], int]:
    """Return the events of known devices, and the number of the others."""
    frames, unknown, zone = [], 0, table.table.zone
    for first_row, chunk in table.table.iter_chunks(MAX_CHUNK_EVENTS):
        session.progress("reading events", first_row, table.table.row_count)
        found = find_devices(session.shards, table.id_column, chunk[table.id])
        instants = chunk[table.at]
        days = to_wall_clock(instants, zone).to_physical() // DAY_MICROSECONDS
        event = pl.lit(table.event) if isinstance(table.event, str) else chunk[table.event]
        parts = {NUMBER: pl.Series(found.numbers), INSTANT: instants.to_physical(), DAY: days.cast(pl.Int32)}
        parts |= {property_column(at): chunk[column] for at, column in enumerate(table.properties)}
        frame = pl.DataFrame(parts).with_columns(event.alias(EVENT))
        frames.append(frame.filter(pl.Series(found.is_known)))
        unknown += len(frame) - len(frames[-1])
    return frames, unknown
