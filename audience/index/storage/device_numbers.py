"""Numbers of devices. Each device of an index has one that stays its own while its row changes, and is never reused.

Devices that are added together get consecutive numbers in the order of their rows, of which a shard keeps the first.
A shard of other devices keeps a column of numbers beside its ids.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from audience.errors import Problem, TableError

MAX_NUMBERS = 2**32

DeviceNumbers: TypeAlias = int | NDArray[np.uint32]  # the first of consecutive ones, or one for each row


@dataclass(slots=True)
class NumberSequence:
    """Numbers that no device of an index ever had, from `next_number` on."""

    next_number: int = 0

    def take(self, count: int) -> int:
        """Return the first of *count* consecutive numbers, which are not given again.

        Raises:
            TableError: Fewer numbers are left.
        """
        first = self.next_number
        if first + count > MAX_NUMBERS:
            message = f"{count:,} new devices, and {MAX_NUMBERS - first:,} of {MAX_NUMBERS:,} device numbers are left"
            hint = "build the index again, with --replace; removed devices have used up the other numbers"
            raise TableError(Problem("no-numbers-left", message, hint=hint))
        self.next_number += count
        return first


def shorten_numbers(numbers: DeviceNumbers) -> DeviceNumbers:
    """Return the first of *numbers* if they are consecutive, else *numbers*.

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
    return first if is_consecutive else numbers


def reorder_numbers(numbers: DeviceNumbers, old_of_new: NDArray[np.uint32]) -> DeviceNumbers:
    """Return the numbers of devices in another row order; consecutive ones are given in the new order."""
    return numbers if isinstance(numbers, int) else numbers[old_of_new]


@dataclass(frozen=True, slots=True)
class NumberIndex:
    """Numbers in rising order, and the row of each."""

    numbers: NDArray[np.uint32]
    rows: NDArray[np.uint32]

    @classmethod
    def of(cls, numbers: NDArray[np.uint32]) -> "NumberIndex":
        """Return the index of the *numbers* of all rows, which are at least one."""
        rows = np.argsort(numbers).astype(np.uint32)
        return cls(numbers[rows], rows)

    def find(self, numbers: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Return a row for each of *numbers*, and which of these rows have that number."""
        at = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return self.rows[at], self.numbers[at] == numbers
