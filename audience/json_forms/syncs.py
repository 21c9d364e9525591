"""JSON forms of syncs of tags: their plans and their statuses."""

from typing_extensions import TypedDict

from audience.delivery.syncing.plan import SyncPlan
from audience.delivery.syncing.status import CALL_STATES, SyncStatus
from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.runs import format_timestamp
from audience.language.printer import render

MAX_LISTED = 100  # tags that cannot be set


class AttributePlanForm(TypedDict):
    """Plan of a sync for one attribute, or for one bare tag.

    Attributes:
        name: Name of the attribute; that of a bare tag begins with `tag:`.
        tags: Number of tags of the attribute that devices have.
        devices: Number of ids with at least one of these tags.
        added: Number of pairs of an id and a tag to set.
        removed: Number of pairs to remove.
    """

    name: str
    tags: int
    devices: int
    added: int
    removed: int


class LeftOutTagForm(TypedDict):
    """Tag of the index that cannot be set at the vendor.

    Attributes:
        tag: The tag.
        problem: The reason.
    """

    tag: str
    problem: ProblemForm


class ObsoleteTagsForm(TypedDict):
    """Tags of earlier syncs that stay at the vendor, and that the catalog and the index name no more.

    Attributes:
        name: Name of their attribute; that of a bare tag begins with `tag:`.
        tags: Number of tags of the attribute that devices may have.
        devices: Number of ids that may have at least one of these tags.
    """

    name: str
    tags: int
    devices: int


class SyncPlanForm(TypedDict):
    """Plan of a sync.

    Attributes:
        vendor: Name of the vendor.
        host: Host of the application.
        snapshot: Number of the snapshot whose tags the vendor gets.
        attributes: What is done for each attribute.
        calls: Number of calls.
        min_calls: Number of calls below which no calls of the vendor's forms make the changes.
        seconds: Duration at the vendor's rate limits.
        unknown_ids: Number of ids that the vendor did not know, which are not tried again.
        without_id: Number of devices without an id.
        rejected_ids: Number of ids that the vendor does not take.
        left_out_count: Number of tags that cannot be set at the vendor.
        left_out: The first of them.
        obsolete: Tags of earlier syncs that stay at the vendor, and that the catalog and the index name no more.
        problems: Limits of the vendor that would be exceeded.
    """

    vendor: str
    host: str
    snapshot: int
    attributes: list[AttributePlanForm]
    calls: int
    min_calls: int
    seconds: float
    unknown_ids: int
    without_id: int
    rejected_ids: int
    left_out_count: int
    left_out: list[LeftOutTagForm]
    obsolete: list[ObsoleteTagsForm]
    problems: list[ProblemForm]


class EndedSyncForm(TypedDict):
    """Last sync of one attribute that has ended.

    Attributes:
        snapshot: Number of the snapshot that it was synced to.
        ended_at: When it had ended.
        effective_at: When pushes follow the last of its changes.
        is_read: Whether the tags were read from the vendor, and no other device has one of them.
    """

    snapshot: int
    ended_at: str
    effective_at: str
    is_read: bool


class CallProblemForm(TypedDict):
    """Problem that the vendor reported.

    Attributes:
        calls: Number of calls with it.
        first: Number of the first of these calls.
        problem: The problem.
    """

    calls: int
    first: int
    problem: ProblemForm


class SyncStatusForm(TypedDict):
    """Status of the last sync of one application.

    Attributes:
        vendor: Name of the vendor.
        host: Host of the application.
        number: Number of the sync.
        state: `complete`, `running`, `cancelled`, `stopped` or `incomplete`.
        attributes: Syncs that have ended, by the name of the attribute.
        pending: What the last sync is about, if it has not ended.
        snapshot: Number of the snapshot that it syncs to, if it has not ended.
        started_at: When it began, if it has not ended.
        calls: Numbers of its calls by state: done, todo, sent (it may have changed tags) and rejected.
        pairs: Number of tags that it sets and removes.
        devices: Number of ids that were ever synced and have tags.
        tags: Number of their tags.
        unknown_ids: Number of ids that the vendor does not know.
        problems: Problems of calls that were not made.
        stop_problem: Why it has stopped.
    """

    vendor: str
    host: str
    number: int
    state: str
    attributes: dict[str, EndedSyncForm]
    pending: list[str]
    snapshot: int | None
    started_at: str | None
    calls: dict[str, int]
    pairs: int
    devices: int
    tags: int
    unknown_ids: int
    problems: list[CallProblemForm]
    stop_problem: ProblemForm | None


def sync_plan_json(plan: SyncPlan) -> SyncPlanForm:
    """Return the JSON form of *plan*."""
    return {
        "vendor": plan.vendor,
        "host": plan.application.host,
        "snapshot": plan.snapshot,
        "attributes": [
            {
                "name": each.name,
                "tags": each.tags,
                "devices": each.devices,
                "added": each.added,
                "removed": each.removed,
            }
            for each in plan.attributes
        ],
        "calls": plan.calls,
        "min_calls": plan.min_calls,
        "seconds": round(plan.seconds, 3),
        "unknown_ids": plan.unknown_ids,
        "without_id": plan.without_id,
        "rejected_ids": plan.rejected_ids,
        "left_out_count": len(plan.left_out),
        "left_out": [
            {"tag": render(each.tag), "problem": problem_json(each.problem)} for each in plan.left_out[:MAX_LISTED]
        ],
        "obsolete": [{"name": each.name, "tags": each.tags, "devices": each.devices} for each in plan.obsolete],
        "problems": [*map(problem_json, plan.problems)],
    }


def sync_status_json(status: SyncStatus) -> SyncStatusForm:
    """Return the JSON form of *status*."""
    return {
        "vendor": status.vendor,
        "host": status.application.host,
        "number": status.number,
        "state": status.state,
        "attributes": {
            name: {
                "snapshot": sync.snapshot,
                "ended_at": format_timestamp(sync.ended_at),
                "effective_at": format_timestamp(sync.effective_at),
                "is_read": sync.is_read,
            }
            for name, sync in sorted(status.attributes.items())
        },
        "pending": [*status.pending],
        "snapshot": status.snapshot,
        "started_at": None if status.started_at is None else format_timestamp(status.started_at),
        "calls": {state: status.calls.get(state, 0) for state in CALL_STATES},
        "pairs": status.pairs,
        "devices": status.devices,
        "tags": status.tags,
        "unknown_ids": status.unknown_ids,
        "problems": [
            {"calls": each.calls, "first": each.first, "problem": problem_json(each.problem)}
            for each in status.problems
        ],
        "stop_problem": None if status.stop_problem is None else problem_json(status.stop_problem),
    }
