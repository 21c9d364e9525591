"""Deliveries by device and message, with deliveries that are scheduled for later."""

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
    """One message to *rows* of the population, due at a time of the clock."""

    message_id: str
    rows: DeviceRows
    due: float


@dataclass
class DeliveryLog:
    """Deliveries of one vendor so far.

    Attributes:
        population: The devices that can be reached.
        vendor: The vendor whose ids name the devices.
        clock: Returns the current time in seconds.
    """

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
        """Forget all deliveries; message ids continue."""
        self.device_counts = np.zeros(len(self.population), dtype=np.uint32)
        self.rows_by_message = {}
        self.scheduled = []

    def create_message(self) -> str:
        """Return the id of a new message."""
        message_id = str(next(self.message_numbers))
        self.rows_by_message[message_id] = []
        return message_id

    def record(self, message_id: str, devices: DeviceMask | DeviceRows, delay: float = 0.0) -> int:
        """Deliver a message to *devices* after *delay* seconds.

        Args:
            message_id: An id from `create_message`.
            devices: A mask over the population, or row numbers.
            delay: Seconds to wait; 0 delivers at once.

        Returns:
            The number of devices.
        """
        rows = (np.flatnonzero(devices) if devices.dtype == np.bool_ else devices).astype(np.uint32)
        delivery = ScheduledDelivery(message_id, rows, self.clock() + delay)
        if delay > 0:
            self.scheduled.append(delivery)
        else:
            self._deliver(delivery)
        return len(rows)

    def cancel_message(self, message_id: str) -> bool:
        """Cancel the scheduled deliveries of a message; return whether there were any."""
        before = len(self.scheduled)
        self.scheduled = [delivery for delivery in self.scheduled if delivery.message_id != message_id]
        return len(self.scheduled) < before

    def flush_due(self) -> "DeliveryLog":
        """Deliver everything that is due, and return the log."""
        now = self.clock()
        due = [delivery for delivery in self.scheduled if delivery.due <= now]
        if due:
            self.scheduled = [delivery for delivery in self.scheduled if delivery.due > now]
            for delivery in due:
                self._deliver(delivery)
        return self

    def _deliver(self, delivery: ScheduledDelivery) -> None:
        self.device_counts[delivery.rows] += 1
        self.rows_by_message[delivery.message_id].append(delivery.rows)

    def counts_by_id(self, message_id: str | None = None) -> dict[str, int]:
        """Return the number of deliveries by id, of one message or of all, without ids that received none."""
        counts = self.device_counts
        if message_id is not None:
            counts = np.zeros_like(counts)
            for rows in self.rows_by_message.get(message_id, []):
                counts[rows] += 1
        return {name: int(counts[row]) for name, row in self.population.rows_by_id(self.vendor).items() if counts[row]}

    def summarize(self) -> dict[str, int]:
        """Return the counts that `GET /_sandbox/delivered` shows.

        `delivered` and `twice` count devices with at least one and more than one delivery, `most` is the highest count
        of one device, and `waiting` counts scheduled messages.
        """
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
