"""Split an expression into disjoint parts that each fit one request.

For a few tags all possible requests are searched, so the parts are as few as possible. Otherwise the expression is
split where it does not fit, by a list or by a tag, and parts that fit one request together are merged again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from audience.algebra.constraints import NO_CONSTRAINTS, AttributeConstraints, simplify_with_constraints
from audience.algebra.fitting import fit_to_shape, has_too_many_nots
from audience.algebra.normal_forms import is_literal, nnf
from audience.algebra.request_search import search_requests
from audience.algebra.request_shape import RequestShape, SingleOperator, Slots, max_or_width
from audience.algebra.simplification import negate, simplify
from audience.language.ast import (
    And,
    Everyone,
    Expr,
    Nobody,
    Not,
    Or,
    Tag,
    Threshold,
    all_of,
    any_of,
    atoms,
    children,
    walk,
)

MAX_EXHAUSTIVE_TAGS = 5  # up to this number of tags, all requests are searched
MAX_SEARCH_SECONDS = 0.05  # of processor time; the last step may take as long again
MAX_COVER_TAGS = 1_000  # more never fit a few requests, and finding that out takes seconds
MAX_PARTS_FACTOR = 4  # splitting ends at this multiple of the maximum, because merging seldom saves as many

CanName: TypeAlias = Callable[[Tag], bool]


@dataclass(frozen=True, slots=True)
class Cover:
    """Disjoint *parts* that each fit one request; with *remainder* they make up the expression.

    If *is_minimal*, no cover has fewer parts. Otherwise there may be one.
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
    max_seconds: float | None = None,
) -> Cover:
    """Split *expr* into at most *max_parts* disjoint parts that each fit one request of *shape*.

    Args:
        expr: Expression to split.
        shape: Shape of one request.
        can_name: Returns whether a request can name a tag.
        constraints: Known constraints of attributes, which may prove parts disjoint.
        max_parts: Maximum number of parts.
        max_seconds: Approximate limit of processor time; by default MAX_SEARCH_SECONDS.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> cover = find_cover(parse("(a OR b) AND (c OR d)"), Slots(20, 20, 20))
    >>> [render(part) for part in cover.parts], cover.remainder, cover.is_minimal
    (['(a OR b) AND c', '(a OR b) AND d AND NOT c'], Nobody(), True)
    """
    context = CoverContext(shape, can_name, constraints)
    expr = simplify_with_constraints(expr, constraints)
    if len(atoms(expr)) > MAX_COVER_TAGS:
        return Cover((), expr, is_minimal=False)
    deadline = time.thread_time() + (MAX_SEARCH_SECONDS if max_seconds is None else max_seconds)
    form = context.fit(expr)
    if form is not None:
        return Cover((form,), Nobody(), is_minimal=True)
    tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
    if isinstance(shape, Slots | SingleOperator) and len(tags) <= MAX_EXHAUSTIVE_TAGS and context.can_name_all(expr):
        cover = _search_cover(expr, tags, shape, constraints, deadline)
    else:
        cover = _split_until_fit(expr, context, max_parts, deadline)
    return cover if len(cover.parts) <= max_parts else _limit_parts(cover, max_parts)


@dataclass(frozen=True, slots=True)
class CoverContext:
    """Capabilities of one request: its shape, the tags it can name, and known constraints."""

    shape: RequestShape
    can_name: CanName
    constraints: AttributeConstraints

    def can_name_all(self, expr: Expr) -> bool:
        """Return whether every atom of *expr* is a tag that a request can name."""
        has_threshold = any(isinstance(node, Threshold) for node in walk(expr))
        return not has_threshold and all(isinstance(atom, Tag) and self.can_name(atom) for atom in atoms(expr))

    def fit(self, expr: Expr) -> Expr | None:
        """Return a form of *expr* that fits one request, or None."""
        return fit_to_shape(expr, self.shape) if self.can_name_all(expr) else None

    def or_width_left(self, other_terms: Sequence[Expr]) -> int:
        """Return the maximum length of a list of tags in a request that also holds *other_terms*."""
        return max(1, max_or_width(self.shape, other_terms))


def _limit_parts(cover: Cover, max_parts: int) -> Cover:
    """Return the first *max_parts* parts; the others become part of the remainder."""
    remainder = simplify(any_of([*cover.parts[max_parts:], cover.remainder]))
    return Cover(cover.parts[:max_parts], remainder, cover.is_minimal)


def _search_cover(
    expr: Expr, tags: list[Tag], shape: Slots | SingleOperator, constraints: AttributeConstraints, deadline: float
) -> Cover:
    """Return the smallest cover of an expression over a few *tags*."""
    search = search_requests(expr, tags, shape, constraints, deadline)
    remainder: Expr = Nobody()
    if not search.is_complete:
        remainder = simplify_with_constraints(all_of([expr, *map(Not, search.parts)]), constraints)
    return Cover(search.parts, remainder, search.is_minimal)


def _split_until_fit(expr: Expr, context: CoverContext, max_parts: int, deadline: float) -> Cover:
    """Split pieces that do not fit, until all fit, cannot be split, or the time is over."""
    parts: list[Expr] = []
    remainder: list[Expr] = []
    stack = [expr]
    while stack:
        piece = stack.pop()
        form = context.fit(piece)
        if form is not None:
            parts.append(form)
        elif isinstance(piece, Nobody):
            continue
        elif (
            time.thread_time() > deadline
            or len(parts) > MAX_PARTS_FACTOR * max_parts
            or not (halves := _split_once(piece, context))
        ):
            remainder.append(piece)
        else:
            stack.extend(simplify_with_constraints(half, context.constraints) for half in reversed(halves))
    return Cover(tuple(_merge_parts(parts, context, deadline)), simplify(any_of(remainder)), is_minimal=False)


def _split_once(piece: Expr, context: CoverContext) -> list[Expr]:
    """Return two disjoint expressions that make up *piece*, or none if it cannot be split.

    named tags of a union     a OR b OR (c AND d)           a OR b           NOT a AND NOT b AND c AND d
    list that is too wide     x AND (a OR b OR c)           x AND (a OR b)   x AND NOT a AND NOT b AND c
    one tag                   (a AND b) OR (NOT a AND c)    a AND b          NOT a AND c
    """
    if has_too_many_nots(piece, context.shape):
        return []
    return (
        _split_named_tags(piece, context) or _split_wide_list(piece, context) or _split_by_tag(piece, context.can_name)
    )


def _split_named_tags(piece: Expr, context: CoverContext) -> list[Expr]:
    """Split a union into the tags that a request can name and the other terms."""
    if not isinstance(piece, Or):
        return []
    tags = [term for term in piece.terms if isinstance(term, Tag) and context.can_name(term)]
    return _split_union(tags[: max_or_width(context.shape)], piece.terms) if tags else []


def _split_wide_list(piece: Expr, context: CoverContext) -> list[Expr]:
    """Split an intersection at the first union that is too wide for a request."""
    if not isinstance(piece, And):
        return []
    for union in piece.terms:
        others = [term for term in piece.terms if term is not union]
        if isinstance(union, Or) and len(union.terms) > context.or_width_left(others) and context.can_name_all(union):
            chosen = union.terms[: _first_part_size(union, others, context)]
            return [all_of([half, *others]) for half in _split_union(chosen, union.terms)]
    return []


def _split_by_tag(piece: Expr, can_name: CanName) -> list[Expr]:
    """Split *piece* into the devices with a tag and those without."""
    tag = _choose_tag(piece, can_name)
    return [] if tag is None else [_restrict_by_tag(piece, tag, has_tag) for has_tag in (True, False)]


def _first_part_size(union: Or, other_terms: Sequence[Expr], context: CoverContext) -> int:
    """Return the length of the first part of a list that is too wide.

    The second part excludes all tags of the first, unless the tags exclude each other anyway. With one cut, the
    first part must therefore not be longer than the free NOT-list.
    """
    width, length = context.or_width_left(other_terms), len(union.terms)
    if not isinstance(context.shape, Slots) or context.constraints.are_exclusive(union.terms[0], union.terms[-1]):
        return width
    free_nots = context.shape.max_none_of - sum(isinstance(term, Not) for term in other_terms)
    return min(width, free_nots) if free_nots > 0 and 0 < length - free_nots <= width else width


def _split_union(chosen: Sequence[Expr], terms: Sequence[Expr]) -> list[Expr]:
    """Return the union of *chosen*, and the other terms without *chosen*; nothing if there are no others."""
    others = [term for term in terms if term not in chosen]
    return [any_of(chosen), all_of([*map(negate, chosen), any_of(others)])] if others else []


def _choose_tag(piece: Expr, can_name: CanName) -> Tag | None:
    """Return the most frequent tag of the term with the fewest tags, or None if no tag can be named.

    Literals are not counted, because they fit any request; nor are tags in a threshold, which no request can express.
    """
    terms = [term for term in (piece.terms if isinstance(piece, And | Or) else ()) if not is_literal(term)]
    tags_of_all_terms = [list(_iter_tags(term)) for term in terms]
    counts = Counter(tag for tags in tags_of_all_terms for tag in tags if can_name(tag))
    tags_of_terms = [[tag for tag in dict.fromkeys(tags) if tag in counts] for tags in tags_of_all_terms]
    fewest = min((tags for tags in tags_of_terms if tags), key=len, default=[])
    return max(fewest, key=lambda tag: counts[tag], default=None)


def _iter_tags(expr: Expr) -> Iterator[Tag]:
    """Yield the tags of *expr* in reading order, but those inside a threshold."""
    match expr:
        case Tag():
            yield expr
        case Not() | And() | Or():
            for child in children(expr):
                yield from _iter_tags(child)


def _restrict_by_tag(piece: Expr, tag: Tag, has_tag: bool) -> Expr:
    """Return the devices of *piece* that have *tag*, or those that do not."""
    literal: Expr = tag if has_tag else Not(tag)
    return simplify(nnf(all_of([literal, _substitute_tag(piece, tag, Everyone() if has_tag else Nobody())])))


def _substitute_tag(expr: Expr, tag: Tag, value: Expr) -> Expr:
    """Return *expr* with *tag* replaced by *value*."""
    match expr:
        case Tag():
            return value if expr == tag else expr
        case Not(term=term):
            return negate(_substitute_tag(term, tag, value))
        case And(terms=terms):
            return simplify(all_of(_substitute_tag(term, tag, value) for term in terms))
        case Or(terms=terms):
            return simplify(any_of(_substitute_tag(term, tag, value) for term in terms))
        case Threshold(terms=terms):
            return simplify(replace(expr, terms=tuple(_substitute_tag(term, tag, value) for term in terms)))
    return expr


def _merge_parts(parts: list[Expr], context: CoverContext, deadline: float) -> list[Expr]:
    """Merge parts that fit one request together, pair by pair, until the time is over."""
    position = 0
    while position < len(parts):
        for other in range(position + 1, len(parts)):
            if time.thread_time() > deadline:
                return parts
            merged = fit_to_shape(any_of([parts[position], parts[other]]), context.shape)
            if merged is not None:
                parts = [*parts[:position], merged, *parts[position + 1 : other], *parts[other + 1 :]]
                break
        else:
            position += 1
    return parts
