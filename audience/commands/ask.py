"""Questions about an expression: what it says, how many it means, why, and whether it is odd."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from audience.commands.options import CatalogPath, ExprText, IndexPath, Json, catalog_of, share_of
from audience.errors import PlanError, Problem
from audience.index import DeviceIndex
from audience.language.outline import as_json, outline
from audience.language.parse import parse as parse_text
from audience.language.render import render
from audience.lint import lint as find_odd
from audience.plan import plan as make_plan
from audience.report import plan_json, problem_json, result, verdict, warn
from audience.screen import counts_table
from audience.vendors import reachable


def parse(
    expr: ExprText,
    tree: Annotated[bool, typer.Option("--tree", help="Draw the tree.")] = False,
    json: Json = False,
) -> None:
    """Write an expression in its canonical form."""
    meant = parse_text(expr)
    result(as_json(meant), json, "\n".join(outline(meant)) if tree else render(meant))


def count(index: IndexPath, expr: ExprText, json: Json = False) -> None:
    """How many devices are meant."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    found = opened.count(meant)
    warn(opened.problems(meant), json)
    result({"count": found, "devices": len(opened), "expression": render(meant)}, json, str(found))


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


def lint(
    expr: ExprText,
    index: Annotated[Path | None, typer.Argument(metavar="[INDEX]", help="The folder of an index.")] = None,
    catalog: CatalogPath = None,
    limit: Annotated[
        str | None, typer.Option(metavar="SHARE", help="More devices than this are odd: 50% or 0.5.")
    ] = None,
    json: Json = False,
) -> None:
    """What is legal and yet hardly meant: always empty, idle branches, unknown tags. Exit code 1 if there is any."""
    opened = None if index is None else DeviceIndex.open(index)
    share = None if limit is None else share_of(limit)
    if share is not None and opened is None:
        raise PlanError(Problem("bad-option", "--limit needs an index to count in", hint="audience lint EXPR INDEX"))
    found = find_odd(parse_text(expr), opened, catalog_of(catalog), share)
    odd = [problem_json(problem) for problem in found]
    result(odd, json, "\n".join(map(str, found)) or "nothing odd")
    sys.exit(1 if found else 0)
