"""What an audience would be without each of its conditions."""

import json
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import device_rows, index_forms, index_leaf, make_table

from audience import DeviceIndex, Except, Expr, ExpressionError, Limit, Not, Or, Segment, Threshold, Top, parse, render
from audience.index.query import leave_one_out as module
from audience.language.ast import And, all_of, any_of, operands
from audience.language.segments import expand_segments

TABLE = pl.DataFrame(
    {
        "token": ["t1", "t2", "t3", "t4"],
        "tags": [["a", "b"], ["a", "c"], ["b", "c"], ["a", "b", "c"]],
        "age": [10, 20, 30, 40],
    }
)
SEGMENTS = {"both": "a AND b", "either": "a OR @both", "young": "age < 25", "few": "a limit 2 seed x"}

# An expression, and what it is without each condition: path, text and devices.
LEFT_OUT = {
    "a": [],
    "NOT a": [],
    "everyone": [],
    "a AND b": [("0", "b", 3), ("1", "a", 3)],
    "a AND b AND c": [("0", "b AND c", 2), ("1", "a AND c", 2), ("2", "a AND b", 2)],
    "a OR b": [("0", "b", 3), ("1", "a", 3)],
    "a AND NOT b": [("0", "NOT b", 1), ("1", "a", 3)],
    "NOT (a AND b)": [("0.0", "NOT b", 1), ("0.1", "NOT a", 1)],
    "a EXCEPT b": [("1", "a", 3)],
    "a AND (b OR c)": [("0", "b OR c", 4), ("1", "a", 3), ("1.0", "a AND c", 2), ("1.1", "a AND b", 2)],
    "at least 2 of (a, b, c)": [
        ("0", "at least 2 of (b, c)", 2),
        ("1", "at least 2 of (a, c)", 2),
        ("2", "at least 2 of (a, b)", 2),
    ],
    "at least 2 of (a, b)": [],
    "at most 1 of (a, b)": [],
    "at most 1 of (a, b, c)": [
        ("0", "at most 1 of (b, c)", 2),
        ("1", "at most 1 of (a, c)", 2),
        ("2", "at most 1 of (a, b)", 2),
    ],
    "exactly 0 of (a, b)": [("0", "exactly 0 of (b)", 1), ("1", "exactly 0 of (a)", 1)],
    "a limit 1 seed x": [("", "a", 3)],
    "(a AND b) top 1 by age": [
        ("", "a AND b", 2),
        ("0.0", "b top 1 by age", 1),
        ("0.1", "a top 1 by age", 1),
    ],
    "@both": [("0", "b", 3), ("1", "a", 3)],
    "@both AND c": [("0", "b AND c", 2), ("1", "a AND c", 2), ("2", "@both", 2)],
    "@both AND @young": [("0", "b AND @young", 1), ("1", "a AND @young", 2), ("2", "@both", 2)],
    "NOT @both": [("0.0", "NOT b", 1), ("0.1", "NOT a", 1)],
    "@either": [("0", "@both", 2), ("1", "a", 3), ("1.0", "a OR b", 4), ("1.1", "a OR a", 3)],
    "@few": [("", "a", 3)],
    "@few AND b": [("0", "b", 3), ("1", "@few", 2)],
    "a AND split(x:50%, y:50%, z)": [("0", "split(x:50%, y:50%, z)", 4), ("1", "a", 3)],
}


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    index = DeviceIndex.build(TABLE, tmp_path_factory.mktemp("left") / "devices.index")
    index.apply_segments(SEGMENTS)
    return index


@pytest.mark.parametrize("text", LEFT_OUT)
def test_each_condition_is_left_out(index, text):
    answer = index.leave_one_out(text)
    assert [(".".join(map(str, each.path)), render(each.expr), each.device_count) for each in answer.left_out] == (
        LEFT_OUT[text]
    )
    assert (answer.device_count, answer.omitted) == (index.count(text), 0)


@pytest.mark.parametrize("text", LEFT_OUT)
def test_paths_are_those_of_explained_lines(index, text):
    lines = index.explain(text)
    assert all(len(line.path) == line.depth for line in lines)
    assert len({line.path for line in lines}) == len(lines)
    assert {each.path for each in index.leave_one_out(text).left_out} <= {line.path for line in lines}


def test_relative_times_stay_relative_and_are_asked_once(tmp_path):
    table = pl.DataFrame({"token": ["t1", "t2"], "active": ["2026-11-20", "2026-11-27"], "vip": [True, True]})
    index = DeviceIndex.build(table, tmp_path / "devices.index", dates=["active"])
    answer = index.leave_one_out("vip AND active within 3 days", as_of="2026-11-28T09:00")
    assert [(render(each.expr), each.device_count) for each in answer.left_out] == [
        ("active within 3 days", 1),
        ("vip", 2),
    ]


def test_relative_day_that_becomes_several_keeps_the_paths_of_the_lines(tmp_path):
    table = pl.DataFrame({"token": ["t1", "t2"], "birthday": ["2000-02-29", "2000-03-01"], "tags": [["a"], ["b"]]})
    index = DeviceIndex.build(table, tmp_path / "devices.index", dates=["birthday"])
    for text in ("a OR anniversary(birthday) = today", "a AND anniversary(birthday) within next 3 days"):
        for as_of in ("2026-02-28", "2024-02-28", "2026-12-30"):
            lines = {line.path: line.text for line in index.explain(text, as_of=as_of)}
            left_out = {each.path: each for each in index.leave_one_out(text, as_of=as_of).left_out}
            assert left_out.keys() <= lines.keys()
            assert left_out[(0,)].device_count == index.count(text.partition(" ")[2].partition(" ")[2], as_of=as_of)
            assert lines[(0,)] == "a"


def test_nested_operands_that_were_built_by_hand_keep_their_level(index):
    expr = And((And((parse("a"), parse("b"))), Segment("young")))
    lines = {line.path for line in index.explain(expr)}
    assert {each.path for each in index.leave_one_out(expr).left_out} <= lines
    assert {each.path for each in index.leave_one_out(expr.terms[0]).left_out} == {(0,), (1,)}
    nested = And((And((parse("a"), parse("b"))), parse("c")))
    assert [each.path for each in index.leave_one_out(nested).left_out] == [(0,), (0, 0), (0, 1), (1,)]


def test_innermost_conditions_of_a_large_expression_are_omitted(index, monkeypatch):
    monkeypatch.setattr(module, "MAX_LEFT_OUT", 3)
    answer = index.leave_one_out("a AND (b OR c) AND NOT (a AND b AND c)")
    assert ([each.path for each in answer.left_out], answer.omitted) == ([(0,), (1,), (2,)], 5)


def test_unknown_attribute_is_an_error(index):
    with pytest.raises(ExpressionError, match="unknown"):
        index.leave_one_out("a AND ctiy:x")


# Law. -----------------------------------------------------------------------------------------------------------------


def remove_each(expr):
    """Yield the path of each condition and *expr* without it, for a tree without segments."""
    match expr:
        case And(terms=terms) | Or(terms=terms):
            join = all_of if isinstance(expr, And) else any_of
            for at, term in enumerate(terms):
                yield (at,), join([*terms[:at], *terms[at + 1 :]])
                for path, other in remove_each(term):
                    yield (at, *path), join([*terms[:at], other, *terms[at + 1 :]])
        case Threshold(terms=terms):
            for at, term in enumerate(terms):
                with suppress(ExpressionError):
                    yield (at,), replace(expr, terms=(*terms[:at], *terms[at + 1 :]))
                for path, other in remove_each(term):
                    yield (at, *path), replace(expr, terms=(*terms[:at], other, *terms[at + 1 :]))
        case Except(term=term, excluded=excluded):
            yield (1,), term
            for path, other in remove_each(term):
                yield (0, *path), Except(other, excluded)
            for path, other in remove_each(excluded):
                yield (1, *path), Except(term, other)
        case Not(term=term):
            for path, other in remove_each(term):
                yield (0, *path), Not(other)
        case Limit(term=term) | Top(term=term):
            for path, other in remove_each(term):
                yield (0, *path), replace(expr, term=other)


@given(
    st.lists(device_rows, max_size=20),
    index_forms(index_leaf | st.builds(Segment, st.sampled_from(["s0", "s1", "s2"]))),
)
def test_left_out_is_what_a_slow_removal_gives(devices, expr):
    segments = {"s0": parse("a AND b"), "s1": parse("@s0 OR province:hunan"), "s2": parse("b EXCEPT @s1")}
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(make_table(devices), Path(folder) / "index")
        index.apply_segments(segments)
        answer = index.leave_one_out(expr)
        expanded = expand_segments(expr, segments)
        whole: dict[tuple[int, ...], Expr] = {(): expanded.term} if isinstance(expanded, Limit | Top) else {}
        expected = whole | dict(remove_each(expanded))
        assert {each.path for each in answer.left_out} == expected.keys()
        for each in answer.left_out:
            assert expand_segments(each.expr, segments) == expected[each.path]
            assert each.device_count == index.count(expected[each.path])
            assert operands(parse(render(each.expr))) is not None


# The command. ---------------------------------------------------------------------------------------------------------


def test_command_shows_what_each_condition_costs(audience, index):
    code, out, _ = audience("explain", str(index.folder), "a AND (b OR c)", "--leave-one-out", "--json")
    facts = json.loads(out)
    assert code == 0
    assert [(line["path"], line["without"]) for line in facts["tree"]] == [
        ([], None),
        ([0], {"expr": "b OR c", "count": 4}),
        ([1], {"expr": "a", "count": 3}),
        ([1, 0], {"expr": "a AND c", "count": 2}),
        ([1, 1], {"expr": "a AND b", "count": 2}),
    ]
    table = audience("explain", str(index.folder), "a AND b", "--leave-one-out")[1].splitlines()
    assert table[0].split()[-2:] == ["without", "it"]
    assert [line.split()[-1] for line in table[1:4]] == ["50.0%", "3", "3"]
