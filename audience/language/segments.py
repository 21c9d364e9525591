"""Replace saved segments, `@vip`, by their expressions."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from audience.errors import ExpressionError, Problem
from audience.language.ast import Expr, Segment, map_operands, walk_operands
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.language.validation import join_some

MAX_EXPANDED_NODES = 100_000  # about as many as the longest text
MAX_SHOWN_SEGMENTS = 10  # of a cycle, in an error

SegmentReferences: TypeAlias = dict[str, dict[str, Segment]]  # name of a segment → the segments in its expression


def referenced_segments(expr: Expr) -> dict[str, Segment]:
    """Return the segments of *expr* by name, each as it is first read.

    >>> from audience.language.parser import parse
    >>> list(referenced_segments(parse("@vip AND (NOT @old OR @vip OR (@new limit 5 seed x))")))
    ['vip', 'old', 'new']
    """
    segments: dict[str, Segment] = {}
    for node in walk_operands(expr):
        if isinstance(node, Segment):
            segments.setdefault(node.name, node)
    return segments


def expand_segments(expr: Expr, segments: Mapping[str, Expr]) -> Expr:
    """Return *expr* with every segment replaced by its saved expression, recursively.

    Args:
        expr: Expression to expand.
        segments: Saved expressions by name.

    Raises:
        ExpressionError: A segment is unknown or part of a cycle, or the result is too long or too deep.
    """
    references = _collect_references(expr, segments)
    if not references:
        return expr
    sizes: dict[str, int] = {}
    expansions: dict[str, Expr] = {}
    for name in _sort_topologically(references):
        sizes[name] = _expanded_size(segments[name], sizes, render(Segment(name)))
        expansions[name] = _substitute_segments(segments[name], expansions)
    _expanded_size(expr, sizes, "the expression")
    return _substitute_segments(expr, expansions)


def _substitute_segments(expr: Expr, expansions: Mapping[str, Expr]) -> Expr:
    return map_operands(expr, lambda atom: expansions[atom.name] if isinstance(atom, Segment) else atom)


def _collect_references(expr: Expr, segments: Mapping[str, Expr]) -> SegmentReferences:
    """Return all segments that *expr* refers to, directly or not, in reading order."""
    references: SegmentReferences = {}
    stack = [(segment, "") for segment in reversed(referenced_segments(expr).values())]
    while stack:
        segment, owner = stack.pop()
        if segment.name not in segments:
            raise ExpressionError(_unknown_segment(segment, owner, segments))
        if segment.name not in references:
            references[segment.name] = referenced_segments(segments[segment.name])
            stack += [(child, segment.name) for child in reversed(references[segment.name].values())]
    return references


def _unknown_segment(segment: Segment, owner: str, segments: Mapping[str, Expr]) -> Problem:
    message = f"unknown segment {segment.name!r}"
    if owner:
        message += f" in {render(Segment(owner))}"
    hint = did_you_mean(segment.name, segments) or f"use one of {join_some(list(segments))}"
    if not segments:
        hint = "save it first: audience segment save INDEX NAME EXPR"
    return Problem("unknown-segment", message, segment.span, hint=hint)


def _sort_topologically(references: SegmentReferences) -> list[str]:
    """Return the names, each after the segments it refers to, or raise ExpressionError for a cycle."""
    if cycle := _find_cycle(references):
        raise ExpressionError(_segment_cycle(cycle, references))
    return list(TopologicalSorter(references).static_order())


def find_segment_cycles(segments: Mapping[str, Expr]) -> dict[str, Problem]:
    """Return the problem of each cycle of references, by the name of the segment that its place is in.

    >>> from audience.language.parser import parse
    >>> list(find_segment_cycles({"a": parse("x AND @b"), "b": parse("@a"), "c": parse("@c"), "d": parse("@a")}))
    ['b', 'c']
    """
    references = {name: referenced_segments(expr) for name, expr in segments.items()}
    problems: dict[str, Problem] = {}
    while cycle := _find_cycle(references):
        rotated = _rotate_cycle(cycle, references)
        problems[rotated[-1]] = _segment_cycle(cycle, references)
        references = {
            name: {child: segment for child, segment in children.items() if child not in cycle}
            for name, children in references.items()
            if name not in cycle
        }
    return problems


def _find_cycle(references: SegmentReferences) -> list[str]:
    """Return the segments of one cycle, each before the segment it refers to, or an empty list."""
    try:
        TopologicalSorter(references).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][:0:-1]
        return cycle
    return []


def _rotate_cycle(cycle: list[str], references: SegmentReferences) -> list[str]:
    """Return *cycle* from the segment that is read first."""
    start = cycle.index(next(name for name in references if name in cycle))
    return [*cycle[start:], *cycle[:start]]


def _segment_cycle(cycle: list[str], references: SegmentReferences) -> Problem:
    """Return the problem of a *cycle*, at the reference that closes it."""
    first, *others = _rotate_cycle(cycle, references)
    shown = [render(Segment(name)) for name in (first, *others, first)]
    if len(shown) > MAX_SHOWN_SEGMENTS:
        shown[MAX_SHOWN_SEGMENTS // 2 : -MAX_SHOWN_SEGMENTS // 2] = "…"
    message = f"segments refer to each other in a cycle: {' → '.join(shown)}"
    span = references[others[-1] if others else first][first].span
    return Problem("segment-cycle", message, span, hint="save one of them again without its reference to the next")


def _expanded_size(expr: Expr, sizes: Mapping[str, int], label: str) -> int:
    """Return the number of nodes of *expr* after expansion, or raise ExpressionError if there are too many."""
    size = sum(sizes[node.name] if isinstance(node, Segment) else 1 for node in walk_operands(expr))
    if size > MAX_EXPANDED_NODES:
        message = f"{label} expands to {size:,} nodes, more than {MAX_EXPANDED_NODES:,}"
        raise ExpressionError(Problem("too-long", message, hint="use fewer or shorter segments"))
    return size
