"""Crashes of a sender: no device is messaged twice or lost, and only calls without a reply are in doubt."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import pytest
import sending_processes
from sizes import scale, steps_of_death

from audience import DeliveryError
from audience.cli.output.delivery import format_statuses
from audience.delivery import cancel, load_deliveries, prepare, resume, runs, send, status
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_idempotent_method,
    make_ids,
    make_keyed_method,
    make_method,
    make_send_options,
    make_setup_method,
    make_upload_method,
    random_faults,
    run_server,
    write_run_folder,
)
from audience.vendors.delivery_spec import Credentials

RANDOM_FAULT_BATCHES = scale(10_000, 100_000)
KILLS = scale(10, 500)
KILLED_IDS = make_ids(20_000)


class ProcessKilled(BaseException):
    """Simulated end of a process."""


class CrashPoint:
    """Counter of commits and calls that fails from step *crash_at* on, before or after the step is done.

    A process that dies does nothing any more; nor does one whose every step fails with what nobody catches.
    """

    def __init__(self, monkeypatch):
        self.crash_at, self.step_count, self.crash_after_step = 10**9, 0, False
        commit = Ledger._commit

        def counted(ledger):
            with self.count_step():
                commit(ledger)

        monkeypatch.setattr(Ledger, "_commit", counted)
        for name in ("create_ledger", "atomic_write"):
            monkeypatch.setattr(prepare, name, self.wrap_step(getattr(prepare, name)))

    def wrap_step(self, call):
        def counted(*arguments):
            with self.count_step():
                call(*arguments)

        return counted

    def count_step(self):
        return _CrashStep(self)

    def make_transport(self, service):
        answer = service.handle_request

        async def counted(request):
            with self.count_step():
                return await answer(request)

        return httpx.MockTransport(counted)

    def is_cut(self, crash_at, crash_after_step, work):
        """Return whether *work* was stopped at step *crash_at*."""
        self.crash_at, self.step_count, self.crash_after_step = crash_at, 0, crash_after_step
        try:
            work()
        except ProcessKilled:
            return True
        finally:
            self.crash_at = 10**9
        return False


class _CrashStep:
    def __init__(self, crash_point):
        self.crash_point = crash_point

    def __enter__(self):
        crash_point = self.crash_point
        crash_point.step_count += 1
        self.number = crash_point.step_count
        if self.number > crash_point.crash_at or (
            self.number == crash_point.crash_at and not crash_point.crash_after_step
        ):
            raise ProcessKilled

    def __exit__(self, kind, error, trace):
        if self.number >= self.crash_point.crash_at:
            raise ProcessKilled


@pytest.fixture
def crash_point(monkeypatch):
    return CrashPoint(monkeypatch)


@pytest.fixture
def vendor():
    unregister_all = []
    yield lambda *methods, **overrides: unregister_all.append(
        fake_vendor.register_fake_vendors(make_delivery(*methods, **overrides))
    )
    for unregister in reversed(unregister_all):
        unregister()


METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "vendor without deduplication": (make_method(), {}),
    "vendor with deduplication": (make_idempotent_method(), {"drops_repeats": True}),
    "keys that the vendor gives out": (make_keyed_method(), {"drops_repeats": True}),
    "handles": (make_setup_method(max_uses=3), {}),
    "uploads": (make_upload_method(max_ids=20), {}),
    "invalid ids": (make_method(), {"bad_ids": ["r3", "r11", "r12"], "names_bad_ids": False}),
}
NATIVE_IDS = [[f"u{number}" for number in range(12)], ["v1"]]  # the longer list is uploaded


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method_name", METHODS)
def test_crash_at_any_step_neither_duplicates_nor_loses(vendor, crash_point, tmp_path, method_name, after):
    method, options = METHODS[method_name]
    native_ids = NATIVE_IDS if method_name == "uploads" else []
    native = make_upload_method(
        max_ids=None, is_needed=lambda targets: len(targets[0]["to"]) > 1, dedup_window=method.dedup_window
    )
    vendor(method, native_method=native)
    ids, runs_in_doubt = make_ids(35), 0
    for steps in steps_of_death(after):
        service, folder = (
            FakeService(**options),
            write_run_folder(tmp_path / str(steps), ids, [{"to": each} for each in native_ids]),
        )
        transport = crash_point.make_transport(service)
        delivered_before = {}
        died = crash_point.is_cut(
            steps,
            after,
            lambda folder=folder, transport=transport: send(
                folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(transport, concurrency=2)
            ),
        )
        delivered_before = dict(service.delivery_counts)
        if not (folder / "ledger.sqlite").exists():
            assert not delivered_before
            result = send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(transport))
        else:
            sent = ids_without_reply(folder)
            result = resume(folder, CREDENTIALS, options=make_send_options(transport))
            if not options.get("drops_repeats"):
                assert ids_in_doubt(folder) == sent
        assert all(count == 1 for count in service.delivery_counts.values())
        in_doubt = ids_in_doubt(folder)
        bad = set(options.get("bad_ids", ()))
        assert set(service.delivery_counts) | in_doubt | bad == {*ids, *chain(*native_ids)}
        assert result.pending == 0
        assert set(delivered_before) <= set(service.delivery_counts)
        if options.get("drops_repeats"):
            assert result.done
            assert not in_doubt
        runs_in_doubt += bool(in_doubt)
        if not died:
            break
    assert steps > 12
    assert bool(runs_in_doubt) != bool(options.get("drops_repeats"))


def query_ledger(folder, statement):
    ledger = sqlite3.connect(folder / "ledger.sqlite")
    try:
        return ledger.execute(statement).fetchall()
    finally:
        ledger.close()


def ids_in_state(folder, state) -> set[str]:
    """Return the ids of the batches in *state*."""
    ranges = query_ledger(folder, f"SELECT first, stop FROM batch WHERE state = '{state}' AND native IS NULL")
    bad = {position for (position,) in query_ledger(folder, "SELECT position FROM invalid_id")}
    native = query_ledger(folder, f"SELECT native FROM batch WHERE state = '{state}' AND native IS NOT NULL")
    native_ids = {id_ for (number,) in native for id_ in NATIVE_IDS[number]}
    return native_ids | {f"r{at}" for first, stop in ranges for at in range(first, stop) if at not in bad}


def ids_without_reply(folder):
    """Return the ids of calls without a reply, as recorded by the dead process."""
    return ids_in_state(folder, "sent") | ids_in_state(folder, "in_doubt")


def ids_in_doubt(folder):
    return ids_in_state(folder, "in_doubt")


def test_many_batches_under_random_faults(vendor, tmp_path):
    """Exactly the batches whose reply was lost are in doubt."""
    vendor(make_method(name="list", max_ids=fake_vendor.BATCH_SIZE))
    ids = make_ids(RANDOM_FAULT_BATCHES * fake_vendor.BATCH_SIZE)
    service = FakeService(
        random_faults(7, lost=0.02, gone=0.02, in_doubt=0.02, again=0.05, unreached=0.05, refused=0.01)
    )
    folder = write_run_folder(tmp_path / "run", ids)
    lost = Counter()
    push = service.handle_push

    def record_lost(number, payload, request):
        try:
            answer = push(number, payload, request)
        except httpx.ConnectError:
            raise
        except httpx.HTTPError:
            lost.update(payload["to"])
            raise
        if b"in-doubt" in answer.content:
            lost.update(payload["to"])
        return answer

    service.handle_push = record_lost
    options = make_send_options(service, concurrency=64)
    result = send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=options)
    for _ in range(20):
        if not result.stop_reason:
            break
        result = resume(folder, CREDENTIALS, options=options)
    assert result.pending == 0
    assert max(service.delivery_counts.values()) == 1
    assert ids_in_doubt(folder) == set(lost)
    assert max(lost.values()) == 1
    refused = ids_in_state(folder, "rejected")
    assert set(service.delivery_counts) | set(lost) | refused == set(ids)
    assert set(service.delivery_counts) & refused == set()
    assert 0.04 < result.batch_counts["in_doubt"] / RANDOM_FAULT_BATCHES < 0.08


def test_random_faults_with_deduplication_leave_no_doubt(vendor, tmp_path):
    vendor(make_idempotent_method())
    ids = make_ids(10_000)
    service = FakeService(random_faults(8, lost=0.1, gone=0.1, in_doubt=0.05, again=0.05), drops_repeats=True)
    folder = write_run_folder(tmp_path / "run", ids)
    options = make_send_options(service, concurrency=64)
    result = send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=options)
    for _ in range(20):
        if result.done:
            break
        result = resume(folder, CREDENTIALS, options=options)
    assert result.done
    assert service.delivery_counts == dict.fromkeys(ids, 1)


# Killed processes. ----------------------------------------------------------------------------------------------------

FORK_CONTEXT = get_context("forkserver")
FORK_CONTEXT.set_forkserver_preload(["sending_processes", "pytest"])  # a new process is there at once


@pytest.fixture
def server(monkeypatch):
    """Yield the service, served on loopback, and its URL."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for `sending_processes` in child processes
    service = FakeService()
    with run_server(service, delay=0.004) as url:
        yield service, url


def start_process(folder, url, method_kind, command):
    """Start a process that sends; return it and the connection that will get its status."""
    here, there = FORK_CONTEXT.Pipe(duplex=False)
    process = FORK_CONTEXT.Process(
        target=sending_processes.send_in_process, args=[there, folder, url, method_kind, command]
    )
    process.start()
    there.close()
    return process, here


@pytest.mark.parametrize("kind", ["once", "repeats"])
def test_sender_killed_many_times(tmp_path, server, kind):
    service, url = server
    service.drops_repeats = kind == "repeats"
    ids = make_ids(400 * KILLS)
    folder = write_run_folder(tmp_path / "run", ids)
    for number in range(KILLS):
        before = service.call_count
        sender, _ = start_process(folder, url, kind, "resume" if number else "send")
        while service.call_count < before + 10 + 2 * (number % 10) and sender.is_alive():
            time.sleep(0.002)
        sender.kill()
        sender.join()
        assert sender.exitcode == -signal.SIGKILL
    last, answer = start_process(folder, url, kind, "resume")
    pending, in_doubt = answer.recv()
    last.join()
    assert pending == 0
    assert max(service.delivery_counts.values()) == 1
    assert set(service.delivery_counts) | ids_in_doubt(folder) == set(ids)
    assert in_doubt == 0 if kind == "repeats" else in_doubt <= KILLS * 8


def test_status_lists_active_and_dead_workers_read_only(tmp_path, server):
    service, url = server
    folder = write_run_folder(tmp_path / "run", make_ids(3_000))
    sender, _ = start_process(folder, url, "once", "send")
    while service.call_count < 30:
        time.sleep(0.002)
    [worker] = status(folder).workers
    assert (worker.pid, worker.is_alive, status(folder).active_workers) == (sender.pid, True, 1)
    assert 0 < worker.batches <= 16
    sender.kill()
    sender.join()
    before = [query_ledger(folder, f"SELECT * FROM {table}") for table in ("batch", "worker")]
    files = sorted(file.name for file in folder.iterdir())
    [worker] = status(folder).workers
    assert (worker.pid, worker.is_alive, status(folder).active_workers) == (sender.pid, False, 0)
    assert [query_ledger(folder, f"SELECT * FROM {table}") for table in ("batch", "worker")] == before
    assert sorted(file.name for file in folder.iterdir()) == files
    assert f"died: process {sender.pid} on " in format_statuses({"fake": status(folder)})
    last, answer = start_process(folder, url, "once", "resume")
    answer.recv()
    last.join()
    assert status(folder).workers == ()


HOLD_LEDGER_SCRIPT = """
import sys, time
from pathlib import Path
from typing import Any
from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.workers import register_worker
with Ledger(Path(sys.argv[1])) as ledger, register_worker(ledger), ledger.transaction():
    print("writing", flush=True)
    time.sleep(60)
"""


def test_waiting_for_hung_writer_reports_and_continues(vendor, tmp_path):
    vendor()
    service, ids, reported = FakeService(lambda call: "stopped"), make_ids(35), []
    folder = write_run_folder(tmp_path / "run", ids)
    send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service))
    service.fault = lambda call: None
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LEDGER_SCRIPT, folder / LEDGER_FILE], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "writing\n"

        def kill_holder(workers):
            reported.append(workers[0].pid)
            assert not service.delivery_counts
            holder.kill()

        assert resume(folder, CREDENTIALS, options=replace(make_send_options(service), on_wait=kill_holder)).done
        assert reported == [holder.pid]
    assert service.delivery_counts == dict.fromkeys(ids, 1)


def test_concurrent_campaign_sends_let_one_proceed(tmp_path, server):
    service, url = server
    names = [f"v{number}" for number in range(5)]
    ids_by_vendor = {name: [f"{name}-{at}" for at in range(5)] for name in names}
    for number in range(4):
        folder = fake_vendor.write_campaign_folder(tmp_path / str(number), **ids_by_vendor)
        service.delivery_counts.clear()
        pipes = [FORK_CONTEXT.Pipe() for _ in range(2)]
        processes = [
            FORK_CONTEXT.Process(
                target=sending_processes.send_campaign_in_process, args=[there, folder, url, f"message {at}", names]
            )
            for at, (_, there) in enumerate(pipes)
        ]
        for process in processes:
            process.start()
        assert [here.recv() for here, _ in pipes] == ["ready", "ready"]
        for here, _ in pipes:
            here.send("go")
        endings = [here.recv() for here, _ in pipes]
        for process in processes:
            process.join()
        assert sorted(endings) in (["begun", "sent"], ["locked", "sent"])
        kept = json.loads((folder / "campaign_run.json").read_text())["message"]
        assert kept == {"title": f"message {endings.index('sent')}"}
        assert [json.loads((folder / name / "message.json").read_text()) for name in names] == [kept] * 5
        assert service.delivery_counts == {id_: 1 for ids in ids_by_vendor.values() for id_ in ids}
        assert sorted(file.name for file in folder.iterdir()) == ["campaign.json", "campaign_run.json", *names]


def test_worker_takes_over_from_killed_worker(tmp_path, server):
    service, url = server
    service.drops_repeats = False
    ids = make_ids(3_000)
    folder = write_run_folder(tmp_path / "run", ids)
    first, _ = start_process(folder, url, "once", "send")
    while service.call_count < 30:
        time.sleep(0.002)
    second, answer = start_process(folder, url, "once", "resume")
    while len(query_ledger(folder, "SELECT 1 FROM batch WHERE worker = 2")) < 5:
        time.sleep(0.002)
    first.kill()
    pending, in_doubt = answer.recv()
    for each in (first, second):
        each.join()
    assert (pending, in_doubt <= 8) == (0, True)
    assert max(service.delivery_counts.values()) == 1
    assert set(service.delivery_counts) | ids_in_doubt(folder) == set(ids)
    assert {worker for (worker,) in query_ledger(folder, "SELECT worker FROM batch WHERE state = 'accepted'")} == {1, 2}


@pytest.fixture
def killed_run(tmp_path, server):
    """Return a run whose process was killed some calls after SQLite had moved its log into the ledger."""
    service, url = server
    folder = write_run_folder(tmp_path / "run", KILLED_IDS)
    sender, _ = start_process(folder, url, "once", "send")
    while not has_moved_log(folder):
        time.sleep(0.01)
    calls = service.call_count
    while service.call_count < calls + 20:
        time.sleep(0.002)
    sender.kill()
    sender.join()
    time.sleep(0.2)  # the server handles what it has got
    return folder


def has_moved_log(folder):
    """Return whether the ledger without its log has a worker."""
    with suppress(sqlite3.Error):
        return bool(query_read_only(folder, "SELECT 1 FROM worker", "&immutable=1"))
    return False


def resume_in_memory(folder, service, **options):
    """Resume a run of the server in this process, with the URL that it was begun with."""
    [(url,)] = query_read_only(folder, "SELECT base_url FROM run")
    return resume(folder, Credentials(url, CREDENTIALS.keys), options=make_send_options(service), **options)


def query_read_only(folder, statement, mode=""):
    """Return rows of a ledger, and leave its log as it is."""
    ledger = sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro{mode}", uri=True)
    try:
        return ledger.execute(statement).fetchall()
    finally:
        ledger.close()


def read_lasting_files(folder):
    """Return the files of *folder* that say anything: all but SQLite's index of its log."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


def test_ledger_whose_log_was_removed_after_a_crash_is_refused(vendor, killed_run, server):
    vendor()
    service, _ = server
    calls = service.call_count
    log = killed_run / "ledger.sqlite-wal"
    kept = log.read_bytes()
    log.unlink()
    before = read_lasting_files(killed_run)
    for command in (
        lambda: resume_in_memory(killed_run, service),
        lambda: resume_in_memory(killed_run, service, moved=True),
        lambda: resume_in_memory(killed_run, service, on_doubt="retry"),
        lambda: cancel(killed_run),
        lambda: load_deliveries(killed_run),
    ):
        with pytest.raises(
            DeliveryError, match=r"torn-run: .*ledger\.sqlite-wal, which had its last writes, is missing"
        ):
            command()
    assert [problem.code for problem in runs.copy_warnings(killed_run)] == ["torn-run"]
    assert service.call_count == calls
    assert read_lasting_files(killed_run) == before
    (killed_run / "ledger.sqlite-shm").unlink(missing_ok=True)
    log.write_bytes(kept)
    assert resume_in_memory(killed_run, service).pending == 0
    assert max(service.delivery_counts.values()) == 1
    assert set(service.delivery_counts) | ids_in_doubt(killed_run) == set(KILLED_IDS)


DAMAGED_LOGS = {
    "empty": lambda log: log[:0],
    "cut off": lambda log: log[:8_192],
    "of zeros": lambda log: bytes(len(log)),
}


@pytest.mark.parametrize("damage", DAMAGED_LOGS.values(), ids=DAMAGED_LOGS.keys())
def test_ledger_with_a_damaged_log_is_refused(vendor, killed_run, server, damage):
    vendor()
    service, _ = server
    log = killed_run / "ledger.sqlite-wal"
    log.write_bytes(damage(log.read_bytes()))
    (killed_run / "ledger.sqlite-shm").unlink(missing_ok=True)
    with pytest.raises(DeliveryError, match="torn-run"):
        resume_in_memory(killed_run, service)
    assert max(service.delivery_counts.values()) == 1


def test_log_that_another_program_moved_into_the_ledger_is_not_missed(vendor, killed_run, server):
    vendor()
    service, _ = server
    assert query_ledger(killed_run, "SELECT count(*) FROM run") == [(1,)]
    assert not (killed_run / "ledger.sqlite-wal").exists()
    assert resume_in_memory(killed_run, service).pending == 0
    assert max(service.delivery_counts.values()) == 1
    assert set(service.delivery_counts) | ids_in_doubt(killed_run) == set(KILLED_IDS)


def test_refused_move_touches_nothing(vendor, killed_run, server, tmp_path):
    vendor()
    service, _ = server
    copy = shutil.copytree(killed_run, tmp_path / "copy")
    before = read_lasting_files(copy)
    for options in ({}, {"moved": True}):
        with pytest.raises(DeliveryError, match="copied-run"):
            resume_in_memory(copy, service, **options)
    assert read_lasting_files(copy) == before
    shutil.rmtree(killed_run)
    assert resume_in_memory(copy, service, moved=True).pending == 0
    assert max(service.delivery_counts.values()) == 1
    assert set(service.delivery_counts) | ids_in_doubt(copy) == set(KILLED_IDS)


def test_command_that_fails_leaves_the_log_of_a_dead_worker(vendor, killed_run, server, monkeypatch):
    """Whatever ends a command between opening the ledger and its first transaction, the ledger stays complete."""
    vendor()
    service, _ = server
    for name in ("resume", "cancel"):
        monkeypatch.setattr(Ledger, "transaction", interrupt)
        with pytest.raises(KeyboardInterrupt):
            resume_in_memory(killed_run, service) if name == "resume" else cancel(killed_run)
        monkeypatch.undo()
    assert (killed_run / "ledger.sqlite-wal").stat().st_size > 0
    assert resume_in_memory(killed_run, service).pending == 0
    assert max(service.delivery_counts.values()) == 1


def interrupt(*arguments):
    raise KeyboardInterrupt
