"""Files of an index outside its snapshots: atomic changes, damage, and the operations that must keep them."""

import os
import shutil
import stat
import sys
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from audience import DamagedError, DeviceIndex
from audience.index.records import record_files
from audience.index.records.record_files import (
    RecordContent,
    load_record_list,
    read_record_file,
    replace_record_files,
    verify_record_files,
)
from audience.index.storage.published import LocalStorage
from audience.index.storage.write_lock import lock_for_update

TABLE = pl.DataFrame({"token": ["t1", "t2"], "tags": [["male"], ["male", "vip"]]})


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index")
    write(index.folder, [("policies.json", b"{}"), ("list of ids", b"t1\nt9")])
    return index


def write(folder, contents, removed=()):
    storage = LocalStorage(folder)
    with lock_for_update(storage, "record"):
        return replace_record_files(storage, [RecordContent(*content) for content in contents], removed)


def read_all(folder) -> dict[str, bytes | None]:
    storage = LocalStorage(folder)
    return {name: read_record_file(storage, name) for name in load_record_list(storage).files}


RECORDED = {"policies.json": b"{}", "list of ids": b"t1\nt9"}


def test_files_are_replaced_and_removed_together(index):
    assert read_all(index.folder) == RECORDED
    write(index.folder, [("policies.json", b"[]"), ("more", b"")], removed=["list of ids", "unknown"])
    assert read_all(index.folder) == {"policies.json": b"[]", "more": b""}
    assert read_record_file(LocalStorage(index.folder), "list of ids") is None
    assert sorted(file.name for file in (index.folder / "records").iterdir()) == [
        "00000002-0",
        "00000002-1",
        "records.json",
    ]


def test_index_without_records_has_none(tmp_path):
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index")
    storage = LocalStorage(index.folder)
    assert (load_record_list(storage).number, read_record_file(storage, "policies.json")) == (0, None)
    assert verify_record_files(storage) == []
    index.backup(tmp_path / "copy")
    assert not (tmp_path / "copy" / "records").exists()


def test_only_the_owner_may_read(index, tmp_path):
    index.backup(tmp_path / "copy")
    DeviceIndex.build(TABLE, tmp_path / "copy", replace=True)
    for folder in (index.folder, tmp_path / "copy"):
        records = folder / "records"
        assert stat.S_IMODE(records.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in records.iterdir()} == {0o600}


OPERATIONS = {
    "restore": lambda index: index.restore(1),
    "vacuum": lambda index: index.vacuum(),
    "compact": lambda index: index.compact(),
    "remove": lambda index: index.remove(["t1"]),
    "update": lambda index: index.update(pl.DataFrame({"token": ["t3"]})),
    "build": lambda index: DeviceIndex.build(TABLE, index.folder, replace=True),
    "build of an index without a manifest": lambda index: build_without_manifest(index.folder),
}


def build_without_manifest(folder):
    (folder / "manifest.json").unlink()
    DeviceIndex.build(TABLE, folder, replace=True)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_keeps_records(index, operation):
    OPERATIONS[operation](index)
    assert read_all(index.folder) == RECORDED


def test_backup_has_the_records(index, tmp_path):
    index.backup(tmp_path / "copy")
    assert read_all(tmp_path / "copy") == RECORDED
    assert DeviceIndex.open(tmp_path / "copy").verify() == DeviceIndex.open(index.folder).verify()


def test_verify_lists_the_files(index):
    assert index.verify()[-3:] == ["records/00000001-0", "records/00000001-1", "records/records.json"]


@pytest.mark.parametrize("name", ["00000001-0", "00000001-1", "records.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_damage_is_an_error_that_names_the_file(index, tmp_path, name, damage):
    file = index.folder / "records" / name
    data = bytearray(file.read_bytes())
    if damage == "delete":
        file.unlink()
    else:
        data[len(data) // 2] ^= 1
        file.write_bytes(data if damage == "flip" else data[:-1])
    for use in (index.verify, lambda: index.backup(tmp_path / "copy")):
        with pytest.raises(DamagedError, match=name):
            use()
    with pytest.raises(DamagedError, match=name):
        DeviceIndex.build(TABLE, index.folder, replace=True)
    assert len(DeviceIndex.open(index.folder)) == 2


def test_death_at_any_step_leaves_old_or_new(index, tmp_path):
    for has_records in (True, False):
        if not has_records:
            shutil.rmtree(index.folder / "records")
        check_deaths(index, tmp_path / str(has_records), RECORDED if has_records else {})


def check_deaths(index, place, old):
    new, seen = {"policies.json": b"new", "other": b"2"}, []
    for step in range(100):
        folder = place / f"copy{step}"
        shutil.copytree(index.folder, folder)
        if run_and_die(folder, step) == 0:
            break
        seen.append(read_all(folder))
        assert seen[-1] in (old, new), step
        verify_record_files(LocalStorage(folder))
        write(folder, [])  # a later writer is not held up
        write(folder, [("policies.json", b"last")])
        assert read_all(folder)["policies.json"] == b"last"
    assert old in seen and new in seen


def run_and_die(folder: Path, step: int) -> int:
    """Change the records in a process that ends without notice before the system call number *step* that writes."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(BaseException):
        sys.addaudithook(partial(die_when_counted, str(folder), count(), step))
        write(folder, [("policies.json", b"new"), ("other", b"2")], removed=["list of ids"])
        os._exit(0)
    os._exit(1)


def die_when_counted(folder, steps, last, event, arguments):
    is_step = event in ("open", "os.rename", "os.remove") and folder in str(arguments[0])
    if is_step and next(steps) == last:
        os._exit(9)


def test_reader_of_a_replaced_list_reads_the_newer_file(index, monkeypatch):
    storage, load = LocalStorage(index.folder), load_record_list
    lists = iter([load(storage)])
    write(index.folder, [("policies.json", b"new")])
    monkeypatch.setattr(record_files, "load_record_list", lambda storage: next(lists, None) or load(storage))
    assert read_record_file(storage, "policies.json") == b"new"


def test_reader_of_no_list_reads_the_first_one(tmp_path, monkeypatch):
    """Another process writes the first list, and files, after the reader has found no list."""
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index")
    read = LocalStorage.read

    def write_after_reading(storage, name, version=""):
        monkeypatch.setattr(LocalStorage, "read", read)
        with pytest.raises(FileNotFoundError) as missing:
            read(storage, name, version)
        write(index.folder, [("policies.json", b"{}")])
        raise missing.value

    monkeypatch.setattr(LocalStorage, "read", write_after_reading)
    assert list(load_record_list(LocalStorage(index.folder)).files) == ["policies.json"]
