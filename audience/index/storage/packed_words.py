"""Bitmaps as packed words: one bit a row, in 64-bit words that numpy combines.

Roaring bitmaps are combined two at a time, and each result is a new bitmap. Counting how many of twenty dense bitmaps
have a row takes some sixty steps, which are several times faster on words that are changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from audience.index.storage import croaring
from audience.index.storage.bitmaps import (
    MAX_ARRAY_CARDINALITY,
    BitMap,
    RowNumbers,
    bitmap_to_rows,
    rows_to_bitmap,
)
from audience.index.storage.croaring import CONTAINER_WORDS, Words
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASKED_RATIO = 64  # rows are looked up in a mask of all rows if one in so many is asked for
NO_RUN_COOKIE = 12346  # https://github.com/RoaringBitmap/RoaringFormatSpec

WordBytes: TypeAlias = "NDArray[np.uint8]"  # of packed words; they need not be aligned, and may be read-only


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


def contains_rows(bitmap: BitMap, rows: RowNumbers) -> NDArray[np.bool_]:
    """Return which of *rows*, in any order and perhaps beyond all rows of a shard, are in *bitmap*.

    `np.isin` hashes all rows of a bitmap of which not many are asked for, which takes up to a thousand times as long.

    >>> contains_rows(BitMap([1, 5, 7]), np.array([7, 2, 1, 9], dtype=np.uint32)).tolist()
    [True, False, True, False]
    """
    if not bitmap:
        return np.zeros(len(rows), dtype=np.bool_)
    end = bitmap.max() + 1
    if len(rows) * MASKED_RATIO >= end:
        return bitmap_to_mask(bitmap, end + 1)[np.minimum(rows, end)]
    found = bitmap_to_rows(rows_to_bitmap(rows) & bitmap)
    is_found = np.zeros(len(rows), dtype=np.bool_)
    if len(found):
        is_found = found[np.minimum(np.searchsorted(found, rows), len(found) - 1)] == rows
    return is_found


def mask_to_bitmap(mask: NDArray[np.bool_]) -> BitMap:
    """Return the bitmap of the rows at which *mask* is True.

    >>> mask_to_bitmap(np.array([True, False, True]))
    BitMap([0, 2])
    """
    words = np.zeros(word_count(len(mask)), dtype="<u8")
    packed = np.packbits(mask, bitorder="little")
    words.view(np.uint8)[: len(packed)] = packed
    return words_to_bitmap(words)


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
