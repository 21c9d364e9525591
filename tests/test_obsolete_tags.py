"""Tags of attributes that have left the catalog or the table: said by each sync, and removed when it is asked for."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from tag_vendor import CREDENTIALS, TagService, make_spec, make_sync_options, register_tag_vendor

from audience import DeviceIndex, get_vendor
from audience.delivery.syncing.applications import load_sync_statuses
from audience.delivery.syncing.index_sync import SyncChoices, plan_tags, sync_tags
from audience.errors import PlanError
from audience.planning.catalog.loader import parse_catalog

FAKE = "fake"
TABLE = pl.DataFrame(
    {
        "token": ["r1", "r2", "r3"],
        "tags": [["vip"], ["vip", "new"], []],
        "city": ["rome", "oslo", None],
        "level": ["1", "2", "2"],
    },
    schema_overrides={"tags": pl.List(pl.String)},
)
LINES = {name: f'[{name}]\nnames.{FAKE} = "{name}_{{value}}"\n' for name in ("city", "level")}
LINES |= {"tag": f'[tag]\nat = ["{FAKE}"]\n'}
TAGS = {"r1": {"vip"}, "r2": {"vip", "new"}}
CITIES, LEVELS = {"r1": "rome", "r2": "oslo"}, {"r1": "1", "r2": "2", "r3": "2"}


@dataclass
class Shop:
    """An index, a vendor's service, and syncs of some attributes."""

    folder: Path
    service: TagService

    def build(self, table: pl.DataFrame) -> None:
        """Put *table* in the place of the index."""
        index = self.folder / "d.index"
        self.index = DeviceIndex.build(table, index, replace=index.exists())

    def catalog(self, *names: str):
        return parse_catalog("\n".join(LINES[name] for name in names))

    def sync(self, *names: str, remove: bool = False, attributes: str | None = None, plans: bool = False):
        """Sync with a catalog that has the attributes *names*."""
        choices = SyncChoices(attributes=attributes, remove_obsolete=remove)
        function = plan_tags if plans else sync_tags
        catalog, options = self.catalog(*names), make_sync_options(self.service)
        return function(self.index, get_vendor(FAKE), catalog, CREDENTIALS, choices, options)

    def list_obsolete(self, *names: str, **options):
        plan = self.sync(*names, plans=True, **options)
        return {each.name: (each.tags, each.devices) for each in plan.obsolete}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    unregister = register_tag_vendor(make_spec())
    shop = Shop(tmp_path, TagService())
    shop.build(TABLE)
    yield shop
    unregister()


def tags_of(*attributes: str) -> dict[str, set[str]]:
    """Return the tags that the vendor has of *attributes*, by id."""
    found: dict[str, set[str]] = {each: set() for each in ("r1", "r2", "r3")}
    for name, values in (("city", CITIES), ("level", LEVELS)):
        for identifier, value in values.items() if name in attributes else ():
            found[identifier].add(f"{name}_{value}")
    for identifier, tags in TAGS.items() if "tag" in attributes else ():
        found[identifier] |= tags
    return {identifier: tags for identifier, tags in found.items() if tags}


def test_what_leaves_the_catalog_is_said_and_stays(shop):
    shop.sync("tag", "city", "level")
    assert shop.list_obsolete("tag", "city", "level") == {}
    assert shop.list_obsolete("level") == {"tag": (2, 2), "city": (2, 2)}
    shop.sync("level")
    assert shop.service.list_tags() == tags_of("tag", "city", "level")


def test_it_is_removed_on_request_and_nothing_else(shop):
    shop.sync("tag", "city", "level")
    assert shop.sync("tag", "level", remove=True).is_complete
    assert shop.service.list_tags() == tags_of("tag", "level")
    assert shop.list_obsolete("tag", "level") == {}
    calls = shop.service.calls
    assert shop.sync("tag", "level", remove=True).is_complete and shop.service.calls == calls


def test_a_catalog_that_names_nothing_may_remove_everything(shop):
    shop.sync("tag", "city")
    with pytest.raises(PlanError, match="names no attribute"):
        shop.sync()
    assert shop.sync(remove=True).is_complete
    assert shop.service.list_tags() == {}


def test_attributes_that_are_not_asked_for_now_are_not_obsolete(shop):
    shop.sync("tag", "city", "level")
    assert shop.list_obsolete("tag", "city", attributes="vip") == {"level": (2, 3)}
    assert shop.sync("tag", "city", attributes="vip", remove=True).is_complete
    assert shop.service.list_tags() == tags_of("tag", "city")


def test_a_column_that_leaves_the_table_is_obsolete_though_the_catalog_names_it(shop):
    shop.sync("tag", "city")
    shop.build(TABLE.drop("city"))
    assert shop.list_obsolete("tag", "city") == {"city": (2, 2)}
    shop.sync("tag", "city", remove=True)
    assert shop.service.list_tags() == tags_of("tag")


@pytest.mark.parametrize("bad", range(1, 5))
def test_a_removal_that_stops_goes_on(shop, bad):
    everything = ("tag", "city", "level")
    shop.sync(*everything)
    first = shop.service.calls
    shop.service.fault = lambda number: "stopped" if number >= first + bad else None
    shop.sync("tag", remove=True)
    shop.service.fault = lambda number: None
    assert shop.sync("tag", remove=True).is_complete
    assert shop.service.list_tags() == tags_of("tag")


def test_a_name_that_another_attribute_takes_is_not_removed(shop):
    shop.sync("tag", "city")
    shop.build(TABLE.with_columns(town=pl.Series(["oslo", "rome", "rome"])).drop("city"))
    catalog = parse_catalog(LINES["tag"] + f'[town]\nnames.{FAKE} = "city_{{value}}"\n')
    choices = SyncChoices(remove_obsolete=True)
    sync_tags(shop.index, get_vendor(FAKE), catalog, CREDENTIALS, choices, make_sync_options(shop.service))
    assert shop.service.list_tags() == {
        "r1": {"vip", "city_oslo"},
        "r2": {"vip", "new", "city_rome"},
        "r3": {"city_rome"},
    }
    assert load_sync_statuses(shop.folder / "d.index")[0].is_complete
