"""Bitmaps as packed words: one bit a row, in 64-bit words that numpy combines.

Roaring bitmaps are combined two at a time, and each result is a new bitmap. Counting how many of twenty dense bitmaps
have a row takes some sixty steps, which are several times faster on words that are changed in place.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from audience.index.storage import croaring
from audience.index.storage.bitmaps import MAX_ARRAY_CARDINALITY, BitMap
from audience.index.storage.croaring import CONTAINER_WORDS, Words

ONES = 0x0101_0101_0101_0101
PADDING_WORDS = 40  # between slices: numpy is slower if they are a multiple of 4,096 bytes apart
BLOCK_WORDS = 8 * CONTAINER_WORDS  # of each slice, of which numbers are computed at a time
SWAPPED_BITS = tuple(
    (distance, np.uint64(mask)) for distance, mask in ((4, 0x0F * ONES), (2, 0x33 * ONES), (1, 0x55 * ONES))
)
NO_RUN_COOKIE = 12346  # https://github.com/RoaringBitmap/RoaringFormatSpec
LOWER_BITS, MAX_UPPER_BITS = (
    16,
    3,
)  # of numbers that are looked up; the upper bits choose among the flags that are found

WordBytes: TypeAlias = NDArray[np.uint8]  # of packed words; they need not be aligned, and may be read-only


def word_count(row_count: int) -> int:
    """Return the number of words for *row_count* rows, a multiple of the words of a container.

    >>> word_count(0), word_count(65_536), word_count(65_537)
    (0, 1024, 2048)
    """
    return -(-row_count // (64 * CONTAINER_WORDS)) * CONTAINER_WORDS


def fill_words(bitmap: BitMap, words: Words) -> None:
    """Write *bitmap* into *words*, which are contiguous and reach beyond its last row."""
    if not bitmap:
        words[:] = 0
        return
    if bitmap.max() >= 64 * len(words):  # CRoaring would move the words elsewhere
        raise AssertionError(f"row {bitmap.max()} is beyond {len(words)} words")
    croaring.load_unlocked().fill_words(bitmap, words)


def words_to_bitmap(words: Words) -> BitMap:
    """Return the bitmap of *words*, whose number is a multiple of `CONTAINER_WORDS`; they may be changed.

    The words become the containers of a serialized bitmap. The format stores a container of few rows as an array:
    such a container is written as its complement, which has many rows, and complemented again by CRoaring.
    """
    containers = words.reshape(-1, CONTAINER_WORDS)
    cardinalities = np.bitwise_count(containers).sum(axis=1, dtype=np.int64)
    is_sparse = cardinalities <= MAX_ARRAY_CARDINALITY
    np.invert(containers, out=containers, where=is_sparse[:, None])
    bitmap = _deserialize_containers(
        containers, np.where(is_sparse, 64 * CONTAINER_WORDS - cardinalities, cardinalities)
    )
    for start, stop in _true_runs(is_sparse):
        bitmap.flip_inplace(64 * CONTAINER_WORDS * start, 64 * CONTAINER_WORDS * stop)
    return bitmap


def bitmap_to_mask(bitmap: BitMap, row_count: int) -> NDArray[np.bool_]:
    """Return for each of *row_count* rows whether it is in *bitmap*.

    >>> bitmap_to_mask(BitMap([0, 2]), 3).tolist()
    [True, False, True]
    """
    words = np.empty(word_count(row_count), dtype="<u8")
    fill_words(bitmap, words)
    return np.unpackbits(words.view(np.uint8), count=row_count, bitorder="little").view(np.bool_)


def mask_to_bitmap(mask: NDArray[np.bool_]) -> BitMap:
    """Return the bitmap of the rows at which *mask* is True.

    >>> mask_to_bitmap(np.array([True, False, True]))
    BitMap([0, 2])
    """
    words = np.zeros(word_count(len(mask)), dtype="<u8")
    packed = np.packbits(mask, bitorder="little")
    words.view(np.uint8)[: len(packed)] = packed
    return words_to_bitmap(words)


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
    flags, taken = np.empty(size, dtype=table.dtype), np.empty(size, dtype=table.dtype)
    for place, numbers in enumerate(_unpack_numbers(block, size // 8)):
        if place:
            np.take(table, numbers, out=taken, mode="clip")
            taken <<= taken.dtype.type(place)
            flags |= taken
        else:
            np.take(table, numbers, out=flags, mode="clip")
    return flags


def _choose_bytes(entries: NDArray[np.unsignedinteger], upper: Sequence[WordBytes]) -> NDArray[np.uint8]:
    """Return, of the bytes of each entry, those bits at whose number the *upper* bits of the row are."""
    #   bytes of an entry    0   1   2   3     by the lowest of two upper bits: 0 or 1, 2 or 3
    #                        └─┬─┘   └─┬─┘     by the other one
    #                          └───┬───┘
    parts: list[NDArray[np.uint8]] = list(entries.view(np.uint8).reshape(-1, entries.dtype.itemsize).T)
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


def view_word_bytes(serialized: memoryview, row_count: int, cardinality: int) -> WordBytes | None:
    """Return the bytes of the packed words of a serialized bitmap, without a copy.

    None if it is not the bitmap of *cardinality* out of *row_count* rows, or if any container is not stored as words.

    >>> everything = BitMap(range(0, 65_536, 2))
    >>> view_word_bytes(memoryview(everything.serialize()), 65_536, 32_768)[:3].tolist()
    [85, 85, 85]
    """
    count = word_count(row_count) // CONTAINER_WORDS
    start = 8 + 8 * count
    if not count or len(serialized) != start + 8 * CONTAINER_WORDS * count:
        return None
    cookie = np.frombuffer(serialized, dtype="<u4", count=2)
    header = np.frombuffer(serialized, dtype="<u2", count=2 * count, offset=8).reshape(count, 2)
    keys, cardinalities = header[:, 0], header[:, 1].astype(np.int64) + 1
    if cookie.tolist() != [NO_RUN_COOKIE, count] or (keys != np.arange(count)).any():
        return None
    if cardinalities.min() <= MAX_ARRAY_CARDINALITY or cardinalities.sum() != cardinality:
        return None
    return np.frombuffer(serialized, dtype=np.uint8, offset=start)


def load_bytes(bits: BitMap | WordBytes, row_count: int) -> WordBytes:
    """Return the bytes of the packed words of *bits*, which may be these bytes."""
    if not isinstance(bits, BitMap):
        return bits
    words = np.empty(word_count(row_count), dtype="<u8")
    fill_words(bits, words)
    return words.view(np.uint8)


def _unpack_numbers(slices: Sequence[WordBytes], size: int) -> Iterator[NDArray[np.unsignedinteger]]:
    """Yield the numbers of every eighth row, from row 0 on, then from row 1 on, and so on to row 7.

    They have the smallest of the types of 1, 2 and 4 bytes that fits.

    Args:
        slices: Bytes of packed words of the bits of the numbers, the lowest one first.
        size: Number of words.
    """
    groups = [_transpose_bits(slices[first : first + 8], size) for first in range(0, len(slices), 8)]
    for place in range(8):
        bytes_of_rows = [group[place].view(np.uint8) for group in groups]
        yield _join_bytes(bytes_of_rows) if groups else np.zeros(8 * size, dtype=np.uint8)


def _join_bytes(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.unsignedinteger]:
    """Return the numbers of which *parts* are the bytes, the lowest ones first.

    >>> _join_bytes([np.array([1, 2], dtype=np.uint8), np.array([0, 1], dtype=np.uint8)]).tolist()
    [1, 258]
    """
    if len(parts) == 1:
        return parts[0]
    numbers = parts[1].astype(np.uint16)
    numbers <<= 8
    numbers |= parts[0]
    if len(parts) == 2:
        return numbers
    upper = _join_bytes(parts[2:]).astype(np.uint32)
    upper <<= 16
    upper |= numbers
    return upper


def _transpose_bits(slices: Sequence[WordBytes], size: int) -> Words:
    """Return, of up to eight slices, eight arrays of words: byte k of array j is the number of row 8 k + j.

    Squares of 8 by 8 bits are transposed as in Warren, "Hacker's Delight", 7-3: halves, quarters and eighths of the
    bytes are swapped between arrays, a word at a time.
    """
    #   bit                0 1 2 3 …        after the swap of eighths
    #   array 0, slice 0   a b c d          a A c C
    #   array 1, slice 1   A B C D          b B d D
    words = np.empty((8, size + PADDING_WORDS), dtype=np.uint64)
    words[len(slices) :] = 0
    for row, slice_ in zip(words, slices, strict=False):
        row.view(np.uint8)[: 8 * size] = slice_
    spare = np.empty(4 * (size + PADDING_WORDS), dtype=np.uint64)
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


def clear_from(words: Words, row_count: int) -> None:
    """Clear the bits of *words* from *row_count* on."""
    last, bits = divmod(row_count, 64)
    words[last + 1 :] = 0
    if last < len(words):
        words[last] &= np.uint64((1 << bits) - 1)


def _deserialize_containers(containers: Words, cardinalities: NDArray[np.int64]) -> BitMap:
    """Return the bitmap of consecutive containers, each of which has more than `MAX_ARRAY_CARDINALITY` rows."""
    count = len(containers)
    if not count:
        return BitMap()
    header = np.column_stack([np.arange(count), cardinalities - 1]).astype(np.uint16)
    offsets = 8 + 8 * count + 8 * CONTAINER_WORDS * np.arange(count)
    cookie = np.array([NO_RUN_COOKIE, count], dtype=np.uint32)
    parts = [cookie.data, header.data, offsets.astype(np.uint32).data, containers.data]
    return BitMap.deserialize(b"".join(parts))


def _true_runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open ranges of positions at which *flags* are True.

    >>> _true_runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    padded = np.concatenate([[False], flags, [False]])
    starts_and_stops = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(starts_and_stops[::2], starts_and_stops[1::2], strict=True))
