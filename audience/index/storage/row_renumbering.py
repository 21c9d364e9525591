"""Rows of a shard as they would be numbered without its deleted rows: the rows after a deleted one move up.

A subtraction breaks the runs of a bitmap at every deleted row. Moved up, what was a run stays one, and questions take
as long as if the deleted rows had never been written.
"""

#   rows         0  1  2  3  4  5
#   deleted         x     x
#   closed up    0     1     2  3        a bitmap of 0, 1, 2, 4 and 5: 0 … 3

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows, remove_rows, rows_to_bitmap
from audience.index.storage.croaring import Words
from audience.index.storage.packed_words import clear_from, fill_words, word_count, words_to_bitmap
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOVED_RATIO, FOUND_RATIO = 64, 256  # rows of which one in so many is in a bitmap are closed up, and found, one by one
MAX_BOUNDS = 1 << 11  # of the runs of a bitmap that are moved as a whole
WORD_BITS = 64
BLOCK_WORDS = 1 << 12  # that are moved at a time, so that they stay in the cache of the processor
HALVES = tuple(1 << place for place in reversed(range(6)))  # of a word, of half of it, …


class RowRenumbering:
    """Rows that are left of *row_count* rows without those in *deleted*, of which there is at least one.

    Attributes:
        deleted: Rows that are left out.
        row_count: Number of the rows that are left.
        bitmaps: Bitmaps of the shard that were closed up, by their row of the tags file.
        columns: Columns of ids without the rows that are left out, by their name: views of the mapped file.

    >>> renumbering = RowRenumbering(BitMap([1, 3]), 6)
    >>> renumbering.to_new(BitMap([0, 1, 2, 4, 5])), renumbering.to_old(BitMap([1, 3])), renumbering.row_count
    (BitMap([0, 1, 2, 3]), BitMap([2, 5]), 4)
    """

    def __init__(self, deleted: BitMap, row_count: int):
        self.deleted = deleted
        self.row_count = row_count - len(deleted)
        self.bitmaps: dict[int, BitMap] = {}
        self.columns: dict[str, Any] = {}
        self._old_count = row_count
        self._live: Words = np.zeros(word_count(row_count) + 1, dtype=np.uint64)
        fill_words(deleted, self._live[:-1])
        np.invert(self._live, out=self._live)
        clear_from(self._live, row_count)
        self._starts = np.zeros(len(self._live) + 1, dtype=np.int64)  # rows that are left before each word
        np.cumsum(np.bitwise_count(self._live), out=self._starts[1:])

    @property
    def live_words(self) -> Words:
        """Return the rows that are left, by their old numbers, as packed words."""
        return self._live

    def to_new(self, bitmap: BitMap) -> BitMap:
        """Return those rows of *bitmap* that are left, by their new numbers; its containers keep their form."""
        if len(bitmap) * MOVED_RATIO < self._old_count:
            return rows_to_bitmap(self.new_rows(bitmap_to_rows(remove_rows(bitmap, self.deleted))))
        words: Words = np.zeros(len(self._live), dtype=np.uint64)
        fill_words(bitmap, words[:-1])
        bounds = _find_bounds(words)
        if bounds is not None:
            return _join_runs(self.new_rows(bounds))
        moved = words_to_bitmap(self._move_words_up(words))
        moved.run_optimize()
        return moved

    def to_old(self, bitmap: BitMap) -> BitMap:
        """Return the rows whose new numbers are in *bitmap*."""
        if len(bitmap) * FOUND_RATIO < self._old_count:
            return rows_to_bitmap(self.old_rows(bitmap_to_rows(bitmap)))
        words: Words = np.zeros(word_count(self.row_count) + 2, dtype=np.uint64)
        fill_words(bitmap, words[:-2])
        return words_to_bitmap(self._move_words_back(words)[:-1])

    def new_rows(self, rows: RowNumbers) -> RowNumbers:
        """Return how many rows are left before each of *rows*, which is its new number if it is left itself."""
        at = rows >> np.uint32(6)
        before = (np.uint64(1) << (rows & np.uint32(63)).astype(np.uint64)) - np.uint64(1)
        found: RowNumbers = (self._starts[at] + np.bitwise_count(self._live[at] & before)).astype(np.uint32)
        return found

    def old_rows(self, rows: RowNumbers) -> RowNumbers:
        """Return the rows that have the new numbers *rows*."""
        at = np.searchsorted(self._starts, rows, side="right") - 1
        words, rest = self._live[at], rows - self._starts[at]
        places = np.zeros(len(rows), dtype=np.uint64)
        for width in HALVES:  # is the row that is looked for in the lower half of the word?
            lower = words & ((np.uint64(1) << width) - np.uint64(1))
            in_lower = np.bitwise_count(lower)
            is_above = rest >= in_lower
            rest = np.where(is_above, rest - in_lower, rest)
            words = np.where(is_above, words >> width, lower)
            places += np.where(is_above, np.uint64(width), np.uint64(0))
        return (at * WORD_BITS + places.astype(np.int64)).astype(np.uint32)

    @cached_property
    def _moves(self) -> list[tuple[int, Words]]:
        """Return the bits of each word that move down by 1, 2, 4, … places.

        The bits that are left are moved together as in Warren, "Hacker's Delight", 7-4.
        """
        left, before = self._live.copy(), ~self._live << np.uint64(1)
        moves = []
        for distance in reversed(HALVES):
            odd = before.copy()  # whether the number of gaps before a bit, halved with each step, is odd
            for shift in reversed(HALVES):
                odd ^= odd << shift
            moving = odd & left
            left ^= moving
            left |= moving >> distance
            before &= ~odd
            moves.append((distance, moving))
        return moves

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], Words]:
        """Return in which new word the rows of each word begin, and at which of its bits."""
        starts = self._starts[:-1]
        return starts // WORD_BITS, (starts % WORD_BITS).astype(np.uint64)

    @cached_property
    def _first_words(self) -> NDArray[np.int64]:
        """Return the first word of those whose rows begin in the same new word."""
        return np.flatnonzero(np.diff(self._places[0], prepend=-1))

    def _move_words_up(self, words: Words) -> Words:
        """Return the words of the rows of *words*, which are changed, by their new numbers."""
        words &= self._live
        spare = np.empty(BLOCK_WORDS, dtype=np.uint64)
        for start in range(0, len(words), BLOCK_WORDS):
            block = words[start : start + BLOCK_WORDS]
            moved = spare[: len(block)]
            for distance, moving in self._moves:
                np.bitwise_and(block, moving[start : start + BLOCK_WORDS], out=moved)
                block ^= moved
                moved >>= distance
                block |= moved
        (places, shifts), firsts = self._places, self._first_words
        lasts = np.append(firsts[1:], len(words)) - 1  # only the last one can reach into the next new word
        renumbered: Words = np.zeros(word_count(self.row_count) + 2, dtype=np.uint64)
        renumbered[places[firsts]] = np.bitwise_or.reduceat(words << shifts, firsts)
        renumbered[places[lasts] + 1] |= words[lasts] >> np.uint64(1) >> np.uint64(WORD_BITS - 1) - shifts[lasts]
        return renumbered[:-2]

    def _move_words_back(self, renumbered: Words) -> Words:
        """Return the words of the rows whose new numbers are in *renumbered*, which has two words more than needed."""
        places, shifts = self._places
        words = renumbered[places] >> shifts
        words |= renumbered[places + 1] << np.uint64(1) << np.uint64(WORD_BITS - 1) - shifts
        spare = np.empty(BLOCK_WORDS, dtype=np.uint64)
        for start in range(0, len(words), BLOCK_WORDS):
            block = words[start : start + BLOCK_WORDS]
            moved = spare[: len(block)]
            for distance, moving in reversed(self._moves):
                np.left_shift(block, distance, out=moved)
                moved ^= block
                moved &= moving[start : start + BLOCK_WORDS]
                block ^= moved
        words &= self._live
        return words


def _find_bounds(words: Words) -> RowNumbers | None:
    """Return where the runs of *words*, of which the last is empty, begin and end; None if they are many.

    >>> _find_bounds(np.array([0b0110_1000, 0], dtype=np.uint64)).tolist()
    [3, 4, 5, 7]
    """
    changes = words ^ words << np.uint64(1)
    changes[1:] ^= words[:-1] >> np.uint64(WORD_BITS - 1)
    changed = np.flatnonzero(changes)
    found = changes[changed]
    if np.bitwise_count(found).sum(dtype=np.int64) > MAX_BOUNDS:
        return None
    bits = np.flatnonzero(np.unpackbits(found.astype("<u8").view(np.uint8), bitorder="little"))
    return (changed[bits // WORD_BITS] * WORD_BITS + bits % WORD_BITS).astype(np.uint32)


def _join_runs(bounds: RowNumbers) -> BitMap:
    """Return the bitmap of runs that begin and end at *bounds*.

    >>> _join_runs(np.array([0, 2, 2, 3, 7, 7], dtype=np.uint32))
    BitMap([0, 1, 2])
    """
    joined = BitMap()
    for start, stop in zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=True):
        if start < stop:
            joined.add_range(start, stop)
    joined.run_optimize()
    return joined
