"""Windows in which a part of a run may be sent: after its opening, outside quiet hours, by the clocks of its zone.

Moments are Unix timestamps. Quiet hours are what the clocks of a zone show: where clocks are put back within them, they
are longer; where clocks are put forward past them, they do not happen.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from math import ceil, floor, inf

from audience.errors import DeliveryError, Problem
from audience.language.zones import SECOND, count_microseconds, find_change, local_instants, offset_at

DAY_SECONDS, HOUR_SECONDS = 86_400, 3_600
_QUIET_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Time of day in which nothing is sent, from *start* up to *stop*; it may pass midnight.

    >>> night = QuietHours(time(22), time(8))
    >>> night.include(time(23)), night.include(time(8)), str(night)
    (True, False, '22:00-08:00')
    """

    start: time
    stop: time

    def include(self, shown: time) -> bool:
        """Return whether it is quiet when clocks show *shown*."""
        if self.start < self.stop:
            return self.start <= shown < self.stop
        return shown >= self.start or shown < self.stop

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.stop:%H:%M}"


def read_quiet_hours(text: str) -> QuietHours:
    """Return the quiet hours of `22:00-08:00`.

    Raises:
        DeliveryError: It is not of that form.
    """
    match = _QUIET_HOURS.fullmatch(text.replace(" ", ""))
    if match is None or match.group(1, 2) == match.group(3, 4):
        message = f"expected two different times of day, found {text!r:.40}"
        raise DeliveryError(Problem("bad-quiet-hours", message, hint="write them like 22:00-08:00"))
    start_hour, start_minute, stop_hour, stop_minute = map(int, match.groups())
    return QuietHours(time(start_hour, start_minute), time(stop_hour, stop_minute))


def is_quiet(moment: float, zone: tzinfo, quiet: QuietHours | None) -> bool:
    """Return whether it is quiet in *zone*."""
    return quiet is not None and quiet.include(datetime.fromtimestamp(floor(moment), zone).time())


def find_open(moment: float, zone: tzinfo, quiet: QuietHours | None) -> float:
    """Return the first moment from *moment* on that is not quiet in *zone*."""
    return moment if quiet is None else _find_state(moment, zone, quiet, quiet_wanted=False)


def find_quiet(moment: float, zone: tzinfo, quiet: QuietHours | None) -> float:
    """Return the first moment from *moment* on that is quiet in *zone*; infinite without quiet hours."""
    return inf if quiet is None else _find_state(moment, zone, quiet, quiet_wanted=True)


def _find_state(moment: float, zone: tzinfo, quiet: QuietHours, *, quiet_wanted: bool) -> float:
    """Return the first moment from *moment* on at which it is quiet, or is not.

    Between two changes of the offset, clocks run evenly, and the next boundary is found by subtraction.
    """
    boundary = quiet.start if quiet_wanted else quiet.stop
    at = floor(moment)
    while is_quiet(at, zone, quiet) != quiet_wanted:
        shown = datetime.fromtimestamp(at, zone)
        seconds = shown.hour * HOUR_SECONDS + shown.minute * 60 + shown.second
        wait = (boundary.hour * HOUR_SECONDS + boundary.minute * 60 - seconds) % DAY_SECONDS or DAY_SECONDS
        at = _find_offset_change(at, at + wait, zone) or at + wait
    return max(float(at), moment)


def _find_offset_change(start: int, stop: int, zone: tzinfo) -> int | None:
    """Return the first change of the offset of *zone* after *start* and before *stop*, if there is one."""
    offset = offset_at(start * SECOND, zone)
    for before in range(start, stop, HOUR_SECONDS):
        after = min(before + HOUR_SECONDS, stop)
        if offset_at(after * SECOND, zone) != offset:
            return find_change(before * SECOND, after * SECOND, zone) // SECOND
    return None


def iter_windows(moment: float, zone: tzinfo, quiet: QuietHours | None) -> Iterator[tuple[float, float]]:
    """Yield the start and the stop of each window from *moment* on; without quiet hours there is one, without end."""
    while True:
        start = find_open(moment, zone, quiet)
        moment = find_quiet(start, zone, quiet)
        yield start, moment
        if moment == inf:
            return


def find_local(shown: datetime, zone: tzinfo) -> float:
    """Return the moment at which clocks of *zone* show a time: the first of two, or the end of a gap that has it.

    >>> from zoneinfo import ZoneInfo
    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> [datetime.fromtimestamp(find_local(datetime(2026, month, day, 2, 30), berlin), berlin).isoformat()
    ...  for month, day in [(3, 29), (10, 25)]]
    ['2026-03-29T03:00:00+02:00', '2026-10-25T02:30:00+02:00']
    """
    instants = local_instants(shown, zone)
    if instants:
        return instants[0] / SECOND
    wall = count_microseconds(shown)
    offsets = [_offset(shown.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)]
    return find_change(wall - max(offsets), wall - min(offsets), zone) / SECOND


def find_time_of_day(shown: time, zone: tzinfo, start: float) -> float:
    """Return the next moment from *start* on at which clocks of *zone* show a time of day."""
    today = datetime.fromtimestamp(start, zone).date()
    moments = (find_local(datetime.combine(today + timedelta(days=days), shown), zone) for days in range(-1, 4))
    return next(moment for moment in moments if moment >= start)


def spread_moments(start: float, seconds: float, count: int, zone: tzinfo, quiet: QuietHours | None) -> list[float]:
    """Return *count* moments, evenly over *seconds* of open time from *start* on, which quiet hours interrupt.

    >>> from datetime import UTC
    >>> spread_moments(0, 60, 3, UTC, None)
    [0.0, 20.0, 40.0]
    """
    windows = iter_windows(float(ceil(start)), zone, quiet)
    opened, closed = next(windows)
    moments, passed = list[float](), 0.0  # open seconds before this window
    for number in range(count):
        offset = seconds * number / count
        while offset - passed >= closed - opened:
            passed += closed - opened
            opened, closed = next(windows)
        moments.append(float(floor(opened + offset - passed)))
    return moments


def _offset(timestamp: datetime) -> int:
    offset = timestamp.utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)
