"""Filters mean what is said and what is read, whatever `!=` does where the key is missing."""

import warnings
from datetime import timedelta
from itertools import product

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from strategies import boolean_exprs

from audience import (
    And,
    Between,
    Compare,
    DeviceIndex,
    Everyone,
    Has,
    Ids,
    Nobody,
    Not,
    Or,
    PayloadError,
    PayloadWarning,
    Tag,
    Unsupported,
    get_vendor,
    parse,
    plan,
    render,
    translate,
)
from audience.language.as_of import read_as_of
from audience.language.ast import atoms, bare
from audience.language.binding import bind
from audience.planning.catalog.loader import parse_catalog

RECENT = {"field": "last_session", "relation": "<", "hours_ago": "30"}
AS_OF = read_as_of("2026-11-28T09:00", "Asia/Shanghai")
RECENTLY_ACTIVE = bind(parse("last_session within 30 hours"), AS_OF.moment, AS_OF.zone)
NEARBY = {"field": "location", "radius": "100", "lat": "37.5", "long": "-122.3"}
DEVICES = [
    {"a": a, "city": city, "age": age, "country": country, "app_version": version, "recent": recent}
    for a, city, age, country, version, recent in product(
        [None, "1"],
        [None, "Oslo", "Rome"],
        [None, "5", "7", "9.5"],
        [None, "CN", "US"],
        [None, "1", "2"],
        [True, False],
    )
]
ATOMS = [
    bare("a"),
    Tag("city", "Rome"),
    Tag("city", "Milan"),
    Has("city"),
    Tag("age", "7"),
    *(Compare("age", operator, value) for operator in ("<", "<=", ">", ">=") for value in ("5", "7")),
    Has("age"),
    Tag("country", "US"),
    Tag("country", "us"),
    Has("country"),
    Tag("version", "1"),
    Compare("version", ">", "1"),
    RECENTLY_ACTIVE,
    Between("age", "5", "7", "<"),
]
FIELD_OF_TYPE = {"version": "app_version"}
more_examples = settings(max_examples=scale_examples(200))


def matches_filter(entry: dict, device: dict, missing_is_unequal: bool) -> bool:
    """One filter, read as the page does."""
    if entry["field"] == "last_session":
        return device["recent"]
    value = device[entry["key"] if entry["field"] == "tag" else entry["field"]]
    match entry["relation"]:
        case "exists":
            return value is not None
        case "not_exists":
            return value is None
        case "=":
            return value == str(entry["value"])
        case "in_array":
            return value in entry["value"].split(",")
        case "!=" | "not_in_array":
            return missing_is_unequal if value is None else value not in str(entry["value"]).split(",")
        case "<":
            return value is not None and float(value) < float(entry["value"])
        case ">":
            return value is not None and float(value) > float(entry["value"])
    raise AssertionError(entry)


def matches_filters(filters: list[dict], device: dict, missing_is_unequal: bool) -> bool:
    """AND before OR."""
    groups: list[list[dict]] = [[]]
    for entry in filters:
        if entry.get("operator") == "OR":
            groups.append([])
        elif "operator" not in entry:
            groups[-1].append(entry)
    return any(all(matches_filter(entry, device, missing_is_unequal) for entry in group) for group in groups)


def is_member(expr, device: dict) -> bool:
    """The expression, asked of one device that has one value of a key."""
    match expr:
        case Everyone() | Nobody():
            return isinstance(expr, Everyone)
        case Between(type="last_session"):
            return device["recent"]
        case Between(type=type_, low=low, high=high):
            value = device[type_]
            return value is not None and eval(f"{low} {expr.low_operator} {value} {expr.high_operator} {high}")
        case Tag(type="tag", value=key):
            return device[key] is not None
        case Tag(type=type_, value=value):
            return device[FIELD_OF_TYPE.get(type_, type_)] == (value.upper() if type_ == "country" else value)
        case Has(type=type_):
            return device[FIELD_OF_TYPE.get(type_, type_)] is not None
        case Compare(type=type_, operator=operator, value=bound):
            value = device[FIELD_OF_TYPE.get(type_, type_)]
            return value is not None and eval(f"{value} {operator} {bound}")
        case Not(term=term):
            return not is_member(term, device)
        case And(terms=terms):
            return all(is_member(term, device) for term in terms)
        case Or(terms=terms):
            return any(is_member(term, device) for term in terms)
    raise AssertionError(expr)


@given(boolean_exprs(st.sampled_from(ATOMS)))
@more_examples
def test_emitted_filters_do_not_depend_on_missing_keys(expr):
    try:
        said = get_vendor("onesignal").emit(expr)
    except Unsupported:
        assume(False)
    assume("filters" in said)
    assert len(said["filters"]) <= 200
    for device, missing in product(DEVICES, [True, False]):
        assert matches_filters(said["filters"], device, missing) == is_member(expr, device)


@given(boolean_exprs(st.sampled_from(ATOMS)))
@more_examples
def test_plan_reaches_every_device_once(expr):
    planned = plan(expr, "onesignal", as_of=AS_OF.moment, timezone=AS_OF.zone.key)
    if planned.native == ({"included_segments": ["All"]},):
        assert all(is_member(expr, device) for device in DEVICES)
        return
    for device, missing in product(DEVICES, [True, False]):
        requests = sum(matches_filters(payload["filters"], device, missing) for payload in planned.native)
        by_ids = planned.by_ids is not None and is_member(planned.by_ids, device)
        assert requests + by_ids == is_member(expr, device)


# Payloads, by the documented grammar. -------------------------------------------------------------------------------


def tag_filters(key: str, values: list) -> list[dict]:
    arrays = [{"relation": relation, "value": ",".join(map(str, values))} for relation in ("in_array", "not_in_array")]
    pairs = [{"relation": relation, "value": value} for relation in ("=", "!=") for value in values]
    exists = [{"relation": relation} for relation in ("exists", "not_exists")]
    return [{"field": "tag", "key": key, **rest} for rest in (*arrays, *pairs, *exists)]


FILTERS = [
    *({"field": "tag", "key": "a", "relation": relation} for relation in ("exists", "not_exists")),
    *tag_filters("city", ["Rome", "Milan", "Oslo"]),
    *tag_filters("age", [7, "5"]),
    *({"field": "tag", "key": "age", "relation": relation, "value": value} for relation in "<>" for value in ("5", 7)),
    *({"field": "country", "relation": relation, "value": "US"} for relation in ("=", "!=")),
    *({"field": "country", "relation": relation} for relation in ("exists", "not_exists")),
    *({"field": "app_version", "relation": relation, "value": "1"} for relation in ("=", "!=", "<", ">")),
    RECENT,
]
OPERATORS = [[], [{"operator": "AND"}], [{"operator": "OR"}]]


@st.composite
def filter_lists(draw):
    """Filters, joined by AND, by OR, or by nothing."""
    entries = draw(st.lists(st.sampled_from(FILTERS), min_size=1, max_size=8))
    joined = [entries[0]]
    for entry in entries[1:]:
        joined += [*draw(st.sampled_from(OPERATORS)), entry]
    return joined


def read_filters(filters: list[dict]) -> tuple:
    """The expression of filters, and whether its parser warned of anything."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expr = get_vendor("onesignal").parse({"filters": filters})
        return bind(expr, AS_OF.moment, AS_OF.zone), bool(caught)


@given(filter_lists())
@more_examples
def test_parsed_filters_mean_what_they_say(filters):
    expr, is_warned = read_filters(filters)
    for device in DEVICES:
        assert is_member(expr, device) == matches_filters(filters, device, True)
        if not is_warned:
            assert is_member(expr, device) == matches_filters(filters, device, False)


@given(filter_lists())
@more_examples
def test_parsed_filters_are_emitted_again(filters):
    expr, _ = read_filters(filters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        planned = translate({"filters": filters}, "onesignal", "onesignal")
    if planned == plan(Nobody(), "onesignal") or not planned.native:
        no_filter_matches = not any(matches_filters(filters, device, True) for device in DEVICES)
        assert no_filter_matches or planned.reasons[0].code == "implied-broadcast"  # a reference may be one too
        return
    [said] = planned.native
    assert planned.by_ids is None
    assert read_filters(said["filters"])[0] == expr
    for device, missing in product(DEVICES, [True, False]):
        assert matches_filters(said["filters"], device, missing) == matches_filters(filters, device, missing)


@given(filter_lists())
@more_examples
def test_expression_of_filters_is_written_in_one_request(filters):
    """Without the payload, an expression is written so that `!=` does not matter."""
    expr, _ = read_filters(filters)
    try:
        said = get_vendor("onesignal").emit(expr)
    except Unsupported as error:
        assert {problem.code for problem in error.problems} <= {"not-over-field", "nobody", "too-many", "no-condition"}
        return
    if "filters" in said:
        for device, missing in product(DEVICES, [True, False]):
            assert matches_filters(said["filters"], device, missing) == is_member(expr, device)


# Other targets. -----------------------------------------------------------------------------------------------------

names = st.sampled_from(["Active Users", "Subscribed Users", "新用户"])
names_or_all = st.lists(names | st.just("All"), min_size=1, unique=True)
some_ids = st.lists(st.text("ab", min_size=1), min_size=1)
flags = st.dictionaries(st.sampled_from(["isIos", "isAndroid", "isAnyWeb"]), st.sampled_from([True, False, None]))
targets = st.one_of(
    st.builds(lambda included: {"included_segments": included}, names_or_all),
    st.builds(
        lambda included, excluded: {"included_segments": included, "excluded_segments": excluded},
        names_or_all,
        st.lists(names, unique=True),
    ),
    st.builds(lambda ids: {"include_subscription_ids": ids}, some_ids),
    st.builds(
        lambda label, ids: {"include_aliases": {label: ids}, "target_channel": "push"},
        st.sampled_from(["external_id", "onesignal_id", "crm"]),
        some_ids,
    ),
)
absent_keys = st.sampled_from(["include_player_ids", "include_phone_numbers", "excluded_segments"])
absent = st.dictionaries(absent_keys, st.sampled_from([None, [], False]))


@given(targets, flags, absent)
def test_other_targets_are_parsed_and_emitted_again(target, platforms, empty):
    payload = {"app_id": "x", **empty, **target, **platforms, "contents": {"en": "Hi"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        planned = translate(payload, "onesignal", "onesignal")
    if not planned.native:
        assert [problem.code for problem in planned.reasons] in ([], ["implied-broadcast"])
        return
    [said] = planned.native
    written = target if "include_subscription_ids" in target else {**target, **platforms}
    assert said == {key: value for key, value in written.items() if value}
    assert get_vendor("onesignal").parse(said) == get_vendor("onesignal").parse(payload)


def test_up_to_20000_ids_are_parsed_and_emitted_again():
    ids = [f"u{number}" for number in range(20_001)]
    for make in (
        lambda ids: {"include_aliases": {"external_id": ids}, "target_channel": "push"},
        lambda ids: {"include_subscription_ids": ids},
    ):
        [expr] = atoms(get_vendor("onesignal").parse(make(ids[:-1])))
        assert isinstance(expr, Ids)
        assert list(expr.values) == ids[:-1]
        assert translate(make(ids[:-1]), "onesignal", "onesignal").native == (make(ids[:-1]),)
        with pytest.raises(PayloadError) as caught:
            get_vendor("onesignal").parse(make(ids))
        assert caught.value.code == "too-many"


def test_expression_lists_up_to_20000_users_and_2000_subscriptions():
    for kind, maximum in (("alias", 20_000), ("registration_id", 2_000)):
        ids = tuple(f"u{number}" for number in range(maximum + 1))
        assert get_vendor("onesignal").emit(Ids(kind, ids[:-1]))
        with pytest.raises(Unsupported) as caught:
            get_vendor("onesignal").emit(Ids(kind, ids))
        assert [problem.code for problem in caught.value.problems] == ["too-many"]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("vip AND NOT city:Rome", "vendor-tags keys one-value"),
        ("cart_count > 0", "vendor-tags one-value numbers"),
        ("version >= 1.2", "builtin one-value version-code version-spelling"),
        ("country:us", "builtin one-value"),
        ("attribute.province:guangdong", "vendor-tags one-value"),
        ("everyone", "universe"),
        ("NOT vip", "vendor-tags universe keys"),
        ("alias(u1)", "account"),
    ],
)
def test_request_rests_on_assumptions(text, codes):
    assert " ".join(problem.code for problem in plan(text, "onesignal").assumptions) == codes


def test_unequal_filter_goes_back_with_its_operator_and_an_assumption():
    unequal = {"field": "tag", "key": "city", "relation": "!=", "value": "Rome"}
    with pytest.warns(PayloadWarning, match="also matches a device without city"):
        planned = translate({"filters": [unequal]}, "onesignal", "onesignal")
    assert planned.native == ({"filters": [unequal]},)
    assert "`!=` also matches a device without city" in [problem.message for problem in planned.assumptions]


def test_reference_is_written_among_tags_and_refused_elsewhere():
    expr = get_vendor("onesignal").parse({"filters": [NEARBY, {"field": "tag", "key": "vip", "relation": "exists"}]})
    assert get_vendor("onesignal").emit(expr)["filters"][0] == NEARBY
    elsewhere = plan(expr, "tpns")
    assert not elsewhere.native
    assert "only-at-vendor" in [problem.code for problem in elsewhere.reasons]


def test_hours_that_were_bound_at_another_moment_are_not_counted_by_onesignal():
    then, now = AS_OF.moment, AS_OF.moment + timedelta(hours=1)
    assert plan(RECENTLY_ACTIVE, "onesignal", as_of=then).native == ({"filters": [RECENT]},)
    later = plan(RECENTLY_ACTIVE, "onesignal", as_of=now)
    assert later.native == ()
    assert [problem.code for problem in later.reasons] == ["no-ranges"]


REFUSED_MESSAGES = {
    '{"included_segments": ["all"]}': '["All"]',
    '{"included_segments": ["All Users"]}': '["All"]',
    '{"included_segments": "All"}': 'write ["All"]',
    '{"excluded_segments": ["Old"]}': '"included_segments": ["All"]',
    '{"included_segments": [], "filter": [{"field": "tag", "key": "a", "relation": "exists"}]}': "write filters",
    '{"IncludedSegments": ["All"]}': "write included_segments",
    '{"included_segments": ["All"], "segments": ["x"]}': "write included_segments",
    '{"external_ids": ["u1"]}': '{"external_id": […]}',
    '{"tags": [{"key": "level", "relation": "=", "value": "10"}]}': (
        '"filters": [{"field":"tag","key":"level","relation":"=","value":"10"}]'
    ),
    '{"include_aliases": {"ExternalIds": ["e0"]}, "target_channel": "push"}': "external_id?",
    '{"include_aliases": {"externalId": ["e0"]}, "target_channel": "push"}': "external_id?",
    '{"include_aliases": {"external_id": "e0"}, "target_channel": "push"}': 'write ["e0"]',
    '{"include_aliases": {"external_id": ["e0"]}}': '"target_channel": "push"',
    '{"filters": []}': "included_segments",
    '{"filters": [{"field": "last_session", "relation": ">", "value": "0"}]}': '"hours_ago": "0"',
    '{"filters": [{"field": "level", "relation": "=", "value": "1"}]}': '"field": "tag", "key": "level"',
    '{"filters": [{"key": "level", "relation": "=", "value": "1"}]}': '"field": "tag"',
    '{"filters": [{"field": "tag", "key": "a", "relation": ">=", "value": "1"}]}': '"operator": "OR"',
    '{"filters": [{"field": "tag", "key": "a", "relation": "==", "value": "1"}]}': 'write "="',
    '{"filters": [{"field": "tag", "key": "a", "relation": "equals", "value": "1"}]}': "relation",
    '{"filters": [{"field": "tag", "key": "a", "relation": "=", "value": true}]}': 'write "true"',
    '{"filters": [{"field": "tag", "key": "a", "relation": "=", "value": ["x", "y"]}]}': '"in_array"',
    '{"filters": [{"field": "tag", "key": "a", "relation": "=", "value": ""}]}': '"not_exists"',
    '{"filters": [[{"field": "tag", "key": "a", "relation": "exists"}]]}': "without brackets",
    '{"filters": [{"field": "tag", "key": "a", "relation": "exists", "operator": "OR"}]}': "entry of its own",
    '{"filters": [{"operator": "OR"}, {"field": "tag", "key": "a", "relation": "exists"}]}': "drop it",
    '{"filters": [{"field": "tag", "key": "a", "relation": "exists"}, {"operator": "or"}]}': "did you mean OR?",
}


@pytest.mark.parametrize(("payload", "remedy"), REFUSED_MESSAGES.items())
def test_message_says_what_to_write(payload, remedy):
    with pytest.raises(PayloadError) as caught:
        get_vendor("onesignal").parse(payload)
    [problem] = caught.value.problems
    assert remedy in f"{problem.message} {problem.hint}"


def test_exclusive_tags_hold_in_proofs(tmp_path):
    """The proof views untyped tags as keys, of which the catalog's facts are true too."""
    table = pl.DataFrame({"registration_id": ["r1", "r2", "r3"], "tags": [["a"], ["b"], ["c"]]})
    index = DeviceIndex.build(table, tmp_path / "index")
    catalog = parse_catalog('[tag]\nexclusive = true\nat = { onesignal = ["a", "b"] }')
    result = plan("b AND NOT a OR c", "onesignal", index, catalog)
    assert (list(map(render, result.request_exprs)), render(result.by_ids)) == (["b"], "c")
    assert "catalog" in {problem.code for problem in result.assumptions}
