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

from audience.algebra.constraints import NONE, Facts, known, sharpen
from audience.algebra.fitting import fit, hopeless
from audience.algebra.normal_forms import is_literal, nnf
from audience.algebra.request_shape import Operator, Shape, Slots, widest
from audience.algebra.simplify import negation, simplify
from audience.language.ast import And, Everyone, Expr, Nobody, Not, Or, Tag, all_of, any_of, atoms, walk

FEW = 5  # tags; up to so many, all requests are tried
SECONDS = 0.05  # of search on a processor; the step under way at its end may take as long again
MANY = 1_000  # tags; more than a few requests say, and it takes seconds to find that out
LONG = 4  # times the parts that are wanted: a cover that is longer before parts are put together is given up

Says: TypeAlias = Callable[[Tag], bool]


@dataclass(frozen=True, slots=True)
class Cover:
    """*parts* share no device and each fits one request; with *rest* they are the whole.

    *least* tells that no cover has fewer parts; otherwise the search was given up after its time.
    """

    parts: tuple[Expr, ...]
    rest: Expr
    least: bool


def cover(
    expr: Expr,
    shape: Shape,
    says: Says = lambda tag: True,
    facts: Facts = NONE,
    *,
    most: int = 16,
    seconds: float = SECONDS,
) -> Cover:
    """Split *expr* into at most *most* parts that each fit one request of *shape*, of tags that it *says* only.

    What is known of the tags, *facts*, may tell that two parts share no device.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> found = cover(parse("(a OR b) AND (c OR d)"), Slots(20, 20, 20))
    >>> [render(part) for part in found.parts], found.rest, found.least
    (['(a OR b) AND c', '(a OR b) AND d AND NOT c'], Nobody(), True)
    """
    words = Words(shape, says, facts)
    expr = sharpen(expr, facts)
    if len(atoms(expr)) > MANY:
        return Cover((), expr, least=False)
    deadline = time.thread_time() + seconds
    said = words.say(expr)
    if said and (whole := fit(expr, shape)) is not None:
        return Cover((whole,), Nobody(), least=True)
    tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
    if said and isinstance(shape, Slots | Operator) and len(tags) <= FEW:
        found = _tried(expr, tags, shape, facts, deadline)
    else:
        found = _split(expr, words, most, deadline)
    return found if len(found.parts) <= most else _cut(found, most)


@dataclass(frozen=True, slots=True)
class Words:
    """What one request can say: its shape, the tags that it has names for, and what is known of them."""

    shape: Shape
    says: Says
    facts: Facts

    def say(self, expr: Expr) -> bool:
        """Whether all atoms of *expr* are tags with names."""
        return all(isinstance(atom, Tag) and self.says(atom) for atom in atoms(expr))


def _cut(found: Cover, most: int) -> Cover:
    """The first *most* parts; what the others say is left."""
    return Cover(found.parts[:most], simplify(any_of([*found.parts[most:], found.rest])), found.least)


def _tried(expr: Expr, tags: list[Tag], shape: Slots | Operator, facts: Facts, deadline: float) -> Cover:
    """Try all requests over a few *tags*; an audience is a number with one bit for each set of tags."""
    size = 1 << len(tags)
    bits = {tag: sum(1 << row for row in range(size) if row >> at & 1) for at, tag in enumerate(tags)}
    full = (1 << size) - 1
    possible = _table(known(tags, Facts(facts.exclusive)), bits, full)
    meant = _table(expr, bits, full) & possible
    tables = ((_table(part, bits, full) & possible, part) for part in _requests(tags, shape))
    requests = {table: part for table, part in tables if table and not table & ~meant}
    sayable = 0
    for table in requests:
        sayable |= table
    chosen, least = _fewest(sayable, list(requests), deadline)
    parts = tuple(requests[table] for table in chosen)
    rest = Nobody() if sum(chosen) == meant else sharpen(all_of([expr, *map(Not, parts)]), facts)
    return Cover(parts, rest, least)


def _table(expr: Expr, bits: dict[Tag, int], full: int) -> int:
    match expr:
        case Tag():
            return bits[expr]
        case Not(term=term):
            return full & ~_table(term, bits, full)
        case And(terms=terms):
            table = full
            for term in terms:
                table &= _table(term, bits, full)
            return table
        case Or(terms=terms):
            table = 0
            for term in terms:
                table |= _table(term, bits, full)
            return table
        case Everyone():
            return full
    return 0


def _requests(tags: Sequence[Tag], shape: Slots | Operator) -> Iterator[Expr]:
    """Every request over *tags*: longest first, so that of two that mean the same the shortest is kept."""
    return _slotted(tags, shape) if isinstance(shape, Slots) else _with_one_operator(tags, shape)


def _slotted(tags: Sequence[Tag], shape: Slots) -> Iterator[Expr]:
    places = sorted(product("any all none out".split(), repeat=len(tags)), key=lambda each: each.count("out"))
    for place in places:
        any_of_, all_of_, none_of_ = (
            [tag for tag, slot in zip(tags, place, strict=True) if slot == name] for name in ("any", "all", "none")
        )
        small = len(any_of_) <= shape.any_of and len(all_of_) <= shape.all_of and len(none_of_) <= shape.none_of
        if small and len(any_of_) != 1 and (any_of_ or all_of_ or (none_of_ and shape.lone_not)):
            yield all_of([*([any_of(any_of_)] if any_of_ else []), *all_of_, *map(Not, none_of_)])


def _with_one_operator(tags: Sequence[Tag], shape: Operator) -> Iterator[Expr]:
    for count in range(min(len(tags), shape.names), 0, -1):
        for some in combinations(tags, count):
            yield any_of(some)
            yield all_of(some)
            for first in some:
                yield all_of([first, *(Not(tag) for tag in some if tag != first)])


def _fewest(goal: int, tables: list[int], deadline: float) -> tuple[list[int], bool]:
    """The fewest of *tables* that share no bit and make up *goal*, and whether fewer are known not to do."""
    tables.sort(key=int.bit_count, reverse=True)
    best = _greedy(goal, tables)
    whole = sum(best) == goal  # no, where the shape is too narrow for single devices
    for count in range(1, len(best) if whole else goal.bit_count() + 1):
        try:
            found = _exactly(goal, tables, count, deadline, set())
        except TimeoutError:
            return best, False
        if found is not None:
            return found, True
    return best, whole


def _greedy(goal: int, tables: list[int]) -> list[int]:
    chosen = []
    for table in tables:
        if not table & ~goal:
            chosen.append(table)
            goal &= ~table
    return chosen


def _exactly(
    goal: int, tables: list[int], count: int, deadline: float, failed: set[tuple[int, int]]
) -> list[int] | None:
    """At most *count* of *tables*, largest first, that share no bit and make up *goal*; None if there are none."""
    if not goal:
        return []
    inside = [table for table in tables if not table & ~goal]
    if count == 0 or not inside or goal.bit_count() > count * inside[0].bit_count() or (goal, count) in failed:
        return None
    if time.thread_time() > deadline:
        raise TimeoutError
    lowest = goal & -goal
    for table in inside:
        if table & lowest:
            found = _exactly(goal & ~table, inside, count - 1, deadline, failed)
            if found is not None:
                return [table, *found]
    failed.add((goal, count))
    return None


def _split(expr: Expr, words: Words, most: int, deadline: float) -> Cover:
    """Split where it does not fit, one tag or one list at a time, until all parts fit or the time is over."""
    parts: list[Expr] = []
    rest: list[Expr] = []
    left = [expr]
    while left:
        piece = left.pop()
        whole = fit(piece, words.shape) if words.say(piece) else None
        if whole is not None:
            parts.append(whole)
        elif isinstance(piece, Nobody):
            continue
        elif time.thread_time() > deadline or len(parts) > LONG * most or not (halves := _halves(piece, words)):
            rest.append(piece)
        else:
            left.extend(sharpen(half, words.facts) for half in reversed(halves))
    return Cover(tuple(_merged(parts, words, deadline)), simplify(any_of(rest)), least=False)


def _halves(piece: Expr, words: Words) -> list[Expr]:
    """Two pieces that share no device and make up *piece*; none where no tag is left to tell them apart."""
    if hopeless(piece, words.shape):
        return []
    match piece:
        case Or(terms=terms) if some := [term for term in terms if isinstance(term, Tag) and words.says(term)]:
            return _list_first(some[: widest(words.shape)], terms)
        case And(terms=terms):
            for wide in terms:
                others = [term for term in terms if term is not wide]
                if isinstance(wide, Or) and len(wide.terms) > _room(words.shape, others) and words.say(wide):
                    first = wide.terms[: _first(wide, others, words)]
                    return [all_of([half, *others]) for half in _list_first(first, wide.terms)]
    tag = _pivot(piece, words.says)
    return [] if tag is None else [_given(piece, tag, holds) for holds in (True, False)]


def _room(shape: Shape, others: Sequence[Expr]) -> int:
    """How long a list beside *others* may be."""
    return max(1, widest(shape, others))


def _first(wide: Or, others: Sequence[Expr], words: Words) -> int:
    """How long the first part of a list is: the second excludes all of it, besides what *others* exclude."""
    most, length = _room(words.shape, others), len(wide.terms)
    if not isinstance(words.shape, Slots) or words.facts.excludes(wide.terms[0], wide.terms[-1]):
        return most
    room = words.shape.none_of - sum(isinstance(term, Not) for term in others)
    return min(most, room) if 0 < length - room <= most and room > 0 else most


def _list_first(some: Sequence[Expr], terms: Sequence[Expr]) -> list[Expr]:
    """The union of *some* of the terms of a union, and the others without them."""
    others = [term for term in terms if term not in some]
    return [any_of(some), all_of([*map(negation, some), any_of(others)])] if others else []


def _pivot(piece: Expr, says: Says) -> Tag | None:
    """The tag to split by: one of the shortest list that stands in the way, and of those the one read most often."""
    groups = [term for term in (piece.terms if isinstance(piece, And | Or) else ()) if not is_literal(term)]
    if not groups:
        return None
    counts = Counter(node for group in groups for node in walk(group) if isinstance(node, Tag) and says(node))
    found = [[atom for atom in atoms(group) if isinstance(atom, Tag) and atom in counts] for group in groups]
    shortest = min((tags for tags in found if tags), key=len, default=[])
    return max(shortest, key=lambda tag: counts[tag], default=None)


def _given(piece: Expr, tag: Tag, holds: bool) -> Expr:
    """The part of *piece* that has *tag*, or that has it not."""
    literal: Expr = tag if holds else Not(tag)
    return simplify(nnf(all_of([literal, _put(piece, tag, Everyone() if holds else Nobody())])))


def _put(expr: Expr, tag: Tag, value: Expr) -> Expr:
    """*expr* with *value* in the place of *tag*."""
    match expr:
        case Tag():
            return value if expr == tag else expr
        case Not(term=term):
            return negation(_put(term, tag, value))
        case And(terms=terms):
            return simplify(all_of(_put(term, tag, value) for term in terms))
        case Or(terms=terms):
            return simplify(any_of(_put(term, tag, value) for term in terms))
    return expr


def _merged(parts: list[Expr], words: Words, deadline: float) -> list[Expr]:
    """*parts* with those put together that one request can say together."""
    at = 0
    while at < len(parts):
        for other in range(at + 1, len(parts)):
            if time.thread_time() > deadline:
                return parts
            both = fit(any_of([parts[at], parts[other]]), words.shape)
            if both is not None:
                parts = [*parts[:at], both, *parts[at + 1 : other], *parts[other + 1 :]]
                break
        else:
            at += 1
    return parts
