"""Sending: begun, gone on with, looked at, cancelled."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from audience.cli.options import HOUR_SECONDS, JsonOption
from audience.cli.output.delivery import (
    dry_run_json,
    format_dry_run,
    format_statuses,
    status_json,
    unfinished_problems,
    waiting_notes,
)
from audience.cli.output.report import NOTHING_TO_SEND, print_errors, print_notes, print_result, print_warnings
from audience.cli.output.widgets import progress_bar
from audience.delivery import campaign_runs
from audience.delivery.campaign_runs import CredentialsFor
from audience.delivery.dry_run import DryRun, perform_dry_run
from audience.delivery.ledger.status import Status
from audience.delivery.prepare import PreparedRun
from audience.delivery.runs import OnDoubt
from audience.delivery.safety_limits import SafetyLimits, warn_if_fewer
from audience.delivery.sender.worker import SendOptions
from audience.delivery.transport.credentials import load_credentials
from audience.delivery.transport.retry import RetryPolicy
from audience.errors import DeliveryError, Problem
from audience.messages import Message
from audience.progress import Progress
from audience.requests.reader import read_message
from audience.vendors import require_delivery, vendor_names
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Vendor

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", exists=True, help="What `audience emit` or `audience campaign` wrote.")
]
MessageOption = Annotated[Path, typer.Option("--message", metavar="FILE", help="The message, as JSON.")]
CredentialsOption = Annotated[
    Path | None,
    typer.Option("--credentials", metavar="FILE", help="A TOML file of mode 600; else AUDIENCE_VENDOR_KEY variables."),
]
HostOption = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="[VENDOR=]HOST", help="A data centre by name, or a URL; may be said again."),
]
ConcurrencyOption = Annotated[int, typer.Option(min=1, max=1_000, metavar="N", help="Calls under way at once.")]
TimeoutOption = Annotated[
    float, typer.Option(min=0.1, max=HOUR_SECONDS, metavar="SECONDS", help="How long a reply is waited for.")
]
AttemptsOption = Annotated[
    int, typer.Option(min=1, max=1_000, metavar="N", help="Tries of a call that has told nobody.")
]
MethodOption = Annotated[
    str | None, typer.Option("--method", metavar="NAME", help="How ids are told; `audience plan` lists the ways.")
]


def run_send(
    folder: FolderArgument,
    message: MessageOption,
    expect: Annotated[int | None, typer.Option(min=0, metavar="N", help="How many devices are meant.")] = None,
    max_devices: Annotated[int | None, typer.Option(min=0, metavar="N", help="No more than so many.")] = None,
    broadcast: Annotated[bool, typer.Option("--broadcast", help="Everyone that the vendor knows may be told.")] = False,
    method: MethodOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do all but the calls.")] = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="With --dry-run: the vendor checks each call, and tells nobody.")
    ] = False,
    credentials: CredentialsOption = None,
    host: HostOption = None,
    concurrency: ConcurrencyOption = 32,
    timeout: TimeoutOption = 30,
    attempts: AttemptsOption = 8,
    json: JsonOption = False,
) -> None:
    """Send a message to whom the requests of a folder mean; once begun, `audience resume` goes on."""
    if validate and not dry_run:
        raise DeliveryError(Problem("bad-option", "--validate goes with --dry-run"))
    said = read_message(message)
    allowed = SafetyLimits(expected=expect, max_devices=max_devices, broadcast=broadcast)
    with progress_bar() as progress:
        effort = _make_send_options(RetryPolicy(timeout=timeout, max_attempts=attempts), concurrency, progress, json)
        ready = campaign_runs.prepare_all(
            folder, said, _make_credentials_loader(credentials, host), allowed, method_name=method, progress=progress
        )
        print_warnings(_send_warnings(folder, said, ready, allowed), json)
        if dry_run:
            _print_dry_runs([perform_dry_run(prepared, validate, effort) for prepared in ready], json)
            return
        sent = campaign_runs.send_all(folder, said, ready, effort)
    _print_statuses(sent, json)


def run_resume(
    folder: FolderArgument,
    on_doubt: Annotated[
        OnDoubt, typer.Option("--on-doubt", help="What is in doubt: only report it, let it stay so, or send it again.")
    ] = "report",
    moved: Annotated[
        bool, typer.Option("--moved", help="The folder was moved to another disk or machine, and is left nowhere else.")
    ] = False,
    credentials: CredentialsOption = None,
    host: HostOption = None,
    concurrency: ConcurrencyOption = 32,
    timeout: TimeoutOption = 30,
    attempts: AttemptsOption = 8,
    json: JsonOption = False,
) -> None:
    """Go on with what was begun, also beside others who are at it."""
    known = _make_credentials_loader(credentials, host)
    with progress_bar() as progress:
        effort = _make_send_options(RetryPolicy(timeout=timeout, max_attempts=attempts), concurrency, progress, json)
        found = campaign_runs.resume_all(folder, known, on_doubt, effort, moved=moved)
    _print_statuses(found, json)


def run_status(folder: FolderArgument, json: JsonOption = False) -> None:
    """How far a run is: what was told, refused, is in doubt or left."""
    print_warnings(campaign_runs.all_copy_warnings(folder), json)
    _print_statuses(campaign_runs.load_all_statuses(folder), json)


def run_cancel(folder: FolderArgument, json: JsonOption = False) -> None:
    """Never send what was not sent yet; what is under way comes to its end."""
    found = campaign_runs.cancel_all(folder)
    print_warnings(campaign_runs.all_copy_warnings(folder), json)
    print_result({name: status_json(each) for name, each in found.items()}, json, format_statuses(found))


def _make_send_options(retry: RetryPolicy, concurrency: int, progress: Progress, json: bool) -> SendOptions:
    return SendOptions(retry, concurrency, progress, lambda others: print_notes(waiting_notes(others), json))


def _make_credentials_loader(credentials_path: Path | None, hosts: list[str] | None) -> CredentialsFor:
    """Who is known at each vendor; a host without a vendor's name is for all of them."""
    said = dict(_parse_host(each) for each in hosts or ())

    def load_vendor_credentials(vendor: Vendor) -> Credentials:
        return load_credentials(
            vendor.name, require_delivery(vendor), host=said.get(vendor.name, said.get(None)), file=credentials_path
        )

    return load_vendor_credentials


def _parse_host(text: str) -> tuple[str | None, str]:
    name, sign, host = text.partition("=")
    return (name, host) if sign and name in vendor_names() else (None, text)


def _send_warnings(
    folder: Path, message: Message, prepared_runs: list[PreparedRun], limits: SafetyLimits
) -> list[Problem]:
    """What the vendors would cut, ignore or not say of the message, and that there are fewer devices than expected."""
    found = warn_if_fewer(campaign_runs.count_run_devices(folder), limits) if prepared_runs else [NOTHING_TO_SEND]
    for prepared in prepared_runs:
        found += [*prepared.delivery.unsupported_fields(message), *prepared.delivery.warnings(prepared.body)]
    return found


def _print_dry_runs(dry_runs: list[DryRun], json: bool) -> None:
    print_result([dry_run_json(each) for each in dry_runs], json, "\n".join(map(format_dry_run, dry_runs)))
    _exit_if_problems([problem for each in dry_runs for problem in each.problems], json)


def _print_statuses(statuses: dict[str, Status], json: bool) -> None:
    """Print how far it is; the exit code is 1 where that is not all the way."""
    print_result(
        {name: status_json(each) for name, each in statuses.items()},
        json,
        format_statuses(statuses) or NOTHING_TO_SEND.message,
    )
    _exit_if_problems(unfinished_problems(statuses), json)


def _exit_if_problems(problems: list[Problem], json: bool) -> None:
    if problems:
        print_errors(problems, json)
        sys.exit(1)
