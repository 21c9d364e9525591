"""Endpoints that plan how an audience is sent to a vendor."""

from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from audience.delivery.plan_costs import SAMPLE_MESSAGE, estimate_plan, weigh_stale_plan
from audience.errors import PlanError
from audience.index.device_index import DeviceIndex
from audience.json_forms.costs import CostedPlanForm, costed_plan_json
from audience.json_forms.plans import PlanForm, plan_json
from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.questions import format_as_of
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.messages import parse_message
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.check import load_catalog
from audience.planning.planner import plan as make_plan
from audience.server.bodies import ExprBody, read_question
from audience.server.calls import Call, Endpoint
from audience.vendors import get_vendor, vendor_names


class PlanBody(ExprBody):
    """Body of a plan for one vendor."""

    vendor: str = Field(description="Name of the vendor.", examples=["tpns"])
    without_policies: list[str] = Field(default=[], description="Names of policies of the index that do not apply.")
    message: dict[str, Any] | None = Field(default=None, description="Message, to compute costs with.")
    method: str | None = Field(default=None, description="Send method for ids; the cheapest by default.")


class PlansBody(ExprBody):
    """Body of a comparison of vendors."""

    vendors: list[str] | None = Field(default=None, description="Names of vendors; all by default.")
    without_policies: list[str] = Field(default=[], description="Names of policies of the index that do not apply.")


class ServedPlanForm(CostedPlanForm):
    """Plan of an audience for a vendor.

    Attributes:
        count: Devices of the audience, before policies.
        snapshot: Snapshot that was asked.
    """

    count: int
    snapshot: int


class RefusedPlanForm(TypedDict):
    """Vendor without a plan.

    Attributes:
        refused: Why there is none.
    """

    refused: list[ProblemForm]


class PlansForm(TypedDict):
    """Plans of an audience for several vendors.

    Attributes:
        plans: Plans by vendor, or why there is none.
        snapshot: Snapshot that was asked.
        as_of: Moment of the question, as clocks of the zone show it.
    """

    plans: dict[str, PlanForm | RefusedPlanForm]
    snapshot: int
    as_of: str


def plan(call: Call) -> ServedPlanForm:
    """Plan how an audience is sent to a vendor: natively or by ids, why, and at what cost. Nothing is sent."""
    index, body = call.index, call.body
    question = read_question(body, index.snapshot)
    message = SAMPLE_MESSAGE if body.message is None else parse_message(body.message)
    catalog = load_served_catalog(call)
    planned = make_plan(
        question.expr,
        body.vendor,
        index,
        catalog,
        without_policies=body.without_policies,
        **question.asked.to_arguments(),
    )
    costs = estimate_plan(planned, index, message, body.method)
    return {
        **costed_plan_json(planned, costs, weigh_stale_plan(planned, costs, index, catalog, message)),
        "count": index.count(question.expr, **question.asked.to_arguments()),
        "snapshot": index.snapshot.manifest.number,
    }


def plan_all(call: Call) -> PlansForm:
    """Plan an audience for several vendors, to compare them: natively or by ids, and why."""
    index, body = call.index, call.body
    question = read_question(body, index.snapshot)
    catalog = load_served_catalog(call)
    names = vendor_names(can="emit") if body.vendors is None else list(dict.fromkeys(body.vendors))
    for name in names:
        get_vendor(name)  # raises PlanError for an unknown one
    plans = {
        name: _plan_or_refuse(question.expr, name, index, catalog, body.without_policies, question.asked)
        for name in names
    }
    return {
        "plans": plans,
        "snapshot": index.snapshot.manifest.number,
        "as_of": format_as_of(question.asked),
    }


def load_served_catalog(call: Call) -> Catalog | None:
    """Return the catalog of the service, as its file is now; None if it has none."""
    return None if call.settings.catalog is None else load_catalog(call.settings.catalog)


def _plan_or_refuse(
    expr: Expr, vendor: str, index: DeviceIndex, catalog: Catalog | None, without: list[str], asked: AsOf
) -> PlanForm | RefusedPlanForm:
    """Return the plan for one vendor, or why the vendor has none. What is wrong for all vendors is raised before."""
    try:
        planned = make_plan(expr, vendor, index, catalog, without_policies=without, **asked.to_arguments())
    except PlanError as error:
        return {"refused": [problem_json(problem) for problem in error.problems]}
    return plan_json(planned)


ENDPOINTS = (
    Endpoint("POST", "/v1/indexes/{index}/plan", plan, ServedPlanForm, "count", PlanBody),
    Endpoint("POST", "/v1/indexes/{index}/plans", plan_all, PlansForm, "count", PlansBody),
)
