"""No faster than the vendor takes calls: those of one name are spread evenly, and shared by all who work on a ledger.

A vendor counts calls in a window of its own, so that a burst at a window's edge could be twice what it takes; calls
that are evenly apart never are. Several processes each take the rate divided by how many there are.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audience.vendors.delivery_spec import Pace

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


class Paces:
    """The paces of a run; *workers* is how many processes share them."""

    def __init__(self) -> None:
        self.workers = 1
        self._limits: dict[tuple[str, int, float, int], AsyncLimiter] = {}
        self._until = 0.0

    async def wait(self, paces: Sequence[Pace]) -> None:
        """Wait until a call may leave that all of *paces* count."""
        for pace in sorted(paces, key=spacing, reverse=True):
            await self._limit(pace).acquire()
        while (left := self._until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(left)

    def hold(self, seconds: float) -> None:
        """The vendor has said that it is too fast: nobody calls for so many *seconds*."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)

    def _limit(self, pace: Pace) -> "AsyncLimiter":
        from aiolimiter import AsyncLimiter  # here, as a plan asks only how far calls are apart

        many = max(1, self.workers)
        key = (pace.name, pace.calls, pace.seconds, many)
        if key not in self._limits:
            self._limits[key] = AsyncLimiter(1, spacing(pace) * many)
        return self._limits[key]


def spacing(pace: Pace) -> float:
    """How many seconds two calls are apart.

    >>> spacing(Pace("push", 500, 1, "the page"))
    0.002
    """
    return pace.seconds / pace.calls
