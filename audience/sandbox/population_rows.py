"""Set of rows of a population: a sorted list of few rows, or one bit for each row of the population."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from audience.sandbox.http_types import DeviceMask

Rows = npt.NDArray[np.uint32]  # sorted, each once
MAX_LIST_SHARE = 32  # a list of more than one row in 32 is larger than the bits


def sort_rows(rows: Iterable[int | None]) -> Rows:
    """Return *rows*, none of which is None, sorted and each once.

    >>> sort_rows([3, 1, 3]).tolist()
    [1, 3]
    """
    array = np.array(list(rows), dtype=np.uint32)
    array.sort()  # for the thousand rows of a call several times as fast as np.unique
    return array[np.append(True, array[1:] != array[:-1])] if len(array) else array


class PopulationRows:
    """Rows of a population of *size* rows, in at most an eighth of that many bytes.

    >>> rows = PopulationRows(100, np.array([3, 7], dtype=np.uint32))
    >>> rows.add(np.array([7, 9], dtype=np.uint32)).tolist(), rows.remove(np.array([2, 3], dtype=np.uint32)).tolist()
    ([9], [3])
    >>> rows.to_rows().tolist(), len(rows), 9 in rows
    ([7, 9], 2, True)
    """

    def __init__(self, size: int, rows: Rows):
        self._size = size
        self._count = 0
        self._list: Rows = np.zeros(0, dtype=np.uint32)
        self._bits: npt.NDArray[np.uint8] | None = None
        self.add(rows)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, row: int) -> bool:
        if self._bits is not None:
            return bool(self._bits[row >> 3] >> (row & 7) & 1)
        place = int(self._list.searchsorted(row))
        return place < len(self._list) and int(self._list[place]) == row

    def find_members(self, rows: Rows) -> DeviceMask:
        """Return which of *rows* are in the set."""
        members: DeviceMask = np.zeros(len(rows), dtype=np.bool_)
        if self._bits is not None:
            members = self._bits[rows >> 3] & _bit_values(rows) != 0
        elif len(self._list):
            places = np.minimum(self._list.searchsorted(rows), len(self._list) - 1)
            members = self._list[places] == rows
        return members

    def add(self, rows: Rows) -> Rows:
        """Add *rows* and return those that are new."""
        new = rows[~self.find_members(rows)]
        self._count += len(new)
        if self._bits is None and self._count * MAX_LIST_SHARE > self._size:
            self._bits = np.zeros(self._size + 7 >> 3, dtype=np.uint8)
            _set_bits(self._bits, self._list)
            self._list = self._list[:0].copy()
        if self._bits is not None:
            _set_bits(self._bits, new)
        else:
            self._list = np.insert(self._list, self._list.searchsorted(new), new)
        return new

    def remove(self, rows: Rows) -> Rows:
        """Remove *rows* and return those that were in the set."""
        old = rows[self.find_members(rows)]
        self._count -= len(old)
        if self._bits is not None:
            np.bitwise_and.at(self._bits, old >> 3, ~_bit_values(old))
        else:
            self._list = np.delete(self._list, self._list.searchsorted(old))
        return old

    def to_mask(self) -> DeviceMask:
        """Return a yes or no for each row of the population."""
        if self._bits is not None:
            return np.unpackbits(self._bits, count=self._size, bitorder="little").view(np.bool_)
        mask = np.zeros(self._size, dtype=np.bool_)
        mask[self._list] = True
        return mask

    def to_rows(self) -> Rows:
        """Return the rows, sorted."""
        return np.flatnonzero(self.to_mask()).astype(np.uint32) if self._bits is not None else self._list


def _set_bits(bits: npt.NDArray[np.uint8], rows: Rows) -> None:
    np.bitwise_or.at(bits, rows >> 3, _bit_values(rows))


def _bit_values(rows: Rows) -> npt.NDArray[np.uint8]:
    values: npt.NDArray[np.uint8] = np.left_shift(1, rows & 7).astype(np.uint8)
    return values
