"""What is true of every expression, every table and every vendor."""

import json
import tempfile
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, permutations, product
from pathlib import Path

import polars as pl
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import Device, every_device, inside, subsets
from strategies import (
    FEW,
    SAVED,
    SEEDS,
    any_expr,
    frame,
    idea,
    junctions,
    mixed_tag_expr,
    parts,
    people,
    rows,
    saved_exprs,
    splits,
    tag_expr,
    unsaid_expr,
)

from audience import (
    AudienceError,
    BudgetError,
    DeviceIndex,
    Everyone,
    ExpressionError,
    Ids,
    Nobody,
    Sample,
    Segment,
    Tag,
    Unsaid,
    all_of,
    any_of,
    batches,
    parse,
    plan,
    render,
    simplify,
    vendor,
    witness,
)
from audience.algebra.equivalence import unshared
from audience.algebra.normal_forms import Cnf, Dnf, cnf, dnf, nnf
from audience.language.ast import MAX_DEPTH, atoms, walk
from audience.language.bucketing import bounds
from audience.language.describe import as_json, outline
from audience.language.segments import expanded, mentioned
from audience.vendors import reachable

crowds = st.lists(rows, max_size=30)


@given(any_expr)
def test_what_is_rendered_reads_back_as_itself(expr):
    text = render(expr)
    assert parse(text, folder=None) == expr
    assert render(parse(text, folder=None)) == text


@given(any_expr)
def test_every_expression_has_an_outline_and_json(expr):
    assert all(line.strip() for line in outline(expr))
    assert all(as_json(node) for node in walk(expr))
    assert json.loads(json.dumps(as_json(expr))) == as_json(expr)


PLACES = [Fraction(0), Fraction(1, 10**8), Fraction(1, 3), Fraction(1, 2), Fraction(10**8 - 1, 10**8)]
POPULATION = [
    replace(device, places=dict(zip(SEEDS, places, strict=True)))
    for device in every_device(FEW[:3])
    for places in product(PLACES, repeat=len(SEEDS))
]


@given(unsaid_expr, saved_exprs())
def test_expanding_keeps_the_meaning(expr, saved):
    whole = expanded(expr, saved)
    assert mentioned(whole) == {}
    assert expanded(whole, {}) == whole
    for device in POPULATION:
        assert inside(whole, device) == inside(expr, device, saved)


loops = st.fixed_dictionaries({name: junctions(st.sampled_from([*FEW[:3], *map(Segment, SAVED)])) for name in SAVED})


@given(st.sampled_from(SAVED), loops)
def test_what_leads_back_to_itself_is_always_refused(name, saved):
    below = {each: {each} for each in saved}
    for _ in saved:
        below = {each: set().union(*(below[inner] | {inner} for inner in mentioned(saved[each]))) for each in saved}
    reached = below[name] | {name}
    try:
        expanded(Segment(name), saved)
        assert all(each not in below[each] for each in reached)
    except ExpressionError as error:
        assert error.code == "segment-cycle"
        assert any(each in below[each] for each in reached)


@given(parts(), parts(), st.sampled_from(SEEDS))
def test_a_larger_share_has_all_devices_of_a_smaller(one, other, seed):
    (low, first), (start, second) = bounds(Sample(one, seed)), bounds(Sample(other, seed))
    assert low == start == 0 < min(first, second) <= max(first, second) <= 1
    assert (first <= second) == (Fraction(one) <= Fraction(other))


@given(splits(st.text(min_size=1, max_size=2), st.just("x")))
def test_a_device_is_on_one_side_of_a_split_at_most(split):
    sides = [bounds(replace(split, side=name)) for name, _ in split.sides]
    assert all(end == start for (_, end), (start, _) in pairwise(sides))
    assert all(start < end for start, end in sides)
    assert bounds(replace(split, side=None)) == (sides[0][0], sides[-1][1])
    assert 0 == sides[0][0] < sides[-1][1] <= 1


@given(unsaid_expr, saved_exprs())
def test_shares_and_segments_are_never_native_and_what_is_split_off_is_right(expr, saved):
    for name in reachable():
        found = plan(expr, name)
        said = [vendor(name).parse(payload) for payload in found.native]
        assert all(isinstance(atom, Tag) for each in said for atom in atoms(each))
        said += [] if found.by_ids is None else [found.by_ids]
        for device in POPULATION[::7]:
            assert sum(inside(each, device, saved) for each in said) == inside(expr, device, saved)


SIGNS = 'ab(),:<>=!&|"\\#@.% \n和：（xg_'
WORDS = 'a NOT and or ( ) , : in < = != within 3 days of everyone tag alias sample split 9% "x" @f #'.split()


@given(st.text(SIGNS) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_text_is_read_or_refused_by_name(text):
    try:
        parse(text, folder=None)
    except ExpressionError as error:
        assert error.code in str(error)


@given(mixed_tag_expr)
def test_simplifying_and_normal_forms_keep_the_meaning(expr):
    forms = [simplify(expr), nnf(expr), simplify(nnf(expr))]
    for form in (dnf, cnf):
        try:
            forms.append(form(expr).expr)
        except BudgetError as error:
            assert error.code == "too-many-clauses"
    for device in every_device(list(atoms(expr))):
        assert {inside(form, device) for form in forms} == {inside(expr, device)}


@given(mixed_tag_expr)
def test_a_normal_form_has_its_shape(expr):
    for form, shape in ((dnf, Dnf), (cnf, Cnf)):
        try:
            found = form(expr)
        except BudgetError:
            continue
        assert isinstance(found, shape)
        leaves = [leaf for clause in found.clauses for leaf in clause]
        assert all(isinstance(leaf, Tag) or isinstance(leaf.term, Tag) for leaf in leaves)
        assert len(set(map(frozenset, found.clauses))) == len(found.clauses)


@given(mixed_tag_expr)
def test_simplifying_never_lengthens(expr):
    assert sum(1 for _ in walk(simplify(expr))) <= sum(1 for _ in walk(expr))


@given(tag_expr | st.sampled_from([Everyone(), Nobody()]), tag_expr)
def test_a_witness_is_a_device_on_which_two_expressions_differ(one, other):
    tags = list(atoms(one) | atoms(other))
    differ = [device for device in every_device(tags) if inside(one, device) != inside(other, device)]
    found = witness(one, other)
    if found is None:
        assert differ == []
    else:
        assert {(tag.type, tag.value) for tag in found} in [device.tags for device in differ]


@given(st.permutations(list(product([False, True], repeat=3))), st.integers(5, 8))
def test_everyone_and_nobody_are_known_in_any_disguise(kinds, many):
    """Of three tags there are eight kinds of devices: all of them are everyone, fewer are not."""
    some = any_of(all_of(tag if has else ~tag for tag, has in zip(FEW[:3], kind, strict=True)) for kind in kinds[:many])
    assert (witness(Everyone(), some) is None) == (many == 8)
    assert (witness(Nobody(), ~some) is None) == (many == 8)


NAMED = {"alias": ("u1", "u2", "u3"), "account": ("u1", "a2")}
id_lists = [
    Ids(kind, some) for kind, names in NAMED.items() for many in range(1, 4) for some in permutations(names, many)
]
ids_expr = junctions(st.sampled_from([*FEW[:2], *id_lists]))


@given(ids_expr, st.lists(ids_expr, min_size=1, max_size=2))
def test_ids_that_stand_in_the_same_lists_are_told_apart_from_others_and_from_no_more(whole, parts):
    """With one id for each group of them the answer is that of asking every device with any of the ids."""
    devices = [
        Device(tags=device.tags, ids={"alias": aliases, "account": accounts})
        for device in every_device(FEW[:2])
        for aliases in subsets(NAMED["alias"])
        for accounts in subsets(NAMED["account"])
    ]
    told = [device for device in devices if sum(inside(part, device) for part in parts) != inside(whole, device)]
    assert (unshared(whole, parts) is None) == (told == [])


@given(crowds, st.lists(idea, min_size=1, max_size=6))
def test_bitmaps_agree_with_the_oracle(devices, exprs):
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(frame(devices), Path(folder) / "index")
        for expr in exprs:
            meant = {name for name, device in people(devices).items() if inside(expr, device)}
            crowd = index.resolve(expr)
            assert sorted(crowd.tokens()) == sorted(meant)
            assert index.count(expr) == len(crowd) == len(meant)
            assert index.explain(expr)[0].devices == len(meant)


@given(mixed_tag_expr)
def test_what_a_vendor_says_means_what_was_asked(expr):
    """By asking every device there can be, not by the proof inside `plan`."""
    for name in reachable():
        try:
            payload = vendor(name).emit(expr)
        except Unsaid as unsaid:
            assert unsaid.problems
            continue
        said = vendor(name).parse(payload)
        for device in every_device(list(atoms(expr) | atoms(said))):
            assert inside(said, device) == inside(expr, device)


@given(mixed_tag_expr)
def test_only_everyone_is_a_broadcast(expr):
    assume(render(expr) != "everyone")
    for name in reachable():
        for payload in plan(expr, name).native:
            assert render(vendor(name).parse(payload)) != "everyone"


@given(crowds, idea)
def test_requests_reach_exactly_the_devices_meant_once_each(devices, expr):
    crowd = people(devices)
    meant = [name for name, device in crowd.items() if inside(expr, device)]
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(frame(devices), Path(folder) / "index")
        for name in reachable():
            said = [vendor(name).parse(payload) for payload in plan(expr, name, index).requests()]
            told = Counter(each for expr in said for each, device in crowd.items() if inside(expr, device))
            assert told == Counter(meant)


ids = st.lists(st.text(min_size=1, max_size=40) | st.sampled_from(["a,b", "x" * 36, "y" * 37, "z,"]), unique=True)


@given(ids)
def test_batches_are_a_partition_of_the_ids_each_within_its_limit(names):
    names += [f"id{at}" for at in range(2_500)]  # several bodies
    assume(len(set(names)) == len(names))
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(pl.DataFrame({"registration_id": names}), Path(folder) / "index")
        for name in reachable():
            found = batches(index.resolve("everyone"), name)
            chunks = list(found.chunks())
            told = [each for chunk in chunks for each in chunk]
            assert Counter(told + found.skipped["device"].to_list()) == Counter(names)
            assert all(0 < len(chunk) <= vendor(name).batch for chunk in chunks)
            assert all(vendor(name).uncarriable(each) is None for each in told)
            assert all(vendor(name).uncarriable(each) is not None for each in found.skipped["device"])


@given(st.integers(1, 10_000), st.sampled_from(["(", "NOT ", "!(", "NOT(", "a AND (", "tag_not("]))
def test_depth_is_read_or_refused_and_never_a_recursion(depth, opening):
    text = opening * depth + "a" + ")" * (depth * opening.count("("))
    try:
        render(simplify(nnf(parse(text))))
    except AudienceError as error:
        assert depth >= MAX_DEPTH / 2 or opening == "tag_not("
        assert error.code in ("too-deep", "unexpected-word")
