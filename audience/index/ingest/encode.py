"""Encoding of the columns of a shard as sorted ids and bitmaps.

The rows of each value are grouped by its code. Where values are too many to be counted, a row and the code of its value
are packed into one integer; sorting these groups the rows in ascending order. A column that lies in few runs is encoded
from its runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest.cast import format_type, format_values
from audience.index.ingest.dictionary import (
    DictionaryColumn,
    ScaledInts,
    as_scaled_ints,
    encode_dictionary,
    encode_flags,
)
from audience.index.ingest.row_order import RowOrder, choose_row_order
from audience.index.ingest.tag_order import TagColumn
from audience.index.schema.columns import Column
from audience.index.storage import listed_ranks
from audience.index.storage.bitmaps import BitMap, rows_to_bitmap
from audience.index.storage.device_numbers import DeviceNumbers, reorder_numbers
from audience.index.storage.id_column import EncodedIdColumn, reorder_ids
from audience.index.storage.layout import BitSlicing
from audience.index.storage.list_columns import flatten_lists, is_list
from audience.index.storage.number_sorting import sort_numbers, sorted_unique
from audience.index.storage.packed_words import mask_to_bitmap
from audience.index.storage.shard_writer import EncodedAttribute
from audience.language.attribute_names import UNTYPED

DeviceTable: TypeAlias = dict[Column, pl.Series]  # a Boolean column has the tag of its name where it is true

MAX_BITMAPS_PER_ATTRIBUTE = 4_096  # an attribute with more values is bit-sliced
MIN_GROUPED_CODES = 1 << 12  # fewer are sorted, in less time than it takes to divide them
MAX_GROUPED_VALUES = 1 << 16  # of which the code of each, and 0 for null, has 16 bits
BLOCK_CODES, MIN_CODES_PER_VALUE = 1 << 18, 64  # that are grouped at a time, and more where values are many
MIN_MARKED, MARKED_RATIO = 1 << 10, 64  # rows of a value, one in so many, are marked among all, and not sorted
MIN_ROWS_PER_RUN = 256  # a column whose runs are longer on average is encoded from its runs


@dataclass(frozen=True, slots=True)
class EncodedShard:
    """Ids and numbers of devices in row order, and bitmaps of a shard; ids and bitmaps are computed while iterated."""

    row_count: int
    numbers: DeviceNumbers
    id_columns: Iterator[EncodedIdColumn]
    attributes: Iterator[EncodedAttribute]


def count_rows(table: DeviceTable) -> int:
    """Return the number of devices of *table*."""
    return len(next(iter(table.values())))


def encode_shard(table: DeviceTable, numbers: DeviceNumbers) -> EncodedShard:
    """Return the encoding of *table*; *numbers* are those of its devices."""
    row_count = count_rows(table)
    attributes = {column: values for column, values in table.items() if not column.is_id}
    scaled_ints = {column: _try_scaled_ints(values) for column, values in attributes.items()}
    bit_sliced = {
        column: ints for column, ints in scaled_ints.items() if ints is not None and _has_too_many_values(ints)
    }
    with_codes = {column: values for column, values in attributes.items() if column not in bit_sliced}
    dictionaries = _encode_dictionaries(with_codes, scaled_ints)
    tags = {
        column: TagColumn(dictionaries[column], _count_values(values) if is_list(values) else None)
        for column, values in with_codes.items()
        if is_list(values) or values.dtype == pl.Boolean
    }
    single_valued = {column: codes for column, codes in dictionaries.items() if column not in tags}
    order = choose_row_order(row_count, single_valued, tags)
    return EncodedShard(
        row_count,
        reorder_numbers(numbers, order.old_of_new),
        _iter_id_columns(table, order),
        _iter_attributes(attributes, bit_sliced, dictionaries, order),
    )


def _count_values(lists: pl.Series) -> NDArray[np.uint32]:
    """Return the number of values of each row."""
    return lists.list.len().fill_null(0).to_numpy()


def _encode_dictionaries(
    table: DeviceTable, scaled_ints: Mapping[Column, ScaledInts | None]
) -> dict[Column, DictionaryColumn]:
    """Encode the columns in two threads, lists first because they take longest; flags need no thread."""
    flags = {
        column: encode_flags(values, column.name_in_table)
        for column, values in table.items()
        if values.dtype == pl.Boolean
    }
    others = [(column, values) for column, values in table.items() if column not in flags]
    with ThreadPoolExecutor(2) as executor:
        futures = {
            column: executor.submit(encode_dictionary, flatten_lists(values), column.role, scaled_ints[column])
            for column, values in sorted(others, key=lambda item: not is_list(item[1]))
        }
        return {column: flags[column] if column in flags else futures[column].result() for column in table}


def _iter_id_columns(table: DeviceTable, row_order: RowOrder[Column]) -> Iterator[EncodedIdColumn]:
    for column, values in table.items():
        if column.is_id:
            yield reorder_ids(column.id_column, values, row_order.old_of_new, row_order.new_of_old)


def _try_scaled_ints(values: pl.Series) -> ScaledInts | None:
    return None if is_list(values) else as_scaled_ints(values)


def _has_too_many_values(scaled_ints: ScaledInts) -> bool:
    """Return whether the numbers are too many for a bitmap each."""
    present = scaled_ints.present()
    if len(present) <= MAX_BITMAPS_PER_ATTRIBUTE or int(present.max()) - int(present.min()) < MAX_BITMAPS_PER_ATTRIBUTE:
        return False
    return len(sorted_unique(present)) > MAX_BITMAPS_PER_ATTRIBUTE


def _iter_attributes(
    table: DeviceTable,
    bit_sliced: Mapping[Column, ScaledInts],
    dictionaries: Mapping[Column, DictionaryColumn],
    row_order: RowOrder[Column],
) -> Iterator[EncodedAttribute]:
    """Yield the bitmaps of each attribute in turn; all columns of plain tags are one attribute."""
    tags = [column for column in dictionaries if column.role == "tags"]
    if tags:
        bitmaps = {
            column: _group_rows_by_value(table[column], dictionaries[column], column, row_order) for column in tags
        }
        yield _merge_tag_columns(bitmaps, dictionaries)
    for column, values in table.items():
        if column in bit_sliced:
            yield _bit_slice_numbers(bit_sliced[column], values, column, row_order)
        elif column.role != "tags":
            yield _encode_dictionary_column(values, dictionaries[column], column, row_order)


def _merge_tag_columns(
    bitmaps: Mapping[Column, list[BitMap]], dictionaries: Mapping[Column, DictionaryColumn]
) -> EncodedAttribute:
    """Return the plain tags of all columns as one attribute, with a bitmap for each tag."""
    entries = [
        (tag, column.name_in_table, bitmap)
        for column, column_bitmaps in bitmaps.items()
        for tag, bitmap in zip(dictionaries[column].values.to_list(), column_bitmaps, strict=True)
    ]
    entries.sort(key=itemgetter(0))
    tags = pl.Series([tag for tag, _, _ in entries], dtype=pl.String)
    sources, tag_bitmaps = [source for _, source, _ in entries], [bitmap for _, _, bitmap in entries]
    return EncodedAttribute(UNTYPED, "tags", tags, sources, tag_bitmaps, len(entries), False, "String")


def _encode_dictionary_column(
    values: pl.Series, dictionary: DictionaryColumn, column: Column, row_order: RowOrder[Column]
) -> EncodedAttribute:
    if len(dictionary.values) > MAX_BITMAPS_PER_ATTRIBUTE and not is_list(values):
        return _bit_slice_ranks(dictionary, column, row_order)
    return _encode_bitmap_per_value(values, dictionary, column, row_order)


def _encode_bitmap_per_value(
    values: pl.Series, dictionary: DictionaryColumn, column: Column, row_order: RowOrder[Column]
) -> EncodedAttribute:
    """Encode an attribute as one bitmap a value."""
    bitmaps = _group_rows_by_value(values, dictionary, column, row_order)
    type_name, strings = format_type(dictionary.values.dtype), format_values(dictionary.values)
    return EncodedAttribute(
        column.name, column.role, strings, (), bitmaps, len(strings), not is_list(values), type_name
    )


def _bit_slice_numbers(
    scaled_ints: ScaledInts, values: pl.Series, column: Column, row_order: RowOrder[Column]
) -> EncodedAttribute:
    """Encode numbers as one bitmap for each binary digit of (number - base) / step.

    number             1.50   1.75   2.25
    scaled by 10 ** 2   150    175    225     base 150, step 25
    rank                  0      1      3     slices: has a value; digit 0: 1, 3; digit 1: 3
    """
    distinct = sorted_unique(scaled_ints.present())
    base, last = int(distinct[0]), int(distinct[-1])
    gaps = distinct[1:].view(np.uint64) - distinct[:-1].view(np.uint64)  # modulo 2 ** 64, so they cannot overflow
    step = int(np.gcd.reduce(gaps))
    slicing = BitSlicing(((last - base) // step).bit_length(), base, step, scaled_ints.scale)
    offsets = scaled_ints.numbers.view(np.uint64) - np.uint64(base % (1 << 64))
    ranks: NDArray[np.uint64] = (offsets // np.uint64(step))[row_order.old_of_new]
    bitmaps = list(_iter_bit_slices(ranks, ~scaled_ints.missing[row_order.old_of_new], slicing.bit_depth))
    no_strings, type_name = pl.Series([], dtype=pl.String), format_type(values.dtype)
    return EncodedAttribute(column.name, column.role, no_strings, (), bitmaps, len(distinct), True, type_name, slicing)


def _bit_slice_ranks(dictionary: DictionaryColumn, column: Column, row_order: RowOrder[Column]) -> EncodedAttribute:
    """Encode the ranks of values as one bitmap for each binary digit."""
    codes = dictionary.codes[row_order.old_of_new]
    slicing = BitSlicing((len(dictionary.values) - 1).bit_length())
    numbers = np.maximum(codes, 1) - np.uint32(1)
    bitmaps = list(_iter_bit_slices(numbers, codes > 0, slicing.bit_depth))
    strings, type_name = format_values(dictionary.values), format_type(dictionary.values.dtype)
    ranks = listed_ranks.list_ranks(numbers, slicing.bit_depth)
    counts = np.bincount(codes, minlength=len(strings) + 1)[1:]
    return EncodedAttribute(
        column.name, column.role, strings, (), bitmaps, len(strings), True, type_name, slicing, ranks, counts
    )


def _iter_bit_slices(numbers: NDArray[Any], present: NDArray[np.bool_], bit_depth: int) -> Iterator[BitMap]:
    """Yield the rows that have a value, then for each binary digit, lowest first, the rows with that digit set."""
    yield rows_to_bitmap(np.flatnonzero(present).astype(np.uint32))
    for digit in range(bit_depth):
        is_set = (numbers >> numbers.dtype.type(digit) & numbers.dtype.type(1)).astype(np.bool_)
        yield rows_to_bitmap(np.flatnonzero(is_set & present).astype(np.uint32))


def _group_rows_by_value(
    values: pl.Series, dictionary: DictionaryColumn, column: Column, row_order: RowOrder[Column]
) -> list[BitMap]:
    """Return the bitmap of the rows of each value."""
    if is_list(values):
        rows = np.repeat(row_order.new_of_old, _count_values(values))
        return _build_bitmaps(dictionary.codes, rows, len(dictionary.values), len(values))
    codes = row_order.sorted_codes.get(column)
    if len(dictionary.values) == 1:
        is_set = codes != 0 if codes is not None else (dictionary.codes != 0)[row_order.old_of_new]
        return [rows_to_bitmap(np.flatnonzero(is_set).astype(np.uint32))]
    if codes is None:
        codes = dictionary.codes[row_order.old_of_new]
    run_starts = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    if len(run_starts) * MIN_ROWS_PER_RUN < len(codes):
        run_bounds = np.concatenate([[0], run_starts, [len(codes)]])
        return _build_bitmaps_from_runs(codes, run_bounds, len(dictionary.values))
    rows = np.arange(len(codes), dtype=np.uint32)
    return _build_bitmaps(codes, rows, len(dictionary.values), len(codes))


def _build_bitmaps_from_runs(
    codes: NDArray[np.uint32], run_bounds: NDArray[np.int64], value_count: int
) -> list[BitMap]:
    """Build the bitmaps of the values from runs of equal codes, which start and end at *run_bounds*."""
    bitmaps = [BitMap() for _ in range(value_count)]
    for start, stop in zip(run_bounds[:-1].tolist(), run_bounds[1:].tolist(), strict=True):
        if stop > start and (code := int(codes[start])):
            bitmaps[code - 1].add_range(start, stop)
    return bitmaps


def _build_bitmaps(
    codes: NDArray[np.uint32], rows: NDArray[np.uint32], value_count: int, row_count: int
) -> list[BitMap]:
    """Build the bitmaps of the values from the codes, 0 for null, and the row of each code."""
    is_grouped = len(codes) >= MIN_GROUPED_CODES and value_count < MAX_GROUPED_VALUES
    build = _build_bitmaps_by_grouping if is_grouped else _build_bitmaps_by_sorting
    return build(codes, rows, value_count, row_count)


def _build_bitmaps_by_grouping(
    codes: NDArray[np.uint32], rows: NDArray[np.uint32], value_count: int, row_count: int
) -> list[BitMap]:
    """Build the bitmaps of values whose codes have 16 bits, in a third of the time of sorting.

    codes, in blocks     2     0     1     2  |  1     2
    rows                 0     3     1     2  |  4     5
    grouped              3     1   0:2        |  4   5      one block after the other, in the cache of the processor
    """
    length = max(BLOCK_CODES, value_count * MIN_CODES_PER_VALUE)
    blocks = [
        _group_rows(codes[first : first + length], rows[first : first + length], value_count)
        for first in range(0, max(len(codes), 1), length)
    ]
    return [_rows_to_bitmap(parts, row_count) for parts in zip(*blocks, strict=True)]


def _group_rows(codes: NDArray[np.uint32], rows: NDArray[np.uint32], value_count: int) -> Iterator[NDArray[np.uint32]]:
    """Return the rows of each value. NumPy sorts short codes by counting them.

    >>> [rows.tolist() for rows in _group_rows(np.array([2, 0, 2], dtype=np.uint32), np.arange(3), 2)]
    [[], [0, 2]]
    """
    short = codes.astype(np.uint8 if value_count < 1 << 8 else np.uint16)
    order = np.argsort(short, kind="stable")
    starts = np.searchsorted(short[order], np.arange(1, value_count + 1, dtype=short.dtype)).tolist()
    grouped = rows[order]
    return (grouped[start:stop] for start, stop in pairwise([*starts, len(grouped)]))


def _rows_to_bitmap(parts: Sequence[NDArray[np.uint32]], row_count: int) -> BitMap:
    """Return the bitmap of the rows of all *parts*, in any order, out of *row_count*.

    >>> _rows_to_bitmap([np.array([3, 1], dtype=np.uint32), np.array([0], dtype=np.uint32)], 4)
    BitMap([0, 1, 3])
    """
    count = sum(map(len, parts))
    if count < MIN_MARKED or count * MARKED_RATIO < row_count:
        return rows_to_bitmap(sort_numbers(np.concatenate(parts)))
    mask = np.zeros(row_count, dtype=np.bool_)
    for part in parts:
        mask[part] = True
    return mask_to_bitmap(mask)


def _build_bitmaps_by_sorting(
    codes: NDArray[np.uint32], rows: NDArray[np.uint32], value_count: int, row_count: int
) -> list[BitMap]:
    """Build the bitmaps of the values from the codes and the row of each code.

    codes                2     0     1     2       code 0 is null
    rows                 0     1     2     3
    packed, sorted     0:1   1:2   2:0   2:3       the code in the high bits, the row in the low ones
    starts                     1     2             of the values 1 and 2
    """
    row_bits = max(row_count - 1, 1).bit_length()
    packed: NDArray[Any] = codes.astype(np.uint32 if value_count.bit_length() + row_bits <= 32 else np.uint64)
    packed <<= packed.dtype.type(row_bits)
    packed |= rows
    packed = sort_numbers(packed)
    value_codes: NDArray[Any] = np.arange(1, value_count + 1, dtype=packed.dtype)
    starts = np.searchsorted(packed, value_codes << packed.dtype.type(row_bits)).tolist()
    grouped_rows = (packed & packed.dtype.type((1 << row_bits) - 1)).astype(np.uint32, copy=False)
    stops = [*starts[1:], len(grouped_rows)]
    return [rows_to_bitmap(grouped_rows[start:stop]) for start, stop in zip(starts, stops, strict=False)]
