"""The sending of a run: what is todo in the ledger is told, so many batches at a time, until nothing is left."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeAlias

from audience.delivery import moves as book
from audience.delivery.commits import Commits
from audience.delivery.ledger import Ledger
from audience.delivery.moves import Batch
from audience.delivery.pace import Paces
from audience.delivery.post import connected
from audience.delivery.telling import Errand, Telling
from audience.delivery.workers import Worker, living, others, take_over
from audience.errors import Problem

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
    return living(ledger), book.claim(ledger, worker, many, time.time())


def _others_may_leave_some(ledger: Ledger) -> bool:
    take_over(ledger)
    return book.unsettled(ledger, time.time())
