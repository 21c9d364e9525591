"""Crash tests: after a writer dies at any step, the index is the old or the new one, and the next writer succeeds."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from sizes import scale

from audience import AudienceError, DeviceIndex, InvalidIndexError, LockedError, OutputError
from audience._fs import atomic as on_disk
from audience.index.changes import compaction, session
from audience.index.changes.events import adding
from audience.index.ingest import build
from audience.index.ingest.events import spool
from audience.index.storage import arrow_file

AUDITED_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class PowerCut(BaseException):
    """Simulated crash, which no code of the package catches."""


class FailurePoint:
    """Counter of the write operations below a folder; from operation *fail_at* on, every one of them fails.

    A process whose every write fails with an uncaught exception changes as little as a process that died.
    """

    def __init__(self):
        self.folder, self.fail_at, self.step_count = None, 0, 0
        sys.addaudithook(self._audit_hook)

    def _audit_hook(self, event, arguments):
        if self.folder is not None and event in AUDITED_EVENTS:
            writes = event != "open" or (isinstance(arguments[2], int) and arguments[2] & WRITE_FLAGS)
            if writes and str(arguments[0]).startswith(self.folder):
                self.count_step()

    def count_step(self):
        if self.folder is not None:
            self.step_count += 1
            if self.step_count >= self.fail_at:
                raise PowerCut

    def is_cut(self, folder: Path, fail_at: int, work) -> bool:
        """Return whether *work* was interrupted at operation *fail_at*."""
        self.folder, self.fail_at, self.step_count = str(folder), fail_at, 0
        try:
            work()
        except PowerCut:
            return True
        finally:
            self.folder = None
        return False


FAILURE_POINT = FailurePoint()


@pytest.fixture
def power(monkeypatch) -> FailurePoint:
    write = arrow_file.write_arrow_file

    def count_writes(*arguments, **named):
        FAILURE_POINT.count_step()
        data_range = write(*arguments, **named)
        FAILURE_POINT.count_step()
        return data_range

    monkeypatch.setattr(arrow_file, "write_arrow_file", count_writes)  # writes of Arrow raise no audit events
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # not a step: other processes see files before it too
    monkeypatch.setattr(
        on_disk, "_exchange_folders", lambda one, other: FAILURE_POINT.count_step() or exchange_folders(one, other)
    )
    return FAILURE_POINT


exchange_folders = on_disk._exchange_folders

TABLE = pl.DataFrame(
    {
        "token": [f"r{number}" for number in range(12)],
        "age": [number % 5 for number in range(12)],
        "tags": [["a"] if number % 2 else ["b"] for number in range(12)],
    }
)
QUERIES = ["a", "b", "age >= 2", "NOT age < 4", "everyone", "x", "sample(50%, s)"]


def resolve_queries(folder: Path) -> list:
    """Return the answers of the index after verifying all its files."""
    index = DeviceIndex.open(folder)
    index.verify()
    answers = [sorted(index.resolve(expr).ids()) for expr in QUERIES]
    return [*answers, dict(index.segments), read_events(index)]


def read_events(index: DeviceIndex) -> dict:
    """Return what there is of each event, and the number of those that wait."""
    events = {
        each.name: (each.device_count, each.event_count, each.last_day, each.covered_from) for each in index.events()
    }
    return events | {"waiting": sum(file.row_count for file in index.snapshot.manifest.waiting_events)}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 5)
    monkeypatch.setattr(compaction, "MAX_SHARD_DEVICES", 5)
    monkeypatch.setattr(spool, "MAX_RUN_EVENTS", 9)
    monkeypatch.setattr(spool, "MAX_FILE_EVENTS", 12)
    monkeypatch.setattr(adding, "MAX_CHUNK_EVENTS", 7)
    monkeypatch.setattr(compaction, "MAX_DELETED_RATIO", 1)
    monkeypatch.setattr(session, "MAX_INLINE_COMPACT_DEVICES", 3)


EVENTS = pl.DataFrame(
    {
        "token": [f"r{number % 14}" for number in range(40)],
        "event": ["buy" if number % 3 else "open" for number in range(40)],
        "at": [datetime(2026, 11, 1 + number % 5, number % 24) for number in range(40)],
        "amount": [number / 4 for number in range(40)],
    }
)
UPDATE = pl.DataFrame({"token": ["r1", "r6", "r20"], "age": [9, 9, None]})
OPERATIONS = {
    "update": lambda index: index.update(UPDATE),
    "tag": lambda index: index.tag(["r1", "r8"], add="x", remove="a"),
    "remove": lambda index: index.remove(["r2", "r3", "r7"]),
    "compact": DeviceIndex.compact,
    "save": lambda index: index.save_segment("s", "a OR b"),
    "apply": lambda index: index.apply_segments({"s": "a", "t": "@s AND token(r1, r2)"}),
    "restore": lambda index: index.restore(1),
    "add events": lambda index: index.add_events(EVENTS, unknown="keep", keep="3d"),
    "forget events": lambda index: index.forget_events("open"),
    "vacuum": DeviceIndex.vacuum,
    "replace": lambda index: DeviceIndex.build(TABLE.head(3), index.folder, replace=True),
}


@pytest.mark.parametrize("what", OPERATIONS)
def test_crash_at_any_step_leaves_old_or_new_index(what, tmp_path, power, small_shards):
    index = DeviceIndex.build(TABLE, tmp_path / "first")
    index.update(UPDATE.with_columns(age=pl.lit(0)))
    for batch in range(3):
        index.add_events(EVENTS[batch * 4 : batch * 4 + 4], batch=f"{batch}", unknown="keep")
    index.remove(["r0"])
    shutil.copytree(index.folder, tmp_path / "done")
    old = resolve_queries(index.folder)
    OPERATIONS[what](DeviceIndex.open(tmp_path / "done"))
    allowed = [old, resolve_queries(tmp_path / "done")]
    died, steps, seen = True, 0, []
    while died:
        steps += 1
        folder = tmp_path / f"{steps}" / "index"
        shutil.copytree(index.folder, folder)
        died = power.is_cut(tmp_path, steps, lambda folder=folder: OPERATIONS[what](DeviceIndex.open(folder)))
        answers = resolve_queries(folder)
        assert answers in allowed
        seen.append(answers)
        again = DeviceIndex.open(folder)
        again.tag(["r1"], add="again")
        assert sorted(again.resolve("again").ids()) == ["r1"]
        again.vacuum()
        assert {file.name for file in (folder / "shards").iterdir()} == again.snapshot.manifest.file_names()
        owned = {"manifest.json", "history", "shards", "records", "writer.lock"}
        assert {file.name for file in folder.iterdir()} <= owned
        if what == "replace":
            DeviceIndex.build(TABLE, folder, replace=True)
        shutil.rmtree(folder.parent)
    assert steps > 5
    assert seen == sorted(seen, key=allowed.index)  # from some step on, the index is the new one
    assert seen[-1] == allowed[1]


@pytest.mark.parametrize("what", ["build", "backup"])
def test_new_folder_is_atomic(what, tmp_path, power, small_shards):
    index = DeviceIndex.build(TABLE, tmp_path / "first")
    index.remove(["r0"])
    work = {
        "build": lambda folder: DeviceIndex.build(TABLE.slice(1), folder),
        "backup": lambda folder: index.backup(folder),
    }[what]
    died, steps = True, 0
    while died:
        steps += 1
        folder = tmp_path / f"{steps}" / "index"
        died = power.is_cut(tmp_path, steps, lambda folder=folder: work(folder))
        if folder.exists():
            assert resolve_queries(folder) == resolve_queries(index.folder)
        elif steps % 8 == 1:
            work(folder)
            assert resolve_queries(folder) == resolve_queries(index.folder)
            assert [file.name for file in folder.parent.iterdir()] == ["index"]
    assert steps > 5


TEMP_FOLDER_SCRIPT = """
import sys, time
from pathlib import Path
from audience._fs.atomic import atomic_folder
with atomic_folder(Path(sys.argv[1]), owned_patterns=frozenset()) as temp_folder:
    (temp_folder / "file").touch()
    print(temp_folder.name, flush=True)
    time.sleep(60)
"""


def test_stale_temp_folder_is_removed_after_its_process_died(tmp_path):
    folder, others = tmp_path / "x", {"x.index", ".x.bak", ".x.index.abcd1234.tmp", ".x.abcd1234", ".x.lock.tmp"}
    for name in others:
        (tmp_path / name).mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", TEMP_FOLDER_SCRIPT, folder], stdout=subprocess.PIPE, text=True
    ) as process:
        temp_name = process.stdout.readline().strip()
        with pytest.raises(OutputError, match=r"locked: .*/x is being written by another process"):
            DeviceIndex.build(TABLE, folder)
        assert {file.name for file in tmp_path.iterdir()} == {*others, temp_name, ".x.lock"}
        process.kill()
    DeviceIndex.build(TABLE, folder)
    assert {file.name for file in tmp_path.iterdir()} == {*others, "x"}


def test_truncated_file_is_named(tmp_path, small_shards):
    """Truncate files as if the manifest had reached the disk, but not all files that it names."""
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    index.add_events(EVENTS, unknown="keep")
    index.remove(["r0", "r6"])
    for file in [file for file in index.folder.rglob("*") if file.suffix in (".arrow", ".events", ".json")]:
        sound = file.read_bytes()
        torn = [sound[: len(sound) // 2], b"", sound[: len(sound) // 2] + bytes(len(sound) - len(sound) // 2)]
        for data in torn:
            file.write_bytes(data)
            with pytest.raises(InvalidIndexError, match=file.name):
                resolve_queries(index.folder)
                DeviceIndex.open(index.folder).history()
        file.write_bytes(sound)
    assert resolve_queries(index.folder)


def test_full_disk_raises_output_error(tmp_path, monkeypatch, small_shards):
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    index.add_events(EVENTS[:4], unknown="keep")
    index.remove(["r0"])
    old = resolve_queries(index.folder)

    def raise_disk_full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", raise_disk_full)
    for work in OPERATIONS.values():
        with pytest.raises(AudienceError, match="No space left"):
            work(DeviceIndex.open(index.folder))
    monkeypatch.undo()
    assert resolve_queries(index.folder) == old


HOLD_LOCK_SCRIPT = """
import sys, time
from pathlib import Path
from audience.index.storage.published import LocalStorage
from audience.index.storage.write_lock import lock_for_update
with lock_for_update(LocalStorage(Path(sys.argv[1])), "update"):
    print("holding", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """Yield an index that another process has locked, and that process."""
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK_SCRIPT, index.folder], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "holding\n"
        yield index, process
        process.kill()


def test_second_writer_is_rejected_or_waits(held):
    index, process = held
    with pytest.raises(LockedError, match=rf"process {process.pid} on {os.uname().nodename} since .* \(update\)"):
        index.tag(["r1"], add="x")
    with pytest.raises(LockedError):
        DeviceIndex.build(TABLE, index.folder, replace=True)
    assert index.count("a") == 6
    killer = threading.Timer(0.3, process.send_signal, [signal.SIGKILL])
    killer.start()
    assert index.tag(["r1"], add="x", wait=30).changed == 1
    killer.join()
    assert {file.name for file in index.folder.iterdir()} == {"manifest.json", "history", "shards", "writer.lock"}


def test_threads_write_in_turn(tmp_path):
    folder = DeviceIndex.build(TABLE, tmp_path / "index").folder
    wrong = []

    def tag_repeatedly(name):
        try:
            for number in range(5):
                DeviceIndex.open(folder).tag([f"r{number}"], add=name, wait=60)
        except AudienceError as error:
            wrong.append(error)

    threads = [threading.Thread(target=tag_repeatedly, args=[name]) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index = DeviceIndex.open(folder)
    assert (wrong, index.count("x AND y"), len(index.history())) == ([], 5, 11)


UPDATE_SCRIPT = """
import sys
import polars as pl
from audience import DeviceIndex
from audience.index.ingest import build
from audience.index.changes import compaction
build.MAX_SHARD_DEVICES = compaction.MAX_SHARD_DEVICES = 5
compaction.GROWTH = 1 << 20  # what is small stays, for compact to find
index = DeviceIndex.open(sys.argv[1])
ids = index.resolve("everyone").ids()
for number in range(1, int(sys.argv[2]) + 1):
    some = ids.sample(fraction=1, shuffle=True, seed=number)
    index.update(pl.DataFrame({"token": some, "round": [f"round-{number}"] * len(some)}))
    index.tag(some.head(number % 7), add=[f"odd-{number % 3}"])
    index.compact()
    if number % 3 == 0:
        index.vacuum(keep=1)
"""


UPDATES = scale(40, 100)


def test_reader_sees_only_whole_snapshots(tmp_path):
    table = TABLE.with_columns(round=pl.lit("round-0"))
    index = DeviceIndex.build(table, tmp_path / "index")
    seen = []
    with subprocess.Popen([sys.executable, "-c", UPDATE_SCRIPT, index.folder, str(UPDATES)]) as writer:
        while writer.poll() is None:
            for reader in (DeviceIndex.open(index.folder), index):
                rounds = [value for value in reader.attributes["round"].values if reader.count(f"round:{value}")]
                assert len(rounds) == 1
                assert sorted(reader.resolve(f"round:{rounds[0]}").ids()) == sorted(TABLE["token"])
                seen.append(rounds[0])
            index.refresh()
    index.refresh()
    assert writer.returncode == 0
    assert index.count(f"round:round-{UPDATES}") == 12
    assert len(set(seen)) > 1


def test_killed_writer_leaves_valid_index(tmp_path):
    index = DeviceIndex.build(TABLE.with_columns(round=pl.lit("round-0")), tmp_path / "index")
    for kill in range(scale(2, 500)):
        with subprocess.Popen([sys.executable, "-c", UPDATE_SCRIPT, index.folder, "1000"]) as writer:
            number = index.history()[-1].number
            while index.history()[-1].number == number:
                time.sleep(0.01)
            time.sleep(0.02 + 0.09 * (kill % 2) + 0.001 * (kill // 2 % 100))
            writer.kill()
        index.refresh()
        index.verify()
        assert [index.count(f"round:{value}") for value in index.attributes["round"].values][-1] in (0, 12)
        index.vacuum()
        assert {file.name for file in (index.folder / "shards").iterdir()} == index.snapshot.manifest.file_names()
