"""Rewrite thresholds: without terms that are constant, and as AND and OR where those say the same.

at least 1 of (a, b, c)      a OR b OR c
at least 3 of (a, b, c)      a AND b AND c
at most 1 of (a, everyone)   NOT a
"""

from itertools import combinations
from math import comb

from audience.errors import ComplexityError, Problem
from audience.language.ast import And, Everyone, Expr, Nobody, Not, Or, Threshold, ThresholdOp, all_of, any_of

MAX_CLAUSES = 64  # as which a threshold is written out


def shorten_threshold(threshold: Threshold) -> Expr:
    """Return *threshold* without constant terms, or the AND or OR that means the same.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(shorten_threshold(parse("at most 1 of (a, b, everyone)")))
    'NOT a AND NOT b'
    """
    terms = tuple(term for term in threshold.terms if not isinstance(term, Everyone | Nobody))
    return _build(threshold.operator, threshold.count - threshold.terms.count(Everyone()), terms)


def negate_threshold(threshold: Threshold) -> Expr:
    """Return the devices that are not in *threshold*.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(negate_threshold(parse("at least 3 of (a, b, c, d)")))
    'at most 2 of (a, b, c, d)'
    """
    fewer = _build("at most", threshold.count - 1, threshold.terms)
    more = _build("at least", threshold.count + 1, threshold.terms)
    match threshold.operator:
        case "at least":
            return fewer
        case "at most":
            return more
    return any_of(term for term in (fewer, more) if term != Nobody())


def _build(operator: ThresholdOp, count: int, terms: tuple[Expr, ...]) -> Expr:
    """Return a threshold for any *count*, also one that all devices reach, or none."""
    if operator == "at least":
        if count <= 1:
            return any_of(terms) if count == 1 else Everyone()
        if count >= len(terms):
            return all_of(terms) if count == len(terms) else Nobody()
    elif count <= 0:
        return all_of(map(Not, terms)) if count == 0 else Nobody()
    elif operator == "at most" and count >= len(terms) - 1:
        return any_of(map(Not, terms)) if count == len(terms) - 1 else Everyone()
    elif operator == "exactly" and count >= len(terms):
        return all_of(terms) if count == len(terms) else Nobody()
    return Threshold(operator, count, terms)


def expand_thresholds(expr: Expr) -> Expr:
    """Return *expr* with every threshold written out as AND and OR.

    Raises:
        ComplexityError: A threshold has 64 clauses or more.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(expand_thresholds(parse("at least 2 of (a, b, c)")))
    '(a AND b) OR (a AND c) OR (b AND c)'
    """
    match expr:
        case Not(term=term):
            return Not(expand_thresholds(term))
        case And(terms=terms):
            return all_of(map(expand_thresholds, terms))
        case Or(terms=terms):
            return any_of(map(expand_thresholds, terms))
        case Threshold(operator=operator, count=count, terms=terms):
            parts = []
            if operator != "at most":
                parts.append(_choose(expr, count, terms))
            if operator != "at least":
                parts.append(_choose(expr, len(terms) - count, tuple(map(Not, terms))))
            return all_of(parts)
    return expr


def _choose(threshold: Threshold, count: int, terms: tuple[Expr, ...]) -> Expr:
    """Return the devices of at least *count* of *terms*: the union of all choices of so many."""
    if comb(len(terms), count) >= MAX_CLAUSES:
        message = f"a threshold of {threshold.count} in {len(terms)} terms has {comb(len(terms), count):,} clauses"
        raise ComplexityError(Problem("too-many-clauses", message, threshold.span))
    expanded = [expand_thresholds(term) for term in terms]
    return any_of(all_of(choice) for choice in combinations(expanded, count))
