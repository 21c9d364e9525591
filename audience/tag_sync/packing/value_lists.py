"""Calls that remove values of one attribute, by lists of values that separate every two values.

A device that changes its value needs a call that removes the old value and not the new one. Six lists separate twelve
values if each value is in two lists, and no two values are in the same two: of the two lists with the old value, one
lacks the new one. So all changes of an attribute with twelve values take six lists, however its devices are spread.
Five lists are not enough: the set of lists of one value must not contain that of another, and five lists have only ten
such sets (Sperner's theorem).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, islice

import numpy as np

from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows, rows_to_bitmap
from audience.tag_sync.packing.common_tags import Found, Limits

Pair = tuple[int, int]


def find_value_lists(
    rows: list[BitMap], kept: Sequence[BitMap], groups: Sequence[Sequence[int]], limits: Limits
) -> list[Found]:
    """Return calls for the values of each attribute of *groups*, and remove what they carry from *rows*.

    What is left is of devices that keep several values of an attribute, and of bare tags.
    """
    found: list[Found] = []
    for group in groups:
        tags = [tag for tag in group if rows[tag]]
        if len(tags) > 1:
            found += _part_values(tags, rows, kept, limits)
    return found


def pair_lists(value_count: int, max_tags: int) -> list[Pair]:
    """Return two lists for each of so many values, for no two values the same; no list has more than *max_tags*.

    >>> pair_lists(6, 10)
    [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (1, 3)]
    """
    for list_count in count(-(2 * value_count // -max_tags)):
        pairs = [*islice(_iter_pairs(list_count), value_count)]
        lengths = Counter(at for pair in pairs for at in pair)
        if len(pairs) == value_count and max(lengths.values()) <= max_tags:
            return pairs
    raise AssertionError("with many lists, each has few values")


def _iter_pairs(list_count: int) -> Iterator[Pair]:
    """Yield each pair of lists once, in an order whose beginning uses all lists about equally often."""
    for step in range(1, list_count // 2 + 1):
        for at in range(list_count if 2 * step < list_count else list_count // 2):
            other = (at + step) % list_count
            yield min(at, other), max(at, other)


def _part_values(tags: Sequence[int], rows: list[BitMap], kept: Sequence[BitMap], limits: Limits) -> list[Found]:
    """Return the calls for *tags*, which are of one attribute."""
    pairs = pair_lists(len(tags), limits.max_tags)
    list_count = 1 + max(map(max, pairs))
    lists = [[tag for tag, pair in zip(tags, pairs, strict=True) if at in pair] for at in range(list_count)]
    able = [_union(rows, each) - _union(kept, each) for each in lists]
    found: list[Found] = []
    for at, each in enumerate(lists):
        needed, others = BitMap(), BitMap()
        for tag in each:
            here = rows[tag] & able[at]
            later = _union(able, [other for other in range(at + 1, list_count) if tag in lists[other]])
            needed |= here - later
            others |= here & later
        for positions in _fill_calls(needed, others - needed, limits.max_ids):
            found.append((tuple(each), positions))
            for tag in each:
                rows[tag] -= rows_to_bitmap(positions)
    return found


def _union(rows: Sequence[BitMap], chosen: Sequence[int]) -> BitMap:
    return BitMap.union(*(rows[at] for at in chosen)) if chosen else BitMap()


def _fill_calls(needed: BitMap, others: BitMap, max_ids: int) -> list[RowNumbers]:
    """Return the devices of as few calls as *needed* take, and *others* where these have room."""
    room = -(len(needed) // -max_ids) * max_ids
    taken = np.concatenate([bitmap_to_rows(needed), bitmap_to_rows(others)])[:room]
    return [np.sort(taken[start : start + max_ids]) for start in range(0, len(taken), max_ids)]
