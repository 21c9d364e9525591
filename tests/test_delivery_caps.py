"""Caps on deliveries: nobody is messaged more often, also with runs that are emitted side by side."""

import json

import polars as pl
import pytest

from audience import DeviceIndex
from audience.delivery import record_runs, resume, send
from audience.testing import fake_vendor
from audience.testing.fake_vendor import CREDENTIALS, MESSAGE, UNLIMITED, FakeService, make_ids, make_send_options

IDS = make_ids(25)


@pytest.fixture(autouse=True)
def vendor():
    """Register the fake vendor."""
    unregister = fake_vendor.register_fake_vendors()
    yield
    unregister()


@pytest.fixture
def index(tmp_path, audience) -> DeviceIndex:
    table = pl.DataFrame({"fake_token": IDS, "tags": [["a"] * (number % 2) for number in range(len(IDS))]})
    index = DeviceIndex.build(table, tmp_path / "devices.index", tokens={"fake": "fake_token"})
    index.set_policy("weekly", cap="did(delivered) < 1 within 7 days")
    return index


@pytest.fixture
def emit(index, audience, tmp_path):
    """Emit requests by the command; return their folder and the number of devices."""

    def run(name: str, expr: str = "everyone", *options: str):
        folder = tmp_path / name
        words = ["emit", str(index.folder), expr, "--vendor", "fake", "-o", str(folder), "--json", *options]
        code, out, err = audience(*words)
        assert code == 0, err
        return folder, json.loads(out)["devices"]

    return run


def send_run(folder, service):
    return send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service))


def test_two_runs_emitted_side_by_side_do_not_both_pass(index, emit):
    first, count = emit("first", "a")
    second, rest = emit("second")
    assert (count, rest) == (12, 13)
    service = FakeService()
    assert send_run(second, service).left_out_counts == {}
    assert send_run(first, service).left_out_counts == {}
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_next_run_reaches_nobody_again(index, emit):
    service = FakeService()
    first, _ = emit("first")
    send_run(first, service)
    index.refresh()
    record_runs(index, first)
    assert emit("second")[1] == 0
    index.restore(1)
    assert emit("third")[1] == 0
    table = pl.DataFrame({"fake_token": IDS, "tags": [["a"] for _ in IDS]})
    DeviceIndex.build(table, index.folder, tokens={"fake": "fake_token"}, replace=True)
    assert emit("fourth")[1] == 0


def test_run_does_not_count_against_itself(index, emit):
    folder, count = emit("first")
    service = FakeService(fault=lambda call: "stopped" if call > 1 else None)
    send_run(folder, service)
    index.refresh()
    record_runs(index, folder)
    service.fault = lambda call: None
    result = resume(folder, CREDENTIALS, options=make_send_options(service))
    assert (count, result.done, result.left_out_counts) == (len(IDS), True, {})
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_replaced_requests_do_not_count(index, emit):
    assert emit("run")[1] == len(IDS)
    assert emit("run", "everyone", "--replace")[1] == len(IDS)
    assert emit("other")[1] == 0
    assert emit("run", "a", "--replace")[1] == 12
    assert emit("other", "everyone", "--replace")[1] == 13


def test_deliveries_of_another_run_after_emit_are_left_out(index, emit):
    folder, _ = emit("run")
    other, count = emit("other", "a", "--without-policy", "weekly")
    assert count == 12
    service = FakeService()
    send_run(other, service)
    index.refresh()
    record_runs(index, other)
    result = send_run(folder, service)
    assert result.left_out_counts == {"weekly": 12}
    assert service.delivery_counts == dict.fromkeys(IDS, 1)


def test_forgotten_person_is_in_no_record(index, emit):
    folder, _ = emit("run")
    send_run(folder, FakeService())
    index.refresh()
    record_runs(index, folder)
    index.forget(["r7"])
    assert index.count("did(delivered)") == len(IDS) - 1
    table = pl.DataFrame({"fake_token": IDS, "tags": [["a"] for _ in IDS]})
    index = DeviceIndex.build(table, index.folder, tokens={"fake": "fake_token"}, replace=True)
    assert index.count("did(delivered)") == len(IDS) - 1
    assert emit("next")[1] == 0


def test_cap_on_a_feed_that_is_late_needs_allow_gaps(index, audience, tmp_path):
    events = pl.DataFrame({"fake_token": IDS[:5], "at": ["2020-01-01T10:00"] * 5}).with_columns(
        pl.col("at").str.to_datetime()
    )
    index.add_events(events, event="open")
    index.drop_policy("weekly")
    code, out, err = audience("policy", "set", str(index.folder), "quiet", "--cap", "NOT did(open) within 7 days")
    assert (code, out) == (
        0,
        "policy quiet set: NOT did(open) within 7 days; takes out an unknown number of 25 devices\n",
    )
    assert "warning" in err
    assert audience("policy", "list", str(index.folder))[0] == 0
    words = ["emit", str(index.folder), "everyone", "--vendor", "fake", "-o", str(tmp_path / "run")]
    code, _, err = audience(*words)
    assert code == 2
    assert "policy quiet: " in err
    assert audience(*words, "--allow-gaps")[0] == 0
    service = FakeService()
    assert send_run(tmp_path / "run", service).done
    assert service.delivery_counts == dict.fromkeys(IDS, 1)
