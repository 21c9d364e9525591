"""A catalog gives names and facts; it is refused by line where it contradicts itself."""

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Device, inside
from strategies import junctions

from audience import (
    CatalogError,
    Compare,
    DeviceIndex,
    PayloadError,
    Tag,
    Within,
    parse,
    plan,
    render,
    translate,
    vendor,
)
from audience.algebra.constraints import Facts, sharpen
from audience.language.ast import bare
from audience.planning.catalog.check import check
from audience.planning.catalog.loader import load, loads
from audience.planning.catalog.vendor_names import owners, said, speaking
from audience.vendors import reachable

TEXT = """
[province]
values = ["guangdong", "hunan", "shanghai", "四川"]
exclusive = true
exhaustive = true
[province.names]
engagelab = "{type}_{value}"
emas = { guangdong = "省份_广东", hunan = "省份_湖南", shanghai = "省份_上海", "四川" = "省份_四川" }

[version]
values = ["1.10.0", "1.0.2", "1.2.0"]
order = "version"
exclusive = true
[version.names]
engagelab = { "1.0.2" = "v102", "1.2.0" = "v120", "1.10.0" = "v1100" }
emas = "版本{value}"

[active]
order = "date"

[channel]
names.tpns = "xg_user_define.{type}:{value}"
names.engagelab = "ch_{value}"
"""
CATALOG = check(loads(TEXT))


def natively(text, name):
    """What *name* says of *text* with the catalog: one payload, and nothing by ids."""
    found = plan(text, name, catalog=CATALOG)
    assert (len(found.native), found.by_ids) == (1, None)
    return found.native[0]


def test_typed_tags_have_the_names_of_the_catalog():
    text = "male AND (province:guangdong OR province:hunan) AND NOT version:1.0.2"
    tags = {"tag": ["province_guangdong", "province_hunan"], "tag_and": ["male"], "tag_not": ["v102"]}
    assert natively(text, "engagelab") == {"to": tags}
    assert "省份_广东" in natively(text, "emas")["TargetValue"] == natively(text, "emas_v2")["Target"]["Value"]


def test_a_type_of_its_own_stands_before_the_first_dot():
    [rule] = natively("channel:store", "tpns")["tag_rules"]
    assert rule["tag_items"][0]["tags"] == ["channel:store"]
    assert rule["tag_items"][0]["tag_type"] == "xg_user_define"


def test_every_vendor_has_types_of_its_own():
    to = replace(vendor("engagelab"), types={"area": "region"})
    catalog = loads(
        "[province]\nnames.engagelab = { guangdong = 'area.440000' }\n[city]\nnames.engagelab = 'a.{value}'"
    )
    for tag, name in ((Tag("province", "guangdong"), Tag("region", "440000")), (Tag("city", "x"), bare("a.x"))):
        assert said(tag, catalog, to) == name
        assert owners(name, catalog, to) == [tag]


def test_a_type_of_any_name_stands_before_the_first_colon():
    to = replace(vendor("engagelab"), any_type=True)
    catalog = loads("[plan]\nnames.engagelab = 'user.Plan:{value}'\n[city]\nnames.engagelab = '{type}_{value}'")
    for tag, name in ((Tag("plan", "a:1.0"), Tag("user.Plan", "a:1.0")), (Tag("city", "x"), bare("city_x"))):
        assert said(tag, catalog, to) == name
        assert owners(name, catalog, to) == [tag]
    assert owners(Tag("plan", "a"), catalog, to) == [Tag("plan", "a")]


def test_what_was_named_is_read_back():
    payload = natively("province:四川 AND NOT version:1.2.0 AND vip", "engagelab")
    assert (
        render(speaking(vendor("engagelab"), CATALOG).parse(payload)) == "province:四川 AND vip AND NOT version:1.2.0"
    )
    found = translate(payload, "engagelab", "tpns", CATALOG)
    assert render(vendor("tpns").parse(found.native[0])) == "province:四川 AND vip AND NOT version:1.2.0"


def test_comparisons_of_closed_attributes_become_lists():
    assert natively("version >= 1.2", "engagelab") == {"to": {"tag": ["v120", "v1100"]}}
    assert plan("version > 1.10.0", "tpns", catalog=CATALOG).native == ()


def test_days_become_lists():
    [rule] = natively("active within 3 days of 2020-04-08 AND male", "tpns")["tag_rules"]
    assert rule["tag_items"][0]["tags"] == ["20200406", "20200407", "20200408"]
    assert plan("active >= 2020-04-06", "tpns", catalog=CATALOG).native == ()


def test_exclusive_values_shorten():
    assert plan("province:guangdong AND province:hunan", "engagelab", catalog=CATALOG).by_ids is None
    assert natively("province:guangdong AND NOT province:hunan", "engagelab") == {"to": {"tag": ["province_guangdong"]}}


def test_long_lists_of_exclusive_values_need_no_exclusions():
    values = [f"c{number:03}" for number in range(60)]
    text = f"[city]\nvalues = {values}\nexclusive = true\nnames.engagelab = '{{value}}'"
    found = plan(" OR ".join(f"city:{value}" for value in values), "engagelab", catalog=check(loads(text)))
    assert [payload["to"] for payload in found.native] == [{"tag": values[at : at + 20]} for at in (0, 20, 40)]
    assert found.by_ids is None


def test_an_exhaustive_attribute_lets_not_stand_alone():
    assert natively("NOT province:guangdong", "engagelab") == {
        "to": {"tag": ["province_hunan", "province_shanghai", "province_四川"]}
    }
    assert natively("NOT male", "engagelab")["to"]["tag_not"] == ["male"]
    assert "catalog" in {condition.code for condition in plan("NOT male", "engagelab", catalog=CATALOG).conditions}


RENAMED = """
[province]
names.tpns = "{type}_{value}"
names.umeng = "{type}_{value}"
names.airship = "{type}_{value}"
names.onesignal = "{type}_{value}"
[city]
names.jpush = "{type}_{value}"
[quarter]
names.jpush = "{value}_{type}"
[active]
order = "date"
names.umeng = "day_{value}"
[age]
order = "number"
names.braze = "home.{type}:{value}"
"""
CUSTOM = {"custom_attribute_name": "age", "comparison": "greater_than", "value": 5}


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        (
            "tpns",
            {"audience_type": "tag", "tag_rules": [{"tag_items": [{"tags": ["a"], "tag_type": "xg_auto_province"}]}]},
        ),
        ("umeng", {"type": "groupcast", "filter": {"where": {"and": [{"province": "a"}]}}}),
        ("umeng", {"type": "groupcast", "filter": {"where": {"and": [{"launch_from": "2020-04-08"}]}}}),
        ("airship", {"audience": {"tag": "a", "group": "province"}}),
        ("onesignal", {"filters": [{"field": "tag", "key": "province", "relation": "=", "value": "a"}]}),
        ("jpush", {"audience": {"tag": ["city_a_quarter"]}}),
        ("braze", {"audience": {"custom_attribute": CUSTOM}}),
    ],
)
def test_what_the_catalog_has_another_or_two_words_for_is_not_read(name, payload):
    vendor(name).parse(payload)
    with pytest.raises(PayloadError) as caught:
        speaking(vendor(name), check(loads(RENAMED))).parse(payload)
    assert (caught.value.code, caught.value.problems[0].path) == ("ambiguous-name", "$")


def test_what_the_catalog_has_one_word_for_is_read():
    catalog = check(loads(RENAMED))
    home = {"audience": {"custom_attribute": {**CUSTOM, "custom_attribute_name": "home.age"}}}
    assert speaking(vendor("braze"), catalog).parse(home) == Compare("age", ">", "5")
    assert speaking(vendor("jpush"), catalog).parse({"audience": {"tag": ["city_a"]}}) == Tag("city", "a")


@pytest.mark.parametrize(
    ("text", "name", "code"),
    [("city:a_quarter", "jpush", "ambiguous-name"), ("active >= 2020-04-08", "umeng", "no-ranges")],
)
def test_what_would_be_another_thing_there_goes_by_ids(text, name, code):
    found = plan(text, name, catalog=check(loads(RENAMED)))
    assert (found.native, [problem.code for problem in found.reasons]) == ((), [code])


def test_a_tag_that_has_the_name_of_another_goes_by_ids():
    found = plan("province_hunan AND male", "engagelab", catalog=CATALOG)
    assert (found.native, found.reasons[0].code) == ((), "ambiguous-name")


REFUSED = {
    "[a]\nvalues = ['x']\n\n[a.names]\nengagelab = 'no value'": ("not-reversible", "line 5"),
    "[a]\nnames.engagelab = 'a-{value}'": ("illegal-name", "line 2"),
    "[a]\nvalues = ['x']\nnames.engagelab = '{value}'\n[b]\nvalues = ['x']\nnames.engagelab = '{value}'": (
        "not-reversible",
        "line 6",
    ),
    "[a]\nvalues = ['x', 'y']\nnames.emas = { x = 'n', y = 'n' }": ("not-reversible", "line 3"),
    "[b]\nnames.engagelab = 'b_{value}'\n[c]\nvalues = ['b_x']\nnames.engagelab = '{value}'": (
        "not-reversible",
        "c:b_x and b:x are both b_x|b:x and c:b_x are both b_x",
    ),
    "[a]\nnames.engagelab = '{value}'": ("not-reversible", "fits every bare tag"),
    "[a]\nnames.tpns = 'xg_user_define.{value}'": ("not-reversible", "line 2"),
    "[a]\nvalues = ['x,y']\nnames.emas = '{value}'": ("illegal-name", "line 3"),
    "[a]\nvalues = ['" + "杭" * 14 + "']\nnames.engagelab = '{value}'": ("name-too-long", "line 3"),
    "[a]\nvalues = ['x', 'x']": ("bad-value", "line 2"),
    "[a]\nvalues = ['x']\norder = 'number'": ("bad-value", "line 2"),
    "[a]\norder = 'size'": ("unknown-order", "line 2"),
    "[a]\nexhaustive = true": ("not-closed", "line 2"),
    "[a]\nexcusive = true": ("unknown-key", "did you mean exclusive"),
    "[a]\nvalues = 3": ("wrong-type", "line 2"),
    "[a]\nnames.engagelba = '{value}'": ("unknown-vendor", "line 2"),
    "[a]\nnames.fcm = 1": ("wrong-type", "line 2"),
    "[a]\nnames.fcm = { x = 1 }": ("wrong-type", "line 2"),
    "[a]\nnames.fcm = { x = '' }": ("wrong-type", "line 2"),
    "[a]\nnames.fcm = { '' = 'x' }": ("wrong-type", "line 2"),
    "[a]\nnames.fcm = '{value}_{value}'": ("not-reversible", "line 2"),
    "['']\nnames.fcm = 'x_{value}'": ("empty-name", "line 1"),
    "a = 3": ("wrong-type", "line 1"),
    "[a": ("bad-toml", "Expected"),
}


@pytest.mark.parametrize(("text", "code", "told"), [(text, *case) for text, case in REFUSED.items()])
def test_a_catalog_that_cannot_be_is_refused_by_line(text, code, told):
    with pytest.raises(CatalogError, match=told) as caught:
        check(loads(text))
    assert caught.value.code == code


def test_a_catalog_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CatalogError, match="unreadable-file"):
        load(tmp_path / "none.toml")


PROVINCES = [Tag("province", value) for value in ("guangdong", "hunan", "shanghai", "四川")]
VERSIONS = [Tag("version", value) for value in ("1.0.2", "1.2.0", "1.10.0")]
POSSIBLE = [
    Device(frozenset((tag.type, tag.value) for tag in (p, v, m) if tag), versions=(v.value,) if v else ())
    for p in PROVINCES
    for v in (None, *VERSIONS)
    for m in (None, bare("male"))
]
COMPARED = [Compare("version", ">=", "1.2"), Compare("version", "<", "1.10.0")]
closed = junctions(st.sampled_from([*PROVINCES, *VERSIONS, bare("male"), *COMPARED]))


@given(closed)
def test_with_a_catalog_every_device_there_can_be_is_reached_once(expr):
    for name in reachable():
        found = plan(expr, name, catalog=CATALOG)
        speaker = speaking(vendor(name), CATALOG)
        said = [speaker.parse(payload) for payload in found.native] + (
            [found.by_ids] if found.by_ids is not None else []
        )
        for device in POSSIBLE:
            assert sum(inside(each, device) for each in said) == inside(expr, device)


@given(junctions(st.sampled_from([*PROVINCES, bare("male")])))
def test_sharpening_changes_nothing_for_devices_there_can_be(expr):
    sharp = sharpen(expr, Facts(frozenset({"province"})))
    for device in POSSIBLE:
        assert inside(sharp, device) == inside(expr, device)


def test_a_stretch_of_days_is_exact():
    found = plan(Within("active", 2, "2020-03-01"), "tpns", catalog=CATALOG)
    assert render(found.parts[0]) == "active:2020-02-29 OR active:2020-03-01"
    assert found.conditions == ()


def test_examples_parse():
    assert parse("province:guangdong") == PROVINCES[0]


VERSIONS_SEEN = ["1.2.0", "1.10", "1.0.2"]


def test_a_catalog_that_the_index_contradicts_is_not_believed(tmp_path):
    table = pl.DataFrame({"token": ["a", "b", "c"], "province": ["guangdong", "hunan", None], "version": VERSIONS_SEEN})
    index = DeviceIndex.build(table, tmp_path / "index")
    for text, count in (("NOT province:guangdong", 2), ("version >= 1.2", 2)):
        found = plan(text, "emas", index, CATALOG)
        assert [reason.code for reason in found.reasons] == ["catalog-contradicted"]
        assert sum(len(body["TargetValue"].split(",")) for body in found.requests()) == count
    assert plan("province:guangdong", "emas", index, CATALOG).native


def test_a_device_of_two_values_that_exclude_each_other_is_not_told_twice(tmp_path):
    text = '[p]\nvalues = ["a", "b"]\nexclusive = true\nnames.engagelab = "{type}_{value}"'
    seen = {"registration_id": ["1", "2"], "p": [["a", "b"], ["a"]], "tags": [["x", "y"], ["x"]]}
    index = DeviceIndex.build(pl.DataFrame(seen), tmp_path / "index", typed=["p"])
    found = plan("(p:a AND x) OR (p:b AND y)", "engagelab", index, check(loads(text)))
    assert [reason.code for reason in found.reasons] == ["catalog-contradicted"]
    assert "1 told again" in found.reasons[0].message
    assert list(found.requests()) == [{"to": {"registration_id": ["1", "2"]}}]


def test_ids_of_one_vendor_are_not_those_of_another():
    payload = {"to": {"registration_id": ["r1"]}}
    assert [reason.code for reason in translate(payload, "engagelab", "emas").reasons] == ["other-vendors-ids"]
    device = {"Target": "DEVICE", "TargetValue": "d1"}
    assert translate(device, "emas", "emas_v2").native == ({"Target": {"Type": "DEVICE", "Value": "d1"}},)
