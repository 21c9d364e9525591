"""Connection to the ledger of a run: an SQLite file with the rules of `schema.sql` and the statements of `queries.sql`.

`transitions` and `workers` decide what is written.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.ledger.commit_count import write_count
from audience.delivery.ledger.folder_marker import create_marker, location_values
from audience.delivery.ledger.planned import PlannedBatch, PlannedPart
from audience.delivery.sqlite_file import (
    Connection,
    SqliteFile,
    connect,
    create_sqlite_file,
    has_log,
    load_queries,
    wrap_sqlite_errors,
)
from audience.errors import DeliveryError, LedgerError, Problem

LEDGER_FILE = "ledger.sqlite"
SCHEMA_VERSION = 8
MAX_UNKNOWN_SHARE = 0.02
SCHEMA_PATH = Path(__file__).with_name("schema.sql")
QUERIES_PATH = Path(__file__).with_name("queries.sql")
QUERIES = load_queries(QUERIES_PATH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Identity of a run: its plan, message, method and credentials, which never change, and how it goes on.

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
    max_unknown: float = MAX_UNKNOWN_SHARE
    cancelled_at: float | None = None
    stop_reason: str | None = None


def has_run(folder: Path) -> bool:
    """Return whether *folder* has a ledger."""
    return (folder / LEDGER_FILE).exists()


class Ledger(SqliteFile):
    """Open ledger. Several threads may share it; one of them writes at a time."""

    queries, version = QUERIES, SCHEMA_VERSION

    def __init__(
        self,
        path: Path,
        *,
        write: bool = True,
        on_busy: "Callable[[Ledger], None] | None" = None,
        clock: Clock = SYSTEM_CLOCK,
    ):
        """Open the ledger *path*.

        Args:
            path: The ledger file.
            write: Without it, no file in the folder changes, not even the write-ahead log.
            on_busy: Called every few seconds while another process holds the write lock. Without it, the wait fails
                after `MAX_LOCK_WAIT_SECONDS`.
            clock: Clock of the run, by which its workers begin and end.

        Raises:
            DeliveryError: If the file is missing, is not a ledger of this version, or cannot be written.
        """
        self.path = path
        self.clock = clock
        self.has_wal = has_log(path)
        self._counted_worker: tuple[int, int] | None = None
        writable = _check_ledger_file(path, write)
        super().__init__(path, "rw" if write else _read_mode(self.has_wal, writable), write=write, on_busy=on_busy)

    def close(self) -> None:
        """Close the connection. While a worker has not ended, the write-ahead log stays: it has its last writes."""
        with self._keep_log():
            super().close()

    @contextmanager
    def _keep_log(self) -> Iterator[None]:
        """Keep SQLite from emptying the log as the last connection is closed, if a worker has not ended."""
        log_keeper: Connection | None = None
        with suppress(DeliveryError):
            has_workers = self.query("count_workers") != [(0,)]
            if has_workers and has_log(self.path):
                with wrap_sqlite_errors(self.path):
                    log_keeper = connect(self.path, "ro")
                    log_keeper.execute(QUERIES["count_workers"]).fetchone()
        try:
            yield
        finally:
            if log_keeper is not None:
                log_keeper.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body as one transaction: committed and on disk at its end, or rolled back if it raises."""
        with self._write_lock:
            with super().transaction():
                yield
                count = self._advance_count()
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

    def load_run(self) -> Run:
        """Load the run of this ledger."""
        rows = self.query("load_run")
        if not rows:
            hint = "put back the ledger of the run; without it the folder is not sent from again"
            raise LedgerError(Problem("bad-ledger", f"{self.path}: the table run has no row", hint=hint))
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
    with create_sqlite_file(path, SCHEMA_PATH.read_text("utf-8")) as connection:
        connection.execute(QUERIES["insert_run"], asdict(run))
        connection.execute(QUERIES["insert_location"], location_values(path.parent, marker, run.created_at))
        numbered = ({"number": number, **asdict(part)} for number, part in enumerate(parts, start=1))
        connection.executemany(QUERIES["insert_planned_part"], numbered)
        connection.executemany(QUERIES["insert_batch"], (batch.to_values() for batch in batches))
        connection.executemany(QUERIES["leave_out_new_id"], left_out)
        connection.execute(QUERIES["reject_emptied_batches"], {"now": run.created_at, "problem": problem})


def _check_ledger_file(path: Path, write: bool) -> bool:
    """Return whether the folder of *path* can be written."""
    if not path.is_file():
        raise DeliveryError(Problem("no-run", f"{path.parent}: no run was started here", hint="run `audience send`"))
    writable = os.access(path.parent, os.W_OK)
    if write and not writable:
        raise DeliveryError(Problem("cannot-write", f"{path.parent} is read-only"))
    return writable


def _read_mode(has_wal: bool, writable: bool) -> str:
    """Return the SQLite mode that reads a ledger and leaves its write-ahead log as it is."""
    if has_wal:
        return "ro"
    return "rw" if writable else "ro&immutable=1"  # no process can be at work there, and SQLite cannot lock there


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
    with wrap_sqlite_errors(path):
        connection = connect(path, "rw")
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


def _redact_rows(connection: Connection, pattern: re.Pattern[bytes]) -> int:
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
