"""Calls a second of the service with one worker and keys, beside a bare handler; and ids a second of its streams.

Eight connections ask one after the other, from a process of their own. The service and the bare handler are asked in
turns; the best round of each counts. A stream is compared with writing the same bytes to a file, from the same index.

    python -m benchmarks.service [--devices N] [--runs N] [--folder DIR] [--json FILE]
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from audience import DeviceIndex
from audience.index.query.device_set import DeviceSet
from audience.server.encodings import STREAM_MEDIA_TYPES, encode_frames
from audience.server.endpoints.streams import iter_id_frames
from audience.server.keys import add_key
from benchmarks.emit import prepare_index
from benchmarks.queries import QUERIES
from benchmarks.report import describe_environment, format_table, make_parser, open_folder, save_json
from benchmarks.timing import run_in_process

CONNECTIONS, CALLS = 8, 4_000
MEMBER_IDS = 500
LIGHT_EXPR = "male AND age < 30"
WIDE_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second, and the time that all but one of a hundred take at most."""

    calls_per_second: float
    p99_seconds: float


@dataclass(frozen=True, slots=True)
class CallMeasurement:
    """Rate of the service and of the bare handler for one question."""

    question: str
    service: Rate
    bare: Rate


@dataclass(frozen=True, slots=True)
class StreamMeasurement:
    """Seconds of a stream of all ids, and of writing the same bytes to a file."""

    media_type: str
    ids: int
    nbytes: int
    first_byte_seconds: float
    stream_seconds: float
    file_seconds: float


def measure_calls(service: str, token: str, bare: str, index_folder: Path, runs: int) -> list[CallMeasurement]:
    """Measure counts and memberships."""
    ids = DeviceIndex.open(index_folder).resolve(f"everyone limit {MEMBER_IDS} seed x").ids().to_list()
    flagship = next(iter(QUERIES.values())).text
    counts = {"count, two operands": LIGHT_EXPR, "count, the flagship": flagship}
    bodies: dict[str, tuple[str, list[Any]]] = {
        name: ("count", [{"expr": text, "as_of": None}]) for name, text in counts.items()
    }
    bodies["membership of one device"] = ("members", [{"ids": [each], "exprs": {"x": LIGHT_EXPR}} for each in ids])
    measured = []
    for question, (name, calls) in bodies.items():
        ours = [_format_request(f"/v1/indexes/devices/{name}", each, token) for each in calls]
        theirs = [_format_request(f"/{name}", each, None) for each in calls]
        rounds = [
            (
                run_in_process(measure_rate, service, ours, threads=1),
                run_in_process(measure_rate, bare, theirs, threads=1),
            )
            for _ in range(runs)
        ]
        best = [max(rates, key=lambda rate: rate.calls_per_second) for rates in zip(*rounds, strict=True)]
        measured.append(CallMeasurement(question, *best))
    return measured


def measure_rate(address: str, requests: list[bytes]) -> Rate:
    """Ask over several connections, each one call after the other."""
    return asyncio.run(_ask_all(address, requests))


async def _ask_all(address: str, requests: list[bytes]) -> Rate:
    await _ask(address, requests[:1] * 50)
    shares = [list(islice(cycle(requests), start, start + CALLS // CONNECTIONS)) for start in range(CONNECTIONS)]
    start = time.perf_counter()
    parts = await asyncio.gather(*(_ask(address, share) for share in shares))
    seconds = time.perf_counter() - start
    latencies = sorted(latency for part in parts for latency in part)
    return Rate(len(latencies) / seconds, latencies[int(len(latencies) * 0.99)])


async def _ask(address: str, requests: list[bytes]) -> list[float]:
    """Return how long each call of one connection took."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    latencies = []
    for request in requests:
        start = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        latencies.append(time.perf_counter() - start)
    writer.close()
    return latencies


def _format_request(path: str, body: Any, token: str | None, accept: str = "*/*") -> bytes:
    content = json.dumps(body).encode()
    key = f"authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{key}accept: {accept}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def measure_streams(service: str, token: str, index_folder: Path, scratch: Path, runs: int) -> list[StreamMeasurement]:
    """Measure streams of all ids in each format."""
    index = DeviceIndex.open(index_folder)
    devices = index.resolve("everyone")
    measured = []
    for media_type in STREAM_MEDIA_TYPES:
        request = _format_request("/v1/indexes/devices/resolve", {"expr": "everyone"}, token, media_type)
        streams = [_read_stream(service, request) for _ in range(runs)]
        files = [_write_file(devices, media_type, scratch / "rows") for _ in range(runs)]
        first = min(first for first, _ in streams)
        stream, file = min(seconds for _, seconds in streams), min(seconds for seconds, _ in files)
        measured.append(StreamMeasurement(media_type, len(devices), files[0][1], first, stream, file))
    return measured


def _read_stream(address: str, request: bytes) -> tuple[float, float]:
    """Return when the first and when the last byte of a stream were read."""
    host, _, port = address.partition(":")
    start, first = time.perf_counter(), 0.0
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request)
        buffer, tail = bytearray(WIDE_READ_BYTES), b""
        while not tail.endswith(b"0\r\n\r\n"):
            count = connection.recv_into(buffer)
            assert count, "the stream was cut"
            first = first or time.perf_counter() - start
            tail = (tail + bytes(buffer[max(count - 8, 0) : count]))[-8:]
    return first, time.perf_counter() - start


def _write_file(devices: DeviceSet, media_type: str, path: Path) -> tuple[float, int]:
    """Return the time of writing the bytes of a stream to a file, and their number."""
    columns = {column.name: column for column in devices.snapshot.id_columns}
    start = time.perf_counter()
    with path.open("wb") as file:
        for chunk in encode_frames(media_type, iter_id_frames(devices, columns, 0, len(devices)), ";"):
            file.write(chunk)
    return time.perf_counter() - start, path.stat().st_size


@contextmanager
def run_services(index_folder: Path, scratch: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the address of a service, the token of a key of it, and the address of a bare handler."""
    token = add_key(scratch / "keys.json", "benchmark", ["count", "ids"])
    for number in range(20):  # a file with one key alone would be a special case
        add_key(scratch / "keys.json", f"other{number}", ["count"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--keys", scratch / "keys.json", "--port", "0", "--ready-file", scratch / "ready"]
    command = [sys.executable, "-m", "audience", "serve", index_folder, *options]
    with (
        _run_process([*map(str, command)]),
        _run_process([sys.executable, "-m", "benchmarks.bare_service", str(index_folder), str(port)]),
    ):
        while not (scratch / "ready").exists():
            time.sleep(0.1)
        address = (scratch / "ready").read_text().strip().removeprefix("http://")
        _wait_for(f"127.0.0.1:{port}")
        yield address, token, f"127.0.0.1:{port}"


@contextmanager
def _run_process(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    while True:
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return


def format_report(calls: list[CallMeasurement], streams: list[StreamMeasurement]) -> str:
    """Return what was measured as Markdown."""
    head = ("calls", "service/s", "bare/s", "× bare", "service p99 ms", "bare p99 ms")
    rows = [
        (
            each.question,
            f"{each.service.calls_per_second:,.0f}",
            f"{each.bare.calls_per_second:,.0f}",
            f"{each.service.calls_per_second / each.bare.calls_per_second:.2f}",
            f"{each.service.p99_seconds * 1e3:.2f}",
            f"{each.bare.p99_seconds * 1e3:.2f}",
        )
        for each in calls
    ]
    stream_head = ("streams", "MB", "M ids/s", "M ids/s to a file", "× file", "first byte ms")
    stream_rows = [
        (
            each.media_type,
            f"{each.nbytes / 1e6:,.0f}",
            f"{each.ids / each.stream_seconds / 1e6:.1f}",
            f"{each.ids / each.file_seconds / 1e6:.1f}",
            f"{each.file_seconds / each.stream_seconds:.2f}",
            f"{each.first_byte_seconds * 1e3:.0f}",
        )
        for each in streams
    ]
    return "\n\n".join([format_table(head, rows), format_table(stream_head, stream_rows)])


def main() -> None:
    options = make_parser(__doc__, "devices", "runs", "folder", "json").parse_args()
    with open_folder(options.folder) as folder, open_folder(None) as scratch:
        index_folder = prepare_index(folder, int(options.devices))
        with run_services(index_folder, scratch) as (service, token, bare):
            calls = measure_calls(service, token, bare, index_folder, options.runs)
            streams = run_in_process(measure_streams, service, token, index_folder, scratch, options.runs, threads=1)
    results = {
        **describe_environment(),
        "runs": options.runs,
        "calls": [asdict(each) for each in calls],
        "streams": [asdict(each) for each in streams],
    }
    save_json(results, options.json)
    print(format_report(calls, streams))


if __name__ == "__main__":
    main()
