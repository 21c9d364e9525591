"""OneSignal: POST /notifications, DELETE and GET /notifications/{id}, and the tags of users.

https://documentation.onesignal.com/reference/push-notification, /cancel-message, /idempotent-notification-requests and
/rate-limits. An id that no device has is not reported if it is a UUID; any other fails the call. What the pages leave
open: a message to a past moment is sent at once here, a `delayed_option` is delivered when it begins, and `!=` matches
no device without the key.
"""

import re
from datetime import datetime
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import is_string_list, parse_json_object, seconds_until
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.onesignal.filters import select_by_filters
from audience.sandbox.vendors.onesignal.message_checks import check_message, split_unknown_keys
from audience.sandbox.vendors.onesignal.user_tags import USER_ENDPOINT, handle_user_call, read_app_id

NAME = "onesignal"
PATHS = ("/notifications", "/notifications/*", "/apps/*")
FURTHER_TAG_PATTERN = "{type}:{value}"
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "400", "429"
RATE_LIMIT = (150, 1.0)  # calls, seconds, of a free application; messages and withdrawals together
KEY_SECONDS = 30 * 86_400.0
MAX_TARGETS = 20_000
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
NOBODY = "All included players are not subscribed"
DENIED = "Access denied.  Please include an 'Authorization: ...' header with a valid API key."
TARGET_KEYS = ("include_subscription_ids", "include_aliases", "filters", "included_segments")
PLATFORM_BY_FLAG = {"isIos": "ios", "isAndroid": "android", "isHuawei": "huawei", "isAdm": "amazon", "isAnyWeb": "web"}


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called, with `*` in place of an id."""
    if read_app_id(call) is not None:
        return USER_ENDPOINT
    return "/notifications/*" if _read_message_id(call) else "/notifications"


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call; deliver, withdraw or show the message, or change the user; and reply."""
    if (app_id := read_app_id(call)) is not None:
        _authenticate(call, app_id, state)
        return handle_user_call(call, state)
    request = {} if call.method in ("DELETE", "GET") else parse_json_object(call.body, 400)
    _authenticate(call, request.get("app_id", call.query.get("app_id")), state)
    message_id = _read_message_id(call)
    if call.method != "GET" and not state.rate_limiter.try_acquire("message", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "API rate limit exceeded")
    match call.method, bool(message_id):
        case "POST", False:
            return _send(request, state)
        case "DELETE", True:
            return _cancel(message_id, state)
        case "GET", True:
            return _show(message_id, state)
    raise VendorRefusal(404, "Not found")


def _read_message_id(call: HttpCall) -> str:
    return call.path.removeprefix("/notifications").strip("/")


def _authenticate(call: HttpCall, app_id: Any, state: VendorState) -> None:
    kind, _, key = call.headers.get("authorization", "").partition(" ")
    if kind not in ("Key", "Basic") or not key:  # Basic is the old word for the same
        raise VendorRefusal(401, DENIED)
    if not isinstance(app_id, str) or not app_id:
        raise VendorRefusal(400, "Request is malformed: Failed to parse app_id from request")
    if not state.accepts_credentials(app_id, key.strip()):
        raise VendorRefusal(403, DENIED)


def _send(request: JsonObject, state: VendorState) -> HttpReply:
    key = request.get("idempotency_key", request.get("external_id"))
    if key is not None and not (isinstance(key, str) and UUID.fullmatch(key)):
        raise VendorRefusal(400, "idempotency_key is not a valid UUID")
    if key and (before := state.cached_reply(key, KEY_SECONDS)):
        return HttpReply(
            before.status, before.body, message_id=before.message_id, headers={"Idempotent-Replayed": "true"}
        )
    request, ignored = split_unknown_keys(request)
    check_message(request)
    devices = _target_devices(request, state)
    if not (device_count := int(np.count_nonzero(devices))):
        return HttpReply(200, {"id": "", "errors": [NOBODY]}, ignored=ignored)
    delay = _read_delay(request, state)
    content = {name: value for name, value in request.items() if name not in (*TARGET_KEYS, "app_id")}
    message = state.delivery_log.create_message({**content, "idempotency_key": None}, _write_id)
    state.delivery_log.record(message, devices, delay)
    body = {"id": message, "external_id": key}
    reply = HttpReply(200, body, message_id=message, device_count=0 if delay > 0 else device_count, ignored=ignored)
    if key:
        state.cache_reply(key, reply)
    return reply


def _write_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _read_delay(request: JsonObject, state: VendorState) -> float:
    """Return the seconds until the message is due."""
    if request.get("send_after") is None:
        return 0.0
    try:
        return max(0.0, seconds_until(datetime.fromisoformat(request["send_after"]), state.clock()))
    except ValueError:
        raise VendorRefusal(400, "Schedule Start time is invalid") from None


def _target_devices(request: JsonObject, state: VendorState) -> DeviceMask:
    keys = [key for key in TARGET_KEYS if request.get(key)]
    if not keys:
        raise VendorRefusal(
            400, "You must include which players, segments, or tags you wish to send this notification to."
        )
    if len(keys) > 1:
        raise VendorRefusal(400, f"You may only use one of {' and '.join(keys)}")
    match keys[0]:
        case "include_subscription_ids":
            return _devices_by_id(request["include_subscription_ids"], state)  # platforms are ignored
        case "include_aliases":
            devices = _devices_by_alias(request, state)
        case "filters":
            devices = select_by_filters(request["filters"], state)
        case _:
            devices = _devices_in_segments(request, state)
    if flags := [flag for flag in PLATFORM_BY_FLAG if request.get(flag)]:
        devices &= state.population.devices_on_platforms({PLATFORM_BY_FLAG[flag] for flag in flags})
    return devices


def _devices_by_id(ids: Any, state: VendorState) -> DeviceMask:
    if not is_string_list(ids) or len(ids) > MAX_TARGETS:
        raise VendorRefusal(400, f"include_subscription_ids must be an array of at most {MAX_TARGETS} strings")
    rows, unknown = state.find_rows(ids)
    if any(not UUID.fullmatch(each) for each in unknown):
        listed = ", ".join(f'"{each}"' for each in ids)
        raise VendorRefusal(
            400, f"Incorrect subscription_id format in include_subscription_ids (not a valid UUID): [{listed}]"
        )
    devices = state.population.no_devices()
    devices[rows] = True
    return devices


def _devices_by_alias(request: JsonObject, state: VendorState) -> DeviceMask:
    aliases = request["include_aliases"]
    if request.get("target_channel") != "push":
        raise VendorRefusal(400, "target_channel must be provided with include_aliases")
    if not isinstance(aliases, dict) or not all(map(is_string_list, aliases.values())):
        raise VendorRefusal(400, "include_aliases must be an object of arrays")
    if sum(map(len, aliases.values())) > MAX_TARGETS:
        raise VendorRefusal(400, f"include_aliases takes at most {MAX_TARGETS} users")
    devices = state.population.no_devices()
    for rows in state.population.rows_by_name("alias", aliases.get("external_id", [])).values():
        devices[rows] = True
    return devices & state.population.registered_devices(state.vendor)


def _devices_in_segments(request: JsonObject, state: VendorState) -> DeviceMask:
    included, excluded = request["included_segments"], request.get("excluded_segments") or []
    if not is_string_list(included) or not is_string_list(excluded):
        raise VendorRefusal(400, "included_segments and excluded_segments must be arrays of names")
    known = state.population.registered_devices(state.vendor)
    if odd := [name for name in (*included, *excluded) if name != "All"]:
        raise VendorRefusal(400, f"Could not find a segment with the name {odd[0]}; this sandbox has All alone")
    return state.population.no_devices() if excluded else known


def _cancel(message_id: str, state: VendorState) -> HttpReply:
    if message_id not in state.delivery_log.places_by_message:
        raise VendorRefusal(404, "Message Notification not found")
    if not state.delivery_log.cancel_message(message_id):
        raise VendorRefusal(400, "Message Notification has already been sent to all recipients")
    return HttpReply(200, {"success": True}, message_id=message_id)


def _show(message_id: str, state: VendorState) -> HttpReply:
    log = state.delivery_log
    if message_id not in log.places_by_message:
        raise VendorRefusal(404, "Notification not found")
    deliveries = [log.deliveries[place] for place in log.places_by_message[message_id]]
    delivered = sum(len(each.rows) for each in deliveries if each.state == "delivered")
    waiting = sum(len(each.rows) for each in deliveries if each.state == "waiting")
    canceled = any(each.state == "cancelled" for each in deliveries)
    counts = {"successful": delivered, "failed": 0, "errored": 0, "remaining": waiting, "canceled": canceled}
    times = {"send_after": max((int(each.due) for each in deliveries), default=None)}  # Unix time, unlike in a request
    return HttpReply(200, {**log.content_by_message[message_id], "id": message_id, **counts, **times})


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call: its code is the HTTP status."""
    status = int(exc.code) if re.fullmatch("[45][0-9]{2}", exc.code) else 400
    headers = {"Retry-After": "1"} if status == 429 else {}
    return HttpReply(status, {"errors": [exc.text or "refused"]}, code=exc.code, headers={**headers, **exc.headers})


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server; that of 503 may have no body."""
    body: JsonObject | str = "" if status == 503 else {"errors": ["Service temporarily unavailable"]}
    return HttpReply(status, body, code=str(status))
