"""Conditions that a vendor cannot express are written as the values of the index that fit."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from audience import DeviceIndex, get_vendor, parse, plan
from audience.planning.catalog.loader import parse_catalog

CATALOG = parse_catalog(
    """
    [city]
    names.engagelab = "{type}_{value}"
    [version]
    builtin = ["tpns"]
    """
)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    table = pl.DataFrame(
        {
            "tpns_token": [f"t{number}" for number in range(5)],
            "registration_id": [f"e{number}" for number in range(5)],
            "version": ["1.2", "1.10", "1.3", "1.10", None],
            "city": [["guangzhou"], ["guiyang", "hunan"], ["hunan"], [], ["beijing"]],
        }
    )
    return DeviceIndex.build(table, tmp_path_factory.mktemp("values") / "index", typed=["city"])


@pytest.mark.parametrize(
    ("text", "vendor", "written"),
    [
        ("version > 1.2", "tpns", "version:1.3 OR version:1.10"),
        ("version between 1.2 and 1.3", "tpns", "version:1.2 OR version:1.3"),
        ('version matches "1.1*"', "tpns", "version:1.10"),
        ("NOT version > 1.2", "tpns", "NOT version:1.3 AND NOT version:1.10"),
        ('city matches "gu*g*"', "engagelab", "city:guangzhou OR city:guiyang"),
        ("city starts with hun", "engagelab", "city:hunan"),
        ("has(city)", "engagelab", "city:beijing OR city:guangzhou OR city:guiyang OR city:hunan"),
    ],
)
def test_condition_is_written_as_values_of_the_index(index, text, vendor, written):
    found = plan(text, vendor, index, CATALOG)
    assert found.by_ids is None
    assert [assumption.code for assumption in found.assumptions if "index" in assumption.code] == ["index-values"]
    assert found.request_exprs == (parse(written),)
    assert index.count(found.request_exprs[0]) == index.count(text)


@pytest.mark.parametrize("text", ["version > 9", 'city matches "paris*"', "(version > 1.2) limit 2 seed x"])
def test_condition_without_values_goes_by_ids(index, text):
    found = plan(text, "tpns", index, CATALOG)
    assert (found.native, found.by_ids is None) == ((), False)


def test_strict_plan_does_not_lean_on_the_index(index):
    found = plan("version > 1.2", "tpns", index, CATALOG, strict=True)
    assert found.native == () and "index-values" in {reason.code for reason in found.reasons}


def test_days_of_another_zone_go_by_ids(tmp_path):
    moments = ["2026-11-28T18:00:00Z", "2026-11-28T10:00:00Z"]
    table = pl.DataFrame({"tpns_token": ["t1", "t2"], "active": [datetime.fromisoformat(moment) for moment in moments]})
    index = DeviceIndex.build(table, tmp_path / "index", timezone="UTC")
    catalog = parse_catalog('[active]\nnames.tpns = "{type}_{value}"\norder = "date"')
    same = plan("active:2026-11-28", "tpns", index, catalog)
    other = plan("active:2026-11-28", "tpns", index, catalog, timezone="Asia/Shanghai")
    assert same.native != () and other.native == ()
    assert "other-timezone-days" in {reason.code for reason in other.reasons}
    assert [payload["token_list"] for payload in other.requests()] == [["t2"]]


SEVERAL = pl.DataFrame(
    {
        "token": ["a", "b", "c"],
        "score": [[10, 100], [20], []],
        "city": ["Rome", "Milan", None],
        "version": ["1.2", "1.2.0", "1.10"],
    }
)


@pytest.mark.parametrize("vendor", ["airship", "braze", "onesignal"])
def test_attributes_of_several_values_go_by_ids_where_the_vendor_keeps_one(vendor, tmp_path):
    """A device with 10 and 100 is above 18 and below 25, and not between them."""
    index = DeviceIndex.build(SEVERAL, tmp_path / "index", tokens={vendor: "token"}, versions=["version"])
    for text in ("score between 18 and 25", "score > 5", "score = 20", "NOT score = 20", "city:Milan AND score = 20"):
        found = plan(text, vendor, index, vendor_has="all")
        assert found.native == () and "values-contradicted" in {reason.code for reason in found.reasons}, text
    for text in ("city:Rome", "has(score)", "score is null"):
        assert plan(text, vendor, index, vendor_has="all").by_ids is None, text


@pytest.mark.parametrize("vendor", ["airship", "umeng"])
def test_versions_in_two_spellings_are_not_compared_by_the_vendor(vendor, tmp_path):
    index = DeviceIndex.build(SEVERAL, tmp_path / "index", tokens={vendor: "token"}, versions=["version"])
    catalog = parse_catalog(f'[version]\nbuiltin = ["{vendor}"]')
    for text, is_compared in (
        ("version >= 1.2", False),
        ("version between 1.2.0 and 2", False),
        ("version >= 1.3", True),
    ):
        found = plan(text, vendor, index, catalog)
        codes = {assumption.code for assumption in found.assumptions}
        assert ("version-spelling" in codes) == is_compared, text
        assert index.count(text) == sum(index.count(expr) for expr in (*found.request_exprs, found.by_ids or "nobody"))


DAY_FORMS = [
    *("seen = today", "seen = 2026-11-28", "seen within 1 days", "seen within next 2 days", "NOT seen = yesterday"),
    *("seen before today", "seen <= 2026-11-27", "seen > 2026-11-27", "seen from yesterday to today"),
    *("seen within 36 hours", "seen in (yesterday, tomorrow)", "seen < 2026-11-28 OR seen is null"),
]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "UTC"])
def test_days_of_instants_are_emitted_as_instants_to_a_vendor_with_days_of_utc(zone, tmp_path):
    """Airship reads days and times in UTC, whatever the zone of the index is."""
    start = datetime.fromisoformat("2026-11-26T00:01:00Z")
    moments = [start + timedelta(hours=hours) for hours in range(0, 96, 3)]
    table = pl.DataFrame({"airship_token": [f"c{at}" for at in range(len(moments) + 1)], "seen": [*moments, None]})
    index = DeviceIndex.build(table, tmp_path / "index", timezone=zone)
    for text in DAY_FORMS:
        found = plan(text, "airship", index, vendor_has=["seen"], as_of="2026-11-28T20:00Z")
        [payload] = found.native
        reached = index.resolve(get_vendor("airship").parse(payload), as_of="2026-11-28T20:00Z", timezone="UTC")
        assert reached.ids().sort().equals(index.resolve(text, as_of="2026-11-28T20:00Z").ids().sort()), text
    other = plan("anniversary(seen) = today", "airship", index, vendor_has=["seen"], as_of="2026-11-28T20:00Z")
    assert bool(other.native) == (zone == "UTC")


@pytest.mark.parametrize("vendor", ["tpns", "umeng"])
def test_days_that_a_vendor_cuts_in_beijing_are_asked_for_in_zones_with_the_same_days(vendor, tmp_path):
    moments = ["2026-11-27T15:59:00Z", "2026-11-28T01:00:00Z"]
    table = pl.DataFrame({"token": ["t1", "t2"], "active": [datetime.fromisoformat(moment) for moment in moments]})
    catalog = parse_catalog(f'[active]\nbuiltin = ["{vendor}"]')
    for zone, is_same in (("UTC", False), ("Asia/Shanghai", True), ("Asia/Hong_Kong", True), ("Asia/Tokyo", False)):
        index = DeviceIndex.build(table, tmp_path / zone, tokens={vendor: "token"}, timezone=zone)
        for text in ("active within 3 days", *(["active >= 2026-11-26"] if vendor == "umeng" else ["active = today"])):
            found = plan(text, vendor, index, catalog, as_of="2026-11-28T20:00Z")
            codes = {reason.code for reason in found.reasons}
            assert (bool(found.native), "other-timezone-days" in codes) == (is_same, not is_same), (zone, text)
