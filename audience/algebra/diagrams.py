"""Binary decision diagrams of expressions, with the package dd, of bounded size.

Each atom is a boolean variable; `everyone` is true and `nobody` is false. Ids that occur in exactly the same id
lists are interchangeable, so one of them represents its group:

    alias(u1, u2) AND NOT alias(u2, u3)      groups {u1} {u2} {u3}
    alias(u1, u2) OR  account(a1, a2)        groups {u1, u2} {a1, a2}, represented by u1 and a1

The tags of an exclusive attribute are codes of a few variables, see `exclusive_groups`.
"""

import operator
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias

from audience.algebra.exclusive_groups import ExclusiveGroup, ExclusiveGroups
from audience.algebra.simplification import negate
from audience.errors import ComplexityError, Problem
from audience.language.ast import And, Atom, AtomNode, Everyone, Expr, Ids, Nobody, Not, Or, Tag, Threshold, atoms

MAX_ATOMS = 400  # the pure-Python variant of dd recurses once per variable
MAX_TOTAL_NODES = 2_000_000  # nodes of all diagrams that are combined; about a second
MAX_NODE_PRODUCT = 20_000_000  # product of the sizes of two diagrams, which bounds the cost of combining them

IdGroups: TypeAlias = dict[Ids, list[Ids]]  # id list → one single id of each of its groups


def group_ids(exprs: Sequence[Expr]) -> IdGroups:
    """Return the representative ids of each id list in *exprs*.

    >>> lists = Ids("alias", ("u1", "u2")), Ids("alias", ("u2", "u3", "u4"))
    >>> [[single.values[0] for single in singles] for singles in group_ids(lists).values()]
    [['u1', 'u2'], ['u2', 'u3']]
    """
    id_lists = list(dict.fromkeys(atom for expr in exprs for atom in atoms(expr) if isinstance(atom, Ids)))
    groups: IdGroups = {}
    for kind in dict.fromkeys(ids.kind for ids in id_lists):
        same_kind = [ids for ids in id_lists if ids.kind == kind]
        if len(same_kind) == 1:
            groups[same_kind[0]] = [Ids(kind, same_kind[0].values[:1])]
        else:
            groups |= _group_shared_ids(same_kind)
    return groups


def _group_shared_ids(id_lists: Sequence[Ids]) -> IdGroups:
    """Group the ids of several lists by the set of lists they occur in, an integer with one bit per list."""
    membership: dict[str, int] = {}
    for position, ids in enumerate(id_lists):
        for value in ids.values:
            membership[value] = membership.get(value, 0) | 1 << position
    representatives: dict[int, str] = {}
    for value, lists in membership.items():
        representatives.setdefault(lists, value)
    return {
        ids: [Ids(ids.kind, (value,)) for lists, value in representatives.items() if lists >> position & 1]
        for position, ids in enumerate(id_lists)
    }


def representative_atoms(atom: Atom, id_groups: IdGroups) -> Sequence[Atom]:
    """Return the variables of *atom*: the representative ids of a list, or the atom itself."""
    return id_groups[atom] if isinstance(atom, Ids) else [atom]


Variable: TypeAlias = Atom | tuple[str, int]  # an atom, or a binary digit of the codes of a type


def _name_variables(exprs: Sequence[Expr], id_groups: IdGroups, groups: ExclusiveGroups) -> dict[Variable, str]:
    """Name the variables in reading order, because terms that are read together make small diagrams."""
    variables: dict[Variable, None] = {}
    for atom in (atom for expr in exprs for atom in atoms(expr)):
        if isinstance(atom, Tag) and (group := groups.get(atom.type)) is not None:
            variables.update(dict.fromkeys((group.type, digit) for digit in range(group.bit_count)))
            if group.codes[atom] not in group.shared_codes:
                continue
        variables.update(dict.fromkeys(representative_atoms(atom, id_groups)))
    if len(variables) > MAX_ATOMS:
        message = (
            f"{len(variables):,} different tags and ids are too many for a proof; at most {MAX_ATOMS} are possible"
        )
        raise ComplexityError(Problem("too-many-tags", message))
    return {variable: f"x{position}" for position, variable in enumerate(variables)}


@cache
def _load_bdd_manager() -> Any:
    """Return the one manager of all diagrams, because creating it takes longer than most proofs."""
    # Imported here because dd loads slowly and most expressions are compared without it.
    try:
        from dd import cudd as bdd_module  # compiled, in the wheels for Linux
    except ImportError:
        from dd import autoref as bdd_module
    bdd = bdd_module.BDD()
    bdd.configure(reordering=False)  # reading order is a good variable order, and sifting takes minutes
    bdd.declare(*(f"x{position}" for position in range(MAX_ATOMS)))
    return bdd


class DiagramBuilder:
    """Builder of the decision diagrams of *exprs*, whose total size is limited.

    Every method that combines diagrams raises ComplexityError beyond the limit.
    """

    def __init__(self, exprs: Sequence[Expr], id_groups: IdGroups, exclusive_groups: ExclusiveGroups):
        self.variable_names = _name_variables(exprs, id_groups, exclusive_groups)
        self.id_groups = id_groups
        self.exclusive_groups = exclusive_groups
        self.bdd = _load_bdd_manager()
        self.total_nodes = 0

    def build(self, expr: Expr) -> Any:
        """Return the diagram of *expr*."""
        match expr:
            case Everyone():
                return self.bdd.true
            case Nobody():
                return self.bdd.false
            case Ids():
                return self.union([self.bdd.var(self.variable_names[single]) for single in self.id_groups[expr]])
            case Not(term=term):
                return ~self.build(term)
            case And(terms=terms):
                return ~self.union(self._build_operands(map(negate, terms)))
            case Or(terms=terms):
                return self.union(self._build_operands(terms))
            case Threshold():
                return self._build_threshold(expr)
            case Tag(type=type_) if type_ in self.exclusive_groups:
                return self._build_tag(expr, self.exclusive_groups[type_])
        assert isinstance(expr, AtomNode)
        return self.bdd.var(self.variable_names[expr])

    def _build_threshold(self, threshold: Threshold) -> Any:
        """Return the diagram of a threshold.

        reached[n] is the diagram of devices in at least n of the terms from the one that is read to the last.
        """
        most = threshold.count + 1
        reached = [self.bdd.true] + [self.bdd.false] * most
        for term in reversed(threshold.terms):
            node = self.build(term)
            for number in range(most, 0, -1):
                with_term = self.intersection([node, reached[number - 1]])
                reached[number] = self.union([reached[number], with_term])
        match threshold.operator:
            case "at least":
                return reached[threshold.count]
            case "at most":
                return ~reached[most]
        return self.intersection([reached[threshold.count], ~reached[most]])

    def _build_operands(self, terms: Iterable[Expr]) -> list[Any]:
        """Return the diagrams of the terms of a union: one for all tags of an exclusive attribute together."""
        operands: dict[Expr | str, Any] = {}
        codes: dict[str, list[int]] = {}
        for term in terms:
            if isinstance(term, Tag) and (group := self.exclusive_groups.get(term.type)) is not None:
                code = group.codes[term]
                if code not in group.shared_codes:
                    operands.setdefault(group.type, None)  # keeps its place
                    codes.setdefault(group.type, []).append(code)
                    continue
            operands[term] = self.build(term)
        for type_, type_codes in codes.items():
            operands[type_] = self._build_codes(self.exclusive_groups[type_], sorted(type_codes))
        return list(operands.values())

    def _build_tag(self, tag: Tag, group: ExclusiveGroup) -> Any:
        """Return the diagram of a single tag of an exclusive attribute."""
        code = group.codes[tag]
        node = self._build_codes(group, [code])
        return node & self.bdd.var(self.variable_names[tag]) if code in group.shared_codes else node

    def _build_codes(self, group: ExclusiveGroup, codes: list[int]) -> Any:
        """Return the diagram of devices with one of the ascending *codes*; the highest digit comes first."""

        def build_range(start: int, stop: int, base: int, digit: int) -> Any:
            if start == stop:
                return self.bdd.false
            if stop - start == 1 << (group.bit_count - digit):
                return self.bdd.true
            half = base + (1 << (group.bit_count - digit - 1))
            middle = bisect_left(codes, half, start, stop)
            variable = self.bdd.var(self.variable_names[group.type, digit])
            low, high = build_range(start, middle, base, digit + 1), build_range(middle, stop, half, digit + 1)
            return self.bdd.ite(variable, high, low)

        return build_range(0, len(codes), 0, 0)

    def union(self, nodes: list[Any]) -> Any:
        """Return the diagram of devices in any of *nodes*."""
        return self._combine(nodes, operator.or_)

    def intersection(self, nodes: list[Any]) -> Any:
        """Return the diagram of devices in all of *nodes*."""
        return self._combine(nodes, operator.and_)

    def symmetric_difference(self, lhs: Any, rhs: Any) -> Any:
        """Return the diagram of devices in exactly one of *lhs* and *rhs*."""
        return self._combine([lhs, rhs], lambda x, y: self.bdd.apply("xor", x, y))

    def _combine(self, nodes: list[Any], operation: Callable[[Any, Any], Any]) -> Any:
        """Combine *nodes* from last to first: later atoms are deeper in a diagram, so each step stays small."""
        result = nodes[-1]
        for node in reversed(nodes[:-1]):
            sizes = len(node), len(result)
            self.total_nodes += sum(sizes)
            if self.total_nodes > MAX_TOTAL_NODES or sizes[0] * sizes[1] > MAX_NODE_PRODUCT:
                hint = "simplify the expression"
                raise ComplexityError(Problem("too-tangled", "the expression is too complex for a proof", hint=hint))
            result = operation(node, result)
        return result

    def pick_device(self, node: Any) -> frozenset[Atom] | None:
        """Return the atoms of a device inside *node*, or None if *node* is empty."""
        model = self.bdd.pick(node)
        if model is None:
            return None
        true_variables = {variable for variable, name in self.variable_names.items() if model.get(name, False)}
        device: set[Atom] = {variable for variable in true_variables if isinstance(variable, AtomNode)}
        for group in self.exclusive_groups.values():
            digits = [(group.type, digit) in true_variables for digit in range(group.bit_count)]
            code = int("".join(map(str, map(int, digits))), base=2)
            tags = {tag for tag, tag_code in group.codes.items() if tag_code == code}
            device = (device - (group.codes.keys() - tags)) | (tags if code not in group.shared_codes else set())
        return frozenset(device)
