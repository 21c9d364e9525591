"""What is sent, to whom, how often, at which pace; and what each reply means for its batch and for the run."""

import sqlite3
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import fake_vendor
import pytest
from fake_vendor import (
    ANY,
    APPLICATION,
    MESSAGE,
    Service,
    delivery,
    effort,
    faults,
    folder_of,
    ids_of,
    opened,
    paced,
    repeating,
    uploaded,
    way,
)

from audience import DeliveryError
from audience.delivery import Patience, cancel, prepare, resume, send, status


@pytest.fixture
def vendor():
    """Lets the made-up vendor be found, with ways of its own."""
    undo = []

    def register(*ways, **changes):
        undo.append(fake_vendor.register(delivery(*ways, **changes)))

    register()
    yield register
    for each in reversed(undo):
        each()


def sent(folder, service, **options):
    return send(folder, MESSAGE, APPLICATION, ANY, effort=effort(service, **options))


def resumed(folder, service, on_doubt="report", **options):
    return resume(folder, APPLICATION, on_doubt=on_doubt, effort=effort(service, **options))


def test_everyone_is_told_once(vendor, tmp_path):
    ids, service = ids_of(95), Service()
    found = sent(folder_of(tmp_path / "run", ids), service)
    assert service.told == dict.fromkeys(ids, 1)
    assert found.done
    assert (found.batches["accepted"], found.ids["accepted"], len(found.messages)) == (10, 95, 10)
    assert status(tmp_path / "run") == found
    assert {body["title"] for body in service.bodies} == {"Hi"}
    *known, mark = sorted(file.name for file in (tmp_path / "run").iterdir())
    assert known == ["ledger.sqlite", "manifest.json", "message.json", "requests-00001.ndjson"]
    assert mark.startswith("sent-")


def test_native_requests_come_first_and_are_told_by_their_own_way(vendor, tmp_path):
    service = Service()
    found = sent(folder_of(tmp_path / "run", ids_of(5), native=[{"everyone": True}]), service, concurrency=1)
    assert service.told == {"everyone": 1, **dict.fromkeys(ids_of(5), 1)}
    assert "everyone" in service.bodies[0]
    assert found.batches["accepted"] == 2


def test_a_run_is_begun_once(vendor, tmp_path):
    sent(folder_of(tmp_path / "run", ids_of(5)), Service())
    with pytest.raises(DeliveryError, match="audience resume"):
        sent(tmp_path / "run", Service())


def test_of_two_that_begin_at_once_one_is_told_and_changes_nothing(vendor, tmp_path, monkeypatch):
    folder, create, refused = folder_of(tmp_path / "run", ids_of(20)), prepare.create, []

    def slow(*words):
        if not refused:
            refused.append(1)
            with pytest.raises(DeliveryError, match="another process"):
                send(folder, {"title": "Other"}, APPLICATION, ANY, effort=effort(Service()))
        create(*words)

    monkeypatch.setattr(prepare, "create", slow)
    sent(folder, Service(fault=lambda call: "stopped"))
    assert refused
    service = Service()
    assert resumed(folder, service).done
    assert {body["title"] for body in service.bodies} == {"Hi"}


def test_bad_ids_that_are_named_are_dropped(vendor, tmp_path):
    ids, service = ids_of(95), Service(bad=["r3", "r4", "r40"])
    found = sent(folder_of(tmp_path / "run", ids), service)
    assert service.told == {each: 1 for each in ids if each not in service.bad}
    assert (found.bad, found.done, found.ids["accepted"]) == ({"bad-ids": 3}, True, 92)
    assert service.calls == 12


def test_bad_ids_that_are_not_named_are_found_by_halves(vendor, tmp_path):
    ids, service = ids_of(40), Service(bad=["r3", "r4", "r39"], named=False)
    found = sent(folder_of(tmp_path / "run", ids), service)
    assert service.told == {each: 1 for each in ids if each not in service.bad}
    assert (found.bad, found.done, found.ids["accepted"]) == ({"bad-ids": 3}, True, 37)


def test_a_batch_of_bad_ids_alone_is_refused(vendor, tmp_path):
    for number, named in enumerate((True, False)):
        service = Service(bad=ids_of(10), named=named)
        found = sent(folder_of(tmp_path / str(number), ids_of(10)), service)
        assert (found.bad, found.ids["accepted"], found.done) == ({"bad-ids": 10}, 0, True)
        assert not service.told


def test_ids_that_the_vendor_left_out_are_recorded(vendor, tmp_path):
    found = sent(folder_of(tmp_path / "run", ids_of(20)), Service(left_out=["r7"]))
    assert (found.bad, found.ids["accepted"], found.done) == ({"left-out": 1}, 19, True)
    with sqlite3.connect(tmp_path / "run" / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT position, id, code FROM bad").fetchall() == [(7, "r7", "left-out")]
    ledger.close()


def test_what_told_nobody_is_tried_again(vendor, tmp_path):
    for number, fault in enumerate(("again", "unreached")):
        service = Service(fault=faults(1, **{fault: 0.3}))
        found = sent(folder_of(tmp_path / str(number), ids_of(95)), service)
        assert found.done
        assert service.told == dict.fromkeys(ids_of(95), 1)


def test_who_is_never_reached_stops_the_run_and_it_can_go_on(vendor, tmp_path):
    found = sent(folder_of(tmp_path / "run", ids_of(95)), Service(fault=lambda call: "unreached"))
    assert not found.done
    assert found.stopped.code == "unreachable"
    assert found.batches["todo"] == 10
    service = Service()
    assert resumed(tmp_path / "run", service).done
    assert service.told == dict.fromkeys(ids_of(95), 1)


@pytest.mark.parametrize("attempt", [1, 10, 1_100, 10**6])
def test_no_wait_is_longer_than_the_longest_however_often_it_was_tried(attempt):
    state = SimpleNamespace(outcome=None, attempt_number=attempt)
    assert 0.25 <= Patience(first=0.5, most=30.0)._wait(state) <= 30.0


def test_a_refused_batch_does_not_stop_the_others(vendor, tmp_path):
    service = Service(fault=lambda call: "refused" if call == 2 else None)
    found = sent(folder_of(tmp_path / "run", ids_of(95)), service, concurrency=1)
    assert (found.batches["refused"], found.batches["accepted"], found.ids["refused"]) == (1, 9, 10)
    [trouble] = found.troubles
    assert (trouble.first, trouble.stop, trouble.problem.message) == (10, 20, "call 2")


def test_what_cannot_succeed_stops_the_run_at_once_with_the_vendors_words(vendor, tmp_path):
    service = Service(fault=lambda call: "stopped" if call == 3 else None)
    found = sent(folder_of(tmp_path / "run", ids_of(95)), service, concurrency=1)
    assert (found.stopped.code, found.stopped.message) == ("stopped", "call 3")
    assert (service.calls, found.batches["accepted"], found.batches["todo"]) == (3, 2, 8)
    service.fault = lambda call: None
    assert resumed(tmp_path / "run", service).done
    assert service.told == dict.fromkeys(ids_of(95), 1)


def test_a_lost_reply_leaves_the_batch_in_doubt_and_it_is_never_sent_again_by_itself(vendor, tmp_path):
    service = Service(fault=lambda call: {2: "lost", 3: "gone", 4: "in-doubt"}.get(call))
    found = sent(folder_of(tmp_path / "run", ids_of(95)), service, concurrency=1)
    assert (found.batches["in doubt"], found.batches["accepted"], found.done) == (3, 7, False)
    assert {(each.first, each.state) for each in found.troubles} == {(at, "in doubt") for at in (10, 20, 30)}
    assert resumed(tmp_path / "run", service) == found
    assert service.calls == 10


def test_the_user_decides_what_becomes_of_a_doubt(vendor, tmp_path):
    service = Service(fault=lambda call: "gone" if call == 2 else None)
    sent(folder_of(tmp_path / "run", ids_of(20)), service, concurrency=1)
    found = resumed(tmp_path / "run", service, on_doubt="retry")
    assert (found.done, found.batches["accepted"]) == (True, 2)
    assert service.told == dict.fromkeys(ids_of(20), 1)
    service = Service(fault=lambda call: "lost" if call == 2 else None)
    sent(folder_of(tmp_path / "other", ids_of(20)), service, concurrency=1)
    found = resumed(tmp_path / "other", service, on_doubt="skip")
    assert (found.done, found.batches["in doubt"], found.skipped) == (True, 1, 1)
    assert resumed(tmp_path / "other", service, on_doubt="retry").skipped == 1
    assert service.told == dict.fromkeys(ids_of(20), 1)


def test_where_the_vendor_drops_repeats_lost_ones_are_sent_again(vendor, tmp_path):
    vendor(repeating())
    service = Service(fault=lambda call: ("lost", "gone", "in-doubt", None)[call % 4], drops=True)
    found = sent(folder_of(tmp_path / "run", ids_of(95)), service)
    assert found.done
    assert service.told == dict.fromkeys(ids_of(95), 1)


def test_a_repeat_that_comes_too_early_leaves_the_doubt(vendor, tmp_path):
    """The first call told them and its reply was lost: that the second told nobody says nothing of the first."""
    vendor(repeating())
    service = Service(fault=lambda call: {1: "lost", 2: "again", 3: "stopped"}.get(call), drops=True)
    found = sent(folder_of(tmp_path / "run", ids_of(10)), service)
    assert (found.batches["in doubt"], found.stopped.code) == (1, "stopped")
    assert resumed(tmp_path / "run", service).done
    assert service.told == dict.fromkeys(ids_of(10), 1)
    assert len({body["token"] for body in service.bodies}) == 1


@pytest.mark.parametrize("answer", ["refused", "bad-ids"])
def test_a_repeat_that_is_refused_leaves_the_doubt_to_the_user(vendor, tmp_path, answer):
    """To send its parts anew, with tokens of their own, would tell those twice that the first call has told."""
    vendor(repeating())
    service = Service(fault=lambda call: {1: "lost", 2: answer}.get(call), drops=True)
    found = sent(folder_of(tmp_path / "run", ids_of(10)), service)
    assert (found.batches["in doubt"], found.doubts, service.calls) == (1, 1, 2)
    assert resumed(tmp_path / "run", service) == found
    assert service.told == dict.fromkeys(ids_of(10), 1)
    assert resumed(tmp_path / "run", service, on_doubt="retry").done


@pytest.mark.parametrize("answer", ["refused", "bad-ids", "stopped"])
def test_an_opening_that_is_refused_before_a_repeat_leaves_the_doubt(vendor, tmp_path, answer):
    vendor(opened(calls=1, repeats=timedelta(minutes=15)))
    service = Service(fault=lambda call: "lost" if call == 1 else None)
    answered = service.answer

    async def closed(request):
        if request.url.path == "/open" and service.calls:
            return fake_vendor.httpx.Response(400, json={"error": answer})
        return await answered(request)

    found = sent(folder_of(tmp_path / "run", ids_of(10)), fake_vendor.httpx.MockTransport(closed))
    assert (found.batches["in doubt"], found.doubts) == (1, 1)
    assert service.told == dict.fromkeys(ids_of(10), 1)


def test_repeats_end_before_the_vendor_forgets(vendor, tmp_path):
    vendor(repeating(minutes=0.001))
    service = Service(fault=lambda call: "lost", drops=True)
    found = sent(folder_of(tmp_path / "run", ids_of(10)), service)
    assert (found.batches["in doubt"], service.calls) == (1, 1)
    assert resumed(tmp_path / "run", service) == found
    assert service.calls == 1


def test_a_vendor_that_is_down_does_not_get_all_of_it_in_doubt(vendor, tmp_path):
    service = Service(fault=lambda call: "in-doubt")
    patience = Patience(first=0.001, doubts=3)
    found = sent(folder_of(tmp_path / "run", ids_of(500)), service, patience=patience, concurrency=2)
    assert found.stopped.code == "all-lost"
    assert found.batches["in doubt"] in (3, 4)


def test_handles_are_used_up_to_their_calls_and_closed_at_the_end(vendor, tmp_path):
    vendor(opened(calls=3))
    service = Service()
    assert sent(folder_of(tmp_path / "run", ids_of(95)), service).done
    assert service.told == dict.fromkeys(ids_of(95), 1)
    assert (service.opens, service.uses) == (4, {"h1": 3, "h2": 3, "h3": 3, "h4": 1})
    assert sorted(service.closed) == ["h1", "h2", "h3", "h4"]


def test_a_handle_of_uploaded_ids_belongs_to_its_batch(vendor, tmp_path):
    vendor(uploaded(ids=40))
    service = Service(fault=lambda call: "again" if call == 2 else None)
    assert sent(folder_of(tmp_path / "run", ids_of(95)), service).done
    assert service.told == dict.fromkeys(ids_of(95), 1)
    assert all(many == 1 for many in service.uses.values())


def test_a_call_may_take_several_lists(vendor, tmp_path):
    vendor(way(ids=40))
    service = Service(bad=["r50"], named=False)
    assert sent(folder_of(tmp_path / "run", ids_of(95)), service).done
    assert service.told == {each: 1 for each in ids_of(95) if each != "r50"}


def test_a_call_of_several_messages_that_names_fewer_is_in_doubt(vendor, tmp_path):
    vendor(way(ids=30, several=True))
    service = Service()
    found = sent(folder_of(tmp_path / "run", ids_of(35)), service)
    assert (found.batches["in doubt"], found.ids["in doubt"], found.batches["accepted"]) == (1, 30, 1)
    assert found.troubles[0].problem.message == "the vendor names 1 messages for 3 tasks: m1"


def test_calls_are_at_least_the_pace_apart_and_no_more_are_under_way_than_allowed(vendor, tmp_path):
    vendor(paced(20, 1.0))
    service = Service()
    begun = time.monotonic()
    assert sent(folder_of(tmp_path / "run", ids_of(100)), service).done
    assert 0.44 < time.monotonic() - begun < 5
    vendor()
    service = Service(delay=0.01)
    assert sent(folder_of(tmp_path / "other", ids_of(400)), service, concurrency=3).done
    assert service.most == 3


def test_two_workers_share_one_ledger(vendor, tmp_path):
    """Both in this process, with an event loop and a connection each."""
    folder, service = folder_of(tmp_path / "run", ids_of(2_000)), Service(delay=0.002)
    sent(folder, Service(fault=lambda call: "stopped"), concurrency=1)
    found = []
    threads = [threading.Thread(target=lambda: found.append(resumed(folder, service))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.left for each in found] == [0, 0]
    assert service.told == dict.fromkeys(ids_of(2_000), 1)
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        shares = ledger.execute("SELECT worker, count(*) FROM batch GROUP BY worker").fetchall()
    ledger.close()
    assert len(shares) == 2
    assert sum(share for _, share in shares) == 200


def test_two_workers_share_the_pace(vendor, tmp_path):
    vendor(paced(50, 1.0))
    folder, service = folder_of(tmp_path / "run", ids_of(1_010)), Service()
    sent(folder, Service(fault=lambda call: "stopped"), concurrency=1)
    begun = time.monotonic()
    threads = [threading.Thread(target=resumed, args=[folder, service]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.told == dict.fromkeys(ids_of(1_010), 1)
    assert time.monotonic() - begun > 1.7


def test_a_handle_that_does_not_last_is_opened_anew(vendor, tmp_path):
    vendor(opened(calls=1_000, lasts=timedelta(seconds=0.05)))
    service = Service(delay=0.02)
    assert sent(folder_of(tmp_path / "run", ids_of(100)), service, concurrency=1).done
    assert service.opens > 2
    assert service.told == dict.fromkeys(ids_of(100), 1)


def test_a_cancelled_run_sends_no_more(vendor, tmp_path):
    folder = folder_of(tmp_path / "run", ids_of(500))
    service = Service(fault=lambda call: cancel(folder) and None if call == 5 else None)
    found = sent(folder, service, concurrency=1)
    assert (service.calls, found.cancelled, found.batches["accepted"], found.done) == (5, True, 5, False)
    with pytest.raises(DeliveryError, match="cancelled"):
        resumed(folder, service)


@pytest.mark.parametrize("file", ["manifest.json", "requests-00001.ndjson", "message.json"])
def test_a_plan_or_message_that_changed_is_refused(vendor, tmp_path, file):
    folder = folder_of(tmp_path / "run", ids_of(50))
    sent(folder, Service(fault=lambda call: "stopped"), concurrency=1)
    data = (folder / file).read_text()
    (folder / file).write_text(data.replace("r1", "r2").replace("everyone", "nobody").replace("Hi", "Ho"))
    with pytest.raises(DeliveryError, match=r"other-|damaged-plan"):
        resumed(folder, Service())
    (folder / file).write_text(data)
    assert resumed(folder, Service()).done


def test_a_plan_that_changes_while_it_is_sent_stops_it(vendor, tmp_path):
    """Ids of other devices, of the same length; a native request that tells everyone; a file that is gone."""
    changes = {
        "other": lambda data: data.replace("r95", "x95"),
        "wider": lambda data: data.replace('{"to":["r9999"]}', '{"everyone":  1}'),
        "gone": None,
    }
    for name, change in changes.items():
        folder = folder_of(
            tmp_path / name, ids_of(100), native=[{"to": [f"n{at}"]} for at in range(3)] + [{"to": ["r9999"]}]
        )
        file = folder / "requests-00001.ndjson"

        def changed(call, file=file, change=change):
            if call == 1 and change:
                file.write_text(change(file.read_text()))
            elif call == 1:
                file.unlink()

        service = Service(fault=changed)
        with pytest.raises(DeliveryError, match="damaged-plan"):
            sent(folder, service, concurrency=1)
        assert not {"x95", "everyone"} & set(service.told)
        assert status(folder).batches["in doubt"] == 0


def test_another_application_does_not_go_on_with_a_run(vendor, tmp_path):
    folder = folder_of(tmp_path / "run", ids_of(50))
    sent(folder, Service(fault=lambda call: "stopped"), concurrency=1)
    with pytest.raises(DeliveryError, match="other-application"):
        resume(folder, type(APPLICATION)(APPLICATION.host, {"key": "k2", "secret": "s"}))
    with pytest.raises(DeliveryError, match="other-host"):
        resume(folder, type(APPLICATION)("https://there.example", APPLICATION.keys))
    rotated = type(APPLICATION)(APPLICATION.host, {"key": "k1", "secret": "new"})
    assert resume(folder, rotated, effort=effort(Service())).done
