"""The door to hashing columns of ids."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import polars_hash
from numpy.typing import NDArray

from audience.index.storage import arrow_file, id_column, id_lookup, polars_bridge
from audience.index.storage.id_lookup import ROWS, Entries


def hashes(ids: pl.Series) -> Entries:
    """The hash of every one of *ids*, its lowest bits cleared.

    >>> from audience.index.storage.id_lookup import LOW
    >>> (hashes(pl.Series(["r1", "r2"])) >> LOW).tolist()
    [826831479356, 107677639650]
    """
    found = ids.alias("id").to_frame().select(polars_hash.col("id").nchash.xxh3_64()).to_series()
    return found.to_numpy() & ~ROWS


def entries(ids: pl.Series, rows: NDArray[np.uint32]) -> Entries:
    """The table of *ids*, each at the same place of *rows*; those that are null are left out."""
    if ids.null_count():
        has = ids.is_not_null()
        ids, rows = ids.filter(has), rows[has.to_numpy()]
    packed = hashes(ids) | rows
    packed.sort()
    return packed


@dataclass(frozen=True, slots=True)
class IdColumn:
    """The column *name*: an Arrow array of texts, or of lists of them, and its entries for the lookup."""

    name: str
    texts: Any
    entries: id_lookup.Entries


def reordered(name: str, values: pl.Series, order: NDArray[np.uint32], places: NDArray[np.uint32]) -> IdColumn:
    """*values* in another order: *order* is the old row at each new one, *places* the new row of each old one.

    Hashes are taken before the ids are moved, while they lie one behind the other.
    """
    values = values.rechunk()  # gathering from many chunks is ten times slower
    return IdColumn(name, _texts(values, order), _entries(values, places))


def _texts(values: pl.Series, order: NDArray[np.uint32]) -> Any:
    if values.dtype == pl.String and not values.null_count():
        matrix = arrow_file.matrix(polars_bridge.from_series(values))
        if matrix is not None:
            return arrow_file.from_matrix(arrow_file.moved(matrix, order))
    return polars_bridge.from_series(values.gather(pl.Series(order)))


def _entries(ids: pl.Series, rows: NDArray[np.uint32]) -> id_lookup.Entries:
    if not isinstance(ids.dtype, pl.List):
        return id_column.entries(ids, rows)
    pairs = pl.DataFrame({"id": ids, "row": rows}).explode("id")
    return id_column.entries(pairs["id"], pairs["row"].to_numpy())
