"""Filters mean what is said and what is read, whatever `!=` does where the key is missing."""

from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import Device, inside
from strategies import junctions

from audience import PayloadError, Tag, Unsaid, parse, vendor
from audience.language.ast import bare
from audience.vendors.onesignal import filters as rules

BARE = ["a", "b"]
VALUES = {"city": ["Rome", "Milan"], "plan": ["free", "pro"]}
TAGS = [*map(bare, BARE), *(Tag(key, value) for key, values in VALUES.items() for value in values)]
PEOPLE = [
    {key: value for key, value in zip([*BARE, *VALUES], values, strict=True) if value}
    for values in product(["", "1"], ["", "1"], ["", "Oslo", *VALUES["city"]], ["", "x", *VALUES["plan"]])
]


def holds(entry: dict, person: dict, missing_is_unequal: bool) -> bool:
    """One filter, read as the page does."""
    value = person.get(entry["key"])
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


def told(filters: list[dict], person: dict, missing_is_unequal: bool) -> bool:
    """AND before OR."""
    groups: list[list[dict]] = [[]]
    for entry in filters:
        if entry.get("operator") == "OR":
            groups.append([])
        elif "operator" not in entry:
            groups[-1].append(entry)
    return any(all(holds(entry, person, missing_is_unequal) for entry in group) for group in groups)


def device(person: dict, keys: list[str]) -> Device:
    """The same person with each of *keys* as a bare tag."""
    tags = {("tag", key) for key in person if key in keys}
    return Device(tags=frozenset(tags | set(person.items())))


@given(junctions(st.sampled_from(TAGS)))
def test_what_is_said_does_not_depend_on_missing_keys(expr):
    try:
        said = vendor("onesignal").emit(expr)
    except Unsaid:
        assume(False)
    assume("filters" in said)
    for person, missing in product(PEOPLE, [True, False]):
        assert told(said["filters"], person, missing) == inside(expr, device(person, BARE))


ALONE = [
    {"field": "tag", "key": key, "relation": word} for key in [*BARE, *VALUES] for word in ("exists", "not_exists")
]
COMPARED = [
    {"field": "tag", "key": key, "relation": relation, "value": value}
    for key, values in VALUES.items()
    for relations, operands in ((("=", "!="), values), (("in_array", "not_in_array"), [",".join(values)]))
    for relation, value in product(relations, operands)
]
entries = st.sampled_from(ALONE) | st.sampled_from(COMPARED)
lists = st.lists(st.lists(entries, min_size=1, max_size=3), min_size=1, max_size=5)


def joined(groups: list[list[dict]]) -> list[dict]:
    return [entry for group in groups for entry in ({"operator": "OR"}, *group)][1:]


@given(lists)
def test_what_is_read_does_not_depend_on_missing_keys(groups):
    filters = joined(groups)
    try:
        expr = vendor("onesignal").parse({"filters": filters})
    except PayloadError as error:
        assert error.code == "ambiguous"
        assert any(told(filters, person, True) != told(filters, person, False) for person in PEOPLE)
        return
    for person, missing in product(PEOPLE, [True, False]):
        assert told(filters, person, missing) == inside(expr, device(person, [*BARE, *VALUES]))


KNOWN = {True: "vip AND NOT city:Rome", False: "vip AND city AND NOT city:Rome"}


@pytest.mark.parametrize(("missing", "meaning"), KNOWN.items())
def test_once_it_is_known_what_unequal_means_it_is_read_and_said_so(monkeypatch, missing, meaning):
    monkeypatch.setattr(rules, "MISSING_IS_UNEQUAL", missing)
    vip = {"field": "tag", "key": "vip", "relation": "exists"}
    filters = [vip, {"field": "tag", "key": "city", "relation": "!=", "value": "Rome"}]
    assert vendor("onesignal").parse({"filters": filters}) == parse(meaning)
    said = vendor("onesignal").emit(parse("vip AND NOT city:Rome"))["filters"]
    assert (said == filters) == missing
    assert all(told(said, person, missing) == told(filters, person, True) for person in PEOPLE)
