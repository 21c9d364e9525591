"""Events of ids that no device has yet: they are kept by id, and added when a device with the id arrives."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from io import BytesIO

import polars as pl

from audience._fs.checksums import hash128
from audience.index.ingest.decode import concat_columns
from audience.index.ingest.events.device_lookup import find_devices
from audience.index.ingest.events.encoding import (
    DAY,
    EVENT,
    ID,
    INSTANT,
    NUMBER,
    encode_events,
    find_partition,
    property_column,
)
from audience.index.ingest.events.event_changes import EventChanges
from audience.index.ingest.events.event_table import EventTable
from audience.index.ingest.events.spool import divide_events
from audience.index.schema.columns import Column, IdColumn
from audience.index.storage.events.event_file import EventBatch
from audience.index.storage.events.waiting_file import map_waiting_events
from audience.index.storage.layout import shard_file
from audience.index.storage.manifest import EventRange, WaitingEventFile
from audience.index.storage.published import Storage
from audience.index.storage.shard import Shard


def keep_waiting(
    changes: EventChanges, table: EventTable, events: Sequence[str], frames: Sequence[pl.DataFrame]
) -> None:
    """Keep events of unknown ids until a device with their id arrives."""
    common = pl.concat([frame.select(EVENT, DAY, INSTANT, ID) for frame in frames])
    values = [
        concat_columns([frame[property_column(at)] for frame in frames], column).alias(property_column(at))
        for at, column in enumerate(table.properties)
    ]
    frame = common.with_columns(values)
    _write_file(changes, frame, table.id_column.stored_name, tuple(events), tuple(table.properties))


def _write_file(
    changes: EventChanges, frame: pl.DataFrame, id_column: str, events: tuple[str, ...], properties: tuple[Column, ...]
) -> None:
    frame = _drop_outdated(frame, events, changes)
    if not len(frame):
        return
    stream = BytesIO()
    frame.write_ipc(stream, compat_level=pl.CompatLevel.oldest())
    data, name = stream.getvalue(), _new_name(changes)
    changes.storage.put(shard_file(name), data)
    changes.waiting.append(WaitingEventFile(name, len(data), hash128(data), id_column, events, properties, len(frame)))


def add_arrived(changes: EventChanges, new_shards: Sequence[Shard]) -> None:
    """Add the waiting events of devices in *new_shards*; the others wait on."""
    waiting, changes.waiting = changes.waiting, []
    for file in waiting:
        frame = pl.read_ipc(BytesIO(map_waiting_events(changes.storage, file)))
        column = IdColumn.from_stored_name(file.id_column)
        found = find_devices(new_shards, column, frame[ID])
        if not found.is_known.any():
            changes.waiting.append(file)
            continue
        is_known = pl.Series(found.is_known)
        arrived = frame.with_columns(pl.Series(NUMBER, found.numbers)).filter(is_known)
        for part in divide_events([_drop_outdated(arrived, file.events, changes)], file.properties):
            rows = encode_events(part, file.events, file.properties)
            changes.add_file(rows, [EventBatch(())], find_partition(part))
        _write_file(changes, frame.filter(~is_known), file.id_column, file.events, file.properties)


def has_waiting(storage: Storage, file: WaitingEventFile, ids: Collection[str]) -> bool:
    """Return whether a file has an event of one of *ids*, or one of *ids* as the value of a property."""
    frame = pl.read_ipc(BytesIO(map_waiting_events(storage, file)))
    return any(frame[name].is_in(list(ids)).any() for name in _text_columns(frame))


def forget_waiting(changes: EventChanges, ids: Collection[str]) -> None:
    """Drop the waiting events of *ids*, and clear property values of other events that are one of *ids*."""
    waiting, changes.waiting = changes.waiting, []
    for file in waiting:
        if not has_waiting(changes.storage, file, ids):
            changes.waiting.append(file)
            continue
        frame = pl.read_ipc(BytesIO(map_waiting_events(changes.storage, file)))
        kept = frame.filter(~pl.col(ID).cast(pl.String).is_in(list(ids)))
        cleared = kept.with_columns(_clear(kept[name], ids) for name in _text_columns(kept))
        _write_file(changes, cleared, file.id_column, file.events, file.properties)


def _clear(values: pl.Series, ids: Collection[str]) -> pl.Series:
    """Return *values* without *ids*, in new memory: a value that is masked, or a category, would keep its bytes."""
    return pl.Series(values.name, [None if value in ids else value for value in values.to_list()], dtype=pl.String)


def _text_columns(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.String | pl.Categorical | pl.Enum)]


def keep_waiting_rows(changes: EventChanges, forgotten: Sequence[str]) -> None:
    """Drop the waiting events of the names *forgotten*, and those of days that are not kept."""
    waiting, changes.waiting = changes.waiting, []
    for file in waiting:
        frame = pl.read_ipc(BytesIO(map_waiting_events(changes.storage, file)))
        positions = [at for at, event in enumerate(file.events) if event not in forgotten]
        kept = _drop_outdated(frame.filter(pl.col(EVENT).is_in(positions)), file.events, changes)
        if len(kept) == len(frame):
            changes.waiting.append(file)
        else:
            _write_file(changes, kept, file.id_column, file.events, file.properties)


def carry_waiting(changes: EventChanges, storage: Storage, files: Sequence[WaitingEventFile]) -> None:
    """Copy the waiting events of the index in *storage*."""
    for file in files:
        name = _new_name(changes)
        changes.storage.put(shard_file(name), map_waiting_events(storage, file))
        changes.waiting.append(replace(file, name=name))


def _new_name(changes: EventChanges) -> str:
    return f"{next(changes.names).removesuffix('.events')}.waiting.arrow"


def _drop_outdated(frame: pl.DataFrame, events: Sequence[str], changes: EventChanges) -> pl.DataFrame:
    """Return the events of days that are kept."""
    for at, event in enumerate(events):
        first_day = changes.ranges.get(event, EventRange()).first_day
        if first_day is not None:
            frame = frame.filter((pl.col(EVENT) != at) | (pl.col(DAY) >= first_day))
    return frame
