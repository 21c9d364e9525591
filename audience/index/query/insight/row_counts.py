"""Count the given rows of a shard by the values of an attribute, or by ranges of them."""

#   rows in ranges of bit-sliced ranks, edges at 2 and 5:   all rows
#                                                 digit 2   0 … 3            4 … 7
#                                                 digit 1   0, 1   2, 3      4, 5      6, 7
#                                                 digit 0                    4    5
#   rows are divided by a digit only where an edge is between them

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from audience.index.query.attribute_rows import bit_slices, rows_with_value
from audience.index.query.insight.comparison import Counts
from audience.index.schema.value_types import RankRange
from audience.index.storage import packed_numbers, packed_words
from audience.index.storage.bitmaps import BitMap, LazyUnion, RowSet, bitmap_to_rows, remove_rows
from audience.index.storage.croaring import choose_operations
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard
from audience.language.ast import Has

SPARSE_RATIO = 64  # if fewer than one row in so many is counted, ranks are looked up one by one
MAX_SUBTRACTED = 16  # most frequent values, which are taken out one by one to find the rows without a value


def make_counter(attribute: StoredAttribute, shard: Shard) -> Callable[[BitMap | None], Counts]:
    """Return a function that counts which of some live rows have the value of each rank; None is all live rows."""
    if attribute.bit_slicing is None:
        return partial(count_by_rank, attribute, shard)
    present, slices = bit_slices(attribute, shard)
    ranks = packed_numbers.read_numbers(slices, shard.row_count)

    def count_ranks(rows: BitMap | None) -> Counts:
        counted = remove_rows(present, shard.deleted) if rows is None else present & rows
        if len(counted) * SPARSE_RATIO < shard.row_count:
            found = ranks[bitmap_to_rows(counted)]
        else:
            found = ranks[packed_words.bitmap_to_mask(counted, shard.row_count)]
        return np.bincount(found, minlength=attribute.value_count).astype(np.int64, copy=False)

    return count_ranks


def count_by_rank(attribute: StoredAttribute, shard: Shard, rows: BitMap | None) -> Counts:
    """Return how many of *rows*, which are live, are in the bitmap of each value; None is all live rows."""
    if rows is not None:
        return _count_in_bitmaps(attribute, rows, shard)
    counts = _count_rows(attribute, shard)
    if not shard.deleted or isinstance(shard, JoinedShard):  # of which bitmaps have no deleted rows
        return counts
    return counts - _count_in_bitmaps(attribute, shard.deleted, shard)


def _count_rows(attribute: StoredAttribute, shard: Shard) -> Counts:
    """Return the number of rows in the bitmap of each value; they are stored, or kept, as CRoaring sums up all runs."""
    if not isinstance(shard, JoinedShard):
        return np.asarray(shard.cardinalities[attribute.start : attribute.stop]).astype(np.int64)
    counts = shard.rows_of_values.get(attribute.name)
    if counts is None:
        loaded = shard.load_bitmaps(range(attribute.start, attribute.stop))
        counts = shard.rows_of_values[attribute.name] = np.array([*map(len, loaded)], dtype=np.int64)
    return counts


def _count_in_bitmaps(attribute: StoredAttribute, rows: BitMap, shard: Shard) -> Counts:
    if not rows:
        return np.zeros(attribute.value_count, dtype=np.int64)
    tag_rows, sizes = range(attribute.start, attribute.stop), shard.bitmap_sizes
    counts = [
        choose_operations(sizes[tag_row], rows).intersection_cardinality(rows, bitmap)
        for tag_row, bitmap in zip(tag_rows, shard.load_bitmaps(tag_rows), strict=True)
    ]
    return np.array(counts, dtype=np.int64)


def count_with_value(attribute: StoredAttribute, rows: BitMap | None, shard: Shard) -> int:
    """Return how many of *rows*, which are live, have any value; None is all live rows."""
    missing = find_rows_without_value(attribute, shard)
    if rows is None:
        return shard.device_count - len(missing)
    return len(rows) - rows.intersection_cardinality(missing)


def find_rows_without_value(attribute: StoredAttribute, shard: Shard) -> BitMap:
    """Return the live rows without any value; the shard keeps them if it has room."""
    condition = Has(attribute.name)
    kept = shard.cache.get(shard.name, condition)
    if kept is not None:
        return remove_rows(kept.bitmap, shard.deleted) if kept.complemented else shard.live_rows - kept.bitmap
    missing = _subtract_values(attribute, shard)
    shard.cache.put(shard.name, condition, RowSet(missing, complemented=True))
    return missing


def _subtract_values(attribute: StoredAttribute, shard: Shard) -> BitMap:
    """Return the live rows without any value. Few values, the most frequent ones, are often enough to find none."""
    if attribute.bit_slicing is not None:
        return shard.live_rows - rows_with_value(attribute, shard).bitmap
    by_frequency = (attribute.start + np.argsort(-_count_rows(attribute, shard), kind="stable")).tolist()
    missing = shard.live_rows
    for tag_row in by_frequency[:MAX_SUBTRACTED]:
        if not missing:
            return missing
        missing = missing - shard.load_bitmap(tag_row)
    others = shard.load_bitmaps(by_frequency[MAX_SUBTRACTED:]) if missing else []
    if not others:
        return missing
    nbytes = sum(shard.bitmap_sizes[tag_row] for tag_row in by_frequency[MAX_SUBTRACTED:])
    return missing - LazyUnion(others, nbytes, False).materialize().bitmap


def count_in_ranges(
    attribute: StoredAttribute, ranges: Sequence[Sequence[RankRange]], rows: BitMap | None, shard: Shard
) -> Counts:
    """Return how many of *rows*, which are live, have a value in each of *ranges*, which may be of several parts."""
    if attribute.bit_slicing is not None:
        present, slices = bit_slices(attribute, shard)
        counted = remove_rows(present, shard.deleted) if rows is None else present & rows
        bounds = sorted({bound for parts in ranges for part in parts for bound in part})
        below = dict(zip(bounds, count_below(slices, bounds, counted), strict=True))
    elif attribute.is_single_valued:
        totals = np.concatenate([[0], np.cumsum(count_by_rank(attribute, shard, rows))])
        below = dict(enumerate(totals.tolist()))
    else:
        live = shard.live_rows if rows is None else rows
        return np.array([_count_any(attribute, parts, live, shard) for parts in ranges], dtype=np.int64)
    return np.array([sum(below[stop] - below[start] for start, stop in parts) for parts in ranges], dtype=np.int64)


def _count_any(attribute: StoredAttribute, parts: Sequence[RankRange], rows: BitMap, shard: Shard) -> int:
    """Return how many of *rows* have a value in one of *parts*, each device once although it has several values."""
    tag_rows = [attribute.start + rank for start, stop in parts for rank in range(start, stop)]
    if not tag_rows:
        return 0
    nbytes = sum(shard.bitmap_sizes[tag_row] for tag_row in tag_rows)
    union = LazyUnion(shard.load_bitmaps(tag_rows), nbytes, False).materialize().bitmap
    return rows.intersection_cardinality(union)


def count_below(slices: Sequence[BitMap], bounds: Sequence[int], rows: BitMap) -> list[int]:
    """Return how many of *rows* have a bit-sliced number below each of *bounds*, which rise.

    Rows are divided by a digit only where a bound is between them, so that many bounds cost little more than one.

    >>> count_below([BitMap([1, 3]), BitMap([2, 3])], [0, 2, 3, 9], BitMap([0, 1, 2, 3]))
    [0, 2, 3, 4]
    """
    counts: dict[int, int] = {}
    _count_below(slices, len(slices), 0, [*bounds], rows, 0, counts)
    return [counts[bound] for bound in bounds]


def _count_below(
    slices: Sequence[BitMap],
    digits: int,
    first: int,
    bounds: list[int],
    rows: BitMap,
    before: int,
    counts: dict[int, int],
) -> None:
    """Enter in *counts* how many rows are below each of *bounds*.

    Args:
        slices: Bit slices of all rows.
        digits: Lowest digits in which *rows* may differ.
        first: Smallest number that *rows* may have.
        bounds: Bounds to count.
        rows: Rows whose other digits are those of *first*.
        before: Number of rows below *first*.
        counts: Counts that are found, by bound.
    """
    stop = first + (1 << digits)
    inside = []
    for bound in bounds:
        if bound <= first:
            counts[bound] = before
        elif bound >= stop or not rows:
            counts[bound] = before + len(rows)
        else:
            inside.append(bound)
    if not inside:
        return
    digit, middle = digits - 1, first + (1 << digits - 1)
    operations = choose_operations(len(rows) // 4, rows)
    upper = operations.intersection(rows, slices[digit])
    lower_count = len(rows) - len(upper)
    below = [bound for bound in inside if bound < middle]
    above = [bound for bound in inside if bound >= middle]
    if below:
        _count_below(slices, digit, first, below, operations.difference(rows, slices[digit]), before, counts)
    if above:
        _count_below(slices, digit, middle, above, upper, before + lower_count, counts)
