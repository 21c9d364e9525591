"""The folder of an index: what is written by `write`, and what `Store` reads back.

    manifest.json   format, devices, attributes, ids, and the size and checksum of every file
    tags.arrow      attribute, value, devices, start, size, checksum: one row a bitmap, values in their order
    bitmaps.bin     portable roaring bitmaps, one behind the other
    ids.arrow       the ids, one row a device

The manifest carries a checksum of itself. Whatever is read is checked first: a bitmap when an expression touches
it, the ids when they are asked for.
"""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import polars as pl
import xxhash

from audience.errors import DamagedError, IndexFolderError, Problem
from audience.index import bits
from audience.index.bits import BitMap, Choice
from audience.index.columns import Role
from audience.language.expr import Compare, Within

FORMAT = 1
MANIFEST, TAGS, BITMAPS, IDS = "manifest.json", "tags.arrow", "bitmaps.bin", "ids.arrow"

FILES = frozenset({MANIFEST, TAGS, BITMAPS, IDS})

TAG_SCHEMA = pl.Schema(
    {
        "attribute": pl.String,
        "value": pl.String,
        "devices": pl.UInt32,
        "start": pl.UInt64,
        "size": pl.UInt32,
        "checksum": pl.UInt64,
    }
)
STORED = ("devices", "start", "size", "checksum")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the devices: rows *start* to *stop* of tags.arrow are its values, in their order.

    With *slices* the values have no bitmaps of their own: the last *slices* rows are the binary digits of each
    device's place among the values, the lowest first, and one more before them says which devices have any.
    """

    name: str
    role: Role
    start: int
    stop: int
    slices: int | None = None
    single: bool = False  # a device has one value at most

    @property
    def values(self) -> int:
        """How many values there are."""
        return self.stop - self.start - (0 if self.slices is None else self.slices + 1)


@dataclass(frozen=True, slots=True)
class Plane:
    """An attribute to be written: its values in their order, how many devices have each, and its bitmaps.

    There is one bitmap a value, or with *slices* one for the devices that have any and one a binary digit.
    """

    name: str
    role: Role
    values: pl.Series
    devices: pl.Series
    bitmaps: Iterable[BitMap]
    slices: int | None = None
    single: bool = False


def write(folder: Path, devices: int, planes: Iterable[Plane], ids: pl.DataFrame) -> None:
    """Write an index of *devices* rows into the empty *folder*."""
    attributes: list[Attribute] = []
    tables = [pl.DataFrame(schema=TAG_SCHEMA)]
    first = 0
    with (folder / BITMAPS).open("wb") as file:
        for plane in planes:
            tables.append(_write_plane(file, plane))
            stop = first + len(tables[-1])
            attributes.append(Attribute(plane.name, plane.role, first, stop, plane.slices, plane.single))
            first = stop
    pl.concat(tables).write_ipc(folder / TAGS)
    ids.write_ipc(folder / IDS)
    _write_manifest(folder, devices, attributes, ids.columns)


def _write_plane(file: BinaryIO, plane: Plane) -> pl.DataFrame:
    """Append the bitmaps of *plane* to *file*; its part of the table of all bitmaps."""
    stored = [_append(file, bitmap) for bitmap in plane.bitmaps]
    placed = pl.DataFrame(stored, schema={name: TAG_SCHEMA[name] for name in STORED}, orient="row")
    named = pl.DataFrame({"value": plane.values, "devices": plane.devices}).with_columns(attribute=pl.lit(plane.name))
    if plane.slices is None:
        return named.with_columns(placed).select(list(TAG_SCHEMA)).cast(TAG_SCHEMA)
    digits = ["any value", *(f"digit {digit}" for digit in range(plane.slices))]
    sliced = placed.with_columns(attribute=pl.lit(plane.name), value=pl.Series(digits))
    both = pl.concat([named, sliced], how="diagonal_relaxed")
    return both.select(list(TAG_SCHEMA)).cast(TAG_SCHEMA)


def _append(file: BinaryIO, bitmap: BitMap) -> tuple[int, int, int, int]:
    """Write *bitmap*; how many devices, where it starts, its size in bytes, and their checksum."""
    data, start = bits.dump(bitmap), file.tell()
    file.write(data)
    return len(bitmap), start, len(data), xxhash.xxh3_64_intdigest(data)


def _write_manifest(folder: Path, devices: int, attributes: Sequence[Attribute], ids: Sequence[str]) -> None:
    body = {
        "format": FORMAT,
        "devices": devices,
        "attributes": [asdict(attribute) for attribute in attributes],
        "ids": ids,
        "files": {name: _fingerprint(folder / name) for name in (TAGS, BITMAPS, IDS)},
    }
    manifest = {"checksum": xxhash.xxh3_128_hexdigest(orjson.dumps(body)), "index": body}
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))


def _fingerprint(file: Path) -> dict[str, Any]:
    digest = xxhash.xxh3_128()
    with file.open("rb") as stream:
        while block := stream.read(1 << 24):
            digest.update(block)
    return {"bytes": file.stat().st_size, "xxh3": digest.hexdigest()}


class Store:
    """An index folder, open for reading."""

    def __init__(self, folder: Path):
        self.folder = folder
        with _readable(folder):
            manifest = _manifest(folder)
        self.files: dict[str, dict[str, Any]] = manifest["files"]
        self.devices: int = manifest["devices"]
        self.ids: list[str] = manifest["ids"]
        self.attributes = {each["name"]: Attribute(**each) for each in manifest["attributes"]}
        self.rows: dict[tuple[str, str], int] = {}  # where the tags that were asked for have their bitmaps
        self.choices: dict[Compare | Within, Choice | None] = {}  # what comparisons that were asked for mean
        self._loaded: dict[int, BitMap] = {}
        for name in self.files:
            self._sized(name)

    @cached_property
    def everyone(self) -> BitMap:
        """All rows."""
        return bits.universe(self.devices)

    @cached_property
    def tags(self) -> pl.DataFrame:
        """The table of all bitmaps."""
        with _readable(self.folder / TAGS):
            return pl.read_ipc(self._checked(TAGS))

    @cached_property
    def sizes(self) -> list[int]:
        """The bytes of every bitmap."""
        return self.tags["size"].to_list()

    @cached_property
    def id_table(self) -> pl.DataFrame:
        """The ids, one row a device."""
        with _readable(self.folder / IDS):
            return pl.read_ipc(self._checked(IDS)).rechunk()  # gathering from many chunks is ten times slower

    @cached_property
    def _bitmaps(self) -> memoryview:
        if self.files[BITMAPS]["bytes"] == 0:
            return memoryview(b"")
        with _readable(self.folder / BITMAPS), (self.folder / BITMAPS).open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def values(self, attribute: Attribute) -> pl.Series:
        """The values of *attribute* as text, in their order."""
        return self.tags["value"].slice(attribute.start, attribute.values)

    def counts(self, attribute: Attribute) -> pl.Series:
        """How many devices have each value of *attribute*."""
        return self.tags["devices"].slice(attribute.start, attribute.values)

    def bitmap(self, row: int) -> BitMap:
        """The bitmap of row *row* of the tags, read and checked once; it must not be changed."""
        if row not in self._loaded:
            self._loaded[row] = self._read(row)
        return self._loaded[row]

    def _read(self, row: int) -> BitMap:
        attribute, value, count, start, size, checksum = self.tags.row(row)
        data = self._bitmaps[start : start + size]
        name = f"{self.folder / BITMAPS}, the bitmap of {attribute}:{value}"
        if len(data) != size or xxhash.xxh3_64_intdigest(data) != checksum:
            raise _damaged(name)
        bitmap = bits.load(data, name)
        if len(bitmap) != count:
            raise _damaged(name)
        return bitmap

    def _checked(self, name: str) -> Path:
        """The path of a file whose bytes are those that were written."""
        if _fingerprint(self.folder / name) != self.files[name]:
            raise _damaged(str(self.folder / name))
        return self.folder / name

    def _sized(self, name: str) -> None:
        file = self.folder / name
        if not file.is_file():
            raise DamagedError(Problem("damaged", f"{file} is missing", hint="build the index again"))
        if file.stat().st_size != self.files[name]["bytes"]:
            raise _damaged(str(file))

    def check(self) -> Iterator[str]:
        """Read every file whole; the names of those that are sound, or DamagedError."""
        for name in self.files:
            with _readable(self.folder / name):
                self._checked(name)
            yield name


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what the system says of *path* into an error of ours."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise IndexFolderError(Problem("unreadable", f"{path}: {reason}")) from error


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if not file.is_file():
        found = "is not an index" if folder.exists() else "does not exist"
        hint = "build one: audience index build TABLE -o FOLDER"
        raise IndexFolderError(Problem("no-index", f"{folder} {found}", hint=hint))
    try:
        manifest = orjson.loads(file.read_bytes())
        body = manifest["index"]
        sound = manifest["checksum"] == xxhash.xxh3_128_hexdigest(orjson.dumps(body))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(str(file)) from error
    if not sound:
        raise _damaged(str(file))
    if body["format"] != FORMAT:
        raise IndexFolderError(
            Problem(
                "other-format",
                f"{folder} has format {body['format']}; this version reads {FORMAT}",
                hint="build it again",
            )
        )
    return dict(body)


def _damaged(name: str) -> DamagedError:
    hint = "restore a copy, or build the index again"
    return DamagedError(Problem("damaged", f"{name} is not what was written", hint=hint))
