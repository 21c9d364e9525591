"""Count of the transactions of a worker, kept in the ledger and in a file beside it.

The file is written after each commit, and outlives a process that is killed. If it is ahead of the ledger, the ledger
has lost transactions: its write-ahead log was removed, cut off or replaced by an older one. If another program has
moved the log into the ledger, as the shell of SQLite does when it is closed, nothing is lost, and both agree.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIGITS = 20  # of a count, always written as a whole


@contextmanager
def open_count(file: Path) -> Iterator[int]:
    """Create *file* with the count 0 and yield a descriptor for `write_count`. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        write_count(descriptor, 0)
        yield descriptor
    finally:
        os.close(descriptor)


def write_count(descriptor: int, count: int) -> None:
    """Write *count* in the place of the last one."""
    os.pwrite(descriptor, f"{count:0{DIGITS}}".encode("ascii"), 0)


def read_count(file: Path) -> int | None:
    """Return the count in *file*, or None if there is none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, open_count(Path(folder) / "c") as descriptor:
    ...     write_count(descriptor, 17)
    ...     read_count(Path(folder) / "c"), read_count(Path(folder) / "d")
    (17, None)
    """
    try:
        content = file.read_bytes()
    except OSError:
        return None
    return int(content) if len(content) == DIGITS and content.isdigit() else None


def count_file(lock_file: Path) -> Path:
    """Return the file with the count of the worker that holds *lock_file*."""
    return lock_file.with_suffix(".count")


def is_behind(commits: int, lock_file: Path, *, has_log: bool) -> bool:
    """Return whether the ledger, which has *commits* of a dead worker, has lost some; without a count, whether it may.

    Args:
        commits: Transactions in the ledger.
        lock_file: The file that the worker had locked.
        has_log: Whether the ledger has a write-ahead log, which a worker that died leaves behind.
    """
    count = read_count(count_file(lock_file))
    return not has_log if count is None else count > commits
