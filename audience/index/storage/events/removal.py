"""Removal of batches from files of events: a file that holds one is written again without it, or dropped."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.device_numbers import Numbers, join_partition
from audience.index.storage.events.event_file import EventBatch, OpenEventFile
from audience.index.storage.events.segment import EventSegment
from audience.index.storage.events.writer import EventRows, PropertyRows, write_event_file
from audience.index.storage.manifest import EventFile
from audience.index.storage.published import Storage


def drop_batches(
    storage: Storage, entries: Iterable[EventFile], is_dropped: Callable[[str], bool], prefix: str
) -> list[EventFile]:
    """Return files with the events of *entries*, without the replaceable batches that are dropped.

    Args:
        storage: Storage of the index.
        entries: Files of events.
        is_dropped: Returns whether a batch of this name is dropped.
        prefix: Beginning of the names of the files that are written.
    """
    return [
        kept
        for position, entry in enumerate(entries)
        for kept in _without_batches(storage, entry, is_dropped, f"{prefix}-{position}.events")
    ]


def find_batch_numbers(storage: Storage, entries: Iterable[EventFile], name: str) -> Numbers:
    """Return the numbers of the devices with an event of the replaceable batch *name*, once for each event."""
    numbers: list[Numbers] = [np.empty(0, dtype=np.uint32)]
    for entry in entries:
        file = OpenEventFile(storage, entry)
        wanted = [number for number, batch in enumerate(file.directory.batches) if _is_batch(batch, name)]
        for stored in file.directory.segments:
            segment = EventSegment(file, stored)
            if wanted:
                is_wanted = np.isin(_read_codes(segment), wanted)
                lower = segment.load_numbers(0, segment.row_count)[is_wanted]
                numbers.append(join_partition(segment.partition, lower))
    return np.concatenate(numbers)


def _is_batch(batch: EventBatch, name: str) -> bool:
    return batch.is_replaceable and name in batch.names


def _read_codes(segment: EventSegment) -> NDArray[np.unsignedinteger]:
    """Return the number of the batch of each event; of several batches without codes, none is replaceable."""
    codes = segment.load_batch_codes()
    return np.full(segment.row_count, segment.stored.batches[0], dtype=np.uint32) if codes is None else codes


def _without_batches(
    storage: Storage, entry: EventFile, is_dropped: Callable[[str], bool], new_name: str
) -> list[EventFile]:
    file = OpenEventFile(storage, entry)
    batches = file.directory.batches
    kept = [batch for batch in batches if not (batch.is_replaceable and any(map(is_dropped, batch.names)))]
    if len(kept) == len(batches):
        return [entry]
    new_numbers = {batches.index(batch): number for number, batch in enumerate(kept)}
    rows = list(_iter_kept_rows(file, new_numbers))
    return [write_event_file(storage, new_name, rows, kept, file.directory.partition)] if rows else []


def _iter_kept_rows(file: OpenEventFile, new_numbers: Mapping[int, int]) -> Iterator[EventRows]:
    """Yield the events of each name that are of a batch whose number in *file* has a new one."""
    for stored in file.directory.segments:
        segment = EventSegment(file, stored)
        codes = _read_codes(segment)
        rows = np.flatnonzero(np.isin(codes, list(new_numbers)))
        if len(rows):
            yield _take_rows(segment, rows, codes, new_numbers)


def _take_rows(
    segment: EventSegment, rows: NDArray[np.int64], codes: NDArray[np.unsignedinteger], new_numbers: Mapping[int, int]
) -> EventRows:
    count = segment.row_count
    days = np.repeat(segment.days, np.diff(segment.row_starts))
    numbers = np.zeros(int(codes.max()) + 1, dtype=np.uint32)
    for old, new in new_numbers.items():
        if old < len(numbers):
            numbers[old] = new
    has_codes = segment.load_batch_codes() is not None
    return EventRows(
        segment.event,
        days[rows],
        segment.load_numbers(0, count)[rows],
        segment.load_instants(0, count)[rows],
        {
            name: PropertyRows(each.values(), each.load_codes(0, count)[rows])
            for name, each in segment.properties.items()
        },
        batches=tuple(new_numbers[number] for number in segment.stored.batches if number in new_numbers),
        batch_codes=numbers[codes[rows]] if has_codes else None,
    )
