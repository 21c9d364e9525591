"""Connection to the ledger of a run: an SQLite file with the rules of `schema.sql` and the statements of `queries.sql`.

A transaction is on disk when `Ledger.transaction` returns. `transitions` and `workers` decide what is written.
"""

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from audience.delivery.ledger.commit_count import write_count
from audience.delivery.ledger.folder_marker import create_marker, location_values
from audience.delivery.ledger.planned import PlannedBatch, PlannedPart
from audience.errors import DeliveryError, LedgerError, Problem

LEDGER_FILE = "ledger.sqlite"
SCHEMA_VERSION = 6
SCHEMA_PATH = Path(__file__).with_name("schema.sql")
QUERIES_PATH = Path(__file__).with_name("queries.sql")
MAX_LOCK_WAIT_SECONDS = 60  # for the transaction of another process, if no `on_busy` reports the wait
ROWS_PER_FETCH = 1_000
BUSY_TIMEOUT_SECONDS = 3  # until the wait is reported
WRITE_ERRORS = {"SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE"}

QUERIES: Mapping[str, str] = dict(
    re.findall(r"^-- name: (\w+)\n(.*?);$", QUERIES_PATH.read_text("utf-8"), re.MULTILINE | re.DOTALL)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Identity of a run: its plan, message, method and credentials, which never change.

    The three digests identify the public keys, `manifest.json` and `message.json`. *policies*, *schedule* and
    *stop_reason* are JSON.
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
    policies: str = "{}"
    schedule: str = "{}"
    cancelled_at: float | None = None
    stop_reason: str | None = None


def has_run(folder: Path) -> bool:
    """Return whether *folder* has a ledger."""
    return (folder / LEDGER_FILE).exists()


class Ledger:
    """Open ledger. Several threads may share it; one of them writes at a time."""

    def __init__(self, path: Path, *, write: bool = True, on_busy: "Callable[[Ledger], None] | None" = None):
        """Open the ledger *path*.

        Args:
            path: The ledger file.
            write: Without it, no file in the folder changes, not even the write-ahead log.
            on_busy: Called every few seconds while another process holds the write lock. Without it, the wait fails
                after `MAX_LOCK_WAIT_SECONDS`.

        Raises:
            DeliveryError: If the file is missing, is not a ledger of this version, or cannot be written.
        """
        self.path = path
        self.has_wal = _has_content(wal_path(path))
        self._on_busy = on_busy
        self._counted_worker: tuple[int, int] | None = None
        self._write_lock = RLock()  # reentrant: a signal handler may write while this thread holds it
        writable = _check_ledger_file(path, write)
        with _wrap_sqlite_errors(path):
            self._connection = _connect(path, "rw" if write else _read_mode(self.has_wal, writable))
            try:
                self._check_version()
                self._connection.execute(f"PRAGMA {'journal_mode = WAL' if write else 'query_only = ON'}")
            except BaseException:
                self.close()
                raise

    def _check_version(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            message = f"{self.path}: expected a ledger of version {SCHEMA_VERSION}, found version {version}"
            hint = "use the version of audience that created this run"
            raise DeliveryError(Problem("other-ledger", message, hint=hint))

    def close(self) -> None:
        """Close the connection. While a worker has not ended, the write-ahead log stays: it has its last writes."""
        with self._keep_log():
            self._connection.close()

    @contextmanager
    def _keep_log(self) -> Iterator[None]:
        """Keep SQLite from emptying the log as the last connection is closed, if a worker has not ended."""
        log_keeper: sqlite3.Connection | None = None
        with suppress(sqlite3.Error):
            has_workers = self._connection.execute(QUERIES["count_workers"]).fetchone() != (0,)
            if has_workers and _has_content(wal_path(self.path)):
                log_keeper = _connect(self.path, "ro")
                log_keeper.execute(QUERIES["count_workers"]).fetchone()
        try:
            yield
        finally:
            if log_keeper is not None:
                log_keeper.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def query(self, name: str, **values: Any) -> list[Any]:
        """Run the statement *name* of `queries.sql` and return its rows."""
        with _wrap_sqlite_errors(self.path):
            return self._connection.execute(QUERIES[name], values).fetchall()

    def iterate(self, name: str, **values: Any) -> Iterator[Any]:
        """Run the statement *name* of `queries.sql` and yield its rows, which are not all in memory."""
        with _wrap_sqlite_errors(self.path):
            cursor = self._connection.execute(QUERIES[name], values)
        while True:
            with _wrap_sqlite_errors(self.path):
                rows = cursor.fetchmany(ROWS_PER_FETCH)
            if not rows:
                return
            yield from rows

    @contextmanager
    def read_transaction(self) -> Iterator[None]:
        """Run the body so that all of its statements read one state, whatever other processes write."""
        with _wrap_sqlite_errors(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body as one transaction: committed and on disk at its end, or rolled back if it raises."""
        with self._write_lock, _wrap_sqlite_errors(self.path):
            self._begin_immediate()
            try:
                yield
                count = self._advance_count()
                self._commit()
            except BaseException:
                self._connection.rollback()
                raise
            if self._counted_worker is not None:
                write_count(self._counted_worker[1], count)

    @contextmanager
    def count_transactions(self, worker: int, descriptor: int) -> Iterator[None]:
        """Count the transactions of *worker* in its row, and in the file that is open as *descriptor*."""
        self._counted_worker = worker, descriptor
        try:
            yield
        finally:
            self._counted_worker = None

    def _advance_count(self) -> int:
        """Count one more transaction of the worker, if there is one, and return their number."""
        if self._counted_worker is None:
            return 0
        return int(self.query("count_commit", worker=self._counted_worker[0])[0][0])

    def _begin_immediate(self) -> None:
        """Take the write lock, waiting for other processes."""
        deadline = time.monotonic() + MAX_LOCK_WAIT_SECONDS
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the low byte of an extended code
                if not is_busy or (self._on_busy is None and time.monotonic() > deadline):
                    raise
            if self._on_busy is not None:
                self._on_busy(self)

    def run_all(self, jobs: Sequence[Callable[["Ledger"], Any]]) -> list[Any]:
        """Run *jobs* in one transaction and return the result of each, or the DeliveryError that it raised.

        A job that raises writes nothing; the others are not affected.
        """
        with self.transaction():
            return [self._run_in_savepoint(job) for job in jobs]

    def _run_in_savepoint(self, job: Callable[["Ledger"], Any]) -> Any:
        self._connection.execute("SAVEPOINT job")
        try:
            result: Any = job(self)
        except DeliveryError as error:
            self._connection.execute("ROLLBACK TO job")
            result = error
        self._connection.execute("RELEASE job")
        return result

    def _commit(self) -> None:
        self._connection.commit()

    def load_run(self) -> Run:
        """Load the run of this ledger."""
        rows = self.query("load_run")
        if not rows:
            raise LedgerError(Problem("bad-ledger", f"{self.path}: the table run is empty"))
        return Run(**dict(zip(Run.__dataclass_fields__, rows[0], strict=True)))


def create_ledger(
    path: Path,
    run: Run,
    parts: Iterable[PlannedPart],
    batches: Iterable[PlannedBatch],
    left_out: Iterable[Mapping[str, Any]] = (),
    problem: str | None = None,
) -> None:
    """Write a new ledger for *run* to *path*, with all batches todo, and a marker file beside it.

    Args:
        path: A file that does not exist yet.
        run: The run.
        parts: Its parts, side by side.
        batches: Its batches, in the order of their ids.
        left_out: The `position`, `id` and `code` of each id that is never sent.
        problem: Problem of a batch without any other id, which is rejected, as JSON.
    """
    marker = create_marker(path.parent, "created")
    with _wrap_sqlite_errors(path):
        connection = _connect(path, "rwc")
        try:
            connection.execute("PRAGMA journal_mode = MEMORY")  # a crash leaves no second file behind
            connection.execute("PRAGMA synchronous = OFF")  # the caller syncs the file before it gets its name
            connection.executescript(f"BEGIN; {SCHEMA_PATH.read_text('utf-8')}")
            connection.execute(QUERIES["insert_run"], asdict(run))
            connection.execute(QUERIES["insert_location"], location_values(path.parent, marker, run.created_at))
            numbered = ({"number": number, **asdict(part)} for number, part in enumerate(parts, start=1))
            connection.executemany(QUERIES["insert_planned_part"], numbered)
            connection.executemany(QUERIES["insert_batch"], map(asdict, batches))
            connection.executemany(QUERIES["leave_out_new_id"], left_out)
            connection.execute(QUERIES["reject_emptied_batches"], {"now": run.created_at, "problem": problem})
            connection.commit()
        finally:
            connection.close()


def wal_path(path: Path) -> Path:
    """Return the write-ahead log of the ledger *path*; it has the last writes of a working or crashed process."""
    return path.with_name(f"{path.name}-wal")


def _check_ledger_file(path: Path, write: bool) -> bool:
    """Return whether the folder of *path* can be written."""
    if not path.is_file():
        raise DeliveryError(Problem("no-run", f"{path.parent}: no run was started here", hint="run `audience send`"))
    writable = os.access(path.parent, os.W_OK)
    if write and not writable:
        raise DeliveryError(Problem("cannot-write", f"{path.parent} is read-only"))
    return writable


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _read_mode(has_wal: bool, writable: bool) -> str:
    """Return the SQLite mode that reads a ledger and leaves its write-ahead log as it is."""
    if has_wal:
        return "ro"
    return "rw" if writable else "ro&immutable=1"  # no process can be at work there, and SQLite cannot lock there


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
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", None) in WRITE_ERRORS:
            hint = "the ledger keeps what was sent; make room or make it writable, then run `audience resume`"
            raise DeliveryError(Problem("cannot-write", f"{path}: {error}", hint=hint)) from error
        raise LedgerError(Problem("bad-ledger", f"{path}: {error}")) from error


def redact_ledger(
    path: Path,
    *,
    plan_digest: str | None,
    placeholders: Mapping[int, str],
    pattern: re.Pattern[bytes],
) -> int:
    """Remove ids from a ledger that no process uses: no page of its file, and no log beside it, has them afterwards.

    Args:
        path: The ledger.
        plan_digest: Digest of the new manifest, or None if that stays.
        placeholders: What takes the place of each id, by its position; such an id is not sent any more.
        pattern: Pattern of the ids, in problems that vendors reported.

    Returns:
        The number of rows that named an id.
    """
    with _wrap_sqlite_errors(path):
        connection = _connect(path, "rw")
        try:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("BEGIN EXCLUSIVE")
            triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:  # which keep rows from being changed
                connection.execute(f"DROP TRIGGER {name}")
            if plan_digest is not None:
                connection.execute(QUERIES["redact_plan_digest"], {"digest": plan_digest})
            count = _redact_rows(connection, pattern)
            for position, placeholder in placeholders.items():
                connection.execute(QUERIES["leave_out_forgotten"], {"position": position, "id": placeholder})
            for _, sql in triggers:
                connection.execute(sql)
            connection.commit()
            for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                connection.execute(statement).fetchall()
        finally:
            connection.close()
    return count


def _redact_rows(connection: sqlite3.Connection, pattern: re.Pattern[bytes]) -> int:
    """Replace ids in rows of vendors' problems; ids of rejected rows get the name of their position."""
    count = 0
    for position, identifier in connection.execute(QUERIES["list_invalid_ids"]).fetchall():
        if pattern.fullmatch(identifier.encode()):
            connection.execute(QUERIES["redact_invalid_id"], {"position": position, "id": f"forgotten-{position}"})
            count += 1
    for number, problem in connection.execute(QUERIES["list_problems"]).fetchall():
        redacted = pattern.sub(b"forgotten", problem.encode()).decode()
        if redacted != problem:
            connection.execute(QUERIES["redact_problem"], {"number": number, "problem": redacted})
            count += 1
    [(reason,)] = connection.execute(QUERIES["load_stop_reason"]).fetchall()
    if reason and pattern.search(reason.encode()):
        redacted = pattern.sub(b"forgotten", reason.encode()).decode()
        connection.execute(QUERIES["set_stop_reason"], {"problem": redacted})
        count += 1
    return count
