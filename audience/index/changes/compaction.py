"""Shards → fewer and better ones: without their dead rows, and small ones as one.

A shard with few dead rows is left as it is, and they are left out of each answer. With more of them it is written
anew: all bitmaps keep their order, only the row numbers close up. Small shards are turned back into a table and made
into one, because each costs some microseconds a question.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl

from audience.index.ingest.build import SHARD, written_table
from audience.index.ingest.decode import decoded, dictionaries, joined
from audience.index.ingest.encode import Table
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, id_lookup, polars_bridge
from audience.index.storage.id_column import IdColumn
from audience.index.storage.layout import Attribute
from audience.index.storage.shard import Shard
from audience.index.storage.shard_writer import Plane, write
from audience.progress import Progress

MOST_DEAD = 1 / 64  # of the rows of a shard; with more it is written anew
TIERS = ((64, 1), (8, 2), (2, 1))  # below 1/64 of a full shard there may be one, below 1/8 two, below 1/2 one

Group: TypeAlias = list[Shard]  # what is to be one shard


def untidy(shards: Sequence[Shard]) -> list[Group]:
    """The groups that *shards* are to be after a change: several are made one, one is closed up, or left as it is."""
    groups = [[shard] for shard in shards if shard.devices] or [[shard] for shard in shards[:1]]
    for part, most in TIERS:
        small = [group for group in groups if _devices(group) * part < SHARD]
        if len(small) > most:
            groups = [group for group in groups if group not in small] + _together(small)
    return groups


def loose(shards: Sequence[Shard]) -> list[Group]:
    """The groups that are nearly what all devices would be if they had been indexed at once."""
    living = [shard for shard in shards if shard.devices] or list(shards[:1])
    small = [[shard] for shard in living if shard.devices * 2 < SHARD]
    return [*([shard] for shard in living if [shard] not in small), *_together(small)]


def _devices(group: Group) -> int:
    return sum(shard.devices for shard in group)


def _together(groups: Sequence[Group]) -> list[Group]:
    """*groups* in larger ones, of no more devices than a full shard has."""
    found: list[Group] = []
    for group in groups:
        if not found or _devices(found[-1]) + _devices(group) > SHARD:
            found.append([])
        found[-1].extend(group)
    return found


def stale(groups: Iterable[Group]) -> list[Group]:
    """Those of *groups* that would slow down questions: of several shards, or with more than a few dead rows."""
    return [group for group in groups if len(group) > 1 or len(group[0].dead or ()) > group[0].rows * MOST_DEAD]


def uneven(groups: Iterable[Group]) -> list[Group]:
    """Those of *groups* that are of several shards, or have any dead row."""
    return [group for group in groups if len(group) > 1 or group[0].dead]


def rewritten(
    groups: Sequence[Group],
    wanted: Sequence[Group],
    columns: Sequence[Column],
    place: tuple[Path, Iterator[str]],
    progress: Progress,
) -> list[Shard]:
    """*groups* as shards, those *wanted* written anew, two at a time; *place* is the folder, and names for them."""
    folder, names = place
    done, total = 0, sum(map(_devices, wanted))
    found = []
    with ThreadPoolExecutor(2) as several:
        anew = iter([several.submit(_written, group, columns, folder, next(names)) for group in wanted])
        for group in groups:
            if group not in wanted:
                found.append(group[0])
                continue
            progress("tidying up", done, total)
            found.append(next(anew).result())
            done += _devices(group)
    return found


def _written(group: Group, columns: Sequence[Column], folder: Path, name: str) -> Shard:
    return _made_one(group, columns, folder, name) if len(group) > 1 else _closed_up(group[0], folder, name)


def _made_one(group: Group, columns: Sequence[Column], folder: Path, name: str) -> Shard:
    """One shard of the devices of *group*."""
    names = dictionaries(columns)
    tables = [decoded(shard, bitmaps.rows_of(shard.everyone), columns, names) for shard in group]
    return Shard(folder, written_table(folder, name, stacked(tables, columns)))


def stacked(tables: Sequence[Table], columns: Sequence[Column]) -> Table:
    """*tables* one below the other."""
    return {column: joined([table[column] for table in tables], column) for column in columns}


def _closed_up(shard: Shard, folder: Path, name: str) -> Shard:
    """*shard* without its dead rows, in the same order."""
    living = np.ones(shard.rows, dtype=np.bool_)
    living[bitmaps.rows_of(shard.dead or bitmaps.BitMap())] = False
    places = (np.cumsum(living, dtype=np.int64) - 1).astype(np.uint32)
    planes = (_renumbered(shard, attribute, places) for attribute in shard.attributes.values())
    kept = pl.Series(living)
    ids = (_without_dead(shard, column, kept, places) for column in shard.id_names)
    return Shard(folder, write(folder, name, shard.devices, planes, ids).settled())


def _without_dead(shard: Shard, name: str, living: pl.Series, places: bitmaps.RowNumbers) -> IdColumn:
    """A column of ids without those of dead rows; hashes are not taken again."""
    entries = id_lookup.renumbered(shard.lookup(name), living.to_numpy(), places)
    return IdColumn(name, polars_bridge.from_series(polars_bridge.ids(shard, name).filter(living)), entries)


def _renumbered(shard: Shard, attribute: Attribute, places: bitmaps.RowNumbers) -> Plane:
    """The bitmaps of *attribute* without dead rows; values that no device has any more are left out."""
    dead = shard.dead or bitmaps.BitMap()
    first = attribute.start + (attribute.written if attribute.digits else 0)
    found = [bitmaps.renumbered(shard.bitmap(row), dead, places) for row in range(first, attribute.stop)]
    shown, distinct = polars_bridge.table(shard).slice(attribute.start, attribute.written), attribute.distinct
    if not attribute.digits:
        shown, found = shown.filter(pl.Series(list(map(bool, found)), dtype=pl.Boolean)), list(filter(None, found))
        distinct = len(found)
    columns = () if attribute.digits else shown["column"].to_list()
    described = (attribute.name, attribute.role, shown["value"], columns, found, distinct)
    return Plane(*described, attribute.single, attribute.type, attribute.digits)
