"""The door to hashing columns of ids."""

import numpy as np
import polars as pl
import polars_hash
from numpy.typing import NDArray

from audience.index.lookup import ROWS, Entries

__all__ = ["entries", "hashes"]


def hashes(ids: pl.Series) -> Entries:
    """The hash of every one of *ids*, its lowest bits cleared.

    >>> from audience.index.lookup import LOW
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
