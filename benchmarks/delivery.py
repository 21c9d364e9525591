"""How long does it take to tell a million devices, by every way of every vendor and by accounts, and how much memory?

The sandbox answers on loopback in a process of its own, at the vendors' documented rates; each send is a process, too,
and its memory is the most that it had (VmHWM). The sandbox's count is asserted: everyone told once.

    python -m benchmarks.delivery [--devices N] [--rate TIMES|off] [--vendor NAME] [--json FILE]
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import polars as pl

from audience import DeviceIndex, Ids, Plan, parse, plan, vendor, vendors
from audience.delivery import Allowed, Effort, send
from audience.requests.writer import emit
from audience.vendors.delivery_spec import Application
from benchmarks.report import circumstances, options, save

IDS = {"engagelab": "{:024x}", "tpns": "{:036x}", "emas": "{:032x}"}
MESSAGE = {"title": "Hi", "body": "there"}
ACCOUNTS = "package_account_push"  # TPNS's accounts, all of them in one file
PATIENCE = 120.0  # seconds until the sandbox answers


@dataclass(frozen=True, slots=True)
class Answer:
    """One *way* of a vendor: calls, seconds, ids told each second, and megabytes at the most."""

    vendor: str
    way: str
    devices: int
    calls: int
    seconds: float
    rate: float
    memory: float


def column(name: str) -> str:
    """Whose ids a vendor takes: both forms of one service the same."""
    return name.split("_")[0]


def table(devices: int) -> pl.DataFrame:
    """Devices that all services know, each with an account."""
    ids = {f"{name}_token": [form.format(n) for n in range(devices)] for name, form in IDS.items()}
    return pl.DataFrame({**ids, "account": accounts(devices)})


def accounts(devices: int) -> list[str]:
    return [f"user-{number}" for number in range(devices)]


def work(answer: Connection, folder: Path, name: str, way: str | None, url: str, devices: int) -> None:
    """Send by one way, or natively, in a process of its own."""
    delivery = vendor(name).delivery
    assert delivery is not None
    keys = {key: values[0] for key, values in delivery.choices.items()} | dict.fromkeys(delivery.keys, "1500000001")
    begun = time.perf_counter()
    found = send(folder, MESSAGE, Application(url, keys), Allowed(expect=devices), way=way, effort=Effort())
    seconds = time.perf_counter() - begun
    assert found.done, found
    answer.send((found.batches["accepted"], seconds, _peak()))


def _peak() -> float:
    """Megabytes; what getrusage says holds for the process that this one was forked from, too."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1e3 if found else 0.0


def measured(folder: Path, name: str, way: str | None, url: str, devices: int) -> Answer:
    """One way, or native requests, from the manifest to the last reply.

    AssertionError where anybody is told twice or not at all.
    """
    httpx.post(f"{url}/_sandbox/reset", json={}).raise_for_status()
    here, there = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=work, args=[there, folder, name, way, url, devices])
    process.start()
    there.close()
    calls, seconds, memory = here.recv()
    process.join()
    told = httpx.get(f"{url}/_sandbox/told", timeout=PATIENCE).json()[column(name)]
    assert (told["told"], told["most"]) == (devices, 1), told
    return Answer(name, way or ACCOUNTS, devices, calls, seconds, devices / seconds, memory)


@contextmanager
def sandbox(devices: Path, rate: str, place: Path) -> Iterator[str]:
    """The sandbox in a process of its own; its URL."""
    ready = place / "ready"
    words = ["sandbox", "--devices", str(devices), "--rate", rate, "--ready-file", str(ready)]
    with subprocess.Popen(
        [sys.executable, "-m", "audience", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        until = time.monotonic() + PATIENCE
        while not ready.exists() and time.monotonic() < until:
            time.sleep(0.1)
        yield ready.read_text().strip()
        running.terminate()


def all_ways(devices: int, rate: str, only: str | None) -> Iterator[Answer]:
    """Every way of every vendor that the sandbox serves."""
    with TemporaryDirectory() as name:
        place = Path(name)
        known = table(devices)
        known.write_parquet(place / "devices.parquet")
        index = DeviceIndex.build(known, place / "x.index", tokens={name: f"{name}_token" for name in IDS})
        with sandbox(place / "devices.parquet", rate, place) as url:
            for service in [name for name in vendors() if column(name) in IDS and only in (None, name)]:
                delivery = vendor(service).delivery
                for way in delivery.ways if delivery else ():
                    meant, folder = parse("everyone"), place / f"{service}-{way.name}"
                    emit(Plan(service, meant, (), meant, (), index=index), index, folder)
                    yield measured(folder, service, way.name, url, devices)
            if only in (None, "tpns"):
                folder = place / ACCOUNTS
                emit(plan(Ids("account", tuple(accounts(devices))), "tpns", index), index, folder)
                yield measured(folder, "tpns", None, url, devices)


def main() -> None:
    """Print one line a way as it is measured."""
    parser = options(__doc__, "json")
    parser.add_argument("--devices", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--rate", default="1")
    parser.add_argument("--vendor")
    said = parser.parse_args()
    print("| way | calls | seconds | ids a second | MB |\n| --- | --: | --: | --: | --: |")
    found = []
    for answer in all_ways(said.devices, said.rate, said.vendor):
        found.append(answer)
        told = f"{answer.calls:,} | {answer.seconds:.1f} | {answer.rate:,.0f} | {answer.memory:.0f}"
        print(f"| {answer.vendor} {answer.way} | {told} |", flush=True)
    save({**circumstances(), "answers": [asdict(each) for each in found]}, said.json)


if __name__ == "__main__":
    main()
