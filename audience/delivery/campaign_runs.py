"""Operations on all runs of a folder: the single run of `emit`, or one run per vendor of a campaign.

campaign_run.json    state of a campaign before its first call: the message, and for each vendor the plan and the method
"""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from audience._fs.atomic import atomic_write
from audience.delivery import prepare, runs
from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.ledger.connection import has_run
from audience.delivery.ledger.status import Status, empty_status
from audience.delivery.ledger.workers import hold_create_lock
from audience.delivery.policy_options import PolicyOptions
from audience.delivery.prepare import PreparedRun
from audience.delivery.runs import OnDoubt
from audience.delivery.safety_limits import SafetyLimits, size_problems
from audience.delivery.schedule import Schedule
from audience.delivery.sender.worker import SendOptions, run_workers
from audience.delivery.transport.http import require_usable_environment
from audience.delivery.withdrawal import has_withdrawable, withdraw
from audience.errors import DeliveryError, Problem
from audience.messages import Message, parse_message
from audience.progress import Progress, ignore_progress
from audience.requests.campaign import CAMPAIGN_FILE, run_folders
from audience.requests.reader import (
    has_requests,
    message_to_json,
    read_manifest_question,
    read_manifest_summary,
    read_manifest_syncs,
)
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Vendor

CredentialsFor: TypeAlias = Callable[[Vendor], Credentials]

CAMPAIGN_RUN_FILE = "campaign_run.json"


def count_run_devices(folder: Path) -> int:
    """Return how many devices all runs of *folder* message together."""
    return sum(read_manifest_summary(run_folder)[1] for run_folder in run_folders(folder))


def prepare_all(
    folder: Path,
    message: Message,
    credentials_for: CredentialsFor,
    limits: SafetyLimits,
    *,
    method_name: str | None = None,
    policies: PolicyOptions | None = None,
    schedule: Schedule | None = None,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = ignore_progress,
) -> list[PreparedRun]:
    """Load and check all runs of *folder*, without writing or sending anything; runs without requests are omitted.

    The credentials of all vendors are loaded first. Raises DeliveryError or MessageError if any run cannot be sent.
    """
    problems = [*size_problems(count_run_devices(folder), limits)]
    if problems:
        raise DeliveryError(*problems)
    if run_folders(folder) != [folder]:  # the limits hold for the campaign, not for each of its runs
        limits = replace(limits, expected=None, max_devices=count_run_devices(folder))
    to_send = [run_folder for run_folder in run_folders(folder) if has_requests(run_folder)]
    credentials = [credentials_for(_read_vendor(run_folder)) for run_folder in to_send]
    prepared_runs = [
        prepare.prepare_run(
            run_folder,
            message,
            keys,
            limits,
            method_name=method_name,
            policies=policies,
            schedule=schedule,
            clock=clock,
            progress=progress,
        )
        for run_folder, keys in zip(to_send, credentials, strict=True)
    ]
    return [prepared for prepared in prepared_runs if not prepared.is_empty]


def send_all(
    folder: Path, message: Message, prepared_runs: list[PreparedRun], options: SendOptions
) -> dict[str, Status]:
    """Create all prepared runs, then send what is due of them; return their statuses by vendor."""
    if (folder / CAMPAIGN_FILE).is_file() and prepared_runs:
        _create_all(folder, message, prepared_runs, options)
    else:
        for prepared in prepared_runs:
            prepare.create_run(prepared, options.clock, options.max_unknown)
    vendors = [prepared.requests.vendor.name for prepared in prepared_runs]
    return dict(zip(vendors, run_workers(prepared_runs, options), strict=True))


def _create_all(folder: Path, message: Message, prepared_runs: list[PreparedRun], options: SendOptions) -> None:
    """Create the runs of a campaign under one lock; `resume_all` creates those that a crash left out."""
    with hold_create_lock(folder):
        for run_folder in run_folders(folder):
            prepare.reject_existing_run(run_folder)
        state = _campaign_state_json(message, prepared_runs, options.max_unknown)
        atomic_write(folder / CAMPAIGN_RUN_FILE, state)
        for prepared in prepared_runs:
            prepare.create_run(prepared, options.clock, options.max_unknown)


def resume_all(
    folder: Path,
    credentials_for: CredentialsFor,
    on_doubt: OnDoubt,
    options: SendOptions,
    *,
    moved: bool = False,
    policies: PolicyOptions | None = None,
    hold: bool = False,
    resting: Collection[str] = (),
) -> dict[str, Status]:
    """Continue all runs of *folder* and return their statuses by vendor; those of *resting* vendors stay as they are.

    Runs that `send_all` prepared and could not create are created first. Raises DeliveryError before anything is
    written if a run is a copy; *moved* is the user's word that the whole folder was moved. With *hold*, calls that a
    vendor would keep until their time are held here from now on.
    """
    created_folders = require_created_folders(folder)
    vendors = {run_folder: _read_vendor(run_folder) for run_folder in run_folders(folder)}
    credentials = {run_folder: credentials_for(vendor) for run_folder, vendor in vendors.items()}
    for keys in credentials.values():
        require_usable_environment(keys.base_url)
    for run_folder in created_folders:
        runs.require_original(run_folder, moved=moved)
    if any(_is_missing(run_folder) for run_folder in vendors):
        _create_missing(folder, credentials, policies or PolicyOptions(), options.clock)
    begun = [each for each, vendor in vendors.items() if has_run(each) and vendor.name not in resting]
    prepared_runs = [
        runs.prepare_resume(each, credentials[each], on_doubt, options, policies or PolicyOptions(), hold=hold)
        for each in begun
    ]
    statuses = dict(zip(begun, run_workers(prepared_runs, options), strict=True))
    return {
        vendor.name: statuses[each]
        if each in statuses
        else runs.status(each, options.clock)
        if has_run(each)
        else empty_status(vendor.name)
        for each, vendor in vendors.items()
    }


def _create_missing(folder: Path, credentials: dict[Path, Credentials], policies: PolicyOptions, clock: Clock) -> None:
    with hold_create_lock(folder):
        for run_folder, keys in credentials.items():
            if _is_missing(run_folder):
                prepared = _prepare_as_checked(folder, run_folder, keys, policies, clock)
                prepare.create_run(prepared, clock, _read_max_unknown(folder))


def _read_max_unknown(folder: Path) -> float | None:
    """Return the share of unknown ids that a campaign was sent with, whose state is there."""
    state: dict[str, Any] = json.loads((folder / CAMPAIGN_RUN_FILE).read_bytes())
    return state.get("max_unknown")


def _is_missing(run_folder: Path) -> bool:
    """Return whether *run_folder* has devices and no run."""
    return not has_run(run_folder) and read_manifest_summary(run_folder)[1] > 0


def load_all_statuses(folder: Path, clock: Clock = SYSTEM_CLOCK) -> dict[str, Status]:
    """Return the statuses of all runs of *folder* by vendor; raise DeliveryError if it has none."""
    created = require_created_folders(folder)
    return {_read_vendor(run_folder).name: runs.status(run_folder, clock) for run_folder in created}


def read_questions(folder: Path) -> dict[str, dict[str, str | None]]:
    """Return what was asked when each run of *folder* was emitted, by vendor."""
    return {_read_vendor(run_folder).name: read_manifest_question(run_folder) for run_folder in run_folders(folder)}


def read_syncs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the syncs that the native requests of each run of *folder* rest on, by vendor."""
    return {_read_vendor(run_folder).name: read_manifest_syncs(run_folder) for run_folder in run_folders(folder)}


def all_copy_warnings(folder: Path) -> list[Problem]:
    """Return a warning for each run of *folder* that is a copy; raise DeliveryError if it has none."""
    return [problem for run_folder in require_created_folders(folder) for problem in runs.copy_warnings(run_folder)]


def cancel_all(folder: Path, clock: Clock = SYSTEM_CLOCK) -> dict[str, Status]:
    """Cancel all runs of *folder*; raise DeliveryError if it has none, or if the original of a copy still exists.

    What vendors have accepted and deliver later stays there; `withdraw_all` takes it back.
    """
    created = require_created_folders(folder)
    for run_folder in created:
        runs.reject_copy(run_folder)
    return {_read_vendor(run_folder).name: runs.cancel(run_folder, clock) for run_folder in created}


def withdraw_all(folder: Path, credentials_for: CredentialsFor, options: SendOptions) -> list[Problem]:
    """Withdraw at the vendors what the cancelled runs of *folder* have there; return what can no longer be stopped.

    Credentials are loaded for vendors that have anything. Without them, that is what cannot be stopped.
    """
    problems = list[Problem]()
    for run_folder in require_created_folders(folder):
        if not has_withdrawable(run_folder):
            continue
        try:
            problems += withdraw(run_folder, credentials_for(_read_vendor(run_folder)), options)
        except DeliveryError as error:
            hint = f"run `audience cancel {folder}` again with the vendor's credentials; the vendor delivers otherwise"
            reason = error.problems[0]
            problems.append(Problem("not-withdrawn", f"{reason.code}: {reason.message}", hint=hint))
    return problems


def _read_vendor(run_folder: Path) -> Vendor:
    return read_manifest_summary(run_folder)[0]


def _campaign_state_json(message: Message, prepared_runs: list[PreparedRun], max_unknown: float | None) -> bytes:
    by_vendor = {
        prepared.requests.vendor.name: {
            "plan_digest": prepared.requests.digest,
            "method": prepared.method.name,
            "policies": prepared.policies.to_json(),
            "schedule": prepared.schedule.to_document(),
        }
        for prepared in prepared_runs
    }
    state = {"message": json.loads(message_to_json(message)), "runs": by_vendor, "max_unknown": max_unknown}
    return json.dumps(state).encode()


def _prepare_as_checked(
    folder: Path, run_folder: Path, credentials: Credentials, policies: PolicyOptions, clock: Clock
) -> PreparedRun:
    """Prepare a run as it was when its campaign was sent; raise DeliveryError if that is unknown or has changed."""
    try:
        state: dict[str, Any] = json.loads((folder / CAMPAIGN_RUN_FILE).read_bytes())
        checked = state["runs"][_read_vendor(run_folder).name]
        plan_digest, method_name = checked["plan_digest"], checked["method"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message, hint = f"{run_folder} was not part of the send", f"run `audience send {run_folder}`"
        raise DeliveryError(Problem("not-begun", message, hint=hint)) from error
    limits = SafetyLimits(max_devices=read_manifest_summary(run_folder)[1], broadcast=True)
    prepared = prepare.prepare_run(
        run_folder,
        parse_message(state["message"]),
        credentials,
        limits,
        method_name=method_name,
        policies=PolicyOptions.from_json(checked.get("policies", "{}")).merge(policies),
        schedule=Schedule.from_document(checked.get("schedule", {})),
        clock=clock,
    )
    if prepared.requests.digest != plan_digest:
        message = f"{run_folder}: the plan has changed since the campaign was sent"
        hint = "restore the folder; or run `audience resume` on each of the other run folders"
        raise DeliveryError(Problem("other-plan", message, hint=hint))
    return prepared


def has_runs(folder: Path) -> bool:
    """Return whether any run of *folder* was created."""
    return any(map(has_run, run_folders(folder)))


def require_created_folders(folder: Path) -> list[Path]:
    """Return the folders of the runs of *folder* that were created; raise DeliveryError if there is none."""
    created = [run_folder for run_folder in run_folders(folder) if has_run(run_folder)]
    if not created:
        raise DeliveryError(Problem("no-run", f"{folder}: no run was started here", hint="run `audience send`"))
    return created
