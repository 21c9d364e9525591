"""Bodies of PushV2: a PushTask with a notification or a message, and options.

Source: https://help.aliyun.com/document_detail/2979224.html, read 2026-11-21.
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
from audience.vendors.schema_check import get_in, schema_validator
from audience.vendors.shared.content_support import (
    read_vivo_class,
    reject_changed_audience,
    require_plain,
    share_content,
)
from audience.vendors.spec import Payload

IOS_PLATFORM = "IOS"  # the only platform whose name the page shows
PLATFORM_WORDS = {"android": "ANDROID", "ios": IOS_PLATFORM, "harmonyos": "HMOS"}
UNNAMED_PLATFORMS = ("android", "harmonyos")  # by our name in a body, until the application's key shows its platform
AUDIENCE_WORDS = {"$.Notification.Ios.ApnsEnv": "test"}
SUPPORT = message_fields.build_support("EMAS PushV2", sound_on_harmony=True)
_SCHEMA = Path(__file__).with_name("push_task.json")


def build_body(message: Message) -> Payload:
    """Write *message* as a PushTask without the type and value of its target.

    Raises MessageError for what EMAS would refuse, and for what it cannot express.

    >>> build_body(Message(kind="silent", data={"a": 1}, time_to_live=60))
    {'Message': {'Body': '{"a":1}'}, 'Options': {'ExpireTime': 'PT60S'}}
    """
    require_plain(message)
    message = message_fields.require_json_data(message)
    platform = message_fields.single_platform(message)
    task: Payload = {"Target": {"Platform": IOS_PLATFORM if platform == "ios" else platform}} if platform else {}
    if message.kind == "notification":
        task["Notification"] = _build_notification(message)
    else:
        shared = share_content(message, SUPPORT)
        task["Message"] = drop_none(Title=shared.title, Body=message_fields.format_silent_body(shared))
    if message.time_to_live != 0:
        task["Options"] = {"ExpireTime": timestamps.format_duration(message.time_to_live)}
    body = merge_patch(task, message.vendor.get("emas_v2", {}))
    problems = [
        *message_fields.unsupported_problems(message),
        *_zero_lifetime_problems(message),
        *_changed_platform_problems(message, body),
    ]
    message_fields.validate_body(body, _validate_body, problems)
    reject_changed_audience(message, task, body, AUDIENCE_WORDS)
    return body


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that PushV2 has no field for."""
    yield from message_fields.unsupported_fields(message, SUPPORT)
    if _has_zero_badge(message):
        reason = "PushV2 sets no badge of 0 on Android; Push does"
        yield Problem("no-badge", reason, path="$.badge", hint="use the vendor emas")


def apply_timestamps(body: Payload, now: datetime) -> Payload:
    """Return *body* for a call at that time, or raise MessageError if one of its timestamps is out of range.

    >>> from datetime import UTC
    >>> apply_timestamps({"Options": {"ExpireTime": "PT60S"}}, datetime(2026, 11, 21, tzinfo=UTC))
    {'Options': {'ExpireTime': '2026-11-21T00:01:00Z'}}
    """
    activity, push_time = get_in(body, "Notification", "Ios", "LiveActivity"), get_in(body, "Options").get("PushTime")
    path = "$.Notification.Ios.LiveActivity"
    problems = [*timestamps.dismissal_problems(activity, "DismissalDate", push_time, now, path)]
    if problems:
        raise MessageError(*problems)
    options = timestamps.apply_timestamps(get_in(body, "Options"), now, "$.Options")
    return {**body, "Options": options} if options else body


def get_platform_word(platform: str | None) -> str | None:
    """Return the vendor's word for a platform of a body, which may be by our name."""
    return PLATFORM_WORDS.get(platform or "", platform)


def _build_notification(message: Message) -> Payload:
    shared = share_content(message, SUPPORT)
    notification = drop_none(Title=shared.title, Body=shared.body)
    for platform in message_fields.message_platforms(message):
        name, build_fields = _PLATFORM_BUILDERS[platform]
        if fields := build_fields(message):
            notification[name] = fields
    return notification


def _build_android_fields(message: Message) -> Payload:
    fields, values, channels = (
        build_android_fields(message),
        message_for_platform(message, "android"),
        channel_values(message),
    )
    options = {
        "Accs": drop_none(
            OpenType="URL" if values.link else None,
            OpenUrl=values.link or None,
            Priority=BAR_PRIORITIES.get(values.priority or ""),
            ThreadId=values.thread_id,
        ),
        "Huawei": drop_none(
            Category=channels["huawei"].get("category"),
            Urgency=URGENCIES.get(channels["huawei"].get("priority", "")),
        ),
        "Xiaomi": drop_none(Channel=channels["xiaomi"].get("channel_id")),
        "Oppo": drop_none(Category=channels["oppo"].get("category")),
        "Vivo": drop_none(
            Category=channels["vivo"].get("category"),
            Importance=read_vivo_class(channels["vivo"].get("channel_id")),
        ),
    }
    if _has_zero_badge(message):
        del fields["BadgeSetNum"]
    if used := {name: values for name, values in options.items() if values}:
        fields["Options"] = used
    return fields


_PLATFORM_BUILDERS = {
    "ios": ("Ios", build_ios_fields),
    "android": ("Android", _build_android_fields),
    "harmonyos": ("Hmos", build_harmony_fields),
}


# Rules beyond the schema. -------------------------------------------------------------------------------------------


def _zero_lifetime_problems(message: Message) -> Iterator[Problem]:
    """Find a time to live of 0: there is no StoreOffline, and ExpireTime is at least 3 seconds later."""
    if message.kind == "notification" and message.time_to_live == 0:
        reason = "a notification of PushV2 is kept for more than 3 seconds"
        yield Problem("untimely", reason, path="$.time_to_live", hint="leave it out, or use the vendor emas")


def _changed_platform_problems(message: Message, body: Payload) -> Iterator[Problem]:
    """Find a platform under `vendor` that is not that of the message."""
    platform, written = message_fields.single_platform(message), get_in(body, "Target").get("Platform")
    others = {*PLATFORM_WORDS, *PLATFORM_WORDS.values(), None} - {platform, PLATFORM_WORDS.get(platform or "")}
    if platform and (written in others or (platform == "ios" and written != IOS_PLATFORM)):
        reason, hint = f"{written} is not the platform of the message", "set 'platforms' of the message instead"
        yield Problem("changed-audience", reason, path="$.Target.Platform", hint=hint)


def _has_zero_badge(message: Message) -> bool:
    """Return whether a notification is to set a badge of 0 on Android, which PushV2 does not have."""
    is_for_android = "android" in message_fields.message_platforms(message)
    return message.kind == "notification" and is_for_android and message_for_platform(message, "android").badge == 0


def _timestamp_problems(body: Any) -> Iterator[Problem]:
    options = get_in(body, "Options")
    return timestamps.expiry_problems(options.get("ExpireTime"), options.get("PushTime"), "$.Options")


def _missing_text_problems(body: Any) -> Iterator[Problem]:
    """Find a notification without a text, or without the title that Android and HarmonyOS need."""
    notification = get_in(body, "Notification")
    if not notification or _is_shown_without_text(notification):
        return
    for name in ("Body",) if get_in(body, "Target").get("Platform") == IOS_PLATFORM else ("Title", "Body"):
        if not notification.get(name):
            yield Problem(
                "missing-key",
                f"{name!r} is required",
                path="$.Notification",
                hint="only iOS shows a notification without a title",
            )


def _is_shown_without_text(notification: Payload) -> bool:
    """Return whether iOS gets a silent push, or a platform a live view."""
    ios, huawei = get_in(notification, "Ios"), get_in(notification, "Android", "Options", "Huawei")
    is_live = "LiveActivity" in ios or "LiveViewPayload" in get_in(notification, "Hmos")
    return is_live or ios.get("Silent") is True or bool(huawei.get("LiveNotificationPayload"))


_validate_body = schema_validator(
    _SCHEMA,
    string_rules.build_string_rule(_SCHEMA),
    _timestamp_problems,
    _missing_text_problems,
    size_limits.push_task_size_problems,
)
