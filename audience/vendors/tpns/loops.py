"""Loops of TPNS: the days and times at which a push is repeated.

Source: https://www.tencentcloud.com/document/product/1024/33764, "loop_param parameter description".
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from audience.errors import Problem
from audience.vendors.schema_check import get_in
from audience.vendors.tpns.message_rules import BEIJING, DATE_FORMAT, MAX_DAYS_AHEAD, now_in_beijing, parse_timestamp

DAILY, WEEKLY = 1, 2  # of loopType; 3 is monthly


def list_loop_moments(loop: Any) -> list[datetime]:
    """Return all moments of a loop in order, past ones too; none if its days or times are not valid.

    >>> loop = {"startDate": "2026-12-01", "endDate": "2026-12-08", "loopType": 2, "loopDayIndexs": [3]}
    >>> [moment.isoformat() for moment in list_loop_moments({**loop, "dayTimes": ["09:00:00"]})]
    ['2026-12-02T09:00:00+08:00']
    """
    times = [_parse_time(text) for text in loop.get("dayTimes") or ()]
    return sorted(
        datetime.combine(day, each, BEIJING) for day in list_loop_days(loop) for each in times if each is not None
    )


def list_loop_days(loop: Any) -> list[date]:
    """Return the days of a loop."""
    start, end = (parse_timestamp(loop.get(name), DATE_FORMAT) for name in ("startDate", "endDate"))
    if start is None or end is None or end - start > timedelta(days=MAX_DAYS_AHEAD):
        return []
    days = [(start + timedelta(days=count)).date() for count in range((end - start).days + 1)]
    chosen = loop.get("loopDayIndexs") or ()
    return [day for day in days if loop.get("loopType") == DAILY or _day_index(day, loop.get("loopType")) in chosen]


def loop_problems(body: Any) -> Iterator[Problem]:
    """Find a loop that begins on a past day, or has no moment that is still to come."""
    loop = get_in(body, "loop_param")
    start, end = (parse_timestamp(loop.get(name), DATE_FORMAT) for name in ("startDate", "endDate"))
    if start is None or end is None or end < start or end - start > timedelta(days=MAX_DAYS_AHEAD):
        return
    if start.date() < now_in_beijing().date():
        message = f"{loop['startDate']} has passed in Beijing"
        hint = f"begin today, or within {MAX_DAYS_AHEAD} days"
        yield Problem("past", message, path="$.loop_param.startDate", hint=hint)
        return
    if not list_loop_days(loop):
        message = f"no day from {loop['startDate']} to {loop['endDate']} is one of {loop.get('loopDayIndexs')}"
        yield Problem("never-due", message, path="$.loop_param.loopDayIndexs", hint="correct the days, or end it later")
        return
    moments = list_loop_moments(loop)
    if moments and moments[-1] <= now_in_beijing():
        message = f"all times of the loop have passed in Beijing; the last was {moments[-1]:%Y-%m-%d %H:%M:%S}"
        yield Problem("past", message, path="$.loop_param.dayTimes", hint="end it later")


def _parse_time(text: Any) -> time | None:
    try:
        return time.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _day_index(day: date, loop_type: Any) -> int:
    """Return the number of *day* in the week, in which Sunday is 0, or in the month."""
    return day.isoweekday() % 7 if loop_type == WEEKLY else day.day
