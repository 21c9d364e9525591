"""Catalogs give names and constraints; invalid catalogs are rejected with their lines."""

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boolean_exprs

from audience import (
    CatalogError,
    Compare,
    DeviceIndex,
    PayloadError,
    Tag,
    Within,
    get_vendor,
    parse,
    plan,
    render,
    translate,
)
from audience.algebra.constraints import AttributeConstraints, simplify_with_constraints
from audience.language.ast import bare
from audience.planning.catalog.check import load_catalog, validate_catalog
from audience.planning.catalog.loader import parse_catalog, read_catalog
from audience.planning.catalog.vendor_names import find_candidate_tags, to_vendor_tag, with_catalog_names
from audience.testing.oracle import OracleDevice, is_inside
from audience.vendors import vendor_names

CATALOG_TEXT = """
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
builtin = ["tpns"]

[channel]
names.tpns = "xg_user_define.{type}:{value}"
names.engagelab = "ch_{value}"
"""
CATALOG = validate_catalog(parse_catalog(CATALOG_TEXT))


def emit_natively(text, vendor_name):
    """Return the only payload of *text* with the catalog; nothing is sent by ids."""
    result = plan(text, vendor_name, catalog=CATALOG)
    assert (len(result.native), result.by_ids) == (1, None)
    return result.native[0]


def test_typed_tags_use_catalog_names():
    text = "male AND (province:guangdong OR province:hunan) AND NOT version:1.0.2"
    tags = {"tag": ["province_guangdong", "province_hunan"], "tag_and": ["male"], "tag_not": ["v102"]}
    assert emit_natively(text, "engagelab") == {"to": tags}
    assert (
        "省份_广东" in emit_natively(text, "emas")["TargetValue"] == emit_natively(text, "emas_v2")["Target"]["Value"]
    )


def test_unknown_type_becomes_custom_tag():
    [rule] = emit_natively("channel:store", "tpns")["tag_rules"]
    assert rule["tag_items"][0]["tags"] == ["channel:store"]
    assert rule["tag_items"][0]["tag_type"] == "xg_user_define"


def test_vendor_type_alias_is_applied():
    vendor = replace(get_vendor("engagelab"), type_aliases={"area": "region"})
    catalog = parse_catalog(
        "[province]\nnames.engagelab = { guangdong = 'area.440000' }\n[city]\nnames.engagelab = 'a.{value}'"
    )
    for tag, name in ((Tag("province", "guangdong"), Tag("region", "440000")), (Tag("city", "x"), bare("a.x"))):
        assert to_vendor_tag(tag, catalog, vendor) == name
        assert find_candidate_tags(name, catalog, vendor) == [tag]


def test_any_type_vendor_splits_at_first_colon():
    vendor = replace(get_vendor("engagelab"), has_typed_tags=True)
    catalog = parse_catalog("[plan]\nnames.engagelab = 'user.Plan:{value}'\n[city]\nnames.engagelab = '{type}_{value}'")
    for tag, name in ((Tag("plan", "a:1.0"), Tag("user.Plan", "a:1.0")), (Tag("city", "x"), bare("city_x"))):
        assert to_vendor_tag(tag, catalog, vendor) == name
        assert find_candidate_tags(name, catalog, vendor) == [tag]
    assert find_candidate_tags(Tag("plan", "a"), catalog, vendor) == [Tag("plan", "a")]


CLOSED_ATTRIBUTE = st.fixed_dictionaries(
    {
        "values": st.lists(st.sampled_from(["北京", "beijing", "天津", "guangdong", "x"]), min_size=1, unique=True),
        "names": st.sampled_from(
            [
                "",
                'builtin = ["tpns"]',
                'at = ["tpns"]',
                'names.tpns = "{value}"',
                'names.tpns = "{type}_{value}"',
                'names.tpns = "xg_auto_province.{value}"',
                'names.tpns = { "北京" = "xg_auto_province.北京", x = "province_x" }',
                'builtin = ["tpns"]\nnames.tpns = { "天津" = "beijing", x = "x" }',
            ]
        ),
    }
)


@given(province=CLOSED_ATTRIBUTE, area=CLOSED_ATTRIBUTE)
def test_every_tag_with_a_name_is_found_by_it(province, area):
    tables = {"province": province, "area": area}
    text = "\n".join(f"[{type_}]\nvalues = {table['values']}\n{table['names']}" for type_, table in tables.items())
    catalog, vendor = parse_catalog(text), get_vendor("tpns")
    tags = [Tag(type_, value) for type_, table in tables.items() for value in table["values"]]
    for name in dict.fromkeys(to_vendor_tag(tag, catalog, vendor) for tag in tags):
        called_so = [tag for tag in tags if to_vendor_tag(tag, catalog, vendor) == name and tag != name]
        assert sorted(find_candidate_tags(name, catalog, vendor), key=str) == sorted(called_so or [name], key=str), text


def test_catalog_names_round_trip():
    payload = emit_natively("province:四川 AND NOT version:1.2.0 AND vip", "engagelab")
    assert (
        render(with_catalog_names(get_vendor("engagelab"), CATALOG).parse(payload))
        == "province:四川 AND vip AND NOT version:1.2.0"
    )
    result = translate(payload, "engagelab", "tpns", CATALOG)
    assert render(get_vendor("tpns").parse(result.native[0])) == "province:sichuan AND vip AND NOT version:1.2.0"


def test_comparison_of_closed_attribute_becomes_value_list():
    assert emit_natively("version >= 1.2", "engagelab") == {"to": {"tag": ["v120", "v1100"]}}
    assert plan("version > 1.10.0", "tpns", catalog=CATALOG).native == ()


def test_day_range_becomes_value_list():
    [rule] = emit_natively("active within 3 days of 2020-04-08 AND male", "tpns")["tag_rules"]
    assert rule["tag_items"][0]["tags"] == ["20200406", "20200407", "20200408"]
    assert plan("active >= 2020-04-06", "tpns", catalog=CATALOG).native == ()


def test_exclusive_values_shorten_expression():
    assert plan("province:guangdong AND province:hunan", "engagelab", catalog=CATALOG).by_ids is None
    assert emit_natively("province:guangdong AND NOT province:hunan", "engagelab") == {
        "to": {"tag": ["province_guangdong"]}
    }


def test_long_exclusive_value_list_needs_no_exclusion():
    values = [f"c{number:03}" for number in range(60)]
    text = f"[city]\nvalues = {values}\nexclusive = true\nnames.jpush = '{{value}}'"
    result = plan(
        " OR ".join(f"city:{value}" for value in values), "jpush", catalog=validate_catalog(parse_catalog(text))
    )
    assert [payload["audience"] for payload in result.native] == [
        {"tag": values[start : start + 20]} for start in (0, 20, 40)
    ]
    assert result.by_ids is None


def test_exhaustive_attribute_allows_unbounded_not():
    assert emit_natively("NOT province:guangdong", "engagelab") == {
        "to": {"tag": ["province_hunan", "province_shanghai", "province_四川"]}
    }
    assert emit_natively("NOT male", "engagelab")["to"]["tag_not"] == ["male"]
    assert "catalog" in {assumption.code for assumption in plan("NOT male", "engagelab", catalog=CATALOG).assumptions}


RENAMED_CATALOG_TEXT = """
[province]
names.tpns = "{type}_{value}"
names.umeng = "{type}_{value}"
names.airship = "{type}_{value}"
[city]
names.jpush = "{type}_{value}"
names.onesignal = "{type}_{value}"
[quarter]
names.jpush = "{value}_{type}"
[active]
order = "date"
names.umeng = "day_{value}"
[age]
order = "number"
names.braze = "home.{type}:{value}"
"""
CUSTOM_FILTER = {"custom_attribute_name": "age", "comparison": "greater_than", "value": 5}


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        (
            "tpns",
            {"audience_type": "tag", "tag_rules": [{"tag_items": [{"tags": ["a"], "tag_type": "xg_auto_province"}]}]},
        ),
        ("umeng", {"type": "groupcast", "filter": {"where": {"and": [{"province": "a"}]}}}),
        ("umeng", {"type": "groupcast", "filter": {"where": {"and": [{"launch_from": "2020-04-08"}]}}}),
        ("onesignal", {"filters": [{"field": "tag", "key": "city", "relation": "=", "value": "a"}]}),
        ("jpush", {"audience": {"tag": ["city_a_quarter"]}}),
        ("braze", {"audience": {"custom_attribute": CUSTOM_FILTER}}),
    ],
)
def test_parse_rejects_ambiguous_catalog_name(name, payload):
    get_vendor(name).parse(payload)
    with pytest.raises(PayloadError) as caught:
        with_catalog_names(get_vendor(name), validate_catalog(parse_catalog(RENAMED_CATALOG_TEXT))).parse(payload)
    assert (caught.value.code, caught.value.problems[0].path) == ("ambiguous-name", "$")


@pytest.mark.parametrize(
    ("text", "name", "payload"),
    [
        ("active within 7 days", "umeng", {"launch_from": "2026-11-22"}),
        ("NOT active within 7 days", "umeng", {"not_launch_from": "2026-11-22"}),
        ("active within 2 days of 2026-11-20", "umeng", None),  # launch_from has no last day, and no day is a tag
        (
            "active within 2 days",
            "airship",
            {"attribute": "active", "operator": "range", "value": "2026-11-27T00:00:00/2026-11-29T00:00:00"},
        ),
        ("active within 2 days", "jpush", {"tag": ["active_20261127", "active_20261128"]}),
    ],
)
def test_days_stay_as_they_are_where_the_vendor_has_a_form_for_them(text, name, payload):
    catalog = """
    [active]
    order = "date"
    at = ["airship"]
    builtin = ["umeng"]
    names.jpush = "{type}_{value:%Y%m%d}"
    """
    result = plan(text, name, catalog=validate_catalog(parse_catalog(catalog)), as_of="2026-11-28T12:00")
    if payload is None:
        assert result.native == ()
    else:
        assert str(payload) in str(result.native)


def test_parse_accepts_unique_catalog_name():
    catalog = validate_catalog(parse_catalog(RENAMED_CATALOG_TEXT))
    home = {"audience": {"custom_attribute": {**CUSTOM_FILTER, "custom_attribute_name": "home.age"}}}
    assert with_catalog_names(get_vendor("braze"), catalog).parse(home) == Compare("age", ">", "5")
    assert with_catalog_names(get_vendor("jpush"), catalog).parse({"audience": {"tag": ["city_a"]}}) == Tag("city", "a")


@pytest.mark.parametrize(
    ("text", "name", "code"),
    [("city:a_quarter", "jpush", "ambiguous-name"), ("active >= 2020-04-08", "umeng", "no-ranges")],
)
def test_tag_with_other_meaning_at_vendor_goes_by_ids(text, name, code):
    result = plan(text, name, catalog=validate_catalog(parse_catalog(RENAMED_CATALOG_TEXT)))
    assert (result.native, [problem.code for problem in result.reasons]) == ((), [code])


def test_tag_with_ambiguous_name_goes_by_ids():
    result = plan("province_hunan AND male", "engagelab", catalog=CATALOG)
    assert (result.native, result.reasons[0].code) == ((), "ambiguous-name")


REJECTED_CATALOGS = {
    "[a]\nvalues = ['x']\n\n[a.names]\nengagelab = 'no value'": ("not-reversible", "line 5"),
    "[a]\nnames.engagelab = 'a-{value}'": ("illegal-name", "line 2"),
    "[a]\nvalues = ['x']\nnames.engagelab = '{value}'\n[b]\nvalues = ['x']\nnames.engagelab = '{value}'": (
        "not-reversible",
        "line 6",
    ),
    "[a]\nvalues = ['x', 'y']\nnames.emas = { x = 'n', y = 'n' }": ("not-reversible", "line 3"),
    "[b]\nnames.engagelab = 'b_{value}'\n[c]\nvalues = ['b_x']\nnames.engagelab = '{value}'": (
        "not-reversible",
        "c:b_x and b:x are both named b_x|b:x and c:b_x are both named b_x",
    ),
    "[a]\nnames.engagelab = '{value}'": ("not-reversible", "matches every untyped tag"),
    "[a]\nnames.tpns = 'xg_user_define.{value}'": ("not-reversible", "line 2"),
    "[a]\nvalues = ['x,y']\nnames.emas = '{value}'": ("illegal-name", "line 3"),
    "[a]\nvalues = ['" + "杭" * 14 + "']\nnames.engagelab = '{value}'": ("name-too-long", "line 3"),
    "[a]\nvalues = ['x', 'x']": ("bad-value", "line 2"),
    "[a]\nvalues = ['x']\norder = 'number'": ("bad-value", "line 2"),
    "[a]\norder = 'number'\nvalues = ['30', '30.0']": (
        "bad-value",
        "line 3: a.values: '30' and '30.0' are the same number",
    ),
    "[a]\nvalues = ['20200408', 2020-04-08]\norder = 'date'": ("bad-value", "line 2"),
    "[a]\norder = 'number'\nnames.fcm = { '30' = 'x', '30.0' = 'y' }": ("bad-value", "line 3"),
    "[a]\nvalues = [true]": ("bad-value", "line 2: a.values: expected a string, .* got True; put it in quotes"),
    "[a]\nvalues = [1e3]": ("bad-value", "line 2"),
    "[a]\nvalues = [nan]": ("bad-value", "line 2"),
    "[a]\nvalues = [2020-04-08T12:30:00]": ("bad-value", "line 2"),
    "[a]\nvalues = [12:30:00]": ("bad-value", "line 2"),
    "[a]\nvalues = [['x']]": ("bad-value", "line 2"),
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
    "events = 3": ("wrong-type", "line 1: events: expected the table of an event"),
    "[events]\nopen = 3": ("wrong-type", "line 2: events.open: expected the table of an event"),
    "[events.open]\nat = ['airshp']": ("unknown-vendor", "line 2: events.open.at: .*\n.*did you mean airship"),
    "[events.open]\n\nat = ['tpns']": ("no-events", "line 3: events.open.at: tpns has no conditions of events"),
    "[events.open]\nat = 'airship'": ("wrong-type", "line 2: events.open.at: expected an array of vendors"),
    "[events.open]\nname = 'x'": ("unknown-key", "line 2: unknown key events.open.name\n.*did you mean names"),
    "[events.open]\nnames = { airship = '' }": ("wrong-type", "line 2: events.open.names: expected a name"),
    "[events.a]\nat = ['airship']\n[events.b]\nnames = { airship = 'a' }": (
        "not-reversible",
        "line 3: a and b are both",
    ),
    "[a": ("bad-toml", "Expected"),
    "[省份]": ("bad-toml", '(?s)line 1.*hint: .*needs quotes: write "省份"'),
    "[a]\nnames.系统 = 'x'": ("bad-toml", '(?s)line 2.*needs quotes: write "系统"'),
    "[a]\n'省份'.系统.b = 'x'": ("bad-toml", '(?s)line 2.*needs quotes: write "系统"'),
    "[churn risk]": ("bad-toml", '(?s)line 1.*needs quotes: write "churn risk"'),
    "[a]\nexclusive = yes": ("bad-toml", "(?s)line 2.*hint: correct the line"),
}


@pytest.mark.parametrize(("text", "code", "message"), [(text, *case) for text, case in REJECTED_CATALOGS.items()])
def test_invalid_catalog_is_rejected_with_line(text, code, message):
    with pytest.raises(CatalogError, match=message) as caught:
        validate_catalog(parse_catalog(text))
    assert caught.value.code == code


def test_problems_of_a_file_name_it(tmp_path):
    file = tmp_path / "标签.toml"
    for text in ("[a", "[a]\nvalues = 3", "[a]\nnames.engagelba = 'x'"):
        file.write_text(text)
        with pytest.raises(CatalogError) as caught:
            load_catalog(file)
        assert all(problem.message.startswith(f"{file}: ") for problem in caught.value.problems), text


def test_missing_catalog_is_reported(tmp_path):
    with pytest.raises(CatalogError, match="unreadable-file"):
        read_catalog(tmp_path / "none.toml")


PROVINCES = [Tag("province", value) for value in ("guangdong", "hunan", "shanghai", "四川")]
VERSIONS = [Tag("version", value) for value in ("1.0.2", "1.2.0", "1.10.0")]
POSSIBLE_DEVICES = [
    OracleDevice(frozenset((tag.type, tag.value) for tag in (p, v, m) if tag), versions=(v.value,) if v else ())
    for p in PROVINCES
    for v in (None, *VERSIONS)
    for m in (None, bare("male"))
]
COMPARISONS = [Compare("version", ">=", "1.2"), Compare("version", "<", "1.10.0")]
closed_exprs = boolean_exprs(st.sampled_from([*PROVINCES, *VERSIONS, bare("male"), *COMPARISONS]))


@given(closed_exprs)
def test_catalog_plan_reaches_every_device_once(expr):
    for name in vendor_names(can="emit"):
        result = plan(expr, name, catalog=CATALOG)
        vendor = with_catalog_names(get_vendor(name), CATALOG)
        parts = result.add_id_part(vendor.parse(payload) for payload in result.native)
        for device in POSSIBLE_DEVICES:
            assert sum(is_inside(part, device) for part in parts) == is_inside(expr, device)


@given(boolean_exprs(st.sampled_from([*PROVINCES, bare("male")])))
def test_constraints_keep_meaning_for_possible_devices(expr):
    simplified = simplify_with_constraints(expr, AttributeConstraints(frozenset({"province"})))
    for device in POSSIBLE_DEVICES:
        assert is_inside(simplified, device) == is_inside(expr, device)


def test_day_range_expansion_is_exact():
    result = plan(Within("active", 2, "2020-03-01"), "tpns", catalog=CATALOG)
    assert render(result.request_exprs[0]) == "active:2020-02-29 OR active:2020-03-01"
    assert result.assumptions == ()


def test_typed_tag_is_parsed_as_the_examples_are_built():
    assert parse("province:guangdong") == PROVINCES[0]


INDEX_VERSIONS = ["1.2.0", "1.10", "1.0.2"]


def test_index_overrides_contradicted_catalog(tmp_path):
    table = pl.DataFrame(
        {"token": ["a", "b", "c"], "province": ["guangdong", "hunan", None], "version": INDEX_VERSIONS}
    )
    index = DeviceIndex.build(table, tmp_path / "index")
    for text, count in (("NOT province:guangdong", 2), ("version >= 1.2", 2)):
        result = plan(text, "emas", index, CATALOG)
        assert [reason.code for reason in result.reasons] == ["catalog-contradicted"]
        assert sum(len(body["TargetValue"].split(",")) for body in result.requests()) == count
    assert plan("province:guangdong", "emas", index, CATALOG).native


def test_device_with_two_exclusive_values_is_reached_once(tmp_path):
    text = '[p]\nvalues = ["a", "b"]\nexclusive = true\nnames.engagelab = "{type}_{value}"\n[tag]\nat = ["engagelab"]'
    columns = {"registration_id": ["1", "2"], "p": [["a", "b"], ["a"]], "tags": [["x", "y"], ["x"]]}
    index = DeviceIndex.build(pl.DataFrame(columns), tmp_path / "index", typed=["p"])
    result = plan("(p:a AND x) OR (p:b AND y)", "engagelab", index, validate_catalog(parse_catalog(text)))
    assert [reason.code for reason in result.reasons] == ["catalog-contradicted"]
    assert "1 device duplicated" in result.reasons[0].message
    assert list(result.requests()) == [{"to": {"registration_id": ["1", "2"]}}]


def test_ids_are_not_shared_between_vendors():
    payload = {"to": {"registration_id": ["r1"]}}
    assert [reason.code for reason in translate(payload, "engagelab", "emas").reasons] == ["other-vendors-ids"]
    device = {"Target": "DEVICE", "TargetValue": "d1"}
    assert translate(device, "emas", "emas_v2").native == ({"Target": {"Type": "DEVICE", "Value": "d1"}},)
