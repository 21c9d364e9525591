"""Locks of the operating system: they end with the process that holds them, however that ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def held(path: Path, wait: float = 0) -> Iterator[bool]:
    """Hold the lock of the file *path*, whose folder must be there; False where another has it after *wait* seconds.

    The file is left there, since its name is what others find the lock by.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "lock"
    >>> with held(file) as first, held(file) as second:
    ...     first, second
    (True, False)
    """
    lock = FileLock(path, thread_local=False, fallback_to_soft=False, preserve_lock_file=True)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
