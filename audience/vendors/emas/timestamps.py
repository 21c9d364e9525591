"""Timestamps of EMAS: ExpireTime and PushTime are UTC timestamps, a message has a time to live.

A body keeps the time to live as an ISO 8601 duration, `PT3600S`, until the call is made.
Source: https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from audience.errors import MessageError, Problem
from audience.vendors.spec import Payload

MAX_LIFETIME = timedelta(hours=72)
MAX_SCHEDULE_AHEAD = timedelta(days=7)
MAX_DISMISSAL = timedelta(hours=4)
MIN_LIFETIME = timedelta(seconds=3)
DEFAULT_LIFETIME = "PT86400S"  # what EngageLab and TPNS have by default; EMAS itself would keep nothing, or 72 hours
_TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_DURATION_PATTERN = re.compile(r"PT(\d{1,9})S")


def format_duration(seconds: int | None) -> str:
    """Format a time to live as the duration that a body keeps; a day if a message has none."""
    return DEFAULT_LIFETIME if seconds is None else f"PT{seconds}S"


def is_duration(text: object) -> bool:
    """Return whether *text* is a duration, not a timestamp."""
    return isinstance(text, str) and _DURATION_PATTERN.fullmatch(text) is not None


def format_timestamp(timestamp: datetime) -> str:
    """Format a timestamp for EMAS.

    >>> format_timestamp(datetime(2026, 11, 21, 8, tzinfo=UTC))
    '2026-11-21T08:00:00Z'
    """
    return timestamp.astimezone(UTC).strftime(_TIMESTAMP_FORMAT)


def parse_timestamp(text: object) -> datetime | None:
    """Parse a timestamp; None if *text* is not one.

    >>> parse_timestamp("2026-11-21T08:00:00Z").isoformat(), parse_timestamp("2026-11-21T8:00:00Z")
    ('2026-11-21T08:00:00+00:00', None)
    """
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.strptime(text, _TIMESTAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment if format_timestamp(moment) == text else None  # strptime takes 8 for 08, and z for Z


def _resolve_expiry(expire_time: str, start: datetime) -> datetime | None:
    """Return when a push that begins at *start* expires."""
    duration = _DURATION_PATTERN.fullmatch(expire_time)
    return start + timedelta(seconds=int(duration[1])) if duration else parse_timestamp(expire_time)


def apply_timestamps(fields: Payload, now: datetime, path: str) -> Payload:
    """Turn ExpireTime into a timestamp for a call at *now*, or raise MessageError if a timestamp is out of range.

    >>> apply_timestamps({"ExpireTime": "PT60S"}, datetime(2026, 11, 21, tzinfo=UTC), "$")
    {'ExpireTime': '2026-11-21T00:01:00Z'}
    """
    expire_time, push_time = fields.get("ExpireTime"), fields.get("PushTime")
    problems = list(_schedule_problems(expire_time, push_time, now, path))
    if problems:
        raise MessageError(*problems)
    expiry = None if expire_time is None else _resolve_expiry(expire_time, parse_timestamp(push_time) or now)
    return {**fields, "ExpireTime": format_timestamp(expiry)} if expiry else fields


def expiry_problems(expire_time: object, push_time: object, path: str) -> Iterator[Problem]:
    """Find problems of ExpireTime and PushTime that do not depend on the current time."""
    for name, text in (("ExpireTime", expire_time), ("PushTime", push_time)):
        is_lifetime = name == "ExpireTime" and is_duration(text)
        if isinstance(text, str) and not is_lifetime and parse_timestamp(text) is None:
            message = f"expected a timestamp in UTC, found {text!r}"
            yield Problem("bad-moment", message, path=f"{path}.{name}", hint="write it like 2026-11-21T08:00:00Z")
    any_time = datetime(2000, 1, 1, tzinfo=UTC)  # a duration is the same from any time on
    start = parse_timestamp(push_time) or (any_time if is_duration(expire_time) else None)
    if start and isinstance(expire_time, str):
        yield from _lifetime_problems(_resolve_expiry(expire_time, start), start, f"{path}.ExpireTime")


def dismissal_problems(fields: Payload, name: str, push_time: object, now: datetime, path: str) -> Iterator[Problem]:
    """Find a live activity that would stay on the lock screen for more than 4 hours after its push."""
    start = parse_timestamp(push_time) or now
    timestamp = fields.get(name)
    if isinstance(timestamp, int) and timestamp > (start + MAX_DISMISSAL).timestamp():
        message = f"{timestamp} is more than 4 hours after {format_timestamp(start)}"
        hint = f"at most {int((start + MAX_DISMISSAL).timestamp())}, in seconds since 1970"
        yield Problem("untimely", message, path=f"{path}.{name}", hint=hint)


def _schedule_problems(expire_time: object, push_time: object, now: datetime, path: str) -> Iterator[Problem]:
    """Find problems of ExpireTime and PushTime for a call at *now*."""
    start = parse_timestamp(push_time)
    if start and not now < start <= now + MAX_SCHEDULE_AHEAD:
        message = f"{push_time} is not within the {MAX_SCHEDULE_AHEAD.days} days after {format_timestamp(now)}"
        yield Problem("untimely", message, path=f"{path}.PushTime", hint="leave it out to push at once")
    if isinstance(expire_time, str):
        yield from _lifetime_problems(_resolve_expiry(expire_time, start or now), start or now, f"{path}.ExpireTime")


def _lifetime_problems(expiry: datetime | None, start: datetime, path: str) -> Iterator[Problem]:
    if expiry and not start + MIN_LIFETIME < expiry <= start + MAX_LIFETIME:
        message = "a push is kept for more than 3 seconds and at most 72 hours"
        yield Problem("untimely", message, path=path, hint="count from PushTime, or from the call")
