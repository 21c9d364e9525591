"""The transitions of batches, and what else is written in a ledger; each is done within `Ledger.together`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

import orjson

from audience.delivery.ledger.connection import Ledger, Run
from audience.errors import Problem

Allowed: TypeAlias = Literal["sent", "cancelled", "too late"]


# A repeat at the moment ?1 is dropped; a clock that has gone back behind the last sending says nothing of how long ago.
DROPPED = "sent <= ?1 AND ?1 < repeat_until"


@dataclass(frozen=True, slots=True)
class Batch:
    """One call: a *native* request, or the ids of the plan from *first* to before *stop*, but for the *bad* ones."""

    number: int
    native: int | None
    first: int
    stop: int
    state: str
    repeat_until: float | None
    bad: frozenset[int]

    def positions(self) -> list[int]:
        """The places of its ids among the plan's."""
        return [at for at in range(self.first, self.stop) if at not in self.bad]


@dataclass(frozen=True, slots=True)
class Handle:
    """What an opening was answered, to be used in calls that tell."""

    number: int
    text: str


def token(run: Run, batch: Batch) -> str:
    """A UUID that is the same whenever this batch is sent."""
    return str(uuid5(UUID(run.id), str(batch.number)))


def claim(ledger: Ledger, worker: int, many: int, now: float) -> list[Batch]:
    """At most *many* batches that nobody has, for *worker*; those in doubt that can still be repeated come first."""
    if ledger.rows("SELECT 1 FROM run WHERE cancelled IS NOT NULL"):
        return []
    doubt = "SELECT number FROM batch WHERE state = 'in doubt' AND worker IS NULL AND skipped IS NULL"
    found = [row[0] for row in ledger.rows(f"{doubt} AND {DROPPED} LIMIT ?2", now, many)]
    todo = "SELECT number FROM batch WHERE state = 'todo' AND worker IS NULL ORDER BY number LIMIT ?"
    found += [row[0] for row in ledger.rows(todo, many - len(found))]
    return [_claimed(ledger, worker, number) for number in found]


def _claimed(ledger: Ledger, worker: int, number: int) -> Batch:
    taken = "UPDATE batch SET worker = ? WHERE number = ?"
    columns = "native, coalesce(first, 0), coalesce(stop, 0), state, repeat_until, parent"
    [row] = ledger.rows(f"{taken} RETURNING {columns}", worker, number)
    native, first, stop, state, repeat_until, parent = row
    within = "SELECT position FROM bad WHERE position >= ? AND position < ?"
    bad = [] if parent is None else ledger.rows(within, first, stop)
    return Batch(number, native, first, stop, state, repeat_until, frozenset(at for (at,) in bad))


def sent(
    ledger: Ledger, worker: int, batch: Batch, now: float, repeat_until: float | None, handle: int | None
) -> Allowed:
    """The request is about to leave; or it may not: the run is cancelled, or the vendor may drop a repeat no longer.

    Where the batch is in doubt, *repeat_until* stays what it was.
    """
    if ledger.rows("SELECT 1 FROM run WHERE cancelled IS NOT NULL"):
        return "cancelled"
    which = f"SELECT state, repeat_until, {DROPPED} FROM batch WHERE number = ?2"
    [(state, until, dropped)] = ledger.rows(which, now, batch.number)
    if state == "in doubt" and not dropped:
        return "too late"
    move = "state = 'sent', tries = tries + 1, sent = ?, settled = NULL, worker = ?, handle = ?, repeat_until = ?"
    until = until if state == "in doubt" else repeat_until
    ledger.rows(f"UPDATE batch SET {move} WHERE number = ?", now, worker, handle, until, batch.number)
    return "sent"


def accepted(ledger: Ledger, batch: Batch, now: float, message: str, left_out: Iterable[tuple[int, str]]) -> None:
    """The vendor has taken it, but for the ids *left_out*, each with its place."""
    _settle(ledger, batch, "accepted", now, message=message)
    _bad(ledger, batch, left_out, "left-out")


def again(ledger: Ledger, batch: Batch, now: float, problem: Problem, *, keep: bool) -> bool:
    """Nobody was told by this call; the worker may *keep* the batch to try later.

    Where the reply to a call before it was lost, it is in doubt still; whether that is so.
    """
    if _doubtful(ledger, batch):
        doubt(ledger, batch, now, problem, keep=keep)
        return True
    move = "state = 'todo', repeat_until = NULL, problem = ?" + ("" if keep else ", worker = NULL")
    ledger.rows(f"UPDATE batch SET {move} WHERE number = ?", words(problem), batch.number)
    return False


def refused(
    ledger: Ledger,
    batch: Batch,
    now: float,
    problem: Problem,
    bad: Iterable[tuple[int, str]] = (),
    parts: Iterable[tuple[int, int]] = (),
) -> None:
    """Nobody was told of it; its ids *bad* never will be, and its *parts* are to be sent anew.

    Where the reply to a call before it was lost, it stays in doubt, and is repeated no more.
    """
    if _doubtful(ledger, batch):
        ledger.rows("UPDATE batch SET repeat_until = NULL WHERE number = ?", batch.number)
        doubt(ledger, batch, now, problem, keep=False)
        return
    _settle(ledger, batch, "refused", now, problem=words(problem))
    _bad(ledger, batch, bad, problem.code)
    for first, stop in parts:
        ledger.rows("INSERT INTO batch (parent, first, stop) VALUES (?, ?, ?)", batch.number, first, stop)


def doubt(ledger: Ledger, batch: Batch, now: float, problem: Problem, *, keep: bool) -> None:
    """Whether anybody was told is not known; the worker may *keep* it, to repeat it."""
    move = "state = 'in doubt', doubts = doubts + 1, settled = ?, problem = ?" + ("" if keep else ", worker = NULL")
    ledger.rows(f"UPDATE batch SET {move} WHERE number = ?", now, words(problem), batch.number)


def let_go(ledger: Ledger, batch: Batch) -> None:
    """The worker gives back what it has claimed and not sent."""
    ledger.rows("UPDATE batch SET worker = NULL WHERE number = ? AND state IN ('todo', 'in doubt')", batch.number)


def unsettled(ledger: Ledger, now: float) -> bool:
    """Whether anything is left that will be sent, or was and has no reply yet."""
    if ledger.rows("SELECT 1 FROM run WHERE cancelled IS NOT NULL"):
        return False
    going = "SELECT 1 FROM batch WHERE state IN ('todo', 'sent')"
    repeated = f"SELECT 1 FROM batch WHERE state = 'in doubt' AND skipped IS NULL AND {DROPPED}"
    return bool(ledger.rows(f"{going} UNION ALL {repeated} LIMIT 1", now))


def opened(ledger: Ledger, batch: Batch | None, text: str, most: int, now: float, until: float | None) -> None:
    """An opening was answered with the handle *text*, for *batch* alone or for all."""
    values = (text, None if batch is None else batch.number, most, now, until)
    ledger.rows("INSERT INTO handle (text, batch, most, opened, until) VALUES (?, ?, ?, ?, ?)", *values)


def take_handle(ledger: Ledger, batch: Batch | None, now: float) -> Handle | None:
    """A handle for one more call, of *batch* alone or of all; None where none is left."""
    good = "batch IS ? AND closed IS NULL AND used < most AND (until IS NULL OR until > ?)"
    found = f"SELECT number FROM handle WHERE {good} ORDER BY number LIMIT 1"
    change = f"UPDATE handle SET used = used + 1 WHERE number = ({found}) RETURNING number, text"
    rows = ledger.rows(change, None if batch is None else batch.number, now)
    return Handle(*rows[0]) if rows else None


def decide(ledger: Ledger, now: float, *, retry: bool) -> None:
    """The user says what becomes of the batches in doubt that nobody repeats: *retry* them, or let them stay so."""
    which = f"state = 'in doubt' AND worker IS NULL AND skipped IS NULL AND NOT coalesce({DROPPED}, 0)"
    move = "state = 'todo', doubts = 0, settled = NULL, repeat_until = NULL" if retry else "skipped = ?1"
    ledger.rows(f"UPDATE batch SET {move} WHERE {which}", now)


def cancel(ledger: Ledger, now: float) -> None:
    """Nothing more leaves."""
    ledger.rows("UPDATE run SET cancelled = coalesce(cancelled, ?)", now)


def stopped(ledger: Ledger, problem: Problem | None) -> None:
    """The run has stopped because of *problem*, or goes on."""
    ledger.rows("UPDATE run SET stopped = ?", None if problem is None else words(problem))


def handles(ledger: Ledger) -> list[Handle]:
    """The handles that have not ended."""
    return [Handle(*row) for row in ledger.rows("SELECT number, text FROM handle WHERE closed IS NULL")]


def closed(ledger: Ledger, handle: Handle, now: float) -> None:
    """The handle has ended."""
    ledger.rows("UPDATE handle SET closed = ? WHERE number = ?", now, handle.number)


def _doubtful(ledger: Ledger, batch: Batch) -> bool:
    """Whether the reply to a call before this one was lost, and the user has not said what becomes of it."""
    return bool(ledger.rows("SELECT 1 FROM batch WHERE number = ? AND doubts > 0", batch.number))


def _settle(
    ledger: Ledger, batch: Batch, state: str, now: float, message: str | None = None, problem: str | None = None
) -> None:
    move = "state = ?, settled = ?, message = ?, problem = ?"
    ledger.rows(f"UPDATE batch SET {move} WHERE number = ?", state, now, message, problem, batch.number)


def _bad(ledger: Ledger, batch: Batch, ids: Iterable[tuple[int, str]], code: str) -> None:
    for position, identifier in ids:
        values = (position, identifier, code, batch.number)
        ledger.rows("INSERT INTO bad (position, id, code, batch) VALUES (?, ?, ?, ?)", *values)


def words(problem: Problem) -> str:
    """*problem* as it stands in a ledger."""
    said = {"code": problem.code, "message": problem.message, "hint": problem.hint}
    return orjson.dumps({key: value for key, value in said.items() if value}).decode()
