"""Events that are recorded by id: what snapshots have of them after every change of the index."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience import DeviceIndex
from audience.index.changes.events.recording import Recording, record_events
from audience.index.records import recorded_batches
from audience.index.records.record_files import load_record_list
from audience.index.records.recorded_batches import (
    RecordedBatch,
    list_parts,
    list_recorded_batches,
    remove_recorded_ids,
)
from audience.index.schema.columns import IdColumn
from audience.index.storage.device_numbers import join_partition
from audience.index.storage.polars_bridge import read_ids
from audience.index.storage.write_lock import lock_for_update

DAY = 86_400_000_000
NOON = int(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()) * 1_000_000


def make_table(numbers) -> pl.DataFrame:
    return pl.DataFrame({"tpns_token": [f"t{number}" for number in numbers], "tags": [["a"] for _ in numbers]})


def record(index, name, version, rows, dropped=(), event="delivered"):
    """Record events: ids, days after the 28th and states."""
    batch = RecordedBatch(name, version, event, "id:tpns", ("run", "state"))
    frame = pl.DataFrame(
        {
            "id": [id_ for id_, _, _ in rows],
            "at": [NOON + days * DAY for _, days, _ in rows],
            "run": [name] * len(rows),
            "state": [state for _, _, state in rows],
        },
        schema={"id": pl.String, "at": pl.Int64, "run": pl.String, "state": pl.String},
    )
    number = record_events(
        index.snapshot, lambda snapshot: Recording([(batch, [frame])], dropped), 0, lambda *step: None
    )
    index.refresh()
    return number


def read_events(index, event="delivered") -> list[tuple[str, int, str, str]]:
    """Return id, days after the 28th, run and state of the events of live devices, in the order of the ids."""
    id_of = {}
    for shard, rows in index.resolve("everyone").shard_rows:
        ids = read_ids(shard, IdColumn("id", "tpns")).gather(rows).to_list()
        id_of |= dict(zip(shard.device_numbers(rows).tolist(), ids, strict=True))
    found = []
    for segment in index.snapshot.events.segments(event):
        count = segment.row_count
        columns = [
            [None if not code else each.values()[code - 1] for code in each.load_codes(0, count).tolist()]
            for name in ("run", "state")
            for each in [segment.properties[name]]
        ]
        instants = segment.load_instants(0, count).tolist()
        numbers = join_partition(segment.partition, segment.load_numbers(0, count)).tolist()
        for number, instant, run, state in zip(numbers, instants, *columns, strict=True):
            if number in id_of:
                found.append((id_of[number], (instant - NOON) // DAY, run, state))
    return sorted(found)


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    index = DeviceIndex.build(make_table(range(4)), tmp_path / "devices.index")
    record(index, "summer", "1", [("t1", 0, "delivered"), ("t3", -2, "in doubt"), ("t9", 0, "delivered")])
    return index


SUMMER = [("t1", 0, "summer", "delivered"), ("t3", -2, "summer", "in doubt")]
SUMMER_OF_T9 = ("t9", 0, "summer", "delivered")


def test_devices_have_the_events_of_their_ids(index):
    assert read_events(index) == SUMMER
    assert index.snapshot.events.names() == ["delivered"]
    assert [segment.batches for segment in index.snapshot.events.segments("delivered")] == [("record:summer@1",)]


def test_same_version_changes_nothing(index):
    number = index.snapshot.manifest.number
    assert record(index, "summer", "1", []) == number
    assert read_events(index) == SUMMER


def test_newer_version_replaces_the_older_one(index):
    record(index, "winter", "1", [("t0", 1, "delivered")])
    record(index, "summer", "2", [("t2", 0, "delivered")])
    assert read_events(index) == [("t0", 1, "winter", "delivered"), ("t2", 0, "summer", "delivered")]
    record(index, "winter", "2", [], dropped=["summer"])
    assert read_events(index) == []
    assert list(list_recorded_batches(load_record_list(index.snapshot.storage))) == ["winter"]


def test_added_device_has_its_past_events(index):
    index.update(make_table([9, 10]))
    assert read_events(index) == [*SUMMER, SUMMER_OF_T9]


def test_removed_device_has_them_again_when_it_is_added_again(index):
    index.remove(["t1"])
    assert read_events(index) == SUMMER[1:]
    index.compact()
    index.update(make_table([1, 5]))
    assert read_events(index) == SUMMER


def test_small_changes_keep_them(index):
    index.tag(["t1", "t3"], add="vip")
    index.update(make_table([1, 2, 3]))
    index.compact()
    index.vacuum()
    assert read_events(index) == SUMMER


def test_restored_snapshot_has_what_is_recorded_now(index):
    index.update(make_table([9]))
    record(index, "summer", "2", [("t0", 0, "delivered"), ("t9", 0, "delivered")])
    record(index, "winter", "1", [("t3", 0, "emitted")])
    for number in (1, 2, 3, 4, 5):
        index.restore(number)
        expected = [("t0", 0, "summer", "delivered"), ("t3", 0, "winter", "emitted")]
        assert read_events(index) == sorted([*expected, *([SUMMER_OF_T9] if number > 2 else [])])


def test_new_build_has_them(index):
    rebuilt = DeviceIndex.build(make_table([1, 9, 20]), index.folder, replace=True)
    assert read_events(rebuilt) == [SUMMER[0], SUMMER_OF_T9]
    rebuilt.update(make_table([3]))
    assert read_events(rebuilt) == [*SUMMER, SUMMER_OF_T9]


def test_file_of_a_build_is_not_that_of_the_next_snapshot(index):
    rebuilt = DeviceIndex.build(make_table([1, 9, 20]), index.folder, replace=True)
    rebuilt.update(make_table([3, 21]))
    rebuilt.verify()
    assert read_events(rebuilt) == [*SUMMER, SUMMER_OF_T9]


def test_backup_has_them(index, tmp_path):
    index.backup(tmp_path / "copy")
    copy = DeviceIndex.open(tmp_path / "copy")
    assert read_events(copy) == SUMMER
    copy.update(make_table([9]))
    assert read_events(copy) == [*SUMMER, SUMMER_OF_T9]


def test_snapshot_that_was_not_published_has_them_after_the_next_change(index, monkeypatch):
    from audience.index.changes.events import recording

    def die(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recording, "apply_records", die)
        record(index, "summer", "2", [("t0", 0, "delivered")])
    assert read_events(index) == SUMMER
    index.tag(["t1"], add="vip")
    assert read_events(index) == [("t0", 0, "summer", "delivered")]


def test_ids_are_removed_from_all_batches(index):
    record(index, "winter", "1", [("t0", 1, "delivered"), ("t1", 1, "delivered"), ("t1", 1, "delivered")])
    storage = index.snapshot.storage
    with lock_for_update(storage, "forget"):
        assert remove_recorded_ids(storage, pl.Series(["t1", "t77"])) == {"summer": 1, "winter": 2}
        assert remove_recorded_ids(storage, pl.Series(["t1"])) == {}
    index.remove("t1")  # a build carries over what the current snapshot has of a device
    assert read_events(DeviceIndex.build(make_table(range(10)), index.folder, replace=True)) == [
        ("t0", 1, "winter", "delivered"),
        SUMMER[1],
        SUMMER_OF_T9,
    ]


def test_events_of_several_names(index):
    record(index, "clicks", "1", [("t0", 0, "x")], event="click")
    assert read_events(index, "click") == [("t0", 0, "clicks", "x")]
    index.update(make_table([9]))
    rebuilt = DeviceIndex.build(make_table(range(10)), index.folder, replace=True)
    assert read_events(rebuilt) == [*SUMMER, SUMMER_OF_T9]
    assert read_events(rebuilt, "click") == [("t0", 0, "clicks", "x")]


def test_parts_do_not_change_the_events(index, monkeypatch):
    monkeypatch.setattr(recorded_batches, "MAX_PART_ROWS", 2)
    rows = [(f"t{number}", number % 3, "delivered") for number in range(7)]
    batch = RecordedBatch("many", "1", "delivered", "id:tpns", ("run", "state"))
    frames = [
        pl.DataFrame({"id": [id_], "at": [NOON + day * DAY], "run": ["many"], "state": [state]})
        for id_, day, state in rows
    ]
    record_events(index.snapshot, lambda snapshot: Recording([(batch, frames)]), 0, lambda *step: None)
    index.refresh()
    assert len(list_parts(index.snapshot.storage, load_record_list(index.snapshot.storage), "many")) == 4
    expected = [(id_, day, "many", state) for id_, day, state in rows]
    assert read_events(index) == sorted([*SUMMER, *expected[:4]])
    index.update(make_table([4, 6]))
    assert read_events(index) == sorted([*SUMMER, *expected[:5], expected[6]])


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.lists(st.integers(0, 12), min_size=1, unique=True)),
        st.tuples(st.just("remove"), st.integers(0, 12)),
        st.tuples(st.just("compact"), st.none()),
        st.tuples(st.just("restore"), st.integers(0, 30)),
        st.tuples(st.just("build"), st.lists(st.integers(0, 12), min_size=1, unique=True)),
        st.tuples(
            st.just("record"),
            st.tuples(
                st.sampled_from(["summer", "winter"]), st.lists(st.tuples(st.integers(0, 12), st.integers(-3, 3)))
            ),
        ),
        st.tuples(st.just("drop"), st.sampled_from(["summer", "winter"])),
    ),
    max_size=10,
)


@settings(max_examples=12, deadline=None)
@given(CHANGES)
def test_law_devices_have_what_is_recorded_of_their_ids(tmp_path_factory, changes):
    index = DeviceIndex.build(make_table(range(5)), tmp_path_factory.mktemp("law") / "devices.index")
    recorded: dict[str, list[tuple[str, int, str]]] = {}
    for version, (change, value) in enumerate(changes):
        match change:
            case "update":
                index.update(make_table(value))
            case "remove":
                index.remove([f"t{value}"])
            case "compact":
                index.compact()
            case "restore":
                numbers = [snapshot.number for snapshot in index.history()]
                index.restore(numbers[value % len(numbers)])
            case "build":
                index = DeviceIndex.build(make_table(value), index.folder, replace=True)
            case "record":
                name, rows = value
                recorded[name] = [(f"t{number}", day, "delivered") for number, day in rows]
                record(index, name, str(version), recorded[name])
            case "drop":
                recorded.pop(value, None)
                record(index, "empty", str(version), [], dropped=[value])
        live = set(index.resolve("everyone").ids("tpns"))
        expected = [
            (id_, day, name, state) for name, rows in recorded.items() for id_, day, state in rows if id_ in live
        ]
        assert read_events(index) == sorted(expected)
        index.verify()
