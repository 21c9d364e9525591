"""Shards → fewer and better ones: without their dead rows, and small ones as one.

A shard with few dead rows is left as it is, and they are left out of each answer. With more of them it is written
anew: all bitmaps keep their order, only the row numbers close up. Small shards are turned back into a table and made
into one, because each costs some microseconds a question.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from audience.index import arrow, bits, lookup
from audience.index.build import SHARD, written_table
from audience.index.columns import Column
from audience.index.decode import decoded, joined
from audience.index.encode import Table
from audience.index.ids import IdColumn
from audience.index.layout import Attribute, Plane, write
from audience.index.shard import Shard

MOST_DEAD = 1 / 64  # of the rows of a shard; with more it is written anew
TIERS = ((64, 1), (8, 2), (2, 1))  # below 1/64 of a full shard there may be one, below 1/8 two, below 1/2 one


def tidied(shards: Sequence[Shard], columns: Sequence[Column], folder: Path, names: Iterator[str]) -> list[Shard]:
    """*shards* after a change: what would slow down questions is written anew, the rest is left as it is."""
    found = [shard for shard in shards if shard.devices] or list(shards[:1])
    for part, most in TIERS:
        small = [shard for shard in found if shard.devices * part < SHARD]
        if len(small) > most:
            found = [shard for shard in found if shard not in small]
            found += [_made_one(group, columns, folder, names) for group in _groups(small)]
    return [
        _closed_up(shard, folder, names) if len(shard.dead or ()) > shard.rows * MOST_DEAD else shard for shard in found
    ]


def compacted(shards: Sequence[Shard], columns: Sequence[Column], folder: Path, names: Iterator[str]) -> list[Shard]:
    """*shards* as nearly as if all devices had been indexed at once; those that are full and whole are left alone."""
    living = [shard for shard in shards if shard.devices] or list(shards[:1])
    loose = [shard for shard in living if shard.devices * 2 < SHARD]
    full = [shard for shard in living if shard not in loose]
    return [
        *(_closed_up(shard, folder, names) if shard.dead else shard for shard in full),
        *(_made_one(group, columns, folder, names) for group in _groups(loose)),
    ]


def _groups(shards: Sequence[Shard]) -> list[list[Shard]]:
    """*shards* in groups of no more devices than a full shard has."""
    groups: list[list[Shard]] = []
    room = 0
    for shard in shards:
        if shard.devices > room or not groups:
            groups.append([])
            room = SHARD
        groups[-1].append(shard)
        room -= shard.devices
    return groups


def _made_one(group: Sequence[Shard], columns: Sequence[Column], folder: Path, names: Iterator[str]) -> Shard:
    """One shard of the devices of *group*."""
    if len(group) == 1:
        return _closed_up(group[0], folder, names) if group[0].dead else group[0]
    tables = [decoded(shard, bits.rows_of(shard.everyone), columns) for shard in group]
    return Shard(folder, written_table(folder, next(names), stacked(tables, columns)))


def stacked(tables: Sequence[Table], columns: Sequence[Column]) -> Table:
    """*tables* one below the other."""
    return {column: joined([table[column] for table in tables], column) for column in columns}


def _closed_up(shard: Shard, folder: Path, names: Iterator[str]) -> Shard:
    """*shard* without its dead rows, in the same order."""
    living = np.ones(shard.rows, dtype=np.bool_)
    living[bits.rows_of(shard.dead or bits.BitMap())] = False
    places = (np.cumsum(living, dtype=np.int64) - 1).astype(np.uint32)
    planes = (_renumbered(shard, attribute, places) for attribute in shard.attributes.values())
    kept = pl.Series(living)
    ids = (_without_dead(shard, name, kept, places) for name in shard.id_names)
    return Shard(folder, write(folder, next(names), shard.devices, planes, ids).settled())


def _without_dead(shard: Shard, name: str, living: pl.Series, places: bits.RowNumbers) -> IdColumn:
    """A column of ids without those of dead rows; hashes are not taken again."""
    entries = lookup.renumbered(shard.lookup(name), living.to_numpy(), places)
    return IdColumn(name, arrow.from_series(shard.ids(name).filter(living)), entries)


def _renumbered(shard: Shard, attribute: Attribute, places: bits.RowNumbers) -> Plane:
    """The bitmaps of *attribute* without dead rows; values that no device has any more are left out."""
    dead = shard.dead or bits.BitMap()
    first = attribute.start + (attribute.written if attribute.digits else 0)
    found = [bits.renumbered(shard.bitmap(row), dead, places) for row in range(first, attribute.stop)]
    shown, distinct = shard.table.slice(attribute.start, attribute.written), attribute.distinct
    if not attribute.digits:
        shown, found = shown.filter(pl.Series(list(map(bool, found)), dtype=pl.Boolean)), list(filter(None, found))
        distinct = len(found)
    columns = () if attribute.digits else shown["column"].to_list()
    described = (attribute.name, attribute.role, shown["value"], columns, found, distinct)
    return Plane(*described, attribute.single, attribute.type, attribute.digits)
