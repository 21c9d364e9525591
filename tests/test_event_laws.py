"""Conditions about events: to bind and then ask is to ask as of that moment, and what is proved is true.

The oracle looks at every event of a device. Events are at the edges of days, months and hours that are put forward or
back, and so are the windows.
"""

from datetime import date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from strategies import boolean_exprs

from audience import (
    Aggregate,
    Between,
    Compare,
    Comparison,
    Did,
    EventFilter,
    EventMoment,
    Everyone,
    ExpressionError,
    Has,
    Interval,
    Matches,
    Nobody,
    Not,
    Or,
    Period,
    Relative,
    RelativeTime,
    Tag,
    Within,
    bind,
    equivalent,
    parse,
    render,
)
from audience.algebra.constraints import NO_CONSTRAINTS
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.event_rules import expand_counts, iter_event_rules
from audience.language.ast import AGGREGATE_FUNCTIONS, AGGREGATE_OPS, COMPARE_OPS, LOW_OPS, MOMENT_FUNCTIONS
from audience.language.binding import is_relative
from audience.language.windows import TIME_UNITS, WINDOW_OPS
from audience.testing.event_oracle import find_fitting_ids, fits_events

QUESTIONS = [  # moments at which days of 23, 24.5 and 25 hours, months or calendars change in these zones
    (datetime.fromisoformat(text), ZoneInfo(zone))
    for text, zone in [
        ("2026-03-29T01:00Z", "Europe/Berlin"),
        ("2026-10-25T01:00Z", "Europe/Berlin"),
        ("2018-11-04T03:00Z", "America/Sao_Paulo"),
        ("2006-10-29T02:31Z", "America/St_Johns"),
        ("2026-04-04T15:00Z", "Australia/Lord_Howe"),
        ("2011-12-30T10:00Z", "Pacific/Apia"),
        ("2024-02-29T16:00Z", "Asia/Shanghai"),
        ("2024-03-31T00:00Z", "UTC"),
        ("2024-12-31T23:59:59Z", "UTC"),
    ]
]
AMOUNTS = {"minute": 3_000, "hour": 60, "day": 40, "week": 6, "month": 3, "year": 1}
DISTANCES = [timedelta(0), timedelta(microseconds=1), timedelta(minutes=29), timedelta(hours=11), timedelta(days=1)]
units = st.sampled_from(TIME_UNITS)


def amounts(unit: str, least: int):
    return st.integers(least, AMOUNTS[unit])


@st.composite
def relative_times(draw, units=TIME_UNITS):
    unit = draw(st.sampled_from(units))
    amount = draw(st.sampled_from([1, -1, -1])) * draw(amounts(unit, 0))
    return RelativeTime("now" if unit in ("minute", "hour") else "today", amount, unit)


@st.composite
def windows(draw, moment, operators=("<", ">", "=")):
    """Windows near *moment*, with relative and absolute ends."""
    near = st.sampled_from([moment + sign * distance for distance in DISTANCES for sign in (1, -1)])
    texts = near.map(lambda each: each.replace(tzinfo=None).isoformat() + "Z") | near.map(lambda each: f"{each.date()}")
    times = relative_times() | texts
    kind = draw(st.sampled_from([Comparison, Interval, Period]))
    if kind is Comparison:
        return Comparison(draw(st.sampled_from(operators)), draw(times))
    if kind is Interval:
        return Interval(draw(times), draw(times))
    unit, direction = draw(units), draw(st.sampled_from(["past", "past", "next"]))
    of = draw(
        st.none() | relative_times(["minute", "hour"] if unit in ("minute", "hour") else ["day", "week", "month"])
    )
    return Period(draw(amounts(unit, 1)), unit, direction, of)


numbers = st.sampled_from(["-1", "0", "0.1", "5", "10", "2e1"])
properties = st.one_of(
    st.sampled_from([Tag("tag", "gift"), Tag("category", "shoes"), Tag("amount", "5"), Tag("day", "2026-03-28")]),
    st.sampled_from([Has("category"), Has("amount"), Has("tag"), Matches("category", "s*"), Matches("tag", "gi*")]),
    st.builds(Compare, st.just("amount"), st.sampled_from(COMPARE_OPS), numbers),
    st.builds(Between, st.just("amount"), numbers, numbers, st.sampled_from(LOW_OPS), st.sampled_from(LOW_OPS)),
    st.builds(Relative, st.just("day"), st.builds(Period, st.integers(1, 40), st.just("day"))),
    st.builds(Relative, st.just("day"), st.builds(Comparison, st.sampled_from(WINDOW_OPS), relative_times(["day"]))),
    st.just(Within("day", 3, "2024-03-01")),
)
wheres = st.none() | boolean_exprs(properties, max_leaves=3)
counts = st.sampled_from([(1, None), (2, None), (3, None), (0, 0), (0, 1), (1, 1), (1, 2), (2, 3)])


def event_atoms(window, moment_window, wheres=wheres):
    """Conditions about the events `buy` and `open`."""
    names = st.sampled_from(["buy", "buy", "open"])
    filters = st.builds(EventFilter, names, wheres, st.none() | window)
    return st.one_of(
        st.builds(lambda events, count: Did(events, *count), filters, counts),
        st.builds(
            Aggregate,
            st.sampled_from(AGGREGATE_FUNCTIONS),
            filters,
            st.just("amount"),
            st.sampled_from(AGGREGATE_OPS),
            numbers,
        ),
        st.builds(EventMoment, st.sampled_from(MOMENT_FUNCTIONS), st.builds(EventFilter, names, wheres), moment_window),
    )


def event_lists(moments):
    """Events of one device."""
    values = st.fixed_dictionaries(
        {},
        optional={
            "amount": st.sampled_from([None, -1, 0, 0.1, 5, 10, 20]),
            "category": st.sampled_from([None, "", "shoes", "bags"]),
            "gift": st.booleans(),
            "day": st.sampled_from([None, date(2026, 3, 28), date(2024, 2, 28), date(2024, 3, 1)]),
        },
    )
    event = st.fixed_dictionaries(
        {"id": st.just("d"), "event": st.sampled_from(["buy", "open"]), "at": moments, "properties": values}
    )
    return st.lists(event, max_size=5)


@st.composite
def bound_questions(draw):
    """An atom about events near a moment, events of a device, the moment and the zone."""
    moment, zone = draw(st.sampled_from(QUESTIONS))
    atom = draw(event_atoms(windows(moment), windows(moment, WINDOW_OPS)))
    scales = st.sampled_from([timedelta(microseconds=1), timedelta(minutes=30), timedelta(hours=3), timedelta(days=3)])
    moments = st.builds(lambda scale, count: moment + scale * count, scales, st.integers(-12, 12))
    return atom, draw(event_lists(moments)), moment, zone


@given(bound_questions())
@settings(max_examples=scale_examples(300), deadline=None)
def test_bound_condition_has_the_devices_of_the_relative_one(question):
    atom, events, moment, zone = question
    bound = bind(atom, moment, zone)
    assert not is_relative(bound)
    assert parse(render(bound)) == bound
    assert fits_events(bound, events, zone) == fits_events(atom, events, zone, moment)


SMALL_VALUES = [{}, {"amount": -1}, {"amount": 5}, {"amount": 5, "gift": True}]
small_wheres = st.sampled_from([None, parse("gift"), parse("gift AND amount:5"), parse("amount:5 OR gift")])


class World:
    """All devices with few events at three moments, the last of which is that of the question."""

    def __init__(self, zone: str, moments: list[str], times: list[str]):
        self.zone = ZoneInfo(zone)
        self.moments = [datetime.fromisoformat(moment) for moment in moments]
        events = [
            {"id": "d", "event": "buy", "at": moment, "properties": values}
            for moment, values in product(self.moments, SMALL_VALUES)
        ]
        self.histories = [[], *([event] for event in events), *map(list, product(events, repeat=2))]
        self.histories += [[first, second, second] for first, second in product(events[::3], repeat=2)]
        self.times = times
        windows = self.windows(("<", ">", "="))
        self.atoms = event_atoms(windows, self.windows(WINDOW_OPS), small_wheres)

    def windows(self, operators):
        absolute = st.sampled_from(self.times)
        times = absolute | st.sampled_from(
            [RelativeTime("today"), RelativeTime("today", -1), RelativeTime("now", -24, "hour")]
        )
        small_units = st.sampled_from(["day", "day", "hour", "month"])
        return st.one_of(
            st.builds(Comparison, st.sampled_from(operators), times),
            st.builds(Interval, times, times),
            st.builds(Period, st.integers(1, 3), small_units, st.sampled_from(["past", "next"])),
            st.builds(Period, st.integers(1, 3), st.just("day"), st.just("past"), absolute),
        )

    def fitting_histories(self, expr):
        return {
            number
            for number, events in enumerate(self.histories)
            if fits_events(expr, events, self.zone, self.moments[-1])
        }


WORLDS = [
    World(
        "UTC",
        ["2026-11-01T12:00Z", "2026-11-02T12:00Z", "2026-11-03T12:00Z"],
        ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-02T12:00Z", "2026-11-02T12:00"],
    ),
    World(  # clocks are put back from 00:01 to 23:01 at 02:31 UTC, so that the second moment is on the day before
        "America/St_Johns",
        ["2006-10-29T02:30:30Z", "2006-10-29T03:00Z", "2006-10-29T04:00Z"],
        ["2006-10-28", "2006-10-29", "2006-10-30", "2006-10-29T03:00Z", "2006-10-29T02:30:30Z"],
    ),
]


@given(st.sampled_from(WORLDS), st.data())
@settings(max_examples=scale_examples(300), deadline=None)
def test_every_rule_is_true_of_every_history(world, data):
    used = data.draw(st.lists(world.atoms, min_size=2, max_size=3, unique=True))
    for rule in iter_event_rules(used):
        assert len(world.fitting_histories(rule)) == len(world.histories), render(rule)
    for atom in used:
        assert world.fitting_histories(atom) == world.fitting_histories(expand_counts(atom))


@given(st.sampled_from(WORLDS), st.data())
@settings(max_examples=scale_examples(100), deadline=None)
def test_what_is_proved_is_true_of_every_history(world, data):
    lhs, rhs = (data.draw(boolean_exprs(world.atoms, max_leaves=4)) for _ in range(2))
    if find_partition_violation(lhs, [rhs], NO_CONSTRAINTS) is None:
        assert world.fitting_histories(lhs) == world.fitting_histories(rhs)


IMPLICATIONS = [
    line.split(" => ")
    for line in """
did(e) >= 3 => did(e)
did(e) = 3 => did(e) >= 2
did(e) between 2 and 5 => did(e) <= 6
did(e) = 0 => did(e) <= 2
did(e) <= 2 => NOT did(e) >= 3
NOT did(e) => did(e) = 0
did(e) within 7 days => did(e) within 30 days
did(e) within 7 days => did(e)
did(e) >= 3 within 7 days => did(e) >= 2 within 30 days
did(e) within 7 days => did(e) within 1 month
did(e) within 1 month => did(e) within 31 days
did(e) within 2 weeks => did(e) after today - 14 days
did(e) within 2 months => did(e) within 3 months
did(e) within 1 year => did(e) within 2 years
did(e) within 36 hours => did(e) within 2000 hours
did(e) within 7 days of 2026-11-28 => did(e) within 30 days of 2026-11-28
did(e) within 7 days of 2026-11-28 => did(e) after 2026-11-01
did(e) from 2026-11-02 to 2026-11-05 => did(e) from 2026-11-01 to 2026-11-05
did(e) on 2026-11-02 => did(e) from 2026-11-01 to 2026-11-05
did(e) on today => did(e) within 1 day
did(e) from "2026-11-02T09:00Z" to "2026-11-02T10:00Z" => did(e) after "2026-11-02T16:59:59+08:00"
did(e where x AND y) => did(e where y)
did(e where x AND y) => did(e where y AND x)
did(e where x) => did(e where x OR y)
did(e where x) >= 3 within 7 days => did(e) >= 2 within 30 days
NOT did(e) within 30 days => NOT did(e where x) >= 3 within 7 days
max(e.p) > 5 => did(e)
max(e.p) > 5 => max(e.p) > 3
max(e.p) > 5 within 7 days => max(e.p) >= 5 within 30 days
min(e.p) < 5 within 7 days => min(e.p) <= 5
min(e.p) >= 5 => avg(e.p) >= 5 AND max(e.p) >= 5
max(e.p) <= 5 => avg(e.p) <= 5 AND min(e.p) <= 5
avg(e.p where x) = 5 within 7 days => did(e) within 7 days
sum(e.p) > 0 => did(e)
sum(e.p) > 100 => sum(e.p) >= 50
sum(e.p) < 0 => did(e)
NOT sum(e.p) > 10 => sum(e.p) <= 10
sum(e.p) = 10 => NOT sum(e.p) > 10
first(e) within 7 days => did(e) within 30 days
first(e) within 7 days => first(e) within 30 days
first(e) before 2026-11-01 => did(e) before 2026-11-01
did(e) before 2026-11-01 => first(e) before 2026-11-02
did(e) before "2026-11-01T09:00Z" => first(e) before "2026-11-01T09:00Z"
did(e) after 36 hours ago => last(e) after 36 hours ago
did(e) on 2026-11-02 => last(e) >= 2026-11-01
last(e) before "2026-11-01T09:00Z" => NOT did(e) after "2026-11-01T09:00Z"
last(e) after 30 days ago => did(e) after 30 days ago
last(e) before 30 days ago => NOT did(e) after 20 days ago
last(e) on 2026-11-02 => NOT last(e) before 2026-11-02
did(e) AND NOT last(e) before 2026-11-02 => last(e) >= 2026-11-02
""".strip().splitlines()
]
NO_IMPLICATIONS = [
    line.split(" => ")
    for line in """
did(e) => did(e) >= 2
did(e) => did(f)
did(e) within 30 days => did(e) within 7 days
did(e) within 31 days => did(e) within 1 month
did(e) within 36 hours => did(e) within 2 days
did(e) >= 2 within 30 days => did(e) >= 2 within 7 days
did(e where x) => did(e where y)
did(e) => did(e where x)
did(e where x OR y) => did(e where x)
sum(e.p) > 100 => sum(e.p) > 100 within 30 days
sum(e.p) <= 5 => did(e)
NOT max(e.p) > 5 => max(e.p) <= 5
did(e) => max(e.p) <= 5 OR max(e.p) > 5
sum(e.p where x) > 100 => sum(e.p) > 100
max(e.p) > 5 => max(e.q) > 5
first(e where x) before 2026-11-01 => first(e where x) before 2026-10-01
last(e) before 2026-11-01 => last(e where x) before 2026-11-01
did(e) after 2026-11-01 => last(e) after 2026-11-01
did(e) before 2026-11-01 => first(e) before 2026-11-01
last(e) on 2026-11-01 => NOT did(e) after 2026-11-01
did(e) before 2026-11-01 => last(e) before 2026-11-01
""".strip().splitlines()
]


@pytest.mark.parametrize(("condition", "conclusion"), IMPLICATIONS)
def test_implication_is_proved(condition, conclusion):
    assert equivalent(parse(f"({condition}) AND NOT ({conclusion})"), Nobody())
    assert equivalent(parse(f"NOT ({condition}) OR ({conclusion})"), Everyone())


@pytest.mark.parametrize(("condition", "conclusion"), NO_IMPLICATIONS)
def test_implication_is_not_proved(condition, conclusion):
    assert not equivalent(parse(f"({condition}) AND NOT ({conclusion})"), Nobody())


def test_counts_are_all_devices_together():
    assert equivalent(parse("did(e) <= 2 OR did(e) between 3 and 7 OR did(e) > 7"), Everyone())
    assert equivalent(parse("did(e) between 1 and 2 OR did(e) = 3"), parse("did(e) between 1 and 3"))
    assert equivalent(parse("NOT did(e) = 0"), parse("did(e)"))


def test_oracle_needs_a_moment_only_if_a_time_is_relative():
    events = [{"id": "d", "event": "buy", "at": datetime(2026, 11, 2, 23), "properties": {"amount": 5}}]
    ids = ["d", "other"]
    assert find_fitting_ids(parse("did(buy) on 2026-11-02"), events, ids, ZoneInfo("Asia/Shanghai")) == {"d"}
    assert find_fitting_ids(Or((Not(parse("did(buy)")), Nobody())), events, ids, ZoneInfo("UTC")) == {"other"}
    with pytest.raises(AssertionError):
        find_fitting_ids(parse("did(buy) within 7 days"), events, ids, ZoneInfo("UTC"))


def test_day_out_of_the_calendar_is_an_error_at_its_place():
    with pytest.raises(ExpressionError, match="out-of-calendar") as caught:
        bind("a AND did(buy) within 3000 years", WORLDS[0].moments[-1])
    assert caught.value.problems[0].span.start == len("a AND ")
