"""Tags that an index should have at a vendor, and the state of what was synced, through all changes of the index."""

import shutil
import stat
from datetime import date
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

from audience import DeviceIndex
from audience._fs.locks import try_lock
from audience.errors import DamagedError, InvalidIndexError, LockedError, PlanError
from audience.index.records.record_files import RecordContent, load_record_list, replace_record_files
from audience.index.storage.bitmaps import BitMap
from audience.planning.catalog.loader import parse_catalog
from audience.planning.tag_names import resolve_tag_names
from audience.tag_sync import desired as desired_tags
from audience.tag_sync.changes import (
    CallOutcomes,
    TagPairs,
    apply_calls,
    compare_tags,
    end_sync,
    find_changes,
    start_sync,
)
from audience.tag_sync.desired import digest_devices, read_desired_tags
from audience.tag_sync.state import Application, TagState
from audience.tag_sync.storage import describe_state, list_states, load_state, save_state, state_record
from audience.tag_sync.tags import DeviceTags
from audience.vendors import get_vendor

ENGAGELAB, EMAS = get_vendor("engagelab"), get_vendor("emas")
APPLICATION = Application(family="engagelab", digest="0123456789abcdef" * 4, host="https://push.example")
CATALOG = parse_catalog(
    """
    [province.names]
    engagelab = "p_{value}"
    emas = "p_{value}"
    [age.names]
    engagelab = "age_{value}"
    [day]
    order = "date"
    [day.names]
    engagelab = "day_{value:%Y%m%d}"
    [tag]
    at = ["engagelab", "emas"]
    """
)
BARE = ("vip", "new", "male")


def make_rows(numbers, seed: int) -> list[dict]:
    random = Random(seed)
    return [
        {
            "token": f"t{number:03}",
            "tags": [tag for tag in BARE if random.random() < 0.4],
            "province": random.choice(["hunan", "hubei", "gansu", None]),
            "age": random.choice([7, 18, 30, None]),
            "day": random.choice([date(2026, 1, 2), date(2026, 11, 29), None]),
            "is_new": random.random() < 0.5,
        }
        for number in numbers
    ]


def make_table(rows: list[dict]) -> pl.DataFrame:
    schema = {
        "token": pl.String,
        "tags": pl.List(pl.String),
        "province": pl.String,
        "age": pl.Int64,
        "day": pl.Date,
        "is_new": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema)


def names_of(row: dict) -> set[str]:
    """Return the tags that a row of the table should have at EngageLab."""
    named = {"province": f"p_{row['province']}", "age": f"age_{row['age']}"}
    names = {name for column, name in named.items() if row[column] is not None}
    names |= {f"day_{row['day']:%Y%m%d}"} if row["day"] else set()
    return names | set(row["tags"]) | ({"is_new"} if row["is_new"] else set())


def tags_by_id(tags: DeviceTags) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {id_: set() for id_ in tags.ids}
    for tag, rows in zip(tags.tags, tags.rows, strict=True):
        for at in rows:
            found[tags.ids[at]].add(tag.name)
    return found


def read_wanted(index: DeviceIndex, attributes=None):
    names = resolve_tag_names(attributes, ENGAGELAB, CATALOG, index.snapshot)
    return names, read_desired_tags(index.snapshot, names.names, ENGAGELAB)


def sync(index: DeviceIndex, attributes=None) -> TagState:
    """Sync as if all calls were done, and save the state."""
    names, desired = read_wanted(index, attributes)
    state = start_sync(
        load_state(index.snapshot.storage, APPLICATION),
        desired.tags,
        names.attributes,
        snapshot=desired.snapshot,
        devices_digest=desired.devices_digest,
        started_at=1.0,
    )
    state = save_state(index.snapshot.storage, state)
    changes = find_changes(state)
    nothing = TagPairs(*[tuple(BitMap() for _ in changes.tags)] * 2)
    state = apply_calls(state, changes, CallOutcomes(TagPairs(changes.added, changes.removed), nothing))
    return save_state(index.snapshot.storage, end_sync(state, ended_at=2.0))


def count_stale(index: DeviceIndex) -> dict[str, int]:
    """Return for each synced attribute how many devices differ at the vendor."""
    _, desired = read_wanted(index)
    state = load_state(index.snapshot.storage, APPLICATION)
    stale = {}
    for name, each in state.attributes.items():
        changes = compare_tags(state, desired.tags, {name: each.named})
        stale[name] = len(BitMap.union(BitMap(), *changes.added, *changes.removed))
    return stale


def is_unchanged(index: DeviceIndex) -> bool:
    """Return whether all that was synced is finished, and the devices of the index are those that were synced."""
    (facts,) = list_states(index.snapshot.storage)
    digest = digest_devices(index.snapshot.manifest)
    return not facts.unfinished and all(each.devices_digest == digest for each in facts.attributes.values())


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(make_table(make_rows(range(30), 1)), tmp_path / "devices.index")


CHANGES = st.sampled_from(["update", "tag", "remove", "compact", "restore", "replace", "sync", "segment"])
SOME_IDS = st.lists(st.sampled_from([f"t{at:03}" for at in range(35)]), unique=True, min_size=1, max_size=5)


@settings(max_examples=scale_examples(12), deadline=None)
@given(st.data())
def test_tags_are_those_of_the_table_through_all_changes_of_an_index(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("law") / "devices.index"
    rows = {row["token"]: row for row in make_rows(range(30), data.draw(st.integers(0, 99)))}
    index = DeviceIndex.build(make_table(list(rows.values())), path)
    kept = {index.snapshot.manifest.number: {id_: dict(row) for id_, row in rows.items()}}
    synced: dict[str, set[str]] | None = None
    for _ in range(data.draw(st.integers(1, 6))):
        change = data.draw(
            st.sampled_from(["update", "tag", "remove", "compact", "restore", "replace", "sync", "segment"])
        )
        some = data.draw(
            st.lists(st.sampled_from([f"t{at:03}" for at in range(35)]), unique=True, min_size=1, max_size=5)
        )
        known = [id_ for id_ in some if id_ in rows]
        match change:
            case "update":
                for row in make_rows([int(id_[1:]) for id_ in some], data.draw(st.integers(0, 99))):
                    rows[row["token"]] = row
                index.update(make_table([rows[id_] for id_ in some]))
            case "tag" if known:
                index.tag(known, add="vip", remove="male")
                for id_ in known:
                    rows[id_] = {**rows[id_], "tags": sorted({*rows[id_]["tags"], "vip"} - {"male"})}
            case "remove" if known:
                index.remove(known)
                rows = {id_: row for id_, row in rows.items() if id_ not in known}
            case "compact":
                index.compact()
            case "restore":
                number = data.draw(st.sampled_from(sorted(kept)))
                index.restore(number)
                rows = dict(kept[number])
            case "replace":
                index = DeviceIndex.build(make_table(list(rows.values())), path, replace=True)
                kept.clear()
            case "sync":
                sync(index)
                synced = {id_: names_of(row) for id_, row in rows.items()}
            case "segment":
                index.save_segment("men", "male")
        kept[index.snapshot.manifest.number] = dict(rows)
        wanted = {id_: names_of(row) for id_, row in rows.items()}
        assert tags_by_id(read_wanted(index)[1].tags) == wanted
        if synced is not None:
            differing = {id_ for id_ in wanted | synced if wanted.get(id_, set()) != synced.get(id_, set())}
            stale = count_stale(index)
            assert max(stale.values()) <= len(differing) <= sum(stale.values())
            assert not differing or not is_unchanged(index)
    if rows:
        state = sync(index)
        had = {id_: names for id_, names in tags_by_id(state.known).items() if names}
        assert had == {id_: names_of(row) for id_, row in rows.items() if names_of(row)}
        assert set(count_stale(index).values()) == {0}


def test_a_state_is_read_as_it_was_written(index):
    state = sync(index)
    loaded = load_state(index.snapshot.storage, APPLICATION)
    assert tags_by_id(loaded.known) == tags_by_id(state.known)
    assert (loaded.attributes, loaded.unfinished, loaded.checksum) == (
        state.attributes,
        state.unfinished,
        state.checksum,
    )
    assert list_states(index.snapshot.storage) == [describe_state(loaded)]


def test_a_started_sync_is_read_with_its_changes(index):
    names, desired = read_wanted(index)
    state = start_sync(
        TagState(application=APPLICATION),
        desired.tags,
        names.attributes,
        snapshot=1,
        devices_digest=desired.devices_digest,
        started_at=1.0,
    )
    save_state(index.snapshot.storage, state)
    loaded = load_state(index.snapshot.storage, APPLICATION)
    assert find_changes(loaded).added == find_changes(state).added
    assert (loaded.started, loaded.unfinished) == (state.started, names.scope)


def test_records_of_states_are_private_and_verified(index, tmp_path):
    sync(index)
    files = list((tmp_path / "devices.index" / "records").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert any(name.startswith("records/") for name in index.verify())
    largest = max(files, key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with pytest.raises(DamagedError):
        load_state(index.snapshot.storage, APPLICATION)
    with pytest.raises(DamagedError):
        index.verify()


def test_a_state_that_another_process_has_written_is_not_replaced(index):
    before = load_state(index.snapshot.storage, APPLICATION)
    sync(index)
    with pytest.raises(LockedError, match="another process has synced"):
        save_state(index.snapshot.storage, before)


def test_a_state_of_another_version_is_refused(index):
    sync(index)
    storage, name = index.snapshot.storage, state_record(APPLICATION)
    facts = {**load_record_list(storage).files[name].facts, "version": 2}
    replace_record_files(storage, [RecordContent(name, b"", facts)])
    with pytest.raises(InvalidIndexError, match="another version"):
        list_states(storage)


def test_ids_of_another_kind_are_refused(index):
    sync(index)
    other = Application(family="engagelab", digest=APPLICATION.digest, host=APPLICATION.host, key_type="alias")
    with pytest.raises(PlanError, match="bound to registration_id, not to alias"):
        load_state(index.snapshot.storage, other)


def test_states_of_several_applications_are_kept_beside_each_other(index):
    sync(index)
    other = Application(family="emas", digest="f" * 64, host="https://emas.example")
    save_state(index.snapshot.storage, TagState(application=other))
    assert [facts.application for facts in list_states(index.snapshot.storage)] == [other, APPLICATION]


def test_a_state_outlives_changes_of_the_index(index, tmp_path):
    state = sync(index)
    index.compact()
    index.vacuum()
    index.restore(index.history()[0].number)
    DeviceIndex.build(make_table(make_rows(range(30), 1)), tmp_path / "devices.index", replace=True)
    assert load_state(index.snapshot.storage, APPLICATION).checksum == state.checksum


def test_events_and_segments_change_no_device(index):
    sync(index)
    before = digest_devices(index.snapshot.manifest)
    index.save_segment("men", "male")
    assert digest_devices(index.snapshot.manifest) == before
    index.tag(["t001"], add="vip2")
    assert digest_devices(index.snapshot.manifest) != before


def test_only_ids_that_the_vendor_takes_have_tags(tmp_path):
    ids = {"emas": ["a", "b,c", None, "d"], "tpns": ["1", "2", "3", "4"]}
    table = pl.DataFrame({**ids, "tags": [["vip"]] * 4})
    index = DeviceIndex.build(table, tmp_path / "devices.index", tokens={"emas": "emas", "tpns": "tpns"})
    names = resolve_tag_names("vip", EMAS, CATALOG, index.snapshot)
    desired = read_desired_tags(index.snapshot, names.names, EMAS)
    assert tags_by_id(desired.tags) == {"a": {"vip"}, "d": {"vip"}}
    assert (desired.without_id, desired.rejected, desired.examples) == (1, 1, ("b,c",))


def test_devices_of_one_alias_must_have_the_same_tags(tmp_path):
    table = pl.DataFrame({"token": ["a", "b", "c"], "alias": ["x", "x", "y"], "tags": [["vip"], ["vip"], ["new"]]})
    index = DeviceIndex.build(table, tmp_path / "devices.index")
    names = resolve_tag_names(None, EMAS, CATALOG, index.snapshot)
    assert tags_by_id(read_desired_tags(index.snapshot, names.names, EMAS, "alias").tags) == {
        "x": {"vip"},
        "y": {"new"},
    }
    index.tag(["b"], remove="vip")
    with pytest.raises(
        PlanError, match="1 alias of several devices with different tags: 1 of the 2 devices of 'x' have vip"
    ):
        read_desired_tags(index.snapshot, names.names, EMAS, "alias")
    with pytest.raises(PlanError, match="the index has no ids of that kind"):
        read_desired_tags(index.snapshot, names.names, EMAS, "account")


def test_each_alias_of_a_device_has_its_tags(tmp_path):
    table = pl.DataFrame({"token": ["a", "b"], "alias": [["x", "y"], ["z"]], "tags": [["vip"], []]})
    index = DeviceIndex.build(table, tmp_path / "devices.index")
    names = resolve_tag_names(None, EMAS, CATALOG, index.snapshot)
    desired = read_desired_tags(index.snapshot, names.names, EMAS, "alias")
    assert tags_by_id(desired.tags) == {"x": {"vip"}, "y": {"vip"}, "z": set()}


def test_more_ids_than_positions_are_refused(tmp_path, monkeypatch):
    index = DeviceIndex.build(pl.DataFrame({"token": list("abcd"), "tags": [["vip"]] * 4}), tmp_path / "i")
    monkeypatch.setattr(desired_tags, "MAX_IDS", 4)
    assert len(read_wanted(index)[1].tags.ids) == 4
    monkeypatch.setattr(desired_tags, "MAX_IDS", 3)
    with pytest.raises(PlanError, match="tags of 4 ids; a sync compares at most 3"):
        read_wanted(index)


def test_many_values_are_read_from_bit_slices(tmp_path):
    numbers = range(20_000)
    rows = pl.DataFrame({"token": [f"t{at:05}" for at in numbers], "age": [at % 5_000 for at in numbers]})
    index = DeviceIndex.build(rows, tmp_path / "devices.index")
    _, desired = read_wanted(index)
    assert any(shard.attributes["age"].bit_slicing for shard in index.snapshot.shards)
    assert len(desired.tags.tags) == 5_000
    expected = {row["token"]: {f"age_{row['age']}"} for row in rows.iter_rows(named=True)}
    assert tags_by_id(desired.tags) == expected


@pytest.mark.parametrize("copy", ["backup", "files"])
def test_a_copy_of_an_index_does_not_know_what_the_vendor_has(index, tmp_path, copy):
    sync(index)
    path = tmp_path / "copy.index"
    if copy == "backup":
        index.backup(path)
    else:
        shutil.copytree(tmp_path / "devices.index", path)
    copied = DeviceIndex.open(path)
    (facts,) = list_states(copied.snapshot.storage)
    (original,) = list_states(index.snapshot.storage)
    assert facts.is_copy and not original.is_copy
    assert is_unchanged(index) and not is_unchanged(copied)
    state = load_state(copied.snapshot.storage, APPLICATION)
    assert state.doubtful == state.known.rows
    sync(copied)
    (facts,) = list_states(copied.snapshot.storage)
    assert not facts.is_copy and set(count_stale(copied).values()) == {0}


def test_a_moved_index_is_no_copy(index, tmp_path):
    sync(index)
    moved = DeviceIndex.open((tmp_path / "devices.index").rename(tmp_path / "moved.index"))
    (facts,) = list_states(moved.snapshot.storage)
    assert not facts.is_copy


def test_an_index_is_not_replaced_while_tags_are_synced_from_it(index, tmp_path):
    sync(index)
    folder = tmp_path / "devices.index" / "syncs" / "engagelab-0123456789abcdef"
    folder.mkdir()
    table = make_table(make_rows(range(30), 1))
    with try_lock(folder / "lock"), pytest.raises(LockedError, match="tags are being synced"):
        DeviceIndex.build(table, tmp_path / "devices.index", replace=True)
    DeviceIndex.build(table, tmp_path / "devices.index", replace=True)
    (facts,) = list_states(index.snapshot.storage)
    assert not facts.is_copy
