"""Devices by the number of their events, found by the devices of each day.

Each day has the devices with any event, and the binary digits of how many more than one each of them has. At least one
event is a union of days. At least three is a sum of binary numbers, added in packed words, or counted device by device
where few have any.
"""

#   events of a day    d1 d1 d1  d2  d4 d4       devices  d1 d2 d4
#   further events     2         0   1           digit 0        d4    (1)
#                                                digit 1  d1          (2)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audience.index.storage import croaring
from audience.index.storage.bitmaps import BitMap, RowSet, bitmap_to_rows
from audience.index.storage.packed_words import word_count, words_to_bitmap
from audience.index.storage.thresholds import LOADED_OPERANDS, WordSum
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Measured costs, in nanoseconds.
ADDED_WORD, LOADED_DEVICE, SORTED_DEVICE = 1.5, 1.3, 80.0


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Numbers of the devices with any event on a day, and the binary digits of their further events, lowest first."""

    devices: BitMap
    digits: Sequence[BitMap] = ()


def count_events(numbers: NDArray[np.uint32]) -> DayCounts:
    """Return the counts of a day, of which each event has the number of its device in *numbers*, which rise.

    >>> count_events(np.array([1, 1, 1, 2, 4, 4], dtype=np.uint32))
    DayCounts(devices=BitMap([1, 2, 4]), digits=[BitMap([4]), BitMap([1])])
    """
    is_first = np.ones(len(numbers), dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    if len(starts) == len(numbers):
        return DayCounts(to_bitmap(numbers))
    devices = numbers[starts]
    further = np.diff(starts, append=len(numbers)) - 1
    digits = [to_bitmap(devices[further >> digit & 1 == 1]) for digit in range(int(further.max()).bit_length())]
    return DayCounts(to_bitmap(devices), digits)


def to_bitmap(numbers: NDArray[np.uint32]) -> BitMap:
    """Return the bitmap of *numbers*."""
    return croaring.load_unlocked().from_rows(numbers) if len(numbers) else BitMap()


def unite(bitmaps: Sequence[BitMap]) -> BitMap:
    """Return the union of *bitmaps*; one alone is not copied."""
    match bitmaps:
        case []:
            return BitMap()
        case [bitmap]:
            return bitmap
    return croaring.load_unlocked().union_many(bitmaps)


def find_at_least(days: Sequence[DayCounts], count: int, number_count: int) -> BitMap:
    """Return the devices with at least *count* events, at least one, on all of *days* together.

    Args:
        days: Counts of each day.
        count: Least number of events.
        number_count: All numbers are below it.

    >>> days = [DayCounts(BitMap([1, 2]), [BitMap([2])]), DayCounts(BitMap([1, 3]))]
    >>> find_at_least(days, 2, 8)
    BitMap([1, 2])
    """
    if count == 1:
        return unite([day.devices for day in days])
    addends = [(bitmap, place) for day in days for place, bitmap in _list_addends(day)]
    if sum(1 << place for _, place in addends) < count:
        return BitMap()
    devices = sum(len(bitmap) for bitmap, _ in addends)
    adding = word_count(number_count) * len(addends) * ADDED_WORD + devices * LOADED_DEVICE
    if devices * SORTED_DEVICE < adding:
        return _count_by_sorting(addends, count)
    return _add_words(addends, count, number_count)


def _list_addends(day: DayCounts) -> list[tuple[int, BitMap]]:
    """Return the bitmaps whose devices are counted, each with the binary place of what it adds."""
    return [(0, day.devices), *((place, digit) for place, digit in enumerate(day.digits) if digit)]


def _count_by_sorting(addends: Sequence[tuple[BitMap, int]], count: int) -> BitMap:
    numbers = np.concatenate([bitmap_to_rows(bitmap) for bitmap, _ in addends])
    added = np.repeat([1 << place for _, place in addends], [len(bitmap) for bitmap, _ in addends])
    order = np.argsort(numbers, kind="stable")
    numbers, added = numbers[order], added[order]
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    return to_bitmap(numbers[starts][np.add.reduceat(added, starts) >= count])


def _add_words(addends: Sequence[tuple[BitMap, int]], count: int, number_count: int) -> BitMap:
    """Return the numbers whose sum is *count* or more: it starts at a power of two less *count*, and carries then."""
    digits = (count - 1).bit_length()
    total = WordSum((1 << digits) - count, digits, word_count(number_count))
    by_place: dict[int, list[BitMap]] = {}
    for bitmap, place in addends:
        by_place.setdefault(min(place, digits), []).append(bitmap)
    for place, bitmaps in by_place.items():
        for start in range(0, len(bitmaps), LOADED_OPERANDS):
            total.add([RowSet(bitmap) for bitmap in bitmaps[start : start + LOADED_OPERANDS]], place)
    return words_to_bitmap(total.reached)
