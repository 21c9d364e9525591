"""Expand saved segments, and plan segments and samples."""

from dataclasses import replace

import pytest

from audience import DeviceIndex, ExpressionError, Unsupported, equivalent, get_vendor, lint, parse, plan, render
from audience.language.ast import bare
from audience.language.segments import MAX_EXPANDED_NODES, expand_segments, referenced_segments
from audience.testing.registration import register_vendors
from audience.vendors import vendor_names

SEGMENTS = {
    name: parse(text)
    for name, text in {
        "vip": "paying OR alias(u1)",
        "lapsed": "NOT lapsing",
        "target": "@vip AND NOT @lapsed",
        "big spenders": "spent:much",
    }.items()
}

EXPANDED_TEXTS = {
    "a": "a",
    "@vip": "paying OR alias(u1)",
    "@vip OR a": "paying OR alias(u1) OR a",
    "@vip AND a": "(paying OR alias(u1)) AND a",
    "NOT @lapsed": "NOT NOT lapsing",
    "a AND @target": "a AND (paying OR alias(u1)) AND NOT NOT lapsing",
    '@"big spenders" AND sample(10%, x)': "spent:much AND sample(10%, x)",
}


@pytest.mark.parametrize(("text", "expanded"), EXPANDED_TEXTS.items())
def test_segments_are_expanded(text, expanded):
    assert render(expand_segments(parse(text), SEGMENTS)) == expanded


def test_expression_without_segments_is_unchanged():
    expr = parse("(a AND b) AND c")
    assert expand_segments(expr, SEGMENTS) is expr


def test_referenced_segments_are_listed_once_in_order():
    assert list(referenced_segments(parse("@b AND (@a OR NOT @b) AND c"))) == ["b", "a"]
    assert referenced_segments(parse("a")) == {}


def _expansion_error(text, segments, code):
    with pytest.raises(ExpressionError) as caught:
        expand_segments(parse(text), segments)
    assert caught.value.code == code
    return str(caught.value)


def test_unknown_segment_hint_explains_saving():
    assert "audience segment save INDEX NAME EXPR" in _expansion_error("@vip", {}, "unknown-segment")


def test_unknown_segment_hint_lists_few_names():
    segments = {f"name{number}": bare("a") for number in range(30)}
    assert "name0, name1, name2, name3, name4 and 25 more" in _expansion_error("@q", segments, "unknown-segment")


def test_exponential_segment_expansion_is_rejected():
    for link in ("@s{0} AND @s{0}", "@s{0} OR NOT @s{0}"):
        segments = {f"s{number}": parse(link.format(number - 1)) for number in range(1, 41)} | {"s0": bare("a")}
        assert f"more than {MAX_EXPANDED_NODES:,}" in _expansion_error("@s40", segments, "too-long")


def test_long_segment_chain_expands_and_cycle_is_shortened():
    segments = {f"s{number}": parse(f"@s{number - 1}") for number in range(1, 5_001)}
    assert expand_segments(parse("@s5000"), segments | {"s0": bare("a")}) == bare("a")
    assert len(_expansion_error("@s5000", segments | {"s0": parse("@s5000")}, "segment-cycle")) < 300


def test_too_deep_segment_nesting_is_rejected():
    segments = {f"s{number}": parse(f"NOT @s{number - 1}") for number in range(1, 200)} | {"s0": bare("a")}
    assert expand_segments(parse("@s98"), segments).depth == 99
    _expansion_error("@s150", segments, "too-deep")


@pytest.fixture
def index_with_segments(index, monkeypatch) -> DeviceIndex:
    """Return an index that has SEGMENTS saved."""
    monkeypatch.setattr(DeviceIndex, "expand_segments", lambda self, expr: expand_segments(expr, SEGMENTS))
    return index


def test_index_segment_is_planned_natively(index_with_segments):
    for name in vendor_names(can="emit"):
        result = plan("male AND NOT @lapsed", name, index_with_segments, vendor_has=["tag"])
        assert (result.by_ids, result.reasons) == (None, ())
        assert equivalent(get_vendor(name).parse(result.native[0]), parse("male AND lapsing"))


def test_plan_rejects_unsaved_segment(index_with_segments):
    with pytest.raises(ExpressionError, match="unknown-segment"):
        plan("male AND @lasped", "tpns", index_with_segments)


def test_lint_expands_index_segments(index_with_segments):
    expr = parse("@lapsed AND lapsing")
    assert lint(expr) == []
    assert "always-nobody" in {problem.code for problem in lint(expr, index_with_segments)}


def test_segment_without_index_goes_by_ids():
    for name in vendor_names(can="emit"):
        result = plan("male AND @vip", name)
        assert (result.native, render(result.by_ids)) == ((), "male AND @vip")
        assert [(reason.code, reason.hint) for reason in result.reasons] == [
            ("no-segment", "pass the index that has the segment")
        ]


EXPECTED_PLANS = {
    "a AND NOT sample(10%, x)": ([], "a AND NOT sample(10%, x)"),
    "sample(100%, x)": ([], "sample(100%, x)"),
    "a AND split(a:45%, b:45%, x) = a": ([], "a AND split(a:45%, b:45%, x) = a"),
    "a OR sample(10%, x)": (["a"], "NOT a AND sample(10%, x)"),
    "a AND (b OR NOT sample(10%, x))": (["a AND b"], "NOT b AND a AND NOT sample(10%, x)"),
    "a OR (b AND split(a:45%, b:45%, x) = a)": (["a"], "NOT a AND b AND split(a:45%, b:45%, x) = a"),
    "a AND (b OR NOT b OR sample(10%, x))": (["a"], None),
    "sample(10%, x) AND NOT sample(10%, x)": ([], None),
}


@pytest.mark.parametrize("name", vendor_names(can="emit"))
@pytest.mark.parametrize(("text", "native", "by_ids"), [(text, *case) for text, case in EXPECTED_PLANS.items()])
def test_sample_goes_by_ids_and_rest_is_native(name, text, native, by_ids):
    result = plan(text, name)
    assert len(result.native) == len(native)
    assert all(
        equivalent(get_vendor(name).parse(payload), parse(expr))
        for payload, expr in zip(result.native, native, strict=True)
    )
    assert (None if result.by_ids is None else render(result.by_ids)) == by_ids
    assert {reason.code for reason in result.reasons} == ({"no-sample"} if by_ids else set())


def test_third_party_vendor_never_gets_samples():
    """A vendor that drops an atom it does not know would broadcast."""
    careless = replace(get_vendor("engagelab"), name="careless", title="Careless", emit=lambda expr: {"to": "all"})
    with register_vendors(careless):
        for text, codes in (("sample(1%, x)", ["no-sample"]), ("a AND @vip", ["no-segment"])):
            with pytest.raises(Unsupported, match="Careless") as caught:
                get_vendor("careless").emit(parse(text))
            assert [problem.code for problem in caught.value.problems] == codes
        assert get_vendor("careless").emit(parse("a")) == {"to": "all"}
