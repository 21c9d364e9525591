"""The ledger of a run, in SQLite: `ledger.sql` has its rules, and `moves` its transitions.

A transition is durable once `together` is left. Who writes what, and when, is decided in `telling` and `workers`.
"""

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from audience.delivery.ledger.folder_marker import create_marker
from audience.errors import DeliveryError, LedgerError, Problem

LEDGER_FILE = "ledger.sqlite"
SCHEMA_VERSION = 3
SCHEMA_PATH = Path(__file__).with_name("schema.sql")
MAX_LOCK_WAIT_SECONDS = (
    60  # seconds that one process waits for another's transaction, where nobody is told that it does
)
BUSY_TIMEOUT_SECONDS = 3  # seconds until it is told
WRITE_ERRORS = {"SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE"}
SQLITE_BUSY = 5  # SQLITE_BUSY, in the last byte of what SQLite says more exactly
MANY = 500  # values that a statement is given at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is sent, to whom and how; *application*, *plan* and *message* are digests.

    *natives* and *ids* are how many native requests and how many ids the plan has.
    """

    id: str
    vendor: str
    method: str
    base_url: str
    credentials_digest: str
    plan_digest: str
    message_digest: str
    native_count: int
    id_count: int
    created_at: float
    cancelled_at: float | None = None
    stop_reason: str | None = None


def has_run(folder: Path) -> bool:
    """Whether something was sent from *folder*, or is about to be."""
    return (folder / LEDGER_FILE).exists()


class Ledger:
    """An open ledger; of several threads one at a time writes."""

    def __init__(self, path: Path, *, write: bool = True, on_busy: "Callable[[Ledger], None] | None" = None):
        """Open *path*; DeliveryError where it is not there, or is no ledger.

        Who opens it to read leaves all files as they are. *busy* is called again and again while another process keeps
        it from writing; without that it is an error after a while.
        """
        self._on_busy = on_busy
        self._write_lock = RLock()  # who is interrupted, twice even, waits for what his other thread is writing
        self.path = path
        self.has_wal = _has_content(wal_path(path))
        writable = os.access(path.parent, os.W_OK)
        if write and path.is_file() and not writable:
            raise DeliveryError(Problem("cannot-write", f"{path.parent} can only be read"))
        if not path.is_file():
            raise DeliveryError(Problem("no-run", f"{path.parent}: nothing was sent from here", hint="audience send"))
        with _wrap_sqlite_errors(path):
            self._connection = _connect(path, "rw" if write else _read_mode(self.has_wal, writable))
            try:
                version = self._connection.execute("PRAGMA user_version").fetchone()[0]
                if version != SCHEMA_VERSION:
                    raise DeliveryError(Problem("other-ledger", f"{path} is a ledger of version {version}"))
                pragma = "journal_mode = WAL" if write else "query_only = ON"
                self._connection.execute(f"PRAGMA {pragma}")
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """What *statement* finds, or changes RETURNING."""
        with _wrap_sqlite_errors(self.path):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction: what is written in it is on disk once it is left, or was never written."""
        with self._write_lock, _wrap_sqlite_errors(self.path):
            self._begin_immediate()
            try:
                yield
                self._commit()
            except BaseException:
                self._connection.rollback()
                raise

    def _begin_immediate(self) -> None:
        """Begin to write, once no other process does."""
        until = time.monotonic() + MAX_LOCK_WAIT_SECONDS
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != SQLITE_BUSY or (self._on_busy is None and time.monotonic() > until):
                    raise
            if self._on_busy is not None:
                self._on_busy(self)

    def run_all(self, jobs: Sequence[Callable[["Ledger"], Any]]) -> list[Any]:
        """What each of *jobs* returns or raises, all in one transaction; one that raises has written nothing."""
        with self.transaction():
            return [self._run_in_savepoint(job) for job in jobs]

    def _run_in_savepoint(self, job: Callable[["Ledger"], Any]) -> Any:
        self._connection.execute("SAVEPOINT one")
        try:
            found: Any = job(self)
        except DeliveryError as error:
            self._connection.execute("ROLLBACK TO one")
            found = error
        self._connection.execute("RELEASE one")
        return found

    def _commit(self) -> None:
        self._connection.commit()

    def load_run(self) -> Run:
        """What this is the ledger of."""
        names = ", ".join(Run.__dataclass_fields__)
        rows = self.execute(f"SELECT {names} FROM run")
        if not rows:
            raise LedgerError(Problem("bad-ledger", f"{self.path}: no run stands in it"))
        return Run(**dict(zip(Run.__dataclass_fields__, rows[0], strict=True)))


def create_ledger(path: Path, run: Run, batch_size: int) -> None:
    """Write the new ledger *path* of *run*, its ids in batches of *size*, all of it todo, and a mark beside it."""
    mark = create_marker(path.parent, "begun")
    with _wrap_sqlite_errors(path):
        connection = _connect(path, "rwc")
        try:
            connection.execute("PRAGMA journal_mode = MEMORY")  # no file besides: who dies here begins anew
            connection.execute("PRAGMA synchronous = OFF")  # the file is synced whole before it gets its name
            connection.executescript(f"BEGIN; {SCHEMA_PATH.read_text('utf-8')}")
            names = list(Run.__dataclass_fields__)
            marks = ", ".join("?" for _ in names)
            values = [getattr(run, name) for name in names]
            connection.execute(f"INSERT INTO run (number, {', '.join(names)}) VALUES (1, {marks})", values)
            here = (
                mark.name,
                mark.fingerprint,
                os.fsencode(path.parent.resolve()),
                socket.gethostname(),
                run.created_at,
            )
            connection.execute("INSERT INTO place VALUES (1, ?, ?, ?, ?, ?)", here)
            connection.executemany("INSERT INTO batch (native) VALUES (?)", ((n,) for n in range(run.native_count)))
            ranges = ((first, min(first + batch_size, run.id_count)) for first in range(0, run.id_count, batch_size))
            connection.executemany("INSERT INTO batch (first, stop) VALUES (?, ?)", ranges)
            connection.commit()
        finally:
            connection.close()


def wal_path(path: Path) -> Path:
    """What was written to the ledger *path* last, while somebody is at work or where he died (write-ahead log)."""
    return path.with_name(f"{path.name}-wal")


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _read_mode(has_wal: bool, writable: bool) -> str:
    """How to open a ledger so that nothing beside it changes: what was written last stays there."""
    if has_wal:
        return "ro"
    return "rw" if writable else "ro&immutable=1"  # nobody can be at work, nor can SQLite put its locks there


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def _wrap_sqlite_errors(path: Path) -> Iterator[None]:
    """What SQLite raises, in our words."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", None) in WRITE_ERRORS:
            hint = "what was sent stands in it; once it can be written, audience resume goes on"
            raise DeliveryError(Problem("cannot-write", f"{path}: {error}", hint=hint)) from error
        raise LedgerError(Problem("bad-ledger", f"{path}: {error}")) from error
