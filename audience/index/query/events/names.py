"""Name the events of an index, their properties, and the values of these, to complete a text."""

from collections.abc import Iterator, Mapping

from audience.index.query.counting import count_devices
from audience.index.query.events.rows import FLAG
from audience.index.query.events.validation import list_events, list_properties
from audience.index.schema.value_types import StringSequence
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Did, EventFilter
from audience.language.attribute_names import UNTYPED

MAX_VALUES = 50  # of a property
MAX_READ_VALUES = 100_000  # of a property in a segment; of more, only the first ones are completed


class NamedEvents:
    """Events of a snapshot, by name."""

    def __init__(self, snapshot: Snapshot):
        self._snapshot = snapshot

    def count_devices(self) -> Mapping[str, int]:
        """Return how many devices have each event, the most frequent first."""
        names = list_events(self._snapshot.events)
        counts = {name: count_devices(Did(EventFilter(name)), self._snapshot) for name in names}
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def list_properties(self, event: str) -> list[str]:
        """Return the properties of an event, those that are tags without a value left out."""
        return sorted(name for name, role in list_properties(event, self._snapshot.events).items() if role != FLAG)

    def list_numbers(self, event: str) -> list[str]:
        """Return the properties of an event that are numbers."""
        properties = list_properties(event, self._snapshot.events)
        return sorted(name for name, role in properties.items() if role == "number")

    def count_values(self, event: str, property_: str, prefix: str) -> Mapping[str, int | None]:
        """Return the first values of a property that begin with *prefix*; how many devices have each is not counted.

        Upper and lower case are distinguished only if a value begins with *prefix* itself.
        """
        values = {value for values in self._iter_values(event, property_) for value in _first(values)}
        found = [value for value in values if value.startswith(prefix)]
        found = found or [value for value in values if value.lower().startswith(prefix.lower())]
        return dict.fromkeys(sorted(found)[:MAX_VALUES])

    def _iter_values(self, event: str, property_: str) -> Iterator[StringSequence]:
        """Yield the values of a property in each segment; those of UNTYPED are the names of Boolean properties."""
        for segment in self._snapshot.events.segments(event):
            for name, values in segment.properties.items():
                if (values.role == FLAG) if property_ == UNTYPED else (name == property_ and values.role != FLAG):
                    yield values.values()


def _first(values: StringSequence) -> Iterator[str]:
    return (values[rank] for rank in range(min(len(values), MAX_READ_VALUES)))
