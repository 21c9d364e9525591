"""Rows with an id that a vendor accepts, mostly found from facts of a shard instead of each id."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import IdColumn
from audience.index.storage import bitmaps, polars_bridge
from audience.index.storage.bitmaps import BitMap, RowNumbers
from audience.index.storage.id_arrays import IDS_PER_SLICE, iter_slices
from audience.index.storage.shard import SPARSE_RATIO, Shard
from audience.vendors.spec import WHITESPACE, Vendor

IDS_PER_SCAN = 1 << 12  # ids of one width that are searched at once, while they are in the processor's cache


def select_deliverable_rows(shard: Shard, id_column: IdColumn, bitmap: BitMap, vendor: Vendor) -> BitMap:
    """Return the rows of *bitmap* whose id in the column *id_column* may be listed at *vendor*.

    The cheapest sufficient test is used:

    all ids are known to fit          facts of the column: present, short enough, without the range of suspect bytes
    no id has a suspect byte          one search of the whole column, if many of its rows are wanted
    this slice has no suspect byte    a search of the wanted ids, if all ids have one width
    this id is valid                  a check of each remaining id
    """
    suspect_bytes = bytes({char.encode()[0] for char in vendor.forbidden_id_chars + WHITESPACE})
    if not bitmap or _all_ids_fit(shard, id_column, bitmap, vendor, suspect_bytes):
        return bitmap
    rows = bitmaps.bitmap_to_rows(bitmap)
    id_matrix = shard.fixed_width_ids(id_column, rows) if _are_short_enough(shard, id_column, vendor) else None
    if id_matrix is None:
        suspect_slices = iter_slices(rows, IDS_PER_SLICE)
    else:
        suspect_slices = _iter_suspect_slices(id_matrix, rows, suspect_bytes)
    invalid_rows = [_invalid_rows(shard, id_column, chunk, vendor) for chunk in suspect_slices]
    invalid = bitmaps.rows_to_bitmap(np.concatenate([rows[:0], *invalid_rows]))
    return bitmap - invalid if invalid else bitmap


def _all_ids_fit(shard: Shard, id_column: IdColumn, bitmap: BitMap, vendor: Vendor, suspect_bytes: bytes) -> bool:
    """Return whether facts of the column, or one search of it, show that every id may be listed."""
    if not _are_short_enough(shard, id_column, vendor):
        return False
    has_fixed_width = shard.id_width(id_column) is not None
    if not vendor.forbidden_id_chars or shard.lacks_bytes(id_column, suspect_bytes):
        return has_fixed_width or shard.has_every_id(id_column)
    is_dense = len(bitmap) * SPARSE_RATIO > shard.row_count
    return has_fixed_width and is_dense and not shard.contains_any(id_column, suspect_bytes)


def _are_short_enough(shard: Shard, id_column: IdColumn, vendor: Vendor) -> bool:
    """Return whether the vendor has no limit of length, or all ids have one width within it."""
    if vendor.max_id_length is None:
        return True
    width = shard.id_width(id_column)
    return width is not None and width <= vendor.max_id_length


def _invalid_rows(shard: Shard, id_column: IdColumn, rows: RowNumbers, vendor: Vendor) -> RowNumbers:
    ids = polars_bridge.arrow_to_series(shard.take_ids(id_column, rows))
    invalid: RowNumbers = rows[mark_invalid_ids(ids, vendor).to_numpy()]
    return invalid


def _iter_suspect_slices(id_matrix: NDArray[np.void], rows: RowNumbers, suspect_bytes: bytes) -> Iterator[RowNumbers]:
    """Yield slices of *rows* with ids that contain any of the *suspect_bytes*.

    Searching a buffer for one byte takes a tenth of the time that copying the ids into it takes.
    """
    width = id_matrix.dtype.itemsize
    buffer = bytearray(IDS_PER_SCAN * width)
    taken = np.frombuffer(buffer, id_matrix.dtype)
    for chunk in iter_slices(rows, IDS_PER_SCAN):
        np.take(id_matrix, chunk, out=taken[: len(chunk)], mode="clip")
        if any(buffer.find(byte, 0, len(chunk) * width) >= 0 for byte in suspect_bytes):
            yield chunk


def mark_invalid_ids(ids: pl.Series, vendor: Vendor) -> pl.Series:
    """Return a mask of the ids that *vendor* rejects; `Vendor.id_problem` gives the reason of a single id."""
    is_invalid = ids.is_null()
    if vendor.max_id_length is not None:
        is_invalid |= (ids.str.len_chars() > vendor.max_id_length).fill_null(False)
    if vendor.forbidden_id_chars:
        is_invalid |= (ids != ids.str.strip_chars(WHITESPACE)).fill_null(False)
    for char in vendor.forbidden_id_chars:
        is_invalid |= ids.str.contains(char, literal=True).fill_null(False)
    return is_invalid
