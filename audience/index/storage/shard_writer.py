"""A shard is written: its bitmaps are made while its ids are, and all of it is there or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from audience._fs.atomic import drafted, settle
from audience._fs.checksums import digest
from audience.index.schema.columns import Role
from audience.index.storage import arrow_file, bitmaps
from audience.index.storage.arrow_file import Span
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.id_column import IdColumn
from audience.index.storage.layout import DATA, IDS, LOOKUP, SHOWN, SUMS, TAGS, Attribute, Digits, Files, IdFacts
from audience.index.storage.polars_bridge import from_series
from audience.index.storage.verified_file import file_checksums

COLUMNS = pl.Schema(zip(SHOWN, (pl.String, pl.String, pl.String, pl.UInt32), strict=True))


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
    sums = {"file": arrow_file.from_numpy(files), "xxh3": arrow_file.from_numpy(np.concatenate(list(found.values())))}
    arrow_file.write(paths[SUMS], sums, ())
    sizes, summed = {kind: path.stat().st_size for kind, path in paths.items()}, digest(paths[SUMS].read_bytes())
    return Drafts(Files(name, rows, sizes, bodies, summed), {paths[kind]: path for kind, path in final.items()})


def _write_tags(file: Path, planes: Iterable[Plane]) -> Span:
    attributes: list[Attribute] = []
    names: list[str] = []
    shown = [pl.DataFrame(schema=COLUMNS)]
    stored: list[bytes | None] = []
    for plane in planes:
        start = len(stored)
        written = len(plane.values) if plane.digits else 0  # these values have no bitmaps of their own
        stored += [None] * written
        stored += map(bitmaps.dump, plane.bitmaps)
        shown.append(_shown(plane, written))
        names += [plane.name] * (len(stored) - start)
        described = (plane.name, plane.role, start, len(stored), plane.distinct, plane.single, plane.type)
        attributes.append(Attribute(*described, digits=plane.digits))
    table = pl.concat(shown).with_columns(attribute=pl.Series(names, dtype=pl.String))
    columns = {name: from_series(table[name]) for name in SHOWN}
    facts = orjson.dumps([asdict(attribute) for attribute in attributes])
    return arrow_file.write(file, {**columns, "bitmap": arrow_file.from_pieces(stored)}, ["bitmap"], facts)


def _shown(plane: Plane, written: int) -> pl.DataFrame:
    """What stands beside the bitmaps of *plane*, of whose values *written* have none."""
    values = plane.values
    if plane.digits:
        digits = ["any value", *(f"digit {digit}" for digit in range(plane.digits.count))]
        values = pl.concat([values, pl.Series(values.name, digits)])
    columns = plane.columns or [""] * len(values)
    devices = [None] * written + [len(bitmap) for bitmap in plane.bitmaps]
    return pl.DataFrame([[plane.name] * len(values), values, columns, devices], schema=COLUMNS)


def _write_ids(file: Path, ids: Sequence[IdColumn]) -> Span:
    columns = {column.name: column.texts for column in ids}
    facts = orjson.dumps({name: asdict(_facts(texts)) for name, texts in columns.items()})
    return arrow_file.write(file, columns, columns, facts)


def _facts(ids: Any) -> IdFacts:
    """What is true of all of *ids*."""
    places, data = arrow_file.texts(ids)
    if places is None or ids.null_count or not len(ids):
        return IdFacts(None, False)
    widths = np.diff(places)
    plain = all(map(arrow_file.plain_bytes, np.array_split(data, len(data) // CHUNK + 1)))
    return IdFacts(int(widths[0]) if (widths == widths[0]).all() else None, plain)


CHUNK = 1 << 18  # bytes that are looked at while they are near


def _write_lookup(file: Path, ids: Sequence[IdColumn]) -> Span:
    """One table of entries behind the other; where each begins and ends stands in the facts."""
    stops = np.cumsum([len(column.entries) for column in ids]).tolist()
    starts = [0, *stops[:-1]]
    facts = {column.name: place for column, place in zip(ids, zip(starts, stops, strict=True), strict=True)}
    entries = np.concatenate([column.entries for column in ids]) if len(ids) > 1 else ids[0].entries
    return arrow_file.write(file, {"entry": arrow_file.from_numpy(entries)}, ["entry"], orjson.dumps(facts))
