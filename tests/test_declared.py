"""What a vendor has: with an index, a native request names only what a catalog declares or the user vouches for."""

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from strategies import boolean_exprs

from audience import CatalogError, Compare, DeviceIndex, PlanError, Tag, get_vendor, plan, render, translate
from audience.language.ast import atoms, bare
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.declared import is_declared
from audience.planning.catalog.loader import parse_catalog
from audience.planning.catalog.vendor_names import to_vendor_tag, with_catalog_names
from audience.requests.campaign import plan_campaign
from audience.requests.writer import write_requests
from audience.vendors import vendor_names

VENDORS = vendor_names(can="emit")
ROWS = [
    {"tags": ["vip"], "province": "guangdong", "language": "zh", "age": 20},
    {"tags": ["vip", "told"], "province": "hunan", "language": "en", "age": 30},
    {"tags": ["told"], "province": "guangdong", "language": "zh", "age": 40},
    {"tags": [], "province": None, "language": None, "age": None},
]
VIP_NOT_TOLD = "vip AND NOT told"


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    """Four devices with an id that every vendor takes."""
    table = pl.DataFrame([{"registration_id": f"r{at}", **row} for at, row in enumerate(ROWS)], infer_schema_length=9)
    return DeviceIndex.build(table, tmp_path_factory.mktemp("declared") / "devices.index")


def load(text: str):
    return validate_catalog(parse_catalog(text))


def codes(problems) -> list[str]:
    return [problem.code for problem in problems]


@pytest.mark.parametrize("name", VENDORS)
def test_index_alone_declares_nothing(index, name):
    result = plan(VIP_NOT_TOLD, name, index)
    assert (result.native, render(result.by_ids)) == ((), VIP_NOT_TOLD)
    assert "not-at-vendor" in codes(result.reasons)
    assert "not-at-vendor" not in codes(plan(VIP_NOT_TOLD, name).reasons)


def test_reason_names_tags_once_with_lines_to_add(index):
    [reason] = plan("(vip OR told) AND province:hunan AND NOT province:guangdong", "tpns", index).reasons
    assert reason.message == "the vendor is not known to have vip, told, province:hunan, province:guangdong"
    assert reason.hint == (
        'add to the catalog: [tag] at = { tpns = ["vip", "told"] }; [province] builtin = ["tpns"]; '
        "or vouch: --vendor-has tag,province"
    )


# catalog, vendor, expression, expression of the native request or code of the reason for ids
DECLARATIONS = [
    ('[tag]\nat = ["tpns"]', "tpns", VIP_NOT_TOLD, VIP_NOT_TOLD),
    ('[tag]\nat = ["jpush"]', "tpns", VIP_NOT_TOLD, "not-at-vendor"),
    ('[tag]\nat = { tpns = ["vip", "told"] }', "tpns", VIP_NOT_TOLD, VIP_NOT_TOLD),
    ('[tag]\nat = { tpns = ["vip"] }', "tpns", VIP_NOT_TOLD, "not-at-vendor"),
    ('[tag]\nat = { tpns = ["v*", "t?ld"] }', "tpns", VIP_NOT_TOLD, VIP_NOT_TOLD),
    ('[tag]\nat = { tpns = ["V*"] }', "tpns", "vip", "not-at-vendor"),
    ('[tag]\nat = ["emas"]', "emas_v2", VIP_NOT_TOLD, VIP_NOT_TOLD),
    ('[tag]\nnames.tpns = { vip = "gold" }', "tpns", "vip", "vip"),
    ('[tag]\nnames.tpns = { vip = "gold" }', "tpns", "told", "not-at-vendor"),
    ('[tag]\nnames.tpns = { vip = "gold" }\nat = ["tpns"]', "tpns", VIP_NOT_TOLD, VIP_NOT_TOLD),
    ('[tag]\nvalues = ["vip"]\nat = ["tpns"]', "tpns", "vip", "vip"),
    ('[tag]\nvalues = ["vip"]\nat = ["tpns"]', "tpns", "told", "not-at-vendor"),
    ('[province]\nbuiltin = ["tpns"]', "tpns", "province:hunan", "province:hunan"),
    ('[province]\nbuiltin = ["tpns"]', "tpns", "xg_auto_province.hunan", "province:hunan"),
    ('[province]\nbuiltin = ["umeng"]', "tpns", "province:hunan", "not-at-vendor"),
    ("[province]\nexclusive = true", "tpns", "province:hunan", "not-at-vendor"),
    ('[province]\nnames.tpns = "p_{value}"', "tpns", "province:hunan", "province:hunan"),
    ('[province]\nnames.tpns = { hunan = "p_hn" }', "tpns", "province:hunan", "province:hunan"),
    ('[province]\nnames.tpns = { hunan = "p_hn" }', "tpns", "province:guangdong", "no-name"),
    (
        '[province]\nbuiltin = ["tpns"]\nnames.tpns = { hunan = "xg_auto_province.湖南" }',
        "tpns",
        "province:guangdong",
        "not-at-vendor",
    ),
    ('[province]\nnames.engagelab = "{type}_{value}"', "engagelab", "province:hunan", "province:hunan"),
    ("[province]\nexclusive = true", "engagelab", "province:hunan", "no-name"),
    ('[language]\nat = ["airship"]', "airship", "language:zh", "language:zh"),
    ('[language]\nat = ["airship"]', "airship", "age:20", "not-at-vendor"),
]


@pytest.mark.parametrize(("text", "vendor", "expr", "wanted"), DECLARATIONS)
def test_declaration_makes_tag_native(index, text, vendor, expr, wanted):
    catalog = load(text)
    result = plan(expr, vendor, index, catalog)
    if " " in wanted or ":" in wanted or wanted == "vip":
        read = [with_catalog_names(get_vendor(vendor), catalog).parse(payload) for payload in result.native]
        assert (list(map(render, read)), result.by_ids) == ([wanted], None)
        assert not {"vendor-tags", "vendor-has", "builtin"} & set(codes(result.assumptions))
    else:
        assert (result.native, codes(result.reasons)) == ((), [wanted])


def test_declared_parts_are_native_and_others_go_by_ids(index):
    catalog = load('[tag]\nat = { tpns = ["vip"] }')
    result = plan("vip OR told", "tpns", index, catalog)
    assert [render(expr) for expr in result.request_exprs] == ["vip"]
    assert (render(result.by_ids), codes(result.reasons)) == ("NOT vip AND told", ["not-at-vendor"])


def test_own_key_with_name_of_builtin_is_never_builtin(index):
    """At OneSignal `language` is a field of its own; `at` means a key of the customer."""
    catalog = load('[language]\nat = ["onesignal"]')
    vendor = get_vendor("onesignal")
    assert to_vendor_tag(Tag("language", "en"), catalog, vendor) == Tag("attribute.language", "en")
    [own] = plan("language:en", "onesignal", index, catalog).native
    [builtin] = plan("language:en", "onesignal", index, load('[language]\nbuiltin = ["onesignal"]')).native
    assert (own["filters"][0]["field"], builtin["filters"][0]["field"]) == ("tag", "language")
    with_names = with_catalog_names(vendor, catalog)
    assert with_names.parse(own) == Tag("language", "en")
    with pytest.raises(Exception, match="ambiguous-name"):
        with_names.parse(builtin)


def test_pure_translation_names_assumed_tags_first():
    result = plan("vip AND NOT told AND province:hunan", "tpns")
    assert codes(result.assumptions) == ["vendor-tags", "builtin"]
    assert result.assumptions[0].message.endswith("vip, told")
    assert "province (xg_auto_province)" in result.assumptions[1].message


def test_assumption_shortens_long_list():
    [assumption] = plan(" OR ".join(f"t{at}" for at in range(20)), "tpns").assumptions
    assert assumption.message.endswith("t0, t1, t2, t3, t4, t5, t6, t7 and 12 more")


def test_declared_tags_are_not_assumed_by_translation():
    catalog = load('[tag]\nat = { tpns = ["vip"] }\n[province]\nbuiltin = ["tpns"]')
    payload = {"to": {"tag_and": ["vip", "told"]}}
    [assumption] = translate(payload, "engagelab", "tpns", catalog).assumptions
    assert assumption.message.endswith(": told")
    assert translate({"to": {"tag": ["vip"]}}, "engagelab", "tpns", catalog).assumptions == ()
    assert plan("province:hunan", "tpns", catalog=catalog).assumptions == ()


@pytest.mark.parametrize("vendor_has", ["all", ["tag"], ("tag", "province"), {"xg_user_define"}])
def test_vouched_tags_are_native_with_assumption(index, vendor_has):
    result = plan(VIP_NOT_TOLD, "tpns", index, vendor_has=vendor_has)
    assert (len(result.native), result.by_ids, codes(result.assumptions)) == (1, None, ["vendor-has"])
    strict = plan(VIP_NOT_TOLD, "tpns", index, vendor_has=vendor_has, strict=True)
    assert (strict.native, codes(strict.reasons)) == ((), ["vendor-has"])


def test_vouching_for_one_type_leaves_others(index):
    result = plan("vip AND province:hunan", "tpns", index, vendor_has=["tag"])
    assert (result.native, codes(result.reasons)) == ((), ["not-at-vendor"])
    assert "--vendor-has province" in result.reasons[0].hint


@pytest.mark.parametrize(
    ("vendor_has", "code", "message"),
    [
        (["provnce"], "unknown-attribute", "did you mean province"),
        (["vip"], "unknown-attribute", "vip is an untyped tag: write tag"),
        (["zzzzzzzz"], "unknown-attribute", "use all, or some of age, language, province, tag"),
        ("tag", "wrong-type", "expected 'all' or a list of types, got 'tag'"),
        ([1], "wrong-type", r"got \[1\]"),
    ],
)
def test_wrong_vendor_has_is_rejected(index, vendor_has, code, message):
    for make in (plan, lambda expr, name, index, vendor_has: plan_campaign(expr, [name], index, vendor_has=vendor_has)):
        with pytest.raises(PlanError, match=message) as caught:
            make("vip", "tpns", index, vendor_has=vendor_has)
        assert caught.value.code == code


def test_manifest_keeps_what_was_vouched_for(index, tmp_path):
    write_requests(plan("vip", "tpns", index, vendor_has="all"), index, tmp_path / "run")
    [assumption] = json.loads((tmp_path / "run" / "manifest.json").read_text())["assumptions"]
    assert assumption["code"] == "vendor-has"


REJECTED_DECLARATIONS = {
    '[a]\nat = ["tpsn"]': ("unknown-vendor", "line 2: a.at: unknown vendor 'tpsn'\n.*did you mean tpns"),
    '[a]\n\nbuiltin = ["tpsn"]': ("unknown-vendor", "line 3"),
    '[a]\nat = { tpsn = ["x"] }': ("unknown-vendor", "line 2"),
    '[a]\nat = "tpns"': ("wrong-type", r'write at = \["tpns"\]'),
    "[a]\nat = [1]": ("wrong-type", "expected an array of vendors"),
    '[a]\nat = { tpns = "x" }': ("wrong-type", "line 2: a.at.tpns: expected an array of values"),
    "[a]\nat = { tpns = [] }": ("wrong-type", r'at = \["tpns"\] for all values'),
    "[a]\nat = { tpns = [''] }": ("wrong-type", "line 2"),
    '[a]\nbuiltin = "tpns"': ("wrong-type", r'write builtin = \["tpns"\]'),
    "[a]\nbuiltin = { tpns = true }": ("wrong-type", "expected an array"),
    '[city_code]\nbuiltin = ["tpns"]': ("no-builtin", "line 2: tpns keeps no city_code by itself"),
    '[provnce]\nbuiltin = ["tpns"]': ("no-builtin", "did you mean province"),
    '[province]\nbuiltin = ["fcm"]': ("no-builtin", "it keeps nothing"),
    '[province]\nat = ["umeng"]\nbuiltin = ["umeng"]': ("two-meanings", "line 3: province is both at umeng"),
    '[province]\nbuiltin = ["tpns"]\nnames.tpns = "p_{value}"': ("two-meanings", "are those of tag"),
    '[province]\nat = ["tpns"]': ("no-name", r'write builtin = \["tpns"\] for'),
    '[city]\nat = ["engagelab"]': ("no-name", r'names.engagelab = "\{type\}_\{value\}"'),
    '[tag]\nat = { engagelab = ["a-b"] }': ("illegal-name", "line 2: a-b at engagelab"),
}


@pytest.mark.parametrize(("text", "code", "message"), [(text, *case) for text, case in REJECTED_DECLARATIONS.items()])
def test_invalid_declaration_is_rejected_with_line(text, code, message):
    with pytest.raises(CatalogError, match=message) as caught:
        load(text)
    assert code in codes(caught.value.problems)


def test_comparison_needs_all_values_at_vendor(index):
    for text, wanted in (('[age]\nat = ["onesignal"]', True), ('[age]\nat = { onesignal = ["2*"] }', False)):
        assert is_declared(Compare("age", ">", "25"), load(text), get_vendor("onesignal")) is wanted


def test_audience_that_catalog_rules_out_is_held_against_index(index):
    catalog = load('[province]\nvalues = ["guangdong"]\nexclusive = true\n[tag]\nexclusive = true')
    empty = plan("vip AND told", "tpns", catalog=catalog)
    assert (empty.native, empty.by_ids, codes(empty.assumptions)) == ((), None, ["catalog"])
    result = plan("vip AND told", "tpns", index, catalog)
    assert (render(result.by_ids), codes(result.reasons)) == ("vip AND told", ["catalog-contradicted"])
    assert "1 device missing" in result.reasons[0].message
    assert plan("told AND province:guangdong AND NOT told", "tpns", index, catalog).by_ids is None


def test_platform_is_a_column_until_catalog_declares_it(tmp_path):
    columns = {"registration_id": ["r1", "r2"], "tags": [["vip"], ["vip"]], "platform": ["ios", "android"]}
    index = DeviceIndex.build(pl.DataFrame(columns), tmp_path / "devices.index")
    tags = '[tag]\nat = ["jpush"]\n'
    result = plan("vip AND platform:ios", "jpush", index, load(tags))
    assert (result.native, codes(result.reasons)) == ((), ["not-at-vendor"])
    assert '[platform] builtin = ["jpush"]' in result.reasons[0].hint
    declared = load(tags + '[platform]\nbuiltin = ["jpush"]')
    for catalog, vendor_has in ((declared, None), (load(tags), ["platform"])):
        result = plan("vip AND platform:ios", "jpush", index, catalog, vendor_has=vendor_has)
        assert (result.native[0]["platform"], result.by_ids) == (["ios"], None)


@pytest.mark.parametrize("listed", ["", 'values = ["vip"]\n'])
def test_clash_of_name_with_tag_of_index_goes_by_ids(tmp_path, listed):
    """`province:hunan` has the name of an untyped tag that the index has, and the vendor too, listed or not."""
    columns = {"registration_id": ["r1", "r2"], "tags": [["province_hunan"], ["vip"]], "province": ["hunan", "hunan"]}
    index = DeviceIndex.build(pl.DataFrame(columns), tmp_path / "devices.index")
    catalog = load(f'[tag]\n{listed}at = ["engagelab"]\n[province]\nnames.engagelab = "{{type}}_{{value}}"')
    result = plan("province:hunan", "engagelab", index, catalog)
    assert (result.native, codes(result.reasons)) == ((), ["ambiguous-name"])
    assert plan("vip", "engagelab", index, catalog).native


def test_clash_of_tag_with_name_of_unlisted_value_goes_by_ids(tmp_path):
    """The vendor may call `province:hunan` as other provinces are called, although the catalog does not list it."""
    columns = {
        "registration_id": ["r1", "r2"],
        "tags": [["province_hunan"], ["vip"]],
        "province": ["guangdong", "hunan"],
    }
    index = DeviceIndex.build(pl.DataFrame(columns), tmp_path / "devices.index")
    catalog = load('[tag]\nat = ["engagelab"]\n[province]\nvalues = ["guangdong"]\nnames.engagelab = "{type}_{value}"')
    result = plan("province_hunan", "engagelab", index, catalog)
    assert (result.native, codes(result.reasons)) == ((), ["ambiguous-name"])
    assert plan("vip", "engagelab", index, catalog).native


ID_COLUMNS = {"registration_id": ["a1"], "tpns_token": ["b1"], "device_id": ["c1"]}


@pytest.mark.parametrize(
    ("columns", "tokens", "key", "vendor", "wanted"),
    [
        (["device_id"], {}, None, "emas", "c1"),
        (["device_id"], {}, None, "jpush", "c1"),
        (["device_id"], {}, "device_id", "emas", "the index has the key of the table"),
        (["device_id", "tpns_token"], {}, None, "tpns", "b1"),
        (["device_id", "tpns_token"], {}, None, "emas", "the index has device_id, ids of tpns"),
        (["device_id", "tpns_token"], {}, None, "engagelab", "build it with --token engagelab=COLUMN"),
        (["device_id", "tpns_token"], {"emas": "device_id"}, None, "emas", "c1"),
        (["device_id", "tpns_token"], {}, "device_id", "emas", "the key of the table, ids of tpns"),
        (["device_id", "registration_id"], {}, "device_id", "engagelab", "a1"),
        (["device_id", "registration_id"], {}, "device_id", "jpush", "no column holds the ids of jpush"),
        (["registration_id", "tpns_token"], {}, None, "engagelab", "a1"),
    ],
)
def test_vendor_is_sent_its_own_ids_only(tmp_path, columns, tokens, key, vendor, wanted):
    table = pl.DataFrame({name: ID_COLUMNS[name] for name in columns})
    index = DeviceIndex.build(table, tmp_path / "devices.index", tokens=tokens, key=key)
    if " " in wanted:
        with pytest.raises(PlanError, match=wanted) as caught:
            write_requests(plan("registration_id(c1)", vendor, index, vendor_has="all"), index, tmp_path / "run")
        assert (caught.value.code, (tmp_path / "run").exists()) == ("no-token", False)
    else:
        [payload] = plan("NOT nobody", vendor, index).requests()
        assert wanted in json.dumps(payload)


VALUES = {"tag": ["vip", "told"], "province": ["guangdong", "hunan"], "language": ["zh", "en"]}
TAGS = [Tag(type_, value) for type_, values in VALUES.items() for value in values]
tag_exprs = boolean_exprs(st.sampled_from([*TAGS, bare("vip")]), max_leaves=6)


def keeps_typed_tags(name: str) -> bool:
    """Whether a catalog can say that a vendor has an attribute with a type, without a name for it."""
    try:
        load(f'[province]\nat = ["{name}"]\n[language]\nat = ["{name}"]')
    except CatalogError:
        return False
    return True


KEEPS_TYPED_TAGS = list(filter(keeps_typed_tags, VENDORS))


@st.composite
def catalog_texts(draw):
    """Catalogs that declare some attributes at some vendors, in ways that are legal there."""
    lines = []
    for type_, values in VALUES.items():
        lines += [f"[{type_}]"]
        at, builtin = [], []
        for vendor in sorted(draw(st.sets(st.sampled_from(VENDORS)))):
            match draw(st.sampled_from(["all", "some", "name", "builtin"])):
                case "builtin" if type_ in get_vendor(vendor).builtins:
                    builtin.append(vendor)
                case "all" if type_ == "tag" or vendor in KEEPS_TYPED_TAGS:
                    at.append(f'{vendor} = ["*"]')
                case "some" if type_ == "tag" or vendor in KEEPS_TYPED_TAGS:
                    at.append(f'{vendor} = ["{values[0]}"]')
                case "name":
                    lines.append(f'names.{vendor} = "{type_}_{{value}}"')
        lines += [f"at = {{ {', '.join(at)} }}", f"builtin = {json.dumps(builtin)}"]
    return "\n".join(lines)


@settings(max_examples=scale_examples(60))
@given(tag_exprs, catalog_texts(), st.sampled_from(VENDORS))
def test_native_payload_names_declared_tags_only(index, expr, text, name):
    catalog = load(text)
    result = plan(expr, name, index, catalog)
    vendor = with_catalog_names(get_vendor(name), catalog)
    for payload in result.native:
        for atom in atoms(vendor.parse(payload)):
            assert is_declared(atom, catalog, vendor), (render(atom), text)


@settings(max_examples=scale_examples(60))
@given(tag_exprs, catalog_texts() | st.none(), st.sampled_from(VENDORS))
def test_vouched_plan_equals_pure_translation(index, expr, text, name):
    catalog = None if text is None else load(text)
    pure, vouched = plan(expr, name, catalog=catalog), plan(expr, name, index, catalog, vendor_has="all")
    assert (pure.native, pure.by_ids, pure.reasons) == (vouched.native, vouched.by_ids, vouched.reasons)
    ignored = {"vendor-tags", "vendor-has"}
    assert [each for each in pure.assumptions if each.code not in ignored] == [
        each for each in vouched.assumptions if each.code not in ignored
    ]


def test_key_of_attribute_is_read_back_although_untyped_tags_have_names():
    text = '[province]\nat = ["onesignal"]\n[tag]\nnames.onesignal = "tag_{value}"'
    found = plan("has(province)", "onesignal", catalog=parse_catalog(text))
    assert found.native == ({"filters": [{"field": "tag", "key": "province", "relation": "exists"}]},)
    catalog_vendor = with_catalog_names(get_vendor("onesignal"), parse_catalog(text))
    tag_province = {"filters": [{"field": "tag", "key": "tag_province", "relation": "exists"}]}
    assert catalog_vendor.parse(tag_province) == Tag("tag", "province")
