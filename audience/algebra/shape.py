"""What one request can say, as data: the form of its tags and how many it holds. No vendor is known here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from audience.algebra.normal import Cnf, Dnf, cnf, dnf, is_literal, nnf
from audience.algebra.simplify import simplify
from audience.errors import BudgetError
from audience.language.expr import And, Everyone, Expr, Nobody, Not, Or, Tag, walk

BUDGET = 256  # clauses; a form that takes more is not looked at


@dataclass(frozen=True, slots=True)
class Slots:
    """One OR-list, one AND-list and one NOT-list of tags, joined by AND; something positive must stand in it."""

    any_of: int
    all_of: int
    none_of: int


@dataclass(frozen=True, slots=True)
class Tree:
    """*levels* of AND and OR, *operands* in each, *tags* in all, NOT on single tags; a tag must bound each NOT."""

    levels: int
    operands: int
    tags: int


@dataclass(frozen=True, slots=True)
class Clauses:
    """A union of intersections or an intersection of unions, of *most* clauses."""

    most: int


Shape: TypeAlias = Slots | Tree | Clauses


def widest(shape: Shape) -> int:
    """The longest OR-list of tags that one request of *shape* says."""
    match shape:
        case Slots(any_of=most):
            return most
        case Tree(levels=levels, operands=operands, tags=tags):
            return min(tags, int(operands**levels))
        case Clauses(most=most):
            return most


def hopeless(expr: Expr, shape: Shape) -> bool:
    """Whether *expr*, an intersection, has too many NOTs for any part of it to fit."""
    nots = sum(isinstance(term, Not) for term in _terms(expr)) if isinstance(expr, And) else 0
    return nots > (shape.none_of if isinstance(shape, Slots) else widest(shape))


def fit(expr: Expr, shape: Shape) -> Expr | None:
    """A form of *expr*, an expression over tags, that one request of *shape* can say; or None.

    >>> from audience.language.parse import parse
    >>> from audience.language.render import render
    >>> render(fit(parse("(a AND c) OR (b AND c)"), Slots(20, 20, 20)))
    '(a OR b) AND c'
    >>> fit(parse("a OR NOT b"), Slots(20, 20, 20)) is None
    True
    """
    expr = simplify(nnf(expr))
    if isinstance(expr, Everyone | Nobody) or (not isinstance(shape, Clauses) and not bounded(expr)):
        return None
    return next((form for form in _forms(expr, shape) if _fits(form, shape)), None)


def bounded(expr: Expr) -> bool:
    """Whether a tag bounds *expr*, in negation normal form, so that a device without tags is outside.

    Ids, comparisons, shares and segments count as tags do: a tag beside them would not make them sayable.

    >>> from audience.language.parse import parse
    >>> bounded(parse("a AND NOT b")), bounded(parse("a OR NOT b"))
    (True, False)
    """
    match expr:
        case And(terms=terms):
            return any(map(bounded, terms))
        case Or(terms=terms):
            return all(map(bounded, terms))
        case Not() | Everyone():
            return False
    return True


def _forms(expr: Expr, shape: Shape) -> Iterator[Expr]:
    """*expr* and its normal forms; in a tree, each also with its wide lists nested."""
    for form in _normal_forms(expr):
        yield form
        if isinstance(shape, Tree):
            yield _nested(form, shape.operands)


def _normal_forms(expr: Expr) -> Iterator[Expr]:
    yield expr
    for form in (dnf, cnf):
        try:
            found: Dnf | Cnf = form(expr, budget=BUDGET)
        except BudgetError:
            continue
        yield simplify(found.expr)


def _fits(form: Expr, shape: Shape) -> bool:
    match shape:
        case Slots():
            return _fits_slots(form.terms if isinstance(form, And) else (form,), shape)
        case Tree():
            tags = sum(isinstance(node, Tag) for node in walk(form))
            return tags <= shape.tags and _fits_tree(form, shape.levels, shape.operands)
        case Clauses():
            terms = form.terms if isinstance(form, And | Or) else (form,)
            return len(terms) <= shape.most and all(_is_flat(term) for term in terms)


def _fits_slots(terms: tuple[Expr, ...], shape: Slots) -> bool:
    wanted = sum(isinstance(term, Tag) for term in terms)
    unwanted = sum(isinstance(term, Not) for term in terms)
    lists = [term for term in terms if not is_literal(term)]
    if len(lists) > 1 or any(not isinstance(tag, Tag) for one in lists for tag in _terms(one)):
        return False
    spare = 0 if lists else 1  # an OR-list of one tag is that tag
    widest = max((len(_terms(one)) for one in lists), default=0)
    return wanted <= shape.all_of + spare and unwanted <= shape.none_of and widest <= shape.any_of


def _fits_tree(form: Expr, levels: int, operands: int) -> bool:
    if is_literal(form):
        return True
    terms = _terms(form)
    return levels > 0 and len(terms) <= operands and all(_fits_tree(term, levels - 1, operands) for term in terms)


def _is_flat(expr: Expr) -> bool:
    return all(map(is_literal, _terms(expr)))


def _nested(expr: Expr, operands: int) -> Expr:
    """The tags of a list that is too wide as lists in the list: or[a, …, k] = or[or[a, …], k]."""
    terms = _terms(expr)
    if not isinstance(expr, And | Or) or len(terms) <= operands:
        return expr
    groups = [term for term in terms if not is_literal(term)]
    tags = [term for term in terms if is_literal(term)]
    chunks = [tuple(tags[at : at + operands]) for at in range(0, len(tags), operands)]
    kind = type(expr)
    return kind((*groups, *(kind(chunk) if len(chunk) > 1 else chunk[0] for chunk in chunks)))


def _terms(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, And | Or) else (expr,)
