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
from audience.vendors.schema_check import at, size

MOST_BYTES = 4_096  # of message
MOST_DAYS = 90
GRACE = timedelta(minutes=10)  # a send_time that has passed by less is taken, and sent at once
BEIJING = timezone(timedelta(hours=8))  # of all four data centres
MOMENT, DAY = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"
NOT_SILENT = ("alert", "sound", "badge_type")


def structures(said: Any) -> list[str]:
    """The platforms that the body *said* has a structure for."""
    return [name for name in ("android", "ios") if name in at(said, "message")]


def _platforms(said: Any) -> Iterator[Problem]:
    if "message" in said and not structures(said):
        hint = 'TPNS reaches Android and iOS: say "platforms": ["android"] or ["ios"], or none'
        yield Problem("missing-key", "'android' or 'ios' is required", path="$.message", hint=hint)
    if "ios" in structures(said) and "environment" not in said:
        yield Problem("missing-key", "'environment' is required for iOS", path="$", hint="product or dev")


def _texts(said: Any) -> Iterator[Problem]:
    """Silent messages on iOS have no title and no content; all others have both."""
    silent = said.get("message_type") == "message"
    if structures(said) == ["ios"] and silent:
        return
    for key, ours in (("title", "title"), ("content", "body")):
        if key not in at(said, "message"):
            hint = f"give the message a {ours}"
            yield Problem("missing-key", f"{key!r} is required", path="$.message", hint=hint)


def _silence(said: Any) -> Iterator[Problem]:
    """content-available wakes an app on iOS, and excludes all that is shown or heard."""
    if "ios" not in structures(said):
        return
    aps, path = at(said, "message", "ios", "aps"), "$.message.ios.aps"
    wakes = aps.get("content-available") == 1
    match said.get("message_type"):
        case "notify":
            if wakes:
                hint = 'message_type "message" goes with it: "kind": "silent"'
                yield Problem("excluded", "notify and content-available exclude each other", path=path, hint=hint)
            elif "alert" not in aps:
                yield Problem("missing-key", "'alert' is required", path=path)
        case "message":
            if not wakes:
                yield Problem("missing-key", "'content-available' is required to be 1", path=path)
            for key in NOT_SILENT:
                if key in aps:
                    yield Problem("excluded", f"a silent message has no {key}", path=f"{path}.{key}")


def _custom_contents(said: Any) -> Iterator[Problem]:
    for name in structures(said):
        text, path = at(said, "message", name).get("custom_content"), f"$.message.{name}.custom_content"
        try:
            if isinstance(text, str):
                json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            yield Problem("wrong-value", f"no JSON text: {error}", path=path, hint="give the message data")


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _moments(said: Any) -> Iterator[Problem]:
    """Moments that are none, or that are too far away."""
    loop = at(said, "loop_param")
    for path, value, form in (
        ("$.send_time", said.get("send_time"), MOMENT),
        ("$.loop_param.startDate", loop.get("startDate"), DAY),
        ("$.loop_param.endDate", loop.get("endDate"), DAY),
    ):
        moment = read(value, form)
        if moment is None and isinstance(value, str):
            yield Problem(
                "wrong-value", f"{value!r} is no moment", path=path, hint="YYYY-MM-DD, and HH:MM:SS behind it"
            )
        elif moment is not None and moment > now() + timedelta(days=MOST_DAYS):
            yield Problem("too-late", f"{value} is more than {MOST_DAYS} days away", path=path)
    sent = read(said.get("send_time"), MOMENT)
    if sent is not None and sent < now() - GRACE:
        hint = "TPNS refuses what is more than 10 minutes ago: 10010012"
        yield Problem("past", f"{said['send_time']} has passed in Beijing", path="$.send_time", hint=hint)
    start, end = read(loop.get("startDate"), DAY), read(loop.get("endDate"), DAY)
    if start and end and end < start:
        yield Problem("wrong-value", "it ends before it starts", path="$.loop_param.endDate")


def read(value: Any, form: str) -> datetime | None:
    """The moment that *value* is, at the vendor's place; None for what is none.

    >>> read("2026-11-21 10:00:00", MOMENT).isoformat(), read("soon", MOMENT)
    ('2026-11-21T10:00:00+08:00', None)
    """
    try:
        return datetime.strptime(value, form).replace(tzinfo=BEIJING) if isinstance(value, str) else None
    except ValueError:
        return None


def now() -> datetime:
    """This moment, at the vendor's place."""
    return datetime.now(BEIJING)


def _sizes(said: Any) -> Iterator[Problem]:
    """Each platform gets a message without the other's structure."""
    for name in structures(said):
        sent = {key: value for key, value in at(said, "message").items() if key == name or key not in structures(said)}
        if (found := size(sent)) > MOST_BYTES:
            message = f"the message takes {found:,} bytes on {name}; {MOST_BYTES:,} is the most"
            yield Problem("too-long", message, path="$.message")


RULES = (_platforms, _texts, _silence, _custom_contents, _moments, _sizes)
