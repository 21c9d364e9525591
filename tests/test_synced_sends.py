"""Native requests that rest on syncs of tags: they leave for that application, while the vendor has those tags."""

import json
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest
from tag_syncs import VendorTags

from audience import DeliveryError, DeviceIndex, plan
from audience.delivery import SafetyLimits, SendOptions, resume, send
from audience.delivery.applications import identify_application
from audience.delivery.clock import SYSTEM_CLOCK
from audience.delivery.policy_options import PolicyOptions
from audience.delivery.prepare import create_run, plan_run_batches, prepare_run, prepare_sync_check
from audience.delivery.schedule import read_schedule
from audience.messages import parse_message
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.requests.reader import open_requests
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.sandbox.sandbox import KEY, SECRET
from audience.vendors import get_vendor
from audience.vendors.delivery_spec import Credentials

IDS = [f"{number:032x}" for number in range(6)]
TABLE = pl.DataFrame(
    {
        "registration_id": IDS,
        "platform": ["android"] * 6,
        "tags": [["vip"], ["vip", "told"], ["told"], [], [], ["vip"]],
        "age": [1, 2, 3, 4, 5, 6],
    }
)
CATALOG = validate_catalog(parse_catalog('[tag]\nat = ["engagelab"]'))
MESSAGE = {"title": "Hi", "body": "there"}
LIMITS = SafetyLimits(max_devices=6)


def make_credentials(host: str = "https://push.example", key: str = KEY) -> Credentials:
    return Credentials(host, {"app_key": key, "master_secret": SECRET})


def vendor_of(credentials: Credentials) -> VendorTags:
    delivery = get_vendor("engagelab").delivery
    return VendorTags("engagelab", identify_application("engagelab", delivery, credentials).digest)


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    """Six devices, three of which are vip, synced to the application of the credentials."""
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index")
    vendor_of(make_credentials()).sync(index, CATALOG, ["vip", "told"])
    return index


def emit(index: DeviceIndex, expr: str = "vip AND NOT told"):
    planned = plan(expr, "engagelab", index, CATALOG)
    assert planned.native
    folder = index.folder.parent / "run"
    write_requests(planned, index, folder)
    return folder


def prepare(folder, credentials: Credentials | None = None, **options):
    return prepare_run(folder, MESSAGE, credentials or make_credentials(), LIMITS, **options)


def refuse(folder, credentials: Credentials | None = None, **options) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        prepare(folder, credentials, **options)
    return caught.value


def test_manifest_names_the_syncs(index):
    manifest = json.loads((emit(index) / "manifest.json").read_text())
    assert [(each["attribute"], each["snapshot"], each["host"]) for each in manifest["synced"]] == [
        ("vip", 1, "https://push.example"),
        ("told", 1, "https://push.example"),
    ]
    assert manifest["native_exprs"] == ["vip AND NOT told"]
    assert KEY not in json.dumps(manifest)


def test_requests_without_synced_tags_name_none(tmp_path):
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index")
    folder = emit(index)
    assert open_requests(folder).synced is None
    assert prepare(folder, make_credentials(key="b" * 24)).sync_check is None


def test_request_may_leave_while_the_state_is_that_of_the_plan(index):
    folder = emit(index)
    index.tag([IDS[3]], add="vip")  # the vendor still has what was planned
    assert prepare(folder).sync_check is not None


def test_other_application_is_refused(index):
    error = refuse(emit(index), make_credentials(key="b" * 24))
    assert error.code == "other-application"
    assert "audience sync" in error.problems[0].hint
    assert refuse(emit_again(index), make_credentials("https://other.example")).code == "other-application"


def emit_again(index: DeviceIndex):
    shutil.rmtree(index.folder.parent / "run")
    return emit(index)


def test_sync_that_has_begun_is_refused(index):
    folder = emit(index)
    index.tag([IDS[3]], add="vip")
    vendor_of(make_credentials()).sync(index, CATALOG, ["vip"], ends=False)
    error = refuse(folder)
    assert error.code == "stale-at-vendor"
    assert "a sync has begun and not ended" in error.problems[0].message


def test_sync_of_other_tags_changes_nothing(index):
    folder = emit(index)
    index.tag([IDS[3]], add="new")
    vendor_of(make_credentials()).sync(index, CATALOG, ["new"], ends=False)
    assert prepare(folder).sync_check is not None


def test_later_sync_that_changed_the_audience_is_refused(index):
    folder = emit(index)
    index.tag([IDS[3]], add="vip")
    vendor_of(make_credentials()).sync(index, CATALOG, ["vip", "told"])
    error = refuse(folder)
    assert (error.code, "1 devices of the audience changed" in error.problems[0].message) == ("stale-at-vendor", True)


def test_later_sync_that_left_the_audience_as_it_was_may_be_sent(index):
    folder = emit(index)
    index.tag([IDS[3]], add="told")  # told, and not vip
    vendor_of(make_credentials()).sync(index, CATALOG, ["vip", "told"])
    assert prepare(folder).sync_check is not None


def test_later_sync_is_refused_if_the_snapshot_of_the_plan_is_not_kept(index):
    folder = emit(index)
    index.tag([IDS[3]], add="told")
    vendor_of(make_credentials()).sync(index, CATALOG, ["vip", "told"])
    index.vacuum(keep=1)
    error = refuse(folder)
    assert (error.code, "keeps no snapshot 1" in error.problems[0].message) == ("stale-at-vendor", True)


def test_request_waits_for_the_last_sync_to_take_effect(index):
    folder = emit(index)
    vendor_of(make_credentials()).sync(index, CATALOG, ["vip", "told"], effective_in=600)
    assert "pushes may follow older tags until" in refuse(folder).problems[0].message


def test_index_that_is_gone_is_refused_until_it_is_named(index):
    folder, moved = emit(index), index.folder.parent / "moved.index"
    index.folder.rename(moved)
    error = refuse(folder)
    assert (error.code, "--index PATH" in error.problems[0].hint) == ("no-sync-state", True)
    assert prepare(folder, policies=PolicyOptions(index=moved)).sync_check is not None


def test_copy_of_the_index_knows_nothing_of_later_syncs(index):
    folder, copy = emit(index), index.folder.parent / "copy.index"
    shutil.copytree(index.folder, copy)
    error = refuse(folder, policies=PolicyOptions(index=copy))
    assert (error.code, "this index is a copy" in error.problems[0].message) == ("stale-at-vendor", True)


def test_vendor_does_not_keep_a_native_request_until_its_time(tmp_path):
    index = DeviceIndex.build(TABLE, tmp_path / "emas.index", tokens={"emas": "registration_id"})
    catalog, delivery = validate_catalog(parse_catalog('[tag]\nat = ["emas"]')), get_vendor("emas").delivery
    keys = {"access_key_id": "a", "access_key_secret": "b", "app_key": "1"}
    credentials = Credentials("https://push.example", keys)
    VendorTags("emas", identify_application("emas", delivery, credentials).digest).sync(index, catalog, ["vip"])
    write_requests(plan("vip", "emas", index, catalog), index, tmp_path / "run")
    schedule = read_schedule(send_at=datetime.fromtimestamp(time.time() + 7_200, UTC).isoformat())
    prepared = prepare(tmp_path / "run", credentials, schedule=schedule)
    unbound = replace(prepared, requests=replace(prepared.requests, synced=None))
    [held], [kept] = (list(plan_run_batches(each, time.time())) for each in (prepared, unbound))
    assert (held.native, held.at_vendor, kept.at_vendor) == (0, False, True)
    message = {**MESSAGE, "vendor": {"emas": {"PushTime": f"{datetime.now(UTC).year + 1}-01-01T00:00:00Z"}}}
    with pytest.raises(DeliveryError, match="kept-by-vendor"):
        prepare_sync_check(
            prepared.requests, [delivery.build_body(parse_message(message))], credentials, PolicyOptions(), SYSTEM_CLOCK
        )


def test_run_stops_before_a_native_call_if_a_sync_has_begun(index):
    with Sandbox(Population(TABLE), rate=None) as sandbox:
        credentials = make_credentials(sandbox.url)
        vendor = vendor_of(credentials)
        vendor.sync(index, CATALOG, ["vip", "told"])
        folder = emit(index)
        prepared = prepare(folder, credentials)
        create_run(prepared)
        vendor.sync(index, CATALOG, ["vip"], ends=False)
        with pytest.raises(DeliveryError) as caught:
            resume(folder, credentials)
        assert caught.value.code == "stale-at-vendor"
        vendor.sync(index, CATALOG, ["vip"])
        assert resume(folder, credentials).batch_counts["accepted"] == 1


def test_worker_looks_again_before_the_call(index, monkeypatch):
    from audience.delivery import sync_check

    with Sandbox(Population(TABLE), rate=None) as sandbox:
        credentials = make_credentials(sandbox.url)
        vendor = vendor_of(credentials)
        vendor.sync(index, CATALOG, ["vip", "told"])
        folder = emit(index)
        passed = sync_check.require_fresh

        def begin_after_check(check):
            passed(check)
            vendor.sync(index, CATALOG, ["vip"], ends=False)

        monkeypatch.setattr(sync_check, "require_fresh", begin_after_check)
        status = send(folder, MESSAGE, credentials, LIMITS, options=SendOptions())
        assert (status.stop_reason.code, status.batch_counts["todo"]) == ("stale-at-vendor", 1)
        assert not sandbox.delivery_counts("engagelab")


def test_status_of_a_run_names_the_syncs(index, audience):
    with Sandbox(Population(TABLE), rate=None) as sandbox:
        credentials = make_credentials(sandbox.url)
        vendor_of(credentials).sync(index, CATALOG, ["vip", "told"])
        folder = emit(index)
        send(folder, MESSAGE, credentials, LIMITS)
    code, text, _ = audience("status", str(folder))
    assert (code, "native requests rest on vip, told synced to snapshot 1 at 20" in text) == (0, True)
    [run] = json.loads(audience("status", str(folder), "--json")[1]).values()
    assert [sync["attribute"] for sync in run["synced"]][:2] == ["vip", "told"]


def test_plan_and_explain_weigh_a_sync(index, audience, tmp_path):
    (tmp_path / "catalog.toml").write_text('[tag]\nat = ["engagelab"]\n')
    index.tag([IDS[3]], add="vip")
    options = ("vip", "--vendor", "engagelab", "--catalog", str(tmp_path / "catalog.toml"))
    for command in ("plan", "explain"):
        code, text, _ = audience(command, str(index.folder), *options)
        assert (code, "a sync of vip (1 call) and the requests after it: 2 calls" in text) == (0, True), text
        assert "run `audience sync INDEX --vendor engagelab" in text
    facts = json.loads(audience("explain", str(index.folder), *options, "--json")[1])
    assert facts["syncs"]["engagelab"]["is_cheaper"] is False
    facts = json.loads(audience("plan", str(index.folder), *options, "--json")[1])
    assert facts["sync"]["attributes"] == ["vip"]
