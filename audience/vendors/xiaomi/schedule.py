"""Messages of Xiaomi Push that are delivered later: `time_to_send`, and the withdrawal of their job.

Sources: https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559, and for the paths of jobs the constants of
Xiaomi's SDK: `/v2/schedule_job/delete` takes the id of the message as that of the job. Pages of the vendor say seven
days, a newer one that others quote says 30; here it is seven. What Xiaomi does with a time that has passed, and whether
`time_to_live` counts from the call or from that time, is on no page that could be read: a time that has passed is
refused, and so is a message that would end before its time if it counts from the call.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from audience.errors import MessageError, Problem
from audience.vendors.delivery_spec import Credentials, Payload, Request
from audience.vendors.schema_check import get_in

SCHEDULE_DOCS = "https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559"
CANCEL_PATH = "/v2/schedule_job/delete"
FORM_HEADERS = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Accept": "application/json"}
MIN_AHEAD = timedelta(minutes=1)  # ours: the clocks of both sides differ
MAX_AHEAD = timedelta(days=7)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def apply_time_to_send(body: Payload, moment: datetime) -> Payload:
    """Return *body* for a message at *moment*.

    >>> apply_time_to_send({}, datetime(2026, 12, 1, tzinfo=UTC))
    {'time_to_send': 1796083200000}
    """
    return {**body, "time_to_send": (moment - EPOCH) // MILLISECOND}


def read_moments(body: Payload) -> tuple[datetime, ...]:
    """Return the moment at which a body with `time_to_send` is delivered."""
    moment = _read_moment(body)
    return () if moment is None else (moment,)


def _read_moment(body: Any) -> datetime | None:
    milliseconds = body.get("time_to_send") if isinstance(body, dict) else None
    if type(milliseconds) is not int:
        return None
    try:
        return EPOCH + milliseconds * MILLISECOND
    except OverflowError:
        return None


def require_future(body: Payload, now: datetime) -> Payload:
    """Return *body* for a call at *now*, or raise MessageError if its `time_to_send` is past or too far ahead."""
    if problems := list(_time_problems(body, now)):
        raise MessageError(*problems)
    return body


def time_problems(body: Any) -> Iterator[Problem]:
    """Find whether `time_to_send` of *body* has passed, or is too far ahead."""
    yield from _time_problems(body, datetime.now(UTC))


def _time_problems(body: Any, now: datetime) -> Iterator[Problem]:
    moment, path = _read_moment(body), "$.time_to_send"
    if moment is not None and moment <= now:
        hint = "correct it, or remove it: it is milliseconds since 1970"
        yield Problem("untimely", f"{moment.isoformat()} has passed", path=path, hint=hint)
    if moment is not None and moment > now + MAX_AHEAD:
        message = f"{moment.isoformat()} is more than {MAX_AHEAD.days} days ahead"
        yield Problem("untimely", message, path=path, hint="write send_at: until then the run is held here")
    lifetime = get_in(body).get("time_to_live")
    if moment is not None and type(lifetime) is int and lifetime <= (moment - now) / MILLISECOND:
        message = "it may end before the message is delivered: Xiaomi does not say whether it counts from the call"
        hint = "write send_at, and send with --hold, or set a longer time_to_live"
        yield Problem("untimely", message, path="$.time_to_live", hint=hint)


def build_cancel(message_id: str, credentials: Credentials) -> Request:
    """Build the request that withdraws a message before its time.

    >>> build_cancel("slm1", Credentials("https://…", {})).content
    b'job_id=slm1'
    """
    content = urlencode({"job_id": message_id}).encode()
    return Request(method="POST", path=CANCEL_PATH, headers=FORM_HEADERS, content=content)
