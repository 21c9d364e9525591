"""All of a send but the sending: every request is made, and the vendor may be asked to check it and tell nobody."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from audience.delivery.prepare import Prepared
from audience.delivery.sender.worker import Effort
from audience.delivery.transport.credentials import scrubbing
from audience.delivery.transport.http import connected
from audience.delivery.transport.rate_limit import Paces
from audience.errors import DeliveryError, Problem
from audience.requests.reader import chunks
from audience.vendors.delivery_spec import Accepted, Application, Call, Payload, Request, Stamp, Way

MOST = 100  # problems after which the vendor is asked no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What would be sent: *calls*, and the *bytes* of what they say; *checked* by the vendor, with what it said."""

    vendor: str
    way: str
    devices: int
    calls: int
    bytes: int
    checked: int
    problems: tuple[Problem, ...]


def rehearse(found: Prepared, application: Application, validate: bool, effort: Effort) -> Rehearsal:
    """Make every request of a send; with *validate* the vendor checks them.

    Raises DeliveryError where it has no call that checks and tells nobody.
    """
    if validate and found.delivery.dry_run is None:
        name = found.requests.to.name
        raise DeliveryError(Problem("no-dry-run", f"{name} has no call that checks and tells nobody"))
    openings = calls = opened = size = 0
    for call, way in _calls(found):
        made = [way.request(call, application)]
        if (opening := way.opening_for(call.targets)) is not None:
            if opened % opening.calls == 0:
                made.append(opening.request(call.body, call.targets, application))
                openings += 1
            opened += 1
        calls, size = calls + 1, size + sum(map(_size, made))
        effort.progress("making requests", calls, 0)
    checked, problems = asyncio.run(_checked(found, application, effort)) if validate else (0, [])
    return Rehearsal(
        vendor=found.requests.to.name,
        way=found.way.name,
        devices=found.requests.devices,
        calls=calls + openings,
        bytes=size,
        checked=checked,
        problems=tuple(problems),
    )


async def _checked(found: Prepared, application: Application, effort: Effort) -> tuple[int, list[Problem]]:
    """How many calls the vendor has checked, and what it said of those that it would not take."""
    paces, checked, problems = Paces(), 0, list[Problem]()
    dry_run = found.delivery.dry_run
    async with connected(application.host, effort.patience.timeout, 1, effort.transport) as post:
        for call, way in _calls(found):
            if dry_run is None or len(problems) >= MOST:
                break
            await paces.wait(way.paces(call.targets))
            request = dry_run(call, application)
            signed = found.delivery.sign(request, application, Stamp(datetime.now(UTC), uuid4().hex))
            reply = await post(signed, scrubbing(way.reply, signed, application, found.delivery))
            checked += 1
            if not isinstance(reply, Accepted):
                problems.append(reply.problem)
            effort.progress("checking requests", checked, 0)
    return checked, problems


def _calls(found: Prepared) -> Iterator[tuple[Call, Way]]:
    """Every call that would tell."""
    requests, delivery, way = found.requests, found.delivery, found.way
    body = delivery.timed(found.body, datetime.now(UTC))
    for number in range(requests.native):
        yield _call(delivery.native, (requests.payload(number),), body), delivery.native
    most = way.ids or 1
    for first in range(0, requests.ids, most):
        ids = requests.between(first, min(first + most, requests.ids))
        yield _call(way, tuple(map(requests.to.listing, chunks(ids, requests.to.batch))), body), way


def _call(way: Way, targets: tuple[Payload, ...], body: Payload) -> Call:
    handle = None if way.opening_for(targets) is None else "0"
    return Call(targets=targets, body=body, handle=handle, token=str(uuid4()))


def _size(request: Request) -> int:
    return len(request.content) + sum(map(len, request.query.values()))
