"""From one vendor's words to another's."""

import sys
import warnings
from typing import Annotated

import typer

from audience.cli.options import CatalogPath, Json, MaxRequests, Strict, catalog_of
from audience.cli.output.plans import derivation, plan_json, shown
from audience.cli.output.report import NOBODY, note, result, tell, warn
from audience.cli.streams import read_input
from audience.errors import Problem
from audience.language.ast import Expr
from audience.language.parser import parse as parse_text
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.vendor_names import speaking
from audience.planning.planner import MOST_REQUESTS, Plan
from audience.planning.planner import plan as make_plan
from audience.vendors import reachable
from audience.vendors import vendor as vendor_record
from audience.vendors.payload_reader import dump, load

OPENINGS = ("{", "[", '"', "/")  # of JSON; forms, and EngageLab's `all`, are texts of a vendor's own


def translate(
    payload: Annotated[
        str,
        typer.Argument(metavar="[PAYLOAD|-]", help="A payload, or - for standard input."),
    ] = "-",
    source: Annotated[str, typer.Option("--from", metavar="V", help="A vendor, or text.")] = "text",
    target: Annotated[str, typer.Option("--to", metavar="W", help="A vendor, or text, or all vendors.")] = "text",
    explained: Annotated[bool, typer.Option("--explain", help="How it got there, in place of the payloads.")] = False,
    catalog: CatalogPath = None,
    max_requests: MaxRequests = MOST_REQUESTS,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Read one vendor's targeting and write it in another's words; text is a source and a target too.

    With --to all every vendor's words stand side by side.
    """
    said = read_input("give the payload as an argument") if payload == "-" else payload
    known = catalog_of(catalog)
    meant = parse_text(said) if source == "text" else _read(source, said, known, json)
    if target == "text":
        result({"expression": render(meant)}, json, render(meant))
        return
    whose = None if source == "text" else source
    plans = [
        make_plan(meant, name, catalog=known, max_requests=max_requests, strict=strict, ids_of=whose)
        for name in (reachable() if target == "all" else [target])
    ]
    if target == "all":
        _compared(meant, plans, json)
    else:
        _said(plans[0], explained, json)


def _compared(meant: Expr, plans: list[Plan], json: bool) -> None:
    """Tell what all vendors would be sent."""
    from audience.cli.output.vendors import side_by_side  # here, as one vendor's words are no table

    if json:
        told = {plan.vendor: plan_json(plan) for plan in plans}
        result({"expression": render(meant), "vendors": told}, json, "")
    else:
        sys.stdout.write(f"{shown(meant)}\n\n")
        side_by_side(plans)


def _said(plan: Plan, explained: bool, json: bool) -> None:
    """Tell what one vendor is sent; it ends with 1 where ids are needed."""
    if json or explained:
        result(plan_json(plan), json, derivation(plan))
    elif plan.by_ids is None:
        for request in plan.native:
            sys.stdout.write(dump(request) + "\n")
        note(plan.conditions, json)
    if plan.by_ids is not None:
        left = Problem("by-ids", f"{plan.vendor} cannot say all of it; resolve it with an index")
        tell((left, *plan.reasons), json)
        sys.exit(1)
    if not plan.native:
        warn([NOBODY], json)


def _read(source: str, said: str, catalog: Catalog | None, json: bool) -> Expr:
    """What a vendor's payload means; its warnings are told."""
    reader = speaking(vendor_record(source), catalog)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        meant = reader.parse(load(said) if said.lstrip().startswith(OPENINGS) else said.strip())
    warn([Problem("payload", str(warning.message)) for warning in caught], json)
    return meant
