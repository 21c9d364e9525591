"""Command that divides an audience among several vendors."""

from collections.abc import Iterator
from typing import Annotated, Any

from audience.cli.activity import logged_as
from audience.cli.declarations import Option
from audience.cli.delivery_options import ScheduleOptions
from audience.cli.division_options import DivisionOptions
from audience.cli.options import (
    ExprArgument,
    IndexArgument,
    OutOption,
    ReplaceOption,
)
from audience.cli.output.delivery import format_campaign
from audience.cli.output.expressions import print_question
from audience.cli.output.parts import format_parts
from audience.cli.output.plans import print_policies
from audience.cli.output.writer import Output
from audience.cli.plan_options import IndexPlanOptions
from audience.counts import format_count
from audience.delivery.emissions import (
    list_replaced_emissions,
    register_emission,
    take_emission_turn,
    view_without_emissions,
)
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse
from audience.requests.campaign import Campaign, campaign_to_json, plan_campaign, write_campaign
from audience.vendors import get_vendor, vendor_names


@logged_as("campaign")
def run_campaign(
    output: Output,
    index: IndexArgument,
    expr: ExprArgument,
    *,
    vendors: Annotated[
        str,
        Option("--vendors", metavar="V,W,…", help="Vendors in order; a device goes to the first that can reach it."),
    ],
    out: OutOption,
    options: IndexPlanOptions,
    division_options: DivisionOptions,
    schedule: ScheduleOptions,
    replace: ReplaceOption = False,
) -> None:
    """Divide an audience among vendors, each device once, and write a request folder for each vendor."""
    opened, audience = DeviceIndex.open(index, threads=options.threads), parse(expr)
    moments = schedule.read().to_document()
    names = [name.strip() for name in vendors.split(",") if name.strip()]
    division = division_options.read(names)
    with take_emission_turn(opened, [audience, *(options.cap or [])]), output.show_progress() as progress:
        replaced = list_replaced_emissions(out) if replace else []
        device_index = view_without_emissions(opened, out) if replace else opened
        asked = options.read(device_index.snapshot.timezone)
        arguments = options.to_index_arguments(asked)
        campaign = plan_campaign(audience, names, device_index, division=division, **arguments)
        write_campaign(campaign, out, schedule=moments, replace=replace, progress=progress)
        note = register_emission(opened, out, campaign.policies, replaced, audience=campaign.expr)
    output.print_notes([] if note is None else [note])
    output.print_warnings(
        [
            *device_index.find_unmatched(audience, **asked.to_arguments()),
            *_unsendable_warnings(campaign),
            *campaign.notes,
        ]
    )
    output.print_assumptions(dict.fromkeys(each for share in campaign.shares for each in share.plan.assumptions))
    print_policies(campaign.policies, campaign.without_policies, output)
    if options.matter_for(audience, device_index.snapshot):
        print_question(campaign.expr, asked, output)
    total = f"{out}: {format_count(campaign.devices + campaign.held_out, 'device')} in the audience"
    if campaign.held_out:
        total += f": {campaign.devices:,} in variants, {campaign.held_out:,} held out"
    data = campaign_to_json(campaign)
    output.print_result(data, lambda: f"{_format_tables(campaign, data)}\n{total}")


def _format_tables(campaign: Campaign, data: dict[str, Any]) -> str:
    """Return the devices of each vendor, and those of each part if the audience is divided."""
    tables = [format_campaign(campaign)]
    if campaign.division is not None:
        parts = [{"vendor": share["vendor"], **part} for share in data["vendors"] for part in share["parts"]]
        tables.append(format_parts(parts, campaign.division))
    return "\n\n".join(tables)


def _unsendable_warnings(campaign: Campaign) -> Iterator[Problem]:
    """Yield a warning for each vendor with devices that `audience send` cannot call."""
    for share in campaign.shares:
        if share.assigned and get_vendor(share.vendor).delivery is None:
            message = f"audience cannot send to {share.vendor}; send its requests by other means"
            hint = (
                f"send each other vendor by its own folder; audience can send to {', '.join(vendor_names(can='send'))}"
            )
            yield Problem("no-delivery", message, hint=hint)
