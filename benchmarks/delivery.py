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
from callers import ID_FORMATS, make_keys, service_of

from audience import DeviceIndex, Ids, Plan, get_vendor, parse, plan, vendor_names
from audience.delivery import SafetyLimits, SendOptions, send
from audience.requests.writer import write_requests
from audience.vendors.delivery_spec import Credentials
from benchmarks.report import describe_environment, make_parser, save_json

MESSAGE = {"title": "Hi", "body": "there"}
ACCOUNT_METHOD = "package_account_push"  # TPNS's accounts, all of them in one file
TIMEOUT_SECONDS = 120.0  # seconds until the sandbox answers


@dataclass(frozen=True, slots=True)
class SendMeasurement:
    """One *way* of a vendor: calls, seconds, ids told each second, and megabytes at the most."""

    vendor: str
    method: str
    device_count: int
    call_count: int
    seconds: float
    ids_per_second: float
    peak_megabytes: float


def make_devices(device_count: int, services: list[str]) -> pl.DataFrame:
    """Devices that all *services* know, each with an account."""
    ids = {f"{name}_token": [ID_FORMATS[name].format(n) for n in range(device_count)] for name in services}
    return pl.DataFrame({**ids, "account": make_accounts(device_count)})


def make_accounts(device_count: int) -> list[str]:
    return [f"user-{number}" for number in range(device_count)]


def send_in_process(
    connection: Connection, folder: Path, vendor_name: str, method: str | None, url: str, device_count: int
) -> None:
    """Send by one way, or natively, in a process of its own."""
    keys, begun = make_keys(vendor_name), time.perf_counter()
    found = send(
        folder,
        MESSAGE,
        Credentials(url, keys),
        SafetyLimits(expected=device_count),
        method=method,
        options=SendOptions(),
    )
    seconds = time.perf_counter() - begun
    assert found.done, found
    connection.send((found.batch_counts["accepted"], seconds, peak_megabytes()))


def peak_megabytes() -> float:
    """Megabytes; what getrusage says holds for the process that this one was forked from, too."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1e3 if found else 0.0


def measure_method(folder: Path, vendor_name: str, method: str | None, url: str, device_count: int) -> SendMeasurement:
    """One way, or native requests, from the manifest to the last reply.

    AssertionError where anybody is told twice or not at all.
    """
    httpx.post(f"{url}/_sandbox/reset", json={}).raise_for_status()
    here, there = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(
        target=send_in_process, args=[there, folder, vendor_name, method, url, device_count]
    )
    process.start()
    there.close()
    calls, seconds, memory = here.recv()
    process.join()
    told = httpx.get(f"{url}/_sandbox/delivered", timeout=TIMEOUT_SECONDS).json()[service_of(vendor_name)]
    assert (told["delivered"], told["most"]) == (device_count, 1), told
    return SendMeasurement(
        vendor_name, method or ACCOUNT_METHOD, device_count, calls, seconds, device_count / seconds, memory
    )


@contextmanager
def run_sandbox(devices: Path, rate: str, folder: Path) -> Iterator[str]:
    """The sandbox in a process of its own; its URL."""
    ready = folder / "ready"
    words = ["sandbox", "--devices", str(devices), "--rate", rate, "--ready-file", str(ready)]
    with subprocess.Popen(
        [sys.executable, "-m", "audience", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        until = time.monotonic() + TIMEOUT_SECONDS
        while not ready.exists() and time.monotonic() < until:
            time.sleep(0.1)
        try:
            yield ready.read_text().strip()
        finally:
            running.terminate()


def measure_all_methods(device_count: int, rate: str, only_vendor: str | None) -> Iterator[SendMeasurement]:
    """Every way of every vendor that the sandbox serves."""
    with TemporaryDirectory() as name:
        place = Path(name)
        vendors = [name for name in vendor_names(can="send") if only_vendor in (None, name)]
        services = sorted({service_of(name) for name in vendors})
        known = make_devices(device_count, services)
        known.write_parquet(place / "devices.parquet")
        index = DeviceIndex.build(known, place / "x.index", tokens={name: f"{name}_token" for name in services})
        with run_sandbox(place / "devices.parquet", rate, place) as url:
            for service in vendors:
                delivery = get_vendor(service).delivery
                for way in delivery.send_methods if delivery else ():
                    meant, folder = parse("everyone"), place / f"{service}-{way.name}"
                    write_requests(Plan(service, meant, (), meant, (), index=index), index, folder)
                    yield measure_method(folder, service, way.name, url, device_count)
            if only_vendor in (None, "tpns"):
                folder = place / ACCOUNT_METHOD
                write_requests(plan(Ids("account", tuple(make_accounts(device_count))), "tpns", index), index, folder)
                yield measure_method(folder, "tpns", None, url, device_count)


def main() -> None:
    """Print one line a way as it is measured."""
    parser = make_parser(__doc__, "json")
    parser.add_argument("--devices", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--rate", default="1")
    parser.add_argument("--vendor")
    said = parser.parse_args()
    print("| way | calls | seconds | ids a second | MB |\n| --- | --: | --: | --: | --: |")
    found = []
    for answer in measure_all_methods(said.devices, said.rate, said.vendor):
        found.append(answer)
        told = (
            f"{answer.call_count:,} | {answer.seconds:.1f} | {answer.ids_per_second:,.0f} | {answer.peak_megabytes:.0f}"
        )
        print(f"| {answer.vendor} {answer.method} | {told} |", flush=True)
    save_json({**describe_environment(), "answers": [asdict(each) for each in found]}, said.json)


if __name__ == "__main__":
    main()
