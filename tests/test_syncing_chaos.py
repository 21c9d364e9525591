"""Syncs to the sandbox: its tags become those of the index at each vendor, also if real processes are killed."""

import os
import random
import signal
import sys
import time
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest
import sync_worker
from callers import ID_FORMATS
from sizes import scale

from audience import DeviceIndex, get_vendor
from audience.delivery.syncing import late_calls
from audience.delivery.transport.rate_limit import RateLimiter
from audience.errors import DeliveryError
from audience.sandbox import Population, Sandbox

VENDORS = [name for name in ID_FORMATS if get_vendor(name).tags is not None]
READ_VENDORS = [name for name in VENDORS if get_vendor(name).tags.reading is not None]
DEVICES, KILLS = scale(60, 2_000), scale(2, 20)
LATE_SECONDS = scale(0.5, 15.0)  # a sandbox on this machine gets no call later
FAULTS = ["drop:0.05", "error:0.05", "close:0.05"]
FORK_CONTEXT = get_context("forkserver")
FORK_CONTEXT.set_forkserver_preload(["sync_worker"])
CATALOG = "[tag]\nat = [{vendors}]\n\n[province]\nexclusive = true\n[province.names]\n{names}\n"


@pytest.fixture(autouse=True)
def state_of_its_own(tmp_path, monkeypatch):
    """Let processes find the modules of the tests, and share no rate limit with other tests."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(late_calls, "LATE_MARGIN_SECONDS", LATE_SECONDS)


@pytest.fixture(autouse=True)
def no_pace(monkeypatch):
    """Make calls as fast as they come, except in a long run: the sandbox has no rate limits here."""

    async def go(limiter, rate_limits):
        return None

    for name in ("wait", "wait_to_leave") if not scale(0, 1) else ():
        monkeypatch.setattr(RateLimiter, name, go)


def make_table(chance: random.Random) -> pl.DataFrame:
    """Return a table of devices with tags and provinces."""
    return pl.DataFrame(
        {
            "registration_id": [f"{number:032x}" for number in range(DEVICES)],
            "tags": [[tag for tag in ("vip", "new", "gold") if chance.random() < 0.4] for _ in range(DEVICES)],
            "province": [chance.choice(["hunan", "hubei", None]) for _ in range(DEVICES)],
        },
        schema_overrides={"tags": pl.List(pl.String)},
    ).with_columns(alias=pl.col("registration_id"))  # tags are bound to it at some vendors


def name_provinces(vendor: str) -> str:
    """Return the template of the vendor's tags of provinces, which have a key and a text at some vendors."""
    return "in_{value}" if get_vendor(vendor).tags.find_key is None else "in:{value}"


def list_wanted(table: pl.DataFrame, vendor: str) -> dict[str, set[str]]:
    """Return the ids that have each tag in *table*, by the names of *vendor*."""
    wanted: dict[str, set[str]] = {}
    for identifier, tags, province in table.select("registration_id", "tags", "province").iter_rows():
        names = [name_provinces(vendor).format(value=province)] if province else []
        for name in [*tags, *names]:
            wanted.setdefault(name, set()).add(identifier)
    return wanted


class Scene:
    """An index, its catalog and the sandbox."""

    def __init__(self, folder: Path, sandbox: Sandbox, chance: random.Random):
        self.folder, self.sandbox, self.chance = folder, sandbox, chance
        self.index, self.catalog = folder / "d.index", folder / "catalog.toml"
        names = "\n".join(f'{vendor} = "{name_provinces(vendor)}"' for vendor in VENDORS)
        self.catalog.write_text(CATALOG.format(vendors=", ".join(f'"{vendor}"' for vendor in VENDORS), names=names))
        self.change()

    def change(self) -> None:
        """Give the index another snapshot."""
        self.table = make_table(self.chance)
        DeviceIndex.build(self.table, self.index, alias="alias", replace=self.index.exists())

    def sync(self, vendor: str, **options):
        return sync_worker.sync(self.index, self.catalog, vendor, self.sandbox.url, **options)

    def start(self, vendor: str):
        """Start a process that syncs."""
        arguments = [self.index, self.catalog, vendor, self.sandbox.url]
        process = FORK_CONTEXT.Process(target=sync_worker.work, args=arguments)
        process.start()
        return process

    def list_tags(self, vendor: str) -> dict[str, set[str]]:
        return {name: set(ids) for name, ids in self.sandbox.tags(vendor).items()}


@pytest.fixture
def scene(tmp_path):
    chance = random.Random(1)
    population = Population(make_table(chance).select("registration_id", "alias"))
    with Sandbox(population, rate=None) as sandbox:
        yield Scene(tmp_path, sandbox, chance)


@pytest.mark.parametrize("vendor", VENDORS)
def test_tags_at_each_vendor_become_those_of_the_index(scene, vendor):
    for _ in range(2):
        assert scene.sync(vendor).is_complete
        assert scene.list_tags(vendor) == list_wanted(scene.table, vendor)
        scene.change()


@pytest.mark.parametrize("vendor", READ_VENDORS)
def test_from_vendor_corrects_what_others_have_changed(scene, vendor):
    assert scene.sync(vendor).is_complete
    other = scene.folder / "other"
    other.mkdir()
    stranger = Scene(other, scene.sandbox, random.Random(9))  # another index, whose syncs the first knows nothing of
    with pytest.raises(DeliveryError, match="synced-from-another-index"):
        stranger.sync(vendor)
    assert stranger.sync(vendor, full=True).is_complete
    with pytest.raises(DeliveryError, match="synced-from-another-index"):
        scene.sync(vendor)
    assert scene.sync(vendor, from_vendor=True).is_complete
    assert scene.list_tags(vendor) == list_wanted(scene.table, vendor)


@pytest.mark.timeout(scale(300, 3_600))
@pytest.mark.parametrize("vendor", VENDORS if scale(0, 1) else ["engagelab"])
def test_killed_processes_leave_tags_that_the_next_sync_makes_equal(scene, vendor):
    scene.sandbox.set_faults(*FAULTS)
    for kill in range(KILLS):
        process = scene.start(vendor)
        time.sleep(scene.chance.random() * scale(3, 4))
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        if kill % 3 == 2:
            scene.change()
    status = scene.sync(vendor)
    assert status.is_complete, status
    assert scene.list_tags(vendor) == list_wanted(scene.table, vendor)
