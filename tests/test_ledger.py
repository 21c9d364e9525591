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
from sizes import scale_examples

from audience import DeliveryError, Problem
from audience._fs.locks import try_lock
from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, Run, create_ledger
from audience.delivery.ledger.status import BATCH_STATES, load_status
from audience.delivery.ledger.workers import reap_dead_workers, register_worker

PROBLEM = Problem("code", "words", hint="do this")


def make_ledger(folder, ids=20, natives=1, size=5) -> Ledger:
    run = Run(
        id=str(uuid4()),
        vendor="fake",
        method="list",
        base_url="https://push.example",
        credentials_digest="a",
        plan_digest="p",
        message_digest="m",
        native_count=natives,
        id_count=ids,
        created_at=1.0,
    )
    create_ledger(folder / LEDGER_FILE, run, size)
    return Ledger(folder / LEDGER_FILE)


@pytest.fixture
def ledger(tmp_path):
    with make_ledger(tmp_path) as ledger, register_worker(ledger):
        yield ledger


def write_row(ledger, statement, *values):
    with ledger.transaction():
        ledger.execute(statement, *values)


def test_new_ledger_has_all_batches_todo(ledger):
    rows = ledger.execute("SELECT native, first, stop, state FROM batch ORDER BY number")
    assert rows == [(0, None, None, "todo")] + [(None, at, at + 5, "todo") for at in (0, 5, 10, 15)]
    found = load_status(ledger)
    assert (found.batch_counts["todo"], found.id_counts["todo"], found.pending, found.done) == (5, 20, 5, False)


LEGAL_TRANSITIONS = {
    "todo": {"sent", "rejected"},
    "sent": {"todo", "accepted", "rejected", "in_doubt"},
    "accepted": set(),
    "rejected": set(),
    "in_doubt": {"todo", "sent"},
}


@pytest.mark.parametrize("before", BATCH_STATES)
@pytest.mark.parametrize("after", BATCH_STATES)
def test_ledger_rejects_illegal_transitions(ledger, before, after):
    """With all else in order: who writes past `moves` is stopped as well."""
    write_row(ledger, "UPDATE batch SET worker = 1 WHERE number = 2")
    path = {"todo": [], "sent": ["sent"]}.get(before, ["sent", before])
    for state in path:
        write_row(ledger, f"UPDATE batch SET {_state_assignments(state)} WHERE number = 2")
    if before == "in_doubt" and after == "sent":
        write_row(ledger, "UPDATE batch SET worker = 1 WHERE number = 2")
    statement = f"UPDATE batch SET {_state_assignments(after)} WHERE number = 2"
    if after in LEGAL_TRANSITIONS[before]:
        write_row(ledger, statement)
        assert ledger.execute("SELECT state FROM batch WHERE number = 2") == [(after,)]
    elif before != after or before in ("sent", "accepted", "rejected"):
        with pytest.raises(DeliveryError, match=r"illegal transition|settled stays|living worker"):
            write_row(ledger, statement)
        assert ledger.execute("SELECT state FROM batch WHERE number = 2") == [(before,)]


def _state_assignments(state):
    """What else belongs to *state*."""
    fields = {
        "todo": "settled = NULL, doubts = 0, worker = NULL",
        "sent": "tries = tries + 1, sent = 1, settled = NULL, repeat_until = coalesce(repeat_until, 100)",
        "accepted": "settled = 1, message = 'm1'",
        "rejected": "settled = 1",
        "in_doubt": "settled = 1, doubts = 1, worker = NULL",
    }[state]
    return f"state = '{state}', {fields}"


FORBIDDEN_STATEMENTS = {
    "another range": "UPDATE batch SET first = 1 WHERE number = 2",
    "another request": "UPDATE batch SET native = 3 WHERE number = 1",
    "a batch forgotten": "DELETE FROM batch WHERE number = 2",
    "a run forgotten": "DELETE FROM run",
    "another run": "UPDATE run SET plan_digest = 'q'",
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


@pytest.mark.parametrize("statement", FORBIDDEN_STATEMENTS.values(), ids=FORBIDDEN_STATEMENTS.keys())
def test_ledger_rejects_forbidden_statements(ledger, statement):
    before = ledger.execute("SELECT * FROM batch")
    with pytest.raises(DeliveryError, match="bad-ledger"):
        write_row(ledger, statement)
    assert ledger.execute("SELECT * FROM batch") == before


def test_repeat_is_sent_only_within_dedup_window(ledger):
    with ledger.transaction():
        [batch] = transitions.claim_batches(ledger, 1, 1, 0.0)
        assert transitions.mark_sent(ledger, 1, batch, 10.0, 100.0, None) == "sent"
        transitions.mark_in_doubt(ledger, batch, 11.0, PROBLEM, keep=True)
    for now in (100.0, 200.0, 9.0):  # at the last moment, too late, and by a clock that has gone back
        with ledger.transaction():
            assert transitions.mark_sent(ledger, 1, batch, now, now + 100, None) == "too late"
        statement = "UPDATE batch SET state = 'sent', tries = 2, settled = NULL, sent = ? WHERE number = ?"
        with pytest.raises(DeliveryError, match="illegal transition"):
            write_row(ledger, statement, now, batch.number)
    with ledger.transaction():
        assert transitions.mark_sent(ledger, 1, batch, 99.0, 999.0, None) == "sent"
    assert ledger.execute("SELECT repeat_until FROM batch WHERE number = ?", batch.number) == [(100.0,)]


@pytest.mark.parametrize("retry", [True, False])
def test_clock_moved_back_keeps_batch_in_doubt(ledger, retry):
    with ledger.transaction():
        [batch] = transitions.claim_batches(ledger, 1, 1, 0.0)
        transitions.mark_sent(ledger, 1, batch, 1000.0, 2000.0, None)
        transitions.mark_in_doubt(ledger, batch, 1001.0, PROBLEM, keep=False)
        assert batch.number in [each.number for each in transitions.claim_batches(ledger, 1, 1, 1500.0)]
        transitions.release_batch(ledger, batch)
        assert batch.number not in [each.number for each in transitions.claim_batches(ledger, 1, 9, 500.0)]
        transitions.resolve_doubts(ledger, 500.0, retry=retry)
    rows = ledger.execute("SELECT state, skipped FROM batch WHERE number = ?", batch.number)
    assert rows == [("todo", None) if retry else ("in_doubt", 500.0)]


def test_dead_workers_are_reaped_and_active_ones_kept(tmp_path):
    with make_ledger(tmp_path) as ledger:
        with register_worker(ledger) as living, ledger.transaction():
            reap_dead_workers(ledger)
            [batch] = transitions.claim_batches(ledger, living, 1, 0.0)
            transitions.mark_sent(ledger, living, batch, 1.0, None, None)
            reap_dead_workers(ledger)
            assert ledger.execute("SELECT state, worker FROM batch WHERE number = ?", batch.number) == [
                ("sent", living)
            ]
        write_row(ledger, "INSERT INTO worker (lock, process, host, begun) VALUES ('worker-x.lock', 1, 'h', 1)")
        with ledger.transaction():
            sent, claimed = transitions.claim_batches(ledger, 2, 2, 0.0)
            transitions.mark_sent(ledger, 2, sent, 1.0, None, None)
        with try_lock(tmp_path / "worker-x.lock"), ledger.transaction():
            reap_dead_workers(ledger)
        assert ledger.execute("SELECT count(*) FROM batch WHERE worker = 2") == [(2,)]
        with ledger.transaction():
            reap_dead_workers(ledger)
        rows = ledger.execute("SELECT state, worker FROM batch WHERE number IN (?, ?)", sent.number, claimed.number)
        assert rows == [("in_doubt", None), ("todo", None)]
        assert not list(tmp_path.glob("worker-*"))


def test_batch_is_claimed_by_one_connection(tmp_path):
    with make_ledger(tmp_path, ids=3_000, natives=0, size=1) as ledger:
        for number in range(4):
            write_row(
                ledger, "INSERT INTO worker (lock, process, host, begun) VALUES (?, 1, 'h', 1)", f"worker-{number}"
            )
    claimed: dict[int, list[int]] = {}

    def claim_all(worker):
        with Ledger(tmp_path / LEDGER_FILE) as mine:
            while True:
                with mine.transaction():
                    found = transitions.claim_batches(mine, worker, 1 + worker * 3, 0.0)
                if not found:
                    return
                claimed.setdefault(worker, []).extend(batch.number for batch in found)

    threads = [threading.Thread(target=claim_all, args=[number]) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [number for found in claimed.values() for number in found]
    assert sorted(numbers) == list(range(1, 3_001))


def test_failed_job_does_not_roll_back_others(ledger):
    def delete_batches(ledger):
        ledger.execute("UPDATE batch SET worker = 1 WHERE number = 3")
        ledger.execute("DELETE FROM batch")

    found = ledger.run_all(
        [lambda ledger: transitions.claim_batches(ledger, 1, 1, 0.0), delete_batches, lambda ledger: 7]
    )
    assert ([batch.number for batch in found[0]], found[2]) == ([1], 7)
    assert isinstance(found[1], DeliveryError)
    assert ledger.execute("SELECT number FROM batch WHERE worker = 1") == [(1,)]


def test_invalid_ledger_is_reported(tmp_path):
    with pytest.raises(DeliveryError, match="no-run"):
        Ledger(tmp_path / LEDGER_FILE)
    (tmp_path / LEDGER_FILE).write_bytes(b"no ledger at all" * 100)
    with pytest.raises(DeliveryError, match="bad-ledger"):
        Ledger(tmp_path / LEDGER_FILE)
    (tmp_path / LEDGER_FILE).unlink()
    sqlite3.connect(tmp_path / LEDGER_FILE).executescript("CREATE TABLE x (y)").connection.close()
    with pytest.raises(DeliveryError, match="other-ledger"):
        Ledger(tmp_path / LEDGER_FILE)


class BatchTransitions(RuleBasedStateMachine):
    """Any sequence of transitions, beside a dictionary of what each batch is: no id is lost or in two batches."""

    claimed = Bundle("claimed")
    in_flight = Bundle("under way")

    def __init__(self):
        super().__init__()
        self.now, self.delivered_positions, self.dropped_positions = 1.0, [], set()

    @initialize()
    def create_ledger(self):
        self.folder = TemporaryDirectory()
        self.ledger = make_ledger(Path(self.folder.name), ids=12, natives=0, size=4)
        for number in (1, 2):
            write_row(
                self.ledger, "INSERT INTO worker (lock, process, host, begun) VALUES (?, 1, 'h', 1)", f"w{number}"
            )

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    @rule(target=claimed, worker=st.sampled_from([1, 2]))
    def claim_batch(self, worker):
        with self.ledger.transaction():
            found = transitions.claim_batches(self.ledger, worker, 1, self.now)
        return (worker, found[0]) if found else None

    @rule(target=in_flight, claimed_batch=consumes(claimed))
    def mark_sent(self, claimed_batch):
        if claimed_batch is None:
            return None
        with self.ledger.transaction():
            may = transitions.mark_sent(self.ledger, *claimed_batch, self.now, self.now + 5, None)
        if may == "too late":
            with self.ledger.transaction():
                transitions.release_batch(self.ledger, claimed_batch[1])
            return None
        return claimed_batch

    @rule(sent_batch=consumes(in_flight))
    def mark_accepted(self, sent_batch):
        if sent_batch:
            with self.ledger.transaction():
                transitions.mark_accepted(self.ledger, sent_batch[1], self.now, "m", ())
            self.delivered_positions += sent_batch[1].valid_positions()

    @rule(target=claimed, sent_batch=consumes(in_flight))
    def mark_retryable(self, sent_batch):
        if sent_batch:
            with self.ledger.transaction():
                transitions.mark_retryable(self.ledger, sent_batch[1], self.now, PROBLEM, keep=True)
        return sent_batch

    @rule(sent_batch=consumes(in_flight))
    def mark_in_doubt(self, sent_batch):
        if sent_batch:
            with self.ledger.transaction():
                transitions.mark_in_doubt(self.ledger, sent_batch[1], self.now, PROBLEM, keep=False)

    @rule(sent_batch=consumes(in_flight), names_bad_ids=st.booleans(), data=st.data())
    def mark_rejected(self, sent_batch, names_bad_ids, data):
        if sent_batch:
            places = sent_batch[1].valid_positions()
            bad = {data.draw(st.sampled_from(places)): "x"} if names_bad_ids or len(places) == 1 else {}
            middle = places[len(places) // 2]
            rest = [(places[0], places[-1] + 1)] if len(places) > len(bad) else []
            parts = rest if bad else [(places[0], middle), (middle, places[-1] + 1)]
            [(doubts,)] = self.ledger.execute("SELECT doubts FROM batch WHERE number = ?", sent_batch[1].number)
            with self.ledger.transaction():
                transitions.mark_rejected(self.ledger, sent_batch[1], self.now, PROBLEM, bad.items(), parts)
            if not doubts:  # else it stays in doubt, and none of its ids is dropped
                self.dropped_positions |= set(bad)

    @rule(retry=st.booleans())
    def resolve_doubts(self, retry):
        with self.ledger.transaction():
            transitions.resolve_doubts(self.ledger, self.now, retry=retry)

    @rule(seconds=st.integers(1, 4))
    def advance_clock(self, seconds):
        self.now += seconds

    @invariant()
    def check_ids_partitioned(self):
        if not hasattr(self, "ledger"):
            return
        found = load_status(self.ledger)
        assert sum(found.id_counts.values()) + sum(found.invalid_id_counts.values()) == 12
        assert (found.id_counts["accepted"], len(set(self.delivered_positions))) == (
            len(self.delivered_positions),
            len(self.delivered_positions),
        )
        assert sum(found.invalid_id_counts.values()) == len(self.dropped_positions)


TestBatches = BatchTransitions.TestCase
TestBatches.settings = settings(max_examples=scale_examples(25), stateful_step_count=30, deadline=None)
