"""A cover is disjoint, complete, within the shape, and of few tags as small as can be."""

import json
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import every_device, inside
from strategies import FEW, junctions

from audience import And, Or, PayloadError, ProofError, Tag, all_of, any_of, parse, plan, render, vendor
from audience.algebra.cover import cover
from audience.algebra.normal import nnf
from audience.algebra.shape import Clauses, Slots, Tree, fit
from audience.algebra.simplify import simplify
from audience.language.expr import atoms, bare, walk
from audience.plan import prove

SHAPES = [Slots(20, 20, 20), Slots(2, 2, 1), Tree(2, 10, 50), Tree(2, 3, 6), Clauses(3)]
few_tags = junctions(st.sampled_from(FEW[:4]))
more_tags = junctions(st.sampled_from([*FEW, *map(bare, "gh")]), most=20)


@given(more_tags, st.sampled_from(SHAPES))
def test_parts_share_no_device_and_with_the_rest_they_are_the_whole(expr, shape):
    found = cover(expr, shape)
    for device in every_device(list(atoms(expr))):
        held = sum(inside(part, device) for part in (*found.parts, found.rest))
        assert held == inside(expr, device)


@given(more_tags, st.sampled_from(SHAPES))
def test_each_part_fits_and_says_only_what_it_may(expr, shape):
    found = cover(expr, shape, lambda tag: tag.value != "a", most=5)
    assert len(found.parts) <= 5
    for part in found.parts:
        assert fit(part, shape) is not None
        assert bare("a") not in atoms(part)


@given(more_tags)
def test_what_fits_a_tree_keeps_its_limits(expr):
    for shape in (Tree(2, 10, 50), Tree(2, 3, 6)):
        form = fit(expr, shape)
        if form is not None:
            assert sum(isinstance(node, Tag) for node in walk(form)) <= shape.tags
            assert all(len(node.terms) <= shape.operands for node in walk(form) if isinstance(node, And | Or))
            assert _levels(form) <= shape.levels


def _levels(expr) -> int:
    return 1 + max(map(_levels, expr.terms)) if isinstance(expr, And | Or) else 0


def _says(places, tags):
    """What a request says whose tags stand in these lists; nothing positive, or one tag in two lists, is no request."""
    lists = {
        name: [tag for tag, place in zip(tags, places, strict=True) if place == name] for name in ("any", "all", "not")
    }
    if not lists["any"] and not lists["all"]:
        return None
    wanted = [any_of(lists["any"])] if lists["any"] else []
    return all_of([*wanted, *lists["all"], *(~tag for tag in lists["not"])])


def _fewest(meant: frozenset, requests: list[frozenset]) -> int | None:
    """The fewest of *requests* that share nothing and make up *meant*, by trying all; breadth first."""
    reached, count = {meant}, 0
    while reached:
        if frozenset() in reached:
            return count
        reached = {left - each for left in reached for each in requests if each <= left and min(left) in each}
        count += 1
    return None


@given(few_tags)
def test_of_few_tags_there_are_no_fewer_parts(expr):
    expr = simplify(nnf(expr))
    tags = list(atoms(expr))
    devices = every_device(tags)
    requests = [_says(places, tags) for places in product(("any", "all", "not", "out"), repeat=len(tags))]
    tables = {frozenset(at for at, device in enumerate(devices) if inside(each, device)) for each in requests if each}
    meant = frozenset(at for at, device in enumerate(devices) if inside(expr, device))
    found = cover(expr, Slots(20, 20, 20), seconds=10)
    said = frozenset(at for at, device in enumerate(devices) if any(inside(part, device) for part in found.parts))
    assert said == frozenset().union(*(table for table in tables if table <= meant))
    assert found.least
    assert len(found.parts) == _fewest(said, [table for table in tables if table and table <= said])


COVERS = {
    "(a OR b) AND (c OR d)": ["(a OR b) AND c", "(a OR b) AND d AND NOT c"],
    "a OR (b AND c)": ["a", "b AND c AND NOT a"],
    "(a AND c) OR (b AND c)": ["(a OR b) AND c"],
    "(a AND NOT b) OR (b AND NOT a)": ["a AND NOT b", "b AND NOT a"],
}


@pytest.mark.parametrize(("text", "parts"), COVERS.items())
def test_typical_covers(text, parts):
    assert sorted(render(part) for part in cover(parse(text), Slots(20, 20, 20)).parts) == sorted(parts)


def names(count: int, start: int = 0) -> list[str]:
    return [f"t{number:02}" for number in range(start, start + count)]


def test_a_list_over_twenty_is_two_requests_and_what_is_over_forty_goes_by_ids():
    two = plan(" OR ".join(names(40)), "engagelab")
    assert (len(two.native), two.by_ids) == (2, None)
    assert two.native[1]["to"] == {"tag": names(20, 20), "tag_not": names(20)}
    more = plan(" OR ".join(names(45)), "engagelab")
    assert len(more.native) == 2
    assert {reason.code for reason in more.reasons} == {"too-many"}


def test_a_long_list_beside_other_conditions_is_split_too():
    found = plan(f"vip AND NOT old AND ({' OR '.join(names(30))})", "engagelab")
    lists = [{key: len(tags) for key, tags in payload["to"].items()} for payload in found.native]
    assert lists == [{"tag": 19, "tag_and": 1, "tag_not": 1}, {"tag": 11, "tag_and": 1, "tag_not": 20}]
    assert found.by_ids is None


def test_fifty_clauses_are_a_few_trees():
    found = plan(" OR ".join(f"({a} AND {b})" for a, b in zip(names(20), names(20, 20), strict=True)), "emas")
    assert found.native
    assert len(found.native) <= 16


def test_no_more_requests_than_were_asked_for():
    expr = " OR ".join(f"(a{number} AND b{number})" for number in range(4))
    assert len(plan(expr, "engagelab", max_requests=3).native) == 3
    assert plan(expr, "engagelab", max_requests=3).by_ids is not None
    assert plan(expr, "engagelab").by_ids is None


def test_two_hundred_tags_are_planned_and_proved():
    clauses = " OR ".join(f"(t{number} AND u{number} AND NOT v{number % 7})" for number in range(97))
    for name in ("engagelab", "emas", "tpns"):
        found = plan(clauses, name)
        assert len(found.native) <= 16


def test_strict_turns_conditions_into_reasons():
    loose, strict = plan("NOT a", "tpns"), plan("NOT a", "tpns", strict=True)
    assert loose.native
    assert (strict.native, strict.reasons) == ((), loose.conditions)
    assert plan("a", "tpns", strict=True).native


def test_conditions_are_said_once_each():
    found = plan("(a OR b) AND (c OR d)", "engagelab")
    assert [condition.code for condition in found.conditions] == ["split"]
    assert [condition.code for condition in plan("a OR age < 3", "engagelab").conditions] == ["split", "two-sources"]
    assert [condition.code for condition in plan("everyone", "emas").conditions] == ["universe"]


MUTANTS = {
    "an operator": lambda rules: rules[0]["tag_items"][0].update(tags_operator="AND"),
    "an is_not": lambda rules: rules[0]["tag_items"][1].pop("is_not"),
    "a tag": lambda rules: rules[0]["tag_items"][0]["tags"].pop(),
    "an item": lambda rules: rules[0]["tag_items"].pop(),
    "a type": lambda rules: rules[0]["tag_items"][0].update(tag_type="xg_auto_country"),
    "a rule's is_not": lambda rules: rules[0].update(is_not=True),
}


@pytest.mark.parametrize("change", MUTANTS.values(), ids=MUTANTS.keys())
def test_the_proof_notices_a_changed_payload(change):
    found = plan("(province:a OR province:b) AND NOT male AND vip", "tpns")
    change(found.native[0]["tag_rules"])
    with pytest.raises(ProofError, match="wrong for a device with"):
        prove(vendor("tpns"), found.expr, found)


def _mutants(value):
    """Every payload that is *value* with one text, flag or element changed."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: mutant} for mutant in _mutants(inner))
            yield {other: value[other] for other in value if other != key}
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], mutant, *value[at + 1 :]] for mutant in _mutants(inner))
            yield [*value[:at], *value[at + 1 :]]
    elif isinstance(value, bool):
        yield not value
    elif value in ("AND", "OR"):
        yield "OR" if value == "AND" else "AND"


def _tree_mutants(payload):
    """The same for the JSON text inside a payload of EMAS."""
    for mutant in _mutants(json.loads(payload["TargetValue"])):
        yield {**payload, "TargetValue": json.dumps(mutant)}


def _swapped(node):
    """Every tree with one and, or or not changed into another."""
    for key, inner in node.items():
        if key in ("and", "or"):
            yield {"or" if key == "and" else "and": inner}
            for at, term in enumerate(inner):
                yield from ({key: [*inner[:at], other, *inner[at + 1 :]]} for other in _swapped(term))
        elif key == "not":
            yield inner


def _all_mutants(payload):
    if not payload.get("TargetValue", "").startswith("{"):
        yield from _mutants({key: value for key, value in payload.items() if key != "TargetValue"})
        return
    yield from _tree_mutants(payload)
    for tree in _swapped(json.loads(payload["TargetValue"])):
        yield {**payload, "TargetValue": json.dumps(tree)}


@given(junctions(st.sampled_from(FEW), most=6), st.sampled_from(["engagelab", "tpns", "emas"]))
def test_every_mutation_that_changes_the_meaning_is_noticed(expr, name):
    found = plan(expr, name)
    for payload in found.native[:1]:
        for mutant in _all_mutants(payload):
            try:
                said = vendor(name).parse(mutant)
            except PayloadError:
                continue
            tags = list(atoms(said) | atoms(found.parts[0]))
            same = all(inside(said, device) == inside(found.parts[0], device) for device in every_device(tags))
            try:
                prove(vendor(name), simplify(expr), replace(found, native=(mutant, *found.native[1:])))
                assert same
            except ProofError as error:
                assert not same
                assert "{" not in str(error)


SEMANTIC = {
    "(a AND b) OR (a AND NOT b) OR (NOT a AND b) OR (NOT a AND NOT b)": ("implied-broadcast",),
    "b AND ((a AND NOT b) OR (c AND NOT b) OR (d AND NOT b AND e))": (),
    "x AND b AND ((NOT a AND NOT b) OR (NOT b AND NOT a))": (),
}


@pytest.mark.parametrize(("text", "codes"), SEMANTIC.items())
def test_everyone_and_nobody_are_known_in_any_disguise(text, codes):
    for name in ("engagelab", "tpns", "emas"):
        found = plan(text, name)
        assert found.native == ()
        assert tuple(reason.code for reason in found.reasons) == codes
        assert (found.by_ids is None) == (codes == ())


def test_what_is_too_tangled_to_decide_is_said_as_it_stands_or_goes_by_ids():
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
