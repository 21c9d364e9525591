"""Ids of some rows of a shard as Arrow arrays and as series."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import polars as pl

from audience.index.schema.columns import IdColumn
from audience.index.storage import arrow_file
from audience.index.storage.arrow_file import ArrowArray
from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows
from audience.index.storage.croaring import Words
from audience.index.storage.forked_process import reject_polars_after_fork
from audience.index.storage.joined_shard import PartRows, SplitRows
from audience.index.storage.packed_words import fill_words, word_count
from audience.index.storage.polars_bridge import arrow_to_series, read_ids, read_ids_at
from audience.index.storage.shard import SPARSE_RATIO, Shard

SliceT = TypeVar("SliceT", list[str], RowNumbers)

MASK_RATIO = 8  # if one row in so many is wanted, filtering by a mask is faster than gathering
SMALL_PART = 1 << 20  # rows
IDS_PER_SLICE = 1 << 16  # ids of several widths that are taken at once


def iter_slices(values: SliceT, size: int) -> Iterator[SliceT]:
    """Yield slices of at most *size* values."""
    return (values[start : start + size] for start in range(0, len(values), size))


def take_series(shard: Shard, column: IdColumn, rows: BitMap) -> pl.Series:
    """Return the ids of some *rows*, at least one. Consecutive rows are not copied."""
    reject_polars_after_fork()
    count, first, stop = len(rows), rows.min(), rows.max() + 1
    is_loaded = column.stored_name in shard.polars_columns
    if not is_loaded and count * SPARSE_RATIO <= shard.row_count:
        return read_ids_at(shard, column, bitmap_to_rows(rows))
    ids = read_ids(shard, column)
    if stop - first == count:
        return ids.slice(first, count)
    if stop - first > count * MASK_RATIO:
        return ids.gather(pl.Series(bitmap_to_rows(rows)))
    words = np.empty(word_count(stop), dtype="<u8")
    fill_words(rows, words)
    return ids.slice(first, stop - first).filter(arrow_to_series(arrow_file.from_bits(words, first, stop)))


def take_split_series(split: SplitRows, column: IdColumn) -> list[pl.Series]:
    """Return the ids of rows of each shard that has any.

    Many of them are taken from a column whose gaps are closed up as those of the rows are: to open them takes longer.
    """
    reject_polars_after_fork()
    words: dict[str, Words] = {}  # by name of the evaluated shard
    parts = []
    for part in split.parts:
        count = part.rows.range_cardinality(part.start, part.stop)
        if count * _choose_ratio(part) < part.stop - part.start:
            parts += [take_series(part.shard, column, part.cut())] if count else []
        elif count:
            if part.evaluated.name not in words:
                words[part.evaluated.name] = np.empty(word_count(part.evaluated.row_count), dtype="<u8")
                fill_words(part.rows, words[part.evaluated.name])
            parts.append(_take_masked(part, column, words[part.evaluated.name], count))
    return parts


def _choose_ratio(part: PartRows) -> int:
    """Return one in how many rows is wanted at least if a mask is faster, for which rows are not cut and opened."""
    is_small = part.stop - part.start <= SMALL_PART
    return 2 * MASK_RATIO if part.renumbering is not None or is_small else MASK_RATIO


def _take_masked(part: PartRows, column: IdColumn, words: Words, count: int) -> pl.Series:
    ids = _read_renumbered_ids(part, column)
    if count == part.stop - part.start:
        return ids
    return ids.filter(arrow_to_series(arrow_file.from_bits(words, part.start, part.stop)))


def _read_renumbered_ids(part: PartRows, column: IdColumn) -> pl.Series:
    """Return a column as the rows of *part* are numbered; one without gaps is kept as long as the rows left out are."""
    renumbering, name = part.renumbering, column.stored_name
    if renumbering is None:
        return read_ids(part.shard, column)
    if name not in renumbering.columns:
        live = arrow_to_series(arrow_file.from_bits(renumbering.live_words, 0, part.shard.row_count))
        renumbering.columns[name] = read_ids(part.shard, column).filter(live)
        part.shard.polars_columns.pop(name, None)  # it takes as much memory
    ids: pl.Series = renumbering.columns[name]
    return ids


def take_array(shard: Shard, column: IdColumn, rows: BitMap) -> ArrowArray:
    """Return the ids of some *rows*, at least one, as strings or as lists of them. Consecutive rows are not copied."""
    count, first, stop = len(rows), rows.min(), rows.max() + 1
    if column not in shard.id_columns:
        return arrow_file.null_strings(count)
    row_numbers = bitmap_to_rows(rows)
    matrix = shard.fixed_width_ids(column, row_numbers)
    if matrix is not None:
        if stop - first == count:
            return arrow_file.from_fixed_width(matrix[first:stop])
        return arrow_file.from_fixed_width(np.take(matrix, row_numbers, mode="clip"))  # other modes are slower
    if not shard.has_id_lists(column) and count * SPARSE_RATIO <= shard.row_count:
        return shard.take_ids(column, row_numbers)
    ids: ArrowArray = shard.read_id_column(column)
    return ids.slice(first, count) if stop - first == count else arrow_file.take_rows(ids, row_numbers)
