"""Segment of events: all events of one name in one file, read day by day or row by row."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from audience.index.schema.columns import Role
from audience.index.schema.value_types import ValueType, value_type_of
from audience.index.storage.bitmaps import BitMap, deserialize_bitmap
from audience.index.storage.events.event_file import OpenEventFile, StoredProperty, StoredSegment
from audience.index.storage.events.stored_values import Integers, StoredValues
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def code_type(code_count: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type for codes from 0 to *code_count*."""
    return next(dtype for dtype in (np.uint8, np.uint16, np.uint32) if code_count <= np.iinfo(dtype).max)


class EventProperty:
    """Property of the events of a segment."""

    def __init__(self, file: OpenEventFile, stored: StoredProperty):
        self._file = file
        self._stored = stored
        self.name = stored.name
        self.role: Role = stored.role
        self._bitmaps: dict[int, BitMap] = {}

    @property
    def value_type(self) -> ValueType:
        """Return the type of the values."""
        return value_type_of(self.role)

    @cached_property
    def _values(self) -> StoredValues:
        sections, stored = self._stored.sections, self._stored
        if stored.scale is not None:
            integers = self._file.read_array(sections["integers"], np.int64)
            return StoredValues(stored.role, integers, stored.scale)
        offsets = self._file.read_array(sections["offsets"], np.int64)
        return StoredValues(stored.role, offsets=offsets, text=self._file.read_array(sections["text"], np.uint8))

    def values(self) -> StoredValues:
        """Return the distinct values in ascending order, as strings that are formatted when they are indexed."""
        return self._values

    def scaled(self) -> tuple[Integers, int] | None:
        """Return the numbers of `values` times 10 ** scale, and the scale; None for strings and too large numbers."""
        return self._values.scaled()

    def load_codes(self, start: int, stop: int) -> NDArray[np.unsignedinteger[Any]]:
        """Return the code of each row from *start* up to *stop*: 0 without a value, else its rank in `values` + 1."""
        return self._file.read_array(self._stored.sections["codes"], code_type(self._stored.value_count), start, stop)

    def evict(self) -> None:
        """Release the bitmaps that were read."""
        self._bitmaps = {}

    @property
    def has_value_days(self) -> bool:
        """Return whether the devices of each value on each day are stored: there are few values."""
        return "value_bitmaps" in self._stored.sections

    def load_value_day(self, day: int, rank: int) -> tuple[BitMap, ...]:
        """Return the devices with events of a value on a stored day, and the digits of how many more than one.

        The bitmaps must not be changed; there are none if no event of the day has the value.

        Args:
            day: Position of the day among all stored days.
            rank: Rank of the value.
        """
        at = day * self._stored.value_count + rank
        return tuple(map(self._load_bitmap, range(int(self._value_days[at]), int(self._value_days[at + 1]))))

    @cached_property
    def _value_days(self) -> NDArray[np.int32]:
        return self._file.read_array(self._stored.sections["value_days"], np.int32)

    @cached_property
    def _bitmap_starts(self) -> NDArray[np.int64]:
        return self._file.read_array(self._stored.sections["value_bitmap_starts"], np.int64)

    def _load_bitmap(self, number: int) -> BitMap:
        bitmap = self._bitmaps.get(number)
        if bitmap is None:
            start, stop = self._bitmap_starts[number : number + 2].tolist()
            data = self._file.read_array(self._stored.sections["value_bitmaps"], np.uint8, start, stop)
            bitmap = self._bitmaps[number] = deserialize_bitmap(data.data, self._file.path)
        return bitmap


class EventSegment:
    """Events of one name in one file, from the day *first_day* on, ordered by day, device number and instant.

    Attributes:
        event: Name of the events.
        batches: Names of the batches that it holds.
        days: Days since 1970-01-01 in the zone of the index, rising.
        row_starts: Rows of each day: those of `days[i]` are from `row_starts[i]` up to `row_starts[i + 1]`.
    """

    def __init__(self, file: OpenEventFile, stored: StoredSegment, first_day: int | None = None):
        self.file = file
        self.stored = stored
        self.event = stored.event
        self._first_day = first_day
        self._bitmaps: dict[int, BitMap] = {}

    @property
    def partition(self) -> int:
        """Return the partition of the numbers of the devices, of which bitmaps and rows have the lower 32 bits."""
        return self.file.directory.partition

    @cached_property
    def batches(self) -> tuple[str, ...]:
        """Return the names of the batches that the segment holds."""
        batches = self.file.directory.batches
        return tuple(name for number in self.stored.batches for name in batches[number].names)

    @cached_property
    def _all_days(self) -> NDArray[np.int32]:
        return self._read("days", np.int32)

    @cached_property
    def _skipped_days(self) -> int:
        """Return the number of stored days before the first one."""
        return 0 if self._first_day is None else int(np.searchsorted(self._all_days, self._first_day))

    @property
    def days(self) -> NDArray[np.int32]:
        """Return the days with events, as days since 1970-01-01, rising."""
        return self._all_days[self._skipped_days :]

    @cached_property
    def row_starts(self) -> NDArray[np.int64]:
        """Return the first row of each day, and the row after the last day."""
        return self._read("row_starts", np.int64)[self._skipped_days :]

    @property
    def row_count(self) -> int:
        """Return the number of events."""
        return int(self.row_starts[-1] - self.row_starts[0])

    @property
    def nbytes(self) -> int:
        """Return the size of the segment on disk."""
        properties = [section for stored in self.stored.properties for section in stored.sections.values()]
        return sum(nbytes for _, nbytes in (*self.stored.sections.values(), *properties))

    def load_day_devices(self, day: int) -> BitMap:
        """Return the lower bits of the numbers of the devices with an event on a day; they must not be changed."""
        return self._load_bitmap(int(self._day_bitmaps[self._skipped_days + day]))

    def load_day_counts(self, day: int) -> tuple[BitMap, ...]:
        """Return the binary digits, lowest first, of the number of events - 1 of each device on `days[day]`.

        Each digit is the bitmap of the devices that have it. There is none if all devices have one event.
        """
        at = self._skipped_days + day
        first, stop = int(self._day_bitmaps[at]), int(self._day_bitmaps[at + 1])
        return tuple(map(self._load_bitmap, range(first + 1, stop)))

    @cached_property
    def _day_bitmaps(self) -> NDArray[np.int32]:
        """Return the number of the first bitmap of each stored day, and the number of all bitmaps."""
        return self._read("day_bitmaps", np.int32)

    @cached_property
    def _bitmap_starts(self) -> NDArray[np.int64]:
        return self._read("bitmap_starts", np.int64)

    def _load_bitmap(self, number: int) -> BitMap:
        bitmap = self._bitmaps.get(number)
        if bitmap is None:
            start, stop = self._bitmap_starts[number : number + 2].tolist()
            data = self.file.read_array(self.stored.sections["bitmaps"], np.uint8, start, stop)
            bitmap = self._bitmaps[number] = deserialize_bitmap(data.data, self.file.path)
        return bitmap

    def load_value_day(self, values: EventProperty, day: int, rank: int) -> tuple[BitMap, ...]:
        """Return the devices with events of a value of a property on `days[day]`, as `EventProperty.load_value_day`."""
        return values.load_value_day(self._skipped_days + day, rank)

    def load_numbers(self, start: int, stop: int) -> NDArray[np.uint32]:
        """Return the lower bits of the number of the device of each row from *start* up to *stop*."""
        return self._read("numbers", np.uint32, start, stop)

    def load_instants(self, start: int, stop: int) -> Integers:
        """Return the instant of each row from *start* up to *stop*, in microseconds since 1970 in UTC."""
        dtype = np.int64 if self.stored.unit == 0 else np.uint32
        stored = self._read("instants", dtype, start, stop)
        if self.stored.unit == 0:
            return stored
        return stored.astype(np.int64) * self.stored.unit + self.stored.first_instant

    def load_batch_codes(self) -> NDArray[np.unsignedinteger[Any]] | None:
        """Return the number of the batch of each stored row, as in `stored.batches`; None if there is only one."""
        if "batch_codes" not in self.stored.sections:
            return None
        return self._read("batch_codes", code_type(len(self.file.directory.batches)))

    @cached_property
    def properties(self) -> Mapping[str, EventProperty]:
        """Return the properties by name; a property that is not among them is missing in all rows."""
        return {stored.name: EventProperty(self.file, stored) for stored in self.stored.properties}

    def _read(self, section: str, dtype: Any, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        return self.file.read_array(self.stored.sections[section], dtype, start, stop)

    def evict(self) -> None:
        """Release the bitmaps and the memory of what was read."""
        self._bitmaps = {}
        for values in self.properties.values():
            values.evict()
        self.file.evict()
