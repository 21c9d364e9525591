"""Why an expression means so many devices, and what vendors could say of it."""

import sys
from typing import Annotated

import typer

from audience.cli.options import CatalogOption, ExprArgument, IndexArgument, JsonOption, load_optional_catalog
from audience.cli.output.index import print_counts_table
from audience.cli.output.plans import format_plan_summary, plan_json
from audience.cli.output.report import print_result, print_warnings
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse as parse_text
from audience.planning.planner import plan as make_plan
from audience.vendors import vendor_names


def run_explain(
    index: IndexArgument,
    expr: ExprArgument,
    vendor: Annotated[str | None, typer.Option(metavar="V", help="This vendor only.")] = None,
    catalog: CatalogOption = None,
    json: JsonOption = False,
) -> None:
    """The tree with a count at every node, what each vendor could say, and why not."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    lines = opened.explain(meant)
    known = load_optional_catalog(catalog)
    plans = [make_plan(meant, name, opened, known) for name in ([vendor] if vendor else vendor_names(can="emit"))]
    print_warnings(opened.find_unmatched(meant), json)
    if json:
        tree = [
            {"depth": line.depth, "text": line.text, "devices": line.device_count, "remaining": line.remaining}
            for line in lines
        ]
        print_result({"tree": tree, "vendors": {plan.vendor: plan_json(plan) for plan in plans}}, json, "")
        return
    print_counts_table(lines, len(opened))
    for plan in plans:
        sys.stdout.write(f"\n{format_plan_summary(plan)}\n")
