"""Histograms of numbers, days and moments: choose bins for all shards, and count the devices of groups in each."""

from collections.abc import Mapping, Sequence
from functools import reduce
from zoneinfo import ZoneInfo

import numpy as np

from audience.index.query.attribute_rows import bit_slices, sorted_values
from audience.index.query.insight.bins import Bin, Spread, bin_numbers
from audience.index.query.insight.comparison import Counts, GroupCounts
from audience.index.query.insight.day_bins import bin_days, bin_times
from audience.index.query.insight.groups import Groups
from audience.index.query.insight.row_counts import count_in_ranges
from audience.index.query.ranking import find_sliced_rank
from audience.index.schema.columns import Role
from audience.index.schema.value_types import RankRange, SortKey
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard

TAIL_SHARE = 200  # one device in so many is beyond the values that most devices have, at either end


def find_spread(
    attribute: StoredAttribute, groups: Groups, shard_number: int, by_rank: GroupCounts | None, shard: Shard
) -> Spread | None:
    """Return the spread of the values of the base and of members outside it; None if no device has a value.

    Args:
        attribute: Attribute of numbers, days or moments.
        groups: Groups.
        shard_number: Number of the shard.
        by_rank: Counts of the values, if they are not bit-sliced.
        shard: Shard.
    """
    if by_rank is not None:
        return _spread_of_counts(by_rank.base + by_rank.members - by_rank.shared, attribute, shard)
    present, _ = bit_slices(attribute, shard)
    if groups.base is None:
        rows = present & shard.live_rows
    else:
        rows = present & (groups.base[shard_number] | groups.members[shard_number])
    return _spread_of_slices(rows, attribute, shard)


def _places(total: int) -> list[int]:
    """Return the places, from 1, of the values that a spread consists of, among *total* in rising order."""
    tail = total // TAIL_SHARE
    return [1, 1 + tail, (total + 1) // 2, total - tail, total]


def _spread_of_counts(counts: Counts, attribute: StoredAttribute, shard: Shard) -> Spread | None:
    totals = np.cumsum(counts)
    if not len(totals) or not totals[-1]:
        return None
    ranks = np.searchsorted(totals, _places(int(totals[-1]))).tolist()
    return Spread(*map(sorted_values(attribute, shard).key_at, ranks))


def spread_of_values(counts: Mapping[SortKey, int]) -> Spread | None:
    """Return the spread of the values that so many devices have, whatever shards these are in.

    >>> spread_of_values({7: 2, 3: 1})
    Spread(smallest=3, low=3, middle=7, high=7, largest=7)
    """
    keys = sorted(counts)
    totals = np.cumsum([counts[key] for key in keys])
    return Spread(*(keys[at] for at in np.searchsorted(totals, _places(int(totals[-1]))))) if keys else None


def _spread_of_slices(rows: BitMap, attribute: StoredAttribute, shard: Shard) -> Spread | None:
    if not rows:
        return None
    _, slices = bit_slices(attribute, shard)
    ranks = [find_sliced_rank(slices, rows, place, largest=False) for place in _places(len(rows))]
    return Spread(*map(sorted_values(attribute, shard).key_at, ranks))


def choose_bins(name: str, role: Role, spreads: Sequence[Spread], zone: ZoneInfo, *, is_whole: bool) -> list[Bin]:
    """Return the bins of the values in all shards; none without any value."""
    if not spreads:
        return []
    spread = reduce(Spread.join, spreads)
    match role:
        case "date":
            return bin_days(name, spread, None)
        case "time":
            return bin_times(name, spread, zone)
    return bin_numbers(name, spread, is_whole=is_whole)


def has_whole_numbers(attribute: StoredAttribute, shard: Shard) -> bool:
    """Return whether all values of an attribute of numbers are known to be whole."""
    if attribute.bit_slicing is not None:
        return bool(attribute.bit_slicing.step) and attribute.bit_slicing.scale == 0
    values, texts = sorted_values(attribute, shard), shard.attribute_values(attribute)
    return attribute.type_name == "Int64" or all(_is_whole(values.key_at(rank)) for rank in range(len(texts)))


def _is_whole(number: SortKey) -> bool:
    return bool(number == number.to_integral_value())


def count_bins(
    shard: Shard,
    shard_number: int,
    attribute: StoredAttribute,
    by_rank: GroupCounts | None,
    bins: Sequence[Bin],
    groups: Groups,
) -> GroupCounts:
    """Return the devices of each group in each of *bins*, in one shard."""
    if by_rank is not None and not needs_rows(attribute):
        return sum_bins(shard, attribute, by_rank, bins)
    ranges = _find_ranges(attribute, bins, shard)
    return groups.count(shard_number, lambda rows: count_in_ranges(attribute, ranges, rows, shard))


def needs_rows(attribute: StoredAttribute) -> bool:
    """Return whether the counts of the values of a histogram do not say how many devices are in a bin."""
    return attribute.bit_slicing is not None or not attribute.is_single_valued


def sum_bins(shard: Shard, attribute: StoredAttribute, by_rank: GroupCounts, bins: Sequence[Bin]) -> GroupCounts:
    """Return the devices of each group in each of *bins*, as the counts of the values say it."""
    ranges = _find_ranges(attribute, bins, shard)
    sums = (np.concatenate([[0], np.cumsum(each)]) for each in by_rank.parts)
    return GroupCounts(*(_sum_ranges(totals, ranges) for totals in sums))


def _find_ranges(attribute: StoredAttribute, bins: Sequence[Bin], shard: Shard) -> list[list[RankRange]]:
    values = sorted_values(attribute, shard)
    return [each.find_ranks(values) for each in bins]


def _sum_ranges(totals: Counts, ranges: Sequence[Sequence[tuple[int, int]]]) -> Counts:
    return np.array([sum(totals[stop] - totals[start] for start, stop in parts) for parts in ranges], dtype=np.int64)
