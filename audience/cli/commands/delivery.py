"""Sending: begun, gone on with, looked at, cancelled."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from audience.cli.options import HOUR, Json
from audience.cli.output.delivery import rehearsal_json, rehearsal_line, status_json, status_lines, troubles, waiting
from audience.cli.output.report import NOBODY, remark, result, tell, warn
from audience.cli.output.widgets import bar
from audience.delivery import campaign_runs
from audience.delivery.campaign_runs import Applications, Ready
from audience.delivery.dry_run import Rehearsal, rehearse
from audience.delivery.ledger.status import Status
from audience.delivery.runs import OnDoubt
from audience.delivery.safety_limits import Allowed, fewer
from audience.delivery.sender.worker import Effort
from audience.delivery.transport.credentials import application
from audience.delivery.transport.retry import Patience
from audience.errors import DeliveryError, Problem
from audience.messages import Message
from audience.progress import Progress
from audience.requests.reader import read_message
from audience.vendors import delivery_of, vendors
from audience.vendors.delivery_spec import Application
from audience.vendors.spec import Vendor

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", exists=True, help="What `audience emit` or `audience campaign` wrote.")
]
MessageFile = Annotated[Path, typer.Option("--message", metavar="FILE", help="The message, as JSON.")]
Credentials = Annotated[
    Path | None,
    typer.Option("--credentials", metavar="FILE", help="A TOML file of mode 600; else AUDIENCE_VENDOR_KEY variables."),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="[VENDOR=]HOST", help="A data centre by name, or a URL; may be said again."),
]
Concurrency = Annotated[int, typer.Option(min=1, max=1_000, metavar="N", help="Calls under way at once.")]
Timeout = Annotated[float, typer.Option(min=0.1, max=HOUR, metavar="SECONDS", help="How long a reply is waited for.")]
Attempts = Annotated[int, typer.Option(min=1, max=1_000, metavar="N", help="Tries of a call that has told nobody.")]
WayName = Annotated[
    str | None, typer.Option("--way", metavar="NAME", help="How ids are told; `audience plan` lists the ways.")
]


def send(
    folder: Folder,
    message: MessageFile,
    expect: Annotated[int | None, typer.Option(min=0, metavar="N", help="How many devices are meant.")] = None,
    max_devices: Annotated[int | None, typer.Option(min=0, metavar="N", help="No more than so many.")] = None,
    broadcast: Annotated[bool, typer.Option("--broadcast", help="Everyone that the vendor knows may be told.")] = False,
    way: WayName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do all but the calls.")] = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="With --dry-run: the vendor checks each call, and tells nobody.")
    ] = False,
    credentials: Credentials = None,
    host: Hosts = None,
    concurrency: Concurrency = 32,
    timeout: Timeout = 30,
    attempts: Attempts = 8,
    json: Json = False,
) -> None:
    """Send a message to whom the requests of a folder mean; once begun, `audience resume` goes on."""
    if validate and not dry_run:
        raise DeliveryError(Problem("bad-option", "--validate goes with --dry-run"))
    said = read_message(message)
    allowed = Allowed(expect=expect, max_devices=max_devices, broadcast=broadcast)
    with bar() as progress:
        effort = _effort(Patience(timeout=timeout, attempts=attempts), concurrency, progress, json)
        ready = campaign_runs.prepare_all(
            folder, said, _applications(credentials, host), allowed, way=way, progress=progress
        )
        warn(_warnings(folder, said, ready, allowed), json)
        if dry_run:
            _rehearsed([rehearse(each, to, validate, effort) for each, to in ready], json)
            return
        sent = campaign_runs.send_all(folder, said, ready, effort)
    _shown(sent, json)


def resume(
    folder: Folder,
    on_doubt: Annotated[
        OnDoubt, typer.Option("--on-doubt", help="What is in doubt: only report it, let it stay so, or send it again.")
    ] = "report",
    moved: Annotated[
        bool, typer.Option("--moved", help="The folder was moved to another disk or machine, and is left nowhere else.")
    ] = False,
    credentials: Credentials = None,
    host: Hosts = None,
    concurrency: Concurrency = 32,
    timeout: Timeout = 30,
    attempts: Attempts = 8,
    json: Json = False,
) -> None:
    """Go on with what was begun, also beside others who are at it."""
    known = _applications(credentials, host)
    with bar() as progress:
        effort = _effort(Patience(timeout=timeout, attempts=attempts), concurrency, progress, json)
        found = campaign_runs.resume_all(folder, known, on_doubt, effort, moved=moved)
    _shown(found, json)


def status(folder: Folder, json: Json = False) -> None:
    """How far a run is: what was told, refused, is in doubt or left."""
    warn(campaign_runs.copies(folder), json)
    _shown(campaign_runs.status_all(folder), json)


def cancel(folder: Folder, json: Json = False) -> None:
    """Never send what was not sent yet; what is under way comes to its end."""
    found = campaign_runs.cancel_all(folder)
    warn(campaign_runs.copies(folder), json)
    result({name: status_json(each) for name, each in found.items()}, json, status_lines(found))


def _effort(patience: Patience, concurrency: int, progress: Progress, json: bool) -> Effort:
    return Effort(patience, concurrency, progress, lambda others: remark(waiting(others), json))


def _applications(file: Path | None, hosts: list[str] | None) -> Applications:
    """Who is known at each vendor; a host without a vendor's name is for all of them."""
    said = dict(_host(each) for each in hosts or ())

    def known(to: Vendor) -> Application:
        return application(to.name, delivery_of(to), host=said.get(to.name, said.get(None)), file=file)

    return known


def _host(text: str) -> tuple[str | None, str]:
    name, sign, host = text.partition("=")
    return (name, host) if sign and name in vendors() else (None, text)


def _warnings(folder: Path, said: Message, ready: Ready, allowed: Allowed) -> list[Problem]:
    """What the vendors would cut, ignore or not say of the message, and that there are fewer devices than expected."""
    found = fewer(campaign_runs.devices(folder), allowed) if ready else [NOBODY]
    for each, _ in ready:
        found += [*each.delivery.lost(said), *each.delivery.warnings(each.body)]
    return found


def _rehearsed(found: list[Rehearsal], json: bool) -> None:
    result([rehearsal_json(each) for each in found], json, "\n".join(map(rehearsal_line, found)))
    _end([problem for each in found for problem in each.problems], json)


def _shown(found: dict[str, Status], json: bool) -> None:
    """Print how far it is; the exit code is 1 where that is not all the way."""
    result({name: status_json(each) for name, each in found.items()}, json, status_lines(found) or NOBODY.message)
    _end(troubles(found), json)


def _end(problems: list[Problem], json: bool) -> None:
    if problems:
        tell(problems, json)
        sys.exit(1)
