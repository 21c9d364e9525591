"""Rows of a segment of events whose properties fit a condition, one event at a time.

A condition is compared with the sorted distinct values of a property once. What is left for each row is whether its
code is a wanted one. An event without the property has the code 0, and fits no comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import eq, ge, le
from typing import TYPE_CHECKING, TypeAlias

from audience.index.query.pattern_search import find_matching_positions
from audience.index.schema.columns import Role
from audience.index.schema.instant_sets import InstantSet
from audience.index.schema.rank_ranges import group_into_ranges
from audience.index.schema.value_types import (
    RankRange,
    SortedStrings,
    find_anniversary_ranges,
    find_rank_range,
    find_tag_range,
)
from audience.index.storage.events.segment import EventProperty, EventSegment
from audience.language.ast import (
    And,
    Anniversary,
    AttributeAtom,
    Between,
    Compare,
    Everyone,
    Except,
    Expr,
    Has,
    Matches,
    Nobody,
    Not,
    Or,
    Tag,
    Threshold,
    Within,
)
from audience.language.attribute_names import UNTYPED
from audience.language.patterns import read_pattern
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mask: TypeAlias = "NDArray[np.bool_]"
RowMask: TypeAlias = Callable[[int, int], Mask]  # of the rows from a start to a stop

FLAG: Role = "tags"  # of a Boolean property; its only value is its name
COMPARISONS = {"at least": ge, "at most": le, "exactly": eq}
MAX_COMPARED_RANGES = 3  # of codes; for more, each code is looked up


@dataclass(frozen=True, slots=True)
class CodeCondition:
    """Condition of one property: whether each code is a wanted one, 0 for an event without the property."""

    values: EventProperty
    is_wanted: Mask


RowCondition: TypeAlias = bool | CodeCondition | RowMask  # the same for all rows, of one property, or of several


def compile_where(where: Expr | None, segment: EventSegment) -> RowCondition:
    """Return the condition *where* on the events of *segment*; without one, all of them fit."""
    match where:
        case None | Everyone():
            return True
        case Nobody():
            return False
        case Not(term=term):
            return _negate(compile_where(term, segment))
        case And(terms=terms):
            return _intersect([compile_where(term, segment) for term in terms])
        case Or(terms=terms):
            return _negate(_intersect([_negate(compile_where(term, segment)) for term in terms]))
        case Except(term=term, excluded=excluded):
            return _intersect([compile_where(term, segment), _negate(compile_where(excluded, segment))])
        case Threshold():
            return _count_terms(where, [compile_where(term, segment) for term in where.terms])
        case Tag() | Compare() | Within() | Between() | Matches() | Anniversary() | Has():
            return _compile_atom(where, segment)
    raise AssertionError(f"{where!r} is not about the properties of an event")


def _compile_atom(atom: AttributeAtom, segment: EventSegment) -> RowCondition:
    """Return a condition on one property; one on bare tags is about all Boolean properties, each of which is a tag."""
    if atom.type == UNTYPED:
        flags = [values for values in segment.properties.values() if values.role == FLAG]
        return _negate(_intersect([_negate(_compare_values(atom, values)) for values in flags]))
    values = segment.properties.get(atom.type)
    if values is None or values.role == FLAG:
        return False  # no event of the segment has the property
    return _compare_values(atom, values)


def _compare_values(atom: AttributeAtom, values: EventProperty) -> RowCondition:
    is_wanted = np.zeros(len(values.values()) + 1, dtype=np.bool_)
    for start, stop in find_value_ranges(atom, values):
        is_wanted[1 + start : 1 + stop] = True
    return _simplify(CodeCondition(values, is_wanted))


def find_value_ranges(atom: AttributeAtom, values: EventProperty) -> Sequence[RankRange]:
    """Return the ranges of ranks of the values that *atom* asks for, in rising order."""
    texts = values.values()
    strings = SortedStrings(values.value_type, texts)
    match atom:
        case Has():
            return [(0, len(texts))]
        case Tag():
            return [find_tag_range(atom, strings)]
        case Compare() | Within() | Between():
            return [find_rank_range(atom, strings)]
        case Anniversary():
            return find_anniversary_ranges(atom, strings)
        case Matches(pattern=pattern, ignores_case=ignores_case):
            return group_into_ranges(find_matching_positions(read_pattern(pattern, ignores_case), texts))
    raise AssertionError(f"{atom!r} is not about values")


def _simplify(condition: CodeCondition) -> RowCondition:
    if condition.is_wanted.all():
        return True
    return condition if condition.is_wanted.any() else False


def _negate(condition: RowCondition) -> RowCondition:
    match condition:
        case bool():
            return not condition
        case CodeCondition(values=values, is_wanted=is_wanted):
            return CodeCondition(values, ~is_wanted)
    mask = condition
    return lambda start, stop: ~mask(start, stop)


def _intersect(conditions: Sequence[RowCondition]) -> RowCondition:
    """Return the conjunction of *conditions*, in which the conditions on one property are joined to one."""
    if any(condition is False for condition in conditions):
        return False
    by_property: dict[int, list[CodeCondition]] = {}
    others: list[RowCondition] = []
    for condition in conditions:
        if isinstance(condition, CodeCondition):
            by_property.setdefault(id(condition.values), []).append(condition)
        elif condition is not True:
            others.append(condition)
    for same in by_property.values():
        joined = np.logical_and.reduce([each.is_wanted for each in same])
        others.append(_simplify(CodeCondition(same[0].values, joined)))
    remaining = [condition for condition in others if condition is not True]
    if any(condition is False for condition in remaining):
        return False
    if len(remaining) < 2:
        return remaining[0] if remaining else True
    return lambda start, stop: reduce(np.logical_and, (find_mask(each, start, stop) for each in remaining))


def _count_terms(expr: Threshold, conditions: Sequence[RowCondition]) -> RowMask:
    def count(start: int, stop: int) -> Mask:
        found = np.zeros(stop - start, dtype=np.int64)
        for condition in conditions:
            found += find_mask(condition, start, stop)
        compared: Mask = COMPARISONS[expr.operator](found, expr.count)
        return compared

    return count


def find_mask(condition: RowCondition, start: int, stop: int) -> Mask:
    """Return which of the rows from *start* to *stop* fit *condition*."""
    match condition:
        case bool():
            return np.full(stop - start, condition)
        case CodeCondition(values=values, is_wanted=is_wanted):
            return _find_codes(values.load_codes(start, stop), is_wanted)
    return condition(start, stop)


def _find_codes(codes: NDArray[np.unsignedinteger], is_wanted: Mask) -> Mask:
    """Return which of *codes* are wanted; a few ranges of them are compared several rows at a time."""
    padded = np.concatenate([[False], is_wanted, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    if len(edges) > 2 * MAX_COMPARED_RANGES:
        found: Mask = is_wanted[codes]
        return found
    one = codes.dtype.type
    ranges = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    masks = [codes - one(first) <= one(stop - 1 - first) for first, stop in ranges]  # a smaller code becomes large
    return reduce(np.logical_or, masks) if masks else np.zeros(len(codes), dtype=np.bool_)


def select_numbers(
    segment: EventSegment, rows: RankRange, condition: RowCondition, instants: InstantSet | None
) -> NDArray[np.uint32]:
    """Return the numbers of the devices of those *rows* of a day that fit *condition* and are in *instants*.

    They rise; a device has its number once for each event.
    """
    mask = find_row_mask(segment, rows, condition, instants)
    numbers = segment.load_numbers(*rows)
    return numbers if mask is None else numbers[mask]


def find_row_mask(
    segment: EventSegment, rows: RankRange, condition: RowCondition, instants: InstantSet | None
) -> Mask | None:
    """Return which of *rows* fit *condition* and are in *instants*; None if all of them do."""
    mask = None if condition is True else find_mask(condition, *rows)
    if instants is None:
        return mask
    moments = segment.load_instants(*rows)
    inside = [(moments >= start) & (moments < stop) for start, stop in instants]
    timely = reduce(np.logical_or, inside)
    return timely if mask is None else mask & timely
