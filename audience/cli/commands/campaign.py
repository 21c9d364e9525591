"""Who of several vendors tells whom."""

from collections.abc import Iterator
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
    load_optional_catalog,
)
from audience.cli.output.delivery import print_campaign_table
from audience.cli.output.report import print_assumptions, print_result, print_warnings
from audience.cli.output.widgets import progress_bar
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse as parse_text
from audience.planning.planner import MAX_REQUESTS
from audience.requests.campaign import Campaign, campaign_to_json, write_campaign
from audience.requests.campaign import plan_campaign as make_campaign
from audience.vendors import get_vendor, vendor_names


def run_campaign(
    index: IndexArgument,
    expr: ExprArgument,
    vendors: Annotated[str, typer.Option(metavar="V,W,…", help="Vendors; the first that can reach a device tells it.")],
    out: OutOption,
    catalog: CatalogOption = None,
    max_requests: MaxRequestsOption = MAX_REQUESTS,
    strict: StrictOption = False,
    replace: ReplaceOption = False,
    json: JsonOption = False,
) -> None:
    """Divide devices among vendors, each told once, and write a folder of requests for each vendor."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    names = [name.strip() for name in vendors.split(",") if name.strip()]
    found = make_campaign(
        meant, names, opened, load_optional_catalog(catalog), max_requests=max_requests, strict=strict
    )
    with progress_bar() as progress:
        write_campaign(found, out, replace=replace, progress=progress)
    print_warnings([*opened.find_unmatched(meant), *_unsendable_warnings(found)], json)
    print_assumptions(dict.fromkeys(condition for share in found.shares for condition in share.plan.assumptions), json)
    if json:
        print_result(campaign_to_json(found), json, "")
        return
    print_campaign_table(found)
    print_result(None, json, f"{out}: {found.devices:,} devices meant")


def _unsendable_warnings(campaign: Campaign) -> Iterator[Problem]:
    """Warnings of vendors that are to tell somebody, and that `audience send` does not know how to call."""
    for share in campaign.shares:
        if share.assigned and get_vendor(share.vendor).delivery is None:
            message = f"how {share.vendor} is sent to is not known: its requests are written, to be sent by other means"
            hint = f"sent to are {', '.join(vendor_names(can='send'))}; send each of those by its own folder"
            yield Problem("no-delivery", message, hint=hint)
