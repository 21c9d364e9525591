"""Workers of a ledger: each process holds a file lock while it lives, so that others can see when it has died.

The calls that a dead worker had sent become in doubt, because their replies are lost. The batches that it had only
claimed become free.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from audience._fs.locks import is_locked, try_lock
from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.run_identity import ensure_not_copy, leave_marker, renew_marker
from audience.delivery.ledger.transitions import problem_to_json
from audience.errors import DeliveryError, Problem

WORKER_LOCK_GLOB, CREATE_LOCK_FILE = "worker-*.lock", "create.lock"
WORKER_DIED = Problem("died", "the worker process ended after it sent this call and before it recorded the reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Process that works on a ledger, or died without being reaped.

    *started_at* is a Unix timestamp; *batches* counts the unsettled batches that it has claimed.
    """

    pid: int
    host: str
    started_at: float
    batches: int
    is_alive: bool


@contextmanager
def register_worker(ledger: Ledger) -> Iterator[int]:
    """Register this process as a worker of *ledger* and yield its number.

    At the end, its claimed batches are released and its unanswered calls become in doubt. Raises DeliveryError if the
    folder is a copy.
    """
    name = WORKER_LOCK_GLOB.replace("*", uuid4().hex)
    lock_file = ledger.path.with_name(name)
    with _try_file_lock(lock_file) as locked:
        if not locked:
            raise DeliveryError(Problem("locked", f"{lock_file} is locked by another process"))
        with ledger.transaction():
            ensure_not_copy(ledger)
            old_marker = renew_marker(ledger)
            host = socket.gethostname()
            [(number,)] = ledger.query("insert_worker", lock_file=name, pid=os.getpid(), host=host, now=time.time())
        old_marker.unlink(missing_ok=True)
        try:
            yield number
        finally:
            with ledger.transaction():
                _end_worker(ledger, number)
            leave_marker(ledger)
            lock_file.unlink(missing_ok=True)


@contextmanager
def hold_create_lock(folder: Path) -> Iterator[None]:
    """Hold the lock to create a run in *folder*, so that no other process replaces its message.

    Raises DeliveryError if another process holds it.
    """
    lock_file = folder / CREATE_LOCK_FILE
    with _try_file_lock(lock_file) as locked:
        if not locked:
            message = f"{folder}: another process is creating a run here"
            raise DeliveryError(Problem("locked", message, hint="wait for it, then check `audience status`"))
        try:
            yield
        finally:
            lock_file.unlink(missing_ok=True)


def reap_dead_workers(ledger: Ledger) -> None:
    """End the workers whose process has died. Call it within a transaction."""
    for number, name in ledger.query("list_unended_workers"):
        lock_file = ledger.path.with_name(name)
        with _try_file_lock(lock_file) as locked:
            if locked:
                _end_worker(ledger, number)
                lock_file.unlink(missing_ok=True)


def list_other_workers(ledger: Ledger) -> tuple[Worker, ...]:
    """Return the living workers of other processes."""
    own = (os.getpid(), socket.gethostname())
    return tuple(worker for worker in list_workers(ledger) if worker.is_alive and (worker.pid, worker.host) != own)


def list_workers(ledger: Ledger) -> tuple[Worker, ...]:
    """Return the workers that have not ended, without writing anything.

    Raises DeliveryError if a worker's lock file cannot be read.
    """
    return tuple(
        Worker(
            pid=pid,
            host=host,
            started_at=started_at,
            batches=batches,
            is_alive=_is_locked_by_worker(ledger.path.with_name(lock_file)),
        )
        for lock_file, pid, host, started_at, batches in ledger.query("list_workers")
    )


def _is_locked_by_worker(lock_file: Path) -> bool:
    try:
        return is_locked(lock_file)
    except OSError as error:
        raise DeliveryError(Problem("unreadable", f"{lock_file}: {error.strerror or error}")) from error


def count_workers(ledger: Ledger) -> int:
    """Return how many workers have not ended; dead ones count until they are reaped."""
    return int(ledger.query("count_workers")[0][0])


def _end_worker(ledger: Ledger, number: int) -> None:
    """Mark the worker's calls in doubt, release its claims, and record its end."""
    now = time.time()
    ledger.query("mark_worker_calls_in_doubt", worker=number, now=now, problem=problem_to_json(WORKER_DIED))
    ledger.query("release_worker_batches", worker=number)
    ledger.query("end_worker", worker=number, now=now)


@contextmanager
def _try_file_lock(lock_file: Path) -> Iterator[bool]:
    """Try to lock *lock_file*; yield whether it was free."""
    try:
        with try_lock(lock_file) as locked:
            yield locked
    except OSError as error:
        raise DeliveryError(Problem("cannot-write", f"{lock_file}: {error.strerror or error}")) from error
