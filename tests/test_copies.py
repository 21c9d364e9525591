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
from fake_vendor import ANY, APPLICATION, MESSAGE, Service, campaign_of, effort, folder_of, ids_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from audience import DeliveryError
from audience.delivery import campaign_runs, resume, runs, send, status
from audience.delivery.ledger import folder_marker
from audience.delivery.ledger.connection import NAME
from audience.messages import Message

IDS = ids_of(95)


@pytest.fixture(autouse=True)
def vendor():
    undo = fake_vendor.register(names=["fake", "one", "two"])
    yield
    undo()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def left(tmp_path, service) -> Path:
    """A run that stopped after three of ten calls."""
    service.fault = lambda call: "stopped" if call == 4 else None
    found = send(folder_of(tmp_path / "run", IDS), MESSAGE, APPLICATION, ANY, effort=effort(service, concurrency=1))
    assert (found.batches["accepted"], found.stopped.code) == (3, "stopped")
    service.fault = lambda call: None
    return tmp_path / "run"


def resumed(folder, service, **words):
    return resume(folder, APPLICATION, effort=effort(service), **words)


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_copy_is_refused_and_the_run_goes_on_where_it_is(left, service, tmp_path):
    copy = shutil.copytree(left, tmp_path / "copy")
    before = contents(copy)
    for words in ({}, {"moved": True}):
        with pytest.raises(DeliveryError, match=rf"copied-run: {copy} is a copy: .*{left}"):
            resumed(copy, service, **words)
    assert contents(copy) == before
    assert resumed(left, service).done
    with pytest.raises(DeliveryError, match="copied-run"):
        resumed(copy, service)
    assert service.told == dict.fromkeys(IDS, 1)


def test_a_run_that_is_renamed_goes_on(left, service, tmp_path):
    for name in ("other", "run", "third"):
        left = left.rename(tmp_path / name)
        service.fault = lambda call, stop=service.calls + 2: "stopped" if call == stop else None
        resumed(left, service)
    service.fault = lambda call: None
    (tmp_path / "link").symlink_to(left)
    assert resumed(tmp_path / "link", service).done
    assert service.told == dict.fromkeys(IDS, 1)


def test_an_older_ledger_beside_a_newer_mark_does_not_go_on_whatever_the_user_says(left, service, tmp_path):
    backup = shutil.copytree(left, tmp_path / "backup")
    assert resumed(left, service).done
    put_back_over(backup, left)
    with pytest.raises(DeliveryError, match=r"copied-run: .* put back"):
        resumed(left, service)
    with pytest.raises(DeliveryError, match=r"torn-run: .* knows nothing of"):
        resumed(left, service, moved=True)
    assert service.told == dict.fromkeys(IDS, 1)


def test_a_folder_of_links_to_the_files_of_a_run_is_a_copy(left, service, tmp_path):
    linked = shutil.copytree(left, tmp_path / "linked", copy_function=os.link)
    for words in ({}, {"moved": True}):
        with pytest.raises(DeliveryError, match=rf"copied-run: {linked} is a copy"):
            resumed(linked, service, **words)
    with pytest.raises(
        DeliveryError, match=r"copied-run: .* changed"
    ):  # a link changes what the system keeps of a file
        resumed(left, service)
    assert resumed(left, service, moved=True).done
    assert service.told == dict.fromkeys(IDS, 1)


def test_a_run_that_is_moved_to_another_disk_goes_on_when_the_user_says_so(left, service, tmp_path):
    moved = shutil.copytree(left, tmp_path / "disk" / "run")
    shutil.rmtree(left)
    with pytest.raises(DeliveryError, match=f"audience resume {moved} --moved"):
        resumed(moved, service)
    service.fault = lambda call: "stopped" if call == 6 else None
    assert resumed(moved, service, moved=True).stopped
    service.fault = lambda call: None
    assert resumed(moved, service).done
    assert service.told == dict.fromkeys(IDS, 1)


def in_place(file, data):
    """Write *data* into the file that is there."""
    with file.open("r+b") as stream:
        stream.write(data)
        stream.truncate()


def put_back_whole(backup, folder):
    """As one removes a folder and unpacks its backup: names, paths and often inodes are the same."""
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)


def put_back_over(backup, folder):
    """As `cp -r backup/. folder` does."""
    for file in backup.iterdir():
        (in_place if (folder / file.name).exists() else Path.write_bytes)(folder / file.name, file.read_bytes())


def put_back_ledger(backup, folder):
    in_place(folder / NAME, (backup / NAME).read_bytes())


def put_back_what_differs(backup, folder):
    """As rsync does: each file that differs under another name first."""
    for file in backup.iterdir():
        if not (folder / file.name).exists() or (folder / file.name).read_bytes() != file.read_bytes():
            shutil.copy2(file, folder / "new")
            (folder / "new").replace(folder / file.name)


RESTORES = [put_back_whole, put_back_over, put_back_ledger, put_back_what_differs]


@pytest.mark.parametrize("put_back", RESTORES)
def test_a_backup_that_is_put_back_is_refused(left, service, tmp_path, put_back):
    backup = shutil.copytree(left, tmp_path / "backup")
    assert resumed(left, service).done
    put_back(backup, left)
    assert status(left).left == 7
    with pytest.raises(DeliveryError, match="copied-run"):
        resumed(left, service)
    assert service.told == dict.fromkeys(IDS, 1)


def test_a_ledger_that_was_backed_up_while_it_was_sent_is_refused(left, service, tmp_path):
    """By SQLite itself: that is whole, and older than what lies beside it all the same."""

    def backs_up(call):
        if call == 6:
            with sqlite3.connect(left / NAME) as ledger, sqlite3.connect(tmp_path / "backup") as backup:
                ledger.backup(backup)
            ledger.close()
            backup.close()

    service.fault = backs_up
    assert resumed(left, service).done
    in_place(left / NAME, (tmp_path / "backup").read_bytes())
    with pytest.raises(DeliveryError, match="copied-run"):
        resumed(left, service)
    assert service.told == dict.fromkeys(IDS, 1)


def test_a_mark_that_is_put_back_into_its_own_file_is_another(tmp_path):
    mark = folder_marker.made(tmp_path, "sent")
    assert folder_marker.trace(tmp_path / mark.name) == mark.trace
    times = (tmp_path / mark.name).stat()
    time.sleep(0.02)  # more than one tick of the clock of a file system
    in_place(tmp_path / mark.name, b"")
    os.utime(tmp_path / mark.name, ns=(times.st_atime_ns, times.st_mtime_ns))  # as backups do
    assert (tmp_path / mark.name).stat().st_ino == times.st_ino
    assert folder_marker.trace(tmp_path / mark.name) != mark.trace


class Copies(RuleBasedStateMachine):
    """Whatever is copied and put back, also while it is sent: as long as nobody says `moved`, nobody is told twice."""

    @initialize()
    def begins(self):
        self.place, self.service, self.number = TemporaryDirectory(), Service(), 0
        self.undo = fake_vendor.register()
        self.run, self.backup = folder_of(Path(self.place.name, "run"), ids_of(200)), Path(self.place.name, "backup")
        self.limit(0)
        send(self.run, MESSAGE, APPLICATION, ANY, effort=effort(self.service))

    def teardown(self):
        self.undo()
        self.place.cleanup()

    def limit(self, calls, copied=None):
        stop, at = self.service.calls + calls, None if copied is None else self.service.calls + copied

        def fault(call):
            if call == at:
                self.copies()
            return "stopped" if call > stop else None

        self.service.fault = fault

    @rule(calls=st.integers(0, 4), copied=st.none() | st.integers(1, 4), where=st.sampled_from(["run", "backup"]))
    def goes_on(self, calls, copied, where):
        folder = Path(self.place.name, where)
        if folder.exists():
            self.limit(calls, copied if where == "run" else None)
            with suppress(DeliveryError):
                resumed(folder, self.service)
                assert where == "run"

    @rule()
    def copies(self):
        shutil.rmtree(self.backup, ignore_errors=True)
        shutil.copytree(self.run, self.backup)

    @precondition(lambda self: self.backup.exists())
    @rule(put_back=st.sampled_from(RESTORES))
    def is_put_back(self, put_back):
        put_back(self.backup, self.run)

    @rule()
    def is_renamed(self):
        self.number += 1
        self.run.rename(self.run.with_name(f"aside{self.number}")).rename(self.run)

    @invariant()
    def nobody_is_told_twice(self):
        assert max(self.service.told.values(), default=0) <= 1


Copies.TestCase.settings = settings(max_examples=30, stateful_step_count=10, deadline=None)
TestCopies = Copies.TestCase


# Copies of what a process was at, or died at. ------------------------------------------------------------------------


class Died(BaseException):
    pass


@pytest.fixture
def killed(tmp_path, service, monkeypatch) -> Path:
    """A run whose process died after some calls; what it wrote last lies beside the ledger."""

    def copies(call):
        if call == 4:
            shutil.copytree(tmp_path / "alive", tmp_path / "run")

    service.fault = copies
    send(folder_of(tmp_path / "alive", IDS), MESSAGE, APPLICATION, ANY, effort=effort(service, concurrency=1))
    service.fault = lambda call: None
    service.told.clear()
    shutil.rmtree(tmp_path / "alive")
    assert (tmp_path / "run" / f"{NAME}-wal").stat().st_size
    return tmp_path / "run"


def test_what_died_and_was_moved_goes_on_however_often_it_was_refused_and_looked_at(killed, service):
    assert (status(killed).batches["accepted"], status(killed).working) == (3, 0)
    for _ in range(2):
        with pytest.raises(DeliveryError, match="copied-run"):
            resumed(killed, service)
        assert runs.copied(killed)
    found = resumed(killed, service, moved=True)
    assert (found.batches["in doubt"], found.batches["accepted"]) == (1, 9)
    assert service.told == dict.fromkeys(IDS[40:], 1)


WITHOUT = {
    "the last writes": [f"{NAME}-wal"],
    "the last writes and marks": [f"{NAME}-wal", "sent-*.mark"],
    "anything but the ledger": [f"{NAME}-*", "*.mark", "*.lock"],
}


@pytest.mark.parametrize("without", WITHOUT.values(), ids=WITHOUT.keys())
def test_a_copy_without_what_was_written_last_is_refused(killed, service, without):
    for pattern in without:
        for file in killed.glob(pattern):
            file.unlink()
    with pytest.raises(DeliveryError, match="torn-run"):
        resumed(killed, service, moved=True)
    assert not service.told


def test_a_copy_half_before_and_half_after_is_refused(left, service, tmp_path):
    """The ledger of one moment, and the files beside it of another."""
    copy = shutil.copytree(left, tmp_path / "copy")
    assert resumed(left, service).done
    for file in left.glob("sent-*.mark"):
        shutil.copy2(file, copy)
    for file in copy.glob("sent-*.mark"):
        if not (left / file.name).exists():
            file.unlink()
    shutil.rmtree(left)
    with pytest.raises(DeliveryError, match=r"torn-run: .* is not there"):
        resumed(copy, service, moved=True)
    assert service.told == dict.fromkeys(IDS, 1)


# Campaigns, and what is left of a run. --------------------------------------------------------------------------------


def known(to):
    return APPLICATION


def test_a_copy_of_a_campaign_begins_nothing(tmp_path, service, monkeypatch):
    """Its sender died before the second vendor was begun, and that is not begun in both places."""
    folder = campaign_of(tmp_path / "out", one=ids_of(15), two=[f"t{at}" for at in range(15)])
    ready = campaign_runs.prepare_all(folder, Message(title="Hi"), known, ANY)
    begin = campaign_runs.prepare.begin

    def dies(found, application):
        begin(found, application)
        raise Died

    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(campaign_runs.prepare, "begin", dies)
        campaign_runs.send_all(folder, Message(title="Hi"), ready, effort(service))
    copy = shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(DeliveryError, match="copied-run"):
        campaign_runs.resume_all(copy, known, "report", effort(service))
    assert not (copy / "two" / NAME).exists()
    shutil.rmtree(folder)
    found = campaign_runs.resume_all(copy, known, "report", effort(service), moved=True)
    assert [each.done for each in found.values()] == [True, True]
    assert set(service.told.values()) == {1}
    assert len(service.told) == 30


def test_what_is_told_of_a_copy_is_told_as_such(audience, left, tmp_path):
    copy = str(shutil.copytree(left, tmp_path / "copy"))
    assert audience("status", str(left))[2].count("copied-run") == 0
    assert "warning: copied-run" in audience("status", copy)[2]
    code, _, said = audience("cancel", copy)
    assert (code, said.count("copied-run")) == (2, 1)
    assert not status(left).cancelled
    shutil.rmtree(left)
    assert "warning: copied-run" in audience("cancel", copy)[2]
    assert status(copy).cancelled


def test_a_run_whose_ledger_is_gone_is_not_begun_anew(left, service, tmp_path):
    (left / NAME).unlink()
    with pytest.raises(DeliveryError, match="lost-ledger"):
        send(left, MESSAGE, APPLICATION, ANY, effort=effort(service))
    for file in left.glob("sent-*.mark"):
        file.unlink()
    assert send(left, MESSAGE, APPLICATION, ANY, effort=effort(service)).left == 0  # as one who insists may


def test_a_ledger_that_goes_while_it_is_sent_is_not_begun_anew_beside_it(tmp_path, service):
    folder, other = folder_of(tmp_path / "run", IDS), Service()

    def goes(call):
        if call == 3:
            for file in (NAME, f"{NAME}-wal", f"{NAME}-shm"):
                (folder / file).unlink()
            for file in folder.glob("*.mark"):
                file.unlink()
            with pytest.raises(DeliveryError, match="lost-ledger"):
                send(folder, MESSAGE, APPLICATION, ANY, effort=effort(other))

    service.fault = goes
    with suppress(DeliveryError):
        send(folder, MESSAGE, APPLICATION, ANY, effort=effort(service, concurrency=1))
    assert not other.told
    assert set(service.told.values()) == {1}
