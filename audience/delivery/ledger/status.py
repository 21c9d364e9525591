"""How far a run is, read from its ledger: batches and ids by their states, and what the vendor said."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.workers import Worker, list_workers
from audience.errors import Problem

BatchState: TypeAlias = Literal["todo", "sent", "accepted", "rejected", "in_doubt"]
BATCH_STATES: tuple[BatchState, ...] = ("todo", "sent", "accepted", "rejected", "in_doubt")
MAX_LISTED = 1_000  # that are listed; all of them stand in the ledger

# A batch whose parts are sent anew counts no more: its parts do.
LEAF_BATCHES = "FROM batch AS b WHERE NOT EXISTS (SELECT 1 FROM batch AS part WHERE part.parent = b.number)"


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A batch that was refused or is in doubt: a *native* request, or ids of the plan, and the vendor's words."""

    batch: int
    native: int | None
    first: int | None
    stop: int | None
    state: BatchState
    skipped: bool
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a run is.

    *batches* and *ids* are counts by state; *bad* is how many ids the vendor did not know, by its code, and of those
    none is counted in *ids*. *skipped* of the batches in doubt are settled to stay so; *workers* are at it, or died and
    left what they had. *messages* are the vendor's ids of what it took, and *troubles* are what was refused or is in
    doubt, a thousand at most.
    """

    vendor: str
    method: str
    batch_counts: dict[BatchState, int]
    id_counts: dict[BatchState, int]
    invalid_id_counts: dict[str, int]
    skipped: int
    workers: tuple[Worker, ...]
    cancelled: bool
    stop_reason: Problem | None
    message_ids: tuple[str, ...]
    failed_batches: tuple[FailedBatch, ...] = field(repr=False)

    @property
    def done(self) -> bool:
        """Whether all is settled: nothing left to send, no reply outstanding, no doubt that nobody has decided."""
        return not self.stop_reason and not self.cancelled and self.pending == 0 and self.undecided == 0

    @property
    def active_workers(self) -> int:
        """How many processes are at work."""
        return sum(worker.is_alive for worker in self.workers)

    @property
    def pending(self) -> int:
        """Batches that will be sent, or have no reply yet."""
        return self.batch_counts["todo"] + self.batch_counts["sent"]

    @property
    def undecided(self) -> int:
        """Batches in doubt that nobody has decided on."""
        return self.batch_counts["in_doubt"] - self.skipped


def load_status(ledger: Ledger) -> Status:
    """How far the run of *ledger* is."""
    run = ledger.load_run()
    batches, ids = _count_by_state(ledger)
    [(skipped,)] = ledger.execute("SELECT count(*) FROM batch WHERE skipped IS NOT NULL")
    named = "SELECT DISTINCT message FROM batch WHERE message IS NOT NULL ORDER BY number LIMIT ?"
    return Status(
        vendor=run.vendor,
        method=run.method,
        batch_counts=batches,
        id_counts=ids,
        invalid_id_counts=dict(ledger.execute("SELECT code, count(*) FROM bad GROUP BY code ORDER BY code")),
        skipped=skipped,
        workers=list_workers(ledger),
        cancelled=run.cancelled_at is not None,
        stop_reason=_load_stop_reason(run),
        message_ids=tuple(name for (name,) in ledger.execute(named, MAX_LISTED)),
        failed_batches=tuple(_load_failed_batches(ledger)),
    )


def empty_status(vendor: str) -> Status:
    """The status of a run that tells nobody."""
    none: dict[BatchState, int] = dict.fromkeys(BATCH_STATES, 0)
    return Status(
        vendor=vendor,
        method="none",
        batch_counts=none,
        id_counts=none,
        invalid_id_counts={},
        skipped=0,
        workers=(),
        cancelled=False,
        stop_reason=None,
        message_ids=(),
        failed_batches=(),
    )


def count_progress(ledger: Ledger) -> tuple[int, int]:
    """How many ids and native requests are settled, of how many: for a progress bar, while others write."""
    total = "SELECT native_count + id_count FROM run"
    left = "SELECT coalesce(sum(coalesce(stop - first, 1)), 0) FROM batch WHERE state IN ('todo', 'sent')"
    [(whole, going)] = ledger.execute(f"SELECT ({total}), ({left})")
    return whole - going, whole


def _count_by_state(ledger: Ledger) -> tuple[dict[BatchState, int], dict[BatchState, int]]:
    """How many batches, and how many ids that are not bad, there are in each state."""
    batches, ids = dict.fromkeys(BATCH_STATES, 0), dict.fromkeys(BATCH_STATES, 0)
    bad = [position for (position,) in ledger.execute("SELECT position FROM bad ORDER BY position")]
    for state, first, stop in ledger.execute(f"SELECT state, coalesce(first, 0), coalesce(stop, 0) {LEAF_BATCHES}"):
        batches[state] += 1
        ids[state] += stop - first - (bisect_left(bad, stop) - bisect_left(bad, first))
    return batches, ids


def _load_failed_batches(ledger: Ledger) -> list[FailedBatch]:
    columns = "b.number, b.native, b.first, b.stop, b.state, b.skipped IS NOT NULL, b.problem"
    rows = ledger.execute(
        f"SELECT {columns} {LEAF_BATCHES} AND state IN ('rejected', 'in_doubt') ORDER BY number LIMIT {MAX_LISTED}"
    )
    return [
        FailedBatch(number, native, first, stop, state, bool(skipped), problem_from_json(said))
        for number, native, first, stop, state, skipped, said in rows
    ]


def _load_stop_reason(run: Run) -> Problem | None:
    return None if run.stop_reason is None else problem_from_json(run.stop_reason)


def problem_from_json(text: str | None) -> Problem:
    """A problem as it stands in a ledger."""
    found: dict[str, Any] = orjson.loads(text) if text else {"code": "unknown", "message": "nothing was said"}
    return Problem(found["code"], found["message"], hint=found.get("hint"))
