"""JPush v3, EngageLab's sibling: POST /v3/push and /v3/push/validate, GET /v3/push/cid, tags and devices.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push and /rest_api_v3_device
"""

from typing import Any
from uuid import uuid4

import numpy as np

from audience.sandbox.device_tag_calls import TagInterface, UnknownIds, handle_tag_call, name_tag_endpoint
from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, VendorRefusal
from audience.sandbox.request_checks import (
    is_int_between,
    number_or_text,
    parse_basic_auth,
    parse_json_object,
    total_json_bytes,
)
from audience.sandbox.tag_lists import LIST_KEYS, ListErrorCodes, read_lists, select_devices
from audience.sandbox.vendor_state import VendorState

NAME = "jpush"
PATHS = ("/v3/push", "/v3/push/validate", "/v3/push/cid", "/v3/tags", "/v3/tags/*", "/v3/devices/*")
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "1003", "2002"
RATE_LIMIT = (600, 60.0)  # calls, seconds; of pushes, and of tags and devices together
HTTP_STATUS_BY_CODE = {1000: 500, 1001: 405, 1004: 401, 1030: 503, 2002: 429, 2003: 429}
HTTP_STATUS_BY_CODE |= {7000: 500, 7001: 401, 7004: 401, 7030: 503}
TAG_REFUSAL_CODE = "7002"  # of calls about tags and devices, in place of DEFAULT_REFUSAL_CODE
LIST_ERROR_CODES = ListErrorCodes(wrong_type=1003, too_long=1003, unknown_id=1003)
MAX_LIST_ITEMS = {"tag": 20, "tag_and": 20, "tag_not": 20, "alias": 1_000, "registration_id": 1_000}
PUSH_FIELDS = {"platform", "audience", "notification", "message", "options", "cid", "sms_message", "callback"}
PUSH_FIELDS |= {"notification_3rd", "live_activity", "inapp_message"}
CONTENT_FIELDS = ("notification", "message", "live_activity", "inapp_message")
PLATFORMS = {"android", "ios", "hmos", "quickapp", "winphone"}
MAX_CONTENT_BYTES = 4_000  # bytes
CID_SECONDS = 86_400.0
TAG_INTERFACE = TagInterface(
    version="/v3",
    platforms=frozenset(PLATFORMS),
    tag_characters="[0-9A-Za-z_\u3400-\u4dbf\u4e00-\u9fff@!#$&*+=.|]",
    max_listed_tags=100,
    max_device_tags=1_000,
    max_tag_devices=None,
    max_tags=None,
    wrong_method=7002,
    missing=7002,
    invalid=7002,
    unknown_id=7013,
    unknown_device=7002,
    done="",
    format_status=lambda known: {each: {"online": True} if is_known else {} for each, is_known in known.items()},
)


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called, with `*` in place of tags and ids."""
    return name_tag_endpoint(call.path) or call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call; change or read tags, or deliver the message unless it is only validated; and reply.

    A `cid` is processed once a day.
    """
    if name_tag_endpoint(call.path):
        _admit_tag_call(call, state)
        return HttpReply(200, handle_tag_call(call, state, TAG_INTERFACE))
    key = _authenticate(call, state)
    if call.path.endswith("/cid"):
        return _create_cids(call)
    if call.method != "POST":
        raise VendorRefusal(1001, "Only support HTTP Post method.")
    if not state.rate_limiter.try_acquire("push", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "Rate limit exceeded.")
    push = parse_json_object(call.body, 1003)
    _check_push(push)
    cid = f"{key} {push['cid']}" if push.get("cid") else ""
    if (before := state.cached_reply(cid, CID_SECONDS)) and not call.path.endswith("/validate"):
        return before
    devices = _target_devices(push["audience"], state) & state.population.devices_on_platforms(
        _parse_platforms(push["platform"])
    )
    if not (device_count := int(np.count_nonzero(devices))):
        raise VendorRefusal(1011, "cannot find user by this audience")
    message = state.delivery_log.create_message({name: push[name] for name in CONTENT_FIELDS if name in push})
    sendno = str((push.get("options") or {}).get("sendno", 0))
    reply = HttpReply(200, {"sendno": sendno, "msg_id": message}, message_id=message, device_count=device_count)
    if not call.path.endswith("/validate"):
        state.delivery_log.record(message, devices)
        if cid:
            state.cache_reply(cid, reply)
    return reply


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call; interfaces of tags and devices have codes of their own."""
    is_default = exc.code == DEFAULT_REFUSAL_CODE and bool(name_tag_endpoint(call.path))
    text = TAG_REFUSAL_CODE if is_default else exc.code
    code: Any = number_or_text(text)
    error = {"code": code, "message": exc.text or "refused"}
    if isinstance(exc, UnknownIds):
        error["illegal_rids"] = exc.ids
    return HttpReply(HTTP_STATUS_BY_CODE.get(code, 400), {"error": error}, code=text)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    code, text = (1030, "Inner service over time.") if status == 503 else (1000, "Server error.")
    if name_tag_endpoint(call.path):
        code += 6_000
    return HttpReply(status, build_refusal(VendorRefusal(code, text), call).body, code=str(code))


def _admit_tag_call(call: HttpCall, state: VendorState) -> None:
    if not call.headers.get("authorization"):
        raise VendorRefusal(7001, "the authorization is empty")
    pair = parse_basic_auth(call)
    if not pair or not state.accepts_credentials(*pair):
        raise VendorRefusal(7004, "the authorization is wrong")
    if not state.rate_limiter.try_acquire("device", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "Rate limit exceeded.")


def _authenticate(call: HttpCall, state: VendorState) -> str:
    """Return the caller's key."""
    pair = parse_basic_auth(call)
    if not pair or not state.accepts_credentials(*pair):
        raise VendorRefusal(1004, "Authen failed.")
    return pair[0]


def _check_push(push: dict[str, Any]) -> None:
    if missing := {"platform", "audience"} - push.keys():
        raise VendorRefusal(1002, f"{min(missing)} is missing")
    if odd := push.keys() - PUSH_FIELDS:
        raise VendorRefusal(1003, f"unexpected parameter {min(odd)}")
    if not any(push.get(name) for name in CONTENT_FIELDS):
        raise VendorRefusal(1002, "notification or message is missing")
    if not isinstance(push.get("options") or {}, dict) or not isinstance(push.get("cid", ""), str):
        raise VendorRefusal(1003, "options is an object, cid a text")
    if total_json_bytes(push.get("notification"), push.get("message")) > MAX_CONTENT_BYTES:
        raise VendorRefusal(1005, f"more than {MAX_CONTENT_BYTES} bytes")


def _parse_platforms(value: Any) -> set[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not {*map(str, names)} <= {*PLATFORMS, "all"}:
        raise VendorRefusal(1003, f"platform {value} is invalid")
    return PLATFORMS if "all" in names else set(names)


def _target_devices(audience: Any, state: VendorState) -> DeviceMask:
    if audience == "all":
        return state.population.registered_devices(state.vendor)
    if not isinstance(audience, dict):
        raise VendorRefusal(1003, "audience is all or an object")
    if odd := audience.keys() - {*LIST_KEYS, "segment", "abtest", "file", "live_activity_id"}:
        raise VendorRefusal(1009, f"audience.{min(odd)} is not known")
    if audience.keys() - {*LIST_KEYS} and any(audience[key] for key in audience.keys() - {*LIST_KEYS}):
        raise VendorRefusal(1003, "this sandbox knows no segments, tests or files of a console")
    if not (lists := read_lists(audience, MAX_LIST_ITEMS, LIST_ERROR_CODES)):
        raise VendorRefusal(1002, "audience is empty")
    return select_devices(lists, state, LIST_ERROR_CODES)


def _create_cids(call: HttpCall) -> HttpReply:
    count = call.query.get("count", "1")
    if not is_int_between(number_or_text(count), 1, 1_000):
        raise VendorRefusal(1003, "count is from 1 to 1000")
    return HttpReply(200, {"cidlist": [str(uuid4()) for _ in range(int(count))]})
