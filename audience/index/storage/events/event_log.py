"""Log of the events of a snapshot: the segments of each event name, and the range of days that it covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from audience.index.schema.columns import Role
from audience.index.storage.device_numbers import NumberSet
from audience.index.storage.manifest import EventFile, EventRange, Manifest
from audience.index.storage.published import Storage

if TYPE_CHECKING:  # an index without events needs neither
    from audience.index.storage.events.event_file import OpenEventFile, StoredSegment
    from audience.index.storage.events.segment import EventSegment

UNION_NBYTES = 1 << 20  # by which the way is chosen in which days are united
SegmentKey: TypeAlias = tuple[str, str, int | None]  # names of a file and an event, and the first day that is kept


class Coverage(NamedTuple):
    """Days, since 1970-01-01, whose events an index has all of, both included; None as first day is any day before."""

    first_day: int | None
    last_day: int | None


class EventLog:
    """Events of a snapshot. Files that *previous* has open are shared with it."""

    def __init__(self, storage: Storage, manifest: Manifest, previous: EventLog | None = None):
        opened = {file.entry: file for file in (previous.files if previous else ())}
        self.files: tuple[OpenEventFile, ...] = tuple(
            opened.get(entry) or _open_file(storage, entry) for entry in manifest.event_files
        )
        self.ranges = manifest.event_ranges
        self._opened: dict[SegmentKey, EventSegment] = dict(previous._opened) if previous else {}

    @cached_property
    def _segments(self) -> Mapping[str, tuple[EventSegment, ...]]:
        segments: dict[str, list[EventSegment]] = {}
        for file in self.files:
            for stored in file.directory.segments:
                segment = self._open_segment(file, stored)
                if len(segment.days):
                    segments.setdefault(stored.event, []).append(segment)
        return {event: tuple(found) for event, found in segments.items()}

    def _open_segment(self, file: OpenEventFile, stored: StoredSegment) -> EventSegment:
        """Return a segment; one that is open already is shared, with the bitmaps that it has read."""
        first_day = self.range_of(stored.event).first_day
        key = file.entry.name, stored.event, first_day
        segment = self._opened.get(key)
        if segment is None or segment.file is not file:
            from audience.index.storage.events.segment import EventSegment

            segment = self._opened[key] = EventSegment(file, stored, first_day)
        return segment

    def range_of(self, event: str) -> EventRange:
        """Return the days that are kept and covered of an event."""
        return self.ranges.get(event, EventRange())

    def names(self) -> list[str]:
        """Return the names of all events, sorted."""
        return sorted({*self._segments, *self.ranges})

    def segments(self, event: str) -> Sequence[EventSegment]:
        """Return the segments of an event."""
        return self._segments.get(event, ())

    def coverage(self, event: str) -> Coverage:
        """Return the days that the index covers of an event; the last one is None if it covers no day."""
        kept = self.range_of(event)
        last_days = [int(segment.days[-1]) for segment in self.segments(event)]
        last_days += [] if kept.covers_to is None else [kept.covers_to]
        return Coverage(kept.first_day, max(last_days, default=None))

    def properties(self, event: str) -> dict[str, Role]:
        """Return the properties of an event with their roles, by name."""
        return {
            name: property_.role
            for segment in self.segments(event)
            for name, property_ in sorted(segment.properties.items())
        }

    def count_events(self, event: str) -> int:
        """Return the number of events of a name, also those of devices that were removed since."""
        return sum(segment.row_count for segment in self.segments(event))

    def numbers(self, event: str) -> NumberSet:
        """Return the numbers of all devices with an event of a name, also of those that were removed since."""
        return NumberSet.union(
            NumberSet({segment.partition: segment.load_day_devices(day)})
            for segment in self.segments(event)
            for day in range(len(segment.days))
        )


def _open_file(storage: Storage, entry: EventFile) -> OpenEventFile:
    from audience.index.storage.events.event_file import OpenEventFile

    return OpenEventFile(storage, entry)
