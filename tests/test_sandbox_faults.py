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
from vendor_calls import NOTIFICATION, TABLE, desks_of, emas, engagelab, message, push, say

from audience.errors import DeliveryError
from audience.sandbox import Fault, Population, Sandbox
from audience.sandbox.router import entries, summary


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("drop:0.1", Fault("drop", share=0.1)),
        ("error=503:/2@emas/MassPush", Fault("error", "503", "emas", "MassPush", every=2)),
        ("late=0.5:#1@tpns/package/upload", Fault("late", "0.5", "tpns", "package/upload", nth=1)),
        ("refuse=Invalid.Parameter@emas", Fault("refuse", "Invalid.Parameter", "emas")),
    ],
)
def test_faults_are_written_in_one_word(text, wanted):
    assert Fault.read(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "burn", "drop:2", "drop:#0", "delay", "delay=x", "error=404", "drop:#1:/2", "drop@", "drop 0.1"]
)
def test_what_is_no_fault_is_refused(text):
    with pytest.raises(DeliveryError):
        Fault.read(text)


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
def test_a_fault_meets_the_requests_that_it_picks(fault, codes, told):
    desks = desks_of()
    desks.faults = type(desks.faults)([Fault.read(fault)])
    call = engagelab({"to": {"registration_id": ["r1"]}, "body": NOTIFICATION})
    assert [say(desks, "engagelab", call).code for _ in codes] == codes
    assert desks.desks["engagelab"].told.by_id().get("r1", 0) == told


def test_faults_by_chance_are_the_same_for_the_same_seed():
    def hits(seed):
        faults = type(desks_of().faults)([Fault.read("drop:0.3", seed)])
        return [bool(faults.pick("tpns", "/v3/push/app")) for _ in range(1_000)]

    assert hits(1) == hits(1) != hits(2)
    assert 250 < sum(hits(1)) < 350


def test_the_log_tells_what_was_called():
    desks = desks_of()
    call = engagelab({"to": {"tag": ["a"]}, "body": NOTIFICATION})
    reply = say(desks, "engagelab", call)
    desks.write("engagelab", call, reply, [])
    [entry] = entries(desks, "engagelab")
    assert (entry["endpoint"], entry["status"], entry["devices"], entry["message"]) == (
        "/v4/push",
        200,
        2,
        reply.message,
    )
    assert entries(desks, "tpns") == []
    desks.reset()
    assert (entries(desks), summary(desks, "engagelab")["told"]) == ([], 0)


# Over real connections


@pytest.fixture
def sandbox():
    with Sandbox(Population(TABLE)) as running:
        yield running


@pytest.fixture
def client(sandbox):
    with httpx.Client(base_url=sandbox.url, auth=("k", "s"), timeout=5) as client:
        yield client


PUSH = {"to": {"registration_id": ["r1"]}, "body": NOTIFICATION}


def test_a_dropped_reply_was_accepted(sandbox, client):
    sandbox.fail("drop:#1")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v4/push", json=PUSH)
    assert sandbox.told("engagelab") == {"r1": 1}
    [entry] = sandbox.log()
    assert (entry["status"], entry["devices"], entry["faults"]) == (200, 1, ("drop",))


def test_a_token_that_is_said_again_after_a_dropped_reply_tells_nobody_twice(sandbox, client):
    sandbox.fail("drop:#1", "error-after:#2")
    token = "c8016d13-6e76-410c-9bda-769383d11787"
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/", params=push(IdempotentToken=token).query)
    answers = [client.post("/", params=push(IdempotentToken=token).query) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 200]
    assert set(sandbox.told("emas", answers[1].json()["MessageId"]).values()) == {1}
    assert sandbox.summary("emas")["most"] == 1


@pytest.mark.parametrize("path", ["/v4/push", "/"])
def test_a_closed_connection_has_told_nobody(sandbox, client, path):
    sandbox.fail(Fault("close", nth=1))
    with pytest.raises(httpx.TransportError):
        client.post(path, json=PUSH)
    assert sandbox.told("engagelab") == sandbox.told("emas") == {}
    assert sandbox.log()[0]["status"] == 0


def test_an_error_comes_before_or_after_the_push_was_accepted(sandbox, client):
    sandbox.fail("error=502:#1", "error-after=503:#2")
    assert [client.post("/v4/push", json=PUSH).status_code for _ in range(3)] == [502, 503, 200]
    assert sandbox.told("engagelab") == {"r1": 2}


@pytest.mark.parametrize(("fault", "told"), [("delay=2", {}), ("late=2", {"r1": 1})])
def test_a_slow_answer_finds_the_push_accepted_or_not_yet(sandbox, client, fault, told):
    sandbox.fail(fault)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v4/push", json=PUSH, timeout=0.5)
    assert sandbox.told("engagelab") == told
    while not sandbox.log():
        time.sleep(0.02)
    assert sandbox.told("engagelab") == {"r1": 1}  # also when nobody waits for the answer any more


def test_a_fault_of_an_action_meets_that_action_only(sandbox, client):
    sandbox.fail("error=500@emas/CancelPush")
    assert client.post("/", params=emas("CancelPush", MessageId="1").query).status_code == 500
    assert client.post("/", data=dict(emas("CancelPush", MessageId="1").query)).status_code == 500
    assert client.post("/", data=dict(push().query)).status_code == 200


def test_files_are_uploaded_as_forms(sandbox, client):
    ids = "\n".join(f"{number:036}" for number in range(20_000))
    answer = client.post("/v3/push/package/upload", files={"file": ("t.txt", f"r1\n{ids}".encode())}).json()
    assert (answer["retCode"], answer["errMsg"]) == (0, "")
    said = message(audience_type="package_token_push", upload_id=answer["uploadId"])
    assert client.post("/v3/push/app", json=said).json()["ret_code"] == 0
    assert sandbox.told("tpns") == {"r1": 1}


def test_two_sandboxes_do_not_share_a_port(sandbox):
    with pytest.raises(DeliveryError), Sandbox(Population(TABLE), port=int(sandbox.url.rpartition(":")[2])):
        pass


def test_a_path_that_no_vendor_has_is_not_found(client):
    assert client.post("/v5/push").status_code == 404


# What testers ask the sandbox itself


def test_testers_see_who_was_told_and_start_afresh(client):
    first = client.post("/v4/push", json=PUSH).json()["msg_id"]
    client.post("/v4/push", json={"to": {"tag": ["a"]}, "body": NOTIFICATION})
    facts = client.get("/_sandbox/told").json()
    assert (facts["engagelab"]["told"], facts["engagelab"]["twice"], facts["tpns"]["told"]) == (2, 1, 0)
    assert client.get("/_sandbox/told?vendor=engagelab&ids=1").json()["ids"] == {"r1": 2, "r2": 1}
    assert client.get(f"/_sandbox/told?vendor=engagelab&message={first}").json()["ids"] == {"r1": 1}
    assert [entry["number"] for entry in client.get("/_sandbox/log?vendor=engagelab&last=1").json()] == [2]
    assert client.post("/_sandbox/reset").json() == {}
    assert client.get("/_sandbox/told?vendor=engagelab").json()["told"] == 0
    assert client.get("/_sandbox/log").json() == []


def test_testers_put_faults_in_place(client):
    assert client.post("/_sandbox/faults", json=["fast:#1", {"kind": "refuse", "value": 21009, "nth": 2}]).json()
    assert [fault["kind"] for fault in client.get("/_sandbox/faults").json()] == ["fast", "refuse"]
    assert [client.post("/v4/push", json=PUSH).json().get("code") for _ in range(3)] == [23008, 21009, None]
    client.post("/_sandbox/reset")
    assert client.post("/v4/push", json=PUSH).json()["code"] == 23008


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/_sandbox/faults", '["burn"]', 400),
        ("POST", "/_sandbox/faults", '[{"kind": "drop", "nth": "1"}]', 400),
        ("POST", "/_sandbox/faults", '[{"of": "drop"}]', 400),
        ("POST", "/_sandbox/faults", "{}", 400),
        ("POST", "/_sandbox/faults", "burn", 400),
        ("GET", "/_sandbox/told?vendor=fcm", "", 400),
        ("GET", "/_sandbox/log?last=all", "", 400),
        ("GET", "/_sandbox/nowhere", "", 404),
        ("POST", "/_sandbox/told", "", 404),
    ],
)
def test_what_testers_cannot_ask_is_said(client, method, path, body, status):
    answer = client.request(method, path, content=body)
    assert (answer.status_code, len(answer.json()["problems"])) == (status, 1)


# The command


def started(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "audience", "sandbox", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, text=True, env={**os.environ, **environment}, **pipes)


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_url_first_and_who_was_told_last(tmp_path, signal_):
    TABLE.drop("tags", "account").write_csv(tmp_path / "devices.csv")
    words = ("--devices", "devices.csv", "--ready-file", "ready", "--fault", "fast:#2", "--json")
    with started(tmp_path, *words, AUDIENCE_SANDBOX_SECRET="s") as process:
        url = json.loads(process.stdout.readline())["url"]
        while not (tmp_path / "ready").exists():
            time.sleep(0.02)
        assert (tmp_path / "ready").read_text() == f"{url}\n"
        codes = [httpx.post(f"{url}/v4/push", json=PUSH, auth=("k", secret)).status_code for secret in "sssx"]
        process.send_signal(signal_)
        out, err = process.communicate(timeout=20)
    assert codes == [200, 400, 200, 401]
    assert json.loads(out)["engagelab"]["told"] == 1
    assert (process.returncode, err, (tmp_path / "ready").exists()) == (0, "", False)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), "no-devices"),
        (("--generate", "1", "--devices", "x.csv"), "no-devices"),
        (("--devices", "nowhere.csv"), "unreadable"),
        (("--generate", "1", "--fault", "burn"), "bad-fault"),
        (("--generate", "1", "--rate", "0"), "bad-option"),
        (("--generate", "1", "--rate", "fast"), "bad-option"),
        (("--generate", "1", "--name", "emas"), "bad-option"),
        (("--generate", "1", "--name", "fcm={value}"), "unknown-vendor"),
    ],
)
def test_the_command_refuses_what_it_cannot_serve(audience, words, code):
    ended, _, err = audience("sandbox", *words, "--json")
    assert (ended, json.loads(err)["errors"][0]["code"]) == (2, code)
