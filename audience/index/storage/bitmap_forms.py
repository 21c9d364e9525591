"""Form of a bitmap: how many of its containers are arrays, words or runs, and what it costs to read them."""

from typing import NamedTuple

from audience.index.storage.bitmaps import BitMap

# Nanoseconds of an operation between two bitmaps, of reading one of them; measured with CRoaring 5.2 and AVX-512.
ARRAY_ROW, BITSET_CONTAINER, RUN = 0.6, 100.0, 4.0


class BitmapForm(NamedTuple):
    """Statistics of a bitmap, taken once. A container covers 65,536 rows."""

    rows: int
    array_containers: int
    bitset_containers: int
    run_containers: int
    array_rows: int
    run_count: int
    nbytes: int

    @property
    def effort(self) -> float:
        """Return the estimated nanoseconds to read the bitmap in an operation."""
        return self.array_rows * ARRAY_ROW + self.bitset_containers * BITSET_CONTAINER + self.run_count * RUN

    @property
    def size_class(self) -> int:
        """Return a number that is equal for bitmaps of about the same effort, rows and containers."""
        rows, effort = self.rows.bit_length(), int(self.effort / 4).bit_length()
        return rows << 24 | effort << 16 | min(self.container_count, 0xFFFF)

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
    run_bytes = statistics["n_bytes_run_containers"]
    return BitmapForm(
        statistics["cardinality"],
        statistics["n_array_containers"],
        statistics["n_bitset_containers"],
        statistics["n_run_containers"],
        statistics["n_values_array_containers"],
        (run_bytes - 2 * statistics["n_run_containers"])
        // 4,  # a run is its start and length; their number is kept too
        statistics["n_bytes_array_containers"] + run_bytes + statistics["n_bytes_bitset_containers"],
    )
