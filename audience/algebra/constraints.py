"""Known constraints of attributes, and how expressions are simplified with them.

A device has at most one value of an *exclusive* attribute and at least one value of an *exhaustive* attribute. All
values of a *closed* attribute are known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.language.ast import (
    And,
    Atom,
    Compare,
    CompareOp,
    Expr,
    Has,
    Nobody,
    Not,
    Or,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    or_terms,
)


@dataclass(frozen=True, slots=True)
class AttributeConstraints:
    """Exclusive and exhaustive attributes, and the values of closed attributes."""

    exclusive: frozenset[str] = frozenset()
    exhaustive: frozenset[str] = frozenset()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def are_exclusive(self, lhs: Expr, rhs: Expr) -> bool:
        """Return whether *lhs* and *rhs* are tags that no device has both of."""
        if not isinstance(lhs, Tag) or not isinstance(rhs, Tag):
            return False
        return lhs.type == rhs.type and lhs.value != rhs.value and lhs.type in self.exclusive

    def all_tags(self, type_: str) -> list[Tag]:
        """Return all tags of a closed attribute."""
        return [Tag(type_, value) for value in self.values[type_]]


NO_CONSTRAINTS = AttributeConstraints()


def merge_constraints(first: AttributeConstraints, second: AttributeConstraints) -> AttributeConstraints:
    """Return the constraints of both; the values of an attribute that is exhaustive in *first* are those of *first*."""
    values = {type_: listed for type_, listed in first.values.items() if type_ in first.exhaustive}
    return AttributeConstraints(
        first.exclusive | second.exclusive,
        first.exhaustive | second.exhaustive,
        {**first.values, **second.values, **values},
    )


def build_constraint_expr(used_atoms: Iterable[Atom], constraints: AttributeConstraints) -> Expr:
    """Return an expression that is true of every device, for the attributes of *used_atoms*.

    Whatever the constraints, a value of an attribute implies that the device has one, and >= means > or equal.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(build_constraint_expr(atoms(parse("p:a OR p:b")), AttributeConstraints(exclusive=frozenset("p"))))
    'NOT (p:a AND p:b)'
    >>> render(build_constraint_expr(atoms(parse("has(p) AND p:a AND age < 3")), NO_CONSTRAINTS))
    'has(p) OR NOT p:a'
    """
    used_atoms = list(used_atoms)
    tags = [atom for atom in used_atoms if isinstance(atom, Tag)]
    exclusive = [tag for tag in tags if tag.type in constraints.exclusive]
    pairs = [Not(And(pair)) for pair in combinations(exclusive, 2) if constraints.are_exclusive(*pair)]
    types = {tag.type for tag in tags} & constraints.exhaustive & constraints.values.keys()
    exhaustive = [any_of(constraints.all_tags(type_)) for type_ in sorted(types)]
    rules = [*_iter_existence_rules(used_atoms, constraints), *_iter_order_rules(used_atoms)]
    return all_of([*pairs, *exhaustive, *rules])


def _iter_existence_rules(used_atoms: Iterable[Atom], constraints: AttributeConstraints) -> Iterator[Expr]:
    """Yield the rules of `has`: it follows from each value, and means any value of a closed attribute."""
    used_atoms = list(used_atoms)
    for has in used_atoms:
        if not isinstance(has, Has):
            continue
        conditions = [atom for atom in used_atoms if isinstance(atom, Tag | Compare | Within) and atom.type == has.type]
        yield from (any_of([has, Not(condition)]) for condition in conditions)
        if has.type in constraints.exhaustive:
            yield has
        elif has.type in constraints.values and set(constraints.all_tags(has.type)) <= set(conditions):
            yield any_of([Not(has), *conditions])


def _iter_order_rules(used_atoms: Sequence[Atom]) -> Iterator[Expr]:
    """Yield what links the comparisons of an attribute with one value: x >= 5 means x > 5 or x:5."""
    known = set(used_atoms)
    for inclusive in used_atoms:
        if not isinstance(inclusive, Compare) or inclusive.operator not in (">=", "<="):
            continue
        strict: CompareOp = ">" if inclusive.operator == ">=" else "<"
        parts: list[Expr] = [Compare(inclusive.type, strict, inclusive.value), Tag(inclusive.type, inclusive.value)]
        yield from (any_of([inclusive, Not(part)]) for part in parts if part in known)
        if known.issuperset(parts):
            yield any_of([Not(inclusive), *parts])


def simplify_with_constraints(expr: Expr, constraints: AttributeConstraints) -> Expr:
    """Simplify *expr*, using *constraints*.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> constraints = AttributeConstraints(exclusive=frozenset("p"))
    >>> contradiction, implied = parse("p:a AND p:b"), parse("(p:a OR p:b) AND NOT p:c")
    >>> [render(simplify_with_constraints(expr, constraints)) for expr in (contradiction, implied)]
    ['nobody', 'p:a OR p:b']
    """
    return apply_constraints(simplify(nnf(expr)), constraints)


def apply_constraints(expr: Expr, constraints: AttributeConstraints) -> Expr:
    """Simplify *expr*, which is simplified and in negation normal form, further with *constraints*."""
    return simplify(_constrain_node(expr, constraints)) if constraints.exclusive else expr


def _constrain_node(expr: Expr, constraints: AttributeConstraints) -> Expr:
    match expr:
        case Or(terms=terms):
            return any_of(_constrain_node(term, constraints) for term in terms)
        case And(terms=terms):
            return _simplify_intersection([_constrain_node(term, constraints) for term in terms], constraints)
    return expr


def _simplify_intersection(terms: list[Expr], constraints: AttributeConstraints) -> Expr:
    """Return the intersection of *terms* without the terms that its own tags exclude or imply."""
    tags = [term for term in terms if isinstance(term, Tag) and term.type in constraints.exclusive]
    if any(constraints.are_exclusive(lhs, rhs) for lhs, rhs in combinations(tags, 2)):
        return Nobody()
    terms = [_drop_excluded_tags(term, tags, constraints) for term in terms]
    tag_lists = [_tags_of_union(term) for term in terms]
    return all_of(term for term in terms if not _is_implied(term, tag_lists, constraints))


def _drop_excluded_tags(term: Expr, tags: list[Tag], constraints: AttributeConstraints) -> Expr:
    """Remove the tags of a union that exclude one of *tags*."""
    if not isinstance(term, Or):
        return term
    return any_of(operand for operand in term.terms if not any(constraints.are_exclusive(operand, tag) for tag in tags))


def _is_implied(term: Expr, tag_lists: list[list[Expr]], constraints: AttributeConstraints) -> bool:
    """Return whether *term* is NOT of a tag that excludes every tag of one of *tag_lists*."""
    if not isinstance(term, Not):
        return False
    return any(tags and all(constraints.are_exclusive(tag, term.term) for tag in tags) for tags in tag_lists)


def _tags_of_union(term: Expr) -> list[Expr]:
    """Return the tags of a union of tags, or a single tag; an empty list for any other term."""
    operands = or_terms(term)
    return list(operands) if all(isinstance(operand, Tag) for operand in operands) else []


def add_exhaustive_bound(expr: Expr, constraints: AttributeConstraints, usable_types: Iterable[str]) -> Expr | None:
    """Return *expr* AND all values of an exhaustive attribute, which bounds a NOT and changes nothing.

    The attribute is one of *usable_types*, preferably one that *expr* names, then one with few values. Returns None
    if none is exhaustive and closed.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> constraints = AttributeConstraints(frozenset("p"), frozenset("p"), {"p": ("a", "b", "c")})
    >>> render(add_exhaustive_bound(parse("NOT p:a"), constraints, ["p"]))
    'p:b OR p:c'
    """
    own_types = {atom.type for atom in atoms(expr) if isinstance(atom, Tag)}
    candidates = [type_ for type_ in usable_types if type_ in constraints.exhaustive and type_ in constraints.values]
    if not candidates:
        return None
    best = min(candidates, key=lambda type_: (type_ not in own_types, len(constraints.values[type_])))
    return simplify_with_constraints(all_of([expr, any_of(constraints.all_tags(best))]), constraints)
