"""Encoding of the columns of a shard as sorted ids and bitmaps.

A row and the code of its value are packed into one integer; sorting these groups the rows of each value in ascending
order. No faster way to many bitmaps was found. A column that lies in few runs is encoded from its runs.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest import cast
from audience.index.ingest.dictionary import DictionaryColumn, ScaledInts, as_scaled_ints, encode_dictionary
from audience.index.ingest.row_order import RowOrder, choose_row_order
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.id_column import IdColumn, reorder_ids
from audience.index.storage.id_lookup import sorted_unique
from audience.index.storage.layout import BitSlicing
from audience.index.storage.shard_writer import EncodedAttribute
from audience.language.attribute_names import UNTYPED

DeviceTable: TypeAlias = dict[Column, pl.Series]

MAX_BITMAPS_PER_ATTRIBUTE = 4_096  # an attribute with more values is kept as binary digits
MIN_ROWS_PER_RUN = 256  # where a column has fewer runs than one in so many rows, they are used


@dataclass(frozen=True, slots=True)
class EncodedShard:
    """Ids in row order and bitmaps of a shard; both are computed while they are iterated."""

    row_count: int
    id_columns: Iterator[IdColumn]
    attributes: Iterator[EncodedAttribute]


def encode_shard(table: DeviceTable) -> EncodedShard:
    """Return the encoding of *table*."""
    rows = len(next(iter(table.values())))
    says = {column: values for column, values in table.items() if not column.is_id}
    numbers = {column: _try_scaled_ints(values) for column, values in says.items()}
    wholes = {column: found for column, found in numbers.items() if _has_too_many_values(found)}
    with ThreadPoolExecutor(2) as several:
        coded = {
            c: several.submit(_encode_column, values, c, numbers[c])
            for c, values in _sort_lists_first(says)
            if c not in wholes
        }
        codes = {column: coded[column].result() for column in says if column in coded}
    single = {column: found for column, found in codes.items() if not _is_list(table[column])}
    order = choose_row_order(rows, single)
    return EncodedShard(rows, _iter_id_columns(table, order), _iter_attributes(says, wholes, codes, order))


def _iter_id_columns(table: DeviceTable, row_order: RowOrder[Column]) -> Iterator[IdColumn]:
    for column, values in table.items():
        if column.is_id:
            yield reorder_ids(f"{column.role}:{column.name}", values, row_order.old_of_new, row_order.new_of_old)


def _sort_lists_first(table: DeviceTable) -> list[tuple[Column, pl.Series]]:
    return sorted(table.items(), key=lambda item: not _is_list(item[1]))


def _is_list(values: pl.Series) -> bool:
    return isinstance(values.dtype, pl.List)


def _try_scaled_ints(values: pl.Series) -> ScaledInts | None:
    return None if _is_list(values) else as_scaled_ints(values)


def _has_too_many_values(scaled_ints: ScaledInts | None) -> bool:
    """Return whether the numbers are too many for a bitmap each."""
    if scaled_ints is None:
        return False
    present = scaled_ints.numbers[~scaled_ints.missing] if scaled_ints.missing.any() else scaled_ints.numbers
    if len(present) <= MAX_BITMAPS_PER_ATTRIBUTE or int(present.max()) - int(present.min()) < MAX_BITMAPS_PER_ATTRIBUTE:
        return False
    return len(sorted_unique(present)) > MAX_BITMAPS_PER_ATTRIBUTE


def _encode_column(values: pl.Series, column: Column, scaled_ints: ScaledInts | None) -> DictionaryColumn:
    return encode_dictionary(_flatten_lists(values) if _is_list(values) else values, column.role, scaled_ints)


def _flatten_lists(values: pl.Series) -> pl.Series:
    """Return the elements of all lists in order."""
    return values.explode(empty_as_null=False, keep_nulls=False)


def _iter_attributes(
    table: DeviceTable,
    scaled_ints: Mapping[Column, ScaledInts | None],
    dictionaries: Mapping[Column, DictionaryColumn],
    row_order: RowOrder[Column],
) -> Iterator[EncodedAttribute]:
    """Yield the bitmaps of each attribute in turn; all columns of plain tags are one attribute."""
    tags = [column for column in dictionaries if column.role == "tags"]
    if tags:
        yield _merge_tag_columns(
            {column: _group_rows_by_value(table[column], dictionaries[column], column, row_order) for column in tags},
            dictionaries,
        )
    for column, values in table.items():
        found = scaled_ints.get(column)
        if found is not None:
            yield _bit_slice_numbers(found, values, column, row_order)
        elif (
            column.role != "tags"
            and len(dictionaries[column].values) > MAX_BITMAPS_PER_ATTRIBUTE
            and not _is_list(values)
        ):
            yield _bit_slice_ranks(dictionaries[column], column, row_order)
        elif column.role != "tags":
            yield _encode_bitmap_per_value(values, dictionaries[column], column, row_order)


def _merge_tag_columns(
    bitmaps: Mapping[Column, list[BitMap]], dictionaries: Mapping[Column, DictionaryColumn]
) -> EncodedAttribute:
    """Return the plain tags of all columns as one attribute, with a bitmap for each tag."""
    found = [
        (value, column.name_in_table, bitmap)
        for column, some in bitmaps.items()
        for value, bitmap in zip(dictionaries[column].values.to_list(), some, strict=True)
    ]
    found.sort(key=itemgetter(0))
    texts = pl.Series([value for value, _, _ in found], dtype=pl.String)
    sources, some = [source for _, source, _ in found], [bitmap for _, _, bitmap in found]
    return EncodedAttribute(UNTYPED, "tags", texts, sources, some, len(found), False, "String")


def _encode_bitmap_per_value(
    values: pl.Series, dictionary: DictionaryColumn, column: Column, row_order: RowOrder[Column]
) -> EncodedAttribute:
    """Encode an attribute as one bitmap a value."""
    bitmaps = _group_rows_by_value(values, dictionary, column, row_order)
    type_ = cast.format_type(dictionary.values.dtype)
    texts = cast.format_values(dictionary.values)
    return EncodedAttribute(column.name, column.role, texts, (), bitmaps, len(texts), not _is_list(values), type_)


def _bit_slice_numbers(
    scaled_ints: ScaledInts, values: pl.Series, column: Column, row_order: RowOrder[Column]
) -> EncodedAttribute:
    """Encode numbers as one bitmap for each binary digit."""
    present = sorted_unique(scaled_ints.numbers[~scaled_ints.missing])
    base, last = int(present[0]), int(present[-1])
    gaps = present[1:].view(np.uint64) - present[:-1].view(np.uint64)  # cannot overflow
    step = int(np.gcd.reduce(gaps))
    digits = BitSlicing(((last - base) // step).bit_length(), base, step, scaled_ints.scale)
    places: NDArray[np.uint64] = (scaled_ints.numbers.view(np.uint64) - np.uint64(base % (1 << 64))) // np.uint64(step)
    bitmaps = list(
        _iter_bit_slices(places[row_order.old_of_new], ~scaled_ints.missing[row_order.old_of_new], digits.bit_depth)
    )
    empty, type_ = pl.Series([], dtype=pl.String), cast.format_type(values.dtype)
    return EncodedAttribute(column.name, column.role, empty, (), bitmaps, len(present), True, type_, digits)


def _bit_slice_ranks(dictionary: DictionaryColumn, column: Column, row_order: RowOrder[Column]) -> EncodedAttribute:
    """Encode the ranks of values as one bitmap for each binary digit."""
    codes = dictionary.codes[row_order.old_of_new]
    digits = BitSlicing((len(dictionary.values) - 1).bit_length())
    bitmaps = list(_iter_bit_slices(np.maximum(codes, 1) - np.uint32(1), codes > 0, digits.bit_depth))
    texts, type_ = cast.format_values(dictionary.values), cast.format_type(dictionary.values.dtype)
    return EncodedAttribute(column.name, column.role, texts, (), bitmaps, len(texts), True, type_, digits)


def _iter_bit_slices(numbers: NDArray[Any], present: NDArray[np.bool_], bit_depth: int) -> Iterator[BitMap]:
    """Yield the rows that have a value, then for each binary digit, lowest first, the rows with that digit set."""
    yield bitmaps.rows_to_bitmap(np.flatnonzero(present).astype(np.uint32))
    for digit in range(bit_depth):
        set_ = (numbers >> numbers.dtype.type(digit) & numbers.dtype.type(1)).astype(np.bool_)
        yield bitmaps.rows_to_bitmap(np.flatnonzero(set_ & present).astype(np.uint32))


def _group_rows_by_value(
    values: pl.Series, dictionary: DictionaryColumn, column: Column, row_order: RowOrder[Column]
) -> list[BitMap]:
    """Return the bitmap of the rows of each value."""
    if _is_list(values):
        rows = np.repeat(row_order.new_of_old, values.list.len().fill_null(0).to_numpy())
        return _build_bitmaps_by_sorting(dictionary.codes, rows, len(dictionary.values), len(values))
    codes = (
        row_order.sorted_codes[column] if column in row_order.sorted_codes else dictionary.codes[row_order.old_of_new]
    )
    starts = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    if len(starts) * MIN_ROWS_PER_RUN < len(codes):
        return _build_bitmaps_from_runs(codes, np.concatenate([[0], starts, [len(codes)]]), len(dictionary.values))
    rows = np.arange(len(codes), dtype=np.uint32)
    return _build_bitmaps_by_sorting(codes, rows, len(dictionary.values), len(codes))


def _build_bitmaps_from_runs(
    codes: NDArray[np.uint32], run_bounds: NDArray[np.int64], value_count: int
) -> list[BitMap]:
    """Build the bitmaps of the values from runs of equal codes, which start and end at *run_bounds*."""
    bitmaps = [BitMap() for _ in range(value_count)]
    for start, stop in zip(run_bounds[:-1].tolist(), run_bounds[1:].tolist(), strict=True):
        if stop > start and (code := int(codes[start])):
            bitmaps[code - 1].add_range(start, stop)
    return bitmaps


def _build_bitmaps_by_sorting(
    codes: NDArray[np.uint32], rows: NDArray[np.uint32], value_count: int, row_count: int
) -> list[BitMap]:
    """Build the bitmaps of the values from the codes and the row of each code."""
    row_bits = max(row_count - 1, 1).bit_length()
    packed: NDArray[Any] = codes.astype(np.uint32 if value_count.bit_length() + row_bits <= 32 else np.uint64)
    packed <<= packed.dtype.type(row_bits)
    packed |= rows
    packed.sort()
    first: NDArray[Any] = np.arange(1, value_count + 1, dtype=packed.dtype)
    starts = np.searchsorted(packed, first << packed.dtype.type(row_bits)).tolist()
    packed &= packed.dtype.type((1 << row_bits) - 1)
    found = packed.astype(np.uint32, copy=False)
    return [
        bitmaps.rows_to_bitmap(found[start:stop])
        for start, stop in zip(starts, [*starts[1:], len(found)], strict=False)
    ]
