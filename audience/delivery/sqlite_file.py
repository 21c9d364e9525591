"""SQLite files that record calls: statements by name, transactions, and errors that name the file.

A transaction is on disk when `SqliteFile.transaction` returns.
"""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, Self, TypeAlias

from audience.errors import DeliveryError, LedgerError, Problem

Connection: TypeAlias = sqlite3.Connection

MAX_LOCK_WAIT_SECONDS = 60  # for the transaction of another process, if no `on_busy` reports the wait
ROWS_PER_FETCH = 1_000
BUSY_TIMEOUT_SECONDS = 3  # until the wait is reported
WRITE_ERRORS = {"SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE"}


def load_queries(path: Path) -> Mapping[str, str]:
    """Return the statements of a file by name: each begins with a line `-- name: NAME` and ends with a semicolon."""
    found = re.findall(r"^-- name: (\w+)\n(.*?);$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


class SqliteFile:
    """Open SQLite file. Several threads may share it; one of them writes at a time.

    Attributes:
        queries: Statements by name.
        version: Version of the schema, which the file must have.
        path: The file.
    """

    queries: ClassVar[Mapping[str, str]]
    version: ClassVar[int]

    def __init__(self, path: Path, mode: str, *, write: bool, on_busy: Callable[[Any], None] | None = None):
        """Open the file *path*, which exists.

        Args:
            path: The file.
            mode: Mode of SQLite.
            write: Without it, no statement can change the file.
            on_busy: Called every few seconds while another process holds the write lock. Without it, the wait fails
                after `MAX_LOCK_WAIT_SECONDS`.

        Raises:
            LedgerError: The file is not one of SQLite.
            DeliveryError: It has another version, or cannot be written.
        """
        self.path = path
        self._on_busy = on_busy
        self._write_lock = RLock()  # reentrant: a signal handler may write while this thread holds it
        with wrap_sqlite_errors(path):
            self._connection = connect(path, mode)
            try:
                self._check_version()
                self._connection.execute(f"PRAGMA {'journal_mode = WAL' if write else 'query_only = ON'}")
            except BaseException:
                self.close()
                raise

    def _check_version(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != self.version:
            message = f"{self.path}: expected a ledger of version {self.version}, found version {version}"
            hint = "use the version of audience that created it"
            raise DeliveryError(Problem("other-ledger", message, hint=hint))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def query(self, name: str, **values: Any) -> list[Any]:
        """Run the statement *name* and return its rows."""
        try:
            return self._connection.execute(self.queries[name], values).fetchall()
        except sqlite3.Error as error:  # `wrap_sqlite_errors` would take as long as a quick statement
            raise _wrap_error(self.path, error) from error

    def iterate(self, name: str, **values: Any) -> Iterator[Any]:
        """Run the statement *name* and yield its rows, which are not all in memory."""
        with wrap_sqlite_errors(self.path):
            cursor = self._connection.execute(self.queries[name], values)
        while True:
            with wrap_sqlite_errors(self.path):
                rows = cursor.fetchmany(ROWS_PER_FETCH)
            if not rows:
                return
            yield from rows

    @contextmanager
    def read_transaction(self) -> Iterator[None]:
        """Run the body so that all of its statements read one state, whatever other processes write."""
        with wrap_sqlite_errors(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body as one transaction: committed and on disk at its end, or rolled back if it raises."""
        with self._write_lock, wrap_sqlite_errors(self.path):
            self._begin_immediate()
            try:
                yield
                self._commit()
            except BaseException:
                self._connection.rollback()
                raise

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

    def run_all(self, jobs: Sequence[Callable[[Self], Any]]) -> list[Any]:
        """Run *jobs* in one transaction and return the result of each, or the DeliveryError that it raised.

        A job that raises writes nothing; the others are not affected.
        """
        with self.transaction():
            return [self._run_in_savepoint(job) for job in jobs]

    def _run_in_savepoint(self, job: Callable[[Self], Any]) -> Any:
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


@contextmanager
def create_sqlite_file(path: Path, schema: str) -> Iterator[Connection]:
    """Write a new file with the tables of *schema*, and what the body inserts; the caller syncs it to the disk."""
    with wrap_sqlite_errors(path):
        connection = connect(path, "rwc")
        try:
            connection.execute("PRAGMA journal_mode = MEMORY")  # a crash leaves no second file behind
            connection.execute("PRAGMA synchronous = OFF")  # the caller syncs the file before it gets its name
            connection.executescript(f"BEGIN; {schema}")
            yield connection
            connection.commit()
        finally:
            connection.close()


def connect(path: Path, mode: str) -> Connection:
    """Connect to the file *path* in a mode of SQLite. Transactions are on disk when they are committed."""
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


def wal_path(path: Path) -> Path:
    """Return the write-ahead log of the file *path*; it has the last writes of a working or crashed process."""
    return path.with_name(f"{path.name}-wal")


def has_log(path: Path) -> bool:
    """Return whether the write-ahead log of the file *path* has any writes. Another process may have removed it."""
    try:
        return wal_path(path).stat().st_size > 0
    except FileNotFoundError:
        return False


@contextmanager
def wrap_sqlite_errors(path: Path) -> Iterator[None]:
    """Raise errors of SQLite as errors that name the file *path*."""
    try:
        yield
    except sqlite3.Error as error:
        raise _wrap_error(path, error) from error


def _wrap_error(path: Path, error: sqlite3.Error) -> DeliveryError:
    """Return an error that names the file *path*; LedgerError, unless it cannot be written."""
    if getattr(error, "sqlite_errorname", None) in WRITE_ERRORS:
        hint = "the ledger keeps what was sent; make room or make it writable, then run `audience resume`"
        return DeliveryError(Problem("cannot-write", f"{path}: {error}", hint=hint))
    return LedgerError(Problem("bad-ledger", f"{path}: {error}"))
