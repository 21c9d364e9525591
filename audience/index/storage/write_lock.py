"""One writer at a time: the lock of an index, and the change that is published when it is whole.

The lock is the operating system's, so it ends with its process however that ends; who holds it stands beside it.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from audience._fs.locks import held
from audience.errors import IndexFolderError, LockedError, OutputError, Problem
from audience.index.storage.snapshot import HOLDER, LOCK, Manifest, current, now


@contextmanager
def writing(folder: Path, what: str, wait: float = 0) -> Iterator[Manifest]:
    """Hold the lock of the index in *folder* to do *what*; the manifest that is current for as long as it is held.

    Raises LockedError, which names the holder, where another holds it for more than *wait* seconds.
    """
    current(folder)  # a lock is not put where there is no index
    with locked(folder, what, wait):
        yield current(folder)


@contextmanager
def locked(folder: Path, what: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock in *folder*, whatever else is there, to do *what*.

    Raises LockedError as `writing` does, and OutputError for what the system says meanwhile.
    """
    if not wait >= 0:
        raise IndexFolderError(Problem("bad-option", f"{wait} seconds cannot be waited", hint="wait 0 or more"))
    try:
        with _held(folder, what, wait):
            yield
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{folder}: {error.strerror or error}")) from error


@contextmanager
def _held(folder: Path, what: str, wait: float) -> Iterator[None]:
    with held(folder / LOCK, wait) as mine:
        if not mine:
            hint = "try again, or wait for it: --wait SECONDS"
            raise LockedError(Problem("locked", _holder(folder), hint=hint))
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": now(), "what": what}
        try:
            (folder / HOLDER).write_bytes(orjson.dumps(holder))
            yield
        finally:
            (folder / HOLDER).unlink(missing_ok=True)


def _holder(folder: Path) -> str:
    """Who holds the lock."""
    try:
        holder = orjson.loads((folder / HOLDER).read_bytes())
        who = f"process {holder['process']} on {holder['host']} since {holder['since']} ({holder['what']})"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return f"{folder} is being changed by {who}"
