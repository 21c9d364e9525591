"""All applications that an index syncs tags to: their statuses, cancelling, and what to resume."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from audience.activity_log import log_activity
from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.syncing.folder import LEDGER_FILE, lock_application, require_local_folder, sync_folder
from audience.delivery.syncing.ledger import SyncLedger
from audience.delivery.syncing.status import SyncStatus, load_sync_status
from audience.errors import DeliveryError, LockedError, Problem
from audience.index.storage.published import open_storage
from audience.tag_sync.storage import drop_state, list_states, load_state


def load_sync_statuses(index: Path, vendor: str | None = None) -> list[SyncStatus]:
    """Return the status of each application that tags of *index* were synced to; with *vendor*, of its own only.

    Raises:
        DeliveryError: There is none.
    """
    storage = open_storage(index)
    folder = require_local_folder(storage.location)
    statuses = [load_sync_status(folder, facts) for facts in list_states(storage)]
    chosen = [each for each in statuses if vendor in (None, each.vendor, each.application.family)]
    if not chosen:
        whose = "" if vendor is None else f" to {vendor}"
        message = f"{index}: no tags were synced{whose}"
        raise DeliveryError(Problem("no-sync", message, hint="run `audience sync`"))
    return chosen


def cancel_syncs(index: Path, vendor: str | None = None, clock: Clock = SYSTEM_CLOCK) -> list[SyncStatus]:
    """Cancel the syncs of *index* that have begun and not ended: no process makes another call.

    One of which no call was made to an application that has no tags of the index yet, such as one to a mistaken host,
    is forgotten. Return the statuses of all of them.

    Raises:
        DeliveryError: Tags were never synced.
    """
    for status in load_sync_statuses(index, vendor):
        ledger_path = sync_folder(index, status.application) / LEDGER_FILE
        if status.is_complete or not ledger_path.is_file():
            continue
        with SyncLedger(ledger_path) as ledger, ledger.transaction():
            ledger.query("cancel_sync", now=clock.wall())
        log_activity("sync-cancelled", sync=status.number, vendor=status.vendor)
    statuses = load_sync_statuses(index, vendor)
    for status in statuses:
        if status.state == "cancelled" and set(filter(status.calls.get, status.calls)) <= {"todo"}:
            _forget_unreached(index, status)
    return statuses


def _forget_unreached(index: Path, status: SyncStatus) -> None:
    """Drop the state of an application that no call has reached, unless a process has begun to sync it again."""
    storage = open_storage(index)
    with suppress(LockedError), lock_application(index, status.application) as folder:
        state = load_state(storage, status.application)
        if state.number == status.number and not state.attributes and not any((*state.known.rows, *state.doubtful)):
            drop_state(storage, state)
            (folder / LEDGER_FILE).unlink(missing_ok=True)


def load_request(index: Path, status: SyncStatus) -> dict[str, Any]:
    """Return the options of a sync that has not ended, to go on with it.

    Raises:
        DeliveryError: It was cancelled, or its ledger is lost.
    """
    if status.state == "cancelled":
        message = f"{index}: the sync to {status.vendor} was cancelled"
        raise DeliveryError(Problem("cancelled", message, hint="run `audience sync` to begin again"))
    ledger_path = sync_folder(index, status.application) / LEDGER_FILE
    hint = "run `audience sync` with the vendor, the catalog and the attributes again"
    if not ledger_path.is_file():
        raise DeliveryError(Problem("no-sync", f"{index}: the ledger of the sync is not there", hint=hint))
    with SyncLedger(ledger_path, write=False) as ledger:
        request: dict[str, Any] = orjson.loads(ledger.load_record().request)
    if not request:
        raise DeliveryError(Problem("no-sync", f"{index}: the ledger does not have the options of the sync", hint=hint))
    return request
