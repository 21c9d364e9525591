"""What Arrow and shards hold, as Polars has it."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.storage import arrow_file
from audience.index.storage.layout import VALUE_COLUMNS, StoredAttribute
from audience.index.storage.shard import Shard

SPARSE_RATIO = 64  # where fewer rows than one in so many are wanted, only the blocks that hold them are read


def series_to_arrow(values: pl.Series) -> Any:
    """*values* as an Arrow array, texts as offsets and one buffer of bytes."""
    return values.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def arrow_to_series(array: Any) -> pl.Series:
    """The Arrow *array*, sharing its bytes."""
    found = pl.from_arrow(array)
    assert isinstance(found, pl.Series)
    return found


def read_value_table(shard: Shard) -> pl.DataFrame:
    """What stands beside the bitmaps of *shard*: attribute, value, column, cardinality."""
    return pl.DataFrame([_load_series(shard, name, shard.value_column(name)).alias(name) for name in VALUE_COLUMNS])


def read_attribute_values(shard: Shard, attribute: StoredAttribute) -> pl.Series:
    """The values of *attribute* that are written down in *shard*, as text, in their order."""
    return (
        _load_series(shard, "value", shard.value_column("value"))
        .alias("value")
        .slice(attribute.start, attribute.value_count)
    )


def read_ids(shard: Shard, name: str) -> pl.Series:
    """The column *name* of the ids; all of it is checked. Null, as long as the shard, where it has no such ids."""
    column = shard.read_id_column(name)
    if column is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, shard.row_count)
    return _load_series(shard, name, column)


def read_ids_at(shard: Shard, name: str, rows: NDArray[np.uint32]) -> pl.Series:
    """The ids of *rows*; where they are few, only what holds them is read."""
    matrix = (
        None
        if name in shard.polars_columns or len(rows) * SPARSE_RATIO > shard.row_count
        else shard.fixed_width_ids(name, rows)
    )
    if matrix is None:
        return read_ids(shard, name).gather(pl.Series(rows))
    return arrow_to_series(arrow_file.from_fixed_width(matrix[rows]))


def _load_series(shard: Shard, name: str, column: Any) -> pl.Series:
    """The *column* of *shard*, made a series once; there is a colon in the names of ids, and in no other."""
    found: pl.Series | None = shard.polars_columns.get(name)
    if found is None:
        found = shard.polars_columns[name] = arrow_to_series(column)
    return found
