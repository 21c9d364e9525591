"""Packed words that are a roaring bitmap at the same time: numpy changes them, CRoaring counts and copies them.

CRoaring counts the bits of words several times as fast as numpy, and makes a bitmap of them without writing them in its
format first. Its frozen format holds containers as they are in memory, so that a view of it has the words themselves.
"""

#   memory   words of container 0 │ words of container 1 │ … │ keys, sizes and kinds of the containers │ header
#   numpy    words[0:1024]          words[1024:2048]
#   view     container 0            container 1

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from audience.index.storage import packed_words, word_memory
from audience.index.storage.bitmaps import MAX_ARRAY_CARDINALITY, BitMap, RowNumbers
from audience.index.storage.croaring import (
    CONTAINER_WORDS,
    LISTED_BEYOND,
    CopyView,
    ListView,
    ViewFrozen,
    Words,
    choose_operations,
    load_frozen_view,
    load_view_copier,
    load_view_lister,
)
from audience.index.storage.row_memory import allocate_rows, list_rows
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FROZEN_COOKIE, BITSET_CONTAINER = 13766, 1
SAMPLED_WORDS = 16  # of a container
MAX_ARRAYS = 3  # that an intersection makes of words as fast as words are copied
UNWRITTEN = 0xFFFF_FFFF  # no row of the samples
VIEWED_ROWS = 1 << 16  # that a view believes each container to have; operations that use it are not called


class ViewedWords:
    """*Size* words to overwrite, followed by zeros up to the end of a container.

    The view does not know how many rows its containers have. Its intersection with itself counts them. A copy whose
    containers are counted has those of few rows as arrays, which intersections make several times as slowly.

    >>> viewed = ViewedWords(2 * CONTAINER_WORDS)
    >>> viewed.words[:] = 0
    >>> viewed.words[1024] = 5
    >>> viewed.count(), viewed.to_bitmap()
    (2, BitMap([65536, 65538]))
    """

    __slots__ = ("_containers", "_view", "nbytes", "words")

    def __init__(self, size: int):
        whole = -(-size // CONTAINER_WORDS) * CONTAINER_WORDS
        memory = _allocate(whole)
        self._containers: Words = memory[: 8 * whole].view(np.uint64)
        self.resize(size)
        self.nbytes = len(memory)
        view = _load_view() if size else None
        self._view = None if view is None else view(memory)  # the words are kept for as long as it is

    def resize(self, size: int) -> None:
        """Make the words *size*, of as many containers as before; what they were is lost.

        >>> viewed = ViewedWords(CONTAINER_WORDS)
        >>> viewed.words[:] = 1
        >>> viewed.resize(10)
        >>> viewed.words[:] = 1
        >>> viewed.count()
        10
        """
        self._containers[size:] = 0
        self.words = self._containers[:size]

    def count(self) -> int:
        """Return the number of bits that are set."""
        if self._view is None:
            return int(np.bitwise_count(self.words).sum(dtype=np.int64))
        return choose_operations(self.words.nbytes).intersection_cardinality(self._view, self._view)

    def count_shared(self, other: ViewedWords) -> int:
        """Return the number of bits that are set in both, which are as many words.

        >>> first, second = ViewedWords(10), ViewedWords(10)
        >>> first.words[:], second.words[:] = 6, 3
        >>> first.count_shared(second)
        10
        """
        if self._view is None or other._view is None:
            return int(np.bitwise_count(self.words & other.words).sum(dtype=np.int64))
        return choose_operations(self.nbytes).intersection_cardinality(self._view, other._view)

    def find_intersection(self, other: ViewedWords) -> BitMap | None:
        """Return the rows whose bits are set in both, which are as many words; None if `to_bitmap` is faster.

        CRoaring intersects words as fast as numpy, and makes a bitmap at once. Only arrays take it longer.

        >>> first, second = ViewedWords(5 * CONTAINER_WORDS), ViewedWords(5 * CONTAINER_WORDS)
        >>> first.words[:], second.words[:] = 0x7F, 0x3F
        >>> len(first.find_intersection(second)), first.find_difference(second)
        (30720, None)
        """
        if self._view is None or other._view is None or _has_arrays(self._sample() & other._sample()):
            return None
        return choose_operations(self.nbytes).intersection(self._view, other._view)

    def find_difference(self, other: ViewedWords) -> BitMap | None:
        """Return the rows whose bits are set here and not in *other*, as `find_intersection`."""
        if self._view is None or other._view is None or _has_arrays(self._sample() & ~other._sample()):
            return None
        return choose_operations(self.nbytes).difference(self._view, other._view)

    def _sample(self) -> Words:
        return self._containers.reshape(-1, CONTAINER_WORDS)[:, :SAMPLED_WORDS]

    def to_bitmap(self) -> BitMap:
        """Return the rows whose bits are set, in a bitmap of their own. No other thread has the words.

        A container without rows has one for a moment: it would be left in the bitmap.
        """
        copy = None if self._view is None else _load_copier()
        if copy is None or self._view is None:
            return packed_words.words_to_bitmap(self._containers.copy())
        firsts = self._containers[::CONTAINER_WORDS]
        lacking = np.bitwise_or.reduce(self._containers.reshape(-1, CONTAINER_WORDS), axis=1) == 0
        if not lacking.any():
            return copy(self._view)
        firsts[lacking] = 1
        bitmap = copy(self._view)
        firsts[lacking] = 0
        for number in np.flatnonzero(lacking).tolist():
            bitmap.remove(VIEWED_ROWS * number)
        return bitmap

    def list_rows(self) -> RowNumbers:
        """Return the rows whose bits are set, in rising order.

        CRoaring writes them straight from the words, in less time than it takes to make a bitmap first.

        >>> viewed = ViewedWords(2)
        >>> viewed.words[:] = 1, 6
        >>> viewed.list_rows().tolist()
        [0, 65, 66]
        """
        write = None if self._view is None else _load_lister()
        if write is None or self._view is None:
            return list_rows(packed_words.words_to_bitmap(self._containers.copy()))
        count = self.count()
        rows = allocate_rows(count + LISTED_BEYOND)
        write(self._view, rows)
        return rows[:count]


def _has_arrays(samples: Words) -> bool:
    """Return whether some containers, of each of which *samples* has a row, are likely to be arrays."""
    counts = np.bitwise_count(samples).sum(axis=1, dtype=np.int64)
    has_few = (counts > 0) & (counts <= SAMPLED_WORDS * MAX_ARRAY_CARDINALITY // CONTAINER_WORDS)
    return int(np.count_nonzero(has_few)) > MAX_ARRAYS


@cache
def _load_view() -> ViewFrozen | None:
    """Return the function that views memory, if it works: bits that are set after it was called are counted."""
    view_frozen = load_frozen_view()
    try:
        found = None if view_frozen is None else _view_samples(view_frozen, [0x11, 0x7F, 0, ~0])
    except ValueError:
        return None
    if found is None:
        return None
    _memory, view, expected = found
    is_right = view & view == expected and view.intersection_cardinality(view) == len(expected) and not view - view
    return view_frozen if is_right else None


@cache
def _load_copier() -> CopyView | None:
    """Return the function that copies views, if it works for few rows of a container, many and all."""
    view_frozen, copy = _load_view(), load_view_copier()
    if view_frozen is None or copy is None:
        return None
    _memory, view, expected = _view_samples(view_frozen, [0x11, 0x7F, ~0])
    copied = copy(view)
    is_right = copied == expected and copied.serialize() == expected.serialize() and len(copied) == len(expected)
    return copy if is_right else None


@cache
def _load_lister() -> ListView | None:
    """Return the function that lists the rows of views, if it works for few rows of a container, many and all.

    It must not write more than it is known to write after the last row.
    """
    view_frozen, write = _load_view(), load_view_lister()
    if view_frozen is None or write is None:
        return None
    _memory, view, expected = _view_samples(view_frozen, [0x11, 0x7F, 0, ~0, 0x7F, -1 << 63])
    count = len(expected)
    rows = np.full(count + 2 * VIEWED_ROWS, UNWRITTEN, dtype=np.uint32)
    write(view, rows)
    is_right = np.array_equal(rows[:count], list_rows(expected))
    return write if is_right and (rows[count + LISTED_BEYOND :] == UNWRITTEN).all() else None


def _view_samples(view_frozen: ViewFrozen, samples: Sequence[int]) -> tuple[NDArray[np.uint8], BitMap, BitMap]:
    """Return memory, a view of it, and the rows of containers that were written then, each with one of *samples*.

    The first container has the sample in ten words only, others in all.
    """
    memory = _allocate(len(samples) * CONTAINER_WORDS)
    words = memory[: 8 * len(samples) * CONTAINER_WORDS].view(np.uint64)
    view = view_frozen(memory)
    words.reshape(-1, CONTAINER_WORDS)[:] = np.array(samples, dtype=np.int64).view(np.uint64)[:, None]
    words[10:CONTAINER_WORDS] = 0
    return memory, view, packed_words.words_to_bitmap(words.copy())


def _allocate(size: int) -> NDArray[np.uint8]:
    """Return memory for words, and what the frozen format has after them."""
    count = size // CONTAINER_WORDS
    header = np.array([count << 15 | FROZEN_COOKIE], dtype=np.uint32)
    sizes = np.full(count, VIEWED_ROWS - 1, dtype=np.uint16)
    kinds = np.full(count, BITSET_CONTAINER, dtype=np.uint8)
    keys = np.arange(count, dtype=np.uint16)
    added = np.concatenate([keys.view(np.uint8), sizes.view(np.uint8), kinds, header.view(np.uint8)])
    memory = word_memory.allocate(8 * size + len(added))
    memory[8 * size :] = added
    return memory
