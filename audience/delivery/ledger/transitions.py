"""State transitions of batches, and other writes to the ledger; call each of them within `Ledger.transaction`."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID, uuid5

import orjson

from audience.delivery.clock import Moment
from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.left_out import IN_DOUBT_PREFIX
from audience.errors import LedgerError, Problem

ALL_LEFT_OUT = Problem("policy", "policies leave out every id of the batch, so that no call is made")

SendVerdict: TypeAlias = Literal["sent", "cancelled", "dedup_window_over"]
StateAfterCall: TypeAlias = Literal["accepted", "rejected", "todo", "in_doubt"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One call to make: a native request, or the ids [first, stop) of the plan without the invalid ones."""

    number: int
    native: int | None
    first: int
    stop: int
    state: str
    dedup_until: float | None
    invalid_positions: frozenset[int]
    part: int = 1
    not_before: float | None = None
    at_vendor: bool = False

    def valid_positions(self) -> list[int]:
        """Return the positions of its ids in the plan."""
        return [position for position in range(self.first, self.stop) if position not in self.invalid_positions]


@dataclass(frozen=True, slots=True)
class Transition:
    """New state of a batch after a call.

    Attributes:
        batch: The batch.
        state: Its new state.
        message_id: The vendor's id, if the call was accepted.
        problem: The vendor's problem, if it was not.
        invalid_ids: Ids that are never sent again, by their positions in the plan.
        pieces: Ranges of positions that become new batches of their own.
        keeps_claim: Whether the worker keeps the batch, to call again.
    """

    batch: Batch
    state: StateAfterCall
    message_id: str | None = None
    problem: Problem | None = None
    invalid_ids: tuple[tuple[int, str], ...] = ()
    pieces: tuple[tuple[int, int], ...] = ()
    keeps_claim: bool = False


class SendableBatch(NamedTuple):
    """Batch to send: a native request, or the ids [first, stop) of the plan. Earlier calls for it may be in doubt."""

    number: int
    native: int | None
    first: int
    stop: int
    has_lost_replies: bool


NO_BATCH = SendableBatch(0, None, sys.maxsize, sys.maxsize, False)


@dataclass(frozen=True, slots=True)
class LeftOutId:
    """Id that policies leave out, by its position in the plan; *code* names the first one that it does not fit."""

    position: int
    id: str
    code: str


@dataclass(frozen=True, slots=True)
class Handle:
    """Result of a setup call, to be used in send calls."""

    number: int
    value: str


def make_idempotency_key(run: Run, batch: Batch) -> str:
    """Return a UUID that is the same whenever *batch* is sent."""
    return str(uuid5(UUID(run.id), str(batch.number)))


class WorkerEnded(LedgerError):
    """Another process has declared this worker dead, and its batches are free."""

    def __init__(self) -> None:
        message = "another process found the lock file of this worker unlocked, and has taken over its batches"
        hint = "lock files of a run must not be removed while it is sent; run `audience resume` if no other worker runs"
        super().__init__(Problem("worker-ended", message, hint=hint))


@dataclass(frozen=True, slots=True)
class SendWindow:
    """State of the windows of a run at a moment: which batches may be sent.

    Attributes:
        kept_from: Moment from which on the vendor keeps calls until their time; infinite if it keeps none.
        closed_parts: Numbers of the parts where it is quiet.
    """

    kept_from: float = inf
    closed_parts: frozenset[int] = frozenset()

    def keeps(self, batch: Batch) -> bool:
        """Return whether the vendor is given the call for *batch* before its time."""
        return batch.at_vendor and batch.not_before is not None and batch.not_before >= self.kept_from

    def allows(self, batch: Batch, now: float) -> bool:
        """Return whether the call for *batch* may be made *now*, to be delivered at once or at its time."""
        is_due = batch.not_before is None or batch.not_before <= now
        return self.keeps(batch) or (is_due and batch.part not in self.closed_parts)

    def to_values(self) -> dict[str, Any]:
        """Return the values of the statements that find batches."""
        return {"kept_from": self.kept_from, "closed_parts": orjson.dumps(sorted(self.closed_parts)).decode()}


ALL_OPEN = SendWindow()


def claim_batches(ledger: Ledger, worker: int, limit: int, now: Moment, window: SendWindow = ALL_OPEN) -> list[Batch]:
    """Claim up to *limit* batches for *worker*: those in doubt that can be repeated, then pieces, then those todo.

    Pieces come before other batches, so that ids that the vendor does not know are found early. Batches that *window*
    does not allow are left.

    Raises WorkerEnded if another process has declared the worker dead.
    """
    require_living(ledger, worker)
    if is_cancelled(ledger):
        return []
    values = {**now._asdict(), **window.to_values()}
    numbers = [number for (number,) in ledger.query("find_repeatable", **values, limit=limit)]
    numbers += [number for (number,) in ledger.query("find_todo_pieces", **values, limit=limit - len(numbers))]
    todo = ledger.query("find_todo", **values, limit=limit - len(numbers))
    numbers += [number for (number,) in todo if number not in numbers]
    return [_claim_batch(ledger, worker, number) for number in numbers]


def _claim_batch(ledger: Ledger, worker: int, number: int) -> Batch:
    [row] = ledger.query("claim_batch", worker=worker, number=number)
    native, first, stop, state, dedup_until, part, not_before, at_vendor = row
    positions = ledger.query("list_invalid_positions", first=first, stop=stop)
    invalid = frozenset(position for (position,) in positions)
    return Batch(number, native, first, stop, state, dedup_until, invalid, part, not_before, bool(at_vendor))


def require_living(ledger: Ledger, worker: int) -> None:
    """Raise WorkerEnded if *worker* has ended in the ledger."""
    if not ledger.query("find_living_worker", worker=worker):
        raise WorkerEnded


def release_batch(ledger: Ledger, worker: int, batch: Batch) -> None:
    """Release a batch that *worker* has claimed and not sent."""
    ledger.query("release_batch", worker=worker, number=batch.number)


def is_cancelled(ledger: Ledger) -> bool:
    """Return whether the run was cancelled."""
    return bool(ledger.query("find_cancelled_run"))


def has_pending_batches(ledger: Ledger, now: Moment, window: SendWindow = ALL_OPEN) -> bool:
    """Return whether any batch can be sent, is claimed, or was sent and has no reply yet."""
    values = {**now._asdict(), **window.to_values()}
    return not is_cancelled(ledger) and bool(ledger.query("find_pending", **values))


def find_next_spread(ledger: Ledger, now: float, window: SendWindow) -> float | None:
    """Return the next moment of a part that has opened and is being spread; None if there is none."""
    closed_parts = window.to_values()["closed_parts"]
    [(moment,)] = ledger.query("find_next_spread", now=now, closed_parts=closed_parts)
    return None if is_cancelled(ledger) else moment


def set_max_unknown(ledger: Ledger, share: float) -> None:
    """Set the share of ids that the vendor may not know before the run stops."""
    ledger.query("set_max_unknown", share=share)


def hold_calls(ledger: Ledger) -> None:
    """Keep here until their time the calls that the vendor would have kept and was not given yet."""
    ledger.query("hold_calls")


def withdraw_batch(ledger: Ledger, number: int, now: float) -> None:
    """Record that the vendor has withdrawn the call for a batch before its time, and has said so by *now*."""
    ledger.query("withdraw_batch", number=number, now=now)


def mark_sent(
    ledger: Ledger,
    worker: int,
    batch: Batch,
    now: Moment,
    dedup_seconds: float | None,
    handle: int | None,
    due_at: float | None = None,
) -> SendVerdict:
    """Record that a call is about to be made, or return why it must not be made.

    Args:
        ledger: The ledger, within a transaction.
        worker: The worker that has claimed *batch*.
        batch: The batch.
        now: The time of the call.
        dedup_seconds: How long the vendor drops repeats of this call. A batch in doubt keeps its first window.
        handle: The number of the handle that the call uses.
        due_at: When the vendor will deliver; None if that is at once.

    Raises WorkerEnded if another process has declared the worker dead.
    """
    require_claimed(ledger, worker, batch)
    if is_cancelled(ledger):
        return "cancelled"
    [row] = ledger.query("load_dedup_window", **now._asdict(), number=batch.number)
    state, until, until_boot, in_window = row
    if state == "in_doubt" and not in_window:
        return "dedup_window_over"
    if state != "in_doubt":
        until, until_boot = (None if dedup_seconds is None else start + dedup_seconds for start in now[:2])
    values = {"number": batch.number, "handle": handle, "until": until, "until_boot": until_boot, "due_at": due_at}
    ledger.query("mark_sent", worker=worker, **now._asdict(), **values)
    return "sent"


def require_claimed(ledger: Ledger, worker: int, batch: Batch) -> None:
    """Raise WorkerEnded if *batch* is not claimed by *worker* any more."""
    if ledger.query("load_claimant", number=batch.number) != [(worker,)]:
        raise WorkerEnded
    require_living(ledger, worker)


def apply(ledger: Ledger, worker: int, transition: Transition, now: float) -> StateAfterCall:
    """Write *transition* of a batch that *worker* has claimed, and return the state that the batch reached.

    If the reply to an earlier call for the batch was lost, that call may have been delivered. Then a call that reached
    no device leaves the batch in doubt, whatever *transition* says. After a rejection it is not repeated either.

    Raises WorkerEnded if another process has declared the worker dead: the call is in doubt already.
    """
    require_claimed(ledger, worker, transition.batch)
    state, keeps_claim = transition.state, transition.keeps_claim
    if state in ("todo", "rejected") and _has_lost_replies(ledger, transition.batch):
        if state == "rejected":
            ledger.query("end_dedup_window", number=transition.batch.number)
        state = "in_doubt"
    number, problem = transition.batch.number, problem_to_json(transition.problem)
    match state:
        case "in_doubt":
            ledger.query("mark_in_doubt", number=number, now=now, problem=problem, keeps_claim=keeps_claim)
        case "todo":
            ledger.query("mark_todo", number=number, problem=problem, keeps_claim=keeps_claim)
        case "accepted" | "rejected":
            message_id = transition.message_id
            ledger.query("mark_settled", number=number, state=state, now=now, message_id=message_id, problem=problem)
            _write_invalid_ids_and_pieces(ledger, transition)
    return state


def _has_lost_replies(ledger: Ledger, batch: Batch) -> bool:
    """Return whether a reply was lost since the batch was inserted or the user chose to retry it."""
    return bool(ledger.query("find_lost_replies", number=batch.number))


def _write_invalid_ids_and_pieces(ledger: Ledger, transition: Transition) -> None:
    number = transition.batch.number
    code = "left-out" if transition.problem is None else transition.problem.code
    for position, identifier in transition.invalid_ids:
        ledger.query("insert_invalid_id", position=position, id=identifier, code=code, batch=number)
    for first, stop in transition.pieces:
        ledger.query("insert_piece", parent=number, first=first, stop=stop)


def retry_doubts(ledger: Ledger, now: Moment) -> None:
    """Set the batches in doubt that cannot be repeated safely to todo."""
    ledger.query("retry_doubts", **now._asdict())


def skip_doubts(ledger: Ledger, now: Moment) -> None:
    """Settle that the batches in doubt that cannot be repeated safely stay in doubt."""
    ledger.query("skip_doubts", **now._asdict())


def list_sendable_batches(ledger: Ledger, now: Moment, *, retries_doubts: bool) -> list[SendableBatch]:
    """Return the batches that no worker has claimed and that will be sent, in the order of their ids.

    Args:
        ledger: The ledger.
        now: The moment; a call in doubt is repeated for as long as the vendor drops repeats.
        retries_doubts: Whether all batches in doubt will be sent again.
    """
    rows = ledger.query("list_sendable_batches", **now._asdict(), retries_doubts=retries_doubts)
    return [SendableBatch(*row) for row in rows]


def leave_out_ids(ledger: Ledger, left_out: Iterable[LeftOutId], now: Moment, *, retries_doubts: bool) -> None:
    """Record that some ids of the sendable batches are not sent.

    Batches that are settled, or that a worker has claimed, stay as they are. An id of a call whose reply was lost may
    have been delivered: its code begins with `IN_DOUBT_PREFIX`.
    """
    batches = (
        batch for batch in list_sendable_batches(ledger, now, retries_doubts=retries_doubts) if batch.native is None
    )
    number, _, first, stop, has_lost_replies = next(batches, NO_BATCH)
    for each in sorted(left_out, key=lambda left: left.position):
        while stop <= each.position:
            number, _, first, stop, has_lost_replies = next(batches, NO_BATCH)
        if first <= each.position:
            code = f"{IN_DOUBT_PREFIX}{each.code}" if has_lost_replies else each.code
            ledger.query("leave_out_id", position=each.position, id=each.id, code=code, batch=number)


def reject_emptied_batches(ledger: Ledger, now: float) -> None:
    """Settle the batches of which every id is left out, without a call; one in doubt stays so."""
    ledger.query("reject_emptied_batches", now=now, problem=problem_to_json(ALL_LEFT_OUT))
    ledger.query("stop_repeating_emptied_batches")


def cancel_run(ledger: Ledger, now: float) -> None:
    """Cancel the run: no batch is sent from now on."""
    ledger.query("cancel_run", now=now)


def set_stop_reason(ledger: Ledger, problem: Problem | None) -> None:
    """Record why the last worker stopped early, or None if it runs."""
    ledger.query("set_stop_reason", problem=problem_to_json(problem))


def store_handle(
    ledger: Ledger, batch: Batch | None, body: int, value: str, max_uses: int, now: float, expires_at: float | None
) -> None:
    """Store the handle *value*, for *batch* alone or, if that is None, for all batches with the body of that number."""
    number = None if batch is None else batch.number
    ledger.query(
        "insert_handle", value=value, batch=number, body=body, max_uses=max_uses, now=now, expires_at=expires_at
    )


def take_handle(ledger: Ledger, batch: Batch | None, body: int, now: float) -> Handle | None:
    """Count one more use of a stored handle and return it, or None if every handle is used up or expired."""
    rows = ledger.query("take_handle", batch=None if batch is None else batch.number, body=body, now=now)
    return Handle(*rows[0]) if rows else None


def list_open_handles(ledger: Ledger) -> list[Handle]:
    """Return the handles that were not closed."""
    return [Handle(*row) for row in ledger.query("list_open_handles")]


def mark_handle_closed(ledger: Ledger, handle: Handle, now: float) -> None:
    """Record that *handle* was closed at the vendor."""
    ledger.query("close_handle", number=handle.number, now=now)


def problem_to_json(problem: Problem | None) -> str | None:
    """Return *problem* as JSON for the ledger."""
    if problem is None:
        return None
    fields = {"code": problem.code, "message": problem.message, "hint": problem.hint}
    return orjson.dumps({key: value for key, value in fields.items() if value}).decode()
