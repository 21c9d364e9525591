"""EngageLab AppPush v4: /v4/push, /v4/push/validate, /v4/grouppush for a group of applications, tags and devices.

Error codes and HTTP statuses are those of the vendor's page, even where they look odd: 401 for a message beside a
notification. Where the page contradicts itself: 4,000 bytes, not 2,048; `msg_id`, not `message_id`. The page shows
errors as {"code", "message"}, the vendor's SDK reads {"error": {…}}; replies have both. The page names the path of a
group alone; its user name, `group-` and a key, and its reply are those of the vendor's own client. The group here is of
one application.
"""

from typing import Any

import numpy as np

from audience.sandbox.device_tag_calls import TagInterface, handle_tag_call, name_tag_endpoint
from audience.sandbox.field_checks import get_field
from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import number_or_text, parse_basic_auth, parse_json_object
from audience.sandbox.tag_lists import ListErrorCodes, read_lists, select_devices
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.engagelab.push_checks import check_push

NAME = "engagelab"
GROUP_PATH = "/v4/grouppush"
PATHS = ("/v4/push", "/v4/push/validate", GROUP_PATH, "/v4/tags", "/v4/tags/*", "/v4/tags_count", "/v4/devices/*")
GROUP_PREFIX, GROUP_APPLICATION = "group-", "application"  # of the user name of a group, and the one in it
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "21003", "23008"
RATE_LIMIT = (500, 1.0)  # calls, seconds; of pushes, and of the others together
HTTP_STATUS_BY_CODE = {21001: 405, 21004: 401, 21030: 503, 21038: 401, 21059: 401, 21306: 401, 27000: 500}
HTTP_STATUS_BY_CODE |= {27001: 401, 27008: 401, 27009: 401}
LIST_ERROR_CODES = ListErrorCodes(wrong_type=21016, too_long=21016, unknown_id=20101)
MAX_LIST_ITEMS = {"tag_and": 20, "tag_not": 20, "registration_id": 1_000}
TARGET_FIELDS = {"tag", "tag_and", "tag_not", "alias", "registration_id", "live_activity_id", "seg"}
OVERRIDE_SECONDS = 86_400.0  # how long a message can be replaced
TAG_INTERFACE = TagInterface(
    version="/v4",
    platforms=frozenset({"android", "ios", "hmos", "web"}),
    tag_characters="[0-9A-Za-z_\u3400-\u4dbf\u4e00-\u9fff]",
    max_listed_tags=None,
    max_device_tags=100,
    max_tag_devices=100_000,
    max_tags=100_000,
    wrong_method=21001,
    missing=21002,
    invalid=21003,
    unknown_id=20101,
    unknown_device=20101,
    done="success",  # https://pypi.org/project/engagelab-apppush/: text that is not JSON, with the type of JSON
    format_status=lambda known: [{"regid": each, "online": True} for each, is_known in known.items() if is_known],
)


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called, with `*` in place of tags and ids."""
    return name_tag_endpoint(call.path) or call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call; change or read tags, or deliver the message unless it is only validated; and reply."""
    if name_tag_endpoint(call.path):
        _admit_call(call, state, "device")
        return HttpReply(200, handle_tag_call(call, state, TAG_INTERFACE))
    if call.method != "POST":
        raise VendorRefusal(21001, "only POST")
    _admit_call(call, state, "push")
    push = parse_json_object(call.body, 21003)
    if "to" not in push:
        raise VendorRefusal(21002, "to is missing")
    platforms = check_push(push)
    _check_override(push, state)
    devices = _target_devices(push["to"], state) & state.population.devices_on_platforms(platforms)
    if not (device_count := int(np.count_nonzero(devices))):
        raise VendorRefusal(21011, "no suitable push target")
    message = state.delivery_log.create_message(push["body"])
    if not call.path.endswith("/validate"):
        state.delivery_log.record(message, devices)
    return HttpReply(200, _build_reply(call, push, message), message_id=message, device_count=device_count)


def _build_reply(call: HttpCall, push: JsonObject, message: str) -> JsonObject:
    if call.path == GROUP_PATH:
        return {"group_msgid": message, GROUP_APPLICATION: {"msg_id": message}}
    return {"request_id": push["request_id"], "msg_id": message} if "request_id" in push else {"msg_id": message}


def _check_override(push: JsonObject, state: VendorState) -> None:
    """Refuse to replace a message that is unknown, or was sent too long ago."""
    number = get_field(push, "body.options.override_msg_id")
    log = state.delivery_log
    sent = [log.deliveries[place].due for place in log.places_by_message.get(str(number), ())]
    if number is not None and not any(state.clock() - due <= OVERRIDE_SECONDS for due in sent):
        raise VendorRefusal(7006, f"there is no message {number} to override")


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call."""
    code: Any = number_or_text(exc.code)
    error = {"code": code, "message": exc.text or "refused"}
    status = HTTP_STATUS_BY_CODE.get(code, 400)
    return HttpReply(status, {**error, "error": error}, code=exc.code)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    code, text = (21030, "internal service timeout") if status == 503 else (27000, "internal memory error")
    return HttpReply(status, build_refusal(VendorRefusal(code, text), call).body, code=str(code))


def _admit_call(call: HttpCall, state: VendorState, kind: str) -> None:
    if not call.headers.get("authorization"):
        raise VendorRefusal(27001, "verification information is empty")
    key, secret = parse_basic_auth(call) or ("", "")
    is_group = key.startswith(GROUP_PREFIX)
    is_known = bool(key) and state.accepts_credentials(key.removeprefix(GROUP_PREFIX), secret)
    if not is_known or is_group != (call.path == GROUP_PATH):
        raise VendorRefusal(21004, "verification failed")
    if not state.rate_limiter.try_acquire(kind, *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "push interface QPS reaches limit")


def _target_devices(target: Any, state: VendorState) -> DeviceMask:
    """Return the devices that `to` matches, before the platform narrows them."""
    if target == "all":
        return state.population.registered_devices(state.vendor)
    if isinstance(target, str):
        raise VendorRefusal(21003, "to is all or an object")
    if not isinstance(target, dict):
        raise VendorRefusal(21016, "to is all or an object")
    if odd := target.keys() - TARGET_FIELDS:
        raise VendorRefusal(21015, f"unexpected parameter {min(odd)}")
    lists = read_lists(target, MAX_LIST_ITEMS, LIST_ERROR_CODES)
    if (activity := target.get("live_activity_id")) and not isinstance(activity, str):
        raise VendorRefusal(21016, "live_activity_id must be a text")
    if target.get("seg"):
        raise VendorRefusal(21003, "this sandbox knows no segments of a console")
    if not lists.keys() - {"tag_not"} and not activity:
        raise VendorRefusal(21003 if lists else 21002, "at least one type beside tag_not is needed")
    if activity:
        return select_devices(lists, state, LIST_ERROR_CODES) & state.population.devices_with_value(
            "live_activity_id", activity
        )
    return select_devices(lists, state, LIST_ERROR_CODES)
