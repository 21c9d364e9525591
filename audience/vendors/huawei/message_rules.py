"""Rules of Huawei Push Kit v1 for a body, beyond the types of its fields.

Source: https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197. The page does
not say how Huawei counts the 4,096 bytes of a message without its tokens. Here the bytes of the whole request are
counted, with `validate_only`, so that a dry run accepts exactly what is sent.
"""

import re
from collections.abc import Iterator
from typing import Any

from audience.errors import Problem
from audience.messages import merge_patch
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload

MAX_BYTES = 4_096
MAX_TTL_SECONDS = 1_296_000  # 15 days
PARTS = ("android", "apns", "webpush")
VOICE = "PLAY_VOICE"
OTHER_SYSTEM = "v1 reaches android and ios; HarmonyOS 5 and later have tokens of another interface, v3"


def excess_problems(body: Any) -> Iterator[Problem]:
    """Find whether a request without its tokens is too large."""
    size = json_nbytes(merge_patch(body, {"validate_only": False, "message": {"token": []}}))
    if size > MAX_BYTES:
        message = f"a message takes {size:,} bytes without its tokens; the maximum is {MAX_BYTES:,}"
        yield Problem("too-long", message, path="$.message", hint="shorten the message, or its data")


def _size_problems(body: Any) -> Iterator[Problem]:
    if isinstance(body, dict):
        yield from excess_problems(body)


def _kind_problems(body: Any) -> Iterator[Problem]:
    """Find a message that nobody would get, and a text that only a part of it has."""
    message = get_in(body, "message")
    if "data" not in message and not any(part in message for part in PARTS):
        yield Problem(
            "missing-key", "a part for android or apns, or data, is required", path="$.message", hint=OTHER_SYSTEM
        )
    if _has_notification(message):
        yield from _text_problems(message)
        if get_in(message, "android").get("category") == VOICE:
            reason = f"{VOICE} is for messages to the app only"
            yield Problem("excluded", reason, path="$.message.android.category", hint='set "kind": "silent"')
    elif "android" in message and "data" not in message and "data" not in get_in(message, "android"):
        yield Problem("missing-key", "'data' is required", path="$.message", hint="give the message data, or a text")


def _has_notification(message: Payload) -> bool:
    """Return whether Android devices are shown something."""
    android = get_in(message, "android")
    return "notification" in android or (
        "notification" in message and "apns" not in message and "webpush" not in message
    )


def _text_problems(message: Payload) -> Iterator[Problem]:
    shared, path = get_in(message, "notification"), "$.message.android.notification"
    own = get_in(message, "android", "notification")
    for key in ("title", "body"):
        if not (own.get(key) or shared.get(key)):
            yield Problem("missing-key", f"{key!r} is required", path=path, hint=f"give the message a {key}")
    if "click_action" not in own:
        hint = "type 3 opens the app"
        yield Problem("missing-key", "'click_action' is required", path=path, hint=hint)


def _alert_problems(body: Any) -> Iterator[Problem]:
    """Find a notification on iOS without a text."""
    message = get_in(body, "message")
    aps = get_in(message, "apns", "payload", "aps")
    if "apns" not in message or aps.get("content-available") == 1:
        return
    alert = aps.get("alert")
    texts = alert if isinstance(alert, dict) else {"body": alert}
    if not any(part.get(key) for part in (texts, get_in(message, "notification")) for key in ("title", "body")):
        path = "$.message.apns.payload.aps.alert"
        yield Problem("missing-key", "'title' or 'body' is required", path=path, hint="give the message a text")


def _ttl_problems(body: Any) -> Iterator[Problem]:
    ttl = get_in(body, "message", "android").get("ttl")
    seconds = re.match(r"[0-9]+(\.[0-9]+)?", ttl) if isinstance(ttl, str) else None
    if seconds and float(seconds[0]) > MAX_TTL_SECONDS:
        message = f"{ttl} is more than {MAX_TTL_SECONDS:,} seconds"
        yield Problem("wrong-value", message, path="$.message.android.ttl", hint="at most 15 days")


RULES = (_kind_problems, _alert_problems, _size_problems, _ttl_problems)
