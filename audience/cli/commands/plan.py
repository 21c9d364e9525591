"""How a vendor would be told, and what each way costs."""

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from audience.cli.options import (
    CatalogOption,
    ExprArgument,
    IndexArgument,
    JsonOption,
    MaxRequestsOption,
    StrictOption,
    VendorOption,
    load_optional_catalog,
)
from audience.cli.output.delivery import cost_json, print_costs_table
from audience.cli.output.plans import format_plan_details, plan_json
from audience.cli.output.report import print_result, print_warnings
from audience.delivery.costs import (
    MAX_SAMPLE_IDS,
    CostInput,
    choose_method,
    estimate_methods,
    estimate_native,
    placeholder_credentials,
)
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse as parse_text
from audience.messages import Message
from audience.planning.planner import MAX_REQUESTS
from audience.planning.planner import plan as make_plan
from audience.planning.plans import Plan
from audience.requests.batching import batch_ids
from audience.requests.reader import read_message
from audience.vendors import get_vendor, require_delivery

SAMPLE_MESSAGE = Message(title="title", body="body")  # a message to reckon with, where none is given


def run_plan(
    index: IndexArgument,
    expr: ExprArgument,
    vendor: VendorOption,
    message: Annotated[Path | None, typer.Option("--message", metavar="FILE", help="The message, as JSON.")] = None,
    method: Annotated[str | None, typer.Option("--method", metavar="NAME", help="Not the cheapest, but this.")] = None,
    catalog: CatalogOption = None,
    max_requests: MaxRequestsOption = MAX_REQUESTS,
    strict: StrictOption = False,
    json: JsonOption = False,
) -> None:
    """How a vendor would be told: natively or by ids, why, and what each way costs; nothing is written or sent."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    found = make_plan(meant, vendor, opened, load_optional_catalog(catalog), max_requests=max_requests, strict=strict)
    print_warnings(opened.find_unmatched(meant), json)
    if get_vendor(vendor).delivery is None:  # then there is no price
        no_costs = f"no costs: audience cannot send to {vendor}"
        meant_for = f"{opened.count(meant):,} devices\n{format_plan_details(found)}\n{no_costs}"
        print_result({**plan_json(found), "devices": opened.count(meant), "ids": None, "costs": None}, json, meant_for)
        return
    order = _cost_input(found, opened, SAMPLE_MESSAGE if message is None else read_message(message))
    native = [estimate_native(order)] if order.native_payloads else []
    ways = estimate_methods(order)
    taken = choose_method(order, method).name if order.native_payloads or order.id_count else None
    if json:
        costs = {"native": [*map(cost_json, native)], "methods": [*map(cost_json, ways)], "chosen": taken}
        print_result(
            {**plan_json(found), "devices": opened.count(meant), "ids": order.id_count, "costs": costs}, json, ""
        )
        return
    print_result(None, json, f"{opened.count(meant):,} devices\n{format_plan_details(found)}")
    if native or ways:
        print_costs_table([*native, *ways], taken if ways else order.delivery.native_method.name)


def _cost_input(plan: Plan, index: DeviceIndex, message: Message) -> CostInput:
    """What is to be told by *found*; nothing where nobody is meant."""
    to = get_vendor(plan.vendor)
    delivery = require_delivery(to)
    some = index.count(plan.expr)
    told = batch_ids(index.resolve(plan.by_ids), to.name) if plan.by_ids is not None and some else None
    return CostInput(
        vendor=to,
        delivery=delivery,
        body=delivery.apply_timestamps(delivery.build_body(message), datetime.now(UTC)),
        credentials=placeholder_credentials(delivery),
        native_payloads=plan.native if some else (),
        id_count=0 if told is None else len(told.deliverable),
        sample_ids=()
        if told is None
        else tuple(name for ids in islice(told.id_chunks(), 1) for name in ids[:MAX_SAMPLE_IDS]),
    )
