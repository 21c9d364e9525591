"""Changes of the events of an index that are published with its next snapshot."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from audience.index.ingest.events.encoding import property_name
from audience.index.schema.columns import Role
from audience.index.storage.events.event_file import EventBatch, OpenEventFile
from audience.index.storage.events.event_log import EventLog
from audience.index.storage.events.rewriting import join_batches, join_rows, load_rows, renumber_batches
from audience.index.storage.events.segment import EventSegment
from audience.index.storage.events.writer import EventRows, write_event_file
from audience.index.storage.manifest import EventFile, EventRange, Manifest, WaitingEventFile
from audience.index.storage.published import Storage

ChangeRows = Callable[[EventRows], EventRows]


@dataclass(slots=True)
class EventChanges:
    """Files of events and their ranges of days, as the next snapshot has them.

    Attributes:
        storage: Storage of the index.
        names: Names for new files.
        files: Files of events.
        ranges: Days that are kept and covered, by the name of the event.
        empty_batches: Names of batches that have no event.
        waiting: Files of events that wait for a device with their id.
    """

    storage: Storage
    names: Iterator[str]
    files: list[OpenEventFile]
    ranges: dict[str, EventRange]
    empty_batches: list[str] = field(default_factory=list)
    waiting: list[WaitingEventFile] = field(default_factory=list)

    @classmethod
    def start(cls, storage: Storage, manifest: Manifest, log: EventLog) -> "EventChanges":
        """Return the events of *manifest*, whose files *log* has open, for the snapshot after it."""
        names = (f"{manifest.number + 1:08}-{number:05}.events" for number in count())
        return cls(
            storage,
            names,
            list(log.files),
            dict(manifest.event_ranges),
            list(manifest.empty_event_batches),
            list(manifest.waiting_events),
        )

    def apply_to(self, manifest: Manifest) -> Manifest:
        """Return *manifest* with these events."""
        return replace(
            manifest,
            event_files=tuple(file.entry for file in self.files),
            event_ranges=dict(self.ranges),
            empty_event_batches=tuple(self.empty_batches),
            waiting_events=tuple(self.waiting),
        )

    def add_file(
        self, rows_by_event: Iterable[EventRows], batches: Sequence[EventBatch], partition: int
    ) -> EventFile | None:
        """Write a file of events of devices of one partition; without any event there is none."""
        nonempty = iter([rows for rows in rows_by_event if len(rows)])
        first = next(nonempty, None)
        if first is None:
            return None
        entry = write_event_file(self.storage, next(self.names), [first, *nonempty], batches, partition)
        self.files.append(OpenEventFile(self.storage, entry))
        return entry

    def adopt_file(self, entry: EventFile, place: Callable[[str], None]) -> None:
        """Add a file that was written elsewhere; *place* publishes it under the name that it gets here."""
        named = replace(entry, name=next(self.names))
        place(named.name)
        self.files.append(OpenEventFile(self.storage, named))

    def open_segments(self, file: OpenEventFile) -> list[EventSegment]:
        """Return the segments of a file, without days that are not kept."""
        segments = [
            EventSegment(file, stored, self.ranges.get(stored.event, EventRange()).first_day)
            for stored in file.directory.segments
        ]
        return [segment for segment in segments if len(segment.days)]

    def rewrite_files(self, files: Sequence[OpenEventFile], change: ChangeRows = lambda rows: rows) -> None:
        """Replace *files*, of one partition, by one, with the events of each name changed by *change*.

        Names of batches stay known, also if no event is left.
        """
        (partition,) = {file.directory.partition for file in files}
        batches, numbers = join_batches([file.directory.batches for file in files])
        is_coded = len(batches) > 1
        by_event: dict[str, list[EventRows]] = {}
        for file, new_numbers in zip(files, numbers, strict=True):
            for segment in self.open_segments(file):
                rows = renumber_batches(change(load_rows(segment)), new_numbers, is_coded)
                if len(rows):
                    by_event.setdefault(segment.event, []).append(rows)
        self.files = [file for file in self.files if file not in files]
        if self.add_file((join_rows(by_event[event]) for event in sorted(by_event)), batches, partition) is None:
            self.keep_batch_names(batches)

    def keep_batch_names(self, batches: Iterable[EventBatch]) -> None:
        """Keep the names of *batches* of which no event is left, so that they are not added again."""
        names = (name for batch in batches if not batch.is_replaceable for name in batch.names)
        self.empty_batches += [name for name in names if name not in self.empty_batches]

    def properties(self) -> dict[str, dict[str, Role]]:
        """Return the properties of all events with their roles, by the name of the event."""
        roles: dict[str, dict[str, Role]] = {}
        for waiting in self.waiting:
            for event in waiting.events:
                roles.setdefault(event, {}).update(
                    {property_name(column): column.role for column in waiting.properties}
                )
        for file in self.files:
            for stored in file.directory.segments:
                roles.setdefault(stored.event, {}).update({each.name: each.role for each in stored.properties})
        return roles

    def event_names(self) -> list[str]:
        """Return the names of all events, sorted."""
        stored = {stored.event for file in self.files for stored in file.directory.segments}
        return sorted(stored | self.ranges.keys())

    def recorded_names(self) -> set[str]:
        """Return the names of events that are recorded outside the snapshots, and come back whatever is forgotten."""
        return {
            stored.event
            for file in self.files
            for stored in file.directory.segments
            if any(file.directory.batches[number].is_replaceable for number in stored.batches)
        }

    def count_rows(self) -> int:
        """Return the number of events of devices that are or were there, on days that are kept."""
        return sum(segment.row_count for file in self.files for segment in self.open_segments(file))

    def batch_names(self) -> set[str]:
        """Return the names of all batches that were added."""
        return {name for file in self.files for batch in file.directory.batches for name in batch.names} | {
            *self.empty_batches
        }
