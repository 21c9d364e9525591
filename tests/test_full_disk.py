"""A disk that is full or can only be read, for real: what is written is whole or not there, a run goes on afterwards.

Each kind is a process of its own that mounts small disks which only it can see, and fills them up.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

SIZE, PAGE = 8 << 20, 4096
ALONE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.fixture(scope="session")
def alone() -> list[str]:
    """What gives a process disks of its own."""
    if not shutil.which(ALONE[0]) or subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a disk")
    return ALONE


SEND = [0, 10, 30, 50, 80, 120]  # pages that are left: from nothing to nearly enough
WRITE = [0, 1, 5, 20, 60]


@pytest.mark.parametrize(
    ("what", "rooms"), [("read_only", [1]), ("send", SEND), ("emit", WRITE), ("build", WRITE), ("update", WRITE)]
)
def test_a_full_disk(alone, tmp_path, what, rooms):
    words = [*alone, sys.executable, __file__, what, str(tmp_path), *map(str, rooms)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# Within the process. --------------------------------------------------------------------------------------------------


class Disk:
    """A small disk, mounted on *path*."""

    def __init__(self, path: Path):
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(path)], check=True)
        self.filler = path / "filler"

    def fill(self, room):
        """Leave *room* pages."""
        with self.filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(PAGE)) == PAGE:
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - room * PAGE))

    def clear(self):
        self.filler.unlink()


def command(*words):
    """The exit code of a command, and all that it says."""
    from audience.cli.app import run

    said = StringIO()
    with redirect_stderr(said), redirect_stdout(said):
        try:
            run([str(word) for word in words])
        except SystemExit as ended:
            return ended.code, said.getvalue()
    raise AssertionError


def full(code, said):
    """Whether the disk was full, and it was said as it should be; a command that had room enough says nothing of it."""
    assert "Traceback" not in said
    if code == 0:
        return False
    assert code == 2, said
    assert "cannot-write" in said, said
    assert "full" in said or "No space left" in said, said
    return True


def send(place, disk, room):
    import fake_vendor

    fake_vendor.register()
    service, ids = fake_vendor.Service(), fake_vendor.ids_of(1_500)
    folder = fake_vendor.folder_of(place / "run", ids)
    (place / "m.json").write_text('{"title": "Hi"}')
    words = ["send", folder, "--message", place / "m.json", "--expect", len(ids)]
    with fake_vendor.serving(service) as url:
        os.environ |= {"AUDIENCE_FAKE_KEY": "k", "AUDIENCE_FAKE_SECRET": "s", "AUDIENCE_FAKE_HOST": url}
        disk.fill(room)
        stopped = full(*command(*words))
        begun, told = (folder / "ledger.sqlite").exists(), dict(service.told)
        if not begun:
            assert stopped
            assert not told
            assert {file.name for file in folder.iterdir()} <= {
                "manifest.json",
                "requests-00001.ndjson",
                "message.json",
            }
        disk.clear()
        code, said = command("resume", folder, "--json") if begun else command(*words, "--json")
    assert said.startswith('{"fake"'), said
    found = json.loads(said.splitlines()[0])["fake"]
    batches, doubt = found["batches"], found["batches"]["in_doubt"]
    assert (batches["accepted"] + doubt, code) == (150, 1 if doubt else 0)
    assert doubt <= 32  # calls that were under way
    assert service.told == dict.fromkeys(ids, 1)
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    ledger.close()
    return stopped


def read_only(place, disk, room):
    """Who looks at a run that can only be read is told; who would change it is told why not."""
    import fake_vendor

    fake_vendor.register()
    service, ids = fake_vendor.Service(fault=lambda call: "stopped" if call == 4 else None), fake_vendor.ids_of(100)
    folder = fake_vendor.folder_of(place / "run", ids)
    (place / "m.json").write_text('{"title": "Hi"}')
    with fake_vendor.serving(service) as url:
        os.environ |= {"AUDIENCE_FAKE_KEY": "k", "AUDIENCE_FAKE_SECRET": "s", "AUDIENCE_FAKE_HOST": url}
        words = ["--message", place / "m.json", "--expect", len(ids)]
        assert command("send", folder, *words, "--concurrency", 1)[0] == 1
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert "fake: 7 todo, 3 accepted" in command("status", folder)[1]
        for what in ("resume", "cancel"):
            assert command(what, folder) == (2, f"cannot-write: {folder} can only be read\n")
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        assert command("resume", folder)[0] == 0
    assert service.told == dict.fromkeys(ids, 1)
    return True


def emit(place, disk, room):
    index, out = built(place), place / "out"
    disk.fill(room)
    stopped = full(*command("emit", index, "everyone", "--vendor", "tpns", "--by-ids", "-o", out))
    disk.clear()
    assert stopped != out.exists()
    assert {file.name for file in place.iterdir()} - {"out"} == {"devices.parquet", "x.index"}
    return stopped


def build(place, disk, room):
    index = built(place)
    disk.fill(room)
    stopped = full(*command("index", "build", place / "devices.parquet", "-o", place / "new.index"))
    full(*command("index", "build", place / "devices.parquet", "-o", index, "--replace"))
    disk.clear()
    assert stopped != (place / "new.index").exists()
    assert {file.name for file in place.iterdir()} - {"new.index"} == {"devices.parquet", "x.index"}
    assert command("index", "check", index)[0] == 0
    return stopped


def update(place, disk, room):
    from audience import DeviceIndex

    index = built(place)
    before = DeviceIndex.open(index).count("tag:male OR NOT male")
    disk.fill(room)
    words = ["index", "update", index, place / "devices.parquet"]
    stopped = full(*command(*words))
    disk.clear()
    opened = DeviceIndex.open(index)
    opened.check()
    assert (opened.count("tag:male OR NOT male"), len(opened.history())) == (before, 1 if stopped else 2)
    assert command(*words)[0] == 0
    opened = DeviceIndex.open(index)
    opened.vacuum()
    assert {file.name for file in (index / "shards").iterdir()} == opened.snapshot.manifest.files()
    return stopped


def built(place):
    """An index, and its table."""
    from audience import DeviceIndex
    from audience.testing.devices import devices

    devices(5_000).write_parquet(place / "devices.parquet")
    DeviceIndex.build(place / "devices.parquet", place / "x.index")
    return place / "x.index"


if __name__ == "__main__":
    kinds = {"read_only": read_only, "send": send, "emit": emit, "build": build, "update": update}
    for pages in map(int, sys.argv[3:]):
        place = Path(sys.argv[2]) / str(pages)
        stopped = kinds[sys.argv[1]](place, Disk(place), pages)
        assert stopped or pages, "nothing was too large for no room at all"
