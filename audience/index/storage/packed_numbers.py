"""Bit-sliced numbers of rows, which are read or looked up in blocks of packed words.

Slice i has the rows whose number has bit i set. The slices of a block are transposed: eight slices become a byte of the
number of every row.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from audience.index.storage.bitmaps import BitMap
from audience.index.storage.croaring import CONTAINER_WORDS, Words
from audience.index.storage.packed_words import WordBytes, clear_from, load_bytes, word_count, words_to_bitmap
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

ONES = 0x0101_0101_0101_0101
PADDING_WORDS = 40  # between slices: numpy is slower if they are a multiple of 4,096 bytes apart
BLOCK_WORDS = 16 * CONTAINER_WORDS  # of each slice, of which numbers are computed at a time
SWAPPED_BITS = ((4, 0x0F * ONES), (2, 0x33 * ONES), (1, 0x55 * ONES))
LOWER_BITS = 16  # of numbers that are looked up
MAX_UPPER_BITS = 3  # of them: they choose among the flags that are found


class ScratchMemory(threading.local):
    """Memory that each thread uses again: to get new memory takes as long as what is done in it."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int, np.dtype[Any]], NDArray[Any]] = {}

    def take(self, purpose: str, size: int, dtype: DTypeLike, place: int = 0) -> NDArray[Any]:
        """Return *size* elements to overwrite, until those of the same purpose, place and type are taken again."""
        key = purpose, place, np.dtype(dtype)
        array = self._arrays.get(key)
        if array is None or len(array) < size:
            array = self._arrays[key] = np.empty(size, dtype)
        return array[:size]


SCRATCH = ScratchMemory()


class NumberLookup:
    """Rows whose bit-sliced number is wanted, which are looked up in blocks; threads may share them.

    Numbers of one block stay in the cache of the processor.

    Args:
        slices: Slice i has the rows whose number has bit i set, as the bytes of packed words.
        is_wanted: Whether each number is wanted.
        row_count: Number of rows; one that is in no slice has the number 0.

    >>> slices = [load_bytes(BitMap(rows), 3) for rows in ([1], [1, 2])]
    >>> lookup = NumberLookup(slices, np.array([False, False, True, True]), 3)
    >>> for start in lookup.starts:
    ...     lookup.look_up(start)
    >>> lookup.to_bitmap()
    BitMap([1, 2])
    """

    def __init__(self, slices: Sequence[WordBytes], is_wanted: NDArray[np.bool_], row_count: int):
        self._slices, self._row_count = slices, row_count
        self._lower = LOWER_BITS if 0 < len(slices) - LOWER_BITS <= MAX_UPPER_BITS else len(slices)
        self._table = _interleave_flags(is_wanted, 1 << self._lower)
        self._found = np.empty(word_count(row_count), dtype="<u8")
        self.starts = range(0, self._found.nbytes, 8 * BLOCK_WORDS)

    def look_up(self, start: int) -> None:
        """Find the rows of the block at *start*, one of `starts`."""
        block = [each[start : start + 8 * BLOCK_WORDS] for each in self._slices]
        found = self._found.view(np.uint8)[start : start + 8 * BLOCK_WORDS]
        flags = _look_up_flags(self._table, block[: self._lower], len(found))
        found[:] = _choose_bytes(flags, block[self._lower :])

    def to_bitmap(self) -> BitMap:
        """Return the rows, after all blocks were looked up. It is called once."""
        clear_from(self._found, self._row_count)
        return words_to_bitmap(self._found)


def _interleave_flags(is_wanted: NDArray[np.bool_], length: int) -> NDArray[np.unsignedinteger]:
    """Return a table of *length* numbers: byte j of number i is flag i + j * length.

    >>> [hex(number) for number in _interleave_flags(np.array([True, False, True, True]), 2)]
    ['0x101', '0x100']
    """
    columns = is_wanted.view(np.uint8).reshape(-1, length)
    return np.ascontiguousarray(columns.T).view(f"<u{len(columns)}").reshape(-1)


def _look_up_flags(
    table: NDArray[np.unsignedinteger], block: Sequence[WordBytes], size: int
) -> NDArray[np.unsignedinteger]:
    """Return the flags of eight rows in each of *size* entries of *table*; *block* has the bits of their numbers."""
    flags, taken = SCRATCH.take("flags", size, table.dtype), SCRATCH.take("taken", size, table.dtype)
    positions = SCRATCH.take("positions", size, np.intp)  # what `take` would make of the numbers, in new memory
    for place, numbers in enumerate(_unpack_numbers(block, size // 8)):
        positions[:] = numbers
        if place:
            table.take(positions, out=taken, mode="clip")
            taken <<= taken.dtype.type(place)
            flags |= taken
        else:
            table.take(positions, out=flags, mode="clip")
    return flags


def _choose_bytes(entries: NDArray[np.unsignedinteger], upper: Sequence[WordBytes]) -> NDArray[np.uint8]:
    """Return for each row its bit in that byte of its entry whose number the *upper* bits of the row form."""
    #   bytes of an entry    0   1   2   3     by the lowest of two upper bits: 0 or 1, 2 or 3
    #                        └─┬─┘   └─┬─┘     by the other one
    #                          └───┬───┘
    return choose_parts(
        [(entries >> entries.dtype.type(8 * place)).astype(np.uint8) for place in range(entries.itemsize)], upper
    )


def choose_parts(parts: Sequence[WordBytes], upper: Sequence[WordBytes]) -> WordBytes:
    """Return for each row its bit in that one of *parts* whose number the *upper* bits of the row form."""
    for bits in upper:
        parts = [zeros ^ bits & (zeros ^ ones) for zeros, ones in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def read_numbers(bit_slices: Sequence[BitMap], row_count: int) -> NDArray[np.uint32]:
    """Return the bit-sliced number of each of *row_count* rows; one that is in no slice has the number 0.

    >>> read_numbers([BitMap([1]), BitMap([1, 2])], 3).tolist()
    [0, 3, 2]
    """
    slices = [load_bytes(each, row_count) for each in bit_slices]
    size = word_count(row_count)
    numbers = np.empty((8 * size, 8), dtype=np.uint32)
    for start in range(0, size, BLOCK_WORDS):
        block = [each[8 * start : 8 * (start + BLOCK_WORDS)] for each in slices]
        for place, some in enumerate(_unpack_numbers(block, min(BLOCK_WORDS, size - start))):
            numbers[8 * start : 8 * start + len(some), place] = some
    return numbers.reshape(-1)[:row_count]


def _unpack_numbers(slices: Sequence[WordBytes], size: int) -> Iterator[NDArray[np.unsignedinteger]]:
    """Yield the numbers of every eighth row, from row 0 on, then from row 1 on, and so on to row 7.

    They have the smallest of the types of 1, 2 and 4 bytes that fits, and are overwritten by the next ones.

    Args:
        slices: Bytes of packed words of the bits of the numbers, the lowest one first.
        size: Number of words.
    """
    groups = [_transpose_bits(slices[first : first + 8], size, first) for first in range(0, len(slices), 8)]
    for place in range(8):
        bytes_of_rows = [group[place].view(np.uint8) for group in groups]
        yield _join_parts(bytes_of_rows) if groups else np.zeros(8 * size, dtype=np.uint8)


def _join_parts(parts: Sequence[NDArray[np.unsignedinteger]]) -> NDArray[np.unsignedinteger]:
    """Return the numbers of which one to four *parts* are the bytes, the lowest ones first.

    >>> _join_parts([np.array([each], dtype=np.uint8) for each in (1, 2, 3)]).tolist()
    [197121]
    """
    while len(parts) > 1:
        starts = range(0, len(parts), 2)
        parts = [_join_two(parts[at], parts[at + 1], at) if at + 1 < len(parts) else parts[at] for at in starts]
    return parts[0]


def _join_two(
    low: NDArray[np.unsignedinteger], high: NDArray[np.unsignedinteger], place: int
) -> NDArray[np.unsignedinteger]:
    """Return the numbers of twice as many bytes whose lower half is *low*."""
    joined: NDArray[np.unsignedinteger] = SCRATCH.take("joined", len(low), f"<u{2 * low.itemsize}", place)
    joined[:] = high
    joined <<= joined.dtype.type(8 * low.itemsize)
    joined |= low
    return joined


def _transpose_bits(slices: Sequence[WordBytes], size: int, place: int = 0) -> Words:
    """Return, of up to eight slices, eight arrays of words: byte k of array j is the number of row 8 k + j.

    They are overwritten when others are transposed at the same *place*. Squares of 8 by 8 bits are transposed as in
    Warren, "Hacker's Delight", 7-3: halves, quarters and eighths of the bytes are swapped between arrays, a word at a
    time.
    """
    #   bit                0 1 2 3 …        after the swap of eighths
    #   array 0, slice 0   a b c d          a A c C
    #   array 1, slice 1   A B C D          b B d D
    length = size + PADDING_WORDS
    words: Words = SCRATCH.take("words", 8 * length, np.uint64, place).reshape(8, length)
    words[len(slices) :] = 0
    for row, slice_ in zip(words, slices, strict=False):
        row.view(np.uint8)[: 8 * size] = slice_
    spare = SCRATCH.take("spare", 4 * length, np.uint64)
    for distance, mask in SWAPPED_BITS:
        pairs = words.reshape(4 // distance, 2, distance, -1)
        low, high, shift = pairs[:, 0], pairs[:, 1], np.uint64(distance)
        swapped = np.right_shift(low, shift, out=spare.reshape(low.shape))
        swapped ^= high
        swapped &= mask
        high ^= swapped
        swapped <<= shift
        low ^= swapped
    return words[:, :size]
