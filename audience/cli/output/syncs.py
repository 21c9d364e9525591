"""Text of syncs of tags: their plans and their statuses."""

from collections.abc import Iterable
from pathlib import Path

from audience.cli.output.widgets import format_table
from audience.counts import format_call_bound, format_count
from audience.delivery.syncing.plan import SyncPlan
from audience.delivery.syncing.status import SyncStatus
from audience.errors import Problem
from audience.json_forms.runs import format_timestamp
from audience.language.printer import render
from audience.tag_sync.obsolete import ObsoleteTags
from audience.tag_sync.state import AttributeSync
from audience.tag_sync.tags import LeftOutTag

MAX_EXAMPLES = 3
STATE_TEXTS = {
    "complete": "the vendor has the tags of the snapshot",
    "running": "a process makes the calls",
    "cancelled": "cancelled before its end",
    "stopped": "stopped before its end",
    "incomplete": "not ended",
}


def format_sync_plan(plan: SyncPlan) -> str:
    """Return what a sync would do: a line for each attribute, the calls and their duration."""
    rows = [
        (each.name, f"{each.tags:,}", f"{each.devices:,}", f"{each.added:,}", f"{each.removed:,}")
        for each in plan.attributes
    ]
    table = format_table(("attribute", "tags", "devices", "added", "removed"), rows, right_aligned=(1, 2, 3, 4))
    return f"{table}\n{format_sync_calls(plan)}\n{plan.vendor}: snapshot {plan.snapshot}, to {plan.application.host}"


def format_sync_calls(plan: SyncPlan) -> str:
    """Return the number of calls of *plan*, the least possible one, and their duration."""
    if not plan.calls:
        return "no calls: nothing has changed"
    calls = format_call_bound(plan.calls, plan.min_calls)
    return f"{calls}; {plan.seconds:,.1f} seconds at the vendor's rate"


def sync_plan_notes(plan: SyncPlan) -> list[Problem]:
    """Return what a sync leaves out."""
    notes: list[Problem] = []
    if plan.without_id:
        count = format_count(plan.without_id, "device")
        notes.append(Problem("sync-left-out", f"{count} without an id for {plan.vendor}: left out"))
    if plan.rejected_ids:
        examples = ", ".join(plan.rejected_examples[:MAX_EXAMPLES])
        count = format_count(plan.rejected_ids, "id")
        message = f"{count} that {plan.vendor} does not take, such as {examples}: left out"
        notes.append(Problem("sync-left-out", message))
    if plan.left_out:
        notes.append(Problem("sync-left-out", _describe_left_out(plan.left_out, plan.vendor)))
    if plan.unknown_ids:
        count = format_count(plan.unknown_ids, "id")
        message = f"{count} that {plan.vendor} did not know: left out"
        notes.append(Problem("sync-left-out", message, hint="try them again with --retry-unknown"))
    if plan.obsolete:
        message = (
            f"{_describe_obsolete(plan.obsolete)}, which the catalog and the index name no more, stay at the vendor"
        )
        notes.append(Problem("obsolete-tags", message, hint="remove them with --remove-obsolete"))
    return notes


def _describe_obsolete(obsolete: Iterable[ObsoleteTags]) -> str:
    """Return what earlier syncs have set, such as `3 tags of province on 90 devices`."""
    parts = [
        f"{format_count(each.tags, 'tag')} of {each.name} on {format_count(each.devices, 'device')}"
        for each in obsolete
    ]
    more = len(parts) - MAX_EXAMPLES
    return ", ".join(parts[:MAX_EXAMPLES]) + (f" and those of {more} more" if more > 0 else "")


def _describe_left_out(left_out: Iterable[LeftOutTag], vendor: str) -> str:
    tags = [*left_out]
    examples = "; ".join(f"{render(each.tag)} ({each.problem.message})" for each in tags[:MAX_EXAMPLES])
    return f"{format_count(len(tags), 'tag')} that cannot be set at {vendor}, such as {examples}: left out"


def format_sync_statuses(statuses: Iterable[SyncStatus]) -> str:
    """Return the statuses of the syncs of an index."""
    return "\n".join(line for status in statuses for line in _status_lines(status))


def _status_lines(status: SyncStatus) -> list[str]:
    lines = [f"{status.vendor}: sync {status.number}: {STATE_TEXTS[status.state]}"]
    lines.append(f"  at         {status.application.host}")
    if status.pending:
        lines.append(f"  pending    {', '.join(status.pending)} of snapshot {status.snapshot}")
    lines += [
        f"  synced     {name} of snapshot {sync.snapshot}, ended {format_timestamp(sync.ended_at)}{_format_delay(sync)}"
        for name, sync in sorted(status.attributes.items())
    ]
    if status.calls:
        counts = ", ".join(f"{count:,} {state}" for state, count in status.calls.items() if count)
        lines.append(f"  calls      {counts}")
    if status.unknown_ids:
        lines.append(f"  unknown    {format_count(status.unknown_ids, 'id')}")
    return lines


def _format_delay(sync: AttributeSync) -> str:
    """Return from when on pushes follow *sync*, if not from its end on."""
    return (
        "" if sync.effective_at <= sync.ended_at else f", pushes follow from {format_timestamp(sync.effective_at)} on"
    )


def unfinished_sync_problems(statuses: Iterable[SyncStatus], index: Path) -> list[Problem]:
    """Return why syncs are not complete."""
    problems: list[Problem] = []
    for status in statuses:
        if status.is_complete or status.state == "running":
            continue
        problems += [Problem(each.problem.code, f"{format_count(each.calls, 'call')}: {each.problem.message}",
                             hint=each.problem.hint) for each in status.problems]  # fmt: skip
        reported = [each.problem.message for each in status.problems]
        if (
            status.stop_problem is not None
            and status.stop_problem.code != "cancelled"
            and status.stop_problem.message not in reported
        ):
            problems.append(status.stop_problem)
        again = "audience sync" if status.state == "cancelled" else f"audience resume {index}"
        message = f"{status.vendor}: the sync has not ended; {', '.join(status.pending)} will not be targeted natively"
        problems.append(Problem("sync-incomplete", message, hint=f"run `{again}`"))
    return problems
