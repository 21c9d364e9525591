"""Command that explains a count and how vendors can express the audience."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from audience.cli.declarations import Option
from audience.cli.options import (
    CatalogOption,
    ExprArgument,
    IndexArgument,
    QuestionOptions,
    VendorHasOption,
    load_optional_catalog,
)
from audience.cli.output.expressions import format_question
from audience.cli.output.index import format_counts
from audience.cli.output.plans import format_plan_summary, format_policies, format_weighed_sync
from audience.cli.output.vendors import format_plan_overview
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.explain import ExplainLine
from audience.json_forms.leave_one_out import LeftOutForm, left_out_by_path
from audience.json_forms.plans import plan_json, policies_json
from audience.json_forms.questions import question_json
from audience.language.as_of import AsOfArguments
from audience.language.ast import Expr
from audience.language.parser import parse
from audience.planning.catalog.catalog import Catalog
from audience.planning.planner import plan as make_plan
from audience.planning.plans import Plan
from audience.planning.policies import choose_policies, restrict_audience
from audience.planning.vouching import VendorHas, parse_vendor_has
from audience.vendors import vendor_names

if TYPE_CHECKING:  # only plans with stale tags weigh a sync
    from audience.delivery.sync_costs import WeighedSync
    from audience.index.query.physical_explanation import PhysicalExplanation

ASKED_AGAIN = 5  # times: then everything is kept that is worth it
HEADINGS = {
    "first": "counted for the first time:",
    "again": f"counted {ASKED_AGAIN} times by one process, the last time:",
}


def run_explain(
    output: Output,
    index: IndexArgument,
    expr: ExprArgument,
    *,
    vendor: Annotated[
        str | None,
        Option("--vendor", metavar="VENDOR", help="Show the requests of this vendor, or why there are none."),
    ] = None,
    vendors: Annotated[bool, Option("--vendors", help="Compare all vendors.")] = False,
    policies: Annotated[
        bool, Option("--policies", help="Show what each policy of the index takes out when this is sent.")
    ] = False,
    leave_one_out: Annotated[
        bool,
        Option("--leave-one-out", help="Also count the audience without each condition: what the condition costs."),
    ] = False,
    physical: Annotated[
        bool,
        Option("--physical", help="Show how each part is evaluated: bitmaps or packed words, estimates, threads."),
    ] = False,
    catalog: CatalogOption = None,
    vendor_has: VendorHasOption = None,
    question: QuestionOptions,
) -> None:
    """Show how many devices match each part of an expression, and how vendors can express it.

    Policies of the index change no count; they apply to plans.
    """
    device_index, audience = DeviceIndex.open(index, threads=question.threads), parse(expr)
    asked = question.read(device_index.snapshot.timezone)
    when = asked.to_arguments()
    evaluations = _explain_evaluation(device_index, audience, when) if physical else {}  # before anything is kept
    lines, bound = device_index.explain(audience, **when), device_index.bind(audience, **when)
    known_catalog = load_optional_catalog(catalog)
    vouched_types = parse_vendor_has(vendor_has)
    names = vendor_names(can="emit") if vendors else [vendor] if vendor else []
    plans = [_plan_for(name, audience, device_index, known_catalog, vouched_types, when) for name in names]
    output.print_warnings(device_index.find_unmatched(audience, **when))
    without = _count_left_out(device_index, audience, when, output) if leave_one_out else None
    restricted = restrict_audience(bound, choose_policies(device_index), device_index, asked) if policies else None
    weighed = _weigh_syncs(plans, device_index, known_catalog)
    facts = {
        **question_json(audience, bound, asked),
        "tree": _list_nodes(lines, without),
        **({"vendors": {plan.vendor: plan_json(plan) for plan in plans}} if plans else {}),
        **({} if restricted is None else policies_json(restricted.policies, (), restricted.removed)),
        **_describe_evaluations(evaluations),
        **_describe_syncs(weighed),
    }
    is_dated = question.matter_for(audience, device_index.snapshot)
    heading = [format_question(audience, bound, asked)] if is_dated else []
    counts = format_counts(lines, len(device_index), without)
    taken_out = [] if restricted is None else ["\n".join(format_policies(restricted.policies, ())) or "no policies"]
    syncs = [f"{name}: {format_weighed_sync(each)}" for name, each in weighed.items()]
    ways = [f"{HEADINGS[name]}\n{each}" for name, each in evaluations.items()]
    output.print_result(
        facts, lambda: "\n\n".join([*heading, counts, *ways, *taken_out, *_format_plans(plans), *syncs])
    )


def _plan_for(
    vendor: str,
    audience: Expr,
    index: DeviceIndex,
    catalog: Catalog | None,
    vouched_types: VendorHas,
    when: AsOfArguments,
) -> Plan:
    """Return what *vendor* can express of the audience, whatever the policies of the index let send."""
    return make_plan(
        audience,
        vendor,
        index,
        catalog,
        vendor_has=vouched_types,
        without_policies=list(index.policies),
        **when,
    )


def _list_nodes(
    lines: Sequence[ExplainLine], without: Mapping[tuple[int, ...], LeftOutForm] | None
) -> list[dict[str, Any]]:
    """Return the nodes of the expression as JSON data; with their paths if *without* has what each one costs."""
    costs: list[dict[str, Any]] = [
        {} if without is None else {"path": list(line.path), "without": without.get(line.path)} for line in lines
    ]
    return [
        {
            "depth": line.depth,
            "text": line.text,
            "devices": line.device_count,
            "remaining": line.remaining,
            "values": line.value_count,
            **cost,
        }
        for line, cost in zip(lines, costs, strict=True)
    ]


def _explain_evaluation(index: DeviceIndex, audience: Expr, when: AsOfArguments) -> "dict[str, PhysicalExplanation]":
    """Return how the expression is counted first, and how by a process that keeps the index open, if it differs."""
    first = index.explain_physical(audience, **when)
    again = index.explain_physical(audience, asked=ASKED_AGAIN, **when)
    return {"first": first} if again.ways() == first.ways() else {"first": first, "again": again}


def _describe_evaluations(evaluations: "Mapping[str, PhysicalExplanation]") -> dict[str, Any]:
    """Return how the expression is counted as JSON data."""
    if not evaluations:
        return {}
    from audience.json_forms.physical import physical_json  # few explanations need it

    return {"physical": {name: physical_json(evaluation) for name, evaluation in evaluations.items()}}


def _weigh_syncs(plans: list[Plan], index: DeviceIndex, catalog: Catalog | None) -> "dict[str, WeighedSync]":
    """Return what a sync would cost by vendor, for the plans of which it would make more native."""
    stale = [plan for plan in plans if plan.stale]
    if not stale:
        return {}
    from audience.delivery.plan_costs import estimate_plan, weigh_stale_plan  # a count needs nothing that sends

    weighed = {plan.vendor: weigh_stale_plan(plan, estimate_plan(plan, index), index, catalog) for plan in stale}
    return {name: each for name, each in weighed.items() if each is not None}


def _describe_syncs(weighed: "Mapping[str, WeighedSync]") -> dict[str, Any]:
    """Return what syncs would cost as JSON data."""
    if not weighed:
        return {}
    from audience.json_forms.costs import weighed_sync_json  # few plans have stale tags

    return {"syncs": {name: weighed_sync_json(sync) for name, sync in weighed.items()}}


def _count_left_out(
    index: DeviceIndex, audience: Expr, when: AsOfArguments, output: Output
) -> dict[tuple[int, ...], LeftOutForm]:
    """Return the audience without each condition, by the path of its line; say how many are not counted."""
    answer = index.leave_one_out(audience, **when)
    if answer.omitted:
        message = f"{format_count(answer.omitted, 'condition')} of the innermost levels are not left out"
        output.print_notes([Problem("left-out", message)])
    return left_out_by_path(answer)


def _format_plans(plans: list[Plan]) -> list[str]:
    """Return the overview of several plans, or the summary of one."""
    if len(plans) > 1:
        return [format_plan_overview(plans)]
    return [format_plan_summary(plan) for plan in plans]
