"""Events of an index that is built again: they are carried over to the devices that are still there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest.events.device_lookup import find_devices
from audience.index.ingest.events.event_changes import EventChanges
from audience.index.ingest.events.waiting import add_arrived, carry_waiting
from audience.index.ingest.local_times import to_wall_clock
from audience.index.schema.columns import Column, IdColumn, rank_id_columns
from audience.index.storage import bitmaps, polars_bridge
from audience.index.storage.device_numbers import (
    Numbers,
    find_partitions,
    is_in_partition,
    join_partition,
    lower_bits,
)
from audience.index.storage.events.rewriting import load_rows, sort_rows
from audience.index.storage.events.segment import EventSegment
from audience.index.storage.events.writer import EventRows
from audience.index.storage.manifest import EventRange
from audience.index.storage.published import Storage
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.zones import DAY, open_zone
from audience.progress import Progress


@dataclass(frozen=True, slots=True)
class NewNumbers:
    """Numbers of devices in an old index, in rising order, and in a new one."""

    old: Numbers
    new: Numbers

    def translate(self, numbers: Numbers, partition: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Return the lower bits of the new number of each of *numbers*, and which have one of a partition."""
        if not len(self.old):
            return np.zeros(len(numbers), dtype=np.uint32), np.zeros(len(numbers), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self.old, numbers), len(self.old) - 1)
        new = self.new[at]
        return lower_bits(new), (self.old[at] == numbers) & is_in_partition(new, partition)


def carry_events(
    old: Snapshot,
    storage: Storage,
    shards: Sequence[Shard],
    columns: Sequence[Column],
    timezone: str,
    progress: Progress,
) -> EventChanges:
    """Write the events of *old* to the index in *storage*, for the devices that both have.

    Args:
        old: Snapshot that is replaced.
        storage: Storage of the new index.
        shards: Its shards.
        columns: Its columns.
        timezone: Its time zone.
        progress: Progress callback.
    """
    manifest = old.manifest
    names = (f"{1:08}-{number:05}.events" for number in count())
    changes = EventChanges(storage, names, [], dict(manifest.event_ranges), list(manifest.empty_event_batches))
    key = find_common_column(old.id_columns, columns)
    if timezone != old.timezone:
        changes.ranges = {event: _inner_range(kept) for event, kept in changes.ranges.items()}
    if old.events.files and key is not None:
        translation = map_numbers(old.shards, shards, key)
        partitions = find_partitions(translation.new)
        opened = EventChanges.start(old.storage, manifest, old.events)
        for done, file in enumerate(old.events.files):
            progress("carrying events over", done, len(old.events.files))
            segments, written = opened.open_segments(file), []
            for partition in partitions:
                carry = partial(_carry_rows, translation, (old.timezone, timezone), partition)
                written.append(changes.add_file(map(carry, segments), file.directory.batches, partition))
            if not any(written):
                changes.keep_batch_names(file.directory.batches)
    carry_waiting(changes, old.storage, manifest.waiting_events)
    add_arrived(changes, shards)
    return changes


def find_common_column(old: Sequence[IdColumn], columns: Sequence[Column]) -> IdColumn | None:
    """Return the id column by which devices of two indexes are the same: the key of the table first."""
    known = {column.id_column for column in columns if column.is_id}
    return next((column for column in rank_id_columns(old) if column in known), None)


def map_numbers(old_shards: Sequence[Shard], new_shards: Sequence[Shard], key: IdColumn) -> NewNumbers:
    """Return the numbers of the devices that have the same id in both."""
    old: list[Numbers] = [np.empty(0, dtype=np.uint32)]
    new: list[Numbers] = [np.empty(0, dtype=np.uint32)]
    for shard in old_shards:
        rows = bitmaps.bitmap_to_rows(shard.live_rows)
        ids = polars_bridge.read_ids(shard, key).gather(pl.Series(rows))
        found = find_devices(new_shards, key, ids)
        old.append(shard.device_numbers(rows)[found.is_known])
        new.append(found.numbers[found.is_known])
        shard.evict()
    old_numbers, new_numbers = np.concatenate(old), np.concatenate(new)
    order = np.argsort(old_numbers)
    return NewNumbers(old_numbers[order], new_numbers[order])


def _carry_rows(translation: NewNumbers, zones: tuple[str, str], partition: int, segment: EventSegment) -> EventRows:
    """Return the events of *segment*, between two time zones, of the devices whose new numbers are of a partition."""
    rows, (old_zone, new_zone) = load_rows(segment), zones
    numbers, is_known = translation.translate(join_partition(segment.partition, rows.numbers), partition)
    carried = replace(rows, numbers=numbers).take(is_known)
    if not len(carried):
        return carried
    if old_zone != new_zone:
        instants = pl.Series(carried.instants).cast(pl.Datetime("us"))
        days = to_wall_clock(instants, open_zone(new_zone)).to_physical() // DAY
        carried = replace(carried, days=days.cast(pl.Int32).to_numpy())
    return sort_rows(carried)


def _inner_range(kept: EventRange) -> EventRange:
    """Return the days that are certainly kept and covered in another time zone."""
    first = None if kept.first_day is None else kept.first_day + 1
    return replace(kept, first_day=first, covers_to=None if kept.covers_to is None else kept.covers_to - 1)
