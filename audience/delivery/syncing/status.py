"""Status of the syncs of an index: one for each application, from its state and the ledger of its calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from audience.delivery.ledger.status import problem_from_json
from audience.delivery.syncing.folder import LEDGER_FILE, is_syncing, sync_folder
from audience.delivery.syncing.ledger import SyncLedger, load_stop_problem
from audience.errors import LedgerError, Problem
from audience.tag_sync.state import Application, AttributeSync, StateFacts

# complete     the vendor has the tags of the snapshot
# running      a process makes the calls
# cancelled    cancelled before its end
# stopped      it has stopped for a reason that it names
# incomplete   the process has ended before the end
SyncState: TypeAlias = Literal["complete", "running", "cancelled", "stopped", "incomplete"]
CALL_STATES = ("done", "todo", "sent", "rejected")


@dataclass(frozen=True, slots=True)
class CallProblem:
    """Problem that the vendor reported for *calls* calls, of which *first* is the number of the first."""

    problem: Problem
    calls: int
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStatus:
    """Status of the last sync of one application.

    Attributes:
        application: The application.
        vendor: Name of the vendor; that of its family if nothing was ever changed.
        number: Number of the sync.
        state: How far it is.
        attributes: Ended syncs by what they are about.
        pending: What the last sync is about, if it has not ended.
        snapshot: Number of the snapshot that it syncs to.
        started_at: Unix timestamp of its beginning, if it has not ended.
        calls: Numbers of its calls by state.
        pairs: Number of tags that it sets and removes.
        devices: Number of ids with tags.
        tags: Number of tags.
        unknown_ids: Number of ids that the vendor did not know.
        problems: Problems of calls that were not made.
        stop_problem: Why it has stopped.
    """

    application: Application
    vendor: str
    number: int
    state: SyncState
    attributes: Mapping[str, AttributeSync]
    pending: tuple[str, ...] = ()
    snapshot: int | None = None
    started_at: float | None = None
    calls: Mapping[str, int] = field(default_factory=dict)
    pairs: int = 0
    devices: int = 0
    tags: int = 0
    unknown_ids: int = 0
    problems: tuple[CallProblem, ...] = ()
    stop_problem: Problem | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether the vendor has the tags of the snapshot."""
        return self.state == "complete"


def load_sync_status(index: Path, facts: StateFacts) -> SyncStatus:
    """Return the status of an application whose state has these *facts*."""
    folder = sync_folder(index, facts.application)
    started = facts.started
    status = SyncStatus(
        application=facts.application,
        vendor=facts.application.family,
        number=facts.number,
        state="complete" if started is None else "running" if is_syncing(folder) else "incomplete",
        attributes=facts.attributes,
        pending=() if started is None else tuple(sorted(started.attributes)),
        snapshot=None if started is None else started.snapshot,
        started_at=None if started is None else started.started_at,
        devices=facts.devices,
        tags=facts.tags,
        unknown_ids=facts.unknown_ids,
    )
    return _add_calls(status, folder / LEDGER_FILE)


def _add_calls(status: SyncStatus, ledger_path: Path) -> SyncStatus:
    """Return *status* with the counts and problems of the calls in the ledger; unchanged if it cannot be read."""
    if not ledger_path.is_file():
        return status
    try:
        with SyncLedger(ledger_path, write=False) as ledger, ledger.read_transaction():
            record = ledger.load_record()
            if record.number != status.number:
                return status
            counts = dict(ledger.query("count_calls"))
            problems = tuple(
                CallProblem(problem_from_json(problem), calls, first)
                for problem, calls, first in ledger.query("list_problems")
            )
            [(unknown,)] = ledger.query("count_unknown_ids")
    except LedgerError:
        return status
    stop_problem = load_stop_problem(record)
    state = status.state
    if state == "incomplete":
        state = "cancelled" if record.cancelled_at is not None else "stopped" if stop_problem is not None else state
    return replace(
        status,
        vendor=record.vendor,
        state=state,
        calls={name: counts.get(name, 0) for name in CALL_STATES},
        pairs=record.pair_count,
        unknown_ids=status.unknown_ids if status.is_complete else status.unknown_ids + unknown,
        problems=() if status.is_complete else problems,
        stop_problem=None if status.is_complete else stop_problem,
    )
