"""Rules of Umeng for a body, beyond the types of its fields.

Source: https://dev.umeng.com/push/android/api-doc, whose errors say what is required. The copies differ in the largest
payload for Android: 1,840 bytes, or 2,048 in the newer one. How the bytes are counted is in neither; here they are
those of the JSON.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from audience.errors import Problem
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.shared.maker_words import find_changed_targets
from audience.vendors.spec import Payload
from audience.vendors.umeng.times import time_problems

ANDROID_KEYS = ("display_type", "body", "extra")  # of a payload; all others are for iOS
RESERVED_KEYS = ("d", "p", "aps", *ANDROID_KEYS)  # names that data for iOS cannot have; d and p are Umeng's own
MAX_ANDROID_BYTES, SURE_ANDROID_BYTES = 2_048, 1_840
MAX_IOS_BYTES = 2_012
MAX_COLLAPSE_ID_BYTES = 64
NEEDED_BY_ACTION = {"go_url": "url", "go_activity": "activity", "go_custom": "custom"}


def find_platforms(body: Any) -> list[str]:
    """Return the platforms that a body has a payload for.

    >>> find_platforms({"payload": {"aps": {}}}), find_platforms({"payload": {"body": {}, "aps": {}}})
    (['ios'], ['android', 'ios'])
    """
    payload = get_in(body, "payload")
    has_android = any(key in payload for key in ANDROID_KEYS)
    return [*(["android"] if has_android else []), *(["ios"] if "aps" in payload else [])]


def keep_half(payload: Mapping[str, Any], platform: str) -> Payload:
    """Return what of *payload* is for one platform.

    >>> keep_half({"display_type": "message", "aps": {}, "order": 17}, "ios")
    {'aps': {}, 'order': 17}
    """
    return {key: value for key, value in payload.items() if (key in ANDROID_KEYS) == (platform == "android")}


def _half_problems(body: Any) -> Iterator[Problem]:
    """Find a payload for no platform, and keys beside that of Android which are no data for iOS."""
    platforms, payload = find_platforms(body), get_in(body, "payload")
    if not platforms:
        message, hint = "a payload has display_type and body for Android, or aps for iOS", "give the message a body"
        yield Problem("missing-key", message, path="$.payload", hint=hint)
    for key in payload:
        if platforms == ["android"] and key not in ANDROID_KEYS:
            hint = "put keys of your own into data, or extra"
            yield Problem("unknown-key", f"unknown key {key!r}", path=f"$.payload.{key}", hint=hint)
        elif "ios" in platforms and key in ("d", "p"):
            message = f"{key!r} is a key of Umeng's own"
            yield Problem("wrong-value", message, path=f"$.payload.{key}", hint="rename the key")


def _android_problems(body: Any) -> Iterator[Problem]:
    if "android" not in find_platforms(body):
        return
    content, kind = get_in(body, "payload", "body"), get_in(body, "payload").get("display_type")
    if kind is None:
        hint = "notification or message"
        yield Problem("missing-key", "'display_type' is required", path="$.payload", hint=hint)
    needed = {"notification": ("title", "text"), "message": ("custom",)}.get(str(kind), ())
    for key in needed:
        if not content.get(key):
            hint = "give the message data" if key == "custom" else "give the message a title and a body"
            yield Problem("missing-key", f"{key!r} is required", path="$.payload.body", hint=hint)
    action = content.get("after_open")
    demanded = NEEDED_BY_ACTION.get(action) if isinstance(action, str) else None
    if demanded is not None and not content.get(demanded):
        message = f"{demanded!r} is required with after_open {action}"
        yield Problem("missing-key", message, path="$.payload.body")


def _ios_problems(body: Any) -> Iterator[Problem]:
    aps = get_in(body, "payload", "aps")
    if "ios" in find_platforms(body) and not aps.get("alert") and aps.get("content-available") != 1:
        hint = "give the message a body, or make it silent"
        yield Problem("missing-key", "'alert' is required", path="$.payload.aps", hint=hint)


def _size_problems(body: Any) -> Iterator[Problem]:
    payload = get_in(body, "payload")
    maximums = {"android": MAX_ANDROID_BYTES, "ios": MAX_IOS_BYTES}
    for platform in find_platforms(body):
        size, maximum = json_nbytes(keep_half(payload, platform)), maximums[platform]
        if size > maximum:
            message = f"the payload for {platform} takes {size:,} bytes; the maximum is {maximum:,}"
            yield Problem("too-long", message, path="$.payload", hint="shorten the message, or its data")
    collapse_id = get_in(body, "policy").get("apns_collapse_id")
    if isinstance(collapse_id, str) and len(collapse_id.encode()) > MAX_COLLAPSE_ID_BYTES:
        message = f"apns_collapse_id takes more than {MAX_COLLAPSE_ID_BYTES} bytes"
        yield Problem("too-long", message, path="$.policy.apns_collapse_id")


def _filter_problems(body: Any) -> Iterator[Problem]:
    """Find properties of Xiaomi's channel that choose the devices, which is left to the expression."""
    name = "xiaomi_extra_properties"
    properties = get_in(body, "channel_properties", name)
    yield from find_changed_targets(properties, f"$.channel_properties.{name}")


RULES = (_half_problems, _android_problems, _ios_problems, _size_problems, _filter_problems, time_problems)
