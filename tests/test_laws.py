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
from oracle import OracleDevice, all_subsets, devices_of_all_tag_sets, is_inside
from strategies import (
    BARE_TAGS,
    SEEDS,
    SEGMENT_NAMES,
    any_expr,
    boolean_exprs,
    device_rows,
    id_only_expr,
    index_expr,
    make_oracle_devices,
    make_table,
    mixed_tag_expr,
    percents,
    segment_definitions,
    split_exprs,
    tag_expr,
)

from audience import (
    AudienceError,
    ComplexityError,
    DeviceIndex,
    Everyone,
    ExpressionError,
    Ids,
    Nobody,
    Sample,
    Segment,
    Tag,
    Unsupported,
    all_of,
    any_of,
    batch_ids,
    get_vendor,
    parse,
    plan,
    render,
    simplify,
    witness,
)
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.normal_forms import Cnf, Dnf, cnf, dnf, nnf
from audience.language.ast import MAX_DEPTH, atoms, walk
from audience.language.bucketing import bucket_range
from audience.language.describe import expr_json, format_tree
from audience.language.segments import expand_segments, referenced_segments
from audience.vendors import vendor_names

device_row_lists = st.lists(device_rows, max_size=30)


@given(any_expr)
def test_render_parse_round_trips(expr):
    text = render(expr)
    assert parse(text, folder=None) == expr
    assert render(parse(text, folder=None)) == text


@given(any_expr)
def test_every_expression_has_tree_and_json(expr):
    assert all(line.strip() for line in format_tree(expr))
    assert all(expr_json(node) for node in walk(expr))
    assert json.loads(json.dumps(expr_json(expr))) == expr_json(expr)


BUCKET_POINTS = [Fraction(0), Fraction(1, 10**8), Fraction(1, 3), Fraction(1, 2), Fraction(10**8 - 1, 10**8)]
POPULATION = [
    replace(device, buckets=dict(zip(SEEDS, places, strict=True)))
    for device in devices_of_all_tag_sets(BARE_TAGS[:3])
    for places in product(BUCKET_POINTS, repeat=len(SEEDS))
]


@given(id_only_expr, segment_definitions())
def test_segment_expansion_keeps_meaning(expr, saved):
    whole = expand_segments(expr, saved)
    assert referenced_segments(whole) == {}
    assert expand_segments(whole, {}) == whole
    for device in POPULATION:
        assert is_inside(whole, device) == is_inside(expr, device, saved)


cyclic_segments = st.fixed_dictionaries(
    {name: boolean_exprs(st.sampled_from([*BARE_TAGS[:3], *map(Segment, SEGMENT_NAMES)])) for name in SEGMENT_NAMES}
)


@given(st.sampled_from(SEGMENT_NAMES), cyclic_segments)
def test_segment_cycles_are_always_rejected(name, saved):
    below = {each: {each} for each in saved}
    for _ in saved:
        below = {
            each: set().union(*(below[inner] | {inner} for inner in referenced_segments(saved[each]))) for each in saved
        }
    reached = below[name] | {name}
    try:
        expand_segments(Segment(name), saved)
        assert all(each not in below[each] for each in reached)
    except ExpressionError as error:
        assert error.code == "segment-cycle"
        assert any(each in below[each] for each in reached)


@given(percents(), percents(), st.sampled_from(SEEDS))
def test_larger_sample_contains_smaller(one, other, seed):
    (low, first), (start, second) = bucket_range(Sample(one, seed)), bucket_range(Sample(other, seed))
    assert low == start == 0 < min(first, second) <= max(first, second) <= 1
    assert (first <= second) == (Fraction(one) <= Fraction(other))


@given(split_exprs(st.text(min_size=1, max_size=2), st.just("x")))
def test_split_variants_are_disjoint(split):
    sides = [bucket_range(replace(split, variant=name)) for name, _ in split.variants]
    assert all(end == start for (_, end), (start, _) in pairwise(sides))
    assert all(start < end for start, end in sides)
    assert bucket_range(replace(split, variant=None)) == (sides[0][0], sides[-1][1])
    assert 0 == sides[0][0] < sides[-1][1] <= 1


@given(id_only_expr, segment_definitions())
def test_samples_and_segments_are_never_native(expr, saved):
    for name in vendor_names(can="emit"):
        found = plan(expr, name)
        said = [get_vendor(name).parse(payload) for payload in found.native]
        assert all(isinstance(atom, Tag) for each in said for atom in atoms(each))
        said += [] if found.by_ids is None else [found.by_ids]
        for device in POPULATION[::7]:
            assert sum(is_inside(each, device, saved) for each in said) == is_inside(expr, device, saved)


PUNCTUATION = 'ab(),:<>=!&|"\\#@.% \n和：（xg_'
LANGUAGE_WORDS = 'a NOT and or ( ) , : in < = != within 3 days of everyone tag alias sample split 9% "x" @f #'.split()


@given(st.text(PUNCTUATION) | st.lists(st.sampled_from(LANGUAGE_WORDS)).map(" ".join))
def test_any_text_is_parsed_or_rejected(text):
    try:
        parse(text, folder=None)
    except ExpressionError as error:
        assert error.code in str(error)


@given(mixed_tag_expr)
def test_simplify_and_normal_forms_keep_meaning(expr):
    forms = [simplify(expr), nnf(expr), simplify(nnf(expr))]
    for form in (dnf, cnf):
        try:
            forms.append(form(expr).expr)
        except ComplexityError as error:
            assert error.code == "too-many-clauses"
    for device in devices_of_all_tag_sets(list(atoms(expr))):
        assert {is_inside(form, device) for form in forms} == {is_inside(expr, device)}


@given(mixed_tag_expr)
def test_normal_forms_have_their_shape(expr):
    for form, shape in ((dnf, Dnf), (cnf, Cnf)):
        try:
            found = form(expr)
        except ComplexityError:
            continue
        assert isinstance(found, shape)
        leaves = [leaf for clause in found.clauses for leaf in clause]
        assert all(isinstance(leaf, Tag) or isinstance(leaf.term, Tag) for leaf in leaves)
        assert len(set(map(frozenset, found.clauses))) == len(found.clauses)


@given(mixed_tag_expr)
def test_simplify_never_lengthens(expr):
    assert sum(1 for _ in walk(simplify(expr))) <= sum(1 for _ in walk(expr))


@given(tag_expr | st.sampled_from([Everyone(), Nobody()]), tag_expr)
def test_witness_distinguishes_expressions(one, other):
    tags = list(atoms(one) | atoms(other))
    differ = [device for device in devices_of_all_tag_sets(tags) if is_inside(one, device) != is_inside(other, device)]
    found = witness(one, other)
    if found is None:
        assert differ == []
    else:
        assert {(tag.type, tag.value) for tag in found} in [device.tags for device in differ]


@given(st.permutations(list(product([False, True], repeat=3))), st.integers(5, 8))
def test_equivalence_detects_disguised_everyone_and_nobody(kinds, many):
    """Of three tags there are eight kinds of devices: all of them are everyone, fewer are not."""
    some = any_of(
        all_of(tag if has else ~tag for tag, has in zip(BARE_TAGS[:3], kind, strict=True)) for kind in kinds[:many]
    )
    assert (witness(Everyone(), some) is None) == (many == 8)
    assert (witness(Nobody(), ~some) is None) == (many == 8)


IDS_BY_KIND = {"alias": ("u1", "u2", "u3"), "account": ("u1", "a2")}
id_lists = [
    Ids(kind, some) for kind, names in IDS_BY_KIND.items() for many in range(1, 4) for some in permutations(names, many)
]
ids_expr = boolean_exprs(st.sampled_from([*BARE_TAGS[:2], *id_lists]))


@given(ids_expr, st.lists(ids_expr, min_size=1, max_size=2))
def test_partition_check_matches_brute_force_over_ids(whole, parts):
    """With one id for each group of them the answer is that of asking every device with any of the ids."""
    devices = [
        OracleDevice(tags=device.tags, ids={"alias": aliases, "account": accounts})
        for device in devices_of_all_tag_sets(BARE_TAGS[:2])
        for aliases in all_subsets(IDS_BY_KIND["alias"])
        for accounts in all_subsets(IDS_BY_KIND["account"])
    ]
    told = [device for device in devices if sum(is_inside(part, device) for part in parts) != is_inside(whole, device)]
    assert (find_partition_violation(whole, parts) is None) == (told == [])


@given(device_row_lists, st.lists(index_expr, min_size=1, max_size=6))
def test_index_matches_oracle(devices, exprs):
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(make_table(devices), Path(folder) / "index")
        for expr in exprs:
            meant = {name for name, device in make_oracle_devices(devices).items() if is_inside(expr, device)}
            crowd = index.resolve(expr)
            assert sorted(crowd.ids()) == sorted(meant)
            assert index.count(expr) == len(crowd) == len(meant)
            assert index.explain(expr)[0].device_count == len(meant)


@given(mixed_tag_expr)
def test_native_payload_is_equivalent_to_expression(expr):
    """By asking every device there can be, not by the proof inside `plan`."""
    for name in vendor_names(can="emit"):
        try:
            payload = get_vendor(name).emit(expr)
        except Unsupported as unsaid:
            assert unsaid.problems
            continue
        said = get_vendor(name).parse(payload)
        for device in devices_of_all_tag_sets(list(atoms(expr) | atoms(said))):
            assert is_inside(said, device) == is_inside(expr, device)


@given(mixed_tag_expr)
def test_only_everyone_becomes_broadcast(expr):
    assume(render(expr) != "everyone")
    for name in vendor_names(can="emit"):
        for payload in plan(expr, name).native:
            assert render(get_vendor(name).parse(payload)) != "everyone"


@given(device_row_lists, index_expr)
def test_requests_reach_each_target_device_once(devices, expr):
    crowd = make_oracle_devices(devices)
    meant = [name for name, device in crowd.items() if is_inside(expr, device)]
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(make_table(devices), Path(folder) / "index")
        for name in vendor_names(can="emit"):
            said = [get_vendor(name).parse(payload) for payload in plan(expr, name, index).requests()]
            told = Counter(each for expr in said for each, device in crowd.items() if is_inside(expr, device))
            assert told == Counter(meant)


id_values = st.lists(st.text(min_size=1, max_size=40) | st.sampled_from(["a,b", "x" * 36, "y" * 37, "z,"]), unique=True)


@given(id_values)
def test_batches_partition_ids_within_limit(names):
    names += [f"id{at}" for at in range(2_500)]  # several bodies
    assume(len(set(names)) == len(names))
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(pl.DataFrame({"registration_id": names}), Path(folder) / "index")
        for name in vendor_names(can="emit"):
            found = batch_ids(index.resolve("everyone"), name)
            chunks = list(found.id_chunks())
            told = [each for chunk in chunks for each in chunk]
            assert Counter(told + found.skipped_frame["device"].to_list()) == Counter(names)
            assert all(0 < len(chunk) <= get_vendor(name).max_ids for chunk in chunks)
            assert all(get_vendor(name).id_problem(each) is None for each in told)
            assert all(get_vendor(name).id_problem(each) is not None for each in found.skipped_frame["device"])


@given(st.integers(1, 10_000), st.sampled_from(["(", "NOT ", "!(", "NOT(", "a AND (", "tag_not("]))
def test_deep_nesting_never_raises_recursion_error(depth, opening):
    text = opening * depth + "a" + ")" * (depth * opening.count("("))
    try:
        render(simplify(nnf(parse(text))))
    except AudienceError as error:
        assert depth >= MAX_DEPTH / 2 or opening == "tag_not("
        assert error.code in ("too-deep", "unexpected-word")
