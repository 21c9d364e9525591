"""A cover is disjoint, complete, within the shape, and of few tags as small as can be."""

import json
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import every_device, inside
from strategies import FEW, junctions

from audience import And, Nobody, Not, Or, PayloadError, ProofError, Tag, all_of, any_of, parse, plan, render, vendor
from audience.algebra.constraints import Facts
from audience.algebra.cover import cover
from audience.algebra.fitting import fit
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Clauses, Flat, Keyed, Operator, Slots, Tree, entries_of
from audience.algebra.simplify import simplify
from audience.language.ast import atoms, bare, walk
from audience.planning.planner import prove


def twice_a_not(clauses):
    """A shape in which each NOT is said twice."""
    return entries_of(clauses) + sum(isinstance(leaf, Not) for clause in clauses for leaf in clause)


SHAPES = [
    *(Slots(20, 20, 20), Slots(2, 2, 1), Slots(20, 20, 20, lone_not=True), Tree(2, 10, 50), Tree(2, 3, 6), Clauses(3)),
    *(Tree(tags=5), Tree(tags=5, lone_not=True), Tree(operands=3, lone_not=True), Tree(lone_not=True)),
    *(Tree(tags=5, nots=0), Tree(nots=1)),
    *(Flat(7), Flat(200), Flat(9, takes=twice_a_not), Operator(5), Operator(2)),
    *(Keyed(), Keyed(values=2, lone_not=True), Keyed(lists=1), Keyed(lists=2, key=lambda tag: tag.value < "d")),
]
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


@given(more_tags, st.sampled_from(SHAPES))
def test_what_fits_keeps_the_limits_of_its_shape_and_its_meaning(expr, shape):
    form = fit(expr, shape)
    if form is None:
        return
    for device in every_device(list(atoms(expr))):
        assert inside(form, device) == inside(expr, device)
    assert shape.lone_not or not inside(form, every_device([])[0])
    counts = _counts(form)
    match shape:
        case Slots():
            assert counts["lists"] <= 1
            assert counts["alone"] <= shape.all_of + 1
            assert counts["nots"] <= shape.none_of
            assert counts["longest"] <= shape.any_of
        case Tree():
            assert counts["tags"] <= shape.tags
            assert counts["nots"] <= shape.nots
            assert all(len(node.terms) <= shape.operands for node in walk(form) if isinstance(node, And | Or))
            assert _levels(form) <= shape.levels
        case Clauses():
            assert _levels(form) <= 2
            assert len(getattr(form, "terms", ())) <= shape.most
        case Flat():
            assert _levels(form) <= (2 if isinstance(form, Or) else 1)
            spent = counts["tags"] + (counts["nots"] if shape.takes is twice_a_not else 0)
            assert spent + (len(form.terms) - 1 if isinstance(form, Or) else 0) <= shape.entries
        case Keyed():
            terms = form.terms if isinstance(form, And) else (form,)
            for term in terms:
                tags = [tag for tag in walk(term) if isinstance(tag, Tag)]
                assert len(tags) <= (shape.values if isinstance(term, Or) else 1)
                assert len({shape.key(tag) for tag in tags}) == 1
                assert not (isinstance(term, Or) and any(isinstance(node, Not) for node in walk(term)))
        case Operator():
            assert counts["tags"] <= shape.names
            assert _levels(form) <= 1
            assert counts["nots"] in (0, counts["tags"] - 1)


def _counts(form) -> dict:
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
def test_what_turns_out_to_be_everyone_or_nobody_is_covered_too(shape):
    pairs = list(product(("a", "NOT a"), ("b", "NOT b")))
    nobody, everyone = (
        " AND ".join(f"({a} OR {b})" for a, b in pairs),
        " OR ".join(f"({a} AND {b})" for a, b in pairs),
    )
    for text in (nobody, everyone):
        found = cover(parse(text), shape)
        for device in every_device(list(atoms(parse(text)))):
            held = sum(inside(part, device) for part in (*found.parts, found.rest))
            assert held == inside(parse(text), device)


def test_a_key_that_has_one_list_has_one():
    text = "(a OR b) AND p:c AND p:d AND NOT q:e"
    assert fit(parse(text), Keyed(lists=1)) is not None
    assert fit(parse(f"{text} AND c"), Keyed(lists=1)) is None
    assert fit(parse(f"{text} AND c"), Keyed(lists=2)) is not None
    assert fit(parse("a OR p:b"), Keyed()) is None
    assert fit(parse("a AND b AND c"), Keyed(lists=1, values=2)) is None


def test_a_wide_list_is_nested_as_deep_as_it_takes():
    wide = any_of(bare(f"t{number}") for number in range(1_000))
    form = fit(wide, Tree(operands=10))
    assert (_levels(form), fit(wide, Tree(levels=2, operands=10))) == (3, None)
    deep = all_of([bare("a"), any_of([all_of([bare("b"), bare("c")]), any_of(wide.terms[:25])])])
    assert max(len(node.terms) for node in walk(fit(deep, Tree(operands=10))) if isinstance(node, And | Or)) <= 10


def test_what_clauses_share_is_written_once_where_tags_are_few():
    text = "(a AND b AND NOT c) OR (a AND NOT b AND c) OR (a AND d)"
    assert fit(parse("(a AND b) OR (a AND c AND d) OR e"), Tree(tags=5)) is not None
    assert fit(parse(text), Tree(tags=5)) is None
    assert fit(parse(text), Tree(tags=6)) == parse("a AND ((b AND NOT c) OR (NOT b AND c) OR d)")


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


def _one_operator(tags):
    """What requests of one operator say."""
    for some in product((True, False), repeat=len(tags)):
        named = [tag for tag, wanted in zip(tags, some, strict=True) if wanted]
        yield from (any_of(named), all_of(named)) if named else ()
        yield from (all_of([first, *(~tag for tag in named if tag is not first)]) for first in named)


def _requests(tags, shape):
    if isinstance(shape, Operator):
        return list(_one_operator(tags))
    return [_says(places, tags) for places in product(("any", "all", "not", "out"), repeat=len(tags))]


@given(few_tags, st.sampled_from([Slots(20, 20, 20), Operator(5)]))
def test_of_few_tags_there_are_no_fewer_parts(expr, shape):
    expr = simplify(nnf(expr))
    tags = list(atoms(expr))
    devices = every_device(tags)
    requests = [_inside(each, devices) for each in _requests(tags, shape) if each]
    meant = _inside(expr, devices)
    found = cover(expr, shape, seconds=10)
    said = frozenset().union(*(_inside(part, devices) for part in found.parts))
    fewest = _fewest(meant, [each for each in requests if each and each <= meant])
    assert found.least or said != meant
    assert (said == meant) == (fewest is not None)
    if isinstance(shape, Slots):  # it says single devices, so what can be said at all is said
        assert said == frozenset().union(*(each for each in requests if each <= meant))
        assert found.least
        fewest = _fewest(said, [each for each in requests if each and each <= said])
    assert fewest in (None, len(found.parts))


def _inside(expr, devices) -> frozenset:
    """Which of *devices* are in the audience."""
    return frozenset(at for at, device in enumerate(devices) if inside(expr, device))


COVERS = {
    "(a OR b) AND (c OR d)": ["(a OR b) AND c", "(a OR b) AND d AND NOT c"],
    "a OR (b AND c)": ["a", "b AND c AND NOT a"],
    "(a AND c) OR (b AND c)": ["(a OR b) AND c"],
    "(a AND NOT b) OR (b AND NOT a)": ["a AND NOT b", "b AND NOT a"],
}


@pytest.mark.parametrize(("text", "parts"), COVERS.items())
def test_typical_covers(text, parts):
    assert sorted(render(part) for part in cover(parse(text), Slots(20, 20, 20)).parts) == sorted(parts)


SHAPED = {
    (Tree(tags=5), "(a AND b) OR (c AND d) OR e"): 1,
    (Tree(tags=5), "(a AND NOT b AND NOT c) OR (b AND NOT a AND NOT c) OR (c AND NOT a AND NOT b)"): 2,
    (Tree(operands=10, lone_not=True), "NOT (a AND (b OR NOT c))"): 1,
    (Flat(9), "(a OR b) AND (c OR NOT d)"): 2,
    (Operator(5), "(a AND NOT b) OR (b AND NOT a)"): 2,
    (Keyed(lists=1), "(a OR b) AND NOT p:c AND NOT p:d"): 1,
    (Keyed(), "(a AND b) OR (c AND d)"): 1,
    (Keyed(), "(a AND NOT b) OR (b AND NOT a)"): 2,
}


@pytest.mark.parametrize(("shape", "text", "count"), [(*key, count) for key, count in SHAPED.items()])
def test_typical_covers_of_other_shapes(shape, text, count):
    found = cover(parse(text), shape)
    assert (len(found.parts), found.rest) == (count, Nobody())


def test_values_that_exclude_each_other_need_no_not():
    facts = Facts(exclusive=frozenset("p"))
    found = cover(parse(f"vip AND new AND p in ({', '.join(names(9))})"), Tree(tags=5), facts=facts)
    assert (len(found.parts), found.rest) == (3, Nobody())
    found = cover(parse(f"p in ({', '.join(names(9))})"), Operator(5), facts=facts)
    assert (len(found.parts), found.rest) == (2, Nobody())


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
