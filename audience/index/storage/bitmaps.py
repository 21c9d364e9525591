"""Sets of row numbers. With `croaring` the only module that imports pyroaring.

The complement of a set is a flag, so that NOT costs nothing and `a AND NOT b` is one subtraction.
"""

from __future__ import annotations

import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pyroaring import BitMap

from audience.errors import DamagedError, Problem
from audience.index.storage.croaring import (
    LOCKED,
    MIN_UNLOCKED_BYTES,
    MIN_UNLOCKED_ROWS,
    choose_operations,
    load_unlocked,
)
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


RowNumbers: TypeAlias = "NDArray[np.uint32]"

CONTAINER_ROWS = 1 << 16  # that a container covers
MAX_ARRAY_CARDINALITY = 4096  # a container of more rows is stored as words
MAX_UNITED_BYTES, MAX_KEPT_UNION_BYTES = 1 << 18, 1 << 14  # of bitmaps that are united, and of one that is kept
MAX_REMOVED_SINGLY = 1_024  # rows that are removed from a bitmap one by one


class RowSet(NamedTuple):
    """Rows of *bitmap*, or all other rows if *complemented*.

    The bitmap may be shared and must not be changed. `nbytes` is its approximate size, used as the cost of an
    operation. `cached` marks a bitmap that the shard keeps.
    """

    bitmap: BitMap
    complemented: bool = False
    nbytes: int = 0
    cached: bool = False

    def __invert__(self) -> RowSet:
        return RowSet(self.bitmap, not self.complemented, self.nbytes, self.cached)

    def count_rows(self, universe_size: int) -> int:
        """Return the number of rows in the set, out of *universe_size* rows."""
        return universe_size - len(self.bitmap) if self.complemented else len(self.bitmap)


class LazyUnion(NamedTuple):
    """Union of one or more bitmaps that is not computed yet.

    No row is in two of the bitmaps if *disjoint*. `nbytes` is the size of all bitmaps together. One that *is_new* was
    asked for once, and may become one bitmap when it is asked for again.
    """

    bitmaps: list[BitMap]
    nbytes: int
    disjoint: bool
    is_new: bool = False

    def materialize(self) -> RowSet:
        """Return the union as a set of rows."""
        return RowSet(_union_bitmaps(self.bitmaps, self.nbytes), False, self.nbytes)

    def is_pairwise_cheaper(self, operand: RowSet | LazyUnion) -> bool:
        """Return whether intersecting *operand* with each bitmap reads fewer bytes than computing the union first."""
        return operand.nbytes * len(self.bitmaps) < self.nbytes


def full_bitmap(row_count: int) -> BitMap:
    """Return the rows from 0 to *row_count* - 1."""
    return BitMap(range(row_count))


def rows_to_bitmap(rows: NDArray[np.uint32]) -> BitMap:
    """Return a bitmap of row numbers.

    Conversion through `array` is ten times faster than from the numpy array itself.

    >>> rows_to_bitmap(np.array([3, 1], dtype=np.uint32))
    BitMap([1, 3])
    """
    assert rows.dtype != np.uint64, "a number of 64 bits is no row"
    buffer = array.array("I")
    buffer.frombytes(np.ascontiguousarray(rows, dtype=np.uint32).view(np.uint8).data)
    return BitMap(buffer)


def bitmap_to_rows(bitmap: BitMap) -> NDArray[np.uint32]:
    """Return the row numbers of *bitmap* in rising order.

    pyroaring's array of few rows is used as it is: to copy it took as long as to make it. Many rows are written without
    the lock.
    """
    count = len(bitmap)
    if count < MIN_UNLOCKED_ROWS:
        return np.frombuffer(bitmap.to_array(), dtype=np.uint32)
    rows = np.empty(count, dtype=np.uint32)
    fill_rows(bitmap, rows)
    return rows


def fill_rows(bitmap: BitMap, rows: NDArray[np.uint32]) -> None:
    """Write the row numbers of *bitmap* in rising order into *rows*, contiguous and of the same number.

    pyroaring makes an array of its own first, of new memory.
    """
    (load_unlocked() if rows.nbytes >= MIN_UNLOCKED_BYTES else LOCKED).fill_rows(bitmap, rows)


def fill_shifted_rows(bitmap: BitMap, first_row: int, rows: NDArray[np.uint32]) -> None:
    """Write the row numbers of *bitmap* plus *first_row* into *rows*, as `fill_rows`.

    A bitmap that is moved by whole containers has the same containers, which are far smaller than rows.
    """
    if first_row % CONTAINER_ROWS:
        fill_rows(bitmap, rows)
        rows += np.uint32(first_row)
    else:
        fill_rows(bitmap.shift(first_row) if first_row else bitmap, rows)


def serialize_bitmap(bitmap: BitMap) -> bytes:
    """Return *bitmap* in the portable format, with compressed runs."""
    bitmap.run_optimize()
    return bytes(bitmap.serialize())


def deserialize_bitmap(data: memoryview, source_name: str) -> BitMap:
    """Return the bitmap serialized in *data*. Raises DamagedError, naming *source_name*, if there is none."""
    try:
        return choose_operations(len(data)).deserialize(data)
    except (ValueError, IndexError, MemoryError) as error:
        raise DamagedError(Problem("damaged", f"{source_name} does not hold the bitmap that was written")) from error


def copy_side_by_side(bitmaps: Sequence[BitMap]) -> list[BitMap]:
    """Return copies of *bitmaps* whose containers follow one another in memory, unless it has gaps to fill.

    >>> copy_side_by_side([BitMap([1]), BitMap()])
    [BitMap([1]), BitMap([])]
    """
    written = [bitmap.serialize() for bitmap in bitmaps]  # all of them first: what is made in between takes room
    return list(map(BitMap.deserialize, written))


def bitmap_nbytes(bitmap: BitMap) -> int:
    """Return the approximate size of *bitmap* in memory, in bytes."""
    statistics = bitmap.get_statistics()
    arrays, runs = statistics["n_bytes_array_containers"], statistics["n_bytes_run_containers"]
    return arrays + runs + statistics["n_bytes_bitset_containers"]


def is_dense(bitmap: BitMap) -> bool:
    """Return whether most containers of *bitmap*, which is not empty, are words that are changed in place for less.

    A container of fewer rows is an array. To change one in place, CRoaring moves its rows one at a time, or makes words
    of it first: with 2,000 rows, `-=` took 8 times as long as `-`, and `&=` 6 times as long as `&`.
    """
    containers = (bitmap.max() >> 16) - (bitmap.min() >> 16) + 1
    return len(bitmap) > MAX_ARRAY_CARDINALITY * containers


def remove_rows(bitmap: BitMap, deleted: BitMap | None) -> BitMap:
    """Return *bitmap* without the *deleted* rows."""
    return bitmap if not deleted else bitmap - deleted


def remove_rows_keeping_runs(bitmap: BitMap, deleted: BitMap) -> BitMap:
    """Return *bitmap* without the *deleted* rows, its containers in the form that they have.

    A subtraction makes bitsets of runs, which are slower to intersect where most containers are runs.
    """
    found = bitmap & deleted
    if not found:
        return bitmap
    if len(found) > MAX_REMOVED_SINGLY:
        remaining = bitmap - found
        remaining.run_optimize()
        return remaining
    remaining = BitMap(bitmap, optimize=False)
    for row in found:
        remaining.remove(row)
    return remaining


def union(row_sets: Sequence[RowSet]) -> RowSet:
    """Return the union of one or more sets."""
    if len(row_sets) == 1:
        return row_sets[0]
    if any(row_set.complemented for row_set in row_sets):
        return ~intersect([~row_set for row_set in row_sets])
    return _union_row_sets(row_sets)


def intersect(operands: Sequence[RowSet | LazyUnion]) -> RowSet:
    """Return the intersection of one or more sets.

    The lightest sets are intersected first, complements are subtracted then. Evaluation ends early if no row is left.
    """
    if len(operands) == 1:
        return _materialize(operands[0])
    plain, complemented = _partition_complements(operands)
    if plain:
        return RowSet(_intersect_all(plain, complemented), False, plain[0].nbytes)
    return ~_union_row_sets(complemented)


def count_union(row_sets: Sequence[RowSet], universe_size: int) -> int:
    """Return the number of rows in the union of sets, out of *universe_size* rows."""
    return universe_size - count_intersection([~row_set for row_set in row_sets], universe_size)


def count_intersection(operands: Sequence[RowSet | LazyUnion], universe_size: int) -> int:
    """Return the number of rows in the intersection of sets, out of *universe_size* rows.

    The last operation only counts and does not build its result, but for a union of more than two sets.
    """
    if len(operands) == 1:
        return _materialize(operands[0]).count_rows(universe_size)
    plain, complemented = _partition_complements(operands)
    if not plain:
        excluded = [row_set.bitmap for row_set in complemented]
        nbytes = sum(row_set.nbytes for row_set in complemented)
        if len(excluded) > 2:  # all at once: to count the last one apart takes longer
            return universe_size - len(_union_bitmaps(excluded, nbytes))
        return universe_size - choose_operations(nbytes).union_cardinality(*excluded)
    *lighter, last = plain
    if lighter and isinstance(last, LazyUnion) and last.disjoint and last.is_pairwise_cheaper(lighter[0]):
        rows = _intersect_all(lighter, complemented)
        count = choose_operations(last.nbytes // len(last.bitmaps), rows).intersection_cardinality
        return sum(count(rows, bitmap) for bitmap in last.bitmaps)
    if complemented:
        rows = _intersect_all(plain, complemented[:-1])
        operations = choose_operations(last.nbytes + complemented[-1].nbytes, rows)
        return operations.difference_cardinality(rows, complemented[-1].bitmap)
    rows = _intersect_all(lighter, [])
    return choose_operations(last.nbytes, rows).intersection_cardinality(rows, _materialize(last).bitmap)


def _intersect_all(plain: Sequence[RowSet | LazyUnion], complemented: Sequence[RowSet]) -> BitMap:
    """Return the rows that are in every *plain* operand and in no *complemented* one.

    Wide unions come last, when few rows are left: each of their bitmaps is intersected with these rows by itself.
    """
    #   plain, lightest first                       complemented, heaviest first
    #   male   brand:huawei   age:14 | … | age:29   version:1.0.2
    #     └─ & ─────┘               ┆                    │
    #            └──────────── - ───┆────────────────────┘
    #                          └─ & ┘  deferred: (rows & age:14) | … | (rows & age:29)
    first, others = plain[0], plain[1:]
    deferred = [operand for operand in others if isinstance(operand, LazyUnion) and operand.is_pairwise_cheaper(first)]
    if deferred:
        others = [operand for operand in others if not any(operand is union for union in deferred)]
    result = _Intersection(first)
    for operand in others:
        result.intersect(operand)
    for row_set in complemented:
        result.subtract(row_set)
    for lazy_union in deferred:
        result.intersect_pairwise(lazy_union)
    return result.rows


class _Intersection:
    """Intersection under construction.

    `rows` is changed in place if it is *temporary*: a result of this module that nobody else has.
    """

    __slots__ = ("nbytes", "rows", "temporary")

    def __init__(self, operand: RowSet | LazyUnion):
        self.rows, self.temporary = _materialize(operand).bitmap, _is_computed(operand)
        self.nbytes = operand.nbytes  # of the last operand, the largest so far

    def intersect(self, operand: RowSet | LazyUnion) -> None:
        """Keep only the rows of *operand*."""
        if not self.rows:
            return
        bitmap = _materialize(operand).bitmap
        operations = choose_operations(self.nbytes + operand.nbytes, self.rows)
        if self.temporary and is_dense(self.rows):
            operations.intersection_update(self.rows, bitmap)
        elif _is_computed(operand) and is_dense(bitmap):
            operations.intersection_update(bitmap, self.rows)
            self.rows = bitmap
        else:
            self.rows = operations.intersection(self.rows, bitmap)
        self.temporary, self.nbytes = True, operand.nbytes

    def subtract(self, row_set: RowSet) -> None:
        """Remove the rows of the bitmap of *row_set*."""
        if not self.rows:
            return
        operations = choose_operations(self.nbytes + row_set.nbytes, self.rows)
        if self.temporary and is_dense(self.rows):
            operations.difference_update(self.rows, row_set.bitmap)
        else:
            self.rows, self.temporary = operations.difference(self.rows, row_set.bitmap), True

    def intersect_pairwise(self, lazy_union: LazyUnion) -> None:
        """Keep only the rows of *lazy_union*, without computing it: each intersection is as light as `rows`."""
        if not self.rows:
            return
        first, *others = lazy_union.bitmaps
        operations = choose_operations(lazy_union.nbytes // len(lazy_union.bitmaps), self.rows)
        rows = operations.intersection(self.rows, first)
        for bitmap in others:
            operations.union_update(rows, operations.intersection(self.rows, bitmap))
        self.rows, self.temporary = rows, True


def _is_computed(operand: RowSet | LazyUnion) -> bool:
    """Return whether `_materialize` returns a new bitmap, which may be changed."""
    return isinstance(operand, LazyUnion) and len(operand.bitmaps) > 1


def rows_not_less_than(bit_slices: Sequence[BitMap], bound: int) -> RowSet:
    """Return the rows whose bit-sliced number is *bound* or more, out of all rows: one in no slice has the number 0.

    Slice i holds the rows whose number has bit i set; the lowest bit comes first. Each bit of *bound* takes one
    operation: the lower bits are compared before, and decide where the bit is equal.

    >>> rows_not_less_than([BitMap([1, 3]), BitMap([2, 3])], 2).bitmap
    BitMap([2, 3])
    >>> rows_not_less_than([BitMap([1])], 0).complemented
    True
    """
    #   number of row   0  1  2  3      bound 2 = binary 10
    #   slice 0 (1s)    .  x  .  x      bit 0 of the bound is 0: no lower bits differ, and every row has 0 or more
    #   slice 1 (2s)    .  .  x  x      bit 1 of the bound is 1: rows 2, 3 with it, if their lower bits reach the bound
    if bound >> len(bit_slices):
        return RowSet(BitMap())
    first = (bound & -bound).bit_length() - 1  # bits below are 0
    if first < 0:
        return RowSet(BitMap(), complemented=True)
    rows = BitMap(bit_slices[first], optimize=False)
    for bit in range(first + 1, len(bit_slices)):
        if bound >> bit & 1:
            rows &= bit_slices[bit]
        else:
            rows |= bit_slices[bit]
    return RowSet(rows, nbytes=2 * len(rows))


def rows_less_than(bit_slices: Sequence[BitMap], bound: int, present: BitMap) -> BitMap:
    """Return the rows of *present* whose bit-sliced number is less than *bound*.

    Slice i holds the rows whose number has bit i set; the lowest bit comes first. The slices are compared with the
    bits of *bound* from the highest one down, as in O'Neil and Quass, "Improved Query Performance with Variant
    Indexes" (https://doi.org/10.1145/253260.253268).

    >>> rows_less_than([BitMap([1, 3]), BitMap([2, 3])], 2, BitMap([0, 1, 2, 3]))
    BitMap([0, 1])
    """
    #   number of row   0  1  2  3       bound 2 = binary 10
    #   slice 0 (1s)    .  x  .  x       bit 1 of the bound is 1: rows 0, 1 without it are less; 2, 3 stay equal
    #   slice 1 (2s)    .  .  x  x       bit 0 of the bound is 0: row 3 with it is greater; row 2 stays equal
    if bound >> len(bit_slices):
        return present
    less, equal = BitMap(), present
    for bit in reversed(range(len(bit_slices))):
        if bound >> bit & 1:
            less |= equal - bit_slices[bit]
            equal = equal & bit_slices[bit]
        else:
            equal = equal - bit_slices[bit]
    return less


def _partition_complements(operands: Iterable[RowSet | LazyUnion]) -> tuple[list[RowSet | LazyUnion], list[RowSet]]:
    """Return the plain operands, lightest first, and the complemented ones, heaviest first."""
    plain: list[RowSet | LazyUnion] = []
    complemented: list[RowSet] = []
    for operand in operands:
        if isinstance(operand, RowSet) and operand.complemented:
            complemented.append(operand)
        else:
            plain.append(operand)
    if len(plain) > 1:
        plain.sort(key=_operand_nbytes)
    if len(complemented) > 1:
        complemented.sort(key=_operand_nbytes, reverse=True)
    return plain, complemented


def _operand_nbytes(operand: RowSet | LazyUnion) -> int:
    return operand.nbytes


def unite_if_small(union: LazyUnion) -> LazyUnion:
    """Return *union* as one bitmap if that is small enough to be kept beside the others, else with all of them.

    >>> unite_if_small(LazyUnion([BitMap([1]), BitMap([2])], 4, True, is_new=True))
    LazyUnion(bitmaps=[BitMap([1, 2])], nbytes=4, disjoint=True, is_new=False)
    """
    old = union._replace(is_new=False)
    if union.nbytes > MAX_UNITED_BYTES:
        return old
    rows = BitMap.union(*union.bitmaps)
    rows.run_optimize()
    nbytes = bitmap_nbytes(rows)
    return old._replace(bitmaps=[rows], nbytes=nbytes) if nbytes <= MAX_KEPT_UNION_BYTES else old


def _materialize(operand: RowSet | LazyUnion) -> RowSet:
    return operand.materialize() if isinstance(operand, LazyUnion) else operand


def _union_row_sets(row_sets: Sequence[RowSet]) -> RowSet:
    """Return the union of the bitmaps of *row_sets*, whether complemented or not."""
    nbytes = sum(row_set.nbytes for row_set in row_sets)
    return RowSet(_union_bitmaps([row_set.bitmap for row_set in row_sets], nbytes), False, nbytes)


def _union_bitmaps(bitmaps: Sequence[BitMap], nbytes: int) -> BitMap:
    match bitmaps:
        case [bitmap]:
            return bitmap
        case [first, second]:
            return choose_operations(nbytes).union(first, second)
    return choose_operations(nbytes).union_many(bitmaps)
