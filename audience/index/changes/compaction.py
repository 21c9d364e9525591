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

from audience.index.ingest.build import MAX_SHARD_DEVICES, write_shard
from audience.index.ingest.decode import concat_columns, decode_rows, new_categories
from audience.index.ingest.encode import DeviceTable
from audience.index.schema.columns import Column
from audience.index.storage import bitmaps, id_lookup, polars_bridge
from audience.index.storage.id_column import IdColumn
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard
from audience.index.storage.shard_writer import EncodedAttribute, write_shard_files
from audience.progress import Progress

MAX_DELETED_RATIO = 1 / 64  # of the rows of a shard; with more it is written anew
COMPACTION_TIERS = (
    (64, 1),
    (8, 2),
    (2, 1),
)  # below 1/64 of a full shard there may be one, below 1/8 two, below 1/2 one

ShardGroup: TypeAlias = list[Shard]  # what is to be one shard


def plan_light_compaction(shards: Sequence[Shard]) -> list[ShardGroup]:
    """The groups that *shards* are to be after a change: several are made one, one is closed up, or left as it is."""
    groups = [[shard] for shard in shards if shard.device_count] or [[shard] for shard in shards[:1]]
    for part, most in COMPACTION_TIERS:
        small = [group for group in groups if _count_devices(group) * part < MAX_SHARD_DEVICES]
        if len(small) > most:
            groups = [group for group in groups if group not in small] + _merge_groups(small)
    return groups


def plan_full_compaction(shards: Sequence[Shard]) -> list[ShardGroup]:
    """The groups that are nearly what all devices would be if they had been indexed at once."""
    living = [shard for shard in shards if shard.device_count] or list(shards[:1])
    small = [[shard] for shard in living if shard.device_count * 2 < MAX_SHARD_DEVICES]
    return [*([shard] for shard in living if [shard] not in small), *_merge_groups(small)]


def _count_devices(group: ShardGroup) -> int:
    return sum(shard.device_count for shard in group)


def _merge_groups(groups: Sequence[ShardGroup]) -> list[ShardGroup]:
    """*groups* in larger ones, of no more devices than a full shard has."""
    found: list[ShardGroup] = []
    for group in groups:
        if not found or _count_devices(found[-1]) + _count_devices(group) > MAX_SHARD_DEVICES:
            found.append([])
        found[-1].extend(group)
    return found


def select_stale_groups(groups: Iterable[ShardGroup]) -> list[ShardGroup]:
    """Those of *groups* that would slow down questions: of several shards, or with more than a few dead rows."""
    return [
        group
        for group in groups
        if len(group) > 1 or len(group[0].deleted or ()) > group[0].row_count * MAX_DELETED_RATIO
    ]


def select_fragmented_groups(groups: Iterable[ShardGroup]) -> list[ShardGroup]:
    """Those of *groups* that are of several shards, or have any dead row."""
    return [group for group in groups if len(group) > 1 or group[0].deleted]


def rewrite_groups(
    groups: Sequence[ShardGroup],
    to_rewrite: Sequence[ShardGroup],
    columns: Sequence[Column],
    destination: tuple[Path, Iterator[str]],
    progress: Progress,
) -> list[Shard]:
    """*groups* as shards, those *wanted* written anew, two at a time; *place* is the folder, and names for them."""
    folder, names = destination
    done, total = 0, sum(map(_count_devices, to_rewrite))
    found = []
    with ThreadPoolExecutor(2) as several:
        anew = iter([several.submit(_rewrite_group, group, columns, folder, next(names)) for group in to_rewrite])
        for group in groups:
            if group not in to_rewrite:
                found.append(group[0])
                continue
            progress("tidying up", done, total)
            found.append(next(anew).result())
            done += _count_devices(group)
    return found


def _rewrite_group(group: ShardGroup, columns: Sequence[Column], folder: Path, name: str) -> Shard:
    return _merge_shards(group, columns, folder, name) if len(group) > 1 else _drop_deleted_rows(group[0], folder, name)


def _merge_shards(group: ShardGroup, columns: Sequence[Column], folder: Path, name: str) -> Shard:
    """One shard of the devices of *group*."""
    names = new_categories(columns)
    tables = [decode_rows(shard, bitmaps.bitmap_to_rows(shard.live_rows), columns, names) for shard in group]
    return Shard(folder, write_shard(folder, name, concat_tables(tables, columns)))


def concat_tables(tables: Sequence[DeviceTable], columns: Sequence[Column]) -> DeviceTable:
    """*tables* one below the other."""
    return {column: concat_columns([table[column] for table in tables], column) for column in columns}


def _drop_deleted_rows(shard: Shard, folder: Path, name: str) -> Shard:
    """*shard* without its dead rows, in the same order."""
    living = np.ones(shard.row_count, dtype=np.bool_)
    living[bitmaps.bitmap_to_rows(shard.deleted or bitmaps.BitMap())] = False
    places = (np.cumsum(living, dtype=np.int64) - 1).astype(np.uint32)
    planes = (_compact_attribute(shard, attribute, places) for attribute in shard.attributes.values())
    kept = pl.Series(living)
    ids = (_compact_id_column(shard, column, kept, places) for column in shard.id_column_names)
    return Shard(folder, write_shard_files(folder, name, shard.device_count, planes, ids).commit())


def _compact_id_column(shard: Shard, id_column: str, is_live: pl.Series, new_rows: bitmaps.RowNumbers) -> IdColumn:
    """A column of ids without those of dead rows; hashes are not taken again."""
    entries = id_lookup.renumber_table(shard.read_hash_table(id_column), is_live.to_numpy(), new_rows)
    return IdColumn(
        id_column, polars_bridge.series_to_arrow(polars_bridge.read_ids(shard, id_column).filter(is_live)), entries
    )


def _compact_attribute(shard: Shard, attribute: StoredAttribute, new_rows: bitmaps.RowNumbers) -> EncodedAttribute:
    """The bitmaps of *attribute* without dead rows; values that no device has any more are left out."""
    dead = shard.deleted or bitmaps.BitMap()
    first = attribute.start + (attribute.value_count if attribute.bit_slicing else 0)
    found = [bitmaps.renumber_rows(shard.load_bitmap(row), dead, new_rows) for row in range(first, attribute.stop)]
    shown, distinct = (
        polars_bridge.read_value_table(shard).slice(attribute.start, attribute.value_count),
        attribute.distinct_count,
    )
    if not attribute.bit_slicing:
        shown, found = shown.filter(pl.Series(list(map(bool, found)), dtype=pl.Boolean)), list(filter(None, found))
        distinct = len(found)
    columns = () if attribute.bit_slicing else shown["column"].to_list()
    described = (attribute.name, attribute.role, shown["value"], columns, found, distinct)
    return EncodedAttribute(*described, attribute.is_single_valued, attribute.type_name, attribute.bit_slicing)
