"""EngageLab AppPush v4: POST /v4/push and /v4/push/validate.

Error codes and HTTP statuses are those of the vendor's page, even where they look odd: 401 for a message beside a
notification. Where the page contradicts itself: 4,000 bytes, not 2,048; `msg_id`, not `message_id`. The page shows
errors as {"code", "message"}, the vendor's SDK reads {"error": {…}}; replies have both.
"""

from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import (
    is_int_between,
    number_or_text,
    parse_basic_auth,
    parse_json_object,
    total_json_bytes,
)
from audience.sandbox.tag_lists import ListErrorCodes, read_lists, select_devices
from audience.sandbox.vendor_state import VendorState

NAME = "engagelab"
PATHS = ("/v4/push", "/v4/push/validate")
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "21003", "23008"
RATE_LIMIT = (500, 1.0)  # calls, seconds
HTTP_STATUS_BY_CODE = {21001: 405, 21004: 401, 21030: 503, 21038: 401, 21059: 401, 21306: 401, 27000: 500}
HTTP_STATUS_BY_CODE |= {27001: 401, 27008: 401, 27009: 401}
LIST_ERROR_CODES = ListErrorCodes(wrong_type=21016, too_long=21016, unknown_id=20101)
MAX_LIST_ITEMS = {"tag_and": 20, "tag_not": 20, "registration_id": 1_000}
PUSH_FIELDS = {"from", "to", "body", "request_id", "custom_args"}
TARGET_FIELDS = {"tag", "tag_and", "tag_not", "alias", "registration_id", "live_activity_id", "seg"}
BODY_FIELDS = {"platform", "notification", "message", "live_activity", "voip", "options"}
CONTENT_FIELDS = ("notification", "message", "live_activity", "voip")
PLATFORMS = {"android", "ios", "hmos"}
MAX_CONTENT_BYTES, MAX_LIVE_ACTIVITY_BYTES = 4_000, 3_584  # bytes
MAX_TTL_SECONDS = 15 * 86_400


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called."""
    return call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call, deliver the message unless it is only validated, and reply."""
    if call.method != "POST":
        raise VendorRefusal(21001, "only POST")
    _admit_call(call, state)
    push = parse_json_object(call.body, 21003)
    _check_fields(push, PUSH_FIELDS, {"to", "body"})
    platforms = _check_body(push["body"], push["to"])
    if total_json_bytes(push.get("custom_args")) > 128 + len('{"":""}'):
        raise VendorRefusal(21016, "custom_args has more than 128 characters")
    devices = _target_devices(push["to"], state) & state.population.devices_on_platforms(platforms)
    if not (device_count := int(np.count_nonzero(devices))):
        raise VendorRefusal(21011, "no suitable push target")
    message = state.delivery_log.create_message(push["body"])
    if not call.path.endswith("/validate"):
        state.delivery_log.record(message, devices)
    body = {"request_id": push["request_id"], "msg_id": message} if "request_id" in push else {"msg_id": message}
    return HttpReply(200, body, message_id=message, device_count=device_count)


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


def _admit_call(call: HttpCall, state: VendorState) -> None:
    if not call.headers.get("authorization"):
        raise VendorRefusal(27001, "verification information is empty")
    pair = parse_basic_auth(call)
    if not pair or not state.accepts_credentials(*pair):
        raise VendorRefusal(21004, "verification failed")
    if not state.rate_limiter.try_acquire("push", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "push interface QPS reaches limit")


def _check_fields(value: Any, allowed: set[str], required: set[str]) -> None:
    if not isinstance(value, dict):
        raise VendorRefusal(21016, "must be an object")
    if missing := required - value.keys():
        raise VendorRefusal(21002, f"{min(missing)} is missing")
    if odd := value.keys() - allowed:
        raise VendorRefusal(21015, f"unexpected parameter {min(odd)}")


def _target_devices(target: Any, state: VendorState) -> DeviceMask:
    """Return the devices that `to` matches, before the platform narrows them."""
    if target == "all":
        return state.population.registered_devices(state.vendor)
    if isinstance(target, str):
        raise VendorRefusal(21003, "to is all or an object")
    _check_fields(target, TARGET_FIELDS, set())
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


def _check_body(body: Any, target: Any) -> set[str]:
    """Check the message; return the platforms it is for."""
    _check_fields(body, BODY_FIELDS, {"platform"})
    platforms = _parse_platforms(body["platform"])
    contents = [name for name in CONTENT_FIELDS if body.get(name)]
    if not contents:
        raise VendorRefusal(21002, "one of notification, message, live_activity, voip is needed")
    if len(contents) > 1:
        raise VendorRefusal({"v": 21057, "l": 21054}.get(contents[-1][0], 21306), f"{' and '.join(contents)} together")
    options = body.get("options") or {}
    _check_options(options, contents[0])
    match contents[0]:
        case "notification":
            _check_notification(body["notification"])
        case "message":
            if not isinstance(body["message"], dict) or not body["message"].get("msg_content"):
                raise VendorRefusal(21002, "message.msg_content is missing")
        case "live_activity":
            _check_live_activity(body["live_activity"], platforms, target)
        case "voip" if platforms != {"ios"}:
            raise VendorRefusal(21058, "voip only supports ios")
    if total_json_bytes(body.get("notification"), body.get("message")) > MAX_CONTENT_BYTES:
        raise VendorRefusal(21005, f"more than {MAX_CONTENT_BYTES} bytes")
    return platforms


def _parse_platforms(value: Any) -> set[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise VendorRefusal(21016, "platform is all, a platform, or a list of them")
    if set(names) - PLATFORMS - {"all"}:
        raise VendorRefusal(21003, f"platform {names} is not known")
    return PLATFORMS if "all" in names else set(names)


def _check_notification(notification: Any) -> None:
    if not isinstance(notification, dict):
        raise VendorRefusal(21016, "notification must be an object")
    parts = [part for part in (notification.get(name) for name in PLATFORMS) if part is not None]
    if not all(isinstance(part, dict) for part in parts):
        raise VendorRefusal(21016, "a platform's notification must be an object")
    if "alert" not in notification and not (parts and all("alert" in part for part in parts)):
        raise VendorRefusal(21002, "alert is missing")
    android = notification.get("android") or {}
    if not is_int_between(android.get("priority", 0), -2, 2):
        raise VendorRefusal(21003, "android.priority is from -2 to 2")
    if len(str(android.get("channel_id", "")).encode()) > 1_000:
        raise VendorRefusal(21016, "android.channel_id has more than 1,000 bytes")


def _check_live_activity(live_activity: Any, platforms: set[str], target: Any) -> None:
    ios = live_activity.get("ios") if isinstance(live_activity, dict) else None
    if not isinstance(ios, dict):
        raise VendorRefusal(21002, "live_activity.ios is missing")
    if platforms != {"ios"}:
        raise VendorRefusal(21056, "live_activity only supports ios")
    if ios.get("event") not in ("start", "update", "end"):
        raise VendorRefusal(21050, "event must be start, update or end")
    if not ios.get("content-state"):
        raise VendorRefusal(21053, "content-state is empty")
    if ios["event"] == "start":
        if not ios.get("attributes-type"):
            raise VendorRefusal(21052, "attributes-type is empty")
        if target != "all" and not (
            isinstance(target, dict) and [key for key in target if target[key]] == ["registration_id"]
        ):
            raise VendorRefusal(21051, "only broadcast or registration_id at a start")
    if total_json_bytes({"ios": ios}) > MAX_LIVE_ACTIVITY_BYTES:
        raise VendorRefusal(21005, f"live_activity has more than {MAX_LIVE_ACTIVITY_BYTES} bytes")


def _check_options(options: Any, content_type: str) -> None:
    if not isinstance(options, dict):
        raise VendorRefusal(21016, "options must be an object")
    live = options.get("time_to_live", 0)
    if not is_int_between(number_or_text(live) if isinstance(live, str) else live, 0, MAX_TTL_SECONDS):
        raise VendorRefusal(21003, "time_to_live is from 0 to 15 days")
    if not isinstance(options.get("apns_production", True), bool):
        raise VendorRefusal(21016, "apns_production is true or false")
    if len(str(options.get("apns_collapse_id", "")).encode()) > 64:
        raise VendorRefusal(21016, "apns_collapse_id has more than 64 bytes")
    if (minutes := options.get("big_push_duration")) is not None:
        if content_type in ("live_activity", "voip"):
            raise VendorRefusal(21059, "no big_push_duration for this type")
        if not is_int_between(minutes, 0, 1_440):
            raise VendorRefusal(23006, "big_push_duration is up to 1440")
    _check_channels(options.get("third_party_channel") or {})


def _check_channels(channels: Any) -> None:
    for name, channel in channels.items() if isinstance(channels, dict) else [("", None)]:
        words: JsonObject = channel if isinstance(channel, dict) else {}
        if not isinstance(words.get("distribution_new", words.get("distribution")), str):
            raise VendorRefusal(27009, f"third_party_channel.{name} needs distribution_new")
