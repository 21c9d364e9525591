"""Syncs to each vendor's sandbox: its tags are those of the index through deaths, faults and changes; pushes follow.

Calls have few ids here, whatever the vendor allows, so that small tables need many calls. A vendor is in these tests as
soon as its record has tags and a sandbox.
"""

import random
import signal
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context

import polars as pl
import pytest
import sending_processes
from sizes import scale
from test_sandbox_delivery import make_credentials, make_ids

from audience import DeviceIndex, get_vendor, plan, vendor_names
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, send
from audience.delivery.clock import Clock
from audience.delivery.syncing import late_calls
from audience.delivery.syncing.index_sync import sync_tags
from audience.delivery.syncing.worker import SyncOptions
from audience.delivery.transport.rate_limit import RateLimiter
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.sandbox.tag_store import TagStore
from audience.testing.registration import register_vendors

VENDORS = [name for name in vendor_names(can="send") if get_vendor(name).tags and get_vendor(name).sandbox]
FAMILIES = list({get_vendor(name).tags.family: name for name in reversed(VENDORS)}.values())
MESSAGE = {"title": "Hi", "body": "there"}
CATALOG = """
[tag]
names.VENDOR = { vip = "v", told = "t", new = "n" }
[province]
names.VENDOR = "p_{value}"
exclusive = true
[level]
names.VENDOR = "level_{value}"
exclusive = true
"""
PROVINCES, LEVELS, TAGS = ["gd", "hn", "sc", "zj", None], ["1", "2", "3", None], ["vip", "told", "new"]
NAMES = {
    **{f"province:{value}": f"p_{value}" for value in PROVINCES if value},
    **{f"level:{value}": f"level_{value}" for value in LEVELS if value},
    **{tag: tag[0] for tag in TAGS},
}
RETRY = RetryPolicy(max_attempts=60, initial_delay=0.001, max_delay=0.02, timeout=0.5, max_lost=10**6)
KILLS = scale(1, 20)
EXPRESSIONS = scale(4, 200)
FAULTS = ("drop:0.05", "close:0.05", "fast:0.05", "error=503:0.05", "error-after=502:0.05")
SPAWN_CONTEXT = get_context("spawn")  # Polars may run in the server of another module's processes


def make_rows(vendor: str, count: int, chance: random.Random) -> list[dict]:
    return [
        {
            "token": id_,
            "province": chance.choice(PROVINCES),
            "level": chance.choice(LEVELS),
            "tags": [tag for tag in TAGS if chance.random() < 0.4],
        }
        for id_ in make_ids(vendor, range(count))
    ]


def write_catalog(vendor: str) -> str:
    """The text of the catalog; at a vendor whose tags have keys, the values of an attribute have one."""
    text = CATALOG.replace("VENDOR", vendor)
    return text if get_vendor(vendor).tags.find_key is None else text.replace("_{", ":{")


def load_catalog(vendor: str):
    return validate_catalog(parse_catalog(write_catalog(vendor)))


def to_table(rows: list[dict]) -> pl.DataFrame:
    types = {"token": pl.String, "province": pl.String, "level": pl.String, "tags": pl.List(pl.String)}
    return pl.DataFrame(rows, schema=types)


def list_pairs(rows: list[dict], vendor: str) -> set[tuple[str, str]]:
    """The pairs of an id and a tag of the vendor that a table gives."""
    pairs, has_keys = set(), get_vendor(vendor).tags.find_key is not None
    for row in rows:
        texts = [*row["tags"], *(f"{name}:{row[name]}" for name in ("province", "level") if row[name])]
        pairs |= {(row["token"], NAMES[text].replace("_", ":") if has_keys else NAMES[text]) for text in texts}
    return pairs


@dataclass
class World:
    """An index, a sandbox that knows its devices without tags, and the pairs of ids and tags that may be there.

    Attributes:
        population: Devices of the sandbox.
        before: Pairs that the last sync that has ended has left there.
        targets: Pairs of each table since then.
        broken: Changes that the sandbox has seen and that no table explains: a tag that none of them gives is set, or
            one is removed that all give since then, which would be lost if that call came late.
        changes: Number of pairs that calls have named.
        behind: Seconds ago that syncs seem to be made.
    """

    vendor: str
    rows: list[dict]
    index: DeviceIndex
    population: Population
    sandbox: Sandbox
    before: set[tuple[str, str]] = field(default_factory=set)
    targets: list[set[tuple[str, str]]] = field(default_factory=list)
    broken: list[tuple[str, str, str]] = field(default_factory=list)
    changes: int = 0
    behind: float = 0.0

    @property
    def family(self) -> str:
        """Return the name of the sandbox's vendor."""
        return self.vendor.split("_")[0]

    @property
    def credentials(self):
        """Return credentials that the sandbox takes."""
        return make_credentials(self.vendor, self.sandbox)

    def change(self, rows: list[dict]) -> None:
        """Change devices, of which *rows* are the new ones."""
        new = {row["token"]: row for row in rows}
        self.rows = [new.get(row["token"], row) for row in self.rows]
        self.index.update(to_table(rows).with_columns(alias=pl.col("token")))
        self.index = DeviceIndex.open(self.index.folder)
        self.targets.append(list_pairs(self.rows, self.vendor))

    def sync(self):
        """Sync in this process until nothing is left, however often it stops."""
        for _ in range(30):
            status = sync_tags(
                self.index,
                get_vendor(self.vendor),
                load_catalog(self.vendor),
                self.credentials,
                options=SyncOptions(RETRY, 8, clock=Clock(wall=lambda: time.time() - self.behind)),
            )
            if status.is_complete:
                break
        assert status.is_complete, status
        self.require_equal()

    def require_equal(self) -> None:
        """Hold that the sandbox has exactly the tags of the index, and had no other at any moment."""
        found = {(id_, name) for name, ids in self.sandbox.tags(self.vendor).items() for id_ in ids}
        assert found == list_pairs(self.rows, self.vendor)
        assert self.broken == []
        assert self.changes >= len(found)  # all of them were seen
        self.before, self.targets = found, []

    def see(self, verb: str, store: TagStore, name: str, rows) -> None:
        """Hold a change against the tables."""
        if store.population is not self.population:
            return
        for row in rows.tolist():
            pair = (self.rows[row]["token"], name)
            self.changes += 1
            given = [pair in each for each in self.targets]
            if all(given) if verb == "remove" else not any([*given, pair in self.before]):
                self.broken.append((verb, *pair))


def small_calls(vendor: str):
    """Register *vendor* with calls of three ids."""
    return register_vendors(sending_processes.shrink_tag_calls(get_vendor(vendor), 3))


@pytest.fixture
def no_pace(monkeypatch):
    """Make calls as fast as they come: the sandbox has no rate limits here."""

    async def go(limiter, rate_limits):
        return None

    monkeypatch.setattr(RateLimiter, "wait", go)
    monkeypatch.setattr(RateLimiter, "wait_to_leave", go)


@contextmanager
def opened(vendor: str, count: int, folder, monkeypatch, clock=time.time):
    """Yield a world of *count* devices, of which the sandbox has no tags yet."""
    rows = make_rows(vendor, count, random.Random(count))
    tokens = {vendor.split("_")[0]: "token"}
    table = to_table(rows).with_columns(alias=pl.col("token"))  # that of vendors whose tags are bound to aliases
    index = DeviceIndex.build(table, folder / "devices.index", tokens=tokens, alias="alias")
    column = f"{vendor.split('_')[0]}_token"
    population = Population(table.select("alias", pl.col("token").alias(column)))
    with Sandbox(population, rate=None, clock=clock) as sandbox:
        world = World(vendor, rows, index, population, sandbox)
        world.targets.append(list_pairs(rows, vendor))
        for verb in ("add", "remove"):
            monkeypatch.setattr(TagStore, verb, watched(world, verb, getattr(TagStore, verb)))
        yield world


def watched(world: World, verb: str, change):
    def see_and_change(store, name, rows):
        world.see(verb, store, name, rows)
        return change(store, name, rows)

    return see_and_change


def change_some(rows: list[dict], chance: random.Random, share: float) -> list[dict]:
    """New rows of some devices."""
    picked = [row for row in rows if chance.random() < share] or rows[:1]
    new = make_rows("tpns", len(picked), chance)
    return [{**row, "token": old["token"]} for old, row in zip(picked, new, strict=True)]


@pytest.mark.parametrize("vendor", FAMILIES)
def test_faults_leave_no_difference(no_pace, tmp_path, monkeypatch, vendor):
    chance = random.Random(vendor)
    monkeypatch.setattr(late_calls, "LATE_MARGIN_SECONDS", 0.0)
    with small_calls(vendor), opened(vendor, scale(16, 200), tmp_path, monkeypatch) as world:
        world.sandbox.set_faults(*FAULTS)
        world.sync()
        for _ in range(scale(1, 5)):
            world.change(change_some(world.rows, chance, 0.3))
            world.sync()
        calls = world.changes
        world.sync()
        assert world.changes == calls  # nothing is left to do


@pytest.mark.parametrize("vendor", FAMILIES)
def test_sync_that_is_killed_many_times_ends_right(no_pace, tmp_path, monkeypatch, vendor):
    chance = random.Random(vendor)
    monkeypatch.setattr(late_calls, "LATE_MARGIN_SECONDS", 0.0)
    with small_calls(vendor), opened(vendor, scale(60, 300), tmp_path, monkeypatch) as world:
        for number in range(KILLS):
            kill_sync(world, chance)
            if number % 5 == 0:  # the killed one was to set other tags
                world.change(change_some(world.rows, chance, 0.5))
        world.sync()


def kill_sync(world: World, chance: random.Random) -> None:
    """Sync in a process of its own, and kill it after some changes."""
    here, there = SPAWN_CONTEXT.Pipe(duplex=False)
    task = (there, world.index.folder, world.vendor, write_catalog(world.vendor), world.credentials)
    process = SPAWN_CONTEXT.Process(target=sending_processes.sync_to_sandbox, args=task)
    process.start()
    there.close()
    until, deadline = world.changes + chance.randrange(3, 40), time.monotonic() + 60
    while time.monotonic() < deadline and process.is_alive() and world.changes < until:
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, process.exitcode
    here.close()


def make_expression(chance: random.Random, depth: int = 2) -> str:
    """A random expression over tags that were synced."""
    if depth == 0 or chance.random() < 0.2:
        return ("NOT " if chance.random() < 0.25 else "") + chance.choice(list(NAMES))
    words = f" {chance.choice(['AND', 'OR'])} ".join(
        make_expression(chance, depth - 1) for _ in range(chance.randrange(2, 4))
    )
    return f"({words})"


def make_plan(world: World, expr: str):
    return plan(expr, world.vendor, world.index, load_catalog(world.vendor), max_requests=4)


def send_plan(world: World, planned, folder) -> set[str]:
    """Send what was planned, and return the ids that were told, each once."""
    before = Counter(world.sandbox.delivery_counts(world.vendor))
    write_requests(planned, world.index, folder)
    options = SendOptions(RETRY, concurrency=4)
    status = send(folder, MESSAGE, world.credentials, SafetyLimits(max_devices=10**6), options=options)
    assert status.done, status
    told = Counter(world.sandbox.delivery_counts(world.vendor)) - before
    assert set(told.values()) <= {1}
    return set(told)


def list_ids(world: World, expr: str) -> set[str]:
    return set(world.index.resolve(expr).ids(world.family).to_list())


@pytest.mark.parametrize("vendor", VENDORS)
def test_native_requests_reach_the_devices_of_the_index(no_pace, tmp_path, monkeypatch, vendor):
    chance, behind = random.Random(vendor), get_vendor(vendor).tags.delay.total_seconds() + 1
    shift = [-behind]  # the sync was long enough ago for pushes to follow it
    with opened(vendor, 300, tmp_path, monkeypatch, lambda: time.time() + shift[0]) as world:
        world.behind = behind
        world.sync()
        shift[0], sent = 0.0, 0
        while sent < EXPRESSIONS:
            expr = make_expression(chance)
            planned = make_plan(world, expr)
            if not planned.native or not world.index.count(expr):
                continue
            assert send_plan(world, planned, tmp_path / f"run{sent}") == list_ids(world, expr), expr
            sent += 1

        changed = [{**row, "province": "gd" if row["province"] != "gd" else "hn"} for row in world.rows[:100]]
        world.change(changed)
        stale = make_plan(world, "province:gd AND vip")
        assert not stale.native and "stale-at-vendor" in [reason.code for reason in stale.reasons]
        assert send_plan(world, stale, tmp_path / "stale") == list_ids(world, "province:gd AND vip")
        fresh = make_plan(world, "level:1 AND vip")
        assert fresh.native and fresh.by_ids is None
        assert send_plan(world, fresh, tmp_path / "fresh") == list_ids(world, "level:1 AND vip")

        shift[0] = -behind
        world.sync()
        shift[0] = 0.0
        again = make_plan(world, "province:gd AND vip")
        assert again.native and again.by_ids is None
        assert send_plan(world, again, tmp_path / "again") == list_ids(world, "province:gd AND vip")
