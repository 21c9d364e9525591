"""Operations on one run: send, resume, status and cancel."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from audience.activity_log import log_activity
from audience.delivery.cancelled import cancelled_problem
from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.ledger import run_identity, transitions
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.status import Status, empty_status, load_status
from audience.delivery.ledger.workers import (
    list_other_workers,
    lost_log_problem,
    reap_dead_workers,
    require_complete,
)
from audience.delivery.policy_options import PolicyOptions
from audience.delivery.prepare import PreparedRun, create_run, prepare_run, prepare_sync_check, reload_run
from audience.delivery.safety_limits import SafetyLimits
from audience.delivery.schedule import Schedule
from audience.delivery.sender.worker import SendOptions, notify_once, run_worker
from audience.delivery.transport.http import require_usable_environment
from audience.errors import DeliveryError, Problem
from audience.messages import Message
from audience.requests.audit import append_audit
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
    policies: PolicyOptions | None = None,
    schedule: Schedule | None = None,
) -> Status:
    """Send *message* to the devices of a request folder and return the status of the run.

    If the vendor stops the run, that is not an error: `Status.stop_reason` has the reason.

    Args:
        folder: Request folder, as written by `audience emit`.
        message: The message, or its JSON object.
        credentials: The application to send with.
        limits: How many devices the run may reach.
        method: Name of the send method; by default the cheapest one.
        options: Retries, concurrency and callbacks.
        policies: Caps and overrides of policies, besides those of the requests. Devices that no longer fit the
            policies of the index are left out.
        schedule: When it is sent. What is not due stays for `resume` or `wait`.

    Raises:
        DeliveryError: If the folder is damaged or already has a run, a limit is exceeded, or policies cannot be checked
            again. Nothing was sent.
        MessageError: If the vendor would reject the message. Nothing was sent.
    """
    options = options or SendOptions()
    prepared = prepare_run(
        Path(folder),
        message,
        credentials,
        limits,
        method_name=method,
        policies=policies,
        schedule=schedule,
        clock=options.clock,
        progress=options.progress,
    )
    if prepared.is_empty:
        return empty_status(prepared.requests.vendor.name)
    create_run(prepared, options.clock, options.max_unknown)
    return run_worker(prepared, options)


def resume(
    folder: str | Path,
    credentials: Credentials,
    *,
    on_doubt: OnDoubt = "report",
    moved: bool = False,
    options: SendOptions | None = None,
    policies: PolicyOptions | None = None,
    hold: bool = False,
) -> Status:
    """Continue the run in *folder* and return its status. Several processes may resume one run.

    Args:
        folder: Folder of the run.
        credentials: The application that the run was created with; secret keys may have changed.
        on_doubt: What to do with batches in doubt: "report" them; "skip" them, so that they stay in doubt; or "retry"
            them, which may message some devices twice.
        moved: The user's word that the folder was moved and no other copy of it exists.
        options: Retries, concurrency and callbacks.
        policies: Caps and overrides of policies, besides those of the send. Devices that no longer fit the policies of
            the index are left out of the batches that are not sent yet.
        hold: Whether calls that the vendor would keep until their time are held here from now on.

    Raises:
        DeliveryError: If the folder is a copy, the run was cancelled, or its plan, message or application has changed.
    """
    folder, options = Path(folder), options or SendOptions()
    require_usable_environment(credentials.base_url)  # before a run is moved, or doubts are settled
    require_original(folder, moved=moved)
    prepared = prepare_resume(folder, credentials, on_doubt, options, policies or PolicyOptions(), hold=hold)
    return run_worker(prepared, options)


def prepare_resume(
    folder: Path,
    credentials: Credentials,
    on_doubt: OnDoubt,
    options: SendOptions,
    policies: PolicyOptions,
    *,
    hold: bool = False,
) -> PreparedRun:
    """Load the run again, settle what is in doubt as the user wants, and leave out the ids that no longer fit.

    Arguments and errors are as for `resume`.
    """
    from audience.delivery.policy_check import (  # imports much that a run without policies does not need
        find_left_out,
        start_check,
    )

    on_wait = notify_once(options.on_wait)
    path, clock = folder / LEDGER_FILE, options.clock
    with Ledger(path, on_busy=lambda ledger: on_wait(list_other_workers(ledger)), clock=clock) as ledger:
        with ledger.transaction():
            reap_dead_workers(ledger)
        run = ledger.load_run()
        if run.cancelled_at is not None:
            raise DeliveryError(cancelled_problem(folder))
        prepared = reload_run(folder, run, credentials, options.progress)
        retries = on_doubt == "retry"
        sendable = transitions.list_sendable_batches(ledger, options.clock.read(), retries_doubts=retries)
        has_native = any(batch.native is not None for batch in sendable)
        checked = PolicyOptions.from_json(run.policies).merge(policies)
        check = start_check(prepared.requests, checked, has_native=has_native)
        bodies, clock = prepared.bodies.bodies, options.clock
        sync_check = prepare_sync_check(prepared.requests, bodies, credentials, checked, clock, has_native=has_native)
        ranges = [(batch.first, batch.stop) for batch in sendable if batch.native is None]
        left_out = find_left_out(prepared.requests, ranges, check)
        with ledger.transaction():
            reap_dead_workers(ledger)
            transitions.leave_out_ids(ledger, left_out, options.clock.read(), retries_doubts=retries)
            match on_doubt:
                case "retry":
                    transitions.retry_doubts(ledger, options.clock.read())
                case "skip":
                    transitions.skip_doubts(ledger, options.clock.read())
            transitions.reject_emptied_batches(ledger, options.clock.wall())
            if hold:
                transitions.hold_calls(ledger)
    append_audit(folder, "resume", {"run": run.id, "vendor": run.vendor, "on_doubt": on_doubt, "hold": hold or None})
    return replace(prepared, sync_check=sync_check)


def require_original(folder: Path, *, moved: bool) -> None:
    """Raise DeliveryError if the ledger of *folder* misses calls, or if *folder* is a copy.

    A copy is right if the user has *moved* the folder and it is complete. All of this is read-only: what is refused is
    left as it is.
    """
    with Ledger(folder / LEDGER_FILE, write=False) as ledger:
        problem = run_identity.copy_problem(ledger)
        if problem is None:
            return require_complete(ledger)
        if not moved:
            raise DeliveryError(problem)
        run_identity.require_movable(ledger)
    with Ledger(folder / LEDGER_FILE) as ledger, ledger.transaction():
        run_identity.relocate_run(ledger)
        reap_dead_workers(ledger)


def copy_warnings(folder: Path) -> list[Problem]:
    """Return a warning if *folder* is a copy of a run, or if its ledger misses calls."""
    with Ledger(folder / LEDGER_FILE, write=False) as ledger:
        problem = run_identity.copy_problem(ledger) or lost_log_problem(ledger)
    return [] if problem is None else [problem]


def status(folder: str | Path, clock: Clock = SYSTEM_CLOCK) -> Status:
    """Return the status of the run in *folder*; raise DeliveryError if it has none."""
    with Ledger(Path(folder) / LEDGER_FILE, write=False) as ledger:
        return load_status(ledger, clock)


def reject_copy(folder: Path) -> None:
    """Raise DeliveryError if the run in *folder* still exists in another folder, or if its ledger misses calls."""
    with Ledger(folder / LEDGER_FILE, write=False) as ledger:
        problem = run_identity.elsewhere_problem(ledger) or lost_log_problem(ledger)
    if problem is not None:
        raise DeliveryError(problem)


def cancel(folder: str | Path, clock: Clock = SYSTEM_CLOCK) -> Status:
    """Cancel the run in *folder*: no worker sends another batch. Return the status.

    What the vendor has accepted and delivers later stays there; `withdrawal.withdraw` takes it back.

    Raises DeliveryError if *folder* is a copy and the original still exists.
    """
    reject_copy(Path(folder))
    with Ledger(Path(folder) / LEDGER_FILE, clock=clock) as ledger:
        with ledger.transaction():
            reap_dead_workers(ledger)
            transitions.cancel_run(ledger, clock.wall())
        status, run = load_status(ledger, clock), ledger.load_run()
    append_audit(Path(folder), "cancel", {"run": run.id, "vendor": run.vendor, "unsent_batches": status.pending})
    log_activity("run-cancelled", run=run.id, vendor=run.vendor, unsent=status.pending)
    return status
