"""Calls for one device and many tags, beside calls for one tag and many devices.

A tag of three devices costs a call; where five hundred tags have the same three devices, three calls for devices do. So
every pair is made by a call for its device or by one for its tag, which for tags of a single call is a vertex cover. Of
tags with more calls, only the devices that fill the last one count: without them that call is saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.bitmaps import RowNumbers
from audience.tag_sync.packing.calls import PackedCall, PackedGrid
from audience.tag_sync.packing.matching import VertexCover, find_vertex_cover
from audience.tag_sync.packing.pair_table import PairTable
from audience.tag_sync.packing.tag_calls import pack_tags
from audience.vendors.tag_spec import TagCallForm

Counts = NDArray[np.int64]
Chosen = NDArray[np.bool_]
MAX_SINGLE_STEPS = 200_000  # devices that are looked at one by one
ROUNDING = 1e-6


def pack_devices(form: TagCallForm, added: PairTable, removed: PairTable) -> list[PackedCall]:
    """Return calls of *form* for all pairs: each is of one device, and adds and removes at once if the form does."""
    added_by_device, removed_by_device = _group_by_device(added), _group_by_device(removed)
    return [
        call
        for device in sorted(added_by_device.keys() | removed_by_device.keys())
        for call in _pack_device(form, device, added_by_device.get(device), removed_by_device.get(device))
    ]


def pack_tags_and_devices(
    tag_form: TagCallForm, device_form: TagCallForm, added: PairTable, removed: PairTable
) -> tuple[list[PackedCall], int]:
    """Return calls of both forms for all pairs, and a number of calls below which there are none."""
    problem = _Problem(tag_form.max_ids, device_form.max_tags, added, removed)
    loads = problem.weigh_devices(problem.no_devices)
    if loads.max(initial=0) <= 1:  # no device is in so many last calls that it could replace one
        return pack_tags(tag_form, added, removed), int(problem.count_tag_calls(problem.no_devices).sum())
    cover = problem.cover_light_tags()
    chosen = min(
        (problem.no_devices, cover.devices, problem.extend(cover.devices)),
        key=problem.count_calls,
    )
    chosen = problem.prune(chosen)
    calls = [
        *pack_devices(device_form, added.select(chosen[added.positions]), removed.select(chosen[removed.positions])),
        *pack_tags(tag_form, added.select(~chosen[added.positions]), removed.select(~chosen[removed.positions])),
    ]
    return calls, problem.bound(cover)


@dataclass(frozen=True, slots=True, eq=False)
class _Cover:
    """Devices that are covered by themselves, those that are matched with a tag, and the size of the matching."""

    devices: Chosen
    matched: Chosen
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Pairs, and how many a call takes."""

    max_ids: int
    max_tags: int
    added: PairTable
    removed: PairTable

    @property
    def device_count(self) -> int:
        return 1 + max(int(side.positions.max(initial=0)) for side in self.sides)

    @property
    def sides(self) -> tuple[PairTable, PairTable]:
        return self.added, self.removed

    @property
    def no_devices(self) -> Chosen:
        return np.zeros(self.device_count, dtype=np.bool_)

    def count_by_tag(self, chosen: Chosen) -> tuple[Counts, Counts]:
        """Return how many devices of each tag are not *chosen*, on both sides."""
        added, removed = (
            np.bincount(side.tags[~chosen[side.positions]], minlength=len(side.starts) - 1) for side in self.sides
        )
        return added, removed

    def count_tag_calls(self, chosen: Chosen) -> Counts:
        """Return how many calls each tag needs for the devices that are not *chosen*."""
        added, removed = self.count_by_tag(chosen)
        return -(np.maximum(added, removed) // -self.max_ids)

    def device_costs(self) -> Counts:
        """Return how many calls each device needs for all of its changes."""
        added, removed = (np.bincount(side.positions, minlength=self.device_count) for side in self.sides)
        return -(np.maximum(added, removed) // -self.max_tags)

    def count_calls(self, chosen: Chosen) -> int:
        """Return how many calls there are if those for *chosen* devices are their own."""
        return int(self.device_costs()[chosen].sum() + self.count_tag_calls(chosen).sum())

    def remainders(self, chosen: Chosen) -> tuple[Counts, NDArray[np.bool_]]:
        """Return how many devices fill the last call of each tag, and whether these are of the added side."""
        added, removed = self.count_by_tag(chosen)
        largest = np.maximum(added, removed)
        return np.where(largest > 0, (largest - 1) % self.max_ids + 1, 0), added >= removed

    def weigh_devices(self, chosen: Chosen, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the share of last calls that each device has which is not *chosen*, or the sum of its *weights*."""
        remainders, is_added = self.remainders(chosen)
        if weights is None:
            weights = 1 / np.maximum(remainders, 1)
        loads = np.zeros(self.device_count)
        for side, is_side in ((self.added, is_added), (self.removed, ~is_added)):
            counted = is_side[side.tags] & ~chosen[side.positions]
            loads += np.bincount(
                side.positions[counted], weights=weights[side.tags[counted]], minlength=self.device_count
            )
        return loads

    def cover_light_tags(self) -> _Cover:
        """Return a smallest cover of the pairs of tags that need one call."""
        is_light = self.count_tag_calls(self.no_devices) == 1
        tags, devices = (
            np.concatenate([values[is_light[side.tags]] for side, values in zip(self.sides, each, strict=True)])
            for each in ([side.tags for side in self.sides], [side.positions for side in self.sides])
        )
        names, at = np.unique(devices, return_inverse=True)
        light, light_at = np.unique(tags, return_inverse=True)
        cover: VertexCover = find_vertex_cover(light_at, at, len(light), len(names))
        covered, matched = self.no_devices, self.no_devices
        covered[names[cover.right]] = True
        matched[names[cover.match_of_left[cover.match_of_left >= 0]]] = True
        return _Cover(covered, matched, cover.size)

    def extend(self, chosen: Chosen) -> Chosen:
        """Return *chosen* and the devices that are in the last calls of enough tags to be worth calls of their own."""
        chosen = chosen.copy()
        costs = self.device_costs()
        loads = self.weigh_devices(chosen)
        candidates = np.flatnonzero((loads > costs) & ~chosen)
        candidates = candidates[np.argsort(-loads[candidates], kind="stable")][:MAX_SINGLE_STEPS]
        remainders, is_added = self.remainders(chosen)
        tags_of = self._tags_by_device(candidates)
        left = remainders.tolist()
        for device in candidates.tolist():
            tags = [tag for tag, of_added in tags_of[device] if bool(is_added[tag]) == of_added]
            if sum(1 / left[tag] for tag in tags) > costs[device]:
                chosen[device] = True
                for tag in tags:
                    left[tag] = left[tag] - 1 or self.max_ids
        return chosen

    def prune(self, chosen: Chosen) -> Chosen:
        """Return *chosen* without the devices that tags have room for."""
        chosen = chosen.copy()
        costs = self.device_costs()
        candidates = np.flatnonzero(chosen)[:MAX_SINGLE_STEPS]
        counts = [side.tolist() for side in self.count_by_tag(chosen)]
        tags_of = self._tags_by_device(candidates)
        for device in candidates.tolist():
            extra = sum(self._needs_call(counts, tag, of_added) for tag, of_added in tags_of[device])
            if extra < costs[device] or extra == costs[device] == 1:
                chosen[device] = False
                for tag, of_added in tags_of[device]:
                    counts[0 if of_added else 1][tag] += 1
        return chosen

    def _needs_call(self, counts: list[list[int]], tag: int, of_added: bool) -> bool:
        """Return whether one more device of *tag* takes one more call."""
        added, removed = counts[0][tag], counts[1][tag]
        calls = -(max(added, removed) // -self.max_ids)
        return (added if of_added else removed) + 1 > calls * self.max_ids

    def _tags_by_device(self, devices: Counts) -> dict[int, list[tuple[int, bool]]]:
        wanted = self.no_devices
        wanted[devices] = True
        tags_of: dict[int, list[tuple[int, bool]]] = {device: [] for device in devices.tolist()}
        for side, of_added in ((self.added, True), (self.removed, False)):
            chosen = wanted[side.positions]
            for device, tag in zip(side.positions[chosen].tolist(), side.tags[chosen].tolist(), strict=True):
                tags_of[device].append((tag, of_added))
        return tags_of

    def bound(self, cover: _Cover) -> int:
        """Return a number of calls that no packing is below, by prices of pairs that no call exceeds 1 with.

        A pair of the matching has the price 1. The other tags charge the devices that are not matched: as many calls as
        these devices need, if each pays for the last call in equal shares and no device pays more than 1 for all of its
        tags; the share of a full call otherwise.
        """
        counts = self.count_tag_calls(cover.matched)
        counts[self.count_tag_calls(self.no_devices) == 1] = 0
        remainders, _ = self.remainders(cover.matched)
        largest = np.maximum(*self.count_by_tag(cover.matched))
        is_heavy = counts > 0
        weights = np.where(is_heavy, 1 / np.maximum(remainders, 1), 0)
        overloaded = self.weigh_devices(cover.matched, weights) > 1
        is_shared = np.zeros(len(counts), dtype=np.bool_)
        for side in self.sides:
            is_shared[side.tags[overloaded[side.positions] & ~cover.matched[side.positions]]] = True
        weights = np.where(is_shared & is_heavy, 1 / self.max_ids, weights)
        values = np.where(is_shared, largest / self.max_ids, counts)[is_heavy].sum()
        heaviest = max(1.0, float(self.weigh_devices(cover.matched, weights).max(initial=0)))
        return int(np.ceil(cover.size + values / heaviest - ROUNDING))


def _group_by_device(pairs: PairTable) -> dict[int, RowNumbers]:
    order = np.argsort(pairs.positions, kind="stable")
    devices, first = np.unique(pairs.positions[order], return_index=True)
    return dict(zip(devices.tolist(), np.split(pairs.tags[order], first[1:]), strict=True)) if len(devices) else {}


def _pack_device(
    form: TagCallForm, device: int, added: RowNumbers | None, removed: RowNumbers | None
) -> Iterator[PackedCall]:
    positions = np.array([device], dtype=np.uint32)
    sizes = [0 if tags is None else len(tags) for tags in (added, removed)]
    for start in range(0, max(sizes), form.max_tags):
        parts = [
            PackedGrid()
            if tags is None or start >= len(tags)
            else PackedGrid(positions, tags[start : start + form.max_tags])
            for tags in (added, removed)
        ]
        yield PackedCall(form, added=parts[0], removed=parts[1])
