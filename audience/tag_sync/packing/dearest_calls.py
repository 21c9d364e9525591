"""Search of the dearest calls that pairs of a device and a tag can be in, if each pair has the price of its tag.

A call gives all of its tags to all of its ids. So its devices are those that may have some values of some attributes:
cells of a table, which one pass over the devices counts for all values at once. The search goes from fewer attributes
to more, and leaves out the cells that no further tags can make as dear as 1. Where it has taken its steps, the most
that further tags could add counts instead: what it finds is then too dear, never too cheap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from audience.tag_sync.packing.common_tags import Limits

TYPICAL_DEPTH = 4  # attributes of the cells that most steps are for
PASS_STEPS = 5_000  # devices of a pass that take as long as it does apart from them
ROUNDING = 1e-9

Prices = NDArray[np.float64]
Codes = NDArray[np.uint8] | NDArray[np.int64]
Devices = NDArray[np.int64]
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class PricedTags:
    """Tags of which no device may have two: the values of one attribute, or a single tag.

    Attributes:
        codes: For each device its tag, as a position in *prices*.
        prices: Price of each tag; 0 for none.
        wanted: Which devices are to get the tag that they may have. None if all are.
    """

    codes: Codes
    prices: Prices
    wanted: NDArray[np.bool_] | None = None

    def price_devices(self, devices: Devices | None) -> Prices:
        """Return the price of the pair of each of *devices*."""
        prices: Prices = self.prices[_take(self.codes, devices)]
        return prices if self.wanted is None else prices * _take(self.wanted, devices)


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Cells of a table of some columns.

    Attributes:
        columns: The columns.
        devices: Devices in one of the cells; None for all.
        numbers: The cell of each of them.
        prices: The price of the tags of each cell.
        own: The price of the pairs of each device; None if that is the price of its cell.
    """

    columns: tuple[int, ...]
    devices: Devices | None
    numbers: Devices
    prices: Prices
    own: Prices | None


@dataclass(frozen=True, slots=True, eq=False)
class _Division:
    """Cells divided by the tags of a further column.

    Attributes:
        counts: Devices of each cell, as many as a call takes.
        carried: What their pairs of the columns before cost.
        added: What their pairs of the new column cost.
    """

    counts: NDArray[np.int64]
    carried: Prices
    added: Prices


@dataclass(slots=True, eq=False)
class DearestCalls:
    """Search of the dearest call of each pair.

    Attributes:
        columns: The tags.
        limits: What a call takes.
        steps: Devices of cells that may still be visited.
        reserved: Those of *steps* that are for cells of later columns.
        costs: For each column, for each device: no call with this pair costs more, or than 1 if that is more.
    """

    columns: Sequence[PricedTags]
    limits: Limits
    steps: int
    reserved: float = field(init=False, default=0.0)
    costs: list[NDArray[np.float32]] = field(init=False)

    def __post_init__(self) -> None:
        self.costs = [np.ones(len(column.codes), dtype=np.float32) for column in self.columns]

    def find(self) -> None:
        """Find what the dearest call with each pair costs."""
        device_count = len(self.columns[0].codes)
        own = None if all(column.wanted is None for column in self.columns) else np.zeros(device_count)
        self._divide(_Cells((), None, np.zeros(device_count, dtype=np.int64), np.zeros(1), own))

    def _divide(self, cells: _Cells) -> None:
        """Find the calls with the tags of *cells* and of columns after theirs."""
        following = range(cells.columns[-1] + 1 if cells.columns else 0, len(self.columns))
        scaled = {width: cells.numbers * width for width in {len(self.columns[at].prices) for at in following}}
        divisions = [self._count(cells, at, scaled[len(self.columns[at].prices)]) for at in following]
        del scaled
        more = self.limits.max_tags - len(cells.columns) - 1
        if more <= 0:
            return
        all_steps = self.steps
        dearest = np.stack([division.added.max(axis=1) for division in divisions], axis=1)
        top = np.array([self.columns[at].prices.max() for at in following])
        for place, (at, division) in enumerate(zip(following[:-1], divisions[:-1], strict=True)):
            further = _sum_largest(dearest[:, place + 1 :], more)[:, np.newaxis]
            price = cells.prices[:, np.newaxis] + self.columns[at].prices
            most = np.minimum(
                division.carried + division.added + further,
                division.counts * (price + _sum_largest(top[np.newaxis, place + 1 :], more)),
            )
            most[:, self.columns[at].prices <= 0] = 0
            if (most > 1 + ROUNDING).any():
                if not cells.columns:
                    self._reserve(all_steps, place)
                self._descend(cells, at, price, most)

    def _reserve(self, steps: int, place: int) -> None:
        """Keep the share of *steps* that is for the columns after *place*; give up if one before has used up its own.

        What a search that cannot come to its end still finds is of little use.
        """
        count = len(self.columns)
        self.steps = self.steps if self.steps > self.reserved else 0
        self.reserved = steps * comb(count - 1 - place, TYPICAL_DEPTH) / max(comb(count, TYPICAL_DEPTH), 1)

    def _count(self, cells: _Cells, at: int, scaled: Devices) -> _Division:
        """Return *cells* divided by column *at*, and record what their calls cost; *scaled* are numbers of cells."""
        column, width, size = self.columns[at], len(self.columns[at].prices), self.limits.max_ids
        numbers: Devices = scaled + _take(column.codes, cells.devices)
        self.steps -= len(numbers) * (1 if cells.own is None else 3) + PASS_STEPS
        cell_count = len(cells.prices) * width
        counts = np.minimum(np.bincount(numbers, minlength=cell_count), size).reshape(-1, width)
        carried: Prices = counts * cells.prices[:, np.newaxis]
        added: Prices = counts * column.prices
        if cells.own is not None:
            carried = _sum_cells(numbers, cells.own, cell_count).reshape(-1, width)
            added = _sum_cells(numbers, column.price_devices(cells.devices), cell_count).reshape(-1, width)
            added = np.minimum(added, size * column.prices)
        costs = np.minimum(carried + added, size * (cells.prices[:, np.newaxis] + column.prices))
        costs[:, column.prices <= 0] = 0
        self._record((*cells.columns, at), cells.devices, numbers, costs)
        return _Division(counts, carried, added)

    def _record(self, columns: Sequence[int], devices: Devices | None, numbers: Devices, costs: Prices) -> None:
        """Note the *costs* of calls with *columns* for the cells of *devices*, if any of them costs more than 1."""
        if not (costs > 1 + ROUNDING).any():
            return
        of_devices = costs.astype(np.float32).ravel()[numbers]
        dear = np.flatnonzero(of_devices > 1)
        self.steps -= len(numbers) + 2 * len(columns) * len(dear)
        chosen = dear if devices is None else devices[dear]
        for at in columns:
            self.costs[at][chosen] = np.maximum(self.costs[at][chosen], of_devices[dear])

    def _descend(self, cells: _Cells, at: int, prices: Prices, most: Prices) -> None:
        """Find the calls with tags of column *at* and of further ones, which cost *most*."""
        numbers: Devices = cells.numbers * prices.shape[1] + _take(self.columns[at].codes, cells.devices)
        if self.steps <= self.reserved:
            self._record((*cells.columns, *range(at, len(self.columns))), cells.devices, numbers, most)
            return
        is_open = most > 1 + ROUNDING
        divided, devices, own = numbers, cells.devices, cells.own
        if not is_open.all():
            new_numbers = np.full(is_open.size, -1, dtype=np.int64)
            new_numbers[is_open.ravel()] = np.arange(np.count_nonzero(is_open))
            divided = new_numbers[numbers]
            self.steps -= 2 * len(numbers)
            kept = np.flatnonzero(divided >= 0)
            divided = divided[kept]
            devices = kept if devices is None else devices[kept]
            own = None if own is None else own[kept]
        if own is not None:
            own = own + self.columns[at].price_devices(devices)
        self._divide(_Cells((*cells.columns, at), devices, divided, prices[is_open], own))


def _take(values: NDArray[Value], devices: Devices | None) -> NDArray[Value]:
    return values if devices is None else values[devices]


def _sum_cells(numbers: Devices, weights: Prices, cell_count: int) -> Prices:
    return np.asarray(np.bincount(numbers, weights, cell_count), dtype=np.float64)


def _sum_largest(values: Prices, count: int) -> Prices:
    """Return the sum of the *count* largest of each row of *values*."""
    if count >= values.shape[1]:
        return np.asarray(values.sum(axis=1))
    return np.asarray(np.partition(values, -count, axis=1)[:, -count:].sum(axis=1))
