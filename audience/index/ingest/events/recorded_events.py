"""Recorded events of a snapshot: the batches that are kept by id, as events of the devices that have these ids.

A snapshot has the events of each recorded batch for all of its devices. What publishes one with other devices, an older
one or a new index writes what it lacks: `apply_records`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest.dictionary import encode_dictionary
from audience.index.ingest.local_times import to_wall_clock
from audience.index.records.record_files import RecordList, load_record_list
from audience.index.records.recorded_batches import (
    AT,
    ID,
    RECORD_PREFIX,
    RecordedBatch,
    RecordedPart,
    list_parts,
    list_recorded_batches,
)
from audience.index.schema.columns import IdColumn
from audience.index.storage import bitmaps, id_search, polars_bridge
from audience.index.storage.device_numbers import find_partitions, is_in_partition, lower_bits
from audience.index.storage.events.event_file import EventBatch
from audience.index.storage.events.removal import drop_batches, find_batch_numbers
from audience.index.storage.events.stored_values import StoredValues
from audience.index.storage.events.writer import EventRows, PropertyRows, write_event_file
from audience.index.storage.id_column import hash_ids
from audience.index.storage.id_lookup import HashTable, no_hashes
from audience.index.storage.manifest import EventFile, Manifest
from audience.index.storage.published import Storage
from audience.index.storage.shard import Shard
from audience.language.zones import DAY as DAY_MICROSECONDS
from audience.language.zones import open_zone

NUMBER, DAY, BATCH = "number", "day", "batch"  # columns of a frame of events, beside `at` and the properties


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Where recorded events are read from, and the devices that they are of.

    Attributes:
        storage: Storage of the index.
        listed: List of the files outside snapshots.
        shards: Shards of the snapshot.
        timezone: Time zone of the days of events.
    """

    storage: Storage
    listed: RecordList
    shards: Sequence[Shard]
    timezone: str


def apply_records(
    storage: Storage, manifest: Manifest, shards: Sequence[Shard], *, number: int, first_new: int
) -> Manifest:
    """Return *manifest* with the recorded events that its devices lack, in a new file, without those of old versions.

    Args:
        storage: Storage of the index, which the caller has locked.
        manifest: Content of the snapshot that will be published.
        shards: Its shards.
        number: Number that it will be published with.
        first_new: Devices with this number or a higher one have no recorded event yet.

    Raises:
        DamagedError: A file of the records is not what was written.
    """
    listed = load_record_list(storage)
    batches = list_recorded_batches(listed)
    versions = {name: batch.version for name, batch in batches.items()}
    has_new = first_new < manifest.next_number and bool(batches)
    if versions == manifest.records and not has_new:
        return manifest
    prefix = f"{number:08}-records"
    files = list(manifest.event_files)
    if versions != manifest.records:
        current = {batch.batch_name for batch in batches.values()}
        files = drop_batches(storage, files, partial(_is_outdated, current=current), prefix)
    source = RecordSource(storage, listed, shards, manifest.timezone)
    matched = []
    for name, batch in batches.items():
        if manifest.records.get(name) != batch.version:
            matched.append(_match_lacking(batch, source, files))
        elif has_new:
            matched.append(_match_batch(batch, source, first_new))
    written = _write_events(source, prefix, [each for each in matched if len(each.rows)])
    return replace(manifest, event_files=(*files, *written), records=versions)


def _is_outdated(batch_name: str, current: Collection[str]) -> bool:
    return batch_name.startswith(RECORD_PREFIX) and batch_name not in current


@dataclass(frozen=True, slots=True)
class MatchedBatch:
    """Events of a recorded batch whose ids devices have: `number`, `at` and the properties."""

    batch: RecordedBatch
    rows: pl.DataFrame


def _match_lacking(batch: RecordedBatch, source: RecordSource, files: Sequence[EventFile]) -> MatchedBatch:
    """Return the events of *batch* for devices that have none of its events in *files*.

    A build that replaces an index identifies devices by their key, also if their other ids have changed.
    """
    known = find_batch_numbers(source.storage, files, batch.batch_name)
    matched = _match_batch(batch, source, 0)
    return MatchedBatch(batch, matched.rows.filter(~pl.Series(np.isin(matched.rows[NUMBER].to_numpy(), known))))


def _match_batch(batch: RecordedBatch, source: RecordSource, first_new: int) -> MatchedBatch:
    """Return the events of *batch* of the devices whose number is *first_new* or higher."""
    column = IdColumn.from_stored_name(batch.id_column)
    shards = [shard for shard in source.shards if column in shard.id_columns]
    new_hashes = None
    if first_new:
        shards, new_hashes = _find_new_devices(shards, column, first_new)
    schema = {NUMBER: pl.UInt64, AT: pl.Int64, **dict.fromkeys(batch.properties, pl.Categorical)}
    parts = [pl.DataFrame(schema=schema)]
    for part in list_parts(source.storage, source.listed, batch.name):
        if new_hashes is None or part.has_any(new_hashes):
            parts.append(_match_part(part, shards, column, first_new).select(list(schema)))
    return MatchedBatch(batch, pl.concat(parts))


def _find_new_devices(shards: Sequence[Shard], column: IdColumn, first_new: int) -> tuple[list[Shard], HashTable]:
    """Return the shards with devices whose number is *first_new* or higher, and the hashes of the ids of these."""
    found, hashes = list[Shard](), [no_hashes()]
    for shard in shards:
        rows = bitmaps.bitmap_to_rows(shard.live_rows)
        rows = rows[shard.device_numbers(rows) >= first_new]
        if len(rows):
            ids = polars_bridge.read_ids_at(shard, column, rows)
            ids = ids.explode() if isinstance(ids.dtype, pl.List) else ids
            found.append(shard)
            hashes.append(hash_ids(ids.drop_nulls()))
    return found, np.concatenate(hashes)


def _match_part(part: RecordedPart, shards: Sequence[Shard], column: IdColumn, first_new: int) -> pl.DataFrame:
    """Return the events of *part* with the numbers of the devices that have their ids."""
    rows = part.read_rows()
    ids = rows[ID].unique()
    matches = [pl.DataFrame(schema={ID: pl.String, NUMBER: pl.UInt64})]
    for shard in shards:
        found = id_search.find_in_column(shard, column, ids).sort("row")
        numbers = shard.device_numbers(found["row"].to_numpy()).astype(np.uint64)
        matches.append(pl.DataFrame({ID: found["id"], NUMBER: numbers}).filter(pl.col(NUMBER) >= first_new))
    return rows.join(pl.concat(matches), on=ID)


def _write_events(source: RecordSource, prefix: str, matched: Sequence[MatchedBatch]) -> list[EventFile]:
    """Write the events of all batches to one file a partition, in which each batch can be removed again."""
    numbers = [each.rows[NUMBER].to_numpy() for each in matched]
    partitions = sorted({partition for each in numbers for partition in find_partitions(each)})
    files = []
    for partition in partitions:
        is_in = [pl.Series(is_in_partition(each, partition)) for each in numbers]
        parts = [replace(each, rows=each.rows.filter(mask)) for each, mask in zip(matched, is_in, strict=True)]
        name = f"{prefix}.{partition}.events" if partition else f"{prefix}.events"
        files.append(_write_file(source, name, [part for part in parts if len(part.rows)], partition))
    return files


def _write_file(source: RecordSource, name: str, matched: Sequence[MatchedBatch], partition: int) -> EventFile:
    batches = [EventBatch((each.batch.batch_name,), is_replaceable=True) for each in matched]
    by_event: dict[str, list[tuple[int, pl.DataFrame]]] = {}
    for number, each in enumerate(matched):
        by_event.setdefault(each.batch.event, []).append((number, each.rows))
    rows = (_encode_event(event, frames, source.timezone) for event, frames in by_event.items())
    return write_event_file(source.storage, name, rows, batches, partition)


def _encode_event(event: str, frames: Sequence[tuple[int, pl.DataFrame]], timezone: str) -> EventRows:
    """Return the events of one name, ordered by day, device and instant."""
    parts = [frame.with_columns(pl.lit(number, dtype=pl.UInt32).alias(BATCH)) for number, frame in frames]
    rows = pl.concat(parts, how="diagonal")
    instants = rows[AT].cast(pl.Datetime("us"))
    days = (to_wall_clock(instants, open_zone(timezone)).to_physical() // DAY_MICROSECONDS).cast(pl.Int32)
    ordered = rows.with_columns(days.alias(DAY)).sort(DAY, NUMBER, AT, maintain_order=True)
    names = [name for name in ordered.columns if name not in (NUMBER, AT, BATCH, DAY)]
    codes: NDArray[np.uint32] = ordered[BATCH].to_numpy()
    return EventRows(
        event,
        ordered[DAY].to_numpy(),
        lower_bits(ordered[NUMBER].to_numpy()),
        ordered[AT].to_numpy(),
        {name: _encode_strings(ordered[name]) for name in names if ordered[name].null_count() < len(ordered)},
        batches=tuple(number for number, _ in frames),
        batch_codes=codes if len(frames) > 1 else None,
    )


def _encode_strings(values: pl.Series) -> PropertyRows:
    dictionary = encode_dictionary(values, "string")
    return PropertyRows(StoredValues.of_strings("string", dictionary.values.to_list()), dictionary.codes)
