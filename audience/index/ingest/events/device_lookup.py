"""Numbers of the devices that events are of, found by their ids."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import IdColumn
from audience.index.storage import id_column, id_search, packed_words, polars_bridge
from audience.index.storage.device_numbers import Numbers, number_type
from audience.index.storage.id_lookup import HASH_MASK, HashTable, rows_of_table
from audience.index.storage.shard import SPARSE_RATIO, Shard


@dataclass(frozen=True, slots=True)
class FoundDevices:
    """Device numbers of some ids; the number of an id that is not known has no meaning."""

    numbers: Numbers
    is_known: NDArray[np.bool_]


def find_devices(shards: Sequence[Shard], column: IdColumn, ids: pl.Series) -> FoundDevices:
    """Return the numbers of the live devices with *ids*, of which some may be there several times."""
    dtype = number_type(partition for shard in shards for partition in shard.numbers.partitions)
    found = FoundDevices(np.zeros(len(ids), dtype=dtype), np.zeros(len(ids), dtype=np.bool_))
    dense = [shard for shard in shards if len(ids) * SPARSE_RATIO > shard.row_count]
    if dense:
        _find_many(dense, column, ids, found)
    sparse = [shard for shard in shards if len(ids) * SPARSE_RATIO <= shard.row_count]
    if sparse:
        _find_few(sparse, column, ids, found)
    return found


def _find_few(shards: Sequence[Shard], column: IdColumn, ids: pl.Series, found: FoundDevices) -> None:
    """Find ids that are few beside the devices: only the blocks of the shards that hold them are read."""
    distinct = ids.unique()
    for shard in shards:
        matches = id_search.find_in_column(shard, column, distinct).sort("row")
        numbers = pl.DataFrame({"id": matches["id"], "number": shard.device_numbers(matches["row"].to_numpy())})
        joined = pl.DataFrame({"id": ids}).with_row_index("at").join(numbers, on="id")
        at = joined["at"].to_numpy()
        found.numbers[at] = joined["number"].to_numpy()
        found.is_known[at] = True


def _find_many(shards: Sequence[Shard], column: IdColumn, ids: pl.Series, found: FoundDevices) -> None:
    """Find ids that are many: all are looked up in each hash table, in the order of their hashes."""
    hashes = pl.Series(id_column.hash_ids(ids))
    order = hashes.arg_sort()
    in_order, positions = hashes.gather(order).to_numpy(), order.to_numpy()

    def find_in_shard(shard: Shard) -> None:
        at, rows = _find_candidates(shard.read_hash_table(column), in_order)
        if shard.deleted:
            is_live = ~packed_words.contains_rows(shard.deleted, rows)
            at, rows = at[is_live], rows[is_live]
        given = positions[at]
        is_same = (ids.gather(given) == polars_bridge.read_ids(shard, column).gather(rows)).fill_null(False).to_numpy()
        given, rows = given[is_same], rows[is_same]
        by_row = np.argsort(rows, kind="stable") if shard.files.first_number is None else slice(None)
        found.numbers[given[by_row]] = shard.device_numbers(rows[by_row])
        found.is_known[given] = True

    with ThreadPoolExecutor(2) as executor:  # no id is in two shards
        list(executor.map(find_in_shard, shards))


def _find_candidates(table: HashTable, hashes: HashTable) -> tuple[NDArray[np.intp], NDArray[np.uint32]]:
    """Return positions in *hashes*, which rise, and for each of them a row of *table* with that hash.

    >>> table = np.array([1 << 24 | 7, 2 << 24 | 5, 2 << 24 | 9], dtype=np.uint64)
    >>> [array.tolist() for array in _find_candidates(table, np.array([2 << 24, 3 << 24], dtype=np.uint64))]
    [[0, 0], [5, 9]]
    """
    at = np.arange(len(hashes))
    entries = np.searchsorted(table, hashes)
    found_at, found_entries = [at[:0]], [entries[:0]]
    while len(at):
        is_inside = entries < len(table)
        at, entries = at[is_inside], entries[is_inside]
        is_match = (table[entries] & HASH_MASK) == hashes[at]
        at, entries = at[is_match], entries[is_match]
        found_at.append(at)
        found_entries.append(entries)
        entries = entries + 1
    return np.concatenate(found_at), rows_of_table(table[np.concatenate(found_entries)])
