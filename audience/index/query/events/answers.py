"""Answer questions about events: the numbers of the devices that fit them, and their rows in a shard.

Events are kept by the number of the device, which no change of the index changes. A question is answered once for all
shards of a snapshot whose numbers are of one partition; each shard then has the rows of those that are its own.
"""

#   did(buy) >= 2 within 7 days      numbers 4, 7, 8 of all devices
#   shard of the numbers 0 to 5      row 4
#   shard of the numbers 6 to 9      rows 1, 2
#   shard of the numbers 9, 7, 8     rows 1, 2

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from audience.index.query.events.aggregates import (
    DaySums,
    ScaledValues,
    compare_sums,
    is_on_side,
    read_bound,
    scale_values,
    sum_day,
)
from audience.index.query.events.counts import DayCounts, count_events, find_at_least, to_bitmap, unite
from audience.index.query.events.rows import CodeCondition, RowCondition, compile_where, find_row_mask, select_numbers
from audience.index.query.events.windows import InstantWindow, find_covered_days
from audience.index.schema.instant_sets import START, STOP, InstantSet
from audience.index.storage.bitmaps import BitMap, RowSet, bitmap_to_rows, rows_to_bitmap
from audience.index.storage.device_numbers import PARTITION_BITS, join_partition
from audience.index.storage.event_context import EventContext
from audience.index.storage.events.segment import EventSegment
from audience.index.storage.packed_words import bitmap_to_mask, mask_to_bitmap
from audience.index.storage.shard import Shard
from audience.index.storage.shard_group import ShardGroup
from audience.language.ast import (
    Aggregate,
    Compare,
    CompareOp,
    Did,
    EventAtom,
    EventFilter,
    EventMoment,
    Expr,
    Has,
    all_of,
)
from audience.lazy_imports import np

EXTREME_SIDES: Sequence[tuple[CompareOp, CompareOp]] = (("<", "<="), (">", ">="))  # of the smallest, of the largest
GATHER_RATIO = 64  # rows of a shard are looked up one by one if fewer than one in so many numbers fits
MASK_RATIO = 64  # a mask has at most so many numbers for each row of a shard


def find_event_rows(atom: EventAtom, shard: Shard) -> RowSet:
    """Return the rows of *shard* whose devices fit *atom*, which was validated; deleted rows may be among them."""
    found = [(partition, find_event_numbers(atom, shard.group, partition)) for partition in shard.numbers.partitions]
    rows = unite([rows_of_numbers(numbers.bitmap, shard, partition) for partition, numbers in found])
    (is_complement,) = {numbers.complemented for _, numbers in found}  # the atom alone decides it
    return RowSet(rows, is_complement, 2 * len(rows))


def find_event_numbers(atom: EventAtom, group: ShardGroup, partition: int) -> RowSet:
    """Return the numbers of the devices of a partition that fit *atom*, in all shards of a group; they are found once.

    A complement is that of all numbers of the partition.
    """
    with group.event_lock:
        numbers = group.event_numbers.get(atom, {}).get(partition)
        if numbers is None:
            found = answer_event(atom, group.events.in_partition(partition))
            numbers = group.keep_numbers(atom, partition, found)
    return numbers


def rows_of_numbers(numbers: BitMap, shard: Shard, partition: int) -> BitMap:
    """Return the rows of *shard* whose devices have *numbers* of a partition, including deleted rows."""
    if not numbers:
        return numbers
    if shard.files.first_number is not None:
        first = shard.files.first_number - (partition << PARTITION_BITS)
        if first == 0 and numbers.max() < shard.row_count:
            return numbers
        return (numbers & BitMap(range(first, first + shard.row_count))).shift(-first)
    if len(numbers) * GATHER_RATIO >= shard.row_count:
        own_numbers = shard.numbers.load_column()
        size = max(int(own_numbers.max()), numbers.max()) + 1
        if size <= shard.row_count * MASK_RATIO and shard.files.partition is not None:
            return mask_to_bitmap(bitmap_to_mask(numbers, size)[own_numbers])
        numbers = numbers & shard.numbers.of_column.in_partition(partition)
    return rows_to_bitmap(np.sort(shard.numbers.rows_with(join_partition(partition, bitmap_to_rows(numbers)))))


def answer_event(atom: EventAtom, events: EventContext) -> RowSet:
    """Return the numbers of the devices of a partition that fit *atom*, which was validated."""
    match atom:
        case Did(events=selected, least=least, most=most):
            return _answer_did(selected, least, most, events)
        case EventMoment():
            return _answer_moment(atom, events)
        case Aggregate(function="sum" | "avg"):
            return _answer_sum(atom, events)
        case Aggregate():
            return _answer_extreme(atom, events)


def _answer_did(selected: EventFilter, least: int, most: int | None, events: EventContext) -> RowSet:
    """Return the devices with *least* to *most* events. Those without any are none of which anything is kept."""
    days = list(_iter_days(selected, events, counts=least > 1 or most is not None))
    find = partial(find_at_least, days, number_count=events.number_count)
    if most is None:
        return _as_numbers(find(least))
    above = find(most + 1)
    return ~_as_numbers(above) if least == 0 else _as_numbers(find(least) - above)


def _as_numbers(numbers: BitMap) -> RowSet:
    return RowSet(numbers, nbytes=2 * len(numbers))


def _iter_days(selected: EventFilter, events: EventContext, *, counts: bool) -> Iterator[DayCounts]:
    """Yield the counts of each day with any of the *selected* events; without *counts*, only its devices."""
    instants = _instants_of(selected)
    for segment in events.segments(selected.name):
        condition = compile_where(selected.where, segment)
        if condition is False:
            continue
        covered = find_covered_days(segment.days, instants, events.zone)
        find_stored = _choose_bitmaps(condition, segment, counts=counts)
        if find_stored is not None:
            for day in covered.whole:
                yield from find_stored(day)
        parts = [*covered.parts, *((day, None) for day in covered.whole if find_stored is None)]
        for day, inside in parts:
            numbers = select_numbers(segment, _rows_of_day(segment, day), condition, inside)
            if len(numbers):
                yield count_events(numbers) if counts else DayCounts(to_bitmap(numbers))


def _choose_bitmaps(
    condition: RowCondition, segment: EventSegment, *, counts: bool
) -> Callable[[int], Iterator[DayCounts]] | None:
    """Return how the counts of a whole day are read of stored bitmaps, or None if its rows must be compared."""
    if condition is True:
        return lambda day: iter(
            [DayCounts(segment.load_day_devices(day), segment.load_day_counts(day) if counts else ())]
        )
    if not isinstance(condition, CodeCondition) or condition.is_wanted[0] or not condition.values.has_value_days:
        return None
    values, ranks = condition.values, np.flatnonzero(condition.is_wanted[1:]).tolist()

    def find_values(day: int) -> Iterator[DayCounts]:
        for rank in ranks:
            bitmaps = segment.load_value_day(values, day, rank)
            if bitmaps:
                yield DayCounts(bitmaps[0], bitmaps[1:])

    return find_values


def _instants_of(selected: EventFilter) -> InstantSet | None:
    window = selected.window
    if window is None:
        return None
    assert isinstance(window, InstantWindow), "the window was not validated"
    return window.instants


def _rows_of_day(segment: EventSegment, day: int) -> tuple[int, int]:
    return int(segment.row_starts[day]), int(segment.row_starts[day + 1])


def _find_any(selected: EventFilter, events: EventContext) -> BitMap:
    """Return the numbers of the devices with any of the *selected* events."""
    return _answer_did(selected, 1, None, events).bitmap


def _answer_moment(atom: EventMoment, events: EventContext) -> RowSet:
    """Return the devices with an event in the window and none before it, or none after it for the last event."""
    assert isinstance(atom.window, InstantWindow), "the window was not validated"
    found = BitMap()
    for start, stop in atom.window.instants:
        inside = _find_any(_within(atom.events, start, stop), events)
        outside = _within(atom.events, START, start) if atom.function == "first" else _within(atom.events, stop, STOP)
        found |= inside if outside is None else inside - _find_any(outside, events)
    return _as_numbers(found)


def _within(selected: EventFilter, start: int, stop: int) -> EventFilter:
    return replace(selected, window=InstantWindow.of(((start, stop),) if start < stop else ()))


def _answer_extreme(atom: Aggregate, events: EventContext) -> RowSet:
    """Return the devices whose largest, or smallest, value is on one side of a bound.

    The largest is below a bound if there is a value, and none at the bound or above it.
    """
    beyond, at_least = EXTREME_SIDES[atom.function == "max"]
    goes_beyond = Compare(atom.property, beyond, atom.value)
    reaches = Compare(atom.property, at_least, atom.value)
    wanted: Expr = Has(atom.property)
    unwanted: Expr | None = reaches if atom.operator in ("<", ">") else goes_beyond
    if atom.operator == beyond:
        wanted, unwanted = goes_beyond, None
    elif atom.operator == at_least:
        wanted, unwanted = reaches, None
    elif atom.operator == "=":
        wanted = reaches
    found = _find_any(_and_where(atom.events, wanted), events)
    return _as_numbers(found if unwanted is None else found - _find_any(_and_where(atom.events, unwanted), events))


def _and_where(selected: EventFilter, condition: Expr) -> EventFilter:
    return replace(selected, where=condition if selected.where is None else all_of([selected.where, condition]))


def _answer_sum(atom: Aggregate, events: EventContext) -> RowSet:
    """Return the devices whose sum, or average, is on one side of a bound; of the sum also those without any event."""
    bound = read_bound(atom.value)
    has_zero = atom.function == "sum" and is_on_side(-bound, atom.operator)
    segments = [each for each in events.segments(atom.events.name) if atom.property in each.properties]
    if not segments:
        return RowSet(BitMap(), complemented=has_zero)
    row_count = sum(segment.row_count for segment in segments)
    properties = [segment.properties[atom.property] for segment in segments]
    values = scale_values(properties, bound, row_count, is_average=atom.function == "avg")
    days = (
        day
        for segment, scaled in zip(segments, values, strict=True)
        for day in _iter_sums(atom, segment, scaled, events)
    )
    signs = compare_sums(days, values[0].bound, row_count, events.number_count)
    numbers = to_bitmap(signs.reject(atom.operator) if has_zero else signs.select(atom.operator))
    return RowSet(numbers, has_zero, 2 * len(numbers))


def _iter_sums(atom: Aggregate, segment: EventSegment, values: ScaledValues, events: EventContext) -> Iterator[DaySums]:
    """Yield the sums of each day with any of the events that *atom* selects."""
    condition = compile_where(atom.events.where, segment)
    if condition is False:
        return
    covered = find_covered_days(segment.days, _instants_of(atom.events), events.zone)
    property_ = segment.properties[atom.property]
    for day, inside in (*((day, None) for day in covered.whole), *covered.parts):
        start, stop = _rows_of_day(segment, day)
        mask = find_row_mask(segment, (start, stop), condition, inside)
        numbers, codes = segment.load_numbers(start, stop), property_.load_codes(start, stop)
        if mask is not None:
            numbers, codes = numbers[mask], codes[mask]
        yield sum_day(numbers, codes, values)
