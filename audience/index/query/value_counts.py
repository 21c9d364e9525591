"""Count devices by the number of rows of each value of an attribute, without finding the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audience.index.query.attribute_rows import query_ranges
from audience.index.schema.rank_ranges import mark_ranges, sum_ranges
from audience.index.storage import arrow_file, listed_ranks
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.packed_words import bitmap_to_mask
from audience.index.storage.shard import Shard
from audience.language.ast import Matches
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_KEPT_COUNTS = 4_096  # of each shard
MAX_SUMMED_SINGLY = 1 << 10  # values: for more, NumPy and pyarrow are worth their import


def count_matching_devices(expr: Matches, shard: Shard) -> int | None:
    """Return how many devices of *shard* match *expr*; None if it takes their rows, or if these are cached."""
    known = shard.value_counts.get(expr)
    if known is not None:
        return known
    if shard.cache.get(shard.name, expr) is not None:
        return None
    total = 0
    for part in shard.parts if isinstance(shard, JoinedShard) else [shard]:
        count = _count_in_part(expr, part)
        if count is None:
            return None
        total += count
    if len(shard.value_counts) >= MAX_KEPT_COUNTS:
        shard.value_counts.clear()
    shard.value_counts[expr] = total
    return total


def _count_in_part(expr: Matches, shard: Shard) -> int | None:
    attribute = shard.attributes.get(expr.type)
    if attribute is None:
        return 0
    if not attribute.is_single_valued:
        return None
    if attribute.bit_slicing is None and attribute.value_count <= MAX_SUMMED_SINGLY and shard.deleted is None:
        counts = shard.cardinalities[attribute.start : attribute.stop].tolist()
        return sum(sum(counts[start:stop]) for start, stop in query_ranges(expr, attribute, shard))
    stored = shard.value_column("cardinality").slice(attribute.start, attribute.value_count)
    if stored.null_count:  # files of earlier versions do not say how many
        return None
    if shard.deleted is None:
        return sum_ranges(query_ranges(expr, attribute, shard), arrow_file.as_uint32(stored))
    slicing = attribute.bit_slicing
    ranks = None if slicing is None else shard.read_ranks(attribute)
    if slicing is None or ranks is None:
        return None
    ranges = query_ranges(expr, attribute, shard)
    deleted = _find_ranks(shard.deleted, ranks, attribute, shard)
    is_wanted = mark_ranges(ranges, 1 << slicing.bit_depth)
    return sum_ranges(ranges, arrow_file.as_uint32(stored)) - int(np.count_nonzero(is_wanted[deleted]))


def _find_ranks(
    rows: BitMap, ranks: NDArray[np.uint16], attribute: StoredAttribute, shard: Shard
) -> NDArray[np.uint32]:
    """Return the ranks of those of *rows* that have a value; *ranks* are the lower bits of all, as they are stored."""
    first = attribute.start + attribute.value_count
    having = bitmap_to_rows(rows & shard.load_bitmap(first))
    found = ranks[having].astype(np.uint32)
    upper = range(first + 1 + listed_ranks.LISTED_BITS, attribute.stop)
    for bit, rows_of_bit in enumerate(shard.load_bitmaps(upper), listed_ranks.LISTED_BITS):
        found |= bitmap_to_mask(rows_of_bit, shard.row_count)[having].astype(np.uint32) << np.uint32(bit)
    return found
