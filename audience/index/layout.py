"""A shard: some millions of devices in files that never change; what they hold, and how they are written.

    NAME.tags.arrow     attribute, value, column, cardinality, bitmap: one row a bitmap, values in their order
    NAME.ids.arrow      the ids, one row a device, in the order in which the shard numbers them
    NAME.lookup.arrow   for each column of ids its table of hashes
    NAME.sums.arrow     the checksum of each block of the three

Bitmaps are portable roaring bytes, so that any Arrow reader and any roaring library can use them.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from audience.files import drafted, settle
from audience.index import arrow, bits
from audience.index.arrow import Span
from audience.index.bits import BitMap
from audience.index.columns import Role
from audience.index.ids import IdColumn
from audience.index.sound import digest, file_checksums

TAGS, IDS, LOOKUP, SUMS = "tags", "ids", "lookup", "sums"
DATA = (TAGS, IDS, LOOKUP)
SHOWN = pl.Schema(  # what stands beside the bitmaps
    {"attribute": pl.String, "value": pl.String, "column": pl.String, "cardinality": pl.UInt32}
)


@dataclass(frozen=True, slots=True)
class Digits:
    """How numbers are kept as *count* binary digits: the number is `(base + step × digits) / 10 ** scale`.

    Without *step* the digits are the place of the value among the sorted values that are kept beside them.
    """

    count: int
    base: int = 0
    step: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a shard: rows *start* to *stop* of its tags are the values, in their order.

    With *digits* the values have no bitmaps of their own: the last rows are the binary digits, the lowest first, and
    one more before them says which devices have any value. *single* says that a device has one value at most, *type*
    is what Polars calls the values.
    """

    name: str
    role: Role
    start: int
    stop: int
    distinct: int
    single: bool
    type: str
    digits: Digits | None = None

    @property
    def written(self) -> int:
        """How many values are written down."""
        return self.stop - self.start - (0 if self.digits is None else self.digits.count + 1)


@dataclass(frozen=True, slots=True)
class Plane:
    """An attribute to be written: its values in their order as text, the column of each, and its bitmaps.

    There is one bitmap a value, or with *digits* one for the devices that have any and one a binary digit.
    """

    name: str
    role: Role
    values: pl.Series
    columns: Sequence[str]
    bitmaps: Sequence[BitMap]
    distinct: int
    single: bool
    type: str
    digits: Digits | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """What a snapshot knows of a shard: its name, its rows, and of each file the size, the body and a checksum."""

    name: str
    rows: int
    sizes: Mapping[str, int]
    bodies: Mapping[str, tuple[int, int]]
    sums: str

    def path(self, folder: Path, kind: str) -> Path:
        return folder / f"{self.name}.{kind}.arrow"

    def paths(self, folder: Path) -> list[Path]:
        return [self.path(folder, kind) for kind in (*DATA, SUMS)]


@dataclass(frozen=True, slots=True)
class IdFacts:
    """What is true of all ids of a column: the bytes of each where they are equally many, and whether JSON writes
    them as they are."""

    width: int | None
    plain: bool


@dataclass(frozen=True, slots=True)
class Drafts:
    """The files of a shard under the names that they have until they are synced, each with the one it will have."""

    files: Files
    paths: Mapping[Path, Path]

    def settled(self) -> Files:
        """Sync all files and give them their names."""
        for draft, path in self.paths.items():
            settle(draft, path)
        return self.files


def write(folder: Path, name: str, rows: int, planes: Iterable[Plane], ids: Iterable[IdColumn]) -> Drafts:
    """Write a shard of *rows* devices to *folder*; its bitmaps are made and written beside its ids."""
    final = {kind: folder / f"{name}.{kind}.arrow" for kind in (*DATA, SUMS)}
    paths = {kind: drafted(path) for kind, path in final.items()}
    with ThreadPoolExecutor(1) as beside:
        written = beside.submit(_write_tags, paths[TAGS], planes)
        columns = list(ids)
        bodies = {IDS: _write_ids(paths[IDS], columns), LOOKUP: _write_lookup(paths[LOOKUP], columns)}
        bodies[TAGS] = written.result()
    found = {kind: file_checksums(paths[kind]) for kind in DATA}
    files = np.repeat(np.arange(len(DATA), dtype=np.uint8), [len(found[kind]) for kind in DATA])
    sums = {"file": arrow.from_numpy(files), "xxh3": arrow.from_numpy(np.concatenate(list(found.values())))}
    arrow.write(paths[SUMS], sums, ())
    sizes, summed = {kind: path.stat().st_size for kind, path in paths.items()}, digest(paths[SUMS].read_bytes())
    return Drafts(Files(name, rows, sizes, bodies, summed), {paths[kind]: path for kind, path in final.items()})


def _write_tags(file: Path, planes: Iterable[Plane]) -> Span:
    attributes: list[Attribute] = []
    names: list[str] = []
    shown = [pl.DataFrame(schema=SHOWN)]
    stored: list[bytes | None] = []
    for plane in planes:
        start = len(stored)
        written = len(plane.values) if plane.digits else 0  # these values have no bitmaps of their own
        stored += [None] * written
        stored += map(bits.dump, plane.bitmaps)
        shown.append(_shown(plane, written))
        names += [plane.name] * (len(stored) - start)
        described = (plane.name, plane.role, start, len(stored), plane.distinct, plane.single, plane.type)
        attributes.append(Attribute(*described, digits=plane.digits))
    table = pl.concat(shown).with_columns(attribute=pl.Series(names, dtype=pl.String))
    columns = {name: arrow.from_series(table[name]) for name in SHOWN}
    facts = orjson.dumps([asdict(attribute) for attribute in attributes])
    return arrow.write(file, {**columns, "bitmap": arrow.from_pieces(stored)}, ["bitmap"], facts)


def _shown(plane: Plane, written: int) -> pl.DataFrame:
    """What stands beside the bitmaps of *plane*, of whose values *written* have none."""
    values = plane.values
    if plane.digits:
        digits = ["any value", *(f"digit {digit}" for digit in range(plane.digits.count))]
        values = pl.concat([values, pl.Series(values.name, digits)])
    columns = plane.columns or [""] * len(values)
    devices = [None] * written + [len(bitmap) for bitmap in plane.bitmaps]
    return pl.DataFrame([[plane.name] * len(values), values, columns, devices], schema=SHOWN)


def _write_ids(file: Path, ids: Sequence[IdColumn]) -> Span:
    columns = {column.name: column.texts for column in ids}
    facts = orjson.dumps({name: asdict(_facts(texts)) for name, texts in columns.items()})
    return arrow.write(file, columns, columns, facts)


def _facts(ids: Any) -> IdFacts:
    """What is true of all of *ids*."""
    places, data = arrow.texts(ids)
    if places is None or ids.null_count or not len(ids):
        return IdFacts(None, False)
    widths = np.diff(places)
    plain = all(map(arrow.plain_bytes, np.array_split(data, len(data) // CHUNK + 1)))
    return IdFacts(int(widths[0]) if (widths == widths[0]).all() else None, plain)


CHUNK = 1 << 18  # bytes that are looked at while they are near


def _write_lookup(file: Path, ids: Sequence[IdColumn]) -> Span:
    """One table of entries behind the other; where each begins and ends stands in the facts."""
    stops = np.cumsum([len(column.entries) for column in ids]).tolist()
    starts = [0, *stops[:-1]]
    facts = {column.name: place for column, place in zip(ids, zip(starts, stops, strict=True), strict=True)}
    entries = np.concatenate([column.entries for column in ids]) if len(ids) > 1 else ids[0].entries
    return arrow.write(file, {"entry": arrow.from_numpy(entries)}, ["entry"], orjson.dumps(facts))
