"""Pushes of Getui that are delivered later: `settings.schedule_time`, in milliseconds, and their withdrawal.

Sources: as in the package. Pushes to everyone and by tags can be scheduled, within 7 days, by applications that Getui
has allowed it (30002 otherwise). In its last minute a task can no longer be withdrawn.

`DELETE /task/{taskid}` stops a push that is going on, also for devices that are to get it later. It is not called here:
who has got the message by then, nobody could say.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from audience.errors import MessageError, Problem
from audience.vendors.delivery_spec import Credentials, Payload, Request
from audience.vendors.getui.access import app_path
from audience.vendors.schema_check import get_in

CANCEL_DOCS = "https://docs.getui.com/getui/server/rest_v2/push"
MAX_AHEAD = timedelta(days=7)
MIN_AHEAD = timedelta(minutes=2)  # in the last minute nothing is withdrawn; the other is ours: clocks differ
LATEST_MILLISECONDS = 253_402_300_799_000  # the year 9999


def apply_schedule_time(body: Payload, moment: datetime) -> Payload:
    """Return *body* for a push at *moment*.

    >>> apply_schedule_time({"settings": {"ttl": 1}}, datetime(2026, 12, 1, tzinfo=UTC))
    {'settings': {'ttl': 1, 'schedule_time': 1796083200000}}
    """
    return {**body, "settings": {**get_in(body, "settings"), "schedule_time": int(moment.timestamp()) * 1000}}


def read_moments(body: Payload) -> tuple[datetime, ...]:
    """Return the moment at which a body with `schedule_time` is delivered.

    >>> [moment.isoformat() for moment in read_moments({"settings": {"schedule_time": 1796083200000}})]
    ['2026-12-01T00:00:00+00:00']
    """
    value: Any = get_in(body, "settings").get("schedule_time")
    if type(value) is not int or not 0 <= value <= LATEST_MILLISECONDS:
        return ()
    return (datetime.fromtimestamp(value / 1000, UTC),)


def require_future(body: Payload, now: datetime) -> Payload:
    """Return *body* for a call at *now*, or raise MessageError if its `schedule_time` is past or too far ahead."""
    if problems := list(_time_problems(body, now)):
        raise MessageError(*problems)
    return body


def time_problems(body: Any) -> Iterator[Problem]:
    """Find whether `schedule_time` of *body* has passed or is too far ahead."""
    if isinstance(body, dict):
        yield from _time_problems(body, datetime.now(UTC))


def _time_problems(body: Payload, now: datetime) -> Iterator[Problem]:
    path = "$.settings.schedule_time"
    for moment in read_moments(body):
        if moment <= now:
            hint = "correct the time, in milliseconds, or remove it"
            yield Problem("untimely", f"{moment.isoformat()} has passed", path=path, hint=hint)
        elif moment > now + MAX_AHEAD:
            message = f"{moment.isoformat()} is more than {MAX_AHEAD.days} days ahead"
            yield Problem("untimely", message, path=path, hint="write send_at: until then the run is held here")


def build_cancel(message_id: str, credentials: Credentials) -> Request:
    """Build the request that withdraws a scheduled push.

    >>> request = build_cancel("T1", Credentials("https://…", {"app_id": "a1"}))
    >>> request.method, request.path
    ('DELETE', '/v2/a1/task/schedule/T1')
    """
    return Request(method="DELETE", path=app_path(credentials, f"/task/schedule/{quote(message_id, safe='')}"))
