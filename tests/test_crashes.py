"""Whenever a writer dies, what is found is the old index or the new one, whole; and the next writer goes on."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from audience import AudienceError, DeviceIndex, IndexFolderError, LockedError, OutputError
from audience._fs import atomic as on_disk
from audience.index.changes import compaction, update
from audience.index.ingest import build
from audience.index.storage import arrow_file

SEEN = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class PowerCut(BaseException):
    """The end of everything that a process does to its files."""


class Power:
    """Counts what is done to files below *folder*; from the operation *last* on, each fails, whoever asks for it.

    A process that dies does nothing any more; nor does one whose every write fails with what nobody catches.
    """

    def __init__(self):
        self.folder, self.last, self.done = None, 0, 0
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if self.folder is not None and event in SEEN:
            writes = event != "open" or (isinstance(arguments[2], int) and arguments[2] & WRITING)
            if writes and str(arguments[0]).startswith(self.folder):
                self.step()

    def step(self):
        if self.folder is not None:
            self.done += 1
            if self.done >= self.last:
                raise PowerCut

    def cut(self, folder: Path, last: int, work) -> bool:
        """Whether *work* was stopped by the cut at operation *last*."""
        self.folder, self.last, self.done = str(folder), last, 0
        try:
            work()
        except PowerCut:
            return True
        finally:
            self.folder = None
        return False


POWER = Power()


@pytest.fixture
def power(monkeypatch) -> Power:
    write = arrow_file.write

    def counted(*arguments, **named):
        POWER.step()
        found = write(*arguments, **named)
        POWER.step()
        return found

    monkeypatch.setattr(arrow_file, "write", counted)  # what Arrow does, Python does not hear of
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no step of its own: others see files before that too
    monkeypatch.setattr(on_disk, "_exchanged", lambda one, other: POWER.step() or exchanged(one, other))
    return POWER


exchanged = on_disk._exchanged

TABLE = pl.DataFrame(
    {
        "token": [f"r{number}" for number in range(12)],
        "age": [number % 5 for number in range(12)],
        "tags": [["a"] if number % 2 else ["b"] for number in range(12)],
    }
)
ASKED = ["a", "b", "age >= 2", "NOT age < 4", "everyone", "x", "sample(50%, s)"]


def answers(folder: Path) -> list:
    """What the index says, when all of it is sound."""
    index = DeviceIndex.open(folder)
    index.check()
    found = [sorted(index.resolve(expr).tokens()) for expr in ASKED]
    return [*found, dict(index.segments)]


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(build, "SHARD", 5)
    monkeypatch.setattr(compaction, "SHARD", 5)
    monkeypatch.setattr(compaction, "MOST_DEAD", 1)
    monkeypatch.setattr(update, "SOON", 3)


UPDATE = pl.DataFrame({"token": ["r1", "r6", "r20"], "age": [9, 9, None]})
WORK = {
    "update": lambda index: index.update(UPDATE),
    "tag": lambda index: index.tag(["r1", "r8"], add="x", remove="a"),
    "remove": lambda index: index.remove(["r2", "r3", "r7"]),
    "compact": DeviceIndex.compact,
    "save": lambda index: index.save("s", "a OR b"),
    "restore": lambda index: index.restore(1),
    "vacuum": DeviceIndex.vacuum,
    "replace": lambda index: DeviceIndex.build(TABLE.head(3), index.folder, replace=True),
}


@pytest.mark.parametrize("what", WORK)
def test_a_writer_that_dies_at_any_step_leaves_the_old_or_the_new(what, tmp_path, power, small_shards):
    index = DeviceIndex.build(TABLE, tmp_path / "first")
    index.update(UPDATE.with_columns(age=pl.lit(0)))
    index.remove(["r0"])
    shutil.copytree(index.folder, tmp_path / "done")
    old = answers(index.folder)
    WORK[what](DeviceIndex.open(tmp_path / "done"))
    allowed = [old, answers(tmp_path / "done")]
    died, steps, seen = True, 0, []
    while died:
        steps += 1
        folder = tmp_path / f"{steps}" / "index"
        shutil.copytree(index.folder, folder)
        died = power.cut(tmp_path, steps, lambda folder=folder: WORK[what](DeviceIndex.open(folder)))
        found = answers(folder)
        assert found in allowed
        seen.append(found)
        again = DeviceIndex.open(folder)
        again.tag(["r1"], add="again")
        assert sorted(again.resolve("again").tokens()) == ["r1"]
        again.vacuum()
        assert {file.name for file in (folder / "shards").iterdir()} == again.snapshot.manifest.files()
        assert {file.name for file in folder.iterdir()} <= {"manifest.json", "history", "shards", "writer.lock"}
        if what == "replace":
            DeviceIndex.build(TABLE, folder, replace=True)
        shutil.rmtree(folder.parent)
    assert steps > 5
    assert seen == sorted(seen, key=allowed.index)  # once it is new, it stays new
    assert seen[-1] == allowed[1]


@pytest.mark.parametrize("what", ["build", "backup"])
def test_a_new_folder_is_whole_or_not_there(what, tmp_path, power, small_shards):
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
        died = power.cut(tmp_path, steps, lambda folder=folder: work(folder))
        if folder.exists():
            assert answers(folder) == answers(index.folder)
        elif steps % 8 == 1:
            work(folder)
            assert answers(folder) == answers(index.folder)
            assert [file.name for file in folder.parent.iterdir()] == ["index"]
    assert steps > 5


DRAFTS = """
import sys, time
from pathlib import Path
from audience._fs.atomic import new_folder
with new_folder(Path(sys.argv[1]), marks=frozenset()) as draft:
    (draft / "file").touch()
    print(draft.name, flush=True)
    time.sleep(60)
"""


def test_a_draft_is_left_alone_while_its_process_lives_and_cleared_by_the_next_when_it_was_killed(tmp_path):
    folder, others = tmp_path / "x", {"x.index", ".x.bak", ".x.index.abcd1234.draft", ".x.abcd1234", ".x.lock.draft"}
    for name in others:
        (tmp_path / name).mkdir()
    with subprocess.Popen([sys.executable, "-c", DRAFTS, folder], stdout=subprocess.PIPE, text=True) as other:
        draft = other.stdout.readline().strip()
        with pytest.raises(OutputError, match=r"locked: .*/x is being written by another process"):
            DeviceIndex.build(TABLE, folder)
        assert {file.name for file in tmp_path.iterdir()} == {*others, draft, ".x.lock"}
        other.kill()
    DeviceIndex.build(TABLE, folder)
    assert {file.name for file in tmp_path.iterdir()} == {*others, "x"}


def test_a_file_that_was_cut_short_on_its_way_to_the_disk_is_named(tmp_path, small_shards):
    """The rename of the manifest reached the disk, and not all of what it names."""
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    index.remove(["r0", "r6"])
    for file in [file for file in index.folder.rglob("*") if file.suffix in (".arrow", ".json")]:
        sound = file.read_bytes()
        torn = [sound[: len(sound) // 2], b"", sound[: len(sound) // 2] + bytes(len(sound) - len(sound) // 2)]
        for data in torn:
            file.write_bytes(data)
            with pytest.raises(IndexFolderError, match=file.name):
                answers(index.folder)
                DeviceIndex.open(index.folder).history()
        file.write_bytes(sound)
    assert answers(index.folder)


def test_a_full_disk_is_an_error_and_not_a_traceback(tmp_path, monkeypatch, small_shards):
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    index.remove(["r0"])
    old = answers(index.folder)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for work in WORK.values():
        with pytest.raises(AudienceError, match="No space left"):
            work(DeviceIndex.open(index.folder))
    monkeypatch.undo()
    assert answers(index.folder) == old


HOLDS = """
import sys, time
from pathlib import Path
from audience.index.storage.write_lock import writing
with writing(Path(sys.argv[1]), "update"):
    print("holding", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """An index that another process is changing, and that process."""
    index = DeviceIndex.build(TABLE, tmp_path / "index")
    with subprocess.Popen([sys.executable, "-c", HOLDS, index.folder], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "holding\n"
        yield index, other
        other.kill()


def test_a_second_writer_is_told_who_is_first_and_may_wait_until_he_is_killed(held):
    index, other = held
    with pytest.raises(LockedError, match=rf"process {other.pid} on {os.uname().nodename} since .* \(update\)"):
        index.tag(["r1"], add="x")
    with pytest.raises(LockedError):
        DeviceIndex.build(TABLE, index.folder, replace=True)
    assert index.count("a") == 6
    killer = threading.Timer(0.3, other.send_signal, [signal.SIGKILL])
    killer.start()
    assert index.tag(["r1"], add="x", wait=30).changed == 1
    killer.join()
    assert {file.name for file in index.folder.iterdir()} == {"manifest.json", "history", "shards", "writer.lock"}


def test_two_threads_of_one_process_write_one_after_the_other(tmp_path):
    folder = DeviceIndex.build(TABLE, tmp_path / "index").folder
    wrong = []

    def work(name):
        try:
            for number in range(5):
                DeviceIndex.open(folder).tag([f"r{number}"], add=name, wait=60)
        except AudienceError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=[name]) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index = DeviceIndex.open(folder)
    assert (wrong, index.count("x AND y"), len(index.history())) == ([], 5, 11)


ROUNDS = """
import sys
import polars as pl
from audience import DeviceIndex
from audience.index.ingest import build
from audience.index.changes import compaction
build.SHARD = compaction.SHARD = 5
compaction.TIERS = ()  # what is small stays, for compact to find
index = DeviceIndex.open(sys.argv[1])
ids = index.resolve("everyone").tokens()
for number in range(1, int(sys.argv[2]) + 1):
    some = ids.sample(fraction=1, shuffle=True, seed=number)
    index.update(pl.DataFrame({"token": some, "round": [f"round-{number}"] * len(some)}))
    index.tag(some.head(number % 7), add=[f"odd-{number % 3}"])
    index.compact()
    if number % 3 == 0:
        index.vacuum(keep=1)
"""


def test_a_reader_beside_a_writer_sees_whole_snapshots_only(tmp_path):
    table = TABLE.with_columns(round=pl.lit("round-0"))
    index = DeviceIndex.build(table, tmp_path / "index")
    seen = []
    with subprocess.Popen([sys.executable, "-c", ROUNDS, index.folder, "100"]) as writer:
        while writer.poll() is None:
            for reader in (DeviceIndex.open(index.folder), index):
                rounds = [value for value in reader.attributes["round"].values if reader.count(f"round:{value}")]
                assert len(rounds) == 1
                assert sorted(reader.resolve(f"round:{rounds[0]}").tokens()) == sorted(TABLE["token"])
                seen.append(rounds[0])
            index.refresh()
    index.refresh()
    assert writer.returncode == 0
    assert index.count("round:round-100") == 12
    assert len(set(seen)) > 1


def test_a_writer_killed_at_any_moment_leaves_a_whole_index(tmp_path):
    index = DeviceIndex.build(TABLE.with_columns(round=pl.lit("round-0")), tmp_path / "index")
    for pause in (0.02, 0.11):
        with subprocess.Popen([sys.executable, "-c", ROUNDS, index.folder, "1000"]) as writer:
            number = index.history()[-1].number
            while index.history()[-1].number == number:
                time.sleep(0.01)
            time.sleep(pause)
            writer.kill()
        index.refresh()
        index.check()
        assert [index.count(f"round:{value}") for value in index.attributes["round"].values][-1] in (0, 12)
        index.vacuum()
        assert {file.name for file in (index.folder / "shards").iterdir()} == index.snapshot.manifest.files()
