"""Profiles and overlaps of small indexes, against a count of each device in Python."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

from audience import DeviceIndex, render
from audience.index.ingest import build, encode
from audience.index.query.insight.profile import Profile
from audience.index.storage.device_numbers import NumberSequence

AS_OF, ZONES = "2026-11-28T09:00Z", ["UTC", "Asia/Shanghai", "America/Sao_Paulo", "Asia/Kolkata"]
NUMBERS = st.one_of(
    st.integers(0, 60), st.floats(-50, 50, allow_nan=False), st.sampled_from([0.1, -0.25, 1e15, 1e-6, 123_456.5])
)
DAYS = st.one_of(
    st.dates(date(2026, 10, 1), date(2026, 11, 28)),
    st.dates(date(1950, 1, 1), date(2026, 11, 28)),
    st.sampled_from([date(1, 1, 1), date(9999, 12, 31), date(2026, 2, 28)]),
)
MOMENTS = st.one_of(
    st.datetimes(datetime(2026, 11, 27), datetime(2026, 11, 28, 9)),
    st.datetimes(datetime(2018, 11, 3), datetime(2018, 11, 5)),  # clocks of Sao Paulo were put forward at midnight
    st.datetimes(datetime(2018, 2, 17), datetime(2018, 2, 19)),  # … and back
    st.datetimes(datetime(1990, 1, 1), datetime(2026, 11, 28, 9)),
    st.sampled_from([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)]),
)
VERSIONS = st.sampled_from(["1.2", "1.2.0", "1.10", "2.0", "1.9.1"])
SCHEMA = {
    "token": pl.String,
    "city": pl.String,
    "age": pl.Int64,
    "spend": pl.Float64,
    "sizes": pl.List(pl.Int64),
    "active": pl.Date,
    "seen": pl.Datetime("us"),
    "app": pl.String,
    "tags": pl.List(pl.String),
    "vip": pl.Boolean,
}
AUDIENCES = [
    *("everyone", "nobody", "city:a", "NOT city:b", "vip", "x AND NOT y", "age < 20", "has(spend)", "app >= 1.2.0"),
    *("everyone limit 3 seed s", "everyone top 2 by age", "at least 2 of (x, y, vip)", "did(buy)", "sizes = 2"),
]


@st.composite
def devices(draw) -> list[dict]:
    """Devices with values of every kind, one kind of column at a time of values near each other."""
    count = draw(st.integers(0, 14))
    columns = {
        "city": st.sampled_from("abc"),
        "age": st.integers(0, draw(st.sampled_from([3, 30, 3_000]))),
        "spend": draw(st.sampled_from([NUMBERS, st.integers(0, 40).map(lambda number: number / 4)])),
        "sizes": st.lists(st.integers(0, 4), max_size=3),
        "active": draw(st.sampled_from([DAYS, st.dates(date(2026, 11, 1), date(2026, 11, 28))])),
        "seen": draw(st.sampled_from([MOMENTS, st.datetimes(datetime(2026, 11, 27), datetime(2026, 11, 28, 9))])),
        "app": VERSIONS,
        "tags": st.lists(st.sampled_from(["x", "y", "z"]), max_size=3, unique=True),
        "vip": st.booleans(),
    }
    row = st.fixed_dictionaries({name: st.none() | values for name, values in columns.items()})
    return [{"token": f"d{number}", **draw(row)} for number in range(count)]


EVENTS = st.lists(st.tuples(st.integers(0, 15), st.dates(date(2026, 6, 1), date(2026, 11, 27))), max_size=12)


@contextmanager
def open_index(data) -> Iterator[tuple[DeviceIndex, list[dict], list[tuple[str, date]]]]:
    """Build an index of one or more shards, change it now and then, and yield it with its devices and events."""
    rows, events = data.draw(devices()), data.draw(EVENTS)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", data.draw(st.sampled_from([3, 1_000])))
        patch.setattr(encode, "MAX_BITMAPS_PER_ATTRIBUTE", data.draw(st.sampled_from([2, 4_096])))
        patch.setattr(build, "NumberSequence", partial(NumberSequence, data.draw(st.sampled_from([0, 2**32 - 5]))))
        index = DeviceIndex.build(
            pl.DataFrame(rows, schema=SCHEMA), Path(folder) / "index", versions=["app"], tags=["tags", "vip"]
        )
        table = pl.DataFrame(
            {
                "token": [f"d{number}" for number, _ in events],
                "at": [datetime.combine(day, datetime.min.time()) for _, day in events],
            },
            schema={"token": pl.String, "at": pl.Datetime("us")},
        )
        index.add_events(table, "buy", covers_to="2026-11-28")
        known = {row["token"] for row in rows}
        if data.draw(st.booleans()):
            gone = set(data.draw(st.lists(st.sampled_from([*sorted(known), "none"]), max_size=4)))
            index.remove(sorted(gone))
            added = {**(data.draw(devices()) or [{}])[0], "token": "new"}
            if len(added) > 1:
                index.update(pl.DataFrame([added], schema=SCHEMA))
                rows.append(added)
            rows = [row for row in rows if row["token"] not in gone]
            known -= gone
        if data.draw(st.booleans()):
            index = DeviceIndex.open(index.folder, threads=2)
        yield index, rows, [(f"d{number}", day) for number, day in events if f"d{number}" in known]


def values_of(name: str, row: dict, events: list[tuple[str, date]]) -> set:
    """Return the values of an attribute or event that a device has."""
    if name == "buy":
        return {day for token, day in events if token == row["token"]}
    if name == "tag":
        return {*(row["tags"] or ()), *(["vip"] if row["vip"] else [])}
    value = row[name]
    return set(value) if isinstance(value, list) else set() if value is None else {value}


def is_in_range(value, start: str | None, stop: str | None, zone: ZoneInfo) -> bool:
    """Return whether a number, day or moment is in a half-open range."""
    if isinstance(value, datetime):
        value = value.replace(tzinfo=UTC)
        if "T" not in (start or stop or ""):
            try:
                value = value.astimezone(zone).date()
            except OverflowError:
                value = date.min if value.year == 1 else date.max
    if isinstance(value, datetime):
        parse: Callable = datetime.fromisoformat
    elif isinstance(value, date):
        parse = date.fromisoformat
    else:
        value, parse = Decimal(repr(value)), Decimal
    return (start is None or parse(start) <= value) and (stop is None or value < parse(stop))


def count_value(name: str, each, members: list[dict], events, zone: ZoneInfo, form: str) -> int:
    """Return how many of *members* have a profiled value."""
    if form == "values":
        return sum(each.value in values_of(name, row, events) for row in members)
    return sum(
        any(is_in_range(value, each.start, each.stop, zone) for value in values_of(name, row, events))
        for row in members
    )


@settings(max_examples=scale_examples(25))
@given(st.data())
def test_profile_counts_every_device(data):
    with open_index(data) as (index, rows, events):
        expr, against = data.draw(st.sampled_from(AUDIENCES)), data.draw(st.none() | st.sampled_from(AUDIENCES))
        zone, limit = data.draw(st.sampled_from(ZONES)), data.draw(st.sampled_from([1, 2, None]))
        asked = {"as_of": AS_OF, "timezone": zone, "allow_gaps": True}
        profile = index.profile(expr, against, values=limit, **asked)
        again = index.profile(expr, against, values=limit, **asked)  # from joined shards, if rows were deleted
        assert profile == again
        ids = set(index.resolve(expr, **asked))
        base_ids = set(index.resolve(against or "everyone", **asked))
        members = [row for row in rows if row["token"] in ids]
        base = [row for row in rows if row["token"] in base_ids]
        assert (profile.count, profile.base_count) == (len(members), len(base))
        assert {each.name for each in profile.attributes} == {"buy", "tag", *SCHEMA} - {"token", "tags", "vip"}
        for attribute in profile.attributes:
            check_attribute(attribute, profile, members, base, events, ZoneInfo(zone), limit or 10)
            for each in attribute.values:
                if each.query is not None:
                    text = render(each.query)
                    assert index.count(f"({expr}) AND {text}", **asked) == each.count, (attribute.name, text)


def check_attribute(attribute, profile: Profile, members, base, events, zone, limit) -> None:
    """Compare one attribute with the devices."""
    name, both = attribute.name, {row["token"]: row for row in (*members, *base)}.values()
    values = {value for row in both for value in values_of(name, row, events)}
    assert attribute.known == sum(bool(values_of(name, row, events)) for row in members), name
    assert attribute.base_known == sum(bool(values_of(name, row, events)) for row in base), name
    for each in attribute.values:
        assert each.count == count_value(name, each, members, events, zone, attribute.form), (name, each)
        assert each.base_count == count_value(name, each, base, events, zone, attribute.form), (name, each)
        check_lift(each, profile)
    match attribute.form:
        case "values":
            assert len(attribute.values) == min(len(values), limit), name
            listed = {each.value for each in attribute.values}
            others = [sum(len(values_of(name, row, events) - listed) for row in rows) for rows in (members, base)]
            expected = (len(values) - len(listed), *others)
        case "histogram":
            expected = (0, 0, 0)
            assert all(
                sum(is_in_range(value, each.start, each.stop, zone) for each in attribute.values) == 1
                for value in values
            ), (name, values)
        case "days":
            days = [date.fromisoformat(each.value) for each in attribute.values]
            every_day = values
            earlier = {day for day in every_day if day not in days}
            assert days == [days[0] + timedelta(at) for at in range(len(days))] if days else not every_day
            assert all(day < days[0] for day in earlier)
            counts = [sum(bool(values_of(name, row, events) & earlier) for row in rows) for rows in (members, base)]
            expected = (len(earlier), *counts)
    others = attribute.others
    assert ((others.values, others.count, others.base_count) if others else (0, 0, 0)) == expected, name
    if attribute.distinct is not None and attribute.form != "days":
        assert attribute.distinct == len(values), name
    assert 0 <= attribute.information <= 1


def check_lift(each, profile: Profile) -> None:
    """Require that the lift is that of the shares, and in its interval."""
    if not each.base_count or not profile.count:
        assert each.lift is None
        return
    assert each.lift == pytest.approx(each.share / each.base_share)
    assert each.low is not None and each.low <= each.lift * (1 + 1e-9)
    assert each.high is None or each.lift <= each.high * (1 + 1e-9)


@settings(max_examples=scale_examples(25))
@given(st.data())
def test_overlap_counts_every_device(data):
    with open_index(data) as (index, rows, _):
        exprs = data.draw(st.lists(st.sampled_from(AUDIENCES), min_size=1, max_size=12, unique=True))
        asked = {"as_of": AS_OF, "allow_gaps": True}
        overlap = index.overlap(exprs, **asked)
        sets = {expr: set(index.resolve(expr, **asked)) for expr in exprs}
        assert [(each.name, each.count) for each in overlap.segments] == [
            (name, len(ids)) for name, ids in sets.items()
        ]
        for first, second in product(exprs, exprs):
            pair, one, other = overlap.pair(first, second), sets[first], sets[second]
            assert pair.both == len(one & other)
            assert pair.jaccard == (len(one & other) / len(one | other) if one | other else None)
            assert pair.contained == (len(one & other) / len(one) if one else None)
        combined: dict[tuple[str, ...], int] = {}
        for row in rows:
            names = tuple(name for name in exprs if row["token"] in sets[name])
            combined[names] = combined.get(names, 0) + 1
        assert overlap.none == combined.pop((), 0)
        found = overlap.combinations
        assert (found is None) == (len(exprs) > 10)
        if found is not None:
            assert {each.names: each.count for each in found} == combined
            assert [each.count for each in found] == sorted(combined.values(), reverse=True)
