"""Checks of Airship for a push and for a schedule, beside those of the audience.

https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml: unknown keys, platforms without a payload, and times
that have passed are refused.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from audience.sandbox.field_checks import find_field_problem, get_field, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import seconds_until

TABLE = Path(__file__).with_name("push.txt")
APP_TYPES = ("android", "amazon", "ios", "web")
MAX_PART_BYTES, MAX_COLLAPSE_BYTES = 4_096, 64
FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


def check_push(push: JsonObject) -> set[str]:
    """Check the fields of a push; return its platforms.

    Raises:
        VendorRefusal: A field is unknown, missing, of another type or too large, or a platform has no payload.
    """
    if push.get("audience") is None:
        raise VendorRefusal(40202, "'audience' must be set")
    if problem := find_field_problem(push, load_field_table(TABLE)):
        text = f"The key '{problem.name}' is not allowed in this context"
        raise VendorRefusal(40000, f"{text if problem.kind == 'unknown' else problem.expected}\n{problem.path}")
    types = _read_types(push)
    for name in types:
        if not _has_payload(push, name):
            text = f"DeviceType '{name}' was referenced by 'device_types', but no payload was provided."
            raise VendorRefusal(40000, f"{text}\nnotification.{name}")
    _check_parts(push)
    return types


def _read_types(push: JsonObject) -> set[str]:
    named = push["device_types"]
    types = [*APP_TYPES] if named == "all" else named if isinstance(named, list) else []
    if not types or not all(name in APP_TYPES for name in types):
        raise VendorRefusal(40000, f"this sandbox has {', '.join(APP_TYPES)}\ndevice_types")
    return {*types}


def _has_payload(push: JsonObject, name: str) -> bool:
    notification = push.get("notification") or {}
    shared = notification.get("alert") or push.get("message") or push.get("in_app")
    return bool(shared or notification.get(name))


def _check_parts(push: JsonObject) -> None:
    for name in ("ios", "android"):
        part = get_field(push, f"notification.{name}")
        if part and len(json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_PART_BYTES:
            raise VendorRefusal(40000, f"more than {MAX_PART_BYTES} bytes\nnotification.{name}")
    ios = get_field(push, "notification.ios") or {}
    if len((ios.get("collapse_id") or "").encode()) > MAX_COLLAPSE_BYTES:
        raise VendorRefusal(40000, "collapse_id is too long\nnotification.ios.collapse_id")
    is_shown = get_field(push, "notification.alert") or any(
        key in ios for key in ("alert", "title", "subtitle", "badge", "sound")
    )
    if ios.get("priority") == 10 and not is_shown:
        raise VendorRefusal(40000, "priority 10 is for visible notifications\nnotification.ios.priority")
    for key in get_field(push, "notification.android.extra") or {}:
        if key in ("from", "message_type", "data") or key.startswith(("google", "gcm")):
            raise VendorRefusal(40000, f"The key '{key}' is not allowed\nnotification.android.extra.{key}")
    if "aps" in (ios.get("extra") or {}):
        raise VendorRefusal(40000, "The key 'aps' is not allowed\nnotification.ios.extra.aps")
    _check_times(push)


def _check_times(push: JsonObject) -> None:
    paths = ("options.expiry", *(f"notification.{name}" for name in ("ios.expiry", "android.time_to_live")))
    for path in paths:
        value = get_field(push, path)
        if isinstance(value, str) and _parse_time(value) is None:
            raise VendorRefusal(40000, f"not a time in UTC\n{path}")


def _parse_time(text: Any) -> datetime | None:
    for time_format in FORMATS:
        try:
            return datetime.strptime(text.removesuffix("Z"), time_format)
        except (ValueError, AttributeError, TypeError):
            continue
    return None


def read_delay(schedule: JsonObject, now: float) -> float:
    """Return the seconds until a schedule is due.

    Raises:
        VendorRefusal: It has unknown or missing keys, or its time has passed.
    """
    if odd := schedule.keys() - {"name", "schedule", "push"}:
        raise VendorRefusal(40000, f"The key '{min(odd)}' is not allowed in this context\n{min(odd)}")
    if not isinstance(schedule.get("push"), dict) or not isinstance(schedule.get("schedule"), dict):
        raise VendorRefusal(40000, "a schedule has 'schedule' and 'push'")
    if schedule["schedule"].keys() != {"scheduled_time"}:
        raise VendorRefusal(40000, "this sandbox has schedules with scheduled_time alone\nschedule")
    moment = _parse_time(schedule["schedule"]["scheduled_time"])
    if moment is None:
        raise VendorRefusal(40000, "not a time in UTC\nschedule.scheduled_time")
    if (delay := seconds_until(moment, now)) <= 0:
        raise VendorRefusal(40000, "scheduled_time has passed\nschedule.scheduled_time")
    return delay
