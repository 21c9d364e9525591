"""What became of each id of a run: compared with the status of the run, and with what the vendor has received."""

import io
import json
import signal
import sqlite3
import stat
import time
from collections import Counter

import polars as pl
import pytest
from test_delivery_crashes import server, start_process  # noqa: F401

from audience import DeliveryError
from audience.delivery import cancel, deliveries, load_deliveries, resume, send, status
from audience.delivery.deliveries import list_native_outcomes
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_ids,
    make_method,
    make_send_options,
    make_vendor,
    random_faults,
    write_run_folder,
)
from audience.testing.registration import register_vendors

FAULTS = {"lost": 0.1, "in_doubt": 0.1, "again": 0.1, "refused": 0.1}


@pytest.fixture(autouse=True)
def vendor():
    """Register the fake vendor."""
    unregister = fake_vendor.register_fake_vendors()
    yield
    unregister()


class TaskService(FakeService):
    """Service that makes a message for each request of a call, which has ten ids at most."""

    def _deliver(self, number, ids, payload):
        super()._deliver(number, ids, payload)
        targets = [ids[at : at + 10] for at in range(0, len(ids), 10)]
        self.message_of = {**getattr(self, "message_of", {})}
        self.message_of |= {id_: f"m{number}.{at}" for at, target in enumerate(targets) for id_ in target}
        return ",".join(f"m{number}.{at}" for at in range(len(targets)))


def send_run(folder, service, **options):
    return send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service, **options))


def ids_by_state(folder) -> dict[str, list[str]]:
    frame = load_deliveries(folder)
    return {state: frame.filter(pl.col("state") == state)["id"].to_list() for state in frame["state"].unique()}


def check_sums(folder, ids):
    """Compare the number of ids in each state with `status`, and the ids with those of the plan."""
    now, frame = status(folder), load_deliveries(folder)
    assert frame["id"].to_list() == ids
    by_state = Counter(frame["state"])
    assert by_state["delivered"] == now.id_counts["accepted"]
    assert by_state["not-sent"] == now.id_counts["todo"]
    assert by_state["in-doubt"] == now.id_counts["in_doubt"] + now.id_counts["sent"]
    assert by_state["rejected"] == now.id_counts["rejected"] + sum(now.invalid_id_counts.values())


def test_finished_run_lists_every_id_as_delivered(tmp_path):
    ids, before = make_ids(95), time.time()
    folder = write_run_folder(tmp_path / "run", ids)
    send_run(folder, FakeService())
    check_sums(folder, ids)
    frame = load_deliveries(folder)
    assert frame["state"].unique().to_list() == ["delivered"]
    assert frame["batch"].to_list() == [1 + number // 10 for number in range(95)]
    assert before <= frame["sent_at"].dt.epoch("ms").min() / 1000 + 0.001 <= time.time()
    assert set(frame["message_id"]) == set(status(folder).message_ids)
    assert (frame["vendor"].unique().to_list(), frame["run"].n_unique(), frame["code"].null_count()) == (
        ["fake"],
        1,
        95,
    )


@pytest.mark.parametrize("names_bad_ids", [True, False])
@pytest.mark.parametrize("bad_ids", [["r0"], ["r3", "r4", "r39"], make_ids(10), make_ids(40)])
def test_invalid_ids_are_listed_as_rejected(tmp_path, names_bad_ids, bad_ids):
    ids, service = make_ids(40), FakeService(bad_ids=bad_ids, names_bad_ids=names_bad_ids)
    folder = write_run_folder(tmp_path / "run", ids)
    send_run(folder, service)
    check_sums(folder, ids)
    found = ids_by_state(folder)
    assert set(found.get("delivered", [])) == set(service.delivery_counts)
    assert found["rejected"] == bad_ids
    rejected = load_deliveries(folder, ["rejected"])
    assert set(rejected["code"]) == {"bad-ids"} and rejected["batch"].null_count() == 0


def test_ids_that_an_accepted_call_has_left_out(tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(20))
    send_run(folder, FakeService(ignored_ids=["r7"]))
    assert load_deliveries(folder, ["rejected"]).select("id", "code", "batch", "message_id").rows() == [
        ("r7", "left-out", 1, None)
    ]


def test_stopped_resumed_and_cancelled_run(tmp_path):
    ids = make_ids(95)
    folder = write_run_folder(tmp_path / "run", ids)
    send_run(folder, FakeService(fault=lambda call: "stopped" if call > 3 else None), concurrency=1)
    check_sums(folder, ids)
    assert 0 < len(ids_by_state(folder)["not-sent"]) < 95
    cancel(folder)
    check_sums(folder, ids)
    assert load_deliveries(folder, ["not-sent"])["sent_at"].null_count() == len(ids_by_state(folder)["not-sent"])


@pytest.mark.parametrize("seed", range(6))
def test_listed_states_are_right_under_random_faults(tmp_path, seed):
    ids = make_ids(400)
    service = FakeService(
        fault=random_faults(seed, **FAULTS),
        bad_ids=make_ids(400)[seed::17],
        names_bad_ids=seed % 2 == 0,
    )
    folder = write_run_folder(tmp_path / "run", ids)
    send_run(folder, service)
    for _ in range(3):
        check_sums(folder, ids)
        found = {state: set(of_state) for state, of_state in ids_by_state(folder).items()}
        delivered = found.get("delivered", set())
        assert delivered <= set(service.delivery_counts) <= delivered | found.get("in-doubt", set())
        resume(folder, CREDENTIALS, options=make_send_options(service))


@pytest.mark.parametrize("then", ["stopped", "refused", "bad-ids"])
def test_first_call_stays_in_doubt_whatever_its_retry_does(tmp_path, then):
    ids = make_ids(40)
    folder = write_run_folder(tmp_path / "run", ids)
    service = FakeService(fault={2: "lost"}.get)
    send_run(folder, service, concurrency=1)
    doubtful = ids_by_state(folder)["in-doubt"]
    [first_moment] = load_deliveries(folder, ["in-doubt"])["sent_at"].unique()
    service.fault = lambda call: then
    resume(folder, CREDENTIALS, on_doubt="retry", options=make_send_options(service))
    cancel(folder)
    found = load_deliveries(folder, ["in-doubt"])
    assert found["id"].to_list() == doubtful == [id_ for id_ in ids if id_ in service.delivery_counts][10:20]
    assert found["sent_at"].unique().to_list() == [first_moment]


@pytest.mark.parametrize("seed", range(6))
def test_whoever_may_have_been_reached_counts_also_after_retries(tmp_path, seed):
    ids = make_ids(200)
    fault = random_faults(seed, **FAULTS, stopped=0.05)
    service = FakeService(fault=fault, bad_ids=ids[seed::17], names_bad_ids=seed % 2 == 0)
    folder = write_run_folder(tmp_path / "run", ids)
    send_run(folder, service)
    for _ in range(4):
        found = {state: set(of_state) for state, of_state in ids_by_state(folder).items()}
        assert set(service.delivery_counts) <= found.get("delivered", set()) | found.get("in-doubt", set())
        resume(folder, CREDENTIALS, on_doubt="retry", options=make_send_options(service))
    cancel(folder)
    assert set(service.delivery_counts) <= set(load_deliveries(folder, ["delivered", "in-doubt"])["id"])


def test_chunks_do_not_change_the_rows(tmp_path, monkeypatch):
    ids = make_ids(300)
    service = FakeService(
        bad_ids=["r0", "r55", "r299"],
        names_bad_ids=False,
        fault=random_faults(1, **FAULTS),
    )
    folder = write_run_folder(tmp_path / "run", ids)
    send_run(folder, service)
    whole = load_deliveries(folder)
    monkeypatch.setattr(deliveries, "IDS_PER_CHUNK", 20)
    assert load_deliveries(folder).equals(whole)


def test_native_requests_have_no_ids(tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(5), native=[{"everyone": True}])
    send_run(folder, FakeService(fault=lambda call: "refused" if call == 1 else None), concurrency=1)
    check_sums(folder, make_ids(5))
    [native] = list_native_outcomes(folder)
    assert (native.vendor, native.number, native.state) == ("fake", 0, "rejected")


@pytest.mark.parametrize("chunk", [20, 1 << 16])
def test_each_id_has_the_message_of_its_request(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(deliveries, "IDS_PER_CHUNK", chunk)
    ids, service = make_ids(95), TaskService(bad_ids=["r3", "r36", "r40"], ignored_ids=["r80"])
    folder = write_run_folder(tmp_path / "run", ids)
    delivery = make_delivery(make_method("tasks", message_per_target=True, max_ids=35))
    with register_vendors(make_vendor(delivery)):
        send_run(folder, service)
        check_sums(folder, ids)
        frame = load_deliveries(folder, ["delivered"])
    assert len(frame) == 91
    assert dict(frame.select("id", "message_id").iter_rows()) == {
        id_: message for id_, message in service.message_of.items() if id_ != "r80"
    }


def test_changed_requests_are_an_error(tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(20))
    send_run(folder, FakeService())
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "expression": "vip"}))
    with pytest.raises(DeliveryError, match="other-plan"):
        load_deliveries(folder)


def test_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(DeliveryError, match="no-run"):
        load_deliveries(write_run_folder(tmp_path / "run", make_ids(20)))


def test_ledger_that_misses_a_batch_is_an_error(tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(20))
    send_run(folder, FakeService(fault=lambda call: "stopped"))
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        ledger.executescript("DROP TRIGGER batch_no_delete; DELETE FROM batch WHERE number = 2")
    with pytest.raises(DeliveryError, match="no batch has the id at position 10"):
        load_deliveries(folder)


def test_ids_are_listed_at_any_time_of_a_killed_run(tmp_path, server):  # noqa: F811
    service, url = server
    ids = make_ids(1_000)
    folder = write_run_folder(tmp_path / "run", ids)
    for number in range(4):
        before = service.call_count
        sender, _ = start_process(folder, url, "once", "resume" if number else "send")
        while service.call_count < before + 8 and sender.is_alive():
            load_deliveries(folder) if (folder / "ledger.sqlite").exists() else time.sleep(0.002)
        sender.kill()
        sender.join()
        assert sender.exitcode == -signal.SIGKILL
        check_sums(folder, ids)
        found = {state: set(of_state) for state, of_state in ids_by_state(folder).items()}
        delivered = found.get("delivered", set())
        assert delivered <= set(service.delivery_counts) <= delivered | found.get("in-doubt", set())


def test_command_writes_each_format(tmp_path, audience):
    folder = write_run_folder(tmp_path / "run", make_ids(30), native=[{"everyone": True}])
    send_run(folder, FakeService(bad_ids=["r3"]))
    expected = load_deliveries(folder)
    _, text, warnings = audience("delivered", str(folder))
    assert "native: fake: 1 native request delivered, without ids" in warnings
    assert read_text_table(text.encode(), "csv").equals(expected)
    for name, read in (("a.csv", "csv"), ("a.ndjson", "ndjson"), ("a.parquet", "parquet")):
        file = tmp_path / name
        _, text, _ = audience("delivered", str(folder), "-o", str(file))
        assert text == f"{file}: 29 delivered at fake, 1 rejected at fake\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert read_text_table(file.read_bytes(), read).equals(expected), name
    _, text, _ = audience("delivered", str(folder), "--state", "rejected", "--json")
    assert json.loads(text)["id"] == "r3"
    assert audience("delivered", str(folder), "--state", "delivred")[:2] == (2, "")  # no header before the refusal


def read_text_table(data: bytes, format_: str) -> pl.DataFrame:
    match format_:
        case "csv":
            frame = pl.read_csv(io.BytesIO(data), schema_overrides={"sent_at": pl.String, "code": pl.String})
            return frame.with_columns(pl.col("sent_at").str.to_datetime(time_unit="us", time_zone="UTC"))
        case "ndjson":
            frame = pl.read_ndjson(io.BytesIO(data), schema_overrides={"sent_at": pl.String, "code": pl.String})
            return frame.with_columns(pl.col("sent_at").str.to_datetime(time_unit="us", time_zone="UTC"))
        case _:
            return pl.read_parquet(io.BytesIO(data))
