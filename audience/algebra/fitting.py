"""Does an expression over tags fit one request, and in which form?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil

from audience.algebra.normal_forms import Cnf, Dnf, cnf, dnf, factored, is_literal, nnf
from audience.algebra.request_shape import Clauses, Flat, Keyed, Operator, Shape, Slots, Tree, count_tags, most_nots
from audience.algebra.simplify import Junction, simplify
from audience.errors import BudgetError
from audience.language.ast import And, Everyone, Expr, Nobody, Not, Or, Tag, walk

BUDGET = 256  # clauses; a form that takes more is not looked at


def fit(expr: Expr, shape: Shape) -> Expr | None:
    """A form of *expr*, an expression over tags, that one request of *shape* can say; or None.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(fit(parse("(a AND c) OR (b AND c)"), Slots(20, 20, 20)))
    '(a OR b) AND c'
    >>> fit(parse("a OR NOT b"), Slots(20, 20, 20)) is None
    True
    >>> render(fit(parse("(a AND b) OR (a AND c) OR (d AND e)"), Tree(tags=5)))
    '(a AND (b OR c)) OR (d AND e)'
    """
    expr = simplify(nnf(expr))
    if isinstance(expr, Everyone | Nobody) or not (shape.lone_not or bounded(expr)):
        return None
    return next((form for form in _forms(expr, shape) if _fits(form, shape)), None)


def bounded(expr: Expr) -> bool:
    """Whether a tag bounds *expr*, in negation normal form, so that a device without tags is outside.

    Ids, comparisons, shares and segments count as tags do: a tag beside them would not make them sayable.

    >>> from audience.language.parser import parse
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


def hopeless(expr: Expr, shape: Shape) -> bool:
    """Whether *expr*, an intersection, has too many NOTs for any part of it to fit."""
    return isinstance(expr, And) and sum(isinstance(term, Not) for term in expr.terms) > most_nots(shape)


def _forms(expr: Expr, shape: Shape) -> Iterator[Expr]:
    """*expr* and its normal forms; in a tree, each also with its wide lists nested, and with what they share once."""
    for form in _normal_forms(expr):
        yield form
        if isinstance(shape, Tree):
            yield _nested(form, shape.operands)
    if isinstance(shape, Tree) and shape.levels > 2:
        for form in _factored_forms(expr):
            yield _nested(form, shape.operands)


def _normal_forms(expr: Expr) -> Iterator[Expr]:
    yield expr
    yield from (simplify(form.expr) for form in _two_forms(expr))


def _factored_forms(expr: Expr) -> Iterator[Expr]:
    yield from map(factored, _two_forms(expr))


def _two_forms(expr: Expr) -> Iterator[Dnf | Cnf]:
    for form in (dnf, cnf):
        try:
            yield form(expr, budget=BUDGET)
        except BudgetError:
            continue


def _fits(form: Expr, shape: Shape) -> bool:
    if isinstance(form, Everyone | Nobody):  # what it comes to in this form only
        return False
    match shape:
        case Slots():
            return _fits_slots(_and_terms(form), shape)
        case Tree():
            nots = sum(isinstance(node, Not) for node in walk(form))
            small = count_tags(form) <= shape.tags and nots <= shape.nots
            return small and _fits_tree(form, shape.levels, shape.operands)
        case Clauses():
            terms = _terms(form)
            return len(terms) <= shape.most and all(map(_is_flat, terms))
        case Flat():
            return _fits_flat(_or_terms(form), shape)
        case Keyed():
            return _fits_keyed(_and_terms(form), shape)
        case Operator():
            return len(_terms(form)) <= shape.names and _has_one_operator(form)


def _fits_slots(terms: Sequence[Expr], shape: Slots) -> bool:
    wanted = sum(isinstance(term, Tag) for term in terms)
    unwanted = sum(isinstance(term, Not) for term in terms)
    lists = [term for term in terms if not is_literal(term)]
    if len(lists) > 1 or not all(map(_are_tags, lists)):
        return False
    spare = 0 if lists else 1  # an OR-list of one tag is that tag
    widest = max((len(_terms(one)) for one in lists), default=0)
    return wanted <= shape.all_of + spare and unwanted <= shape.none_of and widest <= shape.any_of


def _fits_tree(form: Expr, levels: int, operands: int) -> bool:
    if is_literal(form):
        return True
    terms = _terms(form)
    return levels > 0 and len(terms) <= operands and all(_fits_tree(term, levels - 1, operands) for term in terms)


def _fits_flat(terms: Sequence[Expr], shape: Flat) -> bool:
    clauses = [tuple(_and_terms(term)) for term in terms]
    return all(is_literal(leaf) for clause in clauses for leaf in clause) and shape.takes(clauses) <= shape.entries


def _fits_keyed(terms: Sequence[Expr], shape: Keyed) -> bool:
    """Tags and NOTs of one key stand in a list each, or in several where they are too many."""
    lists: Counter[str] = Counter()
    for leaves in ([tag for tag in terms if isinstance(tag, Tag)], [_inner(term) for term in terms if _inner(term)]):
        for key, count in Counter(shape.key(tag) for tag in leaves if isinstance(tag, Tag)).items():
            lists[key] += ceil(count / shape.values)
    for term in terms:
        if not is_literal(term):
            keys = {shape.key(tag) for tag in _terms(term) if isinstance(tag, Tag)}
            if not _are_tags(term) or len(keys) > 1 or len(_terms(term)) > shape.values:
                return False
            lists.update(keys)
    return max(lists.values(), default=0) <= shape.lists


def _has_one_operator(form: Expr) -> bool:
    if isinstance(form, And):
        nots = sum(isinstance(term, Not) for term in form.terms)
        return all(map(is_literal, form.terms)) and nots in (0, len(form.terms) - 1)
    return isinstance(form, Tag) or (isinstance(form, Or) and _are_tags(form))


def _inner(expr: Expr) -> Expr | None:
    return expr.term if isinstance(expr, Not) else None


def _are_tags(expr: Expr) -> bool:
    """Whether *expr* is a union of single tags."""
    return isinstance(expr, Or) and all(isinstance(tag, Tag) for tag in expr.terms)


def _is_flat(expr: Expr) -> bool:
    return all(map(is_literal, _terms(expr)))


def _nested(expr: Expr, operands: int) -> Expr:
    """The tags of each list that is too wide as lists in the list: or[a, …, k] = or[or[a, …], k]."""
    if not isinstance(expr, And | Or):
        return expr
    kind = type(expr)
    if len(expr.terms) <= operands:
        return kind(tuple(_nested(term, operands) for term in expr.terms))
    groups = [_nested(term, operands) for term in expr.terms if not is_literal(term)]
    loose = [term for term in expr.terms if is_literal(term)]
    terms: list[Expr] = [*groups, *_chunked(loose, operands, kind)]
    while len(terms) > operands > 1:
        terms = _chunked(terms, operands, kind)
    return kind(tuple(terms))


def _chunked(terms: Sequence[Expr], size: int, kind: Junction) -> list[Expr]:
    chunks = [tuple(terms[at : at + size]) for at in range(0, len(terms), size)]
    return [kind(chunk) if len(chunk) > 1 else chunk[0] for chunk in chunks]


def _terms(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, And | Or) else (expr,)


def _and_terms(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, And) else (expr,)


def _or_terms(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, Or) else (expr,)
