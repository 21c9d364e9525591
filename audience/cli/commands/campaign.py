"""Who of several vendors tells whom."""

from collections.abc import Iterator
from typing import Annotated

import typer

from audience.cli.options import CatalogPath, ExprText, IndexPath, Json, MaxRequests, Out, Replace, Strict, catalog_of
from audience.cli.output.delivery import campaign_table
from audience.cli.output.report import note, result, warn
from audience.cli.output.widgets import bar
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse as parse_text
from audience.planning.planner import MOST_REQUESTS
from audience.requests.campaign import Campaign, campaign_json, emit_campaign
from audience.requests.campaign import campaign as make_campaign
from audience.vendors import deliverable
from audience.vendors import vendor as vendor_record


def campaign(
    index: IndexPath,
    expr: ExprText,
    vendors: Annotated[str, typer.Option(metavar="V,W,…", help="Vendors; the first that can reach a device tells it.")],
    out: Out,
    catalog: CatalogPath = None,
    max_requests: MaxRequests = MOST_REQUESTS,
    strict: Strict = False,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Divide devices among vendors, each told once, and write a folder of requests for each vendor."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    names = [name.strip() for name in vendors.split(",") if name.strip()]
    found = make_campaign(meant, names, opened, catalog_of(catalog), max_requests=max_requests, strict=strict)
    with bar() as progress:
        emit_campaign(found, out, replace=replace, progress=progress)
    warn([*opened.problems(meant), *_cannot_send(found)], json)
    note(dict.fromkeys(condition for share in found.shares for condition in share.plan.conditions), json)
    if json:
        result(campaign_json(found), json, "")
        return
    campaign_table(found)
    result(None, json, f"{out}: {found.devices:,} devices meant")


def _cannot_send(found: Campaign) -> Iterator[Problem]:
    """Warnings of vendors that are to tell somebody, and that `audience send` does not know how to call."""
    for share in found.shares:
        if share.tells and vendor_record(share.vendor).delivery is None:
            message = f"how {share.vendor} is sent to is not known: its requests are written, to be sent by other means"
            hint = f"sent to are {', '.join(deliverable())}; send each of those by its own folder"
            yield Problem("no-delivery", message, hint=hint)
