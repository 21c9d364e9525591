"""Rows that at least so many of several bitmaps have.

Three algorithms give the same result; the one that is estimated to be the fastest is chosen:

- few containers, such as long runs: bitmaps are merged two at a time into the rows that at least 1, 2, … of them have
- few rows: a counter of one byte for each row
- otherwise: packed words, added as the columns of binary numbers are added by hand
"""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap, RowSet, bitmap_to_rows, rows_to_bitmap, union
from audience.index.storage.croaring import Words
from audience.index.storage.packed_words import clear_from, fill_words, word_count, words_to_bitmap

# Measured costs, in nanoseconds.
MERGED_CONTAINER, MERGED_BYTE = 400, 8
COUNTER, COUNTED_ROW = 0.1, 8
ADDED_WORD, LOADED_ARRAY_ROW = 1.5, 1.3
LOADED_OPERANDS = 8  # bitmaps that are packed words at the same time
_KEPT = threading.local()
PADDING_WORDS = 40  # between operands: numpy is slower if they are a multiple of 4,096 bytes apart


def rows_at_least(operands: Sequence[RowSet], count: int, row_count: int) -> RowSet:
    """Return the rows, out of *row_count*, that at least *count* of *operands* have.

    >>> sets = [RowSet(BitMap(rows)) for rows in ([0, 1], [1, 2], [1])]
    >>> rows_at_least(sets, 2, 4).bitmap, rows_at_least([~rows for rows in sets], 2, 4)[:2]
    (BitMap([1]), (BitMap([1]), True))
    """
    if count <= 0:
        return RowSet(BitMap(), complemented=True)
    if count > len(operands):
        return RowSet(BitMap())
    if all(operand.complemented for operand in operands):
        return ~rows_at_least([~operand for operand in operands], len(operands) + 1 - count, row_count)
    if count == 1:
        return union(operands)
    return _as_row_set(_find_rows(operands, count, row_count, exactly=False))


def rows_exactly(operands: Sequence[RowSet], count: int, row_count: int) -> RowSet:
    """Return the rows, out of *row_count*, that exactly *count* of *operands* have.

    >>> sets = [RowSet(BitMap(rows)) for rows in ([0, 1], [1, 2], [1])]
    >>> rows_exactly(sets, 1, 4).bitmap
    BitMap([0, 2])
    """
    if not 0 <= count <= len(operands):
        return RowSet(BitMap())
    if count == 0:
        return ~rows_at_least(operands, 1, row_count)
    if all(operand.complemented for operand in operands):
        return rows_exactly([~operand for operand in operands], len(operands) - count, row_count)
    return _as_row_set(_find_rows(operands, count, row_count, exactly=True))


def _as_row_set(rows: BitMap) -> RowSet:
    return RowSet(rows, nbytes=2 * len(rows))


def _find_rows(operands: Sequence[RowSet], count: int, row_count: int, *, exactly: bool) -> BitMap:
    if any(operand.complemented for operand in operands):
        return add_words(operands, count, row_count, exactly=exactly)
    bitmaps = [operand.bitmap for operand in operands]
    merging, counting, adding = _estimate_costs(bitmaps, row_count)
    if merging <= min(counting, adding):
        return merge_bitmaps(bitmaps, count, exactly=exactly)
    if counting <= adding:
        return count_in_bytes(bitmaps, count, row_count, exactly=exactly)
    return add_words(operands, count, row_count, exactly=exactly)


def _estimate_costs(bitmaps: Sequence[BitMap], row_count: int) -> tuple[float, float, float]:
    """Return the estimated nanoseconds of merging *bitmaps*, of counting their rows, and of adding packed words."""
    statistics = [bitmap.get_statistics() for bitmap in bitmaps]
    containers = sum(each["n_containers"] for each in statistics)
    nbytes = sum(
        each["n_bytes_array_containers"] + each["n_bytes_run_containers"] + each["n_bytes_bitset_containers"]
        for each in statistics
    )
    rows, array_rows = sum(map(len, bitmaps)), sum(each["n_values_array_containers"] for each in statistics)
    return (
        containers * MERGED_CONTAINER + nbytes * MERGED_BYTE,
        row_count * COUNTER + rows * COUNTED_ROW,
        word_count(row_count) * len(bitmaps) * ADDED_WORD + array_rows * LOADED_ARRAY_ROW,
    )


def merge_bitmaps(bitmaps: Sequence[BitMap], count: int, *, exactly: bool) -> BitMap:
    """Return the rows of *count* or more *bitmaps*, which are merged two at a time."""
    level = count + exactly
    groups = [[bitmap] for bitmap in bitmaps]
    while len(groups) > 1:
        pairs = zip(groups[::2], groups[1::2], strict=False)
        groups = [*(_merge_levels(first, second, level) for first, second in pairs), *groups[len(groups) & ~1 :]]
    (levels,) = groups
    rows = levels[count - 1] if count <= len(levels) else BitMap()
    return rows - levels[count] if exactly and count < len(levels) else rows


def _merge_levels(first: Sequence[BitMap], second: Sequence[BitMap], max_level: int) -> list[BitMap]:
    """Return the rows that at least 1, 2, … bitmaps of two groups have, from the same rows of each group.

    At least 3 of both: 3 of the first, 2 of the first and 1 of the second, 1 and 2, or 3 of the second.
    """
    levels: list[BitMap] = []
    for level in range(1, min(max_level, len(first) + len(second)) + 1):
        parts = [group[level - 1] for group in (first, second) if level <= len(group)]
        splits = range(max(1, level - len(second)), min(level - 1, len(first)) + 1)
        parts += [first[split - 1] & second[level - split - 1] for split in splits]
        rows = parts[0] if len(parts) == 1 else BitMap.union(*parts)
        if not rows:
            break
        levels.append(rows)
    return levels


def count_in_bytes(bitmaps: Sequence[BitMap], count: int, row_count: int, *, exactly: bool) -> BitMap:
    """Return the rows of *count* or more *bitmaps*, by a counter for each row."""
    counters = np.zeros(row_count, dtype=np.min_scalar_type(len(bitmaps)))
    found = []
    for bitmap in bitmaps:
        rows = bitmap_to_rows(bitmap)
        counted: NDArray[np.unsignedinteger] = counters[rows] + counters.dtype.type(1)
        counters[rows] = counted
        found.append(rows[counted == count])  # each row reaches the count once
    rows = np.concatenate(found)
    if exactly:
        rows = rows[counters[rows] == count]
    return rows_to_bitmap(np.sort(rows))


def add_words(operands: Sequence[RowSet], count: int, row_count: int, *, exactly: bool) -> BitMap:
    """Return the rows of *count* or more *operands*, added up in packed words.

    The sum starts at a power of two less *count*, so that the carry out of its highest digit says that the count is
    reached. It is reached exactly if all digits are 0 then, and the power is so large that there is one carry only.
    """
    #   row             0  1  2  3      at least 2 of a, b, c: the power is 2, the sum starts at 0
    #   a               .  x  x  x
    #   b               .  .  x  x
    #   c               .  .  .  x
    #   digit 0         .  x  .  x      of the sum
    #   carry           .  .  x  x      rows 2 and 3 have reached the count
    digits = (count - 1).bit_length()
    if exactly:
        digits = max(digits, (len(operands) - count).bit_length())
    total = WordSum((1 << digits) - count, digits, word_count(row_count))
    for start in range(0, len(operands), LOADED_OPERANDS):
        total.add(operands[start : start + LOADED_OPERANDS])
    words = total.reached
    if exactly:
        words &= ~np.bitwise_or.reduce(total.digits, axis=0) if digits else ~np.uint64(0)
    clear_from(words, row_count)
    return words_to_bitmap(words)


class WordSum:
    """Sum of sets of rows: how many of them have each row, as binary digits; the carry of the highest is *reached*.

    Args:
        start: Sum of each row without any set.
        digits: Number of binary digits.
        size: Number of words.
    """

    def __init__(self, start: int, digits: int, size: int):
        self.reached: Words = np.zeros(size, dtype=np.uint64)
        self.digits: Words = np.zeros((digits, size), dtype=np.uint64)
        for digit in range(digits):
            if start >> digit & 1:
                self.digits[digit] = ~np.uint64(0)
        self._spare, *self._loaded = _reuse_words(size)

    def add(self, operands: Sequence[RowSet], place: int = 0) -> None:
        """Add two to the power of *place* to each row of each of *operands*, at most `LOADED_OPERANDS`."""
        column = self._loaded[: len(operands)]
        for operand, words in zip(operands, column, strict=True):
            fill_words(operand.bitmap, words)
            if operand.complemented:
                np.invert(words, out=words)
        for digit in self.digits[place:]:
            carries: list[Words] = []
            while len(column) > 1:
                carries.append(_add_two(column.pop(), column.pop(), digit, self._spare))
            if column:
                carries.append(_add_one(column.pop(), digit, self._spare))
            column = carries
        for carry in column:
            self.reached |= carry


def _reuse_words(size: int) -> list[Words]:
    """Return words to overwrite, of which each thread keeps those of its last sum: new memory costs a third more."""
    words: list[Words] = getattr(_KEPT, "words", [])
    if not words or len(words[0]) != size:
        rows = np.empty((1 + LOADED_OPERANDS, size + PADDING_WORDS), dtype=np.uint64)
        words = _KEPT.words = list(rows[:, :size])
    return words


def _add_two(first: Words, second: Words, digit: Words, spare: Words) -> Words:
    """Add two binary digits to *digit* and return the carry, in the memory of *first*; *second* is overwritten."""
    np.bitwise_xor(first, second, out=spare)
    first &= second
    np.bitwise_and(spare, digit, out=second)
    first |= second
    digit ^= spare
    return first


def _add_one(addend: Words, digit: Words, spare: Words) -> Words:
    """Add a binary digit to *digit* and return the carry, in the memory of *addend*."""
    np.bitwise_and(addend, digit, out=spare)
    digit ^= addend
    addend[:] = spare
    return addend
