"""Audiences of Airship: selectors, and AND, OR and NOT of up to ten of them, nested freely.

https://docs.airship.com/developer/rest-api/ua/schemas/audience-selection. Keys are read in any case. What the table of
the sandbox has no word for, as segments, lists and activities, is refused.
"""

import re
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState

MAX_CHILDREN, MAX_NAMES, MAX_SELECTORS, MAX_LEVELS = 10, 100, 1_000, 100
PLATFORM_BY_CHANNEL = {"ios_channel": "ios", "android_channel": "android", "amazon_channel": "amazon"}
DEFAULT_GROUP = "device"  # of tags that name none
CHANNEL_KEYS = ("channel", *PLATFORM_BY_CHANNEL)
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
OWN_ATTRIBUTES = {
    "ua_country": "country",
    "ua_language": "language",
    "ua_device_model": "model",
    "ua_device_os": "os_version",
    "ua_sdk_version": "sdk_version",
    "ua_app_version": "version",
}


def select_audience(audience: Any, types: set[str], state: VendorState) -> DeviceMask:
    """Return the devices of a whole audience, `all` or a selector, before the platforms of the push.

    Raises:
        VendorRefusal: It is no audience, or a selector of it has no meaning here.
    """
    known = state.population.registered_devices(state.vendor)
    if isinstance(audience, str) and audience.lower() == "all":
        return known
    if _count_names(audience, 1) > MAX_SELECTORS:
        raise _refuse(f"more than {MAX_SELECTORS} selectors", "audience")
    return _select(audience, types, "audience", state) & known


def _refuse(text: str, path: str) -> VendorRefusal:
    return VendorRefusal(40000, f"{text}\n{path}")


def _count_names(selector: Any, level: int) -> int:
    if level > MAX_LEVELS:
        raise _refuse("too many levels", "audience")
    total = 0
    for key, value in selector.items() if isinstance(selector, dict) else ():
        if key.upper() in ("AND", "OR"):
            total += sum(_count_names(child, level + 1) for child in value) if isinstance(value, list) else 0
        elif key.upper() == "NOT":
            total += _count_names(value, level + 1)
        elif key.lower() in ("tag", "named_user", *CHANNEL_KEYS):
            total += len(value) if isinstance(value, list) else 1
    return total


def _select(selector: Any, types: set[str], path: str, state: VendorState) -> DeviceMask:
    if not isinstance(selector, dict) or not selector:
        raise _refuse("expected a selector", path)
    keys = {key.lower(): value for key, value in selector.items()}
    if len(keys) < len(selector):
        raise _refuse("a key is there twice", path)
    for operator in ("and", "or", "not"):
        if operator in keys:
            return _combine(operator, keys, types, path, state)
    if "tag" in keys:
        return _select_tags(keys, path, state)
    if "attribute" in keys:
        return _select_attribute(keys, path, state)
    if len(keys) == 1 and "named_user" in keys:
        rows = state.population.rows_by_name("alias", _read_names(keys["named_user"], f"{path}.named_user"))
        return _mask([row for each in rows.values() for row in each], state)
    for name in CHANNEL_KEYS:
        if len(keys) == 1 and name in keys:
            return _select_channels(name, keys[name], types, f"{path}.{name}", state)
    raise _refuse(f"unknown selector {', '.join(sorted(selector))[:100]}", path)


def _mask(rows: list[int], state: VendorState) -> DeviceMask:
    devices = state.population.no_devices()
    devices[rows] = True
    return devices


def _combine(operator: str, keys: JsonObject, types: set[str], path: str, state: VendorState) -> DeviceMask:
    value, path = keys[operator], f"{path}.{operator.upper()}"
    if len(keys) > 1:
        raise _refuse("an operator has no other key beside it", path)
    if operator == "not":
        return ~_select(value, types, path, state)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CHILDREN:
        raise _refuse(f"expected 1 to {MAX_CHILDREN} selectors", path)
    masks = [_select(each, types, f"{path}[{number}]", state) for number, each in enumerate(value)]
    combined: DeviceMask = np.logical_and.reduce(masks) if operator == "and" else np.logical_or.reduce(masks)
    return combined


def _read_names(value: Any, path: str) -> list[str]:
    names = value if isinstance(value, list) else [value]
    if not 1 <= len(names) <= MAX_NAMES:
        raise _refuse(f"expected 1 to {MAX_NAMES} names", path)
    if not all(isinstance(name, str) and name for name in names):
        raise _refuse("expected a text", path)
    return names


def _select_channels(key: str, value: Any, types: set[str], path: str, state: VendorState) -> DeviceMask:
    """Return the devices with these channels; a channel of a platform is for pushes to it alone."""
    if key in PLATFORM_BY_CHANNEL and PLATFORM_BY_CHANNEL[key] not in types:
        raise _refuse(f"{key} is not of the platforms of device_types", path)
    rows, unknown = state.find_rows(_read_names(value, path))
    if any(not UUID.fullmatch(each) for each in unknown):
        raise _refuse("Invalid channel", path)
    devices = state.population.no_devices()
    devices[rows] = True
    return devices


def _select_tags(keys: JsonObject, path: str, state: VendorState) -> DeviceMask:
    if keys.keys() - {"tag", "group"}:
        raise _refuse("a tag has a group and nothing else", path)
    group = keys.get("group", DEFAULT_GROUP)
    if not isinstance(group, str):
        raise _refuse("expected a text", f"{path}.group")
    names = _read_names(keys["tag"], f"{path}.tag")
    if max(map(len, names)) > 128:
        raise _refuse("a tag has more than 128 characters", f"{path}.tag")
    masks = [state.tags.devices_with_tag(name_tag(group, name)) for name in names]
    selected: DeviceMask = np.logical_or.reduce(masks)
    return selected


def name_tag(group: str, tag: str) -> str:
    """Return the sandbox's own name for a tag of a group.

    >>> name_tag("device", "vip"), name_tag("loyalty", "gold")
    ('vip', 'group.loyalty:gold')
    """
    return tag if group == DEFAULT_GROUP else f"group.{group}:{tag}"


def _select_attribute(keys: JsonObject, path: str, state: VendorState) -> DeviceMask:
    """Return the devices whose attribute is in that relation to a value; those without one are in none."""
    name, operator, value = keys["attribute"], keys.get("operator"), keys.get("value")
    if not isinstance(name, str):
        raise _refuse("expected a text", f"{path}.attribute")
    values = state.population.text_values(OWN_ATTRIBUTES.get(name, name)) or [None] * len(state.population)
    if operator == "is_empty":
        return np.array([not own for own in values], dtype=np.bool_)
    if (
        operator not in ("equals", "less", "greater")
        or isinstance(value, bool)
        or not isinstance(value, str | int | float)
    ):
        raise _refuse(f"this sandbox has no {operator!r:.50} for attributes", path)
    return np.array([bool(own) and _is_related(str(own), operator, value) for own in values], dtype=np.bool_)


def _is_related(own: str, operator: str, value: str | float) -> bool:
    if operator == "equals":
        return own == value if isinstance(value, str) else _read_order(own) == (float(value),)
    own_order, other = _read_order(own), _read_order(str(value))
    if not own_order or not other:
        return False
    return own_order < other if operator == "less" else own_order > other


def _read_order(text: str) -> tuple[float, ...]:
    """Return what a version or a number is compared by; nothing for anything else."""
    parts = text.split(".")
    if len(parts) > 2 and all(part.isdecimal() for part in parts):
        return tuple(map(float, parts))
    try:
        return (float(text),)
    except ValueError:
        return ()
