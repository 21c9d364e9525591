"""Known constraints of attributes, and how expressions are simplified with them.

A device has at most one value of an *exclusive* attribute and at least one value of an *exhaustive* attribute. All
values of a *closed* attribute are known. Numbers, days and versions are compared as values: 30 and 30.0 are one.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TypeAlias

from audience.algebra.event_rules import iter_event_rules
from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.algebra.value_rules import iter_value_rules
from audience.language.ast import (
    And,
    Atom,
    AttributeAtom,
    Between,
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
    map_operands,
    negated_tag,
    or_terms,
    walk_operands,
)

ValueKey: TypeAlias = Callable[[str], Hashable]


@dataclass(frozen=True, slots=True)
class ValueKeys:
    """Functions that return equal keys for equal values of an ordered attribute.

    Attributes:
        tag: Two tags with equal keys are the same tag.
        operand: Two comparisons whose operands have equal keys are the same comparison.
        overlap: A device can have two tags with equal keys although the attribute is exclusive, such as a day and a
            timestamp of that day.
        has_equal_tags: x >= v means x > v or x:v. Not so for versions: 1.2.0 is >= 1.2, and another tag than 1.2.
    """

    tag: ValueKey
    operand: ValueKey
    overlap: ValueKey
    has_equal_tags: bool = False


@dataclass(frozen=True, slots=True)
class AttributeConstraints:
    """Exclusive and exhaustive attributes, the values of closed attributes, and the keys of ordered attributes."""

    exclusive: frozenset[str] = frozenset()
    exhaustive: frozenset[str] = frozenset()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keys: Mapping[str, ValueKeys] = field(default_factory=dict)

    def are_exclusive(self, lhs: Expr, rhs: Expr) -> bool:
        """Return whether *lhs* and *rhs* are tags that no device has both of."""
        if not isinstance(lhs, Tag) or not isinstance(rhs, Tag):
            return False
        return lhs.type == rhs.type and lhs.type in self.exclusive and self.overlap_key(lhs) != self.overlap_key(rhs)

    def overlap_key(self, tag: Tag) -> Hashable:
        """Return the key that differs between *tag* and every tag of its attribute that excludes it."""
        keys = self.keys.get(tag.type)
        return tag.value if keys is None else keys.overlap(tag.value)

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
        {**first.keys, **second.keys},
    )


def build_constraint_expr(used_atoms: Iterable[Atom], constraints: AttributeConstraints) -> Expr:
    """Return an expression that is true of every device, for the attributes of *used_atoms*.

    Whatever the constraints, a value of an attribute implies that the device has one, and > or equal implies >=.

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
    return all_of([*pairs, *_iter_possible_rules(used_atoms, constraints)])


def build_possible_expr(used_atoms: Iterable[Atom], constraints: AttributeConstraints) -> Expr:
    """Return the constraint of *used_atoms* without what follows from exclusive attributes.

    One of the values that *used_atoms* do not name represents all of them.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> constraints = AttributeConstraints(exhaustive=frozenset("p"), values={"p": ("a", "b", "c", "d")})
    >>> render(build_possible_expr(atoms(parse("p:a OR p:b")), constraints))
    'p:a OR p:b OR p:c'
    """
    return all_of(_iter_possible_rules(list(used_atoms), constraints))


def _iter_possible_rules(used_atoms: Sequence[Atom], constraints: AttributeConstraints) -> Iterator[Expr]:
    used_tags = {atom for atom in used_atoms if isinstance(atom, Tag)}
    used_types = {tag.type for tag in used_tags}
    for type_ in sorted(used_types & constraints.exhaustive & constraints.values.keys()):
        listed_tags = constraints.all_tags(type_)
        used_keys = {constraints.overlap_key(tag) for tag in used_tags if tag.type == type_}
        # a device may have a listed tag together with a used one, such as 30.0 and 30
        kept_tags = [tag for tag in listed_tags if constraints.overlap_key(tag) in used_keys]
        other_tags = [tag for tag in listed_tags if constraints.overlap_key(tag) not in used_keys]
        yield any_of([*kept_tags, *other_tags[:1]])
    yield from _iter_existence_rules(used_atoms, constraints)
    yield from _iter_order_rules(used_atoms, constraints)
    yield from iter_value_rules(used_atoms, constraints.keys, constraints.exclusive)
    yield from iter_event_rules(used_atoms)


def _iter_existence_rules(used_atoms: Sequence[Atom], constraints: AttributeConstraints) -> Iterator[Expr]:
    """Yield the rules of `has`: it follows from each value, and means any value of a closed attribute."""
    for has in used_atoms:
        if not isinstance(has, Has):
            continue
        conditions: list[Expr] = [
            atom
            for atom in used_atoms
            if isinstance(atom, AttributeAtom) and atom.type == has.type and not isinstance(atom, Has)
        ]
        if conditions:
            yield any_of([has, Not(any_of(conditions))])
        if has.type in constraints.exhaustive:
            yield has
        elif has.type in constraints.values and set(constraints.all_tags(has.type)) <= set(conditions):
            yield any_of([Not(has), *conditions])


def _iter_order_rules(used_atoms: Sequence[Atom], constraints: AttributeConstraints) -> Iterator[Expr]:
    """Yield what links the comparisons of an attribute with one value: x >= 5 follows from x > 5 and from x:5.

    It means one of the two only if values that rank alike are one tag.
    """
    known = set(used_atoms)
    for inclusive in used_atoms:
        if not isinstance(inclusive, Compare) or inclusive.operator not in (">=", "<="):
            continue
        strict: CompareOp = ">" if inclusive.operator == ">=" else "<"
        parts: list[Expr] = [Compare(inclusive.type, strict, inclusive.value), Tag(inclusive.type, inclusive.value)]
        yield from (any_of([inclusive, Not(part)]) for part in parts if part in known)
        keys = constraints.keys.get(inclusive.type)
        if keys is not None and keys.has_equal_tags and known.issuperset(parts):
            yield any_of([Not(inclusive), *parts])


def unify_spellings(exprs: Iterable[Expr], constraints: AttributeConstraints) -> list[Expr]:
    """Return *exprs* with one spelling of each value: the one that the attribute lists, or else the first.

    Tags and comparisons share a spelling if they have the same keys.

    >>> from decimal import Decimal
    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> constraints = AttributeConstraints(keys={"age": ValueKeys(Decimal, Decimal, Decimal)})
    >>> render(unify_spellings([parse("age:30.0 AND NOT age:30 AND age < 3e1 AND age <= 30")], constraints)[0])
    'age:30.0 AND NOT age:30.0 AND age < 30.0 AND age <= 30.0'
    """
    if not constraints.keys:
        return list(exprs)
    spellings: dict[tuple[str, ValueKey, Hashable], str] = {}

    def spell(type_: str, key: ValueKey, text: str) -> str:
        return spellings.setdefault((type_, key, key(text)), text)

    def unify(atom: Atom) -> Atom:
        if not isinstance(atom, Tag | Compare | Within | Between) or (keys := constraints.keys.get(atom.type)) is None:
            return atom
        match atom:
            case Tag(type=type_, value=value):
                return replace(atom, value=spell(type_, keys.tag, value))
            case Compare(type=type_, value=value):
                return replace(atom, value=spell(type_, keys.operand, value))
            case Within(type=type_, day=day):
                return replace(atom, day=spell(type_, keys.operand, day))
            case Between(type=type_, low=low, high=high):
                return replace(atom, low=spell(type_, keys.operand, low), high=spell(type_, keys.operand, high))

    exprs = list(exprs)
    types = {getattr(node, "type", "") for expr in exprs for node in walk_operands(expr)}
    for type_ in types & constraints.keys.keys() & constraints.values.keys():
        for value in constraints.values[type_]:
            spell(type_, constraints.keys[type_].tag, value)
    return [map_operands(expr, unify) for expr in exprs]


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
    own_keys: dict[str, Hashable] = {}
    for tag in terms:
        if isinstance(tag, Tag) and tag.type in constraints.exclusive:
            key = constraints.overlap_key(tag)
            if own_keys.setdefault(tag.type, key) != key:
                return Nobody()
    terms = [_drop_excluded_tags(term, own_keys, constraints) for term in terms]
    possible_keys = _possible_keys(terms, constraints)
    return all_of(term for term in terms if not _is_implied(term, possible_keys, constraints))


def _drop_excluded_tags(term: Expr, own_keys: Mapping[str, Hashable], constraints: AttributeConstraints) -> Expr:
    """Remove the tags of a union that exclude the tag ANDed with it; *own_keys* has the key of that tag by its type."""
    if not isinstance(term, Or) or not own_keys:
        return term
    return any_of(
        operand
        for operand in term.terms
        if not isinstance(operand, Tag)
        or operand.type not in own_keys
        or constraints.overlap_key(operand) == own_keys[operand.type]
    )


def _possible_keys(terms: Iterable[Expr], constraints: AttributeConstraints) -> dict[str, list[set[Hashable]]]:
    """Return, for each exclusive type, the keys of each term that is a tag of the type or a union of such tags."""
    keys: dict[str, list[set[Hashable]]] = {}
    for term in terms:
        operands = or_terms(term)
        tags = [operand for operand in operands if isinstance(operand, Tag)]
        types = {tag.type for tag in tags}
        if len(tags) == len(operands) and len(types) == 1 and types <= constraints.exclusive:
            keys.setdefault(tags[0].type, []).append({constraints.overlap_key(tag) for tag in tags})
    return keys


def _is_implied(
    term: Expr, possible_keys: Mapping[str, list[set[Hashable]]], constraints: AttributeConstraints
) -> bool:
    """Return whether *term* is NOT of a tag that excludes every tag of a union beside it."""
    tag = negated_tag(term)
    if tag is None or tag.type not in possible_keys:
        return False
    key = constraints.overlap_key(tag)
    return any(key not in keys for keys in possible_keys[tag.type])


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
