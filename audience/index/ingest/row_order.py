"""The order in which the devices of a shard are numbered.

Devices with equal attributes lie together, so that bitmaps become runs. Sorting by one number that packs the codes of
the few attributes with the fewest values gives most of what a sort by every column gives. The row is packed into the
same number, so that one sort of integers yields the order and the sorted codes at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from audience.index.ingest.dictionary import Coded

Key = TypeVar("Key")

MOST_VALUES = 4_096  # an attribute with more values makes short runs, wherever it stands


@dataclass(frozen=True, slots=True)
class Numbered(Generic[Key]):
    """*order* is the old row at each new one, *places* the new row of each old one; *sorted* the codes by new row."""

    order: NDArray[np.uint32]
    places: NDArray[np.uint32]
    sorted: Mapping[Key, NDArray[np.uint32]]


def numbered(size: int, columns: Mapping[Key, Coded]) -> Numbered[Key]:
    """The order of *size* devices by their single-valued *columns*.

    >>> import polars as pl
    >>> found = numbered(3, {"sex": Coded(pl.Series(["f", "m"]), np.array([2, 1, 2], dtype=np.uint32))})
    >>> found.order.tolist(), found.sorted["sex"].tolist()
    ([1, 0, 2], [1, 2, 2])
    """
    row_bits = max(size - 1, 1).bit_length()
    key, widths = np.zeros(size, dtype=np.uint64), dict[Key, int]()
    for name, column in sorted(columns.items(), key=lambda item: len(item[1].values)):
        width = len(column.values).bit_length()
        if len(column.values) > MOST_VALUES or sum(widths.values()) + width + row_bits > 64:
            break
        key <<= np.uint64(width)
        key |= column.codes
        widths[name] = width
    key <<= np.uint64(row_bits)
    key |= np.arange(size, dtype=np.uint64)
    key.sort()
    order = (key & np.uint64((1 << row_bits) - 1)).astype(np.uint32)
    places = np.empty(size, dtype=np.uint32)
    places[order] = np.arange(size, dtype=np.uint32)
    return Numbered(order, places, _unpacked(key, widths, row_bits))


def _unpacked(key: NDArray[np.uint64], widths: Mapping[Key, int], shift: int) -> dict[Key, NDArray[np.uint32]]:
    """The codes that *key* was packed of, the last one lowest."""
    found = {}
    for name, width in reversed(list(widths.items())):
        found[name] = (key >> np.uint64(shift) & np.uint64((1 << width) - 1)).astype(np.uint32)
        shift += width
    return found
