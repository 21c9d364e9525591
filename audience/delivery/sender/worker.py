"""Worker of a run: claims batches from the ledger and sends them until none is left."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from audience.activity_log import log_activity
from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, Run
from audience.delivery.ledger.group_commit import GroupCommit
from audience.delivery.ledger.part_windows import load_windows
from audience.delivery.ledger.status import Status, count_progress, load_status
from audience.delivery.ledger.transitions import Batch
from audience.delivery.ledger.workers import (
    Worker,
    count_workers,
    list_other_workers,
    reap_dead_workers,
    register_worker,
)
from audience.delivery.prepare import PreparedRun
from audience.delivery.sender.batch_log import describe_problem
from audience.delivery.sender.batch_sender import BatchSender
from audience.delivery.sender.context import SendContext, StopRun
from audience.delivery.sender.unknown_ids import UnknownIdCounts
from audience.delivery.transport.http import HttpxTransport, open_transport
from audience.delivery.transport.rate_limit import RateLimiter, name_application
from audience.delivery.transport.retry import RetryPolicy
from audience.progress import Progress, ignore_progress

POLL_SECONDS = 0.2  # between two looks at what other workers do
MAX_SLEEP_SECONDS = 10.0  # until the clock and the ledger are looked at again
MAX_IDS_IN_FLIGHT = 2_000_000  # ids in memory for the calls of one worker
PROGRESS_INTERVAL_SECONDS = 0.3  # between two progress reports
MAX_PROGRESS_SHARE = 0.02  # of the time of a worker, in which it counts the batches of a long run
MIN_WAIT_NOTICE_SECONDS = 3.0  # of waiting for other workers before that is reported

OnWait: TypeAlias = Callable[[tuple[Worker, ...]], None]


@dataclass(frozen=True, slots=True)
class SendOptions:
    """Options of a send.

    Attributes:
        retry: Retries and timeouts.
        concurrency: Calls in flight at once; fewer if each has very many ids. None is the number of the send method.
        progress: Callback for progress reports.
        on_wait: Callback for the workers that this one waits for, called once for each of them.
        transport: Replacement for the network, for tests.
        clock: Clock of the run.
        max_unknown: Share of ids that the vendor may not know before the run stops, after the first ten thousand. The
            run keeps it; None is what it has kept, 2 % at first.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int | None = None
    progress: Progress = ignore_progress
    on_wait: OnWait = lambda workers: None
    transport: HttpxTransport | None = None
    clock: Clock = SYSTEM_CLOCK
    max_unknown: float | None = None


def run_worker(prepared: PreparedRun, options: SendOptions) -> Status:
    """Run one worker on a created run and return the status of the run.

    If the run must stop, the ledger and the status have the reason.
    """
    [status] = run_workers([prepared], options)
    return status


def run_workers(prepared_runs: Sequence[PreparedRun], options: SendOptions) -> list[Status]:
    """Run one worker on each of several created runs, all at once, and return their statuses."""
    shares: list[tuple[int, int]] = []
    with ExitStack() as stack:
        ledgers = [stack.enter_context(_open_ledger(prepared, options)) for prepared in prepared_runs]
        with ExitStack() as registered:
            workers = [
                registered.enter_context(_register(ledger, prepared, options, _add_share(options.progress, shares)))
                for ledger, prepared in zip(ledgers, prepared_runs, strict=True)
            ]
            asyncio.run(_run_together(workers))
        return [load_status(ledger, options.clock) for ledger in ledgers]


def _add_share(progress: Progress, shares: list[tuple[int, int]]) -> Progress:
    """Return a progress callback of one of several runs, which reports the sums of all."""
    index = len(shares)
    shares.append((0, 0))

    def report(step: str, done: int, total: int) -> None:
        shares[index] = done, total
        progress(step, sum(each for each, _ in shares), sum(each for _, each in shares))

    return report


def _open_ledger(prepared: PreparedRun, options: SendOptions) -> Ledger:
    on_wait = notify_once(options.on_wait)
    path = prepared.requests.folder / LEDGER_FILE
    return Ledger(path, on_busy=lambda ledger: on_wait(list_other_workers(ledger)), clock=options.clock)


@contextmanager
def _register(ledger: Ledger, prepared: PreparedRun, options: SendOptions, progress: Progress) -> "Iterator[RunWorker]":
    """Register a worker of the run of *ledger*, and end it."""
    on_wait = notify_once(options.on_wait)
    with Ledger(ledger.path, write=False) as progress_ledger, register_worker(ledger) as number:
        with ledger.transaction():
            reap_dead_workers(ledger)
            transitions.set_stop_reason(ledger, None)
            if options.max_unknown is not None:
                transitions.set_max_unknown(ledger, options.max_unknown)
        run = ledger.load_run()
        log_activity("worker-started", run=run.id, vendor=run.vendor, worker=number)
        yield RunWorker(ledger, number, prepared, options, StepReporter(progress_ledger, progress, on_wait))
    _log_end(load_status(ledger, options.clock), run, number)


def _log_end(status: Status, run: Run, worker: int) -> None:
    """Log that a worker has ended, and what of its run waits for its moment."""
    log_activity("worker-ended", run=run.id, vendor=run.vendor, worker=worker, pending=status.pending)
    if waiting := status.waiting.batches:
        moments = [moment for moment in (status.waiting.opens_at, status.waiting.due_at) if moment is not None]
        log_activity("run-scheduled", run=run.id, vendor=run.vendor, next_at=min(moments), batches=waiting)


async def _run_together(workers: "Sequence[RunWorker]") -> None:
    """Run *workers* at once; one that must stop records why, and the others go on."""
    tasks = [asyncio.create_task(worker.run_until_stopped()) for worker in workers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class RunWorker:
    """Worker with its number in *ledger*, the run to send, and the tasks that send its batches."""

    def __init__(
        self, ledger: Ledger, number: int, prepared: PreparedRun, options: SendOptions, reporter: "StepReporter"
    ):
        self._ledger = ledger
        self._number = number
        self._prepared = prepared
        self._options = options
        self._reporter = reporter
        concurrency = options.concurrency or prepared.method.concurrency
        self._max_tasks = min(concurrency, max(2, MAX_IDS_IN_FLIGHT // (prepared.method.max_ids or 1)))
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended_tasks: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()

    async def run_until_stopped(self) -> None:
        """Send all remaining batches; if the run must stop, record why."""
        try:
            await self.run()
        except StopRun as stop:
            with self._ledger.transaction():
                transitions.set_stop_reason(self._ledger, stop.problem)
            run, facts = self._ledger.load_run(), describe_problem(stop.problem, self._prepared.delivery)
            log_activity("run-stopped", run=run.id, vendor=run.vendor, **facts)

    async def run(self) -> None:
        """Send all remaining batches.

        Raises StopRun if the run must stop. Calls in flight finish first, also on cancellation.
        """
        prepared, options = self._prepared, self._options
        credentials, timeout = prepared.credentials, options.retry.timeout
        group_commit = GroupCommit(self._ledger)
        try:
            async with open_transport(
                prepared.delivery, credentials, timeout, self._max_tasks, options.transport, options.clock
            ) as transport:
                run = self._ledger.load_run()
                context = SendContext(
                    prepared=prepared,
                    run=run,
                    worker=self._number,
                    retry=options.retry,
                    group_commit=group_commit,
                    rate_limiter=RateLimiter(name_application(credentials, prepared.delivery), options.clock),
                    transport=transport,
                    windows=load_windows(self._ledger, run, (prepared.delivery.native_method, prepared.method)),
                    clock=options.clock,
                    unknown_ids=self._count_unknown_ids(run),
                )
                await self._send_batches(context)
        finally:
            await group_commit.close()

    def _count_unknown_ids(self, run: Run) -> UnknownIdCounts:
        """Return how many ids are known to be unknown; raise StopRun if those are too many already."""
        counts = UnknownIdCounts(run.max_unknown, self._prepared.requests.vendor.id_columns)
        counts.add_status(load_status(self._ledger))
        if (problem := counts.find_problem()) is not None:
            raise StopRun(problem)
        return counts

    async def _send_batches(self, context: SendContext) -> None:
        sender = BatchSender(context)
        try:
            async for batch in self._iter_claimed_batches(context):
                task = asyncio.create_task(sender.send(batch))
                task.add_done_callback(self._ended_tasks.put_nowait)
                self._tasks.add(task)
            await sender.handle_pool.close_handles(self._prepared.method)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await sender.drain()

    async def _iter_claimed_batches(self, context: SendContext) -> AsyncIterator[Batch]:
        """Yield claimed batches whenever fewer than the maximum number of tasks run, until no batch is pending.

        While other workers have unsettled batches it waits: they may die and leave them. It also waits while a part
        that has opened is being spread.
        """
        ready: list[Batch] = []
        while True:
            if len(ready) + len(self._tasks) < self._max_tasks:
                ready += await self._claim_batches(context, 2 * self._max_tasks - len(ready) - len(self._tasks))
            while ready and len(self._tasks) < self._max_tasks:
                yield ready.pop(0)
            if self._tasks:
                await self._wait_for_task()
            elif await context.group_commit.submit(partial(_has_pending_batches, context=context)):
                self._reporter.report(await context.group_commit.submit(list_other_workers))
                await context.clock.sleep(POLL_SECONDS)
            elif (moment := await context.group_commit.submit(partial(_find_next_spread, context=context))) is not None:
                self._reporter.report(())
                await context.clock.sleep(max(0.0, min(moment - context.clock.wall(), MAX_SLEEP_SECONDS)))
            else:
                return

    async def _claim_batches(self, context: SendContext, limit: int) -> list[Batch]:
        """Claim up to *limit* batches: more than can be sent at once, so that one disk sync serves many."""
        claim = partial(_claim_next, context=context, limit=limit)
        context.rate_limiter.worker_count, batches = await context.group_commit.submit(claim)
        return batches

    async def _wait_for_task(self) -> None:
        """Wait until a batch is sent, and raise its error, if any.

        `asyncio.wait` would look at every task each time, of which there are hundreds.
        """
        ended = [await self._ended_tasks.get()]
        while not self._ended_tasks.empty():
            ended.append(self._ended_tasks.get_nowait())
        for task in ended:
            task.result()
            self._tasks.discard(task)
            self._reporter.report(())


def _claim_next(ledger: Ledger, context: SendContext, limit: int) -> tuple[int, list[Batch]]:
    now = context.clock.read()
    window = context.windows.look(now.wall)
    return count_workers(ledger), transitions.claim_batches(ledger, context.worker, limit, now, window)


def _has_pending_batches(ledger: Ledger, context: SendContext) -> bool:
    reap_dead_workers(ledger)
    now = context.clock.read()
    return transitions.has_pending_batches(ledger, now, context.windows.look(now.wall))


def _find_next_spread(ledger: Ledger, context: SendContext) -> float | None:
    now = context.clock.wall()
    return transitions.find_next_spread(ledger, now, context.windows.look(now))


class StepReporter:
    """Throttled reports of the progress of a run, and of long waits for other workers."""

    def __init__(self, ledger: Ledger, progress: Progress, on_wait: OnWait):
        self._ledger = ledger
        self._progress = progress
        self._on_wait = on_wait
        self._next_report = 0.0
        self._waiting_since = time.monotonic()

    def report(self, awaited: tuple[Worker, ...]) -> None:
        """Report one step of a worker; *awaited* are the workers that it waits for."""
        now = time.monotonic()
        if now > self._next_report:
            self._progress("sending", *count_progress(self._ledger))
            seconds = time.monotonic() - now
            self._next_report = now + max(PROGRESS_INTERVAL_SECONDS, seconds / MAX_PROGRESS_SHARE)
        if not awaited:
            self._waiting_since = now
        elif now - self._waiting_since > MIN_WAIT_NOTICE_SECONDS:
            self._on_wait(awaited)


def notify_once(on_wait: OnWait) -> OnWait:
    """Wrap *on_wait* so that it gets each worker once."""
    reported: set[tuple[str, int, float]] = set()

    def notify_new(workers: tuple[Worker, ...]) -> None:
        new = tuple(worker for worker in workers if (worker.host, worker.pid, worker.started_at) not in reported)
        reported.update((worker.host, worker.pid, worker.started_at) for worker in new)
        if new:
            on_wait(new)

    return notify_new
