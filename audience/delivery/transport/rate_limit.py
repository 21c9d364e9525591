"""No faster than the vendor takes calls: those of one name are spread evenly, and shared by all who work on a ledger.

A vendor counts calls in a window of its own, so that a burst at a window's edge could be twice what it takes; calls
that are evenly apart never are. Several processes each take the rate divided by how many there are.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audience.vendors.delivery_spec import RateLimit

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


class RateLimiter:
    """The paces of a run; *workers* is how many processes share them."""

    def __init__(self) -> None:
        self.worker_count = 1
        self._limiters: dict[tuple[str, int, float, int], AsyncLimiter] = {}
        self._paused_until = 0.0

    async def wait(self, rate_limits: Sequence[RateLimit]) -> None:
        """Wait until a call may leave that all of *paces* count."""
        for pace in sorted(rate_limits, key=call_interval, reverse=True):
            await self._limiter_for(pace).acquire()
        while (left := self._paused_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(left)

    def pause(self, seconds: float) -> None:
        """The vendor has said that it is too fast: nobody calls for so many *seconds*."""
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)

    def _limiter_for(self, rate_limit: RateLimit) -> "AsyncLimiter":
        from aiolimiter import AsyncLimiter  # here, as a plan asks only how far calls are apart

        many = max(1, self.worker_count)
        key = (rate_limit.name, rate_limit.max_calls, rate_limit.period_seconds, many)
        if key not in self._limiters:
            self._limiters[key] = AsyncLimiter(1, call_interval(rate_limit) * many)
        return self._limiters[key]


def call_interval(rate_limit: RateLimit) -> float:
    """How many seconds two calls are apart.

    >>> call_interval(RateLimit("push", 500, 1, "the page"))
    0.002
    """
    return rate_limit.period_seconds / rate_limit.max_calls
