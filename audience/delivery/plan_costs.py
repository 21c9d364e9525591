"""Costs of a plan: what its native requests and each send method for its ids would take."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from audience.delivery.costs import (
    MAX_SAMPLE_IDS,
    CostEstimate,
    CostInput,
    choose_method,
    estimate_methods,
    estimate_native,
    placeholder_credentials,
)
from audience.index.device_index import DeviceIndex
from audience.messages import Message
from audience.planning.catalog.catalog import Catalog
from audience.planning.plans import Plan
from audience.requests.batching import batch_audience
from audience.vendors import get_vendor
from audience.vendors.delivery_spec import DeliverySpec

if TYPE_CHECKING:  # plans without stale tags load no bitmaps of syncs
    from audience.delivery.sync_costs import WeighedSync

SAMPLE_MESSAGE = Message(title="title", body="body")  # costs depend little on the message


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCosts:
    """Size and costs of a plan.

    Attributes:
        device_count: Devices that the plan reaches.
        id_count: Ids that it sends; None if audience cannot send to the vendor, so that it has no costs.
        native: Cost of the native requests, if there are any.
        methods: Costs of the methods that send ids, the cheapest first.
        chosen: Name of the method that would be used for ids; None if nothing would be sent.
        marked: Name of the method of all of these costs that would be used.
    """

    device_count: int
    id_count: int | None = None
    native: tuple[CostEstimate, ...] = ()
    methods: tuple[CostEstimate, ...] = ()
    chosen: str | None = None
    marked: str | None = None


def estimate_plan(
    plan: Plan, index: DeviceIndex, message: Message = SAMPLE_MESSAGE, method: str | None = None
) -> PlanCosts:
    """Return the size and the costs of *plan*.

    Args:
        plan: Plan.
        index: Index of its devices.
        message: Message that would be sent.
        method: Name of the send method for ids; by default the cheapest one.

    Raises:
        DeliveryError: There is no such method, or the message or its targets do not fit it.
        MessageError: The vendor would reject the message.
    """
    device_count = index.count(plan.target, **plan.question)
    delivery = get_vendor(plan.vendor).delivery
    if delivery is None:
        return PlanCosts(device_count=device_count)
    cost_input = _build_cost_input(plan, index, message, delivery, device_count)
    native = (estimate_native(cost_input),) if cost_input.native_payloads else ()
    methods = tuple(estimate_methods(cost_input))
    chosen = choose_method(cost_input, method).name if cost_input.native_payloads or cost_input.id_count else None
    return PlanCosts(
        device_count=device_count,
        id_count=cost_input.id_count,
        native=native,
        methods=methods,
        chosen=chosen,
        marked=chosen if methods else delivery.native_method.name,
    )


def weigh_stale_plan(
    plan: Plan, costs: PlanCosts, index: DeviceIndex, catalog: Catalog | None, message: Message = SAMPLE_MESSAGE
) -> "WeighedSync | None":
    """Return what a sync and the requests after it cost, against *plan*; None if nothing of it is stale."""
    if not plan.stale:
        return None
    from audience.delivery.sync_costs import weigh_sync  # plans without stale tags need none of it

    return weigh_sync(plan, costs, index, catalog, message)


def _build_cost_input(
    plan: Plan, index: DeviceIndex, message: Message, delivery: DeliverySpec, device_count: int
) -> CostInput:
    """Return the input for cost estimates: native payloads, the number of ids, and a sample of them."""
    by_ids = plan.by_ids if device_count else None
    batches = None
    if by_ids is not None:
        batches = batch_audience(by_ids, plan.vendor, partial(index.resolve, **plan.question))
    first_ids = () if batches is None else tuple(id_ for ids in islice(batches.id_chunks(), 1) for id_ in ids)
    return CostInput(
        vendor=get_vendor(plan.vendor),
        delivery=delivery,
        bodies=(delivery.apply_timestamps(delivery.build_body(message), datetime.now(UTC)),),
        credentials=placeholder_credentials(delivery),
        native_payloads=plan.native if device_count else (),
        part_sizes=() if batches is None else tuple(map(len, batches.parts)),
        sample_ids=first_ids[:MAX_SAMPLE_IDS],
    )
