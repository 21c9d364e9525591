"""Clock of a run: the wall clock, the clock of the machine since it was started, and waiting, as one value.

The wall clock can be set, and is wrong after a virtual machine was suspended. The boot clock cannot be set, and counts
also while the machine is suspended: https://man7.org/linux/man-pages/man2/clock_gettime.2.html. Two of its times can
be compared only within one boot.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


def read_boot_clock() -> float:
    """Return the seconds since the machine was started, also those while it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@cache
def read_boot_id() -> str:
    """Return what identifies this boot of the machine, which a process never outlives; empty if the system has none."""
    return BOOT_ID_FILE.read_text("ascii").strip() if BOOT_ID_FILE.is_file() else ""


class Moment(NamedTuple):
    """One reading of a clock: Unix timestamp, seconds since the machine was started, and which start that was."""

    wall: float
    boot: float
    boot_id: str


@dataclass(frozen=True, slots=True)
class Clock:
    """Sources of time.

    Attributes:
        wall: Returns the Unix timestamp in seconds.
        boot: Returns the seconds since the machine was started.
        boot_id: Returns what identifies this boot.
        sleep: Waits for that many seconds.

    >>> Clock(wall=lambda: 1_790_000_000.0).wall()
    1790000000.0
    """

    wall: Callable[[], float] = time.time
    boot: Callable[[], float] = read_boot_clock
    boot_id: Callable[[], str] = read_boot_id
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def read(self) -> Moment:
        """Return the moment that all clocks show."""
        return Moment(self.wall(), self.boot(), self.boot_id())


SYSTEM_CLOCK = Clock()
