"""Rules of TPNS for a body, beyond the types of its fields.

Sources: https://www.tencentcloud.com/document/product/1024/33764, for sizes
https://www.tencentcloud.com/document/product/1024/35286, for past timestamps
https://www.tencentcloud.com/document/product/1024/30731.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

from audience.errors import Problem
from audience.vendors.schema_check import get_in, json_nbytes

MAX_MESSAGE_BYTES = 4_096  # of the field message
MAX_DAYS_AHEAD = 90
PAST_GRACE = timedelta(minutes=10)  # an earlier send_time is rejected, a later one is sent at once
BEIJING = timezone(timedelta(hours=8))  # time zone of all four data centres
TIMESTAMP_FORMAT, DATE_FORMAT = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"
NON_SILENT_KEYS = ("alert", "sound", "badge_type")


def target_platforms(body: Any) -> list[str]:
    """Return the platforms that a body has a structure for."""
    return [name for name in ("android", "ios") if name in get_in(body, "message")]


def _platform_problems(body: Any) -> Iterator[Problem]:
    if "message" in body and not target_platforms(body):
        hint = 'TPNS supports Android and iOS: set "platforms": ["android"] or ["ios"], or leave it out'
        yield Problem("missing-key", "'android' or 'ios' is required", path="$.message", hint=hint)
    if "ios" in target_platforms(body) and "environment" not in body:
        yield Problem("missing-key", "'environment' is required for iOS", path="$", hint="set it to product or dev")


def _text_problems(body: Any) -> Iterator[Problem]:
    """Find a missing title or content; only silent messages on iOS have none."""
    is_silent = body.get("message_type") == "message"
    if target_platforms(body) == ["ios"] and is_silent:
        return
    for key, field in (("title", "title"), ("content", "body")):
        if key not in get_in(body, "message"):
            hint = f"give the message a {field}"
            yield Problem("missing-key", f"{key!r} is required", path="$.message", hint=hint)


def _silent_problems(body: Any) -> Iterator[Problem]:
    """Find conflicts of content-available, which wakes an app on iOS and excludes all that is shown or heard."""
    if "ios" not in target_platforms(body):
        return
    aps, path = get_in(body, "message", "ios", "aps"), "$.message.ios.aps"
    wakes_app = aps.get("content-available") == 1
    match body.get("message_type"):
        case "notify":
            if wakes_app:
                hint = 'set "kind": "silent" for message_type "message"'
                yield Problem("excluded", "notify and content-available exclude each other", path=path, hint=hint)
            elif "alert" not in aps:
                yield Problem("missing-key", "'alert' is required", path=path)
        case "message":
            if not wakes_app:
                yield Problem("missing-key", "a silent message needs 'content-available': 1", path=path)
            for key in NON_SILENT_KEYS:
                if key in aps:
                    yield Problem("excluded", f"a silent message has no {key}", path=f"{path}.{key}")


def _custom_content_problems(body: Any) -> Iterator[Problem]:
    for name in target_platforms(body):
        text, path = get_in(body, "message", name).get("custom_content"), f"$.message.{name}.custom_content"
        try:
            if isinstance(text, str):
                json.loads(text, parse_constant=_reject_constant)
        except (ValueError, RecursionError) as error:
            yield Problem("wrong-value", f"not valid JSON: {error}", path=path, hint="give the message data")


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _timestamp_problems(body: Any) -> Iterator[Problem]:
    """Find timestamps that are invalid, past, or too far ahead."""
    loop = get_in(body, "loop_param")
    for path, value, time_format in (
        ("$.send_time", body.get("send_time"), TIMESTAMP_FORMAT),
        ("$.loop_param.startDate", loop.get("startDate"), DATE_FORMAT),
        ("$.loop_param.endDate", loop.get("endDate"), DATE_FORMAT),
    ):
        timestamp = parse_timestamp(value, time_format)
        if timestamp is None and isinstance(value, str):
            hint = f"write it like {datetime(2026, 11, 21).strftime(time_format)}"
            yield Problem("wrong-value", f"expected a timestamp, found {value!r}", path=path, hint=hint)
        elif timestamp is not None and timestamp > now_in_beijing() + timedelta(days=MAX_DAYS_AHEAD):
            yield Problem("too-late", f"{value} is more than {MAX_DAYS_AHEAD} days ahead", path=path)
    send_time = parse_timestamp(body.get("send_time"), TIMESTAMP_FORMAT)
    if send_time is not None and send_time < now_in_beijing() - PAST_GRACE:
        hint = "TPNS rejects a time more than 10 minutes ago: 10010012"
        yield Problem("past", f"{body['send_time']} has passed in Beijing", path="$.send_time", hint=hint)
    start, end = parse_timestamp(loop.get("startDate"), DATE_FORMAT), parse_timestamp(loop.get("endDate"), DATE_FORMAT)
    if start and end and end < start:
        message = f"the loop ends on {loop['endDate']}, before it starts on {loop['startDate']}"
        yield Problem("wrong-value", message, path="$.loop_param.endDate")


def parse_timestamp(value: Any, time_format: str) -> datetime | None:
    """Parse a timestamp of Beijing; None if *value* is not one.

    >>> parse_timestamp("2026-11-21 10:00:00", TIMESTAMP_FORMAT).isoformat(), parse_timestamp("soon", TIMESTAMP_FORMAT)
    ('2026-11-21T10:00:00+08:00', None)
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.strptime(value, time_format).replace(tzinfo=BEIJING)
    except ValueError:
        return None
    return moment if moment.strftime(time_format) == value else None  # strptime takes 8 for 08


def now_in_beijing() -> datetime:
    """Return the current time in Beijing."""
    return datetime.now(BEIJING)


def _size_problems(body: Any) -> Iterator[Problem]:
    """Find messages that are too long; each platform gets one without the structure of the other."""
    for name in target_platforms(body):
        others = {platform for platform in target_platforms(body) if platform != name}
        size = json_nbytes({key: value for key, value in get_in(body, "message").items() if key not in others})
        if size > MAX_MESSAGE_BYTES:
            message = f"the message takes {size:,} bytes on {name}; the maximum is {MAX_MESSAGE_BYTES:,}"
            yield Problem("too-long", message, path="$.message")


RULES = (
    _platform_problems,
    _text_problems,
    _silent_problems,
    _custom_content_problems,
    _timestamp_problems,
    _size_problems,
)
