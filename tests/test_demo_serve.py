"""`audience demo --serve`: a console that can be tried as a whole, and leaves nothing."""

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

WAIT_SECONDS = 90
MESSAGE = {"title": "Hello", "body": "from the demo"}


@pytest.fixture
def demo(tmp_path):
    """Process and URL of a demonstration whose folder is made in *tmp_path*."""
    command = [sys.executable, "-m", "audience", "demo", "--serve", "--port", "0", "--devices", "500"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_all_of_it_can_be_tried_and_nothing_is_left(demo, tmp_path):
    process, url = demo
    with httpx.Client(base_url=url, timeout=60) as client:
        described = client.get("/v1/indexes/devices").json()
        assert described["devices"] == 500
        assert [event["name"] for event in described["events"]] == ["purchase"]
        segments = client.get("/v1/indexes/devices/segments").json()["segments"]
        assert [each["name"] for each in segments if not each["devices"]] == []
        plans = client.post("/v1/indexes/devices/plans", json={"expr": "vip_gold"}).json()["plans"]
        assert plans["tpns"]["requests"] == 1
        body = {"name": "hello", "expr": "age < 30", "vendor": "engagelab", "message": MESSAGE}
        devices = client.post("/v1/indexes/devices/runs", json=body).json()["dry_run"]["devices"]
        assert client.post("/v1/runs/hello/send", json={"devices": devices}).status_code == 202
        deadline = time.monotonic() + WAIT_SECONDS
        while (shown := client.get("/v1/runs/hello").json())["state"] != "done":
            assert time.monotonic() < deadline, shown
            time.sleep(0.2)
        assert (shown["accepted"], shown["batches"]["accepted"]) == (devices, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert list(tmp_path.iterdir()) == []
