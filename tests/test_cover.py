"""Covers are disjoint, complete, within the shape, and minimal for few tags."""

import json
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import BARE_TAGS, boolean_exprs

from audience import (
    And,
    Nobody,
    Not,
    Or,
    PayloadError,
    ProofError,
    Tag,
    all_of,
    any_of,
    get_vendor,
    parse,
    plan,
    render,
)
from audience.algebra.constraints import AttributeConstraints
from audience.algebra.cover import find_cover
from audience.algebra.fitting import fit_to_shape
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import FlatDnf, ListsByKey, NormalForm, SingleOperator, Slots, Tree, count_entries
from audience.algebra.simplification import simplify
from audience.language.ast import and_terms, atoms, bare, walk
from audience.planning.catalog.loader import parse_catalog
from audience.planning.verification import verify_plan
from audience.testing.oracle import devices_of_all_tag_sets, is_inside


def double_not_cost(clauses):
    """Count each NOT twice."""
    return count_entries(clauses) + sum(isinstance(leaf, Not) for clause in clauses for leaf in clause)


SHAPES = [
    *(
        Slots(20, 20, 20),
        Slots(2, 2, 1),
        Slots(20, 20, 20, allows_unbounded_not=True),
        Tree(2, 10, 50),
        Tree(2, 3, 6),
        NormalForm(3),
    ),
    *(
        Tree(max_tags=5),
        Tree(max_tags=5, allows_unbounded_not=True),
        Tree(max_operands=3, allows_unbounded_not=True),
        Tree(allows_unbounded_not=True),
    ),
    *(Tree(max_tags=5, max_nots=0), Tree(max_nots=1)),
    *(FlatDnf(7), FlatDnf(200), FlatDnf(9, cost=double_not_cost), SingleOperator(5), SingleOperator(2)),
    *(
        ListsByKey(),
        ListsByKey(max_values=2, allows_unbounded_not=True),
        ListsByKey(max_lists=1),
        ListsByKey(max_lists=2, key=lambda tag: str(tag.value < "d")),
    ),
]
few_tag_exprs = boolean_exprs(st.sampled_from(BARE_TAGS[:4]))
more_tag_exprs = boolean_exprs(st.sampled_from([*BARE_TAGS, *map(bare, "gh")]), max_leaves=20)


@given(more_tag_exprs, st.sampled_from(SHAPES))
def test_parts_are_disjoint_and_complete(expr, shape):
    cover = find_cover(expr, shape)
    for device in devices_of_all_tag_sets(list(atoms(expr))):
        count = sum(is_inside(part, device) for part in (*cover.parts, cover.remainder))
        assert count == is_inside(expr, device)


@given(more_tag_exprs, st.sampled_from(SHAPES))
def test_parts_fit_shape_and_allowed_tags(expr, shape):
    cover = find_cover(expr, shape, lambda tag: tag.value != "a", max_parts=5)
    assert len(cover.parts) <= 5
    for part in cover.parts:
        assert fit_to_shape(part, shape) is not None
        assert bare("a") not in atoms(part)


@given(more_tag_exprs, st.sampled_from(SHAPES))
def test_fit_keeps_shape_limits_and_meaning(expr, shape):
    form = fit_to_shape(expr, shape)
    if form is None:
        return
    for device in devices_of_all_tag_sets(list(atoms(expr))):
        assert is_inside(form, device) == is_inside(expr, device)
    assert shape.allows_unbounded_not or not is_inside(form, devices_of_all_tag_sets([])[0])
    counts = _count_form(form)
    match shape:
        case Slots():
            assert counts["lists"] <= 1
            assert counts["alone"] <= shape.max_all_of + 1
            assert counts["nots"] <= shape.max_none_of
            assert counts["longest"] <= shape.max_any_of
        case Tree():
            assert counts["tags"] <= shape.max_tags
            assert counts["nots"] <= shape.max_nots
            assert all(len(node.terms) <= shape.max_operands for node in walk(form) if isinstance(node, And | Or))
            assert _nesting_depth(form) <= shape.max_levels
        case NormalForm():
            assert _nesting_depth(form) <= 2
            assert len(getattr(form, "terms", ())) <= shape.max_clauses
        case FlatDnf():
            assert _nesting_depth(form) <= (2 if isinstance(form, Or) else 1)
            spent = counts["tags"] + (counts["nots"] if shape.cost is double_not_cost else 0)
            assert spent + (len(form.terms) - 1 if isinstance(form, Or) else 0) <= shape.max_entries
        case ListsByKey():
            terms = and_terms(form)
            for term in terms:
                tags = [tag for tag in walk(term) if isinstance(tag, Tag)]
                assert len(tags) <= (shape.max_values if isinstance(term, Or) else 1)
                assert len({shape.key(tag) for tag in tags}) == 1
                assert not (isinstance(term, Or) and any(isinstance(node, Not) for node in walk(term)))
        case SingleOperator():
            assert counts["tags"] <= shape.max_tags
            assert _nesting_depth(form) <= 1
            assert counts["nots"] in (0, counts["tags"] - 1)


def _count_form(form) -> dict:
    """Count the lists, lone tags, NOTs and tags of an intersection."""
    terms = and_terms(form)
    lists = [len(term.terms) for term in terms if isinstance(term, Or)]
    return {
        "lists": len(lists),
        "longest": max(lists, default=0),
        "alone": sum(isinstance(term, Tag) for term in terms),
        "nots": sum(isinstance(node, Not) for node in walk(form)),
        "tags": sum(isinstance(node, Tag) for node in walk(form)),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_cover_of_everyone_or_nobody_in_disguise(shape):
    pairs = list(product(("a", "NOT a"), ("b", "NOT b")))
    nobody, everyone = (
        " AND ".join(f"({a} OR {b})" for a, b in pairs),
        " OR ".join(f"({a} AND {b})" for a, b in pairs),
    )
    for text in (nobody, everyone):
        cover = find_cover(parse(text), shape)
        for device in devices_of_all_tag_sets(list(atoms(parse(text)))):
            count = sum(is_inside(part, device) for part in (*cover.parts, cover.remainder))
            assert count == is_inside(parse(text), device)


def test_fit_respects_lists_per_key():
    text = "(a OR b) AND p:c AND p:d AND NOT q:e"
    assert fit_to_shape(parse(text), ListsByKey(max_lists=1)) is not None
    assert fit_to_shape(parse(f"{text} AND c"), ListsByKey(max_lists=1)) is None
    assert fit_to_shape(parse(f"{text} AND c"), ListsByKey(max_lists=2)) is not None
    assert fit_to_shape(parse("a OR p:b"), ListsByKey()) is None
    assert fit_to_shape(parse("a AND b AND c"), ListsByKey(max_lists=1, max_values=2)) is None


def test_fit_nests_wide_lists():
    wide = any_of(bare(f"t{number}") for number in range(1_000))
    form = fit_to_shape(wide, Tree(max_operands=10))
    assert (_nesting_depth(form), fit_to_shape(wide, Tree(max_levels=2, max_operands=10))) == (3, None)
    deep = all_of([bare("a"), any_of([all_of([bare("b"), bare("c")]), any_of(wide.terms[:25])])])
    assert (
        max(len(node.terms) for node in walk(fit_to_shape(deep, Tree(max_operands=10))) if isinstance(node, And | Or))
        <= 10
    )


def test_fit_factors_shared_tags_within_limit():
    text = "(a AND b AND NOT c) OR (a AND NOT b AND c) OR (a AND d)"
    assert fit_to_shape(parse("(a AND b) OR (a AND c AND d) OR e"), Tree(max_tags=5)) is not None
    assert fit_to_shape(parse(text), Tree(max_tags=5)) is None
    assert fit_to_shape(parse(text), Tree(max_tags=6)) == parse("a AND ((b AND NOT c) OR (NOT b AND c) OR d)")


def _nesting_depth(expr) -> int:
    return 1 + max(map(_nesting_depth, expr.terms)) if isinstance(expr, And | Or) else 0


def _request_expr(list_names, tags):
    """Return the expression of a request with *tags* in these lists, or None if it has no positive tag."""
    lists = {
        name: [tag for tag, list_name in zip(tags, list_names, strict=True) if list_name == name]
        for name in ("any", "all", "not")
    }
    if not lists["any"] and not lists["all"]:
        return None
    union = [any_of(lists["any"])] if lists["any"] else []
    return all_of([*union, *lists["all"], *(~tag for tag in lists["not"])])


def _min_exact_cover(target: frozenset, requests: list[frozenset]) -> int | None:
    """Return the smallest number of disjoint *requests* that make up *target*, by breadth-first search."""
    reached, count = {target}, 0
    while reached:
        if frozenset() in reached:
            return count
        reached = {
            remaining - request
            for remaining in reached
            for request in requests
            if request <= remaining and min(remaining) in request
        }
        count += 1
    return None


def _single_operator_requests(tags):
    """Yield every request of one operator."""
    for flags in product((True, False), repeat=len(tags)):
        chosen = [tag for tag, is_chosen in zip(tags, flags, strict=True) if is_chosen]
        yield from (any_of(chosen), all_of(chosen)) if chosen else ()
        yield from (all_of([first, *(~tag for tag in chosen if tag is not first)]) for first in chosen)


def _all_requests(tags, shape):
    if isinstance(shape, SingleOperator):
        return list(_single_operator_requests(tags))
    return [
        _request_expr(list_names, tags) for list_names in product(("any", "all", "not", "unused"), repeat=len(tags))
    ]


@given(few_tag_exprs, st.sampled_from([Slots(20, 20, 20), SingleOperator(5)]))
def test_cover_is_minimal_for_few_tags(expr, shape):
    expr = simplify(nnf(expr))
    tags = list(atoms(expr))
    devices = devices_of_all_tag_sets(tags)
    requests = [_matching_devices(request, devices) for request in _all_requests(tags, shape) if request]
    target = _matching_devices(expr, devices)
    cover = find_cover(expr, shape, max_seconds=10)
    covered = frozenset().union(*(_matching_devices(part, devices) for part in cover.parts))
    fewest = _min_exact_cover(target, [request for request in requests if request and request <= target])
    assert cover.is_minimal or covered != target
    assert (covered == target) == (fewest is not None)
    if isinstance(shape, Slots):  # requests can select single devices, so everything expressible is covered
        assert covered == frozenset().union(*(request for request in requests if request <= target))
        assert cover.is_minimal
        fewest = _min_exact_cover(covered, [request for request in requests if request and request <= covered])
    assert fewest in (None, len(cover.parts))


def _matching_devices(expr, devices) -> frozenset:
    """Return the positions of the devices inside *expr*."""
    return frozenset(position for position, device in enumerate(devices) if is_inside(expr, device))


EXPECTED_COVERS = {
    "(a OR b) AND (c OR d)": ["(a OR b) AND c", "(a OR b) AND d AND NOT c"],
    "a OR (b AND c)": ["a", "b AND c AND NOT a"],
    "(a AND c) OR (b AND c)": ["(a OR b) AND c"],
    "(a AND NOT b) OR (b AND NOT a)": ["a AND NOT b", "b AND NOT a"],
}


@pytest.mark.parametrize(("text", "parts"), EXPECTED_COVERS.items())
def test_typical_audience_is_covered_by_the_expected_parts(text, parts):
    assert sorted(render(part) for part in find_cover(parse(text), Slots(20, 20, 20)).parts) == sorted(parts)


EXPECTED_PART_COUNTS = {
    (Tree(max_tags=5), "(a AND b) OR (c AND d) OR e"): 1,
    (Tree(max_tags=5), "(a AND NOT b AND NOT c) OR (b AND NOT a AND NOT c) OR (c AND NOT a AND NOT b)"): 2,
    (Tree(max_operands=10, allows_unbounded_not=True), "NOT (a AND (b OR NOT c))"): 1,
    (FlatDnf(9), "(a OR b) AND (c OR NOT d)"): 2,
    (SingleOperator(5), "(a AND NOT b) OR (b AND NOT a)"): 2,
    (ListsByKey(max_lists=1), "(a OR b) AND NOT p:c AND NOT p:d"): 1,
    (ListsByKey(), "(a AND b) OR (c AND d)"): 1,
    (ListsByKey(), "(a AND NOT b) OR (b AND NOT a)"): 2,
}


@pytest.mark.parametrize(("shape", "text", "count"), [(*key, count) for key, count in EXPECTED_PART_COUNTS.items()])
def test_typical_covers_of_other_shapes(shape, text, count):
    cover = find_cover(parse(text), shape)
    assert (len(cover.parts), cover.remainder) == (count, Nobody())


def test_exclusive_values_need_no_not():
    constraints = AttributeConstraints(exclusive=frozenset("p"))
    cover = find_cover(
        parse(f"vip AND new AND p in ({', '.join(make_tag_names(9))})"), Tree(max_tags=5), constraints=constraints
    )
    assert (len(cover.parts), cover.remainder) == (3, Nobody())
    cover = find_cover(parse(f"p in ({', '.join(make_tag_names(9))})"), SingleOperator(5), constraints=constraints)
    assert (len(cover.parts), cover.remainder) == (2, Nobody())


def make_tag_names(count: int, start: int = 0) -> list[str]:
    return [f"t{number:02}" for number in range(start, start + count)]


def test_list_over_20_is_split_and_over_40_goes_by_ids():
    forty = plan(" OR ".join(make_tag_names(40)), "jpush")
    assert (len(forty.native), forty.by_ids) == (2, None)
    assert forty.native[1]["audience"] == {"tag": make_tag_names(20, 20), "tag_not": make_tag_names(20)}
    forty_five = plan(" OR ".join(make_tag_names(45)), "jpush")
    assert len(forty_five.native) == 2
    assert {reason.code for reason in forty_five.reasons} == {"too-many"}


def test_long_list_with_other_conditions_is_split():
    result = plan(f"vip AND NOT old AND ({' OR '.join(make_tag_names(30))})", "jpush")
    lists = [{key: len(tags) for key, tags in payload["audience"].items()} for payload in result.native]
    assert lists == [{"tag": 19, "tag_and": 1, "tag_not": 1}, {"tag": 11, "tag_and": 1, "tag_not": 20}]
    assert result.by_ids is None


def test_list_without_a_documented_limit_is_one_request():
    [payload] = plan(" OR ".join(make_tag_names(500)), "engagelab").native
    assert payload == {"to": {"tag": make_tag_names(500)}}


def test_fifty_clauses_fit_few_trees():
    result = plan(
        " OR ".join(f"({a} AND {b})" for a, b in zip(make_tag_names(20), make_tag_names(20, 20), strict=True)), "emas"
    )
    assert result.native
    assert len(result.native) <= 16


def test_plan_respects_max_requests():
    expr = " OR ".join(f"(a{number} AND b{number})" for number in range(4))
    assert len(plan(expr, "engagelab", max_requests=3).native) == 3
    assert plan(expr, "engagelab", max_requests=3).by_ids is not None
    assert plan(expr, "engagelab").by_ids is None


def test_plan_of_200_tags_is_verified():
    clauses = " OR ".join(f"(t{number} AND u{number} AND NOT v{number % 7})" for number in range(97))
    for name in ("engagelab", "emas", "tpns"):
        result = plan(clauses, name)
        assert len(result.native) <= 16


def test_strict_turns_assumptions_into_reasons():
    loose, strict = plan("NOT a", "tpns"), plan("NOT a", "tpns", strict=True)
    assert loose.native
    assert (strict.native, strict.reasons) == ((), loose.assumptions)
    declared = parse_catalog('[tag]\nat = ["tpns"]')
    assert plan("a", "tpns", catalog=declared, strict=True).native


def test_assumptions_are_listed_once():
    result = plan("(a OR b) AND (c OR d)", "engagelab")
    assert [assumption.code for assumption in result.assumptions] == ["vendor-tags", "split"]
    assert [assumption.code for assumption in plan("a OR age < 3", "engagelab").assumptions] == [
        "vendor-tags",
        "split",
        "two-sources",
    ]
    assert [assumption.code for assumption in plan("everyone", "emas").assumptions] == ["universe"]


PAYLOAD_MUTATIONS = {
    "an operator": lambda rules: rules[0]["tag_items"][0].update(tags_operator="AND"),
    "an is_not": lambda rules: rules[0]["tag_items"][1].pop("is_not"),
    "a tag": lambda rules: rules[0]["tag_items"][0]["tags"].pop(),
    "an item": lambda rules: rules[0]["tag_items"].pop(),
    "a type": lambda rules: rules[0]["tag_items"][0].update(tag_type="xg_auto_country"),
    "a rule's is_not": lambda rules: rules[0].update(is_not=True),
}


@pytest.mark.parametrize("change", PAYLOAD_MUTATIONS.values(), ids=PAYLOAD_MUTATIONS.keys())
def test_verification_detects_changed_payload(change):
    result = plan("(province:a OR province:b) AND NOT male AND vip", "tpns")
    change(result.native[0]["tag_rules"])
    with pytest.raises(ProofError, match="wrong for a device with"):
        verify_plan(get_vendor("tpns"), result.expr, result)


def _value_mutants(value):
    """Yield every payload that differs from *value* in one string, flag or element."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: mutant} for mutant in _value_mutants(inner))
            yield {name: value[name] for name in value if name != key}
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from ([*value[:position], mutant, *value[position + 1 :]] for mutant in _value_mutants(inner))
            yield [*value[:position], *value[position + 1 :]]
    elif isinstance(value, bool):
        yield not value
    elif value in ("AND", "OR"):
        yield "OR" if value == "AND" else "AND"


def _tree_mutants(payload):
    """Yield the mutants of the JSON string inside a payload of EMAS."""
    for mutant in _value_mutants(json.loads(payload["TargetValue"])):
        yield {**payload, "TargetValue": json.dumps(mutant)}


def _operator_mutants(node):
    """Yield every tree with one `and`, `or` or `not` changed."""
    for key, inner in node.items():
        if key in ("and", "or"):
            yield {"or" if key == "and" else "and": inner}
            for position, term in enumerate(inner):
                yield from (
                    {key: [*inner[:position], mutant, *inner[position + 1 :]]} for mutant in _operator_mutants(term)
                )
        elif key == "not":
            yield inner


def _payload_mutants(payload):
    if not payload.get("TargetValue", "").startswith("{"):
        yield from _value_mutants({key: value for key, value in payload.items() if key != "TargetValue"})
        return
    yield from _tree_mutants(payload)
    for tree in _operator_mutants(json.loads(payload["TargetValue"])):
        yield {**payload, "TargetValue": json.dumps(tree)}


@given(boolean_exprs(st.sampled_from(BARE_TAGS), max_leaves=6), st.sampled_from(["engagelab", "tpns", "emas"]))
def test_verification_detects_every_semantic_mutation(expr, name):
    result = plan(expr, name)
    for payload in result.native[:1]:
        for mutant in _payload_mutants(payload):
            try:
                parsed = get_vendor(name).parse(mutant)
            except PayloadError:
                continue
            tags = list(atoms(parsed) | atoms(result.request_exprs[0]))
            same = all(
                is_inside(parsed, device) == is_inside(result.request_exprs[0], device)
                for device in devices_of_all_tag_sets(tags)
            )
            try:
                verify_plan(get_vendor(name), simplify(expr), replace(result, native=(mutant, *result.native[1:])))
                assert same
            except ProofError as error:
                assert not same
                assert "{" not in str(error)


EXPECTED_ASSUMPTIONS = {
    "(a AND b) OR (a AND NOT b) OR (NOT a AND b) OR (NOT a AND NOT b)": ("implied-broadcast",),
    "b AND ((a AND NOT b) OR (c AND NOT b) OR (d AND NOT b AND e))": (),
    "x AND b AND ((NOT a AND NOT b) OR (NOT b AND NOT a))": (),
}


@pytest.mark.parametrize(("text", "codes"), EXPECTED_ASSUMPTIONS.items())
def test_plan_detects_disguised_everyone_and_nobody(text, codes):
    for name in ("engagelab", "tpns", "emas"):
        result = plan(text, name)
        assert result.native == ()
        assert tuple(reason.code for reason in result.reasons) == codes
        assert (result.by_ids is None) == (codes == ())


def test_undecidable_expression_is_emitted_as_is_or_by_ids():
    queens = [[f"q{row}{column}" for column in range(8)] for row in range(8)]
    rows = " AND ".join(f"({' OR '.join(row)})" for row in queens)
    never = " AND ".join(
        f"NOT ({queens[r][c]} AND {queens[s][d]})"
        for r, s in product(range(8), repeat=2)
        for c, d in product(range(8), repeat=2)
        if r < s and (c == d or abs(c - d) == s - r)
    )
    assert len(plan(f"{rows} AND {never}", "tpns").native) == 1
    assert plan(f"{rows} AND {never}", "engagelab").by_ids is not None
