"""Time calls in turns, and run functions in processes of their own."""

import os
import timeit
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

MIN_RUN_SECONDS = 0.01  # of one run; faster calls are repeated

ResultT = TypeVar("ResultT")


def fastest_times(
    calls: list[Callable[[], Any]], runs: int, timer: Callable[[], float] = timeit.default_timer
) -> list[float]:
    """Return the smallest time of each call in seconds; calls are measured in turns and have run before."""
    once = [timeit.timeit(call, number=1, timer=timer) for call in calls]
    times = [max(1, round(MIN_RUN_SECONDS / seconds)) for seconds in once]
    pairs = list(zip(calls, times, strict=True))
    rounds = [[timeit.timeit(call, number=n, timer=timer) / n for call, n in pairs] for _ in range(runs)]
    return [min(times_of_call) for times_of_call in zip(*rounds, strict=True)]


def run_in_process(function: Callable[..., ResultT], *arguments: Any, threads: int) -> ResultT:
    """Call *function* in a new process, in which Polars has *threads* threads."""
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
