"""Checks of Huawei Push Kit v1 for a push, and the codes of its page for what they find.

https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197
"""

from pathlib import Path
from typing import Any

from audience.sandbox.field_checks import find_field_problem, get_field, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import total_json_bytes

TABLE = Path(__file__).with_name("push.txt")
TARGETS = ("token", "topic", "condition")
MAX_TOKENS, MAX_BYTES, MAX_TTL_SECONDS = 1_000, 4_096, 1_296_000
CODE_BY_FIELD = {"message.android.collapse_key": 80100013, "message.android.ttl": 80100004}


def check_push(push: JsonObject) -> str:
    """Check the fields of a push, and return the name of its target.

    Raises:
        VendorRefusal: A field is unknown, missing, of another type or too large, or there is not exactly one target.
    """
    if not isinstance(push.get("message"), dict):
        raise VendorRefusal(80300010, "token count should within 1 and 1000")  # so it is when message is misspelt
    message = push["message"]
    if isinstance(tokens := message.get("token"), list) and len(tokens) > MAX_TOKENS:
        raise VendorRefusal(80300010, f"token count should within 1 and {MAX_TOKENS}")
    if problem := find_field_problem(push, load_field_table(TABLE)):
        code = CODE_BY_FIELD.get(problem.path, 80100001 if problem.kind == "unknown" else 80100003)
        raise VendorRefusal(code, f"{problem.path}: {problem.expected}")
    if total_json_bytes({**push, "message": {**message, "token": []}}) > MAX_BYTES:
        raise VendorRefusal(80300008, "The message body size exceeds the default value set by the system (4K)")
    _check_content(message)
    return _find_target(message)


def _find_target(message: JsonObject) -> str:
    named = [name for name in TARGETS if message.get(name)]
    if not named:
        raise VendorRefusal(80300010, f"token count should within 1 and {MAX_TOKENS}")
    if len(named) > 1:
        raise VendorRefusal(80100001, f"{' and '.join(named)} exclude each other")
    return named[0]


def _check_content(message: JsonObject) -> None:
    shared = message.get("notification")
    own = {part: get_field(message, f"{part}.notification") for part in ("android", "webpush")}
    if not any((shared, *own.values(), message.get("apns"), message.get("data"), get_field(message, "android.data"))):
        raise VendorRefusal(80100003, "the message has neither a notification nor data")
    if own["android"] is not None or (shared and not message.get("apns") and not message.get("webpush")):
        _check_android(own["android"] or {}, shared or {}, message)
    ttl = get_field(message, "android.ttl")
    if ttl is not None and float(ttl.rstrip("sS")) > MAX_TTL_SECONDS:
        raise VendorRefusal(80100004, "ttl is at most 1296000s")
    _check_apns(message)


def _check_android(notification: JsonObject, shared: JsonObject, message: JsonObject) -> None:
    for name in ("title", "body"):
        if not (notification.get(name) or shared.get(name)):
            raise VendorRefusal(80100003, f"{name} is missing")
    if notification.get("click_action") is None:
        raise VendorRefusal(80100003, "click_action is missing")
    if get_field(message, "android.category") == "PLAY_VOICE":
        raise VendorRefusal(80100003, "PLAY_VOICE is for messages of data")


def _check_apns(message: JsonObject) -> None:
    aps: Any = get_field(message, "apns.payload.aps")
    if message.get("apns") is None or (isinstance(aps, dict) and aps.get("content-available") == 1):
        return
    alert = aps.get("alert") if isinstance(aps, dict) else None
    own = alert if isinstance(alert, dict) else {"body": alert}
    shared = message.get("notification") or {}
    if not any(part.get(name) for part in (own, shared) for name in ("title", "body")):
        raise VendorRefusal(80100003, "title or body is missing")
