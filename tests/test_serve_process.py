"""Real processes of `audience serve`: start, signals, workers, slow callers, and indexes that change meanwhile."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import polars as pl
import pytest
from service import ServeProcess, build_index, make_table, post, run_serve, wait_for

from audience import DeviceIndex
from audience.server.keys import add_key

COUNT_PATH, RESOLVE_PATH = "/v1/indexes/devices/count", "/v1/indexes/devices/resolve"
WIDE_DEVICES = 100_000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build_index(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def wide_path(tmp_path_factory):
    """Index whose ids do not fit into the buffers of a connection."""
    path = tmp_path_factory.mktemp("wide") / "devices.index"
    DeviceIndex.build(pl.DataFrame({"token": [f"{number:0400}" for number in range(WIDE_DEVICES)]}), path)
    return path


def run_audience(*arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audience", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_in_order(number, path, tmp_path):
    with run_serve(path, folder=tmp_path) as service:
        assert (tmp_path / "ready").read_text() == f"{service.url}\n"
        assert post(service.url, COUNT_PATH, {"expr": "vip"}).json()["count"] == 200
        assert service.stop(number) == 0
    assert not (tmp_path / "ready").exists()
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_is_not_cut_by_the_end(workers, wide_path, tmp_path):
    with run_serve(wide_path, "--workers", workers, folder=tmp_path) as service:
        client = httpx.Client(timeout=60)
        with client.stream("POST", f"{service.url}{RESOLVE_PATH}", json={"expr": "everyone"}) as response:
            lines = response.iter_lines()
            next(lines)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert 1 + sum(1 for _ in lines) == WIDE_DEVICES == int(response.headers["audience-count"])
        assert service.process.wait(60) == 0


def test_a_caller_that_hangs_up_ends_the_work(wide_path, tmp_path):
    with run_serve(wide_path, folder=tmp_path) as service:
        for _ in range(40):  # more than there are slots for streams
            with httpx.stream("POST", f"{service.url}{RESOLVE_PATH}", json={"expr": "everyone"}) as response:
                assert response.status_code == 200
                next(response.iter_raw())
        wait_for(lambda: post(service.url, RESOLVE_PATH, {"expr": "nobody"}).status_code == 200)
        assert service.stop() == 0


def test_workers_share_a_socket_and_are_replaced(path, tmp_path):
    with run_serve(path, "--workers", 2, folder=tmp_path) as service:
        children = child_processes(service)
        assert len(children) == 2
        for _ in range(20):
            assert post(service.url, COUNT_PATH, {"expr": "vip"}).json()["count"] == 200
        assert counted_calls(service.url) == 20
        os.kill(children[-1], signal.SIGSTOP)
        time.sleep(1.5)  # in which it is asked whether it is alive
        os.kill(children[-1], signal.SIGKILL)
        wait_for(
            lambda: children[-1] not in child_processes(service) and len(child_processes(service)) == len(children)
        )
        for _ in range(20):
            assert answer_somehow(service.url) == 200
        assert service.stop() == 0


def answer_somehow(url: str) -> int:
    """Count of devices; a connection that the dead worker had accepted is tried again."""
    for _ in range(20):
        try:
            return post(url, COUNT_PATH, {"expr": "vip"}).json()["count"]
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("no worker answers")


def child_processes(service: ServeProcess) -> list[int]:
    text = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text()
    return [
        int(word)
        for word in text.split()
        if "spawn_main" in Path(f"/proc/{word}/cmdline").read_text().replace("\0", " ")
    ]


def counted_calls(url: str) -> float:
    """Answered counts by all workers, of their metrics."""
    prefix = 'audience_http_requests_total{endpoint="/v1/indexes/{index}/count"'
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(prefix))


def test_an_index_that_is_built_again_is_served(tmp_path):
    path = build_index(tmp_path)
    with run_serve(path, folder=tmp_path) as service:
        assert post(service.url, COUNT_PATH, {"expr": "everyone"}).json()["count"] == 300
        DeviceIndex.build(make_table(200), path, replace=True)
        wait_for(lambda: post(service.url, COUNT_PATH, {"expr": "everyone"}).json()["count"] == 200)


def test_an_index_that_is_gone_or_damaged_is_answered_as_it_was(tmp_path):
    path = build_index(tmp_path)
    with run_serve(path, folder=tmp_path) as service:
        manifest = (path / "manifest.json").read_bytes()
        (path / "manifest.json").write_bytes(manifest.replace(b"300", b"299"))
        wait_for(lambda: httpx.get(f"{service.url}/readyz").json()["status"] == "stale")
        assert post(service.url, COUNT_PATH, {"expr": "everyone"}).json()["count"] == 300
        (path / "manifest.json").write_bytes(manifest)
        wait_for(lambda: httpx.get(f"{service.url}/readyz").json()["status"] == "ok")
        shutil.move(path, tmp_path / "elsewhere")
        wait_for(lambda: httpx.get(f"{service.url}/readyz").json()["status"] == "stale")
        problem = httpx.get(f"{service.url}/readyz").json()["indexes"]["devices"]["problem"]
        assert problem["code"] == "no-index"
        assert post(service.url, COUNT_PATH, {"expr": "vip"}).json()["count"] == 200
        assert 'audience_index_stale{index="devices"} 1.0' in httpx.get(f"{service.url}/metrics").text
    assert "answered from snapshot 1" in (tmp_path / "log").read_text()


@contextmanager
def open_socket(url: str) -> Iterator[socket.socket]:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end of a connection."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def test_requests_that_do_not_arrive_are_refused(path, tmp_path):
    with run_serve(path, folder=tmp_path) as service:
        head = b"POST %s HTTP/1.1\r\nhost: localhost\r\n" % COUNT_PATH.encode()
        with open_socket(service.url) as idle, open_socket(service.url) as unfinished, open_socket(service.url) as slow:
            unfinished.sendall(head)
            slow.sendall(head + b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{")
            assert read_all(idle) == b""
            for connection in (unfinished, slow):
                status, body = read_all(connection).split(b"\r\n\r\n")
                assert status.startswith(b"HTTP/1.1 408 ")
                assert json.loads(body)["code"] == "too-slow"


def test_a_key_is_needed_where_others_reach_the_service(path, tmp_path):
    refused = run_audience("serve", path, "--host", "0.0.0.0", "--port", "0")
    assert (refused.returncode, refused.stderr.startswith("no-keys:")) == (2, True)
    token = add_key(tmp_path / "keys.json", "analyst", ["count"])
    with run_serve(path, "--host", "0.0.0.0", "--keys", tmp_path / "keys.json", folder=tmp_path) as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        assert post(url, COUNT_PATH, {"expr": "vip"}).status_code == 401
        headers = {"authorization": f"Bearer {token}"}
        assert post(url, COUNT_PATH, {"expr": "vip"}, headers=headers).json()["count"] == 200


def test_a_service_that_cannot_start_says_why(audience, path, tmp_path):
    other = build_index(tmp_path)
    (tmp_path / "keys.json").write_text("{}")
    (tmp_path / "keys.json").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, code in (
            ([tmp_path / "nothing.index"], "no-index"),
            ([path, other], "same-index-name"),
            ([path, "--port", port], "port-taken"),
            ([path, "--host", "256.0.0.1", "--keys", tmp_path / "keys.json"], "open-keys"),
            ([path, "--keys", tmp_path / "nothing.json"], "unreadable-keys"),
            ([path, "--runs", tmp_path / "nothing"], "no-runs"),
            ([path, "--catalog", tmp_path / "nothing.toml"], "unreadable-file"),
        ):
            exit_code, _, err = audience("serve", *map(str, arguments))
            assert (exit_code, err.partition(":")[0]) == (2, code), err
            assert "hint" in err


def test_a_missing_extra_is_named(path):
    script = "import sys; sys.modules['uvicorn'] = None; from audience.cli.app import run; run(['serve', sys.argv[1]])"
    refused = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 2
    assert "uvicorn" in refused.stderr
    assert "pip install 'audience[serve]'" in refused.stderr
