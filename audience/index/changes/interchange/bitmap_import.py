"""Build an index from a folder of bitmaps, which any program may have written: nothing in it is trusted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.errors import OutputError, Problem, TableError
from audience.index.changes.interchange.bitmap_folder import (
    BITMAP_SCHEMA,
    BITMAPS_FILES,
    DEVICES_FILE,
    POSITION,
    SHARD,
    BitmapFolder,
    CarriedColumn,
    bad_bitmaps,
    column_dtype,
    devices_schema,
    read_description,
    unreadable_bitmaps,
    values_dtype,
)
from audience.index.changes.interchange.clickhouse_states import StateRow, iter_rows
from audience.index.changes.interchange.portable_roaring import RoaringError, count_containers, read_portable
from audience.index.ingest.build import build_index
from audience.index.ingest.cast import parse_stored
from audience.index.ingest.decode import place_values
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.sources import READ_ERRORS
from audience.index.schema.column_roles import ColumnRoles
from audience.progress import Progress
from audience.vendors import VendorNames

Positions = NDArray[np.uint32]
ROW_SCHEMA = pl.Schema(BITMAP_SCHEMA | {"shard": pl.Int64(), "devices": pl.Int64()})


def import_bitmaps(folder: Path, path: Path, progress: Progress) -> None:
    """Build the index *path* from a folder of bitmaps; on an error, nothing is left there.

    Args:
        folder: Folder of bitmaps.
        path: Folder of the new index.
        progress: Called with a step, what is done and all.

    Raises:
        TableError: A file is missing or damaged, a bitmap has positions of no device, or a value is there twice; or the
            devices are not those of an index.
        OutputError: *path* exists or cannot be written.
    """
    _require_new(path)
    content = read_description(folder)
    devices = _read_devices(folder / DEVICES_FILE, content)
    rows = _group_rows(_iter_bitmaps(folder, content), content)
    with TemporaryDirectory(prefix="audience-bitmaps-") as spool:
        for number, count in enumerate(content.devices):
            progress("reading bitmaps", number, len(content.devices))
            own = devices.filter(pl.col(SHARD) == number).sort(POSITION)
            _require_positions(own[POSITION], number, count)
            frame = _build_table(own, rows.pop(number, {}), count, content.columns)
            frame.write_parquet(Path(spool) / f"{number:05}.parquet")
        if not content.devices:
            _build_table(devices, {}, 0, content.columns).write_parquet(Path(spool) / "00000.parquet")
        roles = ColumnRoles(tokens={}, existing=tuple(column.column for column in content.columns))
        options = ReadOptions(timezone=content.timezone)
        build_index(spool, path, roles, VendorNames(), options=options, replace=False, progress=progress)


def _require_new(path: Path) -> None:
    """Raise OutputError if *path* has something: unlike a build, an import has nothing to keep of an older index."""
    if path.is_dir() and any(path.iterdir()):
        message = f"{path} already exists"
        raise OutputError(Problem("exists", message, hint="import into a new folder, or delete this one first"))


def _read_devices(file: Path, content: BitmapFolder) -> pl.DataFrame:
    """Return the file of devices, in the types of the description."""
    schema = dict(devices_schema(content.columns))
    try:
        devices = pl.read_parquet(file, glob=False)
        missing = [name for name in schema if name not in devices.columns]
        if missing:
            raise bad_bitmaps(f"{file} has no column {missing[0]!r}")
        found = devices.select(list(schema)).cast(schema)  # type: ignore[arg-type]
    except READ_ERRORS as error:
        raise unreadable_bitmaps(file, error) from None
    if found[SHARD].null_count() or not found[SHARD].is_between(0, len(content.devices), closed="left").all():
        raise bad_bitmaps(f"{file} has devices of shards that the description does not have")
    return found


def _require_positions(positions: pl.Series, number: int, count: int) -> None:
    if len(positions) != count or not np.array_equal(positions.to_numpy(), np.arange(count)):
        message = f"{DEVICES_FILE}: the devices of shard {number} do not have the positions from 0 to {count - 1:,}"
        raise bad_bitmaps(message, hint="give each device of a shard one position")


def _iter_bitmaps(folder: Path, content: BitmapFolder) -> Iterator[StateRow]:
    """Yield all bitmaps of *folder*."""
    file = folder / BITMAPS_FILES[content.bitmaps]
    try:
        rows = iter_rows(file, content.devices) if content.bitmaps == "clickhouse" else _iter_parquet(file, content)
        yield from rows
    except RoaringError as error:
        raise bad_bitmaps(f"{file}: {error}") from None
    except READ_ERRORS as error:
        raise unreadable_bitmaps(file, error) from None


def _iter_parquet(file: Path, content: BitmapFolder) -> Iterator[StateRow]:
    frame = pl.read_parquet(file, glob=False)
    missing = [name for name in ("shard", "attribute", "value", "bitmap") if name not in frame.columns]
    if missing:
        raise bad_bitmaps(f"{file} has no column {missing[0]!r}")
    extra = [pl.lit(None).alias(name) for name in ("column", "devices") if name not in frame.columns]
    rows = frame.with_columns(extra).select(list(BITMAP_SCHEMA)).cast(ROW_SCHEMA)
    for shard, column, attribute, value, devices, bitmap in rows.iter_rows():
        place = f"the bitmap of {attribute}:{value!r:.60} in shard {shard}"
        if None in (shard, attribute, value, bitmap):
            raise RoaringError(f"{place}: something is missing")
        if not 0 <= shard < len(content.devices):
            raise RoaringError(f"{place}: the description has no such shard")
        try:
            positions = read_portable(bitmap, count_containers(content.devices[shard]))
        except RoaringError as error:
            raise RoaringError(f"{place}: {error}") from None
        if devices is not None and devices != len(positions):
            raise RoaringError(f"{place} has {len(positions):,} devices, and says {devices:,}")
        yield StateRow(shard, column or "", attribute, value, positions)


def _group_rows(rows: Iterable[StateRow], content: BitmapFolder) -> dict[int, dict[str, dict[str, Positions]]]:
    """Return the positions by shard, column and value; check that each is there once, and has devices of the shard."""
    columns = [column for column in content.columns if column.has_bitmaps]
    grouped: dict[int, dict[str, dict[str, Positions]]] = {}
    for row in rows:
        place = f"the bitmap of {row.attribute}:{row.value!r:.60} in shard {row.shard}"
        if len(row.positions) and int(row.positions[-1]) >= content.devices[row.shard]:
            count = content.devices[row.shard]
            raise bad_bitmaps(f"{place} has position {int(row.positions[-1]):,}; the shard has {count:,} devices")
        own = grouped.setdefault(row.shard, {}).setdefault(_find_column(row, columns).name, {})
        if row.value in own or not row.value:
            raise bad_bitmaps(f"{place} is there twice" if row.value else f"{place} has no value")
        own[row.value] = row.positions
    return grouped


def _find_column(row: StateRow, columns: Sequence[CarriedColumn]) -> CarriedColumn:
    """Return the column of a bitmap; rows of other programs may name the attribute alone."""
    found = [column for column in columns if column.attribute == row.attribute and row.column in ("", column.name)]
    if len(found) != 1:
        named = f"{row.column!r} of {row.attribute!r}" if row.column else f"{row.attribute!r}"
        raise bad_bitmaps(f"bitmaps of {named:.100}: the description has {len(found)} such columns")
    return found[0]


def _build_table(
    devices: pl.DataFrame, rows: Mapping[str, Mapping[str, Positions]], count: int, columns: Sequence[CarriedColumn]
) -> pl.DataFrame:
    """Return the devices of a shard as rows of a table, from which the index is built."""
    return pl.DataFrame(
        {
            column.name: _restore_moments(
                _place(rows.get(column.name, {}), count, column) if column.has_bitmaps else devices[column.name], column
            )
            for column in columns
        }
    )


def _place(bitmaps_of_values: Mapping[str, Positions], count: int, column: CarriedColumn) -> pl.Series:
    """Return the values of a column by the positions of the devices that have them."""
    positions = [each.astype(np.int64) for each in bitmaps_of_values.values()]
    texts = list(bitmaps_of_values)
    if column.type == "Boolean":
        return _place_flag(texts, positions, count, column)
    if not column.is_list and sum(map(len, positions)) > len(np.unique(np.concatenate([[], *positions]))):
        raise bad_bitmaps(f"a device has two values of {column.name!r}", hint='say "is_list": true in the description')
    values = _parse_values(texts, column)
    placed = place_values(values, positions, count, not column.is_list)
    return (
        placed.dt.replace_time_zone("UTC") if placed.dtype == pl.Datetime("us") else placed.cast(values_dtype(column))
    )


def _place_flag(
    texts: Sequence[str], positions: Sequence[NDArray[np.int64]], count: int, column: CarriedColumn
) -> pl.Series:
    if any(text != column.name for text in texts):
        raise bad_bitmaps(f"column {column.name!r} of flags has another tag than its name")
    is_set = np.zeros(count, dtype=np.bool_)
    for own in positions:
        is_set[own] = True
    return pl.Series(is_set)


def _parse_values(texts: Sequence[str], column: CarriedColumn) -> pl.Series:
    """Return *texts* in the type of *column*; raise TableError if one is no such value, or equal to another one."""
    strings = pl.Series(texts, dtype=pl.String)
    try:
        values = parse_stored(strings, column.type).cast(column_dtype(column))
    except pl.exceptions.PolarsError:
        raise _bad_value(texts, column) from None
    is_exact = [_is_exact(text, value) for text, value in zip(texts, values.to_list(), strict=True)]
    if not all(is_exact):
        raise _bad_value([text for text, exact in zip(texts, is_exact, strict=True) if not exact], column)
    if values.n_unique() < len(values):
        raise bad_bitmaps(f"two bitmaps of column {column.name!r} have equal values")
    return values


def _is_exact(text: str, value: object) -> bool:
    """Return whether *value* is what *text* says, and not a number that was rounded, or none."""
    if isinstance(value, Decimal):
        return value == Decimal(text)
    return value is not None and not (isinstance(value, float) and not np.isfinite(value))


def _bad_value(texts: Sequence[str], column: CarriedColumn) -> TableError:
    shown = ", ".join(f"{text!r:.40}" for text in texts[:3])
    return bad_bitmaps(f"column {column.name!r} of {column.type}s has the values {shown}")


def _restore_moments(values: pl.Series, column: CarriedColumn) -> pl.Series:
    """Return days that were cut from moments as moments, so that the new index cuts them, and notes it, again."""
    if not column.has_cut_moments:
        return values
    moments = pl.Datetime("us")
    return values.cast(pl.List(moments) if column.is_list else moments)
