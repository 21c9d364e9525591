"""Write a file of events: it is published whole, or not at all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from audience._fs.checksums import hash128
from audience.index.storage.bitmaps import BitMap, rows_to_bitmap, serialize_bitmap
from audience.index.storage.events.event_file import (
    ALIGNMENT,
    EventBatch,
    EventDirectory,
    Section,
    StoredProperty,
    StoredSegment,
)
from audience.index.storage.events.segment import code_type
from audience.index.storage.events.stored_values import Integers, StoredValues
from audience.index.storage.layout import shard_file
from audience.index.storage.manifest import EventFile
from audience.index.storage.published import Storage
from audience.index.storage.verified_file import hash_file_blocks

MAX_VALUES_WITH_BITMAPS = 32  # of a property; devices of each value on each day take two bytes an event
UNITS = (1_000_000, 1_000, 1)  # microseconds of a unit in which instants may be stored, the largest first


@dataclass(frozen=True, slots=True)
class PropertyRows:
    """Values of a property, and for each row the code of its value: its rank + 1, or 0 without a value."""

    values: StoredValues
    codes: NDArray[Any]

    def take(self, rows: NDArray[Any]) -> "PropertyRows":
        """Return the values of some rows, by their positions or by a mask."""
        return PropertyRows(self.values, self.codes[rows])


@dataclass(frozen=True, slots=True)
class EventRows:
    """Events of one name, ordered by day, device number and instant.

    Attributes:
        event: Name of the events.
        days: Day of each event, since 1970-01-01 in the zone of the index.
        numbers: Lower bits of the number of the device of each event; all are of one partition.
        instants: Instant of each event, in microseconds since 1970 in UTC.
        properties: Properties by name.
        batches: Numbers of the batches of the file that the events are of.
        batch_codes: Number of the batch of each event, if some of them can be removed again.
    """

    event: str
    days: NDArray[np.int32]
    numbers: NDArray[np.uint32]
    instants: Integers
    properties: Mapping[str, PropertyRows] = field(default_factory=dict)
    batches: tuple[int, ...] = (0,)
    batch_codes: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.days)

    def take(self, rows: NDArray[Any]) -> "EventRows":
        """Return some of the events, by their positions or by a mask."""
        return replace(
            self,
            days=self.days[rows],
            numbers=self.numbers[rows],
            instants=self.instants[rows],
            properties={name: each.take(rows) for name, each in self.properties.items()},
            batch_codes=None if self.batch_codes is None else self.batch_codes[rows],
        )


def write_event_file(
    storage: Storage, name: str, rows_by_event: Iterable[EventRows], batches: Sequence[EventBatch], partition: int
) -> EventFile:
    """Write events of several names, at least one of each, to a new file, and publish it.

    Args:
        storage: Storage of the index.
        name: Name of the file in the folder of the shards.
        rows_by_event: Events of each name; they are taken one after the other.
        batches: Batches of the file.
        partition: Partition of the numbers of all devices.
    """
    draft = storage.draft_path(shard_file(name))
    segments, first_days, last_days = list[StoredSegment](), list[int](), list[int]()
    with draft.open("wb") as file:
        sections = _SectionWriter(file)
        for rows in rows_by_event:
            segments.append(_write_segment(sections, rows, len(batches)))
            first_days.append(int(rows.days[0]))
            last_days.append(int(rows.days[-1]))
        directory = orjson.dumps(asdict(EventDirectory(tuple(batches), partition, tuple(segments))))
        directory_start, _ = sections.write(np.frombuffer(directory, dtype=np.uint8))
    checksums = hash_file_blocks(draft).tobytes()
    with draft.open("ab") as file:
        file.write(checksums)
    checksums_start = directory_start + len(directory)
    storage.publish_draft(shard_file(name))
    return EventFile(
        name,
        checksums_start + len(checksums),
        directory_start,
        checksums_start,
        hash128(checksums),
        sum(segment.row_count for segment in segments),
        min(first_days),
        max(last_days),
    )


class _SectionWriter:
    """Writer of the sections of a file."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._position = 0

    def write(self, array: NDArray[Any]) -> Section:
        """Write an array from the next aligned position on."""
        return self.write_parts([np.ascontiguousarray(array).data.cast("B")] if len(array) else [])

    def write_parts(self, parts: Iterable[bytes | memoryview]) -> Section:
        """Write *parts*, one after the other, from the next aligned position on."""
        padding = -self._position % ALIGNMENT
        self._file.write(bytes(padding))
        start = self._position = self._position + padding
        for part in parts:
            self._file.write(part)
            self._position += len(part)
        return start, self._position - start


def _write_segment(sections: _SectionWriter, rows: EventRows, batch_count: int) -> StoredSegment:
    day_starts = np.flatnonzero(np.diff(rows.days, prepend=rows.days[0] - 1))
    row_starts = np.append(day_starts, len(rows.days))
    unit, first_instant = _choose_unit(rows.instants)
    bitmaps, starts, first_bitmaps = _write_bitmaps(sections, _iter_day_numbers(rows, row_starts))
    written = {
        "days": sections.write(rows.days[day_starts]),
        "row_starts": sections.write(row_starts.astype(np.int64)),
        "bitmaps": bitmaps,
        "bitmap_starts": starts,
        "day_bitmaps": first_bitmaps,
        "numbers": sections.write(rows.numbers),
        "instants": sections.write(_count_units(rows.instants, unit, first_instant)),
    }
    if rows.batch_codes is not None:
        written["batch_codes"] = sections.write(rows.batch_codes.astype(code_type(batch_count)))
    properties = tuple(_write_property(sections, name, rows, row_starts) for name in sorted(rows.properties))
    return StoredSegment(rows.event, len(rows.days), rows.batches, unit, first_instant, written, properties)


def _choose_unit(instants: Integers) -> tuple[int, int]:
    """Return the unit and the first instant of stored instants; the unit is 0 if these are the instants themselves."""
    first, last = int(instants.min()), int(instants.max())
    for unit in UNITS:
        if (last - first) // unit < 2**32 and not ((instants - first) % unit).any():
            return unit, first
    return 0, 0


def _count_units(instants: Integers, unit: int, first_instant: int) -> NDArray[Any]:
    return instants if unit == 0 else ((instants - first_instant) // unit).astype(np.uint32)


def _write_bitmaps(sections: _SectionWriter, groups: Iterable[NDArray[np.uint32]]) -> tuple[Section, Section, Section]:
    """Write the devices of each group of events, and the digits of their numbers of events.

    Args:
        sections: Writer.
        groups: Number of the device of each event of a group, in rising order; a group without any has no bitmaps.

    Returns:
        The bitmaps; where each starts; and the number of the first bitmap of each group, and of all bitmaps.
    """
    sizes, first_bitmaps = [0], [0]

    def iter_serialized() -> Iterator[bytes]:
        for numbers in groups:
            for bitmap in build_day_bitmaps(numbers) if len(numbers) else ():
                data = serialize_bitmap(bitmap)
                sizes.append(len(data))
                yield data
            first_bitmaps.append(len(sizes) - 1)

    return (
        sections.write_parts(iter_serialized()),
        sections.write(np.cumsum(sizes, dtype=np.int64)),
        sections.write(np.array(first_bitmaps, dtype=np.int32)),
    )


def _iter_day_numbers(rows: EventRows, row_starts: NDArray[np.int64]) -> Iterator[NDArray[np.uint32]]:
    for start, stop in pairwise(row_starts.tolist()):
        yield rows.numbers[start:stop]


def _iter_value_numbers(
    rows: EventRows, values: PropertyRows, row_starts: NDArray[np.int64]
) -> Iterator[NDArray[np.uint32]]:
    """Yield the numbers of the devices of each value on each day."""
    for start, stop in pairwise(row_starts.tolist()):
        codes, numbers = values.codes[start:stop], rows.numbers[start:stop]
        for code in range(1, len(values.values) + 1):
            yield numbers[codes == code]


def build_day_bitmaps(numbers: NDArray[np.uint32]) -> list[BitMap]:
    """Return the devices of a day, and the binary digits of the number of events of each of them, less 1.

    Args:
        numbers: Number of the device of each event, in rising order.

    >>> build_day_bitmaps(np.array([3, 5, 5, 5], dtype=np.uint32))
    [BitMap([3, 5]), BitMap([]), BitMap([5])]
    """
    starts = np.flatnonzero(np.diff(numbers, prepend=~numbers[:1]))
    devices = numbers[starts]
    more = np.diff(starts, append=len(numbers)) - 1
    digits = [rows_to_bitmap(devices[(more >> digit & 1) != 0]) for digit in range(int(more.max()).bit_length())]
    return [rows_to_bitmap(devices), *digits]


def _write_property(
    sections: _SectionWriter, name: str, rows: EventRows, row_starts: NDArray[np.int64]
) -> StoredProperty:
    property_ = rows.properties[name]
    values = property_.values
    written = {"codes": sections.write(property_.codes.astype(code_type(len(values)), copy=False))}
    if values.integers is not None:
        written["integers"] = sections.write(values.integers)
    else:
        assert values.offsets is not None and values.text is not None
        written |= {"offsets": sections.write(values.offsets), "text": sections.write(values.text)}
    if len(values) <= MAX_VALUES_WITH_BITMAPS:
        bitmaps, starts, first_bitmaps = _write_bitmaps(sections, _iter_value_numbers(rows, property_, row_starts))
        written |= {"value_bitmaps": bitmaps, "value_bitmap_starts": starts, "value_days": first_bitmaps}
    scale = None if values.integers is None else values.scale
    return StoredProperty(name, values.role, len(values), scale, written)
