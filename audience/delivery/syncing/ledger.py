"""Ledger of the calls of a sync: an SQLite file with the rules of `schema.sql` and the statements of `queries.sql`."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from audience._fs.atomic import fsync_path, temp_path
from audience.delivery.ledger.status import problem_from_json
from audience.delivery.ledger.transitions import problem_to_json
from audience.delivery.sqlite_file import SqliteFile, create_sqlite_file, has_log, load_queries, wal_path
from audience.errors import DeliveryError, LedgerError, Problem

SCHEMA_VERSION = 1
SCHEMA_PATH = Path(__file__).with_name("schema.sql")
QUERIES = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRecord:
    """Facts of a sync in its ledger.

    Attributes:
        number: Number of the sync of its application.
        packing: Digest of its calls.
        vendor: Name of the vendor.
        host: Host of its pushes.
        request: Options of the command, in JSON.
        pair_count: Number of tags to set and to remove.
        timeout: Seconds until a call is given up.
        boot_id: Start of the machine to which the moments of the boot clock belong.
        late_until: Moment by the boot clock up to which a call of an earlier sync may arrive; None if none may.
        created_at: Unix timestamp.
        ended_at: When its end was recorded in the index.
        cancelled_at: When it was cancelled.
        stop_problem: Why it has stopped, in JSON.
    """

    number: int
    packing: str
    vendor: str
    host: str
    request: str
    pair_count: int
    timeout: float
    boot_id: str
    late_until: float | None
    created_at: float
    ended_at: float | None = None
    cancelled_at: float | None = None
    stop_problem: str | None = None


class SyncLedger(SqliteFile):
    """Open ledger of a sync."""

    queries, version = QUERIES, SCHEMA_VERSION

    def __init__(self, path: Path, *, write: bool = True):
        """Open the ledger *path*; without *write* nothing in it changes.

        Raises:
            DeliveryError: It is missing, is not a ledger of this version, or cannot be written.
        """
        if not path.is_file():
            message = f"{path.parent}: no tags were synced here"
            raise DeliveryError(Problem("no-sync", message, hint="run `audience sync`"))
        super().__init__(path, "rw" if write or not has_log(path) else "ro", write=write)

    def load_record(self) -> SyncRecord:
        """Load the facts of the sync."""
        rows = self.query("load_sync")
        if not rows:
            hint = "run `audience sync` again: without its ledger, all changes of the last sync are made again"
            raise LedgerError(Problem("bad-ledger", f"{self.path}: the table sync has no row", hint=hint))
        return SyncRecord(**dict(zip(SyncRecord.__dataclass_fields__, rows[0], strict=True)))

    def list_calls(self, state: str) -> list[int]:
        """Return the numbers of all calls in *state*."""
        return [number for (number,) in self.query("list_calls", state=state)]


def create_sync_ledger(path: Path, record: SyncRecord, call_count: int) -> None:
    """Write a new ledger with *call_count* calls in the place of the one at *path*, which no process uses.

    A process that dies leaves the old ledger, the new one or none.
    """
    draft = temp_path(path)
    draft.unlink(missing_ok=True)
    with create_sqlite_file(draft, SCHEMA_PATH.read_text("utf-8")) as connection:
        connection.execute(QUERIES["insert_sync"], asdict(record))
        connection.executemany(QUERIES["insert_call"], ({"number": number} for number in range(call_count)))
    draft.chmod(0o600)
    fsync_path(draft)
    for log in (wal_path(path), path.with_name(f"{path.name}-shm")):
        path.unlink(missing_ok=True)  # first: a log without its file is harmless, a file without its log is not
        log.unlink(missing_ok=True)
    fsync_path(path.parent)
    draft.replace(path)
    fsync_path(path.parent)


# Jobs of the worker. --------------------------------------------------------------------------------------------------


def mark_sent(ledger: SyncLedger, number: int, boot: float) -> bool:
    """Record that the call *number* is about to leave. Return False, and record nothing, if the sync was cancelled."""
    if ledger.query("load_cancelled_at") != [(None,)]:
        return False
    ledger.query("mark_sent", number=number, boot=boot)
    return True


def mark_leaving(ledger: SyncLedger, number: int, boot: float) -> None:
    """Record that the call *number*, recorded as sent, leaves later than that."""
    ledger.query("mark_leaving", number=number, boot=boot)


def mark_lost(ledger: SyncLedger, number: int, boot: float, problem: Problem) -> None:
    """Record that the reply to an attempt of the call *number* was lost; the attempt may arrive after others."""
    ledger.query("mark_lost", number=number, boot=boot, problem=problem_to_json(problem))


def mark_refused_for_now(ledger: SyncLedger, number: int, problem: Problem, *, is_untouched: bool) -> None:
    """Record that the vendor refused an attempt of the call *number*, which has changed nothing.

    Args:
        ledger: The ledger.
        number: Number of the call.
        problem: The vendor's reason.
        is_untouched: Whether no part of the call was made either.
    """
    ledger.query("mark_refused_for_now", number=number, problem=problem_to_json(problem), is_untouched=is_untouched)


def mark_done(ledger: SyncLedger, number: int, unknown: Iterable[int], now: float) -> None:
    """Record that the vendor has made the changes of the call *number*, without those of the ids at *unknown*."""
    for position in unknown:
        ledger.query("insert_unknown_id", position=position, call=number)
    ledger.query("mark_done", number=number, now=now)


def mark_rejected(
    ledger: SyncLedger, number: int, unknown: Iterable[int], now: float, problem: Problem, *, is_untouched: bool
) -> None:
    """Record that the vendor rejects the call *number*, or a part of it; then what it has changed is uncertain."""
    for position in unknown:
        ledger.query("insert_unknown_id", position=position, call=number)
    ledger.query("mark_rejected", number=number, now=now, problem=problem_to_json(problem), is_untouched=is_untouched)


def set_stop_problem(ledger: SyncLedger, problem: Problem | None) -> None:
    """Record why the sync has stopped, or that it goes on."""
    ledger.query("set_stop_problem", problem=None if problem is None else problem_to_json(problem))


def load_stop_problem(record: SyncRecord) -> Problem | None:
    """Return why a sync has stopped, if it has."""
    return None if record.stop_problem is None else problem_from_json(record.stop_problem)
