"""Simplify expressions."""

import operator
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from audience.algebra.thresholds import negate_threshold, shorten_threshold
from audience.language.ast import (
    And,
    AtomNode,
    Everyone,
    Except,
    Expr,
    Ids,
    Nobody,
    Not,
    Or,
    Threshold,
    all_of,
    any_of,
    with_terms,
)

Junction: TypeAlias = type[And] | type[Or]

MAX_ROUNDS = 8  # each round may enable the next; a longer chain is not worth the time


def simplify(expr: Expr) -> Expr:
    """Return an equivalent expression with no more nodes. The order of the remaining terms is kept.

    Nodes in which nothing changes are kept.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(simplify(parse("a AND (a OR b) AND everyone AND NOT NOT c")))
    'a AND c'
    >>> render(simplify(parse("a OR (NOT a AND b)")))
    'a OR b'
    """
    match expr:
        case And(terms=terms):
            return with_terms(expr, _shorten_terms(And, map(simplify, terms)))
        case Or(terms=terms):
            return with_terms(expr, _merge_ids(_shorten_terms(Or, map(simplify, terms))))
        case Not(term=term):
            inner = simplify(term)
            return expr if inner is term and isinstance(term, AtomNode) else negate(inner)
        case Except(term=term, excluded=excluded):
            return all_of(_shorten_terms(And, [simplify(term), negate(simplify(excluded))]))
        case Threshold(terms=terms):
            shortened = shorten_threshold(replace(expr, terms=tuple(map(simplify, terms))))
            return shortened if isinstance(shortened, Threshold) else simplify(shortened)
        case Ids(values=values, files=()) if len(set(values)) < len(values):  # those of files are distinct
            return replace(expr, values=tuple(dict.fromkeys(values)))
    return expr


def negate(expr: Expr) -> Expr:
    """Return NOT *expr* without double negation."""
    match expr:
        case Not(term=term):
            return term
        case Threshold():
            return negate_threshold(expr)
        case Everyone():
            return Nobody()
        case Nobody():
            return Everyone()
    return Not(expr)


def _shorten_terms(junction: Junction, terms: Iterable[Expr]) -> list[Expr]:
    """Return what is left of simplified *terms* that *junction* joins. The rules of AND and OR mirror each other."""
    unit, zero = (Everyone, Nobody) if junction is And else (Nobody, Everyone)
    shortened = list(terms)
    for _ in range(MAX_ROUNDS):
        flat = [operand for term in shortened for operand in (term.terms if isinstance(term, junction) else (term,))]
        kept = dict.fromkeys(term for term in flat if not isinstance(term, unit))
        if zero() in kept or any(term.term in kept for term in kept if isinstance(term, Not)):
            return [zero()]
        shortened = _absorb_terms(junction, kept)
        if len(shortened) == len(kept) and all(map(operator.is_, shortened, kept)):
            break
    return shortened


def _absorb_terms(junction: Junction, terms: dict[Expr, None]) -> list[Expr]:
    """Shorten the opposite junctions among *terms* by the terms beside them.

    a OR (a AND b)      -> a
    a OR (NOT a AND b)  -> a OR b
    """
    opposite, join = (Or, any_of) if junction is And else (And, all_of)
    shorter: list[Expr] = []
    for term in terms:
        if not isinstance(term, opposite):
            shorter.append(term)
        elif not any(operand in terms for operand in term.terms):
            remaining = [operand for operand in term.terms if negate(operand) not in terms]
            shorter.append(term if len(remaining) == len(term.terms) else join(remaining))
    return shorter


def _merge_ids(terms: Iterable[Expr]) -> list[Expr]:
    """Merge id lists of a union: alias(a) OR alias(b) -> alias(a, b)."""
    lists: dict[str, list[Ids]] = {}
    for term in terms:
        if isinstance(term, Ids):
            lists.setdefault(term.kind, []).append(term)
    return list(dict.fromkeys(_join_ids(lists[term.kind]) if isinstance(term, Ids) else term for term in terms))


def _join_ids(lists: list[Ids]) -> Ids:
    """Return one list of the ids of *lists*, which are of one kind."""
    if len(lists) == 1:
        return lists[0]
    values = dict.fromkeys(value for ids in lists for value in ids.values)
    files = dict.fromkeys(file for ids in lists for file in ids.files)
    return replace(lists[0], values=tuple(values), files=tuple(files))
