"""Sender of batches: makes the calls for one batch until its outcome is known or in doubt.

The ledger is written ahead: a call is recorded as sent before its first byte leaves, and its outcome before the next
step. So whenever the process dies, only a batch in state `sent` or `in_doubt` may have been delivered without a record.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from audience.delivery.ledger import transitions, vendor_keys
from audience.delivery.ledger.transitions import Batch, Handle, StateAfterCall
from audience.delivery.sender.batch_log import log_outcome, log_sent, log_wait
from audience.delivery.sender.context import SendContext, StopRun
from audience.delivery.sender.handles import HandlePool, SetupRejected
from audience.delivery.sender.outcomes import Outcome, check_message_count, interpret_reply
from audience.delivery.sender.vendor_keys import VendorKeyPool
from audience.delivery.transport.retry import MAX_RETRY_AFTER_SECONDS, RetryLater, format_delay
from audience.errors import Problem
from audience.index.storage.id_arrays import iter_slices
from audience.requests.reader import RequestFolder
from audience.vendors.delivery_spec import Payload, Request, Retryable, SendCall, SendMethod, VendorReply

WorkResultT = TypeVar("WorkResultT")

DEDUP_MARGIN_SECONDS = 60.0  # before its end, the vendor's dedup window is no longer relied on
MAX_INLINE_IDS = 10_000  # work on more ids runs in a thread, because it would delay other calls
RUN_CANCELLED = Problem("cancelled", "the run was cancelled; batches that were not sent stay unsent")
DEDUP_WINDOW_OVER = Problem("too-late", "the vendor no longer drops repeats of this call, so it is not repeated")


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """Call for one batch: its method, its ids by their positions in the plan, and its targeting objects.

    *kept_until* is the moment until which the vendor keeps it.
    """

    batch: Batch
    method: SendMethod
    ids_by_position: dict[int, str]
    targets: tuple[Payload, ...]
    kept_until: float | None = None


class BatchSender:
    """Sender of the batches of one worker: its calls in flight, and how many replies were lost in a row."""

    def __init__(self, context: SendContext):
        self.handle_pool = HandlePool(context)
        self._key_pool = VendorKeyPool(context)
        self._context = context
        self._calls_in_flight: set[asyncio.Task[None]] = set()
        self._lost_in_a_row = 0

    async def drain(self) -> None:
        """Wait until the calls in flight have ended and their outcomes are recorded."""
        await asyncio.gather(*self._calls_in_flight, return_exceptions=True)

    async def send(self, batch: Batch) -> None:
        """Send *batch*, repeating the call according to the retry policy.

        Raises StopRun if it fails and other batches would fail too.
        """
        try:
            await self._context.retry.repeat(partial(self._attempt_call, batch), self._context.clock.sleep)
        except RetryLater as error:
            await self._context.group_commit.submit(
                partial(transitions.release_batch, worker=self._context.worker, batch=batch)
            )
            if not error.in_doubt:
                raise StopRun(_final_problem(error)) from None
            self._count_lost_call(error.problem)

    async def _attempt_call(self, batch: Batch) -> None:
        """Make one call; raise RetryLater if it may be repeated, StopRun if the run must stop."""
        context = self._context
        call = await _run_maybe_in_thread(batch, partial(_plan_call, context, batch))
        try:
            await self._authorize()
            key = await self._acquire_key(call)
            handle = await self.handle_pool.acquire(call.method, batch, call.targets)
        except SetupRejected as rejection:
            return await self._record_and_react(call, rejection.reply)
        except vendor_keys.OtherKey:
            return await self._give_up_repeats(batch)
        body = context.build_body(context.body_number(batch), call.method.schedule, call.kept_until)
        request = await _run_maybe_in_thread(batch, partial(_build_request, context, call, key, handle, body))
        waiting_since = context.clock.boot()
        await context.rate_limiter.wait(call.method.rate_limits(call.targets))
        log_wait(context, batch, context.clock.boot() - waiting_since)
        task = asyncio.create_task(self._call_and_record(call, request, handle, _find_due(context, call, body)))
        self._calls_in_flight.add(task)
        task.add_done_callback(self._on_call_done)
        await asyncio.shield(task)  # stopping the run does not stop a call that was sent

    async def _authorize(self) -> None:
        """Have an access token before the call is recorded as sent: without one it is not.

        Raises:
            SetupRejected: The vendor gives out none.
            RetryLater: It could not, and can be asked again.
        """
        match await self._context.transport.authorize():
            case None:
                return
            case Retryable(problem, retry_after):
                raise RetryLater(problem, retry_after)
            case rejection:
                raise SetupRejected(rejection)

    async def _acquire_key(self, call: PlannedCall) -> str:
        """Return the idempotency key of *call*: the vendor's if it gives them out, otherwise our own."""
        source = call.method.get_key_source(call.kept_until)
        if source is not None:
            return await self._key_pool.acquire(source, call.batch)
        return transitions.make_idempotency_key(self._context.run, call.batch)

    async def _give_up_repeats(self, batch: Batch) -> None:
        end = partial(vendor_keys.end_repeats, worker=self._context.worker, batch=batch)
        await self._context.group_commit.submit(end)
        self._count_lost_call(DEDUP_WINDOW_OVER)

    def _on_call_done(self, task: asyncio.Task[None]) -> None:
        self._calls_in_flight.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: while the run is being stopped, nothing else does

    async def _call_and_record(
        self, call: PlannedCall, request: Request, handle: Handle | None, due_at: float | None
    ) -> None:
        """Record that the call is made, make it, and record its outcome; release it if its window has closed."""
        context, now = self._context, self._context.clock.read()
        window = context.windows.look(now.wall)
        if not window.allows(call.batch, now.wall) or window.keeps(call.batch) != (call.kept_until is not None):
            release = partial(transitions.release_batch, worker=context.worker, batch=call.batch)
            await context.group_commit.submit(release)
            return None
        if (problem := await _find_stale(context, call.batch)) is not None:
            await context.group_commit.submit(
                partial(transitions.release_batch, worker=context.worker, batch=call.batch)
            )
            raise StopRun(problem)
        mark_sent = partial(
            transitions.mark_sent,
            worker=context.worker,
            batch=call.batch,
            now=now,
            dedup_seconds=_dedup_seconds(call.method),
            handle=None if handle is None else handle.number,
            due_at=due_at,
        )
        match await context.group_commit.submit(mark_sent):
            case "cancelled":
                raise StopRun(RUN_CANCELLED)
            case "dedup_window_over":
                await context.group_commit.submit(
                    partial(transitions.release_batch, worker=context.worker, batch=call.batch)
                )
                return self._count_lost_call(DEDUP_WINDOW_OVER)
        waiting_since = context.clock.boot()
        await context.rate_limiter.wait_to_leave(call.method.rate_limits(call.targets))
        log_wait(context, call.batch, context.clock.boot() - waiting_since)
        log_sent(context, call.batch)
        reply = await context.transport.post(request, call.method.parse_reply)
        await self._record_and_react(call, check_message_count(reply, call.method, len(call.targets)))

    async def _record_and_react(self, call: PlannedCall, reply: VendorReply) -> None:
        """Write the outcome of *reply* to the ledger, then take the next step."""
        interpret = partial(interpret_reply, reply, call.batch, call.ids_by_position, call.method)
        outcome = await _run_maybe_in_thread(call.batch, interpret)
        context = self._context
        apply = partial(
            transitions.apply, worker=context.worker, transition=outcome.transition, now=context.clock.wall()
        )
        state = await context.group_commit.submit(apply)
        log_outcome(context, outcome, state)
        context.unknown_ids.add_outcome(outcome.transition, state)
        if (problem := context.unknown_ids.find_problem()) is not None:
            raise StopRun(problem)
        self._react(outcome, state)

    def _react(self, outcome: Outcome, state: StateAfterCall) -> None:
        """Take the next step of *outcome*, whose batch has reached *state*."""
        problem = outcome.transition.problem
        if outcome.next_step == "proceed" or problem is None:
            self._lost_in_a_row = 0
        elif outcome.next_step == "stop":
            raise StopRun(problem)
        elif outcome.next_step == "repeat":
            self._context.rate_limiter.pause(min(outcome.retry_after or 0, MAX_RETRY_AFTER_SECONDS))
            raise RetryLater(problem, outcome.retry_after, in_doubt=state == "in_doubt")
        else:
            self._count_lost_call(problem)

    def _count_lost_call(self, problem: Problem) -> None:
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= self._context.retry.max_lost:
            message = f"{self._lost_in_a_row} replies in a row were lost; the last: {problem.message}"
            hint = "look in the vendor's console what it received, then run `audience resume`"
            raise StopRun(Problem("all-lost", message, hint=hint))


def get_batch_ids(requests: RequestFolder, batch: Batch) -> dict[int, str]:
    """Return the ids of *batch* by their positions in the plan, without the invalid ones."""
    ids = requests.ids_between(batch.first, batch.stop)
    return {position: ids[position - batch.first] for position in batch.valid_positions()}


async def _find_stale(context: SendContext, batch: Batch) -> Problem | None:
    """Return why a native request must not leave now: the vendor may not have the tags that it was planned with."""
    check = context.prepared.sync_check
    if check is None or batch.native is None:
        return None
    return await asyncio.to_thread(check.find_problem)


def _plan_call(context: SendContext, batch: Batch) -> PlannedCall:
    prepared, requests = context.prepared, context.prepared.requests
    kept_until = batch.not_before if context.windows.look(context.clock.wall()).keeps(batch) else None
    if batch.native is not None:
        targets: tuple[Payload, ...] = (requests.native_payload(batch.native),)
        return PlannedCall(batch, prepared.delivery.native_method.for_targets(targets), {}, targets, kept_until)
    ids_by_position = get_batch_ids(requests, batch)
    chunks = iter_slices(list(ids_by_position.values()), requests.vendor.max_ids)
    targets = tuple(map(requests.vendor.target_ids, chunks))
    return PlannedCall(batch, prepared.method, ids_by_position, targets, kept_until)


def _find_due(context: SendContext, call: PlannedCall, body: Payload) -> float | None:
    """Return when the vendor will deliver; None if that is at once. A loop is due at its first moment to come."""
    if call.kept_until is not None:
        return call.kept_until
    moments = [moment.timestamp() for moment in context.prepared.delivery.read_moments(body)]
    return min((moment for moment in moments if moment > context.clock.wall()), default=None)


def _build_request(context: SendContext, call: PlannedCall, key: str, handle: Handle | None, body: Payload) -> Request:
    send_call = SendCall(
        targets=call.targets,
        body=body,
        handle=None if handle is None else handle.value,
        idempotency_key=key,
    )
    return call.method.build_request(send_call, context.prepared.credentials)


def _dedup_seconds(method: SendMethod) -> float | None:
    return None if method.dedup_window is None else method.dedup_window.total_seconds() - DEDUP_MARGIN_SECONDS


async def _run_maybe_in_thread(batch: Batch, work: Callable[[], WorkResultT]) -> WorkResultT:
    """Return the result of *work*, run in a thread if *batch* has, or may have, many ids."""
    has_many_ids = batch.native is not None or batch.stop - batch.first > MAX_INLINE_IDS
    return await asyncio.to_thread(work) if has_many_ids else work()


def _final_problem(error: RetryLater) -> Problem:
    """Return the problem of the last attempt, with a hint if the vendor asks for a long delay."""
    if error.delay is None or error.delay <= MAX_RETRY_AFTER_SECONDS:
        return error.problem
    hint = f"the vendor asks to wait {format_delay(error.delay)}; run `audience resume` after that"
    return replace(error.problem, hint=hint)
