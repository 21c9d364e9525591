"""Watch of an index: its tags are synced after each new snapshot."""

import time
from collections.abc import Callable

from audience.delivery.syncing.status import SyncStatus
from audience.errors import AudienceError, InvalidIndexError
from audience.index.storage.manifest import load_current_manifest
from audience.index.storage.published import Storage

POLL_SECONDS = 0.5  # between two looks at the index
RETRY_SECONDS = 60.0  # after a sync that did not end, if the index has no newer snapshot before


def watch_index(
    storage: Storage,
    sync: Callable[[], SyncStatus],
    on_status: Callable[[SyncStatus], None],
    on_error: Callable[[AudienceError], None],
    *,
    retry_seconds: float = RETRY_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sync, and sync again after each new snapshot, until KeyboardInterrupt or a sync that was cancelled.

    Nothing is locked between two syncs. One that fails is reported, and tried again at the next snapshot or after a
    while.

    Args:
        storage: Storage of the index.
        sync: Syncs the current snapshot.
        on_status: Called after each sync, also one that did not end.
        on_error: Called for a sync that could not begin.
        retry_seconds: Seconds until a sync that did not end is tried again.
        sleep: Waits for that many seconds.
    """
    while True:
        number = _find_number(storage)
        is_complete = False
        try:
            status = sync()
            on_status(status)
            if status.state == "cancelled":
                return
            is_complete = status.is_complete
        except AudienceError as error:
            on_error(error)
        waited = 0.0
        while _find_number(storage) in (number, None) and (is_complete or waited < retry_seconds):
            sleep(POLL_SECONDS)
            waited += POLL_SECONDS


def _find_number(storage: Storage) -> str | None:
    """Return what identifies the current snapshot; None if the index cannot be read at the moment."""
    try:
        return load_current_manifest(storage).etag
    except InvalidIndexError:
        return None
