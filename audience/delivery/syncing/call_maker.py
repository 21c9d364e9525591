"""Maker of calls for tags: repeats a call until the vendor has made its changes, or it is known that it does not.

The ledger is written ahead: a call is recorded as sent before its first byte leaves, and its outcome before the next
step. A call whose reply is lost is made again, as setting or removing a tag twice changes nothing.

    reply        state of the call                            next step
    ----------   ------------------------------------------   -------------------------------------------
    Accepted     done, once all of its pieces are             the next call
    InvalidIds   sent                                         the call again without them, or in halves
    Rejected     rejected; sent if a part may have been made  the next call
    Retryable    todo; sent if a part may have been made      the same call, after a while
    Fatal        as Retryable                                 stop
    InDoubt      sent, and its loss is kept                   the same call, after a while
"""

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial

from audience.activity_log import log_activity
from audience.delivery.sender.batch_log import describe_problem
from audience.delivery.syncing import ledger as records
from audience.delivery.syncing.context import StopSync, SyncContext
from audience.delivery.syncing.pieces import count_pairs, find_positions, halve, list_positions, without_positions
from audience.delivery.transport.retry import MAX_RETRY_AFTER_SECONDS, RetryLater, format_delay
from audience.errors import Problem
from audience.tag_sync.packing.calls import PackedCall
from audience.vendors.delivery_spec import (
    Accepted,
    Fatal,
    InDoubt,
    InvalidIds,
    Rejected,
    Request,
    Response,
    Retryable,
    VendorReply,
)
from audience.vendors.tag_spec import TagCall

MAX_SUSPECTED = 8  # ids of a call that are refused one by one, before the call is
MAX_LEAVING_SECONDS = 2.0  # between the record of a call and its first byte; else it is recorded again
SYNC_CANCELLED = Problem("cancelled", "the sync was cancelled", hint="run `audience sync` to begin again")


@dataclass(slots=True)
class CallProgress:
    """Progress of one call.

    Attributes:
        number: Number of the call.
        is_untouched: Whether the vendor has certainly made none of its changes.
        unknown: Positions of its ids that the vendor does not know.
        problem: Why the vendor rejects a piece of the call.
        is_lost: Whether the replies to a piece were lost until no attempt was left.
        is_accepted: Whether the vendor has accepted a piece of the call.
        suspected: Positions of ids that the vendor refused on their own without a reason: the tag may be invalid.
        refusal: The vendor's reply to the last such id.
        has_known_tags: Whether earlier syncs have set each of its tags, so that none of them is bad.
    """

    number: int
    is_untouched: bool = True
    unknown: set[int] = field(default_factory=set)
    problem: Problem | None = None
    is_lost: bool = False
    is_accepted: bool = False
    suspected: set[int] = field(default_factory=set)
    refusal: Problem | None = None
    has_known_tags: bool = False

    @property
    def takes_tags(self) -> bool:
        """Return whether the vendor takes the tags of the call, so that an id which is refused alone is unknown."""
        return self.is_accepted or self.has_known_tags

    @property
    def looks_refused(self) -> bool:
        """Return whether the call seems to be refused for its tags: no id was accepted, and several were refused."""
        return not self.takes_tags and len(self.suspected) >= MAX_SUSPECTED


class CallMaker:
    """Maker of the calls of one sync. Several calls may be made at once."""

    def __init__(self, context: SyncContext):
        self._context = context
        self._attempts: set[asyncio.Task[VendorReply]] = set()
        self._lost_in_a_row = 0
        self._is_stopping = False

    async def make(self, number: int, call: PackedCall) -> None:
        """Make the call *number*, and record what became of it.

        Raises:
            StopSync: It failed, and other calls would fail too.
        """
        progress, pieces = CallProgress(number, has_known_tags=self._has_known_tags(call)), [call]
        while pieces:
            left_out = self._context.unknown_positions | progress.unknown | progress.suspected
            piece = without_positions(pieces.pop(), left_out)
            if count_pairs(piece) and not progress.looks_refused:
                self._require_going_on()
                pieces += await self._make_piece(progress, piece)
        self._judge_suspected(progress, call)
        await self._settle(progress)

    async def drain(self) -> None:
        """Wait until the attempts in flight are recorded."""
        while self._attempts:
            await asyncio.gather(*self._attempts, return_exceptions=True)

    async def _make_piece(self, progress: CallProgress, piece: PackedCall) -> list[PackedCall]:
        """Make a piece of a call. Return the pieces that take its place, because ids of it are unknown."""
        call = piece.to_call(self._context.changes, self._context.key_type)
        match await self._repeat(progress, call):
            case Accepted(_, invalid_ids):
                unknown = self._find_unknown(piece, invalid_ids)
                self._count_ids(progress, piece, unknown)
                progress.is_untouched, progress.is_accepted = False, True
            case InvalidIds(problem, invalid_ids):
                progress.is_untouched, progress.refusal = False, problem
                return self._divide(progress, piece, self._find_unknown(piece, invalid_ids))
            case Rejected(problem) | Retryable(problem) | Fatal(problem):
                progress.problem = problem
            case InDoubt():
                progress.is_lost = True
        return []

    def _divide(self, progress: CallProgress, piece: PackedCall, unknown: set[int]) -> list[PackedCall]:
        """Return the pieces to make instead of one that has ids that the vendor does not know."""
        positions = list_positions(piece)
        if not unknown and len(positions) == 1:
            progress.suspected |= set(positions.tolist())
            return []
        if not unknown:
            return [*halve(piece)]
        self._count_ids(progress, replace(piece), unknown, reached=0)
        return [without_positions(piece, unknown)]

    def _judge_suspected(self, progress: CallProgress, call: PackedCall) -> None:
        """Decide what ids are that were refused alone: unknown, if the vendor has taken the same tags for others."""
        if progress.suspected and progress.takes_tags:
            self._count_ids(progress, call, progress.suspected, reached=0)
        elif progress.suspected:
            progress.problem = progress.problem or progress.refusal

    def _has_known_tags(self, call: PackedCall) -> bool:
        accepted = self._context.changes.accepted
        tags = {int(tag) for part in (call.added, call.removed) if len(part) for tag in part.tags}
        return bool(accepted) and all(accepted[tag] for tag in tags)

    def _find_unknown(self, piece: PackedCall, ids: tuple[str, ...]) -> set[int]:
        if not ids:
            return set()
        names = self._context.changes.ids.gather(list_positions(piece)).to_list()
        return find_positions(piece, ids, names)

    def _count_ids(
        self, progress: CallProgress, piece: PackedCall, unknown: set[int], reached: int | None = None
    ) -> None:
        """Count what a reply has shown of ids; raise StopSync if too many are unknown."""
        context = self._context
        progress.unknown |= unknown
        new = unknown - context.unknown_positions
        context.unknown_positions.update(unknown)
        context.unknown_ids.unknown += len(new)
        context.unknown_ids.reached += len(list_positions(piece)) - len(unknown) if reached is None else reached
        if (problem := context.unknown_ids.find_problem()) is not None:
            raise StopSync(problem)

    # Attempts. -------------------------------------------------------------------------------------------------------

    async def _repeat(self, progress: CallProgress, call: TagCall) -> VendorReply:
        """Make *call* until there is a reply to it, and return that; an InDoubt if all of them were lost."""
        context = self._context
        request = context.spec.build_request(call, context.credentials)
        try:
            async for attempt in context.retry.iter_attempts(context.clock.sleep):
                with attempt:
                    return await self._attempt(progress, call, request)
        except RetryLater as error:
            if not error.in_doubt:
                raise StopSync(_final_problem(error)) from None
            self._count_lost(error.problem)
            return InDoubt(error.problem)
        raise AssertionError("a call has at least one attempt")

    async def _attempt(self, progress: CallProgress, call: TagCall, request: Request) -> VendorReply:
        """Make *call* once. Raises RetryLater if it may be made again, StopSync if the sync must stop."""
        context = self._context
        await context.rate_limiter.wait(context.spec.rate_limits(call.form))
        task = asyncio.create_task(self._call_and_record(progress, call, request))
        self._attempts.add(task)
        task.add_done_callback(self._on_attempt_done)
        reply = await self._finish(task)
        match reply:
            case Retryable() | InDoubt() if self._is_stopping:
                raise asyncio.CancelledError
            case Retryable(problem, retry_after):
                context.rate_limiter.pause(min(retry_after or 0, MAX_RETRY_AFTER_SECONDS))
                raise RetryLater(problem, retry_after)
            case InDoubt(problem):
                raise RetryLater(problem, in_doubt=True)
            case Fatal(problem):
                raise StopSync(problem)
        self._lost_in_a_row = 0
        return reply

    async def _finish(self, task: asyncio.Task[VendorReply]) -> VendorReply:
        """Wait for a call that was sent, also if the sync is being stopped: what became of it is recorded then."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            self._is_stopping = True
            return await task

    def _require_going_on(self) -> None:
        """Raise CancelledError if the sync is being stopped."""
        if self._is_stopping:
            raise asyncio.CancelledError

    def _on_attempt_done(self, task: asyncio.Task[VendorReply]) -> None:
        self._attempts.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: while the sync is being stopped, nothing else does

    async def _call_and_record(self, progress: CallProgress, call: TagCall, request: Request) -> VendorReply:
        """Record that *call* is made, make it, and record a reply that leaves it unsettled."""
        context, number = self._context, progress.number
        sent_at = context.clock.boot()
        if not await context.group_commit.submit(partial(records.mark_sent, number=number, boot=sent_at)):
            raise StopSync(SYNC_CANCELLED)
        await context.rate_limiter.wait_to_leave(context.spec.rate_limits(call.form))
        while (now := context.clock.boot()) - sent_at > MAX_LEAVING_SECONDS:
            sent_at = now
            await context.group_commit.submit(partial(records.mark_leaving, number=number, boot=sent_at))
        self._log("tag-call-sent", progress, ids=_count_ids(call))
        reply = await context.transport.post(request, partial(_parse_reply, context, call))
        match reply:
            case InDoubt(problem):
                job = partial(records.mark_lost, number=number, boot=sent_at, problem=problem)
            case Retryable(problem) | Fatal(problem):
                job = partial(
                    records.mark_refused_for_now, number=number, problem=problem, is_untouched=progress.is_untouched
                )
            case _:
                return reply
        await context.group_commit.submit(job)
        self._log("tag-call-failed", progress, **describe_problem(problem, context.transport.delivery))
        return reply

    async def _settle(self, progress: CallProgress) -> None:
        """Record what became of a call of which every piece was made."""
        context, now = self._context, self._context.clock.wall()
        if progress.problem is not None:
            job = partial(
                records.mark_rejected,
                number=progress.number,
                unknown=sorted(progress.unknown),
                now=now,
                problem=progress.problem,
                is_untouched=progress.is_untouched and not progress.is_lost,
            )
            await context.group_commit.submit(job)
            self._log("tag-call-rejected", progress, **describe_problem(progress.problem, context.transport.delivery))
        elif not progress.is_lost:
            unknown = sorted(progress.unknown)
            await context.group_commit.submit(
                partial(records.mark_done, number=progress.number, unknown=unknown, now=now)
            )
            self._log("tag-call-done", progress, unknown=len(unknown) or None)

    def _count_lost(self, problem: Problem) -> None:
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= self._context.retry.max_lost:
            message = f"{self._lost_in_a_row} calls in a row had no reply; the last: {problem.message}"
            raise StopSync(Problem("all-lost", message, hint="run `audience resume` when the vendor can be reached"))

    def _log(self, event: str, progress: CallProgress, **facts: str | int | None) -> None:
        context = self._context
        log_activity(event, sync=context.number, vendor=context.vendor, tag_call=progress.number, **facts)


def _parse_reply(context: SyncContext, call: TagCall, response: Response) -> VendorReply:
    """Parse the response to *call*; an acceptance gets an id, as those of messages have one."""
    reply = context.spec.parse_reply(response, call)
    return replace(reply, message_id=reply.message_id or "-") if isinstance(reply, Accepted) else reply


def _count_ids(call: TagCall) -> int:
    ids = set[str]()
    for part in (call.added, call.removed):
        ids.update(part.ids if hasattr(part, "ids") else (identifier for identifier, _ in part.pairs))
    return len(ids)


def _final_problem(error: RetryLater) -> Problem:
    """Return the problem of the last attempt, with a hint if the vendor asks for a long delay."""
    if error.delay is None or error.delay <= MAX_RETRY_AFTER_SECONDS:
        return error.problem
    hint = f"the vendor asks to wait {format_delay(error.delay)}; run `audience resume` after that"
    return replace(error.problem, hint=hint)
