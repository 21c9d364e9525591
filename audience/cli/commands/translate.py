"""From one vendor's words to another's."""

import sys
import warnings
from typing import Annotated

import typer

from audience.cli.options import CatalogOption, JsonOption, MaxRequestsOption, StrictOption, load_optional_catalog
from audience.cli.output.plans import format_plan_details, plan_json, render_shortened
from audience.cli.output.report import NOTHING_TO_SEND, print_assumptions, print_errors, print_result, print_warnings
from audience.cli.streams import read_stdin
from audience.errors import Problem
from audience.language.ast import Expr
from audience.language.parser import parse as parse_text
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.vendor_names import with_catalog_names
from audience.planning.planner import MAX_REQUESTS
from audience.planning.planner import plan as make_plan
from audience.planning.plans import Plan
from audience.vendors import get_vendor, vendor_names
from audience.vendors.payload_reader import dump_json, load_json

JSON_PREFIXES = ("{", "[", '"', "/")  # of JSON; forms, and EngageLab's `all`, are texts of a vendor's own


def run_translate(
    payload: Annotated[
        str,
        typer.Argument(metavar="[PAYLOAD|-]", help="A payload, or - for standard input."),
    ] = "-",
    source: Annotated[str, typer.Option("--from", metavar="V", help="A vendor, or text.")] = "text",
    target: Annotated[str, typer.Option("--to", metavar="W", help="A vendor, or text, or all vendors.")] = "text",
    explained: Annotated[bool, typer.Option("--explain", help="How it got there, in place of the payloads.")] = False,
    catalog: CatalogOption = None,
    max_requests: MaxRequestsOption = MAX_REQUESTS,
    strict: StrictOption = False,
    json: JsonOption = False,
) -> None:
    """Read one vendor's targeting and write it in another's words; text is a source and a target too.

    With --to all every vendor's words stand side by side.
    """
    said = read_stdin("give the payload as an argument") if payload == "-" else payload
    known = load_optional_catalog(catalog)
    meant = parse_text(said) if source == "text" else _parse_payload(source, said, known, json)
    if target == "text":
        print_result({"expression": render(meant)}, json, render(meant))
        return
    whose = None if source == "text" else source
    plans = [
        make_plan(meant, name, catalog=known, max_requests=max_requests, strict=strict, id_vendor=whose)
        for name in (vendor_names(can="emit") if target == "all" else [target])
    ]
    if target == "all":
        _print_comparison(meant, plans, json)
    else:
        _print_plan(plans[0], explained, json)


def _print_comparison(expr: Expr, plans: list[Plan], json: bool) -> None:
    """Tell what all vendors would be sent."""
    from audience.cli.output.vendors import print_plans_side_by_side  # here, as one vendor's words are no table

    if json:
        told = {plan.vendor: plan_json(plan) for plan in plans}
        print_result({"expression": render(expr), "vendors": told}, json, "")
    else:
        sys.stdout.write(f"{render_shortened(expr)}\n\n")
        print_plans_side_by_side(plans)


def _print_plan(plan: Plan, with_details: bool, json: bool) -> None:
    """Tell what one vendor is sent; it ends with 1 where ids are needed."""
    if json or with_details:
        print_result(plan_json(plan), json, format_plan_details(plan))
    elif plan.by_ids is None:
        for request in plan.native:
            sys.stdout.write(dump_json(request) + "\n")
        print_assumptions(plan.assumptions, json)
    if plan.by_ids is not None:
        left = Problem("by-ids", f"{plan.vendor} cannot say all of it; resolve it with an index")
        print_errors((left, *plan.reasons), json)
        sys.exit(1)
    if not plan.native:
        print_warnings([NOTHING_TO_SEND], json)


def _parse_payload(source: str, payload_text: str, catalog: Catalog | None, json: bool) -> Expr:
    """What a vendor's payload means; its warnings are told."""
    reader = with_catalog_names(get_vendor(source), catalog)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        meant = reader.parse(
            load_json(payload_text) if payload_text.lstrip().startswith(JSON_PREFIXES) else payload_text.strip()
        )
    print_warnings([Problem("payload", str(warning.message)) for warning in caught], json)
    return meant
