"""Snapshot of an index, open for reading."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from audience.errors import DamagedError, InvalidIndexError, Problem
from audience.html_table import format_html_table
from audience.index.schema.columns import IdColumn, Role
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.cache import DEFAULT_CACHE_BYTES, RowSetCache
from audience.index.storage.column_lookup import ColumnLookup
from audience.index.storage.deleted_rows import map_deleted_rows, read_deleted_rows
from audience.index.storage.device_numbers import PARTITION_BITS
from audience.index.storage.event_context import EventContext
from audience.index.storage.events.event_log import EventLog
from audience.index.storage.events.waiting_file import map_waiting_events
from audience.index.storage.id_lists import map_id_list
from audience.index.storage.joined_shard import JoinedShard, SplitRows, group_parts
from audience.index.storage.layout import HISTORY_FOLDER, MANIFEST_FILE, ShardFiles, history_file
from audience.index.storage.manifest import Manifest, load_current_manifest, read_manifest
from audience.index.storage.published import Storage, damaged_error, open_storage
from audience.index.storage.saved_segments import SavedSegments
from audience.index.storage.shard import Shard
from audience.index.storage.shard_group import ShardGroup
from audience.language.ast import Expr
from audience.language.validation import join_some
from audience.language.zones import open_zone

SnapshotLookup: TypeAlias = tuple[int, BitMap | None, ColumnLookup]  # number of a shard, its deleted rows, a lookup


class Snapshot:
    """State of an index that stays readable for as long as it is held.

    Shards that *previous* has open are shared with it, together with everything that was read of them. So are validated
    expressions, as far as they are about the same columns and segments. `segments` are the saved ones, by name.
    """

    def __init__(
        self,
        storage: Storage,
        manifest: Manifest,
        previous: "Snapshot | None" = None,
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        threads: int | None = None,
    ):
        self.storage = storage
        self.manifest = manifest
        self.cache = RowSetCache(cache_bytes)
        self.threads = threads
        self.validated_exprs: dict[int, tuple[Expr, ZoneInfo, Expr]] = {}  # by identity of the expression
        self.bound_exprs: dict[tuple[Expr, ZoneInfo], Expr] = {}  # by value and zone
        self.lasting_exprs: dict[int, tuple[Expr, ZoneInfo, Expr]] = {}  # those that need columns and segments alone
        self.segments = SavedSegments(storage, manifest)
        if previous is not None and previous.manifest.names() == manifest.names():
            self.lasting_exprs, self.segments = previous.lasting_exprs, previous.segments
        self.lookups: dict[str | None, list[SnapshotLookup]] = {}  # by name of the id column
        self.row_tests: dict[int, tuple[Expr, dict[int, Callable[[int], bool]]]] = {}  # by identity, then by shard
        self.device_count = manifest.device_count
        deleted = read_deleted_rows(storage, manifest.deleted_rows)
        reusable = {shard.name: shard for shard in (previous.shards if previous else ())}
        self.shards: tuple[Shard, ...] = tuple(
            self._open_shard(files, deleted.get(files.name), reusable.get(files.name)) for files in manifest.shards
        )
        self.events: EventLog = EventLog(storage, manifest, previous.events if previous else None)
        group = ShardGroup(self.shards, threads, EventContext(self.events, manifest.timezone, manifest.next_number))
        if previous is not None and previous.shards:
            group.share_trees(previous.shards[0].group)
        for shard in self.shards:
            shard.group = group
        self.evaluated_shards = self._join_deltas(previous)

    def _join_deltas(self, previous: "Snapshot | None") -> tuple[Shard, ...]:
        """Return the shards that questions are evaluated in: small ones are joined, and deleted rows left out."""
        known = [shard for shard in (previous.evaluated_shards if previous else ()) if isinstance(shard, JoinedShard)]
        groups = group_parts(self.shards)
        if all(len(parts) == 1 and parts[0].deleted is None for parts in groups):
            return self.shards
        return tuple(
            parts[0] if len(parts) == 1 and parts[0].deleted is None else self._join(parts, known) for parts in groups
        )

    def _join(self, parts: Sequence[Shard], known: Sequence[JoinedShard]) -> JoinedShard:
        for joined in known:
            if joined.becomes(parts):
                return joined.with_parts(parts, self.cache)
        return JoinedShard(parts, self.cache, known)

    @cached_property
    def multi_valued_attributes(self) -> frozenset[str]:
        """Return the names of the attributes of which a device has several values."""
        attributes = (attribute for shard in self.shards for attribute in shard.attributes.values())
        return frozenset(attribute.name for attribute in attributes if not attribute.is_single_valued)

    def split_rows(self, rows: Sequence[BitMap]) -> Sequence[BitMap]:
        """Return the rows of each of `evaluated_shards` as rows of each of `shards`."""
        if self.evaluated_shards is self.shards:
            return rows
        return SplitRows(self.shards, self.evaluated_shards, rows)

    def _open_shard(self, files: ShardFiles, deleted: BitMap | None, reusable: Shard | None) -> Shard:
        if reusable is None or reusable.files != files:  # the index may have been built again
            shard = Shard(self.storage, files, deleted, self.cache)
        else:
            shard = reusable.with_deleted(deleted, self.cache)
        shard.index_columns = self.manifest.columns
        return shard

    def __repr__(self) -> str:
        return f"snapshot {self.manifest.number} of {self.storage.location}"

    def is_same(self, other: "Snapshot") -> bool:
        """Return whether *other* is the same snapshot of the same index."""
        return self is other or (self.location == other.location and self.manifest == other.manifest)

    @property
    def location(self) -> str:
        """Return the absolute path or URL of the index."""
        location = self.storage.location
        return location if "://" in location else str(Path(location).absolute())

    def to_html(self) -> str:
        """Return what the snapshot holds as a table."""
        manifest = self.manifest
        rows = [
            ("devices", f"{self.device_count:,}"),
            ("index", self.location),
            ("snapshot", f"{manifest.number}, {manifest.created}, {manifest.description}"),
            ("timezone", manifest.timezone),
            ("ids", join_some([column.stored_name for column in self.id_columns])),
            ("attributes", join_some(list(self.roles)) or "none"),
            ("segments", join_some(list(manifest.segments)) or "none"),
        ]
        return format_html_table("DeviceIndex", rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place of the snapshot; the same snapshot is opened again, or an error is raised."""
        manifest = self.manifest
        return reopen_snapshot, (self.location, manifest.number, manifest.checksum, self.cache.max_bytes, self.threads)

    @property
    def timezone(self) -> str:
        """Return the IANA name of the time zone of days and of timestamps without a zone."""
        return self.manifest.timezone

    @cached_property
    def zone(self) -> ZoneInfo:
        """Return the time zone. Raises ExpressionError if this machine does not know it."""
        return open_zone(self.timezone)

    @cached_property
    def id_columns(self) -> list[IdColumn]:
        """Return the id columns."""
        return self.manifest.id_columns

    @cached_property
    def roles(self) -> dict[str, Role]:
        """Return the role of each attribute by name; bare tags are the attribute `tag`."""
        return {column.name: column.role for column in self.manifest.columns if not column.is_id}

    @cached_property
    def cut_attributes(self) -> frozenset[str]:
        """Return the attributes whose days were cut from moments, and are those of the time zone of the index."""
        return frozenset(column.name for column in self.manifest.columns if column.has_cut_moments)

    def iter_files(self, without: Collection[str] = ()) -> Iterator[tuple[str, memoryview]]:
        """Iterate over the names and bytes of all files, verified, but those of the shards named in *without*."""
        for shard in self.shards:
            if shard.name in without:
                continue
            shard.verify()
            yield from shard.iter_files()
        for file in self.events.files:
            file.verify()
            yield file.entry.name, file.data
        for waiting in self.manifest.waiting_events:
            yield waiting.name, map_waiting_events(self.storage, waiting)
        if self.manifest.deleted_rows:
            yield self.manifest.deleted_rows.name, map_deleted_rows(self.storage, self.manifest.deleted_rows)
        for name, id_list in self.manifest.id_lists().items():
            yield name, map_id_list(self.storage, id_list)

    def verify(self) -> list[str]:
        """Verify every file and return their names. Raises DamagedError for the first damaged one."""
        for shard in self.shards:
            shard.verify()
        for id_list in self.manifest.id_lists().values():
            map_id_list(self.storage, id_list)
        for file in self.events.files:
            file.verify()
        for waiting in self.manifest.waiting_events:
            map_waiting_events(self.storage, waiting)
        self._verify_numbers()
        return sorted([MANIFEST_FILE, *self.manifest.file_names()])

    def _verify_numbers(self) -> None:
        """Raise DamagedError if two devices have one number, or one has a number that was not given yet."""
        known: dict[int, BitMap] = {}
        for shard in self.shards:
            of_shard = shard.numbers.to_set(shard.live_rows)
            is_wrong = len(of_shard) < shard.device_count
            for partition, numbers in of_shard.by_partition.items():
                given = self.manifest.next_number - (partition << PARTITION_BITS)
                earlier = known.get(partition, BitMap())
                is_wrong |= numbers.max() >= given or earlier.intersect(numbers)
                known[partition] = earlier | numbers
            if is_wrong:
                raise damaged_error(self.storage.location, f", the numbers of devices of the shard {shard.name},")


def open_snapshot(
    storage: Storage,
    previous: Snapshot | None = None,
    *,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    threads: int | None = None,
) -> Snapshot:
    """Open the current snapshot; return *previous* if that is still the current one.

    A file may be deleted between reading the manifest and opening the file. A newer manifest is opened then.

    Args:
        storage: Storage of the index.
        previous: Snapshot of the same index whose open shards are reused.
        cache_bytes: Memory for cached results, in bytes.
        threads: Threads that evaluate shards; None is one for each core.

    Raises:
        InvalidIndexError: There is no index, or it has another format.
        DamagedError: A file is missing or not what was written.
    """
    manifest = load_current_manifest(storage, None if previous is None else previous.manifest)
    if previous is not None and manifest == previous.manifest:
        return previous
    while True:
        try:
            return Snapshot(storage, manifest, previous, cache_bytes=cache_bytes, threads=threads)
        except DamagedError:
            newer = load_current_manifest(storage)
            if newer.number == manifest.number:
                raise
            manifest = newer


def reopen_snapshot(location: str, number: int, checksum: str, cache_bytes: int, threads: int | None) -> Snapshot:
    """Open the very snapshot that was pickled.

    Raises:
        InvalidIndexError: The index is gone, no longer keeps the snapshot, or was built again.
        DamagedError: A file is missing or not what was written.
    """
    storage = open_storage(location)
    manifest = load_current_manifest(storage)
    if manifest.number != number and history_file(number).removeprefix(f"{HISTORY_FOLDER}/") in storage.list(
        HISTORY_FOLDER
    ):
        manifest = read_manifest(storage, history_file(number))
    if manifest.number != number or manifest.checksum != checksum:
        reason = "keeps it no longer" if manifest.number != number else "was built again"
        message = f"snapshot {number} of {location} was pickled, and the index {reason}"
        hint = "resolve the expression again with the index as it is now"
        raise InvalidIndexError(Problem("no-snapshot", message, hint=hint))
    return Snapshot(storage, manifest, cache_bytes=cache_bytes, threads=threads)
