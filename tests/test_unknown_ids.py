"""Ids that vendors did not know in a run become a tag of the index, or leave it; the next emit leaves them out."""

import json
from pathlib import Path

import polars as pl
import pytest
from callers import CALLERS, make_keys

from audience import DeliveryError, DeviceIndex, Plan, parse
from audience.delivery import SafetyLimits, SendOptions, send
from audience.delivery.unknown_ids import load_unknown_ids
from audience.requests.reader import open_requests
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.vendors.delivery_spec import Credentials

COUNT, GONE = 40, [3, 17, 38]


@pytest.fixture
def run(audience, tmp_path, monkeypatch):
    """Send to devices of which the vendor does not know three, and a policy leaves one out; yield the ids."""
    monkeypatch.chdir(tmp_path)
    ids = [CALLERS["jpush"].id_format.format(number) for number in range(COUNT)]
    table = pl.DataFrame({"registration_id": ids, "tags": [["a"]] * (COUNT - 1) + [["a", "opted_out"]]})
    index = DeviceIndex.build(table, "x.index")
    everyone = parse("a")
    write_requests(Plan("jpush", everyone, (), everyone, (), index=index), index, tmp_path / "run")
    index.set_policy("consent", cap="NOT opted_out")
    known = table.filter(~pl.col("registration_id").is_in([ids[number] for number in GONE]))
    with Sandbox(Population(known), rate=None) as sandbox:
        application = Credentials(sandbox.url, make_keys("jpush"))
        send(tmp_path / "run", {"body": "x"}, application, SafetyLimits(max_devices=COUNT), options=SendOptions())
    return tmp_path / "run", [ids[number] for number in GONE]


def resolve(text):
    return set(DeviceIndex.open("x.index").resolve(text).ids())


def test_unknown_ids_are_those_of_the_vendor(run):
    folder, gone = run
    assert load_unknown_ids(folder) == gone


def test_unknown_ids_are_tagged_and_left_out(audience, run):
    folder, gone = run
    code, out, _ = audience("index", "tag", "x.index", "--from-run", str(folder), "--unknown", "dead", "--json")
    assert (code, json.loads(out)["changed"]) == (0, len(gone))
    assert resolve("dead") == set(gone)
    assert audience("policy", "set", "x.index", "reachable", "--cap", "NOT dead")[0] == 0
    assert audience("emit", "x.index", "a", "--vendor", "jpush", "--by-ids", "-o", "next")[0] == 0
    requests = open_requests(Path("next"))
    assert set(requests.ids_between(0, requests.id_count)) == resolve("a AND NOT dead AND NOT opted_out")


def test_unknown_ids_keep_their_tag_when_their_tags_are_updated(audience, run):
    folder, gone = run
    words = "index", "tag", "x.index", "--from-run", str(folder), "--unknown", "dead"
    for _ in range(2):
        assert audience(*words)[0] == 0
        index = DeviceIndex.open("x.index")
        index.update(pl.DataFrame({"registration_id": gone, "tags": [["a", "b"]] * len(gone)}))
        assert resolve("dead AND b") == set(gone)


def test_tags_in_a_column_of_their_own_are_kept_by_updates(audience, run):
    words = "index", "tag", "x.index", "--add", "offered", *run[1]
    for column in (("--tag-column", "offers"), ()):  # the second time it is where it was
        assert audience(*words, *column)[0] == 0
        update = pl.DataFrame({"registration_id": run[1], "tags": [["a"]] * len(run[1])})
        DeviceIndex.open("x.index").update(update)
        assert resolve("offered") == set(run[1])
    assert audience("index", "tag", "x.index", "--add", "offered", "--tag-column", "others", *run[1])[0] == 2


def test_tag_of_unknown_ids_is_refused_in_a_column_of_the_table(audience, run):
    folder, _ = run
    DeviceIndex.open("x.index").tag(["nobody", *resolve("a")], add="dead")
    before = DeviceIndex.open("x.index").snapshot.manifest
    code, _, err = audience("index", "tag", "x.index", "--from-run", str(folder), "--unknown", "dead")
    assert (code, "column 'tags' holds the tag 'dead'" in err) == (2, True), err
    assert DeviceIndex.open("x.index").snapshot.manifest == before


def test_unknown_ids_are_removed(audience, run):
    folder, gone = run
    assert audience("index", "remove", "x.index", "--from-run", str(folder))[0] == 0
    assert len(resolve("a")) == COUNT - len(gone)
    assert audience("index", "remove", "x.index", "--from-run", str(folder))[0] == 0
    assert len(resolve("a")) == COUNT - len(gone)


@pytest.mark.parametrize(
    ("vendor", "reason"),
    [
        ("onesignal", "OneSignal does not name ids that do not exist"),
        ("emas", "Alibaba EMAS Mobile Push (Push) does not name ids that do not exist"),
        ("jpush", "the vendor knew all ids of the run"),
    ],
)
@pytest.mark.parametrize("words", [("tag", "--unknown", "dead"), ("remove",)])
def test_a_run_without_unknown_ids_says_why(audience, tmp_path, monkeypatch, vendor, reason, words):
    monkeypatch.chdir(tmp_path)
    ids = [CALLERS[vendor].id_format.format(number) for number in range(3)]
    table = pl.DataFrame({"registration_id": ids, "tags": [["a"]] * 3})
    index, everyone = DeviceIndex.build(table, "x.index"), parse("a")
    write_requests(Plan(vendor, everyone, (), everyone, (), index=index), index, tmp_path / "run")
    with Sandbox(Population(table), rate=None) as sandbox:
        keys = {**make_keys(vendor), **({"platform": "android"} if vendor == "emas" else {})}
        message = {"title": "x", "body": "x"}
        send(tmp_path / "run", message, Credentials(sandbox.url, keys), SafetyLimits(max_devices=3))
    code, _, err = audience("index", words[0], "x.index", "--from-run", "run", *words[1:])
    assert (code, reason in err) == (0, True), err
    assert len(resolve("a")) == 3


@pytest.mark.parametrize(
    "words",
    [
        ("tag", "x.index", "--from-run", "run"),
        ("tag", "x.index", "--unknown", "dead", "r1"),
        ("tag", "x.index", "--from-run", "run", "--unknown", "dead", "--add", "b"),
        ("tag", "x.index", "--from-run", "run", "--unknown", "dead", "r1"),
        ("remove", "x.index", "--from-run", "run", "r1"),
    ],
)
def test_a_run_goes_with_no_other_ids(audience, run, words):
    before = DeviceIndex.open("x.index").snapshot.manifest
    code, _, err = audience("index", *words)
    assert (code, "bad-option" in err) == (2, True)
    assert DeviceIndex.open("x.index").snapshot.manifest == before


def test_folder_without_run_is_refused(tmp_path):
    with pytest.raises(DeliveryError):
        load_unknown_ids(tmp_path)
