"""Handles: results of setup calls, such as the id of an upload, that send calls refer to.

A setup call reaches no device, so it can be repeated at any time. Handles are kept in the ledger and shared by all
batches with the same body until they are used up or expired. A handle for a single call belongs to its batch.
"""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from functools import partial

from audience.delivery.clock import Clock
from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.transitions import Batch, Handle
from audience.delivery.sender.context import SendContext
from audience.delivery.transport.retry import RetryLater
from audience.vendors.delivery_spec import (
    Accepted,
    InDoubt,
    Payload,
    Retryable,
    SendMethod,
    SetupCall,
    VendorReply,
)

HANDLE_MARGIN_SECONDS = 60.0  # before its expiry, a handle is no longer used; at most a tenth of its lifetime


class SetupRejected(Exception):
    """Rejection of a setup call, which concerns the batch or the run as a rejected send call does."""

    def __init__(self, reply: VendorReply):
        super().__init__(reply)
        self.reply = reply


class HandlePool:
    """Handles of one run."""

    def __init__(self, context: SendContext):
        self._context = context
        self._shared_lock = asyncio.Lock()

    async def acquire(self, method: SendMethod, batch: Batch, targets: Sequence[Payload]) -> Handle | None:
        """Return a handle for one call of *method*, or None if it needs none.

        Raises:
            SetupRejected: If the vendor rejects the setup call.
            RetryLater: If the setup call failed and can be repeated.
        """
        setup_call = method.get_setup_call(targets)
        if setup_call is None:
            return None
        owner, body = batch if setup_call.max_uses == 1 else None, self._context.body_number(batch)
        async with nullcontext() if owner else self._shared_lock:
            take = partial(_take_handle, batch=owner, body=body, clock=self._context.clock)
            while (handle := await self._context.group_commit.submit(take)) is None:
                await self._open_handle(setup_call, owner, body, targets)
        return handle

    async def _open_handle(
        self, setup_call: SetupCall, owner: Batch | None, body: int, targets: Sequence[Payload]
    ) -> None:
        context = self._context
        payload, credentials = context.build_body(body), context.prepared.credentials
        request = await asyncio.to_thread(setup_call.build_request, payload, targets, credentials)
        await context.rate_limiter.wait(setup_call.rate_limits)
        match await context.transport.post(request, setup_call.parse_reply):
            case Accepted(value):
                expires_at = _find_expiry(setup_call.get_lifetime(payload), context.clock)
                store = partial(
                    transitions.store_handle,
                    batch=owner,
                    body=body,
                    value=value,
                    max_uses=setup_call.max_uses,
                    now=context.clock.wall(),
                    expires_at=expires_at,
                )
                await context.group_commit.submit(store)
            case Retryable(problem, retry_after):
                raise RetryLater(problem, retry_after)
            case InDoubt(problem):
                raise RetryLater(problem)
            case rejection:
                raise SetupRejected(rejection)

    async def close_handles(self, method: SendMethod) -> None:
        """Close all open handles at the vendor, if *method* has a call for that; a failure leaves a handle open."""
        setup_call = method.setup_call
        if setup_call is None or setup_call.close is None:
            return
        context = self._context
        for handle in await context.group_commit.submit(transitions.list_open_handles):
            request = setup_call.close(handle.value, context.prepared.credentials)
            if isinstance(await context.transport.post(request, setup_call.parse_reply), Accepted):
                mark_closed = partial(transitions.mark_handle_closed, handle=handle, now=context.clock.wall())
                await context.group_commit.submit(mark_closed)


def _take_handle(ledger: Ledger, batch: Batch | None, body: int, clock: Clock) -> Handle | None:
    return transitions.take_handle(ledger, batch, body, clock.wall())


def _find_expiry(lifetime: timedelta | None, clock: Clock) -> float | None:
    """Return the moment from which a handle of that lifetime is no longer used; None without a limit."""
    if lifetime is None:
        return None
    seconds = lifetime.total_seconds()
    return clock.wall() + seconds - min(HANDLE_MARGIN_SECONDS, seconds / 10)
