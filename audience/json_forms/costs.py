"""JSON forms of what plans cost."""

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from audience.delivery.costs import CostEstimate
from audience.delivery.plan_costs import PlanCosts
from audience.json_forms.plans import PlanForm, plan_json
from audience.json_forms.problems import ProblemForm, problem_json
from audience.planning.plans import Plan

if TYPE_CHECKING:  # only plans with stale tags weigh a sync
    from audience.delivery.sync_costs import WeighedSync


class CostForm(TypedDict):
    """Estimated cost of one send method.

    Attributes:
        method: Name of the method.
        calls: All HTTP calls.
        setup_calls: How many of *calls* are setup calls, which deliver nothing.
        bytes: Bytes of all requests.
        seconds: Duration at the vendor's rate limits.
        worthwhile: Whether there are as many ids as the method is meant for.
        problems: Why the method cannot be used.
    """

    method: str
    calls: int
    setup_calls: int
    bytes: int
    seconds: float
    worthwhile: bool
    problems: list[ProblemForm]


class CostsForm(TypedDict):
    """Estimated costs of a plan.

    Attributes:
        native: Cost of the native requests, if there are any.
        methods: Costs of the methods that send ids, the cheapest first.
        chosen: Name of the method that would be used; null if nothing would be sent.
    """

    native: list[CostForm]
    methods: list[CostForm]
    chosen: str | None


class WeighedSyncForm(TypedDict):
    """Sync that would make more of a plan native, against ids.

    Attributes:
        attributes: What it would be about, as `audience sync --attributes` names it.
        host: Host of the application.
        calls: Calls of the sync.
        min_calls: Number of calls below which no calls of the vendor make its changes.
        seconds: Duration of the sync at the vendor's rate limits.
        total_calls: Calls of the sync and of the requests after it.
        total_seconds: Their duration.
        calls_now: Calls of the plan without it.
        seconds_now: Their duration.
        is_cheaper: Whether the sync takes less time, or as much and fewer calls.
    """

    attributes: list[str]
    host: str
    calls: int
    min_calls: int
    seconds: float
    total_calls: int
    total_seconds: float
    calls_now: int
    seconds_now: float
    is_cheaper: bool


class CostedPlanForm(PlanForm):
    """Plan with its size and its costs.

    Attributes:
        devices: Devices that it reaches.
        ids: Ids that it sends; null if audience cannot send to the vendor.
        costs: Its costs; null if audience cannot send to the vendor.
        sync: Sync that would make more of it native, against ids; null if none would.
    """

    devices: int
    ids: int | None
    costs: CostsForm | None
    sync: WeighedSyncForm | None


def cost_json(cost: CostEstimate) -> CostForm:
    """Return the JSON form of *cost*."""
    return {
        "method": cost.method,
        "calls": cost.calls,
        "setup_calls": cost.setup_calls,
        "bytes": cost.request_bytes,
        "seconds": cost.seconds,
        "worthwhile": cost.worthwhile,
        "problems": [problem_json(problem) for problem in cost.problems],
    }


def weighed_sync_json(weighed: "WeighedSync") -> WeighedSyncForm:
    """Return the JSON form of *weighed*."""
    return {
        "attributes": list(weighed.sync.attributes),
        "host": weighed.sync.host,
        "calls": weighed.sync.calls,
        "min_calls": weighed.sync.min_calls,
        "seconds": weighed.sync.seconds,
        "total_calls": weighed.calls,
        "total_seconds": weighed.seconds,
        "calls_now": weighed.calls_now,
        "seconds_now": weighed.seconds_now,
        "is_cheaper": weighed.is_cheaper,
    }


def costed_plan_json(plan: Plan, costs: PlanCosts, weighed: "WeighedSync | None" = None) -> CostedPlanForm:
    """Return the JSON form of *plan* with its costs, and with those of a sync, if it was weighed."""
    form: CostsForm | None = None
    if costs.id_count is not None:
        form = {
            "native": [cost_json(cost) for cost in costs.native],
            "methods": [cost_json(cost) for cost in costs.methods],
            "chosen": costs.chosen,
        }
    sync = None if weighed is None else weighed_sync_json(weighed)
    return {**plan_json(plan), "devices": costs.device_count, "ids": costs.id_count, "costs": form, "sync": sync}
