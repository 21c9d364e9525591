"""Group commit: jobs of many tasks are written in one transaction, so that one disk sync serves all of them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

from audience.delivery.sqlite_file import SqliteFile

FileT = TypeVar("FileT", bound=SqliteFile)
JobResultT = TypeVar("JobResultT")


class GroupCommit(Generic[FileT]):
    """Queue of jobs for *ledger*. Jobs that arrive while a transaction is written go into the next one."""

    def __init__(self, ledger: FileT):
        self._ledger = ledger
        self._queued_jobs: list[tuple[Callable[[FileT], Any], asyncio.Future[Any]]] = []
        self._executor = ThreadPoolExecutor(1, "ledger")
        self._write_task: asyncio.Task[None] | None = None

    async def submit(self, job: Callable[[FileT], JobResultT]) -> JobResultT:
        """Return the result of *job* once its writes are on disk; if *job* raises, nothing is written."""
        future: asyncio.Future[JobResultT] = asyncio.get_running_loop().create_future()
        self._queued_jobs.append((job, future))
        if self._write_task is None:
            self._write_task = asyncio.create_task(self._write_queued_jobs())
        return await future

    async def _write_queued_jobs(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queued_jobs:
            queued, self._queued_jobs = self._queued_jobs, []
            jobs = [job for job, _ in queued]
            try:
                results = await loop.run_in_executor(self._executor, self._ledger.run_all, jobs)
            except BaseException as error:  # noqa: BLE001 - every waiting task gets the error
                results = [error] * len(jobs)
            for (_, future), result in zip(queued, results, strict=True):
                _resolve(future, result)
        self._write_task = None

    async def close(self) -> None:
        """Wait until all queued jobs are written."""
        while self._write_task is not None:
            with suppress(Exception):
                await asyncio.shield(self._write_task)
        self._executor.shutdown()


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():  # its task was cancelled
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
