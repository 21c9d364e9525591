"""Windows of a run, against an oracle that looks at the clocks of a zone minute by minute."""

from datetime import UTC, datetime, time, timedelta
from itertools import islice
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeliveryError
from audience.delivery.ledger.planned import PlannedPart, plan_batches
from audience.delivery.schedule import Schedule, read_schedule, schedule_batches, schedule_parts
from audience.delivery.send_windows import (
    QuietHours,
    find_local,
    find_open,
    find_quiet,
    find_time_of_day,
    iter_windows,
    read_quiet_hours,
    spread_moments,
)
from audience.language.zone_names import load_named_zone
from audience.requests.parts import Part

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Australia/Lord_Howe",  # clocks change by half an hour
    "America/St_Johns",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Pacific/Chatham",
    "UTC",
    "+05:30",
    "-03:30",
]
# Around changes of clocks in several of these zones, and at any other time.
NEAR_CHANGES = ["2026-03-08", "2026-03-29", "2026-04-04", "2026-09-27", "2026-10-03", "2026-10-25", "2026-11-01"]
MINUTE, DAY = 60, 86_400

zones = st.sampled_from(ZONES).map(load_named_zone)
minutes = st.integers(0, 1439).map(lambda number: time(number // 60, number % 60))
early = st.integers(0, 240).map(lambda number: time(number // 60, number % 60))  # where clocks change
times = st.one_of(minutes, early)
quiets = st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: QuietHours(*pair))
moments = st.one_of(
    st.sampled_from(NEAR_CHANGES).map(lambda day: datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()),
    st.just(datetime(2026, 12, 1, tzinfo=UTC).timestamp()),
).flatmap(lambda start: st.integers(-DAY // MINUTE, 2 * DAY // MINUTE).map(lambda number: start + number * MINUTE))


def shows_quiet(moment, zone, quiet):
    """Say whether clocks of *zone* show a time within *quiet*, in minutes since midnight."""
    shown = datetime.fromtimestamp(moment, zone)
    minute, start, stop = (each.hour * 60 + each.minute for each in (shown, quiet.start, quiet.stop))
    return start <= minute < stop if start < stop else not stop <= minute < start


def look_minute_by_minute(moment, zone, quiet, wanted):
    return next(
        moment + number * MINUTE
        for number in range(4 * DAY // MINUTE)
        if shows_quiet(moment + number * MINUTE, zone, quiet) == wanted
    )


@given(zones, quiets, moments)
def test_windows_are_those_that_clocks_show(zone, quiet, moment):
    assert find_open(moment, zone, quiet) == look_minute_by_minute(moment, zone, quiet, wanted=False)
    assert find_quiet(moment, zone, quiet) == look_minute_by_minute(moment, zone, quiet, wanted=True)


@given(zones, quiets, moments, st.floats(0, 59.9))
def test_windows_begin_at_moments_between_minutes(zone, quiet, moment, seconds):
    found = find_open(moment + seconds, zone, quiet)
    is_open = not shows_quiet(moment, zone, quiet)
    assert found == (moment + seconds if is_open else look_minute_by_minute(moment, zone, quiet, wanted=False))


def find_shown(shown, zone):
    """Return the first moment at which clocks show *shown* or have just been put forward past it."""
    start = (shown.replace(tzinfo=UTC) - timedelta(days=1)).timestamp()
    for number in range(3 * DAY // MINUTE):
        before, after = (
            datetime.fromtimestamp(start + (number + step) * MINUTE, zone).replace(tzinfo=None) for step in (-1, 0)
        )
        if after == shown or before < shown < after:
            return start + number * MINUTE
    raise AssertionError


@given(zones, times, moments)
def test_local_time_is_the_first_that_clocks_show(zone, shown, moment):
    day = datetime.fromtimestamp(moment, zone).date()
    assert find_local(datetime.combine(day, shown), zone) == find_shown(datetime.combine(day, shown), zone)


@given(zones, times, moments)
def test_time_of_day_is_the_next_one(zone, shown, moment):
    found = find_time_of_day(shown, zone, moment)
    day = datetime.fromtimestamp(moment, zone).date()
    days = [datetime.combine(day + timedelta(days=number), shown) for number in range(-2, 4)]
    assert found == min(at for at in (find_shown(each, zone) for each in days) if at >= moment)


@given(zones, st.none() | quiets, moments, st.integers(1, 40), st.integers(1, 36 * 60))
def test_spread_is_even_over_open_minutes(zone, quiet, moment, count, spread):
    """Between the start and the moment of batch k there are k / count of the open minutes."""
    start = find_open(moment, zone, quiet)
    found = spread_moments(start, spread * MINUTE, count, zone, quiet)
    assert len(found) == count and found == sorted(found) and found[0] == start
    open_minutes, expected = 0, []
    at = start
    while len(expected) < count:
        if quiet is None or not shows_quiet(at, zone, quiet):
            while len(expected) < count and spread * len(expected) / count < open_minutes + 1:
                seconds = (spread * len(expected) / count - open_minutes) * MINUTE
                expected.append(float(int(at + seconds + 1e-6)))
            open_minutes += 1
        at += MINUTE
    assert [abs(a - b) <= 1 for a, b in zip(found, expected, strict=True)] == [True] * count
    assert not any(quiet is not None and shows_quiet(each, zone, quiet) for each in found)


def test_without_quiet_hours_a_window_has_no_end():
    assert [*iter_windows(5.0, UTC, None)] == [(5.0, inf)]
    night = QuietHours(time(22), time(8))
    assert [*islice(iter_windows(0.0, UTC, night), 2)] == [(8 * 3600, 22 * 3600), (32 * 3600, 46 * 3600)]


@pytest.mark.parametrize("text", ["22-08", "22:00", "22:00-22:00", "24:00-08:00", "22:00-8:00", "", "a-b"])
def test_quiet_hours_are_two_times_of_day(text):
    with pytest.raises(DeliveryError, match="bad-quiet-hours"):
        read_quiet_hours(text)


PARTS = [Part(first=0, stop=3, zone="Asia/Tokyo"), Part(first=3, stop=5, zone="Europe/Berlin")]
NOW = datetime(2026, 12, 1, 0, 30, tzinfo=UTC).timestamp()  # 09:30 in Tokyo, 01:30 in Berlin


def opens_at(parts, **options):
    planned = schedule_parts(read_schedule(**options), parts, NOW)
    return [part.opens_at and datetime.fromtimestamp(part.opens_at, UTC).isoformat()[:16] for part in planned]


def test_each_part_opens_in_its_zone():
    assert opens_at(PARTS) == [None, None]
    assert opens_at(PARTS, local_time="09:00") == ["2026-12-02T00:00", "2026-12-01T08:00"]
    assert opens_at(PARTS, send_at="2026-12-01T10:00") == ["2026-12-01T01:00", "2026-12-01T09:00"]
    assert opens_at(PARTS, send_at="2026-12-01T09:00+00:00") == ["2026-12-01T09:00"] * 2
    assert opens_at(PARTS, quiet="22:00-08:00") == [None, "2026-12-01T07:00"]
    assert opens_at(PARTS, local_time="07:00", quiet="22:00-08:00") == ["2026-12-01T23:00", "2026-12-01T07:00"]
    assert opens_at([Part(first=0, stop=3)], local_time="09:00", timezone="+05:30") == ["2026-12-01T03:30"]


@pytest.mark.parametrize(
    ("parts", "options", "code"),
    [
        (PARTS, {"send_at": "2026-12-01T09:00"}, "past: 2026-12-01T09:00:00 has passed in Asia/Tokyo, for 3 ids"),
        (PARTS, {"send_at": "2026-12-01T00:29+00:00"}, "past: 2026-12-01T00:29:00.00:00 has passed$"),
        (PARTS, {"local_time": "09:00", "timezone": "UTC"}, "bad-option: the requests are divided by time zone"),
        ([Part(first=0, stop=1)], {"local_time": "09:00"}, "no-zone"),
        ([Part(first=0, stop=1)], {"quiet": "22:00-08:00"}, "no-zone"),
        ([*PARTS, Part(first=5, stop=6)], {"quiet": "22:00-08:00"}, "no-zone"),
        (PARTS, {"local_time": "09:00", "send_at": "2026-12-02T09:00"}, "bad-option"),
        (PARTS, {"local_time": "9:00"}, "bad-send-time"),
        (PARTS, {"local_time": "24:00"}, "bad-send-time"),
        (PARTS, {"spread": "0h"}, "bad-option"),
        (PARTS, {"spread": "2"}, "bad-option"),
        (PARTS, {"spread": "8d"}, "bad-option"),
    ],
)
def test_schedules_that_cannot_be_kept_are_refused(parts, options, code):
    with pytest.raises(DeliveryError, match=rf"(?m)^{code}"):
        schedule_parts(read_schedule(**options), parts, NOW)


@given(
    st.sampled_from(["09:00", None]),
    st.sampled_from(["22:00-08:00", None]),
    st.sampled_from(["90m", None]),
    st.booleans(),
)
def test_schedule_is_read_back(local_time, quiet, spread, hold):
    schedule = read_schedule(local_time=local_time, quiet=quiet, spread=spread, hold=hold, timezone="Asia/Tokyo")
    assert Schedule.from_json(schedule.to_json()) == schedule
    assert Schedule().override(schedule) == schedule.override(Schedule()) == schedule


def test_batches_of_a_part_are_spread_and_kept_by_the_vendor():
    parts = [PlannedPart(first=0, stop=4, opens_at=NOW), PlannedPart(first=4, stop=6)]
    planned = schedule_batches(
        read_schedule(spread="10m"), parts, plan_batches(1, parts, 2), lambda batch, moment: batch.native is not None
    )
    found = [(each.native, each.first, each.not_before and each.not_before - NOW, each.at_vendor) for each in planned]
    assert found == [(0, None, 0, True), (None, 0, 200, False), (None, 2, 400, False), (None, 4, None, False)]
