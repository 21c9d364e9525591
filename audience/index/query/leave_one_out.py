"""Count an audience without each of its conditions: what a condition costs.

The paths are those of the lines of an explanation, whose tree has saved expressions in place of segments. What is left
out is written with the segments that stay, and with the expression of a segment only if a part of it is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

from audience.index.query.counting import count_devices
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
    walk,
)

MAX_LEFT_OUT = 100  # counts of one answer
MAX_COUNTED_NODES = 200_000  # of all these counts together; about four seconds

Path: TypeAlias = tuple[int, ...]
Put: TypeAlias = Callable[[Expr], Expr]
Join: TypeAlias = Callable[[tuple[Expr, ...]], Expr]
Splice: TypeAlias = Callable[[tuple[Expr, ...]], tuple[Expr, ...]]


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


class Node(NamedTuple):
    """Node of a tree whose segments are opened.

    Attributes:
        path: Its position.
        expr: The node itself; never a segment.
        put: Return the whole expression with another one in its place.
        remove: Return the whole expression without it; None if that makes no sense. It is built only if it is counted,
            as a large expression has many nodes.
    """

    path: Path
    expr: Expr
    put: Put
    remove: Callable[[], Expr] | None


def count_without_each(expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None) -> LeaveOneOut:
    """Count *expr* without each of its conditions, all at one moment.

    Operands of AND and OR, terms of a threshold that can do without, the right side of EXCEPT, and the limit of the
    whole are left out: the outermost ones, at most `MAX_LEFT_OUT` and fewer of an expression of thousands of nodes.

    Raises:
        ExpressionError: *expr* refers to something that the index does not have.
    """
    asked = as_of or read_as_of(default_timezone=snapshot.timezone)
    device_count = count_devices(expr, snapshot, asked)
    explained = bind_segments(expr, snapshot, asked)
    nodes = _list_removable(expr, explained, snapshot.segments)
    max_counts = min(MAX_LEFT_OUT, max(1, MAX_COUNTED_NODES // sum(1 for _ in walk(explained))))
    counted = sorted(sorted(nodes, key=lambda node: len(node[0]))[:max_counts], key=lambda node: node[0])
    left_out = tuple(_count_without(path, remove(), snapshot, asked) for path, remove in counted)
    return LeaveOneOut(device_count, left_out, len(nodes) - len(left_out))


def _count_without(path: Path, without: Expr, snapshot: Snapshot, asked: AsOf) -> LeftOut:
    return LeftOut(path, without, count_devices(without, snapshot, asked))


def _list_removable(expr: Expr, explained: Expr, segments: Mapping[str, Expr]) -> list[tuple[Path, Callable[[], Expr]]]:
    """Return the paths of the conditions that may be left out, and functions that leave them out.

    If a relative time became several conditions in *explained*, whose paths count, these are left out of it instead.
    """
    nodes = [*_iter_nodes(_root(expr, segments), segments)]
    shape = {node.path: len(operands(node.expr)) for node in _iter_nodes(_root(explained, {}), {})}
    if any(shape.get(node.path) != len(_opened_operands(node.expr, segments)) for node in nodes if operands(node.expr)):
        nodes = [*_iter_nodes(_root(explained, {}), {})]
    return [(node.path, node.remove) for node in nodes if node.remove is not None]


def _root(expr: Expr, segments: Mapping[str, Expr]) -> Node:
    opened = _open_segment(expr, segments)
    remove = (lambda: opened.term) if isinstance(opened, Limit | Top) else None
    return Node((), opened, lambda other: other, remove)


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
            for number, (term, splice) in enumerate(_iter_terms(expr, segments)):
                put_terms = partial(_put_terms, put, join, splice)
                yield Node((*node.path, number), term, partial(_put_term, put_terms), partial(put_terms, ()))
        case Not(term=term):
            yield Node((*node.path, 0), _open_segment(term, segments), lambda other: put(Not(other)), None)
        case Except(term=term, excluded=excluded):
            left, right = _open_segment(term, segments), _open_segment(excluded, segments)
            yield Node((*node.path, 0), left, lambda other: put(Except(other, excluded)), None)
            yield Node((*node.path, 1), right, lambda other: put(Except(term, other)), lambda: put(term))
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
        put_terms = partial(_put_terms, node.put, join, partial(_splice, expr.terms, number))
        remove = partial(put_terms, ()) if can_lose else None
        yield Node((*node.path, number), _open_segment(term, segments), partial(_put_term, put_terms), remove)


def _put_terms(put: Put, join: Join, splice: Splice, others: tuple[Expr, ...]) -> Expr:
    return put(join(splice(others)))


def _put_term(put_terms: Callable[[tuple[Expr, ...]], Expr], other: Expr) -> Expr:
    return put_terms((other,))


def _iter_terms(expr: And | Or, segments: Mapping[str, Expr]) -> Iterator[tuple[Expr, Splice]]:
    """Yield each term, and a function that returns all terms with others in its place.

    A segment of the same kind is replaced by its terms.
    """
    for number, term in enumerate(expr.terms):
        splice = partial(_splice, expr.terms, number)
        opened = _open_segment(term, segments)
        if isinstance(term, Segment) and isinstance(opened, And | Or) and type(opened) is type(expr):
            for inner, inner_splice in _iter_terms(opened, segments):
                yield inner, partial(_splice_inner, splice, inner_splice)
        else:
            yield opened, splice


def _splice(terms: tuple[Expr, ...], number: int, others: tuple[Expr, ...]) -> tuple[Expr, ...]:
    return *terms[:number], *others, *terms[number + 1 :]


def _splice_inner(splice: Splice, inner_splice: Splice, others: tuple[Expr, ...]) -> tuple[Expr, ...]:
    return splice(inner_splice(others))
