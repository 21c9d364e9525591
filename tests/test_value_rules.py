"""Proofs about ranges, patterns and anniversaries hold for every device; what follows from what is proved."""

from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boolean_exprs

from audience import (
    Anniversary,
    Between,
    Compare,
    Comparison,
    Everyone,
    Has,
    Matches,
    Nobody,
    Tag,
    Within,
    bind,
    parse,
    render,
)
from audience.algebra.constraints import AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.language.ast import COMPARE_OPS, LOW_OPS, THRESHOLD_OPS, Except, Limit, Threshold, map_atoms
from audience.language.patterns import read_pattern
from audience.planning.catalog.catalog import expand_comparisons
from audience.planning.catalog.loader import parse_catalog
from audience.planning.catalog.value_keys import value_keys_of
from audience.testing.oracle import OracleDevice, all_subsets, is_inside

AGES = ["16", "17", "18"]
age_leaves = st.one_of(
    st.sampled_from([Has("age"), *(Tag("age", age) for age in AGES)]),
    st.builds(Compare, st.just("age"), st.sampled_from(COMPARE_OPS), st.sampled_from(AGES)),
    st.builds(
        Between,
        st.just("age"),
        st.sampled_from(AGES),
        st.sampled_from(AGES),
        st.sampled_from(LOW_OPS),
        st.sampled_from(LOW_OPS),
    ),
)
DAYS = [date(2024, 2, 28) + timedelta(days) for days in range(3)]
day_texts = st.sampled_from(DAYS).map(str)
day_leaves = st.one_of(
    day_texts.map(lambda day: Tag("active", day)),
    st.builds(Compare, st.just("active"), st.sampled_from(COMPARE_OPS), day_texts),
    st.builds(Within, st.just("active"), st.integers(1, 3), day_texts),
    st.builds(Between, st.just("active"), day_texts, day_texts),
    st.sampled_from(["02-28", "02-29", "03-01"]).map(lambda day: Anniversary("active", Comparison("=", day))),
)
CITIES = ["gua", "guax", "Gux", "hux"]
PATTERNS = ["g*", "gua*", "*x", "?ux", "gu?x", "*u*", "gua", "G*"]
city_leaves = st.one_of(
    st.sampled_from([Has("city"), *(Tag("city", city) for city in CITIES[1:])]),
    st.builds(Matches, st.just("city"), st.sampled_from(PATTERNS), st.booleans()),
)
VERSIONS = ["1.2", "1.2.0", "1.10"]
version_leaves = st.one_of(
    st.sampled_from(VERSIONS).map(lambda version: Tag("version", version)),
    st.builds(Compare, st.just("version"), st.sampled_from(COMPARE_OPS), st.sampled_from(VERSIONS)),
    st.builds(Between, st.just("version"), st.sampled_from(VERSIONS), st.sampled_from(VERSIONS)),
    st.sampled_from(["1.2*", "*0"]).map(lambda pattern: Matches("version", pattern)),
)


def age_device(ages):
    return OracleDevice(ages=tuple(ages))


def day_device(days):
    return OracleDevice(days=tuple(days))


def city_device(cities):
    return OracleDevice(tags=frozenset(("city", city) for city in cities))


def version_device(versions):
    return OracleDevice(tags=frozenset(("version", each) for each in versions), versions=tuple(versions))


WORLDS = {
    "age": (age_leaves, age_device, [15, 16, 16.5, 17, 18, 19], "number"),
    "active": (day_leaves, day_device, [date(2023, 2, 28), *DAYS, date(2024, 3, 2)], "date"),
    "city": (city_leaves, city_device, [*CITIES, "other"], None),
    "version": (version_leaves, version_device, [*VERSIONS, "1.1", "2"], "version"),
}


@st.composite
def questions(draw):
    """An attribute, what is known of it, a target and parts."""
    type_ = draw(st.sampled_from(list(WORLDS)))
    exprs = boolean_exprs(WORLDS[type_][0], max_leaves=4)
    target = draw(exprs)
    parts = draw(st.one_of(st.tuples(exprs), st.tuples(exprs, exprs), st.just((simplify(nnf(target)),))))
    return type_, draw(st.booleans()), target, parts


def constraints_of(type_, is_exclusive):
    order = WORLDS[type_][3]
    return AttributeConstraints(
        exclusive=frozenset({type_} if is_exclusive else ()), keys={type_: value_keys_of(order)} if order else {}
    )


def possible_devices(type_, is_exclusive):
    _, make_device, values, _ = WORLDS[type_]
    return [make_device(some) for some in all_subsets(values) if not is_exclusive or len(some) <= 1]


@given(questions())
def test_proved_partition_holds_for_every_device(question):
    type_, is_exclusive, target, parts = question
    if find_partition_violation(target, parts, constraints_of(type_, is_exclusive)) is None:
        for device in possible_devices(type_, is_exclusive):
            assert sum(is_inside(part, device) for part in parts) == is_inside(target, device)


# Days around a change of clocks: back by an hour, back past midnight, and a day that a zone left out.
ODD_DAYS = {"Europe/Berlin": "2026-10-25", "America/St_Johns": "2006-10-29", "Pacific/Apia": "2011-12-30"}


@st.composite
def instant_questions(draw):
    """A zone, instants near an odd day of it, a target and parts over an attribute of instants."""
    name, odd_day = draw(st.sampled_from(list(ODD_DAYS.items())))
    days = [date.fromisoformat(odd_day) + timedelta(step) for step in (-1, 0, 1)]
    noon = datetime.combine(days[1], datetime.min.time(), UTC) + timedelta(hours=12)
    instants = [noon + timedelta(hours=hours) for hours in range(-42, 43, 7)]
    texts = st.sampled_from([*map(str, days), *(f"{each:%Y-%m-%dT%H:%M:%S}Z" for each in instants)])
    leaves = st.one_of(
        texts.map(lambda text: Tag("seen", text)),
        st.builds(Compare, st.just("seen"), st.sampled_from(COMPARE_OPS), texts),
        st.builds(Within, st.just("seen"), st.integers(1, 3), st.sampled_from(days).map(str)),
        st.builds(Between, st.just("seen"), texts, texts, st.sampled_from(LOW_OPS), st.sampled_from(LOW_OPS)),
    )
    exprs = boolean_exprs(leaves, max_leaves=4)
    target = draw(exprs)
    parts = draw(st.one_of(st.tuples(exprs), st.tuples(exprs, exprs), st.just((simplify(nnf(target)),))))
    return ZoneInfo(name), [*instants, *(each + timedelta(minutes=1) for each in instants)], target, parts


def compare_times(value, operator, text, zone):
    """Return whether an instant is on one side of a text: its local day is compared with a day."""
    is_day = "T" not in text
    lhs = value.astimezone(zone).date() if is_day else value
    rhs = date.fromisoformat(text) if is_day else datetime.fromisoformat(text)
    return {"<": lhs < rhs, "<=": lhs <= rhs, ">": lhs > rhs, ">=": lhs >= rhs, "=": lhs == rhs}[operator]


def fits_instant(atom, value, zone):
    match atom:
        case Tag(value=text):
            return compare_times(value, "=", text, zone)
        case Compare(operator=operator, value=text):
            return compare_times(value, operator, text, zone)
        case Within(days=days, day=day):
            last = date.fromisoformat(day)
            return last - timedelta(days) < value.astimezone(zone).date() <= last
        case Between(low=low, high=high):
            low_operator = ">=" if atom.low_operator == "<=" else ">"
            return compare_times(value, low_operator, low, zone) and compare_times(
                value, atom.high_operator, high, zone
            )
    raise AssertionError(atom)


def has_instants(expr, values, zone):
    """Return whether a device with these instants is inside."""

    def decide(atom):
        return Everyone() if any(fits_instant(atom, value, zone) for value in values) else Nobody()

    return is_inside(map_atoms(expr, decide), OracleDevice())


@given(instant_questions(), st.booleans())
def test_proved_partition_holds_for_every_device_with_instants(question, is_exclusive):
    zone, instants, target, parts = question
    keys = {"seen": value_keys_of("time", zone)}
    constraints = AttributeConstraints(exclusive=frozenset({"seen"} if is_exclusive else ()), keys=keys)
    if find_partition_violation(target, parts, constraints) is None:
        devices = [(), *((each,) for each in instants), *([] if is_exclusive else combinations(instants, 2))]
        for values in devices:
            assert sum(has_instants(part, values, zone) for part in parts) == has_instants(target, values, zone)


NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
INSTANT_FACTS = [
    ("last_open within 2 hours", "last_open within 2 hours AND last_open within 3 hours"),
    ("last_open within 2 hours", "last_open within 2 hours AND last_open within 2 days"),
    ("last_open within 7 days", "last_open within 7 days AND last_open within 8 days"),
    ("last_open > 36 hours ago", "last_open > 36 hours ago AND last_open >= 2026-11-27"),
    ('last_open = "2026-11-28T09:00"', 'last_open = "2026-11-28T09:00" AND last_open >= today'),
    ('last_open < "2026-11-28T09:00Z"', 'last_open < "2026-11-28T09:00Z" AND last_open <= "2026-11-28T17:00"'),
]


@pytest.mark.parametrize(("lhs", "rhs"), INSTANT_FACTS)
def test_consequence_of_instants_is_proved(lhs, rhs):
    zone = ZoneInfo("Asia/Shanghai")
    constraints = AttributeConstraints(keys={"last_open": value_keys_of("time", zone)})
    assert find_partition_violation(bind(lhs, NOON, zone), [bind(rhs, NOON, zone)], constraints) is None
    assert find_partition_violation(bind(rhs, NOON, zone), [bind(lhs, NOON, zone)], constraints) is None


FACTS = [
    ("age < 16", "age < 16 AND age < 18"),
    ("age between 17 and 18", "age between 17 and 18 AND age >= 16"),
    ("age between 17 and 18", "age between 17 and 18 AND has(age)"),
    ("age:17", "age:17 AND age between 16 and 18"),
    ("age between 30 and 18", "nobody"),
    ("age between 17.0 and 18", "age between 17 and 18.0"),
    ("active within 2 days of 2024-02-29", "active within 2 days of 2024-02-29 AND active >= 2024-02-28"),
    ("active:2024-02-29", "active:2024-02-29 AND anniversary(active) = 02-29"),
    ("city:guax", 'city:guax AND city matches "gua*"'),
    ('city matches "gua*"', 'city matches "gua*" AND city matches "g*" AND has(city)'),
    ('city matches "gua*"', 'city matches "gua*" AND city matches "GU*" ignoring case'),
    ("version:1.2.0", "version:1.2.0 AND version between 1.2 and 1.10"),
]
SINGLE_VALUE_FACTS = [
    ("age >= 17 AND age <= 18", "age between 17 and 18"),
    ("age > 17 AND age < 18", "16 <= age <= 18 AND age > 17 AND age < 18"),
    ("age < 16 AND age > 17", "nobody"),
    ('city:hux AND city matches "gua*"', "nobody"),
    ('city matches "hu*" AND city matches "gua*"', "nobody"),
    ("anniversary(active) = 02-28 AND anniversary(active) = 02-29", "nobody"),
]


@pytest.mark.parametrize(("lhs", "rhs"), FACTS)
def test_consequence_is_proved(lhs, rhs):
    type_ = next(type_ for type_ in WORLDS if type_ in lhs)
    assert find_partition_violation(parse(lhs), [parse(rhs)], constraints_of(type_, False)) is None


@pytest.mark.parametrize(("lhs", "rhs"), SINGLE_VALUE_FACTS)
def test_consequence_is_proved_of_single_values_alone(lhs, rhs):
    type_ = next(type_ for type_ in WORLDS if type_ in lhs)
    assert find_partition_violation(parse(lhs), [parse(rhs)], constraints_of(type_, True)) is None
    assert find_partition_violation(parse(lhs), [parse(rhs)], constraints_of(type_, False)) is not None


def test_covering_pattern_matches_whatever_the_other_matches():
    texts = ["", *("".join(some) for size in range(1, 5) for some in combinations("gGaux" * 2, size))]
    patterns = [read_pattern(text, ignores_case) for text in [*PATTERNS, "?*", "??"] for ignores_case in (False, True)]
    for lhs in patterns:
        for rhs in patterns:
            if lhs.covers(rhs):
                assert all(lhs.matches(text) for text in texts if rhs.matches(text)), (lhs, rhs)


@st.composite
def forms(draw):
    """Expressions with thresholds, differences and limits over the conditions of two attributes."""
    leaves = st.one_of(age_leaves, city_leaves)
    operand = boolean_exprs(leaves, max_leaves=3)
    terms = tuple(draw(st.lists(operand, min_size=2, max_size=4)))
    operator = draw(st.sampled_from(THRESHOLD_OPS))
    threshold = Threshold(operator, draw(st.integers(1, len(terms) - (operator == "at most"))), terms)
    limit = Limit(draw(operand), 3, "seed")
    return draw(boolean_exprs(st.sampled_from([threshold, Except(draw(operand), threshold), limit, draw(leaves)]), 4))


def is_in_form(expr, device, limited):
    """Return whether a device is inside; *limited* says whether limits chose it."""
    chosen = Everyone() if limited else Nobody()
    return is_inside(map_atoms(expr, lambda atom: chosen if isinstance(atom, Limit) else atom), device)


@given(forms())
def test_normal_forms_keep_meaning_of_all_forms(expr):
    devices = [
        OracleDevice(ages=ages, tags=frozenset(("city", city) for city in cities))
        for ages in ((), (17,), (15, 19))
        for cities in ((), ("guax",), ("Gux", "hux"))
    ]
    for form in (simplify(expr), nnf(expr), simplify(nnf(simplify(expr)))):
        for device in devices:
            for limited in (False, True):
                assert is_in_form(form, device, limited) == is_in_form(expr, device, limited), render(form)


CATALOG = parse_catalog(
    """
    [age]
    values = ["15", "16", "16.5", "17", "18", "19"]
    order = "number"
    [active]
    values = ["2023-02-28", "2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]
    order = "date"
    [city]
    values = ["gua", "guax", "Gux", "hux", "other"]
    [version]
    values = ["1.1", "1.2", "1.2.0", "1.10", "2"]
    order = "version"
    """
)


@given(questions())
def test_closed_attribute_is_its_values(question):
    type_, _, expr, _ = question
    expanded = expand_comparisons(expr, CATALOG)
    for device in possible_devices(type_, False):
        assert is_inside(expanded, device) == is_inside(expr, device), render(expanded)


@given(day_leaves)
def test_short_range_of_days_is_its_days(expr):
    open_days = parse_catalog('[active]\norder = "date"')
    expanded = expand_comparisons(expr, open_days)
    for device in possible_devices("active", False):
        assert is_inside(expanded, device) == is_inside(expr, device), render(expanded)
