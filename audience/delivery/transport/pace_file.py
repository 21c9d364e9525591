"""Pace that all runs of one application on a machine share: a small locked file for each rate limit.

Calls under a rate limit are made at slots, one interval apart. A run takes the next slot by reading and writing the
file under a lock of the operating system, which costs microseconds and ends with its process, however that ends. It
takes one slot at a time, so that a run that is killed wastes one. Slots are moments of the clock of the machine since
its start.

Nothing in a file stops a run for long: the slot of another start of the machine, one too far ahead to be true, and
anything that is not a slot count as none; and a run does not wait for a lock whose holder is frozen.

pyrate-limiter 4.5 was measured for this, with its bucket in SQLite under a file lock: it takes 0.8 ms a call, allows
two processes 223 calls a second where 500 are allowed, does not keep calls apart, and counts by the wall clock, so
that nothing is sent for as long as that was set back.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from math import isfinite
from pathlib import Path
from socket import gethostname

from audience._fs.state_folder import find_state_folder, open_state_folder
from audience.delivery.clock import Moment
from audience.errors import Problem

RECORD_BYTES = 80
MAX_RUNS_AHEAD = 100  # runs that wait for one rate limit at once; a slot further ahead is not believed
FOLDER_NAME = "pace"


class PaceFile:
    """File with the next slot under one rate limit of one application."""

    def __init__(self, path: Path):
        self._path = path

    def take_slot(self, now: Moment, interval: float, *, locked: bool = True) -> float | None:
        """Take the next slot and return its moment by the boot clock, or None if another process holds the lock.

        Args:
            now: The moment.
            interval: Seconds between two slots.
            locked: Whether to lock the file; without, two runs may get the same slot.

        Raises:
            OSError: The file cannot be opened or written.
        """
        with self._open() as descriptor:
            if locked and not _try_lock(descriptor):
                return None
            slot = _parse_slot(os.pread(descriptor, RECORD_BYTES, 0), now, interval * MAX_RUNS_AHEAD)
            record = f"{now.boot_id or '-'} {slot + interval:.6f}\n".ljust(RECORD_BYTES)
            os.pwrite(descriptor, record.encode("ascii"), 0)
            return slot

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Open the file for one step, so that a removed one is created again; closing it unlocks it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse_slot(content: bytes, now: Moment, max_ahead: float) -> float:
    """Return the slot in *content*, or now if it has none, or one that is past or not to be believed.

    >>> now = Moment(0.0, 100.0, "b1")
    >>> [_parse_slot(content, now, 10) for content in (b"b1 105.5", b"b2 105.5", b"b1 99", b"b1 111", b"b1 nan", b"")]
    [105.5, 100.0, 100.0, 100.0, 100.0, 100.0]
    """
    boot_id, _, text = content.decode("ascii", "replace").strip().partition(" ")
    try:
        slot = float(text)
    except ValueError:
        return now.boot
    is_credible = boot_id == (now.boot_id or "-") and isfinite(slot) and slot <= now.boot + max_ahead
    return max(slot, now.boot) if is_credible else now.boot


def pace_folder() -> Path:
    """Return the folder of the files, of this user: of mode 700 in the folder for state."""
    return find_state_folder(FOLDER_NAME)


def open_pace_folder() -> Path:
    """Create the folder of the files, and return it. Raises OSError if it cannot be used, or is another user's."""
    return open_state_folder(FOLDER_NAME)


def pace_problems() -> list[Problem]:
    """Return a warning if runs of an application cannot share its pace."""
    try:
        open_pace_folder()
    except OSError as error:
        message = f"runs do not share the rate limit of an application: {pace_folder()}: {error.strerror or error}"
        hint = "set XDG_STATE_HOME to a folder that this user can write; send one run of an application at a time"
        return [Problem("no-shared-pace", message, hint=hint)]
    return []


def name_file(application: str, limit_name: str) -> str:
    """Return the name of a file, in which nothing of the application can be read.

    The host is a part of it, because folders of users are often on a disk that machines share.
    """
    return sha256("\0".join((gethostname(), application, limit_name)).encode()).hexdigest()[:32]
