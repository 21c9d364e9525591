"""Retry policy: exponential backoff with jitter, or the delay that the vendor asks for if that is longer."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, AttemptManager, RetryCallState, retry_if_exception_type

from audience.errors import Problem

ResultT = TypeVar("ResultT")

MAX_BACKOFF_DOUBLINGS = 64  # more would overflow a float
DAY_SECONDS = 86_400.0
YEAR_SECONDS = 365 * DAY_SECONDS
MAX_RETRY_AFTER_SECONDS = 300.0  # for longer delays the run stops, and `audience resume` tries again


class RetryLater(Exception):
    """Failed call that may be made again, after *delay* seconds if that is known.

    *in_doubt* is whether an earlier call for the batch may have been delivered.
    """

    def __init__(self, problem: Problem, delay: float | None = None, *, in_doubt: bool = False):
        super().__init__(problem)
        self.problem = problem
        self.delay = delay
        self.in_doubt = in_doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Limits for retries and timeouts.

    Attributes:
        max_attempts: How often a call is made at most.
        initial_delay: Seconds before the second attempt; each further delay is twice as long.
        max_delay: Longest delay in seconds.
        timeout: Seconds to wait for a complete reply.
        max_lost: The run stops after this many lost replies in a row; otherwise an outage of the vendor would leave the
            whole run in doubt.
    """

    max_attempts: int = 8
    initial_delay: float = 0.5
    max_delay: float = 30.0
    timeout: float = 30.0
    max_lost: int = 10

    def iter_attempts(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> AsyncIterator[AttemptManager]:
        """Yield attempts for as long as they raise RetryLater; the error of the last one is raised."""
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(RetryLater),
            stop=self._should_stop,
            wait=self._next_delay,
            sleep=sleep,
            reraise=True,
        )
        return aiter(attempts)

    async def repeat(
        self, attempt: Callable[[], Awaitable[ResultT]], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> ResultT:
        """Return the result of *attempt*, which is made as often as `iter_attempts` says.

        Most first attempts succeed, and cost nothing of tenacity, which begins with the error of one that has failed.
        """
        try:
            return await attempt()
        except RetryLater as error:
            failures = [error]
        async for state in self.iter_attempts(sleep):
            with state:
                if failures:
                    raise failures.pop()
                return await attempt()
        raise AssertionError("the error of the last attempt is raised")

    def _should_stop(self, state: RetryCallState) -> bool:
        delay = _requested_delay(state)
        too_long = delay is not None and delay > MAX_RETRY_AFTER_SECONDS
        return too_long or state.attempt_number >= self.max_attempts

    def _next_delay(self, state: RetryCallState) -> float:
        """Return the delay of the backoff, or the one that the vendor asks for if that is longer."""
        doublings = min(state.attempt_number - 1, MAX_BACKOFF_DOUBLINGS)
        backoff = min(self.max_delay, self.initial_delay * 2.0**doublings)
        jittered = float(backoff * random.uniform(0.5, 1))  # calls that failed together are spread
        return max(jittered, _requested_delay(state) or 0.0)


def format_delay(seconds: float) -> str:
    """Return a delay in words.

    >>> [format_delay(seconds) for seconds in (400, 86_400, 10.0**9, float("inf"))]
    ['400 seconds', '1.0 days', 'longer than a year', 'longer than a year']
    """
    if seconds > YEAR_SECONDS:
        return "longer than a year"
    return f"{seconds:,.0f} seconds" if seconds < DAY_SECONDS else f"{seconds / DAY_SECONDS:,.1f} days"


def _requested_delay(state: RetryCallState) -> float | None:
    """Return the delay that the vendor asked for, if any."""
    error = state.outcome.exception() if state.outcome else None
    return error.delay if isinstance(error, RetryLater) else None
