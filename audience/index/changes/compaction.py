"""Compact shards: drop deleted rows and merge small shards.

A change writes a new shard. Shards of about the same size are merged when there are several, so that a device is
written again only when its shard has grown some times larger, and the number of shards grows with the logarithm of
their devices. Those of half a full shard and more take no part.

Deleted rows cost room, and nearly no time: questions leave them out (`storage/row_renumbering.py`). A shard that has
many is rewritten with new row numbers in the same order.

A change rewrites about as much as it changes, what is worst first, so that no call takes far longer than another one.
The rest waits for later changes.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate, repeat
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest.build import MAX_SHARD_DEVICES
from audience.index.ingest.decode import concat_columns, decode_rows, new_categories
from audience.index.ingest.encode import DeviceTable
from audience.index.ingest.encoded_shards import write_shard
from audience.index.schema.columns import Column, IdColumn
from audience.index.storage import bitmaps, id_lookup, packed_numbers, packed_words, polars_bridge
from audience.index.storage.bitmaps import BitMap, RowNumbers
from audience.index.storage.id_column import EncodedIdColumn
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.published import Storage
from audience.index.storage.row_renumbering import RowRenumbering
from audience.index.storage.shard import Shard
from audience.index.storage.shard_writer import EncodedAttribute, write_shard_files
from audience.progress import Progress

MAX_DELETED_RATIO = 1 / 4  # of the rows of a shard that is left as it is
URGENT_RATIO = 1 / 2  # of the rows of a shard that must not wait any longer
REWRITTEN_RATIO = 2  # devices that are rewritten for each one that a change is about, at most
MIN_REWRITTEN = 1 << 20  # devices that are rewritten with any change, however small
MERGED_FRACTION = 2  # shards of less than this part of a full one are merged
GROWTH = 4  # so many shards of one size class are merged; each class is so many times larger than the one before

MergeGroup: TypeAlias = list[Shard]  # shards that are merged into one
ShardDestination: TypeAlias = tuple[Storage, Iterator[str]]  # where new shards are written, and names for them


def plan_light_compaction(shards: Sequence[Shard]) -> list[MergeGroup]:
    """Group *shards* after a change: those of one size class are merged with all smaller ones if there are several.

    A shard without devices is left out, unless there is no other.
    """
    groups = [[shard] for shard in shards if shard.device_count] or [[shard] for shard in shards[:1]]
    low, bound = 1.0, MAX_SHARD_DEVICES / MERGED_FRACTION
    while low < bound:
        high = min(low * GROWTH, bound)
        if len(_groups_between(groups, low, high)) >= GROWTH:
            groups = _merge_below(groups, high)
        low = high
    return groups


def _groups_between(groups: Iterable[MergeGroup], low: float, high: float) -> list[MergeGroup]:
    """Return the groups that have at least *low* and fewer than *high* devices."""
    return [group for group in groups if low <= _count_devices(group) < high]


def _merge_below(groups: Sequence[MergeGroup], high: float) -> list[MergeGroup]:
    """Merge the groups that have fewer than *high* devices."""
    merged = _groups_between(groups, 0, high)
    return [group for group in groups if group not in merged] + _merge_groups(merged)


def plan_full_compaction(shards: Sequence[Shard]) -> list[MergeGroup]:
    """Group *shards* nearly as a new build of all devices would: those less than half full are merged."""
    nonempty = [shard for shard in shards if shard.device_count] or list(shards[:1])
    small = [[shard] for shard in nonempty if shard.device_count * 2 < MAX_SHARD_DEVICES]
    return [*([shard] for shard in nonempty if [shard] not in small), *_merge_groups(small)]


def _count_devices(group: MergeGroup) -> int:
    return sum(shard.device_count for shard in group)


def _merge_groups(groups: Sequence[MergeGroup]) -> list[MergeGroup]:
    """Merge consecutive groups as long as the result fits in a full shard."""
    merged: list[MergeGroup] = []
    for group in groups:
        if not merged or _count_devices(merged[-1]) + _count_devices(group) > MAX_SHARD_DEVICES:
            merged.append([])
        merged[-1].extend(group)
    return merged


def _has_many_deleted(shard: Shard) -> bool:
    return _deleted_ratio(shard) > MAX_DELETED_RATIO


def _deleted_ratio(shard: Shard) -> float:
    return len(shard.deleted or ()) / max(shard.row_count, 1)


def plan_affordable(groups: Sequence[MergeGroup], changed: int) -> tuple[list[MergeGroup], list[MergeGroup]]:
    """Return the groups of shards after a change of *changed* devices, and those of them that it rewrites.

    The change may rewrite a number of devices in proportion to its size. The smallest shards of each group are merged
    first, as far as this budget goes. Then shards with many deleted rows are rewritten, those with the most first. What
    is urgent may exceed the budget once: the first two shards of a merge, and a shard with very many deleted rows.
    """
    budget = max(MIN_REWRITTEN, changed * REWRITTEN_RATIO)
    planned, rewritten = [], []
    for group in groups:
        merged, others = _select_smallest(group, budget) if len(group) > 1 and budget > 0 else ([], group)
        planned += [[shard] for shard in others]
        if merged:
            planned.append(merged)
            rewritten.append(merged)
            budget -= _count_devices(merged)
    stale = [group for group in planned if len(group) == 1 and _has_many_deleted(group[0])]
    for group in sorted(stale, key=lambda group: _deleted_ratio(group[0]), reverse=True):
        if _count_devices(group) <= budget or (budget > 0 and _deleted_ratio(group[0]) > URGENT_RATIO):
            rewritten.append(group)
            budget -= _count_devices(group)
    return planned, rewritten


def _select_smallest(group: MergeGroup, budget: int) -> tuple[MergeGroup, MergeGroup]:
    """Return the smallest shards, two or more, that have at most *budget* devices if there are more, and the others."""
    in_order = sorted(group, key=lambda shard: shard.device_count)
    counts = accumulate(shard.device_count for shard in in_order)
    fitting = max(2, sum(count <= budget for count in counts))
    names = {id(shard) for shard in in_order[:fitting]}
    return [shard for shard in group if id(shard) in names], [shard for shard in group if id(shard) not in names]


def select_fragmented_groups(groups: Iterable[MergeGroup]) -> list[MergeGroup]:
    """Return the groups of several shards, or with any deleted row."""
    return [group for group in groups if len(group) > 1 or group[0].deleted]


def rewrite_groups(
    groups: Sequence[MergeGroup],
    to_rewrite: Sequence[MergeGroup],
    columns: Sequence[Column],
    destination: ShardDestination,
    progress: Progress,
) -> list[Shard]:
    """Return one shard for each group; those *to_rewrite* are written to new shards, two at a time."""
    storage, names = destination
    done, total = 0, sum(map(_count_devices, to_rewrite))
    shards = []
    with ThreadPoolExecutor(2) as executor:
        rewritten = iter(
            [executor.submit(_rewrite_group, group, columns, storage, next(names)) for group in to_rewrite]
        )
        for group in groups:
            if group not in to_rewrite:
                shards.append(group[0])
                continue
            progress("compacting", done, total)
            shards.append(next(rewritten).result())
            done += _count_devices(group)
    return shards


def _rewrite_group(group: MergeGroup, columns: Sequence[Column], storage: Storage, name: str) -> Shard:
    if len(group) > 1:
        return merge_shards(group, columns, storage, name)
    return _drop_deleted_rows(group[0], storage, name)


def merge_shards(group: MergeGroup, columns: Sequence[Column], storage: Storage, name: str) -> Shard:
    """Write the devices of *group* to one new shard; two of its shards are decoded at a time."""
    categories = new_categories(columns)
    rows = [bitmaps.bitmap_to_rows(shard.live_rows) for shard in group]
    with ThreadPoolExecutor(2) as executor:
        tables = list(executor.map(decode_rows, group, rows, repeat(columns), repeat(categories)))
    numbers = np.concatenate([shard.device_numbers(live) for shard, live in zip(group, rows, strict=True)])
    return Shard(storage, write_shard(storage, name, concat_tables(tables, columns), numbers))


def concat_tables(tables: Sequence[DeviceTable], columns: Sequence[Column]) -> DeviceTable:
    """Concatenate tables vertically."""
    return {column: concat_columns([table[column] for table in tables], column) for column in columns}


def _drop_deleted_rows(shard: Shard, storage: Storage, name: str) -> Shard:
    """Write *shard* without its deleted rows, in the same order."""
    renumbering = RowRenumbering(shard.deleted or BitMap(), shard.row_count)
    live = bitmaps.bitmap_to_rows(shard.live_rows)
    attributes = (_compact_attribute(shard, stored, renumbering) for stored in shard.attributes.values())
    id_columns = (_compact_id_column(shard, column, live) for column in shard.id_columns)
    numbers = shard.device_numbers(live)
    files = write_shard_files(storage, name, shard.device_count, numbers, attributes, id_columns).commit()
    return Shard(storage, files)


def _compact_id_column(shard: Shard, column: IdColumn, live: RowNumbers) -> EncodedIdColumn:
    """Return an id column with the *live* rows alone; hashes are kept, not computed again."""
    table = id_lookup.renumber_table(shard.read_hash_table(column), live, shard.row_count)
    if shard.id_width(column):
        return EncodedIdColumn(column, shard.take_ids(column, live), table)
    return EncodedIdColumn(column, polars_bridge.series_to_arrow(polars_bridge.read_ids_at(shard, column, live)), table)


def _compact_attribute(shard: Shard, stored: StoredAttribute, renumbering: RowRenumbering) -> EncodedAttribute:
    """Return an attribute without deleted rows; values that no device has any more are left out."""
    values = polars_bridge.read_value_table(shard).slice(stored.start, stored.value_count)
    first_bitmap = stored.start + (stored.value_count if stored.bit_slicing else 0)
    renumbered = [renumbering.to_new(shard.load_bitmap(row)) for row in range(first_bitmap, stored.stop)]
    if stored.bit_slicing:
        encoded = _encode_again(stored, values["value"], (), renumbered, stored.distinct_count)
        return _with_ranks(encoded, shard.read_ranks(stored), renumbering) if len(values) else encoded
    values = values.filter(pl.Series(list(map(bool, renumbered)), dtype=pl.Boolean))
    nonempty = list(filter(None, renumbered))
    return _encode_again(stored, values["value"], values["column"].to_list(), nonempty, len(nonempty))


def _with_ranks(
    encoded: EncodedAttribute, ranks: NDArray[np.uint16] | None, renumbering: RowRenumbering
) -> EncodedAttribute:
    """Return an attribute of texts with the number of rows of each, and with those of *ranks* that are left."""
    present, *slices = encoded.bitmaps
    having = packed_words.bitmap_to_mask(present, renumbering.row_count)
    found = packed_numbers.read_numbers(slices, renumbering.row_count)[having]
    left = None if ranks is None else np.delete(ranks, bitmaps.bitmap_to_rows(renumbering.deleted))
    return replace(encoded, ranks=left, row_counts=np.bincount(found, minlength=len(encoded.values)))


def _encode_again(
    stored: StoredAttribute,
    values: pl.Series,
    source_columns: Sequence[str],
    bitmaps: Sequence[BitMap],
    distinct_count: int,
) -> EncodedAttribute:
    return EncodedAttribute(
        stored.name,
        stored.role,
        values,
        source_columns,
        bitmaps,
        distinct_count,
        stored.is_single_valued,
        stored.type_name,
        stored.bit_slicing,
    )
