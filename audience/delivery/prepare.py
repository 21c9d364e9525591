"""What a run is begun with, and gone on with: a plan, a message, a way, all checked before anything is sent."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from audience._fs.atomic import atomic_new_file, atomic_write, remove_stale_temp_files
from audience.delivery.costs import MAX_SAMPLE_IDS, CostInput, choose_method, method_by_name
from audience.delivery.ledger.connection import LEDGER_FILE, Run, create_ledger, has_run
from audience.delivery.ledger.folder_marker import CREATED_MARKER_GLOB, SENT_MARKER_GLOB
from audience.delivery.ledger.workers import WORKER_LOCK_GLOB, hold_create_lock
from audience.delivery.safety_limits import SafetyLimits, enforce_limits
from audience.errors import AudienceError, DeliveryError, MessageError, Problem
from audience.language.suggest import did_you_mean
from audience.messages import Message, parse_message
from audience.progress import Progress, ignore_progress
from audience.requests.reader import (
    MESSAGE_FILE,
    RequestFolder,
    message_to_json,
    open_requests,
    read_message,
    sha256_hex,
)
from audience.vendors import require_delivery, vendor_names
from audience.vendors.delivery_spec import Credentials, DeliverySpec, SendMethod
from audience.vendors.spec import Payload


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """All that is needed for a run, checked: nothing was sent, and nothing written."""

    requests: RequestFolder
    message: Message
    delivery: DeliverySpec
    body: Payload
    method: SendMethod


def prepare_run(
    folder: Path,
    message_input: Message | Mapping[str, Any],
    credentials: Credentials,
    limits: SafetyLimits,
    *,
    method_name: str | None = None,
    progress: Progress = ignore_progress,
) -> PreparedRun:
    """What would be sent from *folder*; DeliveryError or MessageError where it may not be."""
    reject_existing_run(folder)
    message_input = message_input if isinstance(message_input, Message) else parse_message(dict(message_input))
    _check_message_vendors(message_input)
    message_to_json(message_input)  # or it could not be kept
    found = open_requests(folder, progress)
    delivery = require_delivery(found.vendor)
    body = delivery.build_body(message_input)
    native = tuple(found.native_payload(number) for number in range(found.native_count))
    enforce_limits(found.device_count, found.vendor, native, limits)
    order = CostInput(
        vendor=found.vendor,
        delivery=delivery,
        body=delivery.apply_timestamps(body, datetime.now(UTC)),
        credentials=credentials,
        native_payloads=native,
        id_count=found.id_count,
        sample_ids=tuple(found.ids_between(0, min(found.id_count, MAX_SAMPLE_IDS))) if found.id_count else (),
    )
    return PreparedRun(found, message_input, delivery, body, choose_method(order, method_name))


def create_run(prepared: PreparedRun, credentials: Credentials) -> None:
    """Write the message and the ledger of a new run; DeliveryError where another has begun one meanwhile."""
    folder = prepared.requests.folder
    kept = message_to_json(prepared.message)
    run = Run(
        id=str(uuid4()),
        vendor=prepared.requests.vendor.name,
        method=prepared.method.name,
        base_url=credentials.base_url,
        credentials_digest=_credentials_digest(credentials, prepared.delivery),
        plan_digest=prepared.requests.digest,
        message_digest=sha256_hex(kept),
        native_count=prepared.requests.native_count,
        id_count=prepared.requests.id_count,
        created_at=time.time(),
    )
    with hold_create_lock(folder):
        reject_existing_run(folder)
        _remove_leftovers(folder)
        try:
            with atomic_new_file(folder / LEDGER_FILE) as draft:
                create_ledger(draft, run, prepared.method.max_ids or 1)
                atomic_write(folder / MESSAGE_FILE, kept)
        except AudienceError:
            _remove_leftovers(folder)
            raise


def _remove_leftovers(folder: Path) -> None:
    """Remove from *folder* what those have left who had no ledger yet when they died."""
    remove_stale_temp_files(folder / LEDGER_FILE)
    for mark in folder.glob(CREATED_MARKER_GLOB):
        mark.unlink()


def reject_existing_run(folder: Path) -> None:
    """Raise DeliveryError where a run was begun in *folder*, also where its ledger is gone."""
    if has_run(folder):
        hint = f"audience resume {folder} goes on with it; emit into another folder to send again"
        raise DeliveryError(Problem("begun", f"{folder}: a run was begun here", hint=hint))
    if any(any(folder.glob(each)) for each in (SENT_MARKER_GLOB, WORKER_LOCK_GLOB)):
        message = f"{folder}: something was sent from here, and {LEDGER_FILE}, which knows to whom, is gone"
        raise DeliveryError(Problem("lost-ledger", message, hint="put it back, or emit into another folder"))


def _check_message_vendors(message: Message) -> None:
    """MessageError where *said* has words for a vendor that there is none of: they would be passed over."""
    names = vendor_names()
    unknown = [name for name in message.vendor if name not in names]
    if unknown:
        raise MessageError(*(_unknown_vendor_problem(name, names) for name in unknown))


def _unknown_vendor_problem(name: str, names: Sequence[str]) -> Problem:
    hint = did_you_mean(name, names) or f"one of {', '.join(names)}"
    return Problem("unknown-vendor", f"no vendor is called {name!r}", path=f"$.vendor.{name}", hint=hint)


def reload_run(folder: Path, run: Run, credentials: Credentials, progress: Progress) -> PreparedRun:
    """What the run was begun with; DeliveryError where anything is another."""
    found, said = open_requests(folder, progress), read_message(folder / MESSAGE_FILE)
    delivery = require_delivery(found.vendor)
    same = {
        "plan": run.plan_digest == found.digest,
        "message": run.message_digest == sha256_hex(message_to_json(said)),
        "host": run.base_url == credentials.base_url,
        "application": run.credentials_digest == _credentials_digest(credentials, delivery),
    }
    for what, is_same in same.items():
        if not is_same:
            hint = "a run is finished as it was begun; or cancel it, and emit and send anew"
            raise DeliveryError(Problem(f"other-{what}", f"{folder}: this is not the {what} of the run", hint=hint))
    return PreparedRun(found, said, delivery, delivery.build_body(said), method_by_name(delivery, run.method))


def _credentials_digest(credentials: Credentials, delivery: DeliverySpec) -> str:
    """What stands for an application in a ledger: a digest of what is no secret of it."""
    known = sorted((key, value) for key, value in credentials.keys.items() if key not in delivery.secret_keys)
    return sha256_hex(repr(known).encode())
