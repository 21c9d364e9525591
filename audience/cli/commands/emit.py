"""Requests in a vendor's words, written into a folder."""

from typing import Annotated

import typer

from audience.cli.options import (
    CatalogPath,
    ExprText,
    IndexPath,
    Json,
    MaxRequests,
    Out,
    Replace,
    Strict,
    VendorName,
    catalog_of,
)
from audience.cli.output.report import NOBODY, note, result, warn
from audience.cli.output.widgets import bar
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse as parse_text
from audience.planning.planner import MOST_REQUESTS, Plan
from audience.planning.planner import plan as make_plan
from audience.requests.writer import as_json as emitted_json
from audience.requests.writer import emit as emit_plan


def emit(
    index: IndexPath,
    expr: ExprText,
    vendor: VendorName,
    out: Out,
    by_ids: Annotated[
        bool,
        typer.Option("--by-ids", help="Lists of ids, also where requests could say it."),
    ] = False,
    catalog: CatalogPath = None,
    max_requests: MaxRequests = MOST_REQUESTS,
    strict: Strict = False,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Write the requests' targeting bodies as NDJSON files, at most 1,000 ids a line."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    plan = make_plan(meant, vendor, opened, catalog_of(catalog), max_requests=max_requests, strict=strict)
    if by_ids and plan.native:
        plan = Plan(plan.vendor, meant, (), meant, (Problem("by-ids", "asked for by --by-ids"),), index=opened)
    with bar() as progress:
        written = emit_plan(plan, opened, out, replace=replace, progress=progress)
    warn([*opened.problems(meant), *written.reasons], json)
    note(plan.conditions, json)
    parts = [f"{written.native} native"] if written.native else []
    parts += [f"{written.batches:,} with {written.told:,} ids"] if written.batches else []
    left = f"; {written.left_out:,} left out" if written.left_out else ""
    said = f"{written.devices:,} devices meant; requests: {' and '.join(parts)}{left}" if parts else NOBODY.message
    result(emitted_json(written), json, f"{out}: {said}")
