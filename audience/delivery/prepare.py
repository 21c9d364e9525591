"""What a run is begun with, and gone on with: a plan, a message, a way, all checked before anything is sent."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from audience._fs.atomic import clear_drafts, put, whole_new
from audience.delivery.costs import SAMPLE, Order, chosen, named
from audience.delivery.ledger.connection import NAME, Run, begun, create
from audience.delivery.ledger.folder_marker import BEGUN, SENT
from audience.delivery.ledger.workers import LOCKS, alone
from audience.delivery.safety_limits import Allowed, guard
from audience.errors import AudienceError, DeliveryError, MessageError, Problem
from audience.language.suggest import did_you_mean
from audience.messages import Message, message
from audience.progress import Progress, silent
from audience.requests.reader import MESSAGE, Requests, digest, message_json, read_message, requests
from audience.vendors import delivery_of, vendors
from audience.vendors.delivery_spec import Application, Delivery, Way
from audience.vendors.spec import Payload


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is needed for a run, checked: nothing was sent, and nothing written."""

    requests: Requests
    message: Message
    delivery: Delivery
    body: Payload
    way: Way


def prepared(
    folder: Path,
    said: Message | Mapping[str, Any],
    application: Application,
    allowed: Allowed,
    *,
    way: str | None = None,
    progress: Progress = silent,
) -> Prepared:
    """What would be sent from *folder*; DeliveryError or MessageError where it may not be."""
    refuse_begun(folder)
    said = said if isinstance(said, Message) else message(dict(said))
    _known(said)
    message_json(said)  # or it could not be kept
    found = requests(folder, progress)
    delivery = delivery_of(found.to)
    body = delivery.body(said)
    native = tuple(found.payload(number) for number in range(found.native))
    guard(found.devices, found.to, native, allowed)
    order = Order(
        to=found.to,
        delivery=delivery,
        body=delivery.timed(body, datetime.now(UTC)),
        application=application,
        native=native,
        ids=found.ids,
        sample=tuple(found.between(0, min(found.ids, SAMPLE))) if found.ids else (),
    )
    return Prepared(found, said, delivery, body, chosen(order, way))


def begin(found: Prepared, application: Application) -> None:
    """Write the message and the ledger of a new run; DeliveryError where another has begun one meanwhile."""
    folder = found.requests.folder
    kept = message_json(found.message)
    run = Run(
        id=str(uuid4()),
        vendor=found.requests.to.name,
        way=found.way.name,
        host=application.host,
        application=_public(application, found.delivery),
        plan=found.requests.digest,
        message=digest(kept),
        natives=found.requests.native,
        ids=found.requests.ids,
        begun=time.time(),
    )
    with alone(folder):
        refuse_begun(folder)
        _cleared(folder)
        try:
            with whole_new(folder / NAME) as draft:
                create(draft, run, found.way.ids or 1)
                put(folder / MESSAGE, kept)
        except AudienceError:
            _cleared(folder)
            raise


def _cleared(folder: Path) -> None:
    """Remove from *folder* what those have left who had no ledger yet when they died."""
    clear_drafts(folder / NAME)
    for mark in folder.glob(BEGUN):
        mark.unlink()


def refuse_begun(folder: Path) -> None:
    """Raise DeliveryError where a run was begun in *folder*, also where its ledger is gone."""
    if begun(folder):
        hint = f"audience resume {folder} goes on with it; emit into another folder to send again"
        raise DeliveryError(Problem("begun", f"{folder}: a run was begun here", hint=hint))
    if any(any(folder.glob(each)) for each in (SENT, LOCKS)):
        message = f"{folder}: something was sent from here, and {NAME}, which knows to whom, is gone"
        raise DeliveryError(Problem("lost-ledger", message, hint="put it back, or emit into another folder"))


def _known(said: Message) -> None:
    """MessageError where *said* has words for a vendor that there is none of: they would be passed over."""
    names = vendors()
    unknown = [name for name in said.vendor if name not in names]
    if unknown:
        raise MessageError(*(_unknown_vendor(name, names) for name in unknown))


def _unknown_vendor(name: str, names: Sequence[str]) -> Problem:
    hint = did_you_mean(name, names) or f"one of {', '.join(names)}"
    return Problem("unknown-vendor", f"no vendor is called {name!r}", path=f"$.vendor.{name}", hint=hint)


def as_begun(folder: Path, run: Run, application: Application, progress: Progress) -> Prepared:
    """What the run was begun with; DeliveryError where anything is another."""
    found, said = requests(folder, progress), read_message(folder / MESSAGE)
    delivery = delivery_of(found.to)
    same = {
        "plan": run.plan == found.digest,
        "message": run.message == digest(message_json(said)),
        "host": run.host == application.host,
        "application": run.application == _public(application, delivery),
    }
    for what, is_same in same.items():
        if not is_same:
            hint = "a run is finished as it was begun; or cancel it, and emit and send anew"
            raise DeliveryError(Problem(f"other-{what}", f"{folder}: this is not the {what} of the run", hint=hint))
    return Prepared(found, said, delivery, delivery.body(said), named(delivery, run.way))


def _public(application: Application, delivery: Delivery) -> str:
    """What stands for an application in a ledger: a digest of what is no secret of it."""
    known = sorted((key, value) for key, value in application.keys.items() if key not in delivery.secret)
    return digest(repr(known).encode())
