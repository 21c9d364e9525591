"""Numbers of devices. Each device of an index has one that stays its own while its row changes, and is never reused.

A number has 64 bits: those of its partition, and 32 that are unique in it. Bitmaps, files of events and most shards
have devices of one partition, which they keep once; all else in them has 32 bits.

Devices that are added together get consecutive numbers in the order of their rows, of which a shard keeps the first.
A shard of other devices keeps a column of numbers beside its ids.
"""

#   partition      0                              1
#   numbers        0 … 4,294,967,295              4,294,967,296 …
#   in it          0 … 4,294,967,295              0 …

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from audience.errors import Problem, TableError
from audience.index.storage.bitmaps import BitMap, LazyUnion, bitmap_to_rows, rows_to_bitmap
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTITION_BITS = 32
PARTITION_SIZE = 1 << PARTITION_BITS
MAX_NUMBERS = 1 << 63

Numbers: TypeAlias = "NDArray[np.unsignedinteger[Any]]"  # of 32 bits if all are of the partition 0, else of 64
DeviceNumbers: TypeAlias = "int | Numbers"  # the first of consecutive ones of one partition, or one for each row


@dataclass(slots=True)
class NumberSequence:
    """Numbers that no device of an index ever had, from `next_number` on."""

    next_number: int = 0

    def take(self, count: int) -> int:
        """Return the first of *count* consecutive numbers of one partition, which are not given again.

        Those that are left of a partition are passed over if they are too few.

        Raises:
            TableError: Fewer numbers are left.

        >>> numbers = NumberSequence(PARTITION_SIZE - 2)
        >>> numbers.take(3) == PARTITION_SIZE, numbers.take(3) == PARTITION_SIZE + 3
        (True, True)
        """
        first = self.next_number
        if count > -first % PARTITION_SIZE > 0:
            first += -first % PARTITION_SIZE
        if first + count > MAX_NUMBERS:
            message = f"{count:,} new devices, and {MAX_NUMBERS - first:,} of {MAX_NUMBERS:,} device numbers are left"
            hint = "build the index again, with --replace; removed devices have used up the other numbers"
            raise TableError(Problem("no-numbers-left", message, hint=hint))
        self.next_number = first + count
        return first


def partition_of(number: int) -> int:
    """Return the partition of a number."""
    return number >> PARTITION_BITS


def number_type(partitions: Iterable[int]) -> type[np.uint32] | type[np.uint64]:
    """Return the type of arrays of numbers of *partitions*."""
    return np.uint64 if any(partitions) else np.uint32


def join_partition(partition: int, rest: NDArray[np.uint32]) -> Numbers:
    """Return the numbers of a partition from their lower 32 bits.

    >>> join_partition(0, np.array([7], dtype=np.uint32)), join_partition(1, np.array([7], dtype=np.uint32))
    (array([7], dtype=uint32), array([4294967303], dtype=uint64))
    """
    return rest + np.uint64(partition << PARTITION_BITS) if partition else rest


def find_partitions(numbers: Numbers) -> list[int]:
    """Return the partitions of *numbers*, rising.

    >>> find_partitions(np.array([1 << 32, 7], dtype=np.uint64))
    [0, 1]
    """
    if not len(numbers):
        return []
    if numbers.dtype == np.uint32:
        return [0]
    low, high = partition_of(int(numbers.min())), partition_of(int(numbers.max()))
    return [low] if low == high else np.unique(numbers >> np.uint64(PARTITION_BITS)).tolist()


def lower_bits(numbers: Numbers) -> NDArray[np.uint32]:
    """Return the lower 32 bits of *numbers*."""
    return numbers.astype(np.uint32, copy=False)


def split_numbers(numbers: Numbers) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """Yield each partition of *numbers* with the lower bits of its numbers, in their order."""
    partitions = find_partitions(numbers)
    for partition in partitions:
        yield partition, lower_bits(numbers) if len(partitions) == 1 else lower_bits_in(numbers, partition)


def lower_bits_in(numbers: Numbers, partition: int) -> NDArray[np.uint32]:
    """Return the lower 32 bits of those of *numbers* that are of a partition."""
    return lower_bits(numbers[is_in_partition(numbers, partition)])


def is_in_partition(numbers: Numbers, partition: int) -> NDArray[np.bool_]:
    """Return which of *numbers* are of a partition."""
    if numbers.dtype == np.uint32:
        return np.full(len(numbers), partition == 0)
    is_in: NDArray[np.bool_] = numbers >> np.uint64(PARTITION_BITS) == np.uint64(partition)
    return is_in


def shorten_numbers(numbers: DeviceNumbers) -> DeviceNumbers:
    """Return the first of *numbers* if they are consecutive and of one partition, else *numbers*.

    >>> shorten_numbers(np.array([7, 8, 9], dtype=np.uint32))
    7
    >>> shorten_numbers(np.array([7, 9, 8], dtype=np.uint32)).tolist()
    [7, 9, 8]
    """
    if isinstance(numbers, int):
        return numbers
    if not len(numbers):
        return 0
    first, last = int(numbers[0]), int(numbers[-1])
    is_consecutive = last - first == len(numbers) - 1 and (numbers[1:] > numbers[:-1]).all()
    return first if is_consecutive and partition_of(first) == partition_of(last) else numbers


def reorder_numbers(numbers: DeviceNumbers, old_of_new: NDArray[np.uint32]) -> DeviceNumbers:
    """Return the numbers of devices in another row order; consecutive ones are given in the new order."""
    return numbers if isinstance(numbers, int) else numbers[old_of_new]


@dataclass(frozen=True, slots=True)
class NumberIndex:
    """Numbers in rising order, and the row of each."""

    numbers: Numbers
    rows: NDArray[np.uint32]

    @classmethod
    def of(cls, numbers: Numbers) -> NumberIndex:
        """Return the index of the *numbers* of all rows, which are at least one."""
        rows = np.argsort(numbers).astype(np.uint32)
        return cls(numbers[rows], rows)

    def find(self, numbers: Numbers) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Return a row for each of *numbers*, and which of these rows have that number."""
        at = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return self.rows[at], self.numbers[at] == numbers


@dataclass(frozen=True, slots=True)
class NumberSet:
    """Set of numbers: the bitmap of each partition that has any.

    >>> numbers = NumberSet.of(np.array([7, 1 << 32], dtype=np.uint64))
    >>> len(numbers), numbers.by_partition, (numbers - NumberSet({0: BitMap([7])})).by_partition
    (2, {0: BitMap([7]), 1: BitMap([0])}, {1: BitMap([0])})
    """

    by_partition: Mapping[int, BitMap]

    @classmethod
    def of(cls, numbers: Numbers) -> NumberSet:
        """Return the set of *numbers*, in any order."""
        return cls({partition: rows_to_bitmap(np.sort(lower)) for partition, lower in split_numbers(numbers)})

    @classmethod
    def union(cls, sets: Iterable[NumberSet]) -> NumberSet:
        """Return the numbers that are in any of *sets*."""
        found: dict[int, list[BitMap]] = {}
        for each in sets:
            for partition, bitmap in each.by_partition.items():
                found.setdefault(partition, []).append(bitmap)
        return cls({partition: _unite(found[partition]) for partition in sorted(found)})

    def in_partition(self, partition: int) -> BitMap:
        """Return the lower bits of the numbers of a partition, which must not be changed."""
        return self.by_partition.get(partition, BitMap())

    def to_array(self) -> Numbers:
        """Return the numbers, rising."""
        parts = [join_partition(partition, bitmap_to_rows(bitmap)) for partition, bitmap in self.by_partition.items()]
        return np.concatenate([np.empty(0, dtype=np.uint32), *parts])

    def __len__(self) -> int:
        return sum(map(len, self.by_partition.values()))

    def __sub__(self, other: NumberSet) -> NumberSet:
        return NumberSet(
            {
                partition: rest
                for partition, bitmap in self.by_partition.items()
                if (rest := bitmap - other.in_partition(partition))
            }
        )

    def __and__(self, other: NumberSet) -> NumberSet:
        return NumberSet(
            {
                partition: common
                for partition, bitmap in self.by_partition.items()
                if (common := bitmap & other.in_partition(partition))
            }
        )


def _unite(bitmaps: list[BitMap]) -> BitMap:
    return LazyUnion(bitmaps, 2 * sum(map(len, bitmaps)), False).materialize().bitmap
