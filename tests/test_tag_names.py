"""Names of the tags of a sync: what a catalog gives a vendor, what is left out, and what is refused."""

from datetime import date

import polars as pl
import pytest
from fact_files import load_cases

from audience import DeviceIndex, PlanError
from audience.language.ast import Tag
from audience.language.printer import render
from audience.planning.catalog.loader import parse_catalog
from audience.planning.tag_names import find_synced_tag, has_same_naming, resolve_tag_names
from audience.tag_sync.tags import NamedScope, Scope
from audience.vendors import get_vendor

TABLE = pl.DataFrame(
    {
        "token": ["t1", "t2", "t3"],
        "tags": [["vip"], ["secret"], []],
        "is_new": [True, False, None],
        "province": ["hunan", "guangdong", "bad, name"],
        "age": [31.5, 17, 30],
        "day": [date(2020, 4, 8), None, date(2020, 4, 9)],
        "size": ["S", "M", None],
        "mapped": ["x", "y", None],
        "plain": ["a", "b", "c"],
        "own": ["a", "b", "c"],
        "color": ["30b", None, None],
        "clash": ["17", None, None],
    }
)
TEXT = """
[province.names]
engagelab = "p_{value}"
tpns = "xg_auto_province.{value}"
fcm = "p.{value}"
airship = "group.p:{value}"
getui = "p-{value}"
xiaomi = "p-{value}"
[tag]
at.engagelab = ["vip", "is_new"]
at.tpns = ["vip"]
at.fcm = ["vip"]
at.airship = ["vip"]
at.getui = ["vip"]
at.xiaomi = ["vip"]
at.onesignal = ["vip"]
[age]
order = "number"
builtin = ["tpns", "getui"]
[age.names]
engagelab = "age_{value}"
[day]
order = "date"
[day.names]
engagelab = "d{value:%Y%m%d}"
fcm = "d~{value:%Y-%m-%d}"
airship = "d{value:%Y-%m-%d}"
getui = "a_day_of_the_year_which_is_long:{value:%Y-%m-%d}"
xiaomi = "d-{value:%Y-%m-%d}"
[size]
values = ["S", "L"]
[size.names]
engagelab = "s_{value}"
fcm = "größe-{value}"
airship = "group.größe:{value}"
onesignal = "größe:{value}"
getui = "小-{value}"
xiaomi = "小-{value}"
[mapped.names]
engagelab = { x = "the_x" }
fcm = { x = "the_%20" }
airship = { x = "group.ua_x:the_x" }
onesignal = { x = "user:the_x" }
getui = { x = "the x" }
xiaomi = { x = "the;x" }
[color.names]
engagelab = { 30b = "age_30b" }
airship = { 30b = "age:30b" }
"""
CLASH = '[clash.names]\nengagelab = { 17 = "age_17" }\n[own]\nat = ["engagelab"]\n'


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    return DeviceIndex.build(TABLE, tmp_path_factory.mktemp("names") / "devices.index")


def resolve(vendor: str, attributes: str, index: DeviceIndex):
    catalog = parse_catalog(TEXT + (CLASH if attributes in ("clash", "own") else ""))
    return resolve_tag_names(None if attributes == "-" else attributes, get_vendor(vendor), catalog, index.snapshot)


@pytest.mark.parametrize(("vendor", "attributes", "expected"), load_cases("tag_names", "names"))
def test_tags_have_the_names_of_the_catalog(index, vendor, attributes, expected):
    names = resolve(vendor, attributes, index)
    assert sorted(tag.name for tag in names.names.values()) == sorted(expected.split())


@pytest.mark.parametrize(("vendor", "attributes", "expected"), load_cases("tag_names", "left"))
def test_tags_without_a_legal_name_are_left_out(index, vendor, attributes, expected):
    found = [f"{render(each.tag)} {each.problem.code}" for each in resolve(vendor, attributes, index).left_out]
    assert "; ".join(found) == expected


@pytest.mark.parametrize(("vendor", "attributes", "expected"), load_cases("tag_names", "refused"))
def test_what_cannot_be_synced_is_refused_with_a_hint(index, vendor, attributes, expected):
    with pytest.raises(PlanError) as error:
        resolve(vendor, attributes, index)
    code, _, rest = expected.partition(" ")
    assert error.value.code == code
    assert rest in str(error.value)


def test_an_attribute_that_the_index_has_no_more_can_be_named_once_it_was_synced(index):
    synced = {"old": NamedScope(Scope(frozenset({"old"})), "1"), "tag:gone": NamedScope(Scope(), "1")}
    vendor, catalog = get_vendor("engagelab"), parse_catalog(TEXT)
    names = resolve_tag_names("old,gone", vendor, catalog, index.snapshot, synced)
    assert (names.attributes, names.names) == (synced, {})


def test_a_name_that_was_read_from_the_vendor_is_the_tag_of_the_catalog(index):
    vendor, catalog = get_vendor("engagelab"), parse_catalog(TEXT)
    names = resolve_tag_names("province,vip", vendor, catalog, index.snapshot)
    found = {
        name: find_synced_tag(name, names, vendor, catalog, index.snapshot) for name in ("p_hunan", "p_x", "vip", "z")
    }
    assert {name: tag and tag.tag for name, tag in found.items()} == {
        "p_hunan": Tag("province", "hunan"),
        "p_x": Tag("province", "x"),
        "vip": Tag("tag", "vip"),
        "z": None,
    }


def test_naming_stays_the_same_while_the_catalog_does(index):
    vendor = get_vendor("engagelab")
    named = resolve_tag_names("province", vendor, parse_catalog(TEXT), index.snapshot).attributes["province"]
    assert has_same_naming(named, vendor, parse_catalog(TEXT + CLASH), index.snapshot)
    assert not has_same_naming(named, vendor, parse_catalog(TEXT.replace("p_{value}", "q_{value}")), index.snapshot)
    assert not has_same_naming(named, vendor, None, index.snapshot)


def test_no_attribute_at_all_is_refused(index):
    with pytest.raises(PlanError, match="--attributes names nothing"):
        resolve("engagelab", "", index)


def test_sync_without_a_catalog_asks_for_one(index):
    with pytest.raises(PlanError, match="a sync needs a catalog"):
        resolve_tag_names(None, get_vendor("engagelab"), None, index.snapshot)


@pytest.mark.parametrize(("vendor", "name"), [("engagelab", "bad,tag"), ("jpush", "bad,tag"), ("emas", "bad,tag")])
def test_tag_of_the_vendor_that_no_request_can_name_is_not_read(vendor, name, index):
    catalog, vendor = parse_catalog(f'[tag]\nat = ["{vendor}"]'), get_vendor(vendor)
    names = resolve_tag_names("tag", vendor, catalog, index.snapshot)
    assert find_synced_tag(name, names, vendor, catalog, index.snapshot) is None
    assert find_synced_tag("other", names, vendor, catalog, index.snapshot) is not None


def test_two_spellings_of_a_number_have_one_name(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"token": ["a", "b"], "age": [30, 17]}), tmp_path / "devices.index")
    index.update(pl.DataFrame({"token": ["c", "b"], "age": [30.0, 1.5]}))
    vendor = get_vendor("engagelab")
    names = resolve_tag_names("age", vendor, parse_catalog('[age.names]\nengagelab = "age_{value}"'), index.snapshot)
    assert {tag.name for tag in names.names.values()} == {"age_30"}
