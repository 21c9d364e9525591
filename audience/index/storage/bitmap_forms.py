"""Form of a bitmap: how many of its containers are arrays, words or runs, and what it costs to read them."""

from typing import NamedTuple

from audience.index.storage.bitmaps import BitMap

# Nanoseconds that an operand adds to some operations, their results included; measured with CRoaring 5.2 and AVX-512.
CONTAINER_NS, ARRAY_ROW_NS, BITSET_CONTAINER_NS, RUN_NS = 100.0, 0.4, 650.0, 4.0
MAX_GAPS_COST = 1 / 5  # of the cost of a bitmap: with more gaps in its runs, it is slow


class BitmapForm(NamedTuple):
    """Statistics of a bitmap, taken once. A container covers 65,536 rows."""

    rows: int
    array_containers: int
    bitset_containers: int
    run_containers: int
    array_rows: int
    run_count: int
    run_rows: int
    nbytes: int

    @property
    def cost(self) -> float:
        """Return the estimated nanoseconds that an operation with the bitmap takes."""
        containers = self.container_count * CONTAINER_NS + self.bitset_containers * BITSET_CONTAINER_NS
        return containers + self.array_rows * ARRAY_ROW_NS + self.run_count * RUN_NS

    def is_slow_with_gaps(self, share: float) -> bool:
        """Return whether to delete the *share* of all rows, each of which splits a run, makes the bitmap slow.

        >>> long, words = BitMap(range(60_000)), BitMap(range(0, 60_000, 3))
        >>> long.run_optimize()
        True
        >>> [measure_form(bitmap).is_slow_with_gaps(1 / 1024) for bitmap in (long, words)]
        [True, False]
        """
        return self.run_rows * share * RUN_NS > self.cost * MAX_GAPS_COST

    @property
    def container_count(self) -> int:
        """Return the number of containers that are not empty."""
        return self.array_containers + self.bitset_containers + self.run_containers


def measure_form(bitmap: BitMap) -> BitmapForm:
    """Return the form of *bitmap*.

    >>> measure_form(BitMap([1, 2, 70_000]))[:4]
    (3, 2, 0, 0)
    """
    statistics = bitmap.get_statistics()
    run_containers, run_bytes = statistics["n_run_containers"], statistics["n_bytes_run_containers"]
    return BitmapForm(
        rows=statistics["cardinality"],
        array_containers=statistics["n_array_containers"],
        bitset_containers=statistics["n_bitset_containers"],
        run_containers=run_containers,
        array_rows=statistics["n_values_array_containers"],
        run_count=(run_bytes - 2 * run_containers) // 4,  # two bytes for their number, then start and length of each
        run_rows=statistics["n_values_run_containers"],
        nbytes=statistics["n_bytes_array_containers"] + run_bytes + statistics["n_bytes_bitset_containers"],
    )
