"""The transitions of batches, and what else is written in a ledger; each is done within `Ledger.together`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

import orjson

from audience.delivery.ledger.connection import Ledger, Run
from audience.errors import Problem

SendVerdict: TypeAlias = Literal["sent", "cancelled", "too late"]


# A repeat at the moment ?1 is dropped; a clock that has gone back behind the last sending says nothing of how long ago.
WITHIN_DEDUP_WINDOW = "sent <= ?1 AND ?1 < repeat_until"


@dataclass(frozen=True, slots=True)
class Batch:
    """One call: a *native* request, or the ids of the plan from *first* to before *stop*, but for the *bad* ones."""

    number: int
    native: int | None
    first: int
    stop: int
    state: str
    dedup_until: float | None
    invalid_positions: frozenset[int]

    def valid_positions(self) -> list[int]:
        """The places of its ids among the plan's."""
        return [at for at in range(self.first, self.stop) if at not in self.invalid_positions]


@dataclass(frozen=True, slots=True)
class Handle:
    """What an opening was answered, to be used in calls that tell."""

    number: int
    value: str


def make_idempotency_key(run: Run, batch: Batch) -> str:
    """A UUID that is the same whenever this batch is sent."""
    return str(uuid5(UUID(run.id), str(batch.number)))


def claim_batches(ledger: Ledger, worker: int, limit: int, now: float) -> list[Batch]:
    """At most *many* batches that nobody has, for *worker*; those in doubt that can still be repeated come first."""
    if ledger.execute("SELECT 1 FROM run WHERE cancelled_at IS NOT NULL"):
        return []
    doubt = "SELECT number FROM batch WHERE state = 'in_doubt' AND worker IS NULL AND skipped IS NULL"
    found = [row[0] for row in ledger.execute(f"{doubt} AND {WITHIN_DEDUP_WINDOW} LIMIT ?2", now, limit)]
    todo = "SELECT number FROM batch WHERE state = 'todo' AND worker IS NULL ORDER BY number LIMIT ?"
    found += [row[0] for row in ledger.execute(todo, limit - len(found))]
    return [_claim_batch(ledger, worker, number) for number in found]


def _claim_batch(ledger: Ledger, worker: int, number: int) -> Batch:
    taken = "UPDATE batch SET worker = ? WHERE number = ?"
    columns = "native, coalesce(first, 0), coalesce(stop, 0), state, repeat_until, parent"
    [row] = ledger.execute(f"{taken} RETURNING {columns}", worker, number)
    native, first, stop, state, repeat_until, parent = row
    within = "SELECT position FROM bad WHERE position >= ? AND position < ?"
    bad = [] if parent is None else ledger.execute(within, first, stop)
    return Batch(number, native, first, stop, state, repeat_until, frozenset(at for (at,) in bad))


def mark_sent(
    ledger: Ledger, worker: int, batch: Batch, now: float, dedup_until: float | None, handle: int | None
) -> SendVerdict:
    """The request is about to leave; or it may not: the run is cancelled, or the vendor may drop a repeat no longer.

    Where the batch is in doubt, *repeat_until* stays what it was.
    """
    if ledger.execute("SELECT 1 FROM run WHERE cancelled_at IS NOT NULL"):
        return "cancelled"
    which = f"SELECT state, repeat_until, {WITHIN_DEDUP_WINDOW} FROM batch WHERE number = ?2"
    [(state, until, dropped)] = ledger.execute(which, now, batch.number)
    if state == "in_doubt" and not dropped:
        return "too late"
    move = "state = 'sent', tries = tries + 1, sent = ?, settled = NULL, worker = ?, handle = ?, repeat_until = ?"
    until = until if state == "in_doubt" else dedup_until
    ledger.execute(f"UPDATE batch SET {move} WHERE number = ?", now, worker, handle, until, batch.number)
    return "sent"


def mark_accepted(
    ledger: Ledger, batch: Batch, now: float, message_id: str, invalid_ids: Iterable[tuple[int, str]]
) -> None:
    """The vendor has taken it, but for the ids *left_out*, each with its place."""
    _settle_batch(ledger, batch, "accepted", now, message_id=message_id)
    _insert_invalid_ids(ledger, batch, invalid_ids, "left-out")


def mark_retryable(ledger: Ledger, batch: Batch, now: float, problem: Problem, *, keep: bool) -> bool:
    """Nobody was told by this call; the worker may *keep* the batch to try later.

    Where the reply to a call before it was lost, it is in doubt still; whether that is so.
    """
    if _has_lost_replies(ledger, batch):
        mark_in_doubt(ledger, batch, now, problem, keep=keep)
        return True
    move = "state = 'todo', repeat_until = NULL, problem = ?" + ("" if keep else ", worker = NULL")
    ledger.execute(f"UPDATE batch SET {move} WHERE number = ?", problem_to_json(problem), batch.number)
    return False


def mark_rejected(
    ledger: Ledger,
    batch: Batch,
    now: float,
    problem: Problem,
    invalid_ids: Iterable[tuple[int, str]] = (),
    parts: Iterable[tuple[int, int]] = (),
) -> None:
    """Nobody was told of it; its ids *bad* never will be, and its *parts* are to be sent anew.

    Where the reply to a call before it was lost, it stays in doubt, and is repeated no more.
    """
    if _has_lost_replies(ledger, batch):
        ledger.execute("UPDATE batch SET repeat_until = NULL WHERE number = ?", batch.number)
        mark_in_doubt(ledger, batch, now, problem, keep=False)
        return
    _settle_batch(ledger, batch, "rejected", now, problem_json=problem_to_json(problem))
    _insert_invalid_ids(ledger, batch, invalid_ids, problem.code)
    for first, stop in parts:
        ledger.execute("INSERT INTO batch (parent, first, stop) VALUES (?, ?, ?)", batch.number, first, stop)


def mark_in_doubt(ledger: Ledger, batch: Batch, now: float, problem: Problem, *, keep: bool) -> None:
    """Whether anybody was told is not known; the worker may *keep* it, to repeat it."""
    move = "state = 'in_doubt', doubts = doubts + 1, settled = ?, problem = ?" + ("" if keep else ", worker = NULL")
    ledger.execute(f"UPDATE batch SET {move} WHERE number = ?", now, problem_to_json(problem), batch.number)


def release_batch(ledger: Ledger, batch: Batch) -> None:
    """The worker gives back what it has claimed and not sent."""
    ledger.execute("UPDATE batch SET worker = NULL WHERE number = ? AND state IN ('todo', 'in_doubt')", batch.number)


def has_pending_batches(ledger: Ledger, now: float) -> bool:
    """Whether anything is left that will be sent, or was and has no reply yet."""
    if ledger.execute("SELECT 1 FROM run WHERE cancelled_at IS NOT NULL"):
        return False
    going = "SELECT 1 FROM batch WHERE state IN ('todo', 'sent')"
    repeated = f"SELECT 1 FROM batch WHERE state = 'in_doubt' AND skipped IS NULL AND {WITHIN_DEDUP_WINDOW}"
    return bool(ledger.execute(f"{going} UNION ALL {repeated} LIMIT 1", now))


def store_handle(
    ledger: Ledger, batch: Batch | None, value: str, max_uses: int, now: float, expires_at: float | None
) -> None:
    """An opening was answered with the handle *text*, for *batch* alone or for all."""
    values = (value, None if batch is None else batch.number, max_uses, now, expires_at)
    ledger.execute("INSERT INTO handle (text, batch, most, opened, until) VALUES (?, ?, ?, ?, ?)", *values)


def take_handle(ledger: Ledger, batch: Batch | None, now: float) -> Handle | None:
    """A handle for one more call, of *batch* alone or of all; None where none is left."""
    good = "batch IS ? AND closed IS NULL AND used < most AND (until IS NULL OR until > ?)"
    found = f"SELECT number FROM handle WHERE {good} ORDER BY number LIMIT 1"
    change = f"UPDATE handle SET used = used + 1 WHERE number = ({found}) RETURNING number, text"
    rows = ledger.execute(change, None if batch is None else batch.number, now)
    return Handle(*rows[0]) if rows else None


def resolve_doubts(ledger: Ledger, now: float, *, retry: bool) -> None:
    """The user says what becomes of the batches in doubt that nobody repeats: *retry* them, or let them stay so."""
    which = f"state = 'in_doubt' AND worker IS NULL AND skipped IS NULL AND NOT coalesce({WITHIN_DEDUP_WINDOW}, 0)"
    move = "state = 'todo', doubts = 0, settled = NULL, repeat_until = NULL" if retry else "skipped = ?1"
    ledger.execute(f"UPDATE batch SET {move} WHERE {which}", now)


def cancel_run(ledger: Ledger, now: float) -> None:
    """Nothing more leaves."""
    ledger.execute("UPDATE run SET cancelled_at = coalesce(cancelled_at, ?)", now)


def set_stop_reason(ledger: Ledger, problem: Problem | None) -> None:
    """The run has stopped because of *problem*, or goes on."""
    ledger.execute("UPDATE run SET stop_reason = ?", None if problem is None else problem_to_json(problem))


def list_open_handles(ledger: Ledger) -> list[Handle]:
    """The handles that have not ended."""
    return [Handle(*row) for row in ledger.execute("SELECT number, text FROM handle WHERE closed IS NULL")]


def mark_handle_closed(ledger: Ledger, handle: Handle, now: float) -> None:
    """The handle has ended."""
    ledger.execute("UPDATE handle SET closed = ? WHERE number = ?", now, handle.number)


def _has_lost_replies(ledger: Ledger, batch: Batch) -> bool:
    """Whether the reply to a call before this one was lost, and the user has not said what becomes of it."""
    return bool(ledger.execute("SELECT 1 FROM batch WHERE number = ? AND doubts > 0", batch.number))


def _settle_batch(
    ledger: Ledger, batch: Batch, state: str, now: float, message_id: str | None = None, problem_json: str | None = None
) -> None:
    move = "state = ?, settled = ?, message = ?, problem = ?"
    ledger.execute(f"UPDATE batch SET {move} WHERE number = ?", state, now, message_id, problem_json, batch.number)


def _insert_invalid_ids(ledger: Ledger, batch: Batch, invalid_ids: Iterable[tuple[int, str]], code: str) -> None:
    for position, identifier in invalid_ids:
        values = (position, identifier, code, batch.number)
        ledger.execute("INSERT INTO bad (position, id, code, batch) VALUES (?, ?, ?, ?)", *values)


def problem_to_json(problem: Problem) -> str:
    """*problem* as it stands in a ledger."""
    said = {"code": problem.code, "message": problem.message, "hint": problem.hint}
    return orjson.dumps({key: value for key, value in said.items() if value}).decode()
