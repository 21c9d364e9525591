"""Evaluate the shards of an index in threads.

A question begins in the thread that asks it. If its first shard takes so long that the others are worth sharing,
threads that are kept for this take a part of them. Small questions start no thread, and take as long as without. One
that is asked again is also answered by one thread alone, and goes on in the way that was faster.
"""

#   thread that asks   shard 0 │ are the others worth it? │ shard 1  │ shard 4 │ wait for helpers
#   helper                                                │ shard 2      │ shard 5 │
#   helper                                                │ shard 3 │ shard 6       │

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from audience.index.query.thread_trials import Trial
from audience.index.storage.croaring import share_question
from audience.index.storage.shard import Shard
from audience.language.ast import Expr, Limit, Top, walk_operands

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

MIN_SHARED_SECONDS = 400e-6  # of work that is left; to wake a thread and wait for it takes about a tenth
MIN_SHARED_ROWS = 1 << 19  # of a shard in which a step that reads all rows is shared
MIN_LOADING_SECONDS = 0.005  # of a shard whose bitmaps are loaded, which keeps Python's lock but to wait for the disk
MAX_SLOW_EXPRS = 4_096
CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")  # of Linux: how long the cores of a container may work in a period
_THIS_THREAD = threading.local()

Result = TypeVar("Result")


def map_expr(function: Callable[[Expr, Shard], Result], expr: Expr, shards: Sequence[Shard]) -> list[Result]:
    """Return what *function* returns for *expr* in each of *shards*, as `map_shards`.

    An expression object that took long before is shared from its first shard on, if that is faster.
    """
    if len(shards) == 1:
        return [function(expr, shards[0])]
    slow_exprs = shards[0].group.slow_exprs
    if slow_exprs and slow_exprs.get(id(expr)) is expr:
        results, seconds = _answer_again(function, expr, shards)
        if seconds < MIN_SHARED_SECONDS:
            slow_exprs.pop(id(expr), None)
        return results
    first, others = shards[0], shards[1:]
    loaded_count, start = first.loaded_count, perf_counter()
    answers = [function(expr, first)]
    seconds = perf_counter() - start
    is_short = seconds * len(others) < MIN_SHARED_SECONDS
    if is_short or (first.loaded_count > loaded_count and seconds < MIN_LOADING_SECONDS):
        for shard in others:
            answers.append(function(expr, shard))
        return answers
    results, _ = _share(function, [(expr, shard) for shard in others], _count_threads(first))
    _remember_slow(expr, slow_exprs)
    return answers + results


def _answer_again(
    function: Callable[[Expr, Shard], Result], expr: Expr, shards: Sequence[Shard]
) -> tuple[list[Result], float]:
    """Return what *function* returns for each of *shards*, and the seconds of work, in the way that was faster."""
    calls, threads = [(expr, shard) for shard in shards], _count_threads(shards[0])
    if threads < 2:
        return _share(function, calls, threads)
    trials, key = shards[0].group.thread_trials, (id(expr), getattr(function, "__qualname__", ""))
    trial = trials.get(key)
    if trial is None or trial.expr is not expr:
        trial = Trial(expr)
    start = perf_counter()
    if trial.is_shared():
        results, work = _share(function, calls, threads)
        took = perf_counter() - start
    else:
        results = [function(*arguments) for arguments in calls]
        took = work = perf_counter() - start
    if len(trials) >= MAX_SLOW_EXPRS:
        trials.clear()
    trials[key] = trial.note(took)
    return results, work


def map_shards(function: Callable[..., Result], shards: Sequence[Shard], *columns: Iterable[Any]) -> list[Result]:
    """Return what *function* returns for each of *shards*, and the element of each of *columns* beside it.

    The answer is that of a loop, and so is an error: it is that of the first shard that fails.
    """
    calls = list(zip(shards, *columns, strict=True))
    start = perf_counter()
    answers = [function(*arguments) for arguments in calls[:1]]
    others = calls[1:]
    if not others or (perf_counter() - start) * len(others) < MIN_SHARED_SECONDS:
        return answers + [function(*arguments) for arguments in others]
    return answers + _share(function, others, _count_threads(shards[0]))[0]


def share_calls(function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], shard: Shard) -> list[Result]:
    """Return what *function* returns for each of *calls*, which are steps of one answer in *shard*.

    Helpers take a part of them if the shard is large; else, all together do not take long enough.
    """
    threads = _count_threads(shard) if shard.row_count >= MIN_SHARED_ROWS else 1
    return _share(function, calls, threads)[0]


def _count_threads(shard: Shard) -> int:
    """Return how many threads may evaluate the shards of a snapshot: one in a thread that helps another."""
    return 1 if hasattr(_THIS_THREAD, "is_helper") else shard.group.threads or count_cores()


def _remember_slow(expr: Expr, slow_exprs: dict[int, Expr]) -> None:
    """Remember that *expr* is slow, but for a limit, of which the first shard must choose the devices of all shards."""
    if any(isinstance(node, Limit | Top) for node in walk_operands(expr)):
        return
    if len(slow_exprs) >= MAX_SLOW_EXPRS:
        slow_exprs.clear()
    slow_exprs[id(expr)] = expr


def _share(
    function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], threads: int
) -> tuple[list[Result], float]:
    """Make *calls* in this thread and in those helpers that have the time.

    Returns:
        The results, and the seconds of work of all threads together, without those in which one waited.
    """
    if threads < 2:
        return [function(*arguments) for arguments in calls], 0.0
    work = _Work(function, calls)
    try:
        with share_question():
            started = _start(work.take_calls, min(threads, len(calls)) - 1, threads - 1)
            work.take_calls()
            for future in started:
                if not future.cancel():
                    future.result()
    finally:  # also if this thread is interrupted
        work.waiting.clear()
    if work.errors:
        raise work.errors.pop(min(work.errors))
    return work.results, work.seconds


class _Work(Generic[Result]):
    """Calls of a function that several threads take one after another, and their results in order.

    Calls are taken in order, and none after one has failed: the first call that fails is the same as in one thread.
    """

    __slots__ = ("_calls", "_function", "errors", "results", "seconds", "waiting")

    def __init__(self, function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]):
        self._function, self._calls = function, calls
        self.waiting = deque(range(len(calls)))
        self.errors: dict[int, BaseException] = {}
        self.results: list[Result] = [None] * len(calls)  # type: ignore[list-item]  # each is replaced
        self.seconds = 0.0

    def take_calls(self) -> None:
        """Make calls until none is left."""
        start = thread_time()
        while self.waiting:
            try:
                number = self.waiting.popleft()
            except IndexError:  # another thread was faster
                break
            try:
                self.results[number] = self._function(*self._calls[number])
            except BaseException as error:  # noqa: BLE001  # the thread that asks raises it
                self.errors[number] = error
                self.waiting.clear()
        self.seconds += thread_time() - start


def _start(task: Callable[[], None], helpers: int, pool_size: int) -> "list[Future[None]]":
    """Let *helpers* do *task*, or fewer if no thread can be started, such as when Python is about to end."""
    started: list[Future[None]] = []
    try:
        while len(started) < helpers:
            started.append(_open_pool(os.getpid(), pool_size).submit(task))
    except RuntimeError:
        pass
    return started


@cache
def _open_pool(process: int, size: int) -> "ThreadPoolExecutor":
    """Return the helpers of all questions in *process*: one that was forked has no threads of its parent."""
    from concurrent.futures import ThreadPoolExecutor  # takes 5 ms to import, and many questions need no helpers

    return ThreadPoolExecutor(size, "audience", _mark_helper)


def _mark_helper() -> None:
    _THIS_THREAD.is_helper = True


@cache
def count_cores() -> int:
    """Return how many cores this process may use: the system or a container may allow it fewer than there are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _read_cpu_quota() or cores)


def _read_cpu_quota() -> int | None:
    """Return for how many cores a container has time; None if it is not limited."""
    try:
        quota, period = CPU_QUOTA_FILE.read_text().split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):  # another system, or "max"
        return None
