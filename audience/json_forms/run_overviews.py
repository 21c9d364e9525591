"""JSON forms of runs as the service shows them: numbers, codes and what to do; no id, and no text of a reply."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from typing_extensions import TypedDict

from audience.delivery.failure_codes import Failure, FailureState
from audience.delivery.run_overview import VendorRun
from audience.delivery.run_pace import Pace
from audience.json_forms.costs import CostForm
from audience.json_forms.plans import SyncForm, emitted_sync_json
from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.runs import ScheduledForm, StateCountsForm, scheduled_json, state_counts_json

ServedRunState: TypeAlias = Literal[
    "emitted",
    "starting",
    "sending",
    "interrupted",
    "scheduled",
    "stopped",
    "in-doubt",
    "cancelled",
    "done",
    "failed",
    "damaged",
]


class RunSummaryForm(TypedDict):
    """Run in a list.

    Attributes:
        name: Name of its folder.
        state: `emitted` before anything is sent, then `starting`, `sending`, and `done`. `scheduled` if it waits for
            its moment, which the service does not, `interrupted` if its process has ended, `stopped` if the vendor or a
            limit stopped it, `in-doubt` if somebody has to decide, `cancelled`, `failed` if it could not start, and
            `damaged` if its folder cannot be read.
        vendor: Name of the vendor; null if it has several.
        vendors: Names of all vendors.
        devices: Devices that its requests message.
        accepted: Ids that vendors have accepted. Native requests have no ids.
        in_doubt: Ids that may have been delivered.
        rejected: Ids that were rejected with their batch, or one by one.
        waiting: Ids that are not sent yet, or have no reply.
        batches: Calls by state, each a native request or a list of ids; null before anything is sent.
        settled: Ids and native requests that are settled.
        total: Ids and native requests that there are; null before anything is sent.
        changed: When the folder changed last, in UTC.
        problem: Why it failed, stopped or cannot be read.
    """

    name: str
    state: ServedRunState
    vendor: str | None
    vendors: list[str]
    devices: int
    accepted: int
    in_doubt: int
    rejected: int
    waiting: int
    batches: StateCountsForm | None
    settled: int
    total: int | None
    changed: str
    problem: ProblemForm | None


class RunsForm(TypedDict):
    """Runs of the service.

    Attributes:
        runs: The runs, the one that changed last first.
    """

    runs: list[RunSummaryForm]


class RateLimitForm(TypedDict):
    """Rate limit of a vendor.

    Attributes:
        calls: Largest number of calls in a period.
        seconds: Length of the period.
        source: Page that documents it.
    """

    calls: int
    seconds: float
    source: str


class PaceForm(TypedDict):
    """Pace of a run that is being sent.

    Attributes:
        calls_per_second: Calls that were settled, over the last seconds.
        ids_per_second: Ids and native requests in them.
        limit: Lowest rate limit of the vendor for these calls.
        seconds_left: How long the rest takes; null if nothing is known.
    """

    calls_per_second: float
    ids_per_second: float
    limit: RateLimitForm | None
    seconds_left: float | None


class FailureForm(TypedDict):
    """Failures of one kind.

    Attributes:
        state: Whether batches were `rejected`, are `in_doubt`, or single ids are `invalid`.
        code: Code of the vendor, or of audience.
        meaning: What went wrong.
        advice: What to do.
        source: Page that documents the code.
        batches: Number of batches.
        ids: Number of their ids.
    """

    state: FailureState
    code: str
    meaning: str
    advice: str | None
    source: str | None
    batches: int
    ids: int


class RunQuestionForm(TypedDict):
    """Question that was asked when the requests were emitted; null where the requests do not say it.

    Attributes:
        expression: Expression as it was written.
        bound: Expression with absolute times.
        as_of: Moment at which it was asked.
        timezone: Name of the time zone.
    """

    expression: str | None
    bound: str | None
    as_of: str | None
    timezone: str | None


class VendorRunForm(TypedDict):
    """Run at one vendor.

    Attributes:
        devices: Devices that its requests message.
        audience: What was asked when they were emitted.
        synced: Syncs of tags that its native requests rest on.
        state: State of this part.
        method: Name of the send method; null before anything is sent.
        done: Whether nothing is left to send or to decide, and nothing waits for its moment.
        scheduled: What waits for its moment; null before anything is sent.
        batches: Batches by state; null before anything is sent.
        ids: Ids by the state of their batch, without invalid ones.
        invalid_ids: Ids that the vendor rejected, by the code.
        left_out: Ids that policies left out after the requests were emitted, by the name of the policy.
        skipped: Batches in doubt that somebody chose to leave so.
        active_workers: Processes that are sending.
        cancelled: Whether it was cancelled.
        stopped: Why it stopped early.
        settled: Ids and native requests that are settled.
        total: Ids and native requests that there are.
        pace: How fast it is, while it is being sent.
        failures: Rejected, invalid and doubtful parts by code, with what to do.
    """

    devices: int
    audience: RunQuestionForm
    synced: list[SyncForm]
    state: ServedRunState
    method: str | None
    done: bool
    scheduled: ScheduledForm | None
    batches: StateCountsForm | None
    ids: StateCountsForm | None
    invalid_ids: dict[str, int]
    left_out: dict[str, int]
    skipped: int
    active_workers: int
    cancelled: bool
    stopped: ProblemForm | None
    settled: int
    total: int | None
    pace: PaceForm | None
    failures: list[FailureForm]


class UnreachableForm(TypedDict):
    """Devices that cannot be reached for one reason.

    Attributes:
        code: Reason.
        meaning: The reason in words.
        devices: Number of devices.
    """

    code: str
    meaning: str
    devices: int


class PreviewForm(TypedDict):
    """Message in one variant and language, as one platform gets it.

    Attributes:
        variant: Variant of the split; null without one.
        language: Language of the text; null for the message itself.
        platform: Platform.
        title: Title of the notification.
        body: Text of the notification.
        payload: Body that the vendor is sent for this platform alone, without its targets; null if it has none.
        problems: Why the vendor has none.
    """

    variant: str | None
    language: str | None
    platform: str
    title: str | None
    body: str | None
    payload: Any
    problems: list[ProblemForm]


class ServedDryRunForm(TypedDict):
    """Result of a dry run: what sending would do.

    Attributes:
        vendor: Name of the vendor.
        method: Name of the send method.
        devices: Devices that the requests message, without the unreachable ones; has to be typed to send them.
        calls: Calls that would be made.
        bytes: Bytes of all requests.
        seconds: Duration at the vendor's rate limits.
        costs: Costs of the native requests and of each method.
        native: Number of native requests.
        ids: Number of ids.
        unreachable: Devices that cannot be reached, by reason.
        left_out: Ids that policies leave out since the requests were emitted.
        broadcast: Whether a native request reaches every device that the vendor knows, or every one of a platform.
        has_credentials: Whether the service has credentials of the vendor.
        payload: Body of the message that the vendor is sent, without its targets.
        preview: The message by platform.
        warnings: What the vendor shortens or ignores, and what is missing to send.
    """

    vendor: str
    method: str
    devices: int
    calls: int
    bytes: int
    seconds: float
    costs: list[CostForm]
    native: int
    ids: int
    unreachable: list[UnreachableForm]
    left_out: dict[str, int]
    broadcast: bool
    has_credentials: bool
    payload: Any
    preview: list[PreviewForm]
    warnings: list[ProblemForm]


class RunForm(RunSummaryForm):
    """Run with all that is known of it.

    Attributes:
        index: Name of the index that its requests were emitted from, if the service has it.
        message: The message; null if none is known yet.
        runs: Its parts by vendor.
        dry_run: Dry run at the time when it was emitted; null if the service did not emit it.
        emitted_by: Who emitted it by the service.
        last_action: What the service was last asked to do with it.
    """

    index: str | None
    message: Any
    runs: dict[str, VendorRunForm]
    dry_run: ServedDryRunForm | None
    emitted_by: str | None
    last_action: "RunActionForm | None"


class RunActionForm(TypedDict):
    """Action on a run.

    Attributes:
        action: `send` or `resume`.
        at: When, in UTC.
        by: Name of the key of the caller.
        problems: Why it failed.
    """

    action: str
    at: str
    by: str
    problems: list[ProblemForm]


def vendor_run_json(
    run: VendorRun, audience: dict[str, str | None], syncs: Sequence[Mapping[str, Any]], now: float
) -> VendorRunForm:
    """Return the JSON form of the run of one vendor.

    Args:
        run: The run.
        audience: What was asked when its requests were emitted.
        syncs: Syncs of its manifest.
        now: Unix timestamp of the question.
    """
    status = run.status
    return {
        "devices": run.devices,
        "audience": {
            "expression": audience["expression"],
            "bound": audience["bound"],
            "as_of": audience["as_of"],
            "timezone": audience["timezone"],
        },
        "synced": [emitted_sync_json(entry, now) for entry in syncs],
        "state": run.state,
        "method": None if status is None else status.method,
        "done": status is not None and status.done,
        "scheduled": None if status is None else scheduled_json(status.waiting),
        "batches": None if status is None else state_counts_json(status.batch_counts),
        "ids": None if status is None else state_counts_json(status.id_counts),
        "invalid_ids": {} if status is None else status.invalid_id_counts,
        "left_out": {} if status is None else dict(status.left_out_counts),
        "skipped": 0 if status is None else status.skipped,
        "active_workers": 0 if status is None else status.active_workers,
        "cancelled": status is not None and status.cancelled,
        "stopped": None if run.stop is None else problem_json(run.stop),
        "settled": run.settled,
        "total": run.total,
        "pace": None if run.pace is None else pace_json(run.pace),
        "failures": [failure_json(failure) for failure in run.failures],
    }


def pace_json(pace: Pace) -> PaceForm:
    """Return the JSON form of *pace*."""
    limit = pace.limit
    return {
        "calls_per_second": round(pace.calls_per_second, 2),
        "ids_per_second": round(pace.ids_per_second, 2),
        "limit": None
        if limit is None
        else {"calls": limit.max_calls, "seconds": limit.period_seconds, "source": limit.source},
        "seconds_left": None if pace.seconds_left is None else round(pace.seconds_left, 1),
    }


def failure_json(failure: Failure) -> FailureForm:
    """Return the JSON form of *failure*."""
    return {
        "state": failure.state,
        "code": failure.code,
        "meaning": failure.meaning,
        "advice": failure.advice,
        "source": failure.source,
        "batches": failure.batches,
        "ids": failure.ids,
    }
