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

from audience._fs.atomic import drafted, put
from audience._fs.checksums import digest
from audience.errors import DamagedError, IndexFolderError, Problem
from audience.index.schema.columns import Column, Role
from audience.index.storage import arrow_file, bitmaps
from audience.index.storage.arrow_file import Frame
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.cache import BYTES, Cache
from audience.index.storage.layout import Files
from audience.index.storage.shard import Shard
from audience.index.storage.verified_file import damaged, mapped, readable
from audience.language.ast import Expr
from audience.language.parser import parse

FORMAT = 2
MANIFEST, HISTORY, SHARDS, LOCK, HOLDER = "manifest.json", "history", "shards", "writer.lock", "writer.json"
FOLDERS = frozenset({MANIFEST, HISTORY, SHARDS, LOCK, HOLDER, drafted(Path(MANIFEST)).name})


@dataclass(frozen=True, slots=True)
class Dead:
    """The file that holds the dead rows of all shards: its name, its size and its checksum."""

    name: str
    size: int
    sum: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is made of: its number, when and by what it was made, its devices, columns, shards, segments."""

    number: int
    made: str
    what: str
    devices: int
    columns: tuple[Column, ...]
    shards: tuple[Files, ...]
    dead: Dead | None = None
    segments: Mapping[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """The kinds of id that are kept, each with a colon and its name."""
        return [f"{column.role}:{column.name}" for column in self.columns if column.keeps_ids]

    def files(self) -> set[str]:
        """The names of all files in the folder of the shards that this snapshot needs."""
        names = {path.name for files in self.shards for path in files.paths(Path())}
        return names | ({self.dead.name} if self.dead else set())


def now() -> str:
    """This moment, as manifests write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def publish(folder: Path, manifest: Manifest) -> None:
    """Make *manifest* the current one of the index in *folder*; all files that it names are on disk already."""
    data = _written(manifest)
    put(folder / HISTORY / f"{manifest.number:08}.json", data)
    put(folder / MANIFEST, data)


def _written(manifest: Manifest) -> bytes:
    body = {"format": FORMAT, **asdict(manifest)}
    whole = {"checksum": digest(orjson.dumps(body)), "index": body}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2)


def publish_next(folder: Path, last: Manifest, body: Manifest, what: str) -> int:
    """Publish *body*, made by *what*, as the snapshot that follows *last*; its number."""
    number = last.number + 1
    publish(folder, replace(body, number=number, made=now(), what=what))
    return number


def current(folder: Path) -> Manifest:
    """The current manifest of the index in *folder*; IndexFolderError where there is none."""
    file = folder / MANIFEST
    with readable(folder):
        if not file.is_file():
            found = "is not an index" if folder.exists() else "does not exist"
            hint = "build one: audience index build TABLE -o FOLDER"
            raise IndexFolderError(Problem("no-index", f"{folder} {found}", hint=hint))
    return read(file)


def read(file: Path) -> Manifest:
    """The manifest in *file*, which must be what was written."""
    with readable(file):
        data = file.read_bytes()
    try:
        whole = orjson.loads(data)
        body = whole["index"]
        sound = whole["checksum"] == digest(orjson.dumps(body))
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(file) from error
    if not sound or data != orjson.dumps(whole, option=orjson.OPT_INDENT_2):
        raise damaged(file)
    if body.pop("format") != FORMAT:
        message = f"{file.parent} was written by another version; this one reads format {FORMAT}"
        raise IndexFolderError(Problem("other-format", message, hint="build the index again"))
    return _manifest(body)


def _manifest(body: dict[str, Any]) -> Manifest:
    shards = tuple(Files(**{**each, "bodies": _spans(each["bodies"])}) for each in body["shards"])
    columns = tuple(Column(**each) for each in body["columns"])
    dead = Dead(**body["dead"]) if body["dead"] else None
    return Manifest(**{**body, "shards": shards, "columns": columns, "dead": dead})


def _spans(found: Mapping[str, list[int]]) -> dict[str, tuple[int, int]]:
    return {name: (start, stop) for name, (start, stop) in found.items()}


def write_dead(folder: Path, number: int, dead: Mapping[str, BitMap]) -> Dead | None:
    """Write the rows that are *dead*, by the names of their shards; None where there are none."""
    some = {name: bitmap for name, bitmap in dead.items() if bitmap}
    if not some:
        return None
    path = folder / SHARDS / f"{number:08}.dead.arrow"
    columns = {
        "shard": arrow_file.from_texts(list(some)),
        "cardinality": arrow_file.from_numpy(np.array([len(bitmap) for bitmap in some.values()], dtype=np.uint32)),
        "bitmap": arrow_file.from_pieces(map(bitmaps.dump, some.values())),
    }
    data = arrow_file.packed(columns)
    put(path, data)
    return Dead(path.name, len(data), digest(data))


def read_dead(folder: Path, dead: Dead | None) -> dict[str, BitMap]:
    """The dead rows of each shard that has any."""
    if dead is None:
        return {}
    frame = Frame(checked_dead(folder, dead))
    names, blobs = (frame.column(name).to_pylist() for name in ("shard", "bitmap"))
    return {name: bitmaps.load(memoryview(blob), dead.name) for name, blob in zip(names, blobs, strict=True)}


def checked_dead(folder: Path, dead: Dead) -> memoryview:
    """The bytes of the file of dead rows."""
    path = folder / SHARDS / dead.name
    data = mapped(path, dead.size)
    if digest(data) != dead.sum:
        raise damaged(path)
    return data


class Snapshot:
    """An index as it was at one moment, open for reading for as long as it is held.

    Shards that *before* has open are shared with it, and with them what was read.
    """

    def __init__(self, folder: Path, manifest: Manifest, before: "Snapshot | None" = None, *, cache_bytes: int = BYTES):
        self.folder = folder
        self.manifest = manifest
        self.cache = Cache(cache_bytes)
        self.checked: dict[int, tuple[Expr, Expr]] = {}  # expressions that ask for nothing unknown, and written out
        self.devices = manifest.devices
        dead = read_dead(folder, manifest.dead)
        self.shards: tuple[Shard, ...]
        known = {(shard.name, shard.files.sums): shard for shard in (before.shards if before else ())}
        self.shards = tuple(
            self._opened(files, dead.get(files.name), known.get((files.name, files.sums))) for files in manifest.shards
        )

    def _opened(self, files: Files, dead: BitMap | None, known: Shard | None) -> Shard:
        return (
            Shard(self.folder / SHARDS, files, dead, self.cache) if known is None else known.without(dead, self.cache)
        )

    @property
    def ids(self) -> list[str]:
        """The kinds of id that are kept, each with a colon and its name."""
        return self.manifest.ids

    @cached_property
    def saved(self) -> dict[str, Expr]:
        """The segments that are saved, by name."""
        return {name: parse(text, folder=None) for name, text in self.manifest.segments.items()}

    @cached_property
    def roles(self) -> dict[str, Role]:
        """The role of each attribute that can be asked, by name; bare tags are the attribute `tag`."""
        return {column.name: column.role for column in self.manifest.columns if not column.keeps_ids}

    def contents(self) -> Iterator[tuple[str, memoryview]]:
        """Every file of the shards: its name, and its bytes when they have been checked."""
        for shard in self.shards:
            shard.check()
            yield from shard.contents()
        if self.manifest.dead:
            yield self.manifest.dead.name, checked_dead(self.folder, self.manifest.dead)

    def check(self) -> list[str]:
        """Read every file whole; the names of those that are sound, or DamagedError for the first that is not."""
        for shard in self.shards:
            shard.check()
        return sorted([MANIFEST, *self.manifest.files()])


def opened(folder: Path, before: Snapshot | None = None, *, cache_bytes: int = BYTES) -> Snapshot:
    """The current snapshot of the index in *folder*.

    Files may be removed between reading the manifest and opening them; then there is a newer manifest to be tried.
    """
    manifest = current(folder)
    while True:
        try:
            return Snapshot(folder, manifest, before, cache_bytes=cache_bytes)
        except DamagedError:
            newer = current(folder)
            if newer.number == manifest.number:
                raise
            manifest = newer
