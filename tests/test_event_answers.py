"""Laws of questions about events: an index answers as a list of events in plain Python does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

from audience import DeviceIndex, ExpressionError, bind, parse
from audience.index.changes import compaction
from audience.index.ingest import build
from audience.index.query import shard_threads
from audience.index.query.events import aggregates, answers, counts, rows
from audience.index.query.events.aggregates import COMPARISONS, compare_sums, scale_values, sum_day
from audience.index.storage import joined_shard
from audience.index.storage.device_numbers import PARTITION_SIZE, NumberSequence
from audience.index.storage.events import writer
from audience.index.storage.events.stored_values import StoredValues
from audience.testing.event_oracle import find_fitting_ids

IDS = [f"d{number}" for number in range(10)]
LATE_IDS = ["d8", "d9"]  # of devices that are added after some events
ZONES = ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns"]
MOMENTS = [  # of questions: at the edges of months, years and leap days, and about changes of clocks
    datetime(2026, 3, 30, 9, tzinfo=UTC),  # clocks were put forward in Europe the day before
    datetime(2026, 10, 26, 0, 30, tzinfo=UTC),  # and back
    datetime(2026, 3, 9, 2, tzinfo=UTC),  # clocks were put forward in America the day before
    datetime(2028, 3, 1, 12, tzinfo=UTC),
    datetime(2010, 11, 8, 12, tzinfo=UTC),  # in St. John's, clocks were put back from 00:01 to 23:01 the day before
    datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
DAYS = [-40, -31, -30, -8, -7, -3, -2, -1, 0, 1]  # before and after the question

offsets = st.builds(
    lambda days, hours, microseconds: timedelta(days=days, hours=hours, microseconds=microseconds),
    st.sampled_from(DAYS),
    st.integers(-25, 25),
    st.sampled_from([0, 0, 1, -1, 1_800_000_000]),
)
properties = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.sampled_from([Decimal(text) for text in ("0.1", "0.2", "0.3", "-5", "2", "2.0", "100")]),
        "total": st.sampled_from([2**53 + 1, 2**53, 2**62, -(2**62), 7]),
        "category": st.sampled_from(["shoes", "bags", "hats", "s", ""]),
        "gift": st.booleans(),
        "due": st.integers(-9, 9),
        "seen": st.integers(-60, 60),
    },
)
event_names = st.sampled_from(["buy", "buy", "open"])
events = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(IDS),
            "event": event_names,
            "at": offsets,
            "props": properties,
        }
    ),
    max_size=30,
)
CONDITIONS = [
    "amount > 0.2",
    "amount = 0.3",
    "amount between 0.15 and 2",
    "total >= 9007199254740993",
    "total = 9007199254740992",
    "category:shoes",
    "category in (shoes, bags)",
    'category matches "s*"',
    "category is null",
    "gift",
    "has(tag)",
    "has(amount)",
    "due within 3 days",
    "due < today",
    "seen within 36 hours",
    "seen on yesterday",
]
wheres = st.recursive(
    st.sampled_from(CONDITIONS),
    lambda texts: st.one_of(
        texts.map("NOT ({})".format),
        st.tuples(texts, texts).map(lambda pair: f"({pair[0]}) AND ({pair[1]})"),
        st.tuples(texts, texts).map(lambda pair: f"({pair[0]}) OR ({pair[1]})"),
    ),
    max_leaves=4,
)
WINDOWS = [
    "within 1 day",
    "within 7 days",
    "within 30 days",
    "within 1 month",
    "within 2 weeks",
    "within 3 hours",
    "within 36 hours",
    "within 90 minutes",
    "before 7 days ago",
    "after 3 days ago",
    "on yesterday",
    "on today",
    "before 36 hours ago",
    "after 24 hours ago",
    "from 8 days ago to yesterday",
    "from 31 days ago to 2 hours ago",
    "within next 2 days",
]
windows = st.sampled_from(WINDOWS)
frequencies = st.sampled_from(["", "", " >= 2", " >= 3", " = 0", " = 1", " <= 1", " between 2 and 4", " >= 1000"])
bounds = st.sampled_from(
    ["> 0.3", "= 0.3", ">= 0.3", "< 0.3", "<= 0", "= 0", "> -1", "= 9007199254740993", "< 1e300", "> 18014398509481984"]
)


def call(function: str, name: str, where: str | None) -> str:
    return f"{function}({name})" if where is None else f"{function}({name} where {where})"


names = st.sampled_from(["buy", "open"])
some_where = st.none() | wheres
questions = st.one_of(
    st.builds(
        lambda name, where, count, window: f"{call('did', name, where)}{count} {window}",
        names,
        some_where,
        frequencies,
        windows | st.just(""),
    ),
    st.builds(
        lambda function, name, where, bound, window: f"{call(function, f'buy.{name}', where)} {bound} {window}",
        st.sampled_from(["sum", "min", "max", "avg"]),
        st.sampled_from(["amount", "total"]),
        some_where,
        bounds,
        windows | st.just(""),
    ),
    st.builds(
        lambda function, name, where, window: f"{call(function, name, where)} {window}",
        st.sampled_from(["first", "last"]),
        names,
        some_where,
        windows,
    ),
)


def make_table(events: list[dict], as_of: datetime) -> pl.DataFrame:
    """Return *events* as a table, one column for each property that any of them has."""
    columns = {
        "token": pl.Series([event["id"] for event in events], dtype=pl.String),
        "event": pl.Series([event["event"] for event in events], dtype=pl.String),
        "at": pl.Series([as_of + event["at"] for event in events], dtype=pl.Datetime("us", "UTC")),
    }
    types = {
        "amount": pl.Decimal(20, 2),
        "total": pl.Int64,
        "category": pl.String,
        "gift": pl.Boolean,
        "due": pl.Date,
        "seen": pl.Datetime("us", "UTC"),
    }
    for name, dtype in types.items():
        values = [read_property(name, event["props"].get(name), as_of) for event in events]
        columns[name] = pl.Series(values, dtype=dtype)
    return pl.DataFrame(columns)


def read_property(name: str, value, as_of: datetime):
    if name == "due" and value is not None:
        return (as_of + timedelta(days=value)).date()
    if name == "seen" and value is not None:
        return as_of + timedelta(hours=value)
    return value


def to_oracle(events: list[dict], as_of: datetime) -> list[dict]:
    return [
        {
            "id": event["id"],
            "event": event["event"],
            "at": as_of + event["at"],
            "properties": {name: read_property(name, value, as_of) for name, value in event["props"].items()},
        }
        for event in events
    ]


def list_states(index: DeviceIndex, first: list[dict], later: list[dict], as_of: datetime) -> Iterator[tuple]:
    """Yield states of an index, each with its ids and its events: as built, updated, removed, compacted, restored."""
    tokens = [each for each in IDS if each not in LATE_IDS]
    known = [event for event in first if event["id"] in tokens]
    index.add_events(make_table(first, as_of))
    yield tokens, known
    index.update(pl.DataFrame({"token": ["d1", "d8", "d9", "d3"], "city": ["y"] * 4}))
    yield IDS, known
    before = index.snapshot.manifest.number
    index.add_events(make_table(later, as_of))
    yield IDS, [*known, *later]
    index.remove(["d0", "d3"])
    kept = [each for each in IDS if each not in ("d0", "d3")]
    yield kept, [*known, *later]
    index.compact()
    yield kept, [*known, *later]
    index.restore(before)
    yield IDS, known


def anchor(events: list[dict]) -> list[dict]:
    """Return *events* with two of long ago that have all properties, so that all questions are about known ones."""
    props = {"amount": Decimal("0.1"), "total": 7, "category": "s", "gift": True, "due": 0, "seen": 0}
    always = {"id": "d1", "at": timedelta(days=-400), "props": props}
    return [*events, {**always, "event": "buy"}, {**always, "event": "open"}]


@given(
    first=events.map(anchor),
    later=events.map(anchor),
    texts=st.lists(questions, min_size=1, max_size=6),
    as_of=st.sampled_from(MOMENTS),
    index_zone=st.sampled_from(ZONES),
    zone=st.sampled_from(ZONES),
    shard_size=st.sampled_from([3, 100]),
    is_sparse=st.booleans(),
    is_threaded=st.booleans(),
    has_rows_only=st.booleans(),
    is_high=st.booleans(),
)
@settings(max_examples=scale_examples(10))
def test_index_answers_about_events_like_the_oracle(
    tmp_path_factory,
    first,
    later,
    texts,
    as_of,
    index_zone,
    zone,
    shard_size,
    is_sparse,
    is_threaded,
    has_rows_only,
    is_high,
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_size)
        if is_high:  # dense numbers would fill the memory before the border
            patch.setattr(build, "NumberSequence", partial(NumberSequence, PARTITION_SIZE - (4 if is_sparse else 0)))
        patch.setattr(compaction, "GROWTH", 1 << 20)  # deltas stay
        patch.setattr(counts, "SORTED_DEVICE", 0.0 if is_sparse else 1e9)
        patch.setattr(aggregates, "DENSE_RATIO", 0 if is_sparse else 1 << 20)
        patch.setattr(answers, "GATHER_RATIO", 0 if is_sparse else 1 << 20)
        patch.setattr(rows, "MAX_COMPARED_RANGES", 0 if is_sparse else 3)
        patch.setattr(writer, "MAX_VALUES_WITH_BITMAPS", 0 if has_rows_only else 32)
        patch.setattr(joined_shard, "MAX_JOINED_ROWS", 2 if is_sparse else 1 << 19)
        if is_threaded:
            patch.setattr(shard_threads, "MIN_SHARED_SECONDS", 0)
            patch.setattr(shard_threads, "MIN_LOADING_SECONDS", 0)
        devices = pl.DataFrame({"token": [each for each in IDS if each not in LATE_IDS], "city": ["x"] * 8})
        path = tmp_path_factory.mktemp("events") / "index"
        DeviceIndex.build(devices, path, timezone=index_zone)
        index = DeviceIndex.open(path, threads=2 if is_threaded else 1)
        exprs = [parse(text) for text in texts]
        for ids, known in list_states(index, first, later, as_of):
            oracle = to_oracle(known, as_of)
            for expr in exprs:
                asked = {"as_of": as_of, "timezone": zone, "allow_gaps": True}
                expected = find_fitting_ids(expr, oracle, ids, ZoneInfo(zone), as_of)
                assert find_fitting_ids(bind(expr, as_of, zone), oracle, ids, ZoneInfo(zone)) == expected
                assert set(index.resolve(expr, **asked).ids().to_list()) == expected
                assert index.count(expr, **asked) == len(expected)
                assert index.explain(expr, **asked)[0].device_count == len(expected)
                members = index.members(ids, {"answer": expr}, **asked)
                assert set(members.filter("answer")["id"].to_list()) == expected


PURCHASES = pl.DataFrame(
    {
        "token": ["t1", "t1", "t2", "t3", "t3", "t3"],
        "at": [datetime(2026, 11, day, 12) for day in (1, 20, 20, 5, 20, 21)],
        "category": ["shoes", "bags", "shoes", None, "hats", "hats"],
        "amount": [0.1, 0.2, 5.0, None, 2.5, 1.0],
        "gift": [True, False, None, False, True, False],
        "items": [1, 2, 3, 4, 5, 6],
    }
)
AS_OF = "2026-11-22T09:00"


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    table = pl.DataFrame({"token": ["t1", "t2", "t3", "t4"], "city": ["x", "x", "y", "y"]})
    index = DeviceIndex.build(table, tmp_path / "index", timezone="Asia/Shanghai")
    index.add_events(PURCHASES, "purchase")
    return index


ANSWERS = {
    "did(purchase)": "t1 t2 t3",
    "NOT did(purchase) AND city:y": "t4",
    "did(purchase) >= 2": "t1 t3",
    "did(purchase) = 0 from 2026-11-05 to 2026-11-19": "t1 t2 t4",
    "did(purchase) <= 1 on 2026-11-20": "t1 t2 t3 t4",
    "did(purchase) between 2 and 3 within 20 days": "t3",
    "did(purchase where category:shoes or gift) >= 1": "t1 t2 t3",
    "did(purchase where not gift) >= 2": "t3",
    "did(purchase where category is null)": "t3",
    "sum(purchase.amount) = 0.3": "t1",
    "sum(purchase.amount) <= 0.3": "t1 t4",
    "sum(purchase.amount where category:nothing) = 0": "t1 t2 t3 t4",
    "avg(purchase.amount) = 1.75": "t3",
    "avg(purchase.amount) < 5": "t1 t3",
    "min(purchase.amount) = 1": "t3",
    "max(purchase.amount) < 5": "t1 t3",
    "first(purchase) after 2026-11-10": "t2",
    "last(purchase) before 2026-11-21": "t1 t2",
    "did(delivered)": "",
    'NOT did(delivered where run = "summer")': "t1 t2 t3 t4",
    "did(purchase) limit 2 seed a": None,
    "at least 2 of (did(purchase) >= 2, city:x, last(purchase) on 2026-11-20)": "t1 t2",
}


@pytest.mark.parametrize("text", ANSWERS)
def test_question_about_purchases_finds_the_expected_devices(index, text):
    found = index.resolve(text, as_of=AS_OF).ids().to_list()
    if ANSWERS[text] is None:
        assert len(found) == index.count(text, as_of=AS_OF) == 2
    else:
        assert sorted(found) == ANSWERS[text].split()
        members = [index.member(token, [text], as_of=AS_OF)[0] for token in ("t1", "t2", "t3", "t4")]
        assert members == [token in found for token in ("t1", "t2", "t3", "t4")]


PROBLEMS = {
    "did(purchas)": ("unknown-event", "purchase"),
    "did(purchase where categry:shoes)": ("unknown-property", "category"),
    "did(purchase where city:x)": ("unknown-property", "write AND city:x outside"),
    "did(purchase where gfit)": ("unknown-property", "gift"),
    "did(purchase where gift:true)": ("unknown-property", "write gift"),
    "did(purchase where category)": ("property-as-tag", "has(category)"),
    "did(purchase where items)": ("property-as-tag", "items = 1"),
    "did(purchase where category > 3)": ("no-order", "--number"),
    "did(purchase where amount > lots)": ("bad-value", "30 or 1.5"),
    'did(purchase where amount matches "1*")': ("no-text", "compare"),
    "sum(purchase.category) > 3": ("no-number", "purchase.amount"),
    "sum(purchase.amonut) > 3": ("unknown-property", "amount"),
    "did(purchase) from 2026-11-09 to 2026-11-01": ("bad-time", "earlier"),
    "did(purchase) from soon to later": ("bad-time", "2026-11-28"),
    "did(delivered where runn:x)": ("unknown-property", "run"),
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_mistakes_in_questions_are_explained(index, text):
    code, words = PROBLEMS[text]
    with pytest.raises(ExpressionError) as raised:
        index.count(text, as_of=AS_OF)
    (problem,) = raised.value.problems
    assert problem.code == code
    assert problem.span is not None
    assert words in f"{problem.message} {problem.hint}"


COVERED = {  # of events up to 2026-11-21, asked on 2026-11-22 or later
    ("did(purchase) within 30 days", "2026-11-22"): True,
    ("did(purchase) within 30 days", "2026-11-23"): False,
    ("did(purchase) within 30 days", "2026-12-22"): False,
    ("did(purchase)", "2026-12-22"): True,
    ("NOT did(purchase) from 2026-11-01 to 2026-11-21", "2026-12-22"): True,
    ("did(purchase) from 2026-11-01 to 2026-11-22", "2026-12-22"): False,
    ("did(purchase) from 2026-11-01 to 2026-11-22", "2026-11-22"): True,
    ("did(purchase) after 2026-11-01", "2026-11-22"): True,
    ("did(purchase) after 2026-11-01", "2026-11-24"): False,
    ("did(purchase) within 36 hours", "2026-11-22"): True,
    ("first(purchase) before 2026-11-10", "2026-12-22"): True,
    ("last(purchase) before 2026-11-10", "2026-12-22"): False,
    ("last(purchase) before 2026-11-10", "2026-11-22"): True,
    ("NOT did(delivered) within 3 days", "2026-12-22"): True,
}


@pytest.mark.parametrize(("text", "day"), COVERED)
def test_windows_must_be_covered(index, text, day):
    as_of = f"{day}T09:00"
    allowed = index.count(text, as_of=as_of, allow_gaps=True)
    if COVERED[text, day]:
        assert index.count(text, as_of=as_of) == allowed
        return
    questions = [
        lambda: index.count(text, as_of=as_of),
        lambda: index.resolve(text, as_of=as_of),
        lambda: index.explain(text, as_of=as_of),
        lambda: index.member("t1", [text], as_of=as_of),
        lambda: index.members(["t1"], [text], as_of=as_of),
        lambda: index.find_unmatched(text, as_of=as_of),
    ]
    for ask in questions:
        with pytest.raises(ExpressionError, match="2026-11-21") as raised:
            ask()
        (problem,) = raised.value.problems
        assert (problem.code, "--covers-to" in str(problem.hint)) == ("not-covered", True)


def test_segment_about_events_is_saved_though_days_are_missing(index):
    index.save_segment("asleep", "NOT did(purchase) within 7 days")
    assert index.count("@asleep", as_of=AS_OF) == 1
    with pytest.raises(ExpressionError, match="asks about 2026-12-22"):
        index.count("@asleep", as_of="2026-12-22T09:00")


def test_segments_are_listed_though_days_of_one_are_missing(index, audience):
    path = str(index.folder)
    asked = ["--as-of", "2026-12-22T09:00"]
    assert (
        "saved, not covered"
        in audience("segment", "save", path, "asleep", "NOT did(purchase) within 7 days", *asked)[1]
    )
    assert "@asleep  not covered" in audience("segment", "list", path, *asked)[1]
    code, _, error = audience("count", path, "@asleep", *asked)
    assert (code, "not-covered" in error) == (2, True)
    code, answer, notes = audience("count", path, "@asleep", *asked, "--allow-gaps")
    assert (code, answer, "gaps allowed" in notes) == (0, "4\n", True)
    answer = audience("count", path, "@asleep", *asked, "--allow-gaps", "--json")[1]
    assert orjson.loads(answer)["allow_gaps"] is True


def test_values_that_no_event_has_are_noted(index):
    text = "did(purchase where category:shoos) OR did(purchase where amount > 100) OR did(delivered)"
    problems = index.find_unmatched(text, as_of=AS_OF)
    assert [problem.code for problem in problems] == ["no-device", "no-device"]
    assert problems[0].hint == "did you mean shoes?"
    assert not index.find_unmatched("did(purchase where category:shoes)", as_of=AS_OF)


def test_names_of_events_are_completed(index):
    def complete(text: str) -> list[tuple[str, int | None]]:
        return [(each.text, each.devices) for each in index.complete(text) if each.kind not in ("keyword", "function")]

    assert complete("did(") == [("purchase", 3), ("delivered", 0)]
    assert complete("did(purchase where am") == [("amount", None)]
    assert complete("did(purchase where gi") == [("gift", None)]
    assert complete("did(purchase where category:s") == [("shoes", None)]
    assert complete("sum(pur") == [("purchase.amount", 3), ("purchase.items", 3)]


def test_events_of_a_removed_device_count_for_nobody(index):
    index.remove(["t3"])
    assert index.resolve("did(purchase)").ids().to_list() == ["t1", "t2"]
    index.update(pl.DataFrame({"token": ["t3"], "city": ["y"]}))  # a new device of the same id
    assert index.count("did(purchase)") == 2
    assert index.count("did(purchase) = 0") == 2


def test_threads_that_ask_at_once_have_the_same_answers(index):
    expr = parse("did(purchase where amount > 0.15) >= 1 AND NOT last(purchase) after 2026-11-20")
    with ThreadPoolExecutor(4) as pool:
        counts = set(pool.map(lambda _: index.count(expr, as_of=AS_OF), range(40)))
    assert counts == {2}


SUMS = [2**63 - 1, 2**53 + 1, -(2**63), 10**30, -(10**30), 0]


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(SUMS)), max_size=12), st.sampled_from(SUMS))
def test_sums_are_exact_however_large(rows, bound):
    values = sorted({value for _, value in rows})
    stored = StoredValues.of_strings("number", [str(value) for value in values])
    property_ = SimpleNamespace(scaled=stored.scaled, values=lambda: stored)
    ordered = sorted(rows)
    numbers = np.array([number for number, _ in ordered], dtype=np.uint32)
    codes = np.array([values.index(value) + 1 for _, value in ordered], dtype=np.uint8)
    for is_average in (False, True):
        (scaled,) = scale_values([property_], Decimal(bound), len(rows), is_average=is_average)
        for row_count in (0, 1 << 40):
            days = [sum_day(numbers[part], codes[part], scaled) for part in (slice(0, 5), slice(5, None))]
            signs = compare_sums(days, scaled.bound, row_count, 5)
            for operator, compare in COMPARISONS.items():
                expected = [
                    number
                    for number in range(5)
                    if (own := [value for each, value in rows if each == number])
                    and compare(Fraction(sum(own), len(own) if is_average else 1), bound)
                ]
                assert signs.select(operator).tolist() == expected
