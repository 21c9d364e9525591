"""What EMAS is asked to push: Push's flat parameters and PushV2's nested task, read into one form and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from audience.sandbox.http_types import JSON, Refused
from audience.sandbox.request_checks import seconds_until, size
from audience.sandbox.vendors.emas.fields import bad_format, check_fields, invalid, need

Action: TypeAlias = Literal["now", "later", "create", "continue"]
ACTIONS: dict[str, Action] = {
    "PUSH_IMMEDIATELY": "now",
    "SCHEDULED_PUSH": "later",
    "CREATE_CONTINUOUS_PUSH": "create",
    "CONTINUOUS_PUSH": "continue",
}
TARGETS = ("DEVICE", "ACCOUNT", "ALIAS", "TAG", "ALL")
LISTS = ("DEVICE", "ACCOUNT", "ALIAS")
PLATFORMS = {"ANDROID": "android", "IOS": "ios", "HARMONY": "hmos", "HMOS": "hmos"}
FARTHEST, LONGEST_KEPT, REDUNDANCY = 7, 72 * 3_600.0, 3.0  # days; seconds; seconds
LONGEST_MESSAGE, MOST = 4_000, 1_000
JOB_KEY = re.compile(r"[\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Task:
    """One push: *target* and *value* as they were said, *after* how many seconds; *message* is that of "continue"."""

    action: Action
    target: str
    value: str
    platforms: frozenset[str]
    after: float = 0.0
    message: str = ""
    notice: bool = False


def flat(given: Mapping[str, str]) -> Task:
    """The task of Push, or one of MassPush."""
    need(given, "PushType", "DeviceType", "Target", "TargetValue")
    check_fields(given)
    platforms = _platforms(given["DeviceType"], "DeviceType")
    if platforms != {"ios"}:
        need(given, "Title")
    _job(given.get("JobKey", ""))
    tbd = given["Target"] == "TBD"
    if tbd and given.get("PushTime"):
        raise invalid("PushTime")
    after = _times(given.get("PushTime"), given.get("ExpireTime"))
    notice = given["PushType"] == "NOTICE"
    if tbd:
        return Task("create", "", "", platforms, notice=notice)
    target, value = _target(given["Target"], given["TargetValue"])
    return Task("later" if after else "now", target, value, platforms, after, notice=notice)


def nested(task: JSON) -> Task:
    """The task of PushV2, or one of MassPushV2."""
    action = ACTIONS.get(str(task.get("Action") or "PUSH_IMMEDIATELY"))
    if action is None:
        raise invalid("Action")
    options, target = _part(task, "Options"), _part(task, "Target")
    if action != "continue":
        _contents(task)
    _job(str(options.get("JobKey", "")))
    if options.get("PushTime") and action != "later":
        raise invalid("PushTime")
    if action == "later" and not options.get("PushTime"):
        raise Refused("InvalidPushTime.Empty", "The specified PushTime cannot be empty.")
    if action == "continue" and not options.get("MessageId"):
        raise Refused("InvalidMessageId.Empty", "The specified MessageId cannot be empty.")
    platforms = _platforms(str(target.get("Platform") or "ALL"), "Platform")
    after = _times(options.get("PushTime"), options.get("ExpireTime"))
    notice, message = bool(task.get("Notification")), str(options.get("MessageId", ""))
    if action == "create":
        return Task(action, "", "", platforms, notice=notice)
    need(target, "Type", *(["Value"] if target.get("Type") != "ALL" else []))
    kind, value = _target(str(target["Type"]), str(target.get("Value", "ALL")))
    return Task(action, kind, value, platforms, after, message, notice)


def ids_of(value: str) -> list[str]:
    """The ids of a target value, of which there is no escape for a comma."""
    ids = [each.strip() for each in value.split(",")]
    if not all(ids):
        raise bad_format("TargetValue")
    if len(ids) > MOST:
        text = f"The specified TargetValue length cannot be greater than {MOST}."
        raise Refused("InvalidTargetValue.LengthExceed", text)
    return ids


def _target(kind: str, value: str) -> tuple[str, str]:
    if kind not in TARGETS:
        raise invalid("Target")
    if kind == "ALL" and value.upper() != "ALL":
        raise invalid("TargetValue")
    if kind in LISTS:
        ids_of(value)
    return kind, value


def _platforms(text: str, name: str) -> frozenset[str]:
    if text.upper() == "ALL":
        return frozenset(PLATFORMS.values())
    if text.upper() not in PLATFORMS:
        raise invalid(name)
    return frozenset({PLATFORMS[text.upper()]})


def _contents(task: JSON) -> None:
    """Refuse a task without a message or a notification, or with one that is too large."""
    message, notification = _part(task, "Message"), _part(task, "Notification")
    if not message and not notification:
        raise Refused("InvalidMessage.Empty", "The specified Message cannot be empty.")
    if size(message) > LONGEST_MESSAGE:
        raise Refused("InvalidMessage.BytesExceed", f"The specified Message exceeds the {LONGEST_MESSAGE} bytes limit.")
    check_fields({name: str(notification.get(name) or "") for name in ("Title", "Body")})


def _part(task: JSON, name: str) -> JSON:
    part = task.get(name) or {}
    if not isinstance(part, dict):
        raise bad_format(name)
    return part


def _job(key: str) -> None:
    if not JOB_KEY.fullmatch(key):
        raise bad_format("JobKey")
    check_fields({"JobKey": key})


def _times(push: Any, expire: Any) -> float:
    """In how many seconds to push; refused where that, or how long it is kept, is not allowed."""
    after = _seconds(push, "PushTime") if push else 0.0
    if after > FARTHEST * 86_400:
        raise _too_long(FARTHEST)
    if expire:
        kept = _seconds(expire, "ExpireTime") - max(after, 0.0)
        if kept > LONGEST_KEPT:
            raise _too_long(3)
        if kept <= REDUNDANCY:
            raise invalid("ExpireTime")
    return max(after, 0.0)


def _too_long(days: int) -> Refused:
    text = f"The period between specified EndTime and StartTime exceeds {days} days."
    return Refused("InvalidPeriod.ExceedDays", text)


def _seconds(text: Any, name: str) -> float:
    try:
        return seconds_until(datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise bad_format(name) from None
