"""Columns of ids and their hash tables. The only module that imports polars_hash."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import polars_hash
from numpy.typing import NDArray

from audience.index.schema.columns import IdColumn
from audience.index.storage import arrow_file, polars_bridge
from audience.index.storage.id_lookup import HASH_MASK, HashTable
from audience.index.storage.number_sorting import sort_numbers


@dataclass(frozen=True, slots=True)
class EncodedIdColumn:
    """Id column of a shard to be written: an Arrow array of strings, or of lists of them, and its hash table."""

    column: IdColumn
    array: Any
    hash_table: HashTable


def hash_ids(ids: pl.Series) -> HashTable:
    """Return the XXH3 hash of each id with the lowest bits, which hold the row in a table, set to zero.

    >>> from audience.index.storage.id_lookup import ROW_BITS
    >>> (hash_ids(pl.Series(["r1", "r2"])) >> ROW_BITS).tolist()
    [826831479356, 107677639650]
    """
    hashes = ids.alias("id").to_frame().select(polars_hash.col("id").nchash.xxh3_64()).to_series()
    table: HashTable = hashes.to_numpy() & HASH_MASK
    return table


def build_hash_table(ids: pl.Series, rows: NDArray[np.uint32]) -> HashTable:
    """Return the sorted hash table of *ids* and their *rows*, without null ids."""
    if ids.null_count():
        present = ids.is_not_null()
        ids, rows = ids.filter(present), rows[present.to_numpy()]
    return sort_numbers(hash_ids(ids) | rows)


def reorder_ids(
    column: IdColumn, values: pl.Series, old_of_new: NDArray[np.uint32], new_of_old: NDArray[np.uint32]
) -> EncodedIdColumn:
    """Return *values* in another row order.

    Ids are hashed before they are moved, while they are contiguous.

    Args:
        column: Column of the ids.
        values: Ids in the old order.
        old_of_new: Old row of each new row.
        new_of_old: New row of each old row.
    """
    values = values.rechunk()  # gathering from many chunks is ten times slower
    return EncodedIdColumn(column, _reorder_array(values, old_of_new), _hash_column(values, new_of_old))


def _reorder_array(values: pl.Series, old_of_new: NDArray[np.uint32]) -> Any:
    if values.dtype == pl.String and not values.null_count():
        matrix = arrow_file.as_fixed_width(polars_bridge.series_to_arrow(values))
        if matrix is not None:
            return arrow_file.from_fixed_width(arrow_file.reorder_fixed_width(matrix, old_of_new))
    return polars_bridge.series_to_arrow(values.gather(pl.Series(old_of_new)))


def _hash_column(ids: pl.Series, rows: NDArray[np.uint32]) -> HashTable:
    if not isinstance(ids.dtype, pl.List):
        return build_hash_table(ids, rows)
    pairs = pl.DataFrame({"id": ids, "row": rows}).explode("id")
    return build_hash_table(pairs["id"], pairs["row"].to_numpy())
