"""Forget a person in request folders, ledgers and logs: no file has the id afterwards, and checksums hold."""

import json
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from sizes import steps_of_death
from tag_syncs import VendorTags
from test_crashes import FAILURE_POINT
from test_forgetting import find_files

from audience import DeliveryError, DeviceIndex
from audience._fs.atomic import lock_output
from audience.delivery import load_deliveries, resume, send, status
from audience.delivery.forgetting import forget_in_folders
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.workers import register_worker
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.requests.audit import AUDIT_FILE, append_audit, read_audit
from audience.requests.reader import open_requests
from audience.requests.redaction import compile_ids, redact_requests
from audience.tag_sync.storage import load_state
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_send_options,
    write_run_folder,
)

IDS = [f"device-{number:03}" for number in range(45)]
GONE = "device-012"


@pytest.fixture(autouse=True)
def vendor():
    """Register the fake vendor."""
    unregister = fake_vendor.register_fake_vendors()
    yield
    unregister()


@pytest.fixture
def place(tmp_path, audience) -> Path:
    """A folder with an index, requests that were not sent, a run, a half-sent run, and a log."""
    place = tmp_path / "all"
    table = pl.DataFrame({"fake_token": IDS, "alias": [f"user-{number:03}" for number in range(45)]})
    index = DeviceIndex.build(table, place / "devices.index", tokens={"fake": "fake_token"})
    for name in ("fresh", "sent", "half"):
        words = ["emit", str(index.folder), "alias(user-012) OR everyone", "--vendor", "fake", "--by-ids"]
        assert audience(*words, "-o", str(place / "runs" / name))[0] == 0
    send_run(place / "runs" / "sent", FakeService(bad_ids=["device-012", "device-013"]))
    send_run(place / "runs" / "half", FakeService(fault=lambda call: "stopped"))
    (place / "app.log").write_text(f'1 sent {GONE}\n2 sent {GONE}9 and x-{GONE}\n3 {{"to":["{GONE}"]}}\n4 other\n')
    (place / "app.log").chmod(0o640)
    return place


def send_run(folder, service):
    return send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service, concurrency=1))


def forget(audience, place, *options):
    words = ["forget", GONE, "--index", str(place / "devices.index"), "--runs", str(place / "runs")]
    return audience(*words, "--log", str(place / "app.log"), *options)


def test_no_file_has_the_id_afterwards(place, audience):
    (place / "app.log").write_text(f'1 sent {GONE}\n3 {{"to":["{GONE}"]}}\n4 other\n')
    before = {name: status(place / "runs" / name) for name in ("sent", "half")}
    deliveries = load_deliveries(place / "runs" / "sent")
    code, out, err = forget(audience, place, "--json")
    assert (code, err) == (0, "")
    found = {(Path(each["place"]).name, each["kind"]) for each in json.loads(out)["found"]}
    assert {("app.log", "log"), ("fresh", "requests"), ("half", "requests"), ("devices.index", "devices")} <= found
    assert ("ledger.sqlite", "ledger") in found
    assert find_files(place, GONE) == []
    assert (place / "app.log").read_text() == '1 sent forgotten\n3 {"to":["forgotten"]}\n4 other\n'
    assert [open_requests(place / "runs" / name).id_count for name in ("fresh", "sent", "half")] == [44, 45, 45]
    assert status(place / "runs" / "sent").id_counts == before["sent"].id_counts
    after = load_deliveries(place / "runs" / "sent")
    assert after.filter(pl.col("id") != "forgotten-12").equals(deliveries.filter(pl.col("id") != GONE))
    service = FakeService()
    options = make_send_options(service)
    assert resume(place / "runs" / "half", CREDENTIALS, options=options).done
    assert service.delivery_counts == {id_: 1 for id_ in IDS if id_ != GONE}
    service = FakeService()
    assert send_run(place / "runs" / "fresh", service).done
    assert service.delivery_counts == {id_: 1 for id_ in IDS if id_ != GONE}


def test_audit_loses_ids_that_are_values_of_attributes(tmp_path):
    """An id may be a tag, too, and a number like those of the facts beside it."""
    ids = [str(number) for number in range(45)]
    folder = write_run_folder(tmp_path / "run", ids)
    facts = {"expression": "account:44 OR city:Bonn", "bound": "account:44", "devices": 44, "vendor": "fake"}
    append_audit(folder, "emit", facts)
    with (folder / AUDIT_FILE).open("ab") as file:
        file.write(b'{"expression":"account:44", "dev')  # the disk was full
    for expected in ([("requests", 1), ("audit", 3)], []):
        findings = forget_in_folders(folder, [folder], ["44"], dry_run=False)
        assert [(finding.kind, finding.found) for finding in findings] == expected
    [line] = read_audit(folder)
    assert {name: line[name] for name in facts} == {
        "expression": "account:forgotten OR city:Bonn",
        "bound": "account:forgotten",
        "devices": 44,
        "vendor": "fake",
    }
    assert open_requests(folder).id_count == 44


def test_dry_run_changes_nothing(place, audience):
    files = [file for file in place.rglob("*") if file.is_file() and "lock" not in file.name]
    before = {file: file.read_bytes() for file in files}
    code, out, _ = forget(audience, place, "--dry-run")
    assert code == 0
    assert "would be done" in out
    assert {file: file.read_bytes() for file in files} == before


def test_other_words_of_a_log_stay(place, audience):
    assert forget(audience, place)[0] == 0
    expected = f'1 sent forgotten\n2 sent {GONE}9 and x-{GONE}\n3 {{"to":["forgotten"]}}\n4 other\n'
    assert (place / "app.log").read_text() == expected
    assert (place / "app.log").stat().st_mode & 0o777 == 0o640


def test_forgetting_again_finds_nothing(place, audience):
    (place / "app.log").write_text("")
    assert forget(audience, place)[0] == 0
    code, out, _ = forget(audience, place)
    assert (code, out) == (0, "nothing was found; salted hashes suppress the ids in the indexes\n")


@pytest.mark.parametrize("is_sent", [True, False])
def test_interrupted_at_any_step_it_is_finished_by_the_same_command(tmp_path, is_sent):
    for step in steps_of_death(after=is_sent):
        folder = write_run_folder(tmp_path / str(step), IDS)
        if is_sent:
            send_run(folder, FakeService(fault=lambda call: "stopped" if call > 1 else None))
        forget_here = partial(forget_in_folders, folder, [folder], [GONE], dry_run=False)
        is_cut = FAILURE_POINT.is_cut(folder, step, forget_here)
        forget_here()
        assert find_files(folder, GONE) == [], f"cut at step {step}"
        assert not list(folder.rglob("*redact*")), f"cut at step {step}"
        assert open_requests(folder).id_count == (45 if is_sent else 44)
        service = FakeService()
        if is_sent:
            assert resume(folder, CREDENTIALS, options=make_send_options(service)).done
        else:
            assert send_run(folder, service).done
        expected = {id_: 1 for id_ in IDS if id_ != GONE}
        assert service.delivery_counts == {id_: 1 for id_ in expected if not is_sent or id_ not in IDS[:10]}
        if not is_cut:
            break
    assert step > 10


def test_interrupted_folder_names_the_command(place, audience):
    folder = place / "runs" / "half"
    redact_requests(folder, [GONE], keeps_positions=True).replace_files()
    code, _, err = audience("forget", GONE, "--runs", str(place / "runs"), "--dry-run")
    assert (code, err.split(":")[0]) == (2, "interrupted-forget") and "audience forget" in err
    with pytest.raises(DeliveryError, match="interrupted-forget"):
        resume(folder, CREDENTIALS, options=make_send_options(FakeService()))


def test_mistakes_are_refused_before_anything_changes(place, audience, tmp_path):
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b\x08 compressed")
    code, _, err = forget(audience, place, "--log", str(tmp_path / "x.gz"))
    assert (code, err.split(":")[0]) == (2, "compressed-log")
    (tmp_path / "empty").mkdir()
    code, _, err = forget(audience, place, "--runs", str(tmp_path / "empty"))
    assert (code, err.split(":")[0]) == (2, "no-requests")
    assert audience("forget", GONE)[0] == 2
    assert len(find_files(place, GONE)) > 5


def test_active_run_is_refused(place, audience):
    with Ledger(place / "runs" / "half" / LEDGER_FILE) as ledger, register_worker(ledger):
        code, _, err = forget(audience, place)
    assert (code, err.split(":")[0]) == (2, "active-run")
    assert open_requests(place / "runs" / "fresh").id_count == 45


@pytest.mark.parametrize(
    ("identifier", "text", "expected"),
    [
        ("r1", b"r1,r10,r-r1", b"X,r10,r-r1"),
        ('a"b', rb'{"to":["a\"b"]}', rb'{"to":["X"]}'),
        ("张三", "sent 张三".encode(), b"sent X"),
        ("张三", rb'"\u5f20\u4e09"', b'"X"'),
        ("a b", b"/push?id=a%20b&x=1", b"/push?id=X&x=1"),
    ],
)
def test_id_is_found_as_it_is_written(identifier, text, expected):
    assert compile_ids([identifier]).sub(b"X", text) == expected


def test_syncs_of_tags_keep_an_id_until_its_tags_are_removed(tmp_path, audience):
    table = pl.DataFrame({"registration_id": ["r1", "r2", "r3"], "tags": [["vip"], ["vip"], ["vip"]]})
    index = DeviceIndex.build(table, tmp_path / "devices.index")
    catalog = validate_catalog(parse_catalog('[tag]\nat = ["engagelab"]'))
    vendor = VendorTags("engagelab", unknown=frozenset({"r2"}))
    vendor.sync(index, catalog)

    def forget(*words):
        code, out, _ = audience("forget", "r1", "r2", "--index", str(index.folder), "--json", *words)
        assert code == 0
        return [
            (row["found"], row["done"].partition(":")[0]) for row in json.loads(out)["found"] if row["kind"] == "sync"
        ]

    state = tmp_path / "devices.index"
    assert forget("--dry-run") == [(1, "removed"), (1, "left")]
    assert forget() == [(1, "removed"), (1, "left")]
    assert load_state(index.snapshot.storage, vendor.application).known.ids.to_list() == ["r1", "r3"]
    vendor.sync(DeviceIndex.open(state), catalog)
    assert vendor.tags == {"r1": set(), "r3": {"vip"}}
    assert load_state(index.snapshot.storage, vendor.application).known.ids.to_list() == ["r3"]
    assert forget() == []


def test_folders_of_lost_commands_on_a_cluster_are_removed(place, audience):
    """Those beside the index and among the runs; not one of another index, nor a file of such a name."""
    digits = "0123456789abcdef"
    lost = [
        place / f".devices.index.{digits}.draft",
        place / f".devices.index.{digits}.events",
        place / "runs" / f".fresh.{digits}.requests",
        place / "runs" / f".found.parquet.{digits}.export",
        place / f".runs.{digits}.requests",
    ]
    left = [place / f".other.index.{digits}.events", place / f".devices.index.{digits}.folder"]
    for folder in [*lost, *left]:
        folder.mkdir()
        (folder / "shards-000000.json").write_text(GONE)
    words = ["forget", GONE, "--index", str(place / "devices.index"), "--runs", str(place / "runs"), "--json"]
    _, out, _ = audience(*words, "--dry-run")
    expected = sorted(map(str, lost))
    assert (
        sorted(each["place"] for each in json.loads(out)["found"] if each["kind"] == "unfinished command") == expected
    )
    assert all(folder.exists() for folder in lost)
    assert audience(*words)[0] == 0
    assert [folder for folder in lost if folder.exists()] == []
    assert all(folder.exists() for folder in left)


def test_command_under_way_keeps_its_folder(place, audience):
    folder = place / "runs" / ".fresh.0123456789abcdef.requests"
    folder.mkdir()
    with lock_output(place / "runs" / "fresh"):
        code, _, err = audience("forget", GONE, "--runs", str(place / "runs"))
    assert (code, folder.exists()) == (2, True), err
    assert "is being written by another process" in err
