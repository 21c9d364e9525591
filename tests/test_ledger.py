"""Transitions of batches in the ledger: its triggers reject illegal ones, and no batch has two workers."""

import re
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
from audience.delivery.clock import Moment
from audience.delivery.ledger import connection, transitions
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, Run, create_ledger
from audience.delivery.ledger.planned import PlannedPart, plan_batches
from audience.delivery.ledger.status import BATCH_STATES, load_status
from audience.delivery.ledger.transitions import Transition, WorkerEnded
from audience.delivery.ledger.workers import reap_dead_workers, register_worker
from audience.delivery.sqlite_file import wrap_sqlite_errors

PROBLEM = Problem("code", "words", hint="do this")
START = Moment(0.0, 0.0, "this boot")


def at(wall, boot=None, boot_id="this boot") -> Moment:
    """Return a moment; the clock of the machine shows the same as the wall clock if *boot* is not given."""
    return Moment(float(wall), float(wall if boot is None else boot), boot_id)


def make_ledger(folder, ids=20, natives=1, size=5, parts=()) -> Ledger:
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
    parts = parts or [PlannedPart(first=0, stop=ids)]
    create_ledger(folder / LEDGER_FILE, run, parts, plan_batches(natives, parts, size))
    return Ledger(folder / LEDGER_FILE)


@pytest.fixture
def ledger(tmp_path):
    with make_ledger(tmp_path) as ledger, register_worker(ledger):
        yield ledger


def execute(ledger, statement, *values):
    """Run *statement*, which is not one of `queries.sql`, and return its rows."""
    with wrap_sqlite_errors(ledger.path):
        return ledger._connection.execute(statement, values).fetchall()


def write_row(ledger, statement, *values):
    with ledger.transaction():
        execute(ledger, statement, *values)


def test_every_query_is_used_and_every_used_one_exists():
    folder = Path(connection.__file__).parents[1]
    files = [file for file in folder.rglob("*.py") if file.parent.name != "syncing"]  # it has a ledger of its own
    source = "\n".join(file.read_text() for file in files)
    used = re.findall(r"""(?:query\(|iterate\(|QUERIES\[)\s*"(\w+)\"""", source)
    assert set(used) == set(connection.QUERIES)


def test_new_ledger_has_all_batches_todo(ledger):
    rows = execute(ledger, "SELECT native, first, stop, state FROM batch ORDER BY number")
    assert rows == [(0, None, None, "todo")] + [(None, at, at + 5, "todo") for at in (0, 5, 10, 15)]
    status = load_status(ledger)
    assert (status.batch_counts["todo"], status.id_counts["todo"], status.pending, status.done) == (5, 20, 5, False)


LEGAL_TRANSITIONS = {
    "todo": {"sent", "rejected"},
    "sent": {"todo", "accepted", "rejected", "in_doubt"},
    "accepted": {"withdrawn"},
    "rejected": set(),
    "withdrawn": set(),
    "in_doubt": {"todo", "sent"},
}


@pytest.mark.parametrize("before", BATCH_STATES)
@pytest.mark.parametrize("after", BATCH_STATES)
def test_ledger_rejects_illegal_transitions(ledger, before, after):
    """All other columns are legal, so that only the trigger for the transition can reject the statement."""
    write_row(ledger, "UPDATE batch SET worker = 1 WHERE number = 2")
    paths = {"todo": [], "sent": ["sent"], "withdrawn": ["sent", "accepted", "withdrawn"]}
    path = paths.get(before, ["sent", before])
    for state in path:
        write_row(ledger, f"UPDATE batch SET {_state_assignments(state)} WHERE number = 2")
    if before == "in_doubt" and after == "sent":
        write_row(ledger, "UPDATE batch SET worker = 1 WHERE number = 2")
    statement = f"UPDATE batch SET {_state_assignments(after)} WHERE number = 2"
    if after in LEGAL_TRANSITIONS[before]:
        write_row(ledger, statement)
        assert execute(ledger, "SELECT state FROM batch WHERE number = 2") == [(after,)]
    elif before != after or before in ("sent", "accepted", "rejected", "withdrawn"):
        with pytest.raises(DeliveryError, match=r"illegal transition|a settled batch is final|living worker"):
            write_row(ledger, statement)
        assert execute(ledger, "SELECT state FROM batch WHERE number = 2") == [(before,)]


def _state_assignments(state):
    """Return the assignments that a legal change to *state* makes."""
    fields = {
        "todo": "settled_at = NULL, lost_replies = 0, worker = NULL",
        "sent": "attempts = attempts + 1, sent_at = 1, sent_boot = 1, boot_id = 'b', settled_at = NULL,"
        "dedup_until = coalesce(dedup_until, 100), dedup_until_boot = coalesce(dedup_until_boot, 100)",
        "accepted": "settled_at = 1, message_id = 'm1', due_at = 50",
        "rejected": "settled_at = 1",
        "in_doubt": "settled_at = 1, lost_replies = 1, worker = NULL",
        "withdrawn": "withdrawn_at = 49",
    }[state]
    return f"state = '{state}', {fields}"


@pytest.mark.parametrize(
    "changes",
    [
        "withdrawn_at = 50",
        "withdrawn_at = NULL",
        "withdrawn_at = 49, message_id = 'm2'",
        "withdrawn_at = 49, due_at = 90",
    ],
)
def test_call_is_withdrawn_before_its_time(ledger, changes):
    write_row(ledger, "UPDATE batch SET worker = 1 WHERE number = 2")
    for state in ("sent", "accepted"):
        write_row(ledger, f"UPDATE batch SET {_state_assignments(state)} WHERE number = 2")
    with pytest.raises(DeliveryError, match="a settled batch is final"):
        write_row(ledger, f"UPDATE batch SET state = 'withdrawn', {changes} WHERE number = 2")
    write_row(ledger, f"UPDATE batch SET {_state_assignments('withdrawn')} WHERE number = 2")


def test_batches_do_not_cross_parts(tmp_path):
    parts = [PlannedPart(first=0, stop=7), PlannedPart(first=7, stop=8), PlannedPart(first=8, stop=20)]
    batches = [*plan_batches(1, parts, 5)]
    assert [(each.part, each.first, each.stop) for each in batches] == [
        (1, None, None),
        (1, 0, 5),
        (1, 5, 7),
        (2, 7, 8),
        (3, 8, 13),
        (3, 13, 18),
        (3, 18, 20),
    ]
    with make_ledger(tmp_path, parts=parts) as ledger:
        assert execute(ledger, "SELECT part, first, stop FROM batch") == [(b.part, b.first, b.stop) for b in batches]


FORBIDDEN_STATEMENTS = {
    "change a range": "UPDATE batch SET first = 1 WHERE number = 2",
    "change a native request": "UPDATE batch SET native = 3 WHERE number = 1",
    "delete a batch": "DELETE FROM batch WHERE number = 2",
    "delete a run": "DELETE FROM run",
    "change a run": "UPDATE run SET plan_digest = 'q'",
    "insert a batch beyond the plan": "INSERT INTO batch (part, first, stop) VALUES (1, 20, 21)",
    "insert overlapping batches": "INSERT INTO batch (part, first, stop) VALUES (1, 5, 10)",
    "insert a request beyond the plan": "INSERT INTO batch (part, native) VALUES (1, 1)",
    "insert a piece of an unsent batch": "INSERT INTO batch (part, parent, first, stop) VALUES (1, 2, 0, 1)",
    "insert a batch as sent": "INSERT INTO batch (part, first, stop, state) VALUES (1, 20, 25, 'sent')",
    "insert a batch of no part": "INSERT INTO batch (part, parent, first, stop) VALUES (2, 2, 0, 1)",
    "insert a part beyond the plan": "INSERT INTO part (number, first, stop) VALUES (2, 20, 21)",
    "insert overlapping parts": "INSERT INTO part (number, first, stop) VALUES (2, 19, 20)",
    "change a part": "UPDATE part SET zone = 'UTC'",
    "change a part of a batch": "UPDATE batch SET not_before = 7 WHERE number = 2",
    "delete a part": "DELETE FROM part",
    "change a schedule": "UPDATE run SET schedule = '{\"spread\": 1}'",
    "send without a worker": "UPDATE batch SET state = 'sent', attempts = 1, sent_at = 1 WHERE number = 2",
    "set an unknown state": "UPDATE batch SET state = 'lost' WHERE number = 2",
    "accept without a message id": "UPDATE batch SET state = 'accepted', settled_at = 1 WHERE number = 2",
    "insert an invalid id of another batch": "INSERT INTO invalid_id VALUES (7, 'r7', 'c', 2)",
    "claim for an unknown worker": "UPDATE batch SET worker = 9 WHERE number = 2",
}


@pytest.mark.parametrize("statement", FORBIDDEN_STATEMENTS.values(), ids=FORBIDDEN_STATEMENTS.keys())
def test_ledger_rejects_forbidden_statements(ledger, statement):
    before = execute(ledger, "SELECT * FROM batch")
    with pytest.raises(DeliveryError, match="bad-ledger"):
        write_row(ledger, statement)
    assert execute(ledger, "SELECT * FROM batch") == before


def claim_one(ledger, worker=1, now=START):
    [batch] = transitions.claim_batches(ledger, worker, 1, now)
    return batch


WINDOW_IS_OVER = {
    "it has ended": at(101),
    "it ended long ago": at(200),
    "the wall clock was set back before the call": at(9, boot=20),
    "the wall clock was set back after its end": at(20, boot=1_000),
    "the wall clock was set ahead": at(1_000, boot=20),
    "the machine was suspended and does not know": at(20, boot=101),
    "the clock of the machine went back": at(20, boot=9),
    "the machine was started again, or is another one": at(20, boot_id="another boot"),
    "nobody knows which start of the machine this is": at(20, boot_id=""),
}


@pytest.mark.parametrize("now", WINDOW_IS_OVER.values(), ids=WINDOW_IS_OVER.keys())
def test_call_in_doubt_is_not_repeated_after_dedup_window(ledger, now):
    with ledger.transaction():
        batch = claim_one(ledger)
        assert transitions.mark_sent(ledger, 1, batch, at(10), 90.0, None) == "sent"
        transitions.apply(ledger, 1, Transition(batch, "in_doubt", problem=PROBLEM, keeps_claim=True), 11.0)
        assert transitions.mark_sent(ledger, 1, batch, now, 90.0, None) == "dedup_window_over"
        transitions.release_batch(ledger, 1, batch)
        assert batch.number not in [each.number for each in transitions.claim_batches(ledger, 1, 9, now)]
    statement = (
        "UPDATE batch SET state = 'sent', attempts = 2, settled_at = NULL, worker = 1, sent_at = ?, sent_boot = ?, "
        "boot_id = nullif(?, '') WHERE number = ?"
    )
    write_row(ledger, "UPDATE batch SET worker = 1 WHERE number = ?", batch.number)
    with pytest.raises(DeliveryError, match="illegal transition"):
        write_row(ledger, statement, *now, batch.number)


def test_call_in_doubt_is_repeated_within_its_first_dedup_window(ledger):
    with ledger.transaction():
        batch = claim_one(ledger)
        for now in (at(10), at(50), at(99)):
            assert transitions.mark_sent(ledger, 1, batch, now, 90.0, None) == "sent"
            transitions.apply(ledger, 1, Transition(batch, "in_doubt", problem=PROBLEM, keeps_claim=True), 11.0)
        assert transitions.mark_sent(ledger, 1, batch, at(101), 90.0, None) == "dedup_window_over"
    [row] = execute(ledger, "SELECT dedup_until, dedup_until_boot, sent_at FROM batch WHERE number = ?", batch.number)
    assert row == (100.0, 100.0, 99.0)


def test_call_from_an_unknown_boot_is_not_repeated(ledger):
    with ledger.transaction():
        batch = claim_one(ledger)
        transitions.mark_sent(ledger, 1, batch, at(10, boot_id=""), 90.0, None)
        transitions.apply(ledger, 1, Transition(batch, "in_doubt", problem=PROBLEM, keeps_claim=True), 11.0)
        assert transitions.mark_sent(ledger, 1, batch, at(20, boot_id=""), 90.0, None) == "dedup_window_over"


def test_call_without_dedup_window_is_not_repeated_by_any_statement(ledger):
    with ledger.transaction():
        batch = claim_one(ledger)
        transitions.mark_sent(ledger, 1, batch, at(10), None, None)
        transitions.apply(ledger, 1, Transition(batch, "in_doubt", problem=PROBLEM, keeps_claim=True), 11.0)
    with pytest.raises(DeliveryError, match="illegal transition"):
        write_row(
            ledger,
            "UPDATE batch SET state = 'sent', attempts = 2, settled_at = NULL, sent_at = 20 WHERE number = ?",
            batch.number,
        )


@pytest.mark.parametrize("resolve_doubts", [transitions.retry_doubts, transitions.skip_doubts])
def test_clock_moved_back_keeps_batch_in_doubt(ledger, resolve_doubts):
    with ledger.transaction():
        batch = claim_one(ledger)
        transitions.mark_sent(ledger, 1, batch, at(1000), 1000.0, None)
        transitions.apply(ledger, 1, Transition(batch, "in_doubt", problem=PROBLEM), 1001.0)
        assert batch.number in [each.number for each in transitions.claim_batches(ledger, 1, 1, at(1500))]
        transitions.release_batch(ledger, 1, batch)
        assert batch.number not in [each.number for each in transitions.claim_batches(ledger, 1, 9, at(500))]
        resolve_doubts(ledger, at(500))
    rows = execute(ledger, "SELECT state, skipped_at FROM batch WHERE number = ?", batch.number)
    assert rows == [("todo", None) if resolve_doubts == transitions.retry_doubts else ("in_doubt", 500.0)]


def test_worker_that_was_declared_dead_claims_and_sends_nothing(tmp_path):
    """It was frozen, its lock file was removed, and another process took over; then it goes on."""
    with make_ledger(tmp_path) as ledger, register_worker(ledger) as frozen:
        with ledger.transaction():
            sent, claimed = transitions.claim_batches(ledger, frozen, 2, START)
            transitions.mark_sent(ledger, frozen, sent, at(1), None, None)
        [lock_file] = tmp_path.glob("worker-*.lock")
        lock_file.unlink()
        with Ledger(tmp_path / LEDGER_FILE) as other, register_worker(other) as survivor:
            with other.transaction():
                reap_dead_workers(other)
            for job in (
                lambda: transitions.claim_batches(ledger, frozen, 1, START),
                lambda: transitions.mark_sent(ledger, frozen, claimed, at(2), None, None),
                lambda: transitions.apply(ledger, frozen, Transition(sent, "accepted", message_id="m"), 3.0),
            ):
                with pytest.raises(WorkerEnded), ledger.transaction():
                    job()
            with pytest.raises(DeliveryError, match="claimed by a living worker"):
                write_row(ledger, "UPDATE batch SET worker = ? WHERE number = 3", frozen)
            with other.transaction():
                batches = transitions.claim_batches(other, survivor, 9, START)
            with ledger.transaction():
                transitions.release_batch(ledger, frozen, claimed)
            assert claimed.number in [batch.number for batch in batches]
            rows = execute(other, "SELECT state, worker FROM batch WHERE number IN (?, ?)", sent.number, claimed.number)
            assert rows == [("in_doubt", None), ("todo", survivor)]
    with Ledger(tmp_path / LEDGER_FILE) as ledger:
        assert execute(ledger, "SELECT count(*) FROM worker WHERE ended_at IS NULL") == [(0,)]


def test_claims_of_ended_workers_are_freed(tmp_path):
    with make_ledger(tmp_path) as ledger:
        with register_worker(ledger) as number, ledger.transaction():
            batch = claim_one(ledger, number)
        write_row(ledger, "DROP TRIGGER batch_claim_by_living_worker")
        write_row(ledger, "UPDATE batch SET worker = ? WHERE number = ?", number, batch.number)
        with ledger.transaction():
            reap_dead_workers(ledger)
        assert execute(ledger, "SELECT worker FROM batch WHERE number = ?", batch.number) == [(None,)]


def test_pieces_of_rejected_batches_are_claimed_first(ledger):
    with ledger.transaction():
        [native, batch] = transitions.claim_batches(ledger, 1, 2, START)
        transitions.mark_sent(ledger, 1, batch, at(1), None, None)
        rejected = Transition(batch, "rejected", problem=PROBLEM, pieces=((batch.first, 2), (2, batch.stop)))
        transitions.apply(ledger, 1, rejected, 2.0)
        claimed = transitions.claim_batches(ledger, 1, 3, START)
    assert [(each.first, each.stop) for each in claimed] == [(2, 5), (0, 2), (5, 10)]
    assert native.native == 0


def test_dead_workers_are_reaped_and_active_ones_kept(tmp_path):
    with make_ledger(tmp_path) as ledger:
        with register_worker(ledger) as active, ledger.transaction():
            reap_dead_workers(ledger)
            [batch] = transitions.claim_batches(ledger, active, 1, START)
            transitions.mark_sent(ledger, active, batch, at(1), None, None)
            reap_dead_workers(ledger)
            assert execute(ledger, "SELECT state, worker FROM batch WHERE number = ?", batch.number) == [
                ("sent", active)
            ]
        write_row(ledger, "INSERT INTO worker (lock_file, pid, host, started_at) VALUES ('worker-x.lock', 1, 'h', 1)")
        with ledger.transaction():
            sent, claimed = transitions.claim_batches(ledger, 2, 2, START)
            transitions.mark_sent(ledger, 2, sent, at(1), None, None)
        with try_lock(tmp_path / "worker-x.lock"), ledger.transaction():
            reap_dead_workers(ledger)
        assert execute(ledger, "SELECT count(*) FROM batch WHERE worker = 2") == [(2,)]
        with ledger.transaction():
            reap_dead_workers(ledger)
        rows = execute(ledger, "SELECT state, worker FROM batch WHERE number IN (?, ?)", sent.number, claimed.number)
        assert rows == [("in_doubt", None), ("todo", None)]
        assert not list(tmp_path.glob("worker-*"))


def test_batch_is_claimed_by_one_connection(tmp_path):
    with make_ledger(tmp_path, ids=3_000, natives=0, size=1) as ledger:
        for number in range(4):
            write_row(
                ledger,
                "INSERT INTO worker (lock_file, pid, host, started_at) VALUES (?, 1, 'h', 1)",
                f"worker-{number}",
            )
    claimed: dict[int, list[int]] = {}

    def claim_all(worker):
        with Ledger(tmp_path / LEDGER_FILE) as own_ledger:
            while True:
                with own_ledger.transaction():
                    batches = transitions.claim_batches(own_ledger, worker, 1 + worker * 3, START)
                if not batches:
                    return
                claimed.setdefault(worker, []).extend(batch.number for batch in batches)

    threads = [threading.Thread(target=claim_all, args=[number]) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [number for worker_numbers in claimed.values() for number in worker_numbers]
    assert sorted(numbers) == list(range(1, 3_001))


def test_failed_job_does_not_roll_back_others(ledger):
    def delete_batches(ledger):
        execute(ledger, "UPDATE batch SET worker = 1 WHERE number = 3")
        execute(ledger, "DELETE FROM batch")

    results = ledger.run_all(
        [lambda ledger: transitions.claim_batches(ledger, 1, 1, START), delete_batches, lambda ledger: 7]
    )
    assert ([batch.number for batch in results[0]], results[2]) == ([1], 7)
    assert isinstance(results[1], DeliveryError)
    assert execute(ledger, "SELECT number FROM batch WHERE worker = 1") == [(1,)]


def test_log_may_disappear_while_a_ledger_is_opened(tmp_path, monkeypatch):
    make_ledger(tmp_path).close()
    found = Path.is_file
    monkeypatch.setattr(
        Path, "is_file", lambda file: file.name.endswith("-wal") or found(file)
    )  # it was there just now
    with Ledger(tmp_path / LEDGER_FILE, write=False) as ledger:
        assert (ledger.has_wal, ledger.load_run().id_count) == (False, 20)


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
    """Any sequence of transitions leaves every id in exactly one batch or among the invalid ids."""

    claimed = Bundle("claimed")
    in_flight = Bundle("in flight")

    def __init__(self):
        super().__init__()
        self.now, self.delivered_positions, self.dropped_positions = 1.0, [], set()

    @initialize()
    def create_ledger(self):
        self.folder = TemporaryDirectory()
        self.ledger = make_ledger(Path(self.folder.name), ids=12, natives=0, size=4)
        for number in (1, 2):
            write_row(
                self.ledger, "INSERT INTO worker (lock_file, pid, host, started_at) VALUES (?, 1, 'h', 1)", f"w{number}"
            )

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    @rule(target=claimed, worker=st.sampled_from([1, 2]))
    def claim_batch(self, worker):
        with self.ledger.transaction():
            batches = transitions.claim_batches(self.ledger, worker, 1, at(self.now))
        return (worker, batches[0]) if batches else None

    @rule(target=in_flight, claimed_batch=consumes(claimed))
    def mark_sent(self, claimed_batch):
        if claimed_batch is None:
            return None
        with self.ledger.transaction():
            worker, batch = claimed_batch
            verdict = transitions.mark_sent(self.ledger, worker, batch, at(self.now), 5.0, None)
        if verdict == "dedup_window_over":
            with self.ledger.transaction():
                transitions.release_batch(self.ledger, *claimed_batch)
            return None
        return claimed_batch

    @rule(sent_batch=consumes(in_flight))
    def mark_accepted(self, sent_batch):
        if sent_batch:
            with self.ledger.transaction():
                transitions.apply(
                    self.ledger, sent_batch[0], Transition(sent_batch[1], "accepted", message_id="m"), self.now
                )
            self.delivered_positions += sent_batch[1].valid_positions()

    @rule(target=claimed, sent_batch=consumes(in_flight))
    def mark_retryable(self, sent_batch):
        if sent_batch:
            with self.ledger.transaction():
                retryable = Transition(sent_batch[1], "todo", problem=PROBLEM, keeps_claim=True)
                transitions.apply(self.ledger, sent_batch[0], retryable, self.now)
        return sent_batch

    @rule(sent_batch=consumes(in_flight))
    def mark_in_doubt(self, sent_batch):
        if sent_batch:
            with self.ledger.transaction():
                transitions.apply(
                    self.ledger, sent_batch[0], Transition(sent_batch[1], "in_doubt", problem=PROBLEM), self.now
                )

    @rule(sent_batch=consumes(in_flight), names_bad_ids=st.booleans(), data=st.data())
    def mark_rejected(self, sent_batch, names_bad_ids, data):
        if sent_batch:
            positions = sent_batch[1].valid_positions()
            bad = {data.draw(st.sampled_from(positions)): "x"} if names_bad_ids or len(positions) == 1 else {}
            first, middle, stop = positions[0], positions[len(positions) // 2], positions[-1] + 1
            remaining = [(first, stop)] if len(positions) > len(bad) else []
            pieces = remaining if bad else [(first, middle), (middle, stop)]
            [(lost_replies,)] = execute(
                self.ledger, "SELECT lost_replies FROM batch WHERE number = ?", sent_batch[1].number
            )
            with self.ledger.transaction():
                rejected = Transition(
                    sent_batch[1], "rejected", problem=PROBLEM, invalid_ids=tuple(bad.items()), pieces=tuple(pieces)
                )
                transitions.apply(self.ledger, sent_batch[0], rejected, self.now)
            if not lost_replies:  # else it stays in doubt, and none of its ids is dropped
                self.dropped_positions |= set(bad)

    @rule(resolve_doubts=st.sampled_from([transitions.retry_doubts, transitions.skip_doubts]))
    def resolve_doubts(self, resolve_doubts):
        with self.ledger.transaction():
            resolve_doubts(self.ledger, at(self.now))

    @rule(seconds=st.integers(1, 4))
    def advance_clock(self, seconds):
        self.now += seconds

    @invariant()
    def check_ids_partitioned(self):
        if not hasattr(self, "ledger"):
            return
        result = load_status(self.ledger)
        assert sum(result.id_counts.values()) + sum(result.invalid_id_counts.values()) == 12
        assert (result.id_counts["accepted"], len(set(self.delivered_positions))) == (
            len(self.delivered_positions),
            len(self.delivered_positions),
        )
        assert sum(result.invalid_id_counts.values()) == len(self.dropped_positions)


TestBatches = BatchTransitions.TestCase
TestBatches.settings = settings(max_examples=scale_examples(25), stateful_step_count=30, deadline=None)
