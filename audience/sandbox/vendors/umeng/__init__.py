"""Umeng U-Push: POST /api/send, /api/status, /api/cancel and /upload, signed by MD5.

https://dev.umeng.com/push/android/api-doc, of which two copies were read. What they leave open: the times of a policy
are those of Beijing here, a repeat of an `out_biz_no` gets the first reply and is dropped however late it comes, tokens
and aliases that no device has are passed over, keys that the page does not have are ignored, and no device is a test
device.
"""

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import number_or_text, parse_json_object
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.umeng.casts import check_rate, find_type, is_task, select_devices
from audience.sandbox.vendors.umeng.files import store_file
from audience.sandbox.vendors.umeng.send_checks import check_content, compute_delay

NAME = "umeng"
SEND_PATH, STATUS_PATH, CANCEL_PATH, UPLOAD_PATH = "/api/send", "/api/status", "/api/cancel", "/upload"
PATHS = (SEND_PATH, STATUS_PATH, CANCEL_PATH, UPLOAD_PATH)
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "2027", "2050"
SIGNATURE_SECONDS = 600.0
SECONDS_DIGITS, MILLISECONDS_DIGITS = 10, 13
FOREVER = float("inf")
STATUS_BY_STATE = {"waiting": 7, "delivered": 2, "cancelled": 4}
NO_DEVICE_STATUS = 6


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called."""
    return call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call; deliver, show or withdraw its message, or store its file; and reply."""
    request = _authenticate(call, state)
    match call.path:
        case "/upload":
            return _succeed({"file_id": store_file(request, state)})
        case "/api/status":
            return _show(request, state)
        case "/api/cancel":
            return _cancel(request, state)
    return _send(request, state)


def sign(secret: str, url: str, body: bytes) -> str:
    """Return the parameter sign of a POST.

    >>> sign("secret", "https://msgapi.umeng.com/api/send", b'{"appkey":"k","timestamp":"1700000000","type":"unicast"}')
    '8979c6ec4c9fc7a9eb0d6aa30764d7c9'
    """
    return hashlib.md5(b"".join((b"POST", url.encode(), body, secret.encode())), usedforsecurity=False).hexdigest()


def _authenticate(call: HttpCall, state: VendorState) -> JsonObject:
    """Return the body of a call of an application that is known, signed in the last ten minutes."""
    if call.method != "POST":
        raise VendorRefusal(2007, "only POST")
    request = parse_json_object(call.body, 2008)
    key, moment, given = request.get("appkey"), request.get("timestamp"), call.query.get("sign", "")
    if not isinstance(key, str) or not key:
        raise VendorRefusal(1000, "appkey is missing")
    if moment in (None, ""):
        raise VendorRefusal(2052, "timestamp is missing")
    if not given:
        raise VendorRefusal(2007, "the request is not signed")
    if not state.knows_key(key):
        raise VendorRefusal(2021, "there is no such appkey")
    _check_timestamp(moment, state)
    _check_signature(call, key, given, state)
    return request


def _check_signature(call: HttpCall, key: str, given: str, state: VendorState) -> None:
    secret, host = state.signing_secret(key), call.headers.get("host", "msgapi.umeng.com")
    urls = [f"{scheme}://{host}{call.path}" for scheme in ("https", "http")]
    if secret is not None and not any(
        hmac.compare_digest(sign(secret, url, call.body).encode(), given.encode()) for url in urls
    ):
        raise VendorRefusal(2027, "the sign is wrong")


def _check_timestamp(moment: Any, state: VendorState) -> None:
    number = number_or_text(str(moment)) if isinstance(moment, str | int) else ""
    digits = len(str(number))
    if not isinstance(number, int) or digits not in (SECONDS_DIGITS, MILLISECONDS_DIGITS):
        raise VendorRefusal(2036, "timestamp has 10 or 13 digits")
    seconds = number if digits == SECONDS_DIGITS else number / 1_000
    if abs(state.clock() - seconds) > SIGNATURE_SECONDS:
        raise VendorRefusal(2028, "the timestamp has expired")


def _succeed(data: JsonObject, message_id: str = "", device_count: int = 0) -> HttpReply:
    return HttpReply(200, {"ret": "SUCCESS", "data": data}, message_id=message_id, device_count=device_count)


def _send(request: JsonObject, state: VendorState) -> HttpReply:
    kind = find_type(request)
    content, ignored = check_content(request)
    policy = content.get("policy") or {}
    delay = compute_delay(policy, is_task(kind), state.clock())
    devices = select_devices(kind, request, state)
    key = f"{request['appkey']} {policy['out_biz_no']}" if is_task(kind) and policy.get("out_biz_no") else ""
    if key and (before := state.cached_reply(key, FOREVER)):
        return before
    if content.get("production_mode") != "false":
        check_rate(kind, state)
    reply = replace(_deliver(kind, content, devices, delay, state), ignored=ignored)
    if key:
        state.cache_reply(key, reply)
    return reply


def _deliver(kind: str, content: JsonObject, devices: DeviceMask, delay: float, state: VendorState) -> HttpReply:
    """Deliver a message after *delay* seconds; return the reply, which names a task or a message."""
    logged_content: JsonObject = {name: content[name] for name in ("payload", "channel_properties") if name in content}
    prefix, name = ("us", "task_id") if is_task(kind) else ("uu", "msg_id")
    message = state.delivery_log.create_message(logged_content, lambda number: f"{prefix}{number:020d}")
    state.delivery_log.record(message, devices, delay)
    return _succeed({name: message}, message, 0 if delay > 0 else int(np.count_nonzero(devices)))


def _find_task(request: JsonObject, state: VendorState) -> str:
    task = request.get("task_id")
    if not isinstance(task, str) or not task:
        raise VendorRefusal(2053, "task_id is missing")
    if not task.startswith("us") or task not in state.delivery_log.places_by_message:
        raise VendorRefusal(1014, f"there is no task {task}")
    return task


def _show(request: JsonObject, state: VendorState) -> HttpReply:
    task, log = _find_task(request, state), state.delivery_log
    [delivery] = [log.deliveries[place] for place in log.places_by_message[task]]
    status = STATUS_BY_STATE[delivery.state] if len(delivery.rows) else NO_DEVICE_STATUS
    sent = len(delivery.rows) if delivery.state == "delivered" else 0
    return _succeed({"task_id": task, "status": status, "sent_count": sent, "open_count": 0, "dismiss_count": 0})


def _cancel(request: JsonObject, state: VendorState) -> HttpReply:
    task = _find_task(request, state)
    if not state.delivery_log.cancel_message(task):
        raise VendorRefusal(1028, f"the task {task} cannot be withdrawn")
    return _succeed({"task_id": task}, task)


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call."""
    body = {"ret": "FAIL", "data": {"error_code": exc.code, "error_msg": exc.text or "refused"}}
    return HttpReply(400, body, code=exc.code)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    refusal = build_refusal(VendorRefusal(6003, "internal error"), call)
    return HttpReply(status, json.dumps(refusal.body), code=refusal.code)
