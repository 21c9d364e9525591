"""Commands that send a request folder, resume, show, wait for and cancel its runs."""

import sys
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

from audience.cli.activity import logged_as
from audience.cli.declarations import Option
from audience.cli.delivery_options import (
    DEFAULT_CONCURRENCY,
    AttemptsOption,
    CredentialsOption,
    FolderArgument,
    HoldOption,
    HostOption,
    MaxUnknownOption,
    MessageOption,
    MethodOption,
    PolicyIndexOption,
    RecordOption,
    RecordWaitOption,
    RunOrIndexArgument,
    SendConcurrencyOption,
    SendScheduleOptions,
    TimeoutOption,
)
from audience.cli.interrupts import end_in_order_on_sigterm
from audience.cli.options import CapOption, WithoutPolicyOption, parse_max_unknown, parse_vendor_host
from audience.cli.output.delivery import (
    format_dry_run,
    format_left_out,
    format_run_question,
    format_run_syncs,
    format_statuses,
    name_vendors,
    opening_notes,
    rest_notes,
    scheduled_notes,
    unfinished_problems,
    waiting_notes,
)
from audience.cli.output.writer import NOTHING_TO_SEND, Output
from audience.delivery import campaign_runs
from audience.delivery.campaign_runs import CredentialsFor
from audience.delivery.clock import SYSTEM_CLOCK
from audience.delivery.dry_run import DryRun, perform_dry_run
from audience.delivery.ledger.left_out import count_reasons
from audience.delivery.ledger.status import Status
from audience.delivery.ledger.workers import Worker
from audience.delivery.policy_options import PolicyOptions
from audience.delivery.prepare import PreparedRun
from audience.delivery.recorded_runs import drop_emissions, record_runs
from audience.delivery.run_recorder import record_while_running
from audience.delivery.run_waiting import wait_for_runs
from audience.delivery.runs import OnDoubt
from audience.delivery.safety_limits import SafetyLimits
from audience.delivery.schedule import lifetime_warnings
from audience.delivery.sender.worker import SendOptions
from audience.delivery.syncing.index_folder import is_index_folder
from audience.delivery.transport.credentials import load_credentials
from audience.delivery.transport.pace_file import pace_problems
from audience.delivery.transport.retry import RetryPolicy
from audience.delivery.unreached import list_unreached
from audience.errors import DeliveryError, Problem
from audience.index.changes.events.recording import DEFAULT_WAIT_SECONDS
from audience.index.device_index import DeviceIndex
from audience.index.storage.published import open_storage, require_local
from audience.json_forms.plans import emitted_sync_json
from audience.json_forms.runs import dry_run_json, status_json
from audience.messages import Message
from audience.progress import Progress
from audience.requests.reader import read_message
from audience.vendors import require_delivery
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Vendor


@logged_as("send")
def run_send(
    output: Output,
    folder: FolderArgument,
    message: MessageOption,
    expect: Annotated[
        int | None,
        Option("--expect", min=0, metavar="N", help="Number of devices to message; fail if it is another."),
    ] = None,
    max_devices: Annotated[
        int | None, Option("--max-devices", min=0, metavar="N", help="Maximum number of devices to message.")
    ] = None,
    broadcast: Annotated[
        bool, Option("--broadcast", help="Allow messages to every device that the vendor knows.")
    ] = False,
    method: MethodOption = None,
    *,
    schedule: SendScheduleOptions,
    cap: CapOption = None,
    without_policy: WithoutPolicyOption = None,
    index: PolicyIndexOption = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Prepare everything, but make no calls.")] = False,
    validate: Annotated[
        bool, Option("--validate", help="With --dry-run, let the vendor validate each call without delivery.")
    ] = False,
    record: RecordOption = None,
    wait: RecordWaitOption = DEFAULT_WAIT_SECONDS,
    credentials: CredentialsOption = None,
    host: HostOption = None,
    concurrency: SendConcurrencyOption = None,
    timeout: TimeoutOption = 30,
    attempts: AttemptsOption = 8,
    max_unknown: MaxUnknownOption = None,
) -> None:
    """Send a message to the devices of a request folder.

    Pass --expect or --max-devices, so that a wrong folder cannot reach too many devices.

    If the command is interrupted, continue with `audience resume`. What is scheduled for later is sent by
    `audience run wait`, or by `audience resume` at its time.
    """
    if validate and not dry_run:
        hint = "add --dry-run, or leave --validate out to send"
        raise DeliveryError(Problem("bad-option", "--validate needs --dry-run", hint=hint))
    end_in_order_on_sigterm()
    content = read_message(message)
    limits = SafetyLimits(expected=expect, max_devices=max_devices, broadcast=broadcast)
    retry = RetryPolicy(timeout=timeout, max_attempts=attempts)
    with output.show_progress() as progress:
        options = _make_send_options(retry, concurrency, progress, output, parse_max_unknown(max_unknown))
        load_vendor_credentials = _make_credentials_loader(credentials, host)
        runs = campaign_runs.prepare_all(
            folder,
            content,
            load_vendor_credentials,
            limits,
            method_name=method,
            policies=PolicyOptions.read(cap or (), without_policy or (), index),
            schedule=schedule.read_all(),
            progress=progress,
        )
        output.print_warnings(_send_warnings(content, runs))
        output.print_notes(_left_out_notes(runs))
        if dry_run:
            _print_dry_runs([perform_dry_run(run, validate, options) for run in runs], output)
            return
        with _record(record, folder, wait, output):
            statuses = campaign_runs.send_all(folder, content, runs, options)
    _print_statuses(statuses, output, folder)


@logged_as("resume")
def run_resume(
    output: Output,
    folder: RunOrIndexArgument,
    on_doubt: Annotated[
        OnDoubt,
        Option("--on-doubt", help="Batches in doubt: report them, skip them, or retry (may deliver twice)."),
    ] = "report",
    moved: Annotated[
        bool,
        Option("--moved", help="The folder was moved to another disk or machine, and no other copy exists."),
    ] = False,
    hold: HoldOption = False,
    without_policy: WithoutPolicyOption = None,
    index: PolicyIndexOption = None,
    record: RecordOption = None,
    wait: RecordWaitOption = DEFAULT_WAIT_SECONDS,
    credentials: CredentialsOption = None,
    host: HostOption = None,
    concurrency: SendConcurrencyOption = None,
    timeout: TimeoutOption = 30,
    attempts: AttemptsOption = 8,
    max_unknown: MaxUnknownOption = None,
) -> None:
    """Resume the runs of a folder, or the syncs of tags of an index; several workers may resume one run."""
    end_in_order_on_sigterm()
    if is_index_folder(folder):
        _resume_syncs(output, folder, credentials, host, RetryPolicy(timeout=timeout, max_attempts=attempts),
                      concurrency or DEFAULT_CONCURRENCY, max_unknown, wait)  # fmt: skip
        return
    campaign_runs.require_created_folders(folder)  # before anything is recorded
    load_vendor_credentials = _make_credentials_loader(credentials, host)
    retry = RetryPolicy(timeout=timeout, max_attempts=attempts)
    with output.show_progress() as progress:
        options = _make_send_options(retry, concurrency, progress, output, parse_max_unknown(max_unknown))
        policies = PolicyOptions.read(without=without_policy or (), index=index)
        with _record(record, folder, wait, output):
            statuses = campaign_runs.resume_all(
                folder, load_vendor_credentials, on_doubt, options, moved=moved, policies=policies, hold=hold
            )
    _print_statuses(statuses, output, folder)


@logged_as("run wait")
def run_run_wait(
    output: Output,
    folder: FolderArgument,
    hold: HoldOption = False,
    without_policy: WithoutPolicyOption = None,
    index: PolicyIndexOption = None,
    record: RecordOption = None,
    wait: RecordWaitOption = DEFAULT_WAIT_SECONDS,
    credentials: CredentialsOption = None,
    host: HostOption = None,
    concurrency: SendConcurrencyOption = None,
    timeout: TimeoutOption = 30,
    attempts: AttemptsOption = 8,
    max_unknown: MaxUnknownOption = None,
) -> None:
    """Wait for the moments of the runs of a folder, and send what is due, until nothing is held any more.

    It may be stopped and started at any time, and several may wait for one folder.
    """
    campaign_runs.require_created_folders(folder)  # before anything is recorded
    end_in_order_on_sigterm()
    load_vendor_credentials = _make_credentials_loader(credentials, host)
    retry = RetryPolicy(timeout=timeout, max_attempts=attempts)
    with output.show_progress() as progress:
        options = _make_send_options(retry, concurrency, progress, output, parse_max_unknown(max_unknown))
        policies = PolicyOptions.read(without=without_policy or (), index=index)

        def resume(resting: Collection[str]) -> dict[str, Status]:
            return campaign_runs.resume_all(
                folder, load_vendor_credentials, "report", options, policies=policies, hold=hold, resting=resting
            )

        with _record(record, folder, wait, output):
            statuses = wait_for_runs(
                folder, resume, options.clock, lambda waiting: output.print_notes(opening_notes(waiting))
            )
    _print_statuses(statuses, output, folder)


def run_status(output: Output, folder: RunOrIndexArgument) -> None:
    """Show the progress of the runs of a folder, or of the syncs of tags of an index."""
    if is_index_folder(folder):
        from audience.cli.commands.sync import print_statuses
        from audience.delivery.syncing.applications import load_sync_statuses

        print_statuses(load_sync_statuses(folder), folder, output)
        return
    output.print_warnings(campaign_runs.all_copy_warnings(folder))
    statuses, questions = campaign_runs.load_all_statuses(folder), campaign_runs.read_questions(folder)
    syncs, now = campaign_runs.read_syncs(folder), SYSTEM_CLOCK.wall()
    facts = {
        name: {
            **status_json(status),
            "audience": questions[name],
            "synced": [emitted_sync_json(entry, now) for entry in syncs[name]],
        }
        for name, status in statuses.items()
    }
    audiences = dict.fromkeys([*map(format_run_question, questions.values()), *map(format_run_syncs, syncs.values())])
    output.print_result(facts, lambda: "\n".join([*filter(None, audiences), format_statuses(statuses)]))
    output.print_notes(scheduled_notes(statuses, folder))
    _exit_if_problems(unfinished_problems(statuses), output)


@logged_as("cancel")
def run_cancel(
    output: Output,
    folder: RunOrIndexArgument,
    record: RecordOption = None,
    wait: RecordWaitOption = DEFAULT_WAIT_SECONDS,
    credentials: CredentialsOption = None,
    host: HostOption = None,
    timeout: TimeoutOption = 30,
    attempts: AttemptsOption = 8,
    vendor: Annotated[
        str | None,
        Option(
            "--vendor", metavar="VENDOR", help="With an index, the vendor whose sync is cancelled.", show_default="all"
        ),
    ] = None,
) -> None:
    """Cancel the runs of a folder, or the syncs of tags of an index: no other call is made.

    What vendors deliver later is withdrawn there. Calls in flight finish first. What can no longer be stopped is an
    error.
    """
    if record is not None:
        require_local(open_storage(record))
    if is_index_folder(folder):
        _cancel_syncs(output, folder, vendor)
        return
    if vendor is not None:
        raise DeliveryError(Problem("bad-option", "--vendor goes with an index", hint="leave it out"))
    if record is not None and not campaign_runs.has_runs(folder):
        drop_emissions(DeviceIndex.open(record), folder, wait=wait)
        output.print_result({}, f"{folder}: nothing was sent; {record} counts its devices no more")
        return
    campaign_runs.cancel_all(folder)
    load_vendor_credentials = _make_credentials_loader(credentials, host)
    with output.show_progress() as progress:
        retry = RetryPolicy(timeout=timeout, max_attempts=attempts)
        options = _make_send_options(retry, 1, progress, output, None)
        left = campaign_runs.withdraw_all(folder, load_vendor_credentials, options)
    statuses = campaign_runs.load_all_statuses(folder)
    if record is not None:
        output.print_warnings(record_runs(DeviceIndex.open(record), folder, wait=wait).problems)
    output.print_warnings(campaign_runs.all_copy_warnings(folder))
    facts = {name: status_json(status) for name, status in statuses.items()}
    output.print_result(facts, lambda: format_statuses(statuses))
    output.print_notes(rest_notes(statuses, folder))
    _exit_if_problems(left, output)


def _resume_syncs(
    output: Output,
    index: Path,
    credentials: Path | None,
    hosts: list[str] | None,
    retry: RetryPolicy,
    concurrency: int,
    max_unknown: str | None,
    wait: float,
) -> None:
    from audience.cli.commands.sync import make_sync_options, resume_syncs  # runs need none of it

    with output.show_progress() as progress:
        options = make_sync_options(retry, concurrency, progress, output, max_unknown, wait)
        resume_syncs(output, index, options, credentials, hosts or [], max_unknown)


def _cancel_syncs(output: Output, index: Path, vendor: str | None) -> None:
    from audience.cli.output.syncs import format_sync_statuses  # runs need none of it
    from audience.delivery.syncing.applications import cancel_syncs
    from audience.json_forms.syncs import sync_status_json

    statuses = cancel_syncs(index, vendor)
    output.print_result([sync_status_json(status) for status in statuses], lambda: format_sync_statuses(statuses))


def _record(index: Path | None, folder: Path, wait: float, output: Output) -> AbstractContextManager[None]:
    """Return a context manager in which the runs of *folder* are recorded in *index*, if there is one."""
    if index is None:
        return nullcontext()
    return record_while_running(index, folder, wait=wait, on_problems=output.print_warnings)


def _make_send_options(
    retry: RetryPolicy, concurrency: int | None, progress: Progress, output: Output, max_unknown: float | None
) -> SendOptions:
    output.print_warnings(pace_problems())
    on_wait = partial(_print_waiting, output)
    return SendOptions(retry, concurrency, progress, on_wait, max_unknown=max_unknown)


def _print_waiting(output: Output, workers: tuple[Worker, ...]) -> None:
    output.print_notes(waiting_notes(workers))


def _make_credentials_loader(credentials_path: Path | None, hosts: list[str] | None) -> CredentialsFor:
    """Return a function that loads the credentials of a vendor, with its host if one is given."""
    host_by_vendor = dict(map(parse_vendor_host, hosts or ()))

    def load_vendor_credentials(vendor: Vendor) -> Credentials:
        host = host_by_vendor.get(vendor.name, host_by_vendor.get(None))
        return load_credentials(vendor.name, require_delivery(vendor), host=host, file=credentials_path)

    return load_vendor_credentials


def _send_warnings(message: Message, prepared_runs: list[PreparedRun]) -> list[Problem]:
    """Return what vendors shorten or ignore in the message."""
    if not prepared_runs:
        return [NOTHING_TO_SEND]
    problems = {
        run.requests.vendor.name: (
            *run.bodies.list_warnings(run.delivery),
            *list_unreached(run),
            *lifetime_warnings(run.schedule, run.parts, message.time_to_live),
        )
        for run in prepared_runs
    }
    return name_vendors(problems)


def _left_out_notes(runs: list[PreparedRun]) -> list[Problem]:
    """Return a note for each run of which policies leave ids out since it was emitted."""
    return [
        Problem("policy", f"{run.requests.vendor.name}: left out by policies: {format_left_out(counts)}")
        for run in runs
        if (counts := count_reasons((each.code, 1) for each in run.left_out))
    ]


def _print_dry_runs(dry_runs: list[DryRun], output: Output) -> None:
    facts = [dry_run_json(dry_run) for dry_run in dry_runs]
    output.print_result(facts, lambda: "\n".join(map(format_dry_run, dry_runs)))
    _exit_if_problems([problem for dry_run in dry_runs for problem in dry_run.problems], output)


def _print_statuses(statuses: dict[str, Status], output: Output, folder: Path) -> None:
    """Print the statuses and what is scheduled; exit with 1 if a run is neither, or misses somebody."""
    facts = {name: status_json(status) for name, status in statuses.items()}
    output.print_result(facts, lambda: format_statuses(statuses) or NOTHING_TO_SEND.message)
    output.print_notes(scheduled_notes(statuses, folder))
    _exit_if_problems(unfinished_problems(statuses), output)


def _exit_if_problems(problems: list[Problem], output: Output) -> None:
    if problems:
        output.print_errors(problems)
        sys.exit(1)
