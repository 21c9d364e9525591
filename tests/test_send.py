"""Sends: deliveries, retries, rate limits, handles, and the effect of each reply on its batch and on the run."""

import sqlite3
import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest

from audience import DeliveryError, Problem
from audience.delivery import RetryPolicy, cancel, prepare, resume, send, status
from audience.delivery.ledger.connection import create_ledger
from audience.delivery.sender import unknown_ids
from audience.delivery.transport.retry import RetryLater
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_idempotent_method,
    make_ids,
    make_method,
    make_rate_limited_method,
    make_send_options,
    make_setup_method,
    make_upload_method,
    random_faults,
    write_run_folder,
)


@pytest.fixture
def vendor():
    """Yield a function that registers the fake vendor with other methods."""
    unregister_all = []

    def register_methods(*methods, **overrides):
        unregister_all.append(fake_vendor.register_fake_vendors(make_delivery(*methods, **overrides)))

    register_methods()
    yield register_methods
    for unregister in reversed(unregister_all):
        unregister()


def send_run(folder, service, **options):
    return send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service, **options))


def resume_run(folder, service, on_doubt="report", **options):
    return resume(folder, CREDENTIALS, on_doubt=on_doubt, options=make_send_options(service, **options))


def test_every_device_is_delivered_once(vendor, tmp_path):
    ids, service = make_ids(95), FakeService()
    result = send_run(write_run_folder(tmp_path / "run", ids), service)
    assert service.delivery_counts == dict.fromkeys(ids, 1)
    assert result.done
    assert (result.batch_counts["accepted"], result.id_counts["accepted"], len(result.message_ids)) == (10, 95, 10)
    assert status(tmp_path / "run") == result
    assert {body["title"] for body in service.bodies} == {"Hi"}
    *file_names, marker = sorted(file.name for file in (tmp_path / "run").iterdir())
    assert file_names == ["audit.jsonl", "ledger.sqlite", "manifest.json", "message.json", "requests-00001.ndjson"]
    assert marker.startswith("sent-")


def test_native_requests_are_sent_first_with_own_method(vendor, tmp_path):
    service = FakeService()
    result = send_run(
        write_run_folder(tmp_path / "run", make_ids(5), native=[{"everyone": True}]), service, concurrency=1
    )
    assert service.delivery_counts == {"everyone": 1, **dict.fromkeys(make_ids(5), 1)}
    assert "everyone" in service.bodies[0]
    assert result.batch_counts["accepted"] == 2


def test_run_is_created_once(vendor, tmp_path):
    send_run(write_run_folder(tmp_path / "run", make_ids(5)), FakeService())
    with pytest.raises(DeliveryError, match="audience resume"):
        send_run(tmp_path / "run", FakeService())


def test_concurrent_sends_reject_the_second(vendor, tmp_path, monkeypatch):
    folder, create, refused = write_run_folder(tmp_path / "run", make_ids(20)), create_ledger, []

    def create_slowly(*arguments):
        if not refused:
            refused.append(1)
            with pytest.raises(DeliveryError, match="another process"):
                send(folder, {"title": "Other"}, CREDENTIALS, UNLIMITED, options=make_send_options(FakeService()))
        create(*arguments)

    monkeypatch.setattr(prepare, "create_ledger", create_slowly)
    send_run(folder, FakeService(fault=lambda call: "stopped"))
    assert refused
    service = FakeService()
    assert resume_run(folder, service).done
    assert {body["title"] for body in service.bodies} == {"Hi"}


def test_named_invalid_ids_are_dropped(vendor, tmp_path):
    ids, service = make_ids(95), FakeService(bad_ids=["r3", "r4", "r40"])
    result = send_run(write_run_folder(tmp_path / "run", ids), service)
    assert service.delivery_counts == {id_: 1 for id_ in ids if id_ not in service.bad_ids}
    assert (result.invalid_id_counts, result.done, result.id_counts["accepted"]) == ({"bad-ids": 3}, True, 92)
    assert service.call_count == 12


def test_unnamed_invalid_ids_are_found_by_bisection(vendor, tmp_path):
    ids, service = make_ids(40), FakeService(bad_ids=["r3", "r4", "r39"], names_bad_ids=False)
    result = send_run(write_run_folder(tmp_path / "run", ids), service)
    assert service.delivery_counts == {id_: 1 for id_ in ids if id_ not in service.bad_ids}
    assert (result.invalid_id_counts, result.done, result.id_counts["accepted"]) == ({"bad-ids": 3}, True, 37)


def test_batch_of_only_invalid_ids_is_rejected(vendor, tmp_path):
    for number, named in enumerate((True, False)):
        service = FakeService(bad_ids=make_ids(10), names_bad_ids=named)
        result = send_run(write_run_folder(tmp_path / str(number), make_ids(10)), service)
        assert (result.invalid_id_counts, result.id_counts["accepted"], result.done) == ({"bad-ids": 10}, 0, True)
        assert not service.delivery_counts


def test_ids_skipped_by_vendor_are_recorded(vendor, tmp_path):
    result = send_run(write_run_folder(tmp_path / "run", make_ids(20)), FakeService(ignored_ids=["r7"]))
    assert (result.invalid_id_counts, result.id_counts["accepted"], result.done) == ({"left-out": 1}, 19, True)
    with sqlite3.connect(tmp_path / "run" / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT position, id, code FROM invalid_id").fetchall() == [(7, "r7", "left-out")]
    ledger.close()


def test_undelivered_batch_is_retried(vendor, tmp_path):
    for number, fault in enumerate(("again", "unreached")):
        service = FakeService(fault=random_faults(1, **{fault: 0.3}))
        result = send_run(write_run_folder(tmp_path / str(number), make_ids(95)), service)
        assert result.done
        assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


def test_unreachable_vendor_stops_run_and_resume_completes(vendor, tmp_path):
    result = send_run(write_run_folder(tmp_path / "run", make_ids(95)), FakeService(fault=lambda call: "unreached"))
    assert not result.done
    assert result.stop_reason.code == "unreachable"
    assert result.batch_counts["todo"] == 10
    service = FakeService()
    assert resume_run(tmp_path / "run", service).done
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


@pytest.mark.parametrize("names_bad_ids", [True, False])
def test_run_stops_if_too_many_ids_are_unknown(vendor, tmp_path, monkeypatch, names_bad_ids):
    monkeypatch.setattr(unknown_ids, "FIRST_IDS", 100)
    ids = make_ids(3_000)
    service = FakeService(bad_ids=ids, names_bad_ids=names_bad_ids)
    folder = write_run_folder(tmp_path / "run", ids)
    result = send_run(folder, service, concurrency=4)
    assert (result.stop_reason.code, result.done) == ("too-many-unknown", False)
    assert "fake" in result.stop_reason.hint
    assert 100 <= sum(result.invalid_id_counts.values()) < 150
    assert service.call_count < 400
    calls = service.call_count
    assert resume_run(folder, service).stop_reason.code == "too-many-unknown"
    assert service.call_count == calls
    options = replace(make_send_options(service), max_unknown=1.0)
    assert resume(folder, CREDENTIALS, options=options).invalid_id_counts == {"bad-ids": 3_000}


def test_share_of_unknown_ids_is_kept_by_the_run(vendor, tmp_path, monkeypatch):
    monkeypatch.setattr(unknown_ids, "FIRST_IDS", 100)
    ids = make_ids(3_000)
    service = FakeService(bad_ids=ids)
    folder = write_run_folder(tmp_path / "run", ids)

    def stop_reason(action, max_unknown):
        options = replace(make_send_options(service, concurrency=4), max_unknown=max_unknown)
        arguments = (MESSAGE, CREDENTIALS, UNLIMITED) if action is send else (CREDENTIALS,)
        return action(folder, *arguments, options=options).stop_reason

    for action, max_unknown, kept in [(send, 0.5, "50%"), (resume, None, "50%"), (resume, 0.6, "60%")]:
        assert kept in stop_reason(action, max_unknown).message.replace(" %", "%")
    assert stop_reason(resume, None).code == "too-many-unknown"
    assert stop_reason(resume, 1.0) is None


def test_few_unknown_ids_do_not_stop_a_run(vendor, tmp_path, monkeypatch):
    monkeypatch.setattr(unknown_ids, "FIRST_IDS", 100)
    service = FakeService(bad_ids=[f"r{number}" for number in range(0, 3_000, 60)], names_bad_ids=False)
    result = send_run(write_run_folder(tmp_path / "run", make_ids(3_000)), service, concurrency=4)
    assert (result.done, sum(result.invalid_id_counts.values())) == (True, 50)


@pytest.mark.parametrize(("asked", "least"), [(0.0, 0.25), (3.0, 3.0), (None, 0.25)])
def test_vendor_delays_never_shorten_the_backoff(asked, least):
    failed = SimpleNamespace(exception=lambda: RetryLater(Problem("again", "later"), asked))
    delays = [RetryPolicy()._next_delay(SimpleNamespace(outcome=failed, attempt_number=at)) for at in range(1, 8)]
    assert all(delay >= least for delay in delays)
    assert sum(delays) > 30


@pytest.mark.parametrize("attempt", [1, 10, 1_100, 10**6])
def test_backoff_never_exceeds_maximum(attempt):
    state = SimpleNamespace(outcome=None, attempt_number=attempt)
    assert 0.25 <= RetryPolicy(initial_delay=0.5, max_delay=30.0)._next_delay(state) <= 30.0


def test_rejected_batch_does_not_stop_others(vendor, tmp_path):
    service = FakeService(fault=lambda call: "refused" if call == 2 else None)
    result = send_run(write_run_folder(tmp_path / "run", make_ids(95)), service, concurrency=1)
    assert (result.batch_counts["rejected"], result.batch_counts["accepted"]) == (1, 9)
    assert result.id_counts["rejected"] == 10
    [failed_batch] = result.failed_batches
    assert (failed_batch.first, failed_batch.stop, failed_batch.problem.message) == (10, 20, "call 2")


def test_fatal_error_stops_run_with_vendor_message(vendor, tmp_path):
    service = FakeService(fault=lambda call: "stopped" if call == 3 else None)
    result = send_run(write_run_folder(tmp_path / "run", make_ids(95)), service, concurrency=1)
    assert (result.stop_reason.code, result.stop_reason.message) == ("stopped", "call 3")
    assert (service.call_count, result.batch_counts["accepted"], result.batch_counts["todo"]) == (3, 2, 8)
    service.fault = lambda call: None
    assert resume_run(tmp_path / "run", service).done
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


def test_lost_reply_leaves_batch_in_doubt_without_retry(vendor, tmp_path):
    service = FakeService(fault=lambda call: {2: "lost", 3: "gone", 4: "in-doubt"}.get(call))
    result = send_run(write_run_folder(tmp_path / "run", make_ids(95)), service, concurrency=1)
    assert (result.batch_counts["in_doubt"], result.batch_counts["accepted"], result.done) == (3, 7, False)
    assert {(batch.first, batch.state) for batch in result.failed_batches} == {(at, "in_doubt") for at in (10, 20, 30)}
    assert resume_run(tmp_path / "run", service) == result
    assert service.call_count == 10


def test_on_doubt_option_resolves_doubts(vendor, tmp_path):
    service = FakeService(fault=lambda call: "gone" if call == 2 else None)
    send_run(write_run_folder(tmp_path / "run", make_ids(20)), service, concurrency=1)
    result = resume_run(tmp_path / "run", service, on_doubt="retry")
    assert (result.done, result.batch_counts["accepted"]) == (True, 2)
    assert service.delivery_counts == dict.fromkeys(make_ids(20), 1)
    service = FakeService(fault=lambda call: "lost" if call == 2 else None)
    send_run(write_run_folder(tmp_path / "other", make_ids(20)), service, concurrency=1)
    result = resume_run(tmp_path / "other", service, on_doubt="skip")
    assert (result.done, result.batch_counts["in_doubt"], result.skipped) == (True, 1, 1)
    assert resume_run(tmp_path / "other", service, on_doubt="retry").skipped == 1
    assert service.delivery_counts == dict.fromkeys(make_ids(20), 1)


def test_lost_batches_are_resent_with_deduplication(vendor, tmp_path):
    vendor(make_idempotent_method())
    service = FakeService(fault=lambda call: ("lost", "gone", "in-doubt", None)[call % 4], drops_repeats=True)
    result = send_run(write_run_folder(tmp_path / "run", make_ids(95)), service)
    assert result.done
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)


def test_early_repeat_keeps_doubt(vendor, tmp_path):
    """The first call was delivered and its reply lost; the second call, which failed, does not change that."""
    vendor(make_idempotent_method())
    service = FakeService(fault=lambda call: {1: "lost", 2: "again", 3: "stopped"}.get(call), drops_repeats=True)
    result = send_run(write_run_folder(tmp_path / "run", make_ids(10)), service)
    assert (result.batch_counts["in_doubt"], result.stop_reason.code) == (1, "stopped")
    assert resume_run(tmp_path / "run", service).done
    assert service.delivery_counts == dict.fromkeys(make_ids(10), 1)
    assert len({body["token"] for body in service.bodies}) == 1


@pytest.mark.parametrize("answer", ["refused", "bad-ids"])
def test_rejected_repeat_keeps_doubt(vendor, tmp_path, answer):
    """Its parts would have other idempotency keys, so sending them could deliver twice."""
    vendor(make_idempotent_method())
    service = FakeService(fault=lambda call: {1: "lost", 2: answer}.get(call), drops_repeats=True)
    result = send_run(write_run_folder(tmp_path / "run", make_ids(10)), service)
    assert (result.batch_counts["in_doubt"], result.undecided, service.call_count) == (1, 1, 2)
    assert resume_run(tmp_path / "run", service) == result
    assert service.delivery_counts == dict.fromkeys(make_ids(10), 1)
    assert resume_run(tmp_path / "run", service, on_doubt="retry").done


@pytest.mark.parametrize("answer", ["refused", "bad-ids", "stopped"])
def test_rejected_setup_call_keeps_doubt(vendor, tmp_path, answer):
    vendor(make_setup_method(max_uses=1, dedup_window=timedelta(minutes=15)))
    service = FakeService(fault=lambda call: "lost" if call == 1 else None)
    handle_request = service.handle_request

    async def refuse_setup(request):
        if request.url.path == "/open" and service.call_count:
            return httpx.Response(400, json={"error": answer})
        return await handle_request(request)

    result = send_run(write_run_folder(tmp_path / "run", make_ids(10)), httpx.MockTransport(refuse_setup))
    assert (result.batch_counts["in_doubt"], result.undecided) == (1, 1)
    assert service.delivery_counts == dict.fromkeys(make_ids(10), 1)


def test_no_repeat_after_dedup_window(vendor, tmp_path):
    vendor(make_idempotent_method(minutes=0.001))
    service = FakeService(fault=lambda call: "lost", drops_repeats=True)
    result = send_run(write_run_folder(tmp_path / "run", make_ids(10)), service)
    assert (result.batch_counts["in_doubt"], service.call_count) == (1, 1)
    assert resume_run(tmp_path / "run", service) == result
    assert service.call_count == 1


def test_vendor_outage_limits_in_doubt_batches(vendor, tmp_path):
    service = FakeService(fault=lambda call: "in-doubt")
    retry_policy = RetryPolicy(initial_delay=0.001, max_lost=3)
    result = send_run(write_run_folder(tmp_path / "run", make_ids(500)), service, retry=retry_policy, concurrency=2)
    assert result.stop_reason.code == "all-lost"
    assert result.batch_counts["in_doubt"] in (3, 4)


def test_handles_are_reused_up_to_limit_and_closed(vendor, tmp_path):
    vendor(make_setup_method(max_uses=3))
    service = FakeService()
    assert send_run(write_run_folder(tmp_path / "run", make_ids(95)), service).done
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)
    assert (service.setup_count, service.handle_uses) == (4, {"h1": 3, "h2": 3, "h3": 3, "h4": 1})
    assert sorted(service.closed_handles) == ["h1", "h2", "h3", "h4"]


def test_upload_handle_belongs_to_its_batch(vendor, tmp_path):
    vendor(make_upload_method(max_ids=40))
    service = FakeService(fault=lambda call: "again" if call == 2 else None)
    assert send_run(write_run_folder(tmp_path / "run", make_ids(95)), service).done
    assert service.delivery_counts == dict.fromkeys(make_ids(95), 1)
    assert all(many == 1 for many in service.handle_uses.values())


def test_call_takes_several_lists(vendor, tmp_path):
    vendor(make_method(max_ids=40))
    service = FakeService(bad_ids=["r50"], names_bad_ids=False)
    assert send_run(write_run_folder(tmp_path / "run", make_ids(95)), service).done
    assert service.delivery_counts == {each: 1 for each in make_ids(95) if each != "r50"}


def test_too_few_message_ids_leave_batch_in_doubt(vendor, tmp_path):
    vendor(make_method(max_ids=30, message_per_target=True))
    service = FakeService()
    result = send_run(write_run_folder(tmp_path / "run", make_ids(35)), service)
    assert (result.batch_counts["in_doubt"], result.batch_counts["accepted"]) == (1, 1)
    assert result.id_counts["in_doubt"] == 30
    assert result.failed_batches[0].problem.message == "expected 3 message ids, one per target, found 1: m1"


def test_calls_respect_rate_limit_and_concurrency(vendor, tmp_path):
    vendor(make_rate_limited_method(20, 1.0))
    service = FakeService()
    started = time.monotonic()
    assert send_run(write_run_folder(tmp_path / "run", make_ids(100)), service).done
    assert 0.44 < time.monotonic() - started < 5
    vendor()
    service = FakeService(delay=0.01)
    assert send_run(write_run_folder(tmp_path / "other", make_ids(400)), service, concurrency=3).done
    assert service.max_concurrent_calls == 3


def test_two_workers_share_one_ledger(vendor, tmp_path):
    """Both run in this process, each with its own event loop and connection."""
    folder, service = write_run_folder(tmp_path / "run", make_ids(2_000)), FakeService(delay=0.002)
    send_run(folder, FakeService(fault=lambda call: "stopped"), concurrency=1)
    results = []
    threads = [threading.Thread(target=lambda: results.append(resume_run(folder, service))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status.pending for status in results] == [0, 0]
    assert service.delivery_counts == dict.fromkeys(make_ids(2_000), 1)
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        batch_counts = ledger.execute("SELECT worker, count(*) FROM batch GROUP BY worker").fetchall()
    ledger.close()
    assert len(batch_counts) == 2
    assert sum(count for _, count in batch_counts) == 200


def test_two_workers_share_rate_limit(vendor, tmp_path):
    vendor(make_rate_limited_method(50, 1.0))
    folder, service = write_run_folder(tmp_path / "run", make_ids(1_010)), FakeService()
    send_run(folder, FakeService(fault=lambda call: "stopped"), concurrency=1)
    started = time.monotonic()
    threads = [threading.Thread(target=resume_run, args=[folder, service]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.delivery_counts == dict.fromkeys(make_ids(1_010), 1)
    assert time.monotonic() - started > 1.7


def test_expired_handle_is_renewed(vendor, tmp_path):
    vendor(make_setup_method(max_uses=1_000, lifetime=timedelta(seconds=0.05)))
    service = FakeService(delay=0.02)
    assert send_run(write_run_folder(tmp_path / "run", make_ids(100)), service, concurrency=1).done
    assert service.setup_count > 2
    assert service.delivery_counts == dict.fromkeys(make_ids(100), 1)


def test_cancelled_run_sends_no_more(vendor, tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(500))

    def cancel_during_fifth_call(call):
        if call == 5:
            cancel(folder)

    service = FakeService(fault=cancel_during_fifth_call)
    result = send_run(folder, service, concurrency=1)
    assert (service.call_count, result.cancelled, result.batch_counts["accepted"], result.done) == (5, True, 5, False)
    with pytest.raises(DeliveryError, match="cancelled"):
        resume_run(folder, service)


@pytest.mark.parametrize("file", ["manifest.json", "requests-00001.ndjson", "message.json"])
def test_changed_plan_or_message_is_rejected(vendor, tmp_path, file):
    folder = write_run_folder(tmp_path / "run", make_ids(50))
    send_run(folder, FakeService(fault=lambda call: "stopped"), concurrency=1)
    data = (folder / file).read_text()
    (folder / file).write_text(data.replace("r1", "r2").replace("everyone", "nobody").replace("Hi", "Ho"))
    with pytest.raises(DeliveryError, match=r"other-|damaged-plan"):
        resume_run(folder, FakeService())
    (folder / file).write_text(data)
    assert resume_run(folder, FakeService()).done


def test_plan_changed_during_send_stops_run(vendor, tmp_path):
    """Other ids of the same length, a native request widened to everyone, a removed file."""
    changes = {
        "other": lambda data: data.replace("r95", "x95"),
        "wider": lambda data: data.replace('{"to":["r9999"]}', '{"everyone":  1}'),
        "gone": None,
    }
    for name, change in changes.items():
        folder = write_run_folder(
            tmp_path / name, make_ids(100), native=[{"to": [f"n{at}"]} for at in range(3)] + [{"to": ["r9999"]}]
        )
        file = folder / "requests-00001.ndjson"

        def change_file(call, file=file, change=change):
            if call == 1 and change:
                file.write_text(change(file.read_text()))
            elif call == 1:
                file.unlink()

        service = FakeService(fault=change_file)
        with pytest.raises(DeliveryError, match="damaged-plan"):
            send_run(folder, service, concurrency=1)
        assert not {"x95", "everyone"} & set(service.delivery_counts)
        assert status(folder).batch_counts["in_doubt"] == 0


def test_resume_rejects_other_credentials(vendor, tmp_path):
    folder = write_run_folder(tmp_path / "run", make_ids(50))
    send_run(folder, FakeService(fault=lambda call: "stopped"), concurrency=1)
    with pytest.raises(DeliveryError, match="other-application"):
        resume(folder, type(CREDENTIALS)(CREDENTIALS.base_url, {"key": "k2", "secret": "s"}))
    with pytest.raises(DeliveryError, match=r"(?s)other-host.*hint: pass --host http"):
        resume(folder, type(CREDENTIALS)("https://there.example", CREDENTIALS.keys))
    rotated = type(CREDENTIALS)(CREDENTIALS.base_url, {"key": "k1", "secret": "new"})
    assert resume(folder, rotated, options=make_send_options(FakeService())).done
