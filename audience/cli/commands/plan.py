"""Command that plans how an audience is sent to a vendor."""

from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from audience.cli.declarations import Option
from audience.cli.options import (
    ExprArgument,
    IndexArgument,
    VendorOption,
)
from audience.cli.output.delivery import cost_json, format_costs
from audience.cli.output.plans import format_plan_details, plan_json
from audience.cli.output.writer import Output
from audience.cli.plan_options import IndexPlanOptions
from audience.counts import format_count
from audience.delivery.costs import (
    MAX_SAMPLE_IDS,
    CostInput,
    choose_method,
    estimate_methods,
    estimate_native,
    placeholder_credentials,
)
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse
from audience.messages import Message
from audience.planning.planner import plan as make_plan
from audience.planning.plans import Plan
from audience.requests.batching import batch_audience
from audience.requests.reader import read_message
from audience.vendors import get_vendor, require_delivery

SAMPLE_MESSAGE = Message(title="title", body="body")  # costs depend little on the message


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
    plan = make_plan(audience, vendor, device_index, **options.to_index_arguments(asked))
    output.print_warnings(device_index.find_unmatched(audience, **asked.to_arguments()))
    facts: dict[str, Any] = {**plan_json(plan), "devices": device_index.count(plan.target, **plan.question)}
    removed = f"; policies take out {plan.removed:,}" if plan.removed else ""
    details = f"{format_count(facts['devices'], 'device')}{removed}\n{format_plan_details(plan)}"
    if get_vendor(vendor).delivery is None:
        text = f"{details}\nno costs: audience cannot send to {vendor}"
        output.print_result({**facts, "ids": None, "costs": None}, text)
        return
    cost_input = _cost_input(plan, device_index, SAMPLE_MESSAGE if message is None else read_message(message))
    costs, tables = _estimate_costs(cost_input, method)
    output.print_result({**facts, "ids": cost_input.id_count, "costs": costs}, "\n\n".join([details, *tables]))


def _estimate_costs(cost_input: CostInput, method: str | None) -> tuple[dict[str, Any], list[str]]:
    """Return the costs of native requests and of each send method, as JSON and as a table if there are any."""
    native = [estimate_native(cost_input)] if cost_input.native_payloads else []
    methods = estimate_methods(cost_input)
    chosen = choose_method(cost_input, method).name if cost_input.native_payloads or cost_input.id_count else None
    costs = {"native": [*map(cost_json, native)], "methods": [*map(cost_json, methods)], "chosen": chosen}
    marked = chosen if methods else cost_input.delivery.native_method.name
    return costs, [format_costs([*native, *methods], marked)] if native or methods else []


def _cost_input(plan: Plan, index: DeviceIndex, message: Message) -> CostInput:
    """Return the input for cost estimates: native payloads, the number of ids, and a sample of them."""
    vendor = get_vendor(plan.vendor)
    delivery = require_delivery(vendor)
    device_count = index.count(plan.target, **plan.question)
    by_ids = plan.by_ids if device_count else None
    batches = None
    if by_ids is not None:
        batches = batch_audience(by_ids, vendor.name, partial(index.resolve, **plan.question))
    first_ids = () if batches is None else tuple(id_ for ids in islice(batches.id_chunks(), 1) for id_ in ids)
    return CostInput(
        vendor=vendor,
        delivery=delivery,
        body=delivery.apply_timestamps(delivery.build_body(message), datetime.now(UTC)),
        credentials=placeholder_credentials(delivery),
        native_payloads=plan.native if device_count else (),
        id_count=0 if batches is None else len(batches.deliverable),
        sample_ids=first_ids[:MAX_SAMPLE_IDS],
    )
