"""Decide whether expressions mean the same devices, with decision diagrams.

Equal normal forms are a quick yes. Otherwise the diagram of the difference decides, and a path through it is a
counterexample: a device on which the expressions differ.

Comparisons, samples and segments are independent atoms: relations between them, such as `age < 3` implying
`age < 5`, are not known. A yes is therefore always right; a counterexample may be a device that cannot exist.
"""

from collections.abc import Hashable, Sequence
from typing import Any

from audience.algebra.constraints import (
    NO_CONSTRAINTS,
    AttributeConstraints,
    build_possible_expr,
    unify_spellings,
)
from audience.algebra.diagrams import DiagramBuilder, IdGroups, group_ids, representative_atoms
from audience.algebra.event_rules import expand_counts
from audience.algebra.exclusive_groups import group_exclusive_tags
from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.language.ast import (
    And,
    Atom,
    AtomNode,
    Everyone,
    Expr,
    Ids,
    Nobody,
    Not,
    Or,
    Threshold,
    all_of,
    atoms,
    ensure_expr,
    walk,
)

EVERYONE = Everyone()


def equivalent(lhs: Expr, rhs: Expr) -> bool:
    """Return whether *lhs* and *rhs* contain the same devices.

    Raises:
        ComplexityError: The expressions are too large to decide.

    >>> from audience.language.parser import parse
    >>> equivalent(parse("NOT (a AND b)"), parse("NOT a OR NOT b"))
    True
    """
    return witness(lhs, rhs) is None


def witness(lhs: Expr, rhs: Expr) -> frozenset[Atom] | None:
    """Return the atoms of a device on which *lhs* and *rhs* differ, or None if they are equivalent.

    >>> from audience.language.parser import parse
    >>> witness(parse("a OR b"), parse("a"))
    frozenset({Tag(type='tag', value='b')})
    """
    return find_partition_violation(lhs, [rhs])


def find_partition_violation(
    target: Expr,
    parts: Sequence[Expr],
    constraints: AttributeConstraints = NO_CONSTRAINTS,
    possible: Expr = EVERYONE,
) -> frozenset[Atom] | None:
    """Return the atoms of a device of *target* that is not in exactly one part, or of a part that is not in *target*.

    Args:
        target: Expression that the parts should make up.
        parts: Expressions that should be pairwise disjoint.
        constraints: Devices that contradict them are ignored.
        possible: Devices outside it are ignored.

    Returns:
        The atoms of a device that violates the partition, or None if *parts* partition *target*.

    Raises:
        ComplexityError: The expressions are too large to decide.

    >>> from audience.language.parser import parse
    >>> find_partition_violation(parse("a OR b"), [parse("a"), parse("b AND NOT a")]) is None
    True
    >>> sorted(tag.value for tag in find_partition_violation(parse("a OR b"), [parse("a"), parse("b")]))
    ['a', 'b']
    """
    *exprs, possible = unify_spellings(map(ensure_expr, (target, *parts, possible)), constraints)
    if _are_alike(exprs):  # most payloads are read back as they were written
        return None
    target, *parts = exprs = [simplify(nnf(expand_counts(expr))) for expr in exprs]
    if _are_alike(exprs):
        return None
    possible = nnf(expand_counts(possible))
    used_atoms = dict.fromkeys(atom for expr in (target, *parts, possible) for atom in atoms(expr))
    possible = simplify(all_of([possible, build_possible_expr(used_atoms, constraints)]))
    exprs = [target, *parts, possible]
    id_groups = group_ids(exprs)
    exclusive_groups = group_exclusive_tags(exprs, constraints)
    is_unconstrained = possible == Everyone() and not exclusive_groups
    if is_unconstrained and (violation := _find_obvious_violation(target, parts, id_groups)) is not None:
        return violation
    diagrams = DiagramBuilder(exprs, id_groups, exclusive_groups)
    violations = _build_violations(diagrams, target, parts)
    return diagrams.pick_device(diagrams.intersection([violations, diagrams.build(possible)]))


def _build_violations(diagrams: DiagramBuilder, target: Expr, parts: Sequence[Expr]) -> Any:
    """Return the diagram of all devices that violate the partition.

    target  ├───────────────────┤
    parts      ├─────────┤
                      ├────────────┤
            ^^^       ^^^        ^^^
            missing   overlap    extra        missing and extra: target xor the union of the parts
    """
    covered, overlap = diagrams.bdd.false, diagrams.bdd.false
    for part in parts:
        node = diagrams.build(part)
        overlap = diagrams.union([overlap, diagrams.intersection([covered, node])])
        covered = diagrams.union([covered, node])
    difference = diagrams.symmetric_difference(diagrams.build(target), covered)
    return diagrams.union([overlap, difference])


def _find_obvious_violation(target: Expr, parts: Sequence[Expr], id_groups: IdGroups) -> frozenset[Atom] | None:
    """Return a violation without a diagram if *target* is everyone or nobody and no atom of the part occurs twice.

    Each atom of such a part can be chosen freely, so a device inside it and a device outside it exist. The planner
    asks this about most expressions.
    """
    if len(parts) != 1 or not isinstance(target, Everyone | Nobody) or isinstance(parts[0], Everyone | Nobody):
        return None
    variables = [
        variable
        for node in walk(parts[0])
        if isinstance(node, AtomNode)
        for variable in representative_atoms(node, id_groups)
    ]
    has_threshold = any(isinstance(node, Threshold) for node in walk(parts[0]))
    if has_threshold or len(variables) != len(set(variables)):
        return None
    return _build_witness(parts[0], isinstance(target, Nobody), id_groups)


def _build_witness(expr: Expr, is_member: bool, id_groups: IdGroups) -> frozenset[Atom]:
    """Return the atoms of a device inside *expr*, or outside it. No atom occurs twice in *expr*."""
    match expr:
        case Not(term=term):
            return _build_witness(term, not is_member, id_groups)
        case And(terms=terms) | Or(terms=terms):
            return frozenset[Atom]().union(*(_build_witness(term, is_member, id_groups) for term in terms))
        case Everyone() | Nobody():
            raise AssertionError(f"{expr!r} inside a simplified expression")
    assert isinstance(expr, AtomNode)
    return frozenset(representative_atoms(expr, id_groups) if is_member else ())


def _are_alike(exprs: Sequence[Expr]) -> bool:
    """Return whether *exprs* are a target and one part that is the same up to the order of terms."""
    return len(exprs) == 2 and _unordered_key(exprs[0]) == _unordered_key(exprs[1])


def _unordered_key(expr: Expr) -> Hashable:
    """Return *expr* without the order of its terms."""
    match expr:
        case Not(term=term):
            return (Not, _unordered_key(term))
        case And(terms=terms):
            return (And, frozenset(map(_unordered_key, terms)))
        case Or(terms=terms):
            return (Or, frozenset(map(_unordered_key, terms)))
        case Ids(kind=kind, values=values):
            return (kind, frozenset(values))
    return expr
