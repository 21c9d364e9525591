"""Find the rows of a sample or split, and the position of each device under a seed.

The position of a device, in [0, 1), is that of its first id, in the order in which `rank_id_columns` prefers the
columns. It depends on nothing else: not on shards, the order of rows, other columns, or earlier changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from audience.index.schema.columns import IdColumn, rank_id_columns
from audience.index.storage import id_lookup
from audience.index.storage.bitmaps import BitMap, RowNumbers
from audience.index.storage.column_lookup import hash_id
from audience.index.storage.id_lookup import HashTable
from audience.index.storage.packed_words import mask_to_bitmap
from audience.index.storage.shard import Shard
from audience.language.ast import Sample, Split
from audience.language.bucketing import bucket_range
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Bucket: TypeAlias = tuple[Fraction, Fraction]
Positions: TypeAlias = "tuple[HashTable, RowNumbers]"  # positions times 2⁶⁴, and for each of them a row


def sample_rows(expr: Sample | Split, shard: Shard) -> BitMap:
    """Return the rows of *shard* whose position is in the range of *expr*, including deleted rows."""
    is_sampled = np.zeros(shard.row_count, dtype=np.bool_)
    for _, rows in iter_positions(expr.seed, bucket_range(expr), shard):
        is_sampled[rows] = True
    return mask_to_bitmap(is_sampled)


def iter_positions(
    seed: str, bucket: Bucket, shard: Shard, rows_wanted: RowNumbers | None = None
) -> Iterator[Positions]:
    """Yield the positions in *bucket* for each id column that is the first of some rows.

    If *rows_wanted* are given, which rise, only their ids are read and hashed.
    """
    is_unassigned: NDArray[np.bool_] | None = None  # all rows
    for column in rank_id_columns(shard.id_columns):
        table = shard.read_hash_table(column) if rows_wanted is None else _hash_rows(rows_wanted, column, shard)
        positions, rows = id_lookup.find_in_bucket(table, seed, bucket)
        if is_unassigned is not None:
            is_first = is_unassigned[rows]
            positions, rows = positions[is_first], rows[is_first]
        yield positions, rows
        is_unassigned = _without_ids(is_unassigned, table, column, shard)
        if is_unassigned is None:
            return


def find_positions(row: int, seed: str, shard: Shard) -> list[int]:
    """Return the positions times 2⁶⁴ of a row under *seed*: one for each id of its first column with any."""
    for column in rank_id_columns(shard.id_columns):
        lookup = shard.open_lookup(column)
        ids = [identifier for identifier in (lookup.stored_ids.read(row) if lookup else ()) if identifier]
        if ids:
            return [id_lookup.mix_hash(hash_id(identifier), seed) for identifier in ids]
    return []


def _hash_rows(rows: RowNumbers, column: IdColumn, shard: Shard) -> HashTable:
    """Return the part of the hash table of an id column with the given *rows*."""
    from audience.index.storage import id_column, polars_bridge  # import Polars, which no sample needs

    return id_column.build_hash_table(polars_bridge.read_ids_at(shard, column, rows), rows)


def _without_ids(
    is_unassigned: NDArray[np.bool_] | None, table: HashTable, column: IdColumn, shard: Shard
) -> NDArray[np.bool_] | None:
    """Return which rows have no id in *column* either; None if there are none."""
    if shard.has_every_id(column):
        return None
    if is_unassigned is None:
        is_unassigned = np.ones(shard.row_count, dtype=np.bool_)
    is_unassigned[id_lookup.rows_of_table(table)] = False
    return is_unassigned if is_unassigned.any() else None
