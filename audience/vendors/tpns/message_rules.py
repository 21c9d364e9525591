"""What TPNS asks of a body beyond the types of its fields.

https://www.tencentcloud.com/document/product/1024/33764, and for sizes
https://www.tencentcloud.com/document/product/1024/35286, for moments that have passed
https://www.tencentcloud.com/document/product/1024/30731.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

from audience.errors import Problem
from audience.vendors.schema_check import get_in, json_nbytes

MAX_MESSAGE_BYTES = 4_096  # of message
MAX_DAYS_AHEAD = 90
PAST_GRACE = timedelta(minutes=10)  # a send_time that has passed by less is taken, and sent at once
BEIJING = timezone(timedelta(hours=8))  # of all four data centres
TIMESTAMP_FORMAT, DATE_FORMAT = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"
NON_SILENT_KEYS = ("alert", "sound", "badge_type")


def target_platforms(body: Any) -> list[str]:
    """The platforms that the body *said* has a structure for."""
    return [name for name in ("android", "ios") if name in get_in(body, "message")]


def _platform_problems(body: Any) -> Iterator[Problem]:
    if "message" in body and not target_platforms(body):
        hint = 'TPNS reaches Android and iOS: say "platforms": ["android"] or ["ios"], or none'
        yield Problem("missing-key", "'android' or 'ios' is required", path="$.message", hint=hint)
    if "ios" in target_platforms(body) and "environment" not in body:
        yield Problem("missing-key", "'environment' is required for iOS", path="$", hint="product or dev")


def _text_problems(body: Any) -> Iterator[Problem]:
    """Silent messages on iOS have no title and no content; all others have both."""
    silent = body.get("message_type") == "message"
    if target_platforms(body) == ["ios"] and silent:
        return
    for key, ours in (("title", "title"), ("content", "body")):
        if key not in get_in(body, "message"):
            hint = f"give the message a {ours}"
            yield Problem("missing-key", f"{key!r} is required", path="$.message", hint=hint)


def _silent_problems(body: Any) -> Iterator[Problem]:
    """content-available wakes an app on iOS, and excludes all that is shown or heard."""
    if "ios" not in target_platforms(body):
        return
    aps, path = get_in(body, "message", "ios", "aps"), "$.message.ios.aps"
    wakes = aps.get("content-available") == 1
    match body.get("message_type"):
        case "notify":
            if wakes:
                hint = 'message_type "message" goes with it: "kind": "silent"'
                yield Problem("excluded", "notify and content-available exclude each other", path=path, hint=hint)
            elif "alert" not in aps:
                yield Problem("missing-key", "'alert' is required", path=path)
        case "message":
            if not wakes:
                yield Problem("missing-key", "'content-available' is required to be 1", path=path)
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
            yield Problem("wrong-value", f"no JSON text: {error}", path=path, hint="give the message data")


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _timestamp_problems(body: Any) -> Iterator[Problem]:
    """Moments that are none, or that are too far away."""
    loop = get_in(body, "loop_param")
    for path, value, form in (
        ("$.send_time", body.get("send_time"), TIMESTAMP_FORMAT),
        ("$.loop_param.startDate", loop.get("startDate"), DATE_FORMAT),
        ("$.loop_param.endDate", loop.get("endDate"), DATE_FORMAT),
    ):
        moment = parse_timestamp(value, form)
        if moment is None and isinstance(value, str):
            yield Problem(
                "wrong-value", f"{value!r} is no moment", path=path, hint="YYYY-MM-DD, and HH:MM:SS behind it"
            )
        elif moment is not None and moment > now_in_beijing() + timedelta(days=MAX_DAYS_AHEAD):
            yield Problem("too-late", f"{value} is more than {MAX_DAYS_AHEAD} days away", path=path)
    sent = parse_timestamp(body.get("send_time"), TIMESTAMP_FORMAT)
    if sent is not None and sent < now_in_beijing() - PAST_GRACE:
        hint = "TPNS refuses what is more than 10 minutes ago: 10010012"
        yield Problem("past", f"{body['send_time']} has passed in Beijing", path="$.send_time", hint=hint)
    start, end = parse_timestamp(loop.get("startDate"), DATE_FORMAT), parse_timestamp(loop.get("endDate"), DATE_FORMAT)
    if start and end and end < start:
        yield Problem("wrong-value", "it ends before it starts", path="$.loop_param.endDate")


def parse_timestamp(value: Any, time_format: str) -> datetime | None:
    """The moment that *value* is, at the vendor's place; None for what is none.

    >>> parse_timestamp("2026-11-21 10:00:00", TIMESTAMP_FORMAT).isoformat(), parse_timestamp("soon", TIMESTAMP_FORMAT)
    ('2026-11-21T10:00:00+08:00', None)
    """
    try:
        return datetime.strptime(value, time_format).replace(tzinfo=BEIJING) if isinstance(value, str) else None
    except ValueError:
        return None


def now_in_beijing() -> datetime:
    """This moment, at the vendor's place."""
    return datetime.now(BEIJING)


def _size_problems(body: Any) -> Iterator[Problem]:
    """Each platform gets a message without the other's structure."""
    for name in target_platforms(body):
        sent = {
            key: value
            for key, value in get_in(body, "message").items()
            if key == name or key not in target_platforms(body)
        }
        if (found := json_nbytes(sent)) > MAX_MESSAGE_BYTES:
            message = f"the message takes {found:,} bytes on {name}; {MAX_MESSAGE_BYTES:,} is the most"
            yield Problem("too-long", message, path="$.message")


RULES = (
    _platform_problems,
    _text_problems,
    _silent_problems,
    _custom_content_problems,
    _timestamp_problems,
    _size_problems,
)
