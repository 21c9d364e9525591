"""Activity log: what commands and the service do, in lines that hold nothing about any person."""

import json
import logging
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from service import build_index, make_table, run_serve

from audience import OutputError, activity_log
from audience.activity_log import EVENTS, log_activity, write_activity_log
from audience.delivery import send
from audience.delivery.sender.batch_log import describe_problem
from audience.errors import Problem
from audience.sandbox import Population, Sandbox
from audience.server.keys import add_key
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_ids,
    make_send_options,
    register_fake_vendors,
    write_run_folder,
)

DEVICES = 40
MESSAGE_TEXT, SECRET = "Words of the message", "very-secret"
COMMON_FIELDS = {"event", "level", "pid", "at", "command"}
DOCS = Path(__file__).parents[1] / "docs" / "logs.md"


def read_lines(file: Path) -> list[dict]:
    """Lines of a log, each with fields that its event may have and no others."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        assert line.keys() - COMMON_FIELDS <= set(EVENTS[line["event"]]), line
        assert line.keys() >= COMMON_FIELDS
    return lines


def list_events(file: Path, *left_out: str) -> list[str]:
    return [line["event"] for line in read_lines(file) if line["event"] not in left_out]


def run_audience(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "audience", *map(str, words)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_index(tmp_path, DEVICES)
    Path("message.json").write_text(json.dumps({"title": MESSAGE_TEXT, "body": MESSAGE_TEXT}))
    Path("keys.toml").touch(0o600)
    Path("keys.toml").write_text(f'[engagelab]\napp_key = "k"\nmaster_secret = "{SECRET}"\n')
    return tmp_path


def find_personal(text: str) -> list[str]:
    """Ids, keys, texts of messages and parts of expressions in a text."""
    words = [*make_table(DEVICES)["token"], *make_table(DEVICES)["alias"], "guangdong", "province", "male"]
    return [
        word for word in (*words, MESSAGE_TEXT, SECRET) if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)
    ]


def test_commands_log_what_they_do_and_nothing_about_persons(home):
    with Sandbox(Population(make_table(DEVICES)), rate=None) as sandbox:
        calling = ["--credentials", "keys.toml", "--host", sandbox.url, "--log", "log"]
        expr = "province:guangdong AND NOT token(t3, t6) OR male"
        run_audience("emit", "devices.index", expr, "--vendor", "engagelab", "-o", "one", "--log", "log")
        run_audience("send", "one", "--message", "message.json", "--max-devices", "99", *calling)
        run_audience("resume", "one", *calling)
        run_audience("cancel", "one", "--log", "log")
        run_audience("send", "one", "--message", "message.json", "--max-devices", "99", *calling, code=2)
        run_audience("campaign", "devices.index", "male", "--vendors", "engagelab", "-o", "two", "--log", "log")
    lines, text = read_lines(home / "log"), (home / "log").read_text()
    assert find_personal(text) == []
    assert stat.S_IMODE((home / "log").stat().st_mode) == 0o600
    assert list_events(home / "log", "command-started", "command-ended") == [
        *["requests-written", "run-created", "worker-started", "batch-sent", "batch-accepted", "worker-ended"],
        *["worker-started", "worker-ended", "run-cancelled", "requests-written"],
    ]
    ended = [(line["command"], line.get("code"), line.get("exit_code")) for line in lines if "seconds" in line]
    assert ended == [
        *[("emit", None, 0), ("send", None, 0), ("resume", None, 0), ("cancel", None, 0)],
        *[("send", "begun", None), ("campaign", None, 0)],
    ]
    [accepted] = [line for line in lines if line["event"] == "batch-accepted"]
    [written] = [line for line in lines if line["event"] == "requests-written" and line["command"] == "emit"]
    assert accepted["ids"] == written["ids"] > 0


@pytest.fixture
def fake_vendor():
    unregister = register_fake_vendors(make_delivery())
    yield
    unregister()


def test_outcomes_of_batches_have_codes_and_no_texts_of_the_vendor(fake_vendor, tmp_path):
    ids = make_ids(60)
    answers = {2: (400, "refused"), 4: (503, "in-doubt"), 6: (429, "again"), 7: (401, "stopped")}
    service = FakeService()

    def answer(request):
        service.call_count += 1
        status, error = answers.get(service.call_count, (200, None))
        if error is None:
            return httpx.Response(200, json={"accepted": f"m-{service.call_count}"})
        return httpx.Response(status, json={"error": error, "words": f"of {ids[3]} and {SECRET}"})

    folder = write_run_folder(tmp_path / "run", ids)
    options = make_send_options(httpx.MockTransport(answer), concurrency=1)
    with write_activity_log(tmp_path / "log", "test", pytest.fail):
        send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=options)
    lines = read_lines(tmp_path / "log")
    outcomes = {line["event"]: line["code"] for line in lines if line.get("code")}
    assert outcomes.keys() >= {"batch-rejected", "batch-in-doubt", "batch-retry", "run-stopped"}
    assert not re.search(rf"{SECRET}|words|\br3\b", (tmp_path / "log").read_text())
    ended = {line["batch"] for line in lines if line["event"] in ("batch-accepted", "batch-rejected")}
    assert ended <= {line["batch"] for line in lines if line["event"] == "batch-sent"}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("HTTP 503 'bad id r1'", "HTTP 503"),
        ("HTTP r1", None),
        ("r1 is bad", None),
        ("100 'of r1': refused", "100"),
        ("", None),
    ],
)
def test_code_of_vendor_is_one_that_is_known(message, code):
    from audience.vendors.delivery_spec import ErrorCode

    delivery = make_delivery(error_codes=(ErrorCode("100", "rejected", "refused", "", "the docs"),))
    assert describe_problem(Problem("rejected", message), delivery) == {"code": "rejected", "vendor_code": code}


def test_events_take_no_other_fields(caplog):
    log_activity("batch-sent", anything="r1")  # nobody listens: nothing is done
    with caplog.at_level(logging.INFO, "audience.activity"), pytest.raises(ValueError, match="no field ids_sent"):
        log_activity("batch-sent", ids_sent=1)
    with caplog.at_level(logging.INFO, "audience.activity"):
        log_activity("batch-sent", batch=1, ids=None)
    assert [(record.message, record.batch, hasattr(record, "ids")) for record in caplog.records] == [
        ("batch-sent", 1, False)
    ]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_log_that_is_no_file_is_refused_before_anything_is_done(home, make):
    make(home / "log")
    error = run_audience("emit", "devices.index", "male", "--vendor", "engagelab", "-o", "R", "--log", "log", code=2)
    assert error.startswith("cannot-write: ")
    assert not (home / "R").exists()


def test_lost_line_is_reported_once_and_stops_nothing(tmp_path, monkeypatch):
    problems = []
    monkeypatch.setattr(activity_log, "_open_text", lambda path: open("/dev/full", "a"))  # noqa: SIM115, PTH123
    with write_activity_log(tmp_path / "log", "test", problems.append):
        log_activity("command-started")
        log_activity("command-started")
    assert [problem.code for problem in problems] == ["log-lost"]


def test_log_goes_on_after_rotation_and_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to("log")
    with write_activity_log(tmp_path / "link", "test", pytest.fail):
        log_activity("command-started")
        (tmp_path / "log").rename(tmp_path / "log.1")
        log_activity("command-ended", exit_code=0)
    assert list_events(tmp_path / "log.1") == ["command-started"]
    assert list_events(tmp_path / "log") == ["command-ended"]


def test_nothing_is_logged_after_the_end(tmp_path):
    with write_activity_log(tmp_path / "log", "test", pytest.fail):
        pass
    log_activity("command-started")
    assert (tmp_path / "log").read_text() == ""
    with pytest.raises(OutputError, match="cannot-write"), write_activity_log(tmp_path / "no" / "log", "", pytest.fail):
        pass


def make_calls(client):
    """Good and bad calls, and a run that is sent."""
    body = {"expr": "province:guangdong"}
    client.post("/v1/indexes/devices/count", json=body)
    client.post("/v1/indexes/devices/count", json={"expr": "alias(u1"})
    client.post("/v1/indexes/devices/count", json=body, headers={"Authorization": "Bearer x"})
    client.get("/v1/indexes/devices/attributes/province?prefix=guang")
    client.get("/t1/u1?province=guangdong")
    client.request("MALE", "/v1/indexes")
    body |= {"name": "spring", "vendor": "engagelab", "message": {"title": MESSAGE_TEXT, "body": MESSAGE_TEXT}}
    devices = client.post("/v1/indexes/devices/runs", json=body).json()["dry_run"]["devices"]
    assert client.post("/v1/runs/spring/send", json={"devices": devices}).status_code == 202
    while client.get("/v1/runs/spring").json()["state"] not in ("done", "failed"):
        time.sleep(0.1)


@pytest.mark.parametrize("workers", [1, 2])
def test_service_logs_calls_without_expressions_and_ids(home, workers):
    (home / "runs").mkdir(0o700)
    token = add_key(home / "keys", "boss", ["count", "ids", "write", "send"])
    options = [
        "--keys",
        "keys",
        "--runs",
        "runs",
        "--credentials",
        "keys.toml",
        "--workers",
        workers,
        "--log",
        "access",
    ]
    with Sandbox(Population(make_table(DEVICES)), rate=None) as sandbox:
        options += ["--vendor-host", sandbox.url]
        headers = {"Authorization": f"Bearer {token}"}
        with (
            run_serve("devices.index", *options, folder=home) as service,
            httpx.Client(base_url=service.url, headers=headers, timeout=60) as client,
        ):
            make_calls(client)
            service.stop()
    lines = read_lines(home / "access")
    calls = [line for line in lines if line["event"] == "call"]
    shown = [(call["method"], call["path"], call["status"], call.get("key"), "bytes" in call) for call in calls]
    count = ("POST", "/v1/indexes/{index}/count")
    assert shown[:3] == [(*count, 200, "boss", True), (*count, 400, "boss", True), (*count, 401, None, False)]
    assert ("GET", "/v1/indexes/{index}/attributes/{attribute}", 200, "boss", False) in shown
    assert ("GET", "other", 404, None, False) in shown
    assert all(call["ms"] >= 0 for call in calls)
    assert [line["command"] for line in lines if line["event"] == "batch-accepted"] == ["send"]
    assert find_personal((home / "access").read_text()) == []
    assert stat.S_IMODE((home / "access").stat().st_mode) == 0o600
    others = [line["event"] for line in lines if line["command"] == "serve" and line["event"] != "call"]
    assert others == ["command-started", "requests-written", "command-ended"]


def test_documentation_lists_every_event_with_its_fields():
    rows = re.findall(r"^\| `([\w-]+)` \|.*\|([^|]*)\|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)`", fields)) for name, fields in rows} == dict(EVENTS)
