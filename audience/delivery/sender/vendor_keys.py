"""Pool of idempotency keys that the vendor gives out: requested before their calls, and kept in the ledger.

Requesting keys reaches no device, so it can be repeated at any time. A key that is never used does no harm.
"""

import asyncio
from functools import partial

from audience.delivery.ledger import vendor_keys
from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.transitions import Batch
from audience.delivery.sender.context import SendContext
from audience.delivery.sender.handles import SetupRejected
from audience.delivery.transport.retry import RetryLater
from audience.errors import Problem
from audience.vendors.delivery_spec import Accepted, InDoubt, KeySource, Retryable

NO_NEW_KEYS = Problem("no-new-keys", "the vendor gave out only idempotency keys that it had given out before")


class VendorKeyPool:
    """Keys of one run, shared by the calls of one worker."""

    def __init__(self, context: SendContext):
        self._context = context
        self._request_lock = asyncio.Lock()

    async def acquire(self, source: KeySource, batch: Batch) -> str:
        """Return the key for the next call of *batch*.

        Raises:
            OtherKey: The batch is in doubt, and the vendor would not drop a repeat of its call.
            SetupRejected: The vendor refuses to give out keys.
            RetryLater: It could not, and can be asked again.
        """
        take = partial(self._take, source=source, batch=batch)
        if (key := await self._context.group_commit.submit(take)) is not None:
            return key
        async with self._request_lock:
            while (key := await self._context.group_commit.submit(take)) is None:
                await self._request_keys(source)
        return key

    def _take(self, ledger: Ledger, source: KeySource, batch: Batch) -> str | None:
        context = self._context
        return vendor_keys.take_key(ledger, context.worker, batch, source, context.clock.read())

    async def _request_keys(self, source: KeySource) -> None:
        context = self._context
        await context.rate_limiter.wait(source.rate_limits)
        requested_at = context.clock.read()
        request = source.build_request(context.prepared.credentials)
        match await context.transport.post(request, source.parse_reply):
            case Accepted(values):
                store = partial(
                    vendor_keys.store_keys, source=source, keys=values.split(","), requested_at=requested_at
                )
                if not await context.group_commit.submit(store):
                    raise RetryLater(NO_NEW_KEYS)
            case Retryable(problem, retry_after):
                raise RetryLater(problem, retry_after)
            case InDoubt(problem):
                raise RetryLater(problem)
            case rejection:
                raise SetupRejected(rejection)
