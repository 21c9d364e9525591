"""Rate limiting: calls under one limit are spread evenly, and all runs of an application on this machine share it.

A vendor counts calls in windows of its own. A burst at the edge of a window could be twice the limit; evenly spaced
calls never exceed it. A call is recorded in the ledger between its slot and its first byte, which may take longer for
one call than for the next. So the calls of a run are spread once more as they leave.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from audience.delivery.clock import SYSTEM_CLOCK, Clock, Moment
from audience.vendors.delivery_spec import Credentials, DeliverySpec, RateLimit

MAX_LOCK_TRIES = 200  # then its holder is frozen, and is not waited for
LOCK_RETRY_SECONDS = 0.005
MARGIN = 1.03  # between slots, because calls arrive less evenly than they leave


class SlotSource(Protocol):
    """Source of slots: a file that runs share, or the memory of one run."""

    def take_slot(self, now: Moment, interval: float, *, locked: bool = True) -> float | None:
        """Take the next slot and return its moment by the boot clock, or None if it is locked."""


@dataclass(slots=True)
class OwnSlots:
    """Slots of one run alone."""

    next_slot: float = 0.0

    def take_slot(self, now: Moment, interval: float, *, locked: bool = True) -> float | None:
        """Take the next slot and return its moment."""
        slot = max(self.next_slot, now.boot)
        self.next_slot = slot + interval
        return slot


@dataclass(slots=True)
class _Limit:
    """One rate limit in this process: a queue of callers, its slots, and the times at which calls leave."""

    slots: SlotSource
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    departures: OwnSlots = field(default_factory=OwnSlots)


class RateLimiter:
    """Rate limiter of one worker.

    Args:
        application: Name of the application; its runs on this machine share the limits. None for a worker on its own.
        clock: Clock of the run.

    Attributes:
        worker_count: How many workers of the run share the limits, if runs cannot share them through files.
    """

    def __init__(self, application: str | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.worker_count = 1
        self._application = application
        self._clock = clock
        self._folder = None if application is None else _find_folder()
        self._limits: dict[str, _Limit] = {}
        self._paused_until = 0.0

    async def wait(self, rate_limits: Sequence[RateLimit]) -> None:
        """Wait until a call that counts against all *rate_limits* may be made."""
        for rate_limit in sorted(rate_limits, key=call_interval, reverse=True):
            limit = self._limit_for(rate_limit.name)
            async with limit.turn:  # one slot at a time
                await self._sleep_until(self._paused_until)
                await self._sleep_until(await self._take_slot(limit, self._interval(rate_limit)))
        await self._sleep_until(self._paused_until)

    async def wait_to_leave(self, rate_limits: Sequence[RateLimit]) -> None:
        """Wait until a call that has had its slots may leave, as those before it may have left late."""
        for rate_limit in rate_limits:
            departures = self._limit_for(rate_limit.name).departures
            slot = departures.take_slot(self._clock.read(), self._interval(rate_limit))
            await self._sleep_until(slot or 0.0)

    def pause(self, seconds: float) -> None:
        """Hold all calls of the run back for *seconds*, because the vendor asked for it."""
        self._paused_until = max(self._paused_until, self._clock.boot() + seconds)

    async def _take_slot(self, limit: _Limit, interval: float) -> float:
        """Take a slot; if its file cannot be used any more, from now on those of this run alone."""
        try:
            for tries in range(MAX_LOCK_TRIES + 1):
                slot = limit.slots.take_slot(self._clock.read(), interval, locked=tries < MAX_LOCK_TRIES)
                if slot is not None:
                    return slot
                await self._clock.sleep(LOCK_RETRY_SECONDS)
        except OSError:
            limit.slots = OwnSlots()
        return limit.slots.take_slot(self._clock.read(), interval, locked=False) or 0.0

    async def _sleep_until(self, moment: float) -> None:
        while (remaining := moment - self._clock.boot()) > 0:
            await self._clock.sleep(remaining)

    def _interval(self, rate_limit: RateLimit) -> float:
        """Return the seconds between two slots; workers that share no file get an equal part of the rate each."""
        shares = 1 if self._folder is not None else max(1, self.worker_count)
        return MARGIN * call_interval(rate_limit) * shares

    def _limit_for(self, name: str) -> _Limit:
        if name not in self._limits:
            self._limits[name] = _Limit(self._open_slots(name))
        return self._limits[name]

    def _open_slots(self, name: str) -> SlotSource:
        if self._folder is None or self._application is None:
            return OwnSlots()
        from audience.delivery.transport.pace_file import PaceFile, name_file

        return PaceFile(self._folder / name_file(self._application, name))


def name_application(credentials: Credentials, delivery: DeliverySpec) -> str:
    """Return the name of the application of *credentials*: its host and its public keys."""
    keys = (
        f"{name}={credentials.keys.get(name)}" for name in delivery.required_keys if name not in delivery.secret_keys
    )
    return " ".join((credentials.base_url, *sorted(keys)))


def call_interval(rate_limit: RateLimit) -> float:
    """Return the seconds between two calls.

    >>> call_interval(RateLimit("push", 500, 1, "the vendor docs"))
    0.002
    """
    return rate_limit.period_seconds / rate_limit.max_calls


def _find_folder() -> Path | None:
    from audience.delivery.transport.pace_file import open_pace_folder  # imported here: cost estimates need no files

    try:
        return open_pace_folder()
    except OSError:
        return None
