"""Rate limiting: calls under one limit are spread evenly, and all workers of a run share the limit.

A vendor counts calls in windows of its own. A burst at the edge of a window could be twice the limit; evenly spaced
calls never exceed it. Each of several workers gets an equal part of the rate.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audience.vendors.delivery_spec import RateLimit

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


class RateLimiter:
    """Rate limiter of one worker; *worker_count* is how many workers share the limits."""

    def __init__(self) -> None:
        self.worker_count = 1
        self._limiters: dict[tuple[str, int, float, int], AsyncLimiter] = {}
        self._paused_until = 0.0

    async def wait(self, rate_limits: Sequence[RateLimit]) -> None:
        """Wait until a call that counts against all *rate_limits* may be made."""
        for rate_limit in sorted(rate_limits, key=call_interval, reverse=True):
            await self._limiter_for(rate_limit).acquire()
        while (remaining := self._paused_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(remaining)

    def pause(self, seconds: float) -> None:
        """Hold all calls back for *seconds*, because the vendor asked for it."""
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)

    def _limiter_for(self, rate_limit: RateLimit) -> "AsyncLimiter":
        from aiolimiter import AsyncLimiter  # imported here: cost estimates need only `call_interval`

        worker_count = max(1, self.worker_count)
        key = (rate_limit.name, rate_limit.max_calls, rate_limit.period_seconds, worker_count)
        if key not in self._limiters:
            self._limiters[key] = AsyncLimiter(1, call_interval(rate_limit) * worker_count)
        return self._limiters[key]


def call_interval(rate_limit: RateLimit) -> float:
    """Return the seconds between two calls.

    >>> call_interval(RateLimit("push", 500, 1, "the vendor docs"))
    0.002
    """
    return rate_limit.period_seconds / rate_limit.max_calls
