"""A message as a PushTask of PushV2: objects for what is shown, what is handed over, and options.

https://help.aliyun.com/document_detail/2979224.html, read 2026-11-21.
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
from audience.vendors.schema_check import get_in as under
from audience.vendors.schema_check import schema_validator
from audience.vendors.spec import Payload

IOS_PLATFORM = "IOS"  # the one platform whose name the page shows
_SCHEMA = Path(__file__).with_name("push_task.json")


def build_body(message: Message) -> Payload:
    """The PushTask that says *message*, but for the type and value of its target.

    Raises MessageError for what EMAS would refuse, and for what it cannot say.

    >>> build_body(Message(kind="silent", data={"a": 1}, time_to_live=60))
    {'Message': {'Body': '{"a":1}'}, 'Options': {'ExpireTime': 'PT60S'}}
    """
    message = message_fields.require_json_data(message)
    said: Payload = {"Target": {"Platform": IOS_PLATFORM}} if message_fields.single_platform(message) == "ios" else {}
    if message.kind == "notification":
        said["Notification"] = _build_notification(message)
    else:
        said["Message"] = drop_none(Title=message.title, Body=message_fields.format_silent_body(message))
    if message.time_to_live:
        said["Options"] = {"ExpireTime": timestamps.format_duration(message.time_to_live)}
    found = deep_merge(said, message.vendor.get("emas_v2", {}))
    return message_fields.validate_body(
        found,
        _validate_body,
        [
            *message_fields.unsupported_problems(message),
            *_zero_lifetime_problems(message),
            *_unknown_platform_problems(message, found),
        ],
    )


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """What of *message* PushV2 has no words for."""
    return message_fields.unsupported_fields(message, sound_on_harmony=True)


def apply_timestamps(body: Payload, now: datetime) -> Payload:
    """*body* as a call at that moment says it; MessageError where its own moments are untimely.

    >>> from datetime import UTC
    >>> apply_timestamps({"Options": {"ExpireTime": "PT60S"}}, datetime(2026, 11, 21, tzinfo=UTC))
    {'Options': {'ExpireTime': '2026-11-21T00:01:00Z'}}
    """
    options = timestamps.apply_timestamps(under(body, "Options"), now, "$.Options")
    return {**body, "Options": options} if options else body


def _build_notification(message: Message) -> Payload:
    found = drop_none(Title=message.title, Body=message.body)
    for platform in message_fields.message_platforms(message):
        name, worded = _PLATFORM_BUILDERS[platform]
        found |= {name: fields} if (fields := worded(message)) else {}
    return found


def _build_android_fields(message: Message) -> Payload:
    fields = build_android_fields(message)
    if message.link:
        fields["Options"] = {"Accs": {"OpenType": "URL", "OpenUrl": message.link}}
    return fields


_PLATFORM_BUILDERS = {
    "ios": ("Ios", build_ios_fields),
    "android": ("Android", _build_android_fields),
    "hmos": ("Hmos", build_harmony_fields),
}


# What a schema cannot say. ------------------------------------------------------------------------------------------


def _zero_lifetime_problems(message: Message) -> Iterator[Problem]:
    """A notification that may not wait at all cannot be said: there is no StoreOffline, and ExpireTime is later."""
    if message.kind == "notification" and message.time_to_live == 0:
        words = "a notification of PushV2 is kept for more than 3 seconds"
        yield Problem("untimely", words, path="$.time_to_live", hint="leave it to the vendor, or use the vendor emas")


def _unknown_platform_problems(message: Message, body: Payload) -> Iterator[Problem]:
    """A platform whose name at PushV2 is on no page; a wrong one might be passed over, and others be told, too."""
    platform = message_fields.single_platform(message)
    if platform and not under(body, "Target").get("Platform"):
        words = f"how PushV2 calls {platform} is on no page"
        hint = "say vendor.emas_v2.Target.Platform, or use the vendor emas; or name none, for an AppKey of one platform"
        yield Problem("unnamed-platform", words, path="$.platforms", hint=hint)


def _timestamp_problems(body: Any) -> Iterator[Problem]:
    options = under(body, "Options")
    return timestamps.expiry_problems(options.get("ExpireTime"), options.get("PushTime"), "$.Options")


def _missing_text_problems(body: Any) -> Iterator[Problem]:
    """What is shown needs a text, and on Android and HarmonyOS a title."""
    notification = under(body, "Notification")
    ios = under(notification, "Ios")
    live = ios.get("Silent") is True or "LiveActivity" in ios or "LiveViewPayload" in under(notification, "Hmos")
    if not notification or live or under(notification, "Android", "Options", "Huawei").get("LiveNotificationPayload"):
        return
    for name in ("Body",) if under(body, "Target").get("Platform") == IOS_PLATFORM else ("Title", "Body"):
        if not notification.get(name):
            yield Problem("missing-key", f"{name!r} is required", path="$.Notification", hint="but for iOS alone")


_validate_body = schema_validator(
    _SCHEMA,
    string_rules.build_string_rule(_SCHEMA),
    _timestamp_problems,
    _missing_text_problems,
    size_limits.push_task_size_problems,
)
