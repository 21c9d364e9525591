"""Who was told how often, and by which message; what is sent later is told when its time has come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import numpy.typing as npt

from audience.sandbox.http_types import DeviceMask
from audience.sandbox.population import Population

DeviceRows = npt.NDArray[np.uint32]
FIRST_MESSAGE_ID = 1_828_256_757  # message ids are numbers of ten digits


@dataclass(frozen=True, slots=True)
class ScheduledDelivery:
    """A message to *rows* of the population, each once, at the moment *due* of the clock."""

    message_id: str
    rows: DeviceRows
    due: float


@dataclass
class DeliveryLog:
    """What one vendor has delivered so far, by the *clock*, in seconds."""

    population: Population
    vendor: str
    clock: Callable[[], float]
    device_counts: DeviceRows = field(init=False)
    rows_by_message: dict[str, list[DeviceRows]] = field(init=False)
    scheduled: list[ScheduledDelivery] = field(init=False)
    message_numbers: "count[int]" = field(init=False)

    def __post_init__(self) -> None:
        self.message_numbers = count(FIRST_MESSAGE_ID)
        self.reset()

    def reset(self) -> None:
        """Forget all deliveries; ids of messages go on."""
        self.device_counts = np.zeros(len(self.population), dtype=np.uint32)
        self.rows_by_message = {}
        self.scheduled = []

    def create_message(self) -> str:
        """The id of a new message."""
        message = str(next(self.message_numbers))
        self.rows_by_message[message] = []
        return message

    def record(self, message_id: str, devices: DeviceMask | DeviceRows, delay: float = 0.0) -> int:
        """Tell *who* in *after* seconds, 0 for now; how many that are."""
        rows = (np.flatnonzero(devices) if devices.dtype == np.bool_ else devices).astype(np.uint32)
        delivery = ScheduledDelivery(message_id, rows, self.clock() + delay)
        if delay > 0:
            self.scheduled.append(delivery)
        else:
            self._deliver(delivery)
        return len(rows)

    def cancel_message(self, message_id: str) -> bool:
        """Whether *message* was still waiting, and is now never told."""
        before = len(self.scheduled)
        self.scheduled = [each for each in self.scheduled if each.message_id != message_id]
        return len(self.scheduled) < before

    def flush_due(self) -> "DeliveryLog":
        """Tell what has become due."""
        now = self.clock()
        due = [each for each in self.scheduled if each.due <= now]
        if due:
            self.scheduled = [each for each in self.scheduled if each.due > now]
            for each in due:
                self._deliver(each)
        return self

    def _deliver(self, delivery: ScheduledDelivery) -> None:
        self.device_counts[delivery.rows] += 1
        self.rows_by_message[delivery.message_id].append(delivery.rows)

    def counts_by_id(self, message_id: str | None = None) -> dict[str, int]:
        """How often each id was told, by one *message* or by all; only those that were."""
        counts = self.device_counts
        if message_id is not None:
            counts = np.zeros_like(counts)
            for rows in self.rows_by_message.get(message_id, []):
                counts[rows] += 1
        return {name: int(counts[row]) for name, row in self.population.rows_by_id(self.vendor).items() if counts[row]}

    def summarize(self) -> dict[str, int]:
        """Devices, those told at least once and more than once, the most that one was told, and messages waiting."""
        counts = self.device_counts
        return {
            "devices": len(self.population.rows_by_id(self.vendor)),
            "delivered": int(np.count_nonzero(counts)),
            "twice": int(np.count_nonzero(counts > 1)),
            "most": int(counts.max(initial=0)),
            "deliveries": int(counts.sum()),
            "messages": len(self.rows_by_message),
            "waiting": len(self.scheduled),
        }
