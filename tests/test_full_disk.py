"""Full and read-only disks: a file is complete or absent, and a run can be resumed afterwards.

Each case is a process that mounts small disks in a namespace of its own and fills them.
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
def unshare_command() -> list[str]:
    """Return the command that runs another one in a mount namespace of its own."""
    if (
        not shutil.which(UNSHARE_COMMAND[0])
        or subprocess.run([*UNSHARE_COMMAND, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{UNSHARE_COMMAND[0]} is missing or must not mount a disk on this system")
    return UNSHARE_COMMAND


SEND_FREE_PAGES = [0, 10, 30, 50, 80, 120]  # from none to nearly enough
WRITE_FREE_PAGES = [0, 1, 5, 20, 60]


@pytest.mark.parametrize(
    ("command", "free_pages_list"),
    [
        ("read_only", [1]),
        ("send", SEND_FREE_PAGES),
        ("emit", WRITE_FREE_PAGES),
        ("build", WRITE_FREE_PAGES),
        ("update", WRITE_FREE_PAGES),
        ("events", WRITE_FREE_PAGES),
    ],
)
def test_command_survives_full_disk(unshare_command, tmp_path, command, free_pages_list):
    arguments = [*unshare_command, sys.executable, __file__, command, str(tmp_path), *map(str, free_pages_list)]
    process = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stdout + process.stderr


# In the mount namespace. --------------------------------------------------------------------------------------------


class SmallDisk:
    """Small disk mounted on *path*."""

    def __init__(self, path: Path):
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(path)], check=True)
        self.filler_file = path / "filler"

    def leave_free_pages(self, free_pages):
        """Fill the disk until *free_pages* pages are free."""
        with self.filler_file.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(PAGE_BYTES)) == PAGE_BYTES:
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - free_pages * PAGE_BYTES))

    def free_space(self):
        self.filler_file.unlink()


def run_command(*arguments):
    """Run a command; return its exit code and its output."""
    from audience.cli.app import run

    output = StringIO()
    with redirect_stderr(output), redirect_stdout(output):
        try:
            run([str(word) for word in arguments])
        except SystemExit as ended:
            return ended.code, output.getvalue()
    raise AssertionError


def is_disk_full(code, output):
    """Return whether a command failed because the disk was full, with the right message."""
    assert "Traceback" not in output
    if code == 0:
        return False
    assert code == 2, output
    assert "cannot-write" in output, output
    assert "full" in output or "No space left" in output, output
    return True


def check_send(mount, disk, free_pages):
    from audience.testing import fake_vendor

    fake_vendor.register_fake_vendors()
    service, ids = fake_vendor.FakeService(), fake_vendor.make_ids(1_500)
    folder = fake_vendor.write_run_folder(mount / "run", ids)
    (mount / "m.json").write_text('{"title": "Hi"}')
    arguments = ["send", folder, "--message", mount / "m.json", "--expect", len(ids)]
    with fake_vendor.run_server(service) as url:
        os.environ |= {"AUDIENCE_FAKE_KEY": "k", "AUDIENCE_FAKE_SECRET": "s", "AUDIENCE_FAKE_HOST": url}
        disk.leave_free_pages(free_pages)
        failed = is_disk_full(*run_command(*arguments))
        was_created, delivered_before = (folder / "ledger.sqlite").exists(), dict(service.delivery_counts)
        if not was_created:
            assert failed
            assert not delivered_before
            assert {file.name for file in folder.iterdir()} <= {
                "manifest.json",
                "requests-00001.ndjson",
                "message.json",
                "audit.jsonl",
            }
        disk.free_space()
        code, output = run_command("resume", folder, "--json") if was_created else run_command(*arguments, "--json")
    assert output.startswith('{"fake"'), output
    result = json.loads(output.splitlines()[0])["fake"]
    batches, in_doubt = result["batches"], result["batches"]["in_doubt"]
    assert (batches["accepted"] + in_doubt, code) == (150, 1 if in_doubt else 0)
    assert in_doubt <= 32  # calls in flight
    assert service.delivery_counts == dict.fromkeys(ids, 1)
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    ledger.close()
    return failed


def check_read_only(mount, disk, free_pages):
    """On a read-only disk, `status` works, and commands that write report the reason."""
    from audience.testing import fake_vendor

    fake_vendor.register_fake_vendors()
    service, ids = (
        fake_vendor.FakeService(fault=lambda call: "stopped" if call == 4 else None),
        fake_vendor.make_ids(100),
    )
    folder = fake_vendor.write_run_folder(mount / "run", ids)
    (mount / "m.json").write_text('{"title": "Hi"}')
    with fake_vendor.run_server(service) as url:
        os.environ |= {"AUDIENCE_FAKE_KEY": "k", "AUDIENCE_FAKE_SECRET": "s", "AUDIENCE_FAKE_HOST": url}
        arguments = ["--message", mount / "m.json", "--expect", len(ids)]
        assert run_command("send", folder, *arguments, "--concurrency", 1)[0] == 1
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        assert "fake: batches: 7 todo, 3 accepted" in run_command("status", folder)[1]
        for command in ("resume", "cancel"):
            assert run_command(command, folder) == (2, f"cannot-write: {folder} is read-only\n")
        subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
        assert run_command("resume", folder)[0] == 0
    assert service.delivery_counts == dict.fromkeys(ids, 1)
    return True


def check_emit(mount, disk, free_pages):
    index, out = build_index(mount), mount / "out"
    disk.leave_free_pages(free_pages)
    failed = is_disk_full(*run_command("emit", index, "everyone", "--vendor", "tpns", "--by-ids", "-o", out))
    disk.free_space()
    assert failed != out.exists()
    assert {file.name for file in mount.iterdir()} - {"out"} == {"devices.parquet", "x.index"}
    return failed


def check_build(mount, disk, free_pages):
    index = build_index(mount)
    disk.leave_free_pages(free_pages)
    failed = is_disk_full(*run_command("index", "build", mount / "devices.parquet", "-o", mount / "new.index"))
    is_disk_full(*run_command("index", "build", mount / "devices.parquet", "-o", index, "--replace"))
    disk.free_space()
    assert failed != (mount / "new.index").exists()
    assert {file.name for file in mount.iterdir()} - {"new.index"} == {"devices.parquet", "x.index"}
    assert run_command("index", "check", index)[0] == 0
    return failed


def check_update(mount, disk, free_pages):
    from audience import DeviceIndex

    index = build_index(mount)
    before = DeviceIndex.open(index).count("tag:male OR NOT male")
    disk.leave_free_pages(free_pages)
    arguments = ["index", "update", index, mount / "devices.parquet"]
    failed = is_disk_full(*run_command(*arguments))
    disk.free_space()
    opened = DeviceIndex.open(index)
    opened.verify()
    assert (opened.count("tag:male OR NOT male"), len(opened.history())) == (before, 1 if failed else 2)
    assert run_command(*arguments)[0] == 0
    opened = DeviceIndex.open(index)
    opened.vacuum()
    assert {file.name for file in (index / "shards").iterdir()} == opened.snapshot.manifest.file_names()
    return failed


def check_events(mount, disk, free_pages):
    import polars as pl

    from audience import DeviceIndex

    index = build_index(mount)
    table = pl.read_parquet(mount / "devices.parquet", columns=["registration_id"])
    events = table.select("registration_id", event=pl.lit("buy"), at=pl.lit("2026-11-01T10:00:00"))
    events.write_csv(mount / "events.csv")
    arguments = ["events", "add", index, mount / "events.csv"]
    os.environ["TMPDIR"] = "/tmp"
    disk.leave_free_pages(free_pages)
    failed = is_disk_full(*run_command(*arguments))
    disk.free_space()
    opened = DeviceIndex.open(index)
    opened.verify()
    assert sum(each.event_count for each in opened.events()) == (0 if failed else len(table))
    assert run_command(*arguments)[0] == 0
    opened = DeviceIndex.open(index)
    assert sum(each.event_count for each in opened.events()) == len(table)
    opened.vacuum()
    assert {file.name for file in (index / "shards").iterdir()} == opened.snapshot.manifest.file_names()
    return failed


def build_index(mount):
    """Build an index beside its table and return it."""
    from audience import DeviceIndex
    from audience.testing.devices import generate_devices

    generate_devices(5_000).write_parquet(mount / "devices.parquet")
    DeviceIndex.build(mount / "devices.parquet", mount / "x.index")
    return mount / "x.index"


if __name__ == "__main__":
    checks = {
        "read_only": check_read_only,
        "send": check_send,
        "emit": check_emit,
        "build": check_build,
        "update": check_update,
        "events": check_events,
    }
    for free_pages in map(int, sys.argv[3:]):
        mount_point = Path(sys.argv[2]) / str(free_pages)
        failed = checks[sys.argv[1]](mount_point, SmallDisk(mount_point), free_pages)
        assert failed or free_pages, "a full disk must make the command fail"
