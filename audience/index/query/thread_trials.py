"""Find out whether several threads answer an expression faster than one: both are tried a few times, and timed.

Threads take turns with Python's lock, and share the bandwidth of the memory. How much of a question waits for these
depends on its operations, the machine, and what else it does; no estimate knows that as well as a trial.
"""

from math import inf
from typing import NamedTuple

from audience.language.ast import Expr

TRIES = 3  # of each way
MIN_GAIN = 1.1  # times as fast several threads must be: one leaves the others to other questions
MAX_ASKED = 1 << 12  # after so many answers both ways are tried again


class Trial(NamedTuple):
    """Least seconds that an expression object took with several threads, and with one.

    >>> from audience.language.ast import bare
    >>> trial = Trial(bare("a"))
    >>> for seconds in (2e-3, 3e-3) * TRIES:  # shared first, then alone, and so on
    ...     trial = trial.note(seconds)
    >>> trial.is_shared(), Trial(bare("a"), 2 * TRIES, shared=2e-3, alone=2.1e-3).is_shared()
    (True, False)
    """

    expr: Expr
    asked: int = 0
    shared: float = inf
    alone: float = inf

    def is_shared(self) -> bool:
        """Return whether several threads answer next: in turns, and then if they were faster."""
        if self.asked < 2 * TRIES:
            return self.asked % 2 == 0
        return self.shared * MIN_GAIN < self.alone

    def note(self, seconds: float) -> "Trial":
        """Return the trial after the answer that `is_shared` was about took *seconds*."""
        asked = self.asked + 1
        if asked > MAX_ASKED:
            return Trial(self.expr)
        if asked > 2 * TRIES:
            return self._replace(asked=asked)
        if self.is_shared():
            return self._replace(asked=asked, shared=min(self.shared, seconds))
        return self._replace(asked=asked, alone=min(self.alone, seconds))
