"""Files whose bytes are compared with their checksums before they are used.

Each block of 64 KiB has its own checksum, so that a query loads and verifies only the blocks that it needs.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from audience._fs.checksums import hash64, hash128
from audience.index.storage.published import StoredFile, damaged_error
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 16
READ_BYTES = 16 * BLOCK_BYTES  # of a file that is hashed
MAX_LOADED_BLOCKS = 64  # that are loaded together, before the first of them is verified


def hash_blocks(data: memoryview) -> array[int]:
    """Return the checksum of each block of *data*.

    >>> len(hash_blocks(memoryview(bytes(BLOCK_BYTES + 1))))
    2
    """
    starts = range(0, len(data), BLOCK_BYTES)
    return array("Q", (hash64(data[start : start + BLOCK_BYTES]) for start in starts))


def hash_file_blocks(path: Path) -> NDArray[np.uint64]:
    """Return the checksum of each block of a local file.

    The file is read, not mapped: a mapping cannot be closed while anything refers to a part of it, and its error would
    hide that of a read.
    """
    with path.open("rb") as file:
        pieces = (hash_blocks(memoryview(piece)) for piece in iter(lambda: file.read(READ_BYTES), b""))
        return np.array(list(chain.from_iterable(pieces)), dtype=np.uint64)


def read_whole(file: StoredFile, checksum: str) -> memoryview:
    """Return the bytes of a file of which the checksum of the whole is known. Raises DamagedError if it differs."""
    file.load(0, len(file.data))
    if hash128(file.data) != checksum and not (file.reload(0, len(file.data)) and hash128(file.data) == checksum):
        raise damaged_error(file.path)
    return file.data


class VerifiedFile:
    """Published file that is verified block by block.

    `data` may be used where it was read or verified through this object. *load_checksums* returns the checksums of
    the blocks; it is called when the first block is needed.
    """

    def __init__(self, file: StoredFile, load_checksums: Callable[[], Sequence[int] | memoryview]):
        self.path = file.path
        self.data = file.data
        self.is_remote = file.is_remote
        self._file = file
        self._load_checksums = load_checksums
        self._is_verified = bytearray(-(-len(file.data) // BLOCK_BYTES))  # of each block, 0 or 1

    @cached_property
    def _verified_blocks(self) -> NDArray[np.bool_]:
        return np.frombuffer(self._is_verified, dtype=np.bool_)  # the same memory

    def checksums(self) -> Sequence[int] | memoryview:
        """Return the checksum that each block should have."""
        return self._load_checksums()

    def read(self, start: int, stop: int) -> memoryview:
        """Return the bytes from *start* up to *stop*. Raises DamagedError if a block of them is damaged."""
        first, last = start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)
        if self._is_verified.find(0, first, last) >= 0:
            self._verify_blocks([block for block in range(first, last) if not self._is_verified[block]])
        return self.data[start:stop]

    def read_buffer(self, location: tuple[int, int] | None) -> None:
        """Verify the bytes of a buffer of an Arrow array, if it has one, by its start and its size."""
        if location is not None:
            self.read(location[0], sum(location))

    def read_spans(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> list[memoryview]:
        """Return the bytes of many ranges, none of them empty, verified together."""
        edges = np.zeros(len(self._verified_blocks) + 1, dtype=np.int64)
        np.add.at(edges, starts // BLOCK_BYTES, 1)
        np.subtract.at(edges, -(-stops // BLOCK_BYTES), 1)
        self._verify_blocks(np.flatnonzero((np.cumsum(edges[:-1]) > 0) & ~self._verified_blocks).tolist())
        return [self.data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]

    def verify_rows(self, start: int, width: int, rows: NDArray[np.uint32]) -> None:
        """Verify the blocks with any of *rows*, which rise, of a table from *start* on with *width* bytes a row."""
        if not len(rows):
            return
        first = (start + int(rows[0]) * width) // BLOCK_BYTES
        last = -(-(start + (int(rows[-1]) + 1) * width) // BLOCK_BYTES)
        unverified = np.flatnonzero(~self._verified_blocks[first:last]) + first
        if len(unverified):
            first_rows = np.maximum(unverified * BLOCK_BYTES - start, 0) // width
            stop_rows = -(-((unverified + 1) * BLOCK_BYTES - start) // width)
            bounds = np.searchsorted(rows, np.concatenate([first_rows, stop_rows]).astype(np.uint32))
            has_row = bounds[: len(unverified)] < bounds[len(unverified) :]
            self._verify_blocks(unverified[has_row].tolist())

    def contains_any(self, start: int, stop: int, byte_values: bytes) -> bool:
        """Return whether any byte from *start* up to *stop* is one of *byte_values*."""
        self.read(start, stop)
        chunk_bytes = 2 * BLOCK_BYTES
        chunks = (bytes(self.data[at : min(at + chunk_bytes, stop)]) for at in range(start, stop, chunk_bytes))
        return any(value in chunk for chunk in chunks for value in byte_values)

    def evict(self) -> None:
        """Release the memory of what was read; it stays readable and verified."""
        self._file.evict()

    def verify(self) -> None:
        """Verify all blocks, also those that were verified before."""
        self._is_verified[:] = bytes(len(self._is_verified))
        self.read(0, len(self.data))

    def _verify_blocks(self, blocks: Sequence[int]) -> None:
        checksums = self._load_checksums()
        runs = list(_find_runs(blocks))
        self._file.load_ranges([(first * BLOCK_BYTES, last * BLOCK_BYTES) for first, last in runs])
        for first, last in runs:
            self._file.load(first * BLOCK_BYTES, last * BLOCK_BYTES)
            for block in () if self._are_intact(first, last, checksums) else range(first, last):
                if not self._are_intact(block, block + 1, checksums) and not self._is_intact_again(block, checksums):
                    raise damaged_error(self.path)
            self._is_verified[first:last] = b"\1" * (last - first)

    def _are_intact(self, first: int, last: int, checksums: Sequence[int] | memoryview) -> bool:
        starts = range(first * BLOCK_BYTES, last * BLOCK_BYTES, BLOCK_BYTES)
        found = [hash64(self.data[start : start + BLOCK_BYTES]) for start in starts]
        return found == list(checksums[first:last])

    def _is_intact_again(self, block: int, checksums: Sequence[int] | memoryview) -> bool:
        """Load a damaged block again if it was a copy. Return whether it is intact now."""
        start = block * BLOCK_BYTES
        return self._file.reload(start, start + BLOCK_BYTES) and self._are_intact(block, block + 1, checksums)


def _find_runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the half-open ranges of consecutive rising *numbers*, each of at most `MAX_LOADED_BLOCKS`.

    >>> list(_find_runs([1, 2, 3, 7]))
    [(1, 4), (7, 8)]
    """
    start = 0
    for stop, number in enumerate(numbers, 1):
        if stop == len(numbers) or numbers[stop] != number + 1 or stop - start == MAX_LOADED_BLOCKS:
            yield numbers[start], number + 1
            start = stop
