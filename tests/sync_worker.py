"""Process that syncs an index to the sandbox, for tests that kill it."""

import os
import sys
from pathlib import Path

from callers import make_keys

from audience import DeviceIndex
from audience.delivery.syncing.index_sync import SyncChoices, sync_tags
from audience.delivery.syncing.worker import SyncOptions
from audience.delivery.transport.retry import RetryPolicy
from audience.errors import AudienceError
from audience.planning.catalog.check import load_catalog
from audience.vendors import get_vendor
from audience.vendors.delivery_spec import Credentials

RETRY = RetryPolicy(max_attempts=30, initial_delay=0.01, max_delay=0.05, timeout=1, max_lost=1_000)


def sync(index: Path, catalog: Path, vendor: str, url: str, **choices):
    """Sync the current snapshot of *index*, and return the status."""
    return sync_tags(
        DeviceIndex.open(index),
        get_vendor(vendor),
        load_catalog(catalog),
        Credentials(url, make_keys(vendor)),
        SyncChoices(**choices),
        SyncOptions(retry=RETRY, concurrency=4),
    )


def work(index: Path, catalog: Path, vendor: str, url: str) -> None:
    """Sync, and end the process."""
    try:
        sync(index, catalog, vendor, url)
    except AudienceError as error:
        sys.stderr.write(f"{error}\n")
        os._exit(1)
    os._exit(0)
