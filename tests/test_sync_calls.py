"""Calls of a sync: whatever a vendor answers, its tags become those that are wanted, and nothing else is set before."""

import os
import random
from collections.abc import Mapping
from dataclasses import replace

import polars as pl
import pytest
from tag_vendor import CREDENTIALS, FORMS, QUICK_RETRY, TagService, make_spec, make_sync_options, make_tag_vendor

from audience import DeviceIndex
from audience.delivery import sqlite_file
from audience.delivery.applications import identify_application
from audience.delivery.syncing.status import SyncStatus
from audience.delivery.syncing.sync import SyncCommand, SyncTarget, plan_sync, run_sync
from audience.delivery.syncing.worker import SyncOptions
from audience.errors import DeliveryError, LockedError, Problem
from audience.language.ast import Tag
from audience.tag_sync.changes import name_device_tags
from audience.tag_sync.desired import DesiredTags
from audience.tag_sync.storage import load_state
from audience.tag_sync.tags import NamedScope, Scope, SyncedTag

TAGS = [f"t{number}" for number in range(6)]
EVERY_TAG = {"tag": NamedScope(Scope(frozenset({"tag"})), "named")}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Wait for no disk: what is on it after a crash of the machine is not asked here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    connect = sqlite_file.connect

    def connect_without_syncing(path, mode):
        connection = connect(path, mode)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(sqlite_file, "connect", connect_without_syncing)


def make_tags(chance: random.Random, devices: int) -> dict[str, set[str]]:
    """Return tags of devices by id."""
    return {f"r{number}": {tag for tag in TAGS if chance.random() < 0.4} for number in range(devices)}


class Syncing:
    """An index, a vendor's service and the syncs between them."""

    def __init__(self, folder, service: TagService | None = None, spec=None):
        pl.DataFrame({"token": ["r0"], "tags": [["t0"]]}).write_parquet(folder / "table.parquet")
        self.index = DeviceIndex.build(folder / "table.parquet", folder / "i.index")
        self.service = service or TagService()
        self.vendor = make_tag_vendor(spec)
        self.snapshot = 0

    def command(self, wanted: Mapping[str, set[str]], **overrides) -> SyncCommand:
        """Return the command that makes the vendor's tags those *wanted*."""
        self.snapshot += 1
        tags = name_device_tags(
            {each: [SyncedTag(Tag("tag", tag), tag) for tag in sorted(tags)] for each, tags in wanted.items()}
        )
        digest = repr(sorted((each, sorted(tags)) for each, tags in wanted.items()))
        fields = {
            "storage": self.index.snapshot.storage,
            "vendor": self.vendor,
            "application": identify_application("fake", self.vendor.delivery, CREDENTIALS),
            "credentials": CREDENTIALS,
            "target": SyncTarget(
                attributes=EVERY_TAG, desired=DesiredTags(tags=tags, snapshot=self.snapshot, devices_digest=digest)
            ),
            "request": {},
        }
        return SyncCommand(**{**fields, **overrides})

    def sync(self, wanted: Mapping[str, set[str]], options: SyncOptions | None = None, **overrides) -> SyncStatus:
        """Make the vendor's tags those *wanted*."""
        return run_sync(self.command(wanted, **overrides), options or make_sync_options(self.service))

    def load_state(self):
        return load_state(self.index.snapshot.storage, self.command({}).application)


def having_any(tags: Mapping[str, set[str]]) -> dict[str, set[str]]:
    return {identifier: each for identifier, each in tags.items() if each}


def changed(tags: Mapping[str, set[str]], chance: random.Random) -> dict[str, set[str]]:
    """Return *tags* after some devices have changed, left and come."""
    kept = {each: set(old) ^ {tag for tag in TAGS if chance.random() < 0.2} for each, old in tags.items()}
    gone = [each for each in kept if chance.random() < 0.1]
    new = {f"n{chance.random()}": {tag for tag in TAGS if chance.random() < 0.4} for _ in gone}
    return {each: own for each, own in {**kept, **new}.items() if each not in gone}


@pytest.mark.parametrize("forms", FORMS)
def test_tags_become_those_that_are_wanted(tmp_path, forms):
    chance = random.Random(1)
    syncing = Syncing(tmp_path, spec=make_spec(FORMS[forms]))
    wanted = make_tags(chance, 30)
    for _ in range(4):
        status = syncing.sync(wanted)
        assert status.is_complete and status.calls["done"] == sum(status.calls.values())
        assert syncing.service.list_tags() == having_any(wanted)
        wanted = changed(wanted, chance)


def test_a_sync_without_changes_makes_no_call(tmp_path):
    syncing = Syncing(tmp_path)
    wanted = make_tags(random.Random(2), 9)
    syncing.sync(wanted)
    calls = syncing.service.calls
    status = syncing.sync(wanted)
    assert (status.is_complete, syncing.service.calls, status.number) == (True, calls, 2)


FAULTS = ["lost", "half", "unreached", "again", "in-doubt", "late", None, None, None]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("forms", FORMS)
def test_faults_change_nothing_at_the_end(tmp_path, forms, seed):
    chance = random.Random(seed)
    faults = [chance.choice(FAULTS) for _ in range(5_000)]
    service = TagService(fault=lambda number: faults[number % len(faults)])
    syncing = Syncing(tmp_path, service, make_spec(FORMS[forms]))
    options = make_sync_options(service, retry=RETRY_LONG)
    before: dict[str, set[str]] = {}
    wanted = make_tags(chance, 20)
    for _ in range(3):
        service.allowed = lambda each, tag, old=before, new=wanted: tag in old.get(each, ()) or tag in new.get(each, ())
        assert syncing.sync(wanted, options).is_complete
        service.arrive()
        assert service.list_tags() == having_any(wanted)
        before, wanted = wanted, changed(wanted, chance)
    assert service.forbidden == []


RETRY_LONG = type(QUICK_RETRY)(max_attempts=60, initial_delay=0.0001, max_delay=0.0005, timeout=0.01, max_lost=10_000)


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("forms", FORMS)
def test_unknown_ids_are_found_and_left_out(tmp_path, forms, names):
    wanted = {f"r{number}": {"t0", "t1"} for number in range(10)}
    service = TagService(unknown={"r3", "r8"}, names_unknown=names)
    syncing = Syncing(tmp_path, service, make_spec(FORMS[forms]))
    status = syncing.sync(wanted)
    assert (status.is_complete, status.unknown_ids) == (True, 2)
    assert service.list_tags() == {each: tags for each, tags in wanted.items() if each not in service.unknown}
    calls = service.calls
    assert syncing.sync(wanted).is_complete and service.calls == calls  # they are not tried again
    service.unknown.clear()
    assert syncing.sync(wanted, retry_unknown=True).unknown_ids == 0
    assert service.list_tags() == wanted


def test_a_bad_tag_makes_no_id_unknown(tmp_path):
    wanted = {f"r{number}": {"t0", "t1"} for number in range(40)}
    service = TagService(bad_tags=frozenset({"t1"}), unknown={"r7"}, names_unknown=False)
    syncing = Syncing(tmp_path, service, make_spec((replace(FORMS["tag"][0], max_ids=40),)))
    status = syncing.sync(wanted, make_sync_options(service, concurrency=1))
    assert (status.is_complete, status.unknown_ids) == (False, 1)
    assert [problem.problem.code for problem in status.problems] == ["bad-ids"]
    assert service.list_tags() == {each: {"t0"} for each in wanted if each != "r7"}
    assert service.calls < 60  # the call of t1 is given up after a few ids
    service.bad_tags = frozenset()
    assert syncing.sync(wanted).is_complete
    assert service.list_tags() == {each: tags for each, tags in wanted.items() if each != "r7"}


@pytest.mark.parametrize("forms", FORMS)
def test_a_change_of_an_unknown_id_alone_does_not_leave_a_sync_open(tmp_path, forms):
    """Its tags were taken for others before, so that the id is what the vendor refuses."""
    service = TagService(names_unknown=False)
    syncing = Syncing(tmp_path, service, make_spec(FORMS[forms]))
    wanted = {f"r{number}": {"t0", "t1"} for number in range(6)} | {"r6": {"t0", "last"}}
    assert syncing.sync(wanted).is_complete
    service.unknown = {"r6", *(f"n{number}" for number in range(9))}
    service.tags.pop("r6")  # its app was removed
    wanted |= {"r6": {"t1"}} | {f"n{number}": {"t0"} for number in range(9)}
    status = syncing.sync(wanted)
    assert (status.is_complete, status.unknown_ids) == (True, 10)
    assert service.list_tags() == {each: tags for each, tags in wanted.items() if each not in service.unknown}


def test_an_outage_stops_and_the_next_sync_goes_on(tmp_path):
    service = TagService(fault=lambda number: "stopped" if number > 3 else None)
    syncing = Syncing(tmp_path, service)
    wanted = make_tags(random.Random(3), 30)
    status = syncing.sync(wanted, make_sync_options(service, concurrency=1))
    assert (status.state, status.stop_problem.code, status.calls["done"]) == ("stopped", "stopped", 3)
    service.fault = lambda number: None
    calls = service.calls
    assert syncing.sync(wanted).is_complete and service.list_tags() == having_any(wanted)
    assert service.calls - calls == sum(status.calls.values()) - 3  # what was done is not done again


def test_a_rejected_call_leaves_the_sync_incomplete(tmp_path):
    service = TagService(fault=lambda number: "refused" if number == 2 else None)
    syncing = Syncing(tmp_path, service)
    wanted = make_tags(random.Random(4), 12)
    status = syncing.sync(wanted)
    assert (status.state, status.calls["rejected"], [each.calls for each in status.problems]) == ("incomplete", 1, [1])
    assert syncing.sync(wanted).is_complete and service.calls == sum(status.calls.values()) + 1
    assert service.list_tags() == having_any(wanted)


def test_full_sets_everything_again_and_removes_what_was_synced(tmp_path):
    syncing = Syncing(tmp_path)
    syncing.sync({"r1": {"t0"}, "r2": {"t1"}})
    syncing.service.tags = {"r2": {"t1"}, "r1": {"t0", "other"}}
    assert syncing.sync({"r1": {"t2"}}, full=True).is_complete
    assert syncing.service.list_tags() == {"r1": {"t2", "other"}}


def test_a_dry_run_writes_nothing(tmp_path):
    syncing = Syncing(tmp_path)
    wanted = make_tags(random.Random(5), 12)
    files = sorted(syncing.index.snapshot.storage.list(""))
    plan = plan_sync(syncing.command(wanted), make_sync_options(syncing.service))
    assert (syncing.service.calls, sorted(syncing.index.snapshot.storage.list(""))) == (0, files)
    [attribute] = plan.attributes
    assert attribute.added == sum(map(len, wanted.values())) and attribute.removed == 0
    assert plan.calls >= plan.min_calls > 0
    status = syncing.sync(wanted)
    assert sum(status.calls.values()) == plan.calls


def test_limits_are_checked_before_the_first_call(tmp_path):
    syncing = Syncing(tmp_path)
    problem = Problem("too-many-tags", "r1 would have 101 tags")
    with pytest.raises(DeliveryError, match="101 tags"):
        syncing.sync({"r1": {"t0"}}, find_limits=lambda state: [problem])
    assert syncing.service.calls == 0 and syncing.load_state().number == 0


def test_one_process_at_a_time(tmp_path):
    syncing = Syncing(tmp_path)
    from audience.delivery.syncing.folder import lock_application

    application = syncing.command({}).application
    with lock_application(syncing.command({}).folder, application), pytest.raises(LockedError, match="being synced by"):
        syncing.sync({"r1": {"t0"}})


@pytest.mark.parametrize("forms", ["tag", "directions"])
def test_a_device_never_has_more_tags_than_the_vendor_allows(tmp_path, forms):
    from audience.vendors.vendor_limit import VendorLimit

    chance = random.Random(6)
    spec = make_spec(FORMS[forms], max_tags_per_device=VendorLimit(2, "made up"))
    syncing = Syncing(tmp_path, spec=spec)
    for _ in range(4):
        wanted = {f"r{number}": set(chance.sample(TAGS, 2)) for number in range(25)}
        assert syncing.sync(wanted, make_sync_options(syncing.service, concurrency=8)).is_complete
        assert syncing.service.list_tags() == wanted
    assert syncing.service.most_tags == 2


@pytest.mark.parametrize("forms", ["tag", "directions"])
def test_tags_of_other_attributes_count_where_the_vendor_bounds_those_of_a_device(tmp_path, forms):
    from audience.vendors.vendor_limit import VendorLimit

    syncing = Syncing(tmp_path, spec=make_spec(FORMS[forms], max_tags_per_device=VendorLimit(2, "made up")))
    cities = name_device_tags({f"r{number}": [SyncedTag(Tag("city", "c"), "c")] for number in range(9)})
    target = SyncTarget(
        attributes={"city": NamedScope(Scope(frozenset({"city"})), "named")},
        desired=DesiredTags(tags=cities, snapshot=1, devices_digest="cities"),
    )
    assert syncing.sync({}, target=target).is_complete
    for tag in ("t0", "t1"):
        assert syncing.sync({f"r{number}": {tag} for number in range(9)}).is_complete
        assert syncing.service.list_tags() == {f"r{number}": {"c", tag} for number in range(9)}
    assert syncing.service.most_tags == 2
