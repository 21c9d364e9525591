"""Events that are being added, in temporary files where they are too many for memory, taken out by ranges of days."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest.decode import concat_columns
from audience.index.ingest.events.encoding import DAY, EVENT, INSTANT, NUMBER, property_column
from audience.index.schema.columns import Column
from audience.index.storage.device_numbers import PARTITION_SIZE, find_partitions
from audience.index.storage.layout import shard_file
from audience.index.storage.published import Storage

MAX_RUN_EVENTS = 1 << 22  # events in memory before they are written to a temporary file
MAX_FILE_EVENTS = 1 << 22  # events of one file of the index
RUN_BATCH_EVENTS = 1 << 16  # events of a temporary file that are read together


@dataclass(frozen=True, slots=True)
class _Run:
    """Temporary file of events, ordered by day: its days, and the first row of each, and the row after the last."""

    path: Path
    days: NDArray[np.int32]
    row_starts: NDArray[np.int64]

    def read(self, first_day: int, last_day: int) -> pl.DataFrame:
        """Return the events of the days from *first_day* to *last_day*."""
        first, stop = np.searchsorted(self.days, [first_day, last_day + 1]).tolist()
        start, end = self.row_starts[[first, stop]].tolist()
        return pl.scan_ipc(self.path, glob=False).slice(start, end - start).collect()


class EventSpool:
    """Events that arrive in any order."""

    def __init__(self, storage: Storage, name: str, properties: Sequence[Column]):
        self._storage = storage
        self._name = name
        self._properties = properties
        self._frames: list[pl.DataFrame] = []
        self._runs: list[_Run] = []
        self._count = 0  # events in memory
        self.row_count = 0  # of all events

    def add(self, frame: pl.DataFrame) -> None:
        """Add the events of a frame."""
        if not len(frame):
            return
        self._frames.append(frame)
        self._count += len(frame)
        self.row_count += len(frame)
        if self._count >= MAX_RUN_EVENTS:
            self._write_run()

    def _write_run(self) -> None:
        frame = concat_events(self._frames, self._properties).sort(DAY, maintain_order=True)
        path = self._storage.draft_path(shard_file(f"{self._name}.{len(self._runs)}.run"))
        days, counts = np.unique(frame[DAY].to_numpy(), return_counts=True)
        self._runs.append(_Run(path, days, np.concatenate([[0], np.cumsum(counts)])))
        with path.open("wb") as file:
            frame.write_ipc(file, record_batch_size=RUN_BATCH_EVENTS)
        self._frames, self._count = [], 0

    def iter_groups(self) -> Iterator[pl.DataFrame]:
        """Yield the events of consecutive ranges of days, no more than `MAX_FILE_EVENTS` at once.

        Those of devices of several partitions are divided, and so is a day with more, by the numbers of the devices.
        """
        if not self._runs:
            if self._frames:
                yield from divide_events([concat_events(self._frames, self._properties)], self._properties)
            return
        if self._frames:
            self._write_run()
        days = np.concatenate([run.days for run in self._runs])
        counts = np.concatenate([np.diff(run.row_starts) for run in self._runs])
        for first_day, last_day in plan_groups(days, counts):
            yield from divide_events([run.read(first_day, last_day) for run in self._runs], self._properties)

    def close(self) -> None:
        """Delete the temporary files."""
        for run in self._runs:
            run.path.unlink(missing_ok=True)


def plan_groups(days: NDArray[np.int32], counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return ranges of days with at most `MAX_FILE_EVENTS` events, or of one day.

    Args:
        days: Days with events, of which some may stand several times.
        counts: Number of events of each.

    >>> plan_groups(np.array([3, 1, 3], dtype=np.int32), np.array([MAX_FILE_EVENTS, 1, 1]))
    [(1, 1), (3, 3)]
    """
    groups, count = list[tuple[int, int]](), 0
    for day in np.unique(days).tolist():
        more = int(counts[days == day].sum())
        if groups and count + more <= MAX_FILE_EVENTS:
            groups[-1], count = (groups[-1][0], day), count + more
        else:
            groups, count = [*groups, (day, day)], more
    return groups


def divide_events(parts: Sequence[pl.DataFrame], properties: Sequence[Column]) -> Iterator[pl.DataFrame]:
    """Yield the events of *parts* for one partition after the other, of many for one range of device numbers."""
    partitions = sorted({each for part in parts for each in find_partitions(part[NUMBER].to_numpy())})
    for partition in partitions:
        first, stop = partition * PARTITION_SIZE, (partition + 1) * PARTITION_SIZE
        of_partition = parts if len(partitions) == 1 else _select_numbers(parts, first, stop)
        part_count = -(-sum(map(len, of_partition)) // MAX_FILE_EVENTS)
        if part_count <= 1:
            yield concat_events(of_partition, properties)
            continue
        last = max(int(part[NUMBER].max() or 0) for part in of_partition)  # type: ignore[arg-type]
        for low, high in pairwise(np.linspace(0, last + 1 - first, part_count + 1).astype(np.int64).tolist()):
            divided = _select_numbers(of_partition, first + low, first + high)
            if any(map(len, divided)):
                yield concat_events(divided, properties)


def _select_numbers(parts: Sequence[pl.DataFrame], first: int, stop: int) -> list[pl.DataFrame]:
    """Return the events of *parts* of the devices with numbers from *first* up to *stop*."""
    number = pl.col(NUMBER).cast(pl.UInt64)
    return [part.filter((number >= first) & (number < stop)) for part in parts]


def concat_events(parts: Sequence[pl.DataFrame], properties: Sequence[Column]) -> pl.DataFrame:
    """Return the events of all *parts*."""
    if len(parts) == 1:
        return parts[0]
    common = pl.concat([part.select(EVENT, DAY, NUMBER, INSTANT) for part in parts], rechunk=True)
    values = [
        concat_columns([part[property_column(at)] for part in parts], column).alias(property_column(at))
        for at, column in enumerate(properties)
    ]
    return common.with_columns(values)
