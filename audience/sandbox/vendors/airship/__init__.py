"""Airship: POST /api/push and /api/push/validate, POST /api/schedules, DELETE of a schedule, and POST /oauth2/token.

https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml. A call is checked as a whole before any of its pushes
is sent. Channels that nobody has are taken without a word, as https://support.airship.com/hc/en-us/articles/213491283
says. Tokens have a path of their own here in place of their host. What the pages leave open: a channel that is no UUID
fails the call, ten calls a second are taken, and a schedule whose pushes were sent is gone.
"""

import re
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import parse_json
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.airship.access import authenticate, build_token_refusal, give_token
from audience.sandbox.vendors.airship.push_checks import check_push, read_delay
from audience.sandbox.vendors.airship.selectors import select_audience
from audience.sandbox.vendors.airship.tags import CHANNELS_PREFIX, handle_channel_call, name_channel_endpoint

NAME = "airship"
TOKEN_PATH, PUSH_PATH, CHECK_PATH, SCHEDULES_PATH = "/oauth2/token", "/api/push", "/api/push/validate", "/api/schedules"
SCHEDULE_PATH = f"{SCHEDULES_PATH}/*"
PATHS = (PUSH_PATH, f"{PUSH_PATH}/*", SCHEDULES_PATH, SCHEDULE_PATH, f"{CHANNELS_PREFIX}*", TOKEN_PATH)
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "40000", "429"
FURTHER_TAG_PATTERN = "group.{type}:{value}"
RATE_LIMIT = (10, 1.0)  # calls, seconds
MAX_BYTES, MAX_PUSHES, MAX_SCHEDULES = 5 * 1024 * 1024, 100, 1_000
NO_AUDIENCE = "40202"  # which comes with 400
NOT_PARSED = "Could not parse request body."
CONTENT_KEYS = ("notification", "message", "in_app", "options")


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called, with `*` in place of an id; a slash at its end makes no difference."""
    path = call.path.rstrip("/")
    return SCHEDULE_PATH if _read_schedule_id(path) else name_channel_endpoint(path) or path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Give out a token; or check the pushes, deliver them at once or later, or withdraw them, and reply."""
    name = endpoint_name(call)
    if name == TOKEN_PATH:
        return give_token(call, state)
    authenticate(call, state)
    if "application/vnd.urbanairship+json" not in call.headers.get("accept", ""):
        raise VendorRefusal(406, "The Accept header has no version that is served")
    if not state.rate_limiter.try_acquire("api", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "Too many requests")
    if name.startswith(CHANNELS_PREFIX):
        return handle_channel_call(call, state)
    match call.method, name:
        case "POST", "/api/push":
            return _send(call, state)
        case "POST", "/api/push/validate":
            _read_pushes(call, state)
            return HttpReply(200, {"ok": True, "operation_id": _write_id(0)})
        case "POST", "/api/schedules":
            return _schedule(call, state)
        case "DELETE", "/api/schedules/*":
            return _cancel(_read_schedule_id(call.path.rstrip("/")), state)
        case _, "/api/push" | "/api/push/validate" | "/api/schedules" | "/api/schedules/*":
            raise VendorRefusal(405, "Method not allowed")
    raise VendorRefusal(404, "Not found")


def _read_schedule_id(path: str) -> str:
    match = re.fullmatch(rf"{SCHEDULES_PATH}/([^/]+)", path)
    return match[1] if match else ""


def _write_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _load_objects(call: HttpCall, most: int, code: int) -> list[JsonObject]:
    """Return the one object of a call, or the list of at least one."""
    if len(call.body) > MAX_BYTES:
        raise VendorRefusal(41307, "The request is too large")
    value = parse_json(call.body, 40000)
    objects: list[Any] = value if isinstance(value, list) else [value]
    if len(objects) > most:
        raise VendorRefusal(code, f"at most {most}")
    if not objects or not all(isinstance(each, dict) for each in objects):
        raise VendorRefusal(40000, "expected an object, or a list of objects")
    return objects


def _read_pushes(call: HttpCall, state: VendorState) -> list[tuple[JsonObject, DeviceMask]]:
    """Return each push of a call with its devices."""
    return [(push, _target_devices(push, state)) for push in _load_objects(call, MAX_PUSHES, 40000)]


def _target_devices(push: JsonObject, state: VendorState) -> DeviceMask:
    types = check_push(push)
    devices = select_audience(push["audience"], types, state)
    return devices & state.population.devices_on_platforms(types)


def _send(call: HttpCall, state: VendorState) -> HttpReply:
    pushes = _read_pushes(call, state)
    ids = [_record(push, devices, 0.0, state) for push, devices in pushes]
    count = sum(int(np.count_nonzero(devices)) for _, devices in pushes)
    body = {"ok": True, "operation_id": ids[0], "push_ids": ids, "message_ids": [], "content_urls": []}
    return HttpReply(202, body, message_id=",".join(ids), device_count=count)


def _record(push: JsonObject, devices: DeviceMask, delay: float, state: VendorState) -> str:
    content = {key: push[key] for key in CONTENT_KEYS if key in push}
    message = state.delivery_log.create_message(content, _write_id)
    state.delivery_log.record(message, devices, delay)
    return message


def _schedule(call: HttpCall, state: VendorState) -> HttpReply:
    read = []
    for schedule in _load_objects(call, MAX_SCHEDULES, 41301):
        delay = read_delay(schedule, state.clock())
        read.append((schedule["push"], _target_devices(schedule["push"], state), delay))
    ids = [_record(push, devices, delay, state) for push, devices, delay in read]
    urls = [f"http://{call.headers.get('host', 'localhost')}{SCHEDULES_PATH}/{each}" for each in ids]
    body = {"ok": True, "operation_id": ids[0], "schedule_ids": ids, "schedule_urls": urls}
    return HttpReply(201, body, message_id=",".join(ids))


def _cancel(schedule_id: str, state: VendorState) -> HttpReply:
    if not state.delivery_log.cancel_message(schedule_id):
        raise VendorRefusal(40401, "Entity not found")
    return HttpReply(204, "", message_id=schedule_id)


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call: its status is the beginning of its code; that of wrong keys is plain text.

    What is behind a line break of the text is the path of a value.
    """
    if endpoint_name(call) == TOKEN_PATH:
        return build_token_refusal(exc)
    has_status = re.fullmatch("[45][0-9]{2}([0-9]{2})?", exc.code) and exc.code != NO_AUDIENCE
    status = int(exc.code[:3]) if has_status else 400
    if status == 401:
        return HttpReply(401, "Authorization Required", code=exc.code)
    text, _, path = exc.text.partition("\n")
    body: JsonObject = {"ok": False, "error": text or "refused", "operation_id": _write_id(0)}
    if len(exc.code) == 5:
        body["error_code"] = int(exc.code)
    if exc.code == "40000":
        details = {"error": text or "refused"} | ({"path": path} if path else {})
        body |= {"error": NOT_PARSED, "details": details}
    return HttpReply(status, body, code=exc.code, headers=exc.headers)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    return HttpReply(status, {"ok": False, "error": "Service unavailable", "error_code": status}, code=str(status))
