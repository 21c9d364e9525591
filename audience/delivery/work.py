"""One process at a run: it sends what is left, shows how far it is, and says for whom it waits."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from audience.delivery import moves as book
from audience.delivery.beginning import Prepared
from audience.delivery.ledger import NAME, Ledger
from audience.delivery.patience import Patience
from audience.delivery.post import Transport
from audience.delivery.send import Watch, sending
from audience.delivery.tally import Status, settled, tally
from audience.delivery.telling import Errand, Halt
from audience.delivery.workers import Worker, others, take_over, working
from audience.index.read import Progress, silent
from audience.vendors.wire import Application

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
                book.stopped(ledger, None)
            try:
                asyncio.run(sending(errand, ledger, worker, _watcher(watched, effort.progress, announce)))
            except Halt as halt:
                with ledger.together():
                    book.stopped(ledger, halt.problem)
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
