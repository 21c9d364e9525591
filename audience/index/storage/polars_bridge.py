"""What Arrow and shards hold, as Polars has it."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.storage import arrow_file
from audience.index.storage.layout import SHOWN, Attribute
from audience.index.storage.shard import Shard

FEW = 64  # where fewer rows than one in so many are wanted, only the blocks that hold them are read


def from_series(values: pl.Series) -> Any:
    """*values* as an Arrow array, texts as offsets and one buffer of bytes."""
    return values.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def to_series(array: Any) -> pl.Series:
    """The Arrow *array*, sharing its bytes."""
    found = pl.from_arrow(array)
    assert isinstance(found, pl.Series)
    return found


def table(shard: Shard) -> pl.DataFrame:
    """What stands beside the bitmaps of *shard*: attribute, value, column, cardinality."""
    return pl.DataFrame([_kept(shard, name, shard.shown(name)).alias(name) for name in SHOWN])


def values(shard: Shard, attribute: Attribute) -> pl.Series:
    """The values of *attribute* that are written down in *shard*, as text, in their order."""
    return _kept(shard, "value", shard.shown("value")).alias("value").slice(attribute.start, attribute.written)


def ids(shard: Shard, name: str) -> pl.Series:
    """The column *name* of the ids; all of it is checked. Null, as long as the shard, where it has no such ids."""
    column = shard.ids(name)
    if column is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, shard.rows)
    return _kept(shard, name, column)


def some_ids(shard: Shard, name: str, rows: NDArray[np.uint32]) -> pl.Series:
    """The ids of *rows*; where they are few, only what holds them is read."""
    matrix = None if name in shard.series or len(rows) * FEW > shard.rows else shard.matrix(name, rows)
    if matrix is None:
        return ids(shard, name).gather(pl.Series(rows))
    return to_series(arrow_file.from_matrix(matrix[rows]))


def _kept(shard: Shard, name: str, column: Any) -> pl.Series:
    """The *column* of *shard*, made a series once; there is a colon in the names of ids, and in no other."""
    found: pl.Series | None = shard.series.get(name)
    if found is None:
        found = shard.series[name] = to_series(column)
    return found
