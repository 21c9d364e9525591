"""The sending of a run: what is todo in the ledger is told, so many batches at a time, until nothing is left."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger
from audience.delivery.ledger.group_commit import GroupCommit
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
from audience.delivery.sender.batch_sender import BatchSender, SendContext, StopRun
from audience.delivery.transport.http import Transport, open_client
from audience.delivery.transport.rate_limit import RateLimiter
from audience.delivery.transport.retry import RetryPolicy
from audience.errors import Problem
from audience.progress import Progress, ignore_progress
from audience.vendors.delivery_spec import Credentials

POLL_SECONDS = 0.2  # seconds between looks at what other workers do


OnStep: TypeAlias = Callable[[tuple[Worker, ...]], None]


async def run_worker_loop(context: SendContext, ledger: Ledger, worker: int, on_step: OnStep) -> list[Problem]:
    """Send all that is left; what the vendor said when its handles were closed.

    *watch* is called after each batch with nobody, and now and then with those who are waited for.

    Halt where the run must stop. What is under way then is brought to its end first, and also when the task is
    cancelled.
    """
    commits, paces = GroupCommit(ledger), RateLimiter()
    tasks: set[asyncio.Task[None]] = set()
    host, timeout = context.credentials.base_url, context.retry.timeout
    try:
        async with open_client(host, timeout, context.concurrency, context.transport) as post:
            telling = BatchSender(context, commits, worker, paces, post)
            try:
                async for batch in _iter_claimed_batches(commits, paces, worker, tasks, context.concurrency, on_step):
                    tasks.add(asyncio.create_task(telling.send(batch)))
                return await telling.handle_pool.close_handles(context.method)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await telling.drain()
    finally:
        await commits.close()


async def _iter_claimed_batches(
    group_commit: GroupCommit,
    rate_limiter: RateLimiter,
    worker: int,
    tasks: set[asyncio.Task[None]],
    max_tasks: int,
    on_step: OnStep,
) -> AsyncIterator[Batch]:
    """Batches to be told, one whenever fewer than *most* tasks are going.

    While others have some that are not settled it waits: they may leave them.
    """
    ready: list[Batch] = []
    while True:
        if len(ready) + len(tasks) < max_tasks:
            wanted = (
                2 * max_tasks - len(ready) - len(tasks)
            )  # some more than are told at once, for one write to the disk
            rate_limiter.worker_count, claimed = await group_commit.submit(
                partial(_claim_next, worker=worker, limit=wanted)
            )
            ready += claimed
        while ready and len(tasks) < max_tasks:
            yield ready.pop(0)
        if tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                tasks.discard(task)
                on_step(())
        elif await group_commit.submit(_has_pending_elsewhere):
            on_step(await group_commit.submit(list_other_workers))
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


def _claim_next(ledger: Ledger, worker: int, limit: int) -> tuple[int, list[Batch]]:
    return count_workers(ledger), transitions.claim_batches(ledger, worker, limit, time.time())


def _has_pending_elsewhere(ledger: Ledger) -> bool:
    reap_dead_workers(ledger)
    return transitions.has_pending_batches(ledger, time.time())


MAX_IDS_IN_FLIGHT = 2_000_000  # ids that are in memory for calls under way
PROGRESS_INTERVAL_SECONDS = 0.3  # seconds between two looks at how far it is
MIN_WAIT_NOTICE_SECONDS = 3.0  # seconds that others are waited for before it is told
OnWait: TypeAlias = Callable[[tuple[Worker, ...]], None]


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How a run is sent: with what *patience*, how many calls under way at once, and who is shown how far it is.

    Calls of very many ids are fewer at once. *waiting* is told of those who are waited for, once it takes a while.
    *transport* is for tests.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int = 32
    progress: Progress = ignore_progress
    on_wait: OnWait = lambda others: None
    transport: Transport | None = None


def run_worker(
    prepared: PreparedRun,
    credentials: Credentials,
    options: SendOptions,
) -> Status:
    """Be one of those who send what was begun; how far it came, and what stopped it."""
    folder = prepared.requests.folder
    announce = notify_once(options.on_wait)
    with (
        Ledger(folder / LEDGER_FILE, on_busy=lambda ledger: announce(list_other_workers(ledger))) as ledger,
        Ledger(folder / LEDGER_FILE, write=False) as watched,
    ):
        errand = SendContext(
            run=ledger.load_run(),
            requests=prepared.requests,
            delivery=prepared.delivery,
            method=prepared.method,
            body=prepared.body,
            credentials=credentials,
            retry=options.retry,
            concurrency=min(options.concurrency, max(2, MAX_IDS_IN_FLIGHT // (prepared.method.max_ids or 1))),
            transport=options.transport,
        )
        with register_worker(ledger) as worker:
            with ledger.transaction():
                reap_dead_workers(ledger)
                transitions.set_stop_reason(ledger, None)
            try:
                asyncio.run(
                    run_worker_loop(errand, ledger, worker, _make_step_callback(watched, options.progress, announce))
                )
            except StopRun as halt:
                with ledger.transaction():
                    transitions.set_stop_reason(ledger, halt.problem)
        return load_status(ledger)


def _make_step_callback(ledger: Ledger, progress: Progress, on_wait: OnWait) -> OnStep:
    """A function that shows now and then how far the run is, and for whom is waited once that takes a while."""
    looked, since = 0.0, time.monotonic()

    def report_step(waited_for: tuple[Worker, ...]) -> None:
        nonlocal looked, since
        now = time.monotonic()
        if now - looked > PROGRESS_INTERVAL_SECONDS:
            progress("sending", *count_progress(ledger))
            looked = now
        if not waited_for:
            since = now
        elif now - since > MIN_WAIT_NOTICE_SECONDS:
            on_wait(waited_for)

    return report_step


def notify_once(on_wait: OnWait) -> OnWait:
    """A function that tells of each of those who are waited for once."""
    named: set[tuple[str, int, float]] = set()

    def notify_new(waited_for: tuple[Worker, ...]) -> None:
        fresh = tuple(each for each in waited_for if (each.host, each.pid, each.started_at) not in named)
        named.update((each.host, each.pid, each.started_at) for each in fresh)
        if fresh:
            on_wait(fresh)

    return notify_new
