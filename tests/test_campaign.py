"""Several vendors, one audience: each device is told once, by the first vendor that can reach it."""

import json
import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import fake_vendor
import polars as pl
import pytest
from fake_vendor import Service, delivery, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from audience import DeliveryError, DeviceIndex, OutputError, PlanError
from audience.delivery import Allowed, campaign_runs
from audience.delivery.ledger.connection import NAME
from audience.messages import Message
from audience.requests import campaign as campaigns
from audience.requests.campaign import CAMPAIGN, campaign, emit_campaign
from audience.vendors.delivery_spec import Application

registry = import_module("audience.vendors")
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def vendors():
    """Three made-up vendors with ids of their own; two cannot carry long ones."""
    undo = fake_vendor.register()
    base = registry.vendor("fake")
    records = {
        name: replace(
            base, name=name, known_by=(name,), id_length=5 if name == "two" else None, parse=parse, delivery=delivery()
        )
        for name in NAMES
    }
    before = registry._records
    registry._records = lambda: {**before(), **records}
    yield records
    registry._records = before
    undo()


def parse(payload):
    """A list of ids, or tags in the words of EngageLab."""
    return (
        fake_vendor.parse(payload) if isinstance(payload["to"], list) else registry.vendor("engagelab").parse(payload)
    )


def table(rows) -> pl.DataFrame:
    """Devices by the vendors that know them."""
    columns = {f"{name}_token": [row.get(name) for row in rows] for name in NAMES}
    tags = [row.get("tags", ["a"]) for row in rows]
    schema = dict.fromkeys(columns, pl.String)
    return pl.DataFrame({**columns, "tags": tags}, schema={**schema, "tags": pl.List(pl.String)})


def index_of(rows, folder) -> DeviceIndex:
    roles = {name: f"{name}_token" for name in NAMES}
    return DeviceIndex.build(table(rows), folder, tokens=roles, ignore=[])


ROWS = [
    {"one": "a1", "two": "b1"},
    {"one": "a2"},
    {"two": "b3", "three": "c3"},
    {"two": "b4-too-long", "three": "c4"},
    {"three": "c5", "tags": ["b"]},
    {"two": "b6-too-long"},
    {"one": "a7", "two": "b7", "three": "c7"},
]


def told(folder: Path) -> dict[str, set[str]]:
    """The ids in the requests for each vendor."""
    found = {}
    for file in folder.glob("*/requests-*.ndjson"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        found.setdefault(file.parent.name, set()).update(each for line in lines for each in line.get("to", ()))
    return found


def test_the_first_that_can_reach_a_device_tells_it(vendors, tmp_path):
    index = index_of(ROWS, tmp_path / "x.index")
    found = campaign("a", NAMES, index)
    assert [(share.vendor, share.reach, share.tells) for share in found.shares] == [
        ("one", 3, 3),
        ("two", 3, 1),
        ("three", 3, 1),
    ]
    assert (found.devices, found.unreachable) == (6, 1)
    emit_campaign(found, tmp_path / "out")
    assert told(tmp_path / "out") == {"one": {"a1", "a2", "a7"}, "two": {"b3"}, "three": {"c4"}}
    [left] = [json.loads(line) for line in (tmp_path / "out" / "left_out.ndjson").read_text().splitlines()]
    assert (left["device"], left["reason"]) == ("b6-too-long", "unreachable")
    other = campaign("a", ["three", "two"], index)
    assert [(share.vendor, share.tells) for share in other.shares] == [("three", 3), ("two", 1)]
    assert other.unreachable == 2


IDS = st.fixed_dictionaries({}, optional={name: st.sampled_from(["x", "too-long"]) for name in NAMES})


@settings(max_examples=15)
@given(rows=st.lists(IDS.filter(bool), min_size=1, max_size=12), order=st.permutations(NAMES), data=st.data())
def test_every_device_is_told_once_or_unreachable(vendors, tmp_path_factory, rows, order, data):
    folder = tmp_path_factory.mktemp("law")
    last = {name: f"z-{name}"[:5] for name in NAMES}
    named = [
        {name: f"{name[0]}{at}{'-too-long' * (kind != 'x')}" for name, kind in row.items()}
        for at, row in enumerate(rows)
    ]
    named.append(last)
    index = index_of(named, folder / "x.index")
    chosen = order[: data.draw(st.integers(1, 3))]
    emit_campaign(campaign("a", chosen, index), folder / "out")
    wanted: dict[str, set[str]] = {}
    for row in named:
        for name in chosen:
            if name in row and not (name == "two" and len(row[name]) > 5):
                wanted.setdefault(name, set()).add(row[name])
                break
    natively = [file for file in (folder / "out").glob("*/manifest.json") if json.loads(file.read_text())["native"]]
    assert natively == [] or len(wanted) == 1
    assert natively or told(folder / "out") == wanted


def test_native_requests_are_for_a_vendor_that_reaches_all_of_them(vendors, tmp_path):
    index = index_of([{"one": "a1", "two": "b1"}, {"one": "a2"}], tmp_path / "x.index")
    found = campaign("a", ["one", "two"], index)
    assert [len(share.plan.native) for share in found.shares] == [1, 0]
    found = campaign("a", ["two", "one"], index)
    assert [len(share.plan.native) for share in found.shares] == [0, 0]
    assert [share.tells for share in found.shares] == [1, 1]
    assert found.shares[0].plan.reasons[0].code == "campaign"


def test_two_vendors_do_not_share_their_ids(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"token": ["r1"], "tags": [["a"]]}), tmp_path / "x.index")
    with pytest.raises(PlanError, match="same-ids"):
        campaign("a", ["engagelab", "tpns"], index)
    with pytest.raises(PlanError, match="same-ids"):
        campaign("a", ["tpns", "tpns"], index)
    with pytest.raises(PlanError, match="did you mean tpns"):
        campaign("a", ["tpsn"], index)


@pytest.fixture
def services(vendors, monkeypatch):
    """A service for each vendor, and who is known there."""
    services = {name: Service() for name in NAMES}
    with serving(services["one"]) as one, serving(services["two"]) as two, serving(services["three"]) as three:
        for name, url in zip(NAMES, (one, two, three), strict=True):
            for key, value in {"KEY": "k", "SECRET": "s", "HOST": url}.items():
                monkeypatch.setenv(f"AUDIENCE_{name}_{key}".upper(), value)
        yield services


def test_a_campaign_is_planned_sent_and_gone_on_with(audience, services, tmp_path):
    index_of(ROWS, tmp_path / "x.index")
    (tmp_path / "m.json").write_text('{"title": "Hi"}')
    out, message = str(tmp_path / "out"), str(tmp_path / "m.json")
    words = ["campaign", str(tmp_path / "x.index"), "a", "--vendors", "one, two,three", "-o", out]
    code, said, _ = audience(*words)
    assert code == 0
    assert [line.split() for line in said.splitlines()][1:5] == [
        ["one", "3", "3", "by", "ids"],
        ["two", "3", "1", "by", "ids"],
        ["three", "3", "1", "by", "ids"],
        ["nobody", "1", "left", "out"],
    ]
    assert json.loads((tmp_path / "out" / CAMPAIGN).read_text())["unreachable"] == 1
    code, _, err = audience("send", out, "--message", message, "--expect", "4")
    assert (code, sum(service.calls for service in services.values())) == (2, 0)
    assert "5 devices are meant" in err
    services["two"].fault = lambda call: "stopped"
    code, said, err = audience("send", out, "--message", message, "--expect", "5")
    assert code == 1
    assert "stopped" in err
    services["two"].fault = lambda call: None
    code, said, _ = audience("resume", out)
    assert (code, sorted(said.splitlines())) == (
        0,
        ["one: 1 accepted, 3 ids told", "three: 1 accepted, 1 ids told", "two: 1 accepted, 1 ids told"],
    )
    assert {name: dict(service.told) for name, service in services.items()} == {
        "one": {"a1": 1, "a2": 1, "a7": 1},
        "two": {"b3": 1},
        "three": {"c4": 1},
    }


@pytest.mark.parametrize("touch", ["sending.json", "one/ledger.sqlite", "notes.txt", "one/deeper/notes.txt"])
def test_a_campaign_is_replaced_where_nothing_was_sent_of_it_and_nothing_else_is_there(vendors, tmp_path, touch):
    found = campaign("a", NAMES, index_of(ROWS, tmp_path / "x.index"))
    emit_campaign(found, tmp_path / "out")
    emit_campaign(found, tmp_path / "out", replace=True)
    with pytest.raises(OutputError, match="exists"):
        emit_campaign(found, tmp_path / "out")
    (tmp_path / "out" / touch).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / touch).touch()
    with pytest.raises(OutputError, match=f"not-ours.*'{touch}'"):
        emit_campaign(found, tmp_path / "out", replace=True)
    assert (tmp_path / "out" / touch).exists()
    (tmp_path / "out" / touch).unlink()
    (tmp_path / "out" / CAMPAIGN).unlink()
    with pytest.raises(OutputError, match="not-ours"):  # runs of its own that lie in one folder
        emit_campaign(found, tmp_path / "out", replace=True)


def test_what_is_begun_while_it_is_written_anew_stays(vendors, tmp_path, monkeypatch):
    found = campaign("a", NAMES, index_of(ROWS, tmp_path / "x.index"))
    emit_campaign(found, tmp_path / "out")
    made = campaigns.write_left_out
    monkeypatch.setattr(
        campaigns, "write_left_out", lambda *words: (tmp_path / "out" / "one" / NAME).touch() or made(*words)
    )
    with pytest.raises(OutputError, match="not-ours"):
        emit_campaign(found, tmp_path / "out", replace=True)
    assert (tmp_path / "out" / "one" / NAME).exists()


def test_a_campaign_of_one_vendor_takes_no_more_requests_than_allowed(tmp_path):
    rows = pl.DataFrame({"token": ["r1", "r2", "r3"], "tags": [["a", "b"], ["c", "d"], ["e"]]})
    index = DeviceIndex.build(rows, tmp_path / "x.index")
    many = [campaign("(a AND b) OR (c AND d)", ["jpush"], index, max_requests=most).shares[0] for most in (1, 8)]
    assert [len(share.plan.native) for share in many] == [0, 3]


def test_a_vendor_that_cannot_be_sent_to_is_told(audience, tmp_path):
    words = ["devices.index", "age < 20", "--vendors", "jpush", "-o", str(tmp_path / "out")]
    code, _, err = audience("campaign", *words)
    assert (code, "no-delivery: how jpush is sent to is not known" in err) == (0, True)
    code, _, err = audience("campaign", *words, "--replace", "--json")
    assert (code, [each["code"] for each in json.loads(err)["warnings"]]) == (0, ["no-delivery"])


@pytest.fixture
def died(services, tmp_path, monkeypatch) -> Path:
    """A campaign whose sender died when the first of three vendors was begun."""
    folder = tmp_path / "out"
    emit_campaign(campaign("a", NAMES, index_of(ROWS, tmp_path / "x.index")), folder)
    ready = campaign_runs.prepare_all(folder, Message(title="Hi"), known, Allowed(expect=5))
    begin, left = campaign_runs.prepare.begin, [1]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(campaign_runs.prepare, "begin", lambda *words: begin(*words) if left and left.pop() else dies())
        campaign_runs.send_all(folder, Message(title="Hi"), ready, campaign_runs.Effort())
    assert [(each / NAME).exists() for each in campaign_runs.folders(folder)] == [True, False, False]
    return folder


def test_what_was_not_begun_when_the_sender_died_is_begun_by_who_goes_on(died, services):
    found = campaign_runs.resume_all(died, known, "report", campaign_runs.Effort())
    assert all(status.done for status in found.values())
    assert [sum(service.told.values()) for service in services.values()] == [3, 1, 1]


def test_what_was_not_begun_is_begun_as_it_was_checked(died, services):
    file = died / "two" / "manifest.json"
    file.write_text(file.read_text().replace("}", "} "))
    with pytest.raises(DeliveryError, match="other-plan"):
        campaign_runs.resume_all(died, known, "report", campaign_runs.Effort())
    (died / campaign_runs.SENDING).unlink()
    with pytest.raises(DeliveryError, match="not-begun"):
        campaign_runs.resume_all(died, known, "report", campaign_runs.Effort())
    assert not any(service.calls for service in services.values())


def test_what_was_refused_is_not_begun_by_going_on(audience, services, tmp_path):
    """A message that lies in the campaign's folder says nothing of what may be sent."""
    folder = tmp_path / "out"
    emit_campaign(campaign("a", NAMES, index_of(ROWS, tmp_path / "x.index")), folder)
    (folder / "message.json").write_text('{"title": "Hi"}')
    assert audience("send", str(folder), "--message", str(folder / "message.json"), "--expect", "4")[0] == 2
    code, _, err = audience("resume", str(folder))
    assert (code, sum(service.calls for service in services.values())) == (2, 0)
    assert "no-run" in err


def dies():
    raise KeyboardInterrupt


def known(to) -> Application:
    return Application(os.environ[f"AUDIENCE_{to.name}_HOST".upper()], {"key": "k", "secret": "s"})
