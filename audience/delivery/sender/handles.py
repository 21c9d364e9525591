"""Handles: what an opening call is answered, and calls that tell need: the id of an upload, or of an empty message.

An opening tells nobody, so that it is repeated at will. A handle that was answered is kept in the ledger and used by
all batches until it is used up or too old; one that is for a single call belongs to its batch alone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TypeAlias

from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.group_commit import Commits
from audience.delivery.ledger.transitions import Batch, Handle
from audience.delivery.transport.http import Read
from audience.delivery.transport.retry import Later
from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Accepted,
    Again,
    Application,
    InDoubt,
    Opening,
    Pace,
    Payload,
    Reply,
    Request,
    Way,
)

MARGIN = 60.0  # seconds before a handle ends that it is no longer relied on, or a tenth of what it lasts

Ask: TypeAlias = Callable[[Request, Read, tuple[Pace, ...]], Awaitable[Reply]]  # a call that tells nobody, at its pace


class Openings:
    """The handles of a run: *body* is the message at that moment, *ask* makes a call that tells nobody, at its pace."""

    def __init__(self, commits: Commits, application: Application, body: Callable[[], Payload], ask: Ask):
        self._commits = commits
        self._application = application
        self._body = body
        self._ask = ask
        self._one = asyncio.Lock()

    async def handle(self, way: Way, batch: Batch, targets: Sequence[Payload]) -> Handle | Reply | None:
        """A handle for one more call of *way*; None where it needs none, and what the vendor says where it refuses."""
        opening = way.opening_for(targets)
        if opening is None:
            return None
        alone = batch if opening.calls == 1 else None
        async with nullcontext() if alone else self._one:
            while (found := await self._commits.write(partial(_take, batch=alone))) is None:
                request = await asyncio.to_thread(opening.request, self._body(), targets, self._application)
                reply = await self._ask(request, opening.reply, opening.paces)
                match reply:
                    case Accepted(text):
                        await self._commits.write(partial(_keep, batch=alone, text=text, opening=opening))
                    case Again(problem, after):
                        raise Later(problem, after)
                    case InDoubt(problem):
                        raise Later(problem)
                    case _:
                        return reply
        return found

    async def close(self, way: Way) -> list[Problem]:
        """End the handles that are open still; what the vendor says where it does not."""
        opening = way.opening
        if opening is None or opening.close is None:
            return []
        problems = []
        for handle in await self._commits.write(transitions.handles):
            reply = await self._ask(opening.close(handle.text, self._application), opening.reply, ())
            if isinstance(reply, Accepted):
                await self._commits.write(partial(transitions.closed, handle=handle, now=time.time()))
            else:
                problems.append(reply.problem)
        return problems


def _take(ledger: Ledger, batch: Batch | None) -> Handle | None:
    return transitions.take_handle(ledger, batch, time.time())


def _keep(ledger: Ledger, batch: Batch | None, text: str, opening: Opening) -> None:
    now = time.time()
    lasts = None if opening.lasts is None else opening.lasts.total_seconds()
    until = None if lasts is None else now + lasts - min(MARGIN, lasts / 10)
    transitions.opened(ledger, batch, text, opening.calls, now, until)
