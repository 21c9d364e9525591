"""All of a send but the sending: every request is made, and the vendor may be asked to check it and tell nobody."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from audience.delivery.prepare import PreparedRun
from audience.delivery.sender.worker import SendOptions
from audience.delivery.transport.credentials import redact_secrets
from audience.delivery.transport.http import open_client
from audience.delivery.transport.rate_limit import RateLimiter
from audience.errors import DeliveryError, Problem
from audience.requests.reader import split_into_chunks
from audience.vendors.delivery_spec import Accepted, Credentials, Payload, Request, SendCall, SendMethod, SigningContext

MAX_DRY_RUN_PROBLEMS = 100  # problems after which the vendor is asked no more


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What would be sent: *calls*, and the *bytes* of what they say; *checked* by the vendor, with what it said."""

    vendor: str
    method: str
    device_count: int
    calls: int
    request_bytes: int
    checked_calls: int
    problems: tuple[Problem, ...]


def perform_dry_run(prepared: PreparedRun, credentials: Credentials, validate: bool, options: SendOptions) -> DryRun:
    """Make every request of a send; with *validate* the vendor checks them.

    Raises DeliveryError where it has no call that checks and tells nobody.
    """
    if validate and prepared.delivery.dry_run is None:
        name = prepared.requests.vendor.name
        raise DeliveryError(Problem("no-dry-run", f"{name} has no call that checks and tells nobody"))
    openings = calls = opened = size = 0
    for call, way in _iter_calls(prepared):
        made = [way.build_request(call, credentials)]
        if (opening := way.get_setup_call(call.targets)) is not None:
            if opened % opening.max_uses == 0:
                made.append(opening.build_request(call.body, call.targets, credentials))
                openings += 1
            opened += 1
        calls, size = calls + 1, size + sum(map(_content_bytes, made))
        options.progress("making requests", calls, 0)
    checked, problems = asyncio.run(_check_with_vendor(prepared, credentials, options)) if validate else (0, [])
    return DryRun(
        vendor=prepared.requests.vendor.name,
        method=prepared.method.name,
        device_count=prepared.requests.device_count,
        calls=calls + openings,
        request_bytes=size,
        checked_calls=checked,
        problems=tuple(problems),
    )


async def _check_with_vendor(
    prepared: PreparedRun, credentials: Credentials, options: SendOptions
) -> tuple[int, list[Problem]]:
    """How many calls the vendor has checked, and what it said of those that it would not take."""
    paces, checked, problems = RateLimiter(), 0, list[Problem]()
    dry_run = prepared.delivery.dry_run
    async with open_client(credentials.base_url, options.retry.timeout, 1, options.transport) as post:
        for call, way in _iter_calls(prepared):
            if dry_run is None or len(problems) >= MAX_DRY_RUN_PROBLEMS:
                break
            await paces.wait(way.rate_limits(call.targets))
            request = dry_run(call, credentials)
            signed = prepared.delivery.sign(request, credentials, SigningContext(datetime.now(UTC), uuid4().hex))
            reply = await post(signed, redact_secrets(way.parse_reply, signed, credentials, prepared.delivery))
            checked += 1
            if not isinstance(reply, Accepted):
                problems.append(reply.problem)
            options.progress("checking requests", checked, 0)
    return checked, problems


def _iter_calls(prepared: PreparedRun) -> Iterator[tuple[SendCall, SendMethod]]:
    """Every call that would tell."""
    requests, delivery, way = prepared.requests, prepared.delivery, prepared.method
    body = delivery.apply_timestamps(prepared.body, datetime.now(UTC))
    for number in range(requests.native_count):
        yield _build_call(delivery.native_method, (requests.native_payload(number),), body), delivery.native_method
    most = way.max_ids or 1
    for first in range(0, requests.id_count, most):
        ids = requests.ids_between(first, min(first + most, requests.id_count))
        yield (
            _build_call(
                way, tuple(map(requests.vendor.target_ids, split_into_chunks(ids, requests.vendor.max_ids))), body
            ),
            way,
        )


def _build_call(method: SendMethod, targets: tuple[Payload, ...], body: Payload) -> SendCall:
    handle = None if method.get_setup_call(targets) is None else "0"
    return SendCall(targets=targets, body=body, handle=handle, idempotency_key=str(uuid4()))


def _content_bytes(request: Request) -> int:
    return len(request.content) + sum(map(len, request.query.values()))
