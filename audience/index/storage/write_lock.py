"""Lock of the writers of an index: one process changes it at a time."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from audience.errors import InvalidIndexError, LockedError, OutputError, Problem
from audience.index.storage.manifest import Manifest, load_current_manifest, timestamp_now
from audience.index.storage.published import Storage


@contextmanager
def lock_for_update(storage: Storage, operation: str, wait: float = 0) -> Iterator[Manifest]:
    """Lock the index for *operation* and return its current manifest, which stays current while the lock is held.

    Args:
        storage: Storage of the index.
        operation: Name of the operation, which other writers are shown.
        wait: Seconds to wait for another writer.

    Raises:
        LockedError: Another process has the lock for more than *wait* seconds; the message names it.
        OutputError: The operating system reported an error while the lock was held.
    """
    load_current_manifest(storage)  # do not create a lock file where there is no index
    with lock_index(storage, operation, wait):
        yield load_current_manifest(storage)


@contextmanager
def lock_index(storage: Storage, operation: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock of a location that may not be a valid index; otherwise as `lock_for_update`."""
    if not wait >= 0:
        message = f"cannot wait {wait} seconds"
        raise InvalidIndexError(Problem("bad-option", message, hint="use --wait with 0 or more seconds"))
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": timestamp_now(), "what": operation}
    try:
        with storage.lock(orjson.dumps(holder), wait) as acquired:
            if not acquired:
                hint = "try again, or wait for it: --wait SECONDS"
                raise LockedError(Problem("locked", _describe_holder(storage), hint=hint))
            yield
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{storage.location}: {error.strerror or error}")) from error


def _describe_holder(storage: Storage) -> str:
    try:
        holder = orjson.loads(storage.lock_holder())
        process = f"process {holder['process']} on {holder['host']} since {holder['since']} ({holder['what']})"
    except (OSError, ValueError, KeyError, TypeError):
        process = "another process"
    return f"{storage.location} is being changed by {process}"
