"""Overlap of audiences: how many devices each two of them share, and each combination."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from audience.index.query.insight.overlap_text import format_overlap, format_overlap_html

MAX_SEGMENTS, MAX_COMBINED = 50, 10


@dataclass(frozen=True, slots=True)
class OverlapSegment:
    """Audience among those that are compared.

    Attributes:
        name: Its name.
        expression: Its text.
        count: Its devices.
        share: Share of all devices.
    """

    name: str
    expression: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class OverlapPair:
    """Overlap of two audiences: that of a row with that of a column.

    Attributes:
        both: Number of devices that are in both.
        jaccard: Share of the devices of either that are in both; None if neither has any device.
        contained: Share of the first audience that is in the second; None if the first has no device.
    """

    both: int
    jaccard: float | None
    contained: float | None


@dataclass(frozen=True, slots=True)
class Combination:
    """Devices that are in all audiences of these names, and in no other."""

    names: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Audiences, compared two by two, and in all combinations if they are few.

    Attributes:
        snapshot: Number of the snapshot.
        as_of: Moment of the question, in its time zone.
        devices: Devices of the index.
        segments: Audiences in the order in which they were given.
        pairs: For each audience a row, with a pair for each audience.
        combinations: Combinations that any device is in, the largest first; None for more than ten audiences.
        none: Devices that are in none of the audiences.
    """

    snapshot: int
    as_of: datetime
    devices: int
    segments: Sequence[OverlapSegment]
    pairs: Sequence[Sequence[OverlapPair]]
    combinations: Sequence[Combination] | None
    none: int

    def __str__(self) -> str:
        return format_overlap(self)

    def _repr_html_(self) -> str:
        return format_overlap_html(self)

    def pair(self, first: str, second: str) -> OverlapPair:
        """Return the pair of two audiences. Raises KeyError if there is none of a name."""
        positions = {segment.name: at for at, segment in enumerate(self.segments)}
        return self.pairs[positions[first]][positions[second]]

    def to_frame(self) -> pl.DataFrame:
        """Return one row for each two audiences, in both orders: `segment`, `other`, `both`, `jaccard`, `contained`."""
        rows = [
            (segment.name, other.name, pair.both, pair.jaccard, pair.contained)
            for segment, row in zip(self.segments, self.pairs, strict=True)
            for other, pair in zip(self.segments, row, strict=True)
        ]
        return pl.DataFrame(rows, schema=FRAME_SCHEMA, orient="row")


FRAME_SCHEMA: dict[str, type[pl.DataType]] = {
    "segment": pl.String,
    "other": pl.String,
    "both": pl.Int64,
    "jaccard": pl.Float64,
    "contained": pl.Float64,
}
