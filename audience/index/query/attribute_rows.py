"""Rows of a shard by the values of one attribute: its ranks, and the rows that have them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from audience.index.query.pattern_search import find_matching_ranges
from audience.index.query.shard_threads import share_calls
from audience.index.schema.rank_ranges import mark_ranges
from audience.index.schema.value_types import (
    ArithmeticValues,
    RankRange,
    SortedStrings,
    SortedValues,
    find_anniversary_ranges,
    find_rank_range,
    find_tag_range,
    value_type_of,
)
from audience.index.storage import bitmaps, listed_ranks
from audience.index.storage.bitmaps import BitMap, LazyUnion, RowSet
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.listed_ranks import RankLookup
from audience.index.storage.number_programs import NumberProgram, write_number_program
from audience.index.storage.packed_numbers import NumberLookup
from audience.index.storage.packed_words import WordBytes, load_bytes
from audience.index.storage.shard import Shard
from audience.language.ast import Anniversary, Between, Compare, Condition, Matches, Tag, Within
from audience.language.patterns import read_pattern
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_ROWS = RowSet(BitMap())
MAX_SLICED_RANGES = 8  # ranges of ranks that are found by comparing bit slices with their bounds
SLICES_READ_TOGETHER = 4


def find_tag_ranks(tag: Tag, attribute: StoredAttribute, shard: Shard) -> RankRange:
    """Return the ranks of *tag* among the values of *attribute*; the range is empty if no device has the tag."""
    return find_tag_range(tag, sorted_values(attribute, shard))


def has_tag(tag: Tag, shard: Shard) -> bool:
    """Return whether any device of *shard*, also one whose row is deleted, has *tag*."""
    attribute = shard.attributes.get(tag.type)
    if attribute is None:
        return False
    start, stop = find_tag_ranks(tag, attribute, shard)
    return start < stop


def query_ranks(query: Tag | Compare | Within | Between, attribute: StoredAttribute, shard: Shard) -> RankRange:
    """Return the ranks of the values that *query* names or compares with."""
    return find_rank_range(query, sorted_values(attribute, shard))


def query_ranges(query: Condition | Tag, attribute: StoredAttribute, shard: Shard) -> Sequence[RankRange]:
    """Return the ranges of ranks of the values that *query* asks for, in rising order."""
    match query:
        case Matches(pattern=pattern, ignores_case=ignores_case):
            return find_matching_ranges(read_pattern(pattern, ignores_case), attribute, shard)
        case Anniversary():
            return find_anniversary_ranges(query, sorted_values(attribute, shard))
    return [query_ranks(query, attribute, shard)]


def sorted_values(attribute: StoredAttribute, shard: Shard) -> SortedValues:
    """Return the values of *attribute* in order."""
    value_type, slicing = value_type_of(attribute.role), attribute.bit_slicing
    if slicing is not None and slicing.step:
        return ArithmeticValues(value_type, slicing.base, slicing.step, slicing.scale, 1 << slicing.bit_depth)
    return SortedStrings(value_type, shard.attribute_values(attribute))


def rows_with_value(attribute: StoredAttribute, shard: Shard) -> RowSet:
    """Return the rows that have any value."""
    if attribute.bit_slicing is not None:
        return as_row_set(shard.load_bitmap(attribute.start + attribute.value_count))
    return rows_in_ranks(attribute, (0, attribute.value_count), shard)


def rows_in_ranks(attribute: StoredAttribute, ranks: RankRange, shard: Shard, among: BitMap | None = None) -> RowSet:
    """Return the rows that have a value whose rank is in *ranks*; if *among* is given, only those of its rows."""
    start, stop = ranks
    if start >= stop:
        return NO_ROWS
    if attribute.bit_slicing is not None:
        return as_row_set(_rows_by_bit_slices(attribute, start, stop, shard, among))
    values = lazy_union(range(attribute.start + start, attribute.start + stop), attribute.is_single_valued, shard)
    if among is None:
        return values.materialize()
    return bitmaps.intersect([RowSet(among, nbytes=bitmaps.bitmap_nbytes(among)), values])


def rows_in_rank_ranges(attribute: StoredAttribute, ranges: Sequence[RankRange], shard: Shard) -> RowSet:
    """Return the rows that have a value whose rank is in one of *ranges*, which rise."""
    if attribute.bit_slicing is None:
        tag_rows = [attribute.start + rank for start, stop in ranges for rank in range(start, stop)]
        return lazy_union(tag_rows, attribute.is_single_valued, shard).materialize() if tag_rows else NO_ROWS
    if len(ranges) > MAX_SLICED_RANGES:
        return as_row_set(_rows_by_rank(attribute, ranges, shard))
    return bitmaps.union([NO_ROWS, *(rows_in_ranks(attribute, ranks, shard) for ranks in ranges)])


def lazy_union(tag_rows: Collection[int], disjoint: bool, shard: Shard) -> LazyUnion:
    """Return the union of stored bitmaps."""
    nbytes = sum(shard.bitmap_sizes[row] for row in tag_rows)
    return LazyUnion(shard.load_bitmaps(tag_rows), nbytes, disjoint)


def bit_slices(attribute: StoredAttribute, shard: Shard) -> tuple[BitMap, list[BitMap]]:
    """Return the rows that have a value, and the slices of a bit-sliced attribute, lowest bit first."""
    first_slice = attribute.start + attribute.value_count
    present, *slices = shard.load_bitmaps(range(first_slice, attribute.stop))
    return present, slices


def as_row_set(rows: BitMap) -> RowSet:
    """Return a computed bitmap as a set of rows; its size is estimated at two bytes a row."""
    return RowSet(rows, nbytes=2 * len(rows))


def _rows_by_bit_slices(
    attribute: StoredAttribute, start: int, stop: int, shard: Shard, among: BitMap | None
) -> BitMap:
    """Return the rows whose bit-sliced rank is in the range from *start* to *stop*, without *stop*."""
    if among is None:
        return _rows_between_bounds(attribute, start, stop, shard)
    present, slices = bit_slices(attribute, shard)
    rows = present & among
    below_stop = bitmaps.rows_less_than(slices, stop, rows)
    return below_stop - bitmaps.rows_less_than(slices, start, rows) if start else below_stop


def _rows_between_bounds(attribute: StoredAttribute, start: int, stop: int, shard: Shard) -> BitMap:
    """Return the rows whose bit-sliced rank is from *start* on and below *stop*."""
    slice_rows, (low, high) = find_slices(attribute, [(start, stop)])
    present, *slices = shard.load_bitmaps(slice_rows)
    operands = [RowSet(present, nbytes=bitmaps.bitmap_nbytes(present)), ~bitmaps.rows_not_less_than(slices, high)]
    if low:
        operands.append(bitmaps.rows_not_less_than(slices, low))
    return bitmaps.intersect(operands).bitmap


def find_slices(attribute: StoredAttribute, ranges: Sequence[RankRange]) -> tuple[list[int], list[int]]:
    """Return the rows of the tags file by which ranks are compared with *ranges*, and the bounds to compare with.

    The first row is that of devices with any value, the others are slices. Those below the lowest 1 of all bounds do
    not matter, and are left out: the others are digits of a shorter number, which is compared with shorter bounds.
    """
    slicing = attribute.bit_slicing
    assert slicing is not None
    count, whole = attribute.value_count or 1 << slicing.bit_depth, 1 << slicing.bit_depth
    bounds = [bound for start, stop in ranges for bound in (start, whole if stop >= count else stop)]
    lowest = min(((bound & -bound).bit_length() - 1 for bound in bounds if bound), default=slicing.bit_depth)
    first = attribute.start + attribute.value_count
    return [first, *range(first + 1 + lowest, attribute.stop)], [bound >> lowest for bound in bounds]


def _rows_by_rank(attribute: StoredAttribute, ranges: Sequence[RankRange], shard: Shard) -> BitMap:
    """Return the rows whose bit-sliced rank is in one of *ranges*, which rise."""
    first_slice = attribute.start + attribute.value_count
    slice_rows = range(first_slice + 1, attribute.stop)
    lookup = _choose_lookup(attribute, slice_rows, mark_ranges(ranges, 1 << len(slice_rows)), shard)
    share_calls(lookup.look_up, [(start,) for start in lookup.starts], shard)
    return lookup.to_bitmap() & shard.load_bitmap(first_slice)


def _choose_lookup(
    attribute: StoredAttribute, slice_rows: range, is_wanted: NDArray[np.bool_], shard: Shard
) -> NumberLookup | NumberProgram | RankLookup:
    """Return what finds the rows of wanted ranks the fastest, with what it needs of the shard."""
    ranks = shard.read_ranks(attribute)
    if ranks is not None:
        return RankLookup(ranks, _load_slices(slice_rows[listed_ranks.LISTED_BITS :], shard), is_wanted)
    slices = _load_slices(slice_rows, shard)
    program = write_number_program(is_wanted)
    if program is None:
        return NumberLookup(slices, is_wanted, shard.row_count)
    return NumberProgram(slices, program, shard.row_count)


def _load_slices(slice_rows: range, shard: Shard) -> list[WordBytes]:
    together = [
        (slice_rows[at : at + SLICES_READ_TOGETHER], shard) for at in range(0, len(slice_rows), SLICES_READ_TOGETHER)
    ]
    return list(chain.from_iterable(share_calls(_view_slices, together, shard)))


def _view_slices(tag_rows: range, shard: Shard) -> list[WordBytes]:
    """Return consecutive slices as they are stored where that is words, to which a bitmap would only be a copy."""
    return [
        load_bytes(shard.load_bitmap(tag_row), shard.row_count) if words is None else words
        for tag_row, words in zip(tag_rows, shard.view_words(tag_rows), strict=True)
    ]
