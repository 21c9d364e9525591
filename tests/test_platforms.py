"""Platforms: one name for each, written into the vendor's own field, and audiences split by platform."""

import itertools
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boolean_exprs

from audience import DeviceIndex, Tag, Unsupported, get_vendor, parse, plan, render, vendor_names
from audience.language.platforms import canonical_platform
from audience.messages import Message, parse_message
from audience.planning.catalog.loader import parse_catalog
from audience.testing.oracle import OracleDevice, is_inside

NARROWED_VENDORS = [name for name in vendor_names(can="emit") if get_vendor(name).platforms is not None]
TAGS = [Tag("tag", name) for name in "ab"]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        *(("iOS", "ios"), ("IOS", "ios"), ("ANDROID", "android"), ("Android", "android"), ("winphone", "winphone")),
        *(
            (word, "harmonyos")
            for word in ("hmos", "HMOS", "HARMONY", "harmony", "harmonyOS", "HarmonyOS", "Harmony OS")
        ),
        *(("macOS", "macos"), ("Mac OS X", "macos"), ("quickApp", "quickapp"), ("quick_app", "quickapp")),
        *(("Web", "web"), ("Windows", "windows"), ("miniProgram", "miniprogram"), ("Kindle Fire", "Kindle Fire")),
    ],
)
def test_platform_has_one_name(spelling, name):
    assert canonical_platform(spelling) == name
    assert canonical_platform(name) == name
    assert Tag("platform", spelling) == Tag("platform", name)
    assert parse(f'platform:"{spelling}"') == parse(f'platform in ("{name}")') == Tag("platform", name)
    assert parse(render(Tag("platform", spelling))) == Tag("platform", name)
    assert Tag("os", spelling).value == spelling


def test_platforms_of_message_have_one_name():
    assert parse_message({"body": "b", "platforms": ["iOS", "HARMONY"]}).platforms == ("ios", "harmonyos")
    assert Message(body="b", platforms=("hmos",)).platforms == ("harmonyos",)


@pytest.mark.parametrize(
    ("vendor", "text", "native", "by_ids"),
    [
        (
            *("engagelab", "(a AND platform:ios) OR (b AND platform:android)"),
            [
                {"to": {"tag": ["a"]}, "body": {"platform": ["ios"]}},
                {"to": {"tag": ["b"]}, "body": {"platform": ["android"]}},
            ],
            None,
        ),
        (
            *("engagelab", "(a AND platform:ios) OR (b AND platform:ios)"),
            [{"to": {"tag": ["a", "b"]}, "body": {"platform": ["ios"]}}],
            None,
        ),
        (
            *("engagelab", "vip OR platform:ios"),
            [
                {"to": "all", "body": {"platform": ["ios"]}},
                {"to": {"tag": ["vip"]}, "body": {"platform": ["android", "hmos"]}},
            ],
            None,
        ),
        (
            *("jpush", "NOT vip AND NOT platform:ios"),
            [{"audience": {"tag_not": ["vip"]}, "platform": ["android", "hmos", "quickapp"]}],
            None,
        ),
        (
            *("emas", "vip AND (platform:ios OR platform:android)"),
            [
                {"Target": "TAG", "TargetValue": "vip", "DeviceType": "iOS"},
                {"Target": "TAG", "TargetValue": "vip", "DeviceType": "ANDROID"},
            ],
            None,
        ),
        (
            *("emas", "vip AND (platform:ios OR platform:android OR platform:hmos)"),
            [{"Target": "TAG", "TargetValue": "vip"}],
            None,
        ),
        ("emas_v2", "vip AND NOT platform:ios", [], "vip AND NOT platform:ios"),
        (
            *("jpush", "(vip AND platform:amiga) OR (new AND platform:ios)"),
            [{"audience": {"tag": ["new"]}, "platform": ["ios"]}],
            "vip AND platform:amiga",
        ),
        ("jpush", "vip AND platform:ios AND platform:android", [], "vip AND platform:ios AND platform:android"),
        (
            *("getui", "(a AND platform:ios) OR (b AND platform:android)"),
            [
                {
                    "audience": {
                        "tag": [
                            {"key": key, "values": [value], "opt_type": "or"}
                            for key, value in (("custom_tag", tag), ("phone_type", phone))
                        ]
                    }
                }
                for tag, phone in (("a", "ios"), ("b", "android"))
            ],
            None,
        ),
        ("tpns", "vip AND platform:ios", [], "vip AND platform:ios"),
    ],
)
def test_audience_is_split_by_platform(vendor, text, native, by_ids):
    found = plan(text, vendor)
    assert list(found.native) == native
    assert (found.by_ids and render(found.by_ids)) == by_ids
    assert found.by_ids is None or found.reasons


def test_split_by_platform_is_an_assumption():
    split = plan("(a AND platform:ios) OR (b AND platform:android)", "engagelab")
    assert [problem.code for problem in split.assumptions] == ["vendor-tags", "platform", "split", "one-platform"]
    single = plan("a AND platform:ios", "engagelab")
    assert [problem.code for problem in single.assumptions] == ["vendor-tags", "platform"]
    assert plan("a AND platform:ios", "engagelab", strict=True).native == ()


def devices_of_platforms(names):
    """Return a device for each combination of TAGS on each platform of *names*."""
    return [
        OracleDevice(tags=frozenset({("platform", name), *((tag.type, tag.value) for tag in chosen)}))
        for name in names
        for count in range(len(TAGS) + 1)
        for chosen in itertools.combinations(TAGS, count)
    ]


@pytest.mark.parametrize("vendor", NARROWED_VENDORS)
@given(st.data())
def test_each_device_of_the_audience_gets_one_request(vendor, data):
    """Devices are on one of the platforms that the vendor documents, or of those that it can name."""
    field = get_vendor(vendor).platforms
    names = list(field.all_platforms or field.names)[:4]
    leaves = [*TAGS, *(Tag("platform", name) for name in names)]
    expr = data.draw(boolean_exprs(st.sampled_from(leaves), max_leaves=6))
    found = plan(expr, vendor)
    parts = [*map(get_vendor(vendor).parse, found.native), *([found.by_ids] if found.by_ids else [])]
    for device in devices_of_platforms(names):
        assert sum(is_inside(part, device) for part in parts) == is_inside(expr, device), json.dumps(found.native)


@pytest.mark.parametrize("vendor", NARROWED_VENDORS)
def test_every_name_of_the_field_is_read_back(vendor):
    record = get_vendor(vendor)
    for name in record.platforms.names:
        tag = Tag("platform", name)
        assert render(record.parse(record.emit(tag))).endswith(render(tag))
        assert not [*record.tag_problems(tag)]
    with pytest.raises(Unsupported, match="amiga"):
        record.emit(Tag("platform", "amiga"))


def test_column_of_platforms_has_one_name_for_each(tmp_path):
    table = {"registration_id": ["r1", "r2", "r3"], "platform": ["iOS", "HMOS", "Kindle"], "os": ["iOS", "HMOS", "x"]}
    index = DeviceIndex.build(pl.DataFrame(table), tmp_path / "index")
    assert [index.count(f"platform:{name}") for name in ("IOS", "harmony", "Kindle")] == [1, 1, 1]
    assert [index.count(f"os:{name}") for name in ("iOS", "HMOS", "ios")] == [1, 1, 0]
    index.update(pl.DataFrame({"registration_id": ["r3", "r4"], "platform": ["Harmony", "ANDROID"], "os": ["y", "z"]}))
    assert [index.count(f"platform:{name}") for name in ("hmos", "android", "kindle")] == [2, 1, 0]


@pytest.mark.parametrize(
    ("platforms", "known", "reason"),
    [
        (["ios", "android", "android"], "", None),
        (["ios", "android", "hmos"], "", None),
        (["ios", "android", None], "", "platform-contradicted"),
        (["ios", "android", "windows"], "", "platform-contradicted"),
        (["ios", "android", "android"], 'values = ["iOS", "Android"]', None),
        (["ios", "android", "android"], 'values = ["iOS", "Android"]\nexhaustive = true', None),
        (["ios", "android", None], 'values = ["iOS", "Android"]\nexhaustive = true', "platform-contradicted"),
    ],
)
def test_index_decides_whether_platforms_are_all_known(tmp_path, platforms, known, reason):
    table = {"registration_id": ["r1", "r2", "r3"], "platform": platforms}
    index = DeviceIndex.build(pl.DataFrame(table), tmp_path / "index")
    catalog = parse_catalog(f'[platform]\nbuiltin = ["engagelab"]\n{known}')
    found = plan("NOT platform:ios", "engagelab", index, catalog)
    others = ["android"] if known else ["android", "hmos"]
    assert [problem.code for problem in found.reasons] == [reason] * bool(reason)
    assert found.native == (() if reason else ({"to": "all", "body": {"platform": others}},))


def test_platform_is_by_ids_until_the_catalog_declares_it(tmp_path):
    table = {"registration_id": ["r1", "r2"], "platform": ["ios", "android"]}
    index = DeviceIndex.build(pl.DataFrame(table), tmp_path / "index")
    for text in ("platform:ios", "NOT platform:ios", "platform:ios OR registration_id(r2)"):
        found = plan(text, "engagelab", index)
        assert (found.native, [problem.code for problem in found.reasons][:1]) == ((), ["not-at-vendor"]), text
    vouched = plan("platform:ios", "engagelab", index, vendor_has=["platform"])
    assert vouched.native == ({"to": "all", "body": {"platform": ["ios"]}},)


def test_build_names_the_platforms_that_it_renames(tmp_path):
    table = pl.DataFrame({"token": ["t1", "t2", "t3"], "platform": ["iOS", "HARMONY", "web"], "os": ["iOS", "x", "y"]})
    index = DeviceIndex.build(table, tmp_path / "index", timezone="UTC")
    assert index.reading.to_json()["renamed_platforms"] == {"iOS": "ios", "HARMONY": "harmonyos"}
    assert index.reading.notes() == ["platforms: HARMONY is read as harmonyos, iOS is read as ios"]
