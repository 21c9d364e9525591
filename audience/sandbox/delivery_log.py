"""Who was told how often, and by which message; what is sent later is told when its time has come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import numpy.typing as npt

from audience.sandbox.http_types import Mask
from audience.sandbox.population import Population

Rows = npt.NDArray[np.uint32]
FIRST = 1_828_256_757  # message ids are numbers of ten digits


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to *rows* of the population, each once, at the moment *due* of the clock."""

    message: str
    rows: Rows
    due: float


@dataclass
class Told:
    """What one vendor has delivered so far, by the *clock*, in seconds."""

    population: Population
    vendor: str
    clock: Callable[[], float]
    counts: Rows = field(init=False)
    messages: dict[str, list[Rows]] = field(init=False)
    waiting: list[Delivery] = field(init=False)
    numbers: "count[int]" = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = count(FIRST)
        self.reset()

    def reset(self) -> None:
        """Forget all deliveries; ids of messages go on."""
        self.counts = np.zeros(len(self.population), dtype=np.uint32)
        self.messages = {}
        self.waiting = []

    def number(self) -> str:
        """The id of a new message."""
        message = str(next(self.numbers))
        self.messages[message] = []
        return message

    def deliver(self, message: str, who: Mask | Rows, after: float = 0.0) -> int:
        """Tell *who* in *after* seconds, 0 for now; how many that are."""
        rows = (np.flatnonzero(who) if who.dtype == np.bool_ else who).astype(np.uint32)
        delivery = Delivery(message, rows, self.clock() + after)
        if after > 0:
            self.waiting.append(delivery)
        else:
            self._tell(delivery)
        return len(rows)

    def cancel(self, message: str) -> bool:
        """Whether *message* was still waiting, and is now never told."""
        before = len(self.waiting)
        self.waiting = [each for each in self.waiting if each.message != message]
        return len(self.waiting) < before

    def settle(self) -> "Told":
        """Tell what has become due."""
        now = self.clock()
        due = [each for each in self.waiting if each.due <= now]
        if due:
            self.waiting = [each for each in self.waiting if each.due > now]
            for each in due:
                self._tell(each)
        return self

    def _tell(self, delivery: Delivery) -> None:
        self.counts[delivery.rows] += 1
        self.messages[delivery.message].append(delivery.rows)

    def by_id(self, message: str | None = None) -> dict[str, int]:
        """How often each id was told, by one *message* or by all; only those that were."""
        counts = self.counts
        if message is not None:
            counts = np.zeros_like(counts)
            for rows in self.messages.get(message, []):
                counts[rows] += 1
        return {name: int(counts[row]) for name, row in self.population.ids(self.vendor).items() if counts[row]}

    def summary(self) -> dict[str, int]:
        """Devices, those told at least once and more than once, the most that one was told, and messages waiting."""
        counts = self.counts
        return {
            "devices": len(self.population.ids(self.vendor)),
            "told": int(np.count_nonzero(counts)),
            "twice": int(np.count_nonzero(counts > 1)),
            "most": int(counts.max(initial=0)),
            "deliveries": int(counts.sum()),
            "messages": len(self.messages),
            "waiting": len(self.waiting),
        }
