"""The sending of a run: what is todo in the ledger is told, so many batches at a time, until nothing is left."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import NAME, Ledger
from audience.delivery.ledger.group_commit import Commits
from audience.delivery.ledger.status import Status, settled, tally
from audience.delivery.ledger.transitions import Batch
from audience.delivery.ledger.workers import Worker, living, others, take_over, working
from audience.delivery.prepare import Prepared
from audience.delivery.sender.batch_sender import Errand, Halt, Telling
from audience.delivery.transport.http import Transport, connected
from audience.delivery.transport.rate_limit import Paces
from audience.delivery.transport.retry import Patience
from audience.errors import Problem
from audience.progress import Progress, silent
from audience.vendors.delivery_spec import Application

POLL = 0.2  # seconds between looks at what other workers do


Watch: TypeAlias = Callable[[tuple[Worker, ...]], None]


async def sending(errand: Errand, ledger: Ledger, worker: int, watch: Watch) -> list[Problem]:
    """Send all that is left; what the vendor said when its handles were closed.

    *watch* is called after each batch with nobody, and now and then with those who are waited for.

    Halt where the run must stop. What is under way then is brought to its end first, and also when the task is
    cancelled.
    """
    commits, paces = Commits(ledger), Paces()
    tasks: set[asyncio.Task[None]] = set()
    host, timeout = errand.application.host, errand.patience.timeout
    try:
        async with connected(host, timeout, errand.concurrency, errand.transport) as post:
            telling = Telling(errand, commits, worker, paces, post)
            try:
                async for batch in _claimed(commits, paces, worker, tasks, errand.concurrency, watch):
                    tasks.add(asyncio.create_task(telling.batch(batch)))
                return await telling.openings.close(errand.way)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await telling.ended()
    finally:
        await commits.close()


async def _claimed(
    commits: Commits,
    paces: Paces,
    worker: int,
    tasks: set[asyncio.Task[None]],
    most: int,
    watch: Watch,
) -> AsyncIterator[Batch]:
    """Batches to be told, one whenever fewer than *most* tasks are going.

    While others have some that are not settled it waits: they may leave them.
    """
    ready: list[Batch] = []
    while True:
        if len(ready) + len(tasks) < most:
            wanted = 2 * most - len(ready) - len(tasks)  # some more than are told at once, for one write to the disk
            paces.workers, claimed = await commits.write(partial(_claim, worker=worker, many=wanted))
            ready += claimed
        while ready and len(tasks) < most:
            yield ready.pop(0)
        if tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                tasks.discard(task)
                watch(())
        elif await commits.write(_others_may_leave_some):
            watch(await commits.write(others))
            await asyncio.sleep(POLL)
        else:
            return


def _claim(ledger: Ledger, worker: int, many: int) -> tuple[int, list[Batch]]:
    return living(ledger), transitions.claim(ledger, worker, many, time.time())


def _others_may_leave_some(ledger: Ledger) -> bool:
    take_over(ledger)
    return transitions.unsettled(ledger, time.time())


MANY = 2_000_000  # ids that are in memory for calls under way
OFTEN = 0.3  # seconds between two looks at how far it is
SOON = 3.0  # seconds that others are waited for before it is told
Waiting: TypeAlias = Callable[[tuple[Worker, ...]], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How a run is sent: with what *patience*, how many calls under way at once, and who is shown how far it is.

    Calls of very many ids are fewer at once. *waiting* is told of those who are waited for, once it takes a while.
    *transport* is for tests.
    """

    patience: Patience = field(default_factory=Patience)
    concurrency: int = 32
    progress: Progress = silent
    waiting: Waiting = lambda others: None
    transport: Transport | None = None


def worked(
    found: Prepared,
    application: Application,
    effort: Effort,
) -> Status:
    """Be one of those who send what was begun; how far it came, and what stopped it."""
    folder = found.requests.folder
    announce = announcer(effort.waiting)
    with (
        Ledger(folder / NAME, busy=lambda ledger: announce(others(ledger))) as ledger,
        Ledger(folder / NAME, write=False) as watched,
    ):
        errand = Errand(
            run=ledger.run(),
            requests=found.requests,
            delivery=found.delivery,
            way=found.way,
            body=found.body,
            application=application,
            patience=effort.patience,
            concurrency=min(effort.concurrency, max(2, MANY // (found.way.ids or 1))),
            transport=effort.transport,
        )
        with working(ledger) as worker:
            with ledger.together():
                take_over(ledger)
                transitions.stopped(ledger, None)
            try:
                asyncio.run(sending(errand, ledger, worker, _watcher(watched, effort.progress, announce)))
            except Halt as halt:
                with ledger.together():
                    transitions.stopped(ledger, halt.problem)
        return tally(ledger)


def _watcher(ledger: Ledger, progress: Progress, announce: Waiting) -> Watch:
    """A function that shows now and then how far the run is, and for whom is waited once that takes a while."""
    looked, since = 0.0, time.monotonic()

    def show(waited: tuple[Worker, ...]) -> None:
        nonlocal looked, since
        now = time.monotonic()
        if now - looked > OFTEN:
            progress("sending", *settled(ledger))
            looked = now
        if not waited:
            since = now
        elif now - since > SOON:
            announce(waited)

    return show


def announcer(waiting: Waiting) -> Waiting:
    """A function that tells of each of those who are waited for once."""
    named: set[tuple[str, int, float]] = set()

    def announce(waited: tuple[Worker, ...]) -> None:
        fresh = tuple(each for each in waited if (each.host, each.process, each.begun) not in named)
        named.update((each.host, each.process, each.begun) for each in fresh)
        if fresh:
            waiting(fresh)

    return announce
