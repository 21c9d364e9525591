"""JPush v3, EngageLab's sibling: POST /v3/push and /v3/push/validate, GET /v3/push/cid, tags and devices.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push and /rest_api_v3_device
"""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np

from audience.sandbox.device_tag_calls import TagInterface, UnknownIds, handle_tag_call, name_tag_endpoint
from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, VendorRefusal
from audience.sandbox.request_checks import number_or_text, parse_basic_auth, parse_json_object
from audience.sandbox.tag_lists import LIST_KEYS, ListErrorCodes, read_lists, select_devices
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.jpush.cids import CID_SECONDS, check_cid, create_cids
from audience.sandbox.vendors.jpush.push_checks import CONTENT_FIELDS, PLATFORMS, check_push

NAME = "jpush"
CID_PATH = "/v3/push/cid"
PATHS = ("/v3/push", "/v3/push/validate", CID_PATH, "/v3/tags", "/v3/tags/*", "/v3/devices/*")
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "1003", "2002"
RATE_LIMIT = (600, 60.0)  # calls, seconds; of pushes, and of tags and devices together
HTTP_STATUS_BY_CODE = {1000: 500, 1001: 405, 1004: 401, 1030: 503, 2002: 429, 2003: 403}
HTTP_STATUS_BY_CODE |= {7000: 500, 7001: 401, 7004: 401, 7030: 503}
TAG_REFUSAL_CODE = "7002"  # of calls about tags and devices, in place of DEFAULT_REFUSAL_CODE
LIST_ERROR_CODES = ListErrorCodes(1003, 1003, 1003, unknown_text="The registration_id {} is invalid!")
MAX_LIST_ITEMS = {"tag": 20, "tag_and": 20, "tag_not": 20, "alias": 1_000, "registration_id": 1_000}
OVERRIDE_SECONDS = 86_400.0  # how long a message can be replaced
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
    if call.path != CID_PATH and call.method != "POST":
        raise VendorRefusal(1001, "Only support HTTP Post method.")
    if not state.rate_limiter.try_acquire("push", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "Rate limit exceeded.", headers=_rate_headers(state))
    reply = create_cids(call, state, key) if call.path == CID_PATH else _push(call, state)
    return replace(reply, headers=_rate_headers(state))


def _push(call: HttpCall, state: VendorState) -> HttpReply:
    push, is_validated = parse_json_object(call.body, 1003), call.path.endswith("/validate")
    platforms, cid = check_push(push), push.get("cid") or ""
    if cid and not is_validated:
        check_cid(cid, "push", state)
        if before := state.cached_reply(cid, CID_SECONDS):
            return before
    _check_override(push, state)
    devices = _target_devices(push["audience"], state) & state.population.devices_on_platforms(platforms)
    if not (device_count := int(np.count_nonzero(devices))):
        raise VendorRefusal(1011, "cannot find user by this audience")
    message = state.delivery_log.create_message({name: push[name] for name in CONTENT_FIELDS if name in push})
    sendno = str((push.get("options") or {}).get("sendno", 0))
    reply = HttpReply(200, {"sendno": sendno, "msg_id": message}, message_id=message, device_count=device_count)
    if not is_validated:
        state.delivery_log.record(message, devices)
        if cid:
            state.cache_reply(cid, reply)
    return reply


def _rate_headers(state: VendorState) -> dict[str, str]:
    """Return the headers of every reply: calls of a minute, those that are left, and the seconds to its end."""
    used, seconds = state.rate_limiter.usage("push", RATE_LIMIT[1])
    return {
        "X-Rate-Limit-Limit": str(RATE_LIMIT[0]),
        "X-Rate-Limit-Remaining": str(max(0, RATE_LIMIT[0] - used)),
        "X-Rate-Limit-Reset": str(ceil(seconds)),
    }


def _check_override(push: dict[str, Any], state: VendorState) -> None:
    """Refuse to replace a message that is unknown, or was sent too long ago."""
    number, log = (push.get("options") or {}).get("override_msg_id"), state.delivery_log
    sent = [log.deliveries[place].due for place in log.places_by_message.get(str(number), ())]
    if number is not None and not any(state.clock() - due <= OVERRIDE_SECONDS for due in sent):
        raise VendorRefusal(1003, f"the override_msg_id {number} is invalid")


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call; interfaces of tags and devices have codes of their own."""
    is_default = exc.code == DEFAULT_REFUSAL_CODE and bool(name_tag_endpoint(call.path))
    text = TAG_REFUSAL_CODE if is_default else exc.code
    code: Any = number_or_text(text)
    error = {"code": code, "message": exc.text or "refused"}
    if isinstance(exc, UnknownIds):
        error["illegal_rids"] = exc.ids
    return HttpReply(HTTP_STATUS_BY_CODE.get(code, 400), {"error": error}, code=text, headers=exc.headers)


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


def _target_devices(audience: Any, state: VendorState) -> DeviceMask:
    if audience == "all":
        return state.population.registered_devices(state.vendor)
    if not isinstance(audience, dict):
        raise VendorRefusal(1003, "audience is all or an object")
    if odd := audience.keys() - {*LIST_KEYS, "segment", "abtest", "file", "live_activity_id"}:
        raise VendorRefusal(1009, f"audience.{min(odd)} is not known")
    if activity := audience.get("live_activity_id"):
        if len([key for key in audience if audience[key]]) > 1 or not isinstance(activity, str):
            raise VendorRefusal(1003, "live_activity_id is a text, and the only target")
        return state.population.devices_with_value("live_activity_id", activity)
    if audience.keys() - {*LIST_KEYS} and any(audience[key] for key in audience.keys() - {*LIST_KEYS}):
        raise VendorRefusal(1003, "this sandbox knows no segments, tests or files of a console")
    if not (lists := read_lists(audience, MAX_LIST_ITEMS, LIST_ERROR_CODES)):
        raise VendorRefusal(1002, "audience is empty")
    return select_devices(lists, state, LIST_ERROR_CODES)
