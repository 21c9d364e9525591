"""Audit of a run: who did what, when and for which audience, in the folder of the run, without ids."""

import json
import stat
from pathlib import Path

import polars as pl
import pytest
from service import build_index, make_table, open_client

from audience import DeviceIndex, OutputError, parse
from audience.delivery import cancel, resume, send
from audience.planning.planner import plan
from audience.requests.audit import AUDIT_FILE, acting_for, append_audit, read_audit, render_without_ids
from audience.requests.campaign import plan_campaign, write_campaign
from audience.requests.writer import write_requests
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

EXPR = "male AND signup within 7 days AND NOT alias(u1, u2) OR token(@staff.txt)"


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("staff.txt").write_text("t1\nt2\nt4\n")
    table = make_table(60).with_columns(signup=pl.lit("2026-11-20"))
    return DeviceIndex.build(table, tmp_path / "devices.index", dates=["signup"], timezone="Asia/Shanghai")


@pytest.fixture
def fake_vendor():
    unregister = register_fake_vendors(make_delivery())
    yield
    unregister()


def emit(index, folder, expr=EXPR, **options):
    written = plan(expr, "engagelab", index, as_of="2026-11-21T09:00:00+08:00")
    return write_requests(written, index, folder, **options)


def test_emit_records_the_user_and_the_audience(index, tmp_path):
    with acting_for("boss"):
        result = emit(index, tmp_path / "run")
    [line] = read_audit(tmp_path / "run")
    assert stat.S_IMODE((tmp_path / "run" / AUDIT_FILE).stat().st_mode) == 0o600
    assert line["command"] == "emit"
    assert line["user"] and line["host"] and line["version"]
    assert (line["caller"], line["devices"], line["id_count"]) == ("boss", result.devices, result.id_count)
    assert line["expression"] == (
        '(male AND signup within 7 days AND NOT alias("2 ids")) OR token("3 ids with @staff.txt")'
    )
    assert "within 7 days of 2026-11-21" in line["bound"]
    assert line["as_of"] == "2026-11-21T09:00:00+08:00"
    assert not {"u1", "u2", "t1", "t2", "t4"} & set(json.dumps(line).replace('"', " ").split())


def test_replaced_requests_keep_their_audit(index, tmp_path):
    emit(index, tmp_path / "run", "male")
    emit(index, tmp_path / "run", "female", replace=True)
    assert [line["expression"] for line in read_audit(tmp_path / "run")] == ["male", "female"]
    for expr in ("male", "female"):
        campaign = plan_campaign(expr, ["engagelab"], index)
        write_campaign(campaign, tmp_path / "two", replace=(tmp_path / "two").exists())
    assert [line["expression"] for line in read_audit(tmp_path / "two" / "engagelab")] == ["male", "female"]


def test_send_resume_and_cancel_append_lines(fake_vendor, tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(35))
    append_audit(folder, "emit", {"expression": "male", "bound": "male", "policies": ["weekly"]})
    send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(FakeService()))
    resume(folder, CREDENTIALS, options=make_send_options(FakeService()))
    cancel(folder)
    emitted, sent, resumed, cancelled = read_audit(folder)
    assert (sent["command"], sent["expression"], sent["policies"]) == ("send", "male", ["weekly"])
    assert (sent["devices"], sent["id_count"], sent["vendor"]) == (35, 35, "fake")
    assert (resumed["command"], cancelled["command"]) == ("resume", "cancel")
    assert cancelled["run"] == sent["run"]
    assert emitted["at"] < sent["at"] < resumed["at"] < cancelled["at"]


def test_run_without_an_emission_records_the_facts_of_its_manifest(fake_vendor, tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(5))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"expression": "a AND NOT fake(r1, r2)"}))
    send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(FakeService()))
    assert [line["expression"] for line in read_audit(folder)] == ['a AND NOT fake("2 ids")']


BLOCKS = {
    "a folder": Path.mkdir,
    "a link": lambda file: file.symlink_to("elsewhere"),
    "a device": lambda file: file.symlink_to("/dev/full"),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_run_without_an_audit_is_not_begun(fake_vendor, tmp_path, kind):
    folder, service = write_run_folder(tmp_path / "run", make_ids(5)), FakeService()
    BLOCKS[kind](folder / AUDIT_FILE)
    with pytest.raises(OutputError, match=rf"cannot-write: .*{AUDIT_FILE}"):
        send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service))
    assert service.call_count == 0
    assert not (folder / "ledger.sqlite").exists()
    assert not (folder / "elsewhere").exists()


def test_line_that_a_full_disk_has_cut_spoils_no_other(tmp_path):
    append_audit(tmp_path, "emit", {})
    with (tmp_path / AUDIT_FILE).open("ab") as file:
        file.write(b'{"at": "2026-')
    append_audit(tmp_path, "send", {})
    assert [line["command"] for line in read_audit(tmp_path)] == ["emit", "send"]


def test_service_names_the_caller(tmp_path):
    (tmp_path / "runs").mkdir()
    with open_client(build_index(tmp_path), runs=tmp_path / "runs") as client:
        body = {"name": "spring", "expr": "male", "vendor": "engagelab", "message": {"title": "Hi", "body": "Now"}}
        for replaces in (False, True):
            answer = client.post("/v1/indexes/devices/runs", json=body | {"replace": replaces})
            assert answer.status_code == 201, answer.text
    lines = read_audit(tmp_path / "runs" / "spring")
    assert [line["command"] for line in lines] == ["emit", "emit"]
    assert all(line["caller"] for line in lines)


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        ("a", "a"),
        ("alias(u1)", 'alias("1 id")'),
        ("NOT (alias(u1, u2) AND token(t1)) limit 5 seed x", None),
        ("at least 2 of (a, b, alias(u1))", 'at least 2 of (a, b, alias("1 id"))'),
        ("sample(10%, u1) AND alias(u1)", 'sample(10%, u1) AND alias("1 id")'),
    ],
)
def test_ids_are_counted(expr, text):
    shown = render_without_ids(parse(expr))
    assert shown == (text or shown)
    assert not {"u1", "u2", "t1"} & {
        identifier for node in [parse(shown)] for identifier in _ids_of(node)
    }  # it can be read, and lists no id


def _ids_of(expr):
    from audience.language.ast import Ids, walk_operands

    return [value for node in walk_operands(expr) if isinstance(node, Ids) for value in node.values]
