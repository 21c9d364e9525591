"""Whom a form of Xiaomi Push is for: ids of one kind with commas between them, topics, or all devices.

https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559; five topics and their operators are of Xiaomi's SDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from audience.sandbox.delivery_log import DeviceRows
from audience.sandbox.http_types import DeviceMask, VendorRefusal
from audience.sandbox.population_rows import sort_rows
from audience.sandbox.vendor_state import VendorState

KINDS = ("regid", "alias", "user_account", "topic", "multi_topic", "all")
FIELD_BY_KIND = {"regid": "registration_id", "alias": "alias", "user_account": "user_account", "topic": "topic"}
NAMES_BY_KIND = {"alias": "alias", "user_account": "account"}
MAX_IDS, MAX_TOPICS = 1_000, 5
NO_TARGETS = "No valid targets!"


@dataclass(frozen=True, slots=True)
class Targets:
    """Devices of a call, the number of targets that it names, and its ids that no device has."""

    devices: DeviceMask | DeviceRows
    count: int
    unknown: tuple[str, ...] = ()


def select_targets(kind: str, form: Mapping[str, str], state: VendorState) -> Targets:
    """Return whom *form*, posted to the path of *kind*, is for.

    Raises:
        VendorRefusal: It names nobody, too many, or nobody who is known.
    """
    if kind == "all":
        return Targets(state.population.registered_devices(state.vendor), 1)
    if kind == "multi_topic":
        return Targets(_join_topics(form, state), 1)
    if not (value := form.get(FIELD_BY_KIND[kind], "").strip(" ")):
        raise VendorRefusal(65013 if kind == "topic" else 10016, f"{FIELD_BY_KIND[kind]} is empty")
    if kind == "topic":
        return Targets(state.tags.devices_with_tag(value), 1)
    names = [name.strip(" ") for name in value.split(",")]
    if len(names) > MAX_IDS:
        raise VendorRefusal(10017, f"more than {MAX_IDS} ids")
    return _find_ids(names, state) if kind == "regid" else _find_names(NAMES_BY_KIND[kind], names, state)


def _find_ids(ids: list[str], state: VendorState) -> Targets:
    rows, unknown = state.find_rows(ids)
    if not len(rows):
        raise VendorRefusal(20301, NO_TARGETS)
    return Targets(rows, len(ids), tuple(dict.fromkeys(unknown)))


def _find_names(kind: str, names: list[str], state: VendorState) -> Targets:
    found = state.population.rows_by_name(kind, names)
    devices = state.population.no_devices()
    devices[sort_rows(row for rows in found.values() for row in rows)] = True
    devices &= state.population.registered_devices(state.vendor)
    if not devices.any():
        raise VendorRefusal(20301, NO_TARGETS)
    return Targets(devices, len(names))


def _join_topics(form: Mapping[str, str], state: VendorState) -> DeviceMask:
    topics = form.get("topics", "").split(";$;")
    if not all(topic.strip() for topic in topics):
        raise VendorRefusal(65013, "a topic is empty")
    if len(topics) > MAX_TOPICS:
        raise VendorRefusal(65035, f"more than {MAX_TOPICS} topics")
    masks = [state.tags.devices_with_tag(topic) for topic in topics]
    match form.get("topic_op"):
        case "UNION":
            return reduce(np.logical_or, masks)
        case "INTERSECTION":
            return reduce(np.logical_and, masks)
        case "EXCEPT":
            return reduce(lambda left, right: left & ~right, masks)
    raise VendorRefusal(10017, "topic_op is UNION, INTERSECTION or EXCEPT")
