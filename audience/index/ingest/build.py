"""Build of a new index folder from a device table of any size, one shard at a time."""

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace as with_fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from audience._fs.atomic import atomic_folder
from audience._fs.locks import is_locked
from audience.cluster.cluster import Cluster
from audience.counts import format_count
from audience.errors import LockedError, Problem, TableError
from audience.index.ingest.bad_rows import open_bad_row_log
from audience.index.ingest.decode import reject_mixed_numbers
from audience.index.ingest.duplicates import absorb_earlier_rows, find_key, iter_combined
from audience.index.ingest.encode import DeviceTable, count_rows
from audience.index.ingest.encoded_shards import name_shard, write_shard, write_shards
from audience.index.ingest.events.carrying import carry_events
from audience.index.ingest.events.recorded_events import apply_records
from audience.index.ingest.locations.fetching import Source
from audience.index.ingest.read_options import DEFAULT_READ_OPTIONS, Duplicates, ReadOptions
from audience.index.ingest.reader import SourceTable, wrap_polars_errors
from audience.index.ingest.replacement import (
    ReplacedIndex,
    describe_replacement,
    find_lost_tags,
    read_replaced_index,
    require_devices,
    require_names,
)
from audience.index.ingest.sources import exact_column
from audience.index.ingest.table_opening import open_table
from audience.index.ingest.table_reading import TableReading
from audience.index.records.place import move_place, read_place
from audience.index.records.record_files import copy_record_files
from audience.index.records.segment_history import carry_history
from audience.index.schema.column_roles import ColumnRoles
from audience.index.schema.columns import Column
from audience.index.storage import id_search
from audience.index.storage.deleted_rows import write_deleted_rows
from audience.index.storage.device_numbers import NumberSequence
from audience.index.storage.layout import MANIFEST_FILE, OWNED_NAMES, PUBLISHED_FILE, SYNCS_FOLDER, shard_file
from audience.index.storage.manifest import Manifest, publish_manifest, timestamp_now
from audience.index.storage.published import LocalStorage, Storage
from audience.index.storage.shard import Shard
from audience.index.storage.write_lock import lock_index
from audience.progress import Progress

if TYPE_CHECKING:  # object stores are for few
    from audience.index.ingest.shared.staged_build import StagedBuild

WriteShards: TypeAlias = Callable[[SourceTable, NumberSequence], list[Shard]]

MAX_SHARD_DEVICES = 1 << 22  # rows of a shard; larger shards are faster to query and take more memory to build
MAX_SHOWN_ROWS = 5


def build_index(
    source: Source,
    path: Path,
    roles: ColumnRoles,
    vendors: Sequence[str],
    *,
    options: ReadOptions = DEFAULT_READ_OPTIONS,
    replace: bool,
    progress: Progress,
    cluster: Cluster | None = None,
    staged: "StagedBuild | None" = None,
    allow_loss: Collection[str] = (),
) -> TableReading:
    """Build the index of the table *source* in the new folder *path*; on an error, *path* stays as it was.

    Return how the table was read.

    Args:
        source: Files or frames with one row a device.
        path: Folder of the index.
        roles: Roles of columns that are not to be inferred.
        vendors: Names of all vendors.
        options: How to read the files.
        replace: Replace an index that exists at *path*.
        progress: Called with a step, the rows done and the rows in all.
        cluster: Processes that write the shards; None for this one. The files are the same.
        staged: Where the processes of *cluster* put the shards; None for the folder.
        allow_loss: What the index that is replaced may lose, of `Loss`.

    Raises:
        TableError: An id is missing, empty or duplicated, or a value does not fit its column: the message names the
            column and the first such rows. Or the replaced index would lose all devices, or what its policies name.
        ClusterError: The cluster is lost. The next build goes on from the shards that are finished.
    """
    progress("reading the table", 0, 0)
    with _lock_if_replacing(path, replace):
        place = read_place(LocalStorage(path))
        reading = _build_folder(source, path, roles, vendors, options, replace, progress, cluster, staged, allow_loss)
        move_place(LocalStorage(path), place)
    return reading


def _build_folder(
    source: Source,
    path: Path,
    roles: ColumnRoles,
    vendors: Sequence[str],
    options: ReadOptions,
    replace: bool,
    progress: Progress,
    cluster: Cluster | None,
    staged: "StagedBuild | None",
    allow_loss: Collection[str],
) -> TableReading:
    """Build the folder of an index, which is locked if it is replaced."""
    with (
        atomic_folder(path, owned_patterns=OWNED_NAMES, replace=replace) as draft,
        open_bad_row_log(options.rejects_file) as log,
    ):
        replaced = read_replaced_index(path) if replace else ReplacedIndex()
        storage = LocalStorage.create(draft)
        storage = storage if staged is None else staged.open_folder(draft)
        if replace:  # even if the index cannot be read: nobody else knows what was recorded
            copy_record_files(LocalStorage(path), storage)
            _copy_publications(path, draft)
        timezone = options.timezone or replaced.timezone
        reading = with_fields(options, timezone=timezone)
        with (
            _open_shards(source, path, roles, reading, storage, progress, cluster, staged) as (readable, write),
            open_table(readable, roles, vendors, reading, log, progress) as table,
        ):
            shards = _write_index(storage, table, replaced, write, progress, allow_loss)
            log.commit()
            lost = find_lost_tags(replaced, shards)
            return with_fields(table.reading, is_default_timezone=timezone is None, lost_tags=lost)


def _copy_publications(path: Path, draft: Path) -> None:
    """Keep what was pushed from *path*: the index that replaces it goes on from there, unless others have published."""
    with suppress(FileNotFoundError):
        shutil.copyfile(path / PUBLISHED_FILE, draft / PUBLISHED_FILE)


@contextmanager
def _open_shards(
    source: Source,
    path: Path,
    roles: ColumnRoles,
    options: ReadOptions,
    storage: LocalStorage,
    progress: Progress,
    cluster: Cluster | None,
    staged: "StagedBuild | None",
) -> Iterator[tuple[Source, WriteShards]]:
    """Yield *source* as it is to be read, and the function that writes the shards of its table to *storage*."""
    if cluster is None:
        yield source, lambda table, numbers: _write_here(table, numbers, storage, options.duplicates, progress)
        return
    from audience.index.ingest.shared import building  # few builds need it

    with building.open_shared_build(source, path, roles, options, MAX_SHARD_DEVICES, staged) as build:
        yield (
            build.source.source,
            lambda table, numbers: build.write_shards(table, storage, numbers, cluster, progress),
        )


def _write_here(
    table: SourceTable, numbers: NumberSequence, storage: Storage, duplicates: Duplicates, progress: Progress
) -> list[Shard]:
    """Write the shards of *table* in this process."""
    chunks = table.iter_shard_tables(MAX_SHARD_DEVICES, progress)
    if duplicates == "refuse":
        return [Shard(storage, shard_files) for shard_files in write_shards(chunks, storage, 1, numbers)]
    return _write_combined_shards(chunks, storage, table, duplicates, numbers)


def _write_index(
    storage: Storage,
    table: SourceTable,
    replaced: ReplacedIndex,
    write: WriteShards,
    progress: Progress,
    allow_loss: Collection[str],
) -> list[Shard]:
    """Write the shards of *table* and their manifest. Return the shards."""
    numbers = NumberSequence()
    shards = write(table, numbers)
    progress("checking ids", 0, 0)
    reject_duplicate_ids(shards, table, [column for column in table.columns if column.role == "id"])
    reject_shared_tags(shards, table.columns)
    reject_mixed_numbers(shards, table.columns)
    device_count = sum(shard.device_count for shard in shards)
    table.log.require_good_rows(device_count)
    require_devices(replaced, device_count, allow_loss)
    require_names(replaced, shards, table.columns, allow_loss)
    timezone = table.zone.key
    devices = format_count(device_count, "device")
    description = f"build: {devices}{describe_replacement(replaced, shards, table.columns, timezone)}"
    old = replaced.snapshot
    carried = None if old is None else carry_events(old, storage, shards, table.columns, timezone, progress)
    files = tuple(shard.files for shard in shards)
    deleted = write_deleted_rows(storage, 1, {shard.name: shard.deleted for shard in shards if shard.deleted})
    manifest = Manifest(
        1,
        timestamp_now(),
        description,
        device_count,
        table.columns,
        files,
        timezone,
        numbers.next_number,
        deleted,
        segments=replaced.segments,
        segment_files=replaced.segment_files,
    )
    for name, data in replaced.id_lists.items():
        storage.put(shard_file(name), data)
    manifest = with_fields(manifest, segment_changes=carry_history(storage, None if old is None else old.manifest))
    content = manifest if carried is None else carried.apply_to(manifest)
    recorded = apply_records(storage, content, shards, number=1, first_new=manifest.next_number)
    publish_manifest(storage, recorded, None)
    return shards


def _write_combined_shards(
    chunks: Iterable[tuple[int, DeviceTable]],
    storage: Storage,
    table: SourceTable,
    duplicates: Duplicates,
    numbers: NumberSequence,
) -> list[Shard]:
    """Write shards with one device for each id; a device of an earlier shard is deleted there."""
    shards: list[Shard] = []
    key = find_key(table.columns)
    for number, chunk in enumerate(iter_combined(chunks, table, duplicates)):
        combined, shards, absorbed = absorb_earlier_rows(chunk, key, shards, duplicates)
        table.counts.duplicates += absorbed
        first_number = numbers.take(count_rows(combined))
        shards.append(Shard(storage, write_shard(storage, name_shard(1, number), combined, first_number)))
    return shards


@contextmanager
def _lock_if_replacing(path: Path, replace: bool) -> Iterator[None]:
    """Lock the index that is replaced, if there is one. Raises LockedError if tags are being synced from it."""
    if not (replace and (path / MANIFEST_FILE).is_file()):
        yield
        return
    with lock_index(LocalStorage(path), "build"):
        if any(is_locked(lock) for lock in (path / SYNCS_FOLDER).glob("*/lock")):
            message = f"{path} cannot be replaced: tags are being synced from it"
            raise LockedError(Problem("locked", message, hint="wait for the sync, or run `audience cancel`"))
        yield


def reject_duplicate_ids(
    shards: Sequence[Shard], table: SourceTable, columns: Sequence[Column], new_shards: Sequence[Shard] | None = None
) -> None:
    """Raise TableError if two devices have the same id in one of *columns*.

    With *new_shards*, only ids that occur in one of these shards are checked.
    """
    for column in columns:
        ids = id_search.find_duplicate_ids(shards, column.id_column, new_shards)
        if len(ids):
            rows = _describe_id_rows(ids, column, table)
            more = f" and {format_count(len(ids) - MAX_SHOWN_ROWS, 'more id')}" if len(ids) > MAX_SHOWN_ROWS else ""
            message = f"column {column.name_in_table!r} holds an id that another device has: {rows}{more}"
            hint = "remove them, or use --duplicates last or merge"
            raise TableError(Problem("duplicate-id", message, hint=hint))


def _describe_id_rows(ids: pl.Series, column: Column, table: SourceTable) -> str:
    """Return the rows of *table* that hold the first of *ids*."""
    shown_ids = ids.head(MAX_SHOWN_ROWS).implode()
    with wrap_polars_errors():
        rows = (
            table.lazy_frame.select(
                id=exact_column(column.name_in_table).cast(pl.String).str.strip_chars(), row=pl.int_range(pl.len())
            )
            .filter(pl.col("id").is_in(shown_ids))
            .head(2 * MAX_SHOWN_ROWS)
            .collect()
        )
    return ", ".join(f"{table.places.describe(row)} ({id_!r})" for id_, row in rows.iter_rows())


def reject_shared_tags(
    shards: Sequence[Shard], columns: Sequence[Column], new_shards: Sequence[Shard] | None = None
) -> None:
    """Raise TableError if two columns hold the same tag, because it may mean two things.

    With *new_shards*, only tags that occur in one of these shards are checked.
    """
    column_order = {column.name_in_table: number for number, column in enumerate(columns)}
    tags = None if new_shards is None else id_search.collect_tag_sources(new_shards)
    for tag, sources in id_search.collect_tag_sources(shards, tags).items():
        if len(sources) > 1:
            first, second, *_ = sorted(sources, key=column_order.__getitem__)
            message = f"columns {first!r} and {second!r} both hold the tag {tag!r}"
            hint = f"use --typed {second}, which makes it {second}:{tag}"
            raise TableError(Problem("same-tag", message, hint=hint))
