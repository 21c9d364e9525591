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
    "Bits",
    "Choice",
    "RowNumbers",
    "count_all",
    "count_any",
    "from_rows",
    "load",
    "meet",
    "rows_of",
    "unite",
    "universe",
]


RowNumbers: TypeAlias = NDArray[np.uint32]


class Bits(NamedTuple):
    """The rows of *bitmap*, or with *outside* all rows but those; the bitmap may be shared and is never changed.

    *weight* is about how many bytes it has, which is what an operation with it costs; with *own* nobody else has it,
    and it may be changed after all; *stored* it is one of those that the shard keeps.
    """

    bitmap: BitMap
    outside: bool = False
    weight: int = 0
    own: bool = False
    stored: bool = False

    def __invert__(self) -> "Bits":
        return Bits(self.bitmap, not self.outside, self.weight, self.own, self.stored)

    def size(self, universe: int) -> int:
        """How many of *universe* rows are in the set."""
        return universe - len(self.bitmap) if self.outside else len(self.bitmap)

    def inside(self, everything: BitMap) -> BitMap:
        """The rows themselves, out of *everything*."""
        return everything - self.bitmap if self.outside else self.bitmap


class Choice(NamedTuple):
    """The rows of any of *bitmaps*, not united yet; with *apart* no row is in two of them."""

    bitmaps: list[BitMap]
    weight: int
    apart: bool

    def united(self) -> Bits:
        return Bits(_union(self.bitmaps), False, self.weight, len(self.bitmaps) > 1)

    def suits(self, light: "Bits | Choice") -> bool:
        """Whether each bitmap is better met with *light* by itself: it has fewer bytes than one of them."""
        return light.weight * len(self.bitmaps) < self.weight


def universe(size: int) -> BitMap:
    """Rows 0 to *size* - 1."""
    return BitMap(range(size))


def from_rows(rows: NDArray[np.uint32]) -> BitMap:
    """A bitmap of row numbers; the way through `array` is ten times faster than through the numpy array itself.

    >>> from_rows(np.array([3, 1], dtype=np.uint32))
    BitMap([1, 3])
    """
    buffer = array.array("I")
    buffer.frombytes(np.ascontiguousarray(rows, dtype=np.uint32).view(np.uint8).data)
    return BitMap(buffer)


def rows_of(bitmap: BitMap) -> NDArray[np.uint32]:
    """The row numbers of *bitmap* in rising order."""
    return np.frombuffer(bitmap.to_array(), dtype=np.uint32)


def dump(bitmap: BitMap) -> bytes:
    """The portable bytes of *bitmap*, runs compressed."""
    bitmap.run_optimize()
    return bytes(bitmap.serialize())


def load(data: memoryview, name: str) -> BitMap:
    """The bitmap that *data* holds; DamagedError, naming *name*, where it holds none."""
    try:
        return BitMap.deserialize(data)  # type: ignore[arg-type]  # takes any buffer, says bytes only
    except (ValueError, IndexError, MemoryError) as error:
        raise DamagedError(Problem("damaged", f"{name} does not hold the bitmap that was written")) from error


def size_of(bitmap: BitMap) -> int:
    """The bytes of *bitmap* in memory, about."""
    facts = bitmap.get_statistics()
    arrays, runs = facts["n_bytes_array_containers"], facts["n_bytes_run_containers"]
    return arrays + runs + facts["n_bytes_bitset_containers"]


def without(bitmap: BitMap, dead: BitMap | None) -> BitMap:
    """*bitmap* without the rows *dead*."""
    return bitmap if not dead else bitmap - dead


def renumbered(bitmap: BitMap, dead: BitMap, places: NDArray[np.uint32]) -> BitMap:
    """*bitmap* without the rows *dead*, each other row at its new one of *places*."""
    return from_rows(places[rows_of(bitmap - dead)])


def unite(sets: Sequence[Bits]) -> Bits:
    """The union of one or more *sets*."""
    if len(sets) == 1:
        return sets[0]
    if any(one.outside for one in sets):
        return ~meet([~one for one in sets])
    return Bits(_union([one.bitmap for one in sets]), False, sum(one.weight for one in sets), True)


def meet(sets: Sequence[Bits | Choice]) -> Bits:
    """The intersection of one or more *sets*: lightest first, then subtraction, and nothing more once it is empty."""
    if len(sets) == 1:
        return sets[0].united() if isinstance(sets[0], Choice) else sets[0]
    inside, outside = _parted(sets)
    if inside:
        return _met(inside, outside)
    return Bits(_union([one.bitmap for one in outside]), True, sum(one.weight for one in outside), True)


def count_any(sets: Sequence[Bits], size: int) -> int:
    """How many of *size* rows are in the union of *sets*; the last step only counts."""
    return size - count_all([~one for one in sets], size)


def count_all(sets: Sequence[Bits | Choice], size: int) -> int:
    """How many of *size* rows are in the intersection of *sets*; the last step only counts."""
    if len(sets) == 1:
        return meet(sets).size(size)
    inside, outside = _parted(sets)
    if not inside:
        *most, last_out = [one.bitmap for one in outside]
        return size - _union(most).union_cardinality(last_out)
    *before, last = inside
    if before and isinstance(last, Choice) and last.apart and last.suits(before[0]):
        few = _met(before, outside).bitmap
        return sum(few.intersection_cardinality(bitmap) for bitmap in last.bitmaps)
    if outside:
        return _met(inside, outside[:-1]).bitmap.difference_cardinality(outside[-1].bitmap)
    other = last.united() if isinstance(last, Choice) else last
    return _met(before, []).bitmap.intersection_cardinality(other.bitmap)


def _met(inside: list[Bits | Choice], outside: list[Bits]) -> Bits:
    """The intersection of the sets *inside*, of which there is one at least, without those *outside*.

    What is light already is subtracted from before it is met with each bitmap of a choice by itself.
    """
    first = inside[0]
    found = first.united() if isinstance(first, Choice) else first
    late = [one for one in inside[1:] if isinstance(one, Choice) and one.suits(found)]
    early = [one for one in inside[1:] if not any(one is each for each in late)] if late else inside[1:]
    for one in (*early, *outside, *late):
        if not found.bitmap:
            break
        found = _both(found, one)
    return found


def _both(found: Bits, other: Bits | Choice) -> Bits:
    """The intersection, in place of whichever of the two may be changed."""
    if isinstance(other, Bits) and other.outside:
        if not found.own:
            return Bits(found.bitmap - other.bitmap, False, found.weight, True)
        bitmap = found.bitmap
        bitmap -= other.bitmap
        return found
    if isinstance(other, Choice):
        if other.suits(found):
            return Bits(_met_each(found.bitmap, other.bitmaps), False, found.weight, True)
        other = other.united()
    bitmap, one = (found.bitmap, other.bitmap) if found.own else (other.bitmap, found.bitmap)
    if found.own or other.own:
        bitmap &= one
    else:
        bitmap = bitmap & one
    return Bits(bitmap, False, found.weight, True)


def _met_each(light: BitMap, bitmaps: Sequence[BitMap]) -> BitMap:
    """The union of the intersections of *light* with each of *bitmaps*, one by one: the pieces are light too."""
    first, *rest = bitmaps
    result = light & first
    for bitmap in rest:
        result |= light & bitmap
    return result


def below(digits: Sequence[BitMap], place: int, has: BitMap) -> BitMap:
    """The rows of *has* whose number, kept as binary *digits* with the lowest first, is less than *place*.

    >>> below([BitMap([1, 3]), BitMap([2, 3])], 2, BitMap([0, 1, 2, 3]))
    BitMap([0, 1])
    """
    if place >> len(digits):
        return has
    less, same = BitMap(), has
    for digit in reversed(range(len(digits))):
        if place >> digit & 1:
            less |= same - digits[digit]
            same = same & digits[digit]
        else:
            same = same - digits[digit]
    return less


def _parted(sets: Iterable[Bits | Choice]) -> tuple[list[Bits | Choice], list[Bits]]:
    """The sets that are inside, lightest first, and those that are outside, heaviest first."""
    inside: list[Bits | Choice] = []
    outside: list[Bits] = []
    for one in sets:
        if isinstance(one, Bits) and one.outside:
            outside.append(one)
        else:
            inside.append(one)
    if len(inside) > 1:
        inside.sort(key=_weight)
    if len(outside) > 1:
        outside.sort(key=_weight, reverse=True)
    return inside, outside


def _weight(one: Bits | Choice) -> int:
    return one.weight


def _union(bitmaps: Sequence[BitMap]) -> BitMap:
    match bitmaps:
        case [one]:
            return one
        case [one, other]:
            return one | other
    return BitMap.union(*bitmaps)
