"""Dry run: builds every request of a send, and may let the vendor validate them without delivering anything."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from audience.delivery.call_requests import build_call, build_requests
from audience.delivery.ledger.planned import PlannedBatch
from audience.delivery.ledger.waiting import NOTHING_WAITS, Waiting
from audience.delivery.prepare import PreparedRun, plan_run_batches
from audience.delivery.sender.worker import SendOptions
from audience.delivery.transport.http import open_transport
from audience.delivery.transport.rate_limit import RateLimiter, name_application
from audience.errors import DeliveryError, Problem
from audience.index.storage.id_arrays import iter_slices
from audience.requests.parts import Part
from audience.vendors.delivery_spec import Accepted, Payload, Request, SendCall, SendMethod

MAX_DRY_RUN_PROBLEMS = 100  # after which no further call is validated


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """Result of a dry run: the calls of a send, what of them waits for its moment and where, and their problems."""

    vendor: str
    method: str
    device_count: int
    calls: int
    request_bytes: int
    checked_calls: int
    problems: tuple[Problem, ...]
    waiting: Waiting = NOTHING_WAITS


def perform_dry_run(prepared: PreparedRun, validate: bool, options: SendOptions) -> DryRun:
    """Build every request of a send; with *validate*, let the vendor check each call.

    Raises DeliveryError if the vendor has no call that validates without delivering.
    """
    if validate and prepared.delivery.dry_run is None:
        message = f"{prepared.requests.vendor.name} has no call that validates a message without delivering it"
        raise DeliveryError(Problem("no-dry-run", message, hint="leave --validate out"))
    calls = request_bytes = 0
    for request in _iter_requests(prepared):
        calls, request_bytes = calls + 1, request_bytes + _content_bytes(request)
        options.progress("building requests", calls, 0)
    checked_calls, problems = asyncio.run(_validate_with_vendor(prepared, options)) if validate else (0, [])
    return DryRun(
        vendor=prepared.requests.vendor.name,
        method=prepared.method.name,
        device_count=prepared.requests.messaged_count - len(prepared.left_out),
        calls=calls,
        request_bytes=request_bytes,
        checked_calls=checked_calls,
        problems=tuple(problems),
        waiting=_find_waiting(prepared, options.clock.wall()),
    )


def _find_waiting(prepared: PreparedRun, now: float) -> Waiting:
    """Return what a send that begins *now* holds here, and what it leaves with the vendor until its moment."""
    batches = [batch for batch in plan_run_batches(prepared, now) if (batch.not_before or 0.0) > now]
    kept, held = ([each for each in batches if each.at_vendor is at_vendor] for at_vendor in (True, False))
    moments = [batch.not_before or 0.0 for batch in batches]
    zones = {part.zone or prepared.schedule.zone for part in prepared.parts}
    return Waiting(
        held_batches=len(held),
        held_ids=sum(map(_count_ids, held)),
        kept_batches=len(kept),
        kept_ids=sum(map(_count_ids, kept)),
        opens_at=min((batch.not_before or 0.0 for batch in held), default=None),
        due_at=min((batch.not_before or 0.0 for batch in kept), default=None),
        ends_at=max(moments, default=None),
        zone=zones.pop() if len(zones) == 1 else None,
    )


def _count_ids(batch: PlannedBatch) -> int:
    return (batch.stop or 0) - (batch.first or 0)


async def _validate_with_vendor(prepared: PreparedRun, options: SendOptions) -> tuple[int, list[Problem]]:
    """Return how many calls the vendor has validated, and the problems of those that it rejected."""
    rate_limiter = RateLimiter(name_application(prepared.credentials, prepared.delivery), options.clock)
    checked_calls, problems = 0, list[Problem]()
    build_dry_run, timeout = prepared.delivery.dry_run, options.retry.timeout
    async with open_transport(prepared.delivery, prepared.credentials, timeout, 1, options.transport) as transport:
        for call, method in _iter_calls(prepared):
            if build_dry_run is None or len(problems) >= MAX_DRY_RUN_PROBLEMS:
                break
            await rate_limiter.wait(method.rate_limits(call.targets))
            failure = await transport.authorize()
            if failure is not None and not isinstance(failure, Accepted):  # the vendor is shown no call
                problems.append(failure.problem)
                break
            parse_reply = prepared.delivery.parse_dry_run or method.parse_reply
            reply = await transport.post(build_dry_run(call, prepared.credentials), parse_reply)
            checked_calls += 1
            if not isinstance(reply, Accepted):
                problems.append(reply.problem)
            options.progress("vendor checks", checked_calls, 0)
    return checked_calls, problems


def _iter_requests(prepared: PreparedRun) -> Iterator[Request]:
    """Yield the requests of all send calls, of their setup calls, and of the calls that request their keys."""
    credentials, handle_uses, key_uses = prepared.credentials, 0, 0
    for call, method in _iter_calls(prepared):
        setup_call = method.get_setup_call(call.targets)
        opens_handle = setup_call is not None and handle_uses % setup_call.max_uses == 0
        handle_uses += setup_call is not None
        source = method.get_key_source(None)
        requests_keys = source is not None and key_uses % source.min_keys == 0
        key_uses += source is not None
        yield from build_requests(call, method, credentials, opens_handle=opens_handle, requests_keys=requests_keys)


def _iter_calls(prepared: PreparedRun) -> Iterator[tuple[SendCall, SendMethod]]:
    """Yield every send call with its method: native requests first, then the ids of the plan."""
    requests, delivery, method = prepared.requests, prepared.delivery, prepared.method
    now = datetime.now(UTC)
    bodies = [delivery.apply_timestamps(body, now) for body in prepared.bodies.bodies]
    for number in range(requests.native_count):
        targets: tuple[Payload, ...] = (requests.native_payload(number),)
        yield build_call(delivery.native_method, targets, bodies[0]), delivery.native_method
    batch_size = method.max_ids or 1
    left_out = {each.position for each in prepared.left_out}
    for first, stop in _iter_ranges(requests.parts, batch_size):
        ids = [
            identifier
            for position, identifier in enumerate(requests.ids_between(first, stop), start=first)
            if position not in left_out
        ]
        if not ids:
            continue
        targets = tuple(map(requests.vendor.target_ids, iter_slices(ids, requests.vendor.max_ids)))
        yield build_call(method, targets, bodies[prepared.bodies.number_at(first)]), method


def _iter_ranges(parts: Sequence[Part], size: int) -> Iterator[tuple[int, int]]:
    """Yield the positions of each batch, which is of one part."""
    for part in parts:
        for first in range(part.first, part.stop, size):
            yield first, min(first + size, part.stop)


def _content_bytes(request: Request) -> int:
    return len(request.content) + sum(map(len, request.query.values()))
