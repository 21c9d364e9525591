"""JSON forms of plans and their policies."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NotRequired

from typing_extensions import TypedDict

from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.questions import format_as_of
from audience.language.printer import render
from audience.planning.plans import Plan
from audience.planning.policies import AppliedPolicy
from audience.planning.synced_tags import PlannedSync, StaleTags, format_timestamp


class PolicyForm(TypedDict):
    """Policy that applies to an audience.

    Attributes:
        name: Its name; caps of this question alone are called `cap 1`, `cap 2`, ….
        kind: Its kind.
        policy: Its expression, or its list of ids.
        bound: Expression of the devices that fit it.
        removed: Devices of the audience that it takes out.
    """

    name: str
    kind: str
    policy: str
    bound: str
    removed: int


class PoliciesForm(TypedDict):
    """Policies of a plan.

    Attributes:
        policies: Policies that apply.
        without_policies: Names of the policies of the index that were overridden.
        removed: Devices that the policies take out together.
    """

    policies: list[PolicyForm]
    without_policies: list[str]
    removed: int


class SyncForm(TypedDict):
    """Sync of tags that native requests rest on: of one attribute, or one bare tag, at one application.

    Attributes:
        attribute: What was synced, as `audience sync --attributes` names it.
        snapshot: Number of the snapshot of the index whose tags the vendor has.
        ended_at: When the sync had ended, in UTC.
        effective_at: When pushes follow its last change, in UTC.
        age_seconds: Seconds since its end.
        application: Digest of the host and the public keys of the application.
        host: Host of its pushes.
        key_type: Kind of ids to which its tags are bound.
        is_read: Whether the tags were read from the vendor, so that no other device is known to have one.
        unknown_ids: Number of ids that the vendor did not know.
    """

    attribute: str
    snapshot: int
    ended_at: str
    effective_at: str
    age_seconds: float
    application: str
    host: str
    key_type: str
    is_read: bool
    unknown_ids: int


class StaleForm(TypedDict):
    """Attribute, or bare tag, that is sent by ids because the vendor may not have it as the index has it.

    Attributes:
        attribute: What a sync would make native, as `audience sync --attributes` names it.
        application: Digest of the host and the public keys of the application.
        host: Host of its pushes.
        reason: Why it is stale.
        effective_at: When pushes follow the last sync, in UTC, if that is all that is waited for; else null.
    """

    attribute: str
    application: str
    host: str
    reason: str
    effective_at: str | None


class PlanForm(PoliciesForm):
    """Plan for one vendor.

    Attributes:
        as_of: Moment of the question; null if its answer does not depend on one.
        timezone: Name of its time zone.
        allow_gaps: Present if events were asked although some of their days are not covered.
        expression: Audience as it was written.
        bound: Audience with segments expanded and relative times bound.
        requests: Number of native requests.
        native: Targeting objects of the native requests, as they are sent.
        by_ids: Expression of the devices that are sent as lists of ids.
        reasons: Why devices are sent by ids.
        assumptions: Conditions under which the native requests are right.
        request_exprs: Expression of each native request.
        split_reasons: Why one native request was not enough.
        is_minimal: Whether no fewer native requests are possible.
        synced: Syncs of tags that the native requests rest on; they may go to these applications only.
        stale: Tags that are not named natively because the vendor may not have them as the index has them.
    """

    as_of: str | None
    timezone: str | None
    allow_gaps: NotRequired[bool]
    expression: str
    bound: str
    requests: int
    native: list[Any]
    by_ids: str | None
    reasons: list[ProblemForm]
    assumptions: list[ProblemForm]
    request_exprs: list[str]
    split_reasons: list[ProblemForm]
    is_minimal: bool
    synced: list[SyncForm]
    stale: list[StaleForm]


def plan_json(plan: Plan) -> PlanForm:
    """Return the JSON form of *plan*."""
    question: dict[str, Any] = {"as_of": None, "timezone": None}
    if plan.as_of is not None:
        question = {"as_of": format_as_of(plan.as_of), "timezone": plan.as_of.timezone}
        question |= {"allow_gaps": True} if plan.as_of.allow_gaps else {}
    form: PlanForm = {
        **question,  # type: ignore[typeddict-item]
        "expression": render(plan.written or plan.expr),
        "bound": render(plan.expr),
        **policies_json(plan.policies, plan.without_policies, plan.removed),
        "requests": len(plan.native),
        "native": list(plan.native),
        "by_ids": None if plan.by_ids is None else render(plan.by_ids),
        "reasons": [problem_json(reason) for reason in plan.reasons],
        "assumptions": [problem_json(assumption) for assumption in plan.assumptions],
        "request_exprs": [render(expr) for expr in plan.request_exprs],
        "split_reasons": [problem_json(reason) for reason in plan.split_reasons],
        "is_minimal": plan.is_minimal,
        "synced": [_sync_json(planned) for planned in plan.synced],
        "stale": [_stale_json(stale) for stale in plan.stale],
    }
    return form


def policies_json(policies: Iterable[AppliedPolicy], without: Iterable[str], removed: int) -> PoliciesForm:
    """Return the JSON form of the policies of a plan, with those that were overridden."""
    return {
        "policies": [_policy_json(policy) for policy in policies],
        "without_policies": list(without),
        "removed": removed,
    }


def _policy_json(applied: AppliedPolicy) -> PolicyForm:
    return {
        "name": applied.name,
        "kind": applied.policy.kind,
        "policy": str(applied.policy),
        "bound": render(applied.fitting),
        "removed": applied.removed,
    }


def _sync_json(planned: PlannedSync) -> SyncForm:
    form: SyncForm = {name: planned.to_json()[name] for name in SyncForm.__annotations__}  # type: ignore[assignment]
    return form


def emitted_sync_json(entry: Mapping[str, Any], now: float) -> SyncForm:
    """Return the JSON form of a sync of a manifest, with its age at the Unix timestamp *now*."""
    age = max(0.0, now - datetime.fromisoformat(entry["ended_at"]).timestamp())
    form: SyncForm = {name: entry[name] for name in SyncForm.__annotations__}  # type: ignore[assignment]
    return {**form, "age_seconds": round(age, 3)}


def _stale_json(stale: StaleTags) -> StaleForm:
    application = stale.application
    return {
        "attribute": str(stale.group),
        "application": application.digest,
        "host": application.host,
        "reason": stale.reason,
        "effective_at": None if stale.effective_at is None else format_timestamp(stale.effective_at),
    }
