"""Campaigns of several vendors: each device is assigned once, to the first vendor that can reach it."""

import json
import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

from audience import DeliveryError, DeviceIndex, OutputError, PlanError
from audience.delivery import SafetyLimits, SendOptions, campaign_runs, prepare
from audience.delivery.ledger.connection import LEDGER_FILE
from audience.messages import Message
from audience.requests import campaign as campaigns
from audience.requests import writer
from audience.requests.campaign import CAMPAIGN_FILE, plan_campaign, run_folders, write_campaign
from audience.testing import fake_vendor
from audience.testing.fake_vendor import FakeService, make_delivery, run_server
from audience.testing.registration import register_vendors
from audience.vendors.delivery_spec import Credentials

registry = import_module("audience.vendors")
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def vendors():
    """Three fake vendors with ids of their own; `two` rejects long ones."""
    undo = fake_vendor.register_fake_vendors()
    base = registry.get_vendor("fake")
    records = {
        name: replace(
            base,
            name=name,
            id_columns=(name,),
            max_id_length=5 if name == "two" else None,
            parse=parse_payload,
            delivery=make_delivery(),
        )
        for name in NAMES
    }
    undo_records = registry.register_vendors(*records.values())
    yield records
    undo_records()
    undo()


def parse_payload(payload):
    """Return the ids that a payload lists, or the expression of an EngageLab payload."""
    return (
        fake_vendor.parse_payload(payload)
        if isinstance(payload["to"], list)
        else registry.get_vendor("engagelab").parse(payload)
    )


def make_table(rows) -> pl.DataFrame:
    """Return devices with an id at each vendor that knows them."""
    columns = {f"{name}_token": [row.get(name) for row in rows] for name in NAMES}
    tags = [row.get("tags", ["a"]) for row in rows]
    schema = dict.fromkeys(columns, pl.String)
    return pl.DataFrame({**columns, "tags": tags}, schema={**schema, "tags": pl.List(pl.String)})


def build_index(rows, folder) -> DeviceIndex:
    roles = {name: f"{name}_token" for name in NAMES}
    return DeviceIndex.build(make_table(rows), folder, tokens=roles, ignore=[])


ROWS = [
    {"one": "a1", "two": "b1"},
    {"one": "a2"},
    {"two": "b3", "three": "c3"},
    {"two": "b4-too-long", "three": "c4"},
    {"three": "c5", "tags": ["b"]},
    {"two": "b6-too-long"},
    {"one": "a7", "two": "b7", "three": "c7"},
]


def read_target_ids(folder: Path) -> dict[str, set[str]]:
    """Return the ids in the requests for each vendor."""
    ids = {}
    for file in folder.glob("*/requests-*.ndjson"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        ids.setdefault(file.parent.name, set()).update(id_ for line in lines for id_ in line.get("to", ()))
    return ids


def test_first_reaching_vendor_is_assigned(vendors, tmp_path):
    index = build_index(ROWS, tmp_path / "x.index")
    campaign = plan_campaign("a", NAMES, index)
    assert [(share.vendor, share.reachable, share.assigned) for share in campaign.shares] == [
        ("one", 3, 3),
        ("two", 3, 1),
        ("three", 3, 1),
    ]
    assert (campaign.devices, campaign.unreachable_count) == (6, 1)
    write_campaign(campaign, tmp_path / "out")
    assert read_target_ids(tmp_path / "out") == {"one": {"a1", "a2", "a7"}, "two": {"b3"}, "three": {"c4"}}
    [skipped] = [json.loads(line) for line in (tmp_path / "out" / "skipped.ndjson").read_text().splitlines()]
    assert (skipped["device"], skipped["reason"]) == ("b6-too-long", "unreachable")
    campaign = plan_campaign("a", ["three", "two"], index)
    assert [(share.vendor, share.assigned) for share in campaign.shares] == [("three", 3), ("two", 1)]
    assert campaign.unreachable_count == 2


VENDOR_IDS = st.fixed_dictionaries({}, optional={name: st.sampled_from(["x", "too-long"]) for name in NAMES})


@settings(max_examples=scale_examples(15))
@given(rows=st.lists(VENDOR_IDS.filter(bool), min_size=1, max_size=12), order=st.permutations(NAMES), data=st.data())
def test_every_device_is_assigned_once_or_unreachable(vendors, tmp_path_factory, rows, order, data):
    folder = tmp_path_factory.mktemp("law")
    devices = [
        {name: f"{name[0]}{at}{'-too-long' * (kind != 'x')}" for name, kind in row.items()}
        for at, row in enumerate(rows)
    ]
    devices.append({name: f"z-{name}"[:5] for name in NAMES})  # known to all vendors
    index = build_index(devices, folder / "x.index")
    chosen = order[: data.draw(st.integers(1, 3))]
    write_campaign(plan_campaign("a", chosen, index), folder / "out")
    expected: dict[str, set[str]] = {}
    for row in devices:
        for name in chosen:
            if name in row and not (name == "two" and len(row[name]) > 5):
                expected.setdefault(name, set()).add(row[name])
                break
    natively = [file for file in (folder / "out").glob("*/manifest.json") if json.loads(file.read_text())["native"]]
    assert natively == [] or len(expected) == 1
    assert natively or read_target_ids(folder / "out") == expected


def test_native_only_if_vendor_reaches_all_devices(vendors, tmp_path):
    index = build_index([{"one": "a1", "two": "b1"}, {"one": "a2"}], tmp_path / "x.index")
    campaign = plan_campaign("a", ["one", "two"], index, vendor_has="all")
    assert [len(share.plan.native) for share in campaign.shares] == [1, 0]
    campaign = plan_campaign("a", ["two", "one"], index, vendor_has="all")
    assert [len(share.plan.native) for share in campaign.shares] == [0, 0]
    assert [share.assigned for share in campaign.shares] == [1, 1]
    assert campaign.shares[0].plan.reasons[0].code == "campaign"


def test_vendors_must_not_share_ids(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"token": ["r1"], "tags": [["a"]]}), tmp_path / "x.index")
    with pytest.raises(PlanError, match="same-ids"):
        plan_campaign("a", ["engagelab", "tpns"], index)
    with pytest.raises(PlanError, match="same-ids"):
        plan_campaign("a", ["tpns", "tpns"], index)
    with pytest.raises(PlanError, match="did you mean tpns"):
        plan_campaign("a", ["tpsn"], index)


@pytest.fixture
def services(vendors, monkeypatch):
    """Fake service of each vendor, with its credentials in the environment."""
    services = {name: FakeService() for name in NAMES}
    with run_server(services["one"]) as one, run_server(services["two"]) as two, run_server(services["three"]) as three:
        for name, url in zip(NAMES, (one, two, three), strict=True):
            for key, value in {"KEY": "k", "SECRET": "s", "HOST": url}.items():
                monkeypatch.setenv(f"AUDIENCE_{name}_{key}".upper(), value)
        yield services


def test_campaign_plan_send_resume(audience, services, tmp_path):
    build_index(ROWS, tmp_path / "x.index")
    (tmp_path / "m.json").write_text('{"title": "Hi"}')
    folder, message = str(tmp_path / "out"), str(tmp_path / "m.json")
    arguments = ["campaign", str(tmp_path / "x.index"), "a", "--vendors", "one, two,three", "-o", folder]
    code, out, _ = audience(*arguments)
    assert code == 0
    assert [line.split() for line in out.splitlines()][1:5] == [
        ["one", "3", "3", "ids"],
        ["two", "3", "1", "ids"],
        ["three", "3", "1", "ids"],
        ["none", "1", "unreachable"],
    ]
    assert json.loads((tmp_path / "out" / CAMPAIGN_FILE).read_text())["unreachable"] == 1
    code, _, err = audience("send", folder, "--message", message, "--expect", "4")
    assert (code, sum(service.call_count for service in services.values())) == (2, 0)
    assert "this would message 5 devices" in err
    services["two"].fault = lambda call: "stopped"
    code, out, err = audience("send", folder, "--message", message, "--expect", "5")
    assert code == 1
    assert "stopped" in err
    services["two"].fault = lambda call: None
    code, out, _ = audience("resume", folder)
    assert (code, sorted(out.splitlines())) == (
        0,
        [
            "one: batches: 1 accepted; ids: 3 accepted",
            "three: batches: 1 accepted; ids: 1 accepted",
            "two: batches: 1 accepted; ids: 1 accepted",
        ],
    )
    assert {name: dict(service.delivery_counts) for name, service in services.items()} == {
        "one": {"a1": 1, "a2": 1, "a7": 1},
        "two": {"b3": 1},
        "three": {"c4": 1},
    }


@pytest.mark.parametrize("touch", ["campaign_run.json", "one/ledger.sqlite", "notes.txt", "one/deeper/notes.txt"])
def test_replace_only_unsent_campaign_folder(vendors, tmp_path, touch):
    campaign = plan_campaign("a", NAMES, build_index(ROWS, tmp_path / "x.index"))
    write_campaign(campaign, tmp_path / "out")
    write_campaign(campaign, tmp_path / "out", replace=True)
    with pytest.raises(OutputError, match="exists"):
        write_campaign(campaign, tmp_path / "out")
    (tmp_path / "out" / touch).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / touch).touch()
    with pytest.raises(OutputError, match=f"not-ours.*'{touch}'"):
        write_campaign(campaign, tmp_path / "out", replace=True)
    assert (tmp_path / "out" / touch).exists()
    (tmp_path / "out" / touch).unlink()
    (tmp_path / "out" / CAMPAIGN_FILE).unlink()
    with pytest.raises(OutputError, match="not-ours"):  # request folders without a campaign
        write_campaign(campaign, tmp_path / "out", replace=True)


def test_replace_keeps_run_started_meanwhile(vendors, tmp_path, monkeypatch):
    campaign = plan_campaign("a", NAMES, build_index(ROWS, tmp_path / "x.index"))
    write_campaign(campaign, tmp_path / "out")
    original = writer.write_skipped
    monkeypatch.setattr(
        campaigns,
        "write_skipped",
        lambda *arguments: (tmp_path / "out" / "one" / LEDGER_FILE).touch() or original(*arguments),
    )
    with pytest.raises(OutputError, match="not-ours"):
        write_campaign(campaign, tmp_path / "out", replace=True)
    assert (tmp_path / "out" / "one" / LEDGER_FILE).exists()


def test_single_vendor_campaign_respects_max_requests(tmp_path):
    rows = pl.DataFrame({"token": ["r1", "r2", "r3"], "tags": [["a", "b"], ["c", "d"], ["e"]]})
    index = DeviceIndex.build(rows, tmp_path / "x.index")
    shares = [
        plan_campaign("(a AND b) OR (c AND d)", ["jpush"], index, max_requests=limit, vendor_has="all").shares[0]
        for limit in (1, 8)
    ]
    assert [len(share.plan.native) for share in shares] == [0, 3]


def test_campaign_warns_about_unsendable_vendor(audience, tmp_path):
    arguments = ["devices.index", "age < 20", "--vendors", "emas", "-o", str(tmp_path / "out")]
    with register_vendors(replace(registry.get_vendor("emas"), delivery=None)):
        code, _, err = audience("campaign", *arguments)
        assert (code, "no-delivery: audience cannot send to emas" in err) == (0, True)
        code, _, err = audience("campaign", *arguments, "--replace", "--json")
    assert (code, [warning["code"] for warning in json.loads(err)["warnings"]]) == (0, ["no-delivery"])


@pytest.fixture
def started_campaign(services, tmp_path, monkeypatch) -> Path:
    """Campaign whose sender died after it created the run of the first of three vendors."""
    folder = tmp_path / "out"
    write_campaign(plan_campaign("a", NAMES, build_index(ROWS, tmp_path / "x.index")), folder)
    ready = campaign_runs.prepare_all(folder, Message(title="Hi"), load_credentials, SafetyLimits(expected=5))
    create_run, first_call = prepare.create_run, [True]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(
            prepare,
            "create_run",
            lambda *arguments: create_run(*arguments) if first_call and first_call.pop() else raise_interrupt(),
        )
        campaign_runs.send_all(folder, Message(title="Hi"), ready, SendOptions())
    assert [(each / LEDGER_FILE).exists() for each in run_folders(folder)] == [True, False, False]
    return folder


def test_resume_starts_runs_not_yet_started(started_campaign, services):
    statuses = campaign_runs.resume_all(started_campaign, load_credentials, "report", SendOptions())
    assert all(status.done for status in statuses.values())
    assert [sum(service.delivery_counts.values()) for service in services.values()] == [3, 1, 1]


def test_resume_rejects_changed_unstarted_run(started_campaign, services):
    file = started_campaign / "two" / "manifest.json"
    file.write_text(file.read_text().replace("}", "} "))
    with pytest.raises(DeliveryError, match="other-plan"):
        campaign_runs.resume_all(started_campaign, load_credentials, "report", SendOptions())
    (started_campaign / campaign_runs.CAMPAIGN_RUN_FILE).unlink()
    with pytest.raises(DeliveryError, match="not-begun"):
        campaign_runs.resume_all(started_campaign, load_credentials, "report", SendOptions())
    assert not any(service.call_count for service in services.values())


def test_resume_does_not_start_rejected_campaign(audience, services, tmp_path):
    """A message in the folder of a campaign does not permit sending it."""
    folder = tmp_path / "out"
    write_campaign(plan_campaign("a", NAMES, build_index(ROWS, tmp_path / "x.index")), folder)
    (folder / "message.json").write_text('{"title": "Hi"}')
    assert audience("send", str(folder), "--message", str(folder / "message.json"), "--expect", "4")[0] == 2
    code, _, err = audience("resume", str(folder))
    assert (code, sum(service.call_count for service in services.values())) == (2, 0)
    assert "no-run" in err


def raise_interrupt():
    raise KeyboardInterrupt


def load_credentials(target) -> Credentials:
    return Credentials(os.environ[f"AUDIENCE_{target.name}_HOST".upper()], {"key": "k", "secret": "s"})
