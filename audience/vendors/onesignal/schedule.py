"""Messages of OneSignal that are delivered later: `send_after`, and their withdrawal.

Sources: https://documentation.onesignal.com/reference/push-notification and, for the withdrawal,
https://documentation.onesignal.com/reference/cancel-message. The pages differ in the zone of a time without an offset,
so that one is always written. How far ahead a message may be is on no page of today; an older one on automatic
messages said 30 days, which is also how long an idempotency key is kept.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from audience.errors import MessageError, Problem
from audience.vendors.delivery_spec import Credentials, Payload, Request

CANCEL_DOCS = "https://documentation.onesignal.com/reference/cancel-message"
MIN_AHEAD = timedelta(minutes=1)  # ours: the clocks of both sides differ
MAX_AHEAD = timedelta(days=30)
LONGEST_DELAY = timedelta(days=1)  # of `delayed_option`: until the same time of day has come everywhere
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def apply_send_after(body: Payload, moment: datetime) -> Payload:
    """Return *body* for a message at *moment*.

    >>> apply_send_after({}, datetime(2026, 12, 1, 1, tzinfo=UTC))
    {'send_after': '2026-12-01T01:00:00Z'}
    """
    return {**body, "send_after": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def parse_send_after(text: Any) -> datetime | None:
    """Parse a time with its offset; None if *text* is none.

    >>> parse_send_after("2026-12-01T09:00:00+08:00").hour, parse_send_after("2026-12-01 09:00:00 GMT+0800")
    (9, None)
    """
    if not isinstance(text, str) or TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def read_moments(body: Payload) -> tuple[datetime, ...]:
    """Return the moment at which a body with `send_after` is delivered, and the first and last of a `delayed_option`.

    >>> words = {"send_after": "2026-12-01T01:00:00Z", "delayed_option": "timezone"}
    >>> [moment.isoformat() for moment in read_moments(words)]
    ['2026-12-01T01:00:00+00:00', '2026-12-02T01:00:00+00:00']
    """
    start = parse_send_after(body.get("send_after"))
    if body.get("delayed_option"):
        begun = start or datetime.now(UTC)
        return (begun, begun + LONGEST_DELAY)
    return () if start is None else (start,)


def require_future(body: Payload, now: datetime) -> Payload:
    """Return *body* for a call at *now*, or raise MessageError if its `send_after` has passed or is too far ahead."""
    if problems := list(_time_problems(body, now)):
        raise MessageError(*problems)
    return body


def time_problems(body: Any) -> Iterator[Problem]:
    """Find whether `send_after` of *body* is a time with an offset, which has not passed and is not too far ahead."""
    text = body.get("send_after") if isinstance(body, dict) else None
    if isinstance(text, str) and parse_send_after(text) is None:
        hint = "write it like 2026-12-01T09:00:00+08:00: OneSignal's pages differ in the zone of a time without offset"
        yield Problem(
            "wrong-value", f"expected a time with its offset, found {text!r:.60}", path="$.send_after", hint=hint
        )
    elif isinstance(text, str):
        yield from _time_problems(body, datetime.now(UTC))


def _time_problems(body: Payload, now: datetime) -> Iterator[Problem]:
    moment, path = parse_send_after(body.get("send_after")), "$.send_after"
    if moment is not None and moment <= now:
        yield Problem("untimely", f"{moment.isoformat()} has passed", path=path, hint="correct the time, or remove it")
    if moment is not None and moment > now + MAX_AHEAD:
        message = f"{moment.isoformat()} is more than {MAX_AHEAD.days} days ahead"
        yield Problem("untimely", message, path=path, hint="write send_at: until then the run is held here")


def build_cancel(message_id: str, credentials: Credentials) -> Request:
    """Build the request that withdraws a message.

    >>> request = build_cancel("b3a0c8bd", Credentials("https://…", {"app_id": "a1"}))
    >>> request.method, request.path, dict(request.query)
    ('DELETE', '/notifications/b3a0c8bd', {'app_id': 'a1'})
    """
    path = f"/notifications/{quote(message_id, safe='')}"
    return Request(method="DELETE", path=path, query={"app_id": credentials.keys["app_id"]})
