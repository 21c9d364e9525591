"""Implications between conditions about events of one name.

    did(e) >= 3               implies  did(e) >= 2
    did(e) within 7 days      implies  did(e) within 30 days
    did(e where a AND b)      implies  did(e where a), did(e)
    max(e.p) > 5              implies  max(e.p) > 3, did(e); so do min, avg, and a sum that is not 0
    last(e) within 7 days     implies  last(e) within 30 days, did(e) within 7 days
    did(e) after DAY          implies  last(e) on DAY or after, NOT last(e) two days before; first(e) is alike

If clocks are put back past midnight between two events, the later one is on the day before, and first and last events
are only known to a day. A rule that is not known makes a proof fail, never wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations

from audience.algebra.event_windows import contains_window, find_window_range
from audience.algebra.value_rules import Range
from audience.language.ast import (
    Aggregate,
    And,
    Atom,
    Did,
    EventAtom,
    EventFilter,
    EventMoment,
    Expr,
    Not,
    all_of,
    and_terms,
    any_of,
    map_atoms,
    or_terms,
)
from audience.language.event_atoms import MAX_TIMES, read_number
from audience.language.windows import Window

MAX_PAIRS = 2_000  # of conditions about one event; with more, none of them is compared
FUNCTION_ORDER = {"min": 0, "avg": 1, "max": 2}  # of the same values, none is larger than the next
ZERO = Range((0, 0), (0, 0))


@dataclass(frozen=True, slots=True)
class Selection:
    """Events of one name in *window* whose properties match *where*."""

    where: Expr | None
    window: Window | None

    def contains(self, other: "Selection") -> bool:
        """Return whether all events of *other* are surely in this selection."""
        return _follows(self.where, other.where) and contains_window(self.window, other.window)


def expand_counts(expr: Expr) -> Expr:
    """Return *expr* with `between 2 and 5` times as at least 2 AND NOT at least 6, from which more can be proved.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(expand_counts(parse("did(open) between 2 and 5 OR did(open) = 0")))
    '(did(open) >= 2 AND NOT did(open) >= 6) OR NOT did(open)'
    """
    return map_atoms(expr, lambda atom: _expand_count(atom) if isinstance(atom, Did) else atom)


def _expand_count(did: Did) -> Expr:
    if did.most is None or did.most >= MAX_TIMES:
        return did
    least = [replace(did, most=None)] if did.least else []
    return all_of([*least, Not(replace(did, least=did.most + 1, most=None))])


def iter_event_rules(used_atoms: Sequence[Atom]) -> Iterator[Expr]:
    """Yield expressions that are true of every device, for the conditions about events among *used_atoms*.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> used = [parse(text) for text in ("did(a) >= 3", "did(a)", "did(b)", "max(a.p) > 5")]
    >>> for rule in iter_event_rules(used):
    ...     print(render(rule))
    did(a) OR NOT did(a) >= 3
    did(a) OR NOT max(a.p) > 5
    """
    by_name: dict[str, list[EventAtom]] = {}
    for atom in used_atoms:
        if isinstance(atom, EventAtom):
            by_name.setdefault(atom.events.name, []).append(atom)
    for same_event in by_name.values():
        if len(same_event) * len(same_event) > MAX_PAIRS:
            continue
        for lhs, rhs in permutations(same_event, 2):
            if _implies(lhs, rhs):
                yield any_of([rhs, Not(lhs)])
        for lhs, rhs in combinations(same_event, 2):
            if _excludes(lhs, rhs):
                yield Not(And((lhs, rhs)))
            yield from _iter_joint_rules(lhs, rhs, same_event)


def _implies(lhs: EventAtom, rhs: EventAtom) -> bool:
    """Return whether *rhs* surely follows from *lhs*."""
    match lhs, rhs:
        case Did(most=None), Did(most=None) if _selects(rhs.events, lhs.events):
            return rhs.least <= lhs.least
        case Aggregate(), Aggregate():
            return _implies_amount(lhs, rhs)
        case EventMoment(), EventMoment() if _is_same_moment(lhs, rhs) and contains_window(rhs.window, lhs.window):
            return True
    existing = _find_existing_events(lhs)
    if existing is None:
        return False
    if isinstance(rhs, Did):
        return (rhs.least, rhs.most) == (1, None) and _select(rhs.events).contains(existing)
    return isinstance(rhs, EventMoment) and _follows(rhs.events.where, existing.where) and _is_reached(rhs, existing)


def _find_existing_events(atom: EventAtom) -> Selection | None:
    """Return a selection of events such that every device that fits *atom* has at least one of them."""
    match atom:
        case Did(least=0):
            return None
        case EventMoment(events=events, window=window):
            return Selection(events.where, window)
        case Aggregate(function="sum"):
            amounts = _find_amounts(atom)
            return None if amounts is None or amounts.contains(ZERO) else _select(atom.events)
    return _select(atom.events)


def _select(events: EventFilter) -> Selection:
    return Selection(events.where, events.window)


def _is_reached(moment: EventMoment, existing: Selection) -> bool:
    """Return whether the first or last event is surely in its window, as any event before or after *existing* is."""
    own, others = find_window_range(moment.window), find_window_range(existing.window)
    if own is None or others is None:
        return False
    if moment.function == "first":
        return own.low is None and own.has_passed_with(others)
    return own.high is None and own.begins_with(others)


def _selects(outer: EventFilter, inner: EventFilter) -> bool:
    """Return whether all events of *inner* are surely among those of *outer*."""
    return _select(outer).contains(_select(inner))


def _follows(where: Expr | None, condition: Expr | None) -> bool:
    """Return whether *where* surely follows from *condition*, by the terms of AND and OR."""
    if where is None or where == condition:
        return True
    if condition is None:
        return False
    return set(and_terms(where)) <= set(and_terms(condition)) or set(or_terms(condition)) <= set(or_terms(where))


def _are_same(lhs: EventFilter, rhs: EventFilter) -> bool:
    return _selects(lhs, rhs) and _selects(rhs, lhs)


def _is_same_moment(lhs: EventMoment, rhs: EventMoment) -> bool:
    return lhs.function == rhs.function and _are_same(lhs.events, rhs.events)


def _implies_amount(lhs: Aggregate, rhs: Aggregate) -> bool:
    """Return whether an aggregate implies another, of the same property."""
    left, right = _find_amounts(lhs), _find_amounts(rhs)
    if lhs.property != rhs.property or left is None or right is None:
        return False
    is_larger = right.high is None and right.reaches_down_to(left)
    is_smaller = right.low is None and right.reaches_up_to(left)
    if _are_same(lhs.events, rhs.events):
        if lhs.function == rhs.function:
            return right.contains(left)
        if {lhs.function, rhs.function} <= FUNCTION_ORDER.keys():
            grows = FUNCTION_ORDER[lhs.function] < FUNCTION_ORDER[rhs.function]
            return is_larger if grows else is_smaller
    if lhs.function != rhs.function or not _selects(rhs.events, lhs.events):
        return False
    return is_larger if rhs.function == "max" else rhs.function == "min" and is_smaller


def _find_amounts(aggregate: Aggregate) -> Range | None:
    """Return the amounts that fit *aggregate*."""
    number = read_number(aggregate.value)
    if number is None:
        return None
    match aggregate.operator:
        case "=":
            return Range((number, 0), (number, 0))
        case "<" | "<=":
            return Range(high=(number, -1 if aggregate.operator == "<" else 0))
    return Range(low=(number, 1 if aggregate.operator == ">" else 0))


def _excludes(lhs: EventAtom, rhs: EventAtom) -> bool:
    """Return whether surely no device fits both."""
    if _is_past(lhs, rhs) or _is_past(rhs, lhs):
        return True
    if isinstance(lhs, EventMoment) and isinstance(rhs, EventMoment) and _is_same_moment(lhs, rhs):
        left, right = find_window_range(lhs.window), find_window_range(rhs.window)
        return left is not None and right is not None and (left.is_before(right) or right.is_before(left))
    if isinstance(lhs, Aggregate) and isinstance(rhs, Aggregate) and _is_same_amount(lhs, rhs):
        amounts = _find_amounts(lhs), _find_amounts(rhs)
        return None not in amounts and _are_apart(*amounts)
    return False


def _is_past(moment: EventAtom, other: EventAtom) -> bool:
    """Return whether *other* surely means an event after the last one, or before the first one."""
    existing = _find_existing_events(other)
    if not isinstance(moment, EventMoment) or existing is None or not _follows(moment.events.where, existing.where):
        return False
    own, others = find_window_range(moment.window), find_window_range(existing.window)
    if own is None or others is None:
        return False
    return own.passes(others) if moment.function == "last" else others.passes(own)


def _is_same_amount(lhs: Aggregate, rhs: Aggregate) -> bool:
    is_same_function = (lhs.function, lhs.property) == (rhs.function, rhs.property)
    return is_same_function and _are_same(lhs.events, rhs.events)


def _are_apart(left: Range | None, right: Range | None) -> bool:
    return left is not None and right is not None and (left.is_before(right) or right.is_before(left))


def _iter_joint_rules(lhs: EventAtom, rhs: EventAtom, same_event: Sequence[EventAtom]) -> Iterator[Expr]:
    """Yield the rules that at least one of two conditions holds, for every device or for devices with such an event."""
    if isinstance(lhs, Aggregate) and isinstance(rhs, Aggregate):
        left, right = _find_amounts(lhs), _find_amounts(rhs)
        is_sum = lhs.function == "sum" and _is_same_amount(lhs, rhs)
        if is_sum and left is not None and right is not None and (_meet(left, right) or _meet(right, left)):
            yield any_of([lhs, rhs])
    if isinstance(lhs, EventMoment) and isinstance(rhs, EventMoment) and _is_same_moment(lhs, rhs):
        early, late = find_window_range(lhs.window), find_window_range(rhs.window)
        if early is not None and late is not None and (early.reaches(late) or late.reaches(early)):
            for did in same_event:
                if isinstance(did, Did) and did.least and _selects(lhs.events, did.events):
                    yield any_of([lhs, rhs, Not(did)])


def _meet(lower: Range, upper: Range) -> bool:
    """Return whether two ranges are all numbers together; *lower* is without a low end."""
    if lower.low is not None or upper.high is not None or lower.high is None or upper.low is None:
        return False
    (low, low_side), (high, high_side) = upper.low, lower.high
    return bool(low < high or (low == high and not (low_side > 0 and high_side < 0)))
