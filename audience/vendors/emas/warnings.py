"""Warnings of what EMAS would cut or ignore in a body that it takes.

Sources: https://help.aliyun.com/document_detail/48089.html and https://help.aliyun.com/document_detail/2979224.html,
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
from audience.vendors.emas.push_task import get_platform_word
from audience.vendors.emas.size_limits import MAX_TITLE_BYTES, MAX_TITLE_CHARS
from audience.vendors.emas.timestamps import DEFAULT_LIFETIME
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
LIVE_FIELDS = ("iOSLiveActivityEvent", "HarmonyLiveViewPayload", "AndroidHuaweiLiveNotificationPayload")
HARMONY_CATEGORIES = (
    *("IM", "VOIP", "SUBSCRIPTION", "TRAVEL", "HEALTH", "WORK", "ACCOUNT", "EXPRESS", "FINANCE", "DEVICE_REMINDER"),
    *("MAIL", "CUSTOMER_SERVICE", "MARKETING"),
)
DEPRECATED_FIELDS = (
    *("SendSpeed", "AndroidXiaomiBigPictureUrl", "AndroidXiaomiImageUrl"),
    *("AndroidXiaoMiNotifyTitle", "AndroidXiaoMiNotifyBody", "AndroidXiaoMiActivity"),
)


def push_warnings(body: Payload) -> Iterator[Problem]:
    """Find parameters of Push that would be cut or ignored."""
    is_notice = body["PushType"] == "NOTICE"
    if body["DeviceType"] in ("ALL", "ANDROID") and (is_notice or body.get("AndroidRemind") is True):
        yield from _android_warnings(body)
    for name in _IGNORED_IN_NOTICE if is_notice else _IGNORED_IN_MESSAGE:
        if name in body:
            yield _ignored_warning(f"{name} has no effect in a {body['PushType']}", f"$.{name}")
    for name in DEPRECATED_FIELDS:
        if name in body:
            yield _ignored_warning(f"{name} is deprecated", f"$.{name}")
    for name, override in _OVERRIDDEN_BY.items():
        if name in body and override in body and body[name] != DEFAULT_LIFETIME:
            yield _ignored_warning(f"{override} overrides {name}", f"$.{name}")
    if "ExpireTime" in body and body.get("StoreOffline") is not True:
        yield _ignored_warning("ExpireTime has no effect without StoreOffline: true", "$.ExpireTime")
    elif "StoreOffline" not in body and not (is_notice and body["DeviceType"] in ("iOS", "ANDROID")):
        message = "without StoreOffline: true EMAS keeps nothing for devices that are offline"
        yield Problem(
            "online-only", message, path="$.StoreOffline", hint="set time_to_live, and leave StoreOffline out"
        )
    if not body.get("Body") and not _is_textless(body):
        message = "EMAS's page of limits says that Body cannot be empty, that of Push that it is not required"
        yield Problem("no-body", message, path="$.Body", hint="add a body")
    if body.get("iOSRemind") is True and body.get("iOSApnsEnv") == "DEV":
        yield _ignored_warning("iOSRemind has no effect with iOSApnsEnv: DEV", "$.iOSRemind")
    yield from _open_type_warnings(body, "Android", "$")
    yield from _word_warnings(body.get("HarmonyCategory"), "$.HarmonyCategory")
    if body.get("AndroidNotificationVivoChannel") == "classification":
        message = "the example of EMAS's page is no value of vivo: 0 is operational, 1 a system message"
        yield Problem("unlisted-value", message, path="$.AndroidNotificationVivoChannel", hint="write 0 or 1")
    yield from partial_support_warnings(body, SUPPORTING_CHANNELS, "$")
    yield from short_lifetime_warnings(body.get("ExpireTime"), "$.ExpireTime")


def _is_textless(body: Payload) -> bool:
    """Return whether a notification shows no text: a silent one, or a live activity."""
    return body.get("iOSSilentNotification") is True or any(name in body for name in LIVE_FIELDS)


def _open_type_warnings(fields: Payload, prefix: str, path: str) -> Iterator[Problem]:
    """Find what is to be opened, where the type of opening says something else."""
    own_activity = f"{prefix}Activity" if prefix else "OpenActivity"
    for name, type_ in ((own_activity, "ACTIVITY"), (f"{prefix}OpenUrl", "URL")):
        if name in fields and fields.get(f"{prefix}OpenType") != type_:
            yield _ignored_warning(f"{name} has no effect without {prefix}OpenType: {type_}", f"{path}.{name}")


def _word_warnings(category: object, path: str) -> Iterator[Problem]:
    """Find a category of HarmonyOS that EMAS's page does not list."""
    if isinstance(category, str) and category not in HARMONY_CATEGORIES:
        listed = ", ".join(HARMONY_CATEGORIES)
        message = f"EMAS's page does not list {category!r}, and refers to HarmonyOS for the categories"
        yield Problem("unlisted-value", message, path=path, hint=f"listed are {listed}")


def _android_warnings(body: Payload) -> Iterator[Problem]:
    if "AndroidPopupActivity" not in body:
        yield own_channel_warning("AndroidPopupActivity, AndroidPopupTitle and AndroidPopupBody", "$")
        return
    if body.get("StoreOffline") is not True:
        yield own_channel_warning("StoreOffline: true, which a time_to_live above 0 sets,", "$.StoreOffline")
    if ("AndroidBadgeSetNum" in body or "AndroidBadgeAddNum" in body) and "AndroidBadgeClass" not in body:
        yield Problem("no-badge", "Huawei and Honor set a badge only with AndroidBadgeClass", path="$")
    channels = select_channels(body.get("SendChannels"))
    yield from length_warnings("$.AndroidPopupTitle", body.get("AndroidPopupTitle"), "title", channels)
    yield from length_warnings("$.AndroidPopupBody", body.get("AndroidPopupBody"), "content", channels)


def _ignored_warning(message: str, path: str) -> Problem:
    return Problem("ignored", message, path=path)


def push_task_warnings(body: Payload) -> Iterator[Problem]:
    """Find parts of a PushTask that would be cut or ignored."""
    notification, options = get_in(body, "Notification"), get_in(body, "Options")
    platform = get_platform_word(get_in(body, "Target").get("Platform"))
    if notification and platform in (None, "ANDROID"):
        yield from _task_android_warnings(body)
    if platform is None:
        yield from _title_length_warnings(notification.get("Title"))
    if {"BadgeSetNum", "BadgeAddNum"} <= get_in(notification, "Android").keys():
        yield _ignored_warning("BadgeSetNum overrides BadgeAddNum", "$.Notification.Android.BadgeAddNum")
    if notification and "Message" in body:
        message = "a device gets only one: Message if it is online, or else Notification"
        yield Problem("one-of-two", message, path="$")
    if options.get("ExpireTime", DEFAULT_LIFETIME) != DEFAULT_LIFETIME and "Sms" in options:
        yield _ignored_warning("Sms.DelaySecs overrides ExpireTime", "$.Options.ExpireTime")
    accs = get_in(notification, "Android", "Options", "Accs")
    yield from _open_type_warnings(accs, "", "$.Notification.Android.Options.Accs")
    yield from _word_warnings(get_in(notification, "Hmos").get("Category"), "$.Notification.Hmos.Category")
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
        yield Problem("no-badge", "Huawei and Honor set a badge only with BadgeActivity", path=f"{path}.Android")
    channels = select_channels(options.get("UseChannels"))
    yield from length_warnings(f"{path}.Title", notification.get("Title"), "title", channels)
    yield from length_warnings(f"{path}.Body", notification.get("Body"), "content", channels)


def _title_length_warnings(title: object) -> Iterator[Problem]:
    """Find a title for all platforms that is too long for some."""
    path = "$.Notification.Title"
    if isinstance(title, str) and len(title) > MAX_TITLE_CHARS:
        message = f"{len(title)} characters; the maximum on Android is {MAX_TITLE_CHARS}"
        yield Problem("long-on-android", message, path=path)
    if isinstance(title, str) and len(title.encode()) > MAX_TITLE_BYTES:
        yield Problem("long-on-ios", f"{len(title.encode())} bytes; the maximum on iOS is {MAX_TITLE_BYTES}", path=path)


def _flatten_fields(fields: Payload) -> Payload:
    """Add the fields of inner objects by their dotted names.

    >>> _flatten_fields({"a": {"b": {"c": 1}}})
    {'a': {'b': {'c': 1}}, 'a.b': {'c': 1}, 'a.b.c': 1}
    """
    flat = dict(fields)
    for name, value in fields.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": leaf for inner, leaf in _flatten_fields(value).items()}
    return flat
