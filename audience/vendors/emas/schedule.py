"""Pushes of EMAS that are delivered later: `PushTime`, and their withdrawal by CancelPush.

Sources: https://help.aliyun.com/document_detail/48089.html, and for the withdrawal
https://help.aliyun.com/document_detail/48090.html.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from audience.vendors.delivery_spec import (
    Credentials,
    RateLimit,
    Request,
    VendorSchedule,
    always,
)
from audience.vendors.emas.calls import QUOTAS_DOCS, build_rpc_request
from audience.vendors.emas.replies import parse_cancel_reply
from audience.vendors.emas.timestamps import MAX_SCHEDULE_AHEAD, format_timestamp, parse_timestamp
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

CANCEL_DOCS = "https://help.aliyun.com/document_detail/48090.html"
MIN_AHEAD = timedelta(minutes=1)  # ours: the clocks of both sides differ, and EMAS refuses a PushTime that has passed


def apply_push_time(body: Payload, moment: datetime) -> Payload:
    """Return the parameters of Push for a push at *moment*.

    >>> from datetime import UTC
    >>> apply_push_time({"Title": "Hi"}, datetime(2026, 12, 1, tzinfo=UTC))
    {'Title': 'Hi', 'PushTime': '2026-12-01T00:00:00Z'}
    """
    return {**body, "PushTime": format_timestamp(moment)}


def read_push_time(body: Payload) -> tuple[datetime, ...]:
    """Return the moment at which parameters of Push with a PushTime are delivered."""
    moment = parse_timestamp(body.get("PushTime"))
    return () if moment is None else (moment,)


def apply_task_time(task: Payload, moment: datetime) -> Payload:
    """Return a PushTask for a push at *moment*.

    >>> from datetime import UTC
    >>> apply_task_time({}, datetime(2026, 12, 1, tzinfo=UTC))
    {'Action': 'SCHEDULED_PUSH', 'Options': {'PushTime': '2026-12-01T00:00:00Z'}}
    """
    options = {**get_in(task, "Options"), "PushTime": format_timestamp(moment)}
    return {**task, "Action": "SCHEDULED_PUSH", "Options": options}


def read_task_time(task: Payload) -> tuple[datetime, ...]:
    """Return the moment at which a PushTask with a PushTime is delivered."""
    return read_push_time(get_in(task, "Options"))


def _build_cancel(message_id: str, credentials: Credentials) -> Request:
    return build_rpc_request("CancelPush", credentials, {"MessageId": message_id}, {})


PUSH_SCHEDULE = VendorSchedule(
    accepts=always,
    apply=apply_push_time,
    max_ahead=MAX_SCHEDULE_AHEAD - MIN_AHEAD,
    min_ahead=MIN_AHEAD,
    build_cancel=_build_cancel,
    parse_cancel=parse_cancel_reply,
    cancel_rate_limits=(RateLimit("CancelPush", 10_000, 60.0, QUOTAS_DOCS),),
    source=CANCEL_DOCS,
)
TASK_SCHEDULE = replace(PUSH_SCHEDULE, apply=apply_task_time)
