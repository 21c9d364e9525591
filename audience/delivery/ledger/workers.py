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

from audience._fs.locks import held, is_held
from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.run_identity import check, leave, settle
from audience.delivery.ledger.transitions import words
from audience.errors import DeliveryError, Problem

LOCKS, BEGINNING = "worker-*.lock", "begin.lock"
DIED = Problem("died", "the process ended between sending and the reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A *process* that has not ended by itself, *begun* in seconds since 1970, and how many batches it has.

    It *lives*, or it has died and nobody has taken over yet what it has.
    """

    process: int
    host: str
    begun: float
    batches: int
    lives: bool


@contextmanager
def working(ledger: Ledger) -> Iterator[int]:
    """Be a worker of *ledger*, with a number; at the end nothing is left claimed, or sent without a reply.

    Raises DeliveryError where that is the ledger of a copy.
    """
    name = LOCKS.replace("*", uuid4().hex)
    file = ledger.path.with_name(name)
    with _lock(file) as mine:
        if not mine:
            raise DeliveryError(Problem("locked", f"{file} is held by another"))
        with ledger.together():
            check(ledger)
            before = settle(ledger)
            values = (name, os.getpid(), socket.gethostname(), time.time())
            statement = "INSERT INTO worker (lock, process, host, begun) VALUES (?, ?, ?, ?) RETURNING number"
            [(number,)] = ledger.rows(statement, *values)
        before.unlink(missing_ok=True)
        try:
            yield number
        finally:
            with ledger.together():
                _end(ledger, number)
            leave(ledger)
            file.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else begins anything in *folder* meanwhile: its message would take the place of ours. Or DeliveryError."""
    file = folder / BEGINNING
    with _lock(file) as mine:
        if not mine:
            raise DeliveryError(Problem("locked", f"{folder}: another process begins a run here", hint="try again"))
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def take_over(ledger: Ledger) -> None:
    """Bury the workers that have died, within a transaction."""
    for number, name in ledger.rows("SELECT number, lock FROM worker WHERE ended IS NULL"):
        file = ledger.path.with_name(name)
        with _lock(file) as free:
            if free:
                _end(ledger, number)
                file.unlink(missing_ok=True)


def others(ledger: Ledger) -> tuple[Worker, ...]:
    """Who lives in another process than this one."""
    mine = (os.getpid(), socket.gethostname())
    return tuple(each for each in at_work(ledger) if each.lives and (each.process, each.host) != mine)


def at_work(ledger: Ledger) -> tuple[Worker, ...]:
    """Who has not ended; nothing is written.

    Raises DeliveryError where it cannot be seen whether one lives.
    """
    held = "(SELECT count(*) FROM batch WHERE batch.worker = w.number AND state IN ('todo', 'sent', 'in doubt'))"
    columns = f"lock, process, host, begun, {held}"
    rows = ledger.rows(f"SELECT {columns} FROM worker AS w WHERE ended IS NULL")
    return tuple(
        Worker(process=process, host=host, begun=begun, batches=batches, lives=_lives(ledger.path.with_name(lock)))
        for lock, process, host, begun, batches in rows
    )


def _lives(file: Path) -> bool:
    try:
        return is_held(file)
    except OSError as error:
        raise DeliveryError(Problem("unreadable", f"{file}: {error.strerror or error}")) from error


def living(ledger: Ledger) -> int:
    """How many workers have not ended, as far as is known."""
    return int(ledger.rows("SELECT count(*) FROM worker WHERE ended IS NULL")[0][0])


def _end(ledger: Ledger, number: int) -> None:
    """The worker writes no more: what it sent is in doubt, what it claimed is free."""
    now = time.time()
    lost = "state = 'in doubt', doubts = doubts + 1, settled = ?, worker = NULL, problem = ?"
    ledger.rows(f"UPDATE batch SET {lost} WHERE worker = ? AND state = 'sent'", now, words(DIED), number)
    ledger.rows("UPDATE batch SET worker = NULL WHERE worker = ? AND state IN ('todo', 'in doubt')", number)
    ledger.rows("UPDATE worker SET ended = ? WHERE number = ?", now, number)


@contextmanager
def _lock(file: Path) -> Iterator[bool]:
    """The lock of *file*; whether it was free."""
    try:
        with held(file) as mine:
            yield mine
    except OSError as error:
        raise DeliveryError(Problem("cannot-write", f"{file}: {error.strerror or error}")) from error
