"""Nodes that combine expressions: NOT, AND, OR, EXCEPT and thresholds; and the base classes of all nodes.

A tree deeper than MAX_DEPTH cannot be built, so functions that walk a tree may recurse.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import is_
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from audience.argument_types import check_arguments
from audience.errors import ExpressionError, Problem
from audience.language.validation import type_error
from audience.span import Span

if TYPE_CHECKING:
    from audience.language.ast import Expr

MAX_DEPTH = 100


TOO_DEEP = Problem("too-deep", f"more than {MAX_DEPTH} levels of brackets and NOT", hint="flatten the expression")


class ExprNode:
    """Base class of all nodes, with the operators `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self: Any, other: "Expr") -> "Expr":
        return all_of([self, other])

    def __or__(self: Any, other: "Expr") -> "Expr":
        return any_of([self, other])

    def __invert__(self: Any) -> "Not":
        return Not(self)


class AtomNode(ExprNode):
    """Base class of nodes that describe devices directly: all but everyone, nobody, NOT, AND and OR."""

    __slots__ = ()


def span_field() -> Any:
    """Return the field for the position of a node in its text."""
    return field(default=None, compare=False, repr=False, kw_only=True)


def written_field() -> Any:
    """Return the field for the relative form that an absolute atom was bound from."""
    return field(default=None, compare=False, repr=False, kw_only=True)


def depth_field() -> Any:
    """Return the field for the number of levels of a node."""
    return field(init=False, compare=False, repr=False, default=1)


@dataclass(frozen=True, slots=True)
class Everyone(ExprNode):
    """All live devices."""


@dataclass(frozen=True, slots=True)
class Nobody(ExprNode):
    """Empty audience."""


@dataclass(frozen=True, slots=True)
class Not(ExprNode):
    """All devices except those of *term*."""

    term: "Expr"
    depth: int = depth_field()

    def __post_init__(self) -> None:
        set_depth(self, (self.term,))


@dataclass(frozen=True, slots=True)
class And(ExprNode):
    """Intersection of two or more *terms*."""

    terms: tuple["Expr", ...]
    depth: int = depth_field()

    def __post_init__(self) -> None:
        _require_two_terms(self.terms)
        set_depth(self, self.terms)


@dataclass(frozen=True, slots=True)
class Or(ExprNode):
    """Union of two or more *terms*."""

    terms: tuple["Expr", ...]
    depth: int = depth_field()

    def __post_init__(self) -> None:
        _require_two_terms(self.terms)
        set_depth(self, self.terms)


@dataclass(frozen=True, slots=True)
class Except(ExprNode):
    """Devices of *term* that are not in *excluded*.

    >>> from audience.language.atoms import bare
    >>> Except(bare("vip"), bare("staff")).excluded == bare("staff")
    True
    """

    term: "Expr"
    excluded: "Expr"
    depth: int = depth_field()

    def __post_init__(self) -> None:
        set_depth(self, (self.term, self.excluded))


ThresholdOp: TypeAlias = Literal["at least", "at most", "exactly"]


THRESHOLD_OPS: tuple[ThresholdOp, ...] = ("at least", "at most", "exactly")


@dataclass(frozen=True, slots=True)
class Threshold(ExprNode):
    """Devices that are in at least, at most or exactly *count* of *terms*; a term that is listed twice counts twice.

    >>> from audience.language.atoms import bare
    >>> Threshold("at least", 2, (bare("a"), bare("b"), bare("c"))).count
    2
    """

    operator: ThresholdOp
    count: int
    terms: tuple["Expr", ...]
    span: Span | None = span_field()
    depth: int = depth_field()

    def __post_init__(self) -> None:
        require_operator(self.operator, THRESHOLD_OPS, self.span)
        if not isinstance(self.terms, tuple):
            raise type_error("terms of a threshold", "a tuple of expressions", self.terms)
        least = 1 if self.operator == "at least" else 0
        require_count(self.count, least, len(self.terms) - (self.operator == "at most"), self.span)
        set_depth(self, self.terms)


@check_arguments
def all_of(terms: Iterable["Expr"]) -> "Expr":
    """Return the intersection of *terms*, flattened; everyone if there are none.

    >>> from audience.language.atoms import bare
    >>> all_of([bare("a")]), all_of([])
    (Tag(type='tag', value='a'), Everyone())
    """
    flat = tuple(chain.from_iterable(map(and_terms, terms)))
    return And(flat) if len(flat) > 1 else flat[0] if flat else Everyone()


@check_arguments
def any_of(terms: Iterable["Expr"]) -> "Expr":
    """Return the union of *terms*, flattened; nobody if there are none.

    >>> from audience.language.atoms import bare
    >>> any_of([]), any_of([bare("a"), bare("b") | bare("c")])
    (Nobody(), Or(terms=(Tag(type='tag', value='a'), Tag(type='tag', value='b'), Tag(type='tag', value='c'))))
    """
    flat = tuple(chain.from_iterable(map(or_terms, terms)))
    return Or(flat) if len(flat) > 1 else flat[0] if flat else Nobody()


def with_terms(junction: And | Or, terms: Sequence["Expr"]) -> "Expr":
    """Return *junction* with *terms* in place of its own, flattened; itself if they are the same.

    >>> from audience.language.atoms import bare
    >>> both = bare("a") & bare("b")
    >>> with_terms(both, both.terms) is both, with_terms(both, [bare("c")])
    (True, Tag(type='tag', value='c'))
    """
    is_same = len(terms) == len(junction.terms) and all(map(is_, terms, junction.terms))
    if is_same and not any(isinstance(term, type(junction)) for term in terms):
        return junction
    return all_of(terms) if isinstance(junction, And) else any_of(terms)


def and_terms(expr: "Expr") -> tuple["Expr", ...]:
    """Return the terms of an intersection, or *expr* as the only term."""
    return expr.terms if isinstance(expr, And) else (expr,)


def or_terms(expr: "Expr") -> tuple["Expr", ...]:
    """Return the terms of a union, or *expr* as the only term."""
    return expr.terms if isinstance(expr, Or) else (expr,)


def ensure_expr(value: object) -> "Expr":
    """Return *value*, or raise ExpressionError if it is not an expression."""
    if not isinstance(value, ExprNode):
        raise type_error("expression", "a string or a node", value)
    return value  # type: ignore[return-value]


def _require_two_terms(terms: tuple["Expr", ...]) -> None:
    if not isinstance(terms, tuple):
        raise type_error("terms of AND and OR", "a tuple of expressions", terms)
    if len(terms) < 2:
        raise ExpressionError(
            Problem("too-few", f"AND and OR need at least two terms, got {len(terms)}", hint="use all_of() or any_of()")
        )


def require_operator(operator: str, known: tuple[str, ...], span: Span | None) -> None:
    """Raise ExpressionError unless *operator* is one of *known*."""
    if operator not in known:
        hint = f"use {' '.join(known)}"
        raise ExpressionError(Problem("unknown-order", f"unknown operator {operator!r}", span, hint=hint))


def require_count(count: int, least: int, most: int, span: Span | None) -> None:
    """Raise ExpressionError unless *count* is a whole number from *least* to *most*."""
    if not isinstance(count, int) or isinstance(count, bool) or not least <= count <= most:
        hint = f"use {least:,} to {most:,}"
        raise ExpressionError(Problem("bad-count", f"invalid number {count!r:.60}", span, hint=hint))


def set_depth(node: ExprNode, terms: tuple["Expr", ...]) -> None:
    """Set the depth of *node* above *terms*, or raise ExpressionError if it is too deep."""
    depth = 1 + max([getattr(ensure_expr(term), "depth", 1) for term in terms], default=0)
    if depth > MAX_DEPTH:
        raise ExpressionError(TOO_DEEP)
    object.__setattr__(node, "depth", depth)
