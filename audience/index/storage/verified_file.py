"""Files whose bytes are compared with their checksums before they are trusted.

Each block of 64 KiB has a checksum of its own, so that a question reads and checks only what it touches. A file is
opened and mapped at once and stays readable for as long as it is held, also when its name is gone meanwhile.
"""

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audience._fs.checksums import hash64
from audience.errors import DamagedError, InvalidIndexError, Problem
from audience.index.storage import arrow_file

BLOCK_BYTES = 1 << 16


def hash_blocks(data: memoryview) -> NDArray[np.uint64]:
    """The checksum of each block of *data*.

    >>> len(hash_blocks(memoryview(bytes(BLOCK_BYTES + 1))))
    2
    """
    starts = range(0, len(data), BLOCK_BYTES)
    return np.array([hash64(data[at : at + BLOCK_BYTES]) for at in starts], dtype=np.uint64)


def hash_file_blocks(path: Path) -> NDArray[np.uint64]:
    """The checksum of each block of the file *path*."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            return hash_blocks(view)
        finally:
            view.release()


class VerifiedFile:
    """A file of *size* bytes, open for reading; *sums* gives the checksums of its blocks when the first is needed."""

    def __init__(self, path: Path, size: int, load_checksums: Callable[[], NDArray[np.uint64]]):
        self.path = path
        self.data = map_sized_file(path, size)
        self._load_checksums = load_checksums
        self._verified_blocks = np.zeros(-(-size // BLOCK_BYTES), dtype=np.bool_)

    def read(self, start: int, stop: int) -> memoryview:
        """The bytes from *start* to before *stop*; DamagedError where a block of them is not what was written."""
        first, last = start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)
        if not self._verified_blocks[first:last].all():
            self._verify_blocks(np.flatnonzero(~self._verified_blocks[first:last]) + first)
        return self.data[start:stop]

    def verify_ranges(self, starts: NDArray[np.int64], size: int) -> None:
        """Check the blocks of many small parts, each of *size* bytes, at once."""
        wanted = np.zeros(len(self._verified_blocks), dtype=np.bool_)
        wanted[starts // BLOCK_BYTES] = wanted[(starts + max(size - 1, 0)) // BLOCK_BYTES] = True
        self._verify_blocks(np.flatnonzero(wanted & ~self._verified_blocks))

    def contains_any(self, start: int, stop: int, byte_values: bytes) -> bool:
        """Whether any byte from *start* to before *stop* is one of *signs*."""
        self.read(start, stop)
        pieces = (bytes(self.data[at : min(at + 2 * BLOCK_BYTES, stop)]) for at in range(start, stop, 2 * BLOCK_BYTES))
        return any(sign in piece for piece in pieces for sign in byte_values)

    def evict(self) -> None:
        """Give back the memory of what was read; it stays readable, and sound."""
        arrow_file.evict_pages(self.data)

    def verify(self) -> None:
        """Compare all bytes with their checksums, also those that were compared before."""
        self._verified_blocks[:] = False
        self.read(0, len(self.data))

    def _verify_blocks(self, blocks: NDArray[np.int64]) -> None:
        sums = self._load_checksums()
        for block in blocks.tolist():
            data = self.data[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
            if block >= len(sums) or hash64(data) != sums[block]:
                raise damaged_error(self.path)
            self._verified_blocks[block] = True


def map_sized_file(path: Path, size: int) -> memoryview:
    """The bytes of the file *path*, which must be *size* of them."""
    with wrap_os_errors(path):
        if not path.is_file():
            raise _missing_file_error(path)
        try:
            data = arrow_file.map_file(path)
        except FileNotFoundError as error:  # it was there a moment ago
            raise _missing_file_error(path) from error
        if len(data) != size:
            raise damaged_error(path)
        return data


def _missing_file_error(path: Path) -> DamagedError:
    return DamagedError(Problem("damaged", f"{path} is missing", hint=RESTORE_HINT))


RESTORE_HINT = "restore a copy, or build the index again"


def damaged_error(path: Path, detail: str = "") -> DamagedError:
    """The error of a file that is not what was written; *what* in it, where that is known."""
    return DamagedError(Problem("damaged", f"{path}{detail} is not what was written", hint=RESTORE_HINT))


@contextmanager
def wrap_os_errors(path: Path) -> Iterator[None]:
    """Turns what the system says of *path* into an error of ours."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidIndexError(Problem("unreadable", f"{path}: {reason}")) from error
