"""Timestamps of a table as instants in UTC, and instants as days of a time zone.

A timestamp without a zone is wall-clock time of the index's zone. One that occurs twice, because clocks were put back,
is read as the first of the two. One that never occurs, because clocks were put forward past it, is read with the offset
from before, so that 02:30 is the instant half an hour after 02:00. So do RFC 5545 (iCalendar), section 3.3.5, and
Python (PEP 495, fold=0).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.language.zones import DAY, DEFAULT_ZONE, find_change, offset_at

Microseconds: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReadInstants:
    """Instants of a column, and the masks of timestamps that occur twice, and that never occur."""

    instants: pl.Series
    repeated: NDArray[np.bool_]
    skipped: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Offsets:
    """Offsets of a zone: *offsets*[i] holds from *changes*[i - 1] to *changes*[i], all in microseconds."""

    changes: Microseconds
    offsets: Microseconds


def read_instants(timestamps: pl.Series, zone: ZoneInfo) -> ReadInstants:
    """Return wall-clock *timestamps* of *zone*, in microseconds, as instants in UTC, without their zone.

    >>> from datetime import datetime
    >>> read = read_instants(pl.Series([datetime(2026, 10, 25, 2, 30)]), ZoneInfo("Europe/Berlin"))
    >>> str(read.instants[0]), read.repeated.tolist()
    ('2026-10-25 00:30:00', [True])
    """
    nothing = np.zeros(len(timestamps), dtype=np.bool_)
    if zone.key == DEFAULT_ZONE or not len(timestamps):
        return ReadInstants(timestamps, nothing, nothing)
    wall = timestamps.to_physical().fill_null(0).to_numpy()
    known = _collect_offsets(timestamps, zone)
    # Local time ends at these timestamps with each offset; they rise, as no two changes are within a day.
    positions = np.searchsorted(known.changes + known.offsets[:-1], wall, side="right")
    starts = np.concatenate([[np.iinfo(np.int64).min], known.changes + known.offsets[1:]])
    skipped = wall < starts[positions]
    offsets = known.offsets[positions - skipped]
    following = np.append(starts[1:], np.iinfo(np.int64).max)
    missing = timestamps.is_null().to_numpy()
    instants = pl.Series(timestamps.name, wall - offsets).cast(pl.Datetime("us")).set(pl.Series(missing), None)
    return ReadInstants(instants, (wall >= following[positions]) & ~missing, skipped & ~missing)


def to_wall_clock(instants: pl.Series, zone: ZoneInfo) -> pl.Series:
    """Return *instants* in UTC, in microseconds, as wall-clock time of *zone*, without a zone."""
    if zone.key == DEFAULT_ZONE or not len(instants):
        return instants
    known = _collect_offsets(instants, zone)
    numbers = instants.to_physical().fill_null(0).to_numpy()
    wall = numbers + known.offsets[np.searchsorted(known.changes, numbers, side="right")]
    return pl.Series(instants.name, wall).cast(pl.Datetime("us")).set(instants.is_null(), None)


def _collect_offsets(timestamps: pl.Series, zone: ZoneInfo) -> Offsets:
    """Return the offsets of *zone* on the days of *timestamps* and on those before and after them."""
    days = (timestamps.drop_nulls().to_physical() // DAY).unique()
    around = pl.concat([days - 1, days, days + 1]).unique().sort().to_list() or [0]
    changes, offsets = list[int](), [offset_at(around[0] * DAY, zone)]
    for day in around:
        for change, offset in _changes_of_day(day, zone):
            if offset != offsets[-1]:
                changes.append(change)
                offsets.append(offset)
    return Offsets(np.array(changes, dtype=np.int64), np.array(offsets, dtype=np.int64))


@lru_cache(1 << 16)
def _changes_of_day(day: int, zone: ZoneInfo) -> tuple[tuple[int, int], ...]:
    """Return the offset from the start of a day in UTC, and from the change on that day, if there is one.

    No zone has ever changed its offset twice within two days.
    """
    start, stop = day * DAY, (day + 1) * DAY
    first, last = offset_at(start, zone), offset_at(stop, zone)
    return ((start, first),) if first == last else ((start, first), (find_change(start, stop, zone), last))
