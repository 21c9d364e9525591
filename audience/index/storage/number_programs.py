"""Find the rows whose bit-sliced number is wanted by a program over packed words, without the number of any row.

The wanted numbers are a function of their bits. Divided by one bit after another, from the highest one down, it becomes
a decision diagram, in which equal parts are one. Few ranges of numbers, and regular ones, have small diagrams.
"""

#   wanted: 1, 2, 3         bit 1 ── 0 ──▶ bit 0        bit 1 is 0: the rows of bit 0
#                             └───── 1 ──▶ all          bit 1 is 1: all
#                                                       so: the rows of bit 1, or of bit 0

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from audience.index.storage.bitmaps import BitMap
from audience.index.storage.croaring import CONTAINER_WORDS, Words
from audience.index.storage.packed_numbers import PADDING_WORDS, SCRATCH
from audience.index.storage.packed_words import WordBytes, clear_from, word_count, words_to_bitmap
from audience.index.storage.word_programs import ALL_ROWS, NO_ROWS, ProgramWriter, Value, WordProgram, take_steps
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_STEPS = 350  # more take as long as a table in which the number of every row is looked up
BLOCK_WORDS = 8 * CONTAINER_WORDS  # of each slice
MAX_KEPT_PROGRAMS = 8

Part: TypeAlias = tuple[int, int]  # number of bits that decide, and as a number which of their values are wanted


class _DividedPart(NamedTuple):
    """Division of a part by its highest bit, and how many steps join its halves again."""

    low: Part
    high: Part
    steps: int


class _TooLargeError(Exception):
    """Diagram that takes more steps than it may."""


class NumberProgram:
    """Rows whose bit-sliced number is wanted, which are found in blocks; threads may share them, as `NumberLookup`.

    Args:
        slices: Slice i has the rows whose number has bit i set, as the bytes of packed words.
        program: Program that `write_number_program` returned for the wanted numbers.
        row_count: Number of rows; one that is in no slice has the number 0.

    >>> from audience.index.storage.packed_words import load_bytes
    >>> slices = [load_bytes(BitMap(rows), 4) for rows in ([1, 3], [2, 3])]
    >>> program = write_number_program(np.array([False, True, True, True]))
    >>> lookup = NumberProgram(slices, program, 4)
    >>> for start in lookup.starts:
    ...     lookup.look_up(start)
    >>> lookup.to_bitmap()
    BitMap([1, 2, 3])
    """

    def __init__(self, slices: Sequence[WordBytes], program: WordProgram, row_count: int):
        self._slices, self._program, self._row_count = slices, program, row_count
        self._found: Words = np.empty(word_count(row_count), dtype="<u8")
        self.starts = range(0, self._found.nbytes, 8 * BLOCK_WORDS)

    def look_up(self, start: int) -> None:
        """Find the rows of the block at *start*, one of `starts`."""
        found = self._found[start // 8 : start // 8 + BLOCK_WORDS]
        slots = _take_slots(self._program.operand_count + self._program.buffer_count, len(found))
        for bit, slice_ in enumerate(self._slices):
            slots[bit].view(np.uint8)[:] = slice_[start : start + found.nbytes]
            np.invert(slots[bit], slots[len(self._slices) + bit])
        take_steps(self._program.steps, slots)
        assert self._program.result.slot is not None
        found[:] = slots[self._program.result.slot]

    def to_bitmap(self) -> BitMap:
        """Return the rows, after all blocks were looked up. It is called once."""
        clear_from(self._found, self._row_count)
        return words_to_bitmap(self._found)


def _take_slots(count: int, size: int) -> list[Words]:
    length = size + PADDING_WORDS
    rows: Words = SCRATCH.take("slots", count * length, np.uint64).reshape(count, length)
    return list(rows[:, :size])


def write_number_program(is_wanted: NDArray[np.bool_]) -> WordProgram | None:
    """Return the program that finds the rows with wanted numbers; None if a table is faster, or if it has no steps.

    Its operands are the slices of the numbers, the lowest bit first, and then the complements of the slices.

    Args:
        is_wanted: Whether each number is wanted; their number is a power of two.

    >>> program = write_number_program(np.array([False, True, True, True]))
    >>> [(step.operation.__name__, step.left, step.right) for step in program.steps]
    [('bitwise_or', 0, 1)]
    """
    bit_count = len(is_wanted).bit_length() - 1
    wanted = int.from_bytes(np.packbits(is_wanted, bitorder="little").tobytes(), "little")
    return _write_program((bit_count, wanted), MAX_STEPS)


@lru_cache(MAX_KEPT_PROGRAMS)  # large shards have the same values as a rule
def _write_program(root: Part, max_steps: int) -> WordProgram | None:
    try:
        diagram = _divide(root, max_steps)
    except _TooLargeError:
        return None
    return _write_steps(root, diagram) if diagram else None


def _divide(root: Part, max_steps: int) -> dict[Part, _DividedPart]:
    """Return the parts of *root* that are divided, each after its own parts."""
    diagram: dict[Part, _DividedPart] = {}
    steps = 0

    def divide(part: Part) -> None:
        nonlocal steps
        low, high = map(_shorten, _halve(part))
        for half in (low, high):
            if half not in diagram and half[0]:
                divide(half)
        diagram[part] = division = _DividedPart(low, high, _count_steps(*_halve(part)))
        steps += division.steps
        if steps > max_steps:
            raise _TooLargeError

    if (shortened := _shorten(root))[0]:
        divide(shortened)
    return diagram


def _halve(part: Part) -> tuple[Part, Part]:
    """Return the parts in which the highest bit is 0 and 1."""
    bits, wanted = part
    half = 1 << bits - 1
    return (bits - 1, wanted & (1 << half) - 1), (bits - 1, wanted >> half)


def _shorten(part: Part) -> Part:
    """Return the same part without upper bits that do not matter."""
    while part[0]:
        low, high = _halve(part)
        if low != high:
            break
        part = low
    return part


def _count_steps(low: Part, high: Part) -> int:
    """Return how many steps `_join` takes."""
    (bits, zeros), (_, ones) = low, high
    everything = (1 << (1 << bits)) - 1
    constants = sum(each in (0, everything) for each in (zeros, ones))
    if constants:
        return 2 - constants
    return 1 if zeros ^ ones == everything else 3


def _write_steps(root: Part, diagram: dict[Part, _DividedPart]) -> WordProgram | None:
    bit_count = root[0]
    writer = ProgramWriter(2 * bit_count)
    values: dict[Part, Value] = {(0, 0): NO_ROWS, (0, 1): ALL_ROWS}
    uses: dict[Part, int] = {}
    for division in diagram.values():
        for part in division[:2]:
            uses[part] = uses.get(part, 0) + 1
    for part, (low, high, steps) in diagram.items():
        bit, no_bit = Value(part[0] - 1), Value(bit_count + part[0] - 1)
        values[part] = _join(writer, (values[low], values[high]), bit, no_bit, steps)
        writer.keep(values[part], uses.get(part, 1) - 1)
    program = writer.finish(values[_shorten(root)])
    return program if program.steps else None


def _join(writer: ProgramWriter, halves: tuple[Value, Value], bit: Value, no_bit: Value, steps: int) -> Value:
    """Write the steps that find the rows of the first half without *bit*, and those of the second one with it."""
    match halves:
        case (Value(slot=None), Value(slot=None)):
            return bit if halves[1] == ALL_ROWS else no_bit
        case (Value(slot=None) as zeros, ones):
            return writer.unite(ones, no_bit) if zeros == ALL_ROWS else writer.intersect(ones, bit)
        case (zeros, Value(slot=None) as ones):
            return writer.unite(zeros, bit) if ones == ALL_ROWS else writer.intersect(zeros, no_bit)
    zeros, ones = halves
    if steps == 1:  # each is the complement of the other
        writer.release(ones)
        return writer.differ(zeros, bit)
    writer.keep(zeros, 1)
    return writer.differ(zeros, writer.intersect(bit, writer.differ(ones, zeros)))
