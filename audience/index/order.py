"""The order in which devices are numbered.

Devices with equal attributes lie together, so that bitmaps become runs. Sorting by one number that packs the few
attributes with the fewest values gives most of what a sort by every column gives, at a fraction of its cost.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import polars as pl

Key = TypeVar("Key")

MOST_VALUES = 4_096  # an attribute with more values makes short runs, wherever it stands
BITS = 63


def numbered(table: Mapping[Key, pl.Series], sorting: Sequence[pl.Series]) -> dict[Key, pl.Series]:
    """*table* with its rows in the order in which they are numbered, by its single-valued columns *sorting*."""
    codes = sorted((_codes(values) for values in sorting), key=lambda code: code.max() or 0)
    size = len(next(iter(table.values())))
    key, used = pl.repeat(0, size, dtype=pl.Int64, eager=True), 0
    for code in codes:
        width = int(code.max() or 0).bit_length()  # type: ignore[arg-type]
        if width > MOST_VALUES.bit_length() or used + width > BITS:
            break
        key = key * (1 << width) + code
        used += width
    if used == 0:
        return dict(table)
    order = key.arg_sort()
    return {column: values.gather(order) for column, values in table.items()}


def _codes(column: pl.Series) -> pl.Series:
    """A number for each value of *column*, from 1; 0 for a missing one. What follows what does not matter."""
    if column.dtype == pl.String:
        column = column.cast(pl.Categorical).to_physical()
        return (column.cast(pl.Int64) - (column.min() or 0) + 1).fill_null(0)
    return column.rank("dense").fill_null(0).cast(pl.Int64)
