"""Estimated cost of questions about the devices of a shard in one order of rows or another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audience.index.ingest.dictionary import DictionaryColumn

ROWS_PER_CONTAINER = 1 << 16
# Nanoseconds of an operation on a container, measured: of runs by their number, of an array by its length.
RUN_COST, ELEMENT_COST, BITSET_COST = 5.0, 1.3, 300.0
THINNING = 4  # a part of the sample shows how the number of runs grows with the number of rows


@dataclass(frozen=True, slots=True)
class OrderSample:
    """Sample of the rows of a shard.

    Attributes:
        row_count: Rows of the shard.
        sample_size: Rows of the sample.
        columns: Single-valued columns of the sample.
        tags: Whether the rows of the sample have each tag, a row of this matrix for each tag.
    """

    row_count: int
    sample_size: int
    columns: Mapping[Any, DictionaryColumn]
    tags: NDArray[np.bool_]

    def estimate_cost(self, order: NDArray[np.int64]) -> float:
        """Return the cost of a question, in nanoseconds, if the sample has this *order*.

        Half of the questions name a value of a column, frequent ones more often; half of them name a tag, each tag
        equally often.
        """
        part = order[order % THINNING == 0]
        columns = [self._estimate_column_cost(column, order, part) for column in self.columns.values()]
        tag_runs, part_runs = (
            _count_runs_of_flags(np.take(self.tags, order, axis=1)),
            _count_runs_of_flags(np.take(self.tags, part, axis=1)),
        )
        tags = self._estimate_costs(tag_runs, part_runs, np.count_nonzero(self.tags, axis=1))
        return sum(columns) / max(len(columns), 1) + float(tags.sum()) / max(len(tags), 1)

    def _estimate_column_cost(
        self, column: DictionaryColumn, order: NDArray[np.int64], part: NDArray[np.int64]
    ) -> float:
        value_count = len(column.values) + 1
        counts = np.bincount(column.codes, minlength=value_count)[1:]
        runs, part_runs = (_count_runs_of_codes(column.codes[rows], value_count) for rows in (order, part))
        return float(self._estimate_costs(runs, part_runs, counts) @ counts) / max(len(order), 1)

    def _estimate_costs(
        self, runs: NDArray[np.int64], part_runs: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the cost of each value, of which *runs* were counted in the sample and *part_runs* in its part."""
        scale = self.row_count / max(self.sample_size, 1)
        growth = np.log(np.maximum(runs, 1) / np.maximum(part_runs, 1)) / np.log(THINNING)
        all_runs = np.maximum(runs, 1) * scale ** np.clip(growth, 0, 1)
        bitset_cost = max(self.row_count / ROWS_PER_CONTAINER, 1) * BITSET_COST
        costs: NDArray[np.float64] = np.minimum(
            all_runs * RUN_COST, np.minimum(counts * (scale * ELEMENT_COST), bitset_cost)
        )
        return costs


def _count_runs_of_codes(codes: NDArray[np.uint32], value_count: int) -> NDArray[np.int64]:
    """Return the number of runs of each value but null, whose code is 0."""
    starts = np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1])
    runs: NDArray[np.int64] = np.bincount(codes[starts[: len(codes)]], minlength=value_count)[1:]
    return runs


def _count_runs_of_flags(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of runs of true in each row of *flags*."""
    runs: NDArray[np.int64] = np.count_nonzero(flags[:, 1:] & ~flags[:, :-1], axis=1) + np.count_nonzero(
        flags[:, :1], axis=1
    )
    return runs
