"""The door to hashing columns of ids."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import polars_hash
from numpy.typing import NDArray

from audience.index.storage import arrow_file, id_column, id_lookup, polars_bridge
from audience.index.storage.id_lookup import ROW_MASK, HashTable


def hash_ids(ids: pl.Series) -> HashTable:
    """The hash of every one of *ids*, its lowest bits cleared.

    >>> from audience.index.storage.id_lookup import ROW_SHIFT
    >>> (hash_ids(pl.Series(["r1", "r2"])) >> ROW_SHIFT).tolist()
    [826831479356, 107677639650]
    """
    found = ids.alias("id").to_frame().select(polars_hash.col("id").nchash.xxh3_64()).to_series()
    return found.to_numpy() & ~ROW_MASK


def build_hash_table(ids: pl.Series, rows: NDArray[np.uint32]) -> HashTable:
    """The table of *ids*, each at the same place of *rows*; those that are null are left out."""
    if ids.null_count():
        has = ids.is_not_null()
        ids, rows = ids.filter(has), rows[has.to_numpy()]
    packed = hash_ids(ids) | rows
    packed.sort()
    return packed


@dataclass(frozen=True, slots=True)
class IdColumn:
    """The column *name*: an Arrow array of texts, or of lists of them, and its entries for the lookup."""

    name: str
    array: Any
    hash_table: id_lookup.HashTable


def reorder_ids(
    name: str, values: pl.Series, old_of_new: NDArray[np.uint32], new_of_old: NDArray[np.uint32]
) -> IdColumn:
    """*values* in another order: *order* is the old row at each new one, *places* the new row of each old one.

    Hashes are taken before the ids are moved, while they lie one behind the other.
    """
    values = values.rechunk()  # gathering from many chunks is ten times slower
    return IdColumn(name, _reorder_array(values, old_of_new), _hash_column(values, new_of_old))


def _reorder_array(values: pl.Series, old_of_new: NDArray[np.uint32]) -> Any:
    if values.dtype == pl.String and not values.null_count():
        matrix = arrow_file.as_fixed_width(polars_bridge.series_to_arrow(values))
        if matrix is not None:
            return arrow_file.from_fixed_width(arrow_file.reorder_fixed_width(matrix, old_of_new))
    return polars_bridge.series_to_arrow(values.gather(pl.Series(old_of_new)))


def _hash_column(ids: pl.Series, rows: NDArray[np.uint32]) -> id_lookup.HashTable:
    if not isinstance(ids.dtype, pl.List):
        return id_column.build_hash_table(ids, rows)
    pairs = pl.DataFrame({"id": ids, "row": rows}).explode("id")
    return id_column.build_hash_table(pairs["id"], pairs["row"].to_numpy())
