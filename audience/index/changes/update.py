"""Update the devices of an index from a table."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import polars as pl

from audience.counts import format_count
from audience.errors import Problem, TableError
from audience.index.changes.compaction import concat_tables
from audience.index.changes.session import (
    ShardMatches,
    UpdateResult,
    UpdateSession,
    delete_rows,
    locate_ids,
    map_in_threads,
)
from audience.index.ingest.bad_rows import open_bad_row_log
from audience.index.ingest.build import MAX_SHARD_DEVICES, reject_duplicate_ids, reject_shared_tags
from audience.index.ingest.cast import describe_rows
from audience.index.ingest.decode import decode_rows, new_categories, reject_mixed_numbers, to_categorical
from audience.index.ingest.duplicates import absorb_earlier_rows, combine_rows
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.events.waiting import add_arrived
from audience.index.ingest.locations.fetching import Source
from audience.index.ingest.read_options import DEFAULT_READ_OPTIONS, Duplicates, ReadOptions
from audience.index.ingest.reader import SourceTable
from audience.index.ingest.table_opening import open_table
from audience.index.schema.column_roles import ColumnRoles, require_unique_names
from audience.index.schema.columns import KEY_COLUMN, Column
from audience.index.storage.device_numbers import DeviceNumbers, NumberSequence, number_type, partition_of
from audience.index.storage.id_search import HashedIds
from audience.index.storage.manifest import Manifest
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.language.suggest import did_you_mean
from audience.progress import Progress

MAX_CHUNK_DEVICES = MAX_SHARD_DEVICES  # devices of the table that are merged at once


def update_devices(
    opened: Snapshot,
    source: Source,
    roles: ColumnRoles,
    vendors: Sequence[str],
    *,
    options: ReadOptions = DEFAULT_READ_OPTIONS,
    new_columns: Iterable[str],
    wait: float,
    progress: Progress,
) -> UpdateResult:
    """Write the devices of a table to the index. Known devices change in the columns of the table, others are added.

    Args:
        opened: Snapshot of the index; what it has read is not read again.
        source: Table of devices.
        roles: Explicit roles of columns; columns of the index keep theirs.
        vendors: Names of vendors whose id columns are recognized.
        options: How to read the files.
        new_columns: Columns of the table that may be added to the index.
        wait: Seconds to wait for another writer.
        progress: Progress callback.

    Raises:
        TableError: The table is invalid, shares no id column with the index, or has a column that is not one of
            *new_columns*.
        LockedError: Another process changes the index.
    """
    with (
        lock_for_update(opened.storage, "update", wait) as manifest,
        open_bad_row_log(options.rejects_file) as log,
        open_table(
            source,
            replace(roles, existing=manifest.columns),
            vendors,
            _with_index_zone(options, manifest.timezone),
            log,
            progress,
        ) as table,
    ):
        _require_known_columns(table, manifest.columns, set(new_columns))
        columns = _join_columns(manifest.columns, table.columns)
        key_column = _find_key_column(table, manifest)
        if not table.row_count and len(columns) == len(manifest.columns):
            log.commit()
            return UpdateResult(manifest.number, reading=table.reading)
        session = UpdateSession.start(opened, manifest, progress)
        old_shards, new_shards, changed = _write_devices(session, table, key_column, columns, options.duplicates)
        progress("checking ids", 0, 0)
        _reject_conflicts(old_shards, new_shards, table, key_column, columns)
        added = table.counts.rows - table.counts.duplicates - changed
        details = f"{format_count(changed, 'device')} changed, {added:,} added"
        add_arrived(session.event_changes, new_shards)
        log.commit()
        number = session.publish_compacted([*old_shards, *new_shards], "update", details, columns, changed + added)
        return UpdateResult(number, changed, added, reading=table.reading)


def _join_columns(existing: Iterable[Column], columns: Iterable[Column]) -> list[Column]:
    """Return the columns of both, each once; moments were cut if they were in one of them."""
    cut_names = {column.name for column in (*existing, *columns) if column.has_cut_moments}
    joined = dict.fromkeys((*existing, *columns))
    return [replace(column, has_cut_moments=column.name in cut_names) for column in joined]


def _with_index_zone(options: ReadOptions, timezone: str) -> ReadOptions:
    """Return *options* with the time zone of the index. Raises TableError if they have another zone."""
    if options.timezone not in (None, timezone):
        message = f"the index was built with the time zone {timezone}, and its days are days of that zone"
        hint = f"build it again with --replace --timezone {options.timezone}, or leave --timezone out"
        raise TableError(Problem("other-timezone", message, hint=hint))
    return replace(options, timezone=timezone)


def _write_devices(
    session: UpdateSession,
    table: SourceTable,
    key_column: Column,
    columns: Sequence[Column],
    duplicates: Duplicates,
) -> tuple[list[Shard], list[Shard], int]:
    """Write the devices of *table* to new shards, one for each chunk, while the next chunk is merged.

    Returns:
        The old shards without the devices that changed, the new shards, and the number of devices that changed.
    """
    old_shards, new_shards, changed = session.shards, list[Shard](), 0
    writing = list[Future[Shard]]()  # at most one, so that two chunks are in memory
    with ThreadPoolExecutor(1) as writer:
        for first_row, chunk in table.iter_chunks(MAX_CHUNK_DEVICES):
            session.progress("updating devices", first_row, table.row_count)
            devices = combine_rows(_join_memory(chunk), key_column, duplicates)
            table.counts.duplicates += len(chunk[key_column]) - len(devices[key_column])
            hashed = _hash_keys(devices, key_column, first_row)
            earlier: list[ShardMatches] = []
            if duplicates != "refuse":
                new_shards += [written.result() for written in writing]
                writing.clear()
                devices, earlier = _absorb_earlier(devices, hashed, table, key_column, new_shards, duplicates)
                hashed = HashedIds(devices[key_column])
            matches = locate_ids(old_shards, [key_column.id_column], hashed)
            changed += sum(len(rows) for _, rows in matches)
            known = [*matches, *earlier]
            numbers = _assign_numbers(known, len(devices[key_column]), session.numbers)
            merged = _merge_devices(devices, key_column, known, columns)
            old_shards = delete_rows(old_shards, matches)
            new_shards = delete_rows(new_shards, earlier) + [written.result() for written in writing]
            writing = [writer.submit(session.write_new_shard, merged, numbers)]
        new_shards += [written.result() for written in writing]
    return old_shards, new_shards, changed


def _absorb_earlier(
    devices: DeviceTable,
    hashed: HashedIds,
    table: SourceTable,
    key_column: Column,
    new_shards: Sequence[Shard],
    duplicates: Duplicates,
) -> tuple[DeviceTable, list[ShardMatches]]:
    """Return *devices* with what earlier rows of the table say of them, and these rows in *new_shards*."""
    repeated = locate_ids(new_shards, [key_column.id_column], hashed)
    table.counts.duplicates += sum(len(rows) for _, rows in repeated)
    absorbed, _, _ = absorb_earlier_rows(devices, key_column, new_shards, duplicates)
    return absorbed, locate_ids(new_shards, [key_column.id_column], HashedIds(absorbed[key_column]))


def _join_memory(chunk: DeviceTable) -> DeviceTable:
    """Return *chunk* with each column in one piece: gathering from several takes up to twenty times as long."""
    return {column: values.rechunk() for column, values in chunk.items()}


def _reject_conflicts(
    old_shards: Sequence[Shard],
    new_shards: Sequence[Shard],
    table: SourceTable,
    key_column: Column,
    columns: Sequence[Column],
) -> None:
    """Raise TableError if two devices have one id, or a tag or number is ambiguous."""
    shards = [*old_shards, *new_shards]
    other_id_columns = [column for column in table.columns if column.role == "id" and column != key_column]
    reject_duplicate_ids(new_shards, table, [key_column])  # old devices with these ids are deleted
    reject_duplicate_ids(shards, table, other_id_columns, new_shards)
    reject_shared_tags(shards, columns, new_shards)
    reject_mixed_numbers(shards, columns)


def _find_key_column(table: SourceTable, manifest: Manifest) -> Column:
    """Return the first id column that the index and *table* share; the key of the table is preferred."""
    for column in sorted(manifest.columns, key=lambda column: column.name != KEY_COLUMN):
        if column.role == "id" and column in table.columns:
            return column
    names = ", ".join(column.name_in_table for column in manifest.columns if column.role == "id")
    raise TableError(Problem("no-id", "the table has no id column of the index", hint=f"add one of {names}"))


def _require_known_columns(table: SourceTable, existing: Sequence[Column], new_columns: set[str]) -> None:
    """Raise TableError for a column of *table* that is neither one of the index nor one of *new_columns*."""
    existing_names = [column.name_in_table for column in existing]
    for column in table.columns:
        name = column.name_in_table
        if column not in existing and name not in new_columns:
            hint = did_you_mean(name, existing_names) or f"use --new {name} to add it, or --ignore {name}"
            raise TableError(Problem("new-column", f"the index was built without a column {name!r}", hint=hint))
    require_unique_names(list(dict.fromkeys((*existing, *table.columns))))


def _hash_keys(chunk: DeviceTable, key_column: Column, first_row: int) -> HashedIds:
    """Return the ids of the key column. Raises TableError if a row has none, or two rows have the same."""
    keys, name = chunk[key_column], key_column.name_in_table
    if keys.null_count():
        rows = describe_rows(keys.is_null(), keys, first_row)
        hint = "give each row an id of this column"
        raise TableError(Problem("missing-id", f"column {name!r} holds no id: {rows}", hint=hint))
    hashed = HashedIds(keys)
    if not hashed.are_distinct():
        rows = describe_rows(keys.is_duplicated(), keys, first_row)
        raise TableError(Problem("duplicate-id", f"column {name!r} holds an id that another row has: {rows}"))
    return hashed


def _assign_numbers(known: Sequence[ShardMatches], device_count: int, unused: NumberSequence) -> DeviceNumbers:
    """Return the device numbers in the order of `_merge_devices`: known devices keep theirs, new devices follow."""
    kept = [shard.device_numbers(rows["row"].to_numpy()) for shard, rows in known]
    new_count = device_count - sum(map(len, kept))
    first = unused.take(new_count)
    if not kept:
        return first
    new = np.arange(first, first + new_count, dtype=number_type([partition_of(first)]))
    return np.concatenate([*kept, new])


def _merge_devices(
    chunk: DeviceTable, key_column: Column, matches: Sequence[ShardMatches], columns: Sequence[Column]
) -> DeviceTable:
    """Return the devices of *chunk* with all *columns*: known devices keep their values of other columns."""
    #   columns      token   age          city
    #   known        chunk   chunk        old value, decoded from the shard
    #   new          chunk   chunk        null
    categories = new_categories(columns)
    chunk = {column: to_categorical(values, categories.get(column)) for column, values in chunk.items()}
    kept_columns = [column for column in columns if column not in chunk]
    is_new = np.ones(len(chunk[key_column]), dtype=np.bool_)

    def merge_known(known: ShardMatches) -> DeviceTable:
        shard, rows = known
        kept, at = decode_rows(shard, rows["row"].to_numpy(), kept_columns, categories), rows["at"]
        return {column: kept[column] if column in kept else chunk[column].gather(at) for column in columns}

    tables = map_in_threads(merge_known, matches, len(is_new))
    for _, rows in matches:
        is_new[rows["at"].to_numpy()] = False
    new_rows = pl.Series(np.flatnonzero(is_new))
    nulls = pl.Series([None], dtype=pl.String).new_from_index(0, len(new_rows))
    tables.append({column: chunk[column].gather(new_rows) if column in chunk else nulls for column in columns})
    return concat_tables(tables, columns)
