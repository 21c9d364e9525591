"""Endpoints about vendors' payloads: plans of an audience, and translations of a payload."""

import json
import warnings
from threading import Lock
from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from audience.delivery.plan_costs import SAMPLE_MESSAGE, estimate_plan, weigh_stale_plan
from audience.errors import PlanError, Problem
from audience.index.device_index import DeviceIndex
from audience.json_forms.costs import CostedPlanForm, costed_plan_json
from audience.json_forms.plans import PlanForm, plan_json
from audience.json_forms.problems import ProblemForm, problem_json
from audience.json_forms.questions import QuestionForm, format_as_of, question_json
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Expr
from audience.language.binding import bind
from audience.language.printer import render
from audience.language.zones import DEFAULT_ZONE
from audience.messages import parse_message
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.check import load_catalog
from audience.planning.catalog.vendor_names import with_catalog_names
from audience.planning.planner import plan as make_plan
from audience.server.bodies import ExprBody, QuestionBody, parse_text, read_question
from audience.server.calls import Call, Endpoint
from audience.server.operand_limit import limit_operands
from audience.server.problems import HttpError
from audience.vendors import get_vendor, vendor_names
from audience.vendors.payload_reader import load_json

TEXT, ALL_VENDORS = "text", "all"
JSON_PREFIXES = ("{", "[", '"', "/")  # other payloads are strings: a form, or EngageLab's `all`
WARNINGS_LOCK = Lock()  # what collects warnings is one for the whole process


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


class TranslateBody(QuestionBody):
    """Body of a translation."""

    payload: Any = Field(
        description="Payload of the source: its JSON, or a text that holds it; an expression for `text`.",
        examples=[{"to": {"tag": ["Shenzhen"]}}],
    )
    source: str = Field(default=TEXT, description="Vendor of the payload, or `text`.", examples=["engagelab"])
    target: str = Field(default=TEXT, description="Vendor, or `text`, or `all` to compare.", examples=["tpns"])


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


class ComparedTranslationForm(TypedDict):
    """Translation for all vendors.

    Attributes:
        expression: Expression of the payload.
        vendors: Plans by vendor.
        warnings: What the vendor's documentation does not allow in the payload.
    """

    expression: str
    vendors: dict[str, PlanForm]
    warnings: list[ProblemForm]


class TranslatedTextForm(QuestionForm):
    """Translation to an expression.

    Attributes:
        warnings: What the vendor's documentation does not allow in the payload.
    """

    warnings: list[ProblemForm]


class TranslatedPlanForm(PlanForm):
    """Translation for one vendor.

    Attributes:
        warnings: What the vendor's documentation does not allow in the payload.
    """

    warnings: list[ProblemForm]


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


def translate(call: Call) -> TranslatedTextForm | TranslatedPlanForm | ComparedTranslationForm:
    """Translate an expression or a vendor's targeting payload for another vendor, or for all, or to an expression.

    What needs ids is in `by_ids` with its reasons.
    """
    body = call.body
    catalog = load_served_catalog(call)
    asked = read_as_of(body.as_of, body.timezone, DEFAULT_ZONE, body.allow_gaps)
    payload = None if body.source == TEXT else _load_payload(body.payload)
    expr, problems = (
        (_parse_text_payload(body.payload), [])
        if body.source == TEXT
        else _parse_payload(body.source, payload, catalog)
    )
    found = [problem_json(problem) for problem in problems]
    if body.target == TEXT:
        return {**question_json(expr, bind(expr, asked.moment, asked.zone), asked), "warnings": found}
    names = vendor_names(can="emit") if body.target == ALL_VENDORS else [body.target]
    id_vendor = None if body.source == TEXT else body.source
    plans = {
        name: plan_json(
            make_plan(expr, name, None, catalog, id_vendor=id_vendor, payload=payload, **asked.to_arguments())
        )
        for name in names
    }
    if body.target == ALL_VENDORS:
        return {"expression": render(expr), "vendors": plans, "warnings": found}
    return {**plans[body.target], "warnings": found}


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


def _parse_text_payload(payload: Any) -> Expr:
    if not isinstance(payload, str):
        message = "expected the text of an expression, as source is text"
        hint = "name the vendor of the payload as source"
        raise HttpError(400, Problem("wrong-type", message, path="body.payload", hint=hint))
    expr = parse_text(payload, "body.payload")
    limit_operands([expr], {}, "body.payload")
    return expr


def _load_payload(payload: Any) -> Any:
    """Return a payload with the checks of its JSON, whether it came as JSON or as a text."""
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return load_json(text) if text.lstrip().startswith(JSON_PREFIXES) else text.strip()


def _parse_payload(vendor_name: str, payload: Any, catalog: Catalog | None) -> tuple[Expr, list[Problem]]:
    """Return the expression of a vendor's payload, and the warnings of its parser."""
    vendor = with_catalog_names(get_vendor(vendor_name), catalog)
    with WARNINGS_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expr = vendor.parse(payload)
    return expr, [Problem("payload", str(warning.message)) for warning in caught]


ENDPOINTS = (
    Endpoint("POST", "/v1/indexes/{index}/plan", plan, ServedPlanForm, "count", PlanBody),
    Endpoint("POST", "/v1/indexes/{index}/plans", plan_all, PlansForm, "count", PlansBody),
    Endpoint(
        "POST",
        "/v1/translate",
        translate,
        TranslatedTextForm | TranslatedPlanForm | ComparedTranslationForm,
        "count",
        TranslateBody,
    ),
)
