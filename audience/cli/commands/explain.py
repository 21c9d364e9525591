"""Why an expression means so many devices, and what vendors could say of it."""

import sys
from typing import Annotated

import typer

from audience.cli.options import CatalogPath, ExprText, IndexPath, Json, catalog_of
from audience.cli.output.index import counts_table
from audience.cli.output.plans import plan_json, verdict
from audience.cli.output.report import result, warn
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse as parse_text
from audience.planning.planner import plan as make_plan
from audience.vendors import reachable


def explain(
    index: IndexPath,
    expr: ExprText,
    vendor: Annotated[str | None, typer.Option(metavar="V", help="This vendor only.")] = None,
    catalog: CatalogPath = None,
    json: Json = False,
) -> None:
    """The tree with a count at every node, what each vendor could say, and why not."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    lines = opened.explain(meant)
    known = catalog_of(catalog)
    plans = [make_plan(meant, name, opened, known) for name in ([vendor] if vendor else reachable())]
    warn(opened.problems(meant), json)
    if json:
        tree = [{"depth": line.depth, "text": line.text, "devices": line.devices, "left": line.left} for line in lines]
        result({"tree": tree, "vendors": {plan.vendor: plan_json(plan) for plan in plans}}, json, "")
        return
    counts_table(lines, len(opened))
    for plan in plans:
        sys.stdout.write(f"\n{verdict(plan)}\n")
