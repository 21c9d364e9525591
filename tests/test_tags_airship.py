"""Syncs of tag groups of Airship: names with a group, what no call can set, and groups that nobody has made."""

import polars as pl
import pytest
from test_sandbox_delivery import make_credentials

from audience import DeviceIndex, PlanError, get_vendor, plan
from audience.delivery import RetryPolicy
from audience.delivery.syncing.index_sync import SyncChoices, sync_tags
from audience.delivery.syncing.worker import SyncOptions
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.planning.tag_names import find_synced_tag, resolve_tag_names
from audience.sandbox import Population, Sandbox

IDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(20)]
TABLE = pl.DataFrame(
    {
        "token": IDS,
        "tags": [["vip", "a:b", "group.g:x"] if number % 2 else [] for number in range(20)],
        "level": ["gold" if number < 5 else "silver" for number in range(20)],
    }
)
CATALOG = '[tag]\nat = ["airship"]\n[level]\nnames.airship = "group.loyalty:{value}"\n'
QUICK_RETRY = RetryPolicy(max_attempts=3, initial_delay=0.001, max_delay=0.01, timeout=5)


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(TABLE, tmp_path / "devices.index", tokens={"airship": "token"})


def load_catalog(text: str = CATALOG):
    return validate_catalog(parse_catalog(text))


def sync(index: DeviceIndex, sandbox: Sandbox, text: str = CATALOG, **choices):
    credentials, options = make_credentials("airship", sandbox), SyncOptions(QUICK_RETRY)
    return sync_tags(index, get_vendor("airship"), load_catalog(text), credentials, SyncChoices(**choices), options)


def run_sandbox(tags: list[list[str]] | None = None) -> Sandbox:
    table = TABLE.select(airship_token="token")
    return Sandbox(Population(table.with_columns(tags=pl.Series(tags)) if tags else table), rate=None)


def test_tags_of_groups_are_set_and_native(index):
    with run_sandbox() as sandbox:
        assert sync(index, sandbox).is_complete
        wanted = {"group.loyalty:gold": IDS[:5], "group.loyalty:silver": IDS[5:], "vip": IDS[1::2]}
        assert sandbox.tags("airship") == wanted
        planned = plan("vip AND NOT level:gold", "airship", index, load_catalog())
        not_gold = {"NOT": {"tag": "gold", "group": "loyalty"}}
        assert planned.native == ({"audience": {"AND": [{"tag": "vip"}, not_gold]}},)
        assert planned.by_ids is None


def test_tags_with_a_colon_are_left_out(index):
    names = resolve_tag_names(None, get_vendor("airship"), load_catalog(), index.snapshot)
    left_out = {each.tag.value: each.problem.code for each in names.left_out}
    assert left_out == {"a:b": "illegal-name", "group.g:x": "ambiguous-name"}


def test_attributes_are_refused_with_the_name_of_a_group(index):
    with pytest.raises(PlanError) as caught:
        resolve_tag_names("level", get_vendor("airship"), load_catalog('[level]\nat = ["airship"]'), index.snapshot)
    assert caught.value.code == "illegal-name"
    assert "group.{type}:{value}" in str(caught.value)


def test_tags_of_groups_that_were_read_are_those_of_the_catalog(index):
    vendor, catalog = get_vendor("airship"), load_catalog()
    names = resolve_tag_names(None, vendor, catalog, index.snapshot)
    found = {
        name: find_synced_tag(name, names, vendor, catalog, index.snapshot)
        for name in ("group.loyalty:bronze", "group.other:x", "new", "city:Rome")
    }
    assert {name: synced and str(synced.tag.value) for name, synced in found.items()} == {
        "group.loyalty:bronze": "bronze",
        "group.other:x": None,
        "new": "new",
        "city:Rome": None,
    }


def test_from_vendor_removes_tags_of_groups_that_nobody_has_any_more(index):
    with run_sandbox([["group.loyalty:bronze", "foreign"]] * 20) as sandbox:
        assert sync(index, sandbox, from_vendor=True).is_complete
        assert {*sandbox.tags("airship")} == {"group.loyalty:gold", "group.loyalty:silver", "vip"}


def test_group_that_is_reserved_is_left_out_and_one_that_is_missing_leaves_the_sync_open(index, monkeypatch):
    text = CATALOG.replace("loyalty", "ua_loyalty")
    with run_sandbox() as sandbox:
        assert sync(index, sandbox, text).is_complete
        assert {*sandbox.tags("airship")} == {"vip"}
        monkeypatch.setattr("audience.sandbox.vendors.airship.tags.RESERVED_PREFIX", "loyal")
        assert not sync(index, sandbox).is_complete
        assert plan("level:gold", "airship", index, load_catalog()).by_ids is not None
