"""Command that makes the tags at a vendor those of an index."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from audience.cli.activity import logged_as
from audience.cli.declarations import Option
from audience.cli.delivery_options import (
    AttemptsOption,
    ConcurrencyOption,
    CredentialsOption,
    HostOption,
    MaxUnknownOption,
    TimeoutOption,
)
from audience.cli.interrupts import end_in_order_on_sigterm
from audience.cli.options import (
    HOUR_SECONDS,
    CatalogOption,
    IndexArgument,
    WaitOption,
    load_optional_catalog,
    parse_max_unknown,
    parse_vendor_host,
)
from audience.cli.output.syncs import (
    format_sync_calls,
    format_sync_plan,
    format_sync_statuses,
    sync_plan_notes,
    unfinished_sync_problems,
)
from audience.cli.output.writer import Output
from audience.delivery.syncing.applications import load_request, load_sync_statuses
from audience.delivery.syncing.index_sync import SyncChoices, plan_tags, require_tags, sync_tags
from audience.delivery.syncing.plan import SyncPlan
from audience.delivery.syncing.reading import ReadingError
from audience.delivery.syncing.status import SyncStatus
from audience.delivery.syncing.watching import RETRY_SECONDS, watch_index
from audience.delivery.syncing.worker import SyncOptions
from audience.delivery.transport.credentials import load_credentials
from audience.delivery.transport.pace_file import pace_problems
from audience.delivery.transport.retry import RetryPolicy
from audience.errors import AudienceError, DeliveryError, Problem
from audience.index.device_index import DeviceIndex
from audience.json_forms.syncs import sync_plan_json, sync_status_json
from audience.progress import Progress
from audience.vendors import get_vendor, require_delivery

TagVendorOption = Annotated[str, Option("--vendor", metavar="VENDOR", help="Vendor whose tags are set.")]
AttributesOption = Annotated[
    str | None,
    Option(
        "--attributes",
        metavar="NAME,…",
        help="Attributes and bare tags.",
        show_default="all that the catalog names at the vendor",
    ),
]
KeyTypeOption = Annotated[
    str | None,
    Option(
        "--key-type",
        metavar="KIND",
        help="Kind of ids to which tags are bound, if the vendor has several.",
        show_default="that of devices",
    ),
]


@logged_as("sync")
def run_sync(
    output: Output,
    index: IndexArgument,
    vendor: TagVendorOption,
    catalog: CatalogOption = None,
    attributes: AttributesOption = None,
    key_type: KeyTypeOption = None,
    full: Annotated[
        bool,
        Option("--full", help="Set every tag again, and remove all others of the attributes that were ever synced."),
    ] = False,
    from_vendor: Annotated[
        bool, Option("--from-vendor", help="Read the tags that the vendor has, a call a device, and correct those.")
    ] = False,
    retry_unknown: Annotated[
        bool, Option("--retry-unknown", help="Try ids again that the vendor did not know.")
    ] = False,
    remove_obsolete: Annotated[
        bool,
        Option("--remove-obsolete", help="Also remove tags of earlier syncs that catalog and index name no more."),
    ] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be done, but change nothing.")] = False,
    watch: Annotated[bool, Option("--watch", help="Sync after each new snapshot of the index, until Ctrl-C.")] = False,
    retry_after: Annotated[
        float,
        Option(
            "--retry-after",
            min=0,
            max=HOUR_SECONDS,
            metavar="SECONDS",
            help="With --watch, time until a sync that failed is tried again.",
        ),
    ] = RETRY_SECONDS,
    credentials: CredentialsOption = None,
    host: HostOption = None,
    concurrency: ConcurrencyOption = 32,
    timeout: TimeoutOption = 30,
    attempts: AttemptsOption = 8,
    max_unknown: MaxUnknownOption = None,
    wait: WaitOption = 60,
) -> None:
    """Make the tags of devices at a vendor those of the index.

    Only the difference to the last sync is sent. A plan then targets these attributes natively, until a device changes.
    A sync that is interrupted goes on with `audience resume INDEX`, or with the same command.
    """
    if watch and (dry_run or full or from_vendor):
        message = "--watch goes with none of --dry-run, --full and --from-vendor"
        raise DeliveryError(Problem("bad-option", message, hint="run those first without --watch, then watch"))
    request = {
        "vendor": vendor,
        "catalog": None if catalog is None else str(catalog.absolute()),
        "attributes": attributes,
        "key_type": key_type,
        "hosts": host or [],
        "credentials": None if credentials is None else str(credentials.absolute()),
        "max_unknown": max_unknown,
        "remove_obsolete": remove_obsolete,
    }
    end_in_order_on_sigterm()
    retry = RetryPolicy(timeout=timeout, max_attempts=attempts)
    trust = SyncChoices(full=full, from_vendor=from_vendor, retry_unknown=retry_unknown)
    with output.show_progress() as progress:
        options = make_sync_options(retry, concurrency, progress, output, max_unknown, wait)
        if dry_run:
            plan = plan_tags(DeviceIndex.open(index), **_read_request(request, trust), options=options)
            _print_plan(plan, output)
            return
        sync = partial(_sync, index, request, trust, options, output)
        if watch:
            _watch(index, sync, output, retry_after)
            return
        status = _with_hint(sync, index, output)
    print_statuses([status], index, output)


def resume_syncs(
    output: Output,
    index: Path,
    options: SyncOptions,
    credentials: Path | None,
    hosts: list[str],
    max_unknown: str | None,
) -> None:
    """Go on with all syncs of *index* that have not ended, and print their statuses; exit with 1 if one has not.

    What is not given is as it was for the command that began the sync.
    """
    problems: list[Problem] = []
    for status in load_sync_statuses(index):
        if not status.is_complete:
            try:
                request = load_request(index, status)
            except DeliveryError as error:  # the others go on
                problems += error.problems
                continue
            request |= {"credentials": str(credentials)} if credentials is not None else {}
            request |= {"hosts": hosts} if hosts else {}
            request |= {"max_unknown": max_unknown} if max_unknown is not None else {}
            of_sync = with_max_unknown(options, request["max_unknown"])
            _with_hint(partial(_sync, index, request, SyncChoices(), of_sync, output), index, output)
    if problems:
        raise DeliveryError(*problems)
    print_statuses(load_sync_statuses(index), index, output)


def make_sync_options(
    retry: RetryPolicy, concurrency: int, progress: Progress, output: Output, max_unknown: str | None, wait: float
) -> SyncOptions:
    """Return the options of a sync; warn if runs cannot share the rate limits of an application."""
    output.print_warnings(pace_problems())
    options = SyncOptions(retry, concurrency, progress, wait=wait)
    return with_max_unknown(options, max_unknown)


def with_max_unknown(options: SyncOptions, max_unknown: str | None) -> SyncOptions:
    """Return *options* with a bound of unknown ids, if one is given."""
    share = parse_max_unknown(max_unknown)
    return options if share is None else replace(options, max_unknown=share)


def _read_request(request: dict[str, Any], trust: SyncChoices) -> dict[str, Any]:
    """Return the arguments of a sync that a *request* has, with what is in its files and variables now.

    Args:
        request: Options of the command, as JSON values.
        trust: What is trusted of the last sync.
    """
    vendor = get_vendor(request["vendor"])
    require_tags(vendor)
    hosts = dict(map(parse_vendor_host, request["hosts"]))
    file = request["credentials"]
    credentials = load_credentials(
        vendor.name,
        require_delivery(vendor),
        host=hosts.get(vendor.name, hosts.get(None)),
        file=None if file is None else Path(file),
    )
    return {
        "vendor": vendor,
        "catalog": load_optional_catalog(None if request["catalog"] is None else Path(request["catalog"])),
        "credentials": credentials,
        "choices": replace(
            trust,
            attributes=request["attributes"],
            key_type=request["key_type"],
            remove_obsolete=request.get("remove_obsolete", False),  # older ledgers do not have it
        ),
    }


def _sync(index: Path, request: dict[str, Any], trust: SyncChoices, options: SyncOptions, output: Output) -> SyncStatus:
    def print_plan(plan: SyncPlan) -> None:
        output.print_notes(sync_plan_notes(plan))
        output.print_summary(sync_plan_json(plan), f"{plan.vendor}: {format_sync_calls(plan)}")

    def print_wait(seconds: float) -> None:
        message = f"waiting {seconds:.0f} seconds: calls of an interrupted sync may still arrive at the vendor"
        output.print_notes([Problem("late-calls", message)])

    return sync_tags(
        DeviceIndex.open(index),
        **_read_request(request, trust),
        request=request,
        options=options,
        on_plan=print_plan,
        on_wait=print_wait,
    )


def _with_hint(sync: Callable[[], SyncStatus], index: Path, output: Output) -> SyncStatus:
    """Return the status of *sync*; if it is interrupted, say how to go on."""
    try:
        return sync()
    except KeyboardInterrupt:
        message = "the sync was interrupted; every call that was made is recorded"
        output.print_notes([Problem("interrupted", message, hint=f"run `audience resume {index}` to go on")])
        raise
    except ReadingError as error:
        output.print_errors(error.problems)
        sys.exit(1)


def _watch(index: Path, sync: Callable[[], SyncStatus], output: Output, retry_after: float) -> None:
    """Sync after each new snapshot, until SIGINT or SIGTERM, or until a sync is cancelled."""
    is_syncing = False

    def sync_and_note() -> SyncStatus:
        nonlocal is_syncing
        is_syncing = True
        try:
            return _with_hint(sync, index, output)
        finally:
            is_syncing = sys.exc_info()[0] is KeyboardInterrupt

    def print_status(status: SyncStatus) -> None:
        output.print_result(sync_status_json(status), lambda: format_sync_statuses([status]))
        sys.stdout.flush()
        if problems := unfinished_sync_problems([status], index):
            output.print_errors(problems)

    def print_error(error: AudienceError) -> None:
        output.print_errors(error.problems)

    storage = DeviceIndex.open(index).snapshot.storage
    try:
        watch_index(storage, sync_and_note, print_status, print_error, retry_seconds=retry_after)
    except KeyboardInterrupt:
        if is_syncing:
            raise
        return
    sys.exit(1)  # it was cancelled


def _print_plan(plan: SyncPlan, output: Output) -> None:
    output.print_notes(sync_plan_notes(plan))
    output.print_result(sync_plan_json(plan), lambda: format_sync_plan(plan))
    if plan.problems:
        raise DeliveryError(*plan.problems)


def print_statuses(statuses: list[SyncStatus], index: Path, output: Output) -> None:
    """Print the statuses; exit with 1 if a sync has not ended."""
    facts = [sync_status_json(status) for status in statuses]
    output.print_result(facts, lambda: format_sync_statuses(statuses))
    if problems := unfinished_sync_problems(statuses, index):
        output.print_errors(problems)
        sys.exit(1)
