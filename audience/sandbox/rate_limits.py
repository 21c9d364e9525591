"""Rate limits of the emulated vendors."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

JITTER_FRACTION = 0.02  # of a period: calls may arrive closer together than they were sent


@dataclass
class SlidingWindowLimiter:
    """Calls of each kind within the last seconds of *clock*; *scale* multiplies the documented limits, None lifts them.

    >>> now = [0.0]
    >>> rates = SlidingWindowLimiter(lambda: now[0], scale=2)
    >>> [rates.try_acquire("broadcast", 1, 1.0) for now[0] in (0.0, 0.4, 0.5, 1.0)]
    [True, False, True, True]
    """

    clock: Callable[[], float]
    scale: float | None = 1.0
    call_times: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def try_acquire(self, kind: str, limit: int, seconds: float) -> bool:
        """Count one call of *kind* and return True if it is within *limit* for any *seconds*; else return False."""
        if self.scale is None:
            return True
        now, calls = self.clock(), self.call_times[kind]
        while calls and now - calls[0] >= seconds / self.scale * (1 - JITTER_FRACTION):
            calls.popleft()
        if len(calls) >= limit:
            return False
        calls.append(now)
        return True

    def usage(self, kind: str, seconds: float) -> tuple[int, float]:
        """Return the number of calls of *kind* within the last *seconds*, and the seconds until the oldest is past."""
        now, calls = self.clock(), self.call_times.get(kind, ())
        period = seconds / (self.scale or 1.0)
        recent = [at for at in calls if now - at < period]
        return len(recent), max(0.0, period - (now - recent[0])) if recent else 0.0
