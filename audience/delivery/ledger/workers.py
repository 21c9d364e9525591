"""Workers of a ledger: each process holds a file lock while it lives, so that others can see when it has died.

The calls that a dead worker had sent become in doubt, because their replies are lost. The batches that it had only
claimed become free.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from audience._fs.locks import is_locked, try_lock
from audience.delivery.ledger.commit_count import count_file, is_behind, open_count
from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.run_identity import ensure_not_copy, leave_marker, renew_marker
from audience.delivery.ledger.transitions import problem_to_json
from audience.delivery.sqlite_file import wal_path
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
    folder is a copy, or if the ledger misses calls.
    """
    name = WORKER_LOCK_GLOB.replace("*", uuid4().hex)
    lock_file = ledger.path.with_name(name)
    with _try_file_lock(lock_file) as locked:
        if not locked:
            hint = "another program has locked the file; run the command again"
            raise DeliveryError(Problem("locked", f"{lock_file} is locked by another process", hint=hint))
        with _open_count(count_file(lock_file)) as descriptor:
            with ledger.transaction():
                ensure_not_copy(ledger)
                require_complete(ledger)
                old_marker = renew_marker(ledger)
                host = socket.gethostname()
                [(number,)] = ledger.query(
                    "insert_worker", lock_file=name, pid=os.getpid(), host=host, now=ledger.clock.wall()
                )
            old_marker.unlink(missing_ok=True)
            try:
                with ledger.count_transactions(number, descriptor):
                    yield number
            finally:
                with ledger.transaction():
                    _end_worker(ledger, number)
                leave_marker(ledger)
                _remove_lock(lock_file)


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
    """End the workers whose process has died, and free what ended ones have claimed. Call it within a transaction."""
    for number, name in ledger.query("list_unended_workers"):
        lock_file = ledger.path.with_name(name)
        with _try_file_lock(lock_file) as locked:
            if locked:
                _end_worker(ledger, number)
                _remove_lock(lock_file)
    ledger.query("free_claims_of_ended_workers")


def require_complete(ledger: Ledger) -> None:
    """Raise DeliveryError if *ledger* misses the last calls that were made."""
    if (problem := lost_log_problem(ledger)) is not None:
        raise DeliveryError(problem)


def lost_log_problem(ledger: Ledger) -> Problem | None:
    """Return a problem if a worker has died and the log with the last writes of the ledger is missing or incomplete."""
    if not (_has_lost_commits(ledger) and _has_lost_commits(ledger)):  # twice: a worker may have ended while it looked
        return None
    log = wal_path(ledger.path)
    message = (
        f"{ledger.path.parent}: a worker died, and {log.name}, which had its last writes, is missing or incomplete"
    )
    hint = (
        f"put {log.name} back beside {ledger.path.name}. If it is lost, the ledger does not know the last calls that "
        "were made, and sending its batches would reach devices twice: emit again without those devices"
    )
    return Problem("torn-run", message, hint=hint)


def _has_lost_commits(ledger: Ledger) -> bool:
    """Return whether *ledger* has lost transactions of a dead worker, or may have lost them."""
    for name, commits in ledger.query("list_unended_commits"):
        lock_file = ledger.path.with_name(name)
        if not _is_locked_by_worker(lock_file) and is_behind(commits, lock_file, has_log=ledger.has_wal):
            return True
    return False


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
    now = ledger.clock.wall()
    ledger.query("mark_worker_calls_in_doubt", worker=number, now=now, problem=problem_to_json(WORKER_DIED))
    ledger.query("release_worker_batches", worker=number)
    ledger.query("end_worker", worker=number, now=now)


def _remove_lock(lock_file: Path) -> None:
    count_file(lock_file).unlink(missing_ok=True)
    lock_file.unlink(missing_ok=True)


@contextmanager
def _open_count(file: Path) -> Iterator[int]:
    with _convert_os_errors(file), open_count(file) as descriptor:
        yield descriptor


@contextmanager
def _try_file_lock(lock_file: Path) -> Iterator[bool]:
    """Try to lock *lock_file*; yield whether it was free."""
    with _convert_os_errors(lock_file), try_lock(lock_file) as locked:
        yield locked


@contextmanager
def _convert_os_errors(file: Path) -> Iterator[None]:
    """Convert errors of the system to a DeliveryError about *file*."""
    try:
        yield
    except OSError as error:
        raise DeliveryError(Problem("cannot-write", f"{file}: {error.strerror or error}")) from error
