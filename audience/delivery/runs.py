"""A run: begun once, gone on with until nothing is left, looked at, cancelled."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from audience.delivery.ledger import run_identity, transitions
from audience.delivery.ledger.connection import NAME, Ledger
from audience.delivery.ledger.status import Status, nothing, tally
from audience.delivery.ledger.workers import others, take_over
from audience.delivery.prepare import as_begun, begin, prepared
from audience.delivery.safety_limits import Allowed
from audience.delivery.sender.worker import Effort, announcer, worked
from audience.errors import DeliveryError, Problem
from audience.messages import Message
from audience.vendors.delivery_spec import Application

OnDoubt: TypeAlias = Literal["report", "skip", "retry"]


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
    announce = announcer(effort.waiting)
    with Ledger(folder / NAME, busy=lambda ledger: announce(others(ledger))) as ledger:
        with ledger.together():
            take_over(ledger)
        run = ledger.run()
        if run.cancelled is not None:
            raise DeliveryError(Problem("cancelled", f"{folder}: the run was cancelled", hint="emit and send anew"))
        found = as_begun(folder, run, application, effort.progress)
        with ledger.together():
            take_over(ledger)
            if on_doubt != "report":
                transitions.decide(ledger, time.time(), retry=on_doubt == "retry")
    return worked(found, application, effort)


def at_home(folder: Path, *, moved: bool) -> None:
    """Raise DeliveryError where the run in *folder* is a copy, or, where the user says it has *moved*, no whole one."""
    with Ledger(folder / NAME, write=False) as ledger:
        problem = run_identity.copied(ledger)  # before anything is written, so that nothing of a copy is lost
    if problem is not None and not moved:
        raise DeliveryError(problem)
    if problem is not None:
        with Ledger(folder / NAME) as ledger, ledger.together():
            run_identity.move(ledger)
            take_over(ledger)


def copied(folder: Path) -> list[Problem]:
    """A warning where what is in *folder* is a copy of a run."""
    with Ledger(folder / NAME, write=False) as ledger:
        problem = run_identity.copied(ledger)
    return [] if problem is None else [problem]


def status(folder: str | Path) -> Status:
    """How far the run in *folder* is; DeliveryError where none was begun."""
    with Ledger(Path(folder) / NAME, write=False) as ledger:
        return tally(ledger)


def refuse_copy(folder: Path) -> None:
    """Raise DeliveryError where the run in *folder* still stands elsewhere."""
    with Ledger(folder / NAME, write=False) as ledger:
        problem = run_identity.elsewhere(ledger)
    if problem is not None:
        raise DeliveryError(problem)


def cancel(folder: str | Path) -> Status:
    """Never send what was not sent yet, whoever is at it; how far it came.

    DeliveryError for a copy of a run that still stands where it was.
    """
    refuse_copy(Path(folder))
    with Ledger(Path(folder) / NAME) as ledger:
        with ledger.together():
            take_over(ledger)
            transitions.cancel(ledger, time.time())
        return tally(ledger)
