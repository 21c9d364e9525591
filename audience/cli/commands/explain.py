"""Command that explains a count and how vendors can express the audience."""

from typing import Annotated

from audience.cli.declarations import Option
from audience.cli.options import (
    CatalogOption,
    ExprArgument,
    IndexArgument,
    QuestionOptions,
    VendorHasOption,
    load_optional_catalog,
)
from audience.cli.output.expressions import format_question, question_json
from audience.cli.output.index import format_counts
from audience.cli.output.plans import format_plan_summary, plan_json
from audience.cli.output.vendors import format_plan_overview
from audience.cli.output.writer import Output
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse
from audience.planning.planner import plan as make_plan
from audience.planning.plans import Plan
from audience.planning.vouching import parse_vendor_has
from audience.vendors import vendor_names


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
    catalog: CatalogOption = None,
    vendor_has: VendorHasOption = None,
    question: QuestionOptions,
) -> None:
    """Show how many devices match each part of an expression, and how vendors can express it."""
    device_index, audience = DeviceIndex.open(index, threads=question.threads), parse(expr)
    asked = question.read(device_index.snapshot.timezone)
    when = asked.to_arguments()
    lines, bound = device_index.explain(audience, **when), device_index.bind(audience, **when)
    known_catalog = load_optional_catalog(catalog)
    vouched_types = parse_vendor_has(vendor_has)
    names = vendor_names(can="emit") if vendors else [vendor] if vendor else []
    plans = [make_plan(audience, name, device_index, known_catalog, vendor_has=vouched_types, **when) for name in names]
    output.print_warnings(device_index.find_unmatched(audience, **when))
    tree = [
        {
            "depth": line.depth,
            "text": line.text,
            "devices": line.device_count,
            "remaining": line.remaining,
            "values": line.value_count,
        }
        for line in lines
    ]
    facts = {**question_json(audience, bound, asked), "tree": tree}
    facts |= {"vendors": {plan.vendor: plan_json(plan) for plan in plans}} if plans else {}
    is_dated = question.matter_for(audience, device_index.snapshot)
    heading = [format_question(audience, bound, asked)] if is_dated else []
    counts = format_counts(lines, len(device_index))
    output.print_result(facts, lambda: "\n\n".join([*heading, counts, *_format_plans(plans)]))


def _format_plans(plans: list[Plan]) -> list[str]:
    """Return the overview of several plans, or the summary of one."""
    if len(plans) > 1:
        return [format_plan_overview(plans)]
    return [format_plan_summary(plan) for plan in plans]
