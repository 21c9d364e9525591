"""Processes of `audience sync` that are stopped, that find another one, or that watch an index, against the sandbox."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from audience import DeviceIndex
from audience.errors import LockedError
from audience.sandbox import Population, Sandbox

DEVICES = 200
IDS = [f"{number:032x}" for number in range(DEVICES)]
TABLE = pl.DataFrame({"registration_id": IDS, "level": [f"l{number}" for number in range(DEVICES)]})  # a call a device
WANTED = {f"level_l{number}": [IDS[number]] for number in range(DEVICES)}
IGNORING = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"


@pytest.fixture
def sandbox():
    with Sandbox(Population(TABLE.select("registration_id")), rate=None) as running:
        yield running


class Shell:
    """Runs commands on an index in processes of their own."""

    def __init__(self, folder: Path, sandbox: Sandbox):
        self.folder, self.sandbox = folder, sandbox
        self.index = DeviceIndex.build(TABLE, folder / "d.index")
        (folder / "c.toml").write_text('[level]\nnames.engagelab = "{type}_{value}"\n')

    def start(self, *words: str, in_background: bool = False) -> subprocess.Popen:
        keys = {"AUDIENCE_ENGAGELAB_APP_KEY": "sandbox-key", "AUDIENCE_ENGAGELAB_MASTER_SECRET": "sandbox-secret"}
        environment = {**os.environ, **keys, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "audience", *words, "--host", self.sandbox.url, "--concurrency", "1"]
        return subprocess.Popen(
            [sys.executable, "-c", IGNORING, *command] if in_background else command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def sync(self, *words: str, in_background: bool = False) -> subprocess.Popen:
        command = ("sync", "d.index", "--vendor", "engagelab", "--catalog", "c.toml")
        return self.start(*command, *words, in_background=in_background)

    def finish(self, process: subprocess.Popen) -> tuple[int, str]:
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
        return process.returncode, errors

    def count_calls(self) -> dict[str, int]:
        """Return the number of calls in each state of the ledger."""
        [ledger] = (self.folder / "d.index" / "syncs").glob("*/ledger.sqlite")
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
            return dict(connection.execute("SELECT state, count(*) FROM call GROUP BY state"))

    def update(self, rows: pl.DataFrame) -> None:
        """Update the index as soon as no sync writes its state."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(LockedError):
                self.index.update(rows)
                return
            time.sleep(0.02)
        raise AssertionError("the index is locked")

    def wait_for_tags(self, count: int, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + 60
        while len(self.sandbox.tags("engagelab")) < count:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def shell(sandbox, tmp_path):
    return Shell(tmp_path, sandbox)


@pytest.mark.parametrize("in_background", [False, True])
def test_a_stopped_sync_finishes_the_call_in_flight_and_is_resumed(shell, in_background):
    shell.sandbox.set_faults("late=0.3")
    process = shell.sync(in_background=in_background)
    shell.wait_for_tags(2, process)
    code, errors = shell.finish(shell.sync())  # a second process at once
    assert (code, f"process {process.pid}" in errors) == (1, True), errors
    process.send_signal(signal.SIGINT)
    if in_background:  # where Ctrl-C is for other processes
        shell.wait_for_tags(len(shell.sandbox.tags("engagelab")) + 2, process)
        process.send_signal(signal.SIGTERM)
    code, errors = shell.finish(process)
    assert (code, "audience resume d.index" in errors) == (130, True), errors
    shell.sandbox.set_faults()
    made = len(shell.sandbox.tags("engagelab"))
    assert shell.count_calls() == {"done": made, "todo": DEVICES - made}
    assert shell.finish(shell.start("resume", "d.index"))[0] == 0
    assert shell.sandbox.tags("engagelab") == WANTED


def test_a_watching_process_follows_the_index_and_ends_by_sigterm(shell):
    process = shell.sync("--watch", in_background=True)
    shell.wait_for_tags(DEVICES, process)
    shell.update(pl.DataFrame({"registration_id": IDS[:1], "level": ["other"]}))
    deadline = time.monotonic() + 60
    while "level_other" not in shell.sandbox.tags("engagelab"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    code, _ = shell.finish(process)
    assert code in (0, 130)  # between two syncs, or at the end of one
    wanted = {name: ids for name, ids in WANTED.items() if name != "level_l0"}
    assert shell.sandbox.tags("engagelab") == {**wanted, "level_other": IDS[:1]}
