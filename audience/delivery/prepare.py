"""Preparation of a run: load and check its plan, message, method and credentials, then create its ledger."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from audience._fs.atomic import atomic_new_file, atomic_write, remove_stale_temp_files
from audience.activity_log import log_activity
from audience.delivery.applications import identify_application
from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.costs import MAX_SAMPLE_IDS, CostInput, choose_method, method_by_name
from audience.delivery.ledger.connection import LEDGER_FILE, MAX_UNKNOWN_SHARE, Ledger, Run, create_ledger, has_run
from audience.delivery.ledger.folder_marker import CREATED_MARKER_GLOB, SENT_MARKER_GLOB
from audience.delivery.ledger.planned import PlannedBatch, PlannedPart, plan_batches
from audience.delivery.ledger.transitions import ALL_LEFT_OUT, LeftOutId, problem_to_json
from audience.delivery.ledger.workers import WORKER_LOCK_GLOB, hold_create_lock
from audience.delivery.part_bodies import PartBodies, build_bodies
from audience.delivery.policy_options import PolicyOptions
from audience.delivery.safety_limits import SafetyLimits, enforce_limits
from audience.delivery.schedule import Schedule, schedule_batches, schedule_parts
from audience.delivery.transport.http import require_usable_environment
from audience.errors import AudienceError, DeliveryError, MessageError, Problem
from audience.language.suggest import did_you_mean
from audience.messages import Message, parse_message
from audience.progress import Progress, ignore_progress
from audience.requests.audit import append_audit, describe_audience
from audience.requests.division import require_same_division
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

if TYPE_CHECKING:  # only native requests that rest on syncs of tags need an index
    from audience.delivery.sync_check import SyncCheck

SAMPLE_ID = "0"


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """Checked parts of a run: what is sent, to which devices, by which method, with which credentials.

    *bodies* are those of the message, for each part. *left_out* are the ids that policies have taken out since the
    requests were emitted, with the options *policies*. *parts* have the moments that follow from *schedule*; they are
    empty for a run that exists. *sync_check* is that of native requests which rest on syncs of tags.
    """

    requests: RequestFolder
    message: Message
    delivery: DeliverySpec
    bodies: PartBodies
    method: SendMethod
    credentials: Credentials
    policies: PolicyOptions = PolicyOptions()
    left_out: tuple[LeftOutId, ...] = ()
    schedule: Schedule = Schedule()
    parts: tuple[PlannedPart, ...] = ()
    sync_check: "SyncCheck | None" = None

    @property
    def body(self) -> Payload:
        """Return the body of the first part."""
        return self.bodies.bodies[0]

    @property
    def is_empty(self) -> bool:
        """True if the run has no request."""
        return not self.requests.native_count and not self.requests.id_count


def prepare_run(
    folder: Path,
    message: Message | Mapping[str, Any],
    credentials: Credentials,
    limits: SafetyLimits,
    *,
    method_name: str | None = None,
    policies: PolicyOptions | None = None,
    schedule: Schedule | None = None,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = ignore_progress,
) -> PreparedRun:
    """Load and check a new run, without writing or sending anything.

    Args:
        folder: Request folder, as written by `audience emit`.
        message: The message, or its JSON object.
        credentials: The application to send with.
        limits: How many devices the run may reach.
        method_name: Name of the send method; by default the cheapest one.
        policies: Caps and overrides of policies, besides those of the requests.
        schedule: When it is sent; what it does not say is that of the message, then that of the requests.
        clock: Clock of the run.
        progress: Callback for progress reports.

    Raises:
        DeliveryError: If the folder is damaged or already has a run, a limit is exceeded, the method does not fit, the
            schedule cannot be kept, or policies cannot be checked again.
        MessageError: If the vendor would reject the message.
    """
    reject_existing_run(folder)
    require_usable_environment(credentials.base_url)
    from audience.delivery.policy_check import (  # imports much that a run without policies does not need
        find_left_out,
        start_check,
    )

    message = message if isinstance(message, Message) else parse_message(dict(message))
    check_message(message)
    message_to_json(message)  # raises if the run folder could not keep it
    requests = open_requests(folder, progress)
    require_same_division(message, requests.division, folder)
    delivery = require_delivery(requests.vendor)
    bodies = build_bodies(message, requests.division, requests.parts, delivery, credentials)
    native_payloads = tuple(requests.native_payload(number) for number in range(requests.native_count))
    enforce_limits(requests.messaged_count, requests.vendor, native_payloads, limits)
    schedule = (
        Schedule.from_document(requests.schedule)
        .override(Schedule(at=message.send_at))
        .override(schedule or Schedule())
    )
    parts = schedule_parts(schedule, requests.parts, clock.wall())
    _check_schedule(schedule, parts, bodies.bodies, delivery, clock)
    cost_input = build_cost_input(requests, bodies.bodies, credentials, _find_first_moment(parts, clock))
    method, policies = choose_method(cost_input, method_name), policies or PolicyOptions()
    check = start_check(requests, policies, has_native=bool(native_payloads))
    left_out = find_left_out(requests, [(0, requests.id_count)], check)
    sync_check = prepare_sync_check(requests, bodies.bodies, credentials, policies, clock)
    return PreparedRun(
        requests, message, delivery, bodies, method, credentials, policies, left_out, schedule, tuple(parts), sync_check
    )


def prepare_sync_check(
    requests: RequestFolder,
    bodies: Sequence[Payload],
    credentials: Credentials,
    policies: PolicyOptions,
    clock: Clock,
    *,
    has_native: bool = True,
) -> "SyncCheck | None":
    """Return the check of native requests that rest on syncs of tags; None if there are none.

    Args:
        requests: The requests.
        bodies: Bodies of the message.
        credentials: The application to send with.
        policies: Options with the path of the index.
        clock: Clock of the run.
        has_native: Whether native requests may still be sent.

    Raises:
        DeliveryError: The vendor may not have the tags, now or when it delivers.
    """
    if not requests.native_count or requests.synced is None:
        return None
    from audience.delivery.sync_check import require_fresh, start_sync_check  # imports much that other runs do not need

    delivery = require_delivery(requests.vendor)
    moments = [moment for body in bodies for moment in delivery.read_moments(body)]
    if has_native and any(moment.timestamp() > clock.wall() for moment in moments):
        message = (
            "the vendor would deliver a native request by the tags that it has then, not by those that were synced"
        )
        hint = "remove the vendor's own fields of time from the message, and write send_at; or emit with --by-ids"
        raise DeliveryError(Problem("kept-by-vendor", message, hint=hint))
    application = identify_application(requests.synced.family, delivery, credentials)
    check = start_sync_check(requests.synced, application, policies.index, clock)
    if has_native:
        require_fresh(check)
    return check


def _check_schedule(
    schedule: Schedule, parts: Sequence[PlannedPart], bodies: Sequence[Payload], delivery: DeliverySpec, clock: Clock
) -> None:
    """Raise an error if a body schedules itself too, or cannot be sent at the moments of *parts*."""
    if schedule.is_immediate:
        return
    if any(map(delivery.read_moments, bodies)):
        message = "the vendor's own fields in the message say when it is delivered, and so does the schedule"
        hint = "remove them under `vendor`, and write send_at"
        raise MessageError(Problem("scheduled-twice", message, path="$.vendor", hint=hint))
    for moment in {part.opens_at or clock.wall() for part in parts}:
        for body in bodies:
            delivery.apply_timestamps(body, datetime.fromtimestamp(moment, UTC))


def _find_first_moment(parts: Sequence[PlannedPart], clock: Clock) -> datetime:
    return datetime.fromtimestamp(min(part.opens_at or clock.wall() for part in parts), UTC)


def build_cost_input(
    requests: RequestFolder, bodies: Sequence[Payload], credentials: Credentials, now: datetime | None = None
) -> CostInput:
    """Return what the costs of *requests* with *bodies* are estimated from, for calls at *now*."""
    delivery = require_delivery(requests.vendor)
    sample_size, now = min(requests.id_count, MAX_SAMPLE_IDS), now or datetime.now(UTC)
    return CostInput(
        vendor=requests.vendor,
        delivery=delivery,
        bodies=tuple(delivery.apply_timestamps(body, now) for body in bodies),
        credentials=credentials,
        native_payloads=tuple(requests.native_payload(number) for number in range(requests.native_count)),
        part_sizes=tuple(map(len, requests.parts)),
        sample_ids=tuple(requests.ids_between(0, sample_size)) if sample_size else (),
    )


def create_run(prepared: PreparedRun, clock: Clock = SYSTEM_CLOCK, max_unknown: float | None = None) -> None:
    """Write the message and the ledger of a new run, which stops at a share of *max_unknown* unknown ids.

    Raises:
        DeliveryError: The folder has a run, or another process is creating one.
    """
    folder, message_json = prepared.requests.folder, message_to_json(prepared.message)
    run = _make_run(prepared, message_json, clock, MAX_UNKNOWN_SHARE if max_unknown is None else max_unknown)
    batches = plan_run_batches(prepared, clock.wall())
    left_out, problem = map(asdict, prepared.left_out), problem_to_json(ALL_LEFT_OUT)
    with hold_create_lock(folder):
        reject_existing_run(folder)
        _remove_leftovers(folder)
        try:
            with atomic_new_file(folder / LEDGER_FILE) as temp_file:
                create_ledger(temp_file, run, prepared.parts, batches, left_out, problem)
                atomic_write(folder / MESSAGE_FILE, message_json)
                _audit_send(prepared, run)
        except AudienceError:
            _remove_leftovers(folder)
            raise
    log_activity(
        "run-created",
        run=run.id,
        vendor=run.vendor,
        method=run.method,
        native=run.native_count,
        ids=run.id_count,
        left_out=len(prepared.left_out),
    )


def _make_run(prepared: PreparedRun, message_json: bytes, clock: Clock, max_unknown: float) -> Run:
    """Return the record of a new run for the ledger."""
    return Run(
        id=str(uuid4()),
        vendor=prepared.requests.vendor.name,
        method=prepared.method.name,
        base_url=prepared.credentials.base_url,
        credentials_digest=_credentials_digest(prepared.credentials, prepared.delivery),
        plan_digest=prepared.requests.digest,
        message_digest=sha256_hex(message_json),
        native_count=prepared.requests.native_count,
        id_count=prepared.requests.id_count,
        created_at=clock.wall(),
        policies=prepared.policies.to_json(),
        schedule=prepared.schedule.to_json(),
        max_unknown=max_unknown,
    )


def _audit_send(prepared: PreparedRun, run: Run) -> None:
    """Append who sends which message to whom, before the run can begin."""
    folder, requests = prepared.requests.folder, prepared.requests
    sent = {"run": run.id, "vendor": run.vendor, "method": run.method, "base_url": run.base_url}
    facts = {
        **sent,
        **describe_audience(folder, requests.expression),
        "message": run.message_digest,
        "devices": requests.device_count,
        "native": run.native_count,
        "id_count": run.id_count,
        "left_out": len(prepared.left_out),
        "schedule": prepared.schedule.to_document() or None,
        "parts": len(prepared.parts),
        "caps": len(prepared.policies.caps),
        "without_policies": [*requests.policies.without, *prepared.policies.without],
    }
    append_audit(folder, "send", facts)


def plan_run_batches(prepared: PreparedRun, now: float) -> Iterator[PlannedBatch]:
    """Yield the batches of a new run, each with its moment, and with whether the vendor keeps its call until then."""
    requests = prepared.requests
    ids_target = (requests.vendor.target_ids([SAMPLE_ID]),)

    def keeps_call(batch: PlannedBatch, moment: float) -> bool:
        method = prepared.method if batch.native is None else prepared.delivery.native_method
        schedule = method.schedule
        rests_on_sync = batch.native is not None and requests.synced is not None  # the vendor's tags change until then
        if schedule is None or rests_on_sync:
            return False
        ahead = timedelta(seconds=moment - now)
        targets = ids_target if batch.native is None else (requests.native_payload(batch.native),)
        return schedule.min_ahead <= ahead <= schedule.max_ahead and schedule.accepts(targets)

    batches = plan_batches(requests.native_count, prepared.parts, prepared.method.max_ids or 1)
    return schedule_batches(prepared.schedule, prepared.parts, batches, keeps_call)


def _remove_leftovers(folder: Path) -> None:
    """Remove the files of processes that died before their ledger was complete."""
    remove_stale_temp_files(folder / LEDGER_FILE)
    for marker in folder.glob(CREATED_MARKER_GLOB):
        marker.unlink()


def reject_existing_run(folder: Path) -> None:
    """Raise DeliveryError if *folder* has a run, or has lost the ledger of one."""
    if has_run(folder):
        with Ledger(folder / LEDGER_FILE, write=False) as ledger:
            is_cancelled = ledger.load_run().cancelled_at is not None
        resume = "it was cancelled and stays so" if is_cancelled else f"run `audience resume {folder}` to continue it"
        hint = f"{resume}; to send again, emit into another folder"
        raise DeliveryError(Problem("begun", f"{folder} already has a run", hint=hint))
    if any(any(folder.glob(pattern)) for pattern in (SENT_MARKER_GLOB, WORKER_LOCK_GLOB)):
        message = f"{folder}: a run was sent from here, but its {LEDGER_FILE} is missing"
        hint = f"restore {LEDGER_FILE}, which records who was messaged; or emit into another folder"
        raise DeliveryError(Problem("lost-ledger", message, hint=hint))


def check_message(message: Message) -> None:
    """Raise MessageError if *message* has fields for an unknown vendor, because they would be ignored."""
    names = vendor_names()
    unknown = [name for name in message.vendor if name not in names]
    if unknown:
        raise MessageError(*(_unknown_vendor_problem(name, names) for name in unknown))


def _unknown_vendor_problem(name: str, names: Sequence[str]) -> Problem:
    hint = did_you_mean(name, names) or f"use one of {', '.join(names)}"
    return Problem("unknown-vendor", f"unknown vendor {name!r}", path=f"$.vendor.{name}", hint=hint)


def reload_run(folder: Path, run: Run, credentials: Credentials, progress: Progress) -> PreparedRun:
    """Load the parts of the existing *run* again; raise DeliveryError if any of them has changed."""
    requests, message = open_requests(folder, progress), read_message(folder / MESSAGE_FILE)
    delivery = require_delivery(requests.vendor)
    unchanged = {
        "plan": run.plan_digest == requests.digest,
        "message": run.message_digest == sha256_hex(message_to_json(message)),
        "host": run.base_url == credentials.base_url,
        "application": run.credentials_digest == _credentials_digest(credentials, delivery),
    }
    for part, is_unchanged in unchanged.items():
        if not is_unchanged:
            problem_message = f"{folder}: the {part} is not the one that the run was created with"
            restore = f"pass --host {run.base_url}" if part == "host" else f"restore the {part}"
            hint = f"{restore}; or run `audience cancel {folder}`, then emit and send again"
            raise DeliveryError(Problem(f"other-{part}", problem_message, hint=hint))
    method = method_by_name(delivery, run.method)
    schedule = Schedule.from_json(run.schedule)
    bodies = build_bodies(message, requests.division, requests.parts, delivery, credentials)
    return PreparedRun(requests, message, delivery, bodies, method, credentials, schedule=schedule)


def _credentials_digest(credentials: Credentials, delivery: DeliverySpec) -> str:
    """Return a digest of the public keys of *credentials*."""
    public_keys = sorted((name, value) for name, value in credentials.keys.items() if name not in delivery.secret_keys)
    return sha256_hex(repr(public_keys).encode())
