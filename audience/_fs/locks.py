"""Locks of the operating system: they end with the process that holds them, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def try_lock(path: Path, timeout: float = 0) -> Iterator[bool]:
    """Hold the lock of the file *path*, whose folder must be there; False where another has it after *wait* seconds.

    The file is left there, since its name is what others find the lock by.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "lock"
    >>> with try_lock(file) as first, try_lock(file) as second:
    ...     first, second
    (True, False)
    """
    lock = FileLock(path, thread_local=False, fallback_to_soft=False, preserve_lock_file=True)
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of the file *path*; nothing is written, nor made where it is not there.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "lock"
    >>> with try_lock(file):
    ...     is_locked(file)
    True
    >>> is_locked(file), is_locked(file.with_name("other"))
    (False, False)
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # the kind of lock that `held` takes
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
