"""A cover is disjoint, complete, within the shape, and of few tags as small as can be."""

import json
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import devices_of_all_tag_sets, is_inside
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
from audience.language.ast import atoms, bare, walk
from audience.planning.planner import verify_plan


def double_not_cost(clauses):
    """A shape in which each NOT is said twice."""
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
        ListsByKey(max_lists=2, key=lambda tag: tag.value < "d"),
    ),
]
few_tag_exprs = boolean_exprs(st.sampled_from(BARE_TAGS[:4]))
more_tag_exprs = boolean_exprs(st.sampled_from([*BARE_TAGS, *map(bare, "gh")]), max_leaves=20)


@given(more_tag_exprs, st.sampled_from(SHAPES))
def test_parts_are_disjoint_and_complete(expr, shape):
    found = find_cover(expr, shape)
    for device in devices_of_all_tag_sets(list(atoms(expr))):
        held = sum(is_inside(part, device) for part in (*found.parts, found.remainder))
        assert held == is_inside(expr, device)


@given(more_tag_exprs, st.sampled_from(SHAPES))
def test_parts_fit_shape_and_allowed_tags(expr, shape):
    found = find_cover(expr, shape, lambda tag: tag.value != "a", max_parts=5)
    assert len(found.parts) <= 5
    for part in found.parts:
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
            terms = form.terms if isinstance(form, And) else (form,)
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
    """Of an intersection: its lists and the longest, its lone tags and their NOTs; and all tags."""
    terms = form.terms if isinstance(form, And) else (form,)
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
        found = find_cover(parse(text), shape)
        for device in devices_of_all_tag_sets(list(atoms(parse(text)))):
            held = sum(is_inside(part, device) for part in (*found.parts, found.remainder))
            assert held == is_inside(parse(text), device)


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
    """What a request says whose tags stand in these lists; nothing positive, or one tag in two lists, is no request."""
    lists = {
        name: [tag for tag, place in zip(tags, list_names, strict=True) if place == name]
        for name in ("any", "all", "not")
    }
    if not lists["any"] and not lists["all"]:
        return None
    wanted = [any_of(lists["any"])] if lists["any"] else []
    return all_of([*wanted, *lists["all"], *(~tag for tag in lists["not"])])


def _min_exact_cover(target: frozenset, requests: list[frozenset]) -> int | None:
    """The fewest of *requests* that share nothing and make up *meant*, by trying all; breadth first."""
    reached, count = {target}, 0
    while reached:
        if frozenset() in reached:
            return count
        reached = {left - each for left in reached for each in requests if each <= left and min(left) in each}
        count += 1
    return None


def _single_operator_requests(tags):
    """What requests of one operator say."""
    for some in product((True, False), repeat=len(tags)):
        named = [tag for tag, wanted in zip(tags, some, strict=True) if wanted]
        yield from (any_of(named), all_of(named)) if named else ()
        yield from (all_of([first, *(~tag for tag in named if tag is not first)]) for first in named)


def _all_requests(tags, shape):
    if isinstance(shape, SingleOperator):
        return list(_single_operator_requests(tags))
    return [_request_expr(places, tags) for places in product(("any", "all", "not", "out"), repeat=len(tags))]


@given(few_tag_exprs, st.sampled_from([Slots(20, 20, 20), SingleOperator(5)]))
def test_cover_is_minimal_for_few_tags(expr, shape):
    expr = simplify(nnf(expr))
    tags = list(atoms(expr))
    devices = devices_of_all_tag_sets(tags)
    requests = [_matching_devices(each, devices) for each in _all_requests(tags, shape) if each]
    meant = _matching_devices(expr, devices)
    found = find_cover(expr, shape, max_seconds=10)
    said = frozenset().union(*(_matching_devices(part, devices) for part in found.parts))
    fewest = _min_exact_cover(meant, [each for each in requests if each and each <= meant])
    assert found.is_minimal or said != meant
    assert (said == meant) == (fewest is not None)
    if isinstance(shape, Slots):  # it says single devices, so what can be said at all is said
        assert said == frozenset().union(*(each for each in requests if each <= meant))
        assert found.is_minimal
        fewest = _min_exact_cover(said, [each for each in requests if each and each <= said])
    assert fewest in (None, len(found.parts))


def _matching_devices(expr, devices) -> frozenset:
    """Which of *devices* are in the audience."""
    return frozenset(at for at, device in enumerate(devices) if is_inside(expr, device))


EXPECTED_COVERS = {
    "(a OR b) AND (c OR d)": ["(a OR b) AND c", "(a OR b) AND d AND NOT c"],
    "a OR (b AND c)": ["a", "b AND c AND NOT a"],
    "(a AND c) OR (b AND c)": ["(a OR b) AND c"],
    "(a AND NOT b) OR (b AND NOT a)": ["a AND NOT b", "b AND NOT a"],
}


@pytest.mark.parametrize(("text", "parts"), EXPECTED_COVERS.items())
def test_typical_covers(text, parts):
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
    found = find_cover(parse(text), shape)
    assert (len(found.parts), found.remainder) == (count, Nobody())


def test_exclusive_values_need_no_not():
    facts = AttributeConstraints(exclusive=frozenset("p"))
    found = find_cover(
        parse(f"vip AND new AND p in ({', '.join(make_tag_names(9))})"), Tree(max_tags=5), constraints=facts
    )
    assert (len(found.parts), found.remainder) == (3, Nobody())
    found = find_cover(parse(f"p in ({', '.join(make_tag_names(9))})"), SingleOperator(5), constraints=facts)
    assert (len(found.parts), found.remainder) == (2, Nobody())


def make_tag_names(count: int, start: int = 0) -> list[str]:
    return [f"t{number:02}" for number in range(start, start + count)]


def test_list_over_20_is_split_and_over_40_goes_by_ids():
    two = plan(" OR ".join(make_tag_names(40)), "engagelab")
    assert (len(two.native), two.by_ids) == (2, None)
    assert two.native[1]["to"] == {"tag": make_tag_names(20, 20), "tag_not": make_tag_names(20)}
    more = plan(" OR ".join(make_tag_names(45)), "engagelab")
    assert len(more.native) == 2
    assert {reason.code for reason in more.reasons} == {"too-many"}


def test_long_list_with_other_conditions_is_split():
    found = plan(f"vip AND NOT old AND ({' OR '.join(make_tag_names(30))})", "engagelab")
    lists = [{key: len(tags) for key, tags in payload["to"].items()} for payload in found.native]
    assert lists == [{"tag": 19, "tag_and": 1, "tag_not": 1}, {"tag": 11, "tag_and": 1, "tag_not": 20}]
    assert found.by_ids is None


def test_fifty_clauses_fit_few_trees():
    found = plan(
        " OR ".join(f"({a} AND {b})" for a, b in zip(make_tag_names(20), make_tag_names(20, 20), strict=True)), "emas"
    )
    assert found.native
    assert len(found.native) <= 16


def test_plan_respects_max_requests():
    expr = " OR ".join(f"(a{number} AND b{number})" for number in range(4))
    assert len(plan(expr, "engagelab", max_requests=3).native) == 3
    assert plan(expr, "engagelab", max_requests=3).by_ids is not None
    assert plan(expr, "engagelab").by_ids is None


def test_plan_of_200_tags_is_verified():
    clauses = " OR ".join(f"(t{number} AND u{number} AND NOT v{number % 7})" for number in range(97))
    for name in ("engagelab", "emas", "tpns"):
        found = plan(clauses, name)
        assert len(found.native) <= 16


def test_strict_turns_assumptions_into_reasons():
    loose, strict = plan("NOT a", "tpns"), plan("NOT a", "tpns", strict=True)
    assert loose.native
    assert (strict.native, strict.reasons) == ((), loose.assumptions)
    assert plan("a", "tpns", strict=True).native


def test_assumptions_are_listed_once():
    found = plan("(a OR b) AND (c OR d)", "engagelab")
    assert [condition.code for condition in found.assumptions] == ["split"]
    assert [condition.code for condition in plan("a OR age < 3", "engagelab").assumptions] == ["split", "two-sources"]
    assert [condition.code for condition in plan("everyone", "emas").assumptions] == ["universe"]


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
    found = plan("(province:a OR province:b) AND NOT male AND vip", "tpns")
    change(found.native[0]["tag_rules"])
    with pytest.raises(ProofError, match="wrong for a device with"):
        verify_plan(get_vendor("tpns"), found.expr, found)


def _value_mutants(value):
    """Every payload that is *value* with one text, flag or element changed."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: mutant} for mutant in _value_mutants(inner))
            yield {other: value[other] for other in value if other != key}
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], mutant, *value[at + 1 :]] for mutant in _value_mutants(inner))
            yield [*value[:at], *value[at + 1 :]]
    elif isinstance(value, bool):
        yield not value
    elif value in ("AND", "OR"):
        yield "OR" if value == "AND" else "AND"


def _tree_mutants(payload):
    """The same for the JSON text inside a payload of EMAS."""
    for mutant in _value_mutants(json.loads(payload["TargetValue"])):
        yield {**payload, "TargetValue": json.dumps(mutant)}


def _operator_mutants(node):
    """Every tree with one and, or or not changed into another."""
    for key, inner in node.items():
        if key in ("and", "or"):
            yield {"or" if key == "and" else "and": inner}
            for at, term in enumerate(inner):
                yield from ({key: [*inner[:at], other, *inner[at + 1 :]]} for other in _operator_mutants(term))
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
    found = plan(expr, name)
    for payload in found.native[:1]:
        for mutant in _payload_mutants(payload):
            try:
                said = get_vendor(name).parse(mutant)
            except PayloadError:
                continue
            tags = list(atoms(said) | atoms(found.request_exprs[0]))
            same = all(
                is_inside(said, device) == is_inside(found.request_exprs[0], device)
                for device in devices_of_all_tag_sets(tags)
            )
            try:
                verify_plan(get_vendor(name), simplify(expr), replace(found, native=(mutant, *found.native[1:])))
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
        found = plan(text, name)
        assert found.native == ()
        assert tuple(reason.code for reason in found.reasons) == codes
        assert (found.by_ids is None) == (codes == ())


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
