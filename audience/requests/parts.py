"""Parts of a request folder: ids that get the same message in the same window. Each begins a new line of ids."""

#   positions    0 … 2,499               2,500 … 2,999    3,000 … 4,000          at most 1,000 ids a line
#   parts        a                       b                c
#   lines        0      1      2         3                4      5

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Ids [first, stop) of a plan, and what they have in common.

    Attributes:
        first: Position of the first id.
        stop: Position after the last one.
        variant: Variant of the split that they are in; None without a split.
        language: Language of the message that they get, as a BCP 47 tag; None for the message itself.
        zone: Name of their time zone; None if it is not known.
    """

    first: int
    stop: int
    variant: str | None = None
    language: str | None = None
    zone: str | None = None

    def __len__(self) -> int:
        return self.stop - self.first

    def to_json(self) -> dict[str, Any]:
        """Return the part as JSON data."""
        labels = {"variant": self.variant, "language": self.language, "zone": self.zone}
        return {**labels, "first": self.first, "stop": self.stop, "devices": len(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Part":
        """Return the part of JSON data.

        Raises:
            ValueError: The number of devices is not that of the positions.
        """
        part = cls(**{name: value for name, value in data.items() if name != "devices"})
        if not 0 <= part.first <= part.stop or len(part) != data["devices"]:
            raise ValueError(f"a part of {data['devices']} devices at {part.first}, {part.stop}")
        return part


class Line(NamedTuple):
    """Line of ids: its number, the position of its first id, and the position after its last id."""

    number: int
    first: int
    stop: int


@dataclass(frozen=True)
class PartLines:
    """Lines of the ids of *parts*, which are side by side, with at most *max_ids* in each."""

    parts: Sequence[Part]
    max_ids: int

    @cached_property
    def _first_lines(self) -> list[int]:
        """Return the number of the first line of each part, and that of all lines."""
        return [*accumulate((-(-len(part) // self.max_ids) for part in self.parts), initial=0)]

    def __len__(self) -> int:
        return self._first_lines[-1]

    def overlapping(self, first: int, stop: int) -> Iterator[Line]:
        """Yield the lines with any of the positions [first, stop).

        >>> lines = PartLines([Part(first=0, stop=3), Part(first=3, stop=5)], 2)
        >>> len(lines), [tuple(line) for line in lines.overlapping(2, 5)]
        (3, [(1, 2, 3), (2, 3, 5)])
        """
        number = bisect_right(self.parts, first, key=lambda part: part.first) - 1
        while first < stop:
            part = self.parts[number]
            if first >= part.stop:
                number += 1
                continue
            line = (first - part.first) // self.max_ids
            start = part.first + line * self.max_ids
            end = min(start + self.max_ids, part.stop)
            yield Line(self._first_lines[number] + line, start, end)
            first = end


def label_positions(parts: Sequence[Part], first: int, stop: int) -> pl.DataFrame:
    """Return the columns `variant` and `language` of the positions [first, stop).

    >>> label_positions([Part(first=0, stop=2, variant="a"), Part(first=2, stop=4, variant="b")], 1, 3).rows()
    [('a', None), ('b', None)]
    """
    rows = [(part.variant, part.language) for part in parts]
    labels = pl.DataFrame(rows, schema={"variant": pl.String, "language": pl.String}, orient="row")
    lengths = [max(0, min(part.stop, stop) - max(part.first, first)) for part in parts]
    return labels.select(pl.all().gather(np.repeat(np.arange(len(parts)), lengths)))
