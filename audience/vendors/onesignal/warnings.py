"""Warnings of what OneSignal, or a platform behind it, would cut or ignore in a body.

Sources: https://documentation.onesignal.com/reference/push-notification, and docs/Notification.md of the client
OneSignal/onesignal-python-api for the sound on Android and the bytes of data on Huawei's devices.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.onesignal.message_rules import WEB_FLAGS, read_flags
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload

MAX_HUAWEI_DATA_BYTES = 2_048
HUAWEI_MESSAGE_FIELDS = ("huawei_big_picture", "huawei_large_icon", "buttons")  # not of the type `message`


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut or ignored in a body.

    >>> [problem.path for problem in body_warnings({"contents": {"en": "Hi"}, "android_sound": "bell"})]
    ['$.headings', '$.android_sound']
    """
    flags = read_flags(body)
    if not flags or "isHuawei" in flags:
        yield from _huawei_warnings(body)
    if flags and not {*flags} & {"isIos"}:
        yield from (_ignored(body, key, "is for iOS only") for key in body if key.startswith("ios_"))
    if flags and not {*flags} & {*WEB_FLAGS}:
        yield from (_ignored(body, key, "is for browsers only") for key in body if key.startswith("chrome_web_"))
    if "android_sound" in body and not body.keys() & {"android_channel_id", "existing_android_channel_id"}:
        yield _ignored(body, "android_sound", "works before Android 8 only", "name a channel, which has its sound")
    elif "android_sound" in body:
        yield _ignored(body, "android_sound", "works before Android 8 only: since then the channel decides")
    if body.get("delayed_option"):
        reason = "leaves the time of each device to OneSignal, within a day; quiet hours here do not apply to it"
        yield _ignored(body, "delayed_option", reason, "write send_at without an offset, or --local-time")


def _ignored(body: Payload, key: str, reason: str, hint: str | None = None) -> Problem:
    return Problem("ignored", f"{key} {reason}", path=f"$.{key}", hint=hint)


def _huawei_warnings(body: Payload) -> Iterator[Problem]:
    if "contents" in body and "headings" not in body:
        message, hint = "devices of Huawei need a title", "give the message a title"
        yield Problem("channel-limit", message, path="$.headings", hint=hint)
    size = json_nbytes(get_in(body, "data")) if "data" in body else 0
    if size > MAX_HUAWEI_DATA_BYTES:
        message = f"data takes {size:,} bytes; devices of Huawei get {MAX_HUAWEI_DATA_BYTES:,} at most"
        yield Problem("channel-limit", message, path="$.data", hint="shorten the data")
    if body.keys() & {"huawei_badge_set_num", "huawei_badge_add_num"} and "huawei_badge_class" not in body:
        message = "Huawei changes no badge without huawei_badge_class"
        yield Problem("channel-ignores", message, path="$.huawei_badge_class", hint="name the app's first screen")
    for key in HUAWEI_MESSAGE_FIELDS:
        if key in body and body.get("huawei_msg_type", "message") == "message" and key.startswith("huawei"):
            message = f"devices of Huawei show {key} with the type data only"
            hint = 'set "huawei_msg_type": "data" in vendor.onesignal'
            yield Problem("channel-ignores", message, path=f"$.{key}", hint=hint)
