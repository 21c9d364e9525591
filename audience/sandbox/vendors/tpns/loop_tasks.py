"""TPNS loop_param: the times of a push that repeats."""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

from audience.sandbox.http_types import VendorRefusal
from audience.sandbox.request_checks import seconds_until

MAX_DAYS_AHEAD = 90  # days ahead


def compute_loop_delays(loop: Any, zone: tzinfo, now: float) -> list[float]:
    """Return the seconds from *now* to each push of *loop*; times in the past are left out."""
    try:
        first, last = (date.fromisoformat(loop[name]) for name in ("startDate", "endDate"))
        kind, days = loop["loopType"], [int(day) for day in loop["loopDayIndexs"]]
        times = [time.fromisoformat(each) for each in loop["dayTimes"]]
    except (KeyError, TypeError, ValueError):
        raise VendorRefusal(1008007, "loop_param needs startDate, endDate, loopType, loopDayIndexs, dayTimes") from None
    if (
        kind not in (1, 2, 3)
        or first > last
        or last > datetime.fromtimestamp(now, zone).date() + timedelta(MAX_DAYS_AHEAD)
    ):
        raise VendorRefusal(1008007, f"loopType is 1, 2 or 3, and the last day at most {MAX_DAYS_AHEAD} days ahead")
    chosen = [day for day in _date_range(first, last) if kind == 1 or _day_index(day, kind) in days]
    waits = [seconds_until(datetime.combine(day, each, zone), now) for day in chosen for each in times]
    if not (coming := [wait for wait in waits if wait > 0]):
        raise VendorRefusal(10010012, "no moment of the loop is still to come")
    return coming


def _date_range(first: date, last: date) -> list[date]:
    return [first + timedelta(number) for number in range((last - first).days + 1)]


def _day_index(day: date, loop_type: int) -> int:
    """Return the number of *day* in the week, Sunday being 0, or in the month."""
    return day.isoweekday() % 7 if loop_type == 2 else day.day
