"""Memory for the packed words of large shards, in huge pages where the system has them.

Combining words is as fast as memory is read. With pages of 4 KB, a union of eight bitmaps of four million rows takes a
fifth longer than with pages of 2 MB. Words of about one large shard share slabs, each in a slot of its own.
"""

#   slab   slot 0 │ slot 1 │ … │ slot 31        of one size; a slot whose words are no longer used is given back

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

MAX_BYTES, MIN_BYTES = (1 << 19) + 1_024, 7 << 16  # of 4 Mi rows and what is kept after them
SLOT_BYTES = (1 << 19) + 2 * mmap.PAGESIZE
SLAB_SLOTS = 32
SKEW, SKEWS = 320, 16  # numpy is slower if words are a multiple of 4,096 bytes apart, as pages are
MIN_SKEWED_BYTES = 1 << 16
HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)  # of Linux
UNUSED: int | None = getattr(mmap, "MADV_DONTNEED", None)


class _Slabs:
    """Slots of all slabs. Those that are free take no memory."""

    def __init__(self) -> None:
        self._free: deque[tuple[mmap.mmap, int]] = deque()
        self._lock = Lock()

    def take(self) -> NDArray[np.uint8]:
        """Return the memory of a slot, which is free again when the array is no longer used."""
        with self._lock:
            if not self._free:
                self._free.extend(self._open_slab())
            slab, start = self._free.popleft()
        skew = SKEW * (start // SLOT_BYTES % SKEWS)
        memory = np.frombuffer(slab, dtype=np.uint8, count=MAX_BYTES, offset=start + skew)
        finalize(memory, self._give_back, slab, start).atexit = False
        return memory

    def _open_slab(self) -> list[tuple[mmap.mmap, int]]:
        slab = mmap.mmap(-1, SLAB_SLOTS * SLOT_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        assert HUGE_PAGES is not None
        with suppress(OSError):  # the system was built without them
            slab.madvise(HUGE_PAGES)
        return [(slab, start) for start in range(0, SLAB_SLOTS * SLOT_BYTES, SLOT_BYTES)]

    def _give_back(self, slab: mmap.mmap, start: int) -> None:
        """Free a slot, in any thread and at any time: no lock is taken."""
        assert UNUSED is not None
        slab.madvise(UNUSED, start, SLOT_BYTES)
        self._free.append((slab, start))


_SLABS = _Slabs()
_NUMBERS = count()


def allocate(nbytes: int) -> NDArray[np.uint8]:
    """Return memory to overwrite, whose first byte is at a multiple of 64.

    >>> allocate(1_000).shape, allocate(500_000).ctypes.data % 64
    ((1000,), 0)
    """
    if MIN_BYTES <= nbytes <= MAX_BYTES and HUGE_PAGES is not None and UNUSED is not None:
        return _SLABS.take()[:nbytes]
    skew = SKEW * (next(_NUMBERS) % SKEWS) if nbytes >= MIN_SKEWED_BYTES else 0
    memory = np.empty(nbytes + 64 + skew, dtype=np.uint8)
    start = skew + -(memory.ctypes.data + skew) % 64
    return memory[start : start + nbytes]
