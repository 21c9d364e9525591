"""Huawei Push Kit v1: POST /oauth2/v3/token and /v1/{client id}/messages:send, with its dry run.

https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197. Which HTTP status
comes with which code is not said there: here it is 401 for those of keys, 500 for an error inside, 200 for a part of
the tokens, and 400 for all others. Messages to topics reach Android devices only, and all of them at once.
"""

import json
import re
from collections import Counter
from urllib.parse import unquote

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import parse_json_object
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.huawei.access_tokens import give_token, require_token
from audience.sandbox.vendors.huawei.conditions import select_devices
from audience.sandbox.vendors.huawei.push_checks import check_push

NAME = "huawei"
TOKEN_PATH, SEND_ENDPOINT = "/oauth2/v3/token", "/v1/*/messages:send"
PATHS = (TOKEN_PATH, "/v1/*")
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "80100001", "80100017"
FLOW_CONTROL = "503"  # a status without a code
MAX_DEVICES_A_SECOND = 6_000  # of an app whose number of users gives it no more
CONTENT_FIELDS = ("data", "notification", "android", "apns", "webpush")
_SEND_PATH = re.compile(r"/v1/([^/]+)/messages:send")


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called, with `*` in place of the client id."""
    return SEND_ENDPOINT if _SEND_PATH.fullmatch(call.path) else call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Give out a token; or check the push, deliver its message unless it is only validated, and reply."""
    if call.path == TOKEN_PATH:
        return give_token(call, state)
    match = _SEND_PATH.fullmatch(call.path)
    if match is None or call.method != "POST":
        return HttpReply(404, "", code="404")
    require_token(call, unquote(match[1]), state)
    push = parse_json_object(call.body, 80100003)
    target = check_push(push)
    return _send_to_tokens(push, state) if target == "token" else _send_to_topics(push, target, state)


def _send_to_tokens(push: JsonObject, state: VendorState) -> HttpReply:
    tokens = push["message"]["token"]
    if not all(state.rate_limiter.try_acquire("devices", MAX_DEVICES_A_SECOND, 1.0) for _ in tokens):
        raise VendorRefusal(FLOW_CONTROL, "flow control")
    if push.get("validate_only"):
        return _succeed(_create_message(push, state), 0)
    known = state.population.rows_by_id(state.vendor)
    illegal = [token for token in tokens if token not in known]
    if len(illegal) == len(tokens):
        raise VendorRefusal(80300007, "All the tokens are invalid")
    message = _create_message(push, state)
    _deliver(message, [known[token] for token in tokens if token in known], state)
    count = len(tokens) - len(illegal)
    if not illegal:
        return _succeed(message, count)
    text = json.dumps({"success": count, "failure": len(illegal), "illegal_tokens": illegal}, separators=(",", ":"))
    return HttpReply(
        200, {"code": "80100000", "msg": text, "requestId": message}, message_id=message, device_count=count
    )


def _deliver(message: str, rows: list[int], state: VendorState) -> None:
    """Deliver to each row; one whose token is there twice gets the message twice, as the page warns."""
    for times in range(1, max(Counter(rows).values()) + 1):
        rows_now = [row for row, count in Counter(rows).items() if count >= times]
        state.delivery_log.record(message, np.array(rows_now, dtype=np.uint32))


def _send_to_topics(push: JsonObject, target: str, state: VendorState) -> HttpReply:
    devices = state.population.registered_devices(state.vendor) & state.population.devices_on_platforms({"android"})
    value = push["message"][target]
    devices &= (
        _devices_of(value, state) if target == "topic" else select_devices(value, lambda name: _devices_of(name, state))
    )
    message = _create_message(push, state)
    if push.get("validate_only"):
        return _succeed(message, 0)
    state.delivery_log.record(message, devices)
    return _succeed(message, int(np.count_nonzero(devices)))


def _devices_of(topic: str, state: VendorState) -> DeviceMask:
    return state.tags.devices_with_tag(topic)


def _create_message(push: JsonObject, state: VendorState) -> str:
    message = push["message"]
    return state.delivery_log.create_message({name: message[name] for name in CONTENT_FIELDS if name in message})


def _succeed(message: str, devices: int) -> HttpReply:
    body = {"code": "80000000", "msg": "Success", "requestId": message}
    return HttpReply(200, body, message_id=message, device_count=devices)


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call; the host of tokens has errors of another form."""
    if exc.code == FLOW_CONTROL or (call.path == TOKEN_PATH and exc.code == RATE_LIMIT_CODE):
        return HttpReply(503, "", code=exc.code)
    if call.path == TOKEN_PATH:
        sub_error = int(exc.code) if exc.code.isdecimal() else 0
        return HttpReply(
            400, {"error": 1101, "sub_error": sub_error, "error_description": exc.text}, code=f"1101/{exc.code}"
        )
    body = {"code": exc.code, "msg": exc.text or "refused", "requestId": ""}
    return HttpReply(_find_status(exc.code), body, code=exc.code)


def _find_status(code: str) -> int:
    if code.startswith("802") or code == "80600003":
        return 401
    return 500 if code == "81000001" else 400


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    if status == 503 or call.path == TOKEN_PATH:
        return HttpReply(status, "", code=str(status))
    return HttpReply(status, {"code": "81000001", "msg": "Inner Error.", "requestId": ""}, code="81000001")
