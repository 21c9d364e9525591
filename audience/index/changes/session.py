"""Common steps of a change: the open index, its new shards, and the snapshot that is published.

A device that changes is deleted from its row and written to a row of a new shard. Files that a reader may have open
never change.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeAlias, TypeVar

import numpy as np
import polars as pl

from audience.errors import Problem, TableError
from audience.index.changes.compaction import (
    MergeGroup,
    plan_affordable,
    plan_light_compaction,
    rewrite_groups,
)
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.encoded_shards import write_shard
from audience.index.ingest.events.event_changes import EventChanges
from audience.index.ingest.events.recorded_events import apply_records
from audience.index.ingest.table_reading import TableReading
from audience.index.schema.columns import Column, IdColumn
from audience.index.storage import bitmaps, id_search
from audience.index.storage.bitmaps import BitMap, RowNumbers
from audience.index.storage.deleted_rows import write_deleted_rows
from audience.index.storage.device_numbers import DeviceNumbers, NumberSequence
from audience.index.storage.events.event_log import EventLog
from audience.index.storage.id_search import HashedIds
from audience.index.storage.manifest import Manifest
from audience.index.storage.published import Storage
from audience.index.storage.retention import publish_successor
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.progress import Progress

MIN_SHARED_DEVICES = 1 << 13  # of a change that two threads share
SEARCHED_SHARDS = 4  # in which many ids are looked for, before those that were found are left out
MAX_INLINE_COMPACT_DEVICES = 1 << 13  # compaction of more devices takes a tenth of a second or more

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
ShardMatches: TypeAlias = tuple[Shard, pl.DataFrame]  # a shard, and its rows that match some ids


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """Result of a change: the number of the current snapshot, and how many devices changed.

    `unknown` is the number of ids that no device has, `reading` how the table of an update was read.
    """

    snapshot: int
    changed: int = 0
    added: int = 0
    removed: int = 0
    unknown: int = 0
    reading: TableReading | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class UpdateSession:
    """State of one change.

    Attributes:
        storage: Storage of the index.
        manifest: Current manifest.
        shards: Its shards.
        event_changes: Its events, as the next snapshot has them.
        shard_names: Names for new shards.
        numbers: Numbers for new devices.
        progress: Progress callback.
    """

    storage: Storage
    manifest: Manifest
    shards: list[Shard]
    event_changes: EventChanges
    shard_names: Iterator[str]
    numbers: NumberSequence
    progress: Progress

    @classmethod
    def start(cls, opened: Snapshot, manifest: Manifest, progress: Progress) -> "UpdateSession":
        """Open the snapshot of *manifest*, which the caller has locked; shards that *opened* has are shared with it."""
        names = (f"{manifest.number + 1:08}-{number:05}" for number in count())
        current, numbers = Snapshot(opened.storage, manifest, opened), NumberSequence(manifest.next_number)
        events = EventChanges.start(opened.storage, manifest, current.events)
        return cls(opened.storage, manifest, list(current.shards), events, names, numbers, progress)

    def write_new_shard(self, table: DeviceTable, numbers: DeviceNumbers) -> Shard:
        """Write the devices of *table* to a new shard; *numbers* are those of the devices."""
        return Shard(self.storage, write_shard(self.storage, next(self.shard_names), table, numbers))

    def rewrite_shards(
        self, groups: Sequence[MergeGroup], to_rewrite: Sequence[MergeGroup], columns: Sequence[Column]
    ) -> list[Shard]:
        """Return one shard for each group; those *to_rewrite* are written to new shards."""
        return rewrite_groups(groups, to_rewrite, columns, (self.storage, self.shard_names), self.progress)

    def publish(self, shards: Sequence[Shard], description: str, columns: Sequence[Column]) -> Manifest:
        """Publish *shards* as the next snapshot."""
        number = self.manifest.number + 1
        device_count = sum(shard.device_count for shard in shards)
        deleted = {shard.name: shard.deleted for shard in shards if shard.deleted}
        changed = replace(
            self.manifest,
            device_count=device_count,
            columns=tuple(columns),
            shards=tuple(shard.files for shard in shards),
            next_number=self.numbers.next_number,
            deleted_rows=write_deleted_rows(self.storage, number, deleted),
        )
        return self._publish_with_records(self.event_changes.apply_to(changed), shards, description)

    def publish_events(self, description: str) -> Manifest:
        """Publish the events, of the same devices, as the next snapshot."""
        return self._publish_with_records(self.event_changes.apply_to(self.manifest), self.shards, description)

    def _follow(self, manifest: Manifest) -> "UpdateSession":
        """Return the state of a change of *manifest*, which has just been published."""
        events = EventChanges.start(self.storage, manifest, EventLog(self.storage, manifest))
        return replace(self, manifest=manifest, event_changes=events)

    def _publish_with_records(self, changed: Manifest, shards: Sequence[Shard], description: str) -> Manifest:
        """Publish *changed*, whose devices are those of *shards*, with the recorded events that these lack."""
        number, first_new = self.manifest.number + 1, self.manifest.next_number
        recorded = apply_records(self.storage, changed, shards, number=number, first_new=first_new)
        return publish_successor(self.storage, self.manifest, recorded, description)

    def publish_compacted(
        self, shards: Sequence[Shard], operation: str, details: str, columns: Sequence[Column], changed: int
    ) -> int:
        """Publish *shards*, with those rewritten that would slow down queries, as much as *changed* devices allow.

        Return the number of the last snapshot. If much must be rewritten, *shards* are published before that too, so
        that readers see the change soon.
        """
        groups, stale = plan_affordable(plan_light_compaction(shards), changed)
        description = f"{operation}: {details}"
        if sum(shard.device_count for group in stale for shard in group) <= MAX_INLINE_COMPACT_DEVICES:
            return self.publish(self.rewrite_shards(groups, stale, columns), description, columns).number
        published = self._follow(self.publish(shards, description, columns))
        compacted = published.rewrite_shards(groups, stale, columns)
        return published.publish(compacted, f"compacted after {operation}", columns).number


def locate_ids(shards: Sequence[Shard], id_columns: Sequence[IdColumn], hashed: HashedIds) -> list[ShardMatches]:
    """Find the devices with one of the ids of *hashed* in one of *id_columns*, in rising rows.

    Raises:
        TableError: An id names two devices.
    """
    if len(id_columns) == 1 and len(hashed.ids) >= MIN_SHARED_DEVICES:
        return _locate_many(shards, id_columns, hashed)
    matches = _find_matches(shards, id_columns, hashed)
    if len(id_columns) > 1:
        _reject_ambiguous_ids(matches)
    return matches


def _locate_many(shards: Sequence[Shard], id_columns: Sequence[IdColumn], hashed: HashedIds) -> list[ShardMatches]:
    """Find the devices with one of many ids in one column, some shards at a time.

    One device at most has an id of a column: one that was found is not looked for in the other shards.
    """
    matches, found = list[ShardMatches](), list[ShardMatches]()
    for start in range(0, len(shards), SEARCHED_SHARDS):
        if found:
            hashed = hashed.without(np.concatenate([rows["at"].to_numpy() for _, rows in found]))
        found = _find_matches(shards[start : start + SEARCHED_SHARDS], id_columns, hashed)
        matches += found
    return matches


def _find_matches(shards: Sequence[Shard], id_columns: Sequence[IdColumn], hashed: HashedIds) -> list[ShardMatches]:
    found = map_in_threads(lambda shard: _locate_in_shard(shard, id_columns, hashed), shards, len(hashed.ids))
    return [(shard, rows) for shard, rows in zip(shards, found, strict=True) if len(rows)]


def _locate_in_shard(shard: Shard, id_columns: Sequence[IdColumn], hashed: HashedIds) -> pl.DataFrame:
    parts = [id_search.find_hashed(shard, column, hashed) for column in id_columns]
    if len(parts) == 1:
        return parts[0]
    return pl.concat([pl.DataFrame(schema=id_search.MATCH_SCHEMA), *parts]).unique().sort("row")


def map_in_threads(function: Callable[[ItemT], ResultT], items: Sequence[ItemT], device_count: int) -> list[ResultT]:
    """Return what *function* returns for each of *items*, in two threads if it is about many devices."""
    if len(items) < 2 or device_count < MIN_SHARED_DEVICES:
        return [function(item) for item in items]
    with ThreadPoolExecutor(2) as executor:
        return list(executor.map(function, items))


def _reject_ambiguous_ids(matches: Sequence[ShardMatches]) -> None:
    if not matches:
        return
    ids = pl.concat([rows["id"] for _, rows in matches])
    ambiguous = ids.filter(ids.is_duplicated())
    if len(ambiguous):
        message = f"{ambiguous[0]!r} names different devices at different vendors"
        raise TableError(Problem("ambiguous-id", message))


def delete_rows(shards: Sequence[Shard], matches: Iterable[ShardMatches]) -> list[Shard]:
    """Return *shards* with the rows of *matches* deleted."""
    deleted = {shard.name: bitmaps.rows_to_bitmap(distinct_rows(rows)) for shard, rows in matches}
    return [_delete_more(shard, deleted[shard.name]) if shard.name in deleted else shard for shard in shards]


def _delete_more(shard: Shard, rows: BitMap) -> Shard:
    return shard.with_deleted(rows if shard.deleted is None else rows | shard.deleted)


def distinct_rows(matches: pl.DataFrame) -> RowNumbers:
    """Return the distinct rows of *matches* in rising order."""
    return matches["row"].unique().sort().to_numpy()
