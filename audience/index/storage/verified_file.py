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

from audience._fs.checksums import short_digest
from audience.errors import DamagedError, IndexFolderError, Problem
from audience.index.storage import arrow_file

BLOCK = 1 << 16


def checksums(data: memoryview) -> NDArray[np.uint64]:
    """The checksum of each block of *data*.

    >>> len(checksums(memoryview(bytes(BLOCK + 1))))
    2
    """
    starts = range(0, len(data), BLOCK)
    return np.array([short_digest(data[at : at + BLOCK]) for at in starts], dtype=np.uint64)


def file_checksums(path: Path) -> NDArray[np.uint64]:
    """The checksum of each block of the file *path*."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            return checksums(view)
        finally:
            view.release()


class SoundFile:
    """A file of *size* bytes, open for reading; *sums* gives the checksums of its blocks when the first is needed."""

    def __init__(self, path: Path, size: int, sums: Callable[[], NDArray[np.uint64]]):
        self.path = path
        self.data = mapped(path, size)
        self._sums = sums
        self._seen = np.zeros(-(-size // BLOCK), dtype=np.bool_)

    def part(self, start: int, stop: int) -> memoryview:
        """The bytes from *start* to before *stop*; DamagedError where a block of them is not what was written."""
        first, last = start // BLOCK, -(-stop // BLOCK)
        if not self._seen[first:last].all():
            self._check(np.flatnonzero(~self._seen[first:last]) + first)
        return self.data[start:stop]

    def touch(self, starts: NDArray[np.int64], size: int) -> None:
        """Check the blocks of many small parts, each of *size* bytes, at once."""
        wanted = np.zeros(len(self._seen), dtype=np.bool_)
        wanted[starts // BLOCK] = wanted[(starts + max(size - 1, 0)) // BLOCK] = True
        self._check(np.flatnonzero(wanted & ~self._seen))

    def holds(self, start: int, stop: int, signs: bytes) -> bool:
        """Whether any byte from *start* to before *stop* is one of *signs*."""
        self.part(start, stop)
        pieces = (bytes(self.data[at : min(at + 2 * BLOCK, stop)]) for at in range(start, stop, 2 * BLOCK))
        return any(sign in piece for piece in pieces for sign in signs)

    def forget(self) -> None:
        """Give back the memory of what was read; it stays readable, and sound."""
        arrow_file.released(self.data)

    def check(self) -> None:
        """Compare all bytes with their checksums, also those that were compared before."""
        self._seen[:] = False
        self.part(0, len(self.data))

    def _check(self, blocks: NDArray[np.int64]) -> None:
        sums = self._sums()
        for block in blocks.tolist():
            data = self.data[block * BLOCK : (block + 1) * BLOCK]
            if block >= len(sums) or short_digest(data) != sums[block]:
                raise damaged(self.path)
            self._seen[block] = True


def mapped(path: Path, size: int) -> memoryview:
    """The bytes of the file *path*, which must be *size* of them."""
    with readable(path):
        if not path.is_file():
            raise _missing(path)
        try:
            data = arrow_file.mapped(path)
        except FileNotFoundError as error:  # it was there a moment ago
            raise _missing(path) from error
        if len(data) != size:
            raise damaged(path)
        return data


def _missing(path: Path) -> DamagedError:
    return DamagedError(Problem("damaged", f"{path} is missing", hint=RESTORE))


RESTORE = "restore a copy, or build the index again"


def damaged(path: Path, what: str = "") -> DamagedError:
    """The error of a file that is not what was written; *what* in it, where that is known."""
    return DamagedError(Problem("damaged", f"{path}{what} is not what was written", hint=RESTORE))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what the system says of *path* into an error of ours."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise IndexFolderError(Problem("unreadable", f"{path}: {reason}")) from error
