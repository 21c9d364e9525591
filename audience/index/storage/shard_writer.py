"""Write the files of a shard: all of them are published, or none."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from audience._fs.checksums import hash128
from audience.index.schema.columns import Role
from audience.index.storage import arrow_file, bitmaps
from audience.index.storage.arrow_file import ByteRange
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.device_numbers import (
    DeviceNumbers,
    find_partitions,
    lower_bits,
    partition_of,
    shorten_numbers,
)
from audience.index.storage.id_column import EncodedIdColumn
from audience.index.storage.layout import (
    CHECKSUMS,
    DATA_FILES,
    IDS,
    LOOKUP,
    NUMBER_COLUMN,
    RANK_COLUMN,
    TAGS,
    VALUE_COLUMNS,
    BitSlicing,
    IdColumnStats,
    ShardFiles,
    StoredAttribute,
    shard_file,
    shard_file_name,
)
from audience.index.storage.polars_bridge import read_value_table, series_to_arrow
from audience.index.storage.published import Storage
from audience.index.storage.shard import Shard
from audience.index.storage.verified_file import hash_file_blocks

VALUE_SCHEMA = pl.Schema(zip(VALUE_COLUMNS, (pl.String, pl.String, pl.String, pl.UInt32), strict=True))
SCAN_CHUNK_BYTES = 1 << 18  # fits in the cache of the processor


@dataclass(frozen=True, slots=True)
class EncodedAttribute:
    """Attribute of a shard to be written: its values in order, as strings, and its bitmaps.

    There is one bitmap for each value. With bit slicing, there is one for the devices that have any value, then one
    for each slice. `source_columns` has the column of the table that each value comes from, or is empty. `ranks` are
    the lower bits of the rank of each row, if they are stored, and `row_counts` the numbers of rows of values that have
    no bitmap.
    """

    name: str
    role: Role
    values: pl.Series
    source_columns: Sequence[str]
    bitmaps: Sequence[BitMap]
    distinct_count: int
    is_single_valued: bool
    dtype: str
    bit_slicing: BitSlicing | None = None
    ranks: NDArray[np.uint16] | None = None
    row_counts: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class PendingShard:
    """Shard whose files are written as drafts."""

    storage: Storage
    files: ShardFiles

    def commit(self) -> ShardFiles:
        """Publish all files durably."""
        for name in self.files.file_names():
            self.storage.publish_draft(shard_file(name))
        return self.files


def write_shard_files(
    storage: Storage,
    shard_name: str,
    row_count: int,
    numbers: DeviceNumbers,
    encoded_attributes: Iterable[EncodedAttribute],
    id_columns: Iterable[EncodedIdColumn],
) -> PendingShard:
    """Write the files of a shard as drafts; *numbers* are those of its devices.

    Attributes and id columns are taken from their iterators by two threads, so that bitmaps are encoded and written
    at the same time as ids.
    """
    drafts = {kind: _open_draft(storage, shard_name, kind) for kind in DATA_FILES}
    numbers = shorten_numbers(numbers)
    first_number = numbers if isinstance(numbers, int) else None
    partition = _find_partition(numbers)
    if partition is not None and not isinstance(numbers, int):
        numbers = lower_bits(numbers)
    with ThreadPoolExecutor(1) as executor:
        tags_range = executor.submit(_write_tags_file, drafts[TAGS], encoded_attributes)
        columns = list(id_columns)
        ids_range = _write_ids_file(drafts[IDS], columns, numbers)
        data_ranges = {IDS: ids_range, LOOKUP: _write_lookup_file(drafts[LOOKUP], columns)}
        checksums = {kind: hash_file_blocks(drafts[kind]) for kind in (IDS, LOOKUP)}
        data_ranges[TAGS] = tags_range.result()
    checksums[TAGS] = hash_file_blocks(drafts[TAGS])
    sizes = {kind: draft.stat().st_size for kind, draft in drafts.items()}
    files = ShardFiles(shard_name, row_count, sizes, data_ranges, "", first_number, partition)
    return _finish_shard(storage, files, checksums)


def _find_partition(numbers: DeviceNumbers) -> int | None:
    """Return the partition of *numbers*, or None if they are of several."""
    if isinstance(numbers, int):
        return partition_of(numbers)
    partitions = find_partitions(numbers)
    return partitions[0] if len(partitions) == 1 else None


def write_retagged_files(storage: Storage, shard_name: str, shard: Shard, tags: EncodedAttribute) -> PendingShard:
    """Write the files of *shard* with other bare *tags* as drafts.

    All other bitmaps are copied as they are stored. The files of ids and of their hashes are those of *shard*, with its
    checksums, so that they need not be read.
    """
    draft, old = _open_draft(storage, shard_name, TAGS), shard.files
    data_ranges = {**old.data_ranges, TAGS: _write_retagged_file(draft, shard, tags)}
    for kind in (IDS, LOOKUP):
        storage.link_draft(shard_file(shard_file_name(shard_name, kind)), shard_file(old.file_name(kind)))
    sizes = {**old.file_sizes, TAGS: draft.stat().st_size}
    checksums = {IDS: shard.block_checksums(IDS), LOOKUP: shard.block_checksums(LOOKUP), TAGS: hash_file_blocks(draft)}
    files = ShardFiles(shard_name, shard.row_count, sizes, data_ranges, "", old.first_number, old.partition)
    return _finish_shard(storage, files, checksums)


def _open_draft(storage: Storage, shard_name: str, kind: str) -> Path:
    return storage.draft_path(shard_file(shard_file_name(shard_name, kind)))


def _finish_shard(storage: Storage, files: ShardFiles, checksums: Mapping[str, NDArray[np.uint64]]) -> PendingShard:
    """Write the file of the *checksums* of the data files, of which *files* has all but it."""
    draft = _open_draft(storage, files.name, CHECKSUMS)
    _write_checksum_file(draft, [checksums[kind] for kind in DATA_FILES])
    content = draft.read_bytes()
    sizes = {**files.file_sizes, CHECKSUMS: len(content)}
    return PendingShard(storage, replace(files, file_sizes=sizes, checksum=hash128(content)))


def _write_checksum_file(file: Path, checksums: Sequence[NDArray[np.uint64]]) -> None:
    """Write the *checksums* of the blocks of each data file, each with the number of its file."""
    file_numbers = np.repeat(np.arange(len(checksums), dtype=np.uint8), list(map(len, checksums)))
    columns = {"file": arrow_file.from_numpy(file_numbers), "xxh3": arrow_file.from_numpy(np.concatenate(checksums))}
    arrow_file.write_arrow_file(file, columns, ())


def _write_tags_file(file: Path, encoded_attributes: Iterable[EncodedAttribute]) -> ByteRange:
    attributes: list[StoredAttribute] = []
    value_rows = [pl.DataFrame(schema=VALUE_SCHEMA)]
    stored_bitmaps: list[bytes | None] = []
    stored_ranks: list[bytes | None] = []
    for attribute in encoded_attributes:
        start, without_bitmap = len(stored_bitmaps), len(attribute.values) if attribute.bit_slicing else 0
        stored_bitmaps += [None] * without_bitmap
        stored_bitmaps += map(bitmaps.serialize_bitmap, attribute.bitmaps)
        stored_ranks += [None] * (len(stored_bitmaps) - start)
        if attribute.ranks is not None:
            stored_ranks[start + without_bitmap] = attribute.ranks.astype("<u2", copy=False).tobytes()
        value_rows.append(_build_value_rows(attribute, without_bitmap))
        attributes.append(_describe_attribute(attribute, start, len(stored_bitmaps)))
    table = pl.concat(value_rows)
    columns = {name: series_to_arrow(table[name]) for name in VALUE_COLUMNS}
    columns |= {"bitmap": arrow_file.from_bytes(stored_bitmaps), RANK_COLUMN: arrow_file.from_bytes(stored_ranks)}
    metadata = orjson.dumps([asdict(attribute) for attribute in attributes])
    return arrow_file.write_arrow_file(file, columns, ["bitmap", RANK_COLUMN], metadata)


def _write_retagged_file(file: Path, shard: Shard, tags: EncodedAttribute) -> ByteRange:
    """Write the tags file of *shard* with *tags* in the place of its bare tags."""
    #   rows of the file     before | start … stop | after
    #   rows written         before |   new tags   | after, moved
    old = shard.attributes.get(tags.name)
    start, stop = (old.start, old.stop) if old else (0, 0)
    values, stored_bitmaps, stored_ranks = read_value_table(shard), *shard.read_stored_columns()
    table = pl.concat([values[:start], _build_value_rows(tags, 0), values[stop:]])
    columns = {name: series_to_arrow(table[name]) for name in VALUE_COLUMNS}
    new_bitmaps = arrow_file.from_bytes(map(bitmaps.serialize_bitmap, tags.bitmaps))
    columns["bitmap"] = arrow_file.join_arrays([stored_bitmaps[:start], new_bitmaps, stored_bitmaps[stop:]])
    no_ranks = arrow_file.null_bytes(len(tags.values))
    columns[RANK_COLUMN] = arrow_file.join_arrays([stored_ranks[:start], no_ranks, stored_ranks[stop:]])
    moved_by = len(tags.values) - (stop - start)
    others = [attribute for attribute in shard.attributes.values() if attribute is not old]
    moved = [
        replace(other, start=other.start + moved_by, stop=other.stop + moved_by) if other.start >= stop else other
        for other in others
    ]
    attributes = [*moved, _describe_attribute(tags, start, start + len(tags.values))]
    metadata = orjson.dumps([asdict(attribute) for attribute in attributes])
    return arrow_file.write_arrow_file(file, columns, ["bitmap", RANK_COLUMN], metadata)


def _describe_attribute(attribute: EncodedAttribute, start: int, stop: int) -> StoredAttribute:
    return StoredAttribute(
        attribute.name,
        attribute.role,
        start,
        stop,
        attribute.distinct_count,
        attribute.is_single_valued,
        attribute.dtype,
        attribute.bit_slicing,
    )


def _build_value_rows(attribute: EncodedAttribute, values_without_bitmap: int) -> pl.DataFrame:
    """Return the rows of the tags file, without bitmaps, of one attribute."""
    values = attribute.values
    if attribute.bit_slicing:
        slices = ["any value", *(f"digit {digit}" for digit in range(attribute.bit_slicing.bit_depth))]
        values = pl.concat([values, pl.Series(values.name, slices)])
    source_columns = attribute.source_columns or [""] * len(values)
    unknown = pl.repeat(None, values_without_bitmap, dtype=pl.UInt32, eager=True)
    without_bitmap = unknown if attribute.row_counts is None else pl.Series(attribute.row_counts).cast(pl.UInt32)
    with_bitmap = pl.Series([len(bitmap) for bitmap in attribute.bitmaps], dtype=pl.UInt32)
    cardinalities = pl.concat([without_bitmap, with_bitmap])
    columns = [attribute.name] * len(values), values, source_columns, cardinalities
    return pl.DataFrame(dict(zip(VALUE_COLUMNS, columns, strict=True)), schema=VALUE_SCHEMA)


def _write_ids_file(file: Path, id_columns: Sequence[EncodedIdColumn], numbers: DeviceNumbers) -> ByteRange:
    columns = {encoded.column.stored_name: encoded.array for encoded in id_columns}
    metadata = orjson.dumps({name: asdict(_compute_id_stats(ids)) for name, ids in columns.items()})
    if not isinstance(numbers, int):
        columns[NUMBER_COLUMN] = arrow_file.from_numpy(numbers)
    return arrow_file.write_arrow_file(file, columns, columns, metadata)


def _compute_id_stats(ids: Any) -> IdColumnStats:
    offsets, data = arrow_file.view_string_buffers(ids)
    if offsets is None or ids.null_count or not len(ids):
        return IdColumnStats(None, False)
    widths = np.diff(offsets)
    chunks = np.array_split(data, len(data) // SCAN_CHUNK_BYTES + 1)
    fixed_width = int(widths[0]) if (widths == widths[0]).all() else None
    ranges = [(int(chunk.min()), int(chunk.max())) for chunk in chunks if len(chunk)]
    byte_range = (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None
    return IdColumnStats(fixed_width, all(map(arrow_file.is_json_safe_bytes, chunks)), byte_range)


def _write_lookup_file(file: Path, id_columns: Sequence[EncodedIdColumn]) -> ByteRange:
    """Write the hash tables one after the other; the metadata has the range of each."""
    stops = np.cumsum([len(encoded.hash_table) for encoded in id_columns]).tolist()
    ranges = zip([0, *stops[:-1]], stops, strict=True)
    metadata = orjson.dumps(dict(zip([encoded.column.stored_name for encoded in id_columns], ranges, strict=True)))
    tables = [encoded.hash_table for encoded in id_columns]
    entries = np.concatenate(tables) if len(tables) > 1 else tables[0]
    return arrow_file.write_arrow_file(file, {"entry": arrow_file.from_numpy(entries)}, ["entry"], metadata)
