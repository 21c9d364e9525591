"""Boolean expressions over packed words, as steps that numpy takes block by block.

A block of every operand, and of the buffers for intermediate results, stays in the cache of the processor while all
steps are taken. Operands are read once, and no memory is allocated for intermediate results.
"""

#   (a OR b) AND NOT c      operands 0, 1, 2; buffers 3, 4
#     bitwise_or  0, 1 → 3
#     invert      2    → 4
#     bitwise_and 3, 4 → 3  the result

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from audience.index.storage.bitmaps import BitMap, RowNumbers, RowSet
from audience.index.storage.cache import CacheKey
from audience.index.storage.croaring import CONTAINER_WORDS, Words, choose_block_length
from audience.index.storage.viewed_words import ViewedWords
from audience.lazy_imports import np

BUFFER_WORDS = 13 << 14  # of all buffers together: each of a threshold takes 128 KB; half of it and twice are slower
MIN_BLOCK_WORDS, MAX_BLOCK_WORDS = 1 << 11, 1 << 16
MAX_KEPT_BYTES = 16 << 20  # of a thread


class _ScratchBuffers(threading.local):
    """Memory that each thread uses again: new memory costs as much as some steps.

    Shards that have lost rows are of many lengths, but of few numbers of containers.
    """

    def __init__(self) -> None:
        self.buffers: OrderedDict[int, list[ViewedWords]] = OrderedDict()  # by container count, the last used last

    def take_buffers(self, count: int, length: int) -> list[ViewedWords]:
        """Return *count* buffers of *length* words, or more, to overwrite."""
        container_count = -(-length // CONTAINER_WORDS)
        buffers = self.buffers.setdefault(container_count, [])
        self.buffers.move_to_end(container_count)
        if len(buffers) < count:
            buffers += [ViewedWords(length) for _ in range(count - len(buffers))]
            self._drop_oldest()
        for buffer in buffers:
            if len(buffer.words) != length:
                buffer.resize(length)
        return buffers

    def _drop_oldest(self) -> None:
        """Drop the buffers that were not used for longest, except the last ones, if all take too much memory."""
        nbytes = sum(buffer.nbytes for buffers in self.buffers.values() for buffer in buffers)
        while nbytes > MAX_KEPT_BYTES and len(self.buffers) > 1:
            _, dropped = self.buffers.popitem(last=False)
            nbytes -= sum(buffer.nbytes for buffer in dropped)


_BUFFERS, _RESULTS = _ScratchBuffers(), _ScratchBuffers()  # of intermediate results; of rows that are listed


class Value(NamedTuple):
    """Value within a program: the words of a slot, or their complement; without a slot, no rows or all of them."""

    slot: int | None
    complemented: bool = False

    def __invert__(self) -> Value:
        return Value(self.slot, not self.complemented)


NO_ROWS = Value(None)
ALL_ROWS = ~NO_ROWS


class Step(NamedTuple):
    """One operation: the words of slots *left* and *right* become those of slot *out*; *right* may be None."""

    operation: np.ufunc
    left: int
    right: int | None
    out: int


@dataclass(frozen=True)
class WordProgram:
    """Steps over slots: the operands come first, then the buffers."""

    operand_count: int
    buffer_count: int
    steps: tuple[Step, ...]
    result: Value

    @cached_property
    def block_words(self) -> int:
        """Return the number of words of a block."""
        fitting = BUFFER_WORDS // max(self.buffer_count, 1)
        return min(max(1 << fitting.bit_length() - 1, MIN_BLOCK_WORDS), MAX_BLOCK_WORDS)

    @cached_property
    def counted(self) -> tuple[tuple[Step, ...], tuple[tuple[int, int, int], ...]]:
        """Return the steps before rows are counted, and which slots then have how many rows in common: a sum of terms.

        The last intersection is counted without its words: `a AND NOT b` has the rows of a less those of a and b.
        """
        steps, slot = self.steps, self.result.slot
        assert slot is not None
        match steps:
            case [*first, Step(np.invert, inverted, None, other), Step(np.bitwise_and, left, int(right), out)] if (
                out == slot and other in (left, right) and left != right
            ):
                plain = left if right == other else right
                return tuple(first), ((1, plain, plain), (-1, plain, inverted))
            case [*first, Step(np.bitwise_and, left, int(right), out)] if out == slot:
                return tuple(first), ((1, left, right),)
        return steps, ((1, slot, slot),)

    @cached_property
    def found(self) -> tuple[tuple[Step, ...], tuple[int, int, bool]] | None:
        """Return the steps before the last intersection, its two slots, and whether the second one is subtracted.

        None if the result is no intersection.
        """
        steps, counts = self.counted
        match counts:
            case [(_, left, right)] if left != right:
                return steps, (left, right, False)
            case [_, (_, left, right)]:
                return steps, (left, right, True)
        return None

    def choose_length(self, size: int) -> int:
        """Return the number of words of a block of operands of *size* words."""
        return min(choose_block_length(self.block_words), size)


class WordPlan(NamedTuple):
    """Plan to evaluate an expression with packed words: the program, and the rows of the tags file that it reads.

    Their words are cached by *keys*.
    """

    program: WordProgram
    tag_rows: tuple[int, ...]
    keys: tuple[CacheKey, ...]


class ProgramWriter:
    """Writer of the steps of a program.

    An operation takes the buffers of its operands for its result. With *fresh* it leaves them as they are. The slot of
    a value has only rows that an operand has: no deleted row if the operands have none, and no bit after the last row.
    Of a complement, the slot has the other rows.

    >>> writer = ProgramWriter(3)
    >>> first, second, third = map(Value, range(3))
    >>> program = writer.finish(writer.intersect(writer.unite(first, second), ~third))
    >>> [(step.operation.__name__, step.left, step.right, step.out) for step in program.steps]
    [('bitwise_or', 0, 1, 3), ('invert', 2, None, 4), ('bitwise_and', 3, 4, 3)]
    """

    def __init__(self, operand_count: int):
        self.operand_count = operand_count
        self._steps: list[Step] = []
        self._slot_count = operand_count
        self._free: list[int] = []
        self._kept: dict[int, int] = {}  # by buffer: how many operations leave it as it is

    def finish(self, result: Value) -> WordProgram:
        """Return the program whose result is *result*."""
        return WordProgram(self.operand_count, self._slot_count - self.operand_count, tuple(self._steps), result)

    def intersect(self, left: Value, right: Value, *, fresh: bool = False) -> Value:
        """Return the rows in both."""
        if left.slot is None or right.slot is None:
            constant, other = (left, right) if left.slot is None else (right, left)
            if constant.complemented:
                return other
            self.release(other)
            return NO_ROWS
        if left.complemented and right.complemented:
            return ~Value(self._combine(np.bitwise_or, left.slot, right.slot, fresh))
        plain, other = (right.slot, left) if left.complemented else (left.slot, right)
        assert plain is not None and other.slot is not None
        if not other.complemented:
            return Value(self._combine(np.bitwise_and, plain, other.slot, fresh))
        inverted = other.slot if not fresh and self._consume_use(other.slot) else self._take_buffer()
        self._steps.append(Step(np.invert, other.slot, None, inverted))
        if fresh:
            self._steps.append(Step(np.bitwise_and, plain, inverted, inverted))
            return Value(inverted)
        return Value(self._combine(np.bitwise_and, plain, inverted, False))

    def unite(self, left: Value, right: Value, *, fresh: bool = False) -> Value:
        """Return the rows in either."""
        return ~self.intersect(~left, ~right, fresh=fresh)

    def differ(self, left: Value, right: Value, *, fresh: bool = False) -> Value:
        """Return the rows in one only."""
        if left.slot is None or right.slot is None:
            constant, other = (left, right) if left.slot is None else (right, left)
            return Value(other.slot, other.complemented ^ constant.complemented)
        slot = self._combine(np.bitwise_xor, left.slot, right.slot, fresh)
        return Value(slot, left.complemented ^ right.complemented)

    def add(self, left: Value, right: Value, digit: Value) -> tuple[Value, Value]:
        """Return the binary digit of the sum of three, and the carry. The buffers of all three are taken."""
        #   left ^ right ──┬── ^ digit ──────────────── sum
        #                  └── & digit ──┐
        #   left & right ────────────────┴─ | ───────── carry
        if digit.slot is None:
            total = self.differ(left, right, fresh=True)
            carry = self.unite(left, right) if digit.complemented else self.intersect(left, right)
            return Value(total.slot, total.complemented ^ digit.complemented), carry
        total = self.differ(left, right, fresh=True)
        both = self.intersect(left, right)
        carried = self.intersect(total, digit, fresh=True)
        return self.differ(digit, total), self.unite(both, carried)

    def add_one(self, addend: Value, digit: Value) -> tuple[Value, Value]:
        """Return the binary digit of the sum of two, and the carry. The buffers of both are taken."""
        if digit == NO_ROWS:
            return addend, NO_ROWS
        assert addend.slot is not None, "constants are not added"
        if digit == ALL_ROWS:
            copied = self._take_buffer()
            self._steps.append(Step(np.positive, addend.slot, None, copied))
            return ~Value(copied, addend.complemented), addend
        carry = self.intersect(addend, digit, fresh=True)
        return self.differ(digit, addend), carry

    def keep(self, value: Value, times: int) -> None:
        """Let *times* more operations leave the buffer of *value*, if it has one, as it is, before one takes it."""
        if value.slot is not None and self._is_buffer(value.slot) and times:
            self._kept[value.slot] = self._kept.get(value.slot, 0) + times

    def release(self, value: Value) -> None:
        """Use the buffer of *value*, if it has one and nothing else needs it, for other values."""
        if value.slot is not None and self._consume_use(value.slot):
            self._free.append(value.slot)

    def _combine(self, operation: np.ufunc, left: int, right: int, fresh: bool) -> int:
        buffers = [] if fresh else [slot for slot in dict.fromkeys((left, right)) if self._consume_use(slot)]
        out = buffers[0] if buffers else self._take_buffer()
        self._steps.append(Step(operation, left, right, out))
        self._free += buffers[1:]
        return out

    def _consume_use(self, slot: int) -> bool:
        """Count a use of a slot. Return whether it was the last one of a buffer, which may be overwritten now."""
        kept = self._kept.pop(slot, 0)
        if kept > 1:
            self._kept[slot] = kept - 1
        return self._is_buffer(slot) and not kept

    def _is_buffer(self, slot: int) -> bool:
        return slot >= self.operand_count

    def _take_buffer(self) -> int:
        if self._free:
            return self._free.pop()
        self._slot_count += 1
        return self._slot_count - 1


def write_threshold(
    writer: ProgramWriter, operands: Iterable[Value], operand_count: int, count: int, *, exactly: bool
) -> Value:
    """Write the steps that find the rows of *count* or more *operands*, or of as many if *exactly*.

    The sum of the operands starts at a power of two less *count*, so that the carry out of its highest digit says that
    the count is reached. It is reached exactly if all digits are 0 then, and the power is so large that there is one
    carry only. Two addends of a digit are added at once, as soon as there are two.
    """
    #   row             0  1  2  3      at least 2 of a, b, c: the power is 2, the sum starts at 0
    #   a               .  x  x  x
    #   b               .  .  x  x
    #   c               .  .  .  x
    #   digit 0         .  x  .  x      of the sum
    #   carry           .  .  x  x      rows 2 and 3 have reached the count
    if count == 2 and not exactly:
        return _write_twice(writer, operands)
    digit_count = (count - 1).bit_length()
    if exactly:
        digit_count = max(digit_count, (operand_count - count).bit_length())
    start = (1 << digit_count) - count
    digits = [ALL_ROWS if start >> place & 1 else NO_ROWS for place in range(digit_count)]
    waiting: list[list[Value]] = [[] for _ in range(digit_count + 1)]  # addends of each digit; carries of the last

    def add(addend: Value, place: int) -> None:
        waiting[place].append(addend)
        if len(waiting[place]) < 2:
            return
        left, right = waiting[place]
        waiting[place].clear()
        if place == digit_count:
            waiting[place].append(writer.unite(left, right))
        else:
            digits[place], carry = writer.add(left, right, digits[place])
            add(carry, place + 1)

    for operand in operands:
        add(operand, 0)
    for place in range(digit_count):
        for addend in waiting[place]:
            digits[place], carry = writer.add_one(addend, digits[place])
            if carry != NO_ROWS:
                add(carry, place + 1)
    reached = waiting[digit_count][0] if waiting[digit_count] else NO_ROWS
    for digit in digits:
        reached = writer.intersect(reached, ~digit) if exactly else reached
    return reached


def _write_twice(writer: ProgramWriter, operands: Iterable[Value]) -> Value:
    """Write the steps that find the rows of two or more *operands*, with fewer buffers than a sum."""
    values = iter(operands)
    once, twice, last = next(values), NO_ROWS, next(values)
    for operand in values:
        twice = writer.unite(twice, writer.intersect(once, last, fresh=True))
        once, last = writer.unite(once, last), operand
    return writer.unite(twice, writer.intersect(once, last))


def count_rows(program: WordProgram, operands: Sequence[ViewedWords], row_count: int) -> int:
    """Return the number of rows, out of *row_count* that are not deleted, in the result of *program*."""
    steps, counts = program.counted
    slots = operands
    if not steps and len(counts) == 1:  # most often: the two operands of an AND
        _, left, right = counts[0]
        counted = operands[left].count_shared(operands[right])
        return row_count - counted if program.result.complemented else counted
    if steps:
        size = len(operands[0].words)
        length = program.choose_length(size)
        buffers = _BUFFERS.take_buffers(program.buffer_count, length)
        if length < size:
            counted = _count_blocks(program, operands, buffers, length)
            return row_count - counted if program.result.complemented else counted
        slots = [*operands, *buffers]
        take_steps(steps, [each.words for each in slots])
    counted = sum([sign * slots[left].count_shared(slots[right]) for sign, left, right in counts])
    return row_count - counted if program.result.complemented else counted


def _count_blocks(
    program: WordProgram, operands: Sequence[ViewedWords], buffers: Sequence[ViewedWords], length: int
) -> int:
    """Return the number of rows in the slot of the result."""
    counted, size = 0, len(operands[0].words)
    for start in range(0, size, length):
        taken = min(length, size - start)
        slots = [each.words[start : start + taken] for each in operands] + [each.words[:taken] for each in buffers]
        take_steps(program.steps, slots)
        assert program.result.slot is not None
        in_buffer = program.result.slot - program.operand_count
        if in_buffer >= 0 and taken == length:
            counted += buffers[in_buffer].count()  # several times as fast
        else:
            counted += int(np.bitwise_count(slots[program.result.slot]).sum(dtype=np.int64))
    return counted


def find_rows(program: WordProgram, operands: Sequence[ViewedWords]) -> RowSet:
    """Return the rows in the result of *program*."""
    size, slot = len(operands[0].words), program.result.slot
    assert slot is not None
    length = program.choose_length(size)
    buffers = _BUFFERS.take_buffers(program.buffer_count, length)
    if length == size:
        rows = _find_whole(program, [*operands, *buffers], slot)
    else:
        rows = _find_blocks(program, [*operands, *buffers], length, ViewedWords(size)).to_bitmap()
    return RowSet(rows, program.result.complemented, 2 * len(rows))


def list_rows(program: WordProgram, operands: Sequence[ViewedWords]) -> RowNumbers:
    """Return the rows in the result of *program*, which is no complement, in rising order."""
    size, slot = len(operands[0].words), program.result.slot
    assert slot is not None and not program.result.complemented
    length = program.choose_length(size)
    buffers = _BUFFERS.take_buffers(program.buffer_count, length)
    slots = [*operands, *buffers]
    if length < size:
        return _find_blocks(program, slots, length, _RESULTS.take_buffers(1, size)[0]).list_rows()
    take_steps(program.steps, [each.words for each in slots])
    return slots[slot].list_rows()


def _find_blocks(program: WordProgram, slots: Sequence[ViewedWords], length: int, result: ViewedWords) -> ViewedWords:
    """Return *result*, overwritten with the slot of the result in blocks of *length* words."""
    assert program.result.slot is not None
    for start in range(0, len(result.words), length):
        found = result.words[start : start + length]
        words = [each.words[start : start + length] for each in slots[: program.operand_count]]
        words += [each.words[: len(found)] for each in slots[program.operand_count :]]
        take_steps(program.steps, words)
        found[:] = words[program.result.slot]
    return result


def _find_whole(program: WordProgram, slots: Sequence[ViewedWords], slot: int) -> BitMap:
    """Return the rows in the *slot* of the result, after steps on whole operands."""
    words = [each.words for each in slots]
    if slot < program.operand_count:  # other threads may read it
        copied = ViewedWords(len(words[slot]))
        copied.words[:] = words[slot]
        return copied.to_bitmap()
    if program.found is None:
        take_steps(program.steps, words)
        return slots[slot].to_bitmap()
    steps, (left, right, is_subtracted) = program.found
    take_steps(steps, words)
    rows = slots[left].find_difference(slots[right]) if is_subtracted else slots[left].find_intersection(slots[right])
    if rows is not None:
        return rows
    take_steps(program.steps[len(steps) :], words)
    return slots[slot].to_bitmap()


def take_steps(steps: Iterable[Step], slots: Sequence[Words]) -> None:
    """Take steps on the operands and buffers in *slots*."""
    for operation, left, right, out in steps:
        if right is None:
            operation(slots[left], slots[out])
        else:
            operation(slots[left], slots[right], slots[out])
