"""FCM HTTP v1: POST /v1/projects/{project}/messages:send, topics of tokens, and /token for access tokens.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send and /ErrorCode. Errors have the form of
Google's APIs: https://cloud.google.com/apis/design/errors.
"""

import re
from typing import Any

import numpy as np

from audience.sandbox.delivery_log import DeviceRows
from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import parse_json_object
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.fcm.conditions import MAX_TOPICS, TOPIC_PATTERN, ConditionError, evaluate
from audience.sandbox.vendors.fcm.message_checks import check_message
from audience.sandbox.vendors.fcm.tokens import create_token, require_token
from audience.sandbox.vendors.fcm.topics import handle_topic_call, name_topic_endpoint

NAME = "fcm"
TOKEN_PATH = "/token"
TOPIC_PREFIX = "/iid/"
PATHS = ("/v1/projects/*", "/iid/*", TOKEN_PATH)
SEND_PATH = re.compile(r"/v1/projects/([^/]+)/messages:send")
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "INVALID_ARGUMENT", "QUOTA_EXCEEDED"
RATE_LIMIT = (600_000, 60.0)  # messages, seconds
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
STATUS_BY_CODE = {  # HTTP status, and that of Google's APIs
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT"),
    "UNREGISTERED": (404, "NOT_FOUND"),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED"),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED"),
    "THIRD_PARTY_AUTH_ERROR": (401, "UNAUTHENTICATED"),
    "UNAUTHENTICATED": (401, "UNAUTHENTICATED"),
    "PERMISSION_DENIED": (403, "PERMISSION_DENIED"),
    "NOT_FOUND": (404, "NOT_FOUND"),
    "ALREADY_EXISTS": (409, "ALREADY_EXISTS"),
    "TOO_MANY_TOPICS": (400, "FAILED_PRECONDITION"),
    "UNAVAILABLE": (503, "UNAVAILABLE"),
    "INTERNAL": (500, "INTERNAL"),
}
GATEWAY_CODES = (
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
)  # of Google's gateway, not of FCM
DRY_RUN_ID = "fake_message_id"
REQUEST_KEYS = ("message", "validate_only", "validateOnly")


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called, with `*` in place of the project, tokens and topics."""
    if SEND_PATH.fullmatch(call.path):
        return "/v1/projects/*/messages:send"
    return name_topic_endpoint(call.path) or call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Give out an access token, change topics, or check the message, deliver it unless it is only validated; reply."""
    if call.path == TOKEN_PATH:
        return create_token(call, state)
    if name_topic_endpoint(call.path):
        require_token(call, state)
        return handle_topic_call(call, state)
    match = SEND_PATH.fullmatch(call.path)
    if match is None or call.method != "POST":
        raise VendorRefusal("NOT_FOUND", "The requested URL was not found on this server.")
    require_token(call, state)
    if not state.rate_limiter.try_acquire("messages", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "Quota exceeded for the project.", headers={"Retry-After": "1"})
    request = parse_json_object(call.body, "INVALID_ARGUMENT")
    if odd := request.keys() - {*REQUEST_KEYS}:
        raise VendorRefusal("INVALID_ARGUMENT", f'Unknown name "{min(odd)}": Cannot find field.')
    message = request.get("message")
    if not isinstance(message, dict):
        raise VendorRefusal("INVALID_ARGUMENT", "Message is missing.")
    kind, value = check_message(message)
    devices = _target_devices(kind, value, state)
    return _reply(match[1], message, devices, bool(request.get("validate_only", request.get("validateOnly"))), state)


def _reply(
    project: str, message: JsonObject, devices: DeviceMask | DeviceRows, is_validated: bool, state: VendorState
) -> HttpReply:
    if is_validated:
        return HttpReply(200, {"name": f"projects/{project}/messages/{DRY_RUN_ID}"})
    content = {name: value for name, value in message.items() if name not in ("token", "fid", "topic", "condition")}
    number = state.delivery_log.create_message(content)
    reached = state.delivery_log.record(number, devices)
    return HttpReply(200, {"name": f"projects/{project}/messages/{number}"}, message_id=number, device_count=reached)


def _target_devices(kind: str, value: str, state: VendorState) -> DeviceMask | DeviceRows:
    match kind:
        case "topic":
            name = value.removeprefix("/topics/")
            if not re.fullmatch(TOPIC_PATTERN, name):
                raise VendorRefusal("INVALID_ARGUMENT", "Invalid topic name.")
            return state.tags.devices_with_tag(name)
        case "condition":
            return _meet_condition(value, state)
    rows, unknown = state.find_rows([value])
    if unknown:
        raise VendorRefusal("UNREGISTERED", "Requested entity was not found.")
    return rows


def _meet_condition(text: str, state: VendorState) -> DeviceMask:
    """Return the devices that meet a condition, which names at most five topics and does not hold without any."""
    masks: dict[str, DeviceMask] = {}

    def find(name: str) -> Any:
        masks[name] = state.tags.devices_with_tag(name)
        return masks[name]

    try:
        devices = evaluate(text, find)
        if len(masks) > MAX_TOPICS:
            raise ConditionError(f"it has more than {MAX_TOPICS} topics")
        if bool(np.all(evaluate(text, lambda name: np.zeros(1, dtype=np.bool_)))):
            raise ConditionError("it holds for devices without a topic")
    except ConditionError as error:
        raise VendorRefusal("INVALID_ARGUMENT", f"Invalid condition expression provided: {error}") from None
    return devices & state.population.registered_devices(state.vendor)


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call; those for access tokens, and for topics of many tokens, have other forms."""
    if call.path == TOKEN_PATH:
        body = {"error": "invalid_grant", "error_description": exc.text or "refused"}
        return HttpReply(429 if exc.code == RATE_LIMIT_CODE else 400, body, code="invalid_grant")
    status, name = STATUS_BY_CODE.get(exc.code, (400, exc.code))
    if call.path.startswith(TOPIC_PREFIX):
        return HttpReply(status, {"error": exc.text or name}, code=exc.code, headers=exc.headers)
    error: JsonObject = {"code": status, "message": exc.text or "refused", "status": name}
    if exc.code not in GATEWAY_CODES:
        error["details"] = [{"@type": FCM_ERROR, "errorCode": exc.code}]
    headers = {"Retry-After": "0", **exc.headers} if exc.code == RATE_LIMIT_CODE else exc.headers
    return HttpReply(status, {"error": error}, code=exc.code, headers=headers)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    code, text = ("UNAVAILABLE", "The service is currently unavailable.") if status == 503 else ("INTERNAL", "Internal")
    if call.path == TOKEN_PATH:
        return HttpReply(status, {"error": "internal_failure"}, code="internal_failure")
    body = build_refusal(VendorRefusal(code, text), call).body
    return HttpReply(status, body, code=code)
