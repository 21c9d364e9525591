"""A run that is copied, moved or put back from a backup: it goes on in one place, and nobody is told twice."""

import os
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import fake_vendor
import pytest
from fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_ids,
    make_send_options,
    write_campaign_folder,
    write_run_folder,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sizes import scale_examples

from audience import DeliveryError
from audience.delivery import campaign_runs, resume, runs, send, status
from audience.delivery.ledger import folder_marker
from audience.delivery.ledger.connection import LEDGER_FILE
from audience.messages import Message

IDS = make_ids(95)


@pytest.fixture(autouse=True)
def vendor():
    undo = fake_vendor.register_vendors(names=["fake", "one", "two"])
    yield
    undo()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def left(tmp_path, service) -> Path:
    """A run that stopped after three of ten calls."""
    service.fault = lambda call: "stopped" if call == 4 else None
    found = send(
        write_run_folder(tmp_path / "run", IDS),
        MESSAGE,
        CREDENTIALS,
        UNLIMITED,
        options=make_send_options(service, concurrency=1),
    )
    assert (found.batch_counts["accepted"], found.stop_reason.code) == (3, "stopped")
    service.fault = lambda call: None
    return tmp_path / "run"


def resume_run(folder, service, **options):
    return resume(folder, CREDENTIALS, options=make_send_options(service), **options)


def read_files(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_resume_rejects_copied_folder(left, service, tmp_path):
    copy = shutil.copytree(left, tmp_path / "copy")
    before = read_files(copy)
    for words in ({}, {"moved": True}):
        with pytest.raises(DeliveryError, match=rf"copied-run: {copy} is a copy: .*{left}"):
            resume_run(copy, service, **words)
    assert read_files(copy) == before
    assert resume_run(left, service).done
    with pytest.raises(DeliveryError, match="copied-run"):
        resume_run(copy, service)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_accepts_renamed_folder(left, service, tmp_path):
    for name in ("other", "run", "third"):
        left = left.rename(tmp_path / name)
        service.fault = lambda call, stop=service.call_count + 2: "stopped" if call == stop else None
        resume_run(left, service)
    service.fault = lambda call: None
    (tmp_path / "link").symlink_to(left)
    assert resume_run(tmp_path / "link", service).done
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_rejects_ledger_older_than_marker(left, service, tmp_path):
    backup = shutil.copytree(left, tmp_path / "backup")
    assert resume_run(left, service).done
    restore_over(backup, left)
    with pytest.raises(DeliveryError, match=r"copied-run: .* restored"):
        resume_run(left, service)
    with pytest.raises(DeliveryError, match=r"torn-run: .* does not list"):
        resume_run(left, service, moved=True)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_rejects_folder_of_links(left, service, tmp_path):
    linked = shutil.copytree(left, tmp_path / "linked", copy_function=os.link)
    for words in ({}, {"moved": True}):
        with pytest.raises(DeliveryError, match=rf"copied-run: {linked} is a copy"):
            resume_run(linked, service, **words)
    with pytest.raises(
        DeliveryError, match=r"copied-run: .* changed"
    ):  # a link changes what the system keeps of a file
        resume_run(left, service)
    assert resume_run(left, service, moved=True).done
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_moved_accepts_other_disk(left, service, tmp_path):
    moved = shutil.copytree(left, tmp_path / "disk" / "run")
    shutil.rmtree(left)
    with pytest.raises(DeliveryError, match=f"audience resume {moved} --moved"):
        resume_run(moved, service)
    service.fault = lambda call: "stopped" if call == 6 else None
    assert resume_run(moved, service, moved=True).stop_reason
    service.fault = lambda call: None
    assert resume_run(moved, service).done
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def overwrite_file(file, data):
    """Write *data* into the file that is there."""
    with file.open("r+b") as stream:
        stream.write(data)
        stream.truncate()


def restore_folder(backup, folder):
    """As one removes a folder and unpacks its backup: names, paths and often inodes are the same."""
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)


def restore_over(backup, folder):
    """As `cp -r backup/. folder` does."""
    for file in backup.iterdir():
        (overwrite_file if (folder / file.name).exists() else Path.write_bytes)(folder / file.name, file.read_bytes())


def restore_ledger(backup, folder):
    overwrite_file(folder / LEDGER_FILE, (backup / LEDGER_FILE).read_bytes())


def restore_changed_files(backup, folder):
    """As rsync does: each file that differs under another name first."""
    for file in backup.iterdir():
        if not (folder / file.name).exists() or (folder / file.name).read_bytes() != file.read_bytes():
            shutil.copy2(file, folder / "new")
            (folder / "new").replace(folder / file.name)


RESTORE_METHODS = [restore_folder, restore_over, restore_ledger, restore_changed_files]


@pytest.mark.parametrize("put_back", RESTORE_METHODS)
def test_resume_rejects_restored_backup(left, service, tmp_path, put_back):
    backup = shutil.copytree(left, tmp_path / "backup")
    assert resume_run(left, service).done
    put_back(backup, left)
    assert status(left).pending == 7
    with pytest.raises(DeliveryError, match="copied-run"):
        resume_run(left, service)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_resume_rejects_ledger_backed_up_during_send(left, service, tmp_path):
    """By SQLite itself: that is whole, and older than what lies beside it all the same."""

    def back_up_ledger(call):
        if call == 6:
            with sqlite3.connect(left / LEDGER_FILE) as ledger, sqlite3.connect(tmp_path / "backup") as backup:
                ledger.backup(backup)
            ledger.close()
            backup.close()

    service.fault = back_up_ledger
    assert resume_run(left, service).done
    overwrite_file(left / LEDGER_FILE, (tmp_path / "backup").read_bytes())
    with pytest.raises(DeliveryError, match="copied-run"):
        resume_run(left, service)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_rewritten_marker_has_new_fingerprint(tmp_path):
    mark = folder_marker.create_marker(tmp_path, "sent")
    assert folder_marker.read_fingerprint(tmp_path / mark.name) == mark.fingerprint
    times = (tmp_path / mark.name).stat()
    time.sleep(0.02)  # more than one tick of the clock of a file system
    overwrite_file(tmp_path / mark.name, b"")
    os.utime(tmp_path / mark.name, ns=(times.st_atime_ns, times.st_mtime_ns))  # as backups do
    assert (tmp_path / mark.name).stat().st_ino == times.st_ino
    assert folder_marker.read_fingerprint(tmp_path / mark.name) != mark.fingerprint


class RunCopies(RuleBasedStateMachine):
    """Whatever is copied and put back, also while it is sent: as long as nobody says `moved`, nobody is told twice."""

    @initialize()
    def start_run(self):
        self.temp_folder, self.service, self.rename_count = TemporaryDirectory(), FakeService(), 0
        self.unregister = fake_vendor.register_vendors()
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
        copied=st.none() | st.integers(1, 4),
        folder_name=st.sampled_from(["run", "backup"]),
    )
    def resume_folder(self, max_calls, copied, folder_name):
        folder = Path(self.temp_folder.name, folder_name)
        if folder.exists():
            self.limit_calls(max_calls, copied if folder_name == "run" else None)
            with suppress(DeliveryError):
                resume_run(folder, self.service)
                assert folder_name == "run"

    @rule()
    def back_up(self):
        shutil.rmtree(self.backup, ignore_errors=True)
        shutil.copytree(self.run, self.backup)

    @precondition(lambda self: self.backup.exists())
    @rule(put_back=st.sampled_from(RESTORE_METHODS))
    def restore_backup(self, put_back):
        put_back(self.backup, self.run)

    @rule()
    def rename_run(self):
        self.rename_count += 1
        self.run.rename(self.run.with_name(f"aside{self.rename_count}")).rename(self.run)

    @invariant()
    def check_no_duplicates(self):
        assert max(self.service.delivery_counts.values(), default=0) <= 1


RunCopies.TestCase.settings = settings(max_examples=scale_examples(30), stateful_step_count=10, deadline=None)
TestCopies = RunCopies.TestCase


# Copies of what a process was at, or died at. ------------------------------------------------------------------------


class ProcessDied(BaseException):
    pass


@pytest.fixture
def killed(tmp_path, service, monkeypatch) -> Path:
    """A run whose process died after some calls; what it wrote last lies beside the ledger."""

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


def test_moved_crashed_run_resumes_after_rejections(killed, service):
    assert (status(killed).batch_counts["accepted"], status(killed).active_workers) == (3, 0)
    for _ in range(2):
        with pytest.raises(DeliveryError, match="copied-run"):
            resume_run(killed, service)
        assert runs.copy_warnings(killed)
    found = resume_run(killed, service, moved=True)
    assert (found.batch_counts["in_doubt"], found.batch_counts["accepted"]) == (1, 9)
    assert service.delivery_counts == dict.fromkeys(IDS[40:], 1)


MISSING_FILES = {
    "the last writes": [f"{LEDGER_FILE}-wal"],
    "the last writes and marks": [f"{LEDGER_FILE}-wal", "sent-*.marker"],
    "anything but the ledger": [f"{LEDGER_FILE}-*", "*.marker", "*.lock"],
}


@pytest.mark.parametrize("without", MISSING_FILES.values(), ids=MISSING_FILES.keys())
def test_resume_rejects_copy_without_last_writes(killed, service, without):
    for pattern in without:
        for file in killed.glob(pattern):
            file.unlink()
    with pytest.raises(DeliveryError, match="torn-run"):
        resume_run(killed, service, moved=True)
    assert not service.delivery_counts


def test_resume_rejects_copy_taken_during_send(left, service, tmp_path):
    """The ledger of one moment, and the files beside it of another."""
    copy = shutil.copytree(left, tmp_path / "copy")
    assert resume_run(left, service).done
    for file in left.glob("sent-*.marker"):
        shutil.copy2(file, copy)
    for file in copy.glob("sent-*.marker"):
        if not (left / file.name).exists():
            file.unlink()
    shutil.rmtree(left)
    with pytest.raises(DeliveryError, match=r"torn-run: .* is missing"):
        resume_run(copy, service, moved=True)
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


# Campaigns, and what is left of a run. --------------------------------------------------------------------------------


def load_credentials(target):
    return CREDENTIALS


def test_campaign_copy_starts_nothing(tmp_path, service, monkeypatch):
    """Its sender died before the second vendor was begun, and that is not begun in both places."""
    folder = write_campaign_folder(tmp_path / "out", one=make_ids(15), two=[f"t{at}" for at in range(15)])
    ready = campaign_runs.prepare_all(folder, Message(title="Hi"), load_credentials, UNLIMITED)
    begin = campaign_runs.prepare.create_run

    def die_after_create(prepared):
        begin(prepared)
        raise ProcessDied

    with monkeypatch.context() as patched, pytest.raises(ProcessDied):
        patched.setattr(campaign_runs.prepare, "create_run", die_after_create)
        campaign_runs.send_all(folder, Message(title="Hi"), ready, make_send_options(service))
    copy = shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(DeliveryError, match="copied-run"):
        campaign_runs.resume_all(copy, load_credentials, "report", make_send_options(service))
    assert not (copy / "two" / LEDGER_FILE).exists()
    shutil.rmtree(folder)
    found = campaign_runs.resume_all(copy, load_credentials, "report", make_send_options(service), moved=True)
    assert [each.done for each in found.values()] == [True, True]
    assert set(service.delivery_counts.values()) == {1}
    assert len(service.delivery_counts) == 30


def test_commands_warn_about_copied_run(audience, left, tmp_path):
    copy = str(shutil.copytree(left, tmp_path / "copy"))
    assert audience("status", str(left))[2].count("copied-run") == 0
    assert "warning: copied-run" in audience("status", copy)[2]
    code, _, said = audience("cancel", copy)
    assert (code, said.count("copied-run")) == (2, 1)
    assert not status(left).cancelled
    shutil.rmtree(left)
    assert "warning: copied-run" in audience("cancel", copy)[2]
    assert status(copy).cancelled


def test_send_rejects_run_without_ledger(left, service, tmp_path):
    (left / LEDGER_FILE).unlink()
    with pytest.raises(DeliveryError, match="lost-ledger"):
        send(left, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service))
    for file in left.glob("sent-*.marker"):
        file.unlink()
    assert (
        send(left, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service)).pending == 0
    )  # as one who insists may


def test_send_rejects_ledger_deleted_during_send(tmp_path, service):
    folder, other = write_run_folder(tmp_path / "run", IDS), FakeService()

    def delete_ledger(call):
        if call == 3:
            for file in (LEDGER_FILE, f"{LEDGER_FILE}-wal", f"{LEDGER_FILE}-shm"):
                (folder / file).unlink()
            for file in folder.glob("*.marker"):
                file.unlink()
            with pytest.raises(DeliveryError, match="lost-ledger"):
                send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(other))

    service.fault = delete_ledger
    with suppress(DeliveryError):
        send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service, concurrency=1))
    assert not other.delivery_counts
    assert set(service.delivery_counts.values()) == {1}
