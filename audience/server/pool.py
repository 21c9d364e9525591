"""Threads that answer calls: a bounded number, with a bounded number of calls that wait for one."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from audience.errors import Problem
from audience.server.problems import HttpError
from audience.server.settings import ServeSettings

QUICK_SECONDS = 0.002  # an answer that takes less is not worth a thread
MAX_QUICK_KEYS = 10_000
T = TypeVar("T")


class CallPool:
    """Threads that answer calls of one kind, and what is known of how long answers take.

    Args:
        settings: Settings of the service, of whose threads this has half.
        name: Name of the threads.
    """

    def __init__(self, settings: ServeSettings, name: str):
        thread_count = max(settings.max_threads // 2, 1)
        self.max_seconds = settings.max_seconds
        self._max_pending = thread_count + settings.max_waiting
        self._executor = ThreadPoolExecutor(thread_count, name)
        self._pending = 0
        self._seconds: dict[Hashable, float] = {}

    async def run(self, function: Callable[[], T], key: Hashable = None) -> T:
        """Return the result of *function*, which runs here if its last run with the same *key* was quick.

        Raises:
            HttpError: Too many calls wait for a thread, or the result takes too long.
        """
        if key is not None and self._seconds.get(key, 1) <= QUICK_SECONDS:
            return self._measure(function, key)
        if self._pending >= self._max_pending:
            problem = Problem("too-busy", "too many calls wait for an answer", hint="try again in a second")
            raise HttpError(503, problem, headers={"Retry-After": "1"})
        self._pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._measure, function, key)
        future.add_done_callback(self._finish)
        done, _ = await asyncio.wait([future], timeout=self.max_seconds)
        if not done:
            future.cancel()  # if it has not begun
            message = f"the answer takes longer than {self.max_seconds:g} seconds"
            hint = "ask for less at once, or try again when the service is less busy"
            raise HttpError(503, Problem("too-slow", message, hint=hint), headers={"Retry-After": "10"})
        return future.result()

    def close(self) -> None:
        """End the threads; calls that have not begun are dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _finish(self, future: "asyncio.Future[T]") -> None:
        self._pending -= 1
        if not future.cancelled():
            future.exception()  # of a call that nobody waits for any more

    def _measure(self, function: Callable[[], T], key: Hashable) -> T:
        """Return the result of *function*, and remember how long it took."""
        if key is None:
            return function()
        started = perf_counter()
        result = function()
        if len(self._seconds) >= MAX_QUICK_KEYS:
            self._seconds = {}
        self._seconds[key] = perf_counter() - started
        return result
