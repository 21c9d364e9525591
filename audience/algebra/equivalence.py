"""Do two expressions mean the same for every device? Decided with binary decision diagrams (dd).

Alike after putting both into one form is a quick yes; otherwise the diagram of their difference decides, and
a path through it is a device on which they differ. Comparisons, single ids, shares and segments are atoms of their
own: nothing is assumed about how they hang together, so a yes is always right, and a no may be about a device that
cannot exist. Of ids that stand in the same lists one is enough.
"""

import operator
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, TypeAlias

from audience.algebra.constraints import NO_CONSTRAINTS, AttributeConstraints, build_constraint_expr
from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.errors import ComplexityError, Problem
from audience.language.ast import (
    And,
    Atom,
    Compare,
    Everyone,
    Expr,
    Ids,
    Nobody,
    Not,
    Or,
    Sample,
    Segment,
    Split,
    Tag,
    Within,
    atoms,
    ensure_expr,
    walk,
)

MAX_ATOMS = 400  # the pure-Python package recurses once for each
MAX_TOTAL_NODES = 2_000_000  # nodes of all diagrams that are joined; about a second
MAX_NODE_PRODUCT = 20_000_000  # the product of two diagrams, which bounds what joining them takes

VariableNames: TypeAlias = dict[Atom, str]
IdGroups: TypeAlias = dict[Ids, list[Ids]]


def equivalent(lhs: Expr, rhs: Expr) -> bool:
    """Whether every device is in both or in neither; raises BudgetError where that cannot be decided.

    >>> from audience.language.parser import parse
    >>> equivalent(parse("NOT (a AND b)"), parse("NOT a OR NOT b"))
    True
    """
    return witness(lhs, rhs) is None


def witness(lhs: Expr, rhs: Expr) -> frozenset[Atom] | None:
    """What a device has on which *one* and *other* differ, or None where there is no such device.

    >>> from audience.language.parser import parse
    >>> witness(parse("a OR b"), parse("a"))
    frozenset({Tag(type='tag', value='b')})
    """
    return find_partition_violation(lhs, [rhs])


def find_partition_violation(
    target: Expr, parts: Sequence[Expr], constraints: AttributeConstraints = NO_CONSTRAINTS
) -> frozenset[Atom] | None:
    """What a device has that is in *whole* and in no part, in a part but not in *whole*, or in two parts; or None.

    Only devices are asked that can be by what is known of attributes, *facts*.

    >>> from audience.language.parser import parse
    >>> find_partition_violation(parse("a OR b"), [parse("a"), parse("b AND NOT a")]) is None
    True
    >>> sorted(tag.value for tag in find_partition_violation(parse("a OR b"), [parse("a"), parse("b")]))
    ['a', 'b']
    """
    target, *parts = (simplify(nnf(ensure_expr(expr))) for expr in (target, *parts))
    if len(parts) == 1 and _unordered_key(target) == _unordered_key(parts[0]):
        return None
    true = build_constraint_expr({atom: None for expr in (target, *parts) for atom in atoms(expr)}, constraints)
    groups = _build_id_groups(target, *parts, true)
    if true == Everyone() and (found := _find_obvious_violation(target, parts, groups)) is not None:
        return found
    diagram = _DiagramBuilder(_name_variables((target, *parts, true), groups), groups)
    covered, twice = diagram.bdd.false, diagram.bdd.false
    for part in parts:
        node = diagram.build(part)
        twice = diagram.combine([twice, diagram.combine([covered, node], operator.and_)], operator.or_)
        covered = diagram.combine([covered, node], operator.or_)
    differs = diagram.combine([diagram.build(target), covered], lambda one, other: diagram.bdd.apply("xor", one, other))
    wrong = diagram.combine([twice, differs], operator.or_)
    return diagram.pick_device(diagram.combine([wrong, diagram.build(true)], operator.and_))


def _find_obvious_violation(target: Expr, parts: Sequence[Expr], id_groups: IdGroups) -> frozenset[Atom] | None:
    """What a device has on which nobody or everyone differs from one part in which each atom stands once, or None.

    Such a part can be had and can be missed, whatever it says; `plan` asks this of most expressions.
    """
    if len(parts) != 1 or not isinstance(target, Everyone | Nobody) or isinstance(parts[0], Everyone | Nobody):
        return None
    found = [
        single for node in walk(parts[0]) if isinstance(node, Atom) for single in _representative_atoms(node, id_groups)
    ]
    return _build_witness(parts[0], isinstance(target, Nobody), id_groups) if len(found) == len(set(found)) else None


def _build_witness(expr: Expr, is_member: bool, id_groups: IdGroups) -> frozenset[Atom]:
    """What a device has that is *inside* the audience of *expr*, or outside; each atom stands in *expr* once."""
    match expr:
        case Not(term=term):
            return _build_witness(term, not is_member, id_groups)
        case And(terms=terms) | Or(terms=terms):
            return frozenset[Atom]().union(*(_build_witness(term, is_member, id_groups) for term in terms))
        case Everyone() | Nobody():
            raise AssertionError(f"{expr!r} inside of an expression that is simplified")
    return frozenset(_representative_atoms(expr, id_groups) if is_member else ())


def _unordered_key(expr: Expr) -> Hashable:
    """*expr* without the order of its terms."""
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


def _build_id_groups(*exprs: Expr) -> IdGroups:
    """For each list of ids one id of each group that it has: those of a group stand in the same lists, everywhere."""
    lists = list(dict.fromkeys(atom for expr in exprs for atom in atoms(expr) if isinstance(atom, Ids)))
    found: IdGroups = {}
    for kind in dict.fromkeys(each.kind for each in lists):
        of_kind = [each for each in lists if each.kind == kind]
        found |= _group_shared_ids(of_kind) if len(of_kind) > 1 else {of_kind[0]: [Ids(kind, of_kind[0].values[:1])]}
    return found


def _group_shared_ids(id_lists: list[Ids]) -> IdGroups:
    standing: dict[str, int] = {}
    for at, each in enumerate(id_lists):
        for value in each.values:
            standing[value] = standing.get(value, 0) | 1 << at
    firsts: dict[int, str] = {}
    for value, where in standing.items():
        firsts.setdefault(where, value)
    return {
        each: [Ids(each.kind, (value,)) for where, value in firsts.items() if where >> at & 1]
        for at, each in enumerate(id_lists)
    }


def _name_variables(exprs: Sequence[Expr], id_groups: IdGroups) -> VariableNames:
    """A variable for each atom, in the order they are read: what is read together lies together."""
    found: dict[Atom, None] = {}
    for expr in exprs:
        for atom in atoms(expr):
            found.update(dict.fromkeys(_representative_atoms(atom, id_groups)))
    if len(found) > MAX_ATOMS:
        raise ComplexityError(
            Problem("too-many-tags", f"{len(found):,} different tags and ids; {MAX_ATOMS} is the most for a proof")
        )
    return {single: f"x{at}" for at, single in enumerate(found)}


def _representative_atoms(atom: Atom, id_groups: IdGroups) -> Sequence[Atom]:
    """*atom*, or of a list of ids one for each group."""
    return id_groups[atom] if isinstance(atom, Ids) else [atom]


@cache
def _load_bdd_manager() -> Any:
    """The one store of diagrams: making it takes longer than most proofs."""
    try:  # here, as dd takes long to load and most questions are answered without; compiled in the wheels for Linux
        from dd import cudd as diagrams
    except ImportError:
        from dd import autoref as diagrams
    bdd = diagrams.BDD()
    bdd.configure(reordering=False)  # the order of reading is a good one, and sifting takes minutes
    bdd.declare(*(f"x{at}" for at in range(MAX_ATOMS)))
    return bdd


class _DiagramBuilder:
    """Decision diagrams over the atoms of *names*, a list of ids by its *groups*, of bounded size in all."""

    def __init__(self, variable_names: VariableNames, id_groups: IdGroups):
        self.variable_names = variable_names
        self.id_groups = id_groups
        self.bdd = _load_bdd_manager()
        self.total_nodes = 0

    def build(self, expr: Expr) -> Any:
        match expr:
            case Everyone():
                return self.bdd.true
            case Nobody():
                return self.bdd.false
            case Tag() | Compare() | Within() | Segment() | Sample() | Split():
                return self.bdd.var(self.variable_names[expr])
            case Ids():
                return self.combine(
                    [self.bdd.var(self.variable_names[each]) for each in self.id_groups[expr]], operator.or_
                )
            case Not(term=term):
                return ~self.build(term)
            case And(terms=terms):
                return self.combine(list(map(self.build, terms)), operator.and_)
            case Or(terms=terms):
                return self.combine(list(map(self.build, terms)), operator.or_)

    def combine(self, nodes: list[Any], operation: Callable[[Any, Any], Any]) -> Any:
        """Join *nodes* from the last to the first: what is read later stands lower, so each step is short."""
        result = nodes[-1]
        for node in reversed(nodes[:-1]):
            sizes = len(node), len(result)
            self.total_nodes += sum(sizes)
            if self.total_nodes > MAX_TOTAL_NODES or sizes[0] * sizes[1] > MAX_NODE_PRODUCT:
                raise ComplexityError(Problem("too-tangled", "the expression is too tangled for a proof"))
            result = operation(node, result)
        return result

    def pick_device(self, node: Any) -> frozenset[Atom] | None:
        """What a device has that *node* describes, or None where there is no such device."""
        model = self.bdd.pick(node)
        if model is None:
            return None
        return frozenset(atom for atom, name in self.variable_names.items() if model.get(name, False))
