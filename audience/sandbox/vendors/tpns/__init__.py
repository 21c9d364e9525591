"""Tencent TPNS v3: POST /v3/push/app, /v3/push/package/upload for lists that are longer than a call takes, and tags.

A rejection is HTTP 200 with a `ret_code`. https://www.tencentcloud.com/document/product/1024/33764
"""

import base64
import hashlib
import hmac
import json
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.request_checks import (
    is_string_list,
    number_or_text,
    parse_basic_auth,
    parse_json_object,
)
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.tpns.device_tags import DELETE_PATH, TAG_PATH, handle_tag_call
from audience.sandbox.vendors.tpns.loop_tasks import compute_loop_delays
from audience.sandbox.vendors.tpns.packages import read_upload, store_upload
from audience.sandbox.vendors.tpns.push_checks import SERVER_ZONE, check_push
from audience.sandbox.vendors.tpns.tag_rules import evaluate_tag_list, evaluate_tag_rules

NAME = "tpns"
UPLOAD_PATH, CANCEL_PATH = "/v3/push/package/upload", "/v3/push/cancel_timing_task"
PATHS = ("/v3/push/app", UPLOAD_PATH, CANCEL_PATH, TAG_PATH, DELETE_PATH)
DEFAULT_REFUSAL_CODE, RATE_LIMIT_CODE = "1008007", "1008028"
FURTHER_TAG_PATTERN = "{type}:{value}"
RATE_LIMIT = (1, 1.0)  # calls, seconds: all, tag and packages together
REPEATED_BROADCAST_LIMIT = (1, 3_600.0)  # one and the same message to all
RATE_LIMITED_TYPES = ("all", "tag", "package_account_push", "package_token_push")
MAX_LIST_IDS, MAX_TOKEN_CHARS = 1_000, 36


def endpoint_name(call: HttpCall) -> str:
    """Return the path that is called."""
    return call.path


def handle_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Check the call, change tags, store its file, withdraw or deliver its message, and reply."""
    _verify_credentials(call, state)
    if call.path in (TAG_PATH, DELETE_PATH):
        return handle_tag_call(call, state)
    if call.path == CANCEL_PATH:
        return _cancel_task(call, state)
    if call.path == UPLOAD_PATH:
        number = store_upload(call.file, state)
        return HttpReply(200, {"retCode": 0, "errMsg": "", "uploadId": number})
    push = parse_json_object(call.body, 1008001)
    now = state.clock()
    after = check_push(push, now)
    devices, invalid = _target_devices(push, state)
    _check_rate(push, state)
    waits = [after] if push.get("loop_param") is None else compute_loop_delays(push["loop_param"], SERVER_ZONE, now)
    content = {name: push[name] for name in ("message_type", "message")}
    messages = [state.delivery_log.create_message(content) for _ in waits]
    for message, wait in zip(messages, waits, strict=True):
        state.delivery_log.record(message, devices, wait)
    body: JsonObject = {"seq": push.get("seq", 0), "environment": push.get("environment", "product"), "ret_code": 0}
    body["push_id"] = messages if push.get("loop_param") is not None else messages[0]
    if push.get("ignore_invalid_token") == 1 and push["audience_type"] in ("token", "token_list"):
        body["invalid_targe_list"] = invalid
    return HttpReply(200, body, message_id=",".join(messages), device_count=int(np.count_nonzero(devices)))


def build_refusal(exc: VendorRefusal, call: HttpCall) -> HttpReply:
    """Return the reply to a rejected call; an upload and a withdrawal spell its fields differently."""
    code: Any = number_or_text(exc.code)
    text = exc.text or "refused"
    if call.path == UPLOAD_PATH:
        return HttpReply(200, {"retCode": code, "errMsg": text, "uploadId": 0}, code=exc.code)
    if call.path == CANCEL_PATH:
        return HttpReply(200, {"retCode": code, "errMsg": text}, code=exc.code)
    return HttpReply(200, {"seq": 0, "ret_code": code, "err_msg": text}, code=exc.code)


def build_failure(status: int, call: HttpCall) -> HttpReply:
    """Return the reply of a failing server."""
    return HttpReply(
        status, build_refusal(VendorRefusal(1008004, "failed to call internal service"), call).body, code="1008004"
    )


def sign(secret: str, timestamp: str, access_id: str, body: bytes) -> str:
    """Return the content of the header Sign: base64 of the hexadecimal HMAC-SHA256, not of its bytes.

    >>> sign("secret", "1565314789", "1500001048", b"{}")[:24]
    'MDU1N2YxM2YxYTZhNTkwMzY5'
    """
    text = timestamp.encode() + access_id.encode() + body
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).hexdigest().encode()).decode()


def _verify_credentials(call: HttpCall, state: VendorState) -> None:
    if call.method != "POST":
        raise VendorRefusal(1008001, "only POST")
    given, access = call.headers.get("sign"), call.headers.get("accessid", "")
    if given is None:
        pair = parse_basic_auth(call)
        if not pair:
            raise VendorRefusal(1008003, "authentication failed")
        if not state.accepts_credentials(*pair):
            raise VendorRefusal(10030002, "AccessId and SecretKey do not match")
        return
    moment, secret = call.headers.get("timestamp", ""), state.signing_secret(access)
    if not access or isinstance(number_or_text(moment), str) or not state.knows_key(access):
        raise VendorRefusal(1008003, "Sign needs AccessId and TimeStamp")
    if secret is not None and not hmac.compare_digest(sign(secret, moment, access, call.body).encode(), given.encode()):
        raise VendorRefusal(1008003, "Sign does not fit the body")


def _cancel_task(call: HttpCall, state: VendorState) -> HttpReply:
    """Withdraw a push that still waits for its time; https://www.tencentcloud.com/document/product/1024/39064.

    The page writes `pushId` in its table and `pushid` in its sample, and names no code for a push that does not wait.
    """
    request = parse_json_object(call.body, 1008001)
    push_id = request.get("pushId", request.get("pushid"))
    if push_id is None:
        raise VendorRefusal(1008002, "pushId is missing")
    if not isinstance(push_id, str | int) or isinstance(push_id, bool):
        raise VendorRefusal(1008007, "pushId is the id of a push")
    if str(push_id) not in state.delivery_log.content_by_message:
        raise VendorRefusal(1008015, f"there is no push {push_id}")
    if not state.delivery_log.cancel_message(str(push_id)):
        raise VendorRefusal(1008007, f"the push {push_id} does not wait for its time")
    return HttpReply(200, {"retCode": 0, "errMsg": ""}, message_id=str(push_id))


def _check_rate(push: JsonObject, state: VendorState) -> None:
    """Reject a call above the rate limit; only calls that are otherwise valid are counted."""
    if push["audience_type"] not in RATE_LIMITED_TYPES:
        return
    if not state.rate_limiter.try_acquire("slow", *RATE_LIMIT):
        raise VendorRefusal(RATE_LIMIT_CODE, "one push to all, tags or packages a second")
    if push["audience_type"] == "all":
        digest = hashlib.sha256(json.dumps(push, sort_keys=True).encode()).hexdigest()
        if not state.rate_limiter.try_acquire(f"all {digest}", *REPEATED_BROADCAST_LIMIT):
            raise VendorRefusal(10010018, "the same push to all within an hour")


def _target_devices(push: JsonObject, state: VendorState) -> tuple[DeviceMask, list[str]]:
    """Return the devices that a push matches, and the tokens that no device has."""
    kind = push["audience_type"]
    match kind:
        case "all":
            return state.population.registered_devices(state.vendor), []
        case "tag" if push.get("tag_rules") is not None:
            return evaluate_tag_rules(push["tag_rules"], state), []
        case "tag":
            return evaluate_tag_list(push.get("tag_list"), state), []
        case "token" | "token_list":
            return _devices_by_tokens(_read_ids(push, "token_list", kind), push.get("ignore_invalid_token") == 1, state)
        case "account" | "account_list":
            names = _read_ids(push, "account_list", kind)
        case "package_token_push":
            return _devices_by_tokens(read_upload(push, state), True, state)
        case _:
            names = read_upload(push, state)
    rows_by_account = state.population.rows_by_name("account", names)
    if not rows_by_account:
        raise VendorRefusal(10010005, "the push target does not exist")
    all_devices = push.get("account_push_type") == 1
    devices = state.population.no_devices()
    devices[[row for rows in rows_by_account.values() for row in (rows if all_devices else rows[-1:])]] = True
    return devices & state.population.registered_devices(state.vendor), []


def _read_ids(push: JsonObject, name: str, audience_type: str) -> list[str]:
    """Return the ids of a list, or the first one for an audience of a single id."""
    ids = push.get(name)
    if ids is None:
        raise VendorRefusal(1008002, f"{name} is missing")
    if not isinstance(ids, list) or not is_string_list(ids) or not ids:
        raise VendorRefusal(1008007, f"{name} is a list of texts")
    if audience_type.endswith("_list") and len(ids) > MAX_LIST_IDS:
        raise VendorRefusal(1008007, f"{name} has more than {MAX_LIST_IDS}")
    return ids if audience_type.endswith("_list") else ids[:1]


def _devices_by_tokens(tokens: list[str], ignore_unknown: bool, state: VendorState) -> tuple[DeviceMask, list[str]]:
    ids = state.population.rows_by_id(state.vendor)
    invalid = [token for token in tokens if token not in ids]
    if invalid and not ignore_unknown:
        code = 1008029 if any(len(token) > MAX_TOKEN_CHARS for token in invalid) else 1008006
        raise VendorRefusal(code, f"invalid token {invalid[0]}")
    devices = state.population.no_devices()
    devices[[ids[token] for token in tokens if token in ids]] = True
    return devices, invalid
