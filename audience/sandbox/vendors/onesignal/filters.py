"""Filters of OneSignal: one list, in which AND, written or not, binds before OR.

https://documentation.onesignal.com/reference/create-segments. The fields of a device that are read here are tags,
language, country and app_version; the table of the sandbox has none of the others.
"""

from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState

MAX_ENTRIES = 200
MAX_LISTED = 20
OWN_FIELDS = {"language": "language", "country": "country", "app_version": "version"}  # and their columns
RELATIONS = ("=", "!=", ">", "<", "exists", "not_exists", "in_array", "not_in_array")


def select_by_filters(filters: Any, state: VendorState) -> DeviceMask:
    """Return the devices that match *filters*.

    Raises:
        VendorRefusal: They are not a list of filters and operators.
    """
    if not isinstance(filters, list) or not all(isinstance(entry, dict) for entry in filters):
        raise VendorRefusal(400, "filters must be an array of objects")
    if len(filters) > MAX_ENTRIES:
        raise VendorRefusal(400, f"filters take at most {MAX_ENTRIES} entries")
    devices = state.population.no_devices()
    for branch in _split_branches(filters):
        devices |= np.logical_and.reduce([_match(entry, state) for entry in branch])
    return devices & state.population.registered_devices(state.vendor)


def _split_branches(filters: list[JsonObject]) -> list[list[JsonObject]]:
    """Return the filters between each two ORs."""
    branches: list[list[JsonObject]] = [[]]
    expects_filter = True
    for entry in filters:
        operator = entry.get("operator")
        if operator is None:
            branches[-1].append(entry)
        elif expects_filter or operator not in ("AND", "OR"):
            raise VendorRefusal(400, f"filters: the operator {operator} is misplaced")
        elif operator == "OR":
            branches.append([])
        expects_filter = operator is not None
    if expects_filter:
        raise VendorRefusal(400, "filters end in an operator")
    return branches


def _match(entry: JsonObject, state: VendorState) -> DeviceMask:
    field, relation, value = entry.get("field"), entry.get("relation"), entry.get("value")
    if relation not in RELATIONS:
        raise VendorRefusal(400, f"filters: unknown relation {relation}")
    key = entry.get("key") if field == "tag" else OWN_FIELDS.get(str(field))
    if not isinstance(key, str) or not key:
        raise VendorRefusal(400, f"filters: this sandbox has no field {field}")
    if relation in ("exists", "not_exists"):
        exists = _devices_with_key(key, state)
        return exists if relation == "exists" else ~exists
    if not isinstance(value, str) or not value:
        raise VendorRefusal(400, "filters: value is a string")
    return _compare(key, relation, value, state)


def _devices_with_key(key: str, state: VendorState) -> DeviceMask:
    """Return the devices with any value of *key*: those with the tag, or with a value in the column."""
    devices = state.population.devices_with_tag(state.vendor, key)
    return devices | np.array([value is not None for value in _read_values(key, state)], dtype=np.bool_)


def _read_values(key: str, state: VendorState) -> list[str | None]:
    values = state.population.text_values(key)
    return values if values is not None else [None] * len(state.population)


def _compare(key: str, relation: str, value: str, state: VendorState) -> DeviceMask:
    """Return the devices whose value of *key* is in that relation to *value*; those without one match none."""
    listed = value.split(",") if relation.endswith("in_array") else [value]
    if len(listed) > MAX_LISTED:
        raise VendorRefusal(400, f"filters: at most {MAX_LISTED} values")
    found = [own is not None and _is_related(own, relation, listed) for own in _read_values(key, state)]
    return np.array(found, dtype=np.bool_)


def _is_related(own: str, relation: str, listed: list[str]) -> bool:
    match relation:
        case "=" | "in_array":
            return own in listed
        case "!=" | "not_in_array":
            return own not in listed
        case ">":
            return _order(own) > _order(listed[0])
    return _order(own) < _order(listed[0])


def _order(text: str) -> tuple[float, ...]:
    """Return what a version or a number is compared by; anything else is less than all."""
    parts = text.split(".")
    if len(parts) > 2 and all(part.isdecimal() for part in parts):
        return tuple(map(int, parts))
    try:
        return (float(text),)
    except ValueError:
        return (float("-inf"),)
