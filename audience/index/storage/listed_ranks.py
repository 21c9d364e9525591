"""Ranks of the values of an attribute of many texts, listed row by row beside the bit slices.

Slices are compared with few bounds. Any other ranks are wanted or not by a table, for which slices must be transposed
first: that takes longer than to look up ranks that are stored as they are.
"""

#   rank of a row    1 0000 0000 0000 0101     listed: the lower 16 bits; the upper ones are slices
#   table at 5       0000 0010                 flags: 5 is not wanted, 5 + 2 ** 16 is

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audience.index.storage.arrow_file import TAKEN_SIZE, take_bytes
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.croaring import CONTAINER_WORDS, Words
from audience.index.storage.packed_numbers import choose_parts
from audience.index.storage.packed_words import WordBytes, clear_from, word_count, words_to_bitmap
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LISTED_BITS = 16  # of a rank, which are stored in two bytes
MAX_UPPER_BITS = 3  # beside them: a byte of the table has as many flags as they have values
BLOCK_WORDS = 16 * CONTAINER_WORDS  # of rows that are found at a time


def list_ranks(ranks: NDArray[np.uint32], bit_depth: int) -> NDArray[np.uint16] | None:
    """Return the lower bits of *ranks*, which have *bit_depth* bits, as they are stored; None if they are not.

    >>> list_ranks(np.array([5, 65_541], dtype=np.uint32), 17).tolist()
    [5, 5]
    """
    if bit_depth > LISTED_BITS + MAX_UPPER_BITS:
        return None
    return (ranks & np.uint32((1 << LISTED_BITS) - 1)).astype(np.uint16)


class RankLookup:
    """Rows whose rank is wanted, which are found in blocks; threads may share them, as `NumberLookup`.

    Args:
        ranks: Lower bits of the rank of each row, as `list_ranks` returns them.
        upper: Further bits, lowest first: the rows whose rank has them set, as the bytes of packed words.
        is_wanted: Whether each rank is wanted; their number is a power of two.

    >>> lookup = RankLookup(np.array([0, 2, 3], dtype=np.uint16), [], np.array([False, False, True, True]))
    >>> for start in lookup.starts:
    ...     lookup.look_up(start)
    >>> lookup.to_bitmap()
    BitMap([1, 2])
    """

    def __init__(self, ranks: NDArray[np.uint16], upper: Sequence[WordBytes], is_wanted: NDArray[np.bool_]):
        self._ranks, self._upper = ranks, upper
        self._table = _pack_flags(is_wanted, len(is_wanted) >> len(upper))
        self._found: Words = np.zeros(word_count(len(ranks)), dtype="<u8")
        self.starts = range(0, self._found.nbytes, 8 * BLOCK_WORDS)

    def look_up(self, start: int) -> None:
        """Find the rows of the block at *start*, one of `starts`."""
        flags = take_bytes(self._table, self._ranks[8 * start : 8 * (start + 8 * BLOCK_WORDS)])
        size = -(-len(flags) // 8)
        parts = [
            np.packbits(flags & np.uint8(1 << number) if self._upper else flags, bitorder="little")
            for number in range(1 << len(self._upper))
        ]
        upper = [bits[start : start + size] for bits in self._upper]
        self._found.view(np.uint8)[start : start + size] = choose_parts(parts, upper)

    def to_bitmap(self) -> BitMap:
        """Return the rows, after all blocks were looked up. It is called once."""
        clear_from(self._found, len(self._ranks))
        return words_to_bitmap(self._found)


def _pack_flags(is_wanted: NDArray[np.bool_], length: int) -> NDArray[np.uint8]:
    """Return a table: bit j of byte i says whether i + j * *length* is wanted, for each i below *length*.

    >>> _pack_flags(np.array([True, False, True, True]), 2)[:3].tolist()
    [3, 2, 0]
    """
    table = np.zeros(TAKEN_SIZE, dtype=np.uint8)
    for number, flags in enumerate(is_wanted.view(np.uint8).reshape(-1, length)):
        table[:length] |= flags << np.uint8(number)
    return table
