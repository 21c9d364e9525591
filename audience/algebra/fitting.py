"""Find a form of an expression over tags that fits one request."""

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
from audience.language.ast import (
    And,
    Everyone,
    Expr,
    Nobody,
    Not,
    Or,
    Tag,
    Threshold,
    and_terms,
    junction_terms,
    negated_tag,
    or_terms,
    walk,
)

MAX_CLAUSES = 256  # larger normal forms are not tried


def fit_to_shape(expr: Expr, shape: RequestShape) -> Expr | None:
    """Return a form of *expr* that fits one request of *shape*, or None. All atoms of *expr* are tags.

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
    """Return whether a device without tags is outside *expr*, which is in negation normal form.

    Ids, comparisons, samples and segments bound an expression like tags do.

    >>> from audience.language.parser import parse
    >>> is_bounded(parse("a AND NOT b")), is_bounded(parse("a OR NOT b"))
    (True, False)
    """
    match expr:
        case And(terms=terms):
            return any(map(is_bounded, terms))
        case Or(terms=terms):
            return all(map(is_bounded, terms))
        case Threshold(operator=operator, count=count, terms=terms):
            return operator != "at most" and sum(not is_bounded(term) for term in terms) < count
        case Not() | Everyone():
            return False
    return True


def has_too_many_nots(expr: Expr, shape: RequestShape) -> bool:
    """Return whether *expr* is an intersection with more NOTs than any part of it may have."""
    return isinstance(expr, And) and sum(isinstance(term, Not) for term in expr.terms) > max_not_width(shape)


def _iter_forms(expr: Expr, shape: RequestShape) -> Iterator[Expr]:
    """Yield *expr* and its normal forms. For trees, also nest wide lists and factor shared terms out."""
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
    for normal_form in (dnf, cnf):
        try:
            yield normal_form(expr, max_clauses=MAX_CLAUSES)
        except ComplexityError:
            continue


def _fits_shape(form: Expr, shape: RequestShape) -> bool:
    if isinstance(form, Everyone | Nobody):  # this form has shown that the tags cancel out
        return False
    match shape:
        case Slots():
            return _fits_slots(and_terms(form), shape)
        case Tree():
            nots = sum(isinstance(node, Not) for node in walk(form))
            within_limits = count_tags(form) <= shape.max_tags and nots <= shape.max_nots
            return within_limits and _fits_tree(form, shape.max_levels, shape.max_operands)
        case NormalForm():
            terms = junction_terms(form)
            return len(terms) <= shape.max_clauses and all(map(_is_flat_clause, terms))
        case FlatDnf():
            return _fits_flat(or_terms(form), shape)
        case ListsByKey():
            return _fits_keyed(and_terms(form), shape)
        case SingleOperator():
            return len(junction_terms(form)) <= shape.max_tags and _has_one_operator(form)


def _fits_slots(terms: Sequence[Expr], shape: Slots) -> bool:
    tag_count = sum(isinstance(term, Tag) for term in terms)
    not_count = sum(isinstance(term, Not) for term in terms)
    or_lists = [term for term in terms if not is_literal(term)]
    if len(or_lists) > 1 or not all(map(_is_tag_union, or_lists)):
        return False
    spare = 0 if or_lists else 1  # an unused OR-list can hold one tag
    or_width = max((len(junction_terms(union)) for union in or_lists), default=0)
    return tag_count <= shape.max_all_of + spare and not_count <= shape.max_none_of and or_width <= shape.max_any_of


def _fits_tree(form: Expr, max_levels: int, max_operands: int) -> bool:
    if is_literal(form):
        return True
    terms = junction_terms(form)
    return (
        max_levels > 0
        and len(terms) <= max_operands
        and all(_fits_tree(term, max_levels - 1, max_operands) for term in terms)
    )


def _fits_flat(terms: Sequence[Expr], shape: FlatDnf) -> bool:
    clauses = [tuple(and_terms(term)) for term in terms]
    return all(is_literal(leaf) for clause in clauses for leaf in clause) and shape.cost(clauses) <= shape.max_entries


def _fits_keyed(terms: Sequence[Expr], shape: ListsByKey) -> bool:
    """Return whether the tags fit the lists of each key. Tags and NOTs of one key fill as many lists as they need."""
    lists: Counter[str] = Counter()
    tags = [term for term in terms if isinstance(term, Tag)]
    negated_tags = [tag for term in terms if (tag := negated_tag(term))]
    for same_sign in (tags, negated_tags):
        for key, count in Counter(map(shape.key, same_sign)).items():
            lists[key] += ceil(count / shape.max_values)
    for term in terms:
        if not is_literal(term):
            keys = {shape.key(tag) for tag in junction_terms(term) if isinstance(tag, Tag)}
            if not _is_tag_union(term) or len(keys) > 1 or len(junction_terms(term)) > shape.max_values:
                return False
            lists.update(keys)
    return max(lists.values(), default=0) <= shape.max_lists


def _has_one_operator(form: Expr) -> bool:
    if isinstance(form, And):
        nots = sum(isinstance(term, Not) for term in form.terms)
        return all(map(is_literal, form.terms)) and nots in (0, len(form.terms) - 1)
    return isinstance(form, Tag) or (isinstance(form, Or) and _is_tag_union(form))


def _is_tag_union(expr: Expr) -> bool:
    """Return whether *expr* is a union of tags."""
    return isinstance(expr, Or) and all(isinstance(tag, Tag) for tag in expr.terms)


def _is_flat_clause(expr: Expr) -> bool:
    return all(map(is_literal, junction_terms(expr)))


def _nest_wide_lists(expr: Expr, max_operands: int) -> Expr:
    """Nest the terms of lists that are too wide: or[a, …, k] becomes or[or[a, …], k]."""
    if not isinstance(expr, And | Or):
        return expr
    junction = type(expr)
    if len(expr.terms) <= max_operands:
        return junction(tuple(_nest_wide_lists(term, max_operands) for term in expr.terms))
    groups = [_nest_wide_lists(term, max_operands) for term in expr.terms if not is_literal(term)]
    literals = [term for term in expr.terms if is_literal(term)]
    terms: list[Expr] = [*groups, *_chunk_terms(literals, max_operands, junction)]
    while len(terms) > max_operands > 1:
        terms = _chunk_terms(terms, max_operands, junction)
    return junction(tuple(terms))


def _chunk_terms(terms: Sequence[Expr], size: int, junction: Junction) -> list[Expr]:
    chunks = [tuple(terms[start : start + size]) for start in range(0, len(terms), size)]
    return [junction(chunk) if len(chunk) > 1 else chunk[0] for chunk in chunks]
