"""Frequency caps end to end: processes of their own send to the sandbox, which counts who got how many."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from audience import DeviceIndex
from audience.sandbox import Population, Sandbox
from audience.sandbox.sandbox import KEY, SECRET

DEVICE_COUNT = 6_000


def make_table(numbers) -> pl.DataFrame:
    numbers = list(numbers)
    return pl.DataFrame(
        {
            "engagelab_token": [f"{number:024x}" for number in numbers],
            "tags": [["vip"] if number % 2 else ["new"] for number in numbers],
        }
    )


class Shell:
    """Runs commands of audience, with the sandbox as the vendor; those that send are processes of their own."""

    def __init__(self, folder: Path, audience: Callable[..., tuple], sandbox: Sandbox):
        self.folder = folder
        self.audience = audience
        self.sandbox = sandbox
        self.index = folder / "devices.index"
        table = folder / "devices.parquet"
        make_table(range(DEVICE_COUNT)).write_parquet(table)
        self.run("index", "build", table, "-o", self.index, "--token", "engagelab=engagelab_token")
        (folder / "message.json").write_text(json.dumps({"title": "Hi", "body": "there"}))

    def start(self, *words) -> subprocess.Popen:
        environment = {
            **os.environ,
            "AUDIENCE_ENGAGELAB_APP_KEY": KEY,
            "AUDIENCE_ENGAGELAB_MASTER_SECRET": SECRET,
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        command = [sys.executable, "-m", "audience", *map(str, words)]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )

    def run_process(self, *words) -> None:
        process = self.start(*words)
        output = process.communicate()
        assert process.returncode == 0, (words, *output)

    def run(self, *words) -> str:
        code, text, errors = self.audience(*map(str, words))
        assert code in (0, None), (words, text, errors)
        return text

    def emit(self, name, expr, *options) -> Path:
        folder = self.folder / name
        self.run("emit", self.index, expr, "--vendor", "engagelab", "--by-ids", "-o", folder, *options)
        return folder

    def sending(self, folder) -> tuple:
        limits = ("--max-devices", DEVICE_COUNT, "--host", f"engagelab={self.sandbox.url}")
        return ("send", folder, "--message", self.folder / "message.json", *limits, "--record", self.index)

    def send(self, folder) -> None:
        self.run_process(*self.sending(folder))

    def count_deliveries(self) -> dict[str, int]:
        return self.sandbox.delivery_counts("engagelab")

    def most(self) -> int:
        return max(self.count_deliveries().values())

    def tomorrow(self) -> tuple[str, str]:
        return "--as-of", time.strftime("%Y-%m-%dT%H:%M", time.localtime(time.time() + 86_400))


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def shell(folder, audience):
    table = make_table(range(2 * DEVICE_COUNT))
    with Sandbox(Population(table), rate=None) as sandbox:
        yield Shell(folder, audience, sandbox)


FREE = "NOT did(delivered) within 3 days"


def test_cap_holds_on_the_next_day_after_every_change_of_the_index(shell):
    shell.send(shell.emit("first", "vip"))
    assert (len(shell.count_deliveries()), shell.most()) == (DEVICE_COUNT // 2, 1)
    table = shell.folder / "changes.parquet"
    make_table(range(DEVICE_COUNT - 100, DEVICE_COUNT + 100)).write_parquet(table)
    shell.run("index", "update", shell.index, table)
    ids = shell.folder / "removed.txt"
    ids.write_text("\n".join(make_table(range(1, 101))["engagelab_token"]))
    shell.run("index", "remove", shell.index, "--ids", ids)
    shell.send(shell.emit("second", f"everyone AND {FREE}", *shell.tomorrow()))
    assert shell.most() == 1
    shell.run("index", "restore", shell.index, 1)
    assert shell.run("count", shell.index, FREE, *shell.tomorrow()) == "50\n"  # of the 100 that were removed: not vip
    shell.run("index", "build", shell.folder / "devices.parquet", "-o", shell.index, "--replace")
    assert shell.run("count", shell.index, FREE, *shell.tomorrow()) == "50\n"
    shell.send(shell.emit("third", f"everyone AND {FREE}", *shell.tomorrow()))
    assert shell.most() == 1
    assert len(shell.count_deliveries()) == DEVICE_COUNT + 100


def test_cap_holds_after_a_kill_in_the_middle(shell):
    shell.sandbox.set_faults("delay=0.3")
    folder = shell.emit("first", "everyone")
    process = shell.start(*shell.sending(folder), "--concurrency", "1")
    while not shell.count_deliveries():
        time.sleep(0.01)
        assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert 0 < len(shell.count_deliveries()) < DEVICE_COUNT
    assert shell.run("count", shell.index, FREE, *shell.tomorrow()) == "0\n"
    resume = (
        "resume",
        folder,
        "--host",
        f"engagelab={shell.sandbox.url}",
        "--record",
        shell.index,
        "--on-doubt",
        "skip",
    )
    shell.run_process(*resume)
    doubt = pl.read_csv(shell.run("delivered", folder, "--state", "in-doubt").encode())["id"]
    assert set(shell.count_deliveries()) | set(doubt) == set(make_table(range(DEVICE_COUNT))["engagelab_token"])
    index = DeviceIndex.open(shell.index)
    assert index.count('did(delivered where state = "in doubt")') == len(doubt)
    assert index.count("did(delivered where state = emitted)") == 0
    assert index.count("did(delivered)") == DEVICE_COUNT
    shell.run("emit", shell.index, f"everyone AND {FREE}", "--vendor", "engagelab", "-o", shell.folder / "second")
    assert shell.most() == 1


def test_runs_that_are_emitted_side_by_side_obey_a_standing_cap(shell):
    shell.run("policy", "set", shell.index, "rest", "--cap", "did(delivered) < 2 within 7 days")
    folders = [shell.emit(f"run {number}", expr) for number, expr in enumerate(["vip", "everyone", "everyone"])]
    for folder in folders:
        shell.send(folder)
        assert shell.most() <= 2
    assert set(shell.count_deliveries().values()) == {2}


def test_run_does_not_count_itself(shell):
    shell.run("policy", "set", shell.index, "rest", "--cap", FREE)
    folder = shell.emit("first", "vip")
    assert shell.run("count", shell.index, f"vip AND {FREE}") == "0\n"
    shell.send(folder)
    assert (len(shell.count_deliveries()), shell.most()) == (DEVICE_COUNT // 2, 1)
    assert shell.run("count", shell.index, f"vip AND {FREE}") == "0\n"


def test_runs_that_are_emitted_side_by_side_obey_their_expression(shell):
    folders = [shell.emit(f"run {number}", f"{expr} AND {FREE}") for number, expr in enumerate(["vip", "everyone"])]
    for folder in reversed(folders):
        shell.send(folder)
    assert set(shell.count_deliveries().values()) == {1}
    assert len(shell.count_deliveries()) == DEVICE_COUNT


def test_runs_that_are_emitted_at_the_same_instant_obey_their_expression(shell):
    folders = [shell.folder / f"run {number}" for number in range(3)]
    words = ("emit", shell.index, f"everyone AND {FREE}", "--vendor", "engagelab", "--by-ids", "-o")
    processes = [shell.start(*words, folder) for folder in folders]
    for process in processes:
        assert process.communicate()[1] is not None and process.returncode == 0
    counts = [json.loads((folder / "manifest.json").read_text())["id_count"] for folder in folders]
    assert sorted(counts) == [0, 0, DEVICE_COUNT]


def test_requests_that_are_not_sent_count_no_more(shell):
    folder = shell.emit("first", f"vip AND {FREE}")
    assert shell.run("count", shell.index, f"vip AND {FREE}") == "0\n"
    shell.run("emit", shell.index, f"vip AND {FREE}", "--vendor", "engagelab", "-o", folder, "--replace")
    assert json.loads((folder / "manifest.json").read_text())["id_count"] == DEVICE_COUNT // 2
    shell.run("cancel", folder, "--record", shell.index)
    assert shell.run("count", shell.index, f"vip AND {FREE}") == f"{DEVICE_COUNT // 2}\n"
