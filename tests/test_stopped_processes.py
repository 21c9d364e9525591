"""Processes of `send`, `resume` and `run wait` that SIGTERM or SIGKILL ends, against the sandbox."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from virtual_time import VirtualTime

from audience import DeviceIndex, Plan, get_vendor, parse
from audience.delivery import SafetyLimits, SendOptions, send
from audience.delivery.deliveries import load_deliveries
from audience.delivery.schedule import read_schedule
from audience.requests.writer import write_requests
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.vendors.delivery_spec import Credentials

DEVICES = 6_000
MESSAGE = {"title": "Hi", "body": "there"}
TABLE = pl.DataFrame(
    {"registration_id": [f"{number:032x}" for number in range(DEVICES)], "platform": ["android"] * DEVICES}
)
SIGNALS = [(signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return DeviceIndex.build(TABLE, tmp_path_factory.mktemp("stopped") / "devices.index")


@pytest.fixture
def sandbox():
    with Sandbox(Population(TABLE), rate=None) as running:
        yield running


class Shell:
    """Runs commands on a request folder in processes of their own."""

    def __init__(self, folder: Path, sandbox: Sandbox):
        self.folder, self.sandbox = folder, sandbox
        (folder / "message.json").write_text(json.dumps(MESSAGE))
        self.run_folder = folder / "run"

    def start(self, *words) -> subprocess.Popen:
        keys = {"AUDIENCE_ENGAGELAB_APP_KEY": KEY, "AUDIENCE_ENGAGELAB_MASTER_SECRET": SECRET}
        environment = {**os.environ, **keys, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "audience", *map(str, words), "--host", self.sandbox.url]
        return subprocess.Popen(
            [*command, "--concurrency", "1"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def run(self, *words) -> tuple[int, str]:
        process = self.start(*words)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
        return process.returncode, errors

    def sending(self, *schedule):
        return ("send", self.run_folder, "--message", "message.json", "--expect", DEVICES, *schedule)

    def stop(self, process: subprocess.Popen, number: int) -> tuple[int, str]:
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
        return process.returncode, errors

    def told(self) -> dict[str, int]:
        return self.sandbox.delivery_counts("engagelab")

    def states(self) -> dict[str, int]:
        return dict(load_deliveries(self.run_folder)["state"].value_counts().iter_rows())

    def schedule_in_the_past(self) -> None:
        """Create a run that is due by now, as a process did that was started an hour ago."""
        now = VirtualTime(time.time() - 3_600)
        keys = dict(zip(get_vendor("engagelab").delivery.required_keys, (KEY, SECRET), strict=True))
        found = send(
            self.run_folder,
            MESSAGE,
            Credentials(self.sandbox.url, keys),
            SafetyLimits(expected=DEVICES),
            options=SendOptions(clock=now.clock()),
            schedule=read_schedule(send_at=datetime.fromtimestamp(now.now + 60, UTC).isoformat()),
        )
        assert found.waiting.held_ids == DEVICES

    def wait_for_calls(self, count: int, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + 60
        while len(self.sandbox.deliveries("engagelab")) < count:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def shell(index, sandbox, tmp_path):
    made = Shell(tmp_path, sandbox)
    meant = parse("everyone")
    write_requests(Plan("engagelab", meant, (), meant, (), index=index), index, made.run_folder)
    return made


def wait_until_waiting(process: subprocess.Popen) -> None:
    """Read the notes of a process until it says that it waits."""
    for line in process.stderr:
        if "scheduled" in line:
            time.sleep(0.5)  # it begins to wait right after the note
            return
    raise AssertionError("the process has ended")


@pytest.mark.parametrize(("number", "expected"), SIGNALS)
def test_process_that_is_stopped_while_it_waits_leaves_the_run_scheduled(shell, number, expected):
    assert shell.run(*shell.sending("--send-at", "2099-12-01T09:00+08:00"))[0] == 0
    process = shell.start("run", "wait", shell.run_folder)
    wait_until_waiting(process)
    assert shell.stop(process, number)[0] == expected
    assert (shell.told(), shell.states()) == ({}, {"scheduled": DEVICES})
    assert shell.run("resume", shell.run_folder)[0] == 0
    assert (shell.told(), shell.states()) == ({}, {"scheduled": DEVICES})


@pytest.mark.parametrize(("number", "expected"), SIGNALS)
@pytest.mark.parametrize("command", ["send", "resume", "run wait"])
def test_process_that_is_stopped_while_it_sends_tells_nobody_twice(shell, command, number, expected):
    shell.sandbox.set_faults("late=0.5")
    if command == "send":
        process = shell.start(*shell.sending())
    else:
        shell.schedule_in_the_past()
        process = shell.start(*command.split(), shell.run_folder)
    shell.wait_for_calls(2, process)
    code, errors = shell.stop(process, number)
    assert (code, "`audience resume FOLDER` to send the rest" in errors) == (expected, number == signal.SIGTERM), errors
    shell.sandbox.set_faults()
    told = len(shell.told())
    doubtful = 0 if number == signal.SIGTERM else 1_000  # the call whose reply was not read
    assert shell.states() == {"delivered": told - doubtful, "not-sent": DEVICES - told} | (
        {"in-doubt": doubtful} if doubtful else {}
    )
    code, errors = shell.run("run", "wait", shell.run_folder)
    assert (code, "in doubt" in errors) == ((1, True) if doubtful else (0, False)), errors
    assert shell.told() == dict.fromkeys(TABLE["registration_id"], 1)
