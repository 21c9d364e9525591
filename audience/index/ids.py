"""A column of ids as a shard keeps it: its texts in the order of the rows, and the table of their hashes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index import arrow, hashing, lookup, series


@dataclass(frozen=True, slots=True)
class IdColumn:
    """The column *name*: an Arrow array of texts, or of lists of them, and its entries for the lookup."""

    name: str
    texts: Any
    entries: lookup.Entries


def reordered(name: str, values: pl.Series, order: NDArray[np.uint32], places: NDArray[np.uint32]) -> IdColumn:
    """*values* in another order: *order* is the old row at each new one, *places* the new row of each old one.

    Hashes are taken before the ids are moved, while they lie one behind the other.
    """
    values = values.rechunk()  # gathering from many chunks is ten times slower
    return IdColumn(name, _texts(values, order), _entries(values, places))


def _texts(values: pl.Series, order: NDArray[np.uint32]) -> Any:
    if values.dtype == pl.String and not values.null_count():
        matrix = arrow.matrix(series.from_series(values))
        if matrix is not None:
            return arrow.from_matrix(arrow.moved(matrix, order))
    return series.from_series(values.gather(pl.Series(order)))


def _entries(ids: pl.Series, rows: NDArray[np.uint32]) -> lookup.Entries:
    if not isinstance(ids.dtype, pl.List):
        return hashing.entries(ids, rows)
    pairs = pl.DataFrame({"id": ids, "row": rows}).explode("id")
    return hashing.entries(pairs["id"], pairs["row"].to_numpy())
