"""One body for every vendor; the facts are lines of text in vendors/<name>.txt."""

import json
import warnings
from collections import Counter

import pytest
from fact_files import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import every_device, inside
from strategies import junctions

from audience import (
    And,
    BudgetError,
    Compare,
    Expr,
    Ids,
    Or,
    PayloadError,
    PayloadWarning,
    PlanError,
    Segment,
    Unsaid,
    all_of,
    any_of,
    batches,
    equivalent,
    parse,
    plan,
    render,
    simplify,
    translate,
    vendor,
    vendors,
)
from audience.language.ast import atoms
from audience.vendors import reachable
from audience.vendors.payload_reader import load

every = pytest.mark.parametrize("name", vendors())
every_reachable = pytest.mark.parametrize("name", reachable())
fewer = settings(max_examples=max(10, settings().max_examples // 3))  # of what is slow for each of many vendors
FEWEST = {"read": 5, "refuse": 3, "say": 3, "cannot": 3}  # lines of facts
TAGS = "t{}"  # where a vendor's facts do not say which tags are legal there


def told(name: str, verb: str) -> list[tuple[str, str]]:
    """What the lines of a vendor's facts with *verb* say."""
    return [case.values[1:] for case in cases("vendors", verb) if case.values[0] == name]


def tags_of(name: str, count: int) -> list:
    """So many tags that are legal at a vendor, of all the kinds that its facts name."""
    kinds = [kind for left, _ in told(name, "tags") for kind in left.split()] or [TAGS]
    return [parse(kinds[number % len(kinds)].format(number)) for number in range(count)]


@every
def test_a_vendor_has_facts(name):
    for verb, fewest in FEWEST.items():
        if verb in ("read", "refuse") or name in reachable():
            assert len(told(name, verb)) >= fewest, verb


def test_facts_are_of_vendors():
    assert {case.values[0] for case in cases("vendors", "read")} == set(vendors())


@every
def test_a_vendor_says_where_its_rules_stand(name):
    record = vendor(name)
    assert record.name == name
    assert record.page.startswith("https://")
    assert all(limit.source.startswith("https://") for limit in record.limits.values())
    assert record.fragment
    assert len(record.read_on.split("-")) == 3


@pytest.mark.parametrize(("name", "payload", "meaning"), cases("vendors", "read"))
def test_a_payload_means(name, payload, meaning):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render(vendor(name).parse(load(payload))) == render(parse(meaning))


@pytest.mark.parametrize(("name", "payload", "meaning"), cases("vendors", "warn"))
def test_a_payload_means_with_a_warning(name, payload, meaning):
    with pytest.warns(PayloadWarning):
        assert render(vendor(name).parse(load(payload))) == render(parse(meaning))


@pytest.mark.parametrize(("name", "payload", "place"), cases("vendors", "refuse"))
def test_a_payload_is_refused_at_its_place(name, payload, place):
    with pytest.raises(PayloadError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        vendor(name).parse(load(payload))
    problem = caught.value.problems[0]
    assert f"{problem.code} {problem.path}" == place


@pytest.mark.parametrize(("name", "text", "payload"), cases("vendors", "say"))
def test_an_expression_is_said(name, text, payload):
    said = vendor(name).emit(simplify(parse(text)))
    assert said == load(payload)
    assert equivalent(vendor(name).parse(said), parse(text))


@pytest.mark.parametrize(("name", "text", "codes"), cases("vendors", "cannot"))
def test_an_expression_cannot_be_said_for_these_reasons(name, text, codes):
    assert sorted({*reasons(name, simplify(parse(text)))}) == sorted(codes.split())


@every_reachable
def test_a_segment_that_is_simplified_away_is_no_reason(name):
    [tag] = tags_of(name, 1)
    beyond = [Ids("alias", ("u1",)), Compare("age", "<", "30")]
    assert reasons(name, all_of([tag, Or((tag, Segment("s"))), *beyond])) == reasons(name, all_of([tag, *beyond]))


def reasons(name: str, expr: Expr) -> list[str]:
    """The codes of all that keeps a vendor from saying *expr*."""
    with pytest.raises(Unsaid) as caught:
        vendor(name).emit(expr)
    return [problem.code for problem in caught.value.problems]


@every_reachable
@given(st.data())
@fewer
def test_what_is_said_reads_back_as_what_was_meant(name, data):
    expr = data.draw(junctions(st.sampled_from(tags_of(name, 8)), most=8))
    try:
        said = vendor(name).parse(vendor(name).emit(expr))
    except Unsaid as unsaid:
        assert unsaid.problems
        return
    for device in every_device(list(atoms(expr) | atoms(said))):
        assert inside(said, device) == inside(expr, device)


@every_reachable
@given(st.data())
@fewer
def test_each_of_256_devices_is_told_once_or_not_at_all(name, data):
    tags = tags_of(name, 8)
    expr = data.draw(junctions(st.sampled_from(tags), most=16))
    found = plan(expr, name)
    said = [vendor(name).parse(payload) for payload in found.native]
    rest = [] if found.by_ids is None else [found.by_ids]
    assert bool(rest) == bool(found.reasons)
    for device in every_device(tags):
        assert sum(inside(each, device) for each in [*said, *rest]) == inside(expr, device)


@st.composite
def wide(draw, tags):
    """Expressions of lists that are longer than a request takes."""
    lists = st.lists(st.sampled_from(tags), min_size=1, max_size=60, unique=True)
    pieces = draw(st.lists(st.tuples(st.sampled_from([any_of, all_of]), st.booleans(), lists), min_size=1, max_size=12))
    terms = [join(~tag if negated else tag for tag in some) for join, negated, some in pieces]
    return draw(st.sampled_from([any_of, all_of]))(terms)


@every_reachable
@given(st.data())
@fewer
def test_limits_hold_however_wide_the_expression(name, data):
    limits = [(left.partition(" "), int(most)) for left, most in told(name, "limit")]
    expr = data.draw(wide(tags_of(name, 120)))
    for payload in plan(expr, name, max_requests=4).native:
        vendor(name).parse(payload)  # which refuses what is too long
        for (key, _, text), most in limits:
            assert all(_count(value, text) <= most for value in _values(payload, key)), key


def _count(value, text: str) -> int:
    """How many elements a list has, or how often a *text* stands in another."""
    return value.count(text) if isinstance(value, str) else len(value)


def _values(payload, key: str):
    """All that stands under *key*, also in JSON that is written as a text."""
    if isinstance(payload, str) and payload.startswith("{"):
        payload = json.loads(payload)
    if isinstance(payload, dict):
        yield from (value for name, value in payload.items() if name == key and isinstance(value, str | list))
    for value in payload.values() if isinstance(payload, dict) else payload if isinstance(payload, list) else ():
        yield from _values(value, key)


@every_reachable
def test_a_list_of_ids_has_at_most_the_number_of_one_request(name):
    record = vendor(name)
    names = [f"r{number}" for number in range(record.batch + 1)]
    for some in (names[:1], names[:2], names[:-1]):
        assert simplify(record.parse(record.listing(some))) == Ids("registration_id", tuple(some))
    with pytest.raises(Unsaid) as caught:
        record.emit(Ids("registration_id", tuple(names)))
    assert caught.value.problems


@pytest.mark.parametrize("name", [name for name in vendors() if name not in reachable()])
def test_a_vendor_that_is_read_only_is_refused_up_front_and_translated_from(name, index):
    for refused in (lambda: plan("a", name), lambda: batches(index.resolve("male"), name)):
        with pytest.raises(PlanError, match="nothing is sent to") as caught:
            refused()
        assert caught.value.code == "reads-only"
    payloads = [load(payload) for payload, _ in told(name, "read")]
    for target in reachable():
        for payload in payloads[:8]:
            found = translate(payload, name, target)
            assert found.native or found.by_ids is not None


@every_reachable
def test_one_tag_is_said_and_nobody_never_is(name):
    tag = tags_of(name, 1)[0]
    assert equivalent(vendor(name).parse(vendor(name).emit(tag)), tag)
    for nobody in (parse("nobody"), And((tag, ~tag))):
        with pytest.raises(Unsaid):
            vendor(name).emit(nobody)


def words_of(name: str) -> list[str]:
    """Every key and every text of the payloads that a vendor's facts have, most frequent first."""
    found: Counter[str] = Counter()
    left = [load(payload) for payload, _ in told(name, "read")]
    while left:
        match left.pop():
            case dict() as payload:
                found.update(list(payload))
                left += payload.values()
            case list() as payload:
                left += payload
            case str() as text:
                found[text] += 1
    return [word for word, _ in found.most_common(60)]


@every
@given(st.data())
def test_any_payload_is_read_or_refused_with_its_place(name, data):
    words = st.sampled_from(words_of(name))
    payloads = st.recursive(
        st.none() | st.booleans() | st.integers() | words | st.just("") | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
        max_leaves=12,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PayloadWarning)
            vendor(name).parse(data.draw(payloads))
    except PayloadError as error:
        assert error.problems[0].path.startswith("$")


@pytest.mark.parametrize("number", ["NaN", "Infinity", f"0x{'f' * 4_000}", "9" * 5_000])
def test_a_number_that_cannot_be_written_again_is_no_payload(number):
    for text in (f'{{"audience_type": {number}}}', f'{{"audience_type": {number}, }}'):
        with pytest.raises(PayloadError) as caught:
            load(text)
        assert caught.value.code == "bad-json"


@every
@given(st.data())
def test_a_payload_that_is_a_little_wrong_is_read_or_refused_with_its_place(name, data):
    payload = load(data.draw(st.sampled_from([payload for payload, _ in told(name, "read")])))
    wrong = data.draw(
        st.none() | st.booleans() | st.integers() | st.just([]) | st.just({}) | st.text("a&|!()', ", max_size=9)
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PayloadWarning)
            vendor(name).parse(_spoilt(payload, wrong, data))
    except PayloadError as error:
        assert error.problems[0].path.startswith("$")
    except BudgetError as error:
        assert error.problems


def _spoilt(payload, wrong, data):
    """*payload* with *wrong* in the place of one of its parts."""
    if isinstance(payload, dict | list) and payload and data.draw(st.integers(0, 3)):
        places = list(payload) if isinstance(payload, dict) else list(range(len(payload)))
        at = data.draw(st.sampled_from(places))
        spoilt = payload.copy()
        spoilt[at] = _spoilt(payload[at], wrong, data)
        return spoilt
    return wrong
