"""The runs of a folder: one, or where it is a campaign's, one for each vendor, as if they were one.

sending.json    what was checked before a campaign's first call: the message, and of each vendor the plan and the way
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from audience._fs.atomic import atomic_write
from audience.delivery import prepare, runs
from audience.delivery.ledger.connection import has_run
from audience.delivery.ledger.status import Status, empty_status
from audience.delivery.ledger.workers import hold_create_lock
from audience.delivery.prepare import PreparedRun
from audience.delivery.runs import OnDoubt
from audience.delivery.safety_limits import SafetyLimits, size_problems
from audience.delivery.sender.worker import SendOptions, run_worker
from audience.errors import DeliveryError, Problem
from audience.messages import Message, parse_message
from audience.progress import Progress, ignore_progress
from audience.requests.campaign import CAMPAIGN_FILE, read_campaign_vendors
from audience.requests.reader import has_requests, message_to_json, read_manifest_summary
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Vendor

CredentialsFor: TypeAlias = Callable[[Vendor], Credentials]  # asked for all vendors before anything is sent

SENDING_FILE = "sending.json"
PreparedRuns: TypeAlias = list[tuple[PreparedRun, Credentials]]


def run_folders(folder: Path) -> list[Path]:
    """The run folders in *folder*, or itself; those of a campaign in its order."""
    if not (folder / CAMPAIGN_FILE).is_file():
        return [folder]
    return [folder / name for name in read_campaign_vendors(folder)]


def count_run_devices(folder: Path) -> int:
    """How many devices are meant, by all runs of *folder*."""
    return sum(read_manifest_summary(each)[1] for each in run_folders(folder))


def prepare_all(
    folder: Path,
    message: Message,
    credentials_for: CredentialsFor,
    limits: SafetyLimits,
    *,
    method_name: str | None = None,
    progress: Progress = ignore_progress,
) -> PreparedRuns:
    """What would be sent from *folder*, all of it checked; those that tell nobody are left out.

    Raises DeliveryError or MessageError where any of it may not be sent.
    """
    problems = [*size_problems(count_run_devices(folder), limits)]
    if problems:
        raise DeliveryError(*problems)
    within = (
        limits
        if run_folders(folder) == [folder]
        else replace(limits, expected=None, max_devices=count_run_devices(folder))
    )
    known = [
        (each, credentials_for(read_manifest_summary(each)[0])) for each in run_folders(folder) if has_requests(each)
    ]
    found = [
        (
            prepare.prepare_run(each, message, application, within, method_name=method_name, progress=progress),
            application,
        )
        for each, application in known
    ]
    return [(each, application) for each, application in found if each.requests.native_count or each.requests.id_count]


def send_all(folder: Path, message: Message, prepared_runs: PreparedRuns, options: SendOptions) -> dict[str, Status]:
    """Begin and send what is *ready*, one vendor after the other; the status of each."""
    if (folder / CAMPAIGN_FILE).is_file() and prepared_runs:
        _create_all(folder, message, prepared_runs)
    else:
        for each, application in prepared_runs:
            prepare.create_run(each, application)
    return {each.requests.vendor.name: run_worker(each, application, options) for each, application in prepared_runs}


def _create_all(folder: Path, message: Message, prepared_runs: PreparedRuns) -> None:
    """Begin all runs of a campaign, and nobody else any of them meanwhile: who goes on begins what was not begun."""
    with hold_create_lock(folder):
        for one in run_folders(folder):
            prepare.reject_existing_run(one)
        atomic_write(folder / SENDING_FILE, _campaign_state_json(message, prepared_runs))
        for each, application in prepared_runs:
            prepare.create_run(each, application)


def resume_all(
    folder: Path, credentials_for: CredentialsFor, on_doubt: OnDoubt, options: SendOptions, *, moved: bool = False
) -> dict[str, Status]:
    """Go on with all runs of *folder*, and begin those that were left when `send_all` died; the status of each.

    A copy is refused before anything is begun; the user may say that all of it has *moved*.
    """
    folders = run_folders(folder)
    for each in _require_created_folders(folder):
        runs.require_original(each, moved=moved)
    known = [
        (each, read_manifest_summary(each)[0].name, credentials_for(read_manifest_summary(each)[0])) for each in folders
    ]
    if any(_is_not_created(each) for each in folders):
        with hold_create_lock(folder):
            for each, name, application in known:
                if _is_not_created(each):
                    prepare.create_run(_prepare_as_checked(folder, each, name, application), application)
    return {
        name: runs.resume(each, application, on_doubt=on_doubt, options=options)
        if has_run(each)
        else empty_status(name)
        for each, name, application in known
    }


def _is_not_created(run_folder: Path) -> bool:
    """Whether a run was to be begun, and was not."""
    return not has_run(run_folder) and read_manifest_summary(run_folder)[1] > 0


def load_all_statuses(folder: Path) -> dict[str, Status]:
    """How far each run of *folder* is; DeliveryError where none was begun."""
    return {read_manifest_summary(each)[0].name: runs.status(each) for each in _require_created_folders(folder)}


def all_copy_warnings(folder: Path) -> list[Problem]:
    """Warnings of runs of *folder* that are copies; DeliveryError where none was begun."""
    return [problem for each in _require_created_folders(folder) for problem in runs.copy_warnings(each)]


def cancel_all(folder: Path) -> dict[str, Status]:
    """Cancel each run of *folder* that was begun; DeliveryError where none was, or where one is a copy."""
    for each in _require_created_folders(folder):
        runs.reject_copy(each)
    return {read_manifest_summary(each)[0].name: runs.cancel(each) for each in _require_created_folders(folder)}


def _campaign_state_json(message: Message, prepared_runs: PreparedRuns) -> bytes:
    runs = {
        each.requests.vendor.name: {"plan": each.requests.digest, "method": each.method.name}
        for each, _ in prepared_runs
    }
    return json.dumps({"message": json.loads(message_to_json(message)), "runs": runs}).encode()


def _prepare_as_checked(folder: Path, run_folder: Path, vendor_name: str, credentials: Credentials) -> PreparedRun:
    """What *name* was to be sent when the campaign in *folder* was begun; DeliveryError where that is not known."""
    try:
        said: dict[str, Any] = json.loads((folder / SENDING_FILE).read_bytes())
        plan, method_name = said["runs"][vendor_name]["plan"], said["runs"][vendor_name]["method"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = f"audience send {run_folder}"
        raise DeliveryError(Problem("not-begun", f"{run_folder}: this was not to be sent yet", hint=hint)) from error
    within = SafetyLimits(max_devices=read_manifest_summary(run_folder)[1], broadcast=True)
    found = prepare.prepare_run(
        run_folder, parse_message(said["message"]), credentials, within, method_name=method_name
    )
    if found.requests.digest != plan:
        hint = "what was begun can be gone on with by itself"
        raise DeliveryError(Problem("other-plan", f"{run_folder}: this is not the plan that was checked", hint=hint))
    return found


def _require_created_folders(folder: Path) -> list[Path]:
    found = [each for each in run_folders(folder) if has_run(each)]
    if not found:
        raise DeliveryError(Problem("no-run", f"{folder}: nothing was sent from here", hint="audience send"))
    return found
