"""Changes: what one writes, how many shards and files many of them leave, and how long snapshots are kept."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex
from audience.index.changes import compaction
from audience.index.ingest import build
from audience.index.storage import retention

DEVICES = 30_000
TABLE = pl.DataFrame(
    {
        "token": [f"r{number}" for number in range(DEVICES)],
        "age": [number % 50 for number in range(DEVICES)],
        "tags": [[f"t{number % 7}"] for number in range(DEVICES)],
    }
)


@pytest.fixture
def full_shards(monkeypatch):
    """Make a shard of 10,000 devices a full one."""
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 10_000)
    monkeypatch.setattr(compaction, "MAX_SHARD_DEVICES", 10_000)


@pytest.fixture
def index(tmp_path, full_shards) -> DeviceIndex:
    return DeviceIndex.build(TABLE, tmp_path / "index")


def folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*"))


def update_ages(index: DeviceIndex, numbers, age: int):
    tokens = [f"r{number}" for number in numbers]
    return index.update(pl.DataFrame({"token": tokens, "age": [age] * len(tokens)}))


SMALL_CHANGES = {
    "update": lambda index: update_ages(index, range(10), 7),
    "tag": lambda index: index.tag([f"r{number}" for number in range(10)], add="x"),
    "untag": lambda index: index.tag([f"r{number}" for number in range(10)], remove=["t1", "t2"]),
    "remove": lambda index: index.remove([f"r{number}" for number in range(10)]),
}


@pytest.mark.parametrize("what", SMALL_CHANGES)
def test_small_change_leaves_large_shards_as_they_are(what, index):
    before, size = index.snapshot.manifest.shards, folder_bytes(index.folder)
    SMALL_CHANGES[what](index)
    assert index.snapshot.manifest.shards[: len(before)] == before
    assert folder_bytes(index.folder) - size < 30_000


def test_deltas_are_merged_geometrically(index):
    ages, most = {}, 0
    for change in range(64):
        numbers = [change * 97 + offset for offset in range(10)]
        update_ages(index, numbers, 100 + change)
        ages |= dict.fromkeys(numbers, 100 + change)
        most = max(most, len(index.snapshot.shards))
    assert most <= 3 + 3 * 4  # the full shards, and three deltas of each size class
    for age in {100, 101, 163}:
        assert index.count(f"age = {age}") == sum(value == age for value in ages.values())
    assert index.count("age < 50") == DEVICES - len(ages)


def test_medium_shard_is_not_merged_with_each_delta(tmp_path, full_shards):
    index = DeviceIndex.build(TABLE.head(14_000), tmp_path / "index")
    medium = index.snapshot.manifest.shards[-1]
    assert medium.row_count == 4_000
    for change in range(8):
        update_ages(index, [change], 7)
    assert medium in index.snapshot.manifest.shards


def test_large_update_leaves_large_shards_as_they_are_until_many_rows_are_deleted(index):
    before = index.snapshot.manifest.shards
    for change in range(2):
        update_ages(index, range(change, DEVICES, 10), 70 + change)
        assert index.snapshot.manifest.shards[: len(before)] == before
        assert index.snapshot.manifest.number == 2 + change  # no compacted snapshot follows
        assert sum(shard.row_count for shard in index.snapshot.evaluated_shards) == DEVICES
    update_ages(index, range(2, DEVICES, 10), 72)
    assert not {files.name for files in before} & {files.name for files in index.snapshot.manifest.shards}
    assert [index.count(f"age = {age}") for age in (70, 71, 72)] == [DEVICES // 10] * 3
    assert all(shard.deleted is None for shard in index.snapshot.shards[: len(before)])


def test_no_large_update_in_a_row_rewrites_all_shards(index, monkeypatch):
    monkeypatch.setattr(compaction, "MIN_REWRITTEN", 0)
    rewritten = []
    for change in range(10):
        before = {files.name: files.row_count for files in index.snapshot.manifest.shards}
        update_ages(index, range(change % 10, DEVICES, 10), 70 + change)
        after = {files.name: files.row_count for files in index.snapshot.manifest.shards}
        rewritten.append(sum(rows for name, rows in after.items() if name not in before))
        assert [index.count(f"age = {70 + age}") for age in range(change + 1)] == [DEVICES // 10] * (change + 1)
        assert sum(after.values()) <= 2 * DEVICES
    assert max(rewritten) <= 3 * DEVICES // 10 + 6_000  # one shard at most is more than a change may rewrite
    assert index.count("age >= 0") == len(index) == DEVICES


@dataclass(frozen=True)
class PlannedShard:
    """What plans of compaction look at."""

    row_count: int
    deleted: range = range(0)

    @property
    def device_count(self) -> int:
        return self.row_count - len(self.deleted)

    def delete(self, share: float) -> "PlannedShard":
        return replace(self, deleted=range(len(self.deleted) + round(self.device_count * share)))


def rewrite(groups: list[list[PlannedShard]], to_rewrite: list[list[PlannedShard]]) -> list[PlannedShard]:
    """Return the shards that are left if some groups become new shards."""
    ids = {id(group) for group in to_rewrite}
    return [PlannedShard(sum(map(count_devices, group))) if id(group) in ids else group[0] for group in groups]


def count_devices(shard: PlannedShard) -> int:
    return shard.device_count


@given(
    large=st.integers(1, 9),
    changes=st.lists(st.tuples(st.integers(1, 1_500), st.sampled_from([0.001, 0.1, 0.3])), max_size=25),
)
def test_change_rewrites_about_as_much_as_it_changes(large, changes):
    shards = [PlannedShard(4_000)] * large
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "MAX_SHARD_DEVICES", 4_000)
        patch.setattr(compaction, "MIN_REWRITTEN", 64)
        for added, share in changes:
            deleted = [shard.delete(share) for shard in shards]
            size = added + sum(map(count_devices, shards)) - sum(map(count_devices, deleted))
            changed = [*deleted, PlannedShard(added)]
            groups, rewritten = compaction.plan_affordable(compaction.plan_light_compaction(changed), size)
            written = sum(count_devices(shard) for group in rewritten for shard in group)
            largest = max(map(count_devices, changed))
            assert written <= max(64, 2 * size) + 2 * largest
            shards = rewrite(groups, rewritten)
            assert sum(map(count_devices, shards)) == sum(map(count_devices, changed))
            assert sum(len(shard.deleted) for shard in shards) <= sum(map(count_devices, shards)) / 2 + 4_000
            assert len(shards) <= large + 12, shards


@given(st.lists(st.tuples(st.integers(1, 3_000), st.sampled_from([0, 0.001, 0.1, 0.3, 1])), max_size=60))
def test_shards_and_deleted_rows_stay_within_bounds(changes):
    shards = [PlannedShard(4_000)] * 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "MAX_SHARD_DEVICES", 4_000)
        for added, share in changes:
            changed = [*(shard.delete(share) for shard in shards), PlannedShard(added)]
            shards = rewrite(*compaction.plan_affordable(compaction.plan_light_compaction(changed), added))
            assert sum(shard.device_count for shard in shards) == sum(shard.device_count for shard in changed)
            assert max(shard.device_count for shard in shards) <= 4_000
            assert all(len(shard.deleted) <= shard.row_count / 4 for shard in shards)
            bounds = [4**power for power in range(6)] + [2_000]
            for low, high in pairwise(bounds):
                assert sum(low <= shard.device_count < high for shard in shards) < 4, (low, shards)


def test_old_snapshots_expire(index):
    for change in range(retention.MAX_KEPT_SNAPSHOTS + retention.MAX_SURPLUS_SNAPSHOTS + 3):
        index.tag(["r1"], **{("add", "remove")[change % 2]: "x"})
        kept = len(index.history())
        assert kept <= retention.MAX_KEPT_SNAPSHOTS + retention.MAX_SURPLUS_SNAPSHOTS
    assert kept >= retention.MAX_KEPT_SNAPSHOTS
    index.restore(index.history()[0].number)
    assert index.verify()


def test_snapshots_that_take_much_room_expire(index, monkeypatch):
    monkeypatch.setattr(retention, "MIN_OLD_BYTES", 0)
    one_index = folder_bytes(index.folder)
    for age in range(6):
        update_ages(index, range(DEVICES), age)
        assert index.count(f"age = {age}") == DEVICES
        assert folder_bytes(index.folder) < 3 * one_index
        assert len(index.history()) >= 2
    index.restore(index.history()[-2].number)
    assert index.verify()


def test_damaged_old_snapshot_is_kept_for_check(index):
    index.tag(["r1"], add="x")
    damaged = index.folder / "history" / "00000001.json"
    damaged.write_bytes(b"")
    update_ages(index, range(DEVICES), 1)
    assert index.count("age = 1") == DEVICES
    assert damaged.exists()


def test_refresh_without_change_keeps_the_snapshot(index):
    reader = DeviceIndex.open(index.folder)
    snapshot = reader.snapshot
    assert not reader.refresh()
    assert reader.snapshot is snapshot
    index.remove(["r1"])
    assert reader.refresh()
    assert len(reader) == DEVICES - 1
