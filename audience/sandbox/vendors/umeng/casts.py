"""Whom a cast is for: its type, and the tokens, aliases, file or filter that the type needs, and its rate limit.

https://dev.umeng.com/push/android/api-doc
"""

import json
from typing import Any

from audience.sandbox.http_types import DeviceMask, JsonObject, VendorRefusal
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.umeng.files import read_file
from audience.sandbox.vendors.umeng.filters import select_by_filter

TYPES = ("unicast", "listcast", "filecast", "broadcast", "groupcast", "customizedcast")
ALIAS_FILE = "customizedcast with file_id"
LIMITS = {  # calls and seconds in production, by default
    "broadcast": (10, 86_400.0),
    "groupcast": (5, 60.0),
    "filecast": (300, 3_600.0),
    ALIAS_FILE: (300, 3_600.0),
}
MAX_NAMES = 500
MAX_FILTER_BYTES = 3_000


def find_type(request: JsonObject) -> str:
    """Return the type of a cast; that to aliases in a file is a type of its own."""
    kind = request.get("type")
    if not kind:
        raise VendorRefusal(1016, "type is missing")
    if kind not in TYPES:
        raise VendorRefusal(2048, f"type is one of {', '.join(TYPES)}")
    if kind == "customizedcast" and request.get("alias") and request.get("file_id"):
        raise VendorRefusal(2049, "alias or file_id, not both")
    return ALIAS_FILE if kind == "customizedcast" and request.get("file_id") else str(kind)


def is_task(kind: str) -> bool:
    """Return whether casts of that type are tasks: they can be timed, repeated and withdrawn."""
    return kind in LIMITS


def check_rate(kind: str, state: VendorState) -> None:
    """Reject a call above the rate limit of its type."""
    if kind in LIMITS and not state.rate_limiter.try_acquire(kind, *LIMITS[kind]):
        raise VendorRefusal(2050, f"more than {LIMITS[kind][0]} calls of {kind}")


def select_devices(kind: str, request: JsonObject, state: VendorState) -> DeviceMask:
    """Return the devices that a cast is for.

    Raises:
        VendorRefusal: What the type needs is missing or malformed.
    """
    population, is_test = state.population, request.get("production_mode") == "false"
    match kind:
        case "broadcast":
            return population.no_devices() if is_test else population.registered_devices(state.vendor)
        case "groupcast":
            devices = select_by_filter(_read_filter(request.get("filter")), state)
            return population.no_devices() if is_test else devices
        case "unicast" | "listcast":
            tokens = _split_names(request.get("device_tokens"), 1015, "device_tokens")
            if kind == "unicast" and len(tokens) > 1:
                raise VendorRefusal(1015, "unicast has one device_token")
            return _devices_by_token(tokens, state)
        case "filecast":
            return _devices_by_token(read_file(request.get("file_id"), state), state)
    return _devices_by_alias(kind, request, state)


def _devices_by_alias(kind: str, request: JsonObject, state: VendorState) -> DeviceMask:
    population = state.population
    if not isinstance(request.get("alias_type"), str) or not request["alias_type"]:
        raise VendorRefusal(2047, "alias_type is missing")
    by_file = kind == ALIAS_FILE
    names = read_file(request["file_id"], state) if by_file else _split_names(request.get("alias"), 2009, "alias")
    devices = population.no_devices()
    for rows in population.rows_by_name("alias", names).values():
        devices[rows] = True
    return devices & population.registered_devices(state.vendor)


def _split_names(text: Any, code: int, field: str) -> list[str]:
    """Return the names between commas, at most 500."""
    names = [name.strip() for name in text.split(",")] if isinstance(text, str) else []
    if not names or not all(names):
        raise VendorRefusal(code, f"{field} is missing, or has empty names")
    if len(names) > MAX_NAMES:
        raise VendorRefusal(code, f"{field} has more than {MAX_NAMES}")
    return names


def _devices_by_token(tokens: list[str], state: VendorState) -> DeviceMask:
    rows, _ = state.find_rows(list(dict.fromkeys(tokens)))
    devices = state.population.no_devices()
    devices[rows] = True
    return devices


def _read_filter(value: Any) -> JsonObject:
    """Return a filter, an object or its JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict) or not value:
        raise VendorRefusal(2016, "filter is missing, or not JSON")
    if len(json.dumps(value, ensure_ascii=False).encode(errors="replace")) > MAX_FILTER_BYTES:
        raise VendorRefusal(2031, f"filter has more than {MAX_FILTER_BYTES} bytes")
    return value
