"""To bind and then evaluate is to evaluate as of that moment, for all relative forms, zones and edges of months."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relative_oracle import CLOCK_UNITS, RelativeOracle
from sizes import scale_examples
from strategies import SEEDS, threshold_exprs

from audience import (
    And,
    Anniversary,
    Comparison,
    DeviceIndex,
    Except,
    Interval,
    Limit,
    Not,
    Or,
    Period,
    Relative,
    RelativeTime,
    Top,
    parse,
    render,
)
from audience.language.ast import TOP_ORDERS
from audience.language.binding import is_relative
from audience.language.windows import TIME_UNITS, WINDOW_OPS

# Moments at which days of 23, 24.5 and 25 hours, months, leap years or calendars change in these zones.
EDGES = {
    "2026-03-29T01:00Z": "Europe/Berlin",
    "2026-10-25T01:00Z": "Europe/Berlin",
    "2026-03-08T07:00Z": "America/New_York",
    "2026-11-01T06:00Z": "America/New_York",
    "2018-11-04T03:00Z": "America/Sao_Paulo",  # the day starts at 01:00
    "2006-10-29T02:31Z": "America/St_Johns",  # clocks go back from 00:01 to 23:01
    "2026-04-04T15:00Z": "Australia/Lord_Howe",  # by half an hour
    "2011-12-30T10:00Z": "Pacific/Apia",  # a day is left out
    "2024-02-28T16:00Z": "Asia/Shanghai",
    "2024-02-29T16:00Z": "Asia/Shanghai",
    "2026-02-27T18:30Z": "Asia/Kolkata",
    "2024-03-31T00:00Z": "UTC",
    "2024-12-31T23:59:59Z": "UTC",
}
MOMENTS = [datetime.fromisoformat(text) for text in EDGES]
DAY_TYPES, INSTANT_TYPES = ("day", "days"), ("seen", "visits")


def make_devices() -> list[dict]:
    """Return devices with days and instants at the edges and near them, some with several, some with none."""
    chance, devices = random.Random(7), []
    scales = [timedelta(seconds=1), timedelta(minutes=30), timedelta(hours=3), timedelta(days=3), timedelta(days=120)]
    for moment, zone in zip(MOMENTS, EDGES.values(), strict=True):
        local = moment.astimezone(ZoneInfo(zone))
        near = [moment, *(moment + chance.uniform(-3, 3) * scale for scale in scales for _ in range(6))]
        near += [
            datetime(local.year, local.month, 15, tzinfo=ZoneInfo(zone)).astimezone(UTC) + timedelta(days=9 * n)
            for n in range(-6, 6)
        ]
        days = [each.astimezone(ZoneInfo(zone)).date() for each in near]
        days += [each - timedelta(years) for each in days[:8] for years in (365, 366, 1461)]
        devices += [{"seen": None, "day": each, "visits": [], "days": [each]} for each in days]
        devices += [
            {"seen": each, "day": None, "visits": chance.sample(near, 2), "days": chance.sample(days, 3)}
            for each in near
        ]
    return [{"token": f"t{number}", **device} for number, device in enumerate(devices)]


DEVICES = make_devices()
VALUES = {
    device["token"]: {
        type_: [each for each in (values if isinstance(values, list) else [values]) if each is not None]
        for type_, values in device.items()
        if type_ != "token"
    }
    for device in DEVICES
}


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    schema = {"token": pl.String, "seen": pl.Datetime("us", "UTC"), "day": pl.Date}
    schema |= {"visits": pl.List(pl.Datetime("us", "UTC")), "days": pl.List(pl.Date)}
    path = tmp_path_factory.mktemp("relative") / "devices.index"
    return DeviceIndex.build(pl.DataFrame(DEVICES, schema=schema), path)


def amounts(unit: str, least: int):
    return st.integers(least, {"minute": 4_000, "hour": 80, "day": 60, "week": 9, "month": 15, "year": 3}[unit])


@st.composite
def relative_times(draw, units):
    unit = draw(st.sampled_from(units))
    amount = draw(st.sampled_from([1, -1])) * draw(amounts(unit, 0))
    return RelativeTime("now" if unit in CLOCK_UNITS else "today", amount, unit)


def absolute_days():
    return st.sampled_from(MOMENTS).map(lambda moment: moment.date().isoformat())


@st.composite
def windows(draw, units):
    """Windows of days, and of moments if *units* are of clocks."""
    times = relative_times(units)
    days = st.one_of(times, relative_times([unit for unit in units if unit not in CLOCK_UNITS]), absolute_days())
    kind = draw(st.sampled_from([Comparison, Interval, Period]))
    if kind is Comparison:
        return Comparison(draw(st.sampled_from(WINDOW_OPS)), draw(times))
    if kind is Interval:
        ends = [draw(days), draw(times)]
        return Interval(*draw(st.permutations(ends)))
    unit = draw(st.sampled_from(units))
    same = [each for each in units if (each in CLOCK_UNITS) == (unit in CLOCK_UNITS)]
    of = draw(st.one_of(st.none(), relative_times(same)))
    return Period(draw(amounts(unit, 1)), unit, draw(st.sampled_from(["past", "next"])), of)


@st.composite
def anniversary_windows(draw):
    """Windows of at most some months, by days alone."""
    days = relative_times(["day", "week", "month"])
    kind = draw(st.sampled_from([Comparison, Interval, Period]))
    if kind is Comparison:
        return Comparison("=", draw(st.one_of(days, absolute_days())))
    if kind is Interval:
        ends = [draw(days), draw(days)]
        first, last = (replace(end, amount=sign * abs(end.amount)) for end, sign in zip(ends, (-1, 1), strict=True))
        return Interval(first, last)
    unit = draw(st.sampled_from(["day", "week", "month"]))
    return Period(draw(amounts(unit, 1)), unit, draw(st.sampled_from(["past", "next"])), draw(st.none() | days))


DAY_UNITS = [unit for unit in TIME_UNITS if unit not in CLOCK_UNITS]
LEAVES = st.one_of(
    st.builds(Relative, st.sampled_from(DAY_TYPES), windows(DAY_UNITS)),
    st.builds(Relative, st.sampled_from(INSTANT_TYPES), windows(list(TIME_UNITS))),
    st.builds(Anniversary, st.sampled_from(DAY_TYPES), anniversary_windows()),
)


def joined(operands):
    several = st.lists(operands, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        operands.map(Not),
        several.map(And),
        several.map(Or),
        st.builds(Except, operands, operands),
        threshold_exprs(several),
    )


def with_limits(operands):
    """Limits, and `top` and `bottom` by a day or an instant, over *operands*."""
    sizes, by = st.integers(1, len(DEVICES)), st.sampled_from([*DAY_TYPES, *INSTANT_TYPES])
    return st.one_of(
        joined(operands),
        st.builds(Limit, operands, sizes, st.sampled_from(SEEDS)),
        st.builds(Top, operands, sizes, by, st.sampled_from(TOP_ORDERS)),
    )


@st.composite
def questions(draw):
    """A moment near an edge, mostly in its zone."""
    moment = draw(st.sampled_from(MOMENTS))
    zone = draw(st.sampled_from([EDGES[list(EDGES)[MOMENTS.index(moment)]]] * 3 + list(EDGES.values())))
    seconds = draw(st.sampled_from([0, 1, -1, 1_800, 3_600, -3_600, 7_200, 43_200, -43_200, 86_400, -86_400]))
    return moment + timedelta(seconds=seconds), zone


@settings(max_examples=scale_examples(30))
@given(expr=st.recursive(LEAVES, joined, max_leaves=5), question=questions())
def test_relative_times_are_those_of_the_oracle(expr, question, index):
    moment, zone = question
    oracle = RelativeOracle(moment, ZoneInfo(zone))
    expected = {token for token, device in VALUES.items() if oracle.is_inside(expr, device)}
    found = set(index.resolve(expr, as_of=moment, timezone=zone).ids())
    differing = {token: VALUES[token] for token in sorted(found ^ expected)[:3]}
    assert differing == {}, f"{render(expr)} as of {moment} {zone}"
    assert index.count(expr, as_of=moment, timezone=zone) == len(expected)


@settings(max_examples=scale_examples(30))
@given(expr=st.recursive(LEAVES, with_limits, max_leaves=5), question=questions())
def test_bind_then_evaluate_is_to_evaluate_as_of_the_moment(expr, question, index):
    moment, zone = question
    bound = index.bind(expr, as_of=moment, timezone=zone)
    assert not is_relative(bound)
    devices = index.resolve(expr, as_of=moment, timezone=zone)
    assert index.resolve(bound, timezone=zone) == devices
    assert index.resolve(bound, as_of=moment + timedelta(days=99), timezone=zone) == devices
    assert index.resolve(parse(render(bound)), timezone=zone) == devices
