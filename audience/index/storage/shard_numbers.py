"""Numbers of the devices of a shard: consecutive ones of one partition, or a column beside the ids."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from audience.index.storage.bitmaps import BitMap, bitmap_to_rows
from audience.index.storage.device_numbers import (
    PARTITION_BITS,
    NumberIndex,
    Numbers,
    NumberSet,
    find_partitions,
    join_partition,
    lower_bits,
)
from audience.index.storage.layout import ShardFiles
from audience.index.storage.verified_file import VerifiedFile
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ShardNumbers:
    """Numbers of the devices in all rows of a shard, deleted or not.

    Args:
        files: Files of the shard.
        file: Its file of ids.
        start: Place of the column of numbers in that file, if there is one.
    """

    def __init__(self, files: ShardFiles, file: VerifiedFile, start: int):
        self._row_count = files.row_count
        self._first = files.first_number
        self._partition = files.partition
        self._file = file
        self._start = start

    def of_rows(self, rows: NDArray[np.uint32]) -> Numbers:
        """Return the numbers of the devices in *rows*, which rise."""
        if self._first is not None:
            return (rows + np.int64(self._first)).astype(np.uint64 if self._partition else np.uint32)
        self._file.verify_rows(self._start, self._stored_type.itemsize, rows)
        stored = self._view()[rows]
        return stored if self._partition is None else join_partition(self._partition, lower_bits(stored))

    @property
    def _stored_type(self) -> np.dtype[np.uint32] | np.dtype[np.uint64]:
        return np.dtype(np.uint64) if self._partition is None else np.dtype(np.uint32)

    def _view(self) -> Numbers:
        numbers: Numbers = np.frombuffer(
            self._file.data, dtype=self._stored_type, count=self._row_count, offset=self._start
        )
        return numbers

    @cached_property
    def partitions(self) -> list[int]:
        """Return the partitions of the numbers, rising."""
        return find_partitions(self.load_column()) if self._partition is None else [self._partition]

    def load_column(self) -> Numbers:
        """Return the column of a shard that has one, without a copy.

        It has the lower 32 bits of the numbers unless they are of several partitions.
        """
        self._file.read(self._start, self._start + self._stored_type.itemsize * self._row_count)
        return self._view()

    def to_set(self, rows: BitMap) -> NumberSet:
        """Return the numbers of the devices in *rows*."""
        if not rows:
            return NumberSet({})
        if self._first is None or self._partition is None:
            return NumberSet.of(self.of_rows(bitmap_to_rows(rows)))
        lower = self._first - (self._partition << PARTITION_BITS)
        return NumberSet({self._partition: rows.shift(lower) if lower else rows})

    @cached_property
    def of_column(self) -> NumberSet:
        """Return all numbers of a shard that has a column of them."""
        return NumberSet.of(self._index.numbers)

    def rows_with(self, numbers: Numbers) -> NDArray[np.uint32]:
        """Return the rows of those devices of a shard with a column of numbers that have one of *numbers*."""
        rows, is_present = self._index.find(numbers)
        return rows[is_present]

    @cached_property
    def _index(self) -> NumberIndex:
        return NumberIndex.of(self.of_rows(np.arange(self._row_count, dtype=np.uint32)))

    def find(self, numbers: Numbers) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Return a row for each of *numbers*, and which of these rows have that number."""
        if self._first is None:
            return self._index.find(numbers)
        offsets = numbers.astype(np.int64) - self._first
        return offsets.astype(np.uint32), (offsets >= 0) & (offsets < self._row_count)
