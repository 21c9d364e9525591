"""Pairs of a device and a tag as arrays, by tag or by device."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap, RowNumbers, fill_rows


@dataclass(frozen=True, slots=True, eq=False)
class PairTable:
    """Pairs in the order of tags, and of devices within a tag.

    Attributes:
        positions: The device of each pair.
        tags: The tag of each pair.
        starts: For each tag its first pair; one number more than there are tags.
    """

    positions: RowNumbers
    tags: RowNumbers
    starts: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return the number of devices of each tag."""
        return np.diff(self.starts)

    def devices_of(self, tag: int) -> RowNumbers:
        """Return the devices of *tag*."""
        return self.positions[self.starts[tag] : self.starts[tag + 1]]

    def select(self, chosen: NDArray[np.bool_]) -> "PairTable":
        """Return the *chosen* pairs."""
        tags = self.tags[chosen]
        return PairTable(self.positions[chosen], tags, _find_starts(tags, len(self.starts) - 1))


def tabulate_pairs(rows: Sequence[BitMap]) -> PairTable:
    """Return the pairs of *rows*, one bitmap a tag."""
    starts = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(bitmap) for bitmap in rows], out=starts[1:]) if rows else None
    positions = np.empty(int(starts[-1]), dtype=np.uint32)
    for tag, bitmap in enumerate(rows):
        fill_rows(bitmap, positions[starts[tag] : starts[tag + 1]])
    return PairTable(positions, np.repeat(np.arange(len(rows), dtype=np.uint32), np.diff(starts)), starts)


def _find_starts(tags: RowNumbers, tag_count: int) -> NDArray[np.int64]:
    return np.searchsorted(tags, np.arange(tag_count + 1)).astype(np.int64)
