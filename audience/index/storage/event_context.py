"""Share the events of a snapshot among its shards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from audience.index.storage.device_numbers import PARTITION_BITS, PARTITION_SIZE
from audience.index.storage.events.event_log import EventLog
from audience.language.zones import open_zone

if TYPE_CHECKING:
    from audience.index.storage.events.segment import EventSegment


@dataclass(frozen=True, slots=True)
class EventContext:
    """Events of a snapshot, of the devices whose numbers are of one partition.

    Attributes:
        log: Events.
        timezone: Name of the time zone of the index, whose days the events are kept by.
        next_number: All numbers of devices are below it.
        partition: Partition that questions are about.
    """

    log: EventLog
    timezone: str
    next_number: int
    partition: int = 0

    def in_partition(self, partition: int) -> "EventContext":
        """Return the events of the devices of another partition."""
        return self if partition == self.partition else replace(self, partition=partition)

    @property
    def number_count(self) -> int:
        """Return a number that the lower bits of all numbers of the partition are below."""
        return min(max(self.next_number - (self.partition << PARTITION_BITS), 0), PARTITION_SIZE)

    def segments(self, event: str) -> "Sequence[EventSegment]":
        """Return the segments of an event that have devices of the partition."""
        return [segment for segment in self.log.segments(event) if segment.partition == self.partition]

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone. Raises ExpressionError if this machine does not know it."""
        return open_zone(self.timezone)
