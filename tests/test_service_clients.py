"""Clients in other languages, and with httpx, count and resolve."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from audience import DeviceIndex

CLIENTS = Path(__file__).parent / "clients"
EXPRESSION = "vip_gold AND province:四川"


@pytest.fixture(scope="module")
def wanted(service):
    """The answer of the library."""
    index = DeviceIndex.open(service.folder / "people.index")
    ids = index.resolve(EXPRESSION).to_frame(["device_id"])["device_id"].to_list()
    assert len(ids) > 10
    return {"count": len(ids), "snapshot": index.snapshot.manifest.number, "devices": sorted(ids)}


def run_client(service, *command: str) -> dict:
    """What a client prints, as JSON."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [*command, service.url, "people", EXPRESSION],
        capture_output=True,
        timeout=120,
        env={**os.environ, "LC_ALL": "C.UTF-8"},  # in which Java reads its arguments
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_javascript_counts_and_resolves(service, wanted):
    answer = run_client(service, "node", str(CLIENTS / "client.mjs"))
    assert {**answer, "devices": sorted(answer["devices"])} == {**wanted, "refused": "400 missing-operand"}


def test_java_counts_and_resolves(service, wanted):
    options = ["-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"]
    answer = run_client(service, "java", *options, str(CLIENTS / "Client.java"))
    devices = sorted(line["device_id"] for line in answer.pop("lines"))
    assert {**answer, "devices": devices} == {**wanted, "refused": "400 missing-operand"}


def test_httpx_counts_and_resolves(service, wanted):
    with service.client() as client:
        reply = client.post("/v1/indexes/people/count", json={"expr": EXPRESSION})
        assert (reply.json()["count"], reply.json()["snapshot"]) == (wanted["count"], wanted["snapshot"])
        body = {"expr": EXPRESSION, "columns": ["device_id"]}
        with client.stream("POST", "/v1/indexes/people/resolve", json=body) as stream:
            assert stream.headers["audience-count"] == str(wanted["count"])
            devices = [json.loads(line)["device_id"] for line in stream.iter_lines()]
    assert sorted(devices) == wanted["devices"]
