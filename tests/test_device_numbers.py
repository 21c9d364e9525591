"""Numbers of devices: how shards keep them, which ones new devices get, and what damages them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DamagedError, DeviceIndex, InvalidIndexError, TableError
from audience.index.changes import compaction, update
from audience.index.ingest import build
from audience.index.schema.columns import IdColumn
from audience.index.storage import device_numbers, manifest
from audience.index.storage.bitmaps import bitmap_to_rows
from audience.index.storage.device_numbers import NumberSequence, NumberSet, shorten_numbers
from audience.index.storage.manifest import publish_manifest

TABLE = pl.DataFrame({"token": list("abcdef"), "age": [3, 1, 2, 3, 1, 2]})


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(TABLE, tmp_path / "index")


def read_numbers(index: DeviceIndex) -> dict[str, int]:
    """Return the numbers of the devices by token."""
    numbers = {}
    for shard in index.snapshot.shards:
        rows = bitmap_to_rows(shard.live_rows)
        tokens = shard.take_ids(IdColumn("id", "token"), rows).to_pylist()
        numbers |= zip(tokens, shard.device_numbers(rows).tolist(), strict=True)
    return numbers


def first_numbers(index: DeviceIndex) -> list[int | None]:
    return [shard.files.first_number for shard in index.snapshot.shards]


def test_built_shards_keep_only_their_first_number(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 4)
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    assert first_numbers(index) == [0, 4]
    assert all("number" not in shard._id_table.column_names for shard in index.snapshot.shards)
    assert index.snapshot.manifest.next_number == 6


def test_shard_of_new_devices_keeps_only_its_first_number(index):
    index.update(pl.DataFrame({"token": ["x", "y"], "age": [9, 8]}))
    assert first_numbers(index) == [0, 6]
    assert {number for token, number in read_numbers(index).items() if token in "xy"} == {6, 7}


def test_shard_of_known_and_new_devices_keeps_a_column(index):
    before = read_numbers(index)
    index.update(pl.DataFrame({"token": ["y", "e", "b", "x"], "age": [9, 9, 9, 9]}))
    assert first_numbers(index)[-1] is None
    after = read_numbers(index)
    assert {token: after[token] for token in before} == before
    assert {after["x"], after["y"]} == {6, 7}


def test_restore_does_not_give_numbers_again(index):
    before = read_numbers(index)
    index.update(pl.DataFrame({"token": ["x"], "age": [9]}))
    index.restore(1)
    assert read_numbers(index) == before
    index.update(pl.DataFrame({"token": ["x", "y"], "age": [9, 9]}))
    after = read_numbers(index)
    assert {after["x"], after["y"]} == {7, 8}
    index.vacuum(1)
    index.remove("x")
    index.update(pl.DataFrame({"token": ["x"], "age": [9]}))
    assert read_numbers(index)["x"] == 9


@pytest.mark.parametrize("duplicates", ["last", "merge"])
def test_repeated_rows_of_an_update_keep_the_number(index, monkeypatch, duplicates):
    monkeypatch.setattr(update, "MAX_CHUNK_DEVICES", 2)
    before = read_numbers(index)
    table = pl.DataFrame({"token": ["x", "a", "a", "x", "b", "x", "y"], "tags": [[f"t{row}"] for row in range(7)]})
    index.update(table, duplicates=duplicates, new=["tags"])
    after = read_numbers(index)
    assert {token: after[token] for token in before} == before
    assert {after["x"], after["y"]} == {6, 7}
    assert index.verify()


@pytest.mark.parametrize("duplicates", ["last", "merge"])
def test_repeated_rows_of_a_build_have_one_number(tmp_path, monkeypatch, duplicates):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 2)
    table = pl.DataFrame({"token": ["x", "a", "a", "x", "b", "x", "y"], "tags": [[f"t{row}"] for row in range(7)]})
    index = DeviceIndex.build(table, tmp_path / "index", duplicates=duplicates)
    numbers = read_numbers(index)
    assert sorted(numbers) == ["a", "b", "x", "y"]
    assert max(numbers.values()) < index.snapshot.manifest.next_number
    assert index.verify()


def test_build_again_starts_with_the_first_number(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 4)
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    DeviceIndex.build(pl.concat([TABLE.head(2), TABLE.tail(2)]), tmp_path / "index", replace=True)
    index.refresh()
    assert sorted(read_numbers(index).values()) == [0, 1, 2, 3]
    index.update(pl.DataFrame({"token": ["x"], "age": [9]}))
    assert read_numbers(index)["x"] == 4


def test_shard_of_an_index_that_was_built_again_is_not_taken_from_the_old_one(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 2)
    index = DeviceIndex.build(TABLE.head(3), tmp_path / "index")
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 1)
    DeviceIndex.build(TABLE[1:3], tmp_path / "index", replace=True)
    before = index.snapshot.shards[1].files
    index.refresh()
    after = index.snapshot.shards[1].files
    assert (before.name, before.checksum) == (after.name, after.checksum)
    assert (before.first_number, after.first_number, read_numbers(index)["c"]) == (2, 1, 1)


def test_too_few_numbers_are_an_error(index, monkeypatch):
    monkeypatch.setattr(device_numbers, "MAX_NUMBERS", 7)  # of 2**63
    before = read_numbers(index)
    with pytest.raises(TableError, match=r"2 new devices, and 1 of 7 device numbers are left"):
        index.update(pl.DataFrame({"token": ["a", "x", "y"], "age": [9, 9, 9]}))
    assert (read_numbers(index), len(index.history())) == (before, 1)
    index.update(pl.DataFrame({"token": ["a", "x"], "age": [9, 9]}))
    assert read_numbers(index) == {**before, "x": 6}
    index.remove("a")
    with pytest.raises(TableError, match="no-numbers-left"):
        index.update(pl.DataFrame({"token": ["y"], "age": [9]}))


def test_last_numbers_of_a_partition_are_given_and_found(index):
    nearly_all = replace(index.snapshot.manifest, number=2, next_number=2**32 - 2)
    publish_manifest(index.snapshot.storage, nearly_all, index.snapshot.manifest)
    index.refresh()
    index.update(pl.DataFrame({"token": ["y", "x"], "age": [8, 9]}))
    assert (first_numbers(index), index.snapshot.manifest.next_number) == ([0, 2**32 - 2], 2**32)
    index.update(pl.DataFrame({"token": ["x", "a"], "age": [1, 1]}))
    before = read_numbers(index)
    index.compact()
    assert read_numbers(index) == before
    (shard,) = index.snapshot.shards
    rows, is_present = shard.rows_of_numbers(np.array([2**32 - 1, 2**32 - 3, 0], dtype=np.uint32))
    assert (shard.files.partition, shard.numbers.load_column().dtype) == (0, np.uint32)
    assert is_present.tolist() == [True, False, True]
    assert shard.device_numbers(np.sort(rows)).tolist() in ([0, 2**32 - 1], [2**32 - 1, 0])
    assert index.verify()
    index.update(pl.DataFrame({"token": ["z", "b"], "age": [1, 1]}))
    assert read_numbers(index) == {**before, "z": 2**32}
    assert (index.snapshot.shards[-1].files.partition, index.snapshot.shards[-1].numbers.partitions) == (None, [0, 1])
    index.compact()
    assert read_numbers(index) == {**before, "z": 2**32}
    index.remove(list("abcdefxyz"))
    index.compact()
    assert (read_numbers(index), index.snapshot.manifest.next_number) == ({}, 2**32 + 1)


@pytest.mark.parametrize("first_number", [5, 1 << 30, 2**32 - 1, None])
def test_check_finds_a_repeated_number_and_one_that_was_not_given(index, first_number):
    index.update(pl.DataFrame({"token": ["x", "y"], "age": [9, 8]}))
    published = index.snapshot.manifest
    assert index.verify()
    shards = [*published.shards[:-1], replace(published.shards[-1], first_number=first_number)]
    changed = replace(published, number=3, shards=tuple(shards))
    if first_number is None:  # two devices of a shard, and a number that was not given
        changed = replace(published, number=3, next_number=7)
    publish_manifest(index.snapshot.storage, changed, published)
    with pytest.raises(DamagedError, match="numbers of devices"):
        DeviceIndex.open(index.folder).verify()


def test_damaged_number_is_never_returned(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "MAX_DELETED_RATIO", 1)
    names = [f"r{number:06}" for number in range(60_000)]
    index = DeviceIndex.build(pl.DataFrame({"token": names, "age": [1] * 60_000}), tmp_path / "i")
    index.update(pl.DataFrame({"token": names[::-1], "age": [number % 7 for number in range(60_000)]}))
    index.vacuum(1)
    shard = index.snapshot.shards[-1]
    assert (shard.row_count, shard.files.first_number) == (60_000, None)
    [file] = (tmp_path / "i" / "shards").glob(f"{shard.name}.ids.arrow")
    data = bytearray(file.read_bytes())
    every = shard.device_numbers(np.arange(60_000, dtype=np.uint32))
    at = data.index(every.tobytes())
    data[at + 4 * 30_000] ^= 1
    file.write_bytes(data)
    damaged = DeviceIndex.open(tmp_path / "i").snapshot.shards[-1]
    rows = np.array([0, 59_999], dtype=np.uint32)
    assert damaged.device_numbers(rows).tolist() == every[rows].tolist()  # of other blocks
    for read in (
        lambda: damaged.device_numbers(np.array([30_000], dtype=np.uint32)),
        lambda: damaged.rows_of_numbers(every[:1]),
    ):
        with pytest.raises(DamagedError, match="ids"):
            read()


def test_index_of_the_format_with_numbers_of_32_bits_is_refused(index, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "FORMAT_VERSION", 6)
        publish_manifest(index.snapshot.storage, replace(index.snapshot.manifest, number=2), index.snapshot.manifest)
    with pytest.raises(InvalidIndexError, match=r"(?s)reads format 7.*build the index again"):
        DeviceIndex.open(index.folder)


@given(st.lists(st.integers(0, 4) | st.integers(2**32 - 5, 2**32 + 4), unique=True), st.booleans())
def test_only_consecutive_numbers_of_one_partition_are_shortened(numbers, is_sorted):
    numbers = sorted(numbers) if is_sorted else numbers
    shortened = shorten_numbers(np.array(numbers, dtype=np.uint64))
    crosses = len({number >> 32 for number in numbers}) > 1
    if isinstance(shortened, int):
        assert not crosses and numbers == list(range(shortened, shortened + len(numbers)))
    else:
        assert shortened.tolist() == numbers
        assert crosses or numbers != list(range(numbers[0], numbers[0] + len(numbers)))


@given(*[st.lists(st.integers(0, 4) | st.integers(2**32 - 5, 2**32 + 4) | st.integers(2**33 - 2, 2**33 + 2))] * 2)
def test_sets_of_numbers_are_those_of_python(left, right):
    first, second = (NumberSet.of(np.array(numbers, dtype=np.uint64)) for numbers in (left, right))
    assert NumberSet.union([first, second]).to_array().tolist() == sorted({*left, *right})
    one, other = {*left}, {*right}
    for found, expected in ((first, one), (first & second, one & other), (first - second, one - other)):
        assert (len(found), found.to_array().tolist()) == (len(expected), sorted(expected))
        for partition in range(4):
            assert sorted(found.in_partition(partition)) == sorted(n % 2**32 for n in expected if n >> 32 == partition)


def test_sequence_gives_each_number_once():
    sequence = NumberSequence(2**32 - 3)
    assert [sequence.take(count) for count in (0, 2, 0, 1, 0)] == [2**32 - 3, 2**32 - 3, 2**32 - 1, 2**32 - 1, 2**32]


def test_sequence_never_gives_numbers_of_two_partitions():
    sequence = NumberSequence(2**32 - 3)
    assert [sequence.take(count) for count in (4, 0, 2**32 - 5, 1, 1)] == [
        2**32,
        2**32 + 4,
        2**32 + 4,
        2**33 - 1,
        2**33,
    ]
    sequence = NumberSequence(2**63 - 1)
    assert sequence.take(1) == 2**63 - 1
    with pytest.raises(TableError, match="no-numbers-left"):
        sequence.take(1)
