"""Filters of OneSignal: one list, in which AND, written or not, binds before OR.

https://documentation.onesignal.com/reference/create-segments. The fields of a device that are read here are tags,
language, country and app_version; the table of the sandbox has none of the others.
"""

from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.onesignal.user_tags import list_texts

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
    values = list_texts(key, state) if field == "tag" else _read_column(key, state)
    if relation in ("exists", "not_exists"):
        return np.array([(each is not None) == (relation == "exists") for each in values], dtype=np.bool_)
    if not isinstance(value, str) or not value:
        raise VendorRefusal(400, "filters: value is a string")
    return _compare(values, relation, value)


def _read_column(name: str, state: VendorState) -> list[str | None]:
    values = state.population.text_values(name)
    return values if values is not None else [None] * len(state.population)


def _compare(values: list[str | None], relation: str, value: str) -> DeviceMask:
    """Return which of *values* are in that relation to *value*; a device without one matches none."""
    listed = value.split(",") if relation.endswith("in_array") else [value]
    if len(listed) > MAX_LISTED:
        raise VendorRefusal(400, f"filters: at most {MAX_LISTED} values")
    found = [own is not None and _is_related(own, relation, listed) for own in values]
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
