"""One audience as a few requests: parts that each fit one request, that share no device, and that make up the whole.

Of a few tags every request there can be is tried, so that the parts are as few as possible. Of more, the expression
is split where it does not fit, tag by tag, and parts that one request can say together are put together again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TypeAlias

from audience.algebra.constraints import (
    NO_CONSTRAINTS,
    AttributeConstraints,
    build_constraint_expr,
    simplify_with_constraints,
)
from audience.algebra.fitting import fit_to_shape, has_too_many_nots
from audience.algebra.normal_forms import is_literal, nnf
from audience.algebra.request_shape import RequestShape, SingleOperator, Slots, max_or_width
from audience.algebra.simplification import negate, simplify
from audience.language.ast import And, Everyone, Expr, Nobody, Not, Or, Tag, all_of, any_of, atoms, walk

MAX_EXHAUSTIVE_TAGS = 5  # tags; up to so many, all requests are tried
MAX_SEARCH_SECONDS = 0.05  # of search on a processor; the step under way at its end may take as long again
MAX_COVER_TAGS = 1_000  # tags; more than a few requests say, and it takes seconds to find that out
MAX_PARTS_FACTOR = (
    4  # times the parts that are wanted: a cover that is longer before parts are put together is given up
)

CanName: TypeAlias = Callable[[Tag], bool]


@dataclass(frozen=True, slots=True)
class Cover:
    """*parts* share no device and each fits one request; with *rest* they are the whole.

    *least* tells that no cover has fewer parts; otherwise the search was given up after its time.
    """

    parts: tuple[Expr, ...]
    remainder: Expr
    is_minimal: bool


def find_cover(
    expr: Expr,
    shape: RequestShape,
    can_name: CanName = lambda tag: True,
    constraints: AttributeConstraints = NO_CONSTRAINTS,
    *,
    max_parts: int = 16,
    max_seconds: float = MAX_SEARCH_SECONDS,
) -> Cover:
    """Split *expr* into at most *most* parts that each fit one request of *shape*, of tags that it *says* only.

    What is known of the tags, *facts*, may tell that two parts share no device.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> found = find_cover(parse("(a OR b) AND (c OR d)"), Slots(20, 20, 20))
    >>> [render(part) for part in found.parts], found.remainder, found.is_minimal
    (['(a OR b) AND c', '(a OR b) AND d AND NOT c'], Nobody(), True)
    """
    words = CoverContext(shape, can_name, constraints)
    expr = simplify_with_constraints(expr, constraints)
    if len(atoms(expr)) > MAX_COVER_TAGS:
        return Cover((), expr, is_minimal=False)
    deadline = time.thread_time() + max_seconds
    said = words.can_name_all(expr)
    if said and (whole := fit_to_shape(expr, shape)) is not None:
        return Cover((whole,), Nobody(), is_minimal=True)
    tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
    if said and isinstance(shape, Slots | SingleOperator) and len(tags) <= MAX_EXHAUSTIVE_TAGS:
        found = _search_all_requests(expr, tags, shape, constraints, deadline)
    else:
        found = _split_until_fit(expr, words, max_parts, deadline)
    return found if len(found.parts) <= max_parts else _limit_parts(found, max_parts)


@dataclass(frozen=True, slots=True)
class CoverContext:
    """What one request can say: its shape, the tags that it has names for, and what is known of them."""

    shape: RequestShape
    can_name: CanName
    constraints: AttributeConstraints

    def can_name_all(self, expr: Expr) -> bool:
        """Whether all atoms of *expr* are tags with names."""
        return all(isinstance(atom, Tag) and self.can_name(atom) for atom in atoms(expr))


def _limit_parts(cover: Cover, max_parts: int) -> Cover:
    """The first *most* parts; what the others say is left."""
    return Cover(
        cover.parts[:max_parts], simplify(any_of([*cover.parts[max_parts:], cover.remainder])), cover.is_minimal
    )


def _search_all_requests(
    expr: Expr, tags: list[Tag], shape: Slots | SingleOperator, constraints: AttributeConstraints, deadline: float
) -> Cover:
    """Try all requests over a few *tags*; an audience is a number with one bit for each set of tags."""
    size = 1 << len(tags)
    bits = {tag: sum(1 << row for row in range(size) if row >> at & 1) for at, tag in enumerate(tags)}
    full = (1 << size) - 1
    possible = _truth_table(build_constraint_expr(tags, AttributeConstraints(constraints.exclusive)), bits, full)
    meant = _truth_table(expr, bits, full) & possible
    tables = ((_truth_table(part, bits, full) & possible, part) for part in _iter_requests(tags, shape))
    requests = {table: part for table, part in tables if table and not table & ~meant}
    sayable = 0
    for table in requests:
        sayable |= table
    chosen, least = _find_min_exact_cover(sayable, list(requests), deadline)
    parts = tuple(requests[table] for table in chosen)
    rest = (
        Nobody() if sum(chosen) == meant else simplify_with_constraints(all_of([expr, *map(Not, parts)]), constraints)
    )
    return Cover(parts, rest, least)


def _truth_table(expr: Expr, tag_bits: dict[Tag, int], all_bits: int) -> int:
    match expr:
        case Tag():
            return tag_bits[expr]
        case Not(term=term):
            return all_bits & ~_truth_table(term, tag_bits, all_bits)
        case And(terms=terms):
            table = all_bits
            for term in terms:
                table &= _truth_table(term, tag_bits, all_bits)
            return table
        case Or(terms=terms):
            table = 0
            for term in terms:
                table |= _truth_table(term, tag_bits, all_bits)
            return table
        case Everyone():
            return all_bits
    return 0


def _iter_requests(tags: Sequence[Tag], shape: Slots | SingleOperator) -> Iterator[Expr]:
    """Every request over *tags*: longest first, so that of two that mean the same the shortest is kept."""
    return _iter_slot_requests(tags, shape) if isinstance(shape, Slots) else _iter_operator_requests(tags, shape)


def _iter_slot_requests(tags: Sequence[Tag], shape: Slots) -> Iterator[Expr]:
    places = sorted(product("any all none out".split(), repeat=len(tags)), key=lambda each: each.count("out"))
    for place in places:
        any_of_, all_of_, none_of_ = (
            [tag for tag, slot in zip(tags, place, strict=True) if slot == name] for name in ("any", "all", "none")
        )
        small = (
            len(any_of_) <= shape.max_any_of and len(all_of_) <= shape.max_all_of and len(none_of_) <= shape.max_none_of
        )
        if small and len(any_of_) != 1 and (any_of_ or all_of_ or (none_of_ and shape.allows_unbounded_not)):
            yield all_of([*([any_of(any_of_)] if any_of_ else []), *all_of_, *map(Not, none_of_)])


def _iter_operator_requests(tags: Sequence[Tag], shape: SingleOperator) -> Iterator[Expr]:
    for count in range(min(len(tags), shape.max_tags), 0, -1):
        for some in combinations(tags, count):
            yield any_of(some)
            yield all_of(some)
            for first in some:
                yield all_of([first, *(Not(tag) for tag in some if tag != first)])


def _find_min_exact_cover(goal: int, tables: list[int], deadline: float) -> tuple[list[int], bool]:
    """The fewest of *tables* that share no bit and make up *goal*, and whether fewer are known not to do."""
    tables.sort(key=int.bit_count, reverse=True)
    best = _find_greedy_cover(goal, tables)
    whole = sum(best) == goal  # no, where the shape is too narrow for single devices
    for count in range(1, len(best) if whole else goal.bit_count() + 1):
        try:
            found = _find_exact_cover(goal, tables, count, deadline, set())
        except TimeoutError:
            return best, False
        if found is not None:
            return found, True
    return best, whole


def _find_greedy_cover(goal: int, tables: list[int]) -> list[int]:
    chosen = []
    for table in tables:
        if not table & ~goal:
            chosen.append(table)
            goal &= ~table
    return chosen


def _find_exact_cover(
    goal: int, tables: list[int], max_count: int, deadline: float, failed: set[tuple[int, int]]
) -> list[int] | None:
    """At most *count* of *tables*, largest first, that share no bit and make up *goal*; None if there are none."""
    if not goal:
        return []
    inside = [table for table in tables if not table & ~goal]
    if (
        max_count == 0
        or not inside
        or goal.bit_count() > max_count * inside[0].bit_count()
        or (goal, max_count) in failed
    ):
        return None
    if time.thread_time() > deadline:
        raise TimeoutError
    lowest = goal & -goal
    for table in inside:
        if table & lowest:
            found = _find_exact_cover(goal & ~table, inside, max_count - 1, deadline, failed)
            if found is not None:
                return [table, *found]
    failed.add((goal, max_count))
    return None


def _split_until_fit(expr: Expr, context: CoverContext, max_parts: int, deadline: float) -> Cover:
    """Split where it does not fit, one tag or one list at a time, until all parts fit or the time is over."""
    parts: list[Expr] = []
    rest: list[Expr] = []
    left = [expr]
    while left:
        piece = left.pop()
        whole = fit_to_shape(piece, context.shape) if context.can_name_all(piece) else None
        if whole is not None:
            parts.append(whole)
        elif isinstance(piece, Nobody):
            continue
        elif (
            time.thread_time() > deadline
            or len(parts) > MAX_PARTS_FACTOR * max_parts
            or not (halves := _split_once(piece, context))
        ):
            rest.append(piece)
        else:
            left.extend(simplify_with_constraints(half, context.constraints) for half in reversed(halves))
    return Cover(tuple(_merge_parts(parts, context, deadline)), simplify(any_of(rest)), is_minimal=False)


def _split_once(piece: Expr, context: CoverContext) -> list[Expr]:
    """Two pieces that share no device and make up *piece*; none where no tag is left to tell them apart."""
    if has_too_many_nots(piece, context.shape):
        return []
    match piece:
        case Or(terms=terms) if some := [term for term in terms if isinstance(term, Tag) and context.can_name(term)]:
            return _split_union(some[: max_or_width(context.shape)], terms)
        case And(terms=terms):
            for wide in terms:
                others = [term for term in terms if term is not wide]
                if (
                    isinstance(wide, Or)
                    and len(wide.terms) > _or_width_left(context.shape, others)
                    and context.can_name_all(wide)
                ):
                    first = wide.terms[: _first_part_size(wide, others, context)]
                    return [all_of([half, *others]) for half in _split_union(first, wide.terms)]
    tag = _choose_tag(piece, context.can_name)
    return [] if tag is None else [_restrict_by_tag(piece, tag, holds) for holds in (True, False)]


def _or_width_left(shape: RequestShape, other_terms: Sequence[Expr]) -> int:
    """How long a list beside *others* may be."""
    return max(1, max_or_width(shape, other_terms))


def _first_part_size(union: Or, other_terms: Sequence[Expr], context: CoverContext) -> int:
    """How long the first part of a list is: the second excludes all of it, besides what *others* exclude."""
    most, length = _or_width_left(context.shape, other_terms), len(union.terms)
    if not isinstance(context.shape, Slots) or context.constraints.are_exclusive(union.terms[0], union.terms[-1]):
        return most
    room = context.shape.max_none_of - sum(isinstance(term, Not) for term in other_terms)
    return min(most, room) if 0 < length - room <= most and room > 0 else most


def _split_union(chosen: Sequence[Expr], terms: Sequence[Expr]) -> list[Expr]:
    """The union of *some* of the terms of a union, and the others without them."""
    others = [term for term in terms if term not in chosen]
    return [any_of(chosen), all_of([*map(negate, chosen), any_of(others)])] if others else []


def _choose_tag(piece: Expr, can_name: CanName) -> Tag | None:
    """The tag to split by: one of the shortest list that stands in the way, and of those the one read most often."""
    groups = [term for term in (piece.terms if isinstance(piece, And | Or) else ()) if not is_literal(term)]
    if not groups:
        return None
    counts = Counter(node for group in groups for node in walk(group) if isinstance(node, Tag) and can_name(node))
    found = [[atom for atom in atoms(group) if isinstance(atom, Tag) and atom in counts] for group in groups]
    shortest = min((tags for tags in found if tags), key=len, default=[])
    return max(shortest, key=lambda tag: counts[tag], default=None)


def _restrict_by_tag(piece: Expr, tag: Tag, has_tag: bool) -> Expr:
    """The part of *piece* that has *tag*, or that has it not."""
    literal: Expr = tag if has_tag else Not(tag)
    return simplify(nnf(all_of([literal, _substitute_tag(piece, tag, Everyone() if has_tag else Nobody())])))


def _substitute_tag(expr: Expr, tag: Tag, value: Expr) -> Expr:
    """*expr* with *value* in the place of *tag*."""
    match expr:
        case Tag():
            return value if expr == tag else expr
        case Not(term=term):
            return negate(_substitute_tag(term, tag, value))
        case And(terms=terms):
            return simplify(all_of(_substitute_tag(term, tag, value) for term in terms))
        case Or(terms=terms):
            return simplify(any_of(_substitute_tag(term, tag, value) for term in terms))
    return expr


def _merge_parts(parts: list[Expr], context: CoverContext, deadline: float) -> list[Expr]:
    """*parts* with those put together that one request can say together."""
    at = 0
    while at < len(parts):
        for other in range(at + 1, len(parts)):
            if time.thread_time() > deadline:
                return parts
            both = fit_to_shape(any_of([parts[at], parts[other]]), context.shape)
            if both is not None:
                parts = [*parts[:at], both, *parts[at + 1 : other], *parts[other + 1 :]]
                break
        else:
            at += 1
    return parts
