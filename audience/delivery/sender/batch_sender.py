"""One batch: its calls, one after the other, until it is known what became of it, or that this is not to be known.

Before a byte leaves, the ledger says that it does; what its reply meant is in the ledger before the next step. So
whenever a process dies, what may have told somebody is `sent`, and nothing else is.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import uuid4

from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.group_commit import Commits
from audience.delivery.ledger.transitions import Batch, Handle
from audience.delivery.sender.bisect import split
from audience.delivery.sender.handles import Openings
from audience.delivery.transport.credentials import scrubbing
from audience.delivery.transport.http import Post, Read, Transport
from audience.delivery.transport.rate_limit import Paces
from audience.delivery.transport.retry import LONGEST, Later, Patience
from audience.errors import MessageError, Problem
from audience.requests.reader import Requests, chunks
from audience.vendors.delivery_spec import (
    Accepted,
    Again,
    Application,
    BadIds,
    Call,
    Delivery,
    InDoubt,
    Pace,
    Payload,
    Refused,
    Reply,
    Request,
    Stamp,
    Stopped,
    Way,
)

T = TypeVar("T")

MARGIN = 60.0  # seconds before a token ends that it is no longer relied on
CANCELLED = Problem("cancelled", "the run was cancelled: what had not been sent never will be")
MANY = 10_000  # ids
TOO_LATE = Problem("too-late", "the vendor drops repeats no longer")


async def _aside(batch: Batch, work: Callable[[], T]) -> T:
    """What *work* returns; in a thread where there are, or may be, so many ids that other calls would wait."""
    many = batch.native is not None or batch.stop - batch.first > MANY
    return await asyncio.to_thread(work) if many else work()


def _asked(later: Later) -> Problem:
    """Why nothing is tried again now: also that the vendor asks for more time than is waited here."""
    if later.after is None or later.after <= LONGEST:
        return later.problem
    hint = f"the vendor asks to wait {later.after:,.0f} seconds; audience resume goes on then"
    return replace(later.problem, hint=hint)


def _counted(reply: Reply, way: Way, targets: int) -> Reply:
    """*reply*, unless it names other than one message for each of the *targets* where it should."""
    if not (way.several and isinstance(reply, Accepted)) or reply.message.count(",") + 1 == targets:
        return reply
    message = f"the vendor names {reply.message.count(',') + 1} messages for {targets} tasks: {reply.message}"
    return InDoubt(Problem("other-count", message, hint="see in the vendor's console which of them are there"))


class Halt(Exception):
    """No other batch would fare better."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What is sent: all that does not change meanwhile. *concurrency* is how many calls are under way at once."""

    run: Run
    requests: Requests
    delivery: Delivery
    way: Way
    body: Payload
    application: Application
    patience: Patience
    concurrency: int
    transport: Transport | None = None


class Telling:
    """The calls of one worker: at which pace, which are under way, and how many in a row were lost."""

    def __init__(self, errand: Errand, commits: Commits, worker: int, paces: Paces, post: Post):
        self.errand = errand
        self._commits = commits
        self._worker = worker
        self._paces = paces
        self._post = post
        self.openings = Openings(commits, errand.application, self._body, self._ask)
        self._under_way: set[asyncio.Task[None]] = set()
        self._lost = 0

    async def ended(self) -> None:
        """Wait for the calls that are under way, and for what they write."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def batch(self, batch: Batch) -> None:
        """Tell one batch, again where that is right; Halt where it fails and others would fail too."""
        try:
            async for attempt in self.errand.patience.tries():
                with attempt:
                    await self._attempt(batch)
        except Later as later:
            await self._commits.write(partial(transitions.let_go, batch=batch))
            if not later.doubt:
                raise Halt(_asked(later)) from None
            self._count_lost(later.problem)

    async def _attempt(self, batch: Batch) -> None:
        """One call that tells; Later where another one may be made, Halt where the run is over."""
        errand = self.errand
        way = errand.delivery.native if batch.native is not None else errand.way
        ids, targets = await _aside(batch, partial(self._targets, batch))
        handle = await self.openings.handle(way, batch, targets)
        if handle is not None and not isinstance(handle, Handle):
            await self._commits.write(partial(self._record, batch=batch, reply=handle, ids=ids, way=way))
            self._react(handle, lost=False)
            return
        call = Call(
            targets=targets,
            body=self._body(),
            handle=None if handle is None else handle.text,
            token=transitions.token(errand.run, batch),
        )
        request = await _aside(batch, partial(way.request, call, errand.application))
        await self._paces.wait(way.paces(targets))
        telling = asyncio.create_task(self._tell(batch, way, request, handle, ids, len(targets)))
        self._under_way.add(telling)
        telling.add_done_callback(self._returned)
        await asyncio.shield(telling)  # whoever stops the run does not stop what has left

    def _returned(self, telling: asyncio.Task[None]) -> None:
        """A call has come to its end; when the run is being stopped, nobody else asks what that was."""
        self._under_way.discard(telling)
        if not telling.cancelled():
            telling.exception()

    def _targets(self, batch: Batch) -> tuple[dict[int, str], tuple[Payload, ...]]:
        """The ids of *batch* by their places, and its targeting objects."""
        requests = self.errand.requests
        if batch.native is not None:
            return {}, (requests.payload(batch.native),)
        ids = ids_of_batch(requests, batch)
        return ids, tuple(map(requests.to.listing, chunks(list(ids.values()), requests.to.batch)))

    async def _tell(
        self, batch: Batch, way: Way, request: Request, handle: Handle | None, ids: dict[int, str], targets: int
    ) -> None:
        """Write that it leaves, let it leave, write what came back; nothing comes between."""
        now = time.time()
        until = None if way.repeats is None else now + way.repeats.total_seconds() - MARGIN
        number = None if handle is None else handle.number
        leave = partial(transitions.sent, worker=self._worker, batch=batch, now=now, repeat_until=until, handle=number)
        match await self._commits.write(leave):
            case "cancelled":
                raise Halt(CANCELLED)
            case "too late":
                await self._commits.write(partial(transitions.let_go, batch=batch))
                return self._count_lost(TOO_LATE)
        reply = _counted(await self._posted(request, way.reply), way, targets)
        lost = await self._commits.write(partial(self._record, batch=batch, reply=reply, ids=ids, way=way))
        self._react(reply, lost and way.repeats is not None)

    def _body(self) -> Payload:
        """The message as a call at this moment says it; Halt where it is too late for it."""
        try:
            return self.errand.delivery.timed(self.errand.body, datetime.now(UTC))
        except MessageError as error:
            raise Halt(error.problems[0]) from error

    def _record(self, ledger: Ledger, batch: Batch, reply: Reply, ids: dict[int, str], way: Way) -> bool:
        """Write what *reply* means for *batch*; whether it is in doubt."""
        now = time.time()
        match reply:
            case Accepted(message, left_out):
                gone = set(left_out)
                transitions.accepted(
                    ledger, batch, now, message, [(at, each) for at, each in ids.items() if each in gone]
                )
            case BadIds(problem, named) if batch.native is None:
                found = split(ids, named)
                transitions.refused(ledger, batch, now, problem, found.bad, found.parts)
            case BadIds(problem) | Refused(problem):
                transitions.refused(ledger, batch, now, problem)
            case Again(problem) | Stopped(problem):
                return transitions.again(ledger, batch, now, problem, keep=isinstance(reply, Again))
            case InDoubt(problem):
                transitions.doubt(ledger, batch, now, problem, keep=way.repeats is not None)
                return True
        return False

    def _react(self, reply: Reply, lost: bool) -> None:
        """What *reply* means for the run; *lost* is whether the batch is in doubt, and may be repeated."""
        match reply:
            case Stopped(problem):
                raise Halt(problem)
            case Again(problem, after):
                self._paces.hold(min(after or 0, LONGEST))
                raise Later(problem, after, doubt=lost)
            case InDoubt(problem) if lost:
                raise Later(problem, doubt=True)
            case InDoubt(problem):
                self._count_lost(problem)
            case _:
                self._lost = 0

    def _count_lost(self, problem: Problem) -> None:
        self._lost += 1
        if self._lost >= self.errand.patience.doubts:
            message = f"{self._lost} calls in a row were lost; the last: {problem.message}"
            raise Halt(Problem("all-lost", message, hint="see what the vendor has received before you go on"))

    async def _ask(self, request: Request, read: Read, paces: tuple[Pace, ...]) -> Reply:
        """A call that tells nobody, at its pace."""
        await self._paces.wait(paces)
        return await self._posted(request, read)

    async def _posted(self, request: Request, read: Read) -> Reply:
        """Sign *request* and send it; what came back, without anything secret."""
        errand = self.errand
        signed = errand.delivery.sign(request, errand.application, Stamp(datetime.now(UTC), uuid4().hex))
        return await self._post(signed, scrubbing(read, signed, errand.application, errand.delivery))


def ids_of_batch(requests: Requests, batch: Batch) -> dict[int, str]:
    """Return the ids of *batch* by their positions in the plan, without those that are bad."""
    ids = requests.between(batch.first, batch.stop)
    return {position: ids[position - batch.first] for position in batch.positions()}
