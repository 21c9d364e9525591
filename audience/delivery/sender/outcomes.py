"""Interpretation of vendor replies: which transition a batch makes, and what its worker does next."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from audience.delivery.ledger.transitions import Batch, Transition
from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Accepted,
    Fatal,
    InDoubt,
    InvalidIds,
    Rejected,
    Retryable,
    SendMethod,
    VendorReply,
)

UUID_PATTERN = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)

# reply        state of the batch               next step of its worker
# ----------   ------------------------------   ------------------------------------------------------
# Accepted     accepted                         proceed
# InvalidIds   rejected, valid ids in pieces    proceed
# Rejected     rejected                         proceed
# Retryable    todo, claim kept                 repeat
# Fatal        todo                             stop
# InDoubt      in_doubt, claim kept to repeat   repeat if the vendor drops repeats, otherwise count_lost
NextStep: TypeAlias = Literal["proceed", "repeat", "count_lost", "stop"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one call: the transition of its batch, and the next step of the worker.

    *retry_after* is the delay in seconds that the vendor asks for before a repeat.
    """

    transition: Transition
    next_step: NextStep
    retry_after: float | None = None


def interpret_reply(
    reply: VendorReply, batch: Batch, ids_by_position: Mapping[int, str], method: SendMethod
) -> Outcome:
    """Return the outcome of a call for *batch* whose reply is *reply*.

    Args:
        reply: The vendor's reply to the call, or to a setup call that was rejected.
        batch: The batch.
        ids_by_position: Its ids by their positions in the plan; empty for a native request.
        method: The send method. After a lost reply the call is repeated only if the vendor drops repeats.
    """
    checked = _check_answered_count(_check_answered_ids(reply, ids_by_position.values()), len(ids_by_position))
    match checked:
        case Accepted(message_id, invalid_ids):
            invalid = _select_ids(ids_by_position, invalid_ids)
            return Outcome(Transition(batch, "accepted", message_id=message_id, invalid_ids=invalid), "proceed")
        case InvalidIds(problem, reported_ids, are_all) if batch.native is None:
            invalid, pieces = bisect_batch(ids_by_position, ids_by_position.values() if are_all else reported_ids)
            rejected = Transition(batch, "rejected", problem=problem, invalid_ids=invalid, pieces=pieces)
            return Outcome(rejected, "proceed")
        case InvalidIds(problem) | Rejected(problem):
            return Outcome(Transition(batch, "rejected", problem=problem), "proceed")
        case Retryable(problem, retry_after):
            return Outcome(Transition(batch, "todo", problem=problem, keeps_claim=True), "repeat", retry_after)
        case Fatal(problem):
            return Outcome(Transition(batch, "todo", problem=problem), "stop")
        case InDoubt(problem):
            repeats = method.dedup_window is not None
            in_doubt = Transition(batch, "in_doubt", problem=problem, keeps_claim=repeats)
            return Outcome(in_doubt, "repeat" if repeats else "count_lost")


def check_message_count(reply: VendorReply, method: SendMethod, target_count: int) -> VendorReply:
    """Return *reply*, or InDoubt if *method* creates one message per target and the vendor names another number."""
    if not method.message_per_target or not isinstance(reply, Accepted):
        return reply
    message_count = reply.message_id.count(",") + 1
    if message_count == target_count:
        return reply
    message = f"expected {target_count} message ids, one per target, found {message_count}: {reply.message_id}"
    return InDoubt(Problem("other-count", message, hint="look in the vendor's console which messages exist"))


def _check_answered_ids(reply: VendorReply, ids: Iterable[str]) -> VendorReply:
    """Return *reply*, or InDoubt if it says what becomes of other ids than those of the call."""
    if not isinstance(reply, Accepted) or reply.answered_ids is None:
        return reply
    answered, asked = set(map(_fold_uuid, reply.answered_ids)), set(map(_fold_uuid, ids))
    if answered == asked:
        return reply
    message = (
        f"message {reply.message_id}: the reply leaves out {len(asked - answered):,} of the {len(asked):,} ids"
        f" and names {len(answered - asked):,} others"
    )
    return InDoubt(Problem("contradictory-reply", message, hint="look up in the vendor's console who was sent it"))


def _check_answered_count(reply: VendorReply, id_count: int) -> VendorReply:
    """Return *reply*, or InDoubt if it counts other than *id_count* ids, those of the call; 0 is an expression."""
    if not isinstance(reply, Accepted) or reply.answered_count in (None, id_count) or not id_count:
        return reply
    message = f"message {reply.message_id}: the reply counts {reply.answered_count:,} ids, the call had {id_count:,}"
    return InDoubt(Problem("contradictory-reply", message, hint="look up in the vendor's console who was sent it"))


def bisect_batch(
    ids_by_position: Mapping[int, str], reported_ids: Iterable[str]
) -> tuple[tuple[tuple[int, str], ...], tuple[tuple[int, int], ...]]:
    """Return which ids of a rejected batch are invalid, and the ranges of positions to send as new batches.

    If the vendor reports the invalid ids, they are dropped and the others are sent again. Otherwise the batch is
    halved, until a batch has a single id, which is then invalid.

    >>> bisect_batch({4: "r4", 5: "x", 6: "r6"}, ["x"])
    (((5, 'x'),), ((4, 7),))
    >>> bisect_batch({4: "r4", 5: "x", 6: "r6"}, [])
    ((), ((4, 5), (5, 7)))
    >>> bisect_batch({5: "x"}, ["y"])
    (((5, 'x'),), ())
    """
    positions = sorted(ids_by_position)
    first, middle, stop = positions[0], positions[len(positions) // 2], positions[-1] + 1
    if len(positions) == 1:
        return tuple(ids_by_position.items()), ()
    invalid = _select_ids(ids_by_position, reported_ids)
    if not invalid:
        return (), ((first, middle), (middle, stop))
    return invalid, ((first, stop),) if len(invalid) < len(positions) else ()


def _select_ids(ids_by_position: Mapping[int, str], selected_ids: Iterable[str]) -> tuple[tuple[int, str], ...]:
    selected = set(map(_fold_uuid, selected_ids))
    if not selected:
        return ()
    return tuple((position, id_) for position, id_ in sorted(ids_by_position.items()) if _fold_uuid(id_) in selected)


def _fold_uuid(identifier: str) -> str:
    """Return a UUID in lower case, in which a vendor may answer; any other id unchanged.

    >>> _fold_uuid("5FDC92B2-3B2A-11E5-AC13-8FDCCFE4D986"), _fold_uuid("R1")
    ('5fdc92b2-3b2a-11e5-ac13-8fdccfe4d986', 'R1')
    """
    return identifier.lower() if UUID_PATTERN.fullmatch(identifier) else identifier
