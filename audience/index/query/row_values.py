"""Values of an attribute at some rows, as one code a row."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.index.ingest.decode import decode_rows
from audience.index.schema.columns import Column
from audience.index.storage.bitmaps import RowNumbers
from audience.index.storage.list_columns import is_list
from audience.index.storage.shard import Shard

NO_VALUE = -1


@dataclass(frozen=True, slots=True)
class RowValues:
    """Values of rows.

    Attributes:
        values: Distinct values.
        codes: Position in *values* for each row, or NO_VALUE; of several values that of the first.
        has_several: Whether each row has more than one value.
    """

    values: tuple[str, ...]
    codes: NDArray[np.int64]
    has_several: NDArray[np.bool_]


def read_row_values(shard: Shard, rows: RowNumbers, column: Column) -> RowValues:
    """Return the values of an attribute at *rows* of *shard*, which rise."""
    if column.name not in shard.attributes:
        return RowValues((), np.full(len(rows), NO_VALUE), np.zeros(len(rows), dtype=np.bool_))
    decoded = decode_rows(shard, rows, [column], {})[column]
    has_several = np.zeros(len(rows), dtype=np.bool_)
    if is_list(decoded):
        has_several = (decoded.list.len() > 1).fill_null(False).to_numpy()
        decoded = decoded.list.first()
    strings = decoded.cast(pl.String)
    values = strings.drop_nulls().unique().sort().to_list()
    codes = strings.cast(pl.Enum(values)).to_physical().cast(pl.Int64).fill_null(NO_VALUE).to_numpy()
    return RowValues(tuple(values), codes, has_several)
