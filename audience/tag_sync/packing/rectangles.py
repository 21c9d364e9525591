"""Calls in which every one of many ids gets, or loses, every one of several tags.

Finding the fewest such calls is a hard problem. Several ways are tried on a sample of devices, with calls that are as
much smaller, and the best of them on all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from audience.index.storage.bitmaps import BitMap, bitmap_to_rows, rows_to_bitmap
from audience.tag_sync.packing.alike_devices import find_alike_devices
from audience.tag_sync.packing.any_tags import find_any_tags
from audience.tag_sync.packing.attribute_pairs import find_attribute_pairs
from audience.tag_sync.packing.common_tags import (
    Found,
    Limits,
    choose_blocks,
    choose_pairs,
    find_common_tags,
    price_by_rarity,
)
from audience.tag_sync.packing.merging import merge_calls
from audience.tag_sync.packing.value_lists import find_value_lists

SAMPLE_SHARE = 16
MIN_SAMPLED_PAIRS = 2_000_000
MIN_SAMPLED_IDS = 320  # ids of a call, below which a sample is too coarse
MAX_BLOCK_TAGS = 600  # tags of which all pairs of groups are counted
STEEP = 1.3  # prices of tags against those of independent ones
CAUTION = 4

Rows = Sequence[BitMap]
Way = Callable[[list[BitMap], Limits], list[Found]]


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Changes of one direction.

    Attributes:
        rows: For each tag, the devices that are to be changed.
        harmless: For each tag, other devices that a call may name too.
        groups: Tags of the same attribute.
    """

    rows: Rows
    harmless: Rows
    groups: Sequence[Sequence[int]]


def pack_common(changes: Changes, limits: Limits) -> list[Found]:
    """Return calls for all changes, whose devices are to be changed in all tags of their call, or may be."""
    ways = [_alike, *_list_ways(changes, limits)]
    found = _try_ways(ways, changes.rows, limits)
    return merge_calls(found, [row | more for row, more in zip(changes.rows, changes.harmless, strict=True)], limits)


def pack_any(changes: Changes, kept: Rows, limits: Limits) -> list[Found]:
    """Return calls for all changes, of devices that are changed in any tag of their call and have none in *kept*."""

    def take_all(rows: list[BitMap], limits: Limits) -> list[Found]:
        return find_any_tags(rows, kept, limits)

    def leave_few(rows: list[BitMap], limits: Limits) -> list[Found]:
        return find_any_tags(rows, kept, limits, caution=CAUTION)

    def part_values(rows: list[BitMap], limits: Limits) -> list[Found]:
        return [*find_value_lists(rows, kept, changes.groups, limits), *take_all(rows, limits)]

    ways = [take_all, leave_few, part_values, *_list_ways(changes, limits, take_all)]
    return _try_ways(ways, changes.rows, limits)


def _alike(rows: list[BitMap], limits: Limits) -> list[Found]:
    return find_alike_devices(rows, limits)


def _list_ways(changes: Changes, limits: Limits, finish: Way = _alike) -> list[Way]:
    """Return the ways to find devices with tags in common first, before *finish* does the rest."""
    groups = [[*group] for group in changes.groups]
    if max(map(len, changes.rows), default=0) < limits.max_ids // 2:
        return []  # no devices with tags in common fill half a call
    everything = [[tag for group in groups for tag in group]]
    few_levels, many_levels = (0.8, 0.6, 0.4), (1.0, 0.97, 0.94, 0.9, 0.8, 0.7, 0.6, 0.5)
    ways = [
        _make_way(everything, STEEP, few_levels, finish),
        _make_way(everything, STEEP, many_levels, finish),
    ]
    if sum(map(len, groups)) <= MAX_BLOCK_TAGS:
        pairs = choose_pairs(changes.rows, groups, limits)
        ways.append(_make_way(choose_blocks(groups, pairs), STEEP, many_levels, finish))
        ways.append(_make_pair_way(pairs, finish))
    return ways


def _make_pair_way(pairs: Sequence[tuple[list[int], list[int]]], finish: Way) -> Way:
    def find(rows: list[BitMap], limits: Limits) -> list[Found]:
        return [*find_attribute_pairs(rows, limits, pairs), *finish(rows, limits)]

    return find


def _make_way(blocks: list[list[int]], factor: float, levels: Sequence[float], finish: Way) -> Way:
    def find(rows: list[BitMap], limits: Limits) -> list[Found]:
        device_count = len(BitMap.union(*rows)) if rows else 0
        prices = price_by_rarity(rows, max(device_count, 1), limits, factor)
        return [*find_common_tags(rows, limits, blocks, prices, levels), *finish(rows, limits)]

    return find


def _try_ways(ways: Sequence[Way], rows: Rows, limits: Limits) -> list[Found]:
    """Return the calls of the way that needs fewest, or that does on a sample of many devices."""
    pairs = sum(map(len, rows))
    if len(ways) > 1 and pairs >= MIN_SAMPLED_PAIRS and limits.max_ids >= MIN_SAMPLED_IDS:
        sample = [_sample_devices(row) for row in rows]
        smaller = Limits(limits.max_ids // SAMPLE_SHARE, limits.max_tags)
        ways = [min(ways, key=lambda way: len(way([row.copy() for row in sample], smaller)))]
    return min((way([row.copy() for row in rows], limits) for way in ways), key=len)


def _sample_devices(row: BitMap) -> BitMap:
    """Return one in SAMPLE_SHARE devices of *row*; a device that is sampled is sampled in every row."""
    positions = bitmap_to_rows(row)
    scattered = positions * np.uint32(2_654_435_761)  # wraps around: neighbours are scattered
    return rows_to_bitmap(positions[scattered < 2**32 // SAMPLE_SHARE])


def group_tags(types: Iterable[str], bare_type: str = "tag") -> list[list[int]]:
    """Return the tags of each attribute; a tag without one is a group of its own.

    >>> group_tags(["city", "tag", "city", "tag"])
    [[1], [3], [0, 2]]
    """
    kinds = [(f"{at:09}" if kind == bare_type else f"~{kind}", at) for at, kind in enumerate(types)]
    return [[at for _, at in group] for _, group in groupby(sorted(kinds), key=lambda kind: kind[0])]
