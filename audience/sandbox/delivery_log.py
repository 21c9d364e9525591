"""Deliveries by device and message, with deliveries that are scheduled for later."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from audience.sandbox.http_types import DeviceMask, JsonObject
from audience.sandbox.population import Population

DeviceRows = npt.NDArray[np.uint32]
DeliveryState: TypeAlias = Literal["waiting", "delivered", "cancelled"]
FIRST_MESSAGE_ID = 1_828_256_757  # message ids are numbers of ten digits


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to *rows* of the population at *due*, in Unix time."""

    message_id: str
    rows: DeviceRows
    due: float
    state: DeliveryState


@dataclass
class DeliveryLog:
    """Deliveries of one vendor so far.

    Attributes:
        population: The devices that can be reached.
        vendor: The vendor whose ids name the devices.
        clock: Returns the Unix time in seconds.
    """

    population: Population
    vendor: str
    clock: Callable[[], float]
    device_counts: DeviceRows = field(init=False)
    deliveries: list[Delivery] = field(init=False)
    content_by_message: dict[str, JsonObject] = field(init=False)
    places_by_message: dict[str, list[int]] = field(init=False)  # places in `deliveries`
    waiting: set[int] = field(init=False)  # places, too
    message_numbers: "count[int]" = field(init=False)
    _contents: dict[str, JsonObject] = field(init=False)

    def __post_init__(self) -> None:
        self.message_numbers = count(FIRST_MESSAGE_ID)
        self.reset()

    def reset(self) -> None:
        """Forget all deliveries; message ids continue."""
        self.device_counts = np.zeros(len(self.population), dtype=np.uint32)
        self.deliveries, self.waiting = [], set()
        self.content_by_message, self.places_by_message, self._contents = {}, {}, {}

    def create_message(self, content: JsonObject, write_id: Callable[[int], str] = str) -> str:
        """Return the id of a new message, as *write_id* writes a number; *content* is what the vendor was sent."""
        message_id = write_id(next(self.message_numbers))
        text = json.dumps(content, sort_keys=True)  # equal contents are kept once
        self.content_by_message[message_id] = self._contents.setdefault(text, content)
        self.places_by_message[message_id] = []
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
        place = len(self.deliveries)
        self.waiting.add(place)
        self.places_by_message[message_id].append(place)
        self.deliveries.append(Delivery(message_id, rows, self.clock() + delay, "waiting"))
        if delay <= 0:
            self._deliver(place)
        return len(rows)

    def cancel_message(self, message_id: str) -> bool:
        """Cancel the deliveries of a message that still wait; return whether there were any."""
        places = self.waiting.intersection(self.places_by_message.get(message_id, ()))
        for place in places:
            self._settle(place, "cancelled")
        return bool(places)

    def flush_due(self) -> "DeliveryLog":
        """Deliver everything that is due, and return the log."""
        now = self.clock()
        for place in sorted(place for place in self.waiting if self.deliveries[place].due <= now):
            self._deliver(place)
        return self

    def _deliver(self, place: int) -> None:
        self.device_counts[self.deliveries[place].rows] += 1
        self._settle(place, "delivered")

    def _settle(self, place: int, state: DeliveryState) -> None:
        self.deliveries[place] = replace(self.deliveries[place], state=state)
        self.waiting.discard(place)

    def counts_by_id(self, message_id: str | None = None) -> dict[str, int]:
        """Return the number of deliveries by id, of one message or of all, without ids that received none."""
        counts = self.device_counts
        if message_id is not None:
            counts = np.zeros_like(counts)
            for delivery in self._deliveries_of(message_id):
                if delivery.state == "delivered":
                    counts[delivery.rows] += 1
        return {name: int(counts[row]) for name, row in self.population.rows_by_id(self.vendor).items() if counts[row]}

    def list_deliveries(self, message_id: str | None = None) -> Iterator[JsonObject]:
        """Yield each delivery, in the order of the calls, as `GET /_sandbox/deliveries` shows it.

        `at` is when the devices got the message, or are to get it; `content` is what they got.
        """
        names = {row: name for name, row in self.population.rows_by_id(self.vendor).items()}
        for delivery in self.deliveries if message_id is None else self._deliveries_of(message_id):
            yield {
                "vendor": self.vendor,
                "message": delivery.message_id,
                "at": datetime.fromtimestamp(delivery.due, UTC).isoformat(timespec="milliseconds"),
                "state": delivery.state,
                "ids": [names[row] for row in delivery.rows.tolist()],
                "content": self.content_by_message[delivery.message_id],
            }

    def _deliveries_of(self, message_id: str) -> list[Delivery]:
        return [self.deliveries[place] for place in self.places_by_message.get(message_id, ())]

    def summarize(self) -> dict[str, int]:
        """Return the counts that `GET /_sandbox/delivered` shows.

        `delivered` and `twice` count devices with at least one and more than one delivery, `most` is the highest count
        of one device, and `waiting` counts scheduled deliveries.
        """
        counts = self.device_counts
        return {
            "devices": len(self.population.rows_by_id(self.vendor)),
            "delivered": int(np.count_nonzero(counts)),
            "twice": int(np.count_nonzero(counts > 1)),
            "most": int(counts.max(initial=0)),
            "deliveries": int(counts.sum()),
            "messages": len(self.content_by_message),
            "waiting": len(self.waiting),
        }
