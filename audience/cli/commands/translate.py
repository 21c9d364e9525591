"""Command that translates targeting between vendors."""

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

from audience.cli.commands.translate_sql import SQL, SqlOptions, print_sql
from audience.cli.declarations import Argument, Option
from audience.cli.output.expressions import render_shortened
from audience.cli.output.plans import format_plan_details
from audience.cli.output.writer import NOTHING_TO_SEND, Output
from audience.cli.plan_options import PlanOptions
from audience.cli.streams import read_stdin
from audience.errors import PlanError, Problem
from audience.json_forms.plans import plan_json
from audience.json_forms.questions import question_json
from audience.language.ast import Expr
from audience.language.binding import bind
from audience.language.parser import parse
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.language.zones import DEFAULT_ZONE
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.vendor_names import with_catalog_names
from audience.planning.planner import plan as make_plan
from audience.planning.plans import Plan
from audience.vendors import get_vendor, vendor_names
from audience.vendors.payload_reader import dump_json, load_json

TEXT, ALL_VENDORS = "text", "all"  # values of --from and --to beside the vendors
JSON_PREFIXES = ("{", "[", '"', "/")  # other payloads are strings: a form, or EngageLab's `all`


def run_translate(
    output: Output,
    *,
    payload: Annotated[
        str,
        Argument(metavar="[PAYLOAD]", help="Payload or expression; `-` reads standard input."),
    ] = "-",
    source: Annotated[
        str, Option("--from", metavar="VENDOR", help="Vendor of the payload, or `text` for an expression.")
    ] = TEXT,
    target: Annotated[
        str, Option("--to", metavar="VENDOR", help="Vendor to translate to, or `text`, `sql`, or `all` to compare.")
    ] = TEXT,
    explain: Annotated[bool, Option("--explain", help="Print the plan instead of the payloads.")] = False,
    sql: SqlOptions,
    options: PlanOptions,
) -> None:
    """Translate an expression or one vendor's targeting payload for another vendor, or to SQL.

    Exit code 1 if a part needs ids: then the reasons are printed instead of payloads.
    """
    _require_known("--from", source, [TEXT, *vendor_names()])
    _require_known("--to", target, [TEXT, SQL, ALL_VENDORS, *vendor_names()])
    text = read_stdin("pass the payload as an argument") if payload == "-" else payload
    asked = options.read(DEFAULT_ZONE)
    arguments = options.to_arguments(asked)
    payload_value = None if source == TEXT else _load_payload(text)
    expr = parse(text) if source == TEXT else _parse_payload(source, payload_value, arguments["catalog"], output)
    if target == SQL:
        print_sql(expr, sql, options, output)
        return
    sql.require_absent()
    if target == TEXT:
        output.print_result(question_json(expr, bind(expr, asked.moment, asked.zone), asked), render(expr))
        return
    id_vendor = None if source == TEXT else source
    plans = [
        make_plan(expr, name, id_vendor=id_vendor, payload=payload_value, **arguments)
        for name in (vendor_names(can="emit") if target == ALL_VENDORS else [target])
    ]
    if target == ALL_VENDORS:
        _print_comparison(expr, plans, output)
    else:
        _print_plan(plans[0], explain, output)


def _require_known(option: str, name: str, known: Sequence[str]) -> None:
    """Raise PlanError if the value of --from or --to is neither a vendor nor a word in the place of one."""
    if name not in known:
        hint = did_you_mean(name, known) or f"use one of {', '.join(known)}"
        raise PlanError(Problem("unknown-vendor", f"{option}: no vendor is called {name!r:.80}", hint=hint))


def _print_comparison(expr: Expr, plans: list[Plan], output: Output) -> None:
    """Print the payloads of all vendors."""
    from audience.cli.output.vendors import format_plans_side_by_side  # imports rich, not needed for one vendor

    facts = {"expression": render(expr), "vendors": {plan.vendor: plan_json(plan) for plan in plans}}
    output.print_result(facts, lambda: f"{render_shortened(expr)}\n\n{format_plans_side_by_side(plans)}")


def _print_plan(plan: Plan, with_details: bool, output: Output) -> None:
    """Print the payloads of one vendor, or the details; exit with 1 if the plan needs ids."""
    if output.as_json or with_details:
        output.print_result(plan_json(plan), lambda: format_plan_details(plan))
    elif plan.by_ids is None:
        sys.stdout.write("".join(f"{dump_json(payload)}\n" for payload in plan.native))
        output.print_assumptions(plan.assumptions)
    if plan.by_ids is not None:
        message = f"{plan.vendor} cannot express all of it natively"
        problem = Problem("by-ids", message, hint="use an index to resolve it to ids: audience emit")
        output.print_errors((problem, *plan.reasons))
        sys.exit(1)
    if not plan.native:
        output.print_warnings([NOTHING_TO_SEND])


def _load_payload(text: str) -> Any:
    return load_json(text) if text.lstrip().startswith(JSON_PREFIXES) else text.strip()


def _parse_payload(vendor_name: str, payload: Any, catalog: Catalog | None, output: Output) -> Expr:
    """Parse a vendor's payload and print the warnings of its parser."""
    vendor = with_catalog_names(get_vendor(vendor_name), catalog)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expr = vendor.parse(payload)
    output.print_warnings([Problem("payload", str(warning.message)) for warning in caught])
    return expr
