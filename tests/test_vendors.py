"""Tests that every vendor has to pass; vendors/<name>.txt has its facts, one a line."""

import json
import warnings
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from fact_files import load_cases
from hypothesis import given, settings
from hypothesis import strategies as st
from real_payloads import ask, means_the_same
from sizes import scale_examples
from strategies import boolean_exprs

from audience import (
    And,
    Compare,
    ComplexityError,
    Expr,
    Ids,
    Not,
    Or,
    PayloadError,
    PayloadWarning,
    PlanError,
    Sample,
    Segment,
    Tag,
    Unsupported,
    Within,
    all_of,
    any_of,
    batch_ids,
    equivalent,
    get_vendor,
    parse,
    plan,
    render,
    simplify,
    translate,
    vendor_names,
)
from audience.language.ast import ExprNode, atoms
from audience.language.attribute_names import BUILTIN_TYPES
from audience.planning.catalog.loader import parse_catalog
from audience.span import Span
from audience.testing.oracle import devices_of_all_tag_sets, is_inside
from audience.testing.registration import register_vendors
from audience.vendors.payload_reader import load_json
from audience.vendors.spec import read_only_emit
from audience.vendors.wrapping import find_own_function, wrap_functions

every_vendor = pytest.mark.parametrize("name", vendor_names())
every_writable_vendor = pytest.mark.parametrize("name", vendor_names(can="emit"))
fewer_examples = settings(
    max_examples=scale_examples(max(10, settings().max_examples // 3))
)  # these tests are slow for each of many vendors
MIN_FACTS = {"read": 5, "refuse": 3, "say": 3, "cannot": 3}  # lines of each verb
TAG_PATTERN = "t{}"  # if a vendor's facts do not list its legal tags


def fact_lines(vendor_name: str, verb: str) -> list[tuple[str, str]]:
    """Return both sides of the lines of a vendor's facts with *verb*."""
    return [case.values[1:] for case in load_cases("vendors", verb) if case.values[0] == vendor_name]


def make_tags(vendor_name: str, count: int) -> list:
    """Return *count* legal tags of a vendor, of all the kinds in its facts."""
    kinds = [kind for left, _ in fact_lines(vendor_name, "tags") for kind in left.split()] or [TAG_PATTERN]
    return [parse(kinds[number % len(kinds)].format(number)) for number in range(count)]


@every_vendor
def test_vendor_has_fact_file(name):
    for verb, minimum in MIN_FACTS.items():
        if verb in ("read", "refuse") or name in vendor_names(can="emit"):
            assert len(fact_lines(name, verb)) >= minimum, verb


def test_fact_files_belong_to_vendors():
    assert {case.values[0] for case in load_cases("vendors", "read")} == set(vendor_names())


@every_vendor
def test_vendor_links_its_docs(name):
    record = get_vendor(name)
    assert record.name == name
    assert record.docs_url.startswith("https://")
    assert all(limit.source.startswith("https://") for limit in record.limits.values())
    assert record.fragment
    assert len(record.docs_read_on.split("-")) == 3


@pytest.mark.parametrize("name", vendor_names())
def test_builtins_belong_to_shared_vocabulary(name):
    assert get_vendor(name).builtins.keys() <= BUILTIN_TYPES


@pytest.mark.parametrize(("name", "payload", "meaning"), load_cases("vendors", "read"))
def test_payload_is_parsed_as_the_documented_expression(name, payload, meaning):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render(get_vendor(name).parse(load_json(payload))) == render(parse(meaning))


@pytest.mark.parametrize(("name", "payload", "meaning"), load_cases("vendors", "warn"))
def test_payload_with_a_mistake_is_parsed_with_a_warning(name, payload, meaning):
    with pytest.warns(PayloadWarning):
        assert render(get_vendor(name).parse(load_json(payload))) == render(parse(meaning))


@pytest.mark.parametrize(("name", "payload", "problem"), load_cases("vendors", "refuse"))
def test_payload_is_rejected_with_path(name, payload, problem):
    with pytest.raises(PayloadError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        get_vendor(name).parse(load_json(payload))
    [first, *_] = caught.value.problems
    assert f"{first.code} {first.path}" == problem


@pytest.mark.parametrize(("name", "text", "payload"), load_cases("vendors", "say"))
def test_expression_is_emitted(name, text, payload):
    vendor, expr = get_vendor(name), ask(parse(text))
    emitted = vendor.emit(simplify(expr))
    assert emitted == load_json(payload)
    assert means_the_same(ask(vendor.parse(emitted)), expr, vendor)


@pytest.mark.parametrize(("name", "text", "codes"), load_cases("vendors", "cannot"))
def test_unsupported_expression_has_reasons(name, text, codes):
    assert sorted({*unsupported_codes(name, simplify(ask(parse(text))))}) == sorted(codes.split())


@pytest.mark.parametrize(("name", "text", "codes"), load_cases("vendors", "assume"))
def test_emitted_expression_has_assumptions(name, text, codes):
    expr = simplify(ask(parse(text)))
    get_vendor(name).emit(expr)
    assert {problem.code for problem in get_vendor(name).assumptions(expr)} == set(codes.split())


@dataclass(frozen=True)
class Opened(ExprNode):
    """An atom of a kind that no vendor knows, and that `Atom` does not list."""

    message: str
    span: Span | None = None


@dataclass(frozen=True)
class Starred(Tag):
    """An atom of a kind that no vendor knows, but that looks like a tag."""


@every_writable_vendor
@pytest.mark.parametrize("unknown", [Opened("m1", Span("opened", 0, 6)), Starred("tag", "a", span=Span("a", 0, 1))])
def test_unknown_kind_of_atom_is_refused_with_one_reason(name, unknown):
    record = get_vendor(name)
    [tag] = make_tags(name, 1)
    for expr in (unknown, Not(unknown), And((tag, unknown)), Or((tag, unknown)), And((tag, Not(unknown)))):
        with pytest.raises(Unsupported) as caught:
            record.emit(expr)
        [problem] = caught.value.problems
        assert problem.code == "not-supported"
        assert record.title in problem.message
        assert problem.span == unknown.span


def test_read_only_vendor_refuses_unknown_kind_of_atom():
    with pytest.raises(Unsupported, match="Opened"):
        read_only_emit(Opened("m1"))


@every_writable_vendor
def test_vendor_that_drops_what_it_cannot_express_is_refused(name):
    """A vendor may explain comparisons itself, but its payload is not used if it drops them instead."""
    [tag] = make_tags(name, 1)
    careless = wrap_functions(replace(get_vendor(name), supported=frozenset({Tag}), emit=lambda expr: {}))
    assert careless.emit(tag) == {}
    for atom in (Compare("age", "<", "30"), Within("active", 3, "2020-04-08"), Ids("registration_id", ("r1",))):
        for expr in (atom, And((tag, atom)), Or((tag, Not(atom)))):
            with pytest.raises(Unsupported) as caught:
                careless.emit(expr)
            assert [problem.code for problem in caught.value.problems] == ["not-supported"]


@every_writable_vendor
def test_vendor_without_supported_atoms_is_refused_everything(name):
    [tag] = make_tags(name, 1)
    unprepared = wrap_functions(replace(get_vendor(name), supported=frozenset(), explained=frozenset()))
    for expr in (tag, ~tag, And((tag, Compare("age", "<", "30"))), Ids("registration_id", ("r1",))):
        with pytest.raises(Unsupported) as caught:
            unprepared.emit(expr)
        assert {problem.code for problem in caught.value.problems} == {"not-supported"}


@every_writable_vendor
def test_functions_of_a_record_made_from_another_are_wrapped_once(name):
    with register_vendors(replace(get_vendor(name), name="copy", id_columns=("copy",))):
        own, copied = get_vendor(name), get_vendor("copy")
    for function in ("emit", "tag_problems", "assumptions"):
        assert find_own_function(getattr(copied, function)) is find_own_function(getattr(own, function))


@every_writable_vendor
def test_no_assumption_is_listed_twice(name):
    for catalog in (None, parse_catalog(f'[platform]\nbuiltin = ["{name}"]\n[plan]\nat = ["{name}"]')):
        for text in ("platform:ios", "platform:ios AND vip", "plan:gold AND NOT province:hunan"):
            assumptions = plan(text, name, catalog=catalog).assumptions
            assert len(set(assumptions)) == len(assumptions)


@every_writable_vendor
def test_simplified_away_segment_is_no_reason(name):
    [tag] = make_tags(name, 1)
    beyond = [Ids("alias", ("u1",)), Compare("age", "<", "30"), Sample("10", "summer")]
    assert unsupported_codes(name, all_of([tag, Or((tag, Segment("s"))), *beyond])) == unsupported_codes(
        name, all_of([tag, *beyond])
    )


def unsupported_codes(vendor_name: str, expr: Expr) -> list[str]:
    """Return the codes of all reasons why a vendor cannot express *expr*."""
    with pytest.raises(Unsupported) as caught:
        get_vendor(vendor_name).emit(expr)
    return [problem.code for problem in caught.value.problems]


@every_writable_vendor
@given(st.data())
@fewer_examples
def test_emit_parse_round_trips(name, data):
    expr = data.draw(boolean_exprs(st.sampled_from(make_tags(name, 8)), max_leaves=8))
    try:
        read_back = get_vendor(name).parse(get_vendor(name).emit(expr))
    except Unsupported as error:
        assert error.problems
        return
    for device in devices_of_all_tag_sets(list(atoms(expr) | atoms(read_back))):
        assert is_inside(read_back, device) == is_inside(expr, device)


@every_writable_vendor
@given(st.data())
@fewer_examples
def test_each_of_256_devices_is_reached_at_most_once(name, data):
    tags = make_tags(name, 8)
    expr = data.draw(boolean_exprs(st.sampled_from(tags), max_leaves=16))
    result = plan(expr, name)
    parts = [get_vendor(name).parse(payload) for payload in result.native]
    by_ids = [] if result.by_ids is None else [result.by_ids]
    assert bool(by_ids) == bool(result.reasons)
    for device in devices_of_all_tag_sets(tags):
        assert sum(is_inside(part, device) for part in [*parts, *by_ids]) == is_inside(expr, device)


@st.composite
def wide_exprs(draw, tags):
    """Generate expressions with lists longer than a request allows."""
    lists = st.lists(st.sampled_from(tags), min_size=1, max_size=60, unique=True)
    pieces = draw(st.lists(st.tuples(st.sampled_from([any_of, all_of]), st.booleans(), lists), min_size=1, max_size=12))
    terms = [join(~tag if negated else tag for tag in operands) for join, negated, operands in pieces]
    return draw(st.sampled_from([any_of, all_of]))(terms)


@every_writable_vendor
@given(st.data())
@fewer_examples
def test_limits_hold_for_wide_expressions(name, data):
    limits = [(key.partition(" "), int(maximum)) for key, maximum in fact_lines(name, "limit")]
    expr = data.draw(wide_exprs(make_tags(name, 120)))
    for payload in plan(expr, name, max_requests=4).native:
        get_vendor(name).parse(payload)  # parse rejects a list that is too long
        for (key, _, text), maximum in limits:
            assert all(_count_items(value, text) <= maximum for value in _values_at_key(payload, key)), key


def _count_items(value, text: str) -> int:
    """Count the elements of a list, or the occurrences of *text* in a string."""
    return value.count(text) if isinstance(value, str) else len(value)


def _values_at_key(payload, key: str):
    """Yield every value under *key*, also in JSON text."""
    if isinstance(payload, str) and payload.startswith("{"):
        payload = json.loads(payload)
    if isinstance(payload, dict):
        yield from (value for name, value in payload.items() if name == key and isinstance(value, str | list))
    for value in payload.values() if isinstance(payload, dict) else payload if isinstance(payload, list) else ():
        yield from _values_at_key(value, key)


@every_writable_vendor
def test_id_list_has_at_most_max_ids(name):
    record = get_vendor(name)
    names = [f"r{number}" for number in range(record.max_ids + 1)]
    kinds = set()
    for ids in (names[:1], names[:2], names[:-1]):
        found = simplify(record.parse(record.target_ids(ids)))
        assert isinstance(found, Ids)
        assert found.values == tuple(ids)
        kinds.add(found.kind)
    [kind] = kinds  # of devices, or of users
    with pytest.raises(Unsupported) as caught:
        record.emit(Ids(kind, tuple(names)))
    assert caught.value.problems


@pytest.mark.parametrize("name", [name for name in vendor_names() if name not in vendor_names(can="emit")])
def test_read_only_vendor_is_only_a_source(name, index):
    for attempt in (lambda: plan("a", name), lambda: batch_ids(index.resolve("male"), name)):
        with pytest.raises(PlanError, match="is read-only") as caught:
            attempt()
        assert caught.value.code == "reads-only"
    payloads = [load_json(payload) for payload, _ in fact_lines(name, "read")]
    for target in vendor_names(can="emit"):
        for payload in payloads[:8]:
            result = translate(payload, name, target)
            assert result.native or result.by_ids is not None


@every_writable_vendor
def test_single_tag_is_emitted_and_nobody_is_not(name):
    tag = make_tags(name, 1)[0]
    assert equivalent(get_vendor(name).parse(get_vendor(name).emit(tag)), tag)
    for nobody in (parse("nobody"), And((tag, ~tag))):
        with pytest.raises(Unsupported):
            get_vendor(name).emit(nobody)


def frequent_words(vendor_name: str) -> list[str]:
    """Return every key and string in the payloads of a vendor's facts, most frequent first."""
    counts: Counter[str] = Counter()
    remaining = [load_json(payload) for payload, _ in fact_lines(vendor_name, "read")]
    while remaining:
        match remaining.pop():
            case dict() as payload:
                counts.update(list(payload))
                remaining += payload.values()
            case list() as payload:
                remaining += payload
            case str() as text:
                counts[text] += 1
    return [word for word, _ in counts.most_common(60)]


@every_vendor
@given(st.data())
def test_any_payload_is_parsed_or_rejected_with_path(name, data):
    words = st.sampled_from(frequent_words(name))
    payloads = st.recursive(
        st.none() | st.booleans() | st.integers() | words | st.just("") | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
        max_leaves=12,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PayloadWarning)
            get_vendor(name).parse(data.draw(payloads))
    except PayloadError as error:
        assert error.problems[0].path.startswith("$")


@pytest.mark.parametrize("number", ["NaN", "Infinity", f"0x{'f' * 4_000}", "9" * 5_000])
def test_unserializable_number_is_rejected(number):
    for text in (f'{{"audience_type": {number}}}', f'{{"audience_type": {number}, }}'):
        with pytest.raises(PayloadError) as caught:
            load_json(text)
        assert caught.value.code == "bad-json"


@every_vendor
@given(st.data())
def test_mutated_payload_is_parsed_or_rejected_with_path(name, data):
    payload = load_json(data.draw(st.sampled_from([payload for payload, _ in fact_lines(name, "read")])))
    replacement = data.draw(
        st.none() | st.booleans() | st.integers() | st.just([]) | st.just({}) | st.text("a&|!()', ", max_size=9)
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PayloadWarning)
            get_vendor(name).parse(_spoil_payload(payload, replacement, data))
    except PayloadError as error:
        assert error.problems[0].path.startswith("$")
    except ComplexityError as error:
        assert error.problems


def _spoil_payload(payload, replacement, data):
    """Replace one part of *payload*."""
    if isinstance(payload, dict | list) and payload and data.draw(st.integers(0, 3)):
        keys = list(payload) if isinstance(payload, dict) else list(range(len(payload)))
        key = data.draw(st.sampled_from(keys))
        spoiled = payload.copy()
        spoiled[key] = _spoil_payload(payload[key], replacement, data)
        return spoiled
    return replacement
