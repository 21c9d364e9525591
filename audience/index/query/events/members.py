"""Test single devices against conditions about events, by the few events of each device alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from audience.index.query.events.aggregates import is_on_side, read_bound
from audience.index.query.events.rows import RowCondition, compile_where, find_row_mask
from audience.index.query.events.windows import CoveredDays, InstantWindow, find_covered_days
from audience.index.schema.instant_sets import InstantSet, contains
from audience.index.storage.device_numbers import PARTITION_BITS, PARTITION_SIZE, partition_of
from audience.index.storage.event_context import EventContext
from audience.index.storage.events.segment import EventSegment
from audience.index.storage.shard import Shard
from audience.language.ast import Aggregate, Did, EventAtom, EventFilter, EventMoment

NumberTest: TypeAlias = Callable[[int], bool]  # whether the device with a number fits


@dataclass(frozen=True, slots=True)
class SegmentSelection:
    """Events of a segment that a condition selects on covered days."""

    segment: EventSegment
    condition: RowCondition
    covered: CoveredDays

    def iter_rows(self, number: int) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of the device *number* that are selected, day by day."""
        parts: list[tuple[int, InstantSet | None]] = [(day, None) for day in self.covered.whole]
        for day, inside in [*parts, *self.covered.parts]:
            if number not in self.segment.load_day_devices(day):
                continue
            first, last = int(self.segment.row_starts[day]), int(self.segment.row_starts[day + 1])
            numbers = self.segment.load_numbers(first, last)
            start, stop = (first + int(np.searchsorted(numbers, np.uint32(number), side)) for side in ("left", "right"))
            mask = find_row_mask(self.segment, (start, stop), self.condition, inside)
            rows = np.arange(start, stop)
            yield rows if mask is None else rows[mask]

    def iter_counts(self, number: int) -> Iterator[int]:
        """Yield how many events of the device *number* are selected, day by day."""
        if self.condition is not True:
            yield from map(len, self.iter_rows(number))
            return
        for day in self.covered.whole:
            if number in self.segment.load_day_devices(day):
                digits = enumerate(self.segment.load_day_counts(day))
                yield 1 + sum(1 << place for place, devices in digits if number in devices)
        in_part = SegmentSelection(self.segment, True, CoveredDays((), self.covered.parts))
        yield from map(len, in_part.iter_rows(number))


def make_event_test(atom: EventAtom, shard: Shard) -> Callable[[int], bool]:
    """Return a test of the live rows of *shard* by *atom*, which was validated."""
    events, first, partition = shard.group.events, shard.files.first_number, shard.files.partition
    if partition is not None:
        test = make_number_test(atom, events.in_partition(partition))
        if first is not None:
            offset = first - (partition << PARTITION_BITS)
            return lambda row: test(offset + row)
        lower = shard.numbers.load_column()
        return lambda row: test(int(lower[row]))
    tests = {each: make_number_test(atom, events.in_partition(each)) for each in shard.numbers.partitions}
    numbers = shard.numbers.load_column()
    return lambda row: tests[partition_of(int(numbers[row]))](int(numbers[row]) % PARTITION_SIZE)


def make_number_test(atom: EventAtom, events: EventContext) -> NumberTest:
    """Return a test of the lower bits of the numbers of a partition by *atom*, which was validated."""
    selections = list(_select(atom.events, events))
    match atom:
        case Did(least=least, most=None):
            return lambda number: _reaches(least, number, selections)
        case Did(least=least, most=int(most)):
            return lambda number: least <= _count(number, selections) <= most
        case EventMoment():
            return lambda number: _has_moment(number, atom, selections)
        case Aggregate():
            return lambda number: _has_aggregate(number, atom, selections)
    raise AssertionError(f"{atom!r} is not about events")


def _select(selected: EventFilter, events: EventContext) -> Iterator[SegmentSelection]:
    instants = None
    if selected.window is not None:
        assert isinstance(selected.window, InstantWindow), "the window was not validated"
        instants = selected.window.instants
    for segment in events.segments(selected.name):
        covered = find_covered_days(segment.days, instants, events.zone)
        yield SegmentSelection(segment, compile_where(selected.where, segment), covered)


def _reaches(least: int, number: int, selections: Sequence[SegmentSelection]) -> bool:
    """Return whether a device has at least so many events; no more than these are looked for."""
    found = 0
    for selection in selections:
        for count in selection.iter_counts(number):
            found += count
            if found >= least:
                return True
    return False


def _count(number: int, selections: Sequence[SegmentSelection]) -> int:
    return sum(count for selection in selections for count in selection.iter_counts(number))


def _has_moment(number: int, atom: EventMoment, selections: Sequence[SegmentSelection]) -> bool:
    assert isinstance(atom.window, InstantWindow), "the window was not validated"
    choose = min if atom.function == "first" else max
    moments = [
        choose(selection.segment.load_instants(int(rows[0]), int(rows[-1]) + 1)[rows - rows[0]].tolist())
        for selection in selections
        for rows in selection.iter_rows(number)
        if len(rows)
    ]
    return bool(moments) and contains(atom.window.instants, choose(moments))


def _has_aggregate(number: int, atom: Aggregate, selections: Sequence[SegmentSelection]) -> bool:
    values = [value for selection in selections for value in _iter_values(number, atom.property, selection)]
    match atom.function:
        case "sum":
            amount = sum(values, Fraction(0))
        case _ if not values:
            return False
        case "avg":
            amount = sum(values, Fraction(0)) / len(values)
        case "min":
            amount = min(values)
        case "max":
            amount = max(values)
    return is_on_side(amount - Fraction(read_bound(atom.value)), atom.operator)


def _iter_values(number: int, property_: str, selection: SegmentSelection) -> Iterator[Fraction]:
    values = selection.segment.properties.get(property_)
    if values is None:
        return
    texts = values.values()
    for rows in selection.iter_rows(number):
        for row in rows.tolist():
            (code,) = values.load_codes(row, row + 1).tolist()
            if code:
                yield Fraction(Decimal(texts[code - 1]))
