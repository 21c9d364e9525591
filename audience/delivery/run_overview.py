"""Overview of the runs in the folders below another one, whoever wrote them: how far each is, and what it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from audience.delivery.failure_codes import Failure, list_failures, remove_reply
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, has_run
from audience.delivery.ledger.status import Status, count_progress, load_status
from audience.delivery.run_pace import Pace, measure_pace
from audience.errors import Problem
from audience.requests.campaign import CAMPAIGN_FILE, run_folders
from audience.requests.reader import read_manifest_summary
from audience.requests.writer import MANIFEST_FILE
from audience.vendors import require_delivery
from audience.vendors.spec import Vendor

RunState: TypeAlias = Literal[
    "emitted", "sending", "interrupted", "scheduled", "stopped", "in-doubt", "cancelled", "done"
]
# State of a folder with several runs: that of the first of these which one of them has.
STATES_BY_WEIGHT: tuple[RunState, ...] = (
    "sending",
    "stopped",
    "interrupted",
    "emitted",
    "scheduled",
    "in-doubt",
    "cancelled",
    "done",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRun:
    """Requests for one vendor, and their run.

    Attributes:
        vendor: The vendor.
        devices: Devices that the requests message.
        status: Status of the run; None if nothing was sent.
        settled: Ids and native requests that are settled.
        total: Ids and native requests that there are; None if nothing was sent.
        pace: Pace, while it is being sent.
        failures: Failures by their codes.
        stop: Why it stopped early, without the text of a reply.
    """

    vendor: Vendor
    devices: int
    status: Status | None = None
    settled: int = 0
    total: int | None = None
    pace: Pace | None = None
    failures: tuple[Failure, ...] = ()
    stop: Problem | None = None

    @property
    def state(self) -> RunState:
        """State of the run."""
        return "emitted" if self.status is None else find_state(self.status)


def list_run_names(folder: Path) -> list[str]:
    """Return the names of the folders of requests and of campaigns directly in *folder*, without symbolic links."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [entry.name for entry in entries if _is_run_folder(entry)]


def load_vendor_runs(folder: Path) -> list[VendorRun]:
    """Return the runs of a folder, one for each vendor that has devices.

    Raises:
        DeliveryError: A file of it is damaged.
    """
    return [_load_vendor_run(each) for each in run_folders(folder)]


def find_state(status: Status) -> RunState:
    """Return the state of a run."""
    if status.active_workers:
        return "sending"
    if status.cancelled:
        return "cancelled"
    if status.stop_reason is not None:
        return "stopped"
    if status.pending:
        return "interrupted"
    if status.waiting.batches:
        return "scheduled"
    return "in-doubt" if status.undecided else "done"


def join_states(states: Sequence[RunState]) -> RunState:
    """Return the state of a folder with runs in *states*.

    >>> join_states(["done", "sending"]), join_states([])
    ('sending', 'done')
    """
    return next((state for state in STATES_BY_WEIGHT if state in states), "done")


def _load_vendor_run(folder: Path) -> VendorRun:
    vendor, devices = read_manifest_summary(folder)
    if not has_run(folder):
        return VendorRun(vendor=vendor, devices=devices)
    delivery = require_delivery(vendor)
    with Ledger(folder / LEDGER_FILE, write=False) as ledger, ledger.read_transaction():
        status = load_status(ledger)
        settled, total = count_progress(ledger)
        return VendorRun(
            vendor=vendor,
            devices=devices,
            status=status,
            settled=settled,
            total=total,
            pace=measure_pace(ledger, folder, status),
            failures=tuple(list_failures(ledger, delivery)),
            stop=None if status.stop_reason is None else remove_reply(status.stop_reason, delivery),
        )


def _is_run_folder(entry: Path) -> bool:
    if entry.name.startswith(".") or entry.is_symlink():
        return False
    return (entry / MANIFEST_FILE).is_file() or (entry / CAMPAIGN_FILE).is_file()
