"""JSON forms of what plans cost."""

from typing_extensions import TypedDict

from audience.delivery.costs import CostEstimate
from audience.delivery.plan_costs import PlanCosts
from audience.json_forms.plans import PlanForm, plan_json
from audience.json_forms.problems import ProblemForm, problem_json
from audience.planning.plans import Plan


class CostForm(TypedDict):
    """Estimated cost of one send method.

    Attributes:
        method: Name of the method.
        calls: All HTTP calls.
        setup_calls: Those of them that only prepare others.
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


class CostedPlanForm(PlanForm):
    """Plan with its size and its costs.

    Attributes:
        devices: Devices that it reaches.
        ids: Ids that it sends; null if audience cannot send to the vendor.
        costs: Its costs; null if audience cannot send to the vendor.
    """

    devices: int
    ids: int | None
    costs: CostsForm | None


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


def costed_plan_json(plan: Plan, costs: PlanCosts) -> CostedPlanForm:
    """Return the JSON form of *plan* with its costs."""
    form: CostsForm | None = None
    if costs.id_count is not None:
        form = {
            "native": [cost_json(cost) for cost in costs.native],
            "methods": [cost_json(cost) for cost in costs.methods],
            "chosen": costs.chosen,
        }
    return {**plan_json(plan), "devices": costs.device_count, "ids": costs.id_count, "costs": form}
