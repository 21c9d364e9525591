"""Filters of groupcasts: `{"where": {"and": […]}}`, a tree of and, or and not over conditions of one key.

https://dev.umeng.com/push/android/api-doc. launch_from includes its day here, and > and < include the version itself,
as the text beside their samples says. Umeng's provinces have Chinese names; devices may have them in pinyin here.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState

COLUMNS = {
    "app_version": "version",
    "channel": "channel",
    "device_model": "model",
    "province": "province",
    "country": "country",
    "language": "language",
}
COMPARISONS = (">=", "<=", ">", "<")
MAX_DEPTH = 50
PROVINCES = Path(__file__).with_name("provinces.txt")


def select_by_filter(filter_: JsonObject, state: VendorState) -> DeviceMask:
    """Return the devices that match *filter_*.

    Raises:
        VendorRefusal: It is not a where with an and, or a part of it is no condition.
    """
    where = filter_.get("where")
    if not isinstance(where, dict) or list(where) != ["and"]:
        raise VendorRefusal(2031, "the top of a filter is where, and in it and")
    return _match(where, state, 0) & state.population.registered_devices(state.vendor)


def _match(node: Any, state: VendorState, depth: int) -> DeviceMask:
    if not isinstance(node, dict) or len(node) != 1 or depth > MAX_DEPTH:
        raise VendorRefusal(2031, "a condition has one key")
    [(key, inner)] = node.items()
    match key:
        case "and" | "or":
            if not isinstance(inner, list) or not inner:
                raise VendorRefusal(2031, f"{key} has a list of conditions")
            parts = [_match(part, state, depth + 1) for part in inner]
            join = np.logical_and if key == "and" else np.logical_or
            joined: DeviceMask = join.reduce(parts)
            return joined
        case "not":
            return ~_match(inner, state, depth + 1)
    if not isinstance(inner, str) or not inner:
        raise VendorRefusal(2031, f"{key} has a text")
    return _match_value(key, inner, state)


def _match_value(key: str, value: str, state: VendorState) -> DeviceMask:
    match key:
        case "tag":
            return state.population.devices_with_tag(state.vendor, value)
        case "launch_from":
            return _launched_since(value, state)
        case "not_launch_from":
            return ~_launched_since(value, state)
        case "app_version" if value.startswith(COMPARISONS):
            return _compare_versions(value, state)
    if key not in COLUMNS:
        raise VendorRefusal(2031, f"there is no condition {key}")
    devices = state.population.devices_with_value(COLUMNS[key], value)
    if key == "province" and (pinyin := _load_provinces().get(value)):
        devices |= state.population.devices_with_value(COLUMNS[key], pinyin)
    return devices


@cache
def _load_provinces() -> dict[str, str]:
    """Return the name in pinyin of each province."""
    pairs = [line.split() for line in PROVINCES.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {pair[0]: pair[1] for pair in pairs}


def _launched_since(day: str, state: VendorState) -> DeviceMask:
    values = state.population.text_values("active") or [None] * len(state.population)
    return np.array([value is not None and value[:10] >= day for value in values], dtype=np.bool_)


def _compare_versions(text: str, state: VendorState) -> DeviceMask:
    """Return the devices whose version is at least, or at most, the one in *text*."""
    bound = _order(text.lstrip("<>=").strip())
    values = state.population.text_values("version") or [None] * len(state.population)
    is_least = text.startswith(">")
    found = [value is not None and (_order(value) >= bound if is_least else _order(value) <= bound) for value in values]
    return np.array(found, dtype=np.bool_)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else -1 for part in version.split("."))
