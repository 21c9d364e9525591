"""A shard is written: its bitmaps are made while its ids are, and all of it is there or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from audience._fs.atomic import commit_file, temp_path
from audience._fs.checksums import hash128
from audience.index.schema.columns import Role
from audience.index.storage import arrow_file, bitmaps
from audience.index.storage.arrow_file import ByteRange
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.id_column import IdColumn
from audience.index.storage.layout import (
    CHECKSUMS,
    DATA_FILES,
    IDS,
    LOOKUP,
    TAGS,
    VALUE_COLUMNS,
    BitSlicing,
    IdColumnStats,
    ShardFiles,
    StoredAttribute,
)
from audience.index.storage.polars_bridge import series_to_arrow
from audience.index.storage.verified_file import hash_file_blocks

VALUE_SCHEMA = pl.Schema(zip(VALUE_COLUMNS, (pl.String, pl.String, pl.String, pl.UInt32), strict=True))


@dataclass(frozen=True, slots=True)
class EncodedAttribute:
    """An attribute to be written: its values in their order as text, the column of each, and its bitmaps.

    There is one bitmap a value, or with *digits* one for the devices that have any and one a binary digit.
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


@dataclass(frozen=True, slots=True)
class PendingShard:
    """The files of a shard under the names that they have until they are synced, each with the one it will have."""

    files: ShardFiles
    final_paths: Mapping[Path, Path]

    def commit(self) -> ShardFiles:
        """Sync all files and give them their names."""
        for draft, path in self.final_paths.items():
            commit_file(draft, path)
        return self.files


def write_shard_files(
    folder: Path,
    shard_name: str,
    row_count: int,
    encoded_attributes: Iterable[EncodedAttribute],
    id_columns: Iterable[IdColumn],
) -> PendingShard:
    """Write a shard of *rows* devices to *folder*; its bitmaps are made and written beside its ids."""
    final = {kind: folder / f"{shard_name}.{kind}.arrow" for kind in (*DATA_FILES, CHECKSUMS)}
    paths = {kind: temp_path(path) for kind, path in final.items()}
    with ThreadPoolExecutor(1) as beside:
        written = beside.submit(_write_tags_file, paths[TAGS], encoded_attributes)
        columns = list(id_columns)
        bodies = {IDS: _write_ids_file(paths[IDS], columns), LOOKUP: _write_lookup_file(paths[LOOKUP], columns)}
        bodies[TAGS] = written.result()
    found = {kind: hash_file_blocks(paths[kind]) for kind in DATA_FILES}
    files = np.repeat(np.arange(len(DATA_FILES), dtype=np.uint8), [len(found[kind]) for kind in DATA_FILES])
    sums = {"file": arrow_file.from_numpy(files), "xxh3": arrow_file.from_numpy(np.concatenate(list(found.values())))}
    arrow_file.write_arrow_file(paths[CHECKSUMS], sums, ())
    sizes, summed = {kind: path.stat().st_size for kind, path in paths.items()}, hash128(paths[CHECKSUMS].read_bytes())
    return PendingShard(
        ShardFiles(shard_name, row_count, sizes, bodies, summed), {paths[kind]: path for kind, path in final.items()}
    )


def _write_tags_file(file: Path, encoded_attributes: Iterable[EncodedAttribute]) -> ByteRange:
    attributes: list[StoredAttribute] = []
    names: list[str] = []
    shown = [pl.DataFrame(schema=VALUE_SCHEMA)]
    stored: list[bytes | None] = []
    for plane in encoded_attributes:
        start = len(stored)
        written = len(plane.values) if plane.bit_slicing else 0  # these values have no bitmaps of their own
        stored += [None] * written
        stored += map(bitmaps.serialize_bitmap, plane.bitmaps)
        shown.append(_build_value_rows(plane, written))
        names += [plane.name] * (len(stored) - start)
        described = (
            plane.name,
            plane.role,
            start,
            len(stored),
            plane.distinct_count,
            plane.is_single_valued,
            plane.dtype,
        )
        attributes.append(StoredAttribute(*described, bit_slicing=plane.bit_slicing))
    table = pl.concat(shown).with_columns(attribute=pl.Series(names, dtype=pl.String))
    columns = {name: series_to_arrow(table[name]) for name in VALUE_COLUMNS}
    facts = orjson.dumps([asdict(attribute) for attribute in attributes])
    return arrow_file.write_arrow_file(file, {**columns, "bitmap": arrow_file.from_bytes(stored)}, ["bitmap"], facts)


def _build_value_rows(encoded_attribute: EncodedAttribute, values_without_bitmap: int) -> pl.DataFrame:
    """What stands beside the bitmaps of *plane*, of whose values *written* have none."""
    values = encoded_attribute.values
    if encoded_attribute.bit_slicing:
        digits = ["any value", *(f"digit {digit}" for digit in range(encoded_attribute.bit_slicing.bit_depth))]
        values = pl.concat([values, pl.Series(values.name, digits)])
    columns = encoded_attribute.source_columns or [""] * len(values)
    devices = [None] * values_without_bitmap + [len(bitmap) for bitmap in encoded_attribute.bitmaps]
    return pl.DataFrame([[encoded_attribute.name] * len(values), values, columns, devices], schema=VALUE_SCHEMA)


def _write_ids_file(file: Path, id_columns: Sequence[IdColumn]) -> ByteRange:
    columns = {column.name: column.array for column in id_columns}
    facts = orjson.dumps({name: asdict(_compute_id_stats(texts)) for name, texts in columns.items()})
    return arrow_file.write_arrow_file(file, columns, columns, facts)


def _compute_id_stats(ids: Any) -> IdColumnStats:
    """What is true of all of *ids*."""
    places, data = arrow_file.view_string_buffers(ids)
    if places is None or ids.null_count or not len(ids):
        return IdColumnStats(None, False)
    widths = np.diff(places)
    plain = all(map(arrow_file.is_json_safe_bytes, np.array_split(data, len(data) // SCAN_CHUNK_BYTES + 1)))
    return IdColumnStats(int(widths[0]) if (widths == widths[0]).all() else None, plain)


SCAN_CHUNK_BYTES = 1 << 18  # bytes that are looked at while they are near


def _write_lookup_file(file: Path, id_columns: Sequence[IdColumn]) -> ByteRange:
    """One table of entries behind the other; where each begins and ends stands in the facts."""
    stops = np.cumsum([len(column.hash_table) for column in id_columns]).tolist()
    starts = [0, *stops[:-1]]
    facts = {column.name: place for column, place in zip(id_columns, zip(starts, stops, strict=True), strict=True)}
    entries = (
        np.concatenate([column.hash_table for column in id_columns])
        if len(id_columns) > 1
        else id_columns[0].hash_table
    )
    return arrow_file.write_arrow_file(file, {"entry": arrow_file.from_numpy(entries)}, ["entry"], orjson.dumps(facts))
