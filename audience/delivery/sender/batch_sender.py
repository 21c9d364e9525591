"""One batch: its calls, one after the other, until it is known what became of it, or that this is not to be known.

Before a byte leaves, the ledger says that it does; what its reply meant is in the ledger before the next step. So
whenever a process dies, what may have told somebody is `sent`, and nothing else is.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import uuid4

from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.group_commit import GroupCommit
from audience.delivery.ledger.transitions import Batch, Handle
from audience.delivery.sender.bisect import bisect_batch
from audience.delivery.sender.handles import HandlePool
from audience.delivery.transport.credentials import redact_secrets
from audience.delivery.transport.http import PostRequest, ReplyParser, Transport
from audience.delivery.transport.rate_limit import RateLimiter
from audience.delivery.transport.retry import MAX_RETRY_AFTER_SECONDS, RetryLater, RetryPolicy
from audience.errors import MessageError, Problem
from audience.requests.reader import RequestFolder, split_into_chunks
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    DeliverySpec,
    Fatal,
    InDoubt,
    InvalidIds,
    Payload,
    RateLimit,
    Rejected,
    Request,
    Retryable,
    SendCall,
    SendMethod,
    SigningContext,
    VendorReply,
)

WorkResultT = TypeVar("WorkResultT")

DEDUP_MARGIN_SECONDS = 60.0  # seconds before a token ends that it is no longer relied on
RUN_CANCELLED = Problem("cancelled", "the run was cancelled: what had not been sent never will be")
MAX_INLINE_IDS = 10_000  # ids
DEDUP_WINDOW_OVER = Problem("too-late", "the vendor drops repeats no longer")


async def _run_maybe_in_thread(batch: Batch, work: Callable[[], WorkResultT]) -> WorkResultT:
    """What *work* returns; in a thread where there are, or may be, so many ids that other calls would wait."""
    many = batch.native is not None or batch.stop - batch.first > MAX_INLINE_IDS
    return await asyncio.to_thread(work) if many else work()


def _final_problem(error: RetryLater) -> Problem:
    """Why nothing is tried again now: also that the vendor asks for more time than is waited here."""
    if error.delay is None or error.delay <= MAX_RETRY_AFTER_SECONDS:
        return error.problem
    hint = f"the vendor asks to wait {error.delay:,.0f} seconds; audience resume goes on then"
    return replace(error.problem, hint=hint)


def _check_message_count(reply: VendorReply, method: SendMethod, target_count: int) -> VendorReply:
    """*reply*, unless it names other than one message for each of the *targets* where it should."""
    if (
        not (method.message_per_target and isinstance(reply, Accepted))
        or reply.message_id.count(",") + 1 == target_count
    ):
        return reply
    message = (
        f"the vendor names {reply.message_id.count(',') + 1} messages for {target_count} tasks: {reply.message_id}"
    )
    return InDoubt(Problem("other-count", message, hint="see in the vendor's console which of them are there"))


class StopRun(Exception):
    """No other batch would fare better."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SendContext:
    """What is sent: all that does not change meanwhile. *concurrency* is how many calls are under way at once."""

    run: Run
    requests: RequestFolder
    delivery: DeliverySpec
    method: SendMethod
    body: Payload
    credentials: Credentials
    retry: RetryPolicy
    concurrency: int
    transport: Transport | None = None


class BatchSender:
    """The calls of one worker: at which pace, which are under way, and how many in a row were lost."""

    def __init__(
        self, context: SendContext, group_commit: GroupCommit, worker: int, rate_limiter: RateLimiter, post: PostRequest
    ):
        self.context = context
        self._group_commit = group_commit
        self._worker = worker
        self._rate_limiter = rate_limiter
        self._post = post
        self.handle_pool = HandlePool(group_commit, context.credentials, self._build_body, self._send_setup_call)
        self._calls_in_flight: set[asyncio.Task[None]] = set()
        self._lost_in_a_row = 0

    async def drain(self) -> None:
        """Wait for the calls that are under way, and for what they write."""
        await asyncio.gather(*self._calls_in_flight, return_exceptions=True)

    async def send(self, batch: Batch) -> None:
        """Tell one batch, again where that is right; Halt where it fails and others would fail too."""
        try:
            async for attempt in self.context.retry.iter_attempts():
                with attempt:
                    await self._attempt_call(batch)
        except RetryLater as later:
            await self._group_commit.submit(partial(transitions.release_batch, batch=batch))
            if not later.in_doubt:
                raise StopRun(_final_problem(later)) from None
            self._count_lost_call(later.problem)

    async def _attempt_call(self, batch: Batch) -> None:
        """One call that tells; Later where another one may be made, Halt where the run is over."""
        errand = self.context
        way = errand.delivery.native_method if batch.native is not None else errand.method
        ids, targets = await _run_maybe_in_thread(batch, partial(self._build_targets, batch))
        handle = await self.handle_pool.acquire(way, batch, targets)
        if handle is not None and not isinstance(handle, Handle):
            await self._group_commit.submit(
                partial(self._record_reply, batch=batch, reply=handle, ids_by_position=ids, method=way)
            )
            self._react_to_reply(handle, may_repeat=False)
            return
        call = SendCall(
            targets=targets,
            body=self._build_body(),
            handle=None if handle is None else handle.value,
            idempotency_key=transitions.make_idempotency_key(errand.run, batch),
        )
        request = await _run_maybe_in_thread(batch, partial(way.build_request, call, errand.credentials))
        await self._rate_limiter.wait(way.rate_limits(targets))
        telling = asyncio.create_task(self._call_and_record(batch, way, request, handle, ids, len(targets)))
        self._calls_in_flight.add(telling)
        telling.add_done_callback(self._on_call_done)
        await asyncio.shield(telling)  # whoever stops the run does not stop what has left

    def _on_call_done(self, task: asyncio.Task[None]) -> None:
        """A call has come to its end; when the run is being stopped, nobody else asks what that was."""
        self._calls_in_flight.discard(task)
        if not task.cancelled():
            task.exception()

    def _build_targets(self, batch: Batch) -> tuple[dict[int, str], tuple[Payload, ...]]:
        """The ids of *batch* by their places, and its targeting objects."""
        requests = self.context.requests
        if batch.native is not None:
            return {}, (requests.native_payload(batch.native),)
        ids = get_batch_ids(requests, batch)
        return ids, tuple(
            map(requests.vendor.target_ids, split_into_chunks(list(ids.values()), requests.vendor.max_ids))
        )

    async def _call_and_record(
        self,
        batch: Batch,
        method: SendMethod,
        request: Request,
        handle: Handle | None,
        ids_by_position: dict[int, str],
        target_count: int,
    ) -> None:
        """Write that it leaves, let it leave, write what came back; nothing comes between."""
        now = time.time()
        until = (
            None if method.dedup_window is None else now + method.dedup_window.total_seconds() - DEDUP_MARGIN_SECONDS
        )
        number = None if handle is None else handle.number
        leave = partial(
            transitions.mark_sent, worker=self._worker, batch=batch, now=now, dedup_until=until, handle=number
        )
        match await self._group_commit.submit(leave):
            case "cancelled":
                raise StopRun(RUN_CANCELLED)
            case "too late":
                await self._group_commit.submit(partial(transitions.release_batch, batch=batch))
                return self._count_lost_call(DEDUP_WINDOW_OVER)
        reply = _check_message_count(await self._sign_and_post(request, method.parse_reply), method, target_count)
        lost = await self._group_commit.submit(
            partial(self._record_reply, batch=batch, reply=reply, ids_by_position=ids_by_position, method=method)
        )
        self._react_to_reply(reply, lost and method.dedup_window is not None)

    def _build_body(self) -> Payload:
        """The message as a call at this moment says it; Halt where it is too late for it."""
        try:
            return self.context.delivery.apply_timestamps(self.context.body, datetime.now(UTC))
        except MessageError as error:
            raise StopRun(error.problems[0]) from error

    def _record_reply(
        self, ledger: Ledger, batch: Batch, reply: VendorReply, ids_by_position: dict[int, str], method: SendMethod
    ) -> bool:
        """Write what *reply* means for *batch*; whether it is in doubt."""
        now = time.time()
        match reply:
            case Accepted(message, left_out):
                gone = set(left_out)
                transitions.mark_accepted(
                    ledger, batch, now, message, [(at, each) for at, each in ids_by_position.items() if each in gone]
                )
            case InvalidIds(problem, named) if batch.native is None:
                found = bisect_batch(ids_by_position, named)
                transitions.mark_rejected(ledger, batch, now, problem, found.invalid_ids, found.parts)
            case InvalidIds(problem) | Rejected(problem):
                transitions.mark_rejected(ledger, batch, now, problem)
            case Retryable(problem) | Fatal(problem):
                return transitions.mark_retryable(ledger, batch, now, problem, keep=isinstance(reply, Retryable))
            case InDoubt(problem):
                transitions.mark_in_doubt(ledger, batch, now, problem, keep=method.dedup_window is not None)
                return True
        return False

    def _react_to_reply(self, reply: VendorReply, may_repeat: bool) -> None:
        """What *reply* means for the run; *lost* is whether the batch is in doubt, and may be repeated."""
        match reply:
            case Fatal(problem):
                raise StopRun(problem)
            case Retryable(problem, after):
                self._rate_limiter.pause(min(after or 0, MAX_RETRY_AFTER_SECONDS))
                raise RetryLater(problem, after, in_doubt=may_repeat)
            case InDoubt(problem) if may_repeat:
                raise RetryLater(problem, in_doubt=True)
            case InDoubt(problem):
                self._count_lost_call(problem)
            case _:
                self._lost_in_a_row = 0

    def _count_lost_call(self, problem: Problem) -> None:
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= self.context.retry.max_lost:
            message = f"{self._lost_in_a_row} calls in a row were lost; the last: {problem.message}"
            raise StopRun(Problem("all-lost", message, hint="see what the vendor has received before you go on"))

    async def _send_setup_call(
        self, request: Request, parse_reply: ReplyParser, rate_limits: tuple[RateLimit, ...]
    ) -> VendorReply:
        """A call that tells nobody, at its pace."""
        await self._rate_limiter.wait(rate_limits)
        return await self._sign_and_post(request, parse_reply)

    async def _sign_and_post(self, request: Request, parse_reply: ReplyParser) -> VendorReply:
        """Sign *request* and send it; what came back, without anything secret."""
        errand = self.context
        signed = errand.delivery.sign(request, errand.credentials, SigningContext(datetime.now(UTC), uuid4().hex))
        return await self._post(signed, redact_secrets(parse_reply, signed, errand.credentials, errand.delivery))


def get_batch_ids(requests: RequestFolder, batch: Batch) -> dict[int, str]:
    """Return the ids of *batch* by their positions in the plan, without those that are bad."""
    ids = requests.ids_between(batch.first, batch.stop)
    return {position: ids[position - batch.first] for position in batch.valid_positions()}
