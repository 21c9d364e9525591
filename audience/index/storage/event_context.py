"""Share the events of a snapshot among its shards."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from audience.index.storage.events.event_log import EventLog
from audience.language.zones import open_zone


@dataclass(frozen=True, slots=True)
class EventContext:
    """Events of a snapshot.

    Attributes:
        log: Events.
        timezone: Name of the time zone of the index, whose days the events are kept by.
        number_count: All numbers of devices are below it.
    """

    log: EventLog
    timezone: str
    number_count: int

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone. Raises ExpressionError if this machine does not know it."""
        return open_zone(self.timezone)
