"""Command that plans how an audience is sent to a vendor."""

from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Option
from audience.cli.options import (
    ExprArgument,
    IndexArgument,
    VendorOption,
)
from audience.cli.output.delivery import format_costs
from audience.cli.output.plans import format_plan_details, format_weighed_sync
from audience.cli.output.writer import Output
from audience.cli.plan_options import IndexPlanOptions
from audience.counts import format_count
from audience.delivery.plan_costs import SAMPLE_MESSAGE, PlanCosts, estimate_plan, weigh_stale_plan
from audience.index.device_index import DeviceIndex
from audience.json_forms.costs import costed_plan_json
from audience.language.parser import parse
from audience.planning.planner import plan as make_plan
from audience.requests.reader import read_message


def run_plan(
    output: Output,
    index: IndexArgument,
    expr: ExprArgument,
    vendor: VendorOption,
    *,
    message: Annotated[
        Path | None, Option("--message", metavar="FILE", help="Message in JSON, to compute costs with.")
    ] = None,
    method: Annotated[
        str | None, Option("--method", metavar="NAME", show_default="the cheapest", help="Send method for ids.")
    ] = None,
    options: IndexPlanOptions,
) -> None:
    """Show how an audience would be sent to a vendor: natively or by ids, why, and at what cost."""
    device_index, audience = DeviceIndex.open(index, threads=options.threads), parse(expr)
    asked = options.read(device_index.snapshot.timezone)
    arguments = options.to_index_arguments(asked)
    plan = make_plan(audience, vendor, device_index, **arguments)
    output.print_warnings(device_index.find_unmatched(audience, **asked.to_arguments()))
    content = SAMPLE_MESSAGE if message is None else read_message(message)
    costs = estimate_plan(plan, device_index, content, method)
    removed = f"; policies take out {plan.removed:,}" if plan.removed else ""
    details = f"{format_count(costs.device_count, 'device')}{removed}\n{format_plan_details(plan)}"
    weighed = weigh_stale_plan(plan, costs, device_index, arguments["catalog"], content)
    details += "" if weighed is None else f"\nsync       {format_weighed_sync(weighed)}"
    output.print_result(costed_plan_json(plan, costs, weighed), lambda: _format_with_costs(details, vendor, costs))


def _format_with_costs(details: str, vendor: str, costs: PlanCosts) -> str:
    """Return the details of a plan, followed by a table of its costs if there are any."""
    if costs.id_count is None:
        return f"{details}\nno costs: audience cannot send to {vendor}"
    estimates = [*costs.native, *costs.methods]
    return "\n\n".join([details, *([format_costs(estimates, costs.marked)] if estimates else [])])
