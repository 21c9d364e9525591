"""File of events that is open for reading: its directory, and its sections, each verified before it is used.

    sections      arrays of numbers, bitmaps and text, each from a multiple of 64 bytes on
    directory     JSON: the batches and the segments of the file, where the sections of each segment are, and the
                  partition of the numbers of all devices, of which sections and bitmaps have the lower 32 bits
    checksums     the XXH3 checksum of each block of 64 KiB of all that is before them

A segment has the events of one name, ordered by their day in the zone of the index, the number of the device, and the
instant. The manifest has the checksum of the checksums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from audience._fs.checksums import hash128
from audience.index.schema.columns import Role
from audience.index.storage.layout import shard_file
from audience.index.storage.manifest import EventFile
from audience.index.storage.published import Storage, StoredFile, damaged_error
from audience.index.storage.verified_file import BLOCK_BYTES, VerifiedFile
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Section: TypeAlias = tuple[int, int]  # start in the file, and size in bytes

ALIGNMENT = 64  # of sections, in bytes


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Batches that were added together, by their names.

    A *replaceable* one has one name, and its events can be removed again.
    """

    names: tuple[str, ...]
    is_replaceable: bool = False


@dataclass(frozen=True, slots=True)
class StoredProperty:
    """Property of the events of a segment: its role, and how its values and their codes are stored."""

    name: str
    role: Role
    value_count: int
    scale: int | None  # of numbers, days and moments; None for strings
    sections: Mapping[str, Section]  # `codes`, `integers` or `offsets` and `text`; bitmaps of few values


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """Entry of a segment in the directory of its file.

    Attributes:
        event: Name of the events.
        row_count: Number of the events.
        batches: Numbers of its batches in the file.
        unit: Microseconds of one unit of the stored instants.
        first_instant: Instant from which stored instants are counted.
        sections: `days`, `row_starts`, `bitmaps`, `bitmap_starts`, `day_bitmaps`, `numbers`, `instants`, and
            `batch_codes` if some of the events can be removed again.
        properties: Properties of the events.
    """

    event: str
    row_count: int
    batches: tuple[int, ...]
    unit: int
    first_instant: int
    sections: Mapping[str, Section]
    properties: tuple[StoredProperty, ...] = ()


@dataclass(frozen=True, slots=True)
class EventDirectory:
    """Directory of a file of events: its batches, the partition of the numbers of its devices, and its segments."""

    batches: tuple[EventBatch, ...]
    partition: int
    segments: tuple[StoredSegment, ...] = field(default=())

    @classmethod
    def parse(cls, data: memoryview) -> EventDirectory:
        """Return the directory that *data* holds as JSON."""
        fields = orjson.loads(data)
        batches = tuple(EventBatch(tuple(batch["names"]), batch["is_replaceable"]) for batch in fields["batches"])
        return cls(batches, fields["partition"], tuple(map(_parse_segment, fields["segments"])))


def _parse_segment(fields: dict[str, Any]) -> StoredSegment:
    properties = tuple(
        StoredProperty(**{**each, "sections": _parse_sections(each["sections"])}) for each in fields["properties"]
    )
    parsed = {"sections": _parse_sections(fields["sections"]), "batches": tuple(fields["batches"])}
    return StoredSegment(**{**fields, **parsed, "properties": properties})


def _parse_sections(fields: Mapping[str, list[int]]) -> dict[str, Section]:
    return {name: (start, nbytes) for name, (start, nbytes) in fields.items()}


class _LeadingPart:
    """Stored file of which only the first bytes are seen."""

    def __init__(self, file: StoredFile, nbytes: int):
        self.path = file.path
        self.data = file.data[:nbytes]
        self.load = file.load
        self.is_remote = file.is_remote
        self.load_ranges = file.load_ranges
        self.reload = file.reload
        self.evict = file.evict


class OpenEventFile:
    """File of events, open for reading for as long as it is held."""

    def __init__(self, storage: Storage, entry: EventFile):
        self.entry = entry
        self._stored = storage.open(shard_file(entry.name), entry.nbytes, entry.checksum)
        load: Callable[[], memoryview] = lru_cache(1)(partial(_read_checksums, self._stored, entry))
        self._file = VerifiedFile(_LeadingPart(self._stored, entry.checksums_start), load)

    @cached_property
    def directory(self) -> EventDirectory:
        """Return the directory, verified."""
        return EventDirectory.parse(self._file.read(self.entry.directory_start, self.entry.checksums_start))

    def read_array(self, section: Section, dtype: Any, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the elements of a section from *start* up to *stop*, verified, without a copy."""
        itemsize = np.dtype(dtype).itemsize
        first, nbytes = section
        low, high = start * itemsize, nbytes if stop is None else stop * itemsize
        if high <= low:
            return np.empty(0, dtype=dtype)
        return np.frombuffer(self._file.read(first + low, first + high), dtype=dtype)

    @property
    def path(self) -> str:
        """Return the path of the file, for messages."""
        return self._file.path

    @property
    def data(self) -> memoryview:
        """Return all bytes of the file."""
        return self._stored.data

    def evict(self) -> None:
        """Release the memory of what was read; it stays readable and verified."""
        self._file.evict()

    def verify(self) -> None:
        """Read and verify the whole file. Raises DamagedError if it is not what was written."""
        _read_checksums(self._stored, self.entry)
        self._file.verify()


def _read_checksums(file: StoredFile, entry: EventFile) -> memoryview:
    start, data = entry.checksums_start // BLOCK_BYTES * BLOCK_BYTES, file.data[entry.checksums_start :]
    file.load(start, entry.nbytes)
    if hash128(data) != entry.checksum and not (file.reload(start, entry.nbytes) and hash128(data) == entry.checksum):
        raise damaged_error(file.path)
    return data.cast("Q")
