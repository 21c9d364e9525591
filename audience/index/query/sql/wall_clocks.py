"""Timestamps without a zone that the build reads as instants of a set: the inverse of `ingest.local_times`.

Around a change of the offset, timestamps below the later of its two wall-clock times are read with the offset before:
the first of a timestamp that occurs twice, and one that never occurs.
"""

from zoneinfo import ZoneInfo

from audience.index.schema.instant_sets import START, STOP, InstantSet, complement, subtract
from audience.language.zones import DAY, find_change, offset_at


def wall_clock_ranges(instants: InstantSet, zone: ZoneInfo) -> InstantSet:
    """Return the timestamps of *zone*, in microseconds, that are read as one of *instants*.

    >>> from audience.index.schema.instant_sets import instants_of
    >>> wall_clock_ranges(instants_of("1970-01-02", ZoneInfo("Asia/Shanghai")), ZoneInfo("Asia/Shanghai"))
    ((86400000000, 172800000000),)
    """
    return tuple(
        found for start, stop in instants for found in subtract(_read_from(start, zone), _read_from(stop, zone))
    )


def _read_from(instant: int, zone: ZoneInfo) -> InstantSet:
    """Return the timestamps that are read as *instant* or a later one."""
    if instant <= START:
        return ((START, STOP),)
    if instant >= STOP:
        return ()
    before, after = (offset_at(instant + distance, zone) for distance in (-DAY, DAY))
    if before == after:
        return _clamp(instant + before, STOP)
    border = find_change(instant - DAY, instant + DAY, zone) + max(before, after)
    below = _clamp(instant + before, border)
    return complement(subtract(complement(below), _clamp(max(instant + after, border), STOP)))


def _clamp(start: int, stop: int) -> InstantSet:
    start, stop = max(start, START), min(stop, STOP)
    return ((start, stop),) if start < stop else ()
