"""Worker of a sync: makes all calls of its packing, several at once where the vendor allows it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from audience.activity_log import log_activity
from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.ledger.connection import MAX_UNKNOWN_SHARE
from audience.delivery.ledger.group_commit import GroupCommit
from audience.delivery.sender.batch_log import describe_problem
from audience.delivery.sender.unknown_ids import UnknownIdCounts
from audience.delivery.syncing import ledger as records
from audience.delivery.syncing.call_maker import CallMaker
from audience.delivery.syncing.context import StopSync, SyncContext
from audience.delivery.syncing.ledger import SyncLedger
from audience.delivery.transport.http import HttpxTransport, open_transport
from audience.delivery.transport.rate_limit import RateLimiter, name_application
from audience.delivery.transport.retry import RetryPolicy
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows, rows_to_bitmap
from audience.progress import Progress, ignore_progress
from audience.tag_sync.packing.calls import PackedCall, Packing
from audience.tag_sync.tags import TagChanges
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Vendor
from audience.vendors.tag_spec import TagSpec

PROGRESS_INTERVAL_SECONDS = 0.3  # between two progress reports


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Options of a sync.

    Attributes:
        retry: Retries and timeouts.
        concurrency: Calls in flight at once, if the vendor allows as many.
        progress: Callback for progress reports.
        transport: Replacement for the network, for tests.
        clock: Clock of the sync.
        max_unknown: Share of ids that the vendor may not know before the sync stops, after the first ten thousand.
        wait: Seconds to wait for another writer of the index.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int = 32
    progress: Progress = ignore_progress
    transport: HttpxTransport | None = None
    clock: Clock = SYSTEM_CLOCK
    max_unknown: float = MAX_UNKNOWN_SHARE
    wait: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncTask:
    """Calls to make for one application.

    Attributes:
        number: Number of the sync of the application.
        vendor: The vendor.
        spec: How it takes changes of tags.
        credentials: Credentials of the application.
        key_type: Kind of ids to which tags are bound.
        changes: The changes.
        packing: The calls for them.
    """

    number: int
    vendor: Vendor
    spec: TagSpec
    credentials: Credentials
    key_type: str
    changes: TagChanges
    packing: Packing


def make_calls(ledger: SyncLedger, task: SyncTask, options: SyncOptions) -> None:
    """Make the calls of *task* that *ledger* has as todo, and record what becomes of them.

    If the sync must stop, the ledger has the reason. Calls in flight finish first, also after Ctrl-C.
    """
    asyncio.run(_make_calls(ledger, task, options))


async def _make_calls(ledger: SyncLedger, task: SyncTask, options: SyncOptions) -> None:
    try:
        async with open_context(ledger, task, options) as context:
            await _Scheduler(ledger, context, task, options).run()
    except StopSync as stop:
        with ledger.transaction():
            records.set_stop_problem(ledger, stop.problem)
        assert task.vendor.delivery is not None
        facts = describe_problem(stop.problem, task.vendor.delivery)
        log_activity("sync-stopped", sync=task.number, vendor=task.vendor.name, **facts)


@asynccontextmanager
async def open_context(ledger: SyncLedger, task: SyncTask, options: SyncOptions) -> AsyncIterator[SyncContext]:
    """Connect to the vendor, and yield what the calls share."""
    delivery, credentials, spec = task.vendor.delivery, task.credentials, task.spec
    assert delivery is not None, "tags are synced where messages are sent"
    of_tags = replace(credentials, base_url=spec.find_base_url(credentials.base_url))
    group_commit = GroupCommit(ledger)
    try:
        async with open_transport(
            delivery, of_tags, options.retry.timeout, count_concurrent(spec, options), options.transport, options.clock
        ) as transport:
            yield SyncContext(
                number=task.number,
                vendor=task.vendor.name,
                spec=spec,
                changes=task.changes,
                key_type=task.key_type,
                credentials=of_tags,
                retry=options.retry,
                group_commit=group_commit,
                rate_limiter=RateLimiter(name_application(credentials, delivery), options.clock),
                transport=transport,
                clock=options.clock,
                unknown_ids=UnknownIdCounts(options.max_unknown, task.vendor.id_columns),
            )
    finally:
        await group_commit.close()


def count_concurrent(spec: TagSpec, options: SyncOptions) -> int:
    """Return how many calls may be in flight."""
    return min(options.concurrency, spec.max_concurrent or options.concurrency)


def needs_order(changes: TagChanges, max_tags: int | None) -> bool:
    """Return whether a device could exceed *max_tags* tags if calls that set some overtook those that remove some."""
    if max_tags is None or not any(changes.removed):
        return False
    counts = np.zeros(len(changes.ids), dtype=np.uint32)
    for rows in (*changes.added, *changes.removed, *changes.present, *changes.others):
        counts[bitmap_to_rows(rows)] += 1
    return bool(counts.max(initial=0) > max_tags)


class _Scheduler:
    """Scheduler of the calls of one sync: starts them in order, as many at once as may be."""

    def __init__(self, ledger: SyncLedger, context: SyncContext, task: SyncTask, options: SyncOptions):
        limit = context.spec.max_tags_per_device
        self._maker = CallMaker(context)
        self._packing, self._options = task.packing, options
        self._todo = ledger.list_calls("todo")
        self._max_tasks = count_concurrent(context.spec, options)
        self._is_ordered = needs_order(task.changes, None if limit is None else limit.maximum)
        self._tasks: dict[asyncio.Task[None], BitMap] = {}  # with the ids that lose tags
        self._done = 0
        self._reported_at = 0.0

    async def run(self) -> None:
        """Make all calls. Raises StopSync if the sync must stop; calls in flight finish first."""
        try:
            for number in self._todo:
                await self._wait_for_room(self._packing.calls[number])
                self._start(number, self._packing.calls[number])
            while self._tasks:
                await self._wait_for_task()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._maker.drain()

    def _start(self, number: int, call: PackedCall) -> None:
        task = asyncio.create_task(self._maker.make(number, call))
        self._tasks[task] = rows_to_bitmap(np.unique(call.removed.positions)) if self._is_ordered else BitMap()

    async def _wait_for_room(self, call: PackedCall) -> None:
        """Wait until fewer than the maximum number of calls are in flight, and none that makes room for *call*."""
        added = rows_to_bitmap(np.unique(call.added.positions)) if self._is_ordered else BitMap()
        while len(self._tasks) >= self._max_tasks or _has_common(added, self._tasks.values()):
            await self._wait_for_task()

    async def _wait_for_task(self) -> None:
        """Wait until a call is settled, and raise its error, if any."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._tasks[task]
        self._done += len(done)
        errors = [error for task in done if (error := task.exception()) is not None]
        if errors:  # all of them are retrieved, or asyncio would print the others
            raise errors[0]
        now = time.monotonic()
        if now - self._reported_at > PROGRESS_INTERVAL_SECONDS or not self._tasks:
            self._options.progress("syncing", self._done, len(self._todo))
            self._reported_at = now


def _has_common(rows: BitMap, others: Iterable[BitMap]) -> bool:
    return bool(rows) and any(rows & other for other in others)
