"""Pushes that Airship keeps until their time: `POST /api/schedules`, and their withdrawal.

Source: https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml, `scheduleObject`. Times are in UTC, without an
offset. How far ahead a schedule may be is said for sends of uploaded lists only, 60 days, which is taken for all.
Schedules by the local time of devices, or by the best time of each, leave out devices of which Airship knows no zone or
no best time: a run by local time is divided here, and none of both is asked of Airship.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from audience.errors import MessageError, Problem
from audience.messages import merge_patch
from audience.vendors.airship.access import locate
from audience.vendors.delivery_spec import Credentials, Payload, Request
from audience.vendors.schema_check import get_in

SCHEDULE_DOCS = "https://docs.airship.com/developer/rest-api/ua/operations/schedules"
SCHEDULES_PATH = "/api/schedules"
SCHEDULE = "schedule"  # key of a body that Airship keeps; no message has it
MIN_AHEAD = timedelta(minutes=1)  # ours: the clocks of both sides differ
MAX_AHEAD = timedelta(days=60)
EXPIRY_FIELDS = {"ios": "expiry", "android": "time_to_live", "web": "time_to_live", "amazon": "expires_after"}
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"
TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}Z?", re.ASCII)


def format_time(moment: datetime) -> str:
    """Return *moment* as Airship writes it, in UTC.

    >>> format_time(datetime(2026, 12, 1, 1, tzinfo=UTC))
    '2026-12-01T01:00:00'
    """
    return moment.astimezone(UTC).strftime(TIME_FORMAT)


def parse_time(text: Any) -> datetime | None:
    """Parse a time of Airship, which is in UTC and has no offset; None if *text* is none.

    >>> parse_time("2026-12-01 01:00:00Z").hour, parse_time("2026-12-01T01:00:00+08:00")
    (1, None)
    """
    if not isinstance(text, str) or TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        return None


def apply_schedule(body: Payload, moment: datetime) -> Payload:
    """Return *body* for a push at *moment*; what expires some seconds after it does so at a time of its own.

    Whether Airship counts these seconds from the call or from the push is on no page.

    >>> apply_schedule({"options": {"expiry": 3600}}, datetime(2026, 12, 1, 1, tzinfo=UTC))
    {'options': {'expiry': '2026-12-01T02:00:00'}, 'schedule': {'scheduled_time': '2026-12-01T01:00:00'}}
    """
    patch: Payload = {"options": {"expiry": _find_expiry(get_in(body, "options").get("expiry"), moment)}}
    patch["notification"] = {
        name: {field: _find_expiry(get_in(body, "notification", name).get(field), moment)}
        for name, field in EXPIRY_FIELDS.items()
    }
    patch = {key: kept for key, part in patch.items() if (kept := _drop_empty(part))}
    return {**merge_patch(body, patch), SCHEDULE: {"scheduled_time": format_time(moment)}}


def _find_expiry(seconds: Any, moment: datetime) -> str | None:
    """Return when what expires *seconds* after *moment* does so; None for 0, which is now or never, and for a time."""
    return format_time(moment + timedelta(seconds=seconds)) if type(seconds) is int and seconds > 0 else None


def _drop_empty(part: Payload) -> Payload:
    """Return *part* without what is None, and without objects that are empty then."""
    inner = {key: _drop_empty(value) if isinstance(value, dict) else value for key, value in part.items()}
    return {key: value for key, value in inner.items() if value not in (None, {})}


def read_moments(body: Payload) -> tuple[datetime, ...]:
    """Return the moment at which Airship delivers a body that it keeps."""
    moment = parse_time(get_in(body, SCHEDULE).get("scheduled_time"))
    return () if moment is None else (moment,)


def require_future(body: Payload, now: datetime) -> Payload:
    """Return *body* for a call at *now*, or raise MessageError if a time of it has passed or is too far ahead."""
    problems = [*_schedule_problems(body, now), *_expiry_problems(body, now)]
    if problems:
        raise MessageError(*problems)
    return body


def _schedule_problems(body: Payload, now: datetime) -> Iterator[Problem]:
    path = f"$.{SCHEDULE}.scheduled_time"
    for moment in read_moments(body):
        if moment <= now:
            yield Problem("untimely", f"{moment.isoformat()} has passed", path=path, hint="correct the time")
        if moment > now + MAX_AHEAD:
            message = f"{moment.isoformat()} is more than {MAX_AHEAD.days} days ahead"
            yield Problem("untimely", message, path=path, hint="until then the run is held here")


def _expiry_problems(body: Payload, now: datetime) -> Iterator[Problem]:
    begun = max((now, *read_moments(body)))
    expiry = parse_time(get_in(body, "options").get("expiry"))
    if expiry is not None and expiry <= begun:
        message = f"the message expires at {expiry.isoformat()}, before it is sent"
        yield Problem("untimely", message, path="$.options.expiry", hint="correct the time")


def build_cancel(schedule_id: str, credentials: Credentials) -> Request:
    """Build the request that withdraws a schedule.

    >>> request = build_cancel("2d69320c", Credentials("https://…", {}))
    >>> request.method, request.path
    ('DELETE', '/api/schedules/2d69320c')
    """
    path = locate(f"{SCHEDULES_PATH}/{quote(schedule_id, safe='')}", credentials)
    headers = {"Accept": "application/vnd.urbanairship+json; version=3"}
    return Request(method="DELETE", path=path, headers=headers)
