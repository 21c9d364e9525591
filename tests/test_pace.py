"""Pace that the runs of one application share: slots are apart, and no file or process stops a run for long."""

import asyncio
import fcntl
import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.delivery.clock import Clock, Moment
from audience.delivery.transport import pace_file
from audience.delivery.transport.pace_file import MAX_RUNS_AHEAD, PaceFile, open_pace_folder, pace_problems
from audience.delivery.transport.rate_limit import MARGIN, RateLimiter, name_application
from audience.vendors import get_vendor
from audience.vendors.delivery_spec import Credentials, RateLimit

LIMIT = RateLimit("push", 100, 1.0, "made up")
SLOT = MARGIN / 100


@dataclass
class FakeClock:
    """Clock that sleeping moves."""

    boot: float = 1_000.0
    boot_id: str = "b1"
    slept: list[float] = field(default_factory=list)

    def as_clock(self):
        return Clock(lambda: self.boot, lambda: self.boot, lambda: self.boot_id, self.sleep)

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.boot += seconds
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def make_limiter(clock, application="app"):
    return RateLimiter(application, clock.as_clock())


def wait_for_calls(limiter, count, limit=LIMIT):
    """Wait for the slots of *count* calls and return the moments of all."""

    async def wait_for_all():
        moments = []
        for _ in range(count):
            await limiter.wait([limit])
            moments.append(limiter._clock.boot())
        return moments

    return asyncio.run(wait_for_all())


@given(steps=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 0.05)), max_size=40))
def test_slots_of_all_runs_are_apart(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("pace") / "file"
    files, now, slots = [PaceFile(path) for _ in range(3)], 50.0, []
    for run, seconds in steps:
        now += seconds
        slot = files[run].take_slot(Moment(0.0, now, "b1"), 0.01)
        assert slot >= now
        slots.append(slot)
    assert all(later - earlier >= 0.01 - 2e-6 for earlier, later in itertools.pairwise(slots))


TAKE_SLOTS = """
import json, sys, time
from pathlib import Path
from audience.delivery.clock import SYSTEM_CLOCK
from audience.delivery.transport.pace_file import PaceFile
file, slots = PaceFile(Path(sys.argv[1])), []
while len(slots) < 200:
    if (slot := file.take_slot(SYSTEM_CLOCK.read(), 0.001)) is not None:
        slots.append(slot)
        time.sleep(max(0, slot - SYSTEM_CLOCK.boot()))
print(json.dumps(slots))
"""


def test_processes_never_take_the_same_slot(tmp_path):
    command = [sys.executable, "-c", TAKE_SLOTS, tmp_path / "pace"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    slots = sorted(slot for process in processes for slot in json.loads(process.communicate()[0]))
    assert len(slots) == 600
    assert min(later - earlier for earlier, later in itertools.pairwise(slots)) > 0.000_99


def test_runs_of_an_application_share_a_limit_and_others_do_not():
    clock = FakeClock()
    first, second, other = make_limiter(clock), make_limiter(clock), make_limiter(clock, "other")
    moments = [moment for limiter in (first, second, first, second) for moment in wait_for_calls(limiter, 5)]
    assert [round(later - earlier, 5) for earlier, later in itertools.pairwise(moments)] == [SLOT] * 19
    before = clock.boot
    assert wait_for_calls(other, 1) == [before]
    assert wait_for_calls(first, 1, RateLimit("another limit", 1, 1.0, "made up")) == [before]


def test_a_killed_run_wastes_one_slot():
    clock = FakeClock()
    wait_for_calls(make_limiter(clock), 10)
    begun = clock.boot
    assert wait_for_calls(make_limiter(clock), 1)[0] - begun == pytest.approx(SLOT)


WRONG_STATES = [
    b"",
    b"\0" * 80,
    b"b1 nan",
    b"b1 inf",
    b"b1 1e300",
    b"b1 -5",
    b"b1 99999999999",
    b"b1",
    b"another-boot 1000.5",
    b"\xff\xfe" * 40,
    b"b1 1000.5 1000.6",
    os.urandom(4_000),
]


@pytest.mark.parametrize("content", WRONG_STATES)
def test_wrong_state_delays_no_call(content):
    clock = FakeClock()
    wait_for_calls(make_limiter(clock), 1)
    for file in open_pace_folder().iterdir():
        file.write_bytes(content)
    begun = clock.boot
    assert wait_for_calls(make_limiter(clock), 2) == pytest.approx([begun, begun + SLOT])


def test_state_too_far_ahead_is_not_believed(tmp_path):
    file = PaceFile(tmp_path / "pace")
    for _ in range(MAX_RUNS_AHEAD + 1):
        file.take_slot(Moment(0.0, 10.0, "b1"), 60.0)
    assert file.take_slot(Moment(0.0, 10.0, "b1"), 60.0) == 10.0


@pytest.mark.parametrize("removed", ["files", "folder"])
def test_removed_state_stops_nothing(removed):
    clock = FakeClock()
    limiter = make_limiter(clock)
    wait_for_calls(limiter, 2)
    folder = open_pace_folder()
    for file in folder.iterdir():
        file.unlink()
    if removed == "folder":
        folder.rmdir()
    moments = wait_for_calls(limiter, 3)
    assert [round(later - earlier, 5) for earlier, later in itertools.pairwise(moments)] == [SLOT, SLOT]


def test_frozen_holder_of_the_lock_is_not_waited_for_for_ever():
    clock = FakeClock()
    wait_for_calls(make_limiter(clock), 1)
    holders = [os.open(file, os.O_RDWR) for file in open_pace_folder().iterdir()]
    for holder in holders:
        fcntl.flock(holder, fcntl.LOCK_EX)
    begun = clock.boot
    wait_for_calls(make_limiter(clock), 2)
    for holder in holders:
        os.close(holder)
    assert clock.boot - begun < 5


def test_pause_holds_all_calls_of_a_run_back():
    clock = FakeClock()
    limiter = make_limiter(clock)
    begun = clock.boot
    limiter.pause(30)
    limiter.pause(5)
    assert wait_for_calls(limiter, 2) == pytest.approx([begun + 30, begun + 30 + SLOT])


def test_calls_that_were_recorded_together_leave_apart():
    clock = FakeClock()
    limiter = make_limiter(clock)

    async def leave_together():
        moments = []
        for _ in range(5):
            await limiter.wait_to_leave([LIMIT])
            moments.append(clock.boot)
        return moments

    moments = asyncio.run(leave_together())
    assert [round(later - earlier, 5) for earlier, later in itertools.pairwise(moments)] == [SLOT] * 4


def test_state_is_private(state):
    os.umask(0o022)
    wait_for_calls(make_limiter(FakeClock(), "secret-key-of-the-app"), 1)
    folder = open_pace_folder()
    assert folder == state / "audience" / "pace"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert not any("secret" in file.name or b"secret" in file.read_bytes() for file in folder.iterdir())
    folder.chmod(0o755)
    assert open_pace_folder().stat().st_mode & 0o777 == 0o700


def test_folder_that_cannot_be_used_is_a_warning(state, monkeypatch):
    assert pace_problems() == []
    monkeypatch.setattr(os, "geteuid", lambda: 4_711)
    [problem] = pace_problems()
    assert (problem.code, str(state) in problem.message) == ("no-shared-pace", True)
    clock = FakeClock()
    moments = wait_for_calls(make_limiter(clock), 3)
    assert [round(later - earlier, 5) for earlier, later in itertools.pairwise(moments)] == [SLOT, SLOT]
    state.rename(state.with_name("gone"))
    state.write_text("a file")
    assert [problem.code for problem in pace_problems()] == ["no-shared-pace"]


def test_an_application_is_its_host_and_its_public_keys():
    delivery = get_vendor("tpns").delivery
    keys = {"access_id": "1", "secret_key": "s", "platform": "ios"}
    name = name_application(Credentials("https://a", keys), delivery)
    same = [{**keys, "secret_key": "t"}, {**keys, "platform": "android"}]
    assert {name_application(Credentials("https://a", each), delivery) for each in same} == {name}
    assert name_application(Credentials("https://b", keys), delivery) != name
    assert name_application(Credentials("https://a", {**keys, "access_id": "2"}), delivery) != name
    assert Path(pace_file.name_file(name, "push")).name == pace_file.name_file(name, "push")
