"""Emit the requests of an audience into the folder of the runs, checked as a send would check them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audience._fs.atomic import atomic_folder
from audience.delivery.campaign_runs import has_runs, prepare_all
from audience.delivery.emissions import (
    list_replaced_emissions,
    register_emission,
    take_emission_turn,
    view_without_emissions,
)
from audience.delivery.recorded_runs import drop_emissions
from audience.delivery.run_names import name_emission
from audience.delivery.safety_limits import SafetyLimits
from audience.errors import DeliveryError, Problem
from audience.index.device_index import DeviceIndex
from audience.json_forms.run_overviews import ServedDryRunForm
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.messages import Message
from audience.planning.catalog.catalog import Catalog
from audience.planning.planner import plan as make_plan
from audience.requests.audit import keep_audit
from audience.requests.campaign import run_folders
from audience.requests.division import Division
from audience.requests.writer import OWNED_FILES, fill_request_folder
from audience.server.problems import HttpError
from audience.server.runs.drafts import DRAFT_FILES, RunDraft, read_draft, write_draft
from audience.server.runs.dry_runs import dry_run_json
from audience.server.runs.processes import LOCK_FILE, LOG_FILE, hold_run
from audience.server.runs.vendor_access import find_credentials
from audience.server.settings import ServeSettings
from audience.vendors import get_vendor, require_delivery

RECORD_WAIT_SECONDS = 5.0  # for another writer of the index
REPLACEABLE_FILES = OWNED_FILES | DRAFT_FILES | {LOG_FILE, LOCK_FILE}
NO_LIMIT = 1 << 62  # of devices, in a check that sends nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """Requests to emit.

    Attributes:
        expr: Audience.
        asked: When and where it is asked.
        vendor: Name of the vendor.
        message: Message.
        division: How the audience is divided; None if all devices get the same.
        method: Name of the send method for ids; None is the cheapest.
        without_policies: Names of policies that do not apply.
        catalog: Catalog of what vendors call the attributes.
        index_name: Name of the index in the service.
        by: Who emits them.
        replaces: Whether unsent requests of the service are replaced.
    """

    expr: Expr
    asked: AsOf
    vendor: str
    message: Message
    division: Division | None
    method: str | None
    without_policies: Sequence[str]
    catalog: Catalog | None
    index_name: str
    by: str
    replaces: bool


@dataclass(frozen=True, slots=True)
class EmittedRun:
    """Requests that were emitted: what sending them would do, and the snapshot that their devices are of."""

    dry_run: ServedDryRunForm
    snapshot: int


def emit_run(emission: Emission, index: DeviceIndex, folder: Path, settings: ServeSettings) -> EmittedRun:
    """Write the requests of *emission* to *folder*, which appears complete or not at all.

    Args:
        emission: What to emit.
        index: Index of the devices.
        folder: Folder to write.
        settings: Settings of the service, whose credentials and hosts are used.

    Raises:
        AudienceError: The plan, the message or the folder is not right. Nothing is written.
    """
    require_delivery(get_vendor(emission.vendor))
    opened = DeviceIndex(index.snapshot)  # recording moves it, and the service's own never moves
    with take_emission_turn(opened, [emission.expr], RECORD_WAIT_SECONDS):
        number = opened.snapshot.manifest.number
        return EmittedRun(_emit_in_turn(emission, opened, folder, settings), number)


def _emit_in_turn(emission: Emission, opened: DeviceIndex, folder: Path, settings: ServeSettings) -> ServedDryRunForm:
    """Write and record the requests of *emission*, while no others under a cap on deliveries are written."""
    replaced = _list_replaced(folder) if emission.replaces and folder.exists() else []
    view = view_without_emissions(opened, folder) if replaced else opened
    plan = make_plan(
        emission.expr,
        emission.vendor,
        view,
        emission.catalog,
        without_policies=list(emission.without_policies),
        **emission.asked.to_arguments(),
    )
    with atomic_folder(folder, owned_patterns=REPLACEABLE_FILES, replace=emission.replaces) as draft_folder:
        keep_audit(folder, draft_folder)
        result = fill_request_folder(plan, view, draft_folder, division=emission.division)
        if not result.devices:
            raise DeliveryError(Problem("nobody", "the audience is empty: nothing to send"))
        dry_run = _check_requests(emission, draft_folder, settings)
        draft = RunDraft(index=emission.index_name, emitted_by=emission.by, method=emission.method, dry_run=dry_run)
        write_draft(draft, emission.message, draft_folder)
    try:
        register_emission(opened, folder, plan.policies, replaced, audience=plan.expr, wait=RECORD_WAIT_SECONDS)
    except BaseException:
        shutil.rmtree(folder)  # unrecorded, its devices would not count for the caps of other runs
        raise
    return dry_run


def remove_draft(folder: Path, index: DeviceIndex | None) -> None:
    """Remove unsent requests that the service has emitted, and what *index* has recorded of them.

    Raises:
        HttpError: They are sent, or others have written them.
    """
    with hold_run(folder):
        _require_unsent(folder)
        if index is not None and any(name_emission(each) for each in run_folders(folder)):
            drop_emissions(DeviceIndex(index.snapshot), folder, wait=RECORD_WAIT_SECONDS)
        shutil.rmtree(folder)


def _list_replaced(folder: Path) -> list[str]:
    """Return the recorded emissions of unsent requests that the service has emitted."""
    with hold_run(folder):
        _require_unsent(folder)
        return list_replaced_emissions(folder)


def _require_unsent(folder: Path) -> None:
    if has_runs(folder):
        hint = "a run that was sent is kept: it records whom it reached"
        raise HttpError(409, Problem("begun", f"{folder.name} was sent", hint=hint))
    if read_draft(folder) is None:
        message = f"{folder.name} was not emitted by this service"
        raise HttpError(409, Problem("foreign-run", message, hint="use the command line for it, or another name"))


def _check_requests(emission: Emission, folder: Path, settings: ServeSettings) -> ServedDryRunForm:
    """Prepare a run of the requests in *folder* as a send does, and return its dry run."""
    credentials, missing = find_credentials(get_vendor(emission.vendor), settings)
    limits = SafetyLimits(max_devices=NO_LIMIT, broadcast=True)  # the caller types the number to send
    prepared = prepare_all(folder, emission.message, lambda vendor: credentials, limits, method_name=emission.method)
    if not prepared:
        hint = "GET the plan of the audience for the reasons"
        message = f"no device of the audience can be reached at {emission.vendor}"
        raise DeliveryError(Problem("nobody", message, hint=hint))
    return dry_run_json(prepared[0], missing)
