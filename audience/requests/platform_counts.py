"""Devices of requests by platform, and how many of them a message leaves out because it is for other platforms."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from audience.counts import format_count
from audience.errors import Problem
from audience.index.query.device_set import DeviceSet
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Shard
from audience.language.platforms import PLATFORM_TYPE


@dataclass(frozen=True, slots=True)
class PlatformCount:
    """Number of devices on a platform; None is that of devices whose platform is not known."""

    platform: str | None
    devices: int

    def to_json(self) -> dict[str, Any]:
        """Return the number as JSON data."""
        return {"platform": self.platform, "devices": self.devices}


def count_platforms(devices: DeviceSet) -> tuple[PlatformCount, ...] | None:
    """Return the number of *devices* on each platform, the most frequent first; None if the index does not know it."""
    snapshot = devices.snapshot
    if snapshot.roles.get(PLATFORM_TYPE) != "string":
        return None
    counts, known = dict[str, int](), 0
    for shard, rows in zip(snapshot.shards, devices.bitmaps, strict=True):
        by_platform = {name: rows & bitmap for name, bitmap in _iter_platforms(shard)} if rows else {}
        known += len(BitMap.union(BitMap(), *by_platform.values()))
        for name, found in by_platform.items():
            counts[name] = counts.get(name, 0) + len(found)
    if sum(counts.values()) != known:  # devices on several platforms
        return None
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = [*ranked, (None, len(devices) - known)]
    return tuple(PlatformCount(name, count) for name, count in listed if count)


def _iter_platforms(shard: Shard) -> Iterable[tuple[str, BitMap]]:
    attribute = shard.attributes.get(PLATFORM_TYPE)
    if attribute is None or attribute.bit_slicing is not None:
        return []
    values = shard.attribute_values(attribute)
    names = [values[rank] for rank in range(attribute.value_count)]
    return zip(names, shard.load_bitmaps(range(attribute.start, attribute.stop)), strict=True)


def unreached_platforms(counts: Iterable[PlatformCount], reached: Collection[str]) -> list[PlatformCount]:
    """Return the devices on platforms other than *reached*; without any, all platforms are reached."""
    return [each for each in counts if reached and each.platform is not None and each.platform not in reached]


def unreached_problems(counts: Sequence[PlatformCount], reached: Sequence[str], sender: str) -> Iterator[Problem]:
    """Find the devices that *sender*, the message or the application, leaves out: it is for the platforms *reached*."""
    unreached = unreached_platforms(counts, reached)
    if not unreached:
        return
    count, total = (sum(each.devices for each in group) for group in (unreached, counts))
    named = ", ".join(f"{each.devices:,} on {each.platform}" for each in unreached)
    devices = f"{count:,} of {format_count(total, 'device')}"
    message = f"the {sender} is for {', '.join(reached)}: {devices} get nothing, {named}"
    hint = "leave these devices out of the audience if that is meant"
    yield Problem("unreached-platforms", message, hint=hint)
