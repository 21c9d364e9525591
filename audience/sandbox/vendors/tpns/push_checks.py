"""Checks of TPNS for the fields of a push.

https://www.tencentcloud.com/document/product/1024/33764. The page documents no codes: 1008002 is for a parameter that
is missing, 1008007 for one that is not valid, and 10010012 for a time, as in the list of error codes.
"""

import json
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

from audience.sandbox.field_checks import find_field_problem, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import parse_moment, seconds_until

TABLE = Path(__file__).with_name("push.txt")
SCHEDULED_TYPES = ("all", "tag", "package_account_push")
FIELDS_OF_SCHEDULED_TYPES = ("send_time", "loop_param", "push_speed", "collapse_id")
SILENT_EXCLUDES = ("alert", "sound", "badge_type")
SERVER_ZONE = timezone(timedelta(hours=8))  # of send_time, which the page calls the time of the server
MAX_PAST_SECONDS, MAX_AHEAD_SECONDS = 600, 90 * 86_400


def check_push(push: JsonObject, now: float) -> float:
    """Check the fields of a push; return the seconds from *now* until it is sent.

    Raises:
        VendorRefusal: A field is unknown, missing, of another type, or has a value that the page does not allow.
    """
    if problem := find_field_problem(push, load_field_table(TABLE)):
        code = 1008002 if problem.kind == "missing" else 1008007
        raise VendorRefusal(code, f"{problem.path}: {problem.expected}")
    if push["audience_type"] not in SCHEDULED_TYPES:
        for name in FIELDS_OF_SCHEDULED_TYPES:
            if push.get(name) is not None:
                raise VendorRefusal(1008007, f"{name} is for all, tags and packages of accounts only")
    _check_message(push["message"], push["message_type"] == "message", push.get("environment"))
    return _parse_send_time(push["send_time"], now) if push.get("send_time") else 0.0


def _check_message(message: JsonObject, is_silent: bool, environment: Any) -> None:
    ios = message.get("ios")
    if ios is not None:
        if environment is None:
            raise VendorRefusal(1008002, "for iOS environment is product or dev")
        _check_aps(ios["aps"], is_silent)
    has_text = not is_silent or ios is None or message.get("android") is not None
    if has_text and (empty := [name for name in ("title", "content") if not message.get(name)]):
        raise VendorRefusal(1008002, f"message.{empty[0]} is missing")
    for platform in ("android", "ios"):
        _check_custom_content((message.get(platform) or {}).get("custom_content"))


def _check_aps(aps: JsonObject, is_silent: bool) -> None:
    wakes_app = aps.get("content-available") == 1
    if is_silent != wakes_app:
        raise VendorRefusal(1008007, "content-available is 1 in a silent message, and in no notification")
    if is_silent and (shown := [name for name in SILENT_EXCLUDES if name in aps]):
        raise VendorRefusal(1008007, f"a silent message has no {shown[0]}")
    if not is_silent and aps.get("alert") is None:
        raise VendorRefusal(1008002, "message.ios.aps.alert is missing")


def _check_custom_content(text: str | None) -> None:
    try:
        json.loads("{}" if text is None else text)
    except (ValueError, RecursionError):
        raise VendorRefusal(1008007, "custom_content is a JSON string") from None


def _parse_send_time(text: str, now: float) -> float:
    try:
        wait = seconds_until(parse_moment(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=SERVER_ZONE), now)
    except ValueError:
        raise VendorRefusal(1008007, "send_time is of the form yyyy-MM-DD HH:MM:SS") from None
    if not -MAX_PAST_SECONDS <= wait <= MAX_AHEAD_SECONDS:
        raise VendorRefusal(10010012, "send_time is within the next 90 days")
    return max(wait, 0.0)
