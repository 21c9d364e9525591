"""Order in which the devices of a shard are numbered.

Devices with equal attributes lie together, so that bitmaps become runs. Sorting by one number that packs the codes of
the few attributes with the fewest values gives most of the compression of a sort by every column. Tags take part with
one code (`tag_order`), at the place that makes questions cheapest in a sample. The row is packed into the same number,
so that one sort of integers yields the order and the sorted codes at once.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from audience.index.ingest.dictionary import DictionaryColumn
from audience.index.ingest.order_cost import OrderSample
from audience.index.ingest.tag_order import (
    MAX_TAG_SLOTS,
    TagColumn,
    TagRanks,
    encode_tags,
    find_tag_matrix,
    rank_tags,
)
from audience.index.storage.number_sorting import sort_numbers

ColumnKey = TypeVar("ColumnKey")

KEY_BITS = 64
MAX_SORT_KEY_VALUES = 4_096  # an attribute with more values makes short runs at any position of the key
MAX_SAMPLE_ROWS = 1 << 14
SAMPLE_SEED = 15  # the same table has the same order
MIN_GAIN = 0.1  # share of the cost that an order with tags must save to be preferred to a simpler one


@dataclass(frozen=True, slots=True)
class RowOrder(Generic[ColumnKey]):
    """Permutation of the rows of a shard.

    Attributes:
        old_of_new: Old row of each new row.
        new_of_old: New row of each old row.
        sorted_codes: Codes by new row, of the columns that were sorted by.
    """

    old_of_new: NDArray[np.uint32]
    new_of_old: NDArray[np.uint32]
    sorted_codes: Mapping[ColumnKey, NDArray[np.uint32]]


@dataclass(frozen=True, slots=True)
class SortKey(Generic[ColumnKey]):
    """Layout of the number that rows are sorted by.

        | code of column 1 | code of column 2 | … | rarest tag | second rarest tag | … | code of column 3 | … | row |
          before                                    slot_count                           after

    Attributes:
        before: Bits of the columns in front of the tags.
        slot_count: Number of tags.
        after: Bits of the columns behind the tags.
    """

    before: Mapping[ColumnKey, int]
    slot_count: int
    after: Mapping[ColumnKey, int]


@dataclass(frozen=True, slots=True)
class SortedTable(Generic[ColumnKey]):
    """Columns of *row_count* rows that are to be ordered; *ranks* are those of the tags in *tags*."""

    row_count: int
    columns: Mapping[ColumnKey, DictionaryColumn]
    tags: Mapping[ColumnKey, TagColumn]
    ranks: TagRanks[ColumnKey]

    def pack_keys(self, key: SortKey[ColumnKey]) -> NDArray[np.uint64]:
        """Return the key of each row, without the row itself."""
        packed = np.zeros(self.row_count, dtype=np.uint64)
        for name, width in key.before.items():
            packed = packed << np.uint64(width) | self.columns[name].codes
        if key.slot_count:
            packed <<= np.uint64(key.slot_count * self.ranks.slot_bits)
            packed |= encode_tags(self.tags, self.ranks, self.row_count, key.slot_count)
        for name, width in key.after.items():
            packed = packed << np.uint64(width) | self.columns[name].codes
        return packed

    def take_rows(self, rows: NDArray[np.int64]) -> "SortedTable[ColumnKey]":
        """Return the table of these *rows*, in their order."""
        columns = {name: DictionaryColumn(column.values, column.codes[rows]) for name, column in self.columns.items()}
        tags = {name: column.take_rows(rows) for name, column in self.tags.items()}
        return SortedTable(len(rows), columns, tags, self.ranks)


def choose_row_order(
    row_count: int,
    columns: Mapping[ColumnKey, DictionaryColumn],
    tags: Mapping[ColumnKey, TagColumn] | None = None,
) -> RowOrder[ColumnKey]:
    """Return the order of *row_count* devices by their single-valued *columns* and by their *tags*.

    >>> import polars as pl
    >>> column = DictionaryColumn(pl.Series(["f", "m"]), np.array([2, 1, 2], dtype=np.uint32))
    >>> order = choose_row_order(3, {"sex": column})
    >>> order.old_of_new.tolist(), order.sorted_codes["sex"].tolist()
    ([1, 0, 2], [1, 2, 2])
    """
    row_bits = max(row_count - 1, 1).bit_length()
    table = SortedTable(row_count, columns, tags or {}, TagRanks({}, 0))
    table, sort_key = _choose_sort_key(table, KEY_BITS - row_bits)
    key = table.pack_keys(sort_key)
    key <<= np.uint64(row_bits)
    key |= np.arange(row_count, dtype=np.uint64)
    key = sort_numbers(key)
    old_of_new = (key & np.uint64((1 << row_bits) - 1)).astype(np.uint32)
    new_of_old = np.empty(row_count, dtype=np.uint32)
    new_of_old[old_of_new] = np.arange(row_count, dtype=np.uint32)
    tag_bits = sort_key.slot_count * table.ranks.slot_bits
    sorted_codes = _unpack_codes(key, sort_key.after, row_bits)
    shift = row_bits + sum(sort_key.after.values()) + tag_bits
    sorted_codes |= _unpack_codes(key, sort_key.before, shift)
    return RowOrder(old_of_new, new_of_old, sorted_codes)


def _choose_sort_key(
    table: SortedTable[ColumnKey], free_bits: int
) -> tuple[SortedTable[ColumnKey], SortKey[ColumnKey]]:
    """Return the layout of keys of *free_bits* that makes questions cheapest, and the table with ranks of its tags."""
    widths = _choose_columns(table.columns, free_bits)
    without_tags = SortKey(widths, 0, {})
    if not table.tags or not table.row_count:
        return table, without_tags
    sample = table.take_rows(_sample_rows(table.row_count))
    ranks = rank_tags(sample.tags)
    table, sample = _with_ranks(table, ranks), _with_ranks(sample, ranks)
    tag_matrix = find_tag_matrix(sample.tags, ranks, sample.row_count)
    cost_sample = OrderSample(table.row_count, sample.row_count, sample.columns, tag_matrix)
    sort_keys = [without_tags, *_iter_tag_positions(table, widths, free_bits)]
    with ThreadPoolExecutor(2) as executor:
        orders = executor.map(lambda key: np.argsort(sample.pack_keys(key), kind="stable"), sort_keys)
        costs = list(executor.map(cost_sample.estimate_cost, orders))
    chosen, lowest = without_tags, np.inf
    for sort_key, cost in zip(sort_keys, costs, strict=True):
        if cost < lowest * (1 - MIN_GAIN):
            chosen, lowest = sort_key, cost
    return table, chosen


def _with_ranks(table: SortedTable[ColumnKey], ranks: TagRanks[ColumnKey]) -> SortedTable[ColumnKey]:
    """Return *table* with the *ranks* of its tags, without the columns that have none of these tags."""
    ranked = {name: column for name, column in table.tags.items() if ranks.has_tags_of(name)}
    return replace(table, tags=ranked, ranks=ranks)


def _choose_columns(columns: Mapping[ColumnKey, DictionaryColumn], free_bits: int) -> dict[ColumnKey, int]:
    """Return the bits of the columns with the fewest values, as many columns as fit."""
    widths = dict[ColumnKey, int]()
    for name, column in sorted(columns.items(), key=lambda item: len(item[1].values)):
        width = len(column.values).bit_length()
        if len(column.values) > MAX_SORT_KEY_VALUES or sum(widths.values()) + width > free_bits:
            break
        widths[name] = width
    return widths


def _sample_rows(row_count: int) -> NDArray[np.int64]:
    """Return rows spread over the table, each at random within its part, so that no period of the table is hit."""
    if row_count <= MAX_SAMPLE_ROWS:
        return np.arange(row_count)
    places = np.arange(MAX_SAMPLE_ROWS) + np.random.default_rng(SAMPLE_SEED).random(MAX_SAMPLE_ROWS)
    return (places * (row_count / MAX_SAMPLE_ROWS)).astype(np.int64)


def _iter_tag_positions(
    table: SortedTable[ColumnKey], widths: Mapping[ColumnKey, int], free_bits: int
) -> Iterator[SortKey[ColumnKey]]:
    """Yield layouts with tags behind all columns, behind all but the last one, …, and in front of all."""
    names = list(widths)
    for position in reversed(range(len(names) + 1)):
        before = {name: widths[name] for name in names[:position]}
        tag_bits = free_bits - sum(before.values())
        slot_count = min(tag_bits // max(table.ranks.slot_bits, 1), table.ranks.count, MAX_TAG_SLOTS)
        if slot_count:
            columns_after = {name: table.columns[name] for name in names[position:]}
            after = _choose_columns(columns_after, tag_bits - slot_count * table.ranks.slot_bits)
            yield SortKey(before, slot_count, after)


def _unpack_codes(
    key: NDArray[np.uint64], widths: Mapping[ColumnKey, int], shift: int
) -> dict[ColumnKey, NDArray[np.uint32]]:
    """Return the codes that are packed in *key*, the last column in the lowest bits."""
    codes = {}
    for name, width in reversed(list(widths.items())):
        codes[name] = (key >> np.uint64(shift) & np.uint64((1 << width) - 1)).astype(np.uint32)
        shift += width
    return codes
