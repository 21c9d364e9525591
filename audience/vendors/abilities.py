"""Abilities of each vendor, as its record says: one value for a table of all vendors."""

from dataclasses import dataclass
from datetime import timedelta

from audience.vendors.delivery_spec import DeliverySpec, SendMethod, always
from audience.vendors.spec import Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """Abilities of a vendor.

    Attributes:
        says: Whether expressions are written for it.
        sends: Whether audience sends to it.
        schedules_ahead: How far ahead it keeps calls until their time; None if all of them are held here.
        schedules_all: Whether it keeps each call so, whatever its method and targets.
        withdraws: Whether it takes back what it keeps.
        validates: Whether it checks a call without delivering it.
        drops_repeats: How long it drops repeats of one call; None if it does not.
        drops_all: Whether it does so whatever the method.
        names_unknown_ids: Whether its replies name ids that it does not know.
        syncs_tags: Whether tags of devices can be set and removed.
    """

    says: bool
    sends: bool
    schedules_ahead: timedelta | None = None
    schedules_all: bool = False
    withdraws: bool = False
    validates: bool = False
    drops_repeats: timedelta | None = None
    drops_all: bool = False
    names_unknown_ids: bool = False
    syncs_tags: bool = False


def list_abilities(vendor: Vendor) -> Abilities:
    """Return what *vendor* can do.

    >>> from audience.vendors import get_vendor
    >>> abilities = list_abilities(get_vendor("onesignal"))
    >>> abilities.schedules_ahead, abilities.drops_repeats, abilities.names_unknown_ids
    (datetime.timedelta(days=30), datetime.timedelta(days=30), False)
    """
    says, syncs_tags, delivery = not vendor.read_only_reason, vendor.tags is not None, vendor.delivery
    if delivery is None:
        return Abilities(says=says, sends=False, syncs_tags=syncs_tags)
    methods = list_methods(delivery)
    schedules = [method.schedule for method in methods if method.schedule is not None]
    windows = [method.dedup_window for method in methods if method.dedup_window is not None]
    return Abilities(
        says=says,
        sends=True,
        schedules_ahead=max((each.max_ahead + each.min_ahead for each in schedules), default=None),
        schedules_all=all(keeps_all(method) for method in methods),
        withdraws=bool(schedules),
        validates=delivery.dry_run is not None,
        drops_repeats=min(windows, default=None),
        drops_all=len(windows) == len(methods) and all(method.drops_repeats is always for method in methods),
        names_unknown_ids=delivery.reports_unknown_ids,
        syncs_tags=syncs_tags,
    )


def list_methods(delivery: DeliverySpec) -> list[SendMethod]:
    """Return the send methods for native targets and for ids, each once."""
    return list({method.name: method for method in (delivery.native_method, *delivery.send_methods)}.values())


def keeps_all(method: SendMethod) -> bool:
    """Return whether the vendor keeps each call of *method* until its time, whatever its targets."""
    return method.schedule is not None and method.schedule.accepts is always
