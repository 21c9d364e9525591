"""Write the attributes of an index as bitmaps, and its devices with their positions in them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience._fs.atomic import atomic_folder
from audience.errors import PlanError, Problem
from audience.index.changes.interchange.bitmap_folder import (
    BITMAP_FORMATS,
    BITMAP_SCHEMA,
    BITMAPS_FILES,
    DESCRIPTION_FILE,
    DEVICES_FILE,
    POSITION,
    SHARD,
    BitmapFolder,
    BitmapFormat,
    CarriedColumn,
    bitmap_frame,
    devices_schema,
    write_description,
)
from audience.index.changes.interchange.clickhouse_states import write_row
from audience.index.ingest.cast import format_type
from audience.index.ingest.decode import decode_rows, find_number_type, has_only_flags
from audience.index.query.exported_files import write_frames
from audience.index.records.policies import read_policies
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, polars_bridge
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.list_columns import as_lists
from audience.index.storage.row_renumbering import RowRenumbering
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.validation import join_some
from audience.progress import Progress

OWNED_FILES = frozenset({DESCRIPTION_FILE, DEVICES_FILE, *BITMAPS_FILES.values()})
PARTS = ("events", "segments", "policies")  # which no folder of bitmaps has


def export_bitmaps(
    snapshot: Snapshot, folder: Path, bitmap_format: str, without: Collection[str], progress: Progress
) -> BitmapFolder:
    """Write the devices and attributes of *snapshot* to a new folder, and return what it has.

    Args:
        snapshot: Snapshot of an index.
        folder: New folder.
        bitmap_format: `parquet` or `clickhouse`.
        without: Parts of the index that are left out.
        progress: Called with a step, the shards done and the shards in all.

    Raises:
        PlanError: The index has a part that is not carried and is not named in *without*; or there is no such format.
        OutputError: *folder* exists or cannot be written.
    """
    chosen = _read_format(bitmap_format)
    _require_carried(snapshot, without)
    columns = [_describe_column(column, snapshot.shards) for column in snapshot.manifest.columns]
    _require_free_names(columns)
    live = [bitmaps.bitmap_to_rows(shard.live_rows) for shard in snapshot.shards]
    content = BitmapFolder(chosen, snapshot.timezone, [len(rows) for rows in live], columns)
    with atomic_folder(folder, owned_patterns=OWNED_FILES) as draft:
        write_description(draft, content)
        shards = list(zip(snapshot.shards, live, strict=True))
        _write_devices(draft / DEVICES_FILE, shards, columns)
        frames = _iter_bitmaps(snapshot.shards, columns, progress)
        _write_bitmaps(draft / BITMAPS_FILES[chosen], chosen, frames)
    return content


def _read_format(name: str) -> BitmapFormat:
    for known in BITMAP_FORMATS:
        if known == name:
            return known
    message = f"unknown format of bitmaps {name!r:.40}"
    raise PlanError(Problem("bad-option", message, hint=f"use {' or '.join(BITMAP_FORMATS)}"))


def _require_carried(snapshot: Snapshot, without: Collection[str]) -> None:
    """Require that all parts of the index which are not carried are named in *without*."""
    for part in without:
        if part not in PARTS:
            raise PlanError(Problem("bad-option", f"unknown part {part!r:.40}", hint=f"use {', '.join(PARTS)}"))
    manifest = snapshot.manifest
    found = {
        "events": snapshot.events.names() or (["those that wait for a device"] if manifest.waiting_events else []),
        "segments": list(manifest.segments),
        "policies": list(read_policies(snapshot.storage)),
    }
    problems = [
        Problem("not-carried", f"bitmaps do not carry {part}: {join_some(names)}", hint=f"add --without {part}")
        for part, names in found.items()
        if names and part not in without
    ]
    if problems:
        raise PlanError(*problems)


def _describe_column(column: Column, shards: Sequence[Shard]) -> CarriedColumn:
    if column.is_id:
        is_list = any(shard.has_id_lists(column.id_column) for shard in shards)
        return CarriedColumn(name=column.name_in_table, role=column.role, attribute=column.name, is_list=is_list)
    stored = [shard.attributes[column.name] for shard in shards if column.name in shard.attributes]
    is_flag = column.role == "tags" and all(has_only_flags(shard, column) for shard in shards)
    return CarriedColumn(
        name=column.name_in_table,
        role=column.role,
        attribute=column.name,
        type="Boolean" if is_flag else _find_type(column, shards),
        is_list=not is_flag and any(not attribute.is_single_valued for attribute in stored),
        has_bitmaps=all(attribute.bit_slicing is None for attribute in stored),
        separator=column.separator,
        has_cut_moments=column.has_cut_moments,
    )


def _find_type(column: Column, shards: Sequence[Shard]) -> str:
    match column.role:
        case "number":
            return format_type(find_number_type(shards, column))
        case "date":
            return "Date"
        case "time":
            return "Datetime"
    return "String"


def _require_free_names(columns: Sequence[CarriedColumn]) -> None:
    taken = [column.name for column in columns if column.name in (SHARD, POSITION)]
    if taken:
        hint = "rename it in the table, and build the index again"
        raise PlanError(Problem("not-carried", f"the name of column {taken[0]!r} is that of a position", hint=hint))


def _write_devices(
    file: Path, shards: Sequence[tuple[Shard, NDArray[np.uint32]]], columns: Sequence[CarriedColumn]
) -> None:
    wanted = [column for column in columns if not column.has_bitmaps]
    schema = devices_schema(columns)
    frames = (_read_devices(number, shard, rows, wanted, schema) for number, (shard, rows) in enumerate(shards))
    write_frames(file, "parquet", pl.DataFrame(schema=schema), frames, replace=False, list_separator="")


def _read_devices(
    number: int, shard: Shard, rows: NDArray[np.uint32], columns: Sequence[CarriedColumn], schema: pl.Schema
) -> pl.DataFrame:
    """Return the ids and the values without bitmaps of the devices at *rows*, with their positions."""
    table = decode_rows(shard, rows, [column.column for column in columns], {})
    values = {column.name: _cast_to(schema[column.name], table[column.column]) for column in columns}
    positions = pl.Series(np.arange(len(rows), dtype=np.uint32))
    places = {SHARD: pl.Series([number], dtype=pl.UInt32).new_from_index(0, len(rows)), POSITION: positions}
    return pl.DataFrame({**places, **values}, schema=schema)


def _cast_to(dtype: pl.DataType, values: pl.Series) -> pl.Series:
    """Return *values* in the type of their column: moments with their zone, ids as lists if other shards have them."""
    if isinstance(dtype, pl.List) and not isinstance(values.dtype, pl.List):
        return as_lists(values)
    if isinstance(dtype, pl.Datetime) and isinstance(values.dtype, pl.Datetime):
        return values.dt.replace_time_zone("UTC")
    return values.cast(dtype)


def _iter_bitmaps(
    shards: Sequence[Shard], columns: Sequence[CarriedColumn], progress: Progress
) -> Iterator[pl.DataFrame]:
    """Yield the bitmaps of each attribute of each shard, without those of values that no device has."""
    carried = {column.attribute: column for column in columns if column.has_bitmaps}
    for number, shard in enumerate(shards):
        progress("writing bitmaps", number, len(shards))
        renumber = _make_renumbering(shard)
        table = polars_bridge.read_value_table(shard)
        for attribute in shard.attributes.values():
            if attribute.name in carried:
                own = table.slice(attribute.start, attribute.value_count)
                found = [renumber(shard.load_bitmap(row)) for row in range(attribute.start, attribute.stop)]
                yield _make_frame(number, own, found, carried[attribute.name])


def _make_renumbering(shard: Shard) -> Callable[[BitMap], BitMap]:
    """Return a function that returns the positions of the live rows of a bitmap."""
    return (lambda bitmap: bitmap) if shard.deleted is None else RowRenumbering(shard.deleted, shard.row_count).to_new


def _make_frame(number: int, values: pl.DataFrame, found: Sequence[BitMap], column: CarriedColumn) -> pl.DataFrame:
    frame = bitmap_frame(
        {
            "shard": [number] * len(found),
            "column": values["column"] if column.role == "tags" else [column.name] * len(found),
            "attribute": [column.attribute] * len(found),
            "value": values["value"],
            "devices": list(map(len, found)),
            "bitmap": [bitmaps.serialize_bitmap(bitmap.copy()) for bitmap in found],
        }
    )
    return frame.filter(pl.col("devices") > 0)


def _write_bitmaps(file: Path, bitmap_format: BitmapFormat, frames: Iterator[pl.DataFrame]) -> None:
    if bitmap_format == "parquet":
        write_frames(file, "parquet", pl.DataFrame(schema=BITMAP_SCHEMA), frames, replace=False, list_separator="")
        return
    with file.open("wb") as states:
        for frame in frames:
            for shard, column, attribute, value, _, bitmap in frame.iter_rows():
                states.write(write_row(shard, (column, attribute, value), bitmap))
