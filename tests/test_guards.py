"""Sends that are rejected before the first call, and the output and exit codes of the delivery commands."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import time_machine

from audience import DeviceIndex
from audience.delivery.ledger.connection import LEDGER_FILE
from audience.errors import Problem
from audience.requests.reader import message_to_json, read_message
from audience.testing import fake_vendor
from audience.testing.fake_vendor import FakeService, make_delivery, make_ids, run_server, write_run_folder

KEY_VARIABLES = {"AUDIENCE_FAKE_KEY": "k1", "AUDIENCE_FAKE_SECRET": "s3cr3t-w0rd"}


@pytest.fixture
def service(monkeypatch):
    """Yield the fake vendor, served on loopback, with its keys in the environment."""
    service, unregister = (
        FakeService(),
        fake_vendor.register_fake_vendors(make_delivery(warnings=lambda body: [Problem("cut", "it is cut")])),
    )
    with run_server(service) as url:
        for name, value in {**KEY_VARIABLES, "AUDIENCE_FAKE_HOST": url}.items():
            monkeypatch.setenv(name, value)
        yield service
    unregister()


@pytest.fixture
def message(tmp_path) -> str:
    (tmp_path / "m.json").write_text('{"title": "Hi", "body": "there"}')
    return str(tmp_path / "m.json")


@pytest.fixture
def run(tmp_path) -> str:
    return str(write_run_folder(tmp_path / "run", make_ids(95)))


def test_send_and_status_output(audience, service, run, message):
    code, out, err = audience("send", run, "--message", message, "--expect", "95")
    assert (code, out) == (0, "fake: batches: 10 accepted; ids: 95 accepted\n")
    assert "cut: it is cut" in err
    assert audience("status", run) == (0, out, "")
    code, out, err = audience("status", run, "--json")
    assert (code, json.loads(out)["fake"]["ids"]["accepted"], err) == (0, 95, "")
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


REJECTED_SENDS = {
    "no size": ([], "no-size"),
    "more than expected": (["--expect", "94"], "too-many"),
    "fewer than expected": (["--expect", "96"], "other-size"),
    "fewer than expected, as a bound": (["--expect", "96", "--max-devices", "100"], "--max-devices"),
    "more than expected in a broadcast": (["--expect", "94", "--broadcast"], "too-many"),
    "more than allowed": (["--max-devices", "94"], "too-many"),
    "unknown method": (["--expect", "95", "--method", "lists"], "did you mean list?"),
    "unknown host": (["--expect", "95", "--host", "ther"], "unknown-host"),
    "plain HTTP": (["--expect", "95", "--host", "http://push.example"], "plain-http"),
    "timeout that is not a number": (["--expect", "95", "--timeout", "nan"], "--timeout"),
    "infinite timeout": (["--expect", "95", "--timeout", "inf"], "--timeout"),
    "too many attempts": (["--expect", "95", "--attempts", "1001"], "--attempts"),
    "missing credentials file": (["--expect", "95", "--credentials", "nowhere.toml"], "nowhere.toml"),
    "--validate without --dry-run": (["--expect", "95", "--validate"], "bad-option"),
    "vendor without validation": (["--expect", "95", "--dry-run", "--validate"], "no-dry-run"),
}


@pytest.mark.parametrize(("arguments", "expected"), REJECTED_SENDS.values(), ids=REJECTED_SENDS.keys())
def test_rejected_send_makes_no_call(audience, service, run, message, arguments, expected):
    code, out, err = audience("send", run, "--message", message, *arguments)
    assert (code, out, service.call_count) == (2, "", 0)
    assert expected in err
    assert not (Path(run) / LEDGER_FILE).exists()


@pytest.mark.parametrize(("kind", "count"), [("ignored_ids", 95), ("bad_ids", 95), ("bad_ids", 1)])
def test_exit_code_is_1_if_not_everybody_was_reached(audience, service, run, message, kind, count):
    setattr(service, kind, set(make_ids(count)))
    code, out, err = audience("send", run, "--message", message, "--expect", "95", "--json")
    assert (code, json.loads(out)["fake"]["done"], sum(json.loads(out)["fake"]["invalid_ids"].values())) == (
        1,
        True,
        count,
    )
    assert "not-reached" in err
    assert str(count) in err
    assert audience("status", run)[0] == 1
    assert audience("resume", run)[0] == 1


def test_exit_code_is_1_if_a_call_was_rejected(audience, service, tmp_path, message):
    service.fault = lambda call: "refused"
    run = str(write_run_folder(tmp_path / "all", [], native=[{"everyone": True}]))
    code, _, err = audience("send", run, "--message", message, "--broadcast")
    assert (code, "not everybody was reached: 1 rejected native request" in err) == (1, True)


@pytest.mark.parametrize("text", ["", "x", "-1%", "101%", "nan", "inf", "2%%", "1e1", "%"])
def test_bad_share_of_unknown_ids_is_refused(audience, service, run, message, text):
    code, _, err = audience("send", run, "--message", message, "--expect", "95", f"--max-unknown={text}")
    assert (code, service.call_count) == (2, 0)
    assert "max-unknown" in err


def test_broadcast_requires_option(audience, service, tmp_path, message):
    run = str(write_run_folder(tmp_path / "all", [], native=[{"everyone": True}]))
    arguments = ["send", run, "--message", message, "--max-devices", "1000"]
    code, _, err = audience(*arguments)
    assert (code, service.call_count) == (2, 0)
    assert "--broadcast" in err
    assert audience("send", run, "--message", message, "--broadcast")[0] == 0
    assert service.delivery_counts == {"everyone": 1}


def test_empty_audience_sends_nothing_and_needs_no_keys(audience, service, tmp_path, message, monkeypatch):
    run = str(write_run_folder(tmp_path / "none", []))
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name)
    code, out, err = audience("send", run, "--message", message, "--expect", "0")
    assert (code, service.call_count) == (0, 0)
    assert "nothing to send" in out + err
    assert not (Path(run) / LEDGER_FILE).exists()


BAD_MESSAGES = {
    "invalid JSON": ("{", "bad-json"),
    "unknown key": ('{"titel": "x"}', "did you mean title?"),
    "empty message": ("{}", "empty-message"),
    "duplicate key": ('{"title": "a", "data": {"k": 1, "k": 2}}', "duplicate key 'k'"),
    "fields for an unknown vendor": ('{"title": "a", "vendor": {"fkae": {"x": 1}}}', "did you mean fake?"),
    "NaN": ('{"title": "a", "data": {"n": NaN}}', "unwritable"),
    "deep nesting": ('{"title": "a", "data": {"n": ' + "[" * 100_000, "bad-json"),
    "unpaired surrogate": ('{"title": "\\ud83d"}', "unwritable"),
}


@pytest.mark.parametrize(("text", "expected"), BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_invalid_message_is_rejected(audience, service, run, tmp_path, text, expected):
    (tmp_path / "bad.json").write_text(text)
    code, _, err = audience("send", run, "--message", str(tmp_path / "bad.json"), "--expect", "95")
    assert (code, service.call_count) == (2, 0)
    assert expected in err


@pytest.mark.parametrize("number", [2**70, -(2**70), 123456789012345678901234567890, 1.5])
def test_message_numbers_are_kept_exactly(tmp_path, number):
    (tmp_path / "m.json").write_text(f'{{"title": "a", "data": {{"n": {number}}}}}')
    message = read_message(tmp_path / "m.json")
    assert message.data == {"n": number}
    (tmp_path / "kept.json").write_bytes(message_to_json(message))
    assert read_message(tmp_path / "kept.json") == message


PLAN_DAMAGES = {
    "changed request": lambda run: (run / "requests-00001.ndjson").write_text(
        (run / "requests-00001.ndjson").read_text().replace('"r1"', '"x1"')
    ),
    "missing request": lambda run: (run / "requests-00001.ndjson").write_text(""),
    "missing file": lambda run: (run / "requests-00001.ndjson").unlink(),
    "manifest with fewer devices than ids": lambda run: (run / "manifest.json").write_text(
        (run / "manifest.json").read_text().replace('"devices": 95', '"devices": 5')
    ),
    "manifest that messages more devices than it has": lambda run: (run / "manifest.json").write_text(
        (run / "manifest.json").read_text().replace('"messaged_count": 95', '"messaged_count": 96')
    ),
    "invalid manifest": lambda run: (run / "manifest.json").write_text("[]"),
    "missing manifest": lambda run: (run / "manifest.json").unlink(),
}


@pytest.mark.parametrize("damage", PLAN_DAMAGES.values(), ids=PLAN_DAMAGES.keys())
def test_damaged_plan_is_rejected(audience, service, run, message, damage):
    damage(Path(run))
    code, _, err = audience("send", run, "--message", message, "--max-devices", "1000")
    assert (code, service.call_count) == (2, 0)
    assert "damaged-plan" in err or "manifest.json" in err


def test_dry_run_makes_no_calls(audience, service, run, message):
    code, out, _ = audience("send", run, "--message", message, "--expect", "95", "--dry-run")
    assert (code, service.call_count) == (0, 0)
    assert "10 calls by list" in out
    assert not (Path(run) / LEDGER_FILE).exists()
    assert audience("send", run, "--message", message, "--expect", "95")[0] == 0


def test_dry_run_uses_vendor_validation(audience, service, run, message):
    unregister = fake_vendor.register_fake_vendors(make_delivery(dry_run=fake_vendor.build_request))
    service.bad_ids, service.delivery_counts = {"r7"}, {}
    try:
        arguments = ["send", run, "--message", message, "--expect", "95", "--dry-run", "--validate", "--json"]
        code, out, err = audience(*arguments)
    finally:
        unregister()
    assert (code, service.call_count) == (1, 10)
    assert json.loads(out)[0]["checked"] == 10
    assert json.loads(err.splitlines()[-1])["errors"][0]["code"] == "bad-ids"


def test_stop_reason_is_reported_and_resume_continues(audience, service, run, message):
    service.fault = lambda call: "stopped"
    code, out, err = audience("send", run, "--message", message, "--expect", "95")
    assert code == 1
    assert "10 todo" in out
    assert "stopped: call" in err
    code, _, err = audience("send", run, "--message", message, "--expect", "95")
    assert code == 2
    assert f"audience resume {run}" in err
    service.fault = lambda call: None
    assert audience("resume", run)[:2] == (0, "fake: batches: 10 accepted; ids: 95 accepted\n")


def test_in_doubt_batches_are_reported_until_resolved(audience, service, run, message):
    service.fault = lambda call: "in-doubt" if call == 1 else None
    code, out, err = audience("send", run, "--message", message, "--expect", "95", "--json")
    assert (code, json.loads(out)["fake"]["batches"]["in_doubt"]) == (1, 1)
    assert [each["state"] for each in json.loads(out)["fake"]["failed_batches"]] == ["in_doubt"]
    assert "retry" in json.loads(err.splitlines()[-1])["errors"][0]["hint"]
    assert audience("resume", run)[0] == 1
    assert audience("status", run)[0] == 1
    assert "skipped" not in audience("status", run)[1]
    assert audience("resume", run, "--on-doubt", "skip")[0] == 0
    code, out, _ = audience("status", run)
    assert code == 0
    assert "in doubt, skipped" in out


UNREADABLE_MESSAGES = {
    "no such file": (None, "m2.json: No such file", 'for example {"title": "Hi", "body": "there"}'),
    "a file that ends early": ('{"title": "Hi"\n', "line 1 column 15", "the file ends there: complete it"),
    "an empty file": ("\n", "line 1 column 1", "the file is empty"),
    "a file that is not JSON": ("title: Hi", "line 1 column 1", "for example"),
}


@pytest.mark.parametrize(("text", "place", "hint"), UNREADABLE_MESSAGES.values(), ids=UNREADABLE_MESSAGES.keys())
def test_unreadable_message_is_located_and_has_a_hint(audience, service, run, tmp_path, text, place, hint):
    if text is not None:
        (tmp_path / "m2.json").write_text(text)
    code, _, err = audience("send", run, "--message", str(tmp_path / "m2.json"), "--expect", "95")
    assert (code, place in err, hint in err) == (2, True, True), err


def test_dry_run_says_when_and_by_whom_it_would_be_sent(audience, service, run, message):
    later = ["--expect", "95", "--send-at", "2099-12-01T09:00+08:00"]
    code, out, _ = audience("send", run, "--message", message, *later, "--dry-run")
    assert (code, "scheduled here: 10 batches with 95 ids, from 2099-12-01T01:00:00+00:00 on" in out) == (0, True), out
    [facts] = json.loads(audience("send", run, "--message", message, *later, "--dry-run", "--json")[1])
    scheduled = facts["scheduled"]
    assert not (Path(run) / LEDGER_FILE).exists()
    audience("send", run, "--message", message, *later)
    assert json.loads(audience("status", run, "--json")[1])["fake"]["scheduled"] == scheduled


def test_batches_of_a_cancelled_run_are_not_to_be_sent(audience, service, run, message):
    audience("send", run, "--message", message, "--expect", "95", "--send-at", "2099-12-01T09:00+08:00")
    code, out, err = audience("cancel", run)
    assert (code, out) == (0, "fake: batches: 10 cancelled; ids: 0 accepted\n"), err
    code, out, err = audience("status", run)
    assert (code, out) == (1, "fake: batches: 10 cancelled; ids: 0 accepted\n"), "not everybody was reached"


def test_cancelled_run_is_reported(audience, service, run, message):
    service.fault = lambda call: "stopped"
    audience("send", run, "--message", message, "--expect", "95")
    assert audience("cancel", run)[0] == 0
    code, _, err = audience("status", run)
    assert code == 1
    assert "cancelled" in err
    assert audience("resume", run)[0] == 2


def test_status_without_run_is_rejected(audience, service, run):
    for command in ("status", "resume", "cancel"):
        code, out, err = audience(command, run)
        assert (code, out) == (2, "")
        assert "no-run" in err


INTERRUPTED_SCRIPT = """
import sys
from audience.testing import fake_vendor
from audience.cli.app import run
fake_vendor.register_fake_vendors(fake_vendor.make_delivery())
run(sys.argv[1:])
"""


@pytest.mark.parametrize("json_", [False, True])
def test_waiting_for_hung_worker_names_it_and_takes_no_batches(service, tmp_path, message, json_):
    run, arguments = write_run_folder(tmp_path / "long", make_ids(1_000)), ["--json"] if json_ else []
    service.fault = lambda call: time.sleep(0.01)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    python = [sys.executable, "-c", INTERRUPTED_SCRIPT]
    send = [*python, "send", str(run), "--message", message, "--expect", "1000"]
    with subprocess.Popen(send, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
        while service.call_count < 20 and sender.poll() is None:
            time.sleep(0.01)
        sender.send_signal(signal.SIGSTOP)
        resume, pipe = [*python, "resume", str(run), *arguments], subprocess.PIPE
        try:
            with subprocess.Popen(resume, env=environment, stdout=pipe, stderr=pipe, text=True) as resumer:
                note = resumer.stderr.readline()
                assert f"waiting for process {sender.pid} on {os.uname().nodename}, started " in note
                assert json.loads(note)["notes"][0]["code"] == "waiting" if json_ else note.startswith("note: waiting")
                delivered = sum(service.delivery_counts.values())
                time.sleep(0.5)
                assert (resumer.poll(), sum(service.delivery_counts.values())) == (None, delivered)
                sender.send_signal(signal.SIGCONT)
                assert resumer.communicate()[0]
                assert (resumer.returncode, sender.wait()) == (0, 0)
        finally:
            sender.send_signal(signal.SIGCONT)
        sender.communicate()
    assert service.delivery_counts == dict.fromkeys(make_ids(1_000), 1)


def test_ctrl_c_finishes_calls_in_flight(service, tmp_path, message):
    run = write_run_folder(tmp_path / "long", make_ids(1_500))
    service.fault = lambda call: time.sleep(0.01)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    arguments = [sys.executable, "-c", INTERRUPTED_SCRIPT, "send", str(run), "--message", message, "--expect", "1500"]
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as sender:
        while service.call_count < 20 and sender.poll() is None:
            time.sleep(0.01)
        sender.send_signal(signal.SIGINT)
        out, err = sender.communicate()
    assert (sender.returncode, out) == (130, "")
    assert "interrupted" in err
    assert "Traceback" not in err
    service.fault = lambda call: None
    arguments = [sys.executable, "-c", INTERRUPTED_SCRIPT, "resume", str(run)]
    process = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, "fake: batches: 150 accepted; ids: 1,500 accepted\n")
    assert service.delivery_counts == dict.fromkeys(make_ids(1_500), 1)


def test_run_has_the_devices_of_the_moment_at_which_it_was_emitted(audience, service, message, tmp_path):
    active = [date(2026, 11, 28), date(2026, 11, 22), date(2026, 11, 21)]
    table = pl.DataFrame({"token": make_ids(3), "active": active})
    index = DeviceIndex.build(table, tmp_path / "days.index")
    index.save_segment("fresh", "active within 7 days")
    words = ["emit", str(index.folder), "@fresh", "--vendor", "fake", "-o", str(tmp_path / "out")]
    with time_machine.travel(datetime(2026, 11, 28, 23, 59, tzinfo=UTC), tick=False):
        assert audience(*words)[0] == 0
    with time_machine.travel(datetime(2026, 12, 9, tzinfo=UTC)):
        code, out, _ = audience("send", str(tmp_path / "out"), "--message", message, "--expect", "2")
        assert (code, out) == (0, "fake: batches: 1 accepted; ids: 2 accepted\n")
        status = audience("status", str(tmp_path / "out"))[1]
        facts = json.loads(audience("status", str(tmp_path / "out"), "--json")[1])["fake"]["audience"]
    assert service.delivery_counts == dict.fromkeys(make_ids(3)[:2], 1)
    bound = "active within 7 days of 2026-11-28"
    assert status.startswith(f"emitted as of 2026-11-28T23:59:00+00:00 UTC: {bound}\n")
    assert (facts["bound"], facts["timezone"]) == (bound, "UTC")
