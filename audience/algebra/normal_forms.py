"""Normal forms: NNF, DNF and CNF.

A normal form can be exponentially larger than its expression. Its clauses are therefore counted before it is built,
and too many raise ComplexityError.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from operator import itemgetter
from typing import TypeAlias

from audience.algebra.simplification import negate, simplify
from audience.algebra.thresholds import expand_thresholds, negate_threshold
from audience.errors import ComplexityError, Problem
from audience.language.ast import (
    And,
    AtomNode,
    Everyone,
    Except,
    Expr,
    Nobody,
    Not,
    Or,
    Threshold,
    all_of,
    any_of,
    walk,
    with_terms,
)

MAX_CLAUSES_COUNTED = 1_000_000  # counting ends here

Clause: TypeAlias = tuple[Expr, ...]
Combinator: TypeAlias = Callable[[Iterable[Expr]], Expr]


@dataclass(frozen=True, slots=True)
class Dnf:
    """Union of intersections. No clauses mean nobody, an empty clause means everyone."""

    clauses: tuple[Clause, ...]

    @property
    def expr(self) -> Expr:
        """Form as an expression."""
        return any_of(all_of(clause) for clause in self.clauses)


@dataclass(frozen=True, slots=True)
class Cnf:
    """Intersection of unions. No clauses mean everyone, an empty clause means nobody."""

    clauses: tuple[Clause, ...]

    @property
    def expr(self) -> Expr:
        """Form as an expression."""
        return all_of(any_of(clause) for clause in self.clauses)


def nnf(expr: Expr) -> Expr:
    """Return *expr* in negation normal form: NOT is pushed down to the atoms (De Morgan).

    Nodes in which nothing changes are kept.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(nnf(parse("NOT (a AND (b OR NOT c))")))
    'NOT a OR (NOT b AND c)'
    """
    match expr:
        case AtomNode() | Not(term=AtomNode()):
            return expr
        case And(terms=terms) | Or(terms=terms):
            return with_terms(expr, [nnf(term) for term in terms])
        case Not(term=And(terms=terms)):
            return any_of(nnf(negate(term)) for term in terms)
        case Not(term=Or(terms=terms)):
            return all_of(nnf(negate(term)) for term in terms)
        case Not(term=Not(term=term)):
            return nnf(term)
        case Not(term=Everyone() | Nobody() as term):
            return negate(term)
        case Not(term=Except(term=term, excluded=excluded)):
            return any_of([nnf(negate(term)), nnf(excluded)])
        case Not(term=Threshold() as threshold):
            return nnf(negate_threshold(threshold))
        case Except(term=term, excluded=excluded):
            return all_of([nnf(term), nnf(negate(excluded))])
        case Threshold(terms=terms):
            return replace(expr, terms=tuple(map(nnf, terms)))
    return expr


def write_out_thresholds(expr: Expr) -> Expr:
    """Return *expr* with its thresholds as AND and OR, in negation normal form and simplified if it has any.

    Raises:
        ComplexityError: A threshold has too many clauses.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(write_out_thresholds(parse("vip AND NOT at least 2 of (a, b, c)")))
    'vip AND (NOT a OR NOT b) AND (NOT a OR NOT c) AND (NOT b OR NOT c)'
    """
    if not any(isinstance(node, Threshold) for node in walk(expr)):
        return expr
    return simplify(nnf(expand_thresholds(expr)))


def is_literal(expr: Expr) -> bool:
    """Return whether *expr* is an atom or NOT of an atom."""
    inner = expr.term if isinstance(expr, Not) else expr
    return not isinstance(inner, Not | And | Or | Except | Threshold | Everyone | Nobody)


def dnf(expr: Expr, *, max_clauses: int = 256, is_leaf: Callable[[Expr], bool] = is_literal) -> Dnf:
    """Return *expr* as a union of intersections.

    Args:
        expr: Expression to convert.
        max_clauses: Maximum number of clauses.
        is_leaf: Returns whether a node is kept as a leaf of a clause.

    Raises:
        ComplexityError: The form has more than *max_clauses* clauses.

    >>> from audience.language.parser import parse
    >>> len(dnf(parse("(a OR b) AND (c OR d)")).clauses)
    4
    """
    return Dnf(_build_clauses(simplify(nnf(expr)), Or, max_clauses, is_leaf))


def cnf(expr: Expr, *, max_clauses: int = 256, is_leaf: Callable[[Expr], bool] = is_literal) -> Cnf:
    """Return *expr* as an intersection of unions. Arguments and errors are those of `dnf`.

    >>> from audience.language.parser import parse
    >>> len(cnf(parse("(a AND b) OR (c AND d)")).clauses)
    4
    """
    return Cnf(_build_clauses(simplify(nnf(expr)), And, max_clauses, is_leaf))


def factor(form: Dnf | Cnf) -> Expr:
    """Return *form* with leaves shared by several clauses factored out, the most frequent leaf first.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(factor(dnf(parse("(a AND b) OR (a AND c AND d) OR e"))))
    '(a AND (b OR (c AND d))) OR e'
    """
    outer, inner = (any_of, all_of) if isinstance(form, Dnf) else (all_of, any_of)
    return _factor_clauses(form.clauses, outer, inner)


def _factor_clauses(clauses: Sequence[Clause], outer: Combinator, inner: Combinator) -> Expr:
    terms: list[Expr] = []
    while clauses:
        counts = Counter(leaf for clause in clauses for leaf in clause)
        shared, frequency = max(counts.items(), key=itemgetter(1), default=(Everyone(), 0))
        if frequency < 2:
            return outer([*terms, *map(inner, clauses)])
        shortened = [tuple(leaf for leaf in clause if leaf != shared) for clause in clauses if shared in clause]
        terms.append(inner([shared, _factor_clauses(shortened, outer, inner)]))
        clauses = [clause for clause in clauses if shared not in clause]
    return outer(terms)


def _build_clauses(
    expr: Expr, outer: type[And] | type[Or], max_clauses: int, is_leaf: Callable[[Expr], bool]
) -> tuple[Clause, ...]:
    count = _count_clauses(expr, outer, is_leaf)
    if count > max_clauses:
        form = "union of intersections" if outer is Or else "intersection of unions"
        clause_count = f"{count:,}" if count < MAX_CLAUSES_COUNTED else f"at least {MAX_CLAUSES_COUNTED:,}"
        message = f"the expression has {clause_count} clauses as {form}, more than {max_clauses:,}"
        raise ComplexityError(Problem("too-many-clauses", message))
    return _drop_absorbed(_expand_clauses(expr, outer, is_leaf))


def _count_clauses(expr: Expr, outer: type[And] | type[Or], is_leaf: Callable[[Expr], bool]) -> int:
    if is_leaf(expr) or not isinstance(expr, And | Or):
        return 1
    total = 0 if isinstance(expr, outer) else 1
    for term in expr.terms:
        count = _count_clauses(term, outer, is_leaf)
        total = min(MAX_CLAUSES_COUNTED, total + count if isinstance(expr, outer) else total * count)
    return total


def _expand_clauses(expr: Expr, outer: type[And] | type[Or], is_leaf: Callable[[Expr], bool]) -> list[Clause]:
    empty, full = (Nobody, Everyone) if outer is Or else (Everyone, Nobody)
    if isinstance(expr, empty):
        return []
    if isinstance(expr, full):
        return [()]
    if is_leaf(expr) or not isinstance(expr, And | Or):
        return [(expr,)]
    clause_lists = [_expand_clauses(term, outer, is_leaf) for term in expr.terms]
    if isinstance(expr, outer):
        return [clause for clauses in clause_lists for clause in clauses]
    combined = (tuple(dict.fromkeys(leaf for clause in choice for leaf in clause)) for choice in product(*clause_lists))
    return [clause for clause in combined if not _is_contradictory(clause)]


def _is_contradictory(clause: Clause) -> bool:
    """Return whether *clause* contains a leaf and its NOT."""
    leaves = set(clause)
    return any(isinstance(leaf, Not) and leaf.term in leaves for leaf in clause)


def _drop_absorbed(clauses: Iterable[Clause]) -> tuple[Clause, ...]:
    """Drop each clause that contains all leaves of another clause."""
    kept: dict[frozenset[Expr], Clause] = {frozenset(clause): clause for clause in clauses}
    smallest = sorted(kept, key=len)
    for position, small in enumerate(smallest):
        if small in kept:
            for large in smallest[position + 1 :]:
                if small < large:
                    kept.pop(large, None)
    return tuple(kept.values())
