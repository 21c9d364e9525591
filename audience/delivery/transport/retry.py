"""What told nobody is tried again: a bounded number of times, each time later, or when the vendor says."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tenacity import AsyncRetrying, AttemptManager, RetryCallState, retry_if_exception_type

from audience.errors import Problem

DOUBLED = 64  # times at the most: no wait is longer than that, and no float either
LONGEST = 300.0  # seconds: whoever says later than that is asked again by `audience resume`


class Later(Exception):
    """It can be tried again, *after* seconds where that is known; *doubt* where somebody may have been told."""

    def __init__(self, problem: Problem, after: float | None = None, *, doubt: bool = False):
        super().__init__(problem)
        self.problem = problem
        self.after = after
        self.doubt = doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a call is tried, and how long is waited: from *first* seconds, doubled each time, to *most*.

    A reply is waited for *timeout* seconds. After *doubts* calls in a row whose fate is unknown the run stops: a
    vendor that is down would leave all of it in doubt.
    """

    attempts: int = 8
    first: float = 0.5
    most: float = 30.0
    timeout: float = 30.0
    doubts: int = 10

    def tries(self) -> AsyncIterator[AttemptManager]:
        """One attempt after the other, for as long as they raise Later; the last one's is raised."""
        again = AsyncRetrying(
            retry=retry_if_exception_type(Later),
            stop=self._enough,
            wait=self._wait,
            reraise=True,
        )
        return aiter(again)

    def _enough(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        too_late = isinstance(error, Later) and error.after is not None and error.after > LONGEST
        return too_late or state.attempt_number >= self.attempts

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Later) and error.after is not None:
            return error.after
        longest = min(self.most, self.first * 2.0 ** min(state.attempt_number - 1, DOUBLED))
        return float(longest * random.uniform(0.5, 1))  # so that those who failed together do not come back together
