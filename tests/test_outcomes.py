"""Outcomes of replies: each kind of reply has one transition and one next step."""

from datetime import timedelta

import pytest

from audience import Problem
from audience.delivery.ledger.transitions import Batch, Transition
from audience.delivery.sender.outcomes import Outcome, check_message_count, interpret_reply
from audience.testing.fake_vendor import make_method
from audience.vendors.delivery_spec import Accepted, Fatal, InDoubt, InvalidIds, Rejected, Retryable

PROBLEM = Problem("code", "message")
IDS = {4: "r4", 5: "r5", 6: "r6"}
ID_BATCH = Batch(1, None, 4, 7, "todo", None, frozenset())
NATIVE_BATCH = Batch(2, 0, 0, 0, "todo", None, frozenset())


def transition(state, batch=ID_BATCH, **fields):
    return Transition(batch, state, **({"problem": PROBLEM} if state != "accepted" else {}), **fields)


OUTCOMES = {
    "accepted": (Accepted("m1"), Outcome(transition("accepted", message_id="m1"), "proceed")),
    "accepted in part": (
        Accepted("m1", ("r5", "r9")),
        Outcome(transition("accepted", message_id="m1", invalid_ids=((5, "r5"),)), "proceed"),
    ),
    "named invalid ids": (
        InvalidIds(PROBLEM, ("r5",)),
        Outcome(transition("rejected", invalid_ids=((5, "r5"),), pieces=((4, 7),)), "proceed"),
    ),
    "unnamed invalid ids": (
        InvalidIds(PROBLEM),
        Outcome(transition("rejected", pieces=((4, 5), (5, 7))), "proceed"),
    ),
    "rejected": (Rejected(PROBLEM), Outcome(transition("rejected"), "proceed")),
    "retryable": (Retryable(PROBLEM, 3.0), Outcome(transition("todo", keeps_claim=True), "repeat", 3.0)),
    "fatal": (Fatal(PROBLEM), Outcome(transition("todo"), "stop")),
    "in doubt": (InDoubt(PROBLEM), Outcome(transition("in_doubt"), "count_lost")),
}


@pytest.mark.parametrize(("reply", "outcome"), OUTCOMES.values(), ids=OUTCOMES.keys())
def test_reply_has_one_outcome(reply, outcome):
    assert interpret_reply(reply, ID_BATCH, IDS, make_method()) == outcome


def test_lost_reply_is_repeated_if_vendor_drops_repeats():
    method = make_method(dedup_window=timedelta(minutes=15))
    outcome = interpret_reply(InDoubt(PROBLEM), ID_BATCH, IDS, method)
    assert outcome == Outcome(transition("in_doubt", keeps_claim=True), "repeat")


def test_native_request_with_invalid_ids_has_no_pieces():
    outcome = interpret_reply(InvalidIds(PROBLEM, ("r5",)), NATIVE_BATCH, {}, make_method())
    assert outcome == Outcome(transition("rejected", NATIVE_BATCH), "proceed")


def test_message_count_is_checked_per_target():
    method = make_method(message_per_target=True)
    assert check_message_count(Accepted("m1,m2"), method, 2) == Accepted("m1,m2")
    assert isinstance(check_message_count(Accepted("m1"), method, 2), InDoubt)
    assert check_message_count(Accepted("m1"), make_method(), 2) == Accepted("m1")
    assert check_message_count(Rejected(PROBLEM), method, 2) == Rejected(PROBLEM)


@pytest.mark.parametrize("answered", [{"r4", "r5"}, {"r4", "r5", "r6", "r7"}, set()], ids=["fewer", "more", "none"])
def test_call_whose_reply_is_about_other_ids_is_in_doubt(answered):
    """A reply with the status of each id is believed if it has the status of all ids of the call and of no other."""
    ids = {4: "r4", 5: "r5", 6: "r6"}
    whole = Accepted("m1", ("r5",), frozenset(ids.values()))
    assert interpret_reply(whole, ID_BATCH, ids, make_method()).transition.state == "accepted"
    odd = Accepted("m1", (), frozenset(answered))
    assert interpret_reply(odd, ID_BATCH, ids, make_method()).transition.state == "in_doubt"


@pytest.mark.parametrize(("count", "state"), [(3, "accepted"), (2, "in_doubt"), (4, "in_doubt"), (0, "in_doubt")])
def test_call_whose_reply_counts_other_ids_is_in_doubt(count, state):
    reply = Accepted("m1", ("r5",), answered_count=count)
    assert interpret_reply(reply, ID_BATCH, IDS, make_method()).transition.state == state
    assert interpret_reply(reply, NATIVE_BATCH, {}, make_method()).transition.state == "accepted"


@pytest.mark.parametrize("fold", [str.upper, str.lower])
def test_uuid_is_the_same_in_capitals_and_other_ids_are_not(fold):
    own = {4: "5FDC92B2-3B2a-11e5-ac13-8fdccfe4d986", 5: "00cb73f8-5815-11e5-ba69-f75522da5528", 6: "Abc"}
    outcome = interpret_reply(Accepted("m1", tuple(map(fold, own.values()))), ID_BATCH, own, make_method())
    assert outcome.transition.invalid_ids == ((4, own[4]), (5, own[5]))
