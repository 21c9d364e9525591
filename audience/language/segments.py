"""Expressions with what is saved in place of its names, `@vip`."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from audience.errors import ExpressionError, Problem
from audience.language.ast import Expr, Segment, map_atoms, walk
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.language.validation import join_some

MAX_EXPANDED_NODES = 100_000  # as many as the longest text has, or thereabouts
MAX_SHOWN_SEGMENTS = 10  # segments of a way that leads back

SegmentReferences: TypeAlias = dict[
    str, dict[str, Segment]
]  # what is saved under each name, by the names that it mentions


def referenced_segments(expr: Expr) -> dict[str, Segment]:
    """The segments of *expr* by their names, each where it is first read.

    >>> from audience.language.parser import parse
    >>> list(referenced_segments(parse("@vip AND (NOT @old OR @vip)")))
    ['vip', 'old']
    """
    found: dict[str, Segment] = {}
    for node in walk(expr):
        if isinstance(node, Segment):
            found.setdefault(node.name, node)
    return found


def expand_segments(expr: Expr, segments: Mapping[str, Expr]) -> Expr:
    """*expr* with what is *saved* in place of every segment, and of those that what is saved mentions.

    Raises ExpressionError for a segment that is not saved, for one that leads back to itself, and for what would be
    too long or too deep.

    >>> from audience.language.parser import parse
    >>> saved = {"vip": parse("paying AND @active"), "active": parse("days < 30")}
    >>> render(expand_segments(parse("@vip AND NOT male"), saved))
    'paying AND days < 30 AND NOT male'
    """
    mentions = _collect_references(expr, segments)
    if not mentions:
        return expr
    sizes: dict[str, int] = {}
    done: dict[str, Expr] = {}
    for name in _sort_topologically(mentions):
        _check_expanded_size(segments[name], sizes, name)
        done[name] = _substitute_segments(segments[name], done)
    _check_expanded_size(expr, sizes)
    return _substitute_segments(expr, done)


def _substitute_segments(expr: Expr, expansions: Mapping[str, Expr]) -> Expr:
    return map_atoms(expr, lambda atom: expansions[atom.name] if isinstance(atom, Segment) else atom)


def _collect_references(expr: Expr, segments: Mapping[str, Expr]) -> SegmentReferences:
    """What *expr* leads to, however far; ExpressionError where something of it is not saved."""
    found: SegmentReferences = {}
    left = [(segment, "") for segment in reversed(referenced_segments(expr).values())]
    while left:
        segment, owner = left.pop()
        if segment.name not in segments:
            raise ExpressionError(_unknown_segment(segment, owner, segments))
        if segment.name not in found:
            found[segment.name] = referenced_segments(segments[segment.name])
            left += [(inner, segment.name) for inner in reversed(found[segment.name].values())]
    return found


def _unknown_segment(segment: Segment, owner: str, segments: Mapping[str, Expr]) -> Problem:
    message = f"no segment is saved as {segment.name!r}"
    if owner:
        message += f", which {render(Segment(owner))} mentions"
    hint = did_you_mean(segment.name, segments) or f"there are {join_some(list(segments))}"
    if not segments:
        hint = "save it first: audience segment save INDEX NAME EXPR"
    return Problem("unknown-segment", message, segment.span, hint=hint)


def _sort_topologically(references: SegmentReferences) -> list[str]:
    """The names, each after all that it leads to; ExpressionError where one leads back to itself."""
    try:
        return list(TopologicalSorter(references).static_order())
    except CycleError as error:
        way: list[str] = error.args[1][:0:-1]
    first = next(name for name in references if name in way)  # the one that is read first
    at = way.index(first)
    way = [*way[at:], *way[:at], first]
    shown = [render(Segment(name)) for name in way]
    if len(shown) > MAX_SHOWN_SEGMENTS:
        shown[MAX_SHOWN_SEGMENTS // 2 : -MAX_SHOWN_SEGMENTS // 2] = "…"
    message = f"what is saved leads back to itself: {' → '.join(shown)}"
    span = references[way[-2]][first].span
    raise ExpressionError(
        Problem("segment-cycle", message, span, hint="save one of them again, without the one behind it")
    )


def _check_expanded_size(expr: Expr, sizes: dict[str, int], name: str | None = None) -> None:
    """Note how many nodes *expr*, saved as *name*, has with what is saved in place; ExpressionError for too many."""
    size = sum(sizes[node.name] if isinstance(node, Segment) else 1 for node in walk(expr))
    if size > MAX_EXPANDED_NODES:
        whose = "the expression" if name is None else render(Segment(name))
        message = f"{whose} has {size:,} parts with what is saved in place; {MAX_EXPANDED_NODES:,} is the most"
        raise ExpressionError(Problem("too-long", message, hint="mention fewer segments, or shorter ones"))
    if name is not None:
        sizes[name] = size
