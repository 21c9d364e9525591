"""Lower bound of the number of calls that give several tags to several ids, by prices of tags.

Each pair of a device and a tag that is to be set costs the price of its tag. What a call can carry is found by a
search over sets of tags: a set is extended by one tag after another, for the devices that may have all of them, as long
as the most that further tags could add exceeds what a call may cost. Where the search ends early, this most is what
counts, and the bound is lower, not wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audience.index.storage.bitmaps import BitMap, RowNumbers, bitmap_to_rows
from audience.tag_sync.packing.bounds import round_up
from audience.tag_sync.packing.common_tags import Limits
from audience.tag_sync.packing.pair_table import tabulate_pairs

MAX_CELLS = 60_000_000  # of the table of devices and tags
MAX_STEPS = 3_000_000_000  # additions of the first search
NODE_STEPS = 50_000  # additions that take as long as a set of tags does apart from them
CELL_STEPS = 8  # additions that take as long as the most that a further tag adds
ROUNDING = 1e-9
ROUNDS = (MAX_STEPS, MAX_STEPS // 3, MAX_STEPS // 3)  # prices are adjusted between them
Prices = NDArray[np.float64]
Matrix = NDArray[np.float32]


def bound_by_prices(rows: Sequence[BitMap], allowed: Sequence[BitMap], limits: Limits) -> int:
    """Return a number of calls below which none set all of *rows*, if devices may only be given what is *allowed*."""
    tags = [tag for tag, row in enumerate(rows) if row]
    pairs = tabulate_pairs([rows[tag] for tag in tags])
    devices, at = np.unique(pairs.positions, return_inverse=True)
    if len(tags) < 2 or len(devices) * len(tags) > MAX_CELLS:
        return 0
    may_have = _tabulate([allowed[tag] for tag in tags], devices)
    if len(pairs.tags) * float(may_have.sum()) / len(devices) * len(tags) > MAX_STEPS:
        return 0  # not even sets of two tags could be searched
    prices = 1 / np.minimum(pairs.counts, limits.max_ids)
    best = 0.0
    for steps in ROUNDS:
        search = _Search(may_have, prices, limits, steps)
        search.extend((), at, pairs.tags)
        best = max(best, float(pairs.counts @ prices) / search.dearest)
        if search.dearest <= 1 + ROUNDING:
            break
        prices = prices / search.excess
    return round_up(best)


def _tabulate(rows: Sequence[BitMap], devices: RowNumbers) -> Matrix:
    """Return a table with a row for each of *devices*, and a column for each of *rows*."""
    table = np.zeros((len(devices), len(rows)), dtype=np.float32)
    for column, row in enumerate(rows):
        positions = bitmap_to_rows(row)
        at = np.minimum(np.searchsorted(devices, positions), len(devices) - 1)
        table[at[devices[at] == positions], column] = 1
    return table


@dataclass(slots=True, eq=False)
class _Search:
    """Search of the dearest call.

    Attributes:
        may_have: What may be set.
        prices: Price of each tag.
        limits: What a call takes.
        steps: Additions that are left.
        dearest: No call costs more than this.
        excess: For each tag, what the dearest call with it costs, if that is more than 1.
    """

    may_have: Matrix
    prices: Prices
    limits: Limits
    steps: int
    dearest: float = 1.0
    excess: Prices = field(init=False)

    def __post_init__(self) -> None:
        self.excess = np.ones(len(self.prices))

    def extend(self, tags: tuple[int, ...], devices: NDArray[np.int64], wanted: RowNumbers) -> None:
        """Find the dearest call with *tags* and tags after them.

        Args:
            tags: Tags of the call.
            devices: Devices that may have *tags*, once for each tag that they are to get.
            wanted: The tag that each of them is to get, in rising order.
        """
        first = tags[-1] + 1 if tags else 0
        may_have = self.may_have[devices, first:]
        self.steps -= may_have.size + NODE_STEPS + CELL_STEPS * may_have.shape[1] * len(self.prices)
        costs = np.minimum(self._count(may_have, wanted), self.limits.max_ids) * self.prices
        own, most = self._find_costs(costs, tags, first)
        for at in np.flatnonzero(most > 1).tolist():
            extended = (*tags, first + at)
            if self.steps <= 0:
                self._record(extended, float(most[at]))
            else:
                self._record(extended, float(own[at]))
                if len(extended) < self.limits.max_tags:
                    chosen = may_have[:, at] > 0
                    self.extend(extended, devices[chosen], wanted[chosen])

    def _count(self, may_have: Matrix, wanted: RowNumbers) -> Matrix:
        """Return for each column of *may_have*, how many devices with it are to get each tag."""
        counts = np.zeros((may_have.shape[1], len(self.prices)), dtype=np.float32)
        names, starts = np.unique(wanted, return_index=True)
        if len(names):
            counts[:, names] = np.add.reduceat(may_have, starts, axis=0).T
        return counts

    def _find_costs(self, costs: NDArray[np.float64], tags: tuple[int, ...], first: int) -> tuple[Prices, Prices]:
        """Return for each tag from *first* what a call with it and *tags* costs, and at most with more tags."""
        at = np.arange(len(costs))
        others = costs.copy()
        others[:, tags] = 0
        others[at, first + at] = 0
        own = costs[:, tags].sum(axis=1) + costs[at, first + at]
        more = min(self.limits.max_tags - len(tags) - 1, costs.shape[1])
        return own, own + (np.partition(others, -more, axis=1)[:, -more:].sum(axis=1) if more else 0)

    def _record(self, tags: tuple[int, ...], cost: float) -> None:
        if cost > 1:
            self.dearest = max(self.dearest, cost)
            for tag in tags:
                self.excess[tag] = max(self.excess[tag], cost)
