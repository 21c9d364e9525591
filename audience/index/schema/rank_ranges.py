"""Ranges of ranks that are wanted: many of them are one array, of which a pair is made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from audience.index.schema.value_types import RankRange
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RankRanges(Sequence[RankRange]):
    """Half-open ranges in rising order, of which *bounds* has a row each: its start and its stop.

    >>> ranges = RankRanges(np.array([[1, 3], [5, 6]]))
    >>> list(ranges), ranges[0], len(ranges[1:])
    ([(1, 3), (5, 6)], (1, 3), 1)
    """

    __slots__ = ("bounds",)

    def __init__(self, bounds: NDArray[np.int64]):
        self.bounds = bounds

    def __len__(self) -> int:
        return len(self.bounds)

    @overload
    def __getitem__(self, position: int) -> RankRange: ...

    @overload
    def __getitem__(self, position: slice) -> RankRanges: ...

    def __getitem__(self, position: int | slice) -> RankRange | RankRanges:
        if isinstance(position, slice):
            return RankRanges(self.bounds[position])
        start, stop = self.bounds[position].tolist()
        return start, stop

    def __iter__(self) -> Iterator[RankRange]:
        return zip(self.bounds[:, 0].tolist(), self.bounds[:, 1].tolist(), strict=True)


def group_into_ranges(numbers: NDArray[np.int64]) -> RankRanges:
    """Return rising *numbers* as half-open ranges.

    >>> list(group_into_ranges(np.array([1, 2, 5])))
    [(1, 3), (5, 6)]
    """
    is_first, is_last = np.ones((2, len(numbers)), dtype=np.bool_)
    is_first[1:] = is_last[:-1] = np.diff(numbers) != 1
    return RankRanges(np.column_stack([numbers[is_first], numbers[is_last] + 1]))


def mark_ranges(ranges: Sequence[RankRange], count: int) -> NDArray[np.bool_]:
    """Return for each of *count* ranks whether it is in one of *ranges*, which rise.

    >>> mark_ranges([(0, 1), (2, 3), (3, 4)], 4).tolist()
    [True, False, True, True]
    """
    lengths = np.diff(_bounds_of(ranges).ravel(), prepend=0, append=count)
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)  # no rank before the first bound is in a range


def sum_ranges(ranges: Sequence[RankRange], counts: NDArray[np.unsignedinteger]) -> int:
    """Return the sum of those of *counts*, one a rank, that are in *ranges*.

    >>> sum_ranges([(0, 2), (3, 4)], np.array([1, 2, 4, 8], dtype=np.uint32))
    11
    """
    below = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    bounds = _bounds_of(ranges)
    return int((below[bounds[:, 1]] - below[bounds[:, 0]]).sum())


def _bounds_of(ranges: Sequence[RankRange]) -> NDArray[np.int64]:
    return ranges.bounds if isinstance(ranges, RankRanges) else np.array(ranges, dtype=np.int64).reshape(-1, 2)
