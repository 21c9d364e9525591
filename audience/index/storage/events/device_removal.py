"""Removal of devices from files of events: their rows, and the values of properties that no other row has."""

from collections.abc import Collection, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.device_numbers import Numbers, lower_bits_in
from audience.index.storage.events.event_file import OpenEventFile
from audience.index.storage.events.segment import EventProperty, EventSegment
from audience.index.storage.events.stored_values import StoredValues
from audience.index.storage.events.writer import EventRows, PropertyRows, write_event_file
from audience.index.storage.manifest import EventFile
from audience.index.storage.published import Storage


def count_events(storage: Storage, entries: Iterable[EventFile], numbers: Numbers) -> dict[str, int]:
    """Return how many events the devices with *numbers* have, by the name of the event."""
    counts: dict[str, int] = {}
    for entry in entries:
        for segment in _open_segments(storage, entry):
            lower = segment.load_numbers(0, segment.row_count)
            count = int(np.count_nonzero(np.isin(lower, lower_bits_in(numbers, segment.partition))))
            if count:
                counts[segment.event] = counts.get(segment.event, 0) + count
            segment.evict()
    return counts


def names_any(storage: Storage, entry: EventFile, numbers: Numbers, ids: Collection[str]) -> bool:
    """Return whether a file has an event of the devices with *numbers*, or one of *ids* as a value of a property."""
    return any(
        np.isin(segment.load_numbers(0, segment.row_count), lower_bits_in(numbers, segment.partition)).any()
        or any(_find_values(each, ids) for each in segment.properties.values())
        for segment in _open_segments(storage, entry)
    )


def remove_devices_from_file(
    storage: Storage, entry: EventFile, numbers: Numbers, ids: Collection[str], new_name: str
) -> EventFile | None:
    """Write a file again without the events of the devices with *numbers*; return None if nothing is left.

    Values of properties that are one of *ids* are missing from then on.
    """
    file = OpenEventFile(storage, entry)
    rows = list(_iter_kept_rows(_open_segments(storage, entry), numbers, ids))
    if not rows:
        return None
    return write_event_file(storage, new_name, rows, file.directory.batches, file.directory.partition)


def _open_segments(storage: Storage, entry: EventFile) -> Iterator[EventSegment]:
    file = OpenEventFile(storage, entry)
    return (EventSegment(file, stored) for stored in file.directory.segments)


def _iter_kept_rows(segments: Iterable[EventSegment], numbers: Numbers, ids: Collection[str]) -> Iterator[EventRows]:
    for segment in segments:
        count = segment.row_count
        of_devices = segment.load_numbers(0, count)
        rows = np.flatnonzero(~np.isin(of_devices, lower_bits_in(numbers, segment.partition)))
        if not len(rows):
            continue
        codes = segment.load_batch_codes()
        properties = {name: _keep_values(each, rows, count, ids) for name, each in segment.properties.items()}
        yield EventRows(
            segment.event,
            np.repeat(segment.days, np.diff(segment.row_starts))[rows],
            of_devices[rows],
            segment.load_instants(0, count)[rows],
            {name: kept for name, kept in properties.items() if len(kept.values)},
            batches=segment.stored.batches,
            batch_codes=None if codes is None else codes[rows],
        )


def _find_values(property_: EventProperty, ids: Collection[str]) -> list[int]:
    """Return the codes of the values of a property that are one of *ids*."""
    values = property_.values()
    return [code for code, value in enumerate(values, 1) if value in ids] if values.integers is None else []


def _keep_values(property_: EventProperty, rows: NDArray[np.int64], count: int, ids: Collection[str]) -> PropertyRows:
    """Return the values of some *rows*, without those that no row has any more and without *ids*."""
    codes = property_.load_codes(0, count)[rows].astype(np.int64)
    codes[np.isin(codes, _find_values(property_, ids))] = 0
    used = np.unique(codes[codes > 0])
    values = property_.values()
    if values.integers is not None:
        kept = StoredValues(values.role, values.integers[used - 1], values.scale)
    else:
        kept = StoredValues.of_strings(values.role, [values[int(code) - 1] for code in used])
    return PropertyRows(kept, np.searchsorted(used, codes) * (codes > 0) + (codes > 0))
