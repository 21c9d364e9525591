"""Runs as events of an index: whom they have reached, or may reach, at every stage of a run."""

import json
import os
import shutil
import time

import polars as pl
import pytest
from event_rows import read_event_rows
from test_delivery_crashes import server, start_process  # noqa: F401

from audience import DeliveryError, DeviceIndex, PlanError
from audience.delivery import campaign_runs, cancel, record_runs, resume, send
from audience.delivery.recorded_runs import drop_emissions
from audience.delivery.run_names import view_without_run
from audience.delivery.run_recorder import record_while_running
from audience.messages import Message
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_ids,
    make_send_options,
    random_faults,
    write_campaign_folder,
    write_run_folder,
)


@pytest.fixture(autouse=True)
def vendor():
    """Register fake vendors."""
    unregister = fake_vendor.register_fake_vendors(names=("fake", "pager"))
    yield
    unregister()


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    ids = make_ids(60)
    tags = [["vip"] if number % 2 else [] for number in range(60)]
    return DeviceIndex.build(pl.DataFrame({"token": ids, "tags": tags}), tmp_path / "devices.index")


def ids_by_state(index) -> dict[str, set[str]]:
    frame = read_event_rows(index)
    assert frame["id"].is_duplicated().sum() == 0
    return {state: set(ids) for state, ids in frame.group_by("state").agg("id").iter_rows()}


def send_run(folder, service, **options):
    return send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service, **options))


def test_finished_run_is_recorded_as_delivered(index, tmp_path):
    ids = make_ids(40)
    folder = write_run_folder(tmp_path / "summer", ids)
    started = time.time()
    send_run(folder, FakeService(bad_ids=["r3"]))
    recorded = record_runs(index, folder)
    assert (recorded.counts, recorded.problems) == ({"delivered": 39}, ())
    frame = read_event_rows(index)
    assert set(frame["id"]) == {*ids} - {"r3"}
    assert frame.select("run", "vendor", "title", "method", "state").unique().rows() == [
        ("summer", "fake", "Hi", "ids", "delivered")
    ]
    assert "variant" not in frame.columns
    assert started * 1e6 <= frame["at"].min() <= frame["at"].max() <= time.time() * 1e6


def test_recording_again_changes_nothing(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", make_ids(40))
    send_run(folder, FakeService())
    first = record_runs(index, folder)
    before = read_event_rows(index)
    again = record_runs(index, folder)
    assert (again.snapshot, again.counts) == (first.snapshot, {})
    resume(folder, CREDENTIALS, options=make_send_options(FakeService()))
    assert record_runs(index, folder).snapshot == first.snapshot
    assert read_event_rows(index).equals(before)


def test_emitted_requests_count_until_they_are_sent(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", make_ids(20))
    os.utime(folder / "manifest.json", (1_700_000_000, 1_700_000_000))
    assert record_runs(index, folder).counts == {"emitted": 20}
    assert read_event_rows(index).select("at", "state").unique().rows() == [(1_700_000_000_000_000, "emitted")]
    send_run(folder, FakeService(bad_ids=make_ids(5)))
    assert record_runs(index, folder).counts == {"delivered": 15}
    assert ids_by_state(index) == {"delivered": set(make_ids(20)[5:])}


def test_view_without_a_run_has_all_other_events(index, tmp_path):
    folders = [write_run_folder(tmp_path / name, make_ids(20)) for name in ("summer", "winter")]
    for folder in folders:
        record_runs(index, folder)
    index.compact()
    view = view_without_run(index, folders[0])
    assert read_event_rows(view)["run"].unique().to_list() == ["winter"]
    send_run(folders[0], FakeService())
    record_runs(index, folders[0])
    view = view_without_run(index, folders[0])
    assert read_event_rows(view)["run"].unique().to_list() == ["winter"]
    assert len(read_event_rows(index)) == 40
    assert view_without_run(index, write_run_folder(tmp_path / "other", make_ids(5))) is index


def test_two_copies_of_emitted_requests_are_two_runs(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", make_ids(20))
    record_runs(index, folder)
    shutil.copytree(folder, tmp_path / "copy")
    for name in ("summer", "copy"):
        send_run(tmp_path / name, FakeService())
        record_runs(index, tmp_path / name)
    assert read_event_rows(index).group_by("id").len()["len"].unique().to_list() == [2]


def test_stopped_run_counts_whole_until_it_is_cancelled(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", make_ids(50))
    faults = {2: "lost", 3: "refused", 4: "stopped"}
    send_run(folder, FakeService(fault=faults.get), concurrency=1)
    assert record_runs(index, folder).counts == {"delivered": 10, "in doubt": 10, "emitted": 20}
    cancel(folder)
    assert record_runs(index, folder).counts == {"delivered": 10, "in doubt": 10}
    ids = make_ids(50)
    assert ids_by_state(index) == {"delivered": set(ids[:10]), "in doubt": set(ids[10:20])}


@pytest.mark.parametrize("seed", range(3))
def test_resumed_run_has_the_states_of_its_ledger(index, tmp_path, seed):
    ids = make_ids(60)
    service = FakeService(fault=random_faults(seed, lost=0.1, in_doubt=0.1, again=0.2, refused=0.1), bad_ids=["r7"])
    folder = write_run_folder(tmp_path / "summer", ids)
    send_run(folder, service)
    for _ in range(3):
        record_runs(index, folder)
        found = ids_by_state(index)
        assert set(service.delivery_counts) <= found.get("delivered", set()) | found.get("in doubt", set())
        resume(folder, CREDENTIALS, on_doubt="skip", options=make_send_options(service))


def test_campaign_is_recorded_under_its_name_for_each_vendor(index, tmp_path):
    folder = write_campaign_folder(tmp_path / "launch", fake=make_ids(20)[:10], pager=make_ids(20)[10:])
    assert record_runs(index, folder).counts == {"emitted": 20}
    ready = campaign_runs.prepare_all(folder, Message(title="New"), lambda vendor: CREDENTIALS, UNLIMITED)
    campaign_runs.send_all(folder, Message(title="New"), ready, make_send_options(FakeService()))
    assert record_runs(index, folder).counts == {"delivered": 20}
    assert set(read_event_rows(index).select("run", "vendor", "title").unique().rows()) == {
        ("launch", "fake", "New"),
        ("launch", "pager", "New"),
    }


def test_native_devices_are_those_that_the_index_matches(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", make_ids(10), native=[{"everyone": True}])
    rewrite_manifest(folder, bound="vip", expression="vip")
    assert record_runs(index, folder).counts == {"emitted": 10 + 25}
    send_run(folder, FakeService())
    assert record_runs(index, folder).counts == {"delivered": 10 + 25}
    frame = read_event_rows(index)
    assert set(frame.filter(pl.col("method") == "native")["id"]) == {f"r{number}" for number in range(11, 60, 2)}
    index.tag(make_ids(60), remove="vip")
    assert record_runs(index, folder).counts == {}
    assert len(read_event_rows(index)) == 35


def test_rejected_native_request_reaches_nobody(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", [], native=[{"everyone": True}])
    record_runs(index, folder)
    send_run(folder, FakeService(fault=lambda call: "refused"))
    assert record_runs(index, folder).counts == {}
    assert len(read_event_rows(index)) == 0


def test_native_requests_of_an_unknown_audience_are_an_error(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", [], native=[{"everyone": True}])
    rewrite_manifest(folder, bound="city:x", expression="city:x")
    with pytest.raises(DeliveryError, match="unknown-devices"):
        record_runs(index, folder)
    assert len(read_event_rows(index)) == 0


def rewrite_manifest(folder, **values):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **values}))


def test_variant_is_that_of_the_split(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", make_ids(4))
    text = "vip AND split(a:50%, b:50%, launch) = b"
    rewrite_manifest(folder, bound=text, expression=text)
    record_runs(index, folder)
    assert read_event_rows(index)["variant"].to_list() == ["b"] * 4


def test_other_index_is_a_problem(tmp_path):
    other = DeviceIndex.build(pl.DataFrame({"token": ["x1"]}), tmp_path / "other.index")
    folder = write_run_folder(tmp_path / "summer", make_ids(4))
    [problem] = record_runs(other, folder).problems
    assert problem.code == "unknown-devices"
    no_column = DeviceIndex.build(
        pl.DataFrame({"x_token": ["x1"]}), tmp_path / "third.index", tokens={"tpns": "x_token"}
    )
    with pytest.raises(PlanError, match="no-token"):
        record_runs(no_column, folder)


def test_copy_of_a_run_is_an_error(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", make_ids(10))
    send_run(folder, FakeService())
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(DeliveryError, match="copied-run"):
        record_runs(index, tmp_path / "copy")


def test_recording_while_sending_covers_every_delivery(index, tmp_path):
    """At any moment of a run, each id that the vendor has delivered to is recorded."""
    folder, seen = write_run_folder(tmp_path / "summer", make_ids(60)), []

    class Watched(FakeService):
        def _deliver(self, number, ids, payload):
            now = DeviceIndex.open(index.folder)
            seen.append(set(ids) <= set(read_event_rows(now)["id"]))
            return super()._deliver(number, ids, payload)

    with record_while_running(index.folder, folder, interval=0.05):
        send_run(folder, Watched(delay=0.1), concurrency=1)
    assert seen == [True] * 6
    index.refresh()
    assert ids_by_state(index) == {"delivered": set(make_ids(60))}


def test_interruption_is_recorded(index, tmp_path):
    folder = write_run_folder(tmp_path / "summer", make_ids(60))

    def interrupt(call):
        if call == 3:
            raise KeyboardInterrupt
        return

    with pytest.raises(KeyboardInterrupt), record_while_running(index.folder, folder):
        send_run(folder, FakeService(fault=interrupt), concurrency=1)
    index.refresh()
    found = ids_by_state(index)
    assert len(found["delivered"]) == 20 and len(found["emitted"]) + len(found["in doubt"]) == 40


def test_killed_run_never_records_fewer_devices_than_were_reached(index, tmp_path, server):  # noqa: F811
    service, url = server
    ids = make_ids(60)
    folder = write_run_folder(tmp_path / "summer", ids)
    record_runs(index, folder)
    for number in range(3):
        before = service.call_count
        sender, _ = start_process(folder, url, "once", "resume" if number else "send")
        while service.call_count < before + 1 and sender.is_alive():
            time.sleep(0.002)
        sender.kill()
        sender.join()
        assert set(service.delivery_counts) <= set(read_event_rows(index)["id"])
        record_runs(index, folder)
        assert set(service.delivery_counts) <= set(read_event_rows(index)["id"])
    last, answer = start_process(folder, url, "once", "resume")
    answer.recv()
    last.join()
    record_runs(index, folder)
    found = {state: ids_by_state(index).get(state, set()) for state in ("delivered", "in doubt")}
    assert found["delivered"] <= set(service.delivery_counts) <= found["delivered"] | found["in doubt"] == set(ids)


def test_requests_that_were_not_sent_are_dropped(index, tmp_path):
    folders = [write_run_folder(tmp_path / name, make_ids(20)) for name in ("summer", "winter")]
    for folder in folders:
        record_runs(index, folder)
    drop_emissions(index, folders[0])
    assert read_event_rows(index)["run"].unique().to_list() == ["winter"]
    send_run(folders[1], FakeService())
    record_runs(index, folders[1])
    drop_emissions(index, folders[1])
    assert read_event_rows(index)["state"].to_list() == ["delivered"] * 20


def test_command_records_runs(index, tmp_path, audience):
    folder = write_run_folder(tmp_path / "summer", make_ids(20))
    send_run(folder, FakeService(bad_ids=["r3"]))
    _, text, _ = audience("events", "add", str(index.folder), "--run", str(folder))
    assert text == "snapshot 2: delivered: 19 delivered\n"
    _, text, _ = audience("events", "add", str(index.folder), "--run", str(folder))
    assert text == "snapshot 2 is still current: nothing new to record\n"
    for words in ([], ["events.csv", "--run", str(folder)]):
        status, _, errors = audience("events", "add", str(index.folder), *words)
        assert status == 2 and "bad-option" in errors
