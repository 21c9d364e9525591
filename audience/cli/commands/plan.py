"""How a vendor would be told, and what each way costs."""

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from audience.cli.options import CatalogPath, ExprText, IndexPath, Json, MaxRequests, Strict, VendorName, catalog_of
from audience.cli.output.delivery import price_json, price_table
from audience.cli.output.plans import derivation, plan_json
from audience.cli.output.report import result, warn
from audience.delivery.costs import SAMPLE, Order, chosen, native_price, placeholder, prices
from audience.index.device_index import DeviceIndex
from audience.language.parser import parse as parse_text
from audience.messages import Message
from audience.planning.planner import MOST_REQUESTS, Plan
from audience.planning.planner import plan as make_plan
from audience.requests.batching import batches
from audience.requests.reader import read_message
from audience.vendors import delivery_of
from audience.vendors import vendor as vendor_record

PLAIN = Message(title="title", body="body")  # a message to reckon with, where none is given


def plan(
    index: IndexPath,
    expr: ExprText,
    vendor: VendorName,
    message: Annotated[Path | None, typer.Option("--message", metavar="FILE", help="The message, as JSON.")] = None,
    way: Annotated[str | None, typer.Option("--way", metavar="NAME", help="Not the cheapest, but this.")] = None,
    catalog: CatalogPath = None,
    max_requests: MaxRequests = MOST_REQUESTS,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """How a vendor would be told: natively or by ids, why, and what each way costs; nothing is written or sent."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    found = make_plan(meant, vendor, opened, catalog_of(catalog), max_requests=max_requests, strict=strict)
    warn(opened.problems(meant), json)
    if vendor_record(vendor).delivery is None:  # then there is no price
        meant_for = (
            f"{opened.count(meant):,} devices\n{derivation(found)}\nno prices: how {vendor} is sent to is not known"
        )
        result({**plan_json(found), "devices": opened.count(meant), "ids": None, "prices": None}, json, meant_for)
        return
    order = _order(found, opened, PLAIN if message is None else read_message(message))
    native = [native_price(order)] if order.native else []
    ways = prices(order)
    taken = chosen(order, way).name if order.native or order.ids else None
    if json:
        costs = {"native": [*map(price_json, native)], "ways": [*map(price_json, ways)], "taken": taken}
        result({**plan_json(found), "devices": opened.count(meant), "ids": order.ids, "prices": costs}, json, "")
        return
    result(None, json, f"{opened.count(meant):,} devices\n{derivation(found)}")
    if native or ways:
        price_table([*native, *ways], taken if ways else order.delivery.native.name)


def _order(found: Plan, index: DeviceIndex, said: Message) -> Order:
    """What is to be told by *found*; nothing where nobody is meant."""
    to = vendor_record(found.vendor)
    delivery = delivery_of(to)
    some = index.count(found.expr)
    told = batches(index.resolve(found.by_ids), to.name) if found.by_ids is not None and some else None
    return Order(
        to=to,
        delivery=delivery,
        body=delivery.timed(delivery.body(said), datetime.now(UTC)),
        application=placeholder(delivery),
        native=found.native if some else (),
        ids=0 if told is None else len(told.told),
        sample=() if told is None else tuple(name for ids in islice(told.chunks(), 1) for name in ids[:SAMPLE]),
    )
