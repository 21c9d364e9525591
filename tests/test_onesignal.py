"""Filters mean what is said and what is read, whatever `!=` does where the key is missing."""

from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import boolean_exprs

from audience import PayloadError, Tag, Unsupported, get_vendor, parse
from audience.language.ast import bare
from audience.testing.oracle import OracleDevice, is_inside
from audience.vendors.onesignal import filters as rules

BARE_KEYS = ["a", "b"]
VALUES_BY_KEY = {"city": ["Rome", "Milan"], "plan": ["free", "pro"]}
TAGS = [*map(bare, BARE_KEYS), *(Tag(key, value) for key, values in VALUES_BY_KEY.items() for value in values)]
TAG_DICTS = [
    {key: value for key, value in zip([*BARE_KEYS, *VALUES_BY_KEY], values, strict=True) if value}
    for values in product(["", "1"], ["", "1"], ["", "Oslo", *VALUES_BY_KEY["city"]], ["", "x", *VALUES_BY_KEY["plan"]])
]


def matches_filter(entry: dict, tag_values: dict, missing_is_unequal: bool) -> bool:
    """One filter, read as the page does."""
    value = tag_values.get(entry["key"])
    match entry["relation"]:
        case "exists":
            return value is not None
        case "not_exists":
            return value is None
        case "=":
            return value == entry["value"]
        case "in_array":
            return value in entry["value"].split(",")
        case "!=" | "not_in_array":
            return missing_is_unequal if value is None else value not in entry["value"].split(",")
    raise AssertionError(entry)


def matches_filters(filters: list[dict], tag_values: dict, missing_is_unequal: bool) -> bool:
    """AND before OR."""
    groups: list[list[dict]] = [[]]
    for entry in filters:
        if entry.get("operator") == "OR":
            groups.append([])
        elif "operator" not in entry:
            groups[-1].append(entry)
    return any(all(matches_filter(entry, tag_values, missing_is_unequal) for entry in group) for group in groups)


def make_device(tag_values: dict, keys: list[str]) -> OracleDevice:
    """The same person with each of *keys* as a bare tag."""
    tags = {("tag", key) for key in tag_values if key in keys}
    return OracleDevice(tags=frozenset(tags | set(tag_values.items())))


@given(boolean_exprs(st.sampled_from(TAGS)))
def test_emitted_filters_do_not_depend_on_missing_keys(expr):
    try:
        said = get_vendor("onesignal").emit(expr)
    except Unsupported:
        assume(False)
    assume("filters" in said)
    for person, missing in product(TAG_DICTS, [True, False]):
        assert matches_filters(said["filters"], person, missing) == is_inside(expr, make_device(person, BARE_KEYS))


EXISTENCE_FILTERS = [
    {"field": "tag", "key": key, "relation": word}
    for key in [*BARE_KEYS, *VALUES_BY_KEY]
    for word in ("exists", "not_exists")
]
VALUE_FILTERS = [
    {"field": "tag", "key": key, "relation": relation, "value": value}
    for key, values in VALUES_BY_KEY.items()
    for relations, operands in ((("=", "!="), values), (("in_array", "not_in_array"), [",".join(values)]))
    for relation, value in product(relations, operands)
]
filter_entries = st.sampled_from(EXISTENCE_FILTERS) | st.sampled_from(VALUE_FILTERS)
filter_groups = st.lists(st.lists(filter_entries, min_size=1, max_size=3), min_size=1, max_size=5)


def join_with_or(groups: list[list[dict]]) -> list[dict]:
    return [entry for group in groups for entry in ({"operator": "OR"}, *group)][1:]


@given(filter_groups)
def test_parsed_filters_do_not_depend_on_missing_keys(groups):
    filters = join_with_or(groups)
    try:
        expr = get_vendor("onesignal").parse({"filters": filters})
    except PayloadError as error:
        assert error.code == "ambiguous"
        assert any(
            matches_filters(filters, person, True) != matches_filters(filters, person, False) for person in TAG_DICTS
        )
        return
    for person, missing in product(TAG_DICTS, [True, False]):
        assert matches_filters(filters, person, missing) == is_inside(
            expr, make_device(person, [*BARE_KEYS, *VALUES_BY_KEY])
        )


EXPECTED_BY_MEANING = {True: "vip AND NOT city:Rome", False: "vip AND city AND NOT city:Rome"}


@pytest.mark.parametrize(("missing", "meaning"), EXPECTED_BY_MEANING.items())
def test_unequal_filter_follows_configured_meaning(monkeypatch, missing, meaning):
    monkeypatch.setattr(rules, "MISSING_IS_UNEQUAL", missing)
    vip = {"field": "tag", "key": "vip", "relation": "exists"}
    filters = [vip, {"field": "tag", "key": "city", "relation": "!=", "value": "Rome"}]
    assert get_vendor("onesignal").parse({"filters": filters}) == parse(meaning)
    said = get_vendor("onesignal").emit(parse("vip AND NOT city:Rome"))["filters"]
    assert (said == filters) == missing
    assert all(matches_filters(said, person, missing) == matches_filters(filters, person, True) for person in TAG_DICTS)
