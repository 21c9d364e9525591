"""Push tasks of EMAS: Push's flat parameters and PushV2's nested task, parsed into one form and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import seconds_until, total_json_bytes
from audience.sandbox.vendors.emas.fields import check_fields, invalid_format, invalid_parameter, require_fields

TaskAction: TypeAlias = Literal["now", "later", "create", "continue"]
ACTION_BY_NAME: dict[str, TaskAction] = {
    "PUSH_IMMEDIATELY": "now",
    "SCHEDULED_PUSH": "later",
    "CREATE_CONTINUOUS_PUSH": "create",
    "CONTINUOUS_PUSH": "continue",
}
TARGET_TYPES = ("DEVICE", "ACCOUNT", "ALIAS", "TAG", "ALL")
ID_TARGET_TYPES = ("DEVICE", "ACCOUNT", "ALIAS")
PLATFORM_BY_NAME = {"ANDROID": "android", "IOS": "ios", "HARMONY": "hmos", "HMOS": "hmos"}
ALL_PLATFORMS = frozenset(PLATFORM_BY_NAME.values())
MAX_SCHEDULE_DAYS, MAX_RETENTION_SECONDS, MIN_RETENTION_SECONDS = 7, 72 * 3_600.0, 3.0  # days; seconds; seconds
MAX_MESSAGE_BYTES, MAX_TARGET_IDS = 4_000, 1_000
CONTENT_PREFIXES = ("PushType", "Title", "Body", "iOS", "Android", "Harmony")
JOB_KEY_PATTERN = re.compile(r"[\w-]*", re.ASCII)


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
    check_fields(parameters)
    platforms = _parse_platforms(parameters["DeviceType"], "DeviceType")
    if platforms != {"ios"}:
        require_fields(parameters, "Title")
    _check_job_key(parameters.get("JobKey", ""))
    tbd = parameters["Target"] == "TBD"
    if tbd and parameters.get("PushTime"):
        raise invalid_parameter("PushTime")
    after = _parse_delay(parameters.get("PushTime"), parameters.get("ExpireTime"), now)
    notice = parameters["PushType"] == "NOTICE"
    content = {name: value for name, value in parameters.items() if name.startswith(CONTENT_PREFIXES)}
    if tbd:
        return EmasTask("create", "", "", platforms, is_notification=notice, content=content)
    target, value = _check_target(parameters["Target"], parameters["TargetValue"])
    action: TaskAction = "later" if after else "now"
    return EmasTask(action, target, value, platforms, after, is_notification=notice, content=content)


def parse_nested_task(task: JsonObject, now: float) -> EmasTask:
    """Parse the task of PushV2, or one of MassPushV2, that is sent at *now*."""
    action = ACTION_BY_NAME.get(str(task.get("Action") or "PUSH_IMMEDIATELY"))
    if action is None:
        raise invalid_parameter("Action")
    options, target = _object_field(task, "Options"), _object_field(task, "Target")
    if action != "continue":
        _check_contents(task)
    _check_job_key(str(options.get("JobKey", "")))
    if options.get("PushTime") and action != "later":
        raise invalid_parameter("PushTime")
    if action == "later" and not options.get("PushTime"):
        raise VendorRefusal("InvalidPushTime.Empty", "The specified PushTime cannot be empty.")
    if action == "continue" and not options.get("MessageId"):
        raise VendorRefusal("InvalidMessageId.Empty", "The specified MessageId cannot be empty.")
    platforms = _parse_platforms(str(target.get("Platform") or "ALL"), "Platform")
    after = _parse_delay(options.get("PushTime"), options.get("ExpireTime"), now)
    notice, message = bool(task.get("Notification")), str(options.get("MessageId", ""))
    content = {name: task[name] for name in ("Notification", "Message") if task.get(name)}
    if action == "create":
        return EmasTask(action, "", "", platforms, is_notification=notice, content=content)
    require_fields(target, "Type", *(["Value"] if target.get("Type") != "ALL" else []))
    kind, value = _check_target(str(target["Type"]), str(target.get("Value", "ALL")))
    return EmasTask(action, kind, value, platforms, after, message, notice, content)


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


def _parse_platforms(text: str, name: str) -> frozenset[str]:
    if text.upper() == "ALL":
        return ALL_PLATFORMS
    if text.upper() not in PLATFORM_BY_NAME:
        raise invalid_parameter(name)
    return frozenset({PLATFORM_BY_NAME[text.upper()]})


def _check_contents(task: JsonObject) -> None:
    """Reject a task without a message or a notification, or with one that is too large."""
    message, notification = _object_field(task, "Message"), _object_field(task, "Notification")
    if not message and not notification:
        raise VendorRefusal("InvalidMessage.Empty", "The specified Message cannot be empty.")
    if total_json_bytes(message) > MAX_MESSAGE_BYTES:
        raise VendorRefusal(
            "InvalidMessage.BytesExceed", f"The specified Message exceeds the {MAX_MESSAGE_BYTES} bytes limit."
        )
    check_fields({name: str(notification.get(name) or "") for name in ("Title", "Body")})


def _object_field(task: JsonObject, name: str) -> JsonObject:
    part = task.get(name) or {}
    if not isinstance(part, dict):
        raise invalid_format(name)
    return part


def _check_job_key(key: str) -> None:
    if not JOB_KEY_PATTERN.fullmatch(key):
        raise invalid_format("JobKey")
    check_fields({"JobKey": key})


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
        return seconds_until(datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ"), now)
    except ValueError:
        raise invalid_format(name) from None
