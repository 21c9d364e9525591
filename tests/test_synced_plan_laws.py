"""Law: whatever was synced, changed, renamed or interrupted, a plan reaches exactly the devices of the index."""

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from strategies import boolean_exprs
from tag_syncs import VendorTags

from audience import DeviceIndex, PlanError, Tag, get_vendor, plan
from audience.language.ast import Compare, Expr, atoms
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.planning.tag_names import resolve_tag_names
from audience.tag_sync.desired import read_desired_tags
from audience.testing.oracle import OracleDevice, is_inside
from audience.vendors import vendor_names

VENDORS = [name for name in vendor_names(can="emit") if get_vendor(name).tags is not None]
TAGS, PROVINCES, AGES = ["vip", "told", "new"], ["gd", "hn", None], [20, 30, None]
PATTERNS = ["p_{value}", "province_{value}"]
CATALOG = """
[tag]
names.VENDOR = { vip = "VIP", told = "TOLD", new = "NEW" }
[province]
values = ["gd", "hn"]
exclusive = true
names.VENDOR = "PATTERN"
[age]
order = "number"
AGES
names.VENDOR = "age_{value}"
[city]
names.VENDOR = "city_{value}"
"""
LISTED_AGES = 'values = ["20", "30"]'  # else a plan has the value as it is written
SWAPS = {
    "": {},
    "tags": {"VIP": "TOLD", "TOLD": "VIP"},
    "types": {"city_{value}": "PATTERN", "PATTERN": "city_{value}"},
}

devices = st.fixed_dictionaries(
    {
        "tags": st.lists(st.sampled_from(TAGS), unique=True, max_size=3),
        "province": st.sampled_from(PROVINCES),
        "age": st.sampled_from(AGES),
        "city": st.sampled_from(PROVINCES),
    }
)
tables = st.lists(devices, min_size=1, max_size=6)
groups = st.lists(
    st.sampled_from(["vip", "told", "tag", "province", "age", "city"]), min_size=1, max_size=3, unique=True
)
swaps = st.sampled_from(list(SWAPS))  # which names the catalog gives to each other's tags
steps = st.one_of(
    st.tuples(st.just("sync"), st.sampled_from([0, 1]), groups, st.booleans()),
    st.tuples(st.just("begin"), st.sampled_from([0, 1]), groups, st.sampled_from([1, 2, 3])),
    st.tuples(st.just("change"), tables),
    st.tuples(st.just("rename"), st.sampled_from(PATTERNS), swaps, st.booleans()),
    st.tuples(st.just("forget"), st.sampled_from(["r0", "r1"])),
)
LEAVES = [
    *(Tag("tag", name) for name in TAGS),
    *(Tag("province", name) for name in ("gd", "hn")),
    *(Tag("city", name) for name in ("gd", "hn")),
    *(Tag("age", age) for age in ("20", "30", "30.0")),
    Compare("age", ">", "20"),
    Compare("age", "<=", "30"),
]
leaves = st.sampled_from(LEAVES)


def load(vendor: str, pattern: str, swapped: str, *, lists_ages: bool):
    text = CATALOG.replace("VENDOR", vendor).replace("AGES", LISTED_AGES if lists_ages else "")
    text = re.sub("|".join(map(re.escape, SWAPS[swapped])) or "$^", lambda found: SWAPS[swapped][found[0]], text)
    return validate_catalog(parse_catalog(text.replace("PATTERN", pattern)))


def make_table(rows: list[dict]) -> pl.DataFrame:
    schema = {"registration_id": pl.String, "tags": pl.List(pl.String), "province": pl.String, "age": pl.Int64}
    schema["city"] = pl.String
    ids = [{"registration_id": f"r{at}", **row} for at, row in enumerate(rows)]
    return pl.DataFrame(ids, schema=schema)


class World:
    """An index, a catalog, and two applications with what syncs have set there."""

    def __init__(self, vendor: str, rows: list[dict], folder):
        self.vendor = vendor
        self.catalog = load(vendor, PATTERNS[0], "", lists_ages=True)
        self.applications = [VendorTags(vendor, digest) for digest in ("a" * 64, "b" * 64)]
        self.index = DeviceIndex.build(make_table(rows), folder / "devices.index", timezone="UTC")
        self.synced: set[tuple[str, str | None]] = set()

    def take(self, step: tuple) -> None:
        """Sync, change the index, or rename tags."""
        match step:
            case "sync" | "begin", number, names, how:
                ends = step[0] == "sync"
                options = {"is_read": how} if ends else {"share": how, "ends": False}
                try:
                    self.applications[number].sync(self.index, self.catalog, names, **options)
                except PlanError as error:
                    assert error.code in ("unknown-attribute", "no-name", "ambiguous-name", "not-at-vendor"), error
                    return
                self.synced |= {("tag", name) if name in TAGS else (name, None) for name in names}
            case "change", rows:
                self.index.update(make_table(rows))
            case "rename", pattern, swapped, lists_ages:
                self.catalog = load(self.vendor, pattern, swapped, lists_ages=lists_ages)
            case "forget", id_:
                self.index.remove([id_])

    def list_vendor_tags(self, application: VendorTags) -> dict[str, set[str]]:
        """Return the tags at *application*; what was never synced is what the catalog says."""
        vendor = get_vendor(self.vendor)
        names = resolve_tag_names(None, vendor, self.catalog, self.index.snapshot).names
        unsynced = {tag: name for tag, name in names.items() if not self.is_synced(tag)}
        desired = read_desired_tags(self.index.snapshot, unsynced, vendor).tags
        at_vendor = {id_: set(tags) for id_, tags in application.tags.items()}
        ids = desired.ids.to_list()
        for tag, rows in zip(desired.tags, desired.rows, strict=True):
            for row in rows:
                at_vendor.setdefault(ids[row], set()).add(tag.name)
        return at_vendor

    def is_synced(self, tag: Tag) -> bool:
        """Return whether a sync of *tag* was ever begun."""
        return (tag.type, None) in self.synced or (tag.type, tag.value) in self.synced


def list_reached(native, vendor: str, at_vendor: dict[str, set[str]], ids: list[str]) -> list[str]:
    """Return the ids that a payload reaches, as the vendor reads it."""
    expr = get_vendor(vendor).parse(native)
    tags = {id_: frozenset(("tag", name) for name in at_vendor.get(id_, ())) for id_ in ids}
    return [id_ for id_ in ids if is_inside(expr, OracleDevice(tags=tags[id_]))]


def check_plan(world: World, expr: Expr, **options) -> None:
    """Assert that a plan reaches each device of the index once, at each of its applications."""
    planned = plan(expr, world.vendor, world.index, world.catalog, **options)
    wanted = sorted(world.index.resolve(expr).ids().to_list())
    by_ids = [] if planned.by_ids is None else world.index.resolve(planned.by_ids).ids().to_list()
    if not planned.native:
        assert sorted(by_ids) == wanted
        return
    digests = {each.application.digest for each in planned.synced}
    named = {atom for part in planned.request_exprs for atom in atoms(part) if isinstance(atom, Tag)}
    assert bool(digests) == any(map(world.is_synced, named))
    every = world.index.resolve("everyone").ids().to_list()
    for application in world.applications:
        if digests and application.digest not in digests:
            continue
        at_vendor = world.list_vendor_tags(application)
        reached = [id_ for native in planned.native for id_ in list_reached(native, world.vendor, at_vendor, every)]
        assert sorted(reached + by_ids) == wanted, (planned.request_exprs, at_vendor)


ROWS = [
    {"tags": ["vip"], "province": "gd", "age": 20, "city": "hn"},
    {"tags": ["told"], "province": "hn", "age": 30, "city": "gd"},
]
OTHER_ROWS = [{**row, "tags": ["new"]} for row in reversed(ROWS)]
SYNC, BEGIN = ("sync", 0, ["tag", "province", "age", "city"], False), ("begin", 0, ["vip", "province"], 2)
RENAMED = ("rename", PATTERNS[0], "types", True)
HISTORIES = {
    "a sync has begun": [SYNC, ("change", OTHER_ROWS), BEGIN],
    "the first sync has begun": [BEGIN],
    "a sync has begun, and another application has what the index has": [SYNC, ("begin", 1, ["vip"], 2)],
    "a device has changed": [SYNC, ("change", OTHER_ROWS)],
    "a device is gone": [SYNC, ("forget", "r0")],
    "bare tags have each other's names": [SYNC, ("rename", PATTERNS[0], "tags", True)],
    "an attribute has other names": [SYNC, ("rename", PATTERNS[1], "", True)],
    "attributes have each other's names": [SYNC, RENAMED],
    "a tag that was never synced has the name of one that was": [
        ("sync", 0, ["vip"], False),
        ("rename", PATTERNS[0], "tags", True),
    ],
    "an attribute that was never synced has the names of one that was": [("sync", 0, ["province"], False), RENAMED],
    "an attribute that was never synced has the names of one that is being synced": [
        ("begin", 0, ["province"], 1),
        RENAMED,
    ],
    "the other application has the names of another tag": [
        ("sync", 1, ["province"], False),
        ("sync", 0, ["age"], False),
        RENAMED,
    ],
    "names have come back": [SYNC, RENAMED, ("rename", PATTERNS[0], "", True)],
    "names are synced, and have come back": [
        *(SYNC, RENAMED, ("sync", 0, ["province"], False)),
        ("rename", PATTERNS[0], "", True),
    ],
    "numbers are not listed, and not synced": [("rename", PATTERNS[0], "", False)],
    "numbers are not listed": [("rename", PATTERNS[0], "", False), SYNC],
    "numbers are listed no more": [SYNC, ("rename", PATTERNS[0], "", False)],
    "a snapshot was synced by another name": [SYNC, ("sync", 1, ["tag"], False), ("change", OTHER_ROWS)],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
@pytest.mark.parametrize("vendor", VENDORS)
def test_each_history_is_planned_for(vendor, history, tmp_path):
    world = World(vendor, ROWS, tmp_path)
    for step in history:
        world.take(step)
    for leaf in LEAVES:
        check_plan(world, leaf)


@pytest.mark.parametrize("vendor", VENDORS)
@given(rows=tables, history=st.lists(steps, max_size=6), expr=boolean_exprs(leaves, max_leaves=6), strict=st.booleans())
@settings(max_examples=scale_examples(40), deadline=None)
def test_native_requests_and_ids_reach_the_devices_of_the_index(vendor, rows, history, expr, strict, tmp_path_factory):
    world = World(vendor, rows, tmp_path_factory.mktemp("law"))
    for step in history:
        world.take(step)
    check_plan(world, expr, strict=strict, max_requests=4)
