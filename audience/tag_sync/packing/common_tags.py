"""Search of devices that have many tags in common, so that one call sets or removes all of them.

Tags are tried in a fixed order, in which the values of one attribute follow each other. The devices of a tag are
divided by the tags after it, recursively, as long as enough devices share one more tag. Prices decide what is worth a
call: a tag that few devices have is expensive, because calls for it carry little else. The search is repeated with a
lower and lower threshold; the devices that remain have few tags in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows, rows_to_bitmap

Found = tuple[tuple[int, ...], RowNumbers]  # tags, and devices that have all of them
LEVELS = (1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
MIN_PRICE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Largest numbers of ids and of tags in a call."""

    max_ids: int
    max_tags: int


def find_common_tags(
    rows: list[BitMap],
    limits: Limits,
    blocks: Sequence[Sequence[int]],
    prices: NDArray[np.float64],
    levels: Sequence[float] = LEVELS,
) -> list[Found]:
    """Return calls for devices of *rows* with tags in common, and remove what they carry from *rows*.

    Args:
        rows: For each tag, the devices for which it is to be carried.
        limits: What a call takes.
        blocks: Tags in the order in which they are tried; no call has tags of two blocks.
        prices: Share of a full call that a full list of devices of each tag is worth.
        levels: Least worth of a call, in falling order.
    """
    search = _Search(rows, limits, prices, [])
    for level in levels:
        for block in blocks:
            for at, tag in enumerate(block):
                if len(rows[tag]) >= search.find_least(level):
                    search.divide((tag,), prices[tag], rows[tag].copy(), block[at + 1 :], level)
    return search.found


def price_by_rarity(rows: Sequence[BitMap], device_count: int, limits: Limits, factor: float) -> NDArray[np.float64]:
    """Return prices that grow with the logarithm of how rare a tag is, *factor* times as fast as for independent tags.

    If tags were independent, a call would be full of devices with tags whose prices add up to 1.
    """
    counts = np.maximum([len(bitmap) for bitmap in rows], 1)
    scale = np.log2(max(device_count / limits.max_ids, 2))
    prices: NDArray[np.float64] = np.clip(factor * np.log2(device_count / counts) / scale, MIN_PRICE, 1)
    return prices


@dataclass(slots=True, eq=False)
class _Search:
    rows: list[BitMap]
    limits: Limits
    prices: NDArray[np.float64]
    found: list[Found]

    def find_least(self, level: float) -> int:
        """Return how many devices must have some tags in common to be divided further."""
        return max(1, int(np.ceil(level * self.limits.max_ids - 1e-9)))

    def divide(
        self, tags: tuple[int, ...], price: float, pool: BitMap, following: Sequence[int], level: float
    ) -> BitMap:
        """Find calls for the devices of *pool*, which have all of *tags*, and return the devices that are in a call."""
        carried = BitMap()
        least = self.find_least(level)
        if len(tags) < self.limits.max_tags and len(pool) >= least:
            rows = self.rows
            candidates = [tag for tag in following if pool.intersection_cardinality(rows[tag]) >= least]
            for at, tag in enumerate(candidates):
                sub_pool = pool & rows[tag]
                if len(sub_pool) >= least:
                    done = self.divide((*tags, tag), price + self.prices[tag], sub_pool, candidates[at + 1 :], level)
                    if done:
                        pool -= done
                        carried |= done
                        if len(pool) < least:
                            break
        return carried | self._carry(tags, price, pool, level)

    def _carry(self, tags: tuple[int, ...], price: float, pool: BitMap, level: float) -> BitMap:
        """Add the calls for *tags* and devices of *pool* that are worth *level*, and return these devices."""
        size = self.limits.max_ids
        full = len(pool) // size * size if price >= level - 1e-9 else 0
        if (len(pool) - full) * price / size >= level - 1e-9:
            full = len(pool)
        if not full:
            return BitMap()
        positions = bitmap_to_rows(pool)[:full]
        self.found += [(tags, positions[start : start + size]) for start in range(0, full, size)]
        carried = pool if full == len(pool) else rows_to_bitmap(positions)
        for tag in tags:
            self.rows[tag] -= carried
        return carried


def choose_pairs(
    rows: Sequence[BitMap], groups: Sequence[Sequence[int]], limits: Limits
) -> list[tuple[list[int], list[int]]]:
    """Return the pairs of *groups* of tags that need fewer calls joined than separately, the best ones first.

    A device has at most one tag of a group, if its tags are the values of one attribute. Joined groups are taken to
    cost a call for each started list of devices that have the same tag of both.
    """
    costs = [_count_calls(np.array([len(rows[tag]) for tag in group]), limits.max_ids) for group in groups]
    pairs = sorted(
        (
            (costs[first] + costs[second] - _count_joined(rows, groups[first], groups[second], limits), first, second)
            for first in range(len(groups))
            for second in range(first + 1, len(groups))
        ),
        key=lambda pair: (-pair[0], pair[1:]),
    )
    chosen, joined = [], set[int]()
    for saved, first, second in pairs:
        if saved > 0 and first not in joined and second not in joined:
            chosen.append(([*groups[first]], [*groups[second]]))
            joined |= {first, second}
    return chosen


def choose_blocks(groups: Sequence[Sequence[int]], pairs: Sequence[tuple[list[int], list[int]]]) -> list[list[int]]:
    """Return *groups* of tags, with the two groups of each of *pairs* joined."""
    joined = {tag for first, second in pairs for tag in (*first, *second)}
    blocks = [[*first, *second] for first, second in pairs]
    return blocks + [[*group] for group in groups if not joined & {*group}]


def _count_joined(rows: Sequence[BitMap], first: Sequence[int], second: Sequence[int], limits: Limits) -> int:
    counts = np.array([[rows[one].intersection_cardinality(rows[other]) for other in second] for one in first])
    return _count_calls(counts, limits.max_ids)


def _count_calls(counts: NDArray[np.int64], max_ids: int) -> int:
    return int((-(counts // -max_ids)).sum())
