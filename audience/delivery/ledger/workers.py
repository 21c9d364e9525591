"""Who works on a ledger: each process holds a lock for as long as it lives, so that others see when it has died.

What a dead one had sent is in doubt, since its replies are lost; what it had only claimed is free again.
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

WORKER_LOCK_GLOB, CREATE_LOCK_FILE = "worker-*.lock", "begin.lock"
WORKER_DIED = Problem("died", "the process ended between sending and the reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A *process* that has not ended by itself, *begun* in seconds since 1970, and how many batches it has.

    It *lives*, or it has died and nobody has taken over yet what it has.
    """

    pid: int
    host: str
    started_at: float
    batches: int
    is_alive: bool


@contextmanager
def register_worker(ledger: Ledger) -> Iterator[int]:
    """Be a worker of *ledger*, with a number; at the end nothing is left claimed, or sent without a reply.

    Raises DeliveryError where that is the ledger of a copy.
    """
    name = WORKER_LOCK_GLOB.replace("*", uuid4().hex)
    file = ledger.path.with_name(name)
    with _try_file_lock(file) as mine:
        if not mine:
            raise DeliveryError(Problem("locked", f"{file} is held by another"))
        with ledger.transaction():
            ensure_not_copy(ledger)
            before = renew_marker(ledger)
            values = (name, os.getpid(), socket.gethostname(), time.time())
            statement = "INSERT INTO worker (lock, process, host, begun) VALUES (?, ?, ?, ?) RETURNING number"
            [(number,)] = ledger.execute(statement, *values)
        before.unlink(missing_ok=True)
        try:
            yield number
        finally:
            with ledger.transaction():
                _end_worker(ledger, number)
            leave_marker(ledger)
            file.unlink(missing_ok=True)


@contextmanager
def hold_create_lock(folder: Path) -> Iterator[None]:
    """Nobody else begins anything in *folder* meanwhile: its message would take the place of ours. Or DeliveryError."""
    file = folder / CREATE_LOCK_FILE
    with _try_file_lock(file) as mine:
        if not mine:
            raise DeliveryError(Problem("locked", f"{folder}: another process begins a run here", hint="try again"))
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def reap_dead_workers(ledger: Ledger) -> None:
    """Bury the workers that have died, within a transaction."""
    for number, name in ledger.execute("SELECT number, lock FROM worker WHERE ended IS NULL"):
        file = ledger.path.with_name(name)
        with _try_file_lock(file) as free:
            if free:
                _end_worker(ledger, number)
                file.unlink(missing_ok=True)


def list_other_workers(ledger: Ledger) -> tuple[Worker, ...]:
    """Who lives in another process than this one."""
    mine = (os.getpid(), socket.gethostname())
    return tuple(each for each in list_workers(ledger) if each.is_alive and (each.pid, each.host) != mine)


def list_workers(ledger: Ledger) -> tuple[Worker, ...]:
    """Who has not ended; nothing is written.

    Raises DeliveryError where it cannot be seen whether one lives.
    """
    held = "(SELECT count(*) FROM batch WHERE batch.worker = w.number AND state IN ('todo', 'sent', 'in_doubt'))"
    columns = f"lock, process, host, begun, {held}"
    rows = ledger.execute(f"SELECT {columns} FROM worker AS w WHERE ended IS NULL")
    return tuple(
        Worker(
            pid=process,
            host=host,
            started_at=begun,
            batches=batches,
            is_alive=_is_locked_by_worker(ledger.path.with_name(lock)),
        )
        for lock, process, host, begun, batches in rows
    )


def _is_locked_by_worker(file: Path) -> bool:
    try:
        return is_locked(file)
    except OSError as error:
        raise DeliveryError(Problem("unreadable", f"{file}: {error.strerror or error}")) from error


def count_workers(ledger: Ledger) -> int:
    """How many workers have not ended, as far as is known."""
    return int(ledger.execute("SELECT count(*) FROM worker WHERE ended IS NULL")[0][0])


def _end_worker(ledger: Ledger, number: int) -> None:
    """The worker writes no more: what it sent is in doubt, what it claimed is free."""
    now = time.time()
    lost = "state = 'in_doubt', doubts = doubts + 1, settled = ?, worker = NULL, problem = ?"
    ledger.execute(
        f"UPDATE batch SET {lost} WHERE worker = ? AND state = 'sent'", now, problem_to_json(WORKER_DIED), number
    )
    ledger.execute("UPDATE batch SET worker = NULL WHERE worker = ? AND state IN ('todo', 'in_doubt')", number)
    ledger.execute("UPDATE worker SET ended = ? WHERE number = ?", now, number)


@contextmanager
def _try_file_lock(file: Path) -> Iterator[bool]:
    """The lock of *file*; whether it was free."""
    try:
        with try_lock(file) as mine:
            yield mine
    except OSError as error:
        raise DeliveryError(Problem("cannot-write", f"{file}: {error.strerror or error}")) from error
