"""Completions counted within what the other conditions of a text select."""

import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_expr, device_rows, index_forms, index_leaf, make_table

from audience import DeviceIndex, parse, render
from audience.index.query import completion_counts
from audience.language.completion import find_place
from audience.language.completion_context import CURSOR_TEXT, find_context

CONTEXTS = {  # `|` is the position; what the rest of the text selects, or None
    "|": "everyone",
    "a AND |": "a",
    "a AND city:|": "a",
    "a AND city:gua|": "a",
    "a AND city:|gua": "a",
    'a AND city:"gua|': "a",
    "a AND NOT city:|": "a",
    "a AND NOT NOT |": "a",
    "a AND city in (x, |": "a",
    "a AND city in (x, |, y) AND b": "a AND b",
    "a AND city in (|)": "a",
    "a AND NOT city in (x, y, |": "a",
    "a AND age > |": "a",
    "a AND age between 3 and |": "a",
    "a AND age between |": "a",
    "a AND age between | and 5 AND b": "a AND b",
    "a AND day from | to 2026-01-01 AND b": "a AND b",
    "a AND 3 < age < |": "a",
    "a OR |": "everyone",
    "a OR city:|": "everyone",
    "a OR b AND |": "b",
    "a AND (b OR |": "a",
    "a AND (b OR c AND |": "a AND c",
    "a AND (b OR (c AND |)) AND d": "a AND d AND c",
    "(a OR b) AND |": "a OR b",
    "NOT (a AND |": "a",
    "a AND NOT (b AND NOT |)": "a AND b",
    "a EXCEPT |": "a",
    "a EXCEPT b EXCEPT |": "(a EXCEPT b)",
    "| EXCEPT b": "NOT b",
    "(a AND |) EXCEPT b": "NOT b AND a",
    "at least 2 of (a, |": "everyone",
    "c AND at least 2 of (a, |, b) AND d": "c AND d",
    "at least 2 of (a, b AND |)": "b",
    "(a AND |) limit 5 seed x": "a",
    "a AND | limit 5 seed x": "a",
    "a AND | top 5 by age": "a",
    "a AND |OR b": "a",
    "a AND | AND b": "a AND b",
    "| AND b": "b",
    "cit| AND b": "b",
    "city:gua| AND b OR c": "b",
    "a AND tag(|": "a",
    "a AND tag(x, |) AND b": "a AND b",
    "a AND did(|": "a",
    "a AND did(purchase where city:|) AND b": "a AND b",
    "a AND did(purchase where (x OR |": "a",
    "a AND sum(purchase.amount where x AND y:|) > 5 AND b": "a AND b",
    "a AND has(|) AND b": "a AND b",
    "a AND alias(u1, u2, |": "a",
    "a AND @|": "a",
    "@vip AND @|": "@vip",
    "a AND split(x:50%, y:50%, z) = |": "a",
    "a AND | AND AND": "a",
    "a AND | AND alias(@file.txt)": "a",
    "alias(@file.txt) AND |": None,
    "a AND |)": "a",
    "a AND AND |": None,
    "a AND # |": None,
    "a AND |  # comment": "a",
    "a AND &|": None,
    'a AND @"the condition at the cursor" AND |': None,
    "城市:广州 AND 城市:|": "城市:广州",
}


@pytest.mark.parametrize("marked", CONTEXTS)
def test_context_is_what_the_condition_is_joined_with(marked):
    position, text = marked.index("|"), marked.replace("|", "", 1)
    place = find_place(text, position)
    context = None if place is None else find_context(text, place)
    assert (None if context is None else render(context)) == (
        None if CONTEXTS[marked] is None else render(parse(CONTEXTS[marked]))
    )


TABLE = pl.DataFrame(
    {
        "token": ["t1", "t2", "t3", "t4", "t5"],
        "tags": [["a"], ["a", "b"], ["b"], ["c"], ["a", "limit", "with space"]],
        "city": ["guangzhou", "shenzhen", "guangzhou", None, "shenzhen"],
        "age": [10, 20, 30, 40, 10],
    }
)


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    index = DeviceIndex.build(TABLE, tmp_path_factory.mktemp("within") / "devices.index")
    index.apply_segments({"young": "age < 25", "old ones": "NOT @young"})
    return index


WITHIN = {
    "a AND city:": {"guangzhou": 1, "shenzhen": 2},
    "NOT a AND city:": {"guangzhou": 1, "shenzhen": 0},
    "a AND NOT city:": {"guangzhou": 1, "shenzhen": 2},
    "city:": {"guangzhou": 2, "shenzhen": 2},
    "city:guangzhou AND ": {"a": 1, "b": 1, "c": 0, "limit": 0, '"with space"': 0},
    "c AND @": {"@young": 0, '@"old ones"': 1},
    "@young AND @": {"@young": 3, '@"old ones"': 0},
    "city:shenzhen AND age = ": {"10": 1, "20": 1, "30": 0, "40": 0},
    "city:shenzhen AND age > ": {"10": 1, "20": 1, "30": 0, "40": 0},
    "nobody AND city:": {"guangzhou": 0, "shenzhen": 0},
}


@pytest.mark.parametrize("text", WITHIN)
def test_values_are_counted_within_the_rest(text, index):
    counted = {each.text: each.within for each in index.complete(text, within=True) if each.within is not None}
    assert counted.items() >= WITHIN[text].items()
    assert {each.text: each for each in index.complete(text)}.keys() >= counted.keys()


@pytest.mark.parametrize(
    "text", ["ctiy:x AND city:", "@gone AND city:", "alias(@ids.txt) AND city:", "active within 7 days AND city:"]
)
def test_nothing_is_counted_where_the_rest_cannot_be_answered(text, index):
    completions = index.complete(text, within=True)
    assert [each.text for each in completions][:2] == ["guangzhou", "shenzhen"]
    assert all(each.within is None for each in completions)


def test_words_and_attributes_are_not_counted(index):
    counted = {each.kind: each.within is not None for each in index.complete("a AND ", within=True)}
    assert counted == {"attribute": False, "tag": True, "segment": True, "keyword": False, "function": False}


def test_completion_does_not_count_unless_asked(index):
    assert all(each.within is None for each in index.complete("a AND city:"))


def test_no_more_than_some_completions_are_counted(index, monkeypatch):
    monkeypatch.setattr(completion_counts, "MAX_COUNTED", 1)
    assert [each.within for each in index.complete("a AND city:", within=True)][:2] == [1, None]


def test_relative_conditions_are_asked_at_the_moment(tmp_path):
    table = pl.DataFrame({"token": ["t1", "t2"], "active": ["2026-11-20", "2026-11-27"], "city": ["x", "y"]})
    index = DeviceIndex.build(table, tmp_path / "devices.index", dates=["active"])
    completions = index.complete("active within 3 days AND city:", within=True, as_of="2026-11-28")
    assert [(each.text, each.within) for each in completions if each.kind == "value"] == [("x", 0), ("y", 1)]


def test_events_are_counted_and_their_values_are_not(tmp_path):
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index")
    events = pl.DataFrame(
        {
            "token": ["t1", "t2", "t3"],
            "event": ["purchase", "purchase", "open"],
            "time": ["2026-11-20T10:00:00Z"] * 3,
            "category": ["shoes", "bags", None],
        }
    )
    index.add_events(events, batch="b1")
    completions = index.complete("b AND did(", within=True)
    assert {each.text: each.within for each in completions if each.kind == "event"} == {
        "purchase": 1,
        "open": 1,
        "delivered": 0,
    }
    values = index.complete("b AND did(purchase where category:", within=True)
    assert {each.text: each.within for each in values if each.kind == "value"} == {"shoes": None, "bags": None}


@given(
    st.lists(device_rows, max_size=20),
    index_forms(index_leaf),
    st.sampled_from(["({}) AND province:", "province:| AND ({})"]),
)
def test_counts_are_those_of_the_joined_expression(devices, expr, template):
    marked = template.format(render(expr))
    position = marked.find("|") if "|" in marked else len(marked)
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(make_table(devices), Path(folder) / "index")
        for each in index.complete(marked.replace("|", "", 1), position, within=True):
            if each.kind == "value":
                assert each.within == index.count(f"({render(expr)}) AND province:{each.text}")


@given(any_expr, st.data())
def test_any_position_has_a_context_or_none(expr, data):
    text = render(expr)
    position = data.draw(st.integers(0, len(text)))
    place = find_place(text, position)
    context = None if place is None else find_context(text, place)
    assert context is None or CURSOR_TEXT not in render(context)


# The command. ---------------------------------------------------------------------------------------------------------


def test_command_counts_within_the_rest(audience, index):
    path = str(index.folder)
    code, out, _ = audience("complete", "a AND city:", "--index", path, "--within", "--json")
    assert code == 0
    assert [(each["text"], each["devices"], each["within"]) for each in json.loads(out)] == [
        ("guangzhou", 2, 1),
        ("shenzhen", 2, 2),
    ]
    assert audience("complete", "a AND city:", "--index", path, "--within")[1].splitlines()[0].split() == [
        *("text", "kind", "devices", "within")
    ]
    assert "within" not in json.loads(audience("complete", "a AND city:", "--index", path, "--json")[1])[0]
    code, _, errors = audience("complete", "a AND city:", "--within")
    assert (code, "add --index INDEX" in errors) == (2, True)
