"""Which vendors are sent to, and how."""

from audience.errors import DeliveryError, Problem
from audience.vendors import deliverable
from audience.vendors.base import Vendor
from audience.vendors.wire import Delivery


def delivery_of(to: Vendor) -> Delivery:
    """How *to* is sent to; DeliveryError where that is not known."""
    if to.delivery is None:
        hint = f"sent to are {', '.join(deliverable())}"
        raise DeliveryError(Problem("no-delivery", f"how {to.name} is sent to is not known", hint=hint))
    return to.delivery
