"""Memory for row numbers, which is used again when an array is no longer needed.

The system fills new memory with zeros, a page at a time, when it is first written. For the rows of a dense audience
that takes longer than to find them. A few slots are kept for the next arrays; the last one that was used comes first.
"""

#   rows of an audience ──no longer used──▶ free slots ──▶ rows of another one
#                                             └─ if there are enough ──▶ the system

from __future__ import annotations

import mmap
from collections import deque
from contextlib import suppress
from typing import TypeAlias
from weakref import ref

from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows, fill_rows
from audience.lazy_imports import np

MIN_BYTES, SMALL_BYTES, MAX_BYTES = 1 << 17, 1 << 20, 1 << 24  # of an array: the rows of a shard at most
SLAB_SLOTS = 8  # of small arrays, which share pages: the first one fills those of the next, too
MAX_FREE = {SMALL_BYTES: SLAB_SLOTS, MAX_BYTES: 4}
HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)  # of Linux

Slot: TypeAlias = tuple[mmap.mmap, int, int]  # memory, where it begins there, and how long it is

_FREE: dict[int, deque[Slot]] = {SMALL_BYTES: deque(), MAX_BYTES: deque()}  # each operation on one is atomic
_USED: dict[int, tuple[ref[RowNumbers], Slot]] = {}  # by identity of the array


def allocate_rows(count: int) -> RowNumbers:
    """Return *count* row numbers to overwrite.

    >>> allocate_rows(3).shape, allocate_rows(100_000).shape
    ((3,), (100000,))
    """
    if not MIN_BYTES <= 4 * count <= MAX_BYTES:
        return np.empty(count, dtype=np.uint32)
    nbytes = SMALL_BYTES if 4 * count <= SMALL_BYTES else MAX_BYTES
    try:
        slot = _FREE[nbytes].pop()
    except IndexError:
        slot, *others = _open_slab(nbytes)
        _FREE[nbytes].extend(reversed(others))
    block, start, _ = slot
    rows = np.frombuffer(block, dtype=np.uint32, count=count, offset=start)
    key = id(rows)
    _USED[key] = ref(rows, lambda _: _give_back(key)), slot  # `finalize` takes three times as long
    return rows


def _open_slab(nbytes: int) -> list[Slot]:
    """Return new slots of *nbytes*, several small ones or a large one, in pages of 2 MB where the system has them."""
    size = SLAB_SLOTS * SMALL_BYTES if nbytes == SMALL_BYTES else nbytes
    block = mmap.mmap(-1, size, access=mmap.ACCESS_COPY)  # or a forked process would write to the same memory
    if HUGE_PAGES is not None:
        with suppress(OSError):  # the system was built without them
            block.madvise(HUGE_PAGES)
    return [(block, start, nbytes) for start in range(0, size, nbytes)]


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
    """Free the slot of an array that is used no more, in any thread and at any time: no lock is taken."""
    _, slot = _USED.pop(key)
    free = _FREE[slot[2]]
    if len(free) < MAX_FREE[slot[2]]:
        free.append(slot)
