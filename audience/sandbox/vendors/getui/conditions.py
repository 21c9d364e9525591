"""Conditions of Getui's pushes by tags: keys are joined by AND, the values of a key by its `opt_type`.

https://docs.getui.com/getui/server/rest_v2/push. The page does not say what two conditions with the same key mean, so
that they are refused here. `not` matches the devices that have none of the values.
"""

from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, JsonObject, VendorRefusal
from audience.sandbox.request_checks import is_string_list
from audience.sandbox.vendor_state import VendorState

KEYS = ("phone_type", "region", "custom_tag", "portrait")
OPTIONS = ("or", "and", "not")
PLATFORMS = {"android": "android", "ios": "ios", "miniprogram": "miniprogram"}
MAX_TAG_CHARS = 31
WRONG, TAG_TOO_LONG = 20001, 30005


def select_devices(conditions: Any, state: VendorState) -> DeviceMask:
    """Return the devices that *conditions* mean.

    Raises:
        VendorRefusal: They are not a list of conditions, or one of them is wrong.
    """
    if not isinstance(conditions, list) or not conditions:
        raise VendorRefusal(WRONG, "tag can not be empty")
    if not all(isinstance(each, dict) for each in conditions):
        raise VendorRefusal(WRONG, "tag type error")
    devices = state.population.registered_devices(state.vendor)
    for condition in conditions:
        devices &= _match(condition, state)
    keys = [each["key"] for each in conditions]
    if len({*keys}) < len(keys):
        raise VendorRefusal(WRONG, "key cannot be repeat.")
    return devices


def _match(condition: JsonObject, state: VendorState) -> DeviceMask:
    if odd := condition.keys() - {"key", "values", "opt_type"}:
        raise VendorRefusal(WRONG, f"{min(odd)} is invalid")
    key, values, option = condition.get("key"), condition.get("values"), condition.get("opt_type")
    if key not in KEYS or option not in OPTIONS:
        raise VendorRefusal(WRONG, "key is invalid" if key not in KEYS else "opt_type is invalid")
    if not is_string_list(values) or not values:
        raise VendorRefusal(WRONG, "values can not be empty")
    found = [find_tagged(key, value, state) for value in values]
    devices: DeviceMask = np.logical_and.reduce(found) if option == "and" else np.logical_or.reduce(found)
    return ~devices if option == "not" else devices


def find_tagged(key: str, value: str, state: VendorState) -> DeviceMask:
    """Return the devices with one value of a key."""
    match key:
        case "phone_type":
            if value.lower() not in PLATFORMS:
                raise VendorRefusal(WRONG, "values is invalid")
            return state.population.devices_on_platforms({PLATFORMS[value.lower()]})
        case "custom_tag":
            if len(value) > MAX_TAG_CHARS:
                raise VendorRefusal(TAG_TOO_LONG, "tag size over limit")
            return state.tags.devices_with_tag(value)
    return state.population.devices_with_value(key, value)
