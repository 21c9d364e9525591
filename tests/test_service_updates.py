"""Many callers while an index changes, and while the service ends: no call fails, and no answer is cut."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable

import httpx
import polars as pl
import pytest
from served import run_service, split_replies

from audience import DeviceIndex

REQUESTS = 20_000 if os.environ.get("HYPOTHESIS_PROFILE") in ("long", "deep") else 2_000
CALLERS, UPDATES, DEVICES = 8, 10, 1_000
COUNT_PATH = "/v1/indexes/numbers/count"
MOVE_SECONDS = 20  # a reader moves on within a second on a machine that is not busy


@pytest.fixture
def numbered(tmp_path):
    """An index of devices with numbers as ids, all of which have the tag `known`."""
    table = pl.DataFrame({"token": [f"t{number}" for number in range(DEVICES)], "tags": [["known"]] * DEVICES})
    return DeviceIndex.build(table, tmp_path / "numbers.index")


def start_threads(number: int, function: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=function) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def change_index(index: DeviceIndex, wanted: dict[int, tuple[int, int]], change: int) -> None:
    """Add a hundred devices, then take the tag from fifty. *wanted* gets the devices with the tag, and all devices."""

    def note(*counts: int) -> None:
        number = index.snapshot.manifest.number
        wanted.update(dict.fromkeys(range(max(wanted) + 1, number + 1), counts))  # a compacted snapshot has the same

    index.update(pl.DataFrame({"token": [f"u{change}-{n}" for n in range(100)], "tags": [["new"]] * 100}))
    note(DEVICES - 50 * change, DEVICES + 100 * (change + 1))
    index.tag([f"t{50 * change + n}" for n in range(50)], remove=["known"])
    note(DEVICES - 50 * (change + 1), DEVICES + 100 * (change + 1))


def test_every_answer_is_of_one_snapshot(tmp_path, numbered):
    answers: list[tuple[int, int, int]] = []
    failures: list[str] = []

    def ask() -> None:
        with service.client() as client:
            for _ in range(REQUESTS // CALLERS):
                reply = client.post(COUNT_PATH, json={"expr": "known"})
                if reply.status_code != 200:
                    failures.append(reply.text)
                    continue
                form = reply.json()
                answers.append((form["snapshot"], form["count"], round(form["count"] / form["share"])))

    with run_service(tmp_path, "numbers.index") as service:
        wanted = {numbered.snapshot.manifest.number: (DEVICES, DEVICES)}
        threads = start_threads(CALLERS, ask)
        for change in range(UPDATES // 2):
            while len(answers) < REQUESTS * (change + 1) / (UPDATES / 2 + 2) and any(t.is_alive() for t in threads):
                time.sleep(0.01)
            change_index(numbered, wanted, change)
        for thread in threads:
            thread.join()
        assert read_last_snapshot(service, max(wanted)) == max(wanted)
    assert failures == []
    assert len(answers) == REQUESTS // CALLERS * CALLERS
    assert [answer for answer in answers if wanted[answer[0]] != answer[1:]] == []
    assert len({snapshot for snapshot, *_ in answers}) > 1


def read_last_snapshot(service, newest: int) -> int:
    """The snapshot that the service answers from, as soon as that is *newest*, or when it does not get there."""
    deadline = time.monotonic() + MOVE_SECONDS
    with service.client() as client:
        while True:
            snapshot = client.post(COUNT_PATH, json={"expr": "known"}).json()["snapshot"]
            if snapshot == newest or time.monotonic() > deadline:
                return snapshot
            time.sleep(0.05)


def test_sigterm_lets_answers_end(tmp_path):
    """Streams that are under way come to their end, calls are answered or never begun, and the exit code is 0."""
    ids = [f"token-{number:030}" for number in range(100_000)]
    DeviceIndex.build(pl.DataFrame({"token": ids, "tags": [["known"]] * len(ids)}), tmp_path / "numbers.index")
    cut: list[str] = []

    def ask() -> None:
        with service.client() as client:
            while True:
                try:
                    reply = client.post(COUNT_PATH, json={"expr": "known"})
                except (httpx.ConnectError, httpx.ReadError, httpx.WriteError):
                    return
                except httpx.RemoteProtocolError as error:
                    if "without sending a response" not in str(error):  # else it closed an idle connection
                        cut.append(str(error))
                    return
                if reply.json().get("count") != len(ids):
                    cut.append(reply.text)

    with run_service(tmp_path, "numbers.index") as service:
        threads = start_threads(4, ask)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(service.address)
            connection.settimeout(30)
            host, body = "{}:{}".format(*service.address), b'{"expr": "known"}'
            head = "POST /v1/indexes/numbers/resolve HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n"
            connection.sendall(head.format(host).encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            received = bytearray(connection.recv(4_096))
            service.process.terminate()
            while chunk := connection.recv(65_536):
                received += chunk
        assert service.process.wait(30) == 0
        for thread in threads:
            thread.join()
    [reply] = split_replies(bytes(received))
    assert sorted(json.loads(line)["token"] for line in reply.body.splitlines()) == ids
    assert cut == []
