"""Whenever a sender dies, nobody is told twice, nobody is lost, and what is in doubt is what had no reply."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import fake_vendor
import pytest
from fake_vendor import (
    ANY,
    APPLICATION,
    MESSAGE,
    Service,
    delivery,
    effort,
    faults,
    folder_of,
    ids_of,
    opened,
    repeating,
    serving,
    uploaded,
    way,
)
from hypothesis import settings

from audience.cli.output.delivery import status_lines
from audience.delivery import prepare, resume, send, status
from audience.delivery.ledger.connection import NAME, Ledger

QUIET = settings.get_current_profile_name() == "dev"


class PowerCut(BaseException):
    """The end of everything that a process does."""


class Power:
    """Counts commits and calls; from step *last* on each of them fails, before it happens or, *after* it, once it has.

    A process that dies does nothing any more; nor does one whose every step fails with what nobody catches.
    """

    def __init__(self, monkeypatch):
        self.last, self.done, self.after = 10**9, 0, False
        commit = Ledger._commit

        def counted(ledger):
            with self.step():
                commit(ledger)

        monkeypatch.setattr(Ledger, "_commit", counted)
        for name in ("create", "put"):
            monkeypatch.setattr(prepare, name, self.around(getattr(prepare, name)))

    def around(self, work):
        def counted(*arguments):
            with self.step():
                work(*arguments)

        return counted

    def step(self):
        return _Step(self)

    def transport(self, service):
        answer = service.answer

        async def counted(request):
            with self.step():
                return await answer(request)

        return fake_vendor.httpx.MockTransport(counted)

    def cut(self, last, after, work):
        """Whether *work* was stopped at step *last*."""
        self.last, self.done, self.after = last, 0, after
        try:
            work()
        except PowerCut:
            return True
        finally:
            self.last = 10**9
        return False


class _Step:
    def __init__(self, power):
        self.power = power

    def __enter__(self):
        power = self.power
        power.done += 1
        self.number = power.done
        if self.number > power.last or (self.number == power.last and not power.after):
            raise PowerCut

    def __exit__(self, kind, error, trace):
        if self.number >= self.power.last:
            raise PowerCut


@pytest.fixture
def power(monkeypatch):
    return Power(monkeypatch)


@pytest.fixture
def vendor():
    undo = []
    yield lambda *ways, **changes: undo.append(fake_vendor.register(delivery(*ways, **changes)))
    for each in reversed(undo):
        each()


WAYS = {
    "a vendor that never drops repeats": (way(), {}),
    "one that drops them": (repeating(), {"drops": True}),
    "handles": (opened(calls=3), {}),
    "uploads": (uploaded(ids=20), {}),
    "bad ids": (way(), {"bad": ["r3", "r11", "r12"], "named": False}),
}
NATIVE = [[f"u{number}" for number in range(12)], ["v1"]]  # of which the longer one is uploaded


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("which", WAYS)
def test_dying_at_any_step_tells_nobody_twice_and_loses_nobody(vendor, power, tmp_path, which, after):
    found, options = WAYS[which]
    natives = NATIVE if which == "uploads" else []
    native = uploaded(ids=None, needed=lambda targets: len(targets[0]["to"]) > 1, repeats=found.repeats)
    vendor(found, native=native)
    ids, died, steps, doubts = ids_of(35), True, 0, 0
    while died:
        steps += 1
        service, folder = Service(**options), folder_of(tmp_path / str(steps), ids, [{"to": each} for each in natives])
        transport = power.transport(service)
        told_at = {}
        died = power.cut(
            steps,
            after,
            lambda folder=folder, transport=transport: send(
                folder, MESSAGE, APPLICATION, ANY, effort=effort(transport, concurrency=2)
            ),
        )
        told_at = dict(service.told)
        if not (folder / "ledger.sqlite").exists():
            assert not told_at
            result = send(folder, MESSAGE, APPLICATION, ANY, effort=effort(transport))
        else:
            sent = no_reply(folder)
            result = resume(folder, APPLICATION, effort=effort(transport))
            if not options.get("drops"):
                assert in_doubt(folder) == sent
        assert all(many == 1 for many in service.told.values())
        doubt = in_doubt(folder)
        bad = set(options.get("bad", ()))
        assert set(service.told) | doubt | bad == {*ids, *chain(*natives)}
        assert result.left == 0
        assert set(told_at) <= set(service.told)
        if options.get("drops"):
            assert result.done
            assert not doubt
        doubts += bool(doubt)
    assert steps > 12
    assert bool(doubts) != bool(options.get("drops"))


def rows(folder, statement):
    ledger = sqlite3.connect(folder / "ledger.sqlite")
    try:
        return ledger.execute(statement).fetchall()
    finally:
        ledger.close()


def within(folder, state) -> set[str]:
    """The ids of the batches in *state*."""
    found = rows(folder, f"SELECT first, stop FROM batch WHERE state = '{state}' AND native IS NULL")
    bad = {position for (position,) in rows(folder, "SELECT position FROM bad")}
    native = rows(folder, f"SELECT native FROM batch WHERE state = '{state}' AND native IS NOT NULL")
    named = {each for (number,) in native for each in NATIVE[number]}
    return named | {f"r{at}" for first, stop in found for at in range(first, stop) if at not in bad}


def no_reply(folder):
    """The ids of calls that have left and have no reply, as far as the dead process could write it."""
    return within(folder, "sent") | within(folder, "in doubt")


def in_doubt(folder):
    return within(folder, "in doubt")


def test_ten_thousand_batches_under_random_faults(vendor, tmp_path):
    """Replies lost, calls too fast or unreached, 5xx, refusals; in doubt are those whose reply was lost, exactly."""
    vendor(way(name="list", ids=fake_vendor.SIZE))
    ids = ids_of(20_000 if QUIET else 100_000)
    service = Service(faults(7, lost=0.02, gone=0.02, in_doubt=0.02, again=0.05, unreached=0.05, refused=0.01))
    folder = folder_of(tmp_path / "run", ids)
    lost = Counter()
    push = service._push

    def noted(number, said, request):
        try:
            answer = push(number, said, request)
        except fake_vendor.httpx.ConnectError:
            raise
        except fake_vendor.httpx.HTTPError:
            lost.update(said["to"])
            raise
        if b"in-doubt" in answer.content:
            lost.update(said["to"])
        return answer

    service._push = noted
    many = effort(service, concurrency=64)
    found = send(folder, MESSAGE, APPLICATION, ANY, effort=many)
    for _ in range(20):
        if not found.stopped:
            break
        found = resume(folder, APPLICATION, effort=many)
    assert found.left == 0
    assert max(service.told.values()) == 1
    assert in_doubt(folder) == set(lost)
    assert max(lost.values()) == 1
    refused = within(folder, "refused")
    assert set(service.told) | set(lost) | refused == set(ids)
    assert set(service.told) & refused == set()
    assert 400 < found.batches["in doubt"] * (5 if QUIET else 1) < 800


def test_random_faults_at_a_vendor_that_drops_repeats_leave_no_doubt(vendor, tmp_path):
    vendor(repeating())
    ids = ids_of(10_000)
    service = Service(faults(8, lost=0.1, gone=0.1, in_doubt=0.05, again=0.05), drops=True)
    folder = folder_of(tmp_path / "run", ids)
    many = effort(service, concurrency=64)
    found = send(folder, MESSAGE, APPLICATION, ANY, effort=many)
    for _ in range(20):
        if found.done:
            break
        found = resume(folder, APPLICATION, effort=many)
    assert found.done
    assert service.told == dict.fromkeys(ids, 1)


# Processes that are killed from outside. ------------------------------------------------------------------------------

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["fake", "pytest"])  # a new process is there at once


@pytest.fixture
def server(monkeypatch):
    """The service on loopback, and its URL."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where processes find `fake`
    service = Service()
    with serving(service, delay=0.004) as url:
        yield service, url


def process(folder, url, kind, what):
    """A process that sends, and where its status will come from."""
    here, there = FORKS.Pipe(duplex=False)
    begun = FORKS.Process(target=fake_vendor.work, args=[there, folder, url, kind, what])
    begun.start()
    there.close()
    return begun, here


@pytest.mark.parametrize("kind", ["once", "repeats"])
def test_a_sender_killed_from_outside_ten_times(tmp_path, server, kind):
    service, url = server
    service.drops = kind == "repeats"
    ids = ids_of(4_000)
    folder = folder_of(tmp_path / "run", ids)
    for number in range(10):
        before = service.calls
        sender, _ = process(folder, url, kind, "resume" if number else "send")
        while service.calls < before + 10 + 2 * number and sender.is_alive():
            time.sleep(0.002)
        sender.kill()
        sender.join()
        assert sender.exitcode == -signal.SIGKILL
    last, answer = process(folder, url, kind, "resume")
    left, doubt = answer.recv()
    last.join()
    assert left == 0
    assert max(service.told.values()) == 1
    assert set(service.told) | in_doubt(folder) == set(ids)
    assert doubt == 0 if kind == "repeats" else doubt <= 10 * 8


def test_who_looks_is_told_who_is_at_work_and_who_died_and_changes_nothing(tmp_path, server):
    service, url = server
    folder = folder_of(tmp_path / "run", ids_of(3_000))
    sender, _ = process(folder, url, "once", "send")
    while service.calls < 30:
        time.sleep(0.002)
    [worker] = status(folder).workers
    assert (worker.process, worker.lives, status(folder).working) == (sender.pid, True, 1)
    assert 0 < worker.batches <= 16
    sender.kill()
    sender.join()
    before = [rows(folder, f"SELECT * FROM {table}") for table in ("batch", "worker")]
    files = sorted(file.name for file in folder.iterdir())
    [worker] = status(folder).workers
    assert (worker.process, worker.lives, status(folder).working) == (sender.pid, False, 0)
    assert [rows(folder, f"SELECT * FROM {table}") for table in ("batch", "worker")] == before
    assert sorted(file.name for file in folder.iterdir()) == files
    assert f"died: process {sender.pid} on " in status_lines({"fake": status(folder)})
    last, answer = process(folder, url, "once", "resume")
    answer.recv()
    last.join()
    assert status(folder).workers == ()


WRITES = """
import sys, time
from pathlib import Path
from audience.delivery.ledger.connection import NAME, Ledger
from audience.delivery.ledger.workers import working
with Ledger(Path(sys.argv[1])) as ledger, working(ledger), ledger.together():
    print("writing", flush=True)
    time.sleep(60)
"""


def test_who_waits_for_a_process_that_hangs_while_it_writes_says_so_and_goes_on_once_it_ends(vendor, tmp_path):
    vendor()
    service, ids, told = Service(lambda call: "stopped"), ids_of(35), []
    folder = folder_of(tmp_path / "run", ids)
    send(folder, MESSAGE, APPLICATION, ANY, effort=effort(service))
    service.fault = lambda call: None
    with subprocess.Popen([sys.executable, "-c", WRITES, folder / NAME], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "writing\n"

        def waiting(others):
            told.append(others[0].process)
            assert not service.told
            other.kill()

        assert resume(folder, APPLICATION, effort=replace(effort(service), waiting=waiting)).done
        assert told == [other.pid]
    assert service.told == dict.fromkeys(ids, 1)


def test_of_two_that_send_a_campaign_at_the_same_moment_one_does(tmp_path, server):
    service, url = server
    names = [f"v{number}" for number in range(5)]
    told = {name: [f"{name}-{at}" for at in range(5)] for name in names}
    for number in range(4):
        folder = fake_vendor.campaign_of(tmp_path / str(number), **told)
        service.told.clear()
        pipes = [FORKS.Pipe() for _ in range(2)]
        both = [
            FORKS.Process(target=fake_vendor.work_all, args=[there, folder, url, f"message {at}", names])
            for at, (_, there) in enumerate(pipes)
        ]
        for each in both:
            each.start()
        assert [here.recv() for here, _ in pipes] == ["ready", "ready"]
        for here, _ in pipes:
            here.send("go")
        ended = [here.recv() for here, _ in pipes]
        for each in both:
            each.join()
        assert sorted(ended) in (["begun", "sent"], ["locked", "sent"])
        kept = json.loads((folder / "sending.json").read_text())["message"]
        assert kept == {"title": f"message {ended.index('sent')}"}
        assert [json.loads((folder / name / "message.json").read_text()) for name in names] == [kept] * 5
        assert service.told == {each: 1 for some in told.values() for each in some}
        assert sorted(file.name for file in folder.iterdir()) == ["campaign.json", "sending.json", *names]


def test_two_processes_share_one_ledger_and_one_takes_over_when_the_other_is_killed(tmp_path, server):
    service, url = server
    service.drops = False
    ids = ids_of(3_000)
    folder = folder_of(tmp_path / "run", ids)
    first, _ = process(folder, url, "once", "send")
    while service.calls < 30:
        time.sleep(0.002)
    second, answer = process(folder, url, "once", "resume")
    while len(rows(folder, "SELECT 1 FROM batch WHERE worker = 2")) < 5:
        time.sleep(0.002)
    first.kill()
    left, doubt = answer.recv()
    for each in (first, second):
        each.join()
    assert (left, doubt <= 8) == (0, True)
    assert max(service.told.values()) == 1
    assert set(service.told) | in_doubt(folder) == set(ids)
    assert {worker for (worker,) in rows(folder, "SELECT worker FROM batch WHERE state = 'accepted'")} == {1, 2}
