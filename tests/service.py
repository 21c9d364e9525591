"""A service in this process for tests, and real processes of `audience serve`."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import polars as pl

from audience import DeviceIndex
from audience.server.app import create_app
from audience.server.indexes import ServedIndexes
from audience.server.settings import ServeSettings

BASE_URL = "http://127.0.0.1:8780"
START_SECONDS = 60
T = TypeVar("T")


def make_table(devices: int = 300) -> pl.DataFrame:
    """Devices with tokens, tags, ages and provinces."""
    numbers = range(devices)
    return pl.DataFrame(
        {
            "token": [f"t{number}" for number in numbers],
            "alias": [f"u{number // 2}" for number in numbers],
            "tags": [["male", "vip"] if number % 3 else ["female"] for number in numbers],
            "age": [number % 80 for number in numbers],
            "province": [("guangdong", "hunan", "zhejiang")[number % 3] for number in numbers],
        }
    )


def build_index(folder: Path, devices: int = 300, name: str = "devices.index") -> Path:
    """Build an index in *folder* and return its path."""
    path = folder / name
    DeviceIndex.build(make_table(devices), path)
    return path


class AppClient:
    """Client of an ASGI application in this process, which it starts and stops."""

    headers: dict[str, str]  # of the key of a test

    def __init__(self, app: Any, base_url: str = BASE_URL):
        self.headers = {}
        self._runner = asyncio.Runner()
        self._app = app
        self._inbox: asyncio.Queue[dict[str, str]] = self._runner.run(_make_queue())
        self._lifespan = self._runner.run(self._start())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=base_url)

    async def _start(self) -> "asyncio.Task[None]":
        started = asyncio.Event()

        async def send(message: dict[str, str]) -> None:
            started.set()

        task = asyncio.create_task(self._app({"type": "lifespan", "state": {}}, self._inbox.get, send))
        await self._inbox.put({"type": "lifespan.startup"})
        await started.wait()
        return task

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Answer of a call."""
        return self._runner.run(self._client.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Answer of a GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Answer of a POST."""
        return self.request("POST", path, **options)

    def run(self, function: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        """Result of a function that makes calls side by side."""
        return self._runner.run(function(self._client))

    def close(self) -> None:
        """Stop the application."""

        async def stop() -> None:
            await self._client.aclose()
            await self._inbox.put({"type": "lifespan.shutdown"})
            await self._lifespan

        self._runner.run(stop())
        self._runner.close()


async def _make_queue() -> "asyncio.Queue[dict[str, str]]":
    return asyncio.Queue()


@contextmanager
def open_client(*indexes: Path, **settings: Any) -> Iterator[AppClient]:
    """Yield a client of a service in this process."""
    folders = {path.name.removesuffix(".index"): path for path in indexes}
    client = AppClient(create_app(ServeSettings(folders, **settings), ServedIndexes.open(folders)))
    try:
        yield client
    finally:
        client.close()


class ServeProcess:
    """A running `audience serve`."""

    def __init__(self, process: subprocess.Popen[str], url: str):
        self.process = process
        self.url = url

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def run_serve(*arguments: Any, folder: Path) -> Iterator[ServeProcess]:
    """Yield a process of `audience serve` on a free port, once it answers."""
    ready = folder / "ready"
    command = [sys.executable, "-m", "audience", "serve", *map(str, arguments), "--port", "0", "--ready-file", ready]
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, text=True, env=dict(os.environ))
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert process.poll() is None, (folder / "log").read_text("utf-8")
            assert time.monotonic() < deadline, "the service has not started"
            time.sleep(0.05)
        yield ServeProcess(process, ready.read_text("utf-8").strip())
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def post(url: str, path: str, body: Any, **options: Any) -> httpx.Response:
    """Answer of a POST to a running service."""
    return httpx.post(f"{url}{path}", json=body, **options)


def run_audience(*arguments: Any) -> str:
    """Output of a command that succeeds."""
    command = [sys.executable, "-m", "audience", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.05)
