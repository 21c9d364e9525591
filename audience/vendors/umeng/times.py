"""Times of Umeng: `policy.start_time` and `policy.expire_time`, written like 2026-12-01 09:00:00.

Source: https://dev.umeng.com/push/android/api-doc: a start is later than the present and at most 7 days ahead; an
expiry is later than both, and at most 7 days after the delivery. Without one a message is kept for 3 days. No page
names the zone of these times; here it is that of Umeng's servers and console, Beijing. A body keeps a time to live as a
duration, PT3600S, until the call is made.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from audience.errors import MessageError, Problem
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

BEIJING = timezone(timedelta(hours=8))
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
MIN_AHEAD = timedelta(minutes=1)  # ours: the clocks of both sides differ
MAX_AHEAD = timedelta(days=7)
MAX_LIFETIME = timedelta(days=7)
DEFAULT_SECONDS = 86_400  # what a message without a time to live is kept at every vendor here
DURATION = re.compile(r"PT(\d{1,9})S", re.ASCII)
TIME_HINT = "write it like 2026-12-01 09:00:00, the time of Beijing"


def format_duration(seconds: int | None) -> str:
    """Format a time to live as a body keeps it; a day if a message has none.

    >>> format_duration(60), format_duration(None)
    ('PT60S', 'PT86400S')
    """
    return f"PT{DEFAULT_SECONDS if seconds is None else seconds}S"


def format_time(moment: datetime) -> str:
    """Format a moment in the time of Umeng's servers.

    >>> format_time(datetime(2026, 12, 1, 1, tzinfo=UTC))
    '2026-12-01 09:00:00'
    """
    return moment.astimezone(BEIJING).strftime(TIME_FORMAT)


def parse_time(text: Any) -> datetime | None:
    """Parse a time of Umeng's servers; None if *text* is none.

    >>> parse_time("2026-12-01 09:00:00").isoformat(), parse_time("2026-12-1 9:00:00")
    ('2026-12-01T09:00:00+08:00', None)
    """
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.strptime(text, TIME_FORMAT).replace(tzinfo=BEIJING)
    except ValueError:
        return None
    return moment if format_time(moment) == text else None  # strptime takes 9 for 09


def apply_start_time(body: Payload, moment: datetime) -> Payload:
    """Return *body* for a task that is delivered at *moment*.

    >>> apply_start_time({"policy": {"max_send_num": 1000}}, datetime(2026, 12, 1, 1, tzinfo=UTC))
    {'policy': {'max_send_num': 1000, 'start_time': '2026-12-01 09:00:00'}}
    """
    return {**body, "policy": {**get_in(body, "policy"), "start_time": format_time(moment)}}


def read_moments(body: Payload) -> tuple[datetime, ...]:
    """Return the moment at which a task with a start_time is delivered.

    >>> [moment.isoformat() for moment in read_moments({"policy": {"start_time": "2026-12-01 09:00:00"}})]
    ['2026-12-01T09:00:00+08:00']
    """
    moment = parse_time(get_in(body, "policy").get("start_time"))
    return () if moment is None else (moment,)


def apply_timestamps(body: Payload, now: datetime) -> Payload:
    """Turn a time to live into a time, for a call at *now*; raise MessageError if a time is out of range.

    >>> apply_timestamps({"policy": {"expire_time": "PT60S"}}, datetime(2026, 12, 1, 1, tzinfo=UTC))
    {'policy': {'expire_time': '2026-12-01 09:01:00'}}
    """
    policy = get_in(body, "policy")
    if problems := list(_range_problems(policy, now)):
        raise MessageError(*problems)
    if "expire_time" not in policy:
        return body
    expiry = _find_expiry(policy["expire_time"], parse_time(policy.get("start_time")) or now)
    return {**body, "policy": {**policy, "expire_time": format_time(expiry or now)}}


def _find_expiry(text: Any, start: datetime) -> datetime | None:
    """Return when a message that is delivered at *start* expires; None if *text* says no time."""
    duration = DURATION.fullmatch(text) if isinstance(text, str) else None
    return start + timedelta(seconds=int(duration[1])) if duration else parse_time(text)


def time_problems(body: Any) -> Iterator[Problem]:
    """Find times of *body* that are none, or out of range as of now."""
    policy = get_in(body, "policy")
    for name in ("start_time", "expire_time"):
        text = policy.get(name)
        is_duration = name == "expire_time" and isinstance(text, str) and DURATION.fullmatch(text)
        if isinstance(text, str) and not is_duration and parse_time(text) is None:
            message = f"expected a time, found {text!r:.60}"
            yield Problem("wrong-value", message, path=f"$.policy.{name}", hint=TIME_HINT)
    yield from _range_problems(policy, datetime.now(UTC))


def _range_problems(policy: Payload, now: datetime) -> Iterator[Problem]:
    start = parse_time(policy.get("start_time"))
    if start is not None and start <= now:
        hint = "correct the time, or remove it"
        yield Problem("untimely", f"{format_time(start)} has passed", path="$.policy.start_time", hint=hint)
    if start is not None and start > now + MAX_AHEAD:
        message = f"{format_time(start)} is more than {MAX_AHEAD.days} days ahead"
        hint = "write send_at: until then the run is held here"
        yield Problem("untimely", message, path="$.policy.start_time", hint=hint)
    start = max(start or now, now)
    expiry = _find_expiry(policy.get("expire_time"), start)
    if expiry is not None and not start < expiry <= start + MAX_LIFETIME:
        message = f"a message is kept for more than 0 seconds and at most {MAX_LIFETIME.days} days"
        yield Problem("untimely", message, path="$.policy.expire_time", hint="change time_to_live")
