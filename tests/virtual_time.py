"""Virtual time for tests: a clock on which waiting takes no time, shared by a run and the sandbox."""

import asyncio
import heapq
import threading
from dataclasses import dataclass, field

from audience.delivery.clock import Clock

TURN_SECONDS = 0.001  # real seconds for calls in flight, before time goes on


@dataclass
class VirtualTime:
    """Time that passes when everybody waits: the first to wake moves it on.

    Attributes:
        now: The Unix time.
        on_sleep: Called before each wait, with the time.
    """

    now: float
    on_sleep: "object" = lambda now: None
    _wakes: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.on_sleep(self.now)
        until = self.now + seconds
        with self._lock:
            heapq.heappush(self._wakes, until)
        while self.now < until:
            await asyncio.sleep(TURN_SECONDS)
            with self._lock:
                if self._wakes and self._wakes[0] == until:
                    self.now = max(self.now, until)
        with self._lock:
            self._wakes.remove(until)
            heapq.heapify(self._wakes)

    def clock(self) -> Clock:
        return Clock(wall=self.wall, boot=self.wall, boot_id=lambda: "boot", sleep=self.sleep)
