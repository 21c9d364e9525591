"""Memory for the packed words of large shards, in huge pages where the system has them.

Combining words is as fast as memory is read. With pages of 4 KB, a union of eight bitmaps of four million rows takes a
fifth longer than with pages of 2 MB. Words of about the same length share slabs, each in a slot of its own.

A large page becomes small ones if the system takes a part of it back: to count the rows of two operands takes 1.7 times
as long then. So whole pages are given back, and slots are used again before that.
"""

#   slab    slot 0 │ slot 1 │ slot 2 │ slot 3 │ slot 4 │ … │ slot 31
#   pages     page 0                      │ page 1              …

from __future__ import annotations

import mmap
from collections import deque
from contextlib import suppress
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING
from weakref import finalize

from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEADER_BYTES = 1_024  # of what is kept after words, at most
MIN_BYTES, MAX_BYTES = 1 << 17, (1 << 19) + HEADER_BYTES  # of 1 to 4 Mi rows
SLOT_STEP = 1 << 16  # by which slots of a slab are larger than those of another one
SLAB_SLOTS, PAGE_BYTES = 32, 1 << 21
SKEW, SKEWS = 320, 16  # numpy is slower if words are a multiple of 4,096 bytes apart, as pages are
MIN_SKEWED_BYTES = 1 << 16
HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)  # of Linux
UNUSED: int | None = getattr(mmap, "MADV_DONTNEED", None)


class _Slab:
    """Memory of `SLAB_SLOTS` slots. Pages of which no slot has a part that is used take no memory."""

    def __init__(self, slot_bytes: int) -> None:
        self.slot_bytes = slot_bytes
        self.memory = mmap.mmap(-1, SLAB_SLOTS * slot_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        assert HUGE_PAGES is not None
        with suppress(OSError):  # the system was built without them
            self.memory.madvise(HUGE_PAGES)
        self.free = deque(reversed(range(SLAB_SLOTS)))  # the last one is taken first, and may be in memory
        address = np.frombuffer(self.memory, dtype=np.uint8, count=1).ctypes.data
        self._first_page = -address % PAGE_BYTES

    def is_unused(self) -> bool:
        """Return whether all slots are free."""
        return len(self.free) == SLAB_SLOTS

    def release_pages(self, slot: int) -> None:
        """Give back to the system each page that has a part of *slot*, which is free, and no part of a used slot."""
        assert UNUSED is not None
        start, free = slot * self.slot_bytes, set(self.free)
        for page in range(start - (start - self._first_page) % PAGE_BYTES, start + self.slot_bytes, PAGE_BYTES):
            first, end = max(page, 0), min(page + PAGE_BYTES, len(self.memory))
            if free.issuperset(range(first // self.slot_bytes, -(-end // self.slot_bytes))):
                self.memory.madvise(UNUSED, first, end - first)


class _Slabs:
    """Slabs of which some slots are used, each of *slot_bytes* bytes."""

    def __init__(self, slot_bytes: int) -> None:
        self.slot_bytes = slot_bytes
        self._slabs: list[_Slab] = []
        self._lock = Lock()

    def take(self, nbytes: int) -> NDArray[np.uint8]:
        """Return *nbytes* of a slot, which is free again when the array is no longer used."""
        with self._lock:
            slab = self._find_slab()
            slot = slab.free.pop()
        start = slot * self.slot_bytes + SKEW * (slot % SKEWS)
        memory = np.frombuffer(slab.memory, dtype=np.uint8, count=nbytes, offset=start)
        finalize(memory, self._give_back, slab, slot).atexit = False
        return memory

    def _find_slab(self) -> _Slab:
        """Return the first slab with a free slot, so that the last slabs are the first to be unused."""
        for slab in self._slabs:
            if slab.free:
                return slab
        self._slabs.append(_Slab(self.slot_bytes))
        return self._slabs[-1]

    def _give_back(self, slab: _Slab, slot: int) -> None:
        """Free a slot, in any thread and at any time: no lock is waited for, which this thread may have.

        Without the lock, memory is not given back to the system before a slot nearby is free, or the whole slab.
        """
        slab.free.append(slot)
        if not self._lock.acquire(blocking=False):
            return
        try:
            if slab.is_unused():
                self._slabs = [each for each in self._slabs if not each.is_unused()]
            elif slot in slab.free:
                slab.release_pages(slot)
        finally:
            self._lock.release()

    def count_slots(self) -> tuple[int, int]:
        """Return how many slots are used, and how many there are."""
        count = SLAB_SLOTS * len(self._slabs)
        return count - sum(len(slab.free) for slab in self._slabs), count


_SLABS = {size: _Slabs(size + 2 * mmap.PAGESIZE) for size in range(MIN_BYTES, MAX_BYTES, SLOT_STEP)}  # by words
_NUMBERS = count()


def allocate(nbytes: int) -> NDArray[np.uint8]:
    """Return memory to overwrite, whose first byte is at a multiple of 64.

    >>> allocate(1_000).shape, allocate(500_000).ctypes.data % 64
    ((1000,), 0)
    """
    if MIN_BYTES <= nbytes <= MAX_BYTES and HUGE_PAGES is not None and UNUSED is not None:
        return _SLABS[-(-(nbytes - HEADER_BYTES) // SLOT_STEP) * SLOT_STEP].take(nbytes)
    skew = SKEW * (next(_NUMBERS) % SKEWS) if nbytes >= MIN_SKEWED_BYTES else 0
    memory = np.empty(nbytes + 64 + skew, dtype=np.uint8)
    start = skew + -(memory.ctypes.data + skew) % 64
    return memory[start : start + nbytes]
