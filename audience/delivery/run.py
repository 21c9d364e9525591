"""A run: begun once, gone on with until nothing is left, looked at, cancelled."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from audience.delivery import moves as book
from audience.delivery import place
from audience.delivery.folder import MESSAGE, Requests, begun, digest, message_json, read_message, requests
from audience.delivery.guards import Allowed, guard
from audience.delivery.known import delivery_of
from audience.delivery.ledger import NAME, Ledger, Run, create
from audience.delivery.marks import BEGUN, SENT
from audience.delivery.patience import Patience
from audience.delivery.post import Transport
from audience.delivery.price import SAMPLE, Order, chosen, named
from audience.delivery.send import Watch, sending
from audience.delivery.tally import Status, nothing, settled, tally
from audience.delivery.telling import Errand, Halt
from audience.delivery.workers import LOCKS, Worker, alone, others, take_over, working
from audience.errors import AudienceError, DeliveryError, MessageError, Problem
from audience.files import clear_drafts, put, whole_new
from audience.index.read import Progress, silent
from audience.language.suggest import did_you_mean
from audience.message import Message, message
from audience.vendors import vendors
from audience.vendors.base import Payload
from audience.vendors.wire import Application, Delivery, Way

OnDoubt: TypeAlias = Literal["report", "skip", "retry"]
MANY = 2_000_000  # ids that are in memory for calls under way
OFTEN = 0.3  # seconds between two looks at how far it is
SOON = 3.0  # seconds that others are waited for before it is told
Waiting: TypeAlias = Callable[[tuple[Worker, ...]], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How a run is sent: with what *patience*, how many calls under way at once, and who is shown how far it is.

    Calls of very many ids are fewer at once. *waiting* is told of those who are waited for, once it takes a while.
    *transport* is for tests.
    """

    patience: Patience = field(default_factory=Patience)
    concurrency: int = 32
    progress: Progress = silent
    waiting: Waiting = lambda others: None
    transport: Transport | None = None


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


def send(
    folder: str | Path,
    said: Message | Mapping[str, Any],
    application: Application,
    allowed: Allowed,
    *,
    way: str | None = None,
    effort: Effort | None = None,
) -> Status:
    """Send the message *said* to the devices that the run *folder*, written by `emit`, lists; how far it came.

    Raises DeliveryError where it may not begin: a damaged plan, more devices than are *allowed*, a run that was begun
    already; MessageError for a message that the vendor would refuse. Nothing was sent then. A run that the vendor
    stops is no error: the status says why.
    """
    folder = Path(folder)
    effort = effort or Effort()
    found = prepared(folder, said, application, allowed, way=way, progress=effort.progress)
    if not found.requests.native and not found.requests.ids:
        return nothing(found.requests.to.name)
    begin(found, application)
    return worked(found, application, effort)


def resume(
    folder: str | Path,
    application: Application,
    *,
    on_doubt: OnDoubt = "report",
    moved: bool = False,
    effort: Effort | None = None,
) -> Status:
    """Go on with the run in *folder*, beside others who may be at it; how far it came.

    A copy of a run is refused; the user may say that it has *moved*, and that none is left where it was.
    What is in doubt is left so and reported; or it is settled to stay so, "skip"; or it is sent once more, "retry",
    and some may be told twice. Raises DeliveryError where plan, message or application are not those of the run.
    """
    folder = Path(folder)
    at_home(folder, moved=moved)
    effort = effort or Effort()
    announce = _announcer(effort.waiting)
    with Ledger(folder / NAME, busy=lambda ledger: announce(others(ledger))) as ledger:
        with ledger.together():
            take_over(ledger)
        run = ledger.run()
        if run.cancelled is not None:
            raise DeliveryError(Problem("cancelled", f"{folder}: the run was cancelled", hint="emit and send anew"))
        found = _as_begun(folder, run, application, effort.progress)
        with ledger.together():
            take_over(ledger)
            if on_doubt != "report":
                book.decide(ledger, time.time(), retry=on_doubt == "retry")
    return worked(found, application, effort)


def at_home(folder: Path, *, moved: bool) -> None:
    """Raise DeliveryError where the run in *folder* is a copy, or, where the user says it has *moved*, no whole one."""
    with Ledger(folder / NAME, write=False) as ledger:
        problem = place.copied(ledger)  # before anything is written, so that nothing of a copy is lost
    if problem is not None and not moved:
        raise DeliveryError(problem)
    if problem is not None:
        with Ledger(folder / NAME) as ledger, ledger.together():
            place.move(ledger)
            take_over(ledger)


def copied(folder: Path) -> list[Problem]:
    """A warning where what is in *folder* is a copy of a run."""
    with Ledger(folder / NAME, write=False) as ledger:
        problem = place.copied(ledger)
    return [] if problem is None else [problem]


def status(folder: str | Path) -> Status:
    """How far the run in *folder* is; DeliveryError where none was begun."""
    with Ledger(Path(folder) / NAME, write=False) as ledger:
        return tally(ledger)


def cancel(folder: str | Path) -> Status:
    """Never send what was not sent yet, whoever is at it; how far it came."""
    with Ledger(Path(folder) / NAME) as ledger:
        with ledger.together():
            take_over(ledger)
            book.cancel(ledger, time.time())
        return tally(ledger)


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


def _as_begun(folder: Path, run: Run, application: Application, progress: Progress) -> Prepared:
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


def worked(
    found: Prepared,
    application: Application,
    effort: Effort,
) -> Status:
    """Be one of those who send what was begun; how far it came, and what stopped it."""
    folder = found.requests.folder
    announce = _announcer(effort.waiting)
    with (
        Ledger(folder / NAME, busy=lambda ledger: announce(others(ledger))) as ledger,
        Ledger(folder / NAME, write=False) as watched,
    ):
        errand = Errand(
            run=ledger.run(),
            requests=found.requests,
            delivery=found.delivery,
            way=found.way,
            body=found.body,
            application=application,
            patience=effort.patience,
            concurrency=min(effort.concurrency, max(2, MANY // (found.way.ids or 1))),
            transport=effort.transport,
        )
        with working(ledger) as worker:
            with ledger.together():
                take_over(ledger)
                book.stopped(ledger, None)
            try:
                asyncio.run(sending(errand, ledger, worker, _watcher(watched, effort.progress, announce)))
            except Halt as halt:
                with ledger.together():
                    book.stopped(ledger, halt.problem)
        return tally(ledger)


def _watcher(ledger: Ledger, progress: Progress, announce: Waiting) -> Watch:
    """A function that shows now and then how far the run is, and for whom is waited once that takes a while."""
    looked, since = 0.0, time.monotonic()

    def show(waited: tuple[Worker, ...]) -> None:
        nonlocal looked, since
        now = time.monotonic()
        if now - looked > OFTEN:
            progress("sending", *settled(ledger))
            looked = now
        if not waited:
            since = now
        elif now - since > SOON:
            announce(waited)

    return show


def _announcer(waiting: Waiting) -> Waiting:
    """A function that tells of each of those who are waited for once."""
    named: set[tuple[str, int, float]] = set()

    def announce(waited: tuple[Worker, ...]) -> None:
        fresh = tuple(each for each in waited if (each.host, each.process, each.begun) not in named)
        named.update((each.host, each.process, each.begun) for each in fresh)
        if fresh:
            waiting(fresh)

    return announce
