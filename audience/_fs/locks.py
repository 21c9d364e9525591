"""Locks of the operating system. They are released when their process ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audience._fs.private_files import PRIVATE_FILE_MODE


@contextmanager
def try_lock(path: Path, timeout: float = 0) -> Iterator[bool]:
    """Lock the file *path* and yield True, or yield False if it is still locked after *timeout* seconds.

    Its folder must exist. The file is kept, because others find the lock by its name.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "lock"
    >>> with try_lock(file) as first, try_lock(file) as second:
    ...     first, second
    (True, False)
    """
    from filelock import FileLock, Timeout  # loads slowly, and readers take no lock

    lock = FileLock(path, mode=PRIVATE_FILE_MODE, thread_local=False, fallback_to_soft=False, preserve_lock_file=True)
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
    """Return whether a process holds the lock of the file *path*. Nothing is written or created.

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
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # the kind of lock that `try_lock` takes
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def try_lock_for_child(path: Path) -> int | None:
    """Lock the file *path* for a process that is about to start, or return None if it is locked.

    Return a descriptor to start the process with, as one of its `pass_fds`, and to close then. The lock is held until
    the process ends. Its folder must exist.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
