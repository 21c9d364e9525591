"""Moments of EMAS: ExpireTime and PushTime are UTC texts, while a message says how long it may wait.

A body keeps a time to live as `PT3600S`, a duration of ISO 8601, until the call that says it is made.
https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from audience.errors import MessageError, Problem
from audience.vendors.spec import Payload

MAX_LIFETIME = timedelta(hours=72)
MAX_SCHEDULE_AHEAD = timedelta(days=7)
MIN_LIFETIME = timedelta(seconds=3)
_TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_DURATION_PATTERN = re.compile(r"PT(\d{1,9})S")


def format_duration(seconds: int) -> str:
    """A time to live, as a body keeps it."""
    return f"PT{seconds}S"


def is_duration(text: object) -> bool:
    """Whether *text* is a time to live, and not a moment."""
    return isinstance(text, str) and _DURATION_PATTERN.fullmatch(text) is not None


def format_timestamp(timestamp: datetime) -> str:
    """The moment *at* as EMAS writes it.

    >>> format_timestamp(datetime(2026, 11, 21, 8, tzinfo=UTC))
    '2026-11-21T08:00:00Z'
    """
    return timestamp.astimezone(UTC).strftime(_TIMESTAMP_FORMAT)


def parse_timestamp(text: object) -> datetime | None:
    """The moment that *text* says, or None where it says none."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.strptime(text, _TIMESTAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def _resolve_expiry(expire_time: str, start: datetime) -> datetime | None:
    """When *expires* is, for a push that begins at that moment."""
    lasts = _DURATION_PATTERN.fullmatch(expire_time)
    return start + timedelta(seconds=int(lasts[1])) if lasts else parse_timestamp(expire_time)


def apply_timestamps(fields: Payload, now: datetime, path: str) -> Payload:
    """*fields* with ExpireTime as a moment, for a call at that one; MessageError where one of them is untimely.

    >>> apply_timestamps({"ExpireTime": "PT60S"}, datetime(2026, 11, 21, tzinfo=UTC), "$")
    {'ExpireTime': '2026-11-21T00:01:00Z'}
    """
    expires, pushed = fields.get("ExpireTime"), fields.get("PushTime")
    problems = list(_schedule_problems(expires, pushed, now, path))
    if problems:
        raise MessageError(*problems)
    until = _resolve_expiry(expires, parse_timestamp(pushed) or now) if expires is not None else None
    return {**fields, "ExpireTime": format_timestamp(until)} if until else fields


def expiry_problems(expire_time: object, push_time: object, path: str) -> Iterator[Problem]:
    """What is wrong with ExpireTime and PushTime under *path*, whatever time it is now."""
    for name, text in (("ExpireTime", expire_time), ("PushTime", push_time)):
        lasts = name == "ExpireTime" and is_duration(text)
        if isinstance(text, str) and not lasts and parse_timestamp(text) is None:
            words = f"{text!r} is no moment"
            yield Problem("bad-moment", words, path=f"{path}.{name}", hint="in UTC, such as 2026-11-21T08:00:00Z")
    begins = parse_timestamp(push_time) or (datetime(2000, 1, 1, tzinfo=UTC) if is_duration(expire_time) else None)
    if begins and isinstance(expire_time, str):
        yield from _lifetime_problems(_resolve_expiry(expire_time, begins), begins, f"{path}.ExpireTime")


def _schedule_problems(expire_time: object, push_time: object, now: datetime, path: str) -> Iterator[Problem]:
    """What is wrong with ExpireTime and PushTime under *path*, for a call at that moment."""
    begins = parse_timestamp(push_time)
    if begins and not now < begins <= now + MAX_SCHEDULE_AHEAD:
        words = f"{push_time} is not within the {MAX_SCHEDULE_AHEAD.days} days after {format_timestamp(now)}"
        yield Problem("untimely", words, path=f"{path}.PushTime", hint="leave it out to push at once")
    if isinstance(expire_time, str):
        yield from _lifetime_problems(_resolve_expiry(expire_time, begins or now), begins or now, f"{path}.ExpireTime")


def _lifetime_problems(expiry: datetime | None, start: datetime, path: str) -> Iterator[Problem]:
    if expiry and not start + MIN_LIFETIME < expiry <= start + MAX_LIFETIME:
        words = "a push is kept for more than 3 seconds and at most 72 hours"
        yield Problem("untimely", words, path=path, hint="from PushTime on, or from the call")
