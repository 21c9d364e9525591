"""Order in which the devices of a shard are numbered.

Devices with equal attributes lie together, so that bitmaps become runs. Sorting by one number that packs the codes of
the few attributes with the fewest values gives most of the compression of a sort by every column. The row is packed
into the same number, so that one sort of integers yields the order and the sorted codes at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from audience.index.ingest.dictionary import DictionaryColumn

ColumnKey = TypeVar("ColumnKey")

MAX_SORT_KEY_VALUES = 4_096  # an attribute with more values makes short runs at any position of the key


@dataclass(frozen=True, slots=True)
class RowOrder(Generic[ColumnKey]):
    """Permutation of the rows of a shard.

    Attributes:
        old_of_new: Old row of each new row.
        new_of_old: New row of each old row.
        sorted_codes: Codes by new row, of the columns that were sorted by.
    """

    old_of_new: NDArray[np.uint32]
    new_of_old: NDArray[np.uint32]
    sorted_codes: Mapping[ColumnKey, NDArray[np.uint32]]


def choose_row_order(row_count: int, columns: Mapping[ColumnKey, DictionaryColumn]) -> RowOrder[ColumnKey]:
    """Return the order of *row_count* devices by their single-valued *columns*.

    >>> import polars as pl
    >>> column = DictionaryColumn(pl.Series(["f", "m"]), np.array([2, 1, 2], dtype=np.uint32))
    >>> order = choose_row_order(3, {"sex": column})
    >>> order.old_of_new.tolist(), order.sorted_codes["sex"].tolist()
    ([1, 0, 2], [1, 2, 2])
    """
    # key of a row   | code of column 1 | code of column 2 | … | row |
    row_bits = max(row_count - 1, 1).bit_length()
    key, widths = np.zeros(row_count, dtype=np.uint64), dict[ColumnKey, int]()
    for name, column in sorted(columns.items(), key=lambda item: len(item[1].values)):
        width = len(column.values).bit_length()
        if len(column.values) > MAX_SORT_KEY_VALUES or sum(widths.values()) + width + row_bits > 64:
            break
        key <<= np.uint64(width)
        key |= column.codes
        widths[name] = width
    key <<= np.uint64(row_bits)
    key |= np.arange(row_count, dtype=np.uint64)
    key.sort()
    old_of_new = (key & np.uint64((1 << row_bits) - 1)).astype(np.uint32)
    new_of_old = np.empty(row_count, dtype=np.uint32)
    new_of_old[old_of_new] = np.arange(row_count, dtype=np.uint32)
    return RowOrder(old_of_new, new_of_old, _unpack_codes(key, widths, row_bits))


def _unpack_codes(
    key: NDArray[np.uint64], widths: Mapping[ColumnKey, int], shift: int
) -> dict[ColumnKey, NDArray[np.uint32]]:
    """Return the codes that are packed in *key*, the last column in the lowest bits."""
    codes = {}
    for name, width in reversed(list(widths.items())):
        codes[name] = (key >> np.uint64(shift) & np.uint64((1 << width) - 1)).astype(np.uint32)
        shift += width
    return codes
