"""Convert between Arrow arrays, columns of shards, and Polars."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.schema.columns import IdColumn
from audience.index.storage import arrow_file
from audience.index.storage.forked_process import reject_polars_after_fork
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.layout import VALUE_COLUMNS, StoredAttribute
from audience.index.storage.list_columns import is_list
from audience.index.storage.shard import SPARSE_RATIO, Shard


@dataclass(frozen=True, slots=True)
class _ExportedArray:
    """Arrow array without its class: Polars loads `pyarrow.compute`, which is slow, for those of pyarrow."""

    array: Any

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        exported: tuple[object, object] = self.array.__arrow_c_array__(requested_schema)
        return exported


def series_to_arrow(values: pl.Series) -> Any:
    """Return *values* as an Arrow array; strings have offsets and one buffer of bytes."""
    return values.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def arrow_to_series(array: Any) -> pl.Series:
    """Return an Arrow array as a series that shares its memory."""
    reject_polars_after_fork()
    return pl.Series(_ExportedArray(array))


def with_elements(values: pl.Series, elements: pl.Series) -> pl.Series:
    """Return *values* with *elements* in the place of what `flatten_lists` returns of them.

    >>> with_elements(pl.Series([[1], None, [2, 3], []]), pl.Series([5, 6, 7])).to_list()
    [[5], None, [6, 7], []]
    """
    if not is_list(values):
        return elements
    counts = values.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    lists = arrow_to_series(arrow_file.build_lists(counts, series_to_arrow(elements)))
    return pl.select(pl.when(values.is_not_null()).then(lists)).to_series()


def read_value_table(shard: Shard) -> pl.DataFrame:
    """Return the columns of the tags file beside the bitmaps: attribute, value, column, cardinality."""
    return pl.DataFrame([_load_series(shard, name, shard.value_column(name)).alias(name) for name in VALUE_COLUMNS])


def read_attribute_values(shard: Shard, attribute: StoredAttribute) -> pl.Series:
    """Return the values of *attribute* as strings, in order."""
    if isinstance(shard, JoinedShard):
        return _read_joined_values(shard, attribute)
    values = _load_series(shard, "value", shard.value_column("value")).alias("value")
    return values.slice(attribute.start, attribute.value_count)


def _read_joined_values(shard: JoinedShard, attribute: StoredAttribute) -> pl.Series:
    """Return the values of the first part, and those that only later parts have at their places among them."""
    first, merged = shard.parts[0], shard.joined_attributes.find(attribute.start).values
    own = first.attributes.get(attribute.name)
    empty = pl.Series("value", [], dtype=pl.String)
    values = empty if own is None else read_attribute_values(first, own)
    if not merged.others:
        return values
    is_other = np.zeros(len(merged), dtype=np.bool_)
    is_other[list(merged.positions)] = True
    places = np.where(is_other, len(values) + np.cumsum(is_other) - 1, np.cumsum(~is_other) - 1)
    return pl.concat([values, pl.Series("value", merged.others, dtype=pl.String)]).gather(pl.Series(places))


def read_ids(shard: Shard, column: IdColumn) -> pl.Series:
    """Return a whole id column, verified; nulls if the shard does not have it."""
    ids = shard.read_id_column(column)
    if ids is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, shard.row_count)
    return _load_series(shard, column.stored_name, ids)


def read_ids_at(shard: Shard, column: IdColumn, rows: NDArray[np.uint32]) -> pl.Series:
    """Return the ids of *rows*, which rise; if they are few, only the blocks that hold them are read."""
    reject_polars_after_fork()
    if column.stored_name in shard.polars_columns or len(rows) * SPARSE_RATIO > shard.row_count:
        matrix = None
    else:
        matrix = shard.fixed_width_ids(column, rows)
    if matrix is None:
        return read_ids(shard, column).gather(pl.Series(rows))
    return arrow_to_series(arrow_file.from_fixed_width(matrix[rows]))


def _load_series(shard: Shard, name: str, column: Any) -> pl.Series:
    """Return a column as a series that is kept; names of id columns have a colon, others do not."""
    reject_polars_after_fork()
    series: pl.Series | None = shard.polars_columns.get(name)
    if series is None:
        series = shard.polars_columns[name] = arrow_to_series(column)
    return series
