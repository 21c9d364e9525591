"""Devices of requests by platform, and how many of them a message leaves out because it is for other platforms."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audience.counts import format_count
from audience.errors import Problem
from audience.index.query.device_set import DeviceSet
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.platforms import PLATFORM_TYPE


@dataclass(frozen=True, slots=True)
class PlatformCount:
    """Number of devices on a platform; None is that of devices whose platform is not known."""

    platform: str | None
    devices: int

    def to_json(self) -> dict[str, Any]:
        """Return the number as JSON data."""
        return {"platform": self.platform, "devices": self.devices}


@dataclass(frozen=True, slots=True)
class ShardPlatforms:
    """Numbers of devices of a shard: by platform, with any known platform, and in total."""

    counts: Mapping[str, int]
    known: int
    devices: int


def count_platforms(devices: DeviceSet) -> tuple[PlatformCount, ...] | None:
    """Return the number of *devices* on each platform, the most frequent first; None if the index does not know it."""
    if not knows_platforms(devices.snapshot):
        return None
    return rank_platforms(map(count_in_shard, devices.snapshot.shards, devices.bitmaps))


def knows_platforms(snapshot: Snapshot) -> bool:
    """Return whether devices of the index may have a platform."""
    return snapshot.roles.get(PLATFORM_TYPE) == "string"


def count_in_shard(shard: Shard, rows: BitMap) -> ShardPlatforms:
    """Return the number of devices at *rows* on each platform."""
    by_platform = {name: rows & bitmap for name, bitmap in _iter_platforms(shard)} if rows else {}
    counts = {name: len(found) for name, found in by_platform.items()}
    return ShardPlatforms(counts, len(BitMap.union(BitMap(), *by_platform.values())), len(rows))


def rank_platforms(shards: Iterable[ShardPlatforms]) -> tuple[PlatformCount, ...] | None:
    """Return the number of devices on each platform, the most frequent first; None if one is on several."""
    counts, known, devices = Counter[str](), 0, 0
    for shard in shards:
        counts.update(shard.counts)
        known, devices = known + shard.known, devices + shard.devices
    if counts.total() != known:
        return None
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = [*ranked, (None, devices - known)]
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
