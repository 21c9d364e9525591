"""Questions about instants: days and wall-clock times of any zone count what `datetime.astimezone` says."""

from datetime import UTC, date, datetime, timedelta
from operator import ge, gt, le, lt
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_zones import ODD_DAYS, moments, to_local, zones

from audience import Between, Compare, DeviceIndex, ExpressionError, Not, Tag, Within, lint, parse, plan, render
from audience.index.query.instants import to_instants
from audience.planning.catalog.catalog import expand_comparisons, unify_values, with_column_types
from audience.planning.catalog.loader import parse_catalog
from audience.planning.catalog.value_keys import value_keys_of

OPERATORS = {"<": lt, "<=": le, ">": gt, ">=": ge}
HOURS = [timedelta(minutes=minutes) for minutes in range(-1560, 2940, 45)]
NEAR = [timedelta(hours=hours, microseconds=micros) for hours in (-5, 0, 4, 7, 16) for micros in (-1, 0, 1)]
INSTANTS = [datetime.combine(day, datetime.min.time()) + delta for day in ODD_DAYS for delta in [*HOURS, *NEAR]]
ROLES = {"seen": "time", "seen_often": "time"}


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    """Every instant once in `seen`, and lists of four of them, far from each other, in `seen_often`."""
    count = len(INSTANTS)
    several = [[INSTANTS[(at * step) % count] for step in (1, 7, 101)] for at in range(count)]
    table = pl.DataFrame(
        {"token": [f"t{at}" for at in range(count)], "seen": INSTANTS, "seen_often": several},
        schema_overrides={"seen": pl.Datetime("us"), "seen_often": pl.List(pl.Datetime("us"))},
    )
    return DeviceIndex.build(table, tmp_path_factory.mktemp("zones") / "seen.index")


@st.composite
def operands(draw, zone: ZoneInfo):
    """A day, or a time with or without a zone, and what it is to the oracle: a day, or an instant."""
    day = draw(st.sampled_from(ODD_DAYS)) + timedelta(days=draw(st.integers(-1, 1)))
    if draw(st.booleans()):
        return draw(st.sampled_from([day.isoformat(), f"{day:%Y%m%d}" if day.year > 999 else day.isoformat()])), day
    time = datetime.combine(day, datetime.min.time()) + draw(st.sampled_from(NEAR))
    local = time.replace(tzinfo=zone)
    is_clear = local.utcoffset() == local.replace(fold=1).utcoffset()
    if is_clear and draw(st.booleans()):
        return time.isoformat(), local.astimezone(UTC)
    instant = time.replace(tzinfo=UTC)
    offset = draw(st.sampled_from([ZoneInfo("UTC"), zone]))
    return draw(st.sampled_from([f"{time.isoformat()}Z", instant.astimezone(offset).isoformat()])), instant


def compares(value: datetime, operator, operand: date | datetime, zone: ZoneInfo) -> bool:
    """The slow oracle: a day is compared with the local day, a time with the instant."""
    if isinstance(operand, datetime):
        return operator(value.replace(tzinfo=UTC), operand)
    return operator(to_local(value, zone).date(), operand)


@st.composite
def questions(draw):
    """A condition without its attribute, and what the oracle says of one value."""
    zone = ZoneInfo(draw(zones))
    text, operand = draw(operands(zone))
    match draw(st.sampled_from(["=", "compare", "within", "between"])):
        case "=":
            return (
                zone,
                lambda type_: Tag(type_, text),
                lambda value: compares(value, le, operand, zone) and compares(value, ge, operand, zone),
            )
        case "compare":
            symbol = draw(st.sampled_from(list(OPERATORS)))
            meaning = OPERATORS[symbol]
            return (
                zone,
                lambda type_: Compare(type_, symbol, text),
                lambda value: compares(value, meaning, operand, zone),
            )
        case "within":
            day, days = draw(st.sampled_from(ODD_DAYS)), draw(st.integers(1, 3) | st.just(99_999))
            return (
                zone,
                lambda type_: Within(type_, days, day.isoformat()),
                lambda value: 0 <= (day - to_local(value, zone).date()).days < days,
            )
    high_text, high = draw(operands(zone))
    low_symbol, high_symbol = draw(st.sampled_from(["<", "<="])), draw(st.sampled_from(["<", "<="]))
    above = {"<": gt, "<=": ge}[low_symbol]
    return (
        zone,
        lambda type_: Between(type_, text, high_text, low_symbol, high_symbol),
        lambda value: compares(value, above, operand, zone) and compares(value, OPERATORS[high_symbol], high, zone),
    )


@given(questions())
def test_count_agrees_with_the_oracle_in_every_zone(index, question):
    zone, build_atom, matches = question
    count = len(INSTANTS)
    is_match = [matches(value) for value in INSTANTS]
    single = sum(is_match)
    several = sum(any(is_match[(at * step) % count] for step in (1, 7, 101)) for at in range(count))
    for type_, expected in (("seen", single), ("seen_often", several)):
        atom = build_atom(type_)
        assert index.count(to_instants(atom, ROLES, zone)) == expected, (render(atom), zone.key)
        assert index.count(to_instants(Not(atom), ROLES, zone)) == count - expected
        again = to_instants(to_instants(atom, ROLES, zone), ROLES, ZoneInfo("Asia/Tokyo"))
        assert again == to_instants(atom, ROLES, zone)


@pytest.fixture(scope="module")
def edges(tmp_path_factory) -> DeviceIndex:
    """The first and the last instant of the calendar in UTC, in an index of Shanghai."""
    seen = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), None]
    table = pl.DataFrame({"token": ["a", "b", "c"], "seen": seen}, schema_overrides={"seen": pl.Datetime("us", "UTC")})
    return DeviceIndex.build(table, tmp_path_factory.mktemp("edges") / "x", timezone="Asia/Shanghai")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("seen = 0001-01-01", 1),
        ("seen < 0001-01-01", 0),
        ("seen >= 0001-01-01", 2),
        ("seen <= 0001-01-01", 1),
        ("seen = 9999-12-31", 0),  # the last instant is in the year 10000 there
        ("seen > 9999-12-31", 1),
        ("seen <= 9999-12-31", 1),
        ("seen within 99999 days of 9999-12-31", 0),
        ("seen within 1 day of 0001-01-01", 1),
        ('seen > "0001-01-01T00:00+23:59"', 2),
        ('seen < "9999-12-31T23:59:59.999999-23:59"', 2),
        ('seen = "0001-01-01T00:00:00Z"', 1),
        ('seen = "9999-12-31T23:59:59.999999Z"', 1),
        ('seen > "9999-12-31T23:59:59.999999Z"', 0),
        ("has(seen)", 2),
    ],
)
def test_edges_of_the_calendar(edges, text, count):
    assert edges.count(text) == count
    assert edges.count(f"NOT ({text})") == 3 - count


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ('seen < "2026-10-25T02:30"', "ambiguous-time", '"2026-10-25T02:30:00+02:00" or "2026-10-25T02:30:00+01:00"'),
        ('seen < "2026-03-29T02:30"', "ambiguous-time", "clocks of Europe/Berlin never show"),
        ('seen < "2026-11-28T10:30:00.1234567Z"', "bad-value", "'2026-11-28T10:30:00.1234567Z' is not"),
        ('seen < "2026-11-28T10:30:60"', "bad-value", "is not"),
        ("seen = soon", "bad-value", "seen is a day or a timestamp"),
        ("seen between 2026-11-01 and soon", "bad-value", "'soon' is not"),
        ("seen within 7 days of 2026-02-30", "bad-value", "'2026-02-30' is not a day"),
        ("age < 3 AND seen = 2026-11-31", "bad-value", "'2026-11-31' is not"),
    ],
)
def test_operands_that_are_no_time_are_refused(text, code, hint, tmp_path):
    table = pl.DataFrame({"token": ["a"], "seen": [datetime(2026, 11, 28)], "age": [1]})
    index = DeviceIndex.build(table, tmp_path / "x", timezone="Europe/Berlin")
    with pytest.raises(ExpressionError) as caught:
        index.count(text)
    assert (caught.value.code, hint in str(caught.value)) == (code, True)
    span = caught.value.problems[0].span
    assert span is not None and text[span.start : span.end].startswith("seen")


def test_values_are_shown_as_operands_that_find_them(tmp_path):
    seen = [datetime(2026, 10, 25, 2, 30), datetime(2026, 10, 25, 3, 30), datetime(2026, 7, 1, 0, 0, 0, 1)]
    index = DeviceIndex.build(
        pl.DataFrame({"token": ["a", "b", "c"], "seen": seen}), tmp_path / "x", timezone="Europe/Berlin"
    )
    values = index.attributes["seen"].values.to_list()
    assert values == ["2026-06-30T22:00:00.000001Z", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"]
    assert [index.count(Tag("seen", value)) for value in values] == [1, 1, 1]
    assert index.attributes["seen"].count_by_value()["value"].to_list() == values


def test_written_conditions_are_shown(tmp_path):
    seen = [datetime(2026, 11, 28, 7), datetime(2026, 11, 29, 7)]
    index = DeviceIndex.build(
        pl.DataFrame({"token": ["a", "b"], "seen": seen}), tmp_path / "x", timezone="Asia/Shanghai"
    )
    lines = index.explain("NOT seen = 2026-11-28 AND seen <= 2026-11-29 AND has(seen)")
    assert [(line.text, line.device_count) for line in lines] == [
        ("AND", 1),
        ("NOT seen:2026-11-28", 1),
        ("seen <= 2026-11-29", 2),
        ("has(seen)", 2),
    ]
    (problem,) = index.find_unmatched("seen = 2026-11-27 OR seen = 2026-11-28")
    assert problem.message == "no device has 'seen:2026-11-27'"
    codes = [each.code for each in lint(parse('seen < 2026-11-28 AND seen > "2026-11-28T00:00"'), index)]
    assert "empty-range" in codes
    assert lint(parse('seen >= 2026-11-29 AND seen < "2026-11-28T23:30Z"'), index) == []


@pytest.mark.parametrize(
    ("zone", "is_empty"), [("Asia/Shanghai", False), ("UTC", True)], ids=["the same day", "another day"]
)
def test_a_day_and_a_time_of_that_day_overlap_in_the_zone(zone, is_empty, tmp_path):
    seen = pl.Series([datetime(2026, 11, 27, 17, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    index = DeviceIndex.build(pl.DataFrame({"token": ["a"], "seen": seen}), tmp_path / "x", timezone=zone)
    catalog = parse_catalog('[seen]\nexclusive = true\norder = "date"\nat = ["onesignal"]')
    text = 'seen:2026-11-28 AND seen = "2026-11-27T17:00:00Z"'
    assert ("always-nobody" in [problem.code for problem in lint(parse(text), index, catalog)]) == is_empty
    planned = plan(text, "onesignal", index, catalog)
    assert (planned.by_ids is None and not planned.native) == is_empty
    assert index.count(text) == (not is_empty)


def test_two_spellings_of_an_instant_are_one_value(tmp_path):
    seen = [datetime(2026, 11, 28, 9), datetime(2026, 11, 28, 10), None]
    table = pl.DataFrame({"token": ["a", "b", "c"], "seen": seen})
    index = DeviceIndex.build(table, tmp_path / "x", timezone="Asia/Shanghai")
    catalog = parse_catalog('[seen]\nvalues = ["2026-11-28T10:00", "2026-11-28T01:00:00Z"]\nexclusive = true')
    known = with_column_types(catalog, index.snapshot.roles, index.snapshot.zone)
    assert known.attributes["seen"].values == ("2026-11-28T01:00:00Z", "2026-11-28T10:00")
    spelt = unify_values(parse('seen = "2026-11-28T02:00+00:00"'), known, index.snapshot.roles, index.snapshot.zone)
    assert spelt == Tag("seen", "2026-11-28T10:00")
    assert render(expand_comparisons(parse('seen < "2026-11-28T02:00Z"'), known)) == 'seen:"2026-11-28T01:00:00Z"'
    assert render(expand_comparisons(parse("seen >= 2026-11-29"), known)) == "nobody"
    texts = ['seen = "2026-11-28T09:00"', 'seen = "2026-11-28T01:00Z"', 'seen = "2026-11-28T09:00+08:00"']
    for lhs, rhs in [texts[:2], texts[1:]]:
        for known_catalog in (None, catalog):
            problems = lint(parse(f"({lhs}) OR ({rhs})"), index, known_catalog)
            assert [problem.code for problem in problems if problem.code == "redundant-branch"]


def test_a_comparison_with_an_instant_stays_beside_a_catalog_of_days(tmp_path):
    table = pl.DataFrame({"token": ["a", "b"], "seen": [datetime(2026, 11, 28, 9), datetime(2026, 11, 28, 10)]})
    index = DeviceIndex.build(table, tmp_path / "x", timezone="Asia/Shanghai")
    catalog = parse_catalog('[seen]\nvalues = ["2026-11-28"]\norder = "date"\nat = ["onesignal"]')
    planned = plan('seen < "2026-11-28T01:30Z"', "onesignal", index, catalog)
    assert (planned.native, index.count(planned.by_ids)) == ((), 1)


@given(moments, moments, zones)
def test_keys_of_times_agree_with_the_oracle(first, second, name):
    keys, zone = value_keys_of("time", ZoneInfo(name)), ZoneInfo(name)
    texts = [to_local(first, zone).isoformat(), f"{first.isoformat()}Z"]
    assert keys.tag(texts[0]) == keys.tag(texts[1]) == keys.operand(texts[0])
    assert keys.overlap(texts[0]) == keys.overlap(to_local(first, zone).date().isoformat())
    assert (keys.tag(texts[0]) == keys.tag(f"{second.isoformat()}Z")) == (first == second)
    is_same_day = to_local(first, zone).date() == to_local(second, zone).date()
    assert (keys.overlap(texts[0]) == keys.overlap(f"{second.isoformat()}Z")) == is_same_day


def test_a_question_has_a_zone_of_its_own(tmp_path):
    seen = pl.Series([datetime(2026, 11, 27, 17, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    index = DeviceIndex.build(pl.DataFrame({"token": ["a"], "seen": seen}), tmp_path / "x")
    expr = parse("seen = 2026-11-28")
    counts = [index.count(expr, timezone=zone) for zone in (None, "Asia/Shanghai", "UTC", "Asia/Shanghai", None)]
    assert counts == [0, 1, 0, 1, 0]
    noon = "2026-11-28T04:00Z"
    for text in ("seen = today", "seen within 1 day", "NOT seen < today", "seen from today to today"):
        counts = [index.count(text, as_of=noon, timezone=zone) for zone in ("Asia/Shanghai", "UTC", "Asia/Shanghai")]
        assert counts == [1, 0, 1], text
        assert index.explain(text, as_of=noon, timezone="Asia/Shanghai")[0].device_count == 1
    assert index.count("seen within 12 hours", as_of=noon) == index.count("seen <= now", as_of=noon) == 1
    assert index.count("seen within 11 hours", as_of=noon) == index.count("seen >= now", as_of=noon) == 0
    assert [line.text for line in index.explain("seen = today", as_of=noon)] == ["seen:2026-11-28"]


def test_anniversaries_of_instants_are_days_of_the_zone(tmp_path):
    born = [datetime(2000, 2, 28, 16), datetime(1996, 2, 29, 16), datetime(2001, 2, 27, 15, 59), None]
    table = pl.DataFrame({"token": ["a", "b", "c", "d"], "born": born}).with_columns(
        pl.col("born").dt.replace_time_zone("UTC")
    )
    index = DeviceIndex.build(table, tmp_path / "x", timezone="Asia/Shanghai")
    counts = [index.count(f"anniversary(born) = {day}") for day in ("02-29", "03-01", "02-27", "02-28")]
    assert counts == [1, 1, 1, 0]
    assert index.count("anniversary(born) = 02-28", timezone="UTC") == 1


def test_a_plan_in_another_zone_sends_to_the_devices_of_that_zone(tmp_path):
    seen = pl.Series([datetime(2026, 11, 27, 17, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    index = DeviceIndex.build(pl.DataFrame({"token": ["a"], "seen": seen}), tmp_path / "x")
    for zone, expected in (("Asia/Shanghai", 1), ("UTC", 0)):
        for text in ("seen = today", "seen = 2026-11-28", "NOT seen < 2026-11-28"):
            planned = plan(text, "tpns", index, as_of="2026-11-28T09:00Z", timezone=zone)
            assert sum(len(index.resolve(part, **planned.question)) for part in planned.add_id_part([])) == expected, (
                text
            )


def test_a_moment_of_a_question_that_occurs_twice_or_never_is_refused(edges):
    for moment, message in (("2026-10-25T02:30", "twice"), ("2026-03-29T02:30", "never")):
        with pytest.raises(ExpressionError, match=message):
            edges.count("seen = today", as_of=moment, timezone="Europe/Berlin")
        with pytest.raises(ExpressionError, match=message):
            edges.count(f'seen within 2 hours of "{moment}"', timezone="Europe/Berlin")


@pytest.mark.parametrize("path", ["moments.parquet", "moments.csv"])
def test_days_cut_from_moments_are_refused_in_another_zone(tmp_path, path):
    moments = pl.Series(["2026-11-28T03:30Z", "2026-11-27T12:34Z"]).str.to_datetime(time_zone="UTC")
    table = pl.DataFrame({"registration_id": ["r0", "r1"], "seen": moments, "born": ["2000-01-01", "2001-01-01"]})
    if path.endswith("csv"):
        table.with_columns(pl.col("seen").dt.to_string("iso")).write_csv(tmp_path / path)
    else:
        table.write_parquet(tmp_path / path)
    index = DeviceIndex.build(tmp_path / path, tmp_path / "index", dates=["seen", "born"], timezone="America/Sao_Paulo")
    assert index.count("seen = 2026-11-28") == 1
    for text in ["seen = 2026-11-28", "seen within 7 days", "seen < 2026-11-28"]:
        with pytest.raises(ExpressionError) as caught:
            index.count(text, timezone="America/New_York", as_of="2026-11-28T12:00Z")
        assert caught.value.code == "cut-days"
    assert index.count("has(seen) AND born < 2000-06-01", timezone="America/New_York") == 1
    index.update(pl.DataFrame({"registration_id": ["r2"], "born": ["2002-01-01"]}))
    with pytest.raises(ExpressionError):
        index.count("seen = 2026-11-28", timezone="America/New_York")


def test_days_that_an_update_cuts_from_moments_are_refused_in_another_zone(tmp_path):
    table = pl.DataFrame({"registration_id": ["r0"], "seen": ["2026-11-28"]})
    index = DeviceIndex.build(table, tmp_path / "index", dates=["seen"], timezone="America/Sao_Paulo")
    assert index.count("seen = 2026-11-28", timezone="America/New_York") == 1
    moments = pl.Series(["2026-11-28T03:30Z"]).str.to_datetime(time_zone="UTC")
    index.update(pl.DataFrame({"registration_id": ["r1"], "seen": moments}))
    with pytest.raises(ExpressionError):
        index.count("seen = 2026-11-28", timezone="America/New_York")
