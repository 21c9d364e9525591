"""Moments of EMAS: ExpireTime and PushTime are UTC texts, while a message says how long it may wait.

A body keeps a time to live as `PT3600S`, a duration of ISO 8601, until the call that says it is made.
https://help.aliyun.com/document_detail/48089.html, read 2026-11-21.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from audience.errors import MessageError, Problem
from audience.vendors.spec import Payload

KEPT = timedelta(hours=72)
AHEAD = timedelta(days=7)
MARGIN = timedelta(seconds=3)
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_LASTS = re.compile(r"PT(\d{1,9})S")


def lasting(seconds: int) -> str:
    """A time to live, as a body keeps it."""
    return f"PT{seconds}S"


def is_lasting(text: object) -> bool:
    """Whether *text* is a time to live, and not a moment."""
    return isinstance(text, str) and _LASTS.fullmatch(text) is not None


def said(at: datetime) -> str:
    """The moment *at* as EMAS writes it.

    >>> said(datetime(2026, 11, 21, 8, tzinfo=UTC))
    '2026-11-21T08:00:00Z'
    """
    return at.astimezone(UTC).strftime(_FORMAT)


def moment(text: object) -> datetime | None:
    """The moment that *text* says, or None where it says none."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def _expiry(expires: str, begins: datetime) -> datetime | None:
    """When *expires* is, for a push that begins at that moment."""
    lasts = _LASTS.fullmatch(expires)
    return begins + timedelta(seconds=int(lasts[1])) if lasts else moment(expires)


def timed(fields: Payload, at: datetime, path: str) -> Payload:
    """*fields* with ExpireTime as a moment, for a call at that one; MessageError where one of them is untimely.

    >>> timed({"ExpireTime": "PT60S"}, datetime(2026, 11, 21, tzinfo=UTC), "$")
    {'ExpireTime': '2026-11-21T00:01:00Z'}
    """
    expires, pushed = fields.get("ExpireTime"), fields.get("PushTime")
    problems = list(_untimely(expires, pushed, at, path))
    if problems:
        raise MessageError(*problems)
    until = _expiry(expires, moment(pushed) or at) if expires is not None else None
    return {**fields, "ExpireTime": said(until)} if until else fields


def told_apart(expires: object, pushed: object, path: str) -> Iterator[Problem]:
    """What is wrong with ExpireTime and PushTime under *path*, whatever time it is now."""
    for name, text in (("ExpireTime", expires), ("PushTime", pushed)):
        lasts = name == "ExpireTime" and is_lasting(text)
        if isinstance(text, str) and not lasts and moment(text) is None:
            words = f"{text!r} is no moment"
            yield Problem("bad-moment", words, path=f"{path}.{name}", hint="in UTC, such as 2026-11-21T08:00:00Z")
    begins = moment(pushed) or (datetime(2000, 1, 1, tzinfo=UTC) if is_lasting(expires) else None)
    if begins and isinstance(expires, str):
        yield from _kept(_expiry(expires, begins), begins, f"{path}.ExpireTime")


def _untimely(expires: object, pushed: object, at: datetime, path: str) -> Iterator[Problem]:
    """What is wrong with ExpireTime and PushTime under *path*, for a call at that moment."""
    begins = moment(pushed)
    if begins and not at < begins <= at + AHEAD:
        words = f"{pushed} is not within the {AHEAD.days} days after {said(at)}"
        yield Problem("untimely", words, path=f"{path}.PushTime", hint="leave it out to push at once")
    if isinstance(expires, str):
        yield from _kept(_expiry(expires, begins or at), begins or at, f"{path}.ExpireTime")


def _kept(until: datetime | None, begins: datetime, path: str) -> Iterator[Problem]:
    if until and not begins + MARGIN < until <= begins + KEPT:
        words = "a push is kept for more than 3 seconds and at most 72 hours"
        yield Problem("untimely", words, path=path, hint="from PushTime on, or from the call")
