"""What commands print of prices, campaigns and runs: for people, or as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from audience.cli.output.report import problem_json
from audience.cli.output.widgets import print_table
from audience.delivery.costs import CostEstimate
from audience.delivery.ledger.status import BATCH_STATES, BatchState, FailedBatch, Status
from audience.delivery.ledger.workers import Worker
from audience.errors import Problem
from audience.requests.campaign import Campaign, VendorShare

if TYPE_CHECKING:  # prices are told without what sends
    from audience.delivery.dry_run import DryRun

MAX_SHOWN_BATCHES = 10  # batches in trouble that are listed for people


def print_costs_table(costs: Sequence[CostEstimate], chosen: str | None) -> None:
    """Print what each way costs, and which is *taken*."""
    rows = [
        (
            price.method,
            f"{price.calls:,}",
            format_bytes(price.request_bytes),
            f"{price.seconds:,.1f}",
            _cost_note(price, chosen),
        )
        for price in costs
    ]
    print_table(("method", "calls", "bytes", "seconds", ""), rows, right_aligned=(1, 2, 3))


def cost_json(cost: CostEstimate) -> dict[str, Any]:
    """*price* for machines."""
    return {
        "method": cost.method,
        "calls": cost.calls,
        "setup_calls": cost.setup_calls,
        "bytes": cost.request_bytes,
        "seconds": cost.seconds,
        "worthwhile": cost.worthwhile,
        "problems": [problem_json(each) for each in cost.problems],
    }


def print_campaign_table(campaign: Campaign) -> None:
    """Print who goes where."""
    rows = [
        (share.vendor, f"{share.reachable:,}", f"{share.assigned:,}", _share_requests_note(share))
        for share in campaign.shares
    ]
    rows += [("nobody", "", f"{campaign.unreachable_count:,}", "left out")] if campaign.unreachable_count else []
    print_table(("vendor", "reachable", "assigned", ""), rows, right_aligned=(1, 2))


def format_statuses(statuses: dict[str, Status]) -> str:
    """How far the runs of a folder are."""
    return "\n".join(line for name, status in statuses.items() for line in _status_lines(name, status))


def status_json(status: Status) -> dict[str, Any]:
    """*status* for machines."""
    return {
        "vendor": status.vendor,
        "method": status.method,
        "done": status.done,
        "batches": status.batch_counts,
        "ids": status.id_counts,
        "invalid_ids": status.invalid_id_counts,
        "skipped": status.skipped,
        "active_workers": status.active_workers,
        "workers": [
            {**asdict(worker), "started_at": _format_timestamp(worker.started_at)} for worker in status.workers
        ],
        "cancelled": status.cancelled,
        "stopped": None if status.stop_reason is None else problem_json(status.stop_reason),
        "message_ids": list(status.message_ids),
        "failed_batches": [_failed_batch_json(trouble) for trouble in status.failed_batches],
    }


def unfinished_problems(statuses: dict[str, Status]) -> list[Problem]:
    """Why a run is not done, in the vendor's words and ours."""
    return [problem for status in statuses.values() for problem in _status_problems(status)]


def dry_run_json(dry_run: "DryRun") -> dict[str, Any]:
    """*found* for machines."""
    return {
        "vendor": dry_run.vendor,
        "method": dry_run.method,
        "devices": dry_run.device_count,
        "calls": dry_run.calls,
        "bytes": dry_run.request_bytes,
        "checked": dry_run.checked_calls,
        "problems": [problem_json(problem) for problem in dry_run.problems],
    }


def format_dry_run(dry_run: "DryRun") -> str:
    """What would be sent."""
    checked = f"; the vendor has checked {dry_run.checked_calls:,}" if dry_run.checked_calls else ""
    what = f"{dry_run.calls:,} calls by {dry_run.method}, {format_bytes(dry_run.request_bytes)}"
    return f"{dry_run.vendor}: {dry_run.device_count:,} devices in {what}{checked}; nothing was sent"


def format_bytes(byte_count: int) -> str:
    """So many bytes.

    >>> format_bytes(999), format_bytes(41_200), format_bytes(3_000_000)
    ('999 B', '41.2 kB', '3.0 MB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if byte_count >= factor:
            return f"{byte_count / factor:,.1f} {unit}"
    return f"{byte_count} B"


def _cost_note(cost: CostEstimate, chosen: str | None) -> str:
    if cost.problems:
        return f"refused: {cost.problems[0].message}"
    if cost.method == chosen:
        return "taken"
    return "" if cost.worthwhile else "not worth it for so few"


def _share_requests_note(vendor_share: VendorShare) -> str:
    if not vendor_share.assigned:
        return ""
    return f"{len(vendor_share.plan.native)} native" if vendor_share.plan.native else "by ids"


def _status_lines(name: str, status: Status) -> Iterable[str]:
    parts = [
        f"{status.batch_counts[state]:,} {_state_words(state)}" for state in BATCH_STATES if status.batch_counts[state]
    ]
    told = f", {status.id_counts['accepted']:,} ids told" if sum(status.id_counts.values()) else ""
    yield f"{name}: {', '.join(parts) or 'nothing to send'}{told}"
    if status.invalid_id_counts:
        yield f"  ids left out: {', '.join(f'{many:,} {code}' for code, many in status.invalid_id_counts.items())}"
    for trouble in status.failed_batches[:MAX_SHOWN_BATCHES]:
        stays = ", and stays so" if trouble.skipped else ""
        how = f"{_state_words(trouble.state)}{stays}"
        yield f"  {_describe_batch(trouble)} {how}: {trouble.problem.code}: {trouble.problem.message}"
    if len(status.failed_batches) > MAX_SHOWN_BATCHES:
        yield f"  … and {len(status.failed_batches) - MAX_SHOWN_BATCHES:,} more"
    for worker in status.workers:
        yield (
            f"  at work: {_describe_worker(worker)}"
            if worker.is_alive
            else f"  died: {_describe_worker(worker)}; audience resume takes over"
        )


def waiting_notes(workers: Iterable[Worker]) -> list[Problem]:
    """For whom a process waits."""
    hint = "where it hangs it can be ended: what it has sent is in doubt then, and all else is told from here"
    return [Problem("waiting", f"waiting for {_describe_worker(worker)}", hint=hint) for worker in workers]


def _describe_worker(worker: Worker) -> str:
    started = _format_timestamp(worker.started_at)
    return f"process {worker.pid} on {worker.host}, begun {started}, with {worker.batches:,} batches"


def _format_timestamp(seconds: float) -> str:
    """A moment as people and machines read it.

    >>> _format_timestamp(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _describe_batch(failed_batch: FailedBatch) -> str:
    if failed_batch.native is not None:
        return f"native request {failed_batch.native + 1}"
    return f"ids {failed_batch.first:,} to {(failed_batch.stop or 0) - 1:,}"


def _failed_batch_json(failed_batch: FailedBatch) -> dict[str, Any]:
    place = {"native": failed_batch.native, "first": failed_batch.first, "stop": failed_batch.stop}
    facts = {"batch": failed_batch.batch, "state": failed_batch.state, "skipped": failed_batch.skipped}
    return {**facts, **place, "problem": problem_json(failed_batch.problem)}


def _state_words(state: BatchState) -> str:
    """The name of *state* for people.

    >>> _state_words("in_doubt")
    'in doubt'
    """
    return state.replace("_", " ")


def _status_problems(status: Status) -> Iterable[Problem]:
    if status.stop_reason is not None:
        yield status.stop_reason
    if status.cancelled:
        yield Problem("cancelled", f"{status.vendor}: the run is cancelled; {status.pending:,} batches were not sent")
    elif status.pending:
        hint = "audience resume goes on"
        yield Problem("left", f"{status.vendor}: {status.pending:,} batches are left", hint=hint)
    if status.undecided:
        message = f"{status.vendor}: whether {status.undecided:,} batches told anybody is not known"
        hint = "audience resume --on-doubt skip leaves it so; retry sends them again, and may tell some twice"
        yield Problem("in-doubt", message, hint=hint)
