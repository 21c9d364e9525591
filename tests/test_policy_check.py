"""Second check of policies: who no longer fits when a run is created or resumed is left out, and recorded."""

import json
import shutil

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

import audience
from audience import DeliveryError, DeviceIndex, ExpressionError, PlanError
from audience.delivery import RetryPolicy, cancel, load_deliveries, resume, send, status
from audience.delivery.policy_options import PolicyOptions
from audience.delivery.prepare import prepare_run
from audience.requests.campaign import plan_campaign, write_campaign
from audience.requests.writer import write_requests
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_idempotent_method,
    make_ids,
    make_send_options,
    random_faults,
    write_run_folder,
)

IDS = make_ids(35)
FEW_RETRIES = RetryPolicy(max_attempts=2, initial_delay=0.001, max_delay=0.002, timeout=5, max_lost=2)


@pytest.fixture(autouse=True)
def vendor():
    """Register the fake vendor."""
    unregister = fake_vendor.register_fake_vendors()
    yield
    unregister()


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return build_index(tmp_path / "devices.index")


def build_index(folder, **options) -> DeviceIndex:
    table = pl.DataFrame({"fake_token": IDS, "tags": [["a"] for _ in IDS]})
    return DeviceIndex.build(table, folder, tokens={"fake": "fake_token"}, **options)


def emit(index, folder, expr="everyone", **options):
    write_requests(audience.plan(expr, "fake", index, **options), index, folder)
    return folder


def send_run(folder, service, policies=None, **options):
    options = make_send_options(service, **options)
    return send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=options, policies=policies)


def resume_run(folder, service, policies=None, on_doubt="report", **options):
    options = make_send_options(service, **options)
    return resume(folder, CREDENTIALS, on_doubt=on_doubt, options=options, policies=policies)


def ids_by_code(folder) -> dict[str | None, list[str]]:
    codes: dict[str | None, list[str]] = {}
    for id_, state, code in load_deliveries(folder).select("id", "state", "code").iter_rows():
        codes.setdefault(state if state == "delivered" else code, []).append(id_)
    return codes


def test_who_opts_out_after_emit_is_left_out(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    index.tag(["r3", "r20"], add="opted_out")
    service = FakeService()
    result = send_run(folder, service)
    assert service.delivery_counts == {id_: 1 for id_ in IDS if id_ not in ("r3", "r20")}
    assert (result.done, result.left_out_counts, result.invalid_id_counts) == (True, {"consent": 2}, {})
    assert result.id_counts["accepted"] == len(IDS) - 2
    assert status(folder) == result
    left_out = load_deliveries(folder, ["not-sent"])
    assert left_out.select("id", "code", "sent_at").rows() == [
        ("r3", "policy:consent", None),
        ("r20", "policy:consent", None),
    ]


def test_batch_without_other_ids_is_not_called(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    index.tag(IDS[10:20], add="opted_out")
    service = FakeService()
    result = send_run(folder, service)
    assert service.call_count == 3
    assert (result.batch_counts["rejected"], result.batch_counts["accepted"], result.done) == (1, 3, True)
    assert ids_by_code(folder) == {"delivered": IDS[:10] + IDS[20:], "policy:consent": IDS[10:20]}


def test_nobody_left_means_no_call(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    index.tag(IDS, add="opted_out")
    service = FakeService()
    result = send_run(folder, service)
    assert (service.call_count, result.done, result.left_out_counts) == (0, True, {"consent": len(IDS)})


def test_suppressed_and_removed_devices_are_left_out(index, tmp_path):
    index.set_policy("complaints", suppress=[])
    folder = emit(index, tmp_path / "run")
    index.set_policy("complaints", suppress=["r1", "r2"])
    index.remove(["r2", "r34"])
    service = FakeService()
    result = send_run(folder, service)
    assert service.delivery_counts == {id_: 1 for id_ in IDS if id_ not in ("r1", "r2", "r34")}
    assert result.left_out_counts == {"complaints": 1, "not-in-index": 2}


def test_native_requests_are_refused_once_a_policy_is_set(index, tmp_path):
    folder = write_run_folder(tmp_path / "run", IDS[:5], native=[{"everyone": True}])
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "index": str(index.folder)}))
    index.set_policy("consent", cap="NOT opted_out")
    service = FakeService()
    with pytest.raises(DeliveryError, match=r"native-under-policy(.|\n)*emit again"):
        send_run(folder, service)
    assert (service.call_count, [*folder.glob("ledger*")]) == (0, [])
    assert send_run(folder, service, PolicyOptions.read(without=["consent"])).done


def test_ids_of_a_folder_without_policies_are_checked_too(index, tmp_path):
    folder = emit(index, tmp_path / "run", "fake_token(r1, r2, r3)")
    index.tag(["r2"], add="opted_out")
    index.set_policy("consent", cap="NOT opted_out")
    service = FakeService()
    send_run(folder, service)
    assert service.delivery_counts == {"r1": 1, "r3": 1}


def test_cap_of_the_send_and_of_the_plan(index, tmp_path):
    folder = emit(index, tmp_path / "run", caps=["NOT b"])
    index.tag(["r1"], add="b")
    index.tag(["r2", "r1"], add="c")
    service = FakeService(fault=lambda call: "stopped" if call == 2 else None)
    result = send_run(folder, service, PolicyOptions.read(caps=["NOT c"]), concurrency=1)
    assert result.left_out_counts == {"cap 1": 1, "cap 2": 1}
    index.tag(["r30"], add="c")
    service = FakeService()
    assert resume_run(folder, service).left_out_counts == {"cap 1": 1, "cap 2": 2}
    assert "r30" not in service.delivery_counts


def test_resume_leaves_out_of_what_is_not_sent_yet(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    service = FakeService(fault=lambda call: "stopped" if call > 2 else None)
    assert not send_run(folder, service, concurrency=1).done
    index.tag(["r0", "r15", "r25"], add="opted_out")
    assert service.delivery_counts == dict.fromkeys(IDS[:20], 1)
    service.fault = lambda call: None
    result = resume_run(folder, service)
    assert service.delivery_counts == {id_: 1 for id_ in IDS if id_ != "r25"}
    assert (result.done, result.left_out_counts) == (True, {"consent": 1})


def test_opt_out_while_in_doubt_stays_in_doubt_when_retried(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    service = FakeService(fault=lambda call: "lost" if call == 1 else None)
    send_run(folder, service, concurrency=1)
    index.tag(["r4"], add="opted_out")
    assert resume_run(folder, service).left_out_counts == {}
    result = resume_run(folder, service, on_doubt="retry")
    assert (service.delivery_counts["r4"], service.delivery_counts["r5"]) == (1, 2)
    assert (result.done, result.left_out_counts) == (True, {"consent": 1})
    assert load_deliveries(folder, ["in-doubt"]).select("id", "code").rows() == [("r4", "in-doubt-policy:consent")]


def test_repeat_within_the_window_leaves_out(index, tmp_path):
    unregister = fake_vendor.register_fake_vendors(make_delivery(make_idempotent_method()))
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    service = FakeService(fault=lambda call: "gone", drops_repeats=True)
    send_run(folder, service, concurrency=1, retry=FEW_RETRIES)
    index.tag(IDS[:12], add="opted_out")
    service.fault = lambda call: None
    result = resume_run(folder, service)
    assert not {*IDS[:12]} & {*service.delivery_counts}
    assert result.left_out_counts["consent"] >= 10
    unregister()


def test_lost_index_is_an_error_with_a_hint(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    index.tag(["r1"], add="opted_out")
    index.folder.rename(moved := tmp_path / "moved.index")
    service = FakeService()
    with pytest.raises(DeliveryError, match=r"does not exist(.|\n)*--index PATH.*--without-policy consent"):
        send_run(folder, service)
    assert (service.call_count, [*folder.glob("ledger*")]) == (0, [])
    with pytest.raises(PlanError, match="no policy 'consnt'"):
        send_run(folder, service, PolicyOptions.read(without=["consnt"], index=moved))
    shutil.copytree(folder, other := tmp_path / "other")
    send_run(folder, service, PolicyOptions.read(index=moved))
    assert service.delivery_counts == {id_: 1 for id_ in IDS if id_ != "r1"}
    service = FakeService()
    assert send_run(other, service, PolicyOptions.read(without=["consent"])).done
    assert service.delivery_counts["r1"] == 1


def test_folder_without_policies_needs_no_index(index, tmp_path):
    folder = emit(index, tmp_path / "run", "fake_token(r1, r2)")
    shutil.rmtree(index.folder)
    service = FakeService()
    assert send_run(folder, service).done
    assert service.delivery_counts == {"r1": 1, "r2": 1}


def test_damaged_policies_are_an_error(index, tmp_path):
    folder = emit(index, tmp_path / "run", "fake_token(r1, r2)")
    index.set_policy("consent", cap="NOT opted_out")
    for file in (index.folder / "records").glob("0*"):
        file.write_bytes(file.read_bytes().replace(b"opted", b"opteD"))
    with pytest.raises(audience.DamagedError, match="is not what was written"):
        send_run(folder, FakeService())


def test_policy_that_cannot_be_answered_stops_the_send(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    table = pl.DataFrame({"fake_token": IDS})
    DeviceIndex.build(table, index.folder, tokens={"fake": "fake_token"}, replace=True)
    with pytest.raises(ExpressionError, match="policy consent: "):
        send_run(folder, FakeService())


def test_campaign_is_checked_for_each_vendor(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    write_campaign(plan_campaign("everyone", ["fake"], index), tmp_path / "out")
    index.tag(["r7"], add="opted_out")
    service = FakeService()
    assert send_run(tmp_path / "out" / "fake", service).left_out_counts == {"consent": 1}
    assert "r7" not in service.delivery_counts


def test_preparation_writes_nothing(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, tmp_path / "run")
    index.tag(["r7"], add="opted_out")
    prepared = prepare_run(folder, MESSAGE, CREDENTIALS, UNLIMITED)
    assert [(each.position, each.id, each.code) for each in prepared.left_out] == [(7, "r7", "policy:consent")]
    assert not [*folder.glob("ledger*")]


@settings(max_examples=scale_examples(25))
@given(
    opted_out=st.lists(st.lists(st.sampled_from(IDS), max_size=12), min_size=2, max_size=4),
    seed=st.integers(0, 1_000),
    idempotent=st.booleans(),
    on_doubt=st.sampled_from(["report", "skip", "retry"]),
)
def test_nobody_is_sent_anything_after_opting_out(tmp_path_factory, opted_out, seed, idempotent, on_doubt):
    methods = [make_idempotent_method()] if idempotent else []
    unregister = fake_vendor.register_fake_vendors(make_delivery(*methods))
    index = build_index(tmp_path_factory.mktemp("law") / "devices.index")
    index.set_policy("consent", cap="NOT opted_out")
    folder = emit(index, index.folder.parent / "run")
    faults = random_faults(seed, lost=0.1, again=0.1, refused=0.05, stopped=0.15, gone=0.05)
    service = FakeService(fault=faults, drops_repeats=idempotent)
    out: set[str] = set()
    for number, ids in enumerate(opted_out):
        if ids:
            index.tag(ids, add="opted_out")
        out |= {*ids}
        before = dict(service.delivery_counts)
        run = send_run if number == 0 else resume_run
        run(folder, service, **({} if number == 0 else {"on_doubt": on_doubt}))
        after = service.delivery_counts
        assert not [id_ for id_ in out if after[id_] > before.get(id_, 0)]
    frame, now = load_deliveries(folder), status(folder)
    assert frame["id"].to_list() == IDS
    delivered = {*frame.filter(pl.col("state").is_in(["delivered", "in-doubt"]))["id"]}
    assert {id_ for id_, count in service.delivery_counts.items() if count} <= delivered
    codes = frame["code"].drop_nulls()
    assert sum(now.left_out_counts.values()) == codes.str.contains("policy:").sum()
    cancel(folder)
    unregister()


def test_commands_leave_out_and_show_it(tmp_path, audience, monkeypatch):
    ids = [f"id{number:03}" for number in range(20)]
    table = pl.DataFrame({"engagelab_id": ids, "tags": [["a"] for _ in ids]})
    index = DeviceIndex.build(table, tmp_path / "devices.index", tokens={"engagelab": "engagelab_id"})
    (tmp_path / "message.json").write_text(json.dumps({"title": "Hi", "body": "there"}))
    for name in ("APP_KEY", "MASTER_SECRET"):
        monkeypatch.setenv(f"AUDIENCE_ENGAGELAB_{name}", "x" * 24)
    path, folder = str(index.folder), str(tmp_path / "run")
    assert audience("policy", "set", path, "consent", "--cap", "NOT opted_out")[0] == 0
    assert audience("emit", path, "everyone", "--vendor", "engagelab", "-o", folder)[0] == 0
    index.tag(ids[:3], add="opted_out")
    words = ["send", folder, "--message", str(tmp_path / "message.json"), "--max-devices", "50", "--dry-run"]
    code, out, err = audience(*words)
    assert (code, err) == (0, "note: policy: engagelab: left out by policies: 3 consent\n")
    assert out.startswith("engagelab: 17 devices in 1 call")
    code, out, err = audience(*words, "--cap", "NOT a", "--json")
    assert json.loads(err)["notes"][0]["message"] == "engagelab: left out by policies: 3 consent, 17 cap 1"
    code, out, err = audience(*words, "--without-policy", "consent")
    assert (code, err) == (0, "")
    assert audience(*words, "--without-policy", "no")[0] == 2
    index.folder.rename(tmp_path / "moved.index")
    code, out, err = audience(*words)
    assert code == 2
    assert err.startswith("no-policy-index: ")
    assert audience(*words, "--index", str(tmp_path / "moved.index"))[1].startswith("engagelab: 17 devices")
