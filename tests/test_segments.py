"""What is saved under a name, and shares of devices: how they are put in place, and how they are planned."""

from dataclasses import replace

import pytest

from audience import DeviceIndex, ExpressionError, Unsaid, equivalent, lint, parse, plan, render, vendor
from audience.language.ast import bare
from audience.language.segments import MOST_NODES, expanded, mentioned
from audience.vendors import reachable

SAVED = {
    name: parse(text)
    for name, text in {
        "vip": "paying OR alias(u1)",
        "lapsed": "NOT active",
        "target": "@vip AND NOT @lapsed",
        "big spenders": "spent:much",
    }.items()
}

EXPANDED = {
    "a": "a",
    "@vip": "paying OR alias(u1)",
    "@vip OR a": "paying OR alias(u1) OR a",
    "@vip AND a": "(paying OR alias(u1)) AND a",
    "NOT @lapsed": "NOT NOT active",
    "a AND @target": "a AND (paying OR alias(u1)) AND NOT NOT active",
    '@"big spenders" AND sample(10%, x)': "spent:much AND sample(10%, x)",
}


@pytest.mark.parametrize(("text", "whole"), EXPANDED.items())
def test_what_is_saved_is_put_in_place(text, whole):
    assert render(expanded(parse(text), SAVED)) == whole


def test_what_mentions_nothing_is_left_as_it_is():
    expr = parse("(a AND b) AND c")
    assert expanded(expr, SAVED) is expr


def test_names_are_listed_once_each_as_they_are_read():
    assert list(mentioned(parse("@b AND (@a OR NOT @b) AND c"))) == ["b", "a"]
    assert mentioned(parse("a")) == {}


def _refused(text, saved, code):
    with pytest.raises(ExpressionError) as caught:
        expanded(parse(text), saved)
    assert caught.value.code == code
    return str(caught.value)


def test_without_anything_saved_it_is_told_how_to_save():
    assert "audience segment save INDEX NAME EXPR" in _refused("@vip", {}, "unknown-segment")


def test_of_many_names_a_few_are_told():
    saved = {f"name{number}": bare("a") for number in range(30)}
    assert "name0, name1, name2, name3, name4 and 25 more" in _refused("@q", saved, "unknown-segment")


def test_what_doubles_forty_times_is_refused_by_its_size():
    for link in ("@s{0} AND @s{0}", "@s{0} OR NOT @s{0}"):
        saved = {f"s{number}": parse(link.format(number - 1)) for number in range(1, 41)} | {"s0": bare("a")}
        assert f"{MOST_NODES:,} is the most" in _refused("@s40", saved, "too-long")


def test_a_way_of_thousands_of_names_is_followed_and_one_that_leads_back_is_told_in_short():
    saved = {f"s{number}": parse(f"@s{number - 1}") for number in range(1, 5_001)}
    assert expanded(parse("@s5000"), saved | {"s0": bare("a")}) == bare("a")
    assert len(_refused("@s5000", saved | {"s0": parse("@s5000")}, "segment-cycle")) < 300


def test_what_is_saved_in_one_another_too_deep_is_refused():
    saved = {f"s{number}": parse(f"NOT @s{number - 1}") for number in range(1, 200)} | {"s0": bare("a")}
    assert expanded(parse("@s98"), saved).depth == 99
    _refused("@s150", saved, "too-deep")


@pytest.fixture
def knowing(index, monkeypatch) -> DeviceIndex:
    """An index in which SAVED is saved."""
    monkeypatch.setattr(DeviceIndex, "expanded", lambda self, expr: expanded(expr, SAVED), raising=False)
    return index


def test_a_segment_of_the_index_is_said_natively(knowing):
    for name in reachable():
        found = plan("male AND NOT @lapsed", name, knowing)
        assert (found.by_ids, found.reasons) == (None, ())
        assert equivalent(vendor(name).parse(found.native[0]), parse("male AND active"))


def test_a_segment_that_is_not_saved_is_refused(knowing):
    with pytest.raises(ExpressionError, match="unknown-segment"):
        plan("male AND @lasped", "tpns", knowing)


def test_lint_looks_into_segments_that_an_index_has(knowing):
    expr = parse("@lapsed AND active")
    assert lint(expr) == []
    assert "always-nobody" in {problem.code for problem in lint(expr, knowing)}


def test_without_an_index_a_segment_goes_by_ids():
    for name in reachable():
        found = plan("male AND @vip", name)
        assert (found.native, render(found.by_ids)) == ((), "male AND @vip")
        assert [(reason.code, reason.hint) for reason in found.reasons] == [
            ("no-segment", "give the index that it is saved in")
        ]


PLANS = {
    "a AND NOT sample(10%, x)": ([], "a AND NOT sample(10%, x)"),
    "sample(100%, x)": ([], "sample(100%, x)"),
    "a AND split(a:45%, b:45%, x) = a": ([], "a AND split(a:45%, b:45%, x) = a"),
    "a OR sample(10%, x)": (["a"], "NOT a AND sample(10%, x)"),
    "a AND (b OR NOT sample(10%, x))": (["a AND b"], "NOT b AND a AND NOT sample(10%, x)"),
    "a OR (b AND split(a:45%, b:45%, x) = a)": (["a"], "NOT a AND b AND split(a:45%, b:45%, x) = a"),
    "a AND (b OR NOT b OR sample(10%, x))": (["a"], None),
    "sample(10%, x) AND NOT sample(10%, x)": ([], None),
}


@pytest.mark.parametrize("name", reachable())
@pytest.mark.parametrize(("text", "native", "rest"), [(text, *case) for text, case in PLANS.items()])
def test_a_share_goes_by_ids_and_what_stands_around_it_is_native(name, text, native, rest):
    found = plan(text, name)
    assert len(found.native) == len(native)
    assert all(
        equivalent(vendor(name).parse(one), parse(other)) for one, other in zip(found.native, native, strict=True)
    )
    assert (None if found.by_ids is None else render(found.by_ids)) == rest
    assert {reason.code for reason in found.reasons} == ({"no-sample"} if rest else set())


def test_a_vendor_of_another_package_is_never_asked_for_a_share():
    """One that says what it knows, and leaves out the rest, would tell everyone."""
    careless = replace(vendor("engagelab"), name="careless", title="Careless", emit=lambda expr: {"to": "all"})
    for text, codes in (("sample(1%, x)", ["no-sample"]), ("a AND @vip", ["no-segment"])):
        with pytest.raises(Unsaid, match="Careless") as caught:
            careless.emit(parse(text))
        assert [problem.code for problem in caught.value.problems] == codes
    assert careless.emit(parse("a")) == {"to": "all"}
