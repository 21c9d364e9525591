"""One writer at a time: the lock of an index, and the change that is published when it is whole.

The lock is the operating system's, so it ends with its process however that ends; who holds it stands beside it.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from audience.errors import LockedError, Problem
from audience.index.snapshot import LOCK, Manifest, current, now

HOLDER = "writer.json"


@contextmanager
def writing(folder: Path, what: str, wait: float = 0) -> Iterator[Manifest]:
    """Hold the lock of the index in *folder* to do *what*; the manifest that is current for as long as it is held.

    Raises LockedError, which names the holder, where another holds it for more than *wait* seconds.
    """
    current(folder)  # a lock is not put where there is no index
    lock = FileLock(folder / LOCK, fallback_to_soft=False, preserve_lock_file=True)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise LockedError(Problem("locked", _held(folder), hint="try again, or wait for it: --wait SECONDS")) from None
    try:
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": now(), "what": what}
        (folder / HOLDER).write_bytes(orjson.dumps(holder))
        yield current(folder)
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _held(folder: Path) -> str:
    """Who holds the lock."""
    try:
        holder = orjson.loads((folder / HOLDER).read_bytes())
        who = f"process {holder['process']} on {holder['host']} since {holder['since']} ({holder['what']})"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return f"{folder} is being changed by {who}"
