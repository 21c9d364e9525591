"""Bodies of Push: flat parameters, with the name of a platform as the prefix of its own.

Source: https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from audience.errors import MessageError, Problem
from audience.messages import Message, merge_patch, message_for_platform
from audience.vendors.emas import message_fields, size_limits, string_rules, timestamps
from audience.vendors.emas.message_fields import drop_none
from audience.vendors.emas.platform_fields import (
    BAR_PRIORITIES,
    URGENCIES,
    build_android_fields,
    build_harmony_fields,
    build_ios_fields,
    channel_values,
)
from audience.vendors.schema_check import schema_validator
from audience.vendors.shared.content_support import reject_changed_audience, require_plain, share_content
from audience.vendors.spec import Payload

DEVICE_TYPES = {"android": "ANDROID", "ios": "iOS", "harmonyos": "HARMONY"}
SUPPORT = message_fields.build_support("EMAS Push", sound_on_harmony=False)
AUDIENCE_WORDS = {"$.DeviceType": "platforms", "$.iOSApnsEnv": "test"}
_SCHEMA = Path(__file__).with_name("push.json")


def build_body(message: Message) -> Payload:
    """Write *message* as parameters without a target.

    Raises MessageError for what EMAS would refuse, and for what it cannot express.

    >>> build_body(Message(title="Hi", body="there", platforms=("harmonyos",), time_to_live=0))
    {'PushType': 'NOTICE', 'DeviceType': 'HARMONY', 'Title': 'Hi', 'Body': 'there', 'StoreOffline': False}
    """
    require_plain(message)
    message = message_fields.require_json_data(message)
    fields = {
        "PushType": "NOTICE" if message.kind == "notification" else "MESSAGE",
        "DeviceType": DEVICE_TYPES.get(message_fields.single_platform(message) or "", "ALL"),
        **(_build_notice_fields(message) if message.kind == "notification" else _build_silent_fields(message)),
        **_build_offline_fields(message),
    }
    body = merge_patch(fields, message.vendor.get("emas", {}))
    message_fields.validate_body(body, _validate_body, message_fields.unsupported_problems(message))
    reject_changed_audience(message, fields, body, AUDIENCE_WORDS)
    return body


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that Push has no field for."""
    return message_fields.unsupported_fields(message, SUPPORT)


def apply_timestamps(body: Payload, now: datetime) -> Payload:
    """Return *body* for a call at that time, or raise MessageError if one of its timestamps is out of range."""
    problems = [*timestamps.dismissal_problems(body, "iOSLiveActivityDismissalDate", body.get("PushTime"), now, "$")]
    if problems:
        raise MessageError(*problems)
    return timestamps.apply_timestamps(body, now, "$")


def _build_silent_fields(message: Message) -> Payload:
    message = share_content(message, SUPPORT)
    return drop_none(Title=message.title, Body=message_fields.format_silent_body(message))


def _build_notice_fields(message: Message) -> Payload:
    shared = share_content(message, SUPPORT)
    fields = drop_none(Title=shared.title, Body=shared.body)
    for platform in message_fields.message_platforms(message):
        fields |= _PLATFORM_BUILDERS[platform](message)
    return fields


def _build_offline_fields(message: Message) -> Payload:
    """Build the fields of how long EMAS keeps the message for an offline device."""
    if message.time_to_live == 0:
        return {"StoreOffline": False}
    return {"StoreOffline": True, "ExpireTime": timestamps.format_duration(message.time_to_live)}


def _build_ios_fields(message: Message) -> Payload:
    return _add_prefix("iOS", build_ios_fields(message))


def _build_android_fields(message: Message) -> Payload:
    fields, values = build_android_fields(message), message_for_platform(message, "android")
    if values.image:
        fields["RenderStyle"] = 2
    if values.link:
        fields |= {"OpenType": "URL", "OpenUrl": values.link}
    channels = channel_values(message)
    fields |= drop_none(
        NotificationBarPriority=BAR_PRIORITIES.get(values.priority or ""),
        NotificationThreadId=values.thread_id,
        NotificationXiaomiChannel=channels["xiaomi"].get("channel_id"),
        NotificationVivoChannel=channels["vivo"].get("channel_id"),
        MessageHuaweiCategory=channels["huawei"].get("category"),
        MessageHuaweiUrgency=URGENCIES.get(channels["huawei"].get("priority", "")),
        MessageOppoCategory=channels["oppo"].get("category"),
        MessageVivoCategory=channels["vivo"].get("category"),
    )
    return _add_prefix("Android", fields)


def _build_harmony_fields(message: Message) -> Payload:
    fields = build_harmony_fields(message)
    fields.pop("Sound", None)  # Push has no sound for HarmonyOS
    if "Uri" in fields:
        fields["ActionType"] = "APP_CUSTOM_PAGE"
    return _add_prefix("Harmony", fields)


def _add_prefix(prefix: str, fields: Payload) -> Payload:
    """Rename fields of PushV2 to those of Push.

    >>> _add_prefix("iOS", {"Badge": 3, "CollapseId": "a"})
    {'iOSBadge': 3, 'iOSNotificationCollapseId': 'a'}
    """
    return {_RENAMED.get(name := f"{prefix}{field}", name): value for field, value in fields.items()}


_RENAMED = {
    "iOSMutable": "iOSMutableContent",
    "iOSCategory": "iOSNotificationCategory",
    "iOSCollapseId": "iOSNotificationCollapseId",
    "iOSThreadId": "iOSNotificationThreadId",
    "AndroidChannelId": "AndroidNotificationChannel",
    "AndroidPictureUrl": "AndroidBigPictureUrl",
    "AndroidNotifyId": "AndroidNotificationNotifyId",
}
_PLATFORM_BUILDERS = {"ios": _build_ios_fields, "android": _build_android_fields, "harmonyos": _build_harmony_fields}


# Rules beyond the schema. -------------------------------------------------------------------------------------------


def _timestamp_problems(body: Any) -> Iterator[Problem]:
    return timestamps.expiry_problems(body.get("ExpireTime"), body.get("PushTime"), "$")


def _missing_text_problems(body: Any) -> Iterator[Problem]:
    """Find a missing title; a notification on iOS needs a title or a text."""
    if body.get("iOSSilentNotification") is True or "iOSLiveActivityEvent" in body or _is_live_activity(body):
        return
    is_ios_notice = body.get("DeviceType") == "iOS" and body.get("PushType") == "NOTICE"
    if not body.get("Title") and not (is_ios_notice and body.get("Body")):
        name = "Body" if is_ios_notice else "Title"
        hint = None if is_ios_notice else "only a notification on iOS goes without a title"
        yield Problem("missing-key", f"{name!r} is required", path="$", hint=hint)


def _is_live_activity(body: Any) -> bool:
    return any(name in body for name in ("HarmonyLiveViewPayload", "AndroidHuaweiLiveNotificationPayload"))


_validate_body = schema_validator(
    _SCHEMA,
    string_rules.build_string_rule(_SCHEMA),
    _timestamp_problems,
    _missing_text_problems,
    size_limits.push_size_problems,
)
