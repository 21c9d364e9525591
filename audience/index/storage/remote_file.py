"""File in an object store, whose blocks come to this machine when they are first needed."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import mkstemp
from threading import Lock
from typing import Protocol
from weakref import finalize

from audience.index.storage import arrow_file
from audience.index.storage.block_cache import BlockCache
from audience.index.storage.published import damaged_error, wrap_os_errors
from audience.index.storage.verified_file import BLOCK_BYTES

MAX_LOADED_BYTES = 32 << 20  # that are loaded together

Ranges = Sequence[tuple[int, int]]


class BlockSource(Protocol):
    """Source of blocks that are stored a second time, near others that are needed at the same time."""

    def find(self, key: str, block: int) -> memoryview | None:
        """Return a block of an object, or None."""


class RemoteFile:
    """File of *nbytes* bytes in an object store.

    Its bytes are written to a temporary file without a name, which is mapped: the operating system takes back the
    memory if it is needed, and no other process changes them.

    Args:
        path: URL of the file, for messages.
        key: Name of the object.
        nbytes: Size of the file.
        fetch: Returns ranges of the object. Raises OSError.
        cache: Cache on disk.
        nearby: Source of blocks that is asked before the object is.
    """

    is_remote = True

    def __init__(
        self,
        path: str,
        key: str,
        nbytes: int,
        fetch: Callable[[str, Ranges], Sequence[memoryview]],
        cache: BlockCache,
        nearby: BlockSource | None = None,
    ):
        self.path = path
        self._key = key
        self._nbytes = nbytes
        self._fetch = fetch
        self._cache = cache
        self._nearby = nearby
        self._is_loaded = bytearray(-(-nbytes // BLOCK_BYTES))  # of each block, 0 or 1
        self._lock = Lock()
        with wrap_os_errors(path):
            self._descriptor, scratch = mkstemp(prefix="audience-", dir=cache.scratch_folder)
            finalize(self, os.close, self._descriptor)
            Path(scratch).unlink()
            os.ftruncate(self._descriptor, nbytes)
            self.data = arrow_file.map_descriptor(self._descriptor, nbytes)

    def load(self, start: int, stop: int) -> None:
        """Make a range available in `data`."""
        self.load_ranges([(start, stop)])

    def load_ranges(self, ranges: Ranges) -> None:
        """Make several ranges available in `data`, with as few requests as possible."""
        wanted = (block for each in ranges for block in self._blocks(*each) if not self._is_loaded[block])
        for blocks in _split(sorted(set(wanted))):
            with self._lock, wrap_os_errors(self.path):
                missing = [block for block in blocks if not self._is_loaded[block]]  # after another thread
                absent = [block for block in missing if not self._copy_from_cache(block)]
                rest = [block for block in absent if not self._copy_from_nearby(block)]
                self._load_from_store(rest, is_kept=True)

    def reload(self, start: int, stop: int) -> bool:
        """Load a range from the store again. Return True: there may have been a copy."""
        for blocks in _split(self._blocks(start, min(stop, self._nbytes))):
            with self._lock, wrap_os_errors(self.path):
                self._load_from_store(blocks, is_kept=len(blocks) == 1)  # a block that was damaged in the cache
        return True

    def evict(self) -> None:
        """Let the operating system take back the memory."""
        arrow_file.evict_pages(self.data)

    def _blocks(self, start: int, stop: int) -> range:
        return range(start // BLOCK_BYTES, -(-min(stop, self._nbytes) // BLOCK_BYTES))

    def _size(self, block: int) -> int:
        return min(self._nbytes - block * BLOCK_BYTES, BLOCK_BYTES)

    def _copy_from_cache(self, block: int) -> bool:
        data = self._cache.read(self.path, block)
        return data is not None and self._copy(block, data)

    def _copy_from_nearby(self, block: int) -> bool:
        data = None if self._nearby is None else self._nearby.find(self._key, block)
        if data is None or not self._copy(block, data):
            return False
        self._cache.write(self.path, block, data)
        return True

    def _load_from_store(self, blocks: Sequence[int], *, is_kept: bool) -> None:
        if not blocks:
            return
        runs = list(_find_runs(blocks))
        ranges = [(first * BLOCK_BYTES, min(last * BLOCK_BYTES, self._nbytes)) for first, last in runs]
        for (first, last), data in zip(runs, self._fetch(self._key, ranges), strict=True):
            for block in range(first, last):
                start = (block - first) * BLOCK_BYTES
                part = data[start : start + self._size(block)]
                if not self._copy(block, part):
                    raise damaged_error(self.path)
                if is_kept:
                    self._cache.write(self.path, block, part)

    def _copy(self, block: int, data: bytes | memoryview) -> bool:
        """Write a block to the temporary file. Return False if *data* has not its size."""
        if len(data) != self._size(block):
            return False
        os.pwrite(self._descriptor, data, block * BLOCK_BYTES)  # a full disk is an error, not a signal
        self._is_loaded[block] = True
        return True


def _split(blocks: Sequence[int]) -> Iterable[Sequence[int]]:
    count = MAX_LOADED_BYTES // BLOCK_BYTES
    return (blocks[start : start + count] for start in range(0, len(blocks), count))


def _find_runs(blocks: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Yield the half-open ranges of consecutive rising *blocks*."""
    start = 0
    for stop in range(1, len(blocks) + 1):
        if stop == len(blocks) or blocks[stop] != blocks[stop - 1] + 1:
            yield blocks[start], blocks[stop - 1] + 1
            start = stop
