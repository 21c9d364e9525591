"""A batch moves as its rules allow and no other way, whoever writes; two workers never have the same one."""

import sqlite3
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from audience import DeliveryError, Problem
from audience._fs.locks import held
from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import NAME, Ledger, Run, create
from audience.delivery.ledger.status import STATES, tally
from audience.delivery.ledger.workers import take_over, working

SAID = Problem("code", "words", hint="do this")


def new(folder, ids=20, natives=1, size=5) -> Ledger:
    run = Run(
        id=str(uuid4()),
        vendor="fake",
        way="list",
        host="https://push.example",
        application="a",
        plan="p",
        message="m",
        natives=natives,
        ids=ids,
        begun=1.0,
    )
    create(folder / NAME, run, size)
    return Ledger(folder / NAME)


@pytest.fixture
def ledger(tmp_path):
    with new(tmp_path) as ledger, working(ledger):
        yield ledger


def write(ledger, statement, *values):
    with ledger.together():
        ledger.rows(statement, *values)


def test_a_new_ledger_has_all_of_the_plan_todo(ledger):
    rows = ledger.rows("SELECT native, first, stop, state FROM batch ORDER BY number")
    assert rows == [(0, None, None, "todo")] + [(None, at, at + 5, "todo") for at in (0, 5, 10, 15)]
    found = tally(ledger)
    assert (found.batches["todo"], found.ids["todo"], found.left, found.done) == (5, 20, 5, False)


MOVES = {
    "todo": {"sent", "refused"},
    "sent": {"todo", "accepted", "refused", "in doubt"},
    "accepted": set(),
    "refused": set(),
    "in doubt": {"todo", "sent"},
}


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_a_transition_is_legal_or_refused_by_the_ledger_itself(ledger, before, after):
    """With all else in order: who writes past `moves` is stopped as well."""
    write(ledger, "UPDATE batch SET worker = 1 WHERE number = 2")
    path = {"todo": [], "sent": ["sent"]}.get(before, ["sent", before])
    for state in path:
        write(ledger, f"UPDATE batch SET {_fields(state)} WHERE number = 2")
    if before == "in doubt" and after == "sent":
        write(ledger, "UPDATE batch SET worker = 1 WHERE number = 2")
    statement = f"UPDATE batch SET {_fields(after)} WHERE number = 2"
    if after in MOVES[before]:
        write(ledger, statement)
        assert ledger.rows("SELECT state FROM batch WHERE number = 2") == [(after,)]
    elif before != after or before in ("sent", "accepted", "refused"):
        with pytest.raises(DeliveryError, match=r"illegal transition|settled stays|living worker"):
            write(ledger, statement)
        assert ledger.rows("SELECT state FROM batch WHERE number = 2") == [(before,)]


def _fields(state):
    """What else belongs to *state*."""
    fields = {
        "todo": "settled = NULL, doubts = 0, worker = NULL",
        "sent": "tries = tries + 1, sent = 1, settled = NULL, repeat_until = coalesce(repeat_until, 100)",
        "accepted": "settled = 1, message = 'm1'",
        "refused": "settled = 1",
        "in doubt": "settled = 1, doubts = 1, worker = NULL",
    }[state]
    return f"state = '{state}', {fields}"


FORBIDDEN = {
    "another range": "UPDATE batch SET first = 1 WHERE number = 2",
    "another request": "UPDATE batch SET native = 3 WHERE number = 1",
    "a batch forgotten": "DELETE FROM batch WHERE number = 2",
    "a run forgotten": "DELETE FROM run",
    "another run": "UPDATE run SET plan = 'q'",
    "a batch beyond the plan": "INSERT INTO batch (first, stop) VALUES (20, 21)",
    "a batch of ids that another has": "INSERT INTO batch (first, stop) VALUES (5, 10)",
    "a request beyond the plan": "INSERT INTO batch (native) VALUES (1)",
    "a part of what was not refused": "INSERT INTO batch (parent, first, stop) VALUES (2, 0, 1)",
    "a batch that was sent before it was there": "INSERT INTO batch (first, stop, state) VALUES (20, 25, 'sent')",
    "sent by nobody": "UPDATE batch SET state = 'sent', tries = 1, sent = 1 WHERE number = 2",
    "an unknown state": "UPDATE batch SET state = 'lost' WHERE number = 2",
    "accepted without an id": "UPDATE batch SET state = 'accepted', settled = 1 WHERE number = 2",
    "a bad id of another batch": "INSERT INTO bad VALUES (7, 'r7', 'c', 2)",
    "a claim of nobody's": "UPDATE batch SET worker = 9 WHERE number = 2",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_ledger_refuses(ledger, statement):
    before = ledger.rows("SELECT * FROM batch")
    with pytest.raises(DeliveryError, match="bad-ledger"):
        write(ledger, statement)
    assert ledger.rows("SELECT * FROM batch") == before


def test_a_repeat_is_sent_only_while_the_vendor_drops_it(ledger):
    with ledger.together():
        [batch] = transitions.claim(ledger, 1, 1, 0.0)
        assert transitions.sent(ledger, 1, batch, 10.0, 100.0, None) == "sent"
        transitions.doubt(ledger, batch, 11.0, SAID, keep=True)
    for now in (100.0, 200.0, 9.0):  # at the last moment, too late, and by a clock that has gone back
        with ledger.together():
            assert transitions.sent(ledger, 1, batch, now, now + 100, None) == "too late"
        statement = "UPDATE batch SET state = 'sent', tries = 2, settled = NULL, sent = ? WHERE number = ?"
        with pytest.raises(DeliveryError, match="illegal transition"):
            write(ledger, statement, now, batch.number)
    with ledger.together():
        assert transitions.sent(ledger, 1, batch, 99.0, 999.0, None) == "sent"
    assert ledger.rows("SELECT repeat_until FROM batch WHERE number = ?", batch.number) == [(100.0,)]


@pytest.mark.parametrize("retry", [True, False])
def test_a_clock_that_has_gone_back_leaves_a_doubt_to_the_user(ledger, retry):
    with ledger.together():
        [batch] = transitions.claim(ledger, 1, 1, 0.0)
        transitions.sent(ledger, 1, batch, 1000.0, 2000.0, None)
        transitions.doubt(ledger, batch, 1001.0, SAID, keep=False)
        assert batch.number in [each.number for each in transitions.claim(ledger, 1, 1, 1500.0)]
        transitions.let_go(ledger, batch)
        assert batch.number not in [each.number for each in transitions.claim(ledger, 1, 9, 500.0)]
        transitions.decide(ledger, 500.0, retry=retry)
    rows = ledger.rows("SELECT state, skipped FROM batch WHERE number = ?", batch.number)
    assert rows == [("todo", None) if retry else ("in doubt", 500.0)]


def test_a_dead_worker_is_recognised_and_a_living_one_left_alone(tmp_path):
    with new(tmp_path) as ledger:
        with working(ledger) as living, ledger.together():
            take_over(ledger)
            [batch] = transitions.claim(ledger, living, 1, 0.0)
            transitions.sent(ledger, living, batch, 1.0, None, None)
            take_over(ledger)
            assert ledger.rows("SELECT state, worker FROM batch WHERE number = ?", batch.number) == [("sent", living)]
        write(ledger, "INSERT INTO worker (lock, process, host, begun) VALUES ('worker-x.lock', 1, 'h', 1)")
        with ledger.together():
            sent, claimed = transitions.claim(ledger, 2, 2, 0.0)
            transitions.sent(ledger, 2, sent, 1.0, None, None)
        with held(tmp_path / "worker-x.lock"), ledger.together():
            take_over(ledger)
        assert ledger.rows("SELECT count(*) FROM batch WHERE worker = 2") == [(2,)]
        with ledger.together():
            take_over(ledger)
        rows = ledger.rows("SELECT state, worker FROM batch WHERE number IN (?, ?)", sent.number, claimed.number)
        assert rows == [("in doubt", None), ("todo", None)]
        assert not list(tmp_path.glob("worker-*"))


def test_two_connections_never_claim_one_batch(tmp_path):
    with new(tmp_path, ids=3_000, natives=0, size=1) as ledger:
        for number in range(4):
            write(ledger, "INSERT INTO worker (lock, process, host, begun) VALUES (?, 1, 'h', 1)", f"worker-{number}")
    claimed: dict[int, list[int]] = {}

    def work(worker):
        with Ledger(tmp_path / NAME) as mine:
            while True:
                with mine.together():
                    found = transitions.claim(mine, worker, 1 + worker * 3, 0.0)
                if not found:
                    return
                claimed.setdefault(worker, []).extend(batch.number for batch in found)

    threads = [threading.Thread(target=work, args=[number]) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [number for found in claimed.values() for number in found]
    assert sorted(numbers) == list(range(1, 3_001))


def test_one_job_that_fails_does_not_undo_the_others(ledger):
    def bad(ledger):
        ledger.rows("UPDATE batch SET worker = 1 WHERE number = 3")
        ledger.rows("DELETE FROM batch")

    found = ledger.each([lambda ledger: transitions.claim(ledger, 1, 1, 0.0), bad, lambda ledger: 7])
    assert ([batch.number for batch in found[0]], found[2]) == ([1], 7)
    assert isinstance(found[1], DeliveryError)
    assert ledger.rows("SELECT number FROM batch WHERE worker = 1") == [(1,)]


def test_what_is_no_ledger_is_told(tmp_path):
    with pytest.raises(DeliveryError, match="no-run"):
        Ledger(tmp_path / NAME)
    (tmp_path / NAME).write_bytes(b"no ledger at all" * 100)
    with pytest.raises(DeliveryError, match="bad-ledger"):
        Ledger(tmp_path / NAME)
    (tmp_path / NAME).unlink()
    sqlite3.connect(tmp_path / NAME).executescript("CREATE TABLE x (y)").connection.close()
    with pytest.raises(DeliveryError, match="other-ledger"):
        Ledger(tmp_path / NAME)


class Batches(RuleBasedStateMachine):
    """Any sequence of transitions, beside a dictionary of what each batch is: no id is lost or in two batches."""

    claimed = Bundle("claimed")
    under_way = Bundle("under way")

    def __init__(self):
        super().__init__()
        self.now, self.told, self.lost = 1.0, [], set()

    @initialize()
    def begin(self):
        self.folder = TemporaryDirectory()
        self.ledger = new(Path(self.folder.name), ids=12, natives=0, size=4)
        for number in (1, 2):
            write(self.ledger, "INSERT INTO worker (lock, process, host, begun) VALUES (?, 1, 'h', 1)", f"w{number}")

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    @rule(target=claimed, worker=st.sampled_from([1, 2]))
    def claim(self, worker):
        with self.ledger.together():
            found = transitions.claim(self.ledger, worker, 1, self.now)
        return (worker, found[0]) if found else None

    @rule(target=under_way, one=consumes(claimed))
    def send(self, one):
        if one is None:
            return None
        with self.ledger.together():
            may = transitions.sent(self.ledger, *one, self.now, self.now + 5, None)
        if may == "too late":
            with self.ledger.together():
                transitions.let_go(self.ledger, one[1])
            return None
        return one

    @rule(one=consumes(under_way))
    def accept(self, one):
        if one:
            with self.ledger.together():
                transitions.accepted(self.ledger, one[1], self.now, "m", ())
            self.told += one[1].positions()

    @rule(target=claimed, one=consumes(under_way))
    def again(self, one):
        if one:
            with self.ledger.together():
                transitions.again(self.ledger, one[1], self.now, SAID, keep=True)
        return one

    @rule(one=consumes(under_way))
    def lose(self, one):
        if one:
            with self.ledger.together():
                transitions.doubt(self.ledger, one[1], self.now, SAID, keep=False)

    @rule(one=consumes(under_way), named=st.booleans(), data=st.data())
    def refuse(self, one, named, data):
        if one:
            places = one[1].positions()
            bad = {data.draw(st.sampled_from(places)): "x"} if named or len(places) == 1 else {}
            middle = places[len(places) // 2]
            rest = [(places[0], places[-1] + 1)] if len(places) > len(bad) else []
            parts = rest if bad else [(places[0], middle), (middle, places[-1] + 1)]
            [(doubts,)] = self.ledger.rows("SELECT doubts FROM batch WHERE number = ?", one[1].number)
            with self.ledger.together():
                transitions.refused(self.ledger, one[1], self.now, SAID, bad.items(), parts)
            if not doubts:  # else it stays in doubt, and none of its ids is dropped
                self.lost |= set(bad)

    @rule(retry=st.booleans())
    def decide(self, retry):
        with self.ledger.together():
            transitions.decide(self.ledger, self.now, retry=retry)

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def every_id_is_in_one_place(self):
        if not hasattr(self, "ledger"):
            return
        found = tally(self.ledger)
        assert sum(found.ids.values()) + sum(found.bad.values()) == 12
        assert (found.ids["accepted"], len(set(self.told))) == (len(self.told), len(self.told))
        assert sum(found.bad.values()) == len(self.lost)


TestBatches = Batches.TestCase
TestBatches.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
