"""Text of costs, campaigns, runs and dry runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audience.cli.output.widgets import format_table
from audience.counts import format_count
from audience.delivery.cancelled import rest_advice
from audience.delivery.costs import CostEstimate
from audience.delivery.ledger.status import BATCH_STATES, BatchState, FailedBatch, Status
from audience.delivery.ledger.waiting import Waiting
from audience.delivery.ledger.workers import Worker
from audience.delivery.schedule import format_moment
from audience.errors import Problem
from audience.json_forms.runs import format_timestamp, reports_unknown_ids
from audience.requests.campaign import Campaign, VendorShare
from audience.vendors import get_vendor

if TYPE_CHECKING:  # costs are printed without the modules that send
    from audience.delivery.dry_run import DryRun

MAX_SHOWN_BATCHES = 10  # failed batches that the text lists


def format_costs(costs: Sequence[CostEstimate], chosen: str | None) -> str:
    """Return a table of the costs of each send method, with the *chosen* one marked."""
    rows = [
        (
            cost.method,
            f"{cost.calls:,}",
            format_bytes(cost.request_bytes),
            f"{cost.seconds:,.1f}",
            _cost_note(cost, chosen),
        )
        for cost in costs
    ]
    return format_table(("method", "calls", "bytes", "seconds", "note"), rows, right_aligned=(1, 2, 3))


def _cost_note(cost: CostEstimate, chosen: str | None) -> str:
    if cost.problems:
        return f"not possible: {cost.problems[0].message}"
    if cost.method == chosen:
        return "chosen"
    return "" if cost.worthwhile else "not worthwhile for so few ids"


def format_campaign(campaign: Campaign) -> str:
    """Return a table of the devices that each vendor can reach and is assigned."""
    rows = [
        (share.vendor, f"{share.reachable:,}", f"{share.assigned:,}", _share_note(share)) for share in campaign.shares
    ]
    if campaign.unreachable_count:
        rows.append(("none", "", f"{campaign.unreachable_count:,}", "unreachable"))
    return format_table(("vendor", "reachable", "assigned", "sent as"), rows, right_aligned=(1, 2))


def _share_note(share: VendorShare) -> str:
    if not share.assigned:
        return ""
    requests = len(share.plan.native)
    return format_count(requests, "request") if requests else "ids"


def format_run_question(question: Mapping[str, str | None]) -> str:
    """Return when, where and for which audience requests were emitted; empty if the audience has no relative times."""
    if question["bound"] in (None, question["expression"]):
        return ""
    return f"emitted as of {question['as_of']} {question['timezone']}: {question['bound']}"


def format_run_syncs(syncs: Sequence[Mapping[str, Any]]) -> str:
    """Return which synced tags native requests rest on; empty if they rest on none."""
    names: dict[tuple[str, int, str], list[str]] = {}
    for sync in syncs:
        names.setdefault((sync["host"], sync["snapshot"], sync["ended_at"]), []).append(sync["attribute"])
    lines = [
        f"{', '.join(attributes)} synced to snapshot {snapshot:,} at {ended_at}, at {host}"
        for (host, snapshot, ended_at), attributes in names.items()
    ]
    return f"native requests rest on {'; '.join(lines)}" if lines else ""


def format_statuses(statuses: dict[str, Status]) -> str:
    """Return the progress of the runs of a folder, with failed batches and workers."""
    return "\n".join(line for name, status in statuses.items() for line in _status_lines(name, status))


def unfinished_problems(statuses: dict[str, Status]) -> list[Problem]:
    """Return why runs are not done, or have not reached everybody."""
    return [problem for status in statuses.values() for problem in _status_problems(status)]


def _status_lines(name: str, status: Status) -> Iterable[str]:
    words = {"todo": "cancelled"} if status.cancelled else {}
    counts = [
        f"{count:,} {words.get(state) or _state_words(state)}"
        for state in BATCH_STATES
        if (count := status.batch_counts[state])
    ]
    ids = f"; ids: {status.id_counts['accepted']:,} accepted" if sum(status.id_counts.values()) else ""
    yield f"{name}: batches: {', '.join(counts)}{ids}" if counts else f"{name}: nothing to send"
    yield from _waiting_lines(status.waiting)
    if status.id_counts["accepted"] and not reports_unknown_ids(status.vendor):
        yield f"  {get_vendor(status.vendor).title} does not report ids that it does not know: some may be unknown"
    if status.invalid_id_counts:
        yield f"  invalid ids: {', '.join(f'{count:,} {code}' for code, count in status.invalid_id_counts.items())}"
    if status.left_out_counts:
        yield f"  left out by policies: {format_left_out(status.left_out_counts)}"
    for batch in status.failed_batches[:MAX_SHOWN_BATCHES]:
        state = f"{_state_words(batch.state)}{', skipped' if batch.skipped else ''}"
        yield f"  {_describe_batch(batch)} {state}: {batch.problem.code}: {batch.problem.message}"
    if len(status.failed_batches) > MAX_SHOWN_BATCHES:
        yield f"  … and {len(status.failed_batches) - MAX_SHOWN_BATCHES:,} more"
    for worker in status.workers:
        if worker.is_alive:
            yield f"  active: {_describe_worker(worker)}"
        else:
            yield f"  died: {_describe_worker(worker)}; run `audience resume` to send the rest"


def _waiting_lines(waiting: Waiting) -> Iterable[str]:
    """Yield what waits for its moment: what is held here, and what the vendor keeps."""
    if waiting.held_batches and waiting.opens_at is not None:
        held = format_count(waiting.held_batches, "batch", "batches")
        opens = _moment(waiting.opens_at, waiting)
        yield f"  scheduled here: {held} with {_count_ids(waiting.held_ids)}, from {opens} on"
    if waiting.kept_batches and waiting.due_at is not None:
        kept = format_count(waiting.kept_batches, "batch", "batches")
        due = _moment(waiting.due_at, waiting)
        yield f"  scheduled at the vendor: {kept} with {_count_ids(waiting.kept_ids)}, from {due} on"


def format_left_out(counts: Mapping[str, int]) -> str:
    """Return how many ids each policy left out.

    >>> format_left_out({"consent": 1_200, "not-in-index": 1})
    '1,200 consent, 1 not-in-index'
    """
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _status_problems(status: Status) -> Iterable[Problem]:
    if status.stop_reason is not None:
        yield status.stop_reason
    if status.cancelled:
        withdrawn = status.batch_counts["withdrawn"]
        taken_back = f", withdrawn: {withdrawn:,}" if withdrawn else ""
        message = f"{status.vendor}: the run is cancelled; batches not sent: {status.pending:,}{taken_back}"
        yield Problem("cancelled", message)
        if status.waiting.kept_batches:
            message = f"{status.vendor}: batches that the vendor still delivers: {status.waiting.kept_batches:,}"
            yield Problem("not-withdrawn", message, hint="run `audience cancel` again to withdraw them")
    elif status.pending:
        message = f"{status.vendor}: batches not sent yet: {status.pending:,}"
        yield Problem("left", message, hint="run `audience resume` to send them")
    if status.undecided:
        message = f"{status.vendor}: batches in doubt, which may have been delivered: {status.undecided:,}"
        hint = "run `audience resume` with --on-doubt skip, or with --on-doubt retry, which may deliver twice"
        yield Problem("in-doubt", message, hint=hint)
    yield from _unreached_problems(status)


def _unreached_problems(status: Status) -> Iterable[Problem]:
    """Yield a problem if the vendor does not know ids, or has rejected batches: not everybody was reached."""
    unknown, rejected = sum(status.invalid_id_counts.values()), status.id_counts["rejected"]
    batches = sum(batch.state == "rejected" and batch.native is not None for batch in status.failed_batches)
    reasons = [(unknown, "id that it does not know", "ids that it does not know")]
    reasons += [(rejected, "id in rejected calls", "ids in rejected calls")]
    reasons += [(batches, "rejected native request", "rejected native requests")]
    if listed := [format_count(count, *words) for count, *words in reasons if count]:
        message = f"{status.vendor}: not everybody was reached: {', '.join(listed)}"
        yield Problem("not-reached", message, hint="list them with `audience delivered FOLDER --state rejected`")


def name_vendors(problems: Mapping[str, Iterable[Problem]]) -> list[Problem]:
    """Return the problems of each vendor, with its name before each if there are several vendors.

    >>> print(*name_vendors({"tpns": [Problem("long", "cut")], "emas": []}))
    long: tpns: cut
    """
    if len(problems) == 1:
        return [problem for found in problems.values() for problem in found]
    return [
        replace(problem, message=f"{vendor}: {problem.message}")
        for vendor, found in problems.items()
        for problem in found
    ]


def scheduled_notes(statuses: Mapping[str, Status], folder: Path) -> list[Problem]:
    """Return a note about what is scheduled and held here, with the command that sends it."""
    openings = [s.waiting for s in statuses.values() if s.waiting.opens_at is not None]
    if not openings:
        return []
    first = min(openings, key=lambda waiting: waiting.opens_at or 0.0)
    message = f"{_count_ids(sum(w.held_ids for w in openings))} are scheduled, from {_moment(first.opens_at, first)} on"
    hint = f"run `audience run wait {folder}`, or `audience resume {folder}` at that time: nothing sends them otherwise"
    return [Problem("scheduled", message, hint=hint)]


def opening_notes(statuses: Mapping[str, Status]) -> list[Problem]:
    """Return a note about the next moment that is waited for."""
    return [replace(note, hint=None) for note in scheduled_notes(statuses, Path())]


def rest_notes(statuses: Mapping[str, Status], folder: Path) -> list[Problem]:
    """Return a note on how to reach whom cancelled runs did not reach, if there is anybody."""
    rest = sum(s.id_counts["todo"] + s.id_counts["withdrawn"] for s in statuses.values() if s.cancelled)
    if not rest:
        return []
    hint = f"a cancelled run stays so; {rest_advice(folder)}"
    return [Problem("rest", f"{_count_ids(rest)} were not reached", hint=hint)]


def _count_ids(count: int) -> str:
    return format_count(count, "id")


def _moment(moment: float | None, waiting: Waiting) -> str:
    return "an unknown moment" if moment is None else format_moment(moment, waiting.zone)


def waiting_notes(workers: Iterable[Worker]) -> list[Problem]:
    """Return a note for each worker that this process waits for."""
    hint = "if that worker hangs, stop it; its calls in flight become 'in doubt' and this one sends the rest"
    return [Problem("waiting", f"waiting for {_describe_worker(worker)}", hint=hint) for worker in workers]


def _describe_worker(worker: Worker) -> str:
    started = format_timestamp(worker.started_at)
    batches = format_count(worker.batches, "batch", "batches")
    return f"process {worker.pid} on {worker.host}, started {started}, with {batches}"


def _describe_batch(batch: FailedBatch) -> str:
    if batch.native is not None:
        return f"native request {batch.native + 1}"
    return f"ids {batch.first:,} to {(batch.stop or 0) - 1:,}"


def _state_words(state: BatchState) -> str:
    """Return the name of *state* for people.

    >>> _state_words("in_doubt")
    'in doubt'
    """
    return state.replace("_", " ")


def format_dry_run(dry_run: "DryRun") -> str:
    """Return what *dry_run* would have sent, and which batches would be scheduled, here or at the vendor."""
    checked = (
        f"; {format_count(dry_run.checked_calls, 'call')} validated by the vendor" if dry_run.checked_calls else ""
    )
    calls = f"{format_count(dry_run.calls, 'call')} by {dry_run.method}, {format_bytes(dry_run.request_bytes)}"
    line = f"{dry_run.vendor}: {format_count(dry_run.device_count, 'device')} in {calls}{checked}; nothing was sent"
    return "\n".join([line, *_waiting_lines(dry_run.waiting)])


def format_bytes(byte_count: int) -> str:
    """Return a number of bytes with a decimal unit.

    >>> format_bytes(999), format_bytes(41_200), format_bytes(3_000_000)
    ('999 B', '41.2 kB', '3.0 MB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if byte_count >= factor:
            return f"{byte_count / factor:,.1f} {unit}"
    return f"{byte_count} B"
