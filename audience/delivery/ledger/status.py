"""Status of a run, read from its ledger: batches and ids by state, failed batches, workers."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.left_out import count_reasons, find_reason
from audience.delivery.ledger.waiting import NOTHING_WAITS, Waiting, load_waiting
from audience.delivery.ledger.workers import Worker, list_workers
from audience.errors import Problem

BatchState: TypeAlias = Literal["todo", "sent", "accepted", "rejected", "in_doubt", "withdrawn"]
BATCH_STATES: tuple[BatchState, ...] = ("todo", "sent", "accepted", "rejected", "in_doubt", "withdrawn")
MAX_LISTED = 1_000  # failed batches and message ids of a status; the ledger has all of them


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """Rejected or in-doubt batch: the number of a native request, or the ids [first, stop) of the plan."""

    batch: int
    native: int | None
    first: int | None
    stop: int | None
    state: BatchState
    skipped: bool
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Progress of a run.

    Attributes:
        vendor: Name of the vendor.
        method: Name of the send method.
        batch_counts: Batches by state.
        id_counts: Ids by the state of their batch, without invalid ids.
        invalid_id_counts: Ids that the vendor rejected, by its error code.
        left_out_counts: Ids that policies left out after the requests were emitted, by the name of the policy.
        skipped: Batches in doubt that the user chose to leave so.
        workers: Workers that are running, or died without being reaped.
        cancelled: Whether the run was cancelled.
        stop_reason: Why the last worker stopped early, if it did.
        message_ids: The vendor's ids of the accepted messages, at most `MAX_LISTED`.
        failed_batches: Rejected and in-doubt batches, at most `MAX_LISTED`.
        waiting: What waits for its moment, held here or kept by the vendor.
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
    left_out_counts: Mapping[str, int] = field(default_factory=dict)
    waiting: Waiting = NOTHING_WAITS

    @property
    def done(self) -> bool:
        """True if no batch is pending, undecided or scheduled, and the run was neither stopped nor cancelled."""
        is_open = self.pending or self.undecided or self.waiting.batches
        return not self.stop_reason and not self.cancelled and not is_open

    @property
    def active_workers(self) -> int:
        """Number of workers that are running."""
        return sum(worker.is_alive for worker in self.workers)

    @property
    def pending(self) -> int:
        """Number of batches that can be sent, or have no reply yet; not of those that wait for their moment."""
        return self.batch_counts["todo"] + self.batch_counts["sent"] - self.waiting.held_batches

    @property
    def undecided(self) -> int:
        """Number of batches in doubt that the user has neither skipped nor retried."""
        return self.batch_counts["in_doubt"] - self.skipped


def load_status(ledger: Ledger, clock: Clock = SYSTEM_CLOCK) -> Status:
    """Load the status of the run of *ledger*."""
    run = ledger.load_run()
    batch_counts, id_counts = _count_by_state(ledger)
    [(skipped,)] = ledger.query("count_skipped")
    code_counts = ledger.query("count_invalid_ids")
    return Status(
        vendor=run.vendor,
        method=run.method,
        batch_counts=batch_counts,
        id_counts=id_counts,
        invalid_id_counts={code: count for code, count in code_counts if find_reason(code) is None},
        skipped=skipped,
        workers=list_workers(ledger),
        cancelled=run.cancelled_at is not None,
        stop_reason=_load_stop_reason(run),
        message_ids=_list_message_ids(ledger),
        failed_batches=tuple(_load_failed_batches(ledger)),
        left_out_counts=count_reasons(code_counts),
        waiting=load_waiting(ledger, run, clock.wall()),
    )


def empty_status(vendor: str) -> Status:
    """Return the status of a run without any device."""
    zeros: dict[BatchState, int] = dict.fromkeys(BATCH_STATES, 0)
    return Status(
        vendor=vendor,
        method="none",
        batch_counts=zeros,
        id_counts=zeros,
        invalid_id_counts={},
        skipped=0,
        workers=(),
        cancelled=False,
        stop_reason=None,
        message_ids=(),
        failed_batches=(),
    )


def sum_counts(counts: Iterable[Mapping[BatchState, int]]) -> dict[BatchState, int]:
    """Return the sums of numbers by state."""
    listed = [*counts]
    return {state: sum(each[state] for each in listed) for state in BATCH_STATES}


def count_progress(ledger: Ledger) -> tuple[int, int]:
    """Return how many ids and native requests are settled, and how many there are."""
    [(total, pending)] = ledger.query("count_progress")
    return total - pending, total


def _count_by_state(ledger: Ledger) -> tuple[dict[BatchState, int], dict[BatchState, int]]:
    """Return the number of batches and of valid ids in each state."""
    batch_counts, id_counts = dict.fromkeys(BATCH_STATES, 0), dict.fromkeys(BATCH_STATES, 0)
    invalid = [position for (position,) in ledger.query("list_all_invalid_positions")]
    for state, first, stop in ledger.iterate("list_leaf_ranges"):
        batch_counts[state] += 1
        id_counts[state] += stop - first - (bisect_left(invalid, stop) - bisect_left(invalid, first))
    return batch_counts, id_counts


def _load_failed_batches(ledger: Ledger) -> list[FailedBatch]:
    return [
        FailedBatch(number, native, first, stop, state, bool(skipped), problem_from_json(problem))
        for number, native, first, stop, state, skipped, problem in ledger.query(
            "list_failed_batches", limit=MAX_LISTED
        )
    ]


def _load_stop_reason(run: Run) -> Problem | None:
    return None if run.stop_reason is None else problem_from_json(run.stop_reason)


def problem_from_json(text: str | None) -> Problem:
    """Return the problem that a ledger keeps as JSON."""
    fields: dict[str, Any] = orjson.loads(text) if text else {"code": "unknown", "message": "no problem was recorded"}
    return Problem(fields["code"], fields["message"], hint=fields.get("hint"))


def _list_message_ids(ledger: Ledger) -> tuple[str, ...]:
    """Return the vendor's ids of the messages; a call that made several has their ids joined by commas."""
    joined = [message_ids for (message_ids,) in ledger.query("list_message_ids", limit=MAX_LISTED)]
    return tuple(message_id for message_ids in joined for message_id in message_ids.split(","))[:MAX_LISTED]
