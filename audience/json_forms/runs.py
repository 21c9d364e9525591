"""JSON forms of runs: their status, and what a dry run found."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from audience.delivery.ledger.status import BatchState, FailedBatch, Status
from audience.delivery.ledger.waiting import Waiting
from audience.delivery.ledger.workers import Worker
from audience.json_forms.problems import ProblemForm, problem_json
from audience.vendors import get_vendor, vendor_names

if TYPE_CHECKING:  # a status is printed without the modules that send
    from audience.delivery.dry_run import DryRun


class StateCountsForm(TypedDict):
    """Numbers by state.

    Attributes:
        todo: Not sent yet.
        sent: Sent, without a reply yet.
        accepted: Accepted by the vendor.
        rejected: Rejected by the vendor.
        in_doubt: Perhaps delivered, because the reply was lost.
        withdrawn: Withdrawn at the vendor before their time.
    """

    todo: int
    sent: int
    accepted: int
    rejected: int
    in_doubt: int
    withdrawn: int


class WorkerForm(TypedDict):
    """Worker that is running, or died without being reaped.

    Attributes:
        pid: Its process.
        host: Name of its machine.
        started_at: When it started, in UTC.
        batches: Number of batches that the worker has claimed and not finished.
        is_alive: Whether it is running.
    """

    pid: int
    host: str
    started_at: str
    batches: int
    is_alive: bool


class FailedBatchForm(TypedDict):
    """Batch that was rejected or is in doubt.

    Attributes:
        batch: Number of the batch.
        state: State of the batch.
        skipped: Whether the user chose to leave it in doubt.
        native: Number of the native request; null if the batch is a list of ids.
        first: Position of its first id among the ids of the plan; null if it is a native request.
        stop: Position after its last id.
        problem: What the vendor or the network reported.
    """

    batch: int
    state: BatchState
    skipped: bool
    native: int | None
    first: int | None
    stop: int | None
    problem: ProblemForm


class ScheduledForm(TypedDict):
    """Batches that wait for their moment.

    Attributes:
        held: Batches that are held here.
        held_ids: Their ids.
        opens_at: When the next of them may be sent, in UTC; null if none is held.
        at_vendor: Batches that the vendor has accepted and delivers later.
        at_vendor_ids: Their ids.
        due_at: When the vendor delivers the next of them, in UTC; null if it has none.
        ends_at: The last of all these moments, in UTC.
    """

    held: int
    held_ids: int
    opens_at: str | None
    at_vendor: int
    at_vendor_ids: int
    due_at: str | None
    ends_at: str | None


class StatusForm(TypedDict):
    """Status of a run.

    Attributes:
        vendor: Name of the vendor.
        method: Name of the send method.
        done: Whether nothing is left to send or to decide, and nothing waits for its moment.
        scheduled: What waits for its moment.
        batches: Batches by state.
        ids: Ids by the state of their batch, without invalid ones.
        invalid_ids: Ids that the vendor rejected, by its error code.
        reports_unknown_ids: Whether the vendor reports ids that it does not know; if not, accepted ones may be unknown.
        left_out: Ids that policies left out after the requests were emitted, by the name of the policy.
        skipped: Batches in doubt that the user chose to leave so.
        active_workers: Workers that are running.
        workers: Workers that are running, or died without being reaped.
        cancelled: Whether the run was cancelled.
        stopped: Why the last worker stopped early.
        message_ids: The vendor's ids of the accepted messages, at most 1,000.
        failed_batches: Rejected batches and those in doubt, at most 1,000.
    """

    vendor: str
    method: str
    done: bool
    scheduled: ScheduledForm
    batches: StateCountsForm
    ids: StateCountsForm
    invalid_ids: dict[str, int]
    reports_unknown_ids: bool
    left_out: dict[str, int]
    skipped: int
    active_workers: int
    workers: list[WorkerForm]
    cancelled: bool
    stopped: ProblemForm | None
    message_ids: list[str]
    failed_batches: list[FailedBatchForm]


class DryRunForm(TypedDict):
    """Result of a dry run.

    Attributes:
        vendor: Name of the vendor.
        method: Name of the send method.
        devices: Devices that would be reached.
        calls: Calls that would be made.
        bytes: Bytes of all requests.
        checked: Calls that the vendor validated.
        scheduled: What would wait for its moment.
        problems: What the vendor found.
    """

    vendor: str
    method: str
    devices: int
    calls: int
    bytes: int
    checked: int
    scheduled: ScheduledForm
    problems: list[ProblemForm]


def status_json(status: Status) -> StatusForm:
    """Return the JSON form of *status*."""
    return {
        "vendor": status.vendor,
        "method": status.method,
        "done": status.done,
        "scheduled": scheduled_json(status.waiting),
        "batches": state_counts_json(status.batch_counts),
        "ids": state_counts_json(status.id_counts),
        "invalid_ids": status.invalid_id_counts,
        "reports_unknown_ids": reports_unknown_ids(status.vendor),
        "left_out": dict(status.left_out_counts),
        "skipped": status.skipped,
        "active_workers": status.active_workers,
        "workers": [_worker_json(worker) for worker in status.workers],
        "cancelled": status.cancelled,
        "stopped": None if status.stop_reason is None else problem_json(status.stop_reason),
        "message_ids": list(status.message_ids),
        "failed_batches": [_failed_batch_json(batch) for batch in status.failed_batches],
    }


def scheduled_json(waiting: Waiting) -> ScheduledForm:
    """Return the JSON form of what waits for its moment."""
    return {
        "held": waiting.held_batches,
        "held_ids": waiting.held_ids,
        "opens_at": _format_optional(waiting.opens_at),
        "at_vendor": waiting.kept_batches,
        "at_vendor_ids": waiting.kept_ids,
        "due_at": _format_optional(waiting.due_at),
        "ends_at": _format_optional(waiting.ends_at),
    }


def _format_optional(moment: float | None) -> str | None:
    return None if moment is None else format_timestamp(moment)


def reports_unknown_ids(vendor: str) -> bool:
    """Return whether *vendor* reports ids that it does not know.

    >>> reports_unknown_ids("tpns"), reports_unknown_ids("emas")
    (True, False)
    """
    delivery = get_vendor(vendor).delivery if vendor in vendor_names() else None
    return delivery is None or delivery.reports_unknown_ids


def state_counts_json(counts: dict[BatchState, int]) -> StateCountsForm:
    """Return the JSON form of numbers by state."""
    return {
        "todo": counts["todo"],
        "sent": counts["sent"],
        "accepted": counts["accepted"],
        "rejected": counts["rejected"],
        "in_doubt": counts["in_doubt"],
        "withdrawn": counts["withdrawn"],
    }


def dry_run_json(dry_run: "DryRun") -> DryRunForm:
    """Return the JSON form of *dry_run*."""
    return {
        "vendor": dry_run.vendor,
        "method": dry_run.method,
        "devices": dry_run.device_count,
        "calls": dry_run.calls,
        "bytes": dry_run.request_bytes,
        "checked": dry_run.checked_calls,
        "scheduled": scheduled_json(dry_run.waiting),
        "problems": [problem_json(problem) for problem in dry_run.problems],
    }


def format_timestamp(seconds: float) -> str:
    """Return a Unix time as an ISO 8601 string.

    >>> format_timestamp(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _worker_json(worker: Worker) -> WorkerForm:
    return {
        "pid": worker.pid,
        "host": worker.host,
        "started_at": format_timestamp(worker.started_at),
        "batches": worker.batches,
        "is_alive": worker.is_alive,
    }


def _failed_batch_json(batch: FailedBatch) -> FailedBatchForm:
    return {
        "batch": batch.batch,
        "state": batch.state,
        "skipped": batch.skipped,
        "native": batch.native,
        "first": batch.first,
        "stop": batch.stop,
        "problem": problem_json(batch.problem),
    }
