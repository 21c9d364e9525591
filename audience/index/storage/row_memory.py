"""Memory for row numbers, which is used again when an array is no longer needed.

The system fills new memory with zeros, a page at a time, when it is first written. For the rows of a dense audience
that takes longer than to find them. A few blocks are kept for the next arrays; the last one that was used comes first.
"""

#   rows of an audience ──no longer used──▶ free blocks ──▶ rows of another one
#                                             └─ if there are enough ──▶ the system

from __future__ import annotations

import mmap
from collections import deque
from contextlib import suppress
from weakref import ref

from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows, fill_rows
from audience.lazy_imports import np

MIN_BYTES, MAX_BYTES = 1 << 17, 1 << 24  # of an array: the rows of a shard at most
MIN_HUGE_BYTES = 1 << 22  # that are worth pages of 2 MB, as numpy has it
MAX_FREE_BLOCKS = 4
HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)  # of Linux

_FREE: deque[mmap.mmap] = deque()  # each operation on these is atomic
_USED: dict[int, tuple[ref[RowNumbers], mmap.mmap]] = {}  # by identity of the array


def allocate_rows(count: int) -> RowNumbers:
    """Return *count* row numbers to overwrite.

    >>> allocate_rows(3).shape, allocate_rows(100_000).shape
    ((3,), (100000,))
    """
    if not MIN_BYTES <= 4 * count <= MAX_BYTES:
        return np.empty(count, dtype=np.uint32)
    try:
        block = _FREE.pop()
    except IndexError:
        block = mmap.mmap(-1, MAX_BYTES, access=mmap.ACCESS_COPY)  # or a forked process would write to the same memory
    if HUGE_PAGES is not None and 4 * count >= MIN_HUGE_BYTES:
        with suppress(OSError):  # the system was built without them
            block.madvise(HUGE_PAGES)
    rows = np.frombuffer(block, dtype=np.uint32, count=count)
    key = id(rows)
    _USED[key] = ref(rows, lambda _: _give_back(key)), block  # `finalize` takes three times as long
    return rows


def list_rows(bitmap: BitMap) -> RowNumbers:
    """Return the row numbers of *bitmap* in rising order, in memory that is used again if they are many.

    >>> list_rows(BitMap([3, 1])).tolist()
    [1, 3]
    """
    count = len(bitmap)
    if 4 * count < MIN_BYTES:
        return bitmap_to_rows(bitmap)
    rows = allocate_rows(count)
    fill_rows(bitmap, rows)
    return rows


def _give_back(key: int) -> None:
    """Free the block of an array that is used no more, in any thread and at any time: no lock is taken."""
    _, block = _USED.pop(key)
    if len(_FREE) < MAX_FREE_BLOCKS:
        _FREE.append(block)
