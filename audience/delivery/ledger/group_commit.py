"""Many transitions, one write to the disk: what waits while a transaction is written goes into the next one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from audience.delivery.ledger.connection import Ledger

T = TypeVar("T")


class Commits:
    """Writes to *ledger* for many tasks; each goes on once what it wrote is on disk."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._waiting: list[tuple[Callable[[Ledger], Any], asyncio.Future[Any]]] = []
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._writing: asyncio.Task[None] | None = None

    async def write(self, job: Callable[[Ledger], T]) -> T:
        """What *job* returns, once all that it wrote is on disk; what it raises, when nothing was written."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            jobs, self._waiting = self._waiting, []
            try:
                found = await loop.run_in_executor(self._thread, self._ledger.each, [job for job, _ in jobs])
            except BaseException as error:  # noqa: BLE001 - those who wait are told
                found = [error] * len(jobs)
            for (_, future), value in zip(jobs, found, strict=True):
                if future.done():
                    continue
                if isinstance(value, BaseException):
                    future.set_exception(value)
                else:
                    future.set_result(value)
        self._writing = None

    async def close(self) -> None:
        """Wait for what is being written."""
        while self._writing is not None:
            with suppress(Exception):
                await asyncio.shield(self._writing)
        self._thread.shutdown()
