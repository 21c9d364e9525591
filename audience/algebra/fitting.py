"""Does an expression over tags fit one request, and in which form?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil

from audience.algebra.normal_forms import Cnf, Dnf, cnf, dnf, factor, is_literal, nnf
from audience.algebra.request_shape import (
    FlatDnf,
    ListsByKey,
    NormalForm,
    RequestShape,
    SingleOperator,
    Slots,
    Tree,
    count_tags,
    max_not_width,
)
from audience.algebra.simplification import Junction, simplify
from audience.errors import ComplexityError
from audience.language.ast import And, Everyone, Expr, Nobody, Not, Or, Tag, walk

MAX_CLAUSES = 256  # clauses; a form that takes more is not looked at


def fit_to_shape(expr: Expr, shape: RequestShape) -> Expr | None:
    """A form of *expr*, an expression over tags, that one request of *shape* can say; or None.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(fit_to_shape(parse("(a AND c) OR (b AND c)"), Slots(20, 20, 20)))
    '(a OR b) AND c'
    >>> fit_to_shape(parse("a OR NOT b"), Slots(20, 20, 20)) is None
    True
    >>> render(fit_to_shape(parse("(a AND b) OR (a AND c) OR (d AND e)"), Tree(max_tags=5)))
    '(a AND (b OR c)) OR (d AND e)'
    """
    expr = simplify(nnf(expr))
    if isinstance(expr, Everyone | Nobody) or not (shape.allows_unbounded_not or is_bounded(expr)):
        return None
    return next((form for form in _iter_forms(expr, shape) if _fits_shape(form, shape)), None)


def is_bounded(expr: Expr) -> bool:
    """Whether a tag bounds *expr*, in negation normal form, so that a device without tags is outside.

    Ids, comparisons, shares and segments count as tags do: a tag beside them would not make them sayable.

    >>> from audience.language.parser import parse
    >>> is_bounded(parse("a AND NOT b")), is_bounded(parse("a OR NOT b"))
    (True, False)
    """
    match expr:
        case And(terms=terms):
            return any(map(is_bounded, terms))
        case Or(terms=terms):
            return all(map(is_bounded, terms))
        case Not() | Everyone():
            return False
    return True


def has_too_many_nots(expr: Expr, shape: RequestShape) -> bool:
    """Whether *expr*, an intersection, has too many NOTs for any part of it to fit."""
    return isinstance(expr, And) and sum(isinstance(term, Not) for term in expr.terms) > max_not_width(shape)


def _iter_forms(expr: Expr, shape: RequestShape) -> Iterator[Expr]:
    """*expr* and its normal forms; in a tree, each also with its wide lists nested, and with what they share once."""
    for form in _iter_normal_forms(expr):
        yield form
        if isinstance(shape, Tree):
            yield _nest_wide_lists(form, shape.max_operands)
    if isinstance(shape, Tree) and shape.max_levels > 2:
        for form in _iter_factored_forms(expr):
            yield _nest_wide_lists(form, shape.max_operands)


def _iter_normal_forms(expr: Expr) -> Iterator[Expr]:
    yield expr
    yield from (simplify(form.expr) for form in _iter_dnf_and_cnf(expr))


def _iter_factored_forms(expr: Expr) -> Iterator[Expr]:
    yield from map(factor, _iter_dnf_and_cnf(expr))


def _iter_dnf_and_cnf(expr: Expr) -> Iterator[Dnf | Cnf]:
    for form in (dnf, cnf):
        try:
            yield form(expr, max_clauses=MAX_CLAUSES)
        except ComplexityError:
            continue


def _fits_shape(form: Expr, shape: RequestShape) -> bool:
    if isinstance(form, Everyone | Nobody):  # what it comes to in this form only
        return False
    match shape:
        case Slots():
            return _fits_slots(_and_terms(form), shape)
        case Tree():
            nots = sum(isinstance(node, Not) for node in walk(form))
            small = count_tags(form) <= shape.max_tags and nots <= shape.max_nots
            return small and _fits_tree(form, shape.max_levels, shape.max_operands)
        case NormalForm():
            terms = _junction_terms(form)
            return len(terms) <= shape.max_clauses and all(map(_is_flat_clause, terms))
        case FlatDnf():
            return _fits_flat(_or_terms(form), shape)
        case ListsByKey():
            return _fits_keyed(_and_terms(form), shape)
        case SingleOperator():
            return len(_junction_terms(form)) <= shape.max_tags and _has_one_operator(form)


def _fits_slots(terms: Sequence[Expr], shape: Slots) -> bool:
    wanted = sum(isinstance(term, Tag) for term in terms)
    unwanted = sum(isinstance(term, Not) for term in terms)
    lists = [term for term in terms if not is_literal(term)]
    if len(lists) > 1 or not all(map(_is_tag_union, lists)):
        return False
    spare = 0 if lists else 1  # an OR-list of one tag is that tag
    widest = max((len(_junction_terms(one)) for one in lists), default=0)
    return wanted <= shape.max_all_of + spare and unwanted <= shape.max_none_of and widest <= shape.max_any_of


def _fits_tree(form: Expr, max_levels: int, max_operands: int) -> bool:
    if is_literal(form):
        return True
    terms = _junction_terms(form)
    return (
        max_levels > 0
        and len(terms) <= max_operands
        and all(_fits_tree(term, max_levels - 1, max_operands) for term in terms)
    )


def _fits_flat(terms: Sequence[Expr], shape: FlatDnf) -> bool:
    clauses = [tuple(_and_terms(term)) for term in terms]
    return all(is_literal(leaf) for clause in clauses for leaf in clause) and shape.cost(clauses) <= shape.max_entries


def _fits_keyed(terms: Sequence[Expr], shape: ListsByKey) -> bool:
    """Tags and NOTs of one key stand in a list each, or in several where they are too many."""
    lists: Counter[str] = Counter()
    for leaves in (
        [tag for tag in terms if isinstance(tag, Tag)],
        [_negated_term(term) for term in terms if _negated_term(term)],
    ):
        for key, count in Counter(shape.key(tag) for tag in leaves if isinstance(tag, Tag)).items():
            lists[key] += ceil(count / shape.max_values)
    for term in terms:
        if not is_literal(term):
            keys = {shape.key(tag) for tag in _junction_terms(term) if isinstance(tag, Tag)}
            if not _is_tag_union(term) or len(keys) > 1 or len(_junction_terms(term)) > shape.max_values:
                return False
            lists.update(keys)
    return max(lists.values(), default=0) <= shape.max_lists


def _has_one_operator(form: Expr) -> bool:
    if isinstance(form, And):
        nots = sum(isinstance(term, Not) for term in form.terms)
        return all(map(is_literal, form.terms)) and nots in (0, len(form.terms) - 1)
    return isinstance(form, Tag) or (isinstance(form, Or) and _is_tag_union(form))


def _negated_term(expr: Expr) -> Expr | None:
    return expr.term if isinstance(expr, Not) else None


def _is_tag_union(expr: Expr) -> bool:
    """Whether *expr* is a union of single tags."""
    return isinstance(expr, Or) and all(isinstance(tag, Tag) for tag in expr.terms)


def _is_flat_clause(expr: Expr) -> bool:
    return all(map(is_literal, _junction_terms(expr)))


def _nest_wide_lists(expr: Expr, max_operands: int) -> Expr:
    """The tags of each list that is too wide as lists in the list: or[a, …, k] = or[or[a, …], k]."""
    if not isinstance(expr, And | Or):
        return expr
    kind = type(expr)
    if len(expr.terms) <= max_operands:
        return kind(tuple(_nest_wide_lists(term, max_operands) for term in expr.terms))
    groups = [_nest_wide_lists(term, max_operands) for term in expr.terms if not is_literal(term)]
    loose = [term for term in expr.terms if is_literal(term)]
    terms: list[Expr] = [*groups, *_chunk_terms(loose, max_operands, kind)]
    while len(terms) > max_operands > 1:
        terms = _chunk_terms(terms, max_operands, kind)
    return kind(tuple(terms))


def _chunk_terms(terms: Sequence[Expr], size: int, junction: Junction) -> list[Expr]:
    chunks = [tuple(terms[at : at + size]) for at in range(0, len(terms), size)]
    return [junction(chunk) if len(chunk) > 1 else chunk[0] for chunk in chunks]


def _junction_terms(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, And | Or) else (expr,)


def _and_terms(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, And) else (expr,)


def _or_terms(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, Or) else (expr,)
