"""Requests in a vendor's words, written into a folder."""

from typing import Annotated

import typer

from audience.cli.options import (
    CatalogOption,
    ExprArgument,
    IndexArgument,
    JsonOption,
    MaxRequestsOption,
    OutOption,
    ReplaceOption,
    StrictOption,
    VendorOption,
    load_optional_catalog,
)
from audience.cli.output.report import NOTHING_TO_SEND, print_assumptions, print_result, print_warnings
from audience.cli.output.widgets import progress_bar
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse as parse_text
from audience.planning.planner import MAX_REQUESTS
from audience.planning.planner import plan as make_plan
from audience.planning.plans import Plan
from audience.requests.writer import build_manifest as emitted_json
from audience.requests.writer import write_requests as emit_plan


def run_emit(
    index: IndexArgument,
    expr: ExprArgument,
    vendor: VendorOption,
    out: OutOption,
    by_ids: Annotated[
        bool,
        typer.Option("--by-ids", help="Lists of ids, also where requests could say it."),
    ] = False,
    catalog: CatalogOption = None,
    max_requests: MaxRequestsOption = MAX_REQUESTS,
    strict: StrictOption = False,
    replace: ReplaceOption = False,
    json: JsonOption = False,
) -> None:
    """Write the requests' targeting bodies as NDJSON files, at most 1,000 ids a line."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    plan = make_plan(meant, vendor, opened, load_optional_catalog(catalog), max_requests=max_requests, strict=strict)
    if by_ids and plan.native:
        plan = Plan(plan.vendor, meant, (), meant, (Problem("by-ids", "asked for by --by-ids"),), index=opened)
    with progress_bar() as progress:
        written = emit_plan(plan, opened, out, replace=replace, progress=progress)
    print_warnings([*opened.find_unmatched(meant), *written.reasons], json)
    print_assumptions(plan.assumptions, json)
    parts = [f"{written.native} native"] if written.native else []
    parts += [f"{written.batches:,} with {written.id_count:,} ids"] if written.batches else []
    left = f"; {written.skipped_count:,} left out" if written.skipped_count else ""
    said = (
        f"{written.devices:,} devices meant; requests: {' and '.join(parts)}{left}"
        if parts
        else NOTHING_TO_SEND.message
    )
    print_result(emitted_json(written), json, f"{out}: {said}")
