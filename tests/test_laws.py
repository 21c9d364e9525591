"""Properties of every expression, every table and every vendor."""

import json
import math
import tempfile
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, permutations, product
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import (
    BARE_TAGS,
    SEEDS,
    SEGMENT_NAMES,
    any_expr,
    boolean_exprs,
    device_rows,
    id_only_expr,
    index_forms,
    index_leaf,
    make_oracle_devices,
    make_table,
    mixed_tag_expr,
    mixed_tag_form,
    percents,
    segment_definitions,
    split_exprs,
    tag_expr,
)

from audience import (
    AudienceError,
    Compare,
    ComplexityError,
    DeviceIndex,
    Everyone,
    ExpressionError,
    Has,
    Ids,
    Nobody,
    Not,
    Sample,
    Segment,
    Tag,
    Unsupported,
    all_of,
    any_of,
    batch_ids,
    equivalent,
    get_vendor,
    parse,
    plan,
    render,
    simplify,
    witness,
)
from audience.algebra.constraints import NO_CONSTRAINTS, AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.normal_forms import Cnf, Dnf, cnf, dnf, nnf
from audience.index.ingest import build, row_order
from audience.index.storage import joined_shard
from audience.language.ast import COMPARE_OPS, MAX_DEPTH, atoms, map_atoms, walk
from audience.language.bucketing import bucket_range
from audience.language.describe import expr_json, format_tree
from audience.language.segments import expand_segments, referenced_segments
from audience.planning.catalog.value_keys import value_keys_of
from audience.testing.oracle import OracleDevice, all_subsets, devices_of_all_tag_sets, is_inside
from audience.vendors import vendor_names
from audience.vendors.spec import Vendor

device_row_lists = st.lists(device_rows, max_size=30)
BARE_DEVICE = {"province": None, "brand": None, "age": None, "version": None, "tags": [], "active": [], "alias": []}


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
    replace(device, buckets=dict(zip(SEEDS, buckets, strict=True)))
    for device in devices_of_all_tag_sets(BARE_TAGS[:3])
    for buckets in product(BUCKET_POINTS, repeat=len(SEEDS))
]


@given(id_only_expr, segment_definitions())
def test_segment_expansion_keeps_meaning(expr, segments):
    expanded = expand_segments(expr, segments)
    assert referenced_segments(expanded) == {}
    assert expand_segments(expanded, {}) == expanded
    for device in POPULATION:
        assert is_inside(expanded, device) == is_inside(expr, device, segments)


cyclic_segments = st.fixed_dictionaries(
    {name: boolean_exprs(st.sampled_from([*BARE_TAGS[:3], *map(Segment, SEGMENT_NAMES)])) for name in SEGMENT_NAMES}
)


@given(st.sampled_from(SEGMENT_NAMES), cyclic_segments)
def test_segment_cycles_are_always_rejected(name, segments):
    reachable = {owner: set() for owner in segments}
    for _ in segments:
        reachable = {
            owner: set().union(*(reachable[child] | {child} for child in referenced_segments(expr)))
            for owner, expr in segments.items()
        }
    used = reachable[name] | {name}
    try:
        expand_segments(Segment(name), segments)
        assert all(segment not in reachable[segment] for segment in used)
    except ExpressionError as error:
        assert error.code == "segment-cycle"
        assert any(segment in reachable[segment] for segment in used)


@given(percents(), percents(), st.sampled_from(SEEDS))
def test_larger_sample_contains_smaller(lhs, rhs, seed):
    (lhs_start, lhs_end), (rhs_start, rhs_end) = bucket_range(Sample(lhs, seed)), bucket_range(Sample(rhs, seed))
    assert lhs_start == rhs_start == 0 < min(lhs_end, rhs_end) <= max(lhs_end, rhs_end) <= 1
    assert (lhs_end <= rhs_end) == (Fraction(lhs) <= Fraction(rhs))


@given(split_exprs(st.text(min_size=1, max_size=2), st.just("x")))
def test_split_variants_are_disjoint(split):
    ranges = [bucket_range(replace(split, variant=name)) for name, _ in split.variants]
    assert all(end == start for (_, end), (start, _) in pairwise(ranges))
    assert all(start < end for start, end in ranges)
    assert bucket_range(replace(split, variant=None)) == (ranges[0][0], ranges[-1][1])
    assert 0 == ranges[0][0] < ranges[-1][1] <= 1


@given(id_only_expr, segment_definitions())
def test_samples_and_segments_are_never_native(expr, segments):
    for name in vendor_names(can="emit"):
        result = plan(expr, name)
        parts = [get_vendor(name).parse(payload) for payload in result.native]
        assert all(isinstance(atom, Tag) for part in parts for atom in atoms(part))
        parts += [] if result.by_ids is None else [result.by_ids]
        for device in POPULATION[::7]:
            assert sum(is_inside(part, device, segments) for part in parts) == is_inside(expr, device, segments)


PUNCTUATION = 'ab(),:<>=!&|"\\#@.% \n和：（xg_'
LANGUAGE_WORDS = 'a NOT and or ( ) , : in < = != within 3 days of everyone tag alias sample split 9% "x" @f #'.split()


@given(st.text(PUNCTUATION) | st.lists(st.sampled_from(LANGUAGE_WORDS)).map(" ".join))
def test_any_text_is_parsed_or_rejected(text):
    try:
        parse(text, folder=None)
    except ExpressionError as error:
        assert error.code in str(error)


@given(mixed_tag_form)
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
def test_nodes_in_negation_normal_form_are_kept(expr):
    form = nnf(expr)
    assert nnf(form) is form


@given(mixed_tag_expr)
def test_normal_forms_have_their_shape(expr):
    for normal_form, form_type in ((dnf, Dnf), (cnf, Cnf)):
        try:
            form = normal_form(expr)
        except ComplexityError:
            continue
        assert isinstance(form, form_type)
        leaves = [leaf for clause in form.clauses for leaf in clause]
        assert all(isinstance(leaf, Tag) or isinstance(leaf.term, Tag) for leaf in leaves)
        assert len(set(map(frozenset, form.clauses))) == len(form.clauses)


@given(mixed_tag_expr)
def test_simplify_never_lengthens(expr):
    assert sum(1 for _ in walk(simplify(expr))) <= sum(1 for _ in walk(expr))


@given(tag_expr | st.sampled_from([Everyone(), Nobody()]), tag_expr)
def test_witness_distinguishes_expressions(lhs, rhs):
    tags = list(atoms(lhs) | atoms(rhs))
    differing = [device for device in devices_of_all_tag_sets(tags) if is_inside(lhs, device) != is_inside(rhs, device)]
    counterexample = witness(lhs, rhs)
    if counterexample is None:
        assert differing == []
    else:
        assert {(tag.type, tag.value) for tag in counterexample} in [device.tags for device in differing]


@given(st.permutations(list(product([False, True], repeat=3))), st.integers(5, 8))
def test_equivalence_detects_disguised_everyone_and_nobody(combinations, count):
    """Three tags make eight combinations: the union of all eight is everyone, of fewer is not."""
    union = any_of(
        all_of(tag if has_tag else ~tag for tag, has_tag in zip(BARE_TAGS[:3], combination, strict=True))
        for combination in combinations[:count]
    )
    assert (witness(Everyone(), union) is None) == (count == 8)
    assert (witness(Nobody(), ~union) is None) == (count == 8)


IDS_BY_KIND = {"alias": ("u1", "u2", "u3"), "account": ("u1", "a2")}
id_lists = [
    Ids(kind, values)
    for kind, names in IDS_BY_KIND.items()
    for count in range(1, 4)
    for values in permutations(names, count)
]
ids_expr = boolean_exprs(st.sampled_from([*BARE_TAGS[:2], *id_lists]))


@given(ids_expr, st.lists(ids_expr, min_size=1, max_size=2))
def test_partition_check_matches_brute_force_over_ids(target, parts):
    """One id per group gives the same answer as asking every device with any of the ids."""
    devices = [
        OracleDevice(tags=device.tags, ids={"alias": aliases, "account": accounts})
        for device in devices_of_all_tag_sets(BARE_TAGS[:2])
        for aliases in all_subsets(IDS_BY_KIND["alias"])
        for accounts in all_subsets(IDS_BY_KIND["account"])
    ]
    violations = [
        device for device in devices if sum(is_inside(part, device) for part in parts) != is_inside(target, device)
    ]
    assert (find_partition_violation(target, parts) is None) == (violations == [])


CITIES = [Tag("city", "Rome"), Tag("city", "Oslo")]
existence_expr = boolean_exprs(st.sampled_from([Has("city"), Has("tag"), *CITIES, *BARE_TAGS[:2]]))


@given(existence_expr, st.lists(existence_expr, min_size=1, max_size=2))
def test_partition_check_matches_brute_force_over_existence(target, parts):
    """Every value implies that the attribute has one, and a value that no expression mentions is one too."""
    unmentioned = [Tag("city", "Bonn"), Tag("tag", "unmentioned")]
    devices = devices_of_all_tag_sets([*CITIES, *BARE_TAGS[:2], *unmentioned])
    violations = [
        device for device in devices if sum(is_inside(part, device) for part in parts) != is_inside(target, device)
    ]
    assert (find_partition_violation(target, parts) is None) == (violations == [])


ages = st.sampled_from([Tag("age", "17"), *(Compare("age", operator, "17") for operator in COMPARE_OPS)])


@given(boolean_exprs(ages, max_leaves=6), st.lists(boolean_exprs(ages, max_leaves=6), min_size=1, max_size=2))
def test_partition_check_agrees_with_brute_force_over_order(target, parts):
    """A partition that is proved holds for every device; >= means greater or equal of numbers and days."""
    numbers = AttributeConstraints(keys={"age": value_keys_of("number")})
    devices = [OracleDevice(ages=ages) for ages in all_subsets([16, 17, 18])]
    for constraints in (NO_CONSTRAINTS, numbers):
        if find_partition_violation(target, parts, constraints) is None:
            for device in devices:
                assert sum(is_inside(part, device) for part in parts) == is_inside(target, device)


@pytest.mark.parametrize(("order", "wanted"), [("number", True), ("date", True), ("time", True), ("version", False)])
def test_equal_rank_is_equal_tag_except_for_versions(order, wanted):
    """1.2.0 is a version >= 1.2 that is neither > 1.2 nor the tag 1.2; of no known order, neither is assumed."""
    ordered = AttributeConstraints(keys={"x": value_keys_of(order)})
    value = "2020" if order in ("number", "version") else "2020-01-01"
    for text, other in (("x >= V", "x > V OR x:V"), ("NOT x <= V", "NOT x < V AND NOT x:V")):
        exprs = parse(text.replace("V", value)), parse(other.replace("V", value))
        assert (find_partition_violation(exprs[0], [exprs[1]], ordered) is None) == wanted
        assert not equivalent(*exprs)
    assert equivalent(parse("x >= 1 AND x > 1"), parse("x > 1"))


@given(existence_expr, st.booleans())
def test_existence_of_closed_attribute_is_union_of_its_values(expr, exhaustive):
    closed = AttributeConstraints(
        exhaustive=frozenset(["city"] if exhaustive else []), values={"city": ("Rome", "Oslo")}
    )
    devices = devices_of_all_tag_sets([*CITIES, *BARE_TAGS[:2], Tag("tag", "unmentioned")])
    if exhaustive:
        devices = [device for device in devices if any(type_ == "city" for type_, _ in device.tags)]
    by_values = map_atoms(expr, lambda atom: any_of(CITIES) if atom == Has("city") else atom)
    assert [is_inside(expr, device) for device in devices] == [is_inside(by_values, device) for device in devices]
    assert find_partition_violation(all_of([any_of([*CITIES, Not(any_of(CITIES))]), expr]), [by_values], closed) is None


@given(
    device_row_lists,
    st.lists(index_forms(index_leaf), min_size=1, max_size=6),
    st.sampled_from([4, 1 << 22]),
    st.sampled_from([-math.inf, row_order.MIN_GAIN]),
    st.sampled_from([0, joined_shard.MAX_JOINED_ROWS]),
)
def test_index_matches_oracle(devices, exprs, shard_devices, min_gain, joined_rows):
    oracle_devices = make_oracle_devices(devices)
    population = list(oracle_devices.values())
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_devices)
        patch.setattr(row_order, "MIN_GAIN", min_gain)  # any gain: rows are always sorted by tags first
        patch.setattr(joined_shard, "MAX_JOINED_ROWS", joined_rows)
        index = DeviceIndex.build(make_table(devices), Path(folder) / "index")
        for expr in exprs:
            expected = {name for name, device in oracle_devices.items() if is_inside(expr, device, None, population)}
            device_set = index.resolve(expr)
            assert sorted(device_set.ids()) == sorted(expected)
            assert index.count(expr) == len(device_set) == len(expected)
            assert index.explain(expr)[0].device_count == len(expected)


@given(mixed_tag_form)
def test_native_payload_is_equivalent_to_expression(expr):
    """Compare by enumerating all devices, independent of the proof inside `plan`."""
    for name in vendor_names(can="emit"):
        try:
            payload = get_vendor(name).emit(expr)
        except Unsupported as error:
            assert error.problems
            continue
        parsed = get_vendor(name).parse(payload)
        for device in devices_of_all_tag_sets(list(atoms(expr) | atoms(parsed))):
            assert is_inside(parsed, device) == is_inside(expr, device)


@given(mixed_tag_form)
def test_only_everyone_becomes_broadcast(expr):
    assume(render(expr) != "everyone")
    for name in vendor_names(can="emit"):
        for payload in plan(expr, name).native:
            assert render(get_vendor(name).parse(payload)) != "everyone"


@example([BARE_DEVICE | {"age": 0}], Has("age"), "all")
@example([BARE_DEVICE], parse("NOT anniversary(active) = 04-01"), None)
@given(device_row_lists, index_forms(index_leaf), st.sampled_from([None, "all"]))
def test_requests_reach_each_target_device_once(devices, expr, vendor_has):
    oracle_devices = make_oracle_devices(devices)
    population = list(oracle_devices.values())
    expected = [name for name, device in oracle_devices.items() if is_inside(expr, device, None, population)]
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(make_table(devices), Path(folder) / "index")
        for name in vendor_names(can="emit"):
            planned = plan(expr, name, index, vendor_has=vendor_has)
            parts = [get_vendor(name).parse(payload) for payload in planned.requests()]
            known_devices = {key: add_keys(device) for key, device in oracle_devices.items()}
            at_vendor = known_devices if reads_keys_as_tags(get_vendor(name)) else oracle_devices
            reached = Counter(
                device_name
                for part in parts[: len(planned.native)]
                for device_name, device in at_vendor.items()
                if is_inside(part, device)
            )
            for listed in parts[len(planned.native) :]:  # ids of this index, also where the vendor takes ids of users
                reached.update(listed.values)
            assert reached == Counter(expected), name


def reads_keys_as_tags(vendor: Vendor) -> bool:
    """Return whether *vendor* reads back the question for any value of a key as the tag of that name."""
    return Has in vendor.supported and vendor.parse(vendor.emit(Has("age"))) == Tag("tag", "age")


def add_keys(device: OracleDevice) -> OracleDevice:
    """Return *device* with each attribute as a key, which is the tag of that name."""
    keys = {type_ for type_, _ in device.tags if type_ != "tag"}
    keys |= {"age"} if device.ages else set()
    keys |= {"active"} if device.days else set()
    keys |= {"version"} if device.versions else set()
    return replace(device, tags=device.tags | {("tag", key) for key in keys})


filled_texts = st.text(min_size=1, max_size=40).map(str.strip).filter(bool)  # outer blanks are no part of an id
id_values = st.lists(filled_texts | st.sampled_from(["a,b", "x" * 36, "y" * 37, "z,"]), unique=True)


@given(id_values)
def test_batches_partition_ids_within_limit(ids):
    ids += [f"id{number}" for number in range(2_500)]  # several bodies
    assume(len(set(ids)) == len(ids))
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(pl.DataFrame({"registration_id": ids}), Path(folder) / "index")
        for name in vendor_names(can="emit"):
            batches = batch_ids(index.resolve("everyone"), name)
            chunks = list(batches.id_chunks())
            deliverable = [identifier for chunk in chunks for identifier in chunk]
            skipped = batches.skipped_frame["device"].to_list()
            assert Counter(deliverable + skipped) == Counter(ids)
            assert all(0 < len(chunk) <= get_vendor(name).max_ids for chunk in chunks)
            assert all(get_vendor(name).id_problem(identifier) is None for identifier in deliverable)
            assert all(get_vendor(name).id_problem(identifier) is not None for identifier in skipped)


@given(st.integers(1, 10_000), st.sampled_from(["(", "NOT ", "!(", "NOT(", "a AND (", "tag_not("]))
def test_deep_nesting_never_raises_recursion_error(depth, opening):
    text = opening * depth + "a" + ")" * (depth * opening.count("("))
    try:
        render(simplify(nnf(parse(text))))
    except AudienceError as error:
        assert depth >= MAX_DEPTH / 2 or opening == "tag_not("
        assert error.code in ("too-deep", "unexpected-word")
