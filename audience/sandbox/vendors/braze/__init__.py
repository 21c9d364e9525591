"""Braze: POST /messages/send, /messages/schedule/create and /messages/schedule/delete.

https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages, the pages on scheduled messages
beside it, https://www.braze.com/docs/api/errors, /api/api_limits and, for `broadcast`, /api/parameters. A user is a row
of the table, the id of the row the external id; the first alias of a row is its alias under every label. Users that
nobody has are taken without a word, also if there are no others. What the pages leave open: unknown keys, times that
have passed or are more than 90 days ahead, and a schedule that is unknown or sent, are refused with 400; segments of
the dashboard, and a target of several kinds, are not served here.
"""

import json
import math
import re
from datetime import datetime
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import is_string_list, parse_json_object, seconds_until
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.braze.connected_audiences import select_by_audience, select_by_state
from audience.sandbox.vendors.braze.message_checks import check_request, list_platforms

NAME = "braze"
SEND_PATH, SCHEDULE_PATH, CANCEL_PATH = "/messages/send", "/messages/schedule/create", "/messages/schedule/delete"
PATHS = (SEND_PATH, SCHEDULE_PATH, CANCEL_PATH)
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "400", "429"
CALLS, BROADCASTS, SAME_BROADCASTS = (250_000, 3_600.0), (250, 60.0), (10, 60.0)  # calls, seconds
MAX_BYTES, MAX_USERS, MAX_AHEAD = 4_000_000, 50, 90 * 86_400.0
TARGET_KEYS = ("external_user_ids", "user_aliases", "segment_id", "audience")
TOO_MANY = "The max number of external_ids and aliases per request was exceeded"
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)?")


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called."""
    return call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call; deliver its message at once or later, or withdraw one, and reply."""
    _authenticate(call, state)
    if call.path not in PATHS or call.method != "POST":
        raise VendorRefusal(404, "Not Found")
    if len(call.body) > MAX_BYTES:
        raise VendorRefusal(413, "Request Entity Too Large")
    if "application/json" not in call.headers.get("content-type", "application/json"):
        raise VendorRefusal(415, "Unsupported Media Type")
    request = parse_json_object(call.body, 400)
    _count_call(call.path, request, state)
    return _cancel(request, state) if call.path == CANCEL_PATH else _send(call.path, request, state)


def _authenticate(call: HttpCall, state: VendorState) -> None:
    kind, _, key = call.headers.get("authorization", "").partition(" ")
    if kind != "Bearer" or not key or not state.accepts_credentials(state.key or "", key):
        raise VendorRefusal(401, "Invalid API key")


def _count_call(path: str, request: JsonObject, state: VendorState) -> None:
    """Count a call against its limits: those of broadcasts, of the same audience too, or that of all others."""
    limits = {"call": CALLS}
    if path == SEND_PATH and not (request.get("external_user_ids") or request.get("user_aliases")):
        target = json.dumps([request.get(key) for key in ("campaign_id", "segment_id", "audience")], sort_keys=True)
        limits = {f"broadcast {target}": SAME_BROADCASTS, "broadcast": BROADCASTS}
    for kind, (count, seconds) in limits.items():
        if not state.rate_limiter.try_acquire(kind, count, seconds):
            reset = math.ceil(state.clock() + state.rate_limiter.usage(kind, seconds)[1])
            headers = {"limit": count, "remaining": 0, "reset": reset}
            named = {f"x-ratelimit-{name}": str(value) for name, value in headers.items()}
            raise VendorRefusal(429, "Rate Limited", named)


def _send(path: str, request: JsonObject, state: VendorState) -> HttpReply:
    is_kept = path == SCHEDULE_PATH
    devices = _target_devices(request, state)
    check_request(request, is_kept=is_kept)
    delay = _read_delay(request, state) if is_kept else 0.0
    devices &= state.population.devices_on_platforms(list_platforms(request))
    devices &= select_by_state(request.get("recipient_subscription_state", "subscribed"), state)
    content = {key: value for key, value in request.items() if key not in (*TARGET_KEYS, "broadcast", "schedule")}
    message = state.delivery_log.create_message(content, _write_id)
    state.delivery_log.record(message, devices, delay)
    body: JsonObject = {"dispatch_id": _write_id(int(message, 16) + (1 << 64) if is_kept else int(message, 16))}
    body |= {"schedule_id": message} if is_kept else {}
    delivered = 0 if delay > 0 else int(np.count_nonzero(devices))
    return HttpReply(201, {**body, "errors": [], "message": "success"}, message_id=message, device_count=delivered)


def _write_id(number: int) -> str:
    return f"{number:032x}"


def _target_devices(request: JsonObject, state: VendorState) -> DeviceMask:
    keys = [key for key in TARGET_KEYS if request.get(key)]
    names_users = any(key in ("external_user_ids", "user_aliases") for key in keys)
    if not keys:
        raise VendorRefusal(400, "No Recipients")
    if bool(request.get("broadcast", False)) == names_users:
        raise VendorRefusal(400, "broadcast is true without a list of users, and false with one")
    if len(keys) > 1 and not all(key in ("external_user_ids", "user_aliases") for key in keys):
        raise VendorRefusal(400, f"this sandbox does not join {' and '.join(keys)}")
    if names_users:
        return _devices_of_users(request, state)
    if keys[0] == "segment_id":
        raise VendorRefusal(400, "this sandbox has no segments")
    return select_by_audience(request["audience"], state)


def _devices_of_users(request: JsonObject, state: VendorState) -> DeviceMask:
    ids, aliases = request.get("external_user_ids") or [], request.get("user_aliases") or []
    if not is_string_list(ids):
        raise VendorRefusal(400, "external_user_ids must be an array of strings")
    if not isinstance(aliases, list) or not all(map(_is_alias, aliases)):
        raise VendorRefusal(400, "user_aliases must be an array of objects with alias_name and alias_label")
    if len(ids) + len(aliases) > MAX_USERS:
        raise VendorRefusal(400, TOO_MANY)
    devices = state.population.no_devices()
    devices[state.find_rows(ids)[0]] = True
    for rows in state.population.rows_by_name("alias", [each["alias_name"] for each in aliases]).values():
        devices[rows] = True
    return devices & state.population.registered_devices(state.vendor)


def _is_alias(alias: Any) -> bool:
    return (
        isinstance(alias, dict)
        and alias.keys() == {"alias_name", "alias_label"}
        and all(isinstance(value, str) and value for value in alias.values())
    )


def _read_delay(request: JsonObject, state: VendorState) -> float:
    """Return the seconds until the message is due."""
    schedule = request["schedule"]
    if any(schedule.get(key) for key in ("in_local_time", "at_optimal_time")):
        raise VendorRefusal(400, "this sandbox sends to all users at one time")
    if not UTC_TIME.fullmatch(schedule["time"]):
        raise VendorRefusal(400, "Cannot parse time")
    try:
        delay = seconds_until(datetime.fromisoformat(schedule["time"]), state.clock())
    except ValueError:
        raise VendorRefusal(400, "Cannot parse time") from None
    if not 0 < delay <= MAX_AHEAD:
        raise VendorRefusal(400, "time has passed, or is more than 90 days ahead")
    return delay


def _cancel(request: JsonObject, state: VendorState) -> HttpReply:
    schedule_id = request.get("schedule_id")
    if request.keys() != {"schedule_id"} or not isinstance(schedule_id, str):
        raise VendorRefusal(400, "schedule_id must be a string")
    if not state.delivery_log.cancel_message(schedule_id):
        raise VendorRefusal(400, "schedule_id is none of a message that waits")
    return HttpReply(201, {"message": "success"}, message_id=schedule_id)


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call: its code is the HTTP status."""
    status = int(exc.code) if re.fullmatch("4[0-9]{2}", exc.code) else 400
    return HttpReply(status, {"message": exc.text or "refused", "errors": []}, code=exc.code, headers=exc.headers)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    return HttpReply(status, {"message": "Internal Server Error"}, code=str(status))
