"""What told nobody is tried again: a bounded number of times, each time later, or when the vendor says."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tenacity import AsyncRetrying, AttemptManager, RetryCallState, retry_if_exception_type

from audience.errors import Problem

MAX_BACKOFF_DOUBLINGS = 64  # times at the most: no wait is longer than that, and no float either
MAX_RETRY_AFTER_SECONDS = 300.0  # seconds: whoever says later than that is asked again by `audience resume`


class RetryLater(Exception):
    """It can be tried again, *after* seconds where that is known; *doubt* where somebody may have been told."""

    def __init__(self, problem: Problem, delay: float | None = None, *, in_doubt: bool = False):
        super().__init__(problem)
        self.problem = problem
        self.delay = delay
        self.in_doubt = in_doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is tried, and how long is waited: from *first* seconds, doubled each time, to *most*.

    A reply is waited for *timeout* seconds. After *doubts* calls in a row whose fate is unknown the run stops: a
    vendor that is down would leave all of it in doubt.
    """

    max_attempts: int = 8
    initial_delay: float = 0.5
    max_delay: float = 30.0
    timeout: float = 30.0
    max_lost: int = 10

    def iter_attempts(self) -> AsyncIterator[AttemptManager]:
        """One attempt after the other, for as long as they raise Later; the last one's is raised."""
        again = AsyncRetrying(
            retry=retry_if_exception_type(RetryLater),
            stop=self._should_stop,
            wait=self._next_delay,
            reraise=True,
        )
        return aiter(again)

    def _should_stop(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        too_late = isinstance(error, RetryLater) and error.delay is not None and error.delay > MAX_RETRY_AFTER_SECONDS
        return too_late or state.attempt_number >= self.max_attempts

    def _next_delay(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RetryLater) and error.delay is not None:
            return error.delay
        longest = min(self.max_delay, self.initial_delay * 2.0 ** min(state.attempt_number - 1, MAX_BACKOFF_DOUBLINGS))
        return float(longest * random.uniform(0.5, 1))  # so that those who failed together do not come back together
