"""Push tasks of EMAS: Push's flat parameters and PushV2's nested task, parsed into one form and checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from audience.sandbox.field_checks import get_field
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import parse_moment, seconds_until, total_json_bytes
from audience.sandbox.vendors.emas.fields import (
    check_task_fields,
    empty_field,
    invalid_format,
    invalid_parameter,
    read_push_fields,
    require_fields,
)

TaskAction: TypeAlias = Literal["now", "later", "create", "continue"]
ACTION_BY_NAME: dict[str, TaskAction] = {
    "PUSH_IMMEDIATELY": "now",
    "SCHEDULED_PUSH": "later",
    "CREATE_CONTINUOUS_PUSH": "create",
    "CONTINUOUS_PUSH": "continue",
}
TARGET_TYPES = ("DEVICE", "ACCOUNT", "ALIAS", "TAG", "ALL")
ID_TARGET_TYPES = ("DEVICE", "ACCOUNT", "ALIAS")
PLATFORM_BY_DEVICE_TYPE = {"ANDROID": "android", "iOS": "ios", "HARMONY": "hmos"}
PLATFORM_BY_NAME = {"ANDROID": "android", "IOS": "ios", "HARMONY": "hmos", "HMOS": "hmos"}  # the notes name IOS only
ALL_PLATFORMS = frozenset(PLATFORM_BY_NAME.values())
MAX_SCHEDULE_DAYS, MAX_RETENTION_SECONDS, MIN_RETENTION_SECONDS = 7, 72 * 3_600.0, 3.0  # days; seconds; seconds
MAX_MESSAGE_BYTES, MAX_TARGET_IDS = 4_000, 1_000
CONTENT_PREFIXES = ("PushType", "Title", "Body", "iOS", "Android", "Harmony")  # the others do not reach devices
MAX_TITLE_BYTES, MAX_ANDROID_TITLE_CHARS, MAX_DISMISSAL_SECONDS = 200, 50, 4 * 3_600
TEXTLESS_FIELDS = (
    "Notification.Ios.Silent",
    "Notification.Hmos.LiveViewPayload",
    "Notification.Android.Options.Huawei.LiveNotificationPayload",
)


@dataclass(frozen=True, slots=True)
class EmasTask:
    """One push.

    *target* and *value* are as given, *delay* is in seconds; *message_id* belongs to the action "continue";
    *content* is what devices get.
    """

    action: TaskAction
    target: str
    value: str
    platforms: frozenset[str]
    delay: float = 0.0
    message_id: str = ""
    is_notification: bool = False
    content: JsonObject = field(default_factory=dict)


def parse_flat_task(parameters: Mapping[str, str], now: float) -> EmasTask:
    """Parse the task of Push, or one of MassPush, that is sent at *now*."""
    require_fields(parameters, "PushType", "DeviceType", "Target", "TargetValue")
    fields = read_push_fields(parameters)
    platforms = _parse_device_type(fields["DeviceType"])
    notice = fields["PushType"] == "NOTICE"
    if not (platforms == {"ios"} and notice):
        require_fields(fields, "Title")
    deferred = parameters["Target"] == "TBD"
    if deferred and fields.get("PushTime"):
        raise invalid_parameter("PushTime")
    after = _parse_delay(fields.get("PushTime"), fields.get("ExpireTime"), now)
    _check_dismissal(fields.get("iOSLiveActivityDismissalDate"), now + after)
    content = {name: value for name, value in fields.items() if name.startswith(CONTENT_PREFIXES)}
    if deferred:
        return EmasTask("create", "", "", platforms, is_notification=notice, content=content)
    target, value = _check_target(parameters["Target"], parameters["TargetValue"])
    action: TaskAction = "later" if after else "now"
    return EmasTask(action, target, value, platforms, after, is_notification=notice, content=content)


def parse_nested_task(task: JsonObject, now: float) -> EmasTask:
    """Parse the task of PushV2, or one of MassPushV2, that is sent at *now*."""
    check_task_fields(task)
    action = ACTION_BY_NAME[task.get("Action") or "PUSH_IMMEDIATELY"]
    options, target = task.get("Options") or {}, task.get("Target") or {}
    platforms = _parse_platform(target.get("Platform") or "ALL")
    if action != "continue":
        _check_contents(task, platforms)
    if options.get("PushTime") and action != "later":
        raise invalid_parameter("PushTime")
    if action == "later":
        require_fields(options, "PushTime")
    if action == "continue":
        require_fields(options, "MessageId")
    after = _parse_delay(options.get("PushTime"), options.get("ExpireTime"), now)
    _check_dismissal(get_field(task, "Notification.Ios.LiveActivity.DismissalDate"), now + after)
    notice, message = bool(task.get("Notification")), str(options.get("MessageId", ""))
    content = {name: task[name] for name in ("Notification", "Message") if task.get(name)}
    if action == "create":
        return EmasTask(action, "", "", platforms, is_notification=notice, content=content)
    require_fields(target, "Type", *(["Value"] if target.get("Type") != "ALL" else []))
    kind, value = _check_target(target["Type"], target.get("Value", "ALL"))
    if task_live_activity(task) and (kind != "DEVICE" or "," in value):
        raise invalid_parameter("LiveActivity")
    return EmasTask(action, kind, value, platforms, after, message, notice, content)


def task_live_activity(task: JsonObject) -> Any:
    """Return the live activity of a nested task, or None."""
    return get_field(task, "Notification.Ios.LiveActivity")


def split_target_ids(value: str) -> list[str]:
    """Split a target value into ids; a comma cannot be escaped."""
    ids = [part.strip() for part in value.split(",")]
    if not all(ids):
        raise invalid_format("TargetValue")
    if len(ids) > MAX_TARGET_IDS:
        text = f"The specified TargetValue length cannot be greater than {MAX_TARGET_IDS}."
        raise VendorRefusal("InvalidTargetValue.LengthExceed", text)
    return ids


def _check_target(target_type: str, value: str) -> tuple[str, str]:
    if target_type not in TARGET_TYPES:
        raise invalid_parameter("Target")
    if target_type == "ALL" and value.upper() != "ALL":
        raise invalid_parameter("TargetValue")
    if target_type in ID_TARGET_TYPES:
        split_target_ids(value)
    return target_type, value


def _parse_device_type(text: str) -> frozenset[str]:
    if text == "ALL":
        return ALL_PLATFORMS
    if text not in PLATFORM_BY_DEVICE_TYPE:
        raise invalid_parameter("DeviceType")
    return frozenset({PLATFORM_BY_DEVICE_TYPE[text]})


def _parse_platform(text: str) -> frozenset[str]:
    if text.upper() == "ALL":
        return ALL_PLATFORMS
    if text.upper() not in PLATFORM_BY_NAME:
        raise invalid_parameter("Platform")
    return frozenset({PLATFORM_BY_NAME[text.upper()]})


def _check_contents(task: JsonObject, platforms: frozenset[str]) -> None:
    """Reject a task without a message or a notification, or with one that is too large or lacks its texts."""
    message, notification = task.get("Message") or {}, task.get("Notification") or {}
    if not message and not notification:
        raise empty_field("Message")
    if total_json_bytes(message) > MAX_MESSAGE_BYTES:
        text = f"The specified Message exceeds the {MAX_MESSAGE_BYTES} bytes limit."
        raise VendorRefusal("InvalidMessage.BytesExceed", text)
    if not notification or task_live_activity(task) or any(get_field(task, path) for path in TEXTLESS_FIELDS):
        return
    require_fields(notification, *(("Body",) if platforms == {"ios"} else ("Title", "Body")))
    title = notification.get("Title", "")
    if platforms == {"android"} and len(title) > MAX_ANDROID_TITLE_CHARS:
        text = f"The specified Title length cannot be greater than {MAX_ANDROID_TITLE_CHARS}."
        raise VendorRefusal("InvalidTitle.LengthExceed", text)
    if platforms in ({"ios"}, {"hmos"}) and len(title.encode()) > MAX_TITLE_BYTES:
        raise VendorRefusal(
            "InvalidTitle.BytesExceed", f"The specified Title exceeds the {MAX_TITLE_BYTES} bytes limit."
        )


def _check_dismissal(timestamp: int | None, push_time: float) -> None:
    """Reject a live activity that stays on the lock screen for more than four hours."""
    if timestamp is not None and timestamp > push_time + MAX_DISMISSAL_SECONDS:
        raise invalid_parameter("DismissalDate")


def _parse_delay(push_time: Any, expire_time: Any, now: float) -> float:
    """Return the seconds from *now* until the push; reject times that are not allowed."""
    after = _parse_seconds_until(push_time, "PushTime", now) if push_time else 0.0
    if after > MAX_SCHEDULE_DAYS * 86_400:
        raise _period_exceeded(MAX_SCHEDULE_DAYS)
    if expire_time:
        kept = _parse_seconds_until(expire_time, "ExpireTime", now) - max(after, 0.0)
        if kept > MAX_RETENTION_SECONDS:
            raise _period_exceeded(3)
        if kept <= MIN_RETENTION_SECONDS:
            raise invalid_parameter("ExpireTime")
    return max(after, 0.0)


def _period_exceeded(days: int) -> VendorRefusal:
    text = f"The period between specified EndTime and StartTime exceeds {days} days."
    return VendorRefusal("InvalidPeriod.ExceedDays", text)


def _parse_seconds_until(text: Any, name: str, now: float) -> float:
    try:
        return seconds_until(parse_moment(str(text), "%Y-%m-%dT%H:%M:%SZ"), now)
    except ValueError:
        raise invalid_format(name) from None
