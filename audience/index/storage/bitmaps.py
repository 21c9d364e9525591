"""Sets of row numbers: the one door to pyroaring.

Complement is a flag: the NOT of a set costs nothing, and `a AND NOT b` is one subtraction.
"""

import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from audience.errors import DamagedError, Problem

__all__ = [
    "BitMap",
    "LazyUnion",
    "RowNumbers",
    "RowSet",
    "bitmap_to_rows",
    "count_intersection",
    "count_union",
    "deserialize_bitmap",
    "full_bitmap",
    "intersect",
    "rows_to_bitmap",
    "union",
]


RowNumbers: TypeAlias = NDArray[np.uint32]


class RowSet(NamedTuple):
    """The rows of *bitmap*, or with *outside* all rows but those; the bitmap may be shared and is never changed.

    *weight* is about how many bytes it has, which is what an operation with it costs; with *own* nobody else has it,
    and it may be changed after all; *stored* it is one of those that the shard keeps.
    """

    bitmap: BitMap
    complemented: bool = False
    nbytes: int = 0
    owned: bool = False
    cached: bool = False

    def __invert__(self) -> "RowSet":
        return RowSet(self.bitmap, not self.complemented, self.nbytes, self.owned, self.cached)

    def count_rows(self, universe_size: int) -> int:
        """How many of *universe* rows are in the set."""
        return universe_size - len(self.bitmap) if self.complemented else len(self.bitmap)

    def to_bitmap(self, universe: BitMap) -> BitMap:
        """The rows themselves, out of *everything*."""
        return universe - self.bitmap if self.complemented else self.bitmap


class LazyUnion(NamedTuple):
    """The rows of any of *bitmaps*, not united yet; with *apart* no row is in two of them."""

    bitmaps: list[BitMap]
    nbytes: int
    disjoint: bool

    def materialize(self) -> RowSet:
        return RowSet(_union_bitmaps(self.bitmaps), False, self.nbytes, len(self.bitmaps) > 1)

    def is_pairwise_cheaper(self, operand: "RowSet | LazyUnion") -> bool:
        """Whether each bitmap is better met with *light* by itself: it has fewer bytes than one of them."""
        return operand.nbytes * len(self.bitmaps) < self.nbytes


def full_bitmap(row_count: int) -> BitMap:
    """Rows 0 to *size* - 1."""
    return BitMap(range(row_count))


def rows_to_bitmap(rows: NDArray[np.uint32]) -> BitMap:
    """A bitmap of row numbers; the way through `array` is ten times faster than through the numpy array itself.

    >>> rows_to_bitmap(np.array([3, 1], dtype=np.uint32))
    BitMap([1, 3])
    """
    buffer = array.array("I")
    buffer.frombytes(np.ascontiguousarray(rows, dtype=np.uint32).view(np.uint8).data)
    return BitMap(buffer)


def bitmap_to_rows(bitmap: BitMap) -> NDArray[np.uint32]:
    """The row numbers of *bitmap* in rising order."""
    return np.frombuffer(bitmap.to_array(), dtype=np.uint32)


def serialize_bitmap(bitmap: BitMap) -> bytes:
    """The portable bytes of *bitmap*, runs compressed."""
    bitmap.run_optimize()
    return bytes(bitmap.serialize())


def deserialize_bitmap(data: memoryview, source_name: str) -> BitMap:
    """The bitmap that *data* holds; DamagedError, naming *name*, where it holds none."""
    try:
        return BitMap.deserialize(data)  # type: ignore[arg-type]  # takes any buffer, says bytes only
    except (ValueError, IndexError, MemoryError) as error:
        raise DamagedError(Problem("damaged", f"{source_name} does not hold the bitmap that was written")) from error


def bitmap_nbytes(bitmap: BitMap) -> int:
    """The bytes of *bitmap* in memory, about."""
    facts = bitmap.get_statistics()
    arrays, runs = facts["n_bytes_array_containers"], facts["n_bytes_run_containers"]
    return arrays + runs + facts["n_bytes_bitset_containers"]


def remove_rows(bitmap: BitMap, deleted: BitMap | None) -> BitMap:
    """*bitmap* without the rows *dead*."""
    return bitmap if not deleted else bitmap - deleted


def renumber_rows(bitmap: BitMap, deleted: BitMap, new_rows: NDArray[np.uint32]) -> BitMap:
    """*bitmap* without the rows *dead*, each other row at its new one of *places*."""
    return rows_to_bitmap(new_rows[bitmap_to_rows(bitmap - deleted)])


def union(row_sets: Sequence[RowSet]) -> RowSet:
    """The union of one or more *sets*."""
    if len(row_sets) == 1:
        return row_sets[0]
    if any(one.complemented for one in row_sets):
        return ~intersect([~one for one in row_sets])
    return RowSet(_union_bitmaps([one.bitmap for one in row_sets]), False, sum(one.nbytes for one in row_sets), True)


def intersect(operands: Sequence[RowSet | LazyUnion]) -> RowSet:
    """The intersection of one or more *sets*: lightest first, then subtraction, and nothing more once it is empty."""
    if len(operands) == 1:
        return operands[0].materialize() if isinstance(operands[0], LazyUnion) else operands[0]
    inside, outside = _partition_complements(operands)
    if inside:
        return _intersect_all(inside, outside)
    return RowSet(_union_bitmaps([one.bitmap for one in outside]), True, sum(one.nbytes for one in outside), True)


def count_union(row_sets: Sequence[RowSet], universe_size: int) -> int:
    """How many of *size* rows are in the union of *sets*; the last step only counts."""
    return universe_size - count_intersection([~one for one in row_sets], universe_size)


def count_intersection(operands: Sequence[RowSet | LazyUnion], universe_size: int) -> int:
    """How many of *size* rows are in the intersection of *sets*; the last step only counts."""
    if len(operands) == 1:
        return intersect(operands).count_rows(universe_size)
    inside, outside = _partition_complements(operands)
    if not inside:
        *most, last_out = [one.bitmap for one in outside]
        return universe_size - _union_bitmaps(most).union_cardinality(last_out)
    *before, last = inside
    if before and isinstance(last, LazyUnion) and last.disjoint and last.is_pairwise_cheaper(before[0]):
        few = _intersect_all(before, outside).bitmap
        return sum(few.intersection_cardinality(bitmap) for bitmap in last.bitmaps)
    if outside:
        return _intersect_all(inside, outside[:-1]).bitmap.difference_cardinality(outside[-1].bitmap)
    other = last.materialize() if isinstance(last, LazyUnion) else last
    return _intersect_all(before, []).bitmap.intersection_cardinality(other.bitmap)


def _intersect_all(plain: list[RowSet | LazyUnion], complemented: list[RowSet]) -> RowSet:
    """The intersection of the sets *inside*, of which there is one at least, without those *outside*.

    What is light already is subtracted from before it is met with each bitmap of a choice by itself.
    """
    first = plain[0]
    found = first.materialize() if isinstance(first, LazyUnion) else first
    late = [one for one in plain[1:] if isinstance(one, LazyUnion) and one.is_pairwise_cheaper(found)]
    early = [one for one in plain[1:] if not any(one is each for each in late)] if late else plain[1:]
    for one in (*early, *complemented, *late):
        if not found.bitmap:
            break
        found = _intersect_two(found, one)
    return found


def _intersect_two(accumulated: RowSet, operand: RowSet | LazyUnion) -> RowSet:
    """The intersection, in place of whichever of the two may be changed."""
    if isinstance(operand, RowSet) and operand.complemented:
        if not accumulated.owned:
            return RowSet(accumulated.bitmap - operand.bitmap, False, accumulated.nbytes, True)
        bitmap = accumulated.bitmap
        bitmap -= operand.bitmap
        return accumulated
    if isinstance(operand, LazyUnion):
        if operand.is_pairwise_cheaper(accumulated):
            return RowSet(_intersect_pairwise(accumulated.bitmap, operand.bitmaps), False, accumulated.nbytes, True)
        operand = operand.materialize()
    bitmap, one = (accumulated.bitmap, operand.bitmap) if accumulated.owned else (operand.bitmap, accumulated.bitmap)
    if accumulated.owned or operand.owned:
        bitmap &= one
    else:
        bitmap = bitmap & one
    return RowSet(bitmap, False, accumulated.nbytes, True)


def _intersect_pairwise(small: BitMap, bitmaps: Sequence[BitMap]) -> BitMap:
    """The union of the intersections of *light* with each of *bitmaps*, one by one: the pieces are light too."""
    first, *rest = bitmaps
    result = small & first
    for bitmap in rest:
        result |= small & bitmap
    return result


def rows_less_than(bit_slices: Sequence[BitMap], bound: int, present: BitMap) -> BitMap:
    """The rows of *has* whose number, kept as binary *digits* with the lowest first, is less than *place*.

    >>> rows_less_than([BitMap([1, 3]), BitMap([2, 3])], 2, BitMap([0, 1, 2, 3]))
    BitMap([0, 1])
    """
    if bound >> len(bit_slices):
        return present
    less, same = BitMap(), present
    for digit in reversed(range(len(bit_slices))):
        if bound >> digit & 1:
            less |= same - bit_slices[digit]
            same = same & bit_slices[digit]
        else:
            same = same - bit_slices[digit]
    return less


def _partition_complements(operands: Iterable[RowSet | LazyUnion]) -> tuple[list[RowSet | LazyUnion], list[RowSet]]:
    """The sets that are inside, lightest first, and those that are outside, heaviest first."""
    inside: list[RowSet | LazyUnion] = []
    outside: list[RowSet] = []
    for one in operands:
        if isinstance(one, RowSet) and one.complemented:
            outside.append(one)
        else:
            inside.append(one)
    if len(inside) > 1:
        inside.sort(key=_operand_nbytes)
    if len(outside) > 1:
        outside.sort(key=_operand_nbytes, reverse=True)
    return inside, outside


def _operand_nbytes(operand: RowSet | LazyUnion) -> int:
    return operand.nbytes


def _union_bitmaps(bitmaps: Sequence[BitMap]) -> BitMap:
    match bitmaps:
        case [one]:
            return one
        case [one, other]:
            return one | other
    return BitMap.union(*bitmaps)
