"""Many transitions, one write to the disk: what waits while a transaction is written goes into the next one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from audience.delivery.ledger.connection import Ledger

JobResultT = TypeVar("JobResultT")


class GroupCommit:
    """Writes to *ledger* for many tasks; each goes on once what it wrote is on disk."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._queued_jobs: list[tuple[Callable[[Ledger], Any], asyncio.Future[Any]]] = []
        self._executor = ThreadPoolExecutor(1, "ledger")
        self._write_task: asyncio.Task[None] | None = None

    async def submit(self, job: Callable[[Ledger], JobResultT]) -> JobResultT:
        """What *job* returns, once all that it wrote is on disk; what it raises, when nothing was written."""
        future: asyncio.Future[JobResultT] = asyncio.get_running_loop().create_future()
        self._queued_jobs.append((job, future))
        if self._write_task is None:
            self._write_task = asyncio.create_task(self._write_queued_jobs())
        return await future

    async def _write_queued_jobs(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queued_jobs:
            jobs, self._queued_jobs = self._queued_jobs, []
            try:
                found = await loop.run_in_executor(self._executor, self._ledger.run_all, [job for job, _ in jobs])
            except BaseException as error:  # noqa: BLE001 - those who wait are told
                found = [error] * len(jobs)
            for (_, future), value in zip(jobs, found, strict=True):
                if future.done():
                    continue
                if isinstance(value, BaseException):
                    future.set_exception(value)
                else:
                    future.set_result(value)
        self._write_task = None

    async def close(self) -> None:
        """Wait for what is being written."""
        while self._write_task is not None:
            with suppress(Exception):
                await asyncio.shield(self._write_task)
        self._executor.shutdown()
