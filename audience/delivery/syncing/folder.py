"""Folder of the syncs of one application beside an index, and the lock that one process at a time holds.

INDEX/syncs/FAMILY-DIGEST/
ledger.sqlite     calls of the last sync
lock              held by the process that syncs, which `holder.json` describes
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson

from audience._fs.atomic import atomic_write
from audience._fs.locks import is_locked, try_lock
from audience._fs.private_files import PRIVATE_FOLDER_MODE
from audience.delivery.transport.pace_file import open_pace_folder
from audience.errors import DeliveryError, LockedError, OutputError, Problem
from audience.index.storage.layout import SYNCS_FOLDER
from audience.index.storage.manifest import timestamp_now
from audience.tag_sync.state import Application

LEDGER_FILE, LOCK_FILE, HOLDER_FILE = "ledger.sqlite", "lock", "holder.json"
DIGEST_LENGTH = 16


def sync_folder(index: Path, application: Application) -> Path:
    """Return the folder of the syncs of *application* from the index at *index*.

    >>> sync_folder(Path("i"), Application(family="emas", digest="0123456789abcdef01", host="https://…")).as_posix()
    'i/syncs/emas-0123456789abcdef'
    """
    return index / SYNCS_FOLDER / f"{application.family}-{application.digest[:DIGEST_LENGTH]}"


def require_local_folder(location: str) -> Path:
    """Return the folder of an index. Raises DeliveryError if the index is in an object store."""
    if "://" in location:
        message = f"{location}: tags are synced from an index in a folder, where the ledger of the calls is kept"
        raise DeliveryError(
            Problem("not-local", message, hint="run `audience index backup` to a folder, and sync that")
        )
    return Path(location)


@contextmanager
def lock_application(index: Path, application: Application) -> Iterator[Path]:
    """Hold the lock of *application* and yield its folder, which is created.

    Syncs of one application from several indexes of this user also exclude each other on this machine.

    Raises:
        LockedError: Another process syncs it; the message names the process.
        OutputError: The folder cannot be written.
    """
    folder = sync_folder(index, application)
    try:
        for path in (folder.parent, folder):
            path.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        with ExitStack() as stack:
            locks = [folder / LOCK_FILE, *_find_machine_lock(application)]
            if not all(stack.enter_context(try_lock(lock)) for lock in locks):
                raise LockedError(_describe_lock(folder, application))
            holder = {"process": os.getpid(), "host": socket.gethostname(), "since": timestamp_now()}
            atomic_write(folder / HOLDER_FILE, orjson.dumps(holder))
            yield folder
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{folder}: {error.strerror or error}")) from error


def is_syncing(folder: Path) -> bool:
    """Return whether a process syncs the application of *folder*."""
    return is_locked(folder / LOCK_FILE)


def _find_machine_lock(application: Application) -> list[Path]:
    """Return the lock that all indexes of this user share; none if its folder cannot be used."""
    try:
        return [open_pace_folder() / f"sync-{application.family}-{application.digest[:DIGEST_LENGTH]}.lock"]
    except OSError:
        return []


def _describe_lock(folder: Path, application: Application) -> Problem:
    name = f"tags of {application.family} at {application.host}"
    try:
        holder = orjson.loads((folder / HOLDER_FILE).read_bytes()) if is_syncing(folder) else {}
        process = f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        process = "another process"
    return Problem("locked", f"{name} are being synced by {process}", hint="wait for it, or run `audience cancel`")
