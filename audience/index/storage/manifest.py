"""Manifests: the list of files that make up a snapshot of an index.

A snapshot is published by replacing the manifest, after all files that it names are durable. A manifest has a
checksum of itself and the checksums of every file that it names.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from audience._fs.checksums import hash128
from audience._fs.object_urls import is_url
from audience.errors import InvalidIndexError, Problem
from audience.index.schema.columns import Column, IdColumn
from audience.index.storage.checked_json import read_checked, serialize_checked
from audience.index.storage.layout import MANIFEST_FILE, ShardFiles, history_file
from audience.index.storage.published import Storage, VersionedBytes, wrap_os_errors

FORMAT_VERSION = 7


@dataclass(frozen=True, slots=True)
class DeletedRowsFile:
    """File that holds the deleted rows of all shards of a snapshot."""

    name: str
    nbytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class IdListFile:
    """File with a list of ids that a segment names, by the path and the digest of what it was read from.

    `is_list` is whether the segment was saved as these ids, and not as an expression that names a file.
    """

    name: str
    nbytes: int
    checksum: str
    path: str
    digest: str
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class EventFile:
    """File of events.

    Attributes:
        name: Its name in the folder of the shards.
        nbytes: Its size.
        directory_start: Where its directory starts.
        checksums_start: Where the checksums of all that is before them start, up to the end of the file.
        checksum: Checksum of the checksums.
        row_count: Number of its events.
        first_day: Day of its first event, since 1970-01-01 in the zone of the index.
        last_day: Day of its last event.
    """

    name: str
    nbytes: int
    directory_start: int
    checksums_start: int
    checksum: str
    row_count: int
    first_day: int
    last_day: int


@dataclass(frozen=True, slots=True)
class WaitingEventFile:
    """File of events that wait for a device with their id.

    Attributes:
        name: Its name in the folder of the shards.
        nbytes: Its size.
        checksum: Its checksum.
        id_column: Column of the index in which the ids are looked for, as shards store it.
        events: Names of its events, which it has as positions in them.
        properties: Columns of their properties.
        row_count: Number of its events.
    """

    name: str
    nbytes: int
    checksum: str
    id_column: str
    events: tuple[str, ...]
    properties: tuple[Column, ...]
    row_count: int


@dataclass(frozen=True, slots=True)
class EventRange:
    """Days of an event that are kept and covered, since 1970-01-01 in the zone of the index.

    Attributes:
        keep_days: Number of days that are kept, up to the last one that is covered; None for all.
        first_day: First day that is kept; None for all.
        covers_to: Day up to which all events are there; None if none was added.
    """

    keep_days: int | None = None
    first_day: int | None = None
    covers_to: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content of a snapshot, and the operation that created it.

    Attributes:
        number: Number of the snapshot, from 1.
        created: When it was published.
        description: What the operation did.
        device_count: Number of live devices.
        columns: Columns of the table and their roles.
        shards: Files of the shards.
        timezone: IANA name of the time zone of days and of timestamps without a zone.
        next_number: First number that no device had, in this snapshot or an earlier one.
        deleted_rows: File of the deleted rows, if there are any.
        segments: Text of the saved segments by name.
        segment_files: Lists of ids that the segments name, by the name of the segment.
        event_files: Files of the events.
        event_ranges: Days that are kept and covered of each event, by its name.
        empty_event_batches: Names of batches of events that have none.
        waiting_events: Files of events that wait for a device with their id.
        records: Versions of the recorded batches whose events the snapshot has, by the name of the batch.
        segment_changes: Number of changes of segments up to this snapshot.
        etag: Identifies the published file; None before the manifest is published.
    """

    number: int
    created: str
    description: str
    device_count: int
    columns: tuple[Column, ...]
    shards: tuple[ShardFiles, ...]
    timezone: str
    next_number: int
    deleted_rows: DeletedRowsFile | None = None
    segments: Mapping[str, str] = field(default_factory=dict)
    segment_files: Mapping[str, tuple[IdListFile, ...]] = field(default_factory=dict)
    event_files: tuple[EventFile, ...] = ()
    event_ranges: Mapping[str, EventRange] = field(default_factory=dict)
    empty_event_batches: tuple[str, ...] = ()
    waiting_events: tuple[WaitingEventFile, ...] = ()
    records: Mapping[str, str] = field(default_factory=dict)
    segment_changes: int = 0
    etag: str | None = field(default=None, compare=False, repr=False)

    @property
    def id_columns(self) -> list[IdColumn]:
        """Return the id columns."""
        return [column.id_column for column in self.columns if column.is_id]

    def id_lists(self) -> dict[str, IdListFile]:
        """Return the files with lists of ids by name."""
        return {file.name: file for files in self.segment_files.values() for file in files}

    def names(self) -> tuple[Any, ...]:
        """Return what an expression can name, but events: columns, segments, and days of the time zone."""
        cuts = [column.has_cut_moments for column in self.columns]  # which columns are equal without
        return self.columns, cuts, self.timezone, self.segments, self.segment_files

    def file_names(self) -> set[str]:
        """Return the names of all files in the folder of the shards that the snapshot needs."""
        return set(self.file_sizes())

    def file_sizes(self) -> dict[str, int]:
        """Return the sizes of all files in the folder of the shards that the snapshot needs, by name."""
        sizes = {files.file_name(kind): nbytes for files in self.shards for kind, nbytes in files.file_sizes.items()}
        sizes |= {name: file.nbytes for name, file in self.id_lists().items()}
        sizes |= {file.name: file.nbytes for file in self.event_files}
        sizes |= {file.name: file.nbytes for file in self.waiting_events}
        return sizes | ({self.deleted_rows.name: self.deleted_rows.nbytes} if self.deleted_rows else {})

    def file_versions(self) -> dict[str, str]:
        """Return a checksum that changes with the content of each file in the folder of the shards, by name."""
        versions = {name: files.checksum for files in self.shards for name in files.file_names()}
        versions |= {name: file.checksum for name, file in self.id_lists().items()}
        versions |= {file.name: file.checksum for file in self.event_files}
        versions |= {file.name: file.checksum for file in self.waiting_events}
        return versions | ({self.deleted_rows.name: self.deleted_rows.checksum} if self.deleted_rows else {})

    @property
    def checksum(self) -> str:
        """Return the checksum of the manifest, and with it of all files that it names."""
        return hash128(serialize_manifest(self))


def timestamp_now() -> str:
    """Return the current time in UTC, as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def publish_manifest(storage: Storage, manifest: Manifest, previous: Manifest | None) -> Manifest:
    """Make *manifest* the current one; all files that it names must be durable.

    Args:
        storage: Storage of the index.
        manifest: Manifest to publish.
        previous: Current manifest, which is replaced, or None for a new index.

    Returns:
        The published manifest.

    Raises:
        LockedError: *previous* is no longer the current manifest.
    """
    data = serialize_manifest(manifest)
    storage.put(history_file(manifest.number), data)
    return replace(manifest, etag=storage.swap(MANIFEST_FILE, data, previous.etag if previous else None))


def load_current_manifest(storage: Storage, known: Manifest | None = None) -> Manifest:
    """Return the current manifest; *known* itself if its file was not replaced since it was read.

    Raises:
        InvalidIndexError: There is no index, or it has another format.
        DamagedError: The manifest is not what was written.
    """
    with wrap_os_errors(storage.location):
        try:
            content = storage.read(MANIFEST_FILE)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise missing_index_error(storage) from error
    if known is not None and content.etag == known.etag:
        return known
    _reject_requests(storage, content.data)
    return parse_manifest(storage, MANIFEST_FILE, content)


def _reject_requests(storage: Storage, data: bytes) -> None:
    """Raise InvalidIndexError if *data* is the manifest of a folder of requests, which has the same name."""
    try:
        manifest = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    if isinstance(manifest, dict) and "vendor" in manifest and "shards" not in manifest:
        message = f"{storage.location} is a folder of requests, not an index"
        raise InvalidIndexError(Problem("no-index", message, hint="pass the index that they were emitted from"))


def read_manifest(storage: Storage, name: str) -> Manifest:
    """Return the manifest in the file *name*. Raises InvalidIndexError and DamagedError as `load_current_manifest`."""
    with wrap_os_errors(storage.path_of(name)):
        content = storage.read(name)
    return parse_manifest(storage, name, content)


def missing_index_error(storage: Storage) -> InvalidIndexError:
    """Return the error for a place where there is no index."""
    reason = "is not an index" if storage.exists() else "does not exist"
    hint = "build one: audience index build TABLE -o FOLDER"
    if is_url(storage.location):
        hint = f"publish one: audience index push FOLDER {storage.location}"
    return InvalidIndexError(Problem("no-index", f"{storage.location} {reason}", hint=hint))


def serialize_manifest(manifest: Manifest) -> bytes:
    """Return the file of *manifest*."""
    body = {"format": FORMAT_VERSION, **asdict(manifest)}
    del body["etag"]
    return serialize_checked("index", body)


def parse_manifest(storage: Storage, name: str, content: VersionedBytes) -> Manifest:
    """Return the manifest in *content* of the file *name*. Raises as `load_current_manifest`."""
    body = read_checked(content.data, "index", storage.path_of(name))
    if body.pop("format") != FORMAT_VERSION:
        message = f"{storage.location} was written by another version; this one reads format {FORMAT_VERSION}"
        raise InvalidIndexError(Problem("other-format", message, hint="build the index again"))
    columns = tuple(Column(**fields) for fields in body["columns"])
    shards = tuple(map(parse_shard_files, body["shards"]))
    deleted_rows = DeletedRowsFile(**body["deleted_rows"]) if body["deleted_rows"] else None
    segment_files = {
        name: tuple(IdListFile(**fields) for fields in files) for name, files in body.get("segment_files", {}).items()
    }
    event_files = tuple(EventFile(**fields) for fields in body["event_files"])
    event_ranges = {event: EventRange(**fields) for event, fields in body["event_ranges"].items()}
    parsed = {"shards": shards, "columns": columns, "deleted_rows": deleted_rows, "segment_files": segment_files}
    waiting = tuple(map(_parse_waiting_file, body["waiting_events"]))
    events = {
        "event_files": event_files,
        "event_ranges": event_ranges,
        "waiting_events": waiting,
        "empty_event_batches": tuple(body["empty_event_batches"]),
    }
    return Manifest(**{**body, **parsed, **events, "etag": content.etag})


def _parse_waiting_file(fields: dict[str, Any]) -> WaitingEventFile:
    properties = tuple(Column(**column) for column in fields["properties"])
    return WaitingEventFile(**{**fields, "events": tuple(fields["events"]), "properties": properties})


def parse_shard_files(fields: dict[str, Any]) -> ShardFiles:
    """Return the files of a shard from the JSON form of them."""
    data_ranges = {kind: (start, stop) for kind, (start, stop) in fields["data_ranges"].items()}
    return ShardFiles(**{**fields, "data_ranges": data_ranges})
