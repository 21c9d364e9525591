"""TPNS loop_param: the times of a push that repeats."""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

from audience.sandbox.http_types import VendorRefusal
from audience.sandbox.request_checks import seconds_until

MAX_DAYS_AHEAD = 90  # days ahead
DAY_INDEXES_BY_TYPE = {1: (0, 0), 2: (0, 6), 3: (1, 31)}  # daily, weekly from Sunday, monthly


def compute_loop_delays(loop: Any, zone: tzinfo, now: float) -> list[float]:
    """Return the seconds from *now* to each push of *loop*, whose fields are checked; past times are left out."""
    try:
        first, last = (date.fromisoformat(loop[name]) for name in ("startDate", "endDate"))
    except ValueError:
        raise VendorRefusal(1008007, "startDate and endDate are days like 2019-07-01") from None
    kind, days, today = loop["loopType"], loop["loopDayIndexs"], datetime.fromtimestamp(now, zone).date()
    if not today <= first <= last <= today + timedelta(MAX_DAYS_AHEAD):
        raise VendorRefusal(1008007, f"startDate and endDate are within the next {MAX_DAYS_AHEAD} days")
    low, high = DAY_INDEXES_BY_TYPE[kind]
    if not all(low <= day <= high for day in days):
        raise VendorRefusal(1008007, f"loopDayIndexs are from {low} to {high}")
    times = [time.fromisoformat(each) for each in loop["dayTimes"]]
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
