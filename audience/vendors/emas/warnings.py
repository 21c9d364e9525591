"""What EMAS takes, and yet would cut or pass over.

https://help.aliyun.com/document_detail/48089.html and https://help.aliyun.com/document_detail/2979224.html,
read 2026-11-21.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.emas.oem_rules import (
    SUPPORTING_CHANNELS,
    SUPPORTING_CHANNELS_V2,
    own_channel_warning,
    partial_support_warnings,
    select_channels,
    short_lifetime_warnings,
    sms_delay_warnings,
)
from audience.vendors.emas.size_limits import MAX_TITLE_BYTES, MAX_TITLE_CHARS
from audience.vendors.oem_channels import length_warnings
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

_IGNORED_IN_MESSAGE = ("AndroidExtParameters", "HarmonyExtParameters")
_IGNORED_IN_NOTICE = ("AndroidRemind", "HarmonyRemind", "iOSRemind")
_OVERRIDDEN_BY = {
    "AndroidBadgeAddNum": "AndroidBadgeSetNum",
    "AndroidOppoDeleteIntentData": "AndroidOppoIntelligentIntent",
    "ExpireTime": "SmsDelaySecs",
}
DEPRECATED_FIELDS = (
    *("SendSpeed", "AndroidXiaomiBigPictureUrl", "AndroidXiaomiImageUrl"),
    *("AndroidXiaoMiNotifyTitle", "AndroidXiaoMiNotifyBody", "AndroidXiaoMiActivity"),
)


def push_warnings(body: Payload) -> Iterator[Problem]:
    """What of the parameters of Push would be cut or passed over."""
    notice = body["PushType"] == "NOTICE"
    if body["DeviceType"] in ("ALL", "ANDROID") and (notice or body.get("AndroidRemind") is True):
        yield from _android_warnings(body)
    for name in _IGNORED_IN_NOTICE if notice else _IGNORED_IN_MESSAGE:
        if name in body:
            yield _ignored_warning(f"{name} says nothing in a {body['PushType']}", f"$.{name}")
    for name in DEPRECATED_FIELDS:
        if name in body:
            yield _ignored_warning(f"{name} is deprecated", f"$.{name}")
    for name, stronger in _OVERRIDDEN_BY.items():
        if name in body and stronger in body:
            yield _ignored_warning(f"{name} gives way to {stronger}", f"$.{name}")
    if "ExpireTime" in body and body.get("StoreOffline") is not True:
        yield _ignored_warning("ExpireTime says nothing without StoreOffline: true", "$.ExpireTime")
    yield from partial_support_warnings(body, SUPPORTING_CHANNELS, "$")
    yield from short_lifetime_warnings(body.get("ExpireTime"), "$.ExpireTime")
    yield from sms_delay_warnings(body.get("SmsDelaySecs"), "$.SmsDelaySecs")


def _android_warnings(body: Payload) -> Iterator[Problem]:
    if "AndroidPopupActivity" not in body:
        yield own_channel_warning("AndroidPopupActivity, AndroidPopupTitle and AndroidPopupBody", "$")
        return
    if body.get("StoreOffline") is not True:
        yield own_channel_warning("StoreOffline: true, which time_to_live brings,", "$.StoreOffline")
    if ("AndroidBadgeSetNum" in body or "AndroidBadgeAddNum" in body) and "AndroidBadgeClass" not in body:
        yield Problem("no-badge", "Huawei and Honor set a badge for AndroidBadgeClass only", path="$")
    channels = select_channels(body.get("SendChannels"))
    yield from length_warnings("$.AndroidPopupTitle", body.get("AndroidPopupTitle"), "title", channels)
    yield from length_warnings("$.AndroidPopupBody", body.get("AndroidPopupBody"), "content", channels)


def _ignored_warning(message: str, path: str) -> Problem:
    return Problem("ignored", message, path=path)


def push_task_warnings(body: Payload) -> Iterator[Problem]:
    """What of a PushTask would be cut or passed over."""
    notification, options, platform = (
        get_in(body, "Notification"),
        get_in(body, "Options"),
        get_in(body, "Target").get("Platform"),
    )
    if notification and platform in (None, "ANDROID"):
        yield from _task_android_warnings(body)
    if platform is None:
        yield from _title_length_warnings(notification.get("Title"))
    if {"BadgeSetNum", "BadgeAddNum"} <= get_in(notification, "Android").keys():
        yield _ignored_warning("BadgeAddNum gives way to BadgeSetNum", "$.Notification.Android.BadgeAddNum")
    if notification and "Message" in body:
        words = "a device gets one of them: Message where it is online, else Notification"
        yield Problem("one-of-two", words, path="$")
    if "ExpireTime" in options and "Sms" in options:
        yield _ignored_warning("ExpireTime gives way to Sms.DelaySecs", "$.Options.ExpireTime")
    yield from partial_support_warnings(_flatten_fields(notification), SUPPORTING_CHANNELS_V2, "$.Notification")
    yield from short_lifetime_warnings(options.get("ExpireTime"), "$.Options.ExpireTime")
    yield from sms_delay_warnings(get_in(options, "Sms").get("DelaySecs"), "$.Options.Sms.DelaySecs")


def _task_android_warnings(body: Payload) -> Iterator[Problem]:
    notification, options = get_in(body, "Notification"), get_in(body, "Options")
    android, path = get_in(notification, "Android"), "$.Notification"
    if "VendorChannelActivity" not in android:
        yield own_channel_warning("VendorChannelActivity", f"{path}.Android")
        return
    if ("BadgeSetNum" in android or "BadgeAddNum" in android) and "BadgeActivity" not in android:
        yield Problem("no-badge", "Huawei and Honor set a badge for BadgeActivity only", path=f"{path}.Android")
    channels = select_channels(options.get("UseChannels"))
    yield from length_warnings(f"{path}.Title", notification.get("Title"), "title", channels)
    yield from length_warnings(f"{path}.Body", notification.get("Body"), "content", channels)


def _title_length_warnings(title: object) -> Iterator[Problem]:
    """A title for all platforms that is too long for some."""
    path = "$.Notification.Title"
    if isinstance(title, str) and len(title) > MAX_TITLE_CHARS:
        yield Problem("long-on-android", f"{len(title)} characters; Android takes {MAX_TITLE_CHARS}", path=path)
    if isinstance(title, str) and len(title.encode()) > MAX_TITLE_BYTES:
        yield Problem("long-on-ios", f"{len(title.encode())} bytes; iOS takes {MAX_TITLE_BYTES}", path=path)


def _flatten_fields(fields: Payload) -> Payload:
    """*fields* and those of the objects in them, by dotted names.

    >>> _flatten_fields({"a": {"b": {"c": 1}}})
    {'a': {'b': {'c': 1}}, 'a.b': {'c': 1}, 'a.b.c': 1}
    """
    found = dict(fields)
    for name, value in fields.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": leaf for inner, leaf in _flatten_fields(value).items()}
    return found
