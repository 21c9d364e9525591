"""The folder of an index, and one snapshot of it: the shards that are valid together.

    manifest.json             the snapshot that is current
    history/00000007.json     every snapshot that is kept, the current one too
    shards/                   the files of the shards; none ever changes
    writer.lock               held while somebody writes; writer.json says who

A snapshot is published by one rename of its manifest, when all that it names is on disk. Each manifest carries a
checksum of itself, and vouches for the checksums of every file that it names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from audience._fs.atomic import atomic_write, temp_path
from audience._fs.checksums import hash128
from audience.errors import DamagedError, InvalidIndexError, Problem
from audience.index.schema.columns import Column, Role
from audience.index.storage import arrow_file, bitmaps
from audience.index.storage.arrow_file import ArrowTable
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.cache import DEFAULT_CACHE_BYTES, RowSetCache
from audience.index.storage.layout import ShardFiles
from audience.index.storage.shard import Shard
from audience.index.storage.verified_file import damaged_error, map_sized_file, wrap_os_errors
from audience.language.ast import Expr
from audience.language.parser import parse

FORMAT_VERSION = 3
MANIFEST_FILE, HISTORY_FOLDER, SHARDS_FOLDER, LOCK_FILE, LOCK_HOLDER_FILE = (
    "manifest.json",
    "history",
    "shards",
    "writer.lock",
    "writer.json",
)
OWNED_NAMES = frozenset(
    {MANIFEST_FILE, HISTORY_FOLDER, SHARDS_FOLDER, LOCK_FILE, LOCK_HOLDER_FILE, temp_path(Path(MANIFEST_FILE)).name}
)


@dataclass(frozen=True, slots=True)
class DeletedRowsFile:
    """The file that holds the dead rows of all shards: its name, its size and its checksum."""

    name: str
    nbytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is made of: its number, when and by what it was made, its devices, columns, shards, segments."""

    number: int
    created: str
    description: str
    device_count: int
    columns: tuple[Column, ...]
    shards: tuple[ShardFiles, ...]
    deleted_rows: DeletedRowsFile | None = None
    segments: Mapping[str, str] = field(default_factory=dict)

    @property
    def id_column_names(self) -> list[str]:
        """The kinds of id that are kept, each with a colon and its name."""
        return [f"{column.role}:{column.name}" for column in self.columns if column.is_id]

    def file_names(self) -> set[str]:
        """The names of all files in the folder of the shards that this snapshot needs."""
        names = {path.name for files in self.shards for path in files.file_paths(Path())}
        return names | ({self.deleted_rows.name} if self.deleted_rows else set())


def timestamp_now() -> str:
    """This moment, as manifests write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def publish_manifest(folder: Path, manifest: Manifest) -> None:
    """Make *manifest* the current one of the index in *folder*; all files that it names are on disk already."""
    data = _serialize_manifest(manifest)
    atomic_write(folder / HISTORY_FOLDER / f"{manifest.number:08}.json", data)
    atomic_write(folder / MANIFEST_FILE, data)


def _serialize_manifest(manifest: Manifest) -> bytes:
    body = {"format": FORMAT_VERSION, **asdict(manifest)}
    whole = {"checksum": hash128(orjson.dumps(body)), "index": body}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2)


def publish_successor(folder: Path, previous: Manifest, manifest: Manifest, description: str) -> int:
    """Publish *body*, made by *what*, as the snapshot that follows *last*; its number."""
    number = previous.number + 1
    publish_manifest(folder, replace(manifest, number=number, created=timestamp_now(), description=description))
    return number


def load_current_manifest(folder: Path) -> Manifest:
    """The current manifest of the index in *folder*; IndexFolderError where there is none."""
    file = folder / MANIFEST_FILE
    with wrap_os_errors(folder):
        if not file.is_file():
            found = "is not an index" if folder.exists() else "does not exist"
            hint = "build one: audience index build TABLE -o FOLDER"
            raise InvalidIndexError(Problem("no-index", f"{folder} {found}", hint=hint))
    return read_manifest(file)


def read_manifest(file: Path) -> Manifest:
    """The manifest in *file*, which must be what was written."""
    with wrap_os_errors(file):
        data = file.read_bytes()
    try:
        whole = orjson.loads(data)
        body = whole["index"]
        sound = whole["checksum"] == hash128(orjson.dumps(body))
    except (ValueError, KeyError, TypeError) as error:
        raise damaged_error(file) from error
    if not sound or data != orjson.dumps(whole, option=orjson.OPT_INDENT_2):
        raise damaged_error(file)
    if body.pop("format") != FORMAT_VERSION:
        message = f"{file.parent} was written by another version; this one reads format {FORMAT_VERSION}"
        raise InvalidIndexError(Problem("other-format", message, hint="build the index again"))
    return _parse_manifest(body)


def _parse_manifest(body: dict[str, Any]) -> Manifest:
    shards = tuple(ShardFiles(**{**each, "data_ranges": _parse_ranges(each["data_ranges"])}) for each in body["shards"])
    columns = tuple(Column(**each) for each in body["columns"])
    deleted_rows = DeletedRowsFile(**body["deleted_rows"]) if body["deleted_rows"] else None
    return Manifest(**{**body, "shards": shards, "columns": columns, "deleted_rows": deleted_rows})


def _parse_ranges(ranges: Mapping[str, list[int]]) -> dict[str, tuple[int, int]]:
    return {name: (start, stop) for name, (start, stop) in ranges.items()}


def write_deleted_rows(folder: Path, number: int, deleted: Mapping[str, BitMap]) -> DeletedRowsFile | None:
    """Write the rows that are *dead*, by the names of their shards; None where there are none."""
    some = {name: bitmap for name, bitmap in deleted.items() if bitmap}
    if not some:
        return None
    path = folder / SHARDS_FOLDER / f"{number:08}.deleted.arrow"
    columns = {
        "shard": arrow_file.from_strings(list(some)),
        "cardinality": arrow_file.from_numpy(np.array([len(bitmap) for bitmap in some.values()], dtype=np.uint32)),
        "bitmap": arrow_file.from_bytes(map(bitmaps.serialize_bitmap, some.values())),
    }
    data = arrow_file.to_ipc_bytes(columns)
    atomic_write(path, data)
    return DeletedRowsFile(path.name, len(data), hash128(data))


def read_deleted_rows(folder: Path, file: DeletedRowsFile | None) -> dict[str, BitMap]:
    """The dead rows of each shard that has any."""
    if file is None:
        return {}
    frame = ArrowTable(map_deleted_rows(folder, file))
    names, blobs = (frame.column(name).to_pylist() for name in ("shard", "bitmap"))
    return {
        name: bitmaps.deserialize_bitmap(memoryview(blob), file.name) for name, blob in zip(names, blobs, strict=True)
    }


def map_deleted_rows(folder: Path, file: DeletedRowsFile) -> memoryview:
    """The bytes of the file of dead rows."""
    path = folder / SHARDS_FOLDER / file.name
    data = map_sized_file(path, file.nbytes)
    if hash128(data) != file.checksum:
        raise damaged_error(path)
    return data


class Snapshot:
    """An index as it was at one moment, open for reading for as long as it is held.

    Shards that *before* has open are shared with it, and with them what was read.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        previous: "Snapshot | None" = None,
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ):
        self.folder = folder
        self.manifest = manifest
        self.cache = RowSetCache(cache_bytes)
        self.validated_exprs: dict[
            int, tuple[Expr, Expr]
        ] = {}  # expressions that ask for nothing unknown, and written out
        self.device_count = manifest.device_count
        dead = read_deleted_rows(folder, manifest.deleted_rows)
        self.shards: tuple[Shard, ...]
        known = {(shard.name, shard.files.checksum): shard for shard in (previous.shards if previous else ())}
        self.shards = tuple(
            self._open_shard(files, dead.get(files.name), known.get((files.name, files.checksum)))
            for files in manifest.shards
        )

    def _open_shard(self, files: ShardFiles, deleted: BitMap | None, reusable: Shard | None) -> Shard:
        return (
            Shard(self.folder / SHARDS_FOLDER, files, deleted, self.cache)
            if reusable is None
            else reusable.with_deleted(deleted, self.cache)
        )

    def __repr__(self) -> str:
        return f"snapshot {self.manifest.number} of {self.folder}"

    def is_same(self, other: "Snapshot") -> bool:
        """Return whether *other* is the same snapshot of the same index."""
        return self is other or (self.folder == other.folder and self.manifest == other.manifest)

    @property
    def id_column_names(self) -> list[str]:
        """The kinds of id that are kept, each with a colon and its name."""
        return self.manifest.id_column_names

    @cached_property
    def segments(self) -> dict[str, Expr]:
        """The segments that are saved, by name."""
        return {name: parse(text, folder=None) for name, text in self.manifest.segments.items()}

    @cached_property
    def roles(self) -> dict[str, Role]:
        """The role of each attribute that can be asked, by name; bare tags are the attribute `tag`."""
        return {column.name: column.role for column in self.manifest.columns if not column.is_id}

    def iter_files(self) -> Iterator[tuple[str, memoryview]]:
        """Every file of the shards: its name, and its bytes when they have been checked."""
        for shard in self.shards:
            shard.verify()
            yield from shard.iter_files()
        if self.manifest.deleted_rows:
            yield self.manifest.deleted_rows.name, map_deleted_rows(self.folder, self.manifest.deleted_rows)

    def verify(self) -> list[str]:
        """Read every file whole; the names of those that are sound, or DamagedError for the first that is not."""
        for shard in self.shards:
            shard.verify()
        return sorted([MANIFEST_FILE, *self.manifest.file_names()])


def open_snapshot(
    folder: Path, previous: Snapshot | None = None, *, cache_bytes: int = DEFAULT_CACHE_BYTES
) -> Snapshot:
    """The current snapshot of the index in *folder*.

    Files may be removed between reading the manifest and opening them; then there is a newer manifest to be tried.
    """
    manifest = load_current_manifest(folder)
    while True:
        try:
            return Snapshot(folder, manifest, previous, cache_bytes=cache_bytes)
        except DamagedError:
            newer = load_current_manifest(folder)
            if newer.number == manifest.number:
                raise
            manifest = newer
