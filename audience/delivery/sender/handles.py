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
from audience.delivery.ledger.group_commit import GroupCommit
from audience.delivery.ledger.transitions import Batch, Handle
from audience.delivery.transport.http import ReplyParser
from audience.delivery.transport.retry import RetryLater
from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    InDoubt,
    Payload,
    RateLimit,
    Request,
    Retryable,
    SendMethod,
    SetupCall,
    VendorReply,
)

HANDLE_MARGIN_SECONDS = 60.0  # seconds before a handle ends that it is no longer relied on, or a tenth of what it lasts

SendSetupCall: TypeAlias = Callable[
    [Request, ReplyParser, tuple[RateLimit, ...]], Awaitable[VendorReply]
]  # a call that tells nobody, at its pace


class HandlePool:
    """The handles of a run: *body* is the message at that moment, *ask* makes a call that tells nobody, at its pace."""

    def __init__(
        self,
        group_commit: GroupCommit,
        credentials: Credentials,
        build_body: Callable[[], Payload],
        send_setup_call: SendSetupCall,
    ):
        self._group_commit = group_commit
        self._credentials = credentials
        self._build_body = build_body
        self._send_setup_call = send_setup_call
        self._shared_lock = asyncio.Lock()

    async def acquire(
        self, method: SendMethod, batch: Batch, targets: Sequence[Payload]
    ) -> Handle | VendorReply | None:
        """A handle for one more call of *way*; None where it needs none, and what the vendor says where it refuses."""
        opening = method.get_setup_call(targets)
        if opening is None:
            return None
        alone = batch if opening.max_uses == 1 else None
        async with nullcontext() if alone else self._shared_lock:
            while (found := await self._group_commit.submit(partial(_take_handle, batch=alone))) is None:
                request = await asyncio.to_thread(opening.build_request, self._build_body(), targets, self._credentials)
                reply = await self._send_setup_call(request, opening.parse_reply, opening.rate_limits)
                match reply:
                    case Accepted(text):
                        await self._group_commit.submit(
                            partial(_store_handle, batch=alone, value=text, setup_call=opening)
                        )
                    case Retryable(problem, after):
                        raise RetryLater(problem, after)
                    case InDoubt(problem):
                        raise RetryLater(problem)
                    case _:
                        return reply
        return found

    async def close_handles(self, method: SendMethod) -> list[Problem]:
        """End the handles that are open still; what the vendor says where it does not."""
        opening = method.setup_call
        if opening is None or opening.close is None:
            return []
        problems = []
        for handle in await self._group_commit.submit(transitions.list_open_handles):
            reply = await self._send_setup_call(opening.close(handle.value, self._credentials), opening.parse_reply, ())
            if isinstance(reply, Accepted):
                await self._group_commit.submit(partial(transitions.mark_handle_closed, handle=handle, now=time.time()))
            else:
                problems.append(reply.problem)
        return problems


def _take_handle(ledger: Ledger, batch: Batch | None) -> Handle | None:
    return transitions.take_handle(ledger, batch, time.time())


def _store_handle(ledger: Ledger, batch: Batch | None, value: str, setup_call: SetupCall) -> None:
    now = time.time()
    lasts = None if setup_call.lifetime is None else setup_call.lifetime.total_seconds()
    until = None if lasts is None else now + lasts - min(HANDLE_MARGIN_SECONDS, lasts / 10)
    transitions.store_handle(ledger, batch, value, setup_call.max_uses, now, until)
