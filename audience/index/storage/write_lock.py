"""One writer at a time: the lock of an index, and the change that is published when it is whole.

The lock is the operating system's, so it ends with its process however that ends; who holds it stands beside it.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from audience._fs.locks import try_lock
from audience.errors import InvalidIndexError, LockedError, OutputError, Problem
from audience.index.storage.snapshot import LOCK_FILE, LOCK_HOLDER_FILE, Manifest, load_current_manifest, timestamp_now


@contextmanager
def lock_for_update(folder: Path, operation: str, wait: float = 0) -> Iterator[Manifest]:
    """Hold the lock of the index in *folder* to do *what*; the manifest that is current for as long as it is held.

    Raises LockedError, which names the holder, where another holds it for more than *wait* seconds.
    """
    load_current_manifest(folder)  # a lock is not put where there is no index
    with lock_index(folder, operation, wait):
        yield load_current_manifest(folder)


@contextmanager
def lock_index(folder: Path, operation: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock in *folder*, whatever else is there, to do *what*.

    Raises LockedError as `writing` does, and OutputError for what the system says meanwhile.
    """
    if not wait >= 0:
        raise InvalidIndexError(Problem("bad-option", f"{wait} seconds cannot be waited", hint="wait 0 or more"))
    try:
        with _hold_lock(folder, operation, wait):
            yield
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{folder}: {error.strerror or error}")) from error


@contextmanager
def _hold_lock(folder: Path, operation: str, wait: float) -> Iterator[None]:
    with try_lock(folder / LOCK_FILE, wait) as mine:
        if not mine:
            hint = "try again, or wait for it: --wait SECONDS"
            raise LockedError(Problem("locked", _describe_holder(folder), hint=hint))
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": timestamp_now(), "what": operation}
        try:
            (folder / LOCK_HOLDER_FILE).write_bytes(orjson.dumps(holder))
            yield
        finally:
            (folder / LOCK_HOLDER_FILE).unlink(missing_ok=True)


def _describe_holder(folder: Path) -> str:
    """Who holds the lock."""
    try:
        holder = orjson.loads((folder / LOCK_HOLDER_FILE).read_bytes())
        who = f"process {holder['process']} on {holder['host']} since {holder['since']} ({holder['what']})"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return f"{folder} is being changed by {who}"
