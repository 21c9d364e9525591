"""Count an audience without each of its conditions: what a condition costs.

The paths are those of the lines of an explanation, whose tree has saved expressions in place of segments. What is left
out is written with the segments that stay, and with the expression of a segment only if a part of it is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

from audience.index.query.evaluate import count_devices
from audience.index.query.questions import bind_segments
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import (
    And,
    Except,
    Expr,
    Limit,
    Not,
    Or,
    Segment,
    Threshold,
    Top,
    all_of,
    any_of,
    operands,
)

MAX_LEFT_OUT = 100  # counts of one answer

Path: TypeAlias = tuple[int, ...]
Put: TypeAlias = Callable[[Expr], Expr]
Join: TypeAlias = Callable[[tuple[Expr, ...]], Expr]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Audience without one of its conditions.

    Attributes:
        path: Position of the condition: the number of the operand at each level, as `ExplainLine.path`.
        expr: Expression without it.
        device_count: Number of devices of that expression.
    """

    path: Path
    expr: Expr
    device_count: int


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """Audience without each of its conditions, in reading order.

    Attributes:
        device_count: Number of devices of the audience as a whole.
        left_out: One entry for each condition that may be left out.
        omitted: Number of conditions that were not counted, the innermost of a large expression.
    """

    device_count: int
    left_out: tuple[LeftOut, ...]
    omitted: int = 0

    def by_path(self) -> dict[Path, LeftOut]:
        """Return the entries by their path."""
        return {entry.path: entry for entry in self.left_out}


class Node(NamedTuple):
    """Node of a tree whose segments are opened.

    Attributes:
        path: Its position.
        expr: The node itself; never a segment.
        put: Return the whole expression with another one in its place.
        removed: The whole expression without it; None if that makes no sense.
    """

    path: Path
    expr: Expr
    put: Put
    removed: Expr | None


def leave_one_out(expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None) -> LeaveOneOut:
    """Count *expr* without each of its conditions, all at one moment.

    Operands of AND and OR, terms of a threshold that can do without, the right side of EXCEPT, and the limit of the
    whole are left out, at most `MAX_LEFT_OUT` of them.

    Raises:
        ExpressionError: *expr* refers to something that the index does not have.
    """
    asked = as_of or read_as_of(default_timezone=snapshot.timezone)
    device_count = count_devices(expr, snapshot, asked)
    nodes = _list_removable(expr, bind_segments(expr, snapshot, asked), snapshot.segments)
    counted = sorted(sorted(nodes, key=lambda node: len(node[0]))[:MAX_LEFT_OUT])
    left_out = tuple(LeftOut(path, without, count_devices(without, snapshot, asked)) for path, without in counted)
    return LeaveOneOut(device_count, left_out, len(nodes) - len(left_out))


def _list_removable(expr: Expr, explained: Expr, segments: Mapping[str, Expr]) -> list[tuple[Path, Expr]]:
    """Return the paths of the conditions that may be left out, and the expressions without them.

    If a relative time became several conditions in *explained*, whose paths count, these are left out of it instead.
    """
    nodes = [*_iter_nodes(_root(expr, segments), segments)]
    shape = {node.path: len(operands(node.expr)) for node in _iter_nodes(_root(explained, {}), {})}
    if any(shape.get(node.path) != len(_opened_operands(node.expr, segments)) for node in nodes if operands(node.expr)):
        nodes = [*_iter_nodes(_root(explained, {}), {})]
    return [(node.path, node.removed) for node in nodes if node.removed is not None]


def _root(expr: Expr, segments: Mapping[str, Expr]) -> Node:
    opened = _open_segment(expr, segments)
    without_limit = opened.term if isinstance(opened, Limit | Top) else None
    return Node((), opened, lambda other: other, without_limit)


def _open_segment(expr: Expr, segments: Mapping[str, Expr]) -> Expr:
    while isinstance(expr, Segment):
        expr = segments[expr.name]
    return expr


def _iter_nodes(node: Node, segments: Mapping[str, Expr]) -> Iterator[Node]:
    """Yield *node* and all nodes below it in reading order."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending += reversed([*_iter_operands(current, segments)])


def _opened_operands(expr: Expr, segments: Mapping[str, Expr]) -> Sequence[object]:
    return [*_iter_terms(expr, segments)] if isinstance(expr, And | Or) else operands(expr)


def _iter_operands(node: Node, segments: Mapping[str, Expr]) -> Iterator[Node]:
    """Yield the operands of a node, those of a segment inside an AND or OR of its kind among them."""
    expr, put = node.expr, node.put
    match expr:
        case And() | Or():
            join: Join = all_of if isinstance(expr, And) else any_of
            for number, (before, term, after) in enumerate(_iter_terms(expr, segments)):
                removed = put(join((*before, *after)))
                yield Node((*node.path, number), term, partial(_put_between, put, join, before, after), removed)
        case Not(term=term):
            yield Node((*node.path, 0), _open_segment(term, segments), lambda other: put(Not(other)), None)
        case Except(term=term, excluded=excluded):
            left, right = _open_segment(term, segments), _open_segment(excluded, segments)
            yield Node((*node.path, 0), left, lambda other: put(Except(other, excluded)), None)
            yield Node((*node.path, 1), right, lambda other: put(Except(term, other)), put(term))
        case Threshold():
            yield from _iter_threshold(node, expr, segments)
        case Limit() | Top():
            term = _open_segment(expr.term, segments)
            yield Node((*node.path, 0), term, lambda other: put(replace(expr, term=other)), None)


def _iter_threshold(node: Node, expr: Threshold, segments: Mapping[str, Expr]) -> Iterator[Node]:
    """Yield the terms of a threshold; one may be left out if the number still fits the others."""
    remaining = len(expr.terms) - 1
    can_lose = remaining > 0 and expr.count <= remaining - (expr.operator == "at most")

    def join(terms: tuple[Expr, ...]) -> Expr:
        return replace(expr, terms=terms)

    for number, term in enumerate(expr.terms):
        before, after = expr.terms[:number], expr.terms[number + 1 :]
        removed = node.put(join(before + after)) if can_lose else None
        put = partial(_put_between, node.put, join, before, after)
        yield Node((*node.path, number), _open_segment(term, segments), put, removed)


def _put_between(put: Put, join: Join, before: tuple[Expr, ...], after: tuple[Expr, ...], other: Expr) -> Expr:
    return put(join((*before, other, *after)))


def _iter_terms(
    expr: And | Or, segments: Mapping[str, Expr]
) -> Iterator[tuple[tuple[Expr, ...], Expr, tuple[Expr, ...]]]:
    """Yield each term with those before and after it; a segment of the same kind is replaced by its terms."""
    for number, term in enumerate(expr.terms):
        before, after = expr.terms[:number], expr.terms[number + 1 :]
        opened = _open_segment(term, segments)
        if isinstance(term, Segment) and isinstance(opened, And | Or) and type(opened) is type(expr):
            for inner_before, inner, inner_after in _iter_terms(opened, segments):
                yield (*before, *inner_before), inner, (*inner_after, *after)
        else:
            yield before, opened, after
