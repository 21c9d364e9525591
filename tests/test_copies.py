"""Copied, moved and restored runs: only one copy is resumed, and no device is messaged twice."""

import os
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sizes import scale_examples

from audience import DeliveryError
from audience.delivery import campaign_runs, prepare, resume, runs, send, status
from audience.delivery.ledger import folder_marker
from audience.delivery.ledger.connection import LEDGER_FILE
from audience.messages import Message
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_ids,
    make_send_options,
    write_campaign_folder,
    write_run_folder,
)

IDS = make_ids(95)


@pytest.fixture(autouse=True)
def vendor():
    unregister = fake_vendor.register_fake_vendors(names=["fake", "one", "two"])
    yield
    unregister()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def stopped_run(tmp_path, service) -> Path:
    """Return a run that stopped after three of ten calls."""
    service.fault = lambda call: "stopped" if call == 4 else None
    result = send(
        write_run_folder(tmp_path / "run", IDS),
        MESSAGE,
        CREDENTIALS,
        UNLIMITED,
        options=make_send_options(service, concurrency=1),
    )
    assert (result.batch_counts["accepted"], result.stop_reason.code) == (3, "stopped")
    service.fault = lambda call: None
    return tmp_path / "run"


def resume_run(folder, service, **options):
    return resume(folder, CREDENTIALS, options=make_send_options(service), **options)


def read_files(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_resume_rejects_copied_folder(stopped_run, service, tmp_path):
    copy = shutil.copytree(stopped_run, tmp_path / "copy")
    before = read_files(copy)
    for options in ({}, {"moved": True}):
        with pytest.raises(DeliveryError, match=rf"copied-run: {copy} is a copy: .*{stopped_run}"):
            resume_run(copy, service, **options)
    assert read_files(copy) == before
    assert resume_run(stopped_run, service).done
    with pytest.raises(DeliveryError, match="copied-run"):
        resume_run(copy, service)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_accepts_renamed_folder(stopped_run, service, tmp_path):
    for name in ("other", "run", "third"):
        stopped_run = stopped_run.rename(tmp_path / name)
        service.fault = lambda call, stop=service.call_count + 2: "stopped" if call == stop else None
        resume_run(stopped_run, service)
    service.fault = lambda call: None
    (tmp_path / "link").symlink_to(stopped_run)
    assert resume_run(tmp_path / "link", service).done
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_rejects_ledger_older_than_marker(stopped_run, service, tmp_path):
    backup = shutil.copytree(stopped_run, tmp_path / "backup")
    assert resume_run(stopped_run, service).done
    restore_over(backup, stopped_run)
    with pytest.raises(DeliveryError, match=r"copied-run: .* restored"):
        resume_run(stopped_run, service)
    with pytest.raises(DeliveryError, match=r"torn-run: .* does not list"):
        resume_run(stopped_run, service, moved=True)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_rejects_folder_of_links(stopped_run, service, tmp_path):
    linked = shutil.copytree(stopped_run, tmp_path / "linked", copy_function=os.link)
    for options in ({}, {"moved": True}):
        with pytest.raises(DeliveryError, match=rf"copied-run: {linked} is a copy"):
            resume_run(linked, service, **options)
    with pytest.raises(DeliveryError, match=r"copied-run: .* changed"):  # a hard link changes the ctime of the file
        resume_run(stopped_run, service)
    assert resume_run(stopped_run, service, moved=True).done
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_moved_accepts_other_disk(stopped_run, service, tmp_path):
    moved = shutil.copytree(stopped_run, tmp_path / "disk" / "run")
    shutil.rmtree(stopped_run)
    with pytest.raises(DeliveryError, match=f"audience resume {moved} --moved"):
        resume_run(moved, service)
    service.fault = lambda call: "stopped" if call == 6 else None
    assert resume_run(moved, service, moved=True).stop_reason
    service.fault = lambda call: None
    assert resume_run(moved, service).done
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def overwrite_file(file, data):
    """Write *data* into an existing file, which keeps its inode."""
    with file.open("r+b") as stream:
        stream.write(data)
        stream.truncate()


def restore_folder(backup, folder):
    """Replace *folder* by its backup: names, paths and often inodes stay the same."""
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)


def restore_over(backup, folder):
    """Copy the backup over *folder*, as `cp -r backup/. folder` does."""
    for file in backup.iterdir():
        (overwrite_file if (folder / file.name).exists() else Path.write_bytes)(folder / file.name, file.read_bytes())


def restore_ledger(backup, folder):
    overwrite_file(folder / LEDGER_FILE, (backup / LEDGER_FILE).read_bytes())


def restore_changed_files(backup, folder):
    """Replace changed files under a temporary name, as rsync does."""
    for file in backup.iterdir():
        if not (folder / file.name).exists() or (folder / file.name).read_bytes() != file.read_bytes():
            shutil.copy2(file, folder / "new")
            (folder / "new").replace(folder / file.name)


RESTORE_METHODS = [restore_folder, restore_over, restore_ledger, restore_changed_files]


@pytest.mark.parametrize("restore", RESTORE_METHODS)
def test_resume_rejects_restored_backup(stopped_run, service, tmp_path, restore):
    backup = shutil.copytree(stopped_run, tmp_path / "backup")
    assert resume_run(stopped_run, service).done
    restore(backup, stopped_run)
    assert status(stopped_run).pending == 7
    with pytest.raises(DeliveryError, match="copied-run"):
        resume_run(stopped_run, service)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_rejects_ledger_backed_up_during_send(stopped_run, service, tmp_path):
    """A backup made by SQLite is complete, and still older than the marker beside it."""

    def back_up_ledger(call):
        if call == 6:
            with sqlite3.connect(stopped_run / LEDGER_FILE) as ledger, sqlite3.connect(tmp_path / "backup") as backup:
                ledger.backup(backup)
            ledger.close()
            backup.close()

    service.fault = back_up_ledger
    assert resume_run(stopped_run, service).done
    overwrite_file(stopped_run / LEDGER_FILE, (tmp_path / "backup").read_bytes())
    with pytest.raises(DeliveryError, match="copied-run"):
        resume_run(stopped_run, service)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_rewritten_marker_has_new_fingerprint(tmp_path):
    marker = folder_marker.create_marker(tmp_path, "sent")
    assert folder_marker.read_fingerprint(tmp_path / marker.name) == marker.fingerprint
    times = (tmp_path / marker.name).stat()
    time.sleep(0.02)  # more than the time resolution of a file system
    overwrite_file(tmp_path / marker.name, b"")
    os.utime(tmp_path / marker.name, ns=(times.st_atime_ns, times.st_mtime_ns))  # as backup programs do
    assert (tmp_path / marker.name).stat().st_ino == times.st_ino
    assert folder_marker.read_fingerprint(tmp_path / marker.name) != marker.fingerprint


class RunCopies(RuleBasedStateMachine):
    """Copies and restores at any time, also during a send; without `moved` no device is messaged twice."""

    @initialize()
    def start_run(self):
        self.temp_folder, self.service, self.rename_count = TemporaryDirectory(), FakeService(), 0
        self.unregister = fake_vendor.register_fake_vendors()
        self.run, self.backup = (
            write_run_folder(Path(self.temp_folder.name, "run"), make_ids(200)),
            Path(self.temp_folder.name, "backup"),
        )
        self.limit_calls(0)
        send(self.run, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(self.service))

    def teardown(self):
        self.unregister()
        self.temp_folder.cleanup()

    def limit_calls(self, max_calls, copy_at=None):
        stop, at = self.service.call_count + max_calls, None if copy_at is None else self.service.call_count + copy_at

        def fault(call):
            if call == at:
                self.back_up()
            return "stopped" if call > stop else None

        self.service.fault = fault

    @rule(
        max_calls=st.integers(0, 4),
        copy_at=st.none() | st.integers(1, 4),
        folder_name=st.sampled_from(["run", "backup"]),
    )
    def resume_folder(self, max_calls, copy_at, folder_name):
        folder = Path(self.temp_folder.name, folder_name)
        if folder.exists():
            self.limit_calls(max_calls, copy_at if folder_name == "run" else None)
            with suppress(DeliveryError):
                resume_run(folder, self.service)
                assert folder_name == "run"

    @rule()
    def back_up(self):
        shutil.rmtree(self.backup, ignore_errors=True)
        shutil.copytree(self.run, self.backup)

    @precondition(lambda self: self.backup.exists())
    @rule(restore=st.sampled_from(RESTORE_METHODS))
    def restore_backup(self, restore):
        restore(self.backup, self.run)

    @rule()
    def rename_run(self):
        self.rename_count += 1
        self.run.rename(self.run.with_name(f"aside{self.rename_count}")).rename(self.run)

    @invariant()
    def check_no_duplicates(self):
        assert max(self.service.delivery_counts.values(), default=0) <= 1


RunCopies.TestCase.settings = settings(max_examples=scale_examples(30), stateful_step_count=10, deadline=None)
TestCopies = RunCopies.TestCase


# Copies made during a send, or after a crash. -----------------------------------------------------------------------


class ProcessDied(BaseException):
    pass


@pytest.fixture
def crashed_run(tmp_path, service, monkeypatch) -> Path:
    """Return a run whose process died after some calls; its last writes are in the write-ahead log."""

    def copy_run(call):
        if call == 4:
            shutil.copytree(tmp_path / "alive", tmp_path / "run")

    service.fault = copy_run
    send(
        write_run_folder(tmp_path / "alive", IDS),
        MESSAGE,
        CREDENTIALS,
        UNLIMITED,
        options=make_send_options(service, concurrency=1),
    )
    service.fault = lambda call: None
    service.delivery_counts.clear()
    shutil.rmtree(tmp_path / "alive")
    assert (tmp_path / "run" / f"{LEDGER_FILE}-wal").stat().st_size
    return tmp_path / "run"


def test_moved_crashed_run_resumes_after_rejections(crashed_run, service):
    assert (status(crashed_run).batch_counts["accepted"], status(crashed_run).active_workers) == (3, 0)
    for _ in range(2):
        with pytest.raises(DeliveryError, match="copied-run"):
            resume_run(crashed_run, service)
        assert runs.copy_warnings(crashed_run)
    result = resume_run(crashed_run, service, moved=True)
    assert (result.batch_counts["in_doubt"], result.batch_counts["accepted"]) == (1, 9)
    assert service.delivery_counts == dict.fromkeys(IDS[40:], 1)


MISSING_FILES = {
    "the write-ahead log": [f"{LEDGER_FILE}-wal"],
    "the write-ahead log and markers": [f"{LEDGER_FILE}-wal", "sent-*.marker"],
    "all but the ledger": [f"{LEDGER_FILE}-*", "*.marker", "*.lock"],
}


@pytest.mark.parametrize("missing", MISSING_FILES.values(), ids=MISSING_FILES.keys())
def test_resume_rejects_copy_without_last_writes(crashed_run, service, missing):
    for pattern in missing:
        for file in crashed_run.glob(pattern):
            file.unlink()
    with pytest.raises(DeliveryError, match="torn-run"):
        resume_run(crashed_run, service, moved=True)
    assert not service.delivery_counts


def test_resume_rejects_copy_taken_during_send(stopped_run, service, tmp_path):
    """The ledger and the files beside it are from different times."""
    copy = shutil.copytree(stopped_run, tmp_path / "copy")
    assert resume_run(stopped_run, service).done
    for file in stopped_run.glob("sent-*.marker"):
        shutil.copy2(file, copy)
    for file in copy.glob("sent-*.marker"):
        if not (stopped_run / file.name).exists():
            file.unlink()
    shutil.rmtree(stopped_run)
    with pytest.raises(DeliveryError, match=r"torn-run: .* is missing"):
        resume_run(copy, service, moved=True)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


# Campaigns and incomplete runs. -------------------------------------------------------------------------------------


def load_credentials(target):
    return CREDENTIALS


def test_campaign_copy_starts_nothing(tmp_path, service, monkeypatch):
    """The sender died before it created the second run; the copy must not create it."""
    folder = write_campaign_folder(tmp_path / "out", one=make_ids(15), two=[f"t{at}" for at in range(15)])
    prepared_runs = campaign_runs.prepare_all(folder, Message(title="Hi"), load_credentials, UNLIMITED)
    create_run = prepare.create_run

    def die_after_create(*arguments):
        create_run(*arguments)
        raise ProcessDied

    with monkeypatch.context() as patched, pytest.raises(ProcessDied):
        patched.setattr(prepare, "create_run", die_after_create)
        campaign_runs.send_all(folder, Message(title="Hi"), prepared_runs, make_send_options(service))
    copy = shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(DeliveryError, match="copied-run"):
        campaign_runs.resume_all(copy, load_credentials, "report", make_send_options(service))
    assert not (copy / "two" / LEDGER_FILE).exists()
    shutil.rmtree(folder)
    result = campaign_runs.resume_all(copy, load_credentials, "report", make_send_options(service), moved=True)
    assert [status.done for status in result.values()] == [True, True]
    assert set(service.delivery_counts.values()) == {1}
    assert len(service.delivery_counts) == 30


def test_commands_warn_about_copied_run(audience, stopped_run, tmp_path):
    copy = str(shutil.copytree(stopped_run, tmp_path / "copy"))
    assert audience("status", str(stopped_run))[2].count("copied-run") == 0
    assert "warning: copied-run" in audience("status", copy)[2]
    code, _, err = audience("cancel", copy)
    assert (code, err.count("copied-run")) == (2, 1)
    assert not status(stopped_run).cancelled
    shutil.rmtree(stopped_run)
    assert "warning: copied-run" in audience("cancel", copy)[2]
    assert status(copy).cancelled


def test_send_rejects_run_without_ledger(stopped_run, service, tmp_path):
    (stopped_run / LEDGER_FILE).unlink()
    with pytest.raises(DeliveryError, match="lost-ledger"):
        send(stopped_run, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service))
    for file in stopped_run.glob("sent-*.marker"):
        file.unlink()
    assert (
        send(stopped_run, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service)).pending == 0
    )  # a user who removes all markers takes the risk


def test_send_rejects_ledger_deleted_during_send(tmp_path, service):
    folder, second_service = write_run_folder(tmp_path / "run", IDS), FakeService()

    def delete_ledger(call):
        if call == 3:
            for file in (LEDGER_FILE, f"{LEDGER_FILE}-wal", f"{LEDGER_FILE}-shm"):
                (folder / file).unlink()
            for marker in folder.glob("*.marker"):
                marker.unlink()
            with pytest.raises(DeliveryError, match="lost-ledger"):
                send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(second_service))

    service.fault = delete_ledger
    with suppress(DeliveryError):
        send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service, concurrency=1))
    assert not second_service.delivery_counts
    assert set(service.delivery_counts.values()) == {1}
