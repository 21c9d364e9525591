"""From a count to devices that got a message, with real processes: the service, its senders, and a sandbox."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Thread

import httpx
import pytest
from service import build_index, make_table, run_serve

from audience.sandbox import Population, Sandbox
from audience.server.keys import add_key

INDEX = "/v1/indexes/devices"
MESSAGE = {"title": "Spring sale", "body": "From today"}
CREDENTIALS = '[engagelab]\napp_key = "k"\nmaster_secret = "very-secret"\n'
DEVICES = 3_000
WAIT_SECONDS = 90
SETTLED_STATES = {"done", "cancelled", "stopped", "in-doubt", "failed", "interrupted"}


@pytest.fixture
def sandbox():
    with Sandbox(Population(make_table(DEVICES)), rate=None) as running:
        yield running


@pytest.fixture
def start(tmp_path, sandbox):
    """Function that starts the service on the same folders, and yields it with a client."""
    index = build_index(tmp_path, DEVICES)
    (tmp_path / "runs").mkdir()
    credentials = tmp_path / "vendors.toml"
    credentials.touch(mode=0o600)
    credentials.write_text(CREDENTIALS, "utf-8")
    token = add_key(tmp_path / "keys", "boss", ["count", "ids", "write", "send"])
    options = ["--keys", tmp_path / "keys", "--runs", tmp_path / "runs"]
    options += ["--credentials", credentials, "--vendor-host", sandbox.url]

    def start_service():
        return run_serve(index, *options, folder=tmp_path)

    def connect(service):
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=service.url, headers=headers, timeout=60)

    return start_service, connect


def emit(client, name, expr):
    body = {"name": name, "expr": expr, "vendor": "engagelab", "message": MESSAGE}
    answer = client.post(f"{INDEX}/runs", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["dry_run"]


def wait_for(client, name, is_reached: Callable[[dict], bool]):
    """The status of a run once it is as wanted."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        shown = client.get(f"/v1/runs/{name}").json()
        if is_reached(shown):
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)


def is_settled(shown):
    return shown["state"] in SETTLED_STATES


def deliveries(sandbox):
    return sandbox.delivery_counts("engagelab")


def test_from_a_count_to_devices_that_got_the_message_once(start, sandbox, tmp_path):
    start_service, connect = start
    with start_service() as service, connect(service) as client:
        count = client.post(f"{INDEX}/count", json={"expr": "male AND age < 30"}).json()["count"]
        saved = client.put(f"{INDEX}/segments/young-men", json={"expr": "male AND age < 30"})
        assert (saved.status_code, saved.json()["changed"]["by"]) == (201, "boss")
        plan = client.post(f"{INDEX}/plan", json={"expr": "@young-men", "vendor": "engagelab"}).json()
        assert plan["ids"] == plan["count"] == count
        assert emit(client, "spring", "@young-men")["devices"] == count
        assert deliveries(sandbox) == {}
        refused = client.post("/v1/runs/spring/send", json={"devices": count - 1})
        assert (refused.status_code, refused.json()["code"]) == (409, "other-size")
        assert client.post("/v1/runs/spring/send", json={"devices": count}).status_code == 202
        shown = wait_for(client, "spring", is_settled)
        assert (shown["state"], shown["accepted"], shown["settled"], shown["total"]) == ("done", count, count, count)
        assert shown["last_action"]["by"] == "boss"
        again = client.post("/v1/runs/spring/send", json={"devices": count})
        assert (again.status_code, again.json()["code"]) == (409, "begun")
    assert len(deliveries(sandbox)) == count
    assert set(deliveries(sandbox).values()) == {1}
    written = [(tmp_path / "log").read_text(), (tmp_path / "runs" / "spring" / "service.log").read_text(), str(shown)]
    assert not [text for text in written if "very-secret" in text or "t29" in text]
    assert (tmp_path / "runs" / "spring" / "service.log").stat().st_mode & 0o777 == 0o600


def test_of_two_sends_at_once_one_starts(start, sandbox):
    start_service, connect = start
    with start_service() as service, connect(service) as client:
        devices = emit(client, "spring", "male")["devices"]
        barrier, statuses = Barrier(4), []

        def send():
            barrier.wait()
            answer = httpx.post(
                f"{service.url}/v1/runs/spring/send", json={"devices": devices}, headers=client.headers, timeout=60
            )
            statuses.append(answer.status_code)

        threads = [Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [202, 409, 409, 409]
        assert wait_for(client, "spring", is_settled)["state"] == "done"
    assert set(deliveries(sandbox).values()) == {1}
    assert len(deliveries(sandbox)) == devices


def test_a_cancelled_run_stops_and_each_device_got_it_at_most_once(start, sandbox):
    start_service, connect = start
    sandbox.set_faults("delay=1.5")
    with start_service() as service, connect(service) as client:
        devices = emit(client, "spring", "everyone EXCEPT age:0")["devices"]
        assert client.post("/v1/runs/spring/send", json={"devices": devices}).status_code == 202
        wait_for(client, "spring", lambda shown: shown["state"] == "sending" and shown["total"])
        cancelled = client.post("/v1/runs/spring/cancel", json={})
        assert cancelled.status_code == 200, cancelled.text
        shown = wait_for(client, "spring", is_settled)
        assert shown["state"] == "cancelled"
        assert client.post("/v1/runs/spring/resume", json={}).status_code in (202, 409)
        shown = wait_for(client, "spring", is_settled)
    assert set(deliveries(sandbox).values()) <= {1}
    assert shown["accepted"] == len(deliveries(sandbox))


def test_a_run_goes_on_when_the_service_ends(start, sandbox):
    start_service, connect = start
    sandbox.set_faults("delay=2")
    with start_service() as service, connect(service) as client:
        devices = emit(client, "spring", "male")["devices"]
        assert client.post("/v1/runs/spring/send", json={"devices": devices}).status_code == 202
        assert service.stop(signal.SIGTERM) == 0
    with start_service() as service, connect(service) as client:
        shown = wait_for(client, "spring", is_settled)
        assert (shown["state"], shown["accepted"]) == ("done", devices)
        assert shown["last_action"]["by"] == "boss"
    assert set(deliveries(sandbox).values()) == {1}
    assert len(deliveries(sandbox)) == devices


def test_a_run_whose_process_was_killed_is_resumed(start, sandbox, tmp_path):
    start_service, connect = start
    sandbox.set_faults("delay=2")
    with start_service() as service, connect(service) as client:
        devices = emit(client, "spring", "male")["devices"]
        client.post("/v1/runs/spring/send", json={"devices": devices})
        wait_for(client, "spring", lambda shown: shown["state"] == "sending" and shown["total"])
        for process in find_senders(tmp_path / "runs" / "spring"):
            os.kill(process, signal.SIGKILL)
        shown = wait_for(client, "spring", is_settled)
        assert shown["state"] == "interrupted"
        sandbox.set_faults()
        assert client.post("/v1/runs/spring/resume", json={"on_doubt": "skip"}).status_code == 202
        shown = wait_for(client, "spring", lambda each: each["state"] not in ("starting", "sending", "interrupted"))
        assert shown["state"] == "done"
        assert shown["accepted"] + shown["in_doubt"] == devices
        [failure] = shown["runs"]["engagelab"]["failures"] if shown["in_doubt"] else [{"state": "in_doubt"}]
        assert failure["state"] == "in_doubt"
    assert set(deliveries(sandbox).values()) <= {1}


def find_senders(folder: Path) -> list[int]:
    """Processes that send the run in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"send" in words and str(folder).encode() in words:
                    found.append(int(entry.name))
    return found
