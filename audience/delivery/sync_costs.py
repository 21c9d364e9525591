"""Costs of a sync that would make a plan native, to weigh it against ids."""

from collections.abc import Sequence
from dataclasses import dataclass

from audience.delivery.plan_costs import SAMPLE_MESSAGE, PlanCosts, estimate_plan
from audience.errors import AudienceError
from audience.index.device_index import DeviceIndex
from audience.messages import Message
from audience.planning.catalog.catalog import Catalog
from audience.planning.planner import plan as make_plan
from audience.planning.plans import Plan
from audience.planning.sync_states import scope_of
from audience.planning.synced_tags import StaleTags
from audience.planning.tag_names import name_index_tags
from audience.tag_sync.changes import compare_tags
from audience.tag_sync.costs import estimate_seconds
from audience.tag_sync.desired import read_desired_tags
from audience.tag_sync.packing import Packing, pack_changes
from audience.tag_sync.storage import load_state
from audience.tag_sync.tags import NamedScope, join_scopes
from audience.vendors import get_vendor
from audience.vendors.tag_spec import TagSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCost:
    """Cost of a sync after which more of a plan is native.

    Attributes:
        attributes: What it would be about, as `--attributes` names it.
        host: Host of the application.
        calls: Calls of the sync.
        min_calls: Number of calls below which no calls of the vendor's forms make the changes.
        seconds: Duration of the sync at the vendor's rate limits.
        delay: Seconds from then until pushes follow it.
        planned: Plan after it.
    """

    attributes: tuple[str, ...]
    host: str
    calls: int
    min_calls: int
    seconds: float
    delay: float
    planned: Plan


def estimate_sync(plan: Plan, index: DeviceIndex, catalog: Catalog | None) -> SyncCost | None:
    """Return the cost of the sync that would make more of *plan* native; None if none would.

    Args:
        plan: Plan with tags that are stale at the vendor.
        index: Index of its devices.
        catalog: Catalog of the plan.
    """
    spec = get_vendor(plan.vendor).tags
    if spec is None or all(stale.effective_at is not None for stale in plan.stale):
        return None  # there is nothing to sync, or nothing but to wait
    types = sorted({stale.group.type for stale in plan.stale})
    without = list(plan.without_policies)
    try:
        planned = make_plan(
            plan.expr, plan.vendor, index, catalog, vendor_has=types, without_policies=without, **plan.question
        )
        packing = _pack_sync(plan, index, catalog, spec)
    except AudienceError:  # what the sync would be refused for, it says itself
        return None
    if len(planned.native) <= len(plan.native) and planned.by_ids is not None:
        return None
    return SyncCost(
        attributes=tuple(str(stale.group) for stale in plan.stale),
        host=plan.stale[0].application.host,
        calls=len(packing.calls),
        min_calls=packing.minimum,
        seconds=estimate_seconds((call.form for call in packing.calls), spec),
        delay=spec.delay.total_seconds(),
        planned=planned,
    )


def _pack_sync(plan: Plan, index: DeviceIndex, catalog: Catalog | None, spec: TagSpec) -> Packing:
    """Return the calls that make the stale tags of *plan* those of *index*, as the state of its application says."""
    stale: Sequence[StaleTags] = plan.stale
    vendor, application, snapshot = get_vendor(plan.vendor), stale[0].application, index.snapshot
    scope = join_scopes(scope_of(each.group) for each in stale)
    names = name_index_tags(scope, vendor, catalog, snapshot)
    desired = read_desired_tags(snapshot, names, vendor, application.key_type)
    state = load_state(snapshot.storage, application)
    changes = compare_tags(state, desired.tags, {"plan": NamedScope(scope, "")})
    limit = spec.max_tags_per_device
    return pack_changes(changes, spec.forms, max_tags_per_device=None if limit is None else limit.maximum)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedSync:
    """Sync and the requests after it, against the requests of now.

    Attributes:
        sync: Cost of the sync.
        calls: Calls of the sync and of the requests after it.
        seconds: Duration of both, one after the other, with the delay until pushes follow the sync.
        calls_now: Calls of the plan without it.
        seconds_now: Their duration.
    """

    sync: SyncCost
    calls: int
    seconds: float
    calls_now: int
    seconds_now: float

    @property
    def is_cheaper(self) -> bool:
        """Return whether the sync takes less time, or as much and fewer calls."""
        return (self.seconds, self.calls) < (self.seconds_now, self.calls_now)


def weigh_sync(
    plan: Plan, costs: PlanCosts, index: DeviceIndex, catalog: Catalog | None, message: Message = SAMPLE_MESSAGE
) -> WeighedSync | None:
    """Return what a sync and the requests after it cost, against *plan*; None if a sync makes nothing more native.

    Args:
        plan: Plan.
        costs: Its costs.
        index: Index of its devices.
        catalog: Catalog of the plan.
        message: Message that would be sent.
    """
    sync = estimate_sync(plan, index, catalog)
    if sync is None or costs.id_count is None:
        return None
    then, now = _sum_costs(estimate_plan(sync.planned, index, message)), _sum_costs(costs)
    return WeighedSync(
        sync=sync,
        calls=sync.calls + then[0],
        seconds=sync.seconds + sync.delay + then[1],
        calls_now=now[0],
        seconds_now=now[1],
    )


def _sum_costs(costs: PlanCosts) -> tuple[int, float]:
    """Return the calls of a plan and their duration: those of its native requests and of its method for ids."""
    chosen = [method for method in costs.methods if method.method == costs.chosen]
    parts = [*costs.native, *chosen]
    return sum(part.calls for part in parts), sum(part.seconds for part in parts)
