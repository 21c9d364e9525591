"""Idempotency keys that a vendor gives out: each is for one batch, and a call in doubt is repeated with its own key."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from test_ledger import PROBLEM, at, execute, make_ledger, write_row

from audience import DeliveryError
from audience.delivery import resume, send
from audience.delivery.ledger import transitions
from audience.delivery.ledger.transitions import Transition
from audience.delivery.ledger.vendor_keys import OtherKey, end_repeats, store_keys, take_key
from audience.delivery.ledger.workers import register_worker
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_ids,
    make_keyed_method,
    make_send_options,
    write_run_folder,
)

SOURCE = make_keyed_method(max_age=timedelta(seconds=100)).key_source
assert SOURCE is not None
OTHER_SOURCE = replace(SOURCE, name="schedule")


@pytest.fixture
def ledger(tmp_path):
    with make_ledger(tmp_path) as ledger, register_worker(ledger):
        yield ledger


def claim(ledger):
    [batch] = transitions.claim_batches(ledger, 1, 1, at(0))
    return batch


def lose_reply(ledger, batch, now):
    assert transitions.mark_sent(ledger, 1, batch, now, 90.0, None) == "sent"
    transitions.apply(ledger, 1, Transition(batch, "in_doubt", problem=PROBLEM, keeps_claim=True), now.wall)


def test_each_key_is_for_one_batch_and_stays_with_it(ledger):
    with ledger.transaction():
        first, second = claim(ledger), claim(ledger)
        assert take_key(ledger, 1, first, SOURCE, at(1)) is None
        assert store_keys(ledger, SOURCE, ["k1", "k2", "k1"], at(1)) == 2
        assert store_keys(ledger, SOURCE, ["k1", "k2"], at(2)) == 0
        assert [take_key(ledger, 1, each, SOURCE, at(2)) for each in (first, second, first)] == ["k1", "k2", "k1"]
        assert take_key(ledger, 1, first, OTHER_SOURCE, at(3)) is None


@pytest.mark.parametrize(
    "now",
    [at(102), at(50, boot=102), at(0.5, boot=50), at(50, boot_id="another boot")],
    ids=["old", "old by the clock of the machine", "the clock was set back", "another boot"],
)
def test_old_key_is_not_used_for_a_first_call(ledger, now):
    with ledger.transaction():
        batch = claim(ledger)
        store_keys(ledger, SOURCE, ["k1", "k2"], at(1))
        assert take_key(ledger, 1, batch, SOURCE, at(100)) == "k1"
        assert take_key(ledger, 1, batch, SOURCE, now) is None
        store_keys(ledger, SOURCE, ["k3"], now)
        assert take_key(ledger, 1, batch, SOURCE, now) == "k3"


def test_call_in_doubt_keeps_its_key_however_old(ledger):
    with ledger.transaction():
        batch = claim(ledger)
        store_keys(ledger, SOURCE, ["k1", "k2"], at(1))
        assert take_key(ledger, 1, batch, SOURCE, at(90)) == "k1"
        lose_reply(ledger, batch, at(91))
        assert take_key(ledger, 1, batch, SOURCE, at(10_000)) == "k1"


def test_call_in_doubt_gets_no_key_of_another_kind(ledger):
    with ledger.transaction():
        batch = claim(ledger)
        store_keys(ledger, SOURCE, ["k1"], at(1))
        store_keys(ledger, OTHER_SOURCE, ["s1"], at(1))
        assert take_key(ledger, 1, batch, SOURCE, at(1)) == "k1"
        lose_reply(ledger, batch, at(2))
        with pytest.raises(OtherKey):
            take_key(ledger, 1, batch, OTHER_SOURCE, at(3))
        end_repeats(ledger, 1, batch)
        assert batch.number not in [each.number for each in transitions.claim_batches(ledger, 1, 9, at(3))]


def test_call_in_doubt_without_a_key_gets_none(ledger):
    with ledger.transaction():
        batch = claim(ledger)
        lose_reply(ledger, batch, at(2))
        store_keys(ledger, SOURCE, ["k1"], at(3))
        with pytest.raises(OtherKey):
            take_key(ledger, 1, batch, SOURCE, at(3))


def test_key_is_not_given_to_a_batch_that_was_sent(ledger):
    with ledger.transaction():
        batch = claim(ledger)
        store_keys(ledger, SOURCE, ["k1"], at(1))
        lose_reply(ledger, batch, at(2))
    for statement in (
        f"UPDATE vendor_key SET batch = {batch.number}",
        f"UPDATE vendor_key SET batch = {batch.number + 1}, value = 'k2'",
        "DELETE FROM vendor_key",
    ):
        with pytest.raises(DeliveryError, match="bad-ledger"):
            write_row(ledger, statement)
    assert execute(ledger, "SELECT value, batch FROM vendor_key") == [("k1", None)]


# Runs. ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def vendor():
    unregister = fake_vendor.register_fake_vendors(make_delivery(make_keyed_method()))
    yield
    unregister()


class KeyService(FakeService):
    """Service whose calls for keys meet the faults that *answers* yields: a response, or None for new keys."""

    def __init__(self, answers=(), **options):
        super().__init__(drops_repeats=True, **options)
        self.answers, self.key_calls = iter(answers), 0

    async def handle_request(self, request):
        if request.url.path == "/keys":
            self.key_calls += 1
            answer = next(self.answers, None)
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                return answer
        return await super().handle_request(request)


def run_once(folder, service, ids=None, **options):
    ids = ids or make_ids(100)
    write_run_folder(folder, ids)
    options = make_send_options(service.make_transport(), **options)
    return send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=options)


def test_keys_are_requested_once_for_as_many_calls_as_they_are_for(vendor, tmp_path):
    service = KeyService(fault=lambda call: "lost" if call % 2 else None)
    assert run_once(tmp_path / "run", service, concurrency=4).done
    assert service.key_calls == 4  # three keys each, for ten batches
    assert service.delivery_counts == dict.fromkeys(make_ids(100), 1)
    assert len({body["token"] for body in service.bodies}) == 10 < len(service.bodies)


def test_lost_keys_are_requested_again(vendor, tmp_path):
    answers = [httpx.ReadTimeout("timeout"), httpx.Response(503), httpx.Response(400, json={"error": "again"})]
    service = KeyService(answers)
    assert run_once(tmp_path / "run", service, make_ids(10)).done
    assert (service.key_calls, service.delivery_counts) == (4, dict.fromkeys(make_ids(10), 1))


@pytest.mark.parametrize(
    ("answers", "code", "reached"),
    [
        ([(400, {"error": "stopped"})], "stopped", 0),
        ([(200, {"accepted": "k1"}), *[(200, {"accepted": "k1,k1"})] * 20], "no-new-keys", 10),
    ],
    ids=["the vendor refuses", "there are only old keys"],
)
def test_nothing_is_sent_without_a_key(vendor, tmp_path, answers, code, reached):
    service = KeyService(httpx.Response(status, json=body) for status, body in answers)
    service.keys = ["k1"]
    result = run_once(tmp_path / "run", service, concurrency=1)
    assert (result.done, result.stop_reason.code) == (False, code)
    assert sum(service.delivery_counts.values()) == reached
    service.answers = iter(())
    assert resume(tmp_path / "run", CREDENTIALS, options=make_send_options(service.make_transport())).done
    assert service.delivery_counts == dict.fromkeys(make_ids(100), 1)
