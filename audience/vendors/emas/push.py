"""A message in the words of Push: flat parameters, those of each platform with its name before them.

https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.messages import Message
from audience.vendors.delivery_spec import deep_merge
from audience.vendors.emas import message_fields, size_limits, string_rules, timestamps
from audience.vendors.emas.message_fields import drop_none
from audience.vendors.emas.platform_fields import build_android_fields, build_harmony_fields, build_ios_fields
from audience.vendors.schema_check import schema_validator
from audience.vendors.spec import Payload

DEVICE_TYPES = {"android": "ANDROID", "ios": "iOS", "hmos": "HARMONY"}
_SCHEMA = Path(__file__).with_name("push.json")


def build_body(message: Message) -> Payload:
    """The parameters that say *message*, but for whom they are.

    Raises MessageError for what EMAS would refuse, and for what it cannot say.

    >>> build_body(Message(title="Hi", body="there", platforms=("hmos",), badge=3))
    {'PushType': 'NOTICE', 'DeviceType': 'HARMONY', 'Title': 'Hi', 'Body': 'there', 'HarmonyBadgeSetNum': 3}
    """
    message = message_fields.require_json_data(message)
    said = {
        "PushType": "NOTICE" if message.kind == "notification" else "MESSAGE",
        "DeviceType": DEVICE_TYPES.get(message_fields.single_platform(message) or "", "ALL"),
        **(_build_notice_fields(message) if message.kind == "notification" else _build_silent_fields(message)),
        **_build_offline_fields(message),
    }
    found = deep_merge(said, message.vendor.get("emas", {}))
    return message_fields.validate_body(found, _validate_body, message_fields.unsupported_problems(message))


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """What of *message* Push has no words for."""
    return message_fields.unsupported_fields(message, sound_on_harmony=False)


def apply_timestamps(body: Payload, now: datetime) -> Payload:
    """*body* as a call at that moment says it; MessageError where its own moments are untimely."""
    return timestamps.apply_timestamps(body, now, "$")


def _build_silent_fields(message: Message) -> Payload:
    return drop_none(Title=message.title, Body=message_fields.format_silent_body(message))


def _build_notice_fields(message: Message) -> Payload:
    found = drop_none(Title=message.title, Body=message.body)
    for platform in message_fields.message_platforms(message):
        found |= _PLATFORM_BUILDERS[platform](message)
    return found


def _build_offline_fields(message: Message) -> Payload:
    """How long EMAS keeps it for a device that is offline; not at all where it may not wait."""
    if message.time_to_live is None:
        return {}
    if message.time_to_live == 0:
        return {"StoreOffline": False}
    return {"StoreOffline": True, "ExpireTime": timestamps.format_duration(message.time_to_live)}


def _build_ios_fields(message: Message) -> Payload:
    return _add_prefix("iOS", build_ios_fields(message))


def _build_android_fields(message: Message) -> Payload:
    fields = build_android_fields(message)
    if message.image:
        fields["RenderStyle"] = 2
    if message.link:
        fields |= {"OpenType": "URL", "OpenUrl": message.link}
    return _add_prefix("Android", fields)


def _build_harmony_fields(message: Message) -> Payload:
    fields = build_harmony_fields(message)
    fields.pop("Sound", None)  # Push has no sound for HarmonyOS
    if message.link:
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
    "iOSCollapseId": "iOSNotificationCollapseId",
    "AndroidPictureUrl": "AndroidBigPictureUrl",
    "AndroidNotifyId": "AndroidNotificationNotifyId",
}
_PLATFORM_BUILDERS = {"ios": _build_ios_fields, "android": _build_android_fields, "hmos": _build_harmony_fields}


# What a schema cannot say. ------------------------------------------------------------------------------------------


def _timestamp_problems(body: Any) -> Iterator[Problem]:
    return timestamps.expiry_problems(body.get("ExpireTime"), body.get("PushTime"), "$")


def _missing_text_problems(body: Any) -> Iterator[Problem]:
    """A title and a text are needed, but for iOS, which shows a notification without a title, or nothing at all."""
    if body.get("iOSSilentNotification") is True or "iOSLiveActivityEvent" in body or _is_live_activity(body):
        return
    ios_notice = body.get("DeviceType") == "iOS" and body.get("PushType") == "NOTICE"
    for name in ("Body",) if ios_notice else ("Title", "Body"):
        if not body.get(name):
            hint = "EMAS wants both, for what is not shown too" if not ios_notice else None
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
