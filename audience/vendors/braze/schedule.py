"""Messages of Braze that are delivered later, `POST /messages/schedule/create`, their withdrawal, and expiry on iOS.

Sources: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_schedule_messages, its page on
deleting beside it, and https://www.braze.com/docs/api/objects_filters/schedule_object. Older forms of the first page
say "up to 90 days in the future", which is taken here. Sending by the local time or at the best time of each user is
asked of Braze never: a run by local time is divided here, and quiet hours are those of a policy.

`expiry` on iOS is a moment: a body has it as seconds, `+3600`, until its call is made.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from audience.errors import MessageError, Problem
from audience.messages import merge_patch
from audience.vendors.delivery_spec import Credentials, Payload, Request
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in

SCHEDULE_DOCS = "https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_delete_scheduled_messages"
SCHEDULE_PATH, CANCEL_PATH = "/messages/schedule/create", "/messages/schedule/delete"
JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
SCHEDULE = "schedule"  # key of a body that Braze keeps; no message has it
EXPIRY_PREFIX = "+"  # seconds from the call on, in place of a moment
EXPIRY_PATH = "$.messages.apple_push.expiry"
MIN_AHEAD = timedelta(minutes=1)  # ours: the clocks of both sides differ
MAX_AHEAD = timedelta(days=90)
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:?\d{2})", re.ASCII)


def format_time(moment: datetime) -> str:
    """Return *moment* in UTC as Braze writes it.

    >>> format_time(datetime(2026, 12, 1, 1, tzinfo=UTC))
    '2026-12-01T01:00:00Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: Any) -> datetime | None:
    """Parse a time with its offset; None if *text* is none.

    >>> parse_time("2026-12-01T09:00:00+08:00").hour, parse_time("2026-12-01T09:00:00")
    (9, None)
    """
    if not isinstance(text, str) or TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def apply_schedule(body: Payload, moment: datetime) -> Payload:
    """Return *body* for a message at *moment*.

    >>> body = {"messages": {"apple_push": {"alert": "Hi", "expiry": "+60"}}}
    >>> kept = apply_schedule(body, datetime(2026, 12, 1, 1, tzinfo=UTC))
    >>> kept["schedule"], kept["messages"]["apple_push"]["expiry"]
    ({'time': '2026-12-01T01:00:00Z'}, '2026-12-01T01:01:00Z')
    """
    return {**_set_expiry(body, moment), SCHEDULE: {"time": format_time(moment)}}


def apply_timestamps(body: Payload, now: datetime) -> Payload:
    """Return *body* for a call at *now*, or raise MessageError if a time of it has passed or is too far ahead."""
    if problems := list(_time_problems(body, now)):
        raise MessageError(*problems)
    return _set_expiry(body, now)


def _set_expiry(body: Payload, begun: datetime) -> Payload:
    """Return *body* with the moment at which a push that begins at *begun* expires on iOS."""
    text = get_in(body, "messages", "apple_push").get("expiry")
    if not isinstance(text, str) or not text.startswith(EXPIRY_PREFIX):
        return body
    moment = format_time(begun + timedelta(seconds=int(text)))
    return merge_patch(body, {"messages": {"apple_push": {"expiry": moment}}})


def read_moments(body: Payload) -> tuple[datetime, ...]:
    """Return the moment at which Braze delivers a body that it keeps."""
    moment = parse_time(get_in(body, SCHEDULE).get("time"))
    return () if moment is None else (moment,)


def _time_problems(body: Payload, now: datetime) -> Iterator[Problem]:
    begun = max((now, *read_moments(body)))
    for moment in read_moments(body):
        path = f"$.{SCHEDULE}.time"
        if moment <= now:
            yield Problem("untimely", f"{moment.isoformat()} has passed", path=path, hint="correct the time")
        if moment > now + MAX_AHEAD:
            message = f"{moment.isoformat()} is more than {MAX_AHEAD.days} days ahead"
            yield Problem("untimely", message, path=path, hint="until then the run is held here")
    expiry = parse_time(get_in(body, "messages", "apple_push").get("expiry"))
    if expiry is not None and expiry <= begun:
        message = f"the message expires at {expiry.isoformat()}, before it is sent"
        yield Problem("untimely", message, path=EXPIRY_PATH, hint="correct the time")


def expiry_problems(body: Any) -> Iterator[Problem]:
    """Find whether `expiry` of *body* is a time with an offset, or seconds of ours, which are not too many."""
    text = get_in(body, "messages", "apple_push").get("expiry")
    if not isinstance(text, str):
        return
    if re.fullmatch(r"\+\d{1,10}", text, re.ASCII) is None and parse_time(text) is None:
        hint = "write it like 2026-12-01T09:00:00+08:00: no page says which zone a time without an offset is in"
        yield Problem(
            "wrong-value", f"expected a time with its offset, found {text!r:.60}", path=EXPIRY_PATH, hint=hint
        )


def build_cancel(schedule_id: str, credentials: Credentials) -> Request:
    """Build the request that withdraws a message before its time.

    >>> request = build_cancel("s1", Credentials("https://…", {}))
    >>> request.path, request.content
    ('/messages/schedule/delete', b'{"schedule_id":"s1"}')
    """
    content = dump_json({"schedule_id": schedule_id}).encode()
    return Request(method="POST", path=CANCEL_PATH, headers=JSON_HEADERS, content=content)
