"""Faults on demand, over real connections; what testers ask the sandbox itself; the command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from vendor_calls import (
    NOTIFICATION,
    START,
    TABLE,
    emas_call,
    emas_push_call,
    engagelab_call,
    make_router,
    send_call,
    tpns_message,
)

from audience.errors import DeliveryError
from audience.sandbox import Fault, Population, Sandbox
from audience.sandbox.router import list_log_entries, summarize_deliveries


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("drop:0.1", Fault("drop", share=0.1)),
        ("error=503:/2@emas/MassPush", Fault("error", "503", "emas", "MassPush", every=2)),
        ("late=0.5:#1@tpns/package/upload", Fault("late", "0.5", "tpns", "package/upload", nth=1)),
        ("refuse=Invalid.Parameter@emas", Fault("refuse", "Invalid.Parameter", "emas")),
    ],
)
def test_fault_parses_compact_text(text, wanted):
    assert Fault.parse(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "burn", "drop:2", "drop:#0", "delay", "delay=x", "error=404", "drop:#1:/2", "drop@", "drop 0.1"]
)
def test_invalid_fault_is_rejected(text):
    with pytest.raises(DeliveryError):
        Fault.parse(text)


@pytest.mark.parametrize(
    ("fault", "codes", "told"),
    [
        ("refuse=20101:#2", ["", "20101", ""], 2),
        ("fast:/2", ["", "23008", ""], 2),
        ("error=503:#1", ["21030", "", ""], 2),
        ("error-after:#1", ["27000", "", ""], 3),
        ("refuse:#1@tpns", ["", "", ""], 3),
        ("refuse:#1@engagelab/push/validate", ["", "", ""], 3),
        ("refuse:1", ["21003"] * 3, 0),
        ("refuse:0", [""] * 3, 3),
    ],
)
def test_fault_hits_selected_requests(fault, codes, told):
    desks = make_router()
    desks.faults = type(desks.faults)([Fault.parse(fault)])
    call = engagelab_call({"to": {"registration_id": ["r1"]}, "body": NOTIFICATION})
    assert [send_call(desks, "engagelab", call).code for _ in codes] == codes
    assert desks.states["engagelab"].delivery_log.counts_by_id().get("r1", 0) == told


def test_random_faults_are_deterministic_by_seed():
    def fault_hits(seed):
        faults = type(make_router().faults)([Fault.parse("drop:0.3", seed)])
        return [bool(faults.pick_faults("tpns", "/v3/push/app")) for _ in range(1_000)]

    assert fault_hits(1) == fault_hits(1) != fault_hits(2)
    assert 250 < sum(fault_hits(1)) < 350


def test_log_records_calls():
    desks = make_router()
    call = engagelab_call({"to": {"tag": ["a"]}, "body": NOTIFICATION})
    reply = send_call(desks, "engagelab", call)
    desks.log_call("engagelab", call, reply, [])
    [entry] = list_log_entries(desks, "engagelab")
    assert (entry["endpoint"], entry["status"], entry["devices"], entry["message"]) == (
        "/v4/push",
        200,
        2,
        reply.message_id,
    )
    assert list_log_entries(desks, "tpns") == []
    desks.reset()
    assert (list_log_entries(desks), summarize_deliveries(desks, "engagelab")["delivered"]) == ([], 0)


# Over real connections


@pytest.fixture
def sandbox():
    begun = time.monotonic()
    with Sandbox(Population(TABLE), clock=lambda: START + time.monotonic() - begun) as running:
        yield running


@pytest.fixture
def client(sandbox):
    with httpx.Client(base_url=sandbox.url, auth=("k", "s"), timeout=5) as client:
        yield client


PUSH_BODY = {"to": {"registration_id": ["r1"]}, "body": NOTIFICATION}


def test_drop_fault_accepts_the_call(sandbox, client):
    sandbox.set_faults("drop:#1")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v4/push", json=PUSH_BODY)
    assert sandbox.delivery_counts("engagelab") == {"r1": 1}
    [entry] = sandbox.log()
    assert (entry["status"], entry["devices"], entry["faults"]) == (200, 1, ("drop",))


def test_repeated_token_after_dropped_reply_delivers_once(sandbox, client):
    sandbox.set_faults("drop:#1", "error-after:#2")
    token = "c8016d13-6e76-410c-9bda-769383d11787"
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/", params=emas_push_call(IdempotentToken=token).query)
    answers = [client.post("/", params=emas_push_call(IdempotentToken=token).query) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 200]
    assert set(sandbox.delivery_counts("emas", answers[1].json()["MessageId"]).values()) == {1}
    assert sandbox.summary("emas")["most"] == 1


@pytest.mark.parametrize("path", ["/v4/push", "/"])
def test_close_fault_delivers_nothing(sandbox, client, path):
    sandbox.set_faults(Fault("close", nth=1))
    with pytest.raises(httpx.TransportError):
        client.post(path, json=PUSH_BODY)
    assert sandbox.delivery_counts("engagelab") == sandbox.delivery_counts("emas") == {}
    assert sandbox.log()[0]["status"] == 0


def test_error_fault_before_or_after_acceptance(sandbox, client):
    sandbox.set_faults("error=502:#1", "error-after=503:#2")
    assert [client.post("/v4/push", json=PUSH_BODY).status_code for _ in range(3)] == [502, 503, 200]
    assert sandbox.delivery_counts("engagelab") == {"r1": 2}


@pytest.mark.parametrize(("fault", "told"), [("delay=2", {}), ("late=2", {"r1": 1})])
def test_delay_and_late_faults_around_acceptance(sandbox, client, fault, told):
    sandbox.set_faults(fault)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v4/push", json=PUSH_BODY, timeout=0.5)
    assert sandbox.delivery_counts("engagelab") == told
    while not sandbox.log():
        time.sleep(0.02)
    assert sandbox.delivery_counts("engagelab") == {"r1": 1}  # also when nobody waits for the answer any more


def test_fault_of_action_hits_only_that_action(sandbox, client):
    sandbox.set_faults("error=500@emas/CancelPush")
    assert client.post("/", params=emas_call("CancelPush", MessageId="1").query).status_code == 500
    assert client.post("/", data=dict(emas_call("CancelPush", MessageId="1").query)).status_code == 500
    assert client.post("/", data=dict(emas_push_call().query)).status_code == 200


def test_files_are_uploaded_as_forms(sandbox, client):
    ids = "\n".join(f"{number:036}" for number in range(20_000))
    answer = client.post("/v3/push/package/upload", files={"file": ("t.txt", f"r1\n{ids}".encode())}).json()
    assert (answer["retCode"], answer["errMsg"]) == (0, "")
    said = tpns_message(audience_type="package_token_push", upload_id=answer["uploadId"])
    assert client.post("/v3/push/app", json=said).json()["ret_code"] == 0
    assert sandbox.delivery_counts("tpns") == {"r1": 1}


def test_second_sandbox_on_same_port_is_rejected(sandbox):
    with pytest.raises(DeliveryError), Sandbox(Population(TABLE), port=int(sandbox.url.rpartition(":")[2])):
        pass


def test_unknown_path_is_not_found(client):
    assert client.post("/v5/push").status_code == 404


# What testers ask the sandbox itself


def test_control_api_reports_deliveries_and_resets(client):
    first = client.post("/v4/push", json=PUSH_BODY).json()["msg_id"]
    client.post("/v4/push", json={"to": {"tag": ["a"]}, "body": NOTIFICATION})
    facts = client.get("/_sandbox/delivered").json()
    assert (facts["engagelab"]["delivered"], facts["engagelab"]["twice"], facts["tpns"]["delivered"]) == (2, 1, 0)
    assert client.get("/_sandbox/delivered?vendor=engagelab&ids=1").json()["ids"] == {"r1": 2, "r2": 1}
    assert client.get(f"/_sandbox/delivered?vendor=engagelab&message={first}").json()["ids"] == {"r1": 1}
    assert [entry["number"] for entry in client.get("/_sandbox/log?vendor=engagelab&last=1").json()] == [2]
    assert client.post("/_sandbox/reset").json() == {}
    assert client.get("/_sandbox/delivered?vendor=engagelab").json()["delivered"] == 0
    assert client.get("/_sandbox/log").json() == []


def test_control_api_sets_faults(client):
    assert client.post("/_sandbox/faults", json=["fast:#1", {"kind": "refuse", "value": 21009, "nth": 2}]).json()
    assert [fault["kind"] for fault in client.get("/_sandbox/faults").json()] == ["fast", "refuse"]
    assert [client.post("/v4/push", json=PUSH_BODY).json().get("code") for _ in range(3)] == [23008, 21009, None]
    client.post("/_sandbox/reset")
    assert client.post("/v4/push", json=PUSH_BODY).json()["code"] == 23008


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/_sandbox/faults", '["burn"]', 400),
        ("POST", "/_sandbox/faults", '[{"kind": "drop", "nth": "1"}]', 400),
        ("POST", "/_sandbox/faults", '[{"of": "drop"}]', 400),
        ("POST", "/_sandbox/faults", "{}", 400),
        ("POST", "/_sandbox/faults", "burn", 400),
        ("GET", "/_sandbox/delivered?vendor=pinpoint", "", 400),
        ("GET", "/_sandbox/log?last=all", "", 400),
        ("GET", "/_sandbox/nowhere", "", 404),
        ("POST", "/_sandbox/delivered", "", 404),
    ],
)
def test_control_api_rejects_invalid_requests(client, method, path, body, status):
    answer = client.request(method, path, content=body)
    assert (answer.status_code, len(answer.json()["problems"])) == (status, 1)


# The command


def start_command(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "audience", "sandbox", *words]
    return subprocess.Popen(
        command,
        cwd=folder,
        text=True,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_command_prints_url_then_summary(tmp_path, signal_):
    TABLE.drop("tags", "account").write_csv(tmp_path / "devices.csv")
    words = ("--devices", "devices.csv", "--ready-file", "ready", "--fault", "fast:#2", "--json")
    with start_command(tmp_path, *words, AUDIENCE_SANDBOX_SECRET="s") as process:
        url = json.loads(process.stdout.readline())["url"]
        while not (tmp_path / "ready").exists():
            time.sleep(0.02)
        assert (tmp_path / "ready").read_text() == f"{url}\n"
        codes = [httpx.post(f"{url}/v4/push", json=PUSH_BODY, auth=("k", secret)).status_code for secret in "sssx"]
        process.send_signal(signal_)
        out, err = process.communicate(timeout=20)
    assert codes == [200, 400, 200, 401]
    assert json.loads(out)["engagelab"]["delivered"] == 1
    assert (process.returncode, err, (tmp_path / "ready").exists()) == (0, "", False)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), "no-devices"),
        (("--generate", "1", "--devices", "x.csv"), "bad-option"),
        (("--devices", "nowhere.csv"), "unreadable"),
        (("--generate", "1", "--fault", "burn"), "bad-fault"),
        (("--generate", "1", "--rate", "0"), "bad-option"),
        (("--generate", "1", "--rate", "fast"), "bad-option"),
        (("--generate", "1", "--name", "emas"), "bad-option"),
        (("--generate", "1", "--name", "pinpoint={value}"), "unknown-vendor"),
    ],
)
def test_command_rejects_invalid_options(audience, words, code):
    ended, _, err = audience("sandbox", *words, "--json")
    assert (ended, json.loads(err)["errors"][0]["code"]) == (2, code)
