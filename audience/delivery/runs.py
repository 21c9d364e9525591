"""A run: begun once, gone on with until nothing is left, looked at, cancelled."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from audience.delivery.ledger import run_identity, transitions
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.status import Status, empty_status, load_status
from audience.delivery.ledger.workers import list_other_workers, reap_dead_workers
from audience.delivery.prepare import create_run, prepare_run, reload_run
from audience.delivery.safety_limits import SafetyLimits
from audience.delivery.sender.worker import SendOptions, notify_once, run_worker
from audience.errors import DeliveryError, Problem
from audience.messages import Message
from audience.vendors.delivery_spec import Credentials

OnDoubt: TypeAlias = Literal["report", "skip", "retry"]


def send(
    folder: str | Path,
    message: Message | Mapping[str, Any],
    credentials: Credentials,
    limits: SafetyLimits,
    *,
    method: str | None = None,
    options: SendOptions | None = None,
) -> Status:
    """Send the message *said* to the devices that the run *folder*, written by `emit`, lists; how far it came.

    Raises DeliveryError where it may not begin: a damaged plan, more devices than are *allowed*, a run that was begun
    already; MessageError for a message that the vendor would refuse. Nothing was sent then. A run that the vendor
    stops is no error: the status says why.
    """
    folder = Path(folder)
    options = options or SendOptions()
    found = prepare_run(folder, message, credentials, limits, method_name=method, progress=options.progress)
    if not found.requests.native_count and not found.requests.id_count:
        return empty_status(found.requests.vendor.name)
    create_run(found, credentials)
    return run_worker(found, credentials, options)


def resume(
    folder: str | Path,
    credentials: Credentials,
    *,
    on_doubt: OnDoubt = "report",
    moved: bool = False,
    options: SendOptions | None = None,
) -> Status:
    """Go on with the run in *folder*, beside others who may be at it; how far it came.

    A copy of a run is refused; the user may say that it has *moved*, and that none is left where it was.
    What is in doubt is left so and reported; or it is settled to stay so, "skip"; or it is sent once more, "retry",
    and some may be told twice. Raises DeliveryError where plan, message or application are not those of the run.
    """
    folder = Path(folder)
    require_original(folder, moved=moved)
    options = options or SendOptions()
    announce = notify_once(options.on_wait)
    with Ledger(folder / LEDGER_FILE, on_busy=lambda ledger: announce(list_other_workers(ledger))) as ledger:
        with ledger.transaction():
            reap_dead_workers(ledger)
        run = ledger.load_run()
        if run.cancelled_at is not None:
            raise DeliveryError(Problem("cancelled", f"{folder}: the run was cancelled", hint="emit and send anew"))
        found = reload_run(folder, run, credentials, options.progress)
        with ledger.transaction():
            reap_dead_workers(ledger)
            if on_doubt != "report":
                transitions.resolve_doubts(ledger, time.time(), retry=on_doubt == "retry")
    return run_worker(found, credentials, options)


def require_original(folder: Path, *, moved: bool) -> None:
    """Raise DeliveryError where the run in *folder* is a copy, or, where the user says it has *moved*, no whole one."""
    with Ledger(folder / LEDGER_FILE, write=False) as ledger:
        problem = run_identity.copy_problem(ledger)  # before anything is written, so that nothing of a copy is lost
    if problem is not None and not moved:
        raise DeliveryError(problem)
    if problem is not None:
        with Ledger(folder / LEDGER_FILE) as ledger, ledger.transaction():
            run_identity.relocate_run(ledger)
            reap_dead_workers(ledger)


def copy_warnings(folder: Path) -> list[Problem]:
    """A warning where what is in *folder* is a copy of a run."""
    with Ledger(folder / LEDGER_FILE, write=False) as ledger:
        problem = run_identity.copy_problem(ledger)
    return [] if problem is None else [problem]


def status(folder: str | Path) -> Status:
    """How far the run in *folder* is; DeliveryError where none was begun."""
    with Ledger(Path(folder) / LEDGER_FILE, write=False) as ledger:
        return load_status(ledger)


def reject_copy(folder: Path) -> None:
    """Raise DeliveryError where the run in *folder* still stands elsewhere."""
    with Ledger(folder / LEDGER_FILE, write=False) as ledger:
        problem = run_identity.elsewhere_problem(ledger)
    if problem is not None:
        raise DeliveryError(problem)


def cancel(folder: str | Path) -> Status:
    """Never send what was not sent yet, whoever is at it; how far it came.

    DeliveryError for a copy of a run that still stands where it was.
    """
    reject_copy(Path(folder))
    with Ledger(Path(folder) / LEDGER_FILE) as ledger:
        with ledger.transaction():
            reap_dead_workers(ledger)
            transitions.cancel_run(ledger, time.time())
        return load_status(ledger)
