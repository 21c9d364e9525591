"""TPNS tag_rules, evaluated as documented: AND before OR among items and among rules, NOT last of each.

https://www.tencentcloud.com/document/product/1024/33764
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, JsonObject, VendorRefusal
from audience.sandbox.request_checks import is_string_list, parse_moment
from audience.sandbox.vendor_state import VendorState

CUSTOM_TAG_TYPE = "xg_user_define"
RULE_FIELDS = ("tag_items", "operator", "is_not")
ITEM_FIELDS = ("tags", "is_not", "tags_operator", "items_operator", "tag_type")
COLUMN_BY_TAG_TYPE = {
    "xg_auto_version": "version",
    "xg_auto_province": "province",
    "xg_auto_active": "active",
    "xg_auto_sdkversion": "sdk_version",
    "xg_auto_systemlanguage": "language",
    "xg_auto_devicebrand": "brand",
    "xg_auto_deviceversion": "model",
    "xg_auto_country": "country",
    "xg_auto_systemversion": "os_version",
}


def evaluate_tag_rules(rules: Any, state: VendorState) -> DeviceMask:
    """Return the devices that `tag_rules` matches."""
    if not isinstance(rules, list) or not rules:
        raise VendorRefusal(1008007, "tag_rules must be a list of rules")
    return _join_by_operator([_evaluate_rule(rule, state) for rule in rules], rules, "operator")


def evaluate_tag_list(tag_list: Any, state: VendorState) -> DeviceMask:
    """Return the devices that the older `tag_list` matches, {"tags": […], "op": "AND"}."""
    if not isinstance(tag_list, dict) or not is_string_list(tag_list.get("tags")) or not tag_list["tags"]:
        raise VendorRefusal(1008007, "tag_list needs tags and op")
    if sum(map(len, tag_list["tags"])) > 512:
        raise VendorRefusal(1008007, "tag_list has more than 512 characters")
    return _reduce_masks(
        [devices_with_tag(state, CUSTOM_TAG_TYPE, name) for name in tag_list["tags"]], _read_operator(tag_list, "op")
    )


def devices_with_tag(state: VendorState, tag_type: str, name: str) -> DeviceMask:
    """Return the devices with the tag *name* of a type; calls change those with custom tags alone."""
    if tag_type == CUSTOM_TAG_TYPE:
        return state.tags.devices_with_tag(name)
    value = _format_day(name) if tag_type == "xg_auto_active" else name
    return state.population.devices_with_value(COLUMN_BY_TAG_TYPE[tag_type], value)


def _evaluate_rule(rule: Any, state: VendorState) -> DeviceMask:
    _check_fields(rule, RULE_FIELDS, "a rule")
    if not isinstance(rule["tag_items"], list) or not rule["tag_items"]:
        raise VendorRefusal(1008007, "a rule needs tag_items")
    items = rule["tag_items"]
    devices = _join_by_operator([_evaluate_item(item, state) for item in items], items, "items_operator")
    return _apply_is_not(rule, devices, state)


def _evaluate_item(item: Any, state: VendorState) -> DeviceMask:
    _check_fields(item, ITEM_FIELDS, "an item")
    if not is_string_list(item["tags"]) or not item["tags"]:
        raise VendorRefusal(1008007, "an item needs tags")
    kind = item["tag_type"]
    if not isinstance(kind, str) or kind not in (CUSTOM_TAG_TYPE, *COLUMN_BY_TAG_TYPE):
        raise VendorRefusal(1008007, f"tag_type {kind} is not known")
    devices = _reduce_masks(
        [devices_with_tag(state, kind, name) for name in item["tags"]], _read_operator(item, "tags_operator")
    )
    return _apply_is_not(item, devices, state)


def _check_fields(part: Any, names: Sequence[str], subject: str) -> None:
    """Refuse a part unless it has exactly the fields *names*."""
    if not isinstance(part, dict):
        raise VendorRefusal(1008007, f"{subject} is an object")
    if missing := [name for name in names if name not in part]:
        raise VendorRefusal(1008002, f"{subject} needs {missing[0]}")
    if odd := part.keys() - {*names}:
        raise VendorRefusal(1008007, f"{subject} has no {min(odd)}")


def _apply_is_not(part: JsonObject, mask: DeviceMask, state: VendorState) -> DeviceMask:
    if not isinstance(part["is_not"], bool):
        raise VendorRefusal(1008007, "is_not is true or false")
    return state.population.registered_devices(state.vendor) & ~mask if part["is_not"] else mask


def _join_by_operator(masks: Sequence[DeviceMask], parts: Sequence[JsonObject], operator_key: str) -> DeviceMask:
    """Join each mask to the previous one by its own operator, ignoring the first; AND binds tighter."""
    groups = [masks[0]]
    for value, part in zip(masks[1:], parts[1:], strict=True):
        if _read_operator(part, operator_key) == "AND":
            groups[-1] = groups[-1] & value
        else:
            groups.append(value)
    return _reduce_masks(groups, "OR")


def _reduce_masks(masks: Sequence[DeviceMask], operator: str) -> DeviceMask:
    join = np.logical_and if operator == "AND" else np.logical_or
    devices: DeviceMask = join.reduce(masks)
    return devices


def _read_operator(part: JsonObject, key: str) -> str:
    operator = part.get(key)
    if operator not in ("AND", "OR"):
        raise VendorRefusal(1008007, f"{key} is AND or OR")
    return str(operator)


def _format_day(name: str) -> str:
    """Return 20200408 as 2020-04-08."""
    try:
        return parse_moment(name, "%Y%m%d").date().isoformat()
    except ValueError:
        raise VendorRefusal(1008007, f"{name} is no day of the form 20200408") from None
