"""Calls for devices that are all alike: each group of equal tags has its own calls, or its tags have.

This is what serves few devices with many tags best, and what serves tags with few devices in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap
from audience.tag_sync.packing.common_tags import Found, Limits
from audience.tag_sync.packing.matching import find_vertex_cover
from audience.tag_sync.packing.pair_table import PairTable, tabulate_pairs


def find_alike_devices(rows: Sequence[BitMap], limits: Limits) -> list[Found]:
    """Return calls for all devices of *rows*: for groups of devices with equal tags, or for single tags."""
    pairs = tabulate_pairs(rows)
    if not len(pairs.tags):
        return []
    groups = _group_devices(pairs)
    nothing = np.zeros(len(groups.sizes), dtype=np.bool_)
    choices = [nothing, ~nothing] + ([groups.cover()] if groups.is_worth_a_cover(limits) else [])
    chosen = min(choices, key=lambda each: groups.count_calls(each, limits))
    return [*groups.pack_groups(chosen, limits), *groups.pack_tags(chosen, limits)]


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Groups of devices with equal tags.

    Attributes:
        pairs: All pairs.
        group_of_pair: The group of the device of each pair.
        tags: For each group its tags, one group after another.
        starts: For each group the first of its tags.
        sizes: The number of devices of each group.
    """

    pairs: PairTable
    group_of_pair: NDArray[np.int64]
    tags: NDArray[np.uint32]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def group_of_tag(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.sizes)), np.diff(self.starts))

    def is_worth_a_cover(self, limits: Limits) -> bool:
        """Return whether a group has more of the last calls of tags than its own calls cost."""
        counts = self.pairs.counts
        remainders = np.maximum((counts - 1) % limits.max_ids + 1, 1)
        shares = np.bincount(self.group_of_tag, weights=1 / remainders[self.tags], minlength=len(self.sizes))
        return bool((shares * self.sizes > self.costs(limits)).any())

    def costs(self, limits: Limits) -> NDArray[np.int64]:
        """Return the number of calls of each group."""
        return (np.diff(self.starts) // -limits.max_tags) * (self.sizes // -limits.max_ids)

    def cover(self) -> NDArray[np.bool_]:
        """Return the groups of a smallest set of groups and tags with one of both for each pair."""
        tags, at = np.unique(self.tags, return_inverse=True)
        return find_vertex_cover(at, self.group_of_tag, len(tags), len(self.sizes)).right

    def count_calls(self, chosen: NDArray[np.bool_], limits: Limits) -> int:
        """Return the number of calls if the *chosen* groups have their own."""
        left = np.bincount(self.pairs.tags[~chosen[self.group_of_pair]], minlength=1)
        return int(self.costs(limits)[chosen].sum() - (left // -limits.max_ids).sum())

    def pack_groups(self, chosen: NDArray[np.bool_], limits: Limits) -> list[Found]:
        """Return the calls of the *chosen* groups."""
        is_first = self.pairs.tags == self.tags[self.starts[:-1]][self.group_of_pair]  # one pair of each device
        is_chosen = is_first & chosen[self.group_of_pair]
        devices, groups = self.pairs.positions[is_chosen], self.group_of_pair[is_chosen]
        order = np.lexsort((devices, groups))
        devices, groups = devices[order], groups[order]
        names, first = np.unique(groups, return_index=True)
        return (
            [
                (tuple(tags[at : at + limits.max_tags].tolist()), members[start : start + limits.max_ids])
                for group, members in zip(names.tolist(), np.split(devices, first[1:]), strict=True)
                for tags in [self.tags[self.starts[group] : self.starts[group + 1]]]
                for at in range(0, len(tags), limits.max_tags)
                for start in range(0, len(members), limits.max_ids)
            ]
            if len(names)
            else []
        )

    def pack_tags(self, chosen: NDArray[np.bool_], limits: Limits) -> list[Found]:
        """Return the calls of tags for all other groups."""
        left = self.pairs.select(~chosen[self.group_of_pair])
        return [
            ((tag,), left.devices_of(tag)[start : start + limits.max_ids])
            for tag in np.unique(left.tags).tolist()
            for start in range(0, len(left.devices_of(tag)), limits.max_ids)
        ]


def _group_devices(pairs: PairTable) -> _Groups:
    """Return the groups of devices with equal tags, in the order of their first devices."""
    order = np.argsort(pairs.positions, kind="stable")
    _, first, counts = np.unique(pairs.positions[order], return_index=True, return_counts=True)
    tags = pairs.tags[order]
    groups, examples, group_of_device = _number_groups(tags, first, counts)
    group_of_pair = np.empty(len(tags), dtype=np.int64)
    group_of_pair[order] = np.repeat(group_of_device, counts)
    sizes = np.bincount(group_of_device, minlength=groups)
    example_tags = [tags[first[each] : first[each] + counts[each]] for each in examples.tolist()]
    starts = np.concatenate(([0], np.cumsum(counts[examples]))).astype(np.int64)
    return _Groups(pairs, group_of_pair, np.concatenate(example_tags), starts, sizes)


def _number_groups(
    tags: NDArray[np.uint32], first: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Return how many different lists of tags there are, a device with each, and the number of that of each device."""
    numbers: dict[bytes, int] = {}
    examples: list[int] = []
    group_of_device = np.empty(len(first), dtype=np.int64)
    for device, (start, count) in enumerate(zip(first.tolist(), counts.tolist(), strict=True)):
        number = numbers.setdefault(tags[start : start + count].tobytes(), len(numbers))
        if number == len(examples):
            examples.append(device)
        group_of_device[device] = number
    return len(numbers), np.array(examples, dtype=np.int64), group_of_device
