"""`audience serve` in a process of its own, as its callers meet it, and HTTP as bytes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from raw_connections import end_sending

from audience import DeviceIndex
from audience.server.keys import add_key
from audience.server.scopes import SCOPES
from audience.testing.devices import generate_customers
from audience.testing.events import generate_purchases

START_SECONDS = 60
STOP_SECONDS = 30
SETTLE_SECONDS = 0.05  # for a reply that should not come
SEGMENTS = {"gold": "vip_gold", "big spenders": "spend > 300", "buyers": "did(purchase) within 30 days"}
CATALOG = """\
[province]
builtin = ["tpns"]
names.engagelab = "{type}_{value}"

[tag]
at = ["tpns"]
"""


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    folder: Path
    process: subprocess.Popen
    log_file: Path
    tokens: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """A client of the service; with the name of one of `tokens`, it has that key."""
        headers = {"Authorization": f"Bearer {self.tokens[token]}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=30)

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def stop(self) -> int:
        """End the service by SIGTERM. Its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def run_service(
    folder: Path, *arguments: str, tokens: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run `audience serve` with *arguments* in *folder* on a free port. It must end well, and log no traceback."""
    ready_file, log_file = folder / "ready.txt", folder / "serve.log"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "audience", "serve", *arguments, "--port", "0", "--ready-file", str(ready_file)]
    with (
        log_file.open("wb") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **(env or {})}) as process,
    ):
        try:
            url = wait_until_ready(process, ready_file, log_file)
            service = Service(url, folder, process, log_file, tokens or {})
            yield service
            if process.poll() is None:
                assert service.stop() == 0, service.log()
            assert "Traceback" not in service.log(), service.log()
        finally:
            process.kill()


def wait_until_ready(process: subprocess.Popen, ready_file: Path, log_file: Path) -> str:
    """The URL that the service writes when it accepts calls."""
    deadline = time.monotonic() + START_SECONDS
    while not (ready_file.is_file() and ready_file.read_text().strip()):
        assert process.poll() is None, log_file.read_text("utf-8", "replace")
        assert time.monotonic() < deadline, "the service is not ready"
        time.sleep(0.02)
    return ready_file.read_text().strip()


@dataclass(frozen=True)
class RawReply:
    """An HTTP reply as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange_bytes(service: Service, data: bytes, wanted: int = 1) -> list[RawReply]:
    """Send *data* over a connection of its own, and return *wanted* replies and those that come right behind them.

    Without any wanted ones, the connection is ended behind *data*, and the service must end it too.
    """
    with service.connect() as connection:
        with suppress(ConnectionError):  # a refusal may end the connection before all is sent
            connection.sendall(data)
            if not wanted:
                end_sending(connection)
        return list(split_replies(receive_replies(connection, wanted)))


def receive_replies(connection: socket.socket, wanted: int) -> bytes:
    """The bytes of *wanted* replies and what comes right behind them; without any wanted ones, until the end."""
    received = bytearray()
    with suppress(ConnectionError, TimeoutError):
        while chunk := connection.recv(1 << 16):
            received += chunk
            if wanted and count_replies(bytes(received)) >= wanted:
                connection.settimeout(SETTLE_SECONDS)
    return bytes(received)


def count_replies(data: bytes) -> int:
    """The number of whole replies in *data*."""
    replies = split_replies(data)
    count = 0
    with suppress(CutReplyError):
        while next(replies, None):
            count += 1
    return count


class CutReplyError(AssertionError):
    """A reply is not whole."""


def split_replies(data: bytes) -> Iterator[RawReply]:
    """Parse the replies in *data*, one after the other."""
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        if not separator:
            raise CutReplyError(f"a reply without an end of its head: {data[:200]!r}")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        protocol, status, *_ = status_line.split(" ", 2)
        assert protocol.startswith("HTTP/1."), status_line
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if status == "100":
            body, data = b"", rest
        elif headers.get("transfer-encoding") == "chunked":
            body, data = split_chunks(rest)
        else:
            size = int(headers.get("content-length", len(rest)))
            body, data = rest[:size], rest[size:]
            if len(body) != size:
                raise CutReplyError(f"a cut reply: {len(body)} of {size} bytes")
        yield RawReply(int(status), headers, body)


def split_chunks(data: bytes) -> tuple[bytes, bytes]:
    """The body at the start of *data* in chunks, and what follows it."""
    body = b""
    while True:
        size_line, separator, data = data.partition(b"\r\n")
        if not separator:
            raise CutReplyError("a cut reply: no size of a chunk")
        size = int(size_line, 16)
        if len(data) < size + 2:
            raise CutReplyError("a cut reply: a chunk is not whole")
        body, data = body + data[:size], data[size + 2 :]
        if not size:
            return body, data


def build_served_folder(folder: Path) -> Path:
    """Write what the tests' service answers from: two thousand people with purchases, three segments, a catalog."""
    table = generate_customers(2_000)
    index = DeviceIndex.build(table, folder / "people.index")
    index.add_events(generate_purchases(table), "purchase")
    for name, text in SEGMENTS.items():
        index.save_segment(name, text)
    (folder / "catalog.toml").write_text(CATALOG, "utf-8")
    (folder / "ids.txt").write_text("d0000001\n")
    (folder / "runs").mkdir()
    return folder


@pytest.fixture(scope="session")
def service(tmp_path_factory) -> Iterator[Service]:
    """A service on loopback without keys, where every scope but `send` holds."""
    folder = build_served_folder(tmp_path_factory.mktemp("service"))
    with run_service(folder, "people.index", "--catalog", "catalog.toml", "--runs", "runs") as service:
        yield service


@pytest.fixture(scope="session")
def keyed_service(tmp_path_factory) -> Iterator[Service]:
    """A service with a key for each scope, one for all of them, and one that may only count."""
    folder = build_served_folder(tmp_path_factory.mktemp("keyed"))
    scopes = {**{scope: scope for scope in SCOPES}, "all": ",".join(SCOPES)}
    tokens = {name: add_key(folder / "keys.json", name, [scope]) for name, scope in scopes.items()}
    with run_service(
        folder, "people.index", "--catalog", "catalog.toml", "--runs", "runs", "--keys", "keys.json", tokens=tokens
    ) as service:
        yield service
