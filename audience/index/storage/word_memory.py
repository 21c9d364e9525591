"""Memory for the packed words of large shards, in huge pages where the system has them.

Combining words is as fast as memory is read. With pages of 4 KB, a union of eight bitmaps of four million rows takes a
fifth longer than with pages of 2 MB. Words of about the same length share slabs, each in a slot of its own.

A huge page becomes small ones if the system takes a part of it back: to count the rows of two operands takes 1.7 times
as long then. So huge pages are given back as a whole, when no words in them are used. Until then, free slots take as
much memory as was used at once.
"""

#   slab         slot 0 │ slot 1 │ slot 2 │ slot 3 │ slot 4 │ … │ slot 31
#   huge pages   page 0                        │ page 1         …

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
SLAB_SLOTS, HUGE_PAGE_BYTES = 32, 1 << 21
MAX_SPARE = 1  # slots of a size that are kept for results, which are taken and given back again and again
SKEW, SKEWS = 320, 16  # numpy is slower if words are a multiple of 4,096 bytes apart
MIN_SKEWED_BYTES = 1 << 16
HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)  # of Linux
UNUSED: int | None = getattr(mmap, "MADV_DONTNEED", None)


class _Slab:
    """Memory of `SLAB_SLOTS` slots. Huge pages of which no slot that is used has a part take no memory."""

    def __init__(self, slot_bytes: int) -> None:
        self.slot_bytes = slot_bytes
        whole = -(-SLAB_SLOTS * slot_bytes // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        self.memory = mmap.mmap(-1, whole + HUGE_PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        assert HUGE_PAGES is not None
        with suppress(OSError):  # the system was built without them
            self.memory.madvise(HUGE_PAGES)
        address = np.frombuffer(self.memory, dtype=np.uint8, count=1).ctypes.data
        self.start = -address % HUGE_PAGE_BYTES  # of the first huge page, and of the first slot
        self.free = deque(reversed(range(SLAB_SLOTS)))  # the last one is taken first, and may be in memory

    def is_unused(self) -> bool:
        """Return whether all slots are free."""
        return len(self.free) == SLAB_SLOTS

    def release_pages(self, slot: int) -> None:
        """Give back to the system each huge page that has a part of *slot*, and no part of a slot that is used."""
        assert UNUSED is not None
        free, first = set(self.free), slot * self.slot_bytes
        for page in range(first // HUGE_PAGE_BYTES, -(-(first + self.slot_bytes) // HUGE_PAGE_BYTES)):
            start, end = page * HUGE_PAGE_BYTES, (page + 1) * HUGE_PAGE_BYTES
            slots = range(start // self.slot_bytes, min(-(-end // self.slot_bytes), SLAB_SLOTS))
            if free.issuperset(slots):
                self.memory.madvise(UNUSED, self.start + start, HUGE_PAGE_BYTES)


class _Slabs:
    """Slabs whose slots have *slot_bytes* bytes. A slab is given back to the system when no slot of it is used."""

    def __init__(self, slot_bytes: int) -> None:
        self.slot_bytes = slot_bytes
        self._slabs: list[_Slab] = []
        self._spare: deque[tuple[_Slab, int]] = deque()  # slots that were used last; each operation is atomic
        self._lock = Lock()

    def take(self, nbytes: int) -> NDArray[np.uint8]:
        """Return *nbytes* of a slot, which is free again when the array is no longer used."""
        slab, slot = self._find_slot()
        start = slab.start + slot * self.slot_bytes + SKEW * (slot % SKEWS)
        memory = np.frombuffer(slab.memory, dtype=np.uint8, count=nbytes, offset=start)
        finalize(memory, self._give_back, slab, slot).atexit = False
        return memory

    def _find_slot(self) -> tuple[_Slab, int]:
        """Return a spare slot, or a free one of the first slab that has one: the last slabs are unused first."""
        with suppress(IndexError):
            return self._spare.pop()
        with self._lock:
            for slab in self._slabs:
                if slab.free:
                    return slab, slab.free.pop()
            self._slabs.append(_Slab(self.slot_bytes))
            return self._slabs[-1], self._slabs[-1].free.pop()

    def _give_back(self, slab: _Slab, slot: int) -> None:
        """Make a slot a spare one, and free those that were spare before, in any thread and at any time."""
        self._spare.append((slab, slot))
        while len(self._spare) > MAX_SPARE:
            with suppress(IndexError):
                self._free_slot(*self._spare.popleft())

    def _free_slot(self, slab: _Slab, slot: int) -> None:
        """Free a slot, and give back to the system what is no longer used.

        That needs the lock, which this thread may hold. Then the memory is given back when a later slot of the same
        page is freed, or the last one of any slab.
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
        """Return how many slots are used or spare, and how many there are."""
        slot_count = SLAB_SLOTS * len(self._slabs)
        return slot_count - sum(len(slab.free) for slab in self._slabs), slot_count


# by the bytes of the longest words
_SLABS = {size: _Slabs(size + 2 * mmap.PAGESIZE) for size in range(MIN_BYTES, MAX_BYTES, SLOT_STEP)}
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
