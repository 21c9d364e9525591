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

DISK_BYTES, PAGE_BYTES = 8 << 20, 4096
UNSHARE_COMMAND = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.fixture(scope="session")
def alone() -> list[str]:
    """What gives a process disks of its own."""
    if (
        not shutil.which(UNSHARE_COMMAND[0])
        or subprocess.run([*UNSHARE_COMMAND, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this system lets nobody mount a disk")
    return UNSHARE_COMMAND


SEND_FREE_PAGES = [0, 10, 30, 50, 80, 120]  # pages that are left: from nothing to nearly enough
WRITE_FREE_PAGES = [0, 1, 5, 20, 60]


@pytest.mark.parametrize(
    ("what", "rooms"),
    [
        ("read_only", [1]),
        ("send", SEND_FREE_PAGES),
        ("emit", WRITE_FREE_PAGES),
        ("build", WRITE_FREE_PAGES),
        ("update", WRITE_FREE_PAGES),
    ],
)
def test_command_survives_full_disk(alone, tmp_path, what, rooms):
    words = [*alone, sys.executable, __file__, what, str(tmp_path), *map(str, rooms)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# Within the process. --------------------------------------------------------------------------------------------------


class SmallDisk:
    """A small disk, mounted on *path*."""

    def __init__(self, path: Path):
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(path)], check=True)
        self.filler_file = path / "filler"

    def leave_free_pages(self, free_pages):
        """Leave *room* pages."""
        with self.filler_file.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(PAGE_BYTES)) == PAGE_BYTES:
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - free_pages * PAGE_BYTES))

    def free_space(self):
        self.filler_file.unlink()


def run_command(*words):
    """The exit code of a command, and all that it says."""
    from audience.cli.app import run

    said = StringIO()
    with redirect_stderr(said), redirect_stdout(said):
        try:
            run([str(word) for word in words])
        except SystemExit as ended:
            return ended.code, said.getvalue()
    raise AssertionError


def is_disk_full(code, output):
    """Whether the disk was full, and it was said as it should be; a command that had room enough says nothing of it."""
    assert "Traceback" not in output
    if code == 0:
        return False
    assert code == 2, output
    assert "cannot-write" in output, output
    assert "full" in output or "No space left" in output, output
    return True


def check_send(mount, disk, free_pages):
    import fake_vendor

    fake_vendor.register_vendors()
    service, ids = fake_vendor.FakeService(), fake_vendor.make_ids(1_500)
    folder = fake_vendor.write_run_folder(mount / "run", ids)
    (mount / "m.json").write_text('{"title": "Hi"}')
    words = ["send", folder, "--message", mount / "m.json", "--expect", len(ids)]
    with fake_vendor.run_server(service) as url:
        os.environ |= {"AUDIENCE_FAKE_KEY": "k", "AUDIENCE_FAKE_SECRET": "s", "AUDIENCE_FAKE_HOST": url}
        disk.leave_free_pages(free_pages)
        stopped = is_disk_full(*run_command(*words))
        begun, told = (folder / "ledger.sqlite").exists(), dict(service.delivery_counts)
        if not begun:
            assert stopped
            assert not told
            assert {file.name for file in folder.iterdir()} <= {
                "manifest.json",
                "requests-00001.ndjson",
                "message.json",
            }
        disk.free_space()
        code, said = run_command("resume", folder, "--json") if begun else run_command(*words, "--json")
    assert said.startswith('{"fake"'), said
    found = json.loads(said.splitlines()[0])["fake"]
    batches, doubt = found["batches"], found["batches"]["in_doubt"]
    assert (batches["accepted"] + doubt, code) == (150, 1 if doubt else 0)
    assert doubt <= 32  # calls that were under way
    assert service.delivery_counts == dict.fromkeys(ids, 1)
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    ledger.close()
    return stopped


def check_read_only(mount, disk, free_pages):
    """Who looks at a run that can only be read is told; who would change it is told why not."""
    import fake_vendor

    fake_vendor.register_vendors()
    service, ids = (
        fake_vendor.FakeService(fault=lambda call: "stopped" if call == 4 else None),
        fake_vendor.make_ids(100),
    )
    folder = fake_vendor.write_run_folder(mount / "run", ids)
    (mount / "m.json").write_text('{"title": "Hi"}')
    with fake_vendor.run_server(service) as url:
        os.environ |= {"AUDIENCE_FAKE_KEY": "k", "AUDIENCE_FAKE_SECRET": "s", "AUDIENCE_FAKE_HOST": url}
        words = ["--message", mount / "m.json", "--expect", len(ids)]
        assert run_command("send", folder, *words, "--concurrency", 1)[0] == 1
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        assert "fake: 7 todo, 3 accepted" in run_command("status", folder)[1]
        for what in ("resume", "cancel"):
            assert run_command(what, folder) == (2, f"cannot-write: {folder} is read-only\n")
        subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
        assert run_command("resume", folder)[0] == 0
    assert service.delivery_counts == dict.fromkeys(ids, 1)
    return True


def check_emit(mount, disk, free_pages):
    index, out = build_index(mount), mount / "out"
    disk.leave_free_pages(free_pages)
    stopped = is_disk_full(*run_command("emit", index, "everyone", "--vendor", "tpns", "--by-ids", "-o", out))
    disk.free_space()
    assert stopped != out.exists()
    assert {file.name for file in mount.iterdir()} - {"out"} == {"devices.parquet", "x.index"}
    return stopped


def check_build(mount, disk, free_pages):
    index = build_index(mount)
    disk.leave_free_pages(free_pages)
    stopped = is_disk_full(*run_command("index", "build", mount / "devices.parquet", "-o", mount / "new.index"))
    is_disk_full(*run_command("index", "build", mount / "devices.parquet", "-o", index, "--replace"))
    disk.free_space()
    assert stopped != (mount / "new.index").exists()
    assert {file.name for file in mount.iterdir()} - {"new.index"} == {"devices.parquet", "x.index"}
    assert run_command("index", "check", index)[0] == 0
    return stopped


def check_update(mount, disk, free_pages):
    from audience import DeviceIndex

    index = build_index(mount)
    before = DeviceIndex.open(index).count("tag:male OR NOT male")
    disk.leave_free_pages(free_pages)
    words = ["index", "update", index, mount / "devices.parquet"]
    stopped = is_disk_full(*run_command(*words))
    disk.free_space()
    opened = DeviceIndex.open(index)
    opened.verify()
    assert (opened.count("tag:male OR NOT male"), len(opened.history())) == (before, 1 if stopped else 2)
    assert run_command(*words)[0] == 0
    opened = DeviceIndex.open(index)
    opened.vacuum()
    assert {file.name for file in (index / "shards").iterdir()} == opened.snapshot.manifest.file_names()
    return stopped


def build_index(mount):
    """An index, and its table."""
    from audience import DeviceIndex
    from audience.testing.devices import generate_devices

    generate_devices(5_000).write_parquet(mount / "devices.parquet")
    DeviceIndex.build(mount / "devices.parquet", mount / "x.index")
    return mount / "x.index"


if __name__ == "__main__":
    kinds = {
        "read_only": check_read_only,
        "send": check_send,
        "emit": check_emit,
        "build": check_build,
        "update": check_update,
    }
    for pages in map(int, sys.argv[3:]):
        place = Path(sys.argv[2]) / str(pages)
        stopped = kinds[sys.argv[1]](place, SmallDisk(place), pages)
        assert stopped or pages, "nothing was too large for no room at all"
