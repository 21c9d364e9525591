"""Syntax tree of the expression language: frozen nodes, and how a tree is walked.

Nodes compare by value; *span*, the position in the source text, is ignored.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

from audience.language.atoms import (
    COMPARE_OPS,
    ID_KINDS,
    LOW_OPS,
    MAX_LIMIT,
    MAX_WITHIN_DAYS,
    MIRRORED_OPS,
    MONTH_DAY,
    TOP_ORDERS,
    Anniversary,
    Between,
    Compare,
    CompareOp,
    Condition,
    Has,
    IdFile,
    IdKind,
    Ids,
    Limit,
    LowOp,
    Matches,
    Reference,
    Relative,
    Sample,
    Segment,
    Split,
    Tag,
    Top,
    TopOrder,
    Within,
    bare,
)
from audience.language.event_atoms import (
    AGGREGATE_FUNCTIONS,
    AGGREGATE_OPS,
    MOMENT_FUNCTIONS,
    Aggregate,
    AggregateFunction,
    AggregateOp,
    Did,
    EventFilter,
    EventMoment,
    MomentFunction,
)
from audience.language.junctions import (
    MAX_DEPTH,
    THRESHOLD_OPS,
    TOO_DEEP,
    And,
    AtomNode,
    Everyone,
    Except,
    ExprNode,
    Nobody,
    Not,
    Or,
    Threshold,
    ThresholdOp,
    all_of,
    and_terms,
    any_of,
    ensure_expr,
    or_terms,
    with_terms,
)

__all__ = [
    "AGGREGATE_FUNCTIONS",
    "AGGREGATE_OPS",
    "COMPARE_OPS",
    "ID_KINDS",
    "LOW_OPS",
    "MAX_DEPTH",
    "MAX_LIMIT",
    "MAX_WITHIN_DAYS",
    "MIRRORED_OPS",
    "MOMENT_FUNCTIONS",
    "MONTH_DAY",
    "THRESHOLD_OPS",
    "TOO_DEEP",
    "TOP_ORDERS",
    "Aggregate",
    "AggregateFunction",
    "AggregateOp",
    "And",
    "Anniversary",
    "Atom",
    "AtomNode",
    "AttributeAtom",
    "Between",
    "Compare",
    "CompareOp",
    "Condition",
    "Did",
    "EventAtom",
    "EventFilter",
    "EventMoment",
    "Everyone",
    "Except",
    "Expr",
    "ExprNode",
    "Has",
    "IdFile",
    "IdKind",
    "Ids",
    "Limit",
    "LowOp",
    "Matches",
    "MomentFunction",
    "Nobody",
    "Not",
    "Or",
    "Reference",
    "Relative",
    "Sample",
    "Segment",
    "Split",
    "Tag",
    "Threshold",
    "ThresholdOp",
    "Top",
    "TopOrder",
    "Within",
    "all_of",
    "and_terms",
    "any_of",
    "atoms",
    "bare",
    "children",
    "ensure_expr",
    "junction_terms",
    "map_atoms",
    "map_operands",
    "negated_tag",
    "operands",
    "or_terms",
    "walk",
    "walk_operands",
    "with_terms",
]

EventAtom: TypeAlias = Did | Aggregate | EventMoment  # of the events of devices

Atom: TypeAlias = (
    Tag | Ids | Condition | Relative | Has | Reference | Segment | Sample | Split | Limit | Top | EventAtom
)

AttributeAtom: TypeAlias = Tag | Condition | Relative | Has

Expr: TypeAlias = Everyone | Nobody | Atom | Not | And | Or | Except | Threshold


def junction_terms(expr: Expr) -> tuple[Expr, ...]:
    """Return the terms of an intersection or a union, or *expr* as the only term."""
    return expr.terms if isinstance(expr, And | Or) else (expr,)


def negated_tag(expr: Expr) -> Tag | None:
    """Return the tag that *expr* negates, or None if it is not the NOT of a tag.

    >>> negated_tag(Not(bare("vip"))) == bare("vip"), negated_tag(bare("vip"))
    (True, None)
    """
    return expr.term if isinstance(expr, Not) and isinstance(expr.term, Tag) else None


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the direct child nodes of *expr*; the operand of a limit is not one of them."""
    match expr:
        case Not(term=term):
            return (term,)
        case And(terms=terms) | Or(terms=terms) | Threshold(terms=terms):
            return terms
        case Except(term=term, excluded=excluded):
            return (term, excluded)
    return ()


def operands(expr: Expr) -> tuple[Expr, ...]:
    """Return the child nodes of *expr*, and the operand of a limit, into which no rule of algebra looks.

    >>> children(Limit(bare("vip"), 5, "x")), operands(Limit(bare("vip"), 5, "x"))
    ((), (Tag(type='tag', value='vip'),))
    """
    return (expr.term,) if isinstance(expr, Limit | Top) else children(expr)


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield *expr* and all nodes below it in reading order."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def walk_operands(expr: Expr) -> Iterator[Expr]:
    """Yield *expr* and all nodes below it in reading order, with those inside a limit."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(operands(node)))


def atoms(expr: Expr) -> dict[Atom, None]:
    """Return the distinct atoms of *expr* in reading order, as the keys of a dictionary.

    Whatever describes devices directly is an atom, also a limit, whose operand is not looked into.
    """
    found: dict[Atom, None] = {}
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, AtomNode):
            found[node] = None
        else:
            stack.extend(reversed(children(node)))
    return found


def map_atoms(expr: Expr, fn: Callable[[Atom], Expr]) -> Expr:
    """Return *expr* with each atom replaced by *fn* of it. Nodes in which nothing changes are kept.

    >>> map_atoms(bare("a") & ~bare("b"), lambda atom: bare("c"))
    And(terms=(Tag(type='tag', value='c'), Not(term=Tag(type='tag', value='c'))))
    """
    if isinstance(expr, AtomNode):
        return fn(expr)
    match expr:
        case Not(term=term):
            negated = map_atoms(term, fn)
            return expr if negated is term else Not(negated)
        case And(terms=terms) | Or(terms=terms):
            return with_terms(expr, [map_atoms(term, fn) for term in terms])
        case Except(term=term, excluded=excluded):
            return Except(map_atoms(term, fn), map_atoms(excluded, fn))
        case Threshold(terms=terms):
            return replace(expr, terms=tuple(map_atoms(term, fn) for term in terms))
    return expr


def map_operands(expr: Expr, fn: Callable[[Atom], Expr]) -> Expr:
    """Return *expr* with each atom replaced by *fn* of it, also inside a limit; the limits themselves stay.

    >>> map_operands(Limit(bare("a"), 5, "x"), lambda atom: bare("b"))
    Limit(term=Tag(type='tag', value='b'), count=5, seed='x')
    """

    def map_atom(atom: Atom) -> Expr:
        return replace(atom, term=map_operands(atom.term, fn)) if isinstance(atom, Limit | Top) else fn(atom)

    return map_atoms(expr, map_atom)
