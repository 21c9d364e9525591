"""What EMAS takes, and yet would cut or pass over.

https://help.aliyun.com/document_detail/48089.html and https://help.aliyun.com/document_detail/2979224.html,
read 2026-11-21.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.emas.oem_rules import (
    SHOWN_BY,
    SHOWN_BY_V2,
    own_alone,
    partly_shown,
    short_lived,
    text_message,
    used,
)
from audience.vendors.emas.size_limits import TITLE_BYTES, TITLE_CHARACTERS
from audience.vendors.oem_channels import cut
from audience.vendors.schema_check import at
from audience.vendors.spec import Payload

_IN_A_MESSAGE = ("AndroidExtParameters", "HarmonyExtParameters")
_IN_A_NOTICE = ("AndroidRemind", "HarmonyRemind", "iOSRemind")
_GIVES_WAY = {
    "AndroidBadgeAddNum": "AndroidBadgeSetNum",
    "AndroidOppoDeleteIntentData": "AndroidOppoIntelligentIntent",
    "ExpireTime": "SmsDelaySecs",
}
DEPRECATED = (
    *("SendSpeed", "AndroidXiaomiBigPictureUrl", "AndroidXiaomiImageUrl"),
    *("AndroidXiaoMiNotifyTitle", "AndroidXiaoMiNotifyBody", "AndroidXiaoMiActivity"),
)


def push(body: Payload) -> Iterator[Problem]:
    """What of the parameters of Push would be cut or passed over."""
    notice = body["PushType"] == "NOTICE"
    if body["DeviceType"] in ("ALL", "ANDROID") and (notice or body.get("AndroidRemind") is True):
        yield from _to_android(body)
    for name in _IN_A_NOTICE if notice else _IN_A_MESSAGE:
        if name in body:
            yield _ignored(f"{name} says nothing in a {body['PushType']}", f"$.{name}")
    for name in DEPRECATED:
        if name in body:
            yield _ignored(f"{name} is deprecated", f"$.{name}")
    for name, stronger in _GIVES_WAY.items():
        if name in body and stronger in body:
            yield _ignored(f"{name} gives way to {stronger}", f"$.{name}")
    if "ExpireTime" in body and body.get("StoreOffline") is not True:
        yield _ignored("ExpireTime says nothing without StoreOffline: true", "$.ExpireTime")
    yield from partly_shown(body, SHOWN_BY, "$")
    yield from short_lived(body.get("ExpireTime"), "$.ExpireTime")
    yield from text_message(body.get("SmsDelaySecs"), "$.SmsDelaySecs")


def _to_android(body: Payload) -> Iterator[Problem]:
    if "AndroidPopupActivity" not in body:
        yield own_alone("AndroidPopupActivity, AndroidPopupTitle and AndroidPopupBody", "$")
        return
    if body.get("StoreOffline") is not True:
        yield own_alone("StoreOffline: true, which time_to_live brings,", "$.StoreOffline")
    if ("AndroidBadgeSetNum" in body or "AndroidBadgeAddNum" in body) and "AndroidBadgeClass" not in body:
        yield Problem("no-badge", "Huawei and Honor set a badge for AndroidBadgeClass only", path="$")
    channels = used(body.get("SendChannels"))
    yield from cut("$.AndroidPopupTitle", body.get("AndroidPopupTitle"), "title", channels)
    yield from cut("$.AndroidPopupBody", body.get("AndroidPopupBody"), "content", channels)


def _ignored(words: str, path: str) -> Problem:
    return Problem("ignored", words, path=path)


def push_task(body: Payload) -> Iterator[Problem]:
    """What of a PushTask would be cut or passed over."""
    notification, options, platform = at(body, "Notification"), at(body, "Options"), at(body, "Target").get("Platform")
    if notification and platform in (None, "ANDROID"):
        yield from _task_to_android(body)
    if platform is None:
        yield from _titled(notification.get("Title"))
    if {"BadgeSetNum", "BadgeAddNum"} <= at(notification, "Android").keys():
        yield _ignored("BadgeAddNum gives way to BadgeSetNum", "$.Notification.Android.BadgeAddNum")
    if notification and "Message" in body:
        words = "a device gets one of them: Message where it is online, else Notification"
        yield Problem("one-of-two", words, path="$")
    if "ExpireTime" in options and "Sms" in options:
        yield _ignored("ExpireTime gives way to Sms.DelaySecs", "$.Options.ExpireTime")
    yield from partly_shown(_flat(notification), SHOWN_BY_V2, "$.Notification")
    yield from short_lived(options.get("ExpireTime"), "$.Options.ExpireTime")
    yield from text_message(at(options, "Sms").get("DelaySecs"), "$.Options.Sms.DelaySecs")


def _task_to_android(body: Payload) -> Iterator[Problem]:
    notification, options = at(body, "Notification"), at(body, "Options")
    android, path = at(notification, "Android"), "$.Notification"
    if "VendorChannelActivity" not in android:
        yield own_alone("VendorChannelActivity", f"{path}.Android")
        return
    if ("BadgeSetNum" in android or "BadgeAddNum" in android) and "BadgeActivity" not in android:
        yield Problem("no-badge", "Huawei and Honor set a badge for BadgeActivity only", path=f"{path}.Android")
    channels = used(options.get("UseChannels"))
    yield from cut(f"{path}.Title", notification.get("Title"), "title", channels)
    yield from cut(f"{path}.Body", notification.get("Body"), "content", channels)


def _titled(title: object) -> Iterator[Problem]:
    """A title for all platforms that is too long for some."""
    path = "$.Notification.Title"
    if isinstance(title, str) and len(title) > TITLE_CHARACTERS:
        yield Problem("long-on-android", f"{len(title)} characters; Android takes {TITLE_CHARACTERS}", path=path)
    if isinstance(title, str) and len(title.encode()) > TITLE_BYTES:
        yield Problem("long-on-ios", f"{len(title.encode())} bytes; iOS takes {TITLE_BYTES}", path=path)


def _flat(fields: Payload) -> Payload:
    """*fields* and those of the objects in them, by dotted names.

    >>> _flat({"a": {"b": {"c": 1}}})
    {'a': {'b': {'c': 1}}, 'a.b': {'c': 1}, 'a.b.c': 1}
    """
    found = dict(fields)
    for name, value in fields.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": leaf for inner, leaf in _flat(value).items()}
    return found
