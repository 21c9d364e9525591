"""Withdrawal of a cancelled run: calls that a vendor has accepted and not delivered yet are taken back there.

A withdrawal reaches no device and may be repeated. One whose reply is lost leaves its call as accepted: it may be
delivered. What a vendor has delivered already, or has no call for, can no longer be stopped.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from audience.activity_log import log_activity
from audience.counts import format_count
from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.workers import reap_dead_workers
from audience.delivery.prepare import PreparedRun, reload_run
from audience.delivery.schedule import format_moment
from audience.delivery.sender.worker import SendOptions
from audience.delivery.transport.http import Transport, open_transport
from audience.delivery.transport.rate_limit import RateLimiter
from audience.delivery.transport.retry import RetryLater
from audience.errors import Problem
from audience.vendors.delivery_spec import Accepted, Credentials, InDoubt, Retryable, VendorSchedule

MAX_WAIT_SECONDS = 60.0  # for the replies to calls in flight
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class AcceptedCall:
    """Call that the vendor has accepted: its number of ids, or a native request, and the moments of its delivery.

    *moments* may be before *sent_at*, when the call was made; nothing was delivered at those.
    """

    batch: int
    native: int | None
    ids: int
    message_ids: tuple[str, ...]
    sent_at: float
    due_at: float
    moments: tuple[float, ...]


def has_withdrawable(folder: Path) -> bool:
    """Return whether the vendor may keep a call of the run in *folder*: then withdrawing it needs credentials."""
    with Ledger(folder / LEDGER_FILE, write=False) as ledger:
        return bool(ledger.query("count_unanswered")[0][0] or ledger.query("list_accepted_calls"))


def withdraw(folder: Path, credentials: Credentials, options: SendOptions) -> list[Problem]:
    """Withdraw at the vendor what the cancelled run in *folder* has there, and return what can no longer be stopped.

    Calls in flight are waited for first. It may be called again; what was withdrawn stays so.

    Raises:
        DeliveryError: The plan, the message or the application is not the one of the run.
    """
    with Ledger(folder / LEDGER_FILE) as ledger:
        prepared = reload_run(folder, ledger.load_run(), credentials, options.progress)
        return asyncio.run(_withdraw_all(ledger, prepared, options))


async def _withdraw_all(ledger: Ledger, prepared: PreparedRun, options: SendOptions) -> list[Problem]:
    unanswered = await _wait_for_replies(ledger, options)
    now = options.clock.wall()
    calls = [call for call in _list_calls(ledger, prepared) if call.moments and max(call.moments) > now]
    failed = list[tuple[AcceptedCall, Problem]]()
    delivery, credentials = prepared.delivery, prepared.credentials
    limiter = RateLimiter()
    async with open_transport(
        delivery, credentials, options.retry.timeout, 1, options.transport, options.clock
    ) as transport:
        for number, call in enumerate(calls, start=1):
            problem = await _withdraw_call(ledger, prepared, call, transport, limiter, options)
            if problem is not None:
                failed.append((call, problem))
            options.progress("withdrawing", number, len(calls))
    if calls:
        run = ledger.load_run()
        log_activity("run-withdrawn", run=run.id, vendor=run.vendor, calls=len(calls), failed=len(failed))
    return [*_describe_failed(failed, prepared), *_describe_unanswered(ledger, prepared, unanswered, now)]


async def _wait_for_replies(ledger: Ledger, options: SendOptions) -> int:
    """Wait until the calls in flight of all workers are answered; return how many are not."""
    waited = 0.0
    while True:
        with ledger.transaction():
            reap_dead_workers(ledger)
        [(unanswered,)] = ledger.query("count_unanswered")
        if not unanswered or waited >= MAX_WAIT_SECONDS:
            return int(unanswered)
        await options.clock.sleep(POLL_SECONDS)
        waited += POLL_SECONDS


def _list_calls(ledger: Ledger, prepared: PreparedRun) -> Iterable[AcceptedCall]:
    bodies, read_moments = prepared.bodies, prepared.delivery.read_moments
    for number, native, first, ids, joined, sent_at, due_at in ledger.query("list_accepted_calls"):
        own = tuple(moment.timestamp() for moment in read_moments(bodies.bodies[bodies.number_at(first)]))
        yield AcceptedCall(number, native, ids, tuple(joined.split(",")), sent_at, due_at, own or (due_at,))


async def _withdraw_call(
    ledger: Ledger,
    prepared: PreparedRun,
    call: AcceptedCall,
    transport: Transport,
    limiter: RateLimiter,
    options: SendOptions,
) -> Problem | None:
    """Withdraw the messages of one call; return why devices still get one, or have got one."""
    method = prepared.method if call.native is None else prepared.delivery.native_method
    if method.schedule is None:
        return Problem("no-withdrawal", f"{prepared.requests.vendor.name} has no call that withdraws it")
    problem: Problem | None = None
    for message_id in call.message_ids:
        reply = await _cancel_message(method.schedule, message_id, transport, limiter, options)
        problem = problem or reply
    answered_at = options.clock.wall()  # what was due while the vendor was asked may be delivered
    delivered = sum(call.sent_at <= moment <= answered_at for moment in call.moments)
    if problem is None and not delivered:
        with ledger.transaction():
            transitions.withdraw_batch(ledger, call.batch, answered_at)
    elif problem is None:
        message = f"{format_count(delivered, 'moment')} had passed; what was to come is withdrawn"
        return Problem("delivered", message)
    return problem


async def _cancel_message(
    schedule: VendorSchedule, message_id: str, transport: Transport, limiter: RateLimiter, options: SendOptions
) -> Problem | None:
    request = schedule.build_cancel(message_id, transport.credentials)
    try:
        async for attempt in options.retry.iter_attempts(options.clock.sleep):
            with attempt:
                await limiter.wait(schedule.cancel_rate_limits)
                match await transport.post(request, schedule.parse_cancel):
                    case Accepted():
                        return None
                    case Retryable(problem, retry_after):
                        raise RetryLater(problem, retry_after)
                    case InDoubt(problem):
                        raise RetryLater(problem)
                    case rejection:
                        return rejection.problem
    except RetryLater as error:
        return error.problem
    return None


def _describe_failed(failed: list[tuple[AcceptedCall, Problem]], prepared: PreparedRun) -> list[Problem]:
    """Return one problem for each reason why calls could not be withdrawn, with their numbers."""
    vendor = prepared.requests.vendor.name
    reasons: dict[str, list[AcceptedCall]] = {}
    for call, problem in failed:
        reasons.setdefault(problem.message, []).append(call)
    problems, hint = [], "look in the vendor's console; `audience cancel` tries again what is still to come"
    for reason, calls in reasons.items():
        first = format_moment(min(call.due_at for call in calls), None)
        message = f"{vendor}: {_count(calls)} cannot be stopped, due from {first} on: {reason}"
        problems.append(Problem("not-withdrawn", message, hint=hint))
    return problems


def _describe_unanswered(ledger: Ledger, prepared: PreparedRun, unanswered: int, now: float) -> list[Problem]:
    vendor, problems = prepared.requests.vendor.name, list[Problem]()
    if unanswered:
        message = f"{vendor}: {format_count(unanswered, 'call')} in flight, whose reply did not come yet"
        problems.append(Problem("not-withdrawn", message, hint="run `audience cancel` again when they are answered"))
    [(doubtful, ids)] = ledger.query("count_doubtful_due", now=now)
    if doubtful:
        message = (
            f"{vendor}: {format_count(doubtful, 'call')} in doubt with {format_count(ids, 'id')} cannot be stopped: "
            "the reply with the id of the message was lost"
        )
        problems.append(Problem("not-withdrawn", message, hint="withdraw them in the vendor's console"))
    return problems


def _count(calls: list[AcceptedCall]) -> str:
    ids = sum(call.ids for call in calls)
    natives = sum(call.native is not None for call in calls)
    names = [format_count(ids, "id")] * bool(ids) + [format_count(natives, "native request")] * bool(natives)
    return f"{format_count(len(calls), 'call')} ({', '.join(names)})"
