"""Split an expression by the values of an attribute of which a device has exactly one."""

from collections.abc import Sequence

from audience.algebra.equivalence import equivalent
from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.errors import ComplexityError
from audience.language.ast import Everyone, Expr, Nobody, Tag, atoms, map_atoms


def restrict_to_value(expr: Expr, type_: str, value: str | None) -> Expr:
    """Return what is left of *expr* for the devices whose attribute *type_* has *value*; None is any value not named.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> expr = parse("(vip AND os:a) OR (new AND NOT os:a)")
    >>> [render(restrict_to_value(expr, "os", value)) for value in ("a", "b", None)]
    ['vip', 'new', 'new']
    """

    def decide(atom: Expr) -> Expr:
        if isinstance(atom, Tag) and atom.type == type_:
            return Everyone() if atom.value == value else Nobody()
        return atom

    return simplify(nnf(simplify(map_atoms(expr, decide))))


def group_by_rest(expr: Expr, type_: str, values: Sequence[str | None]) -> list[tuple[Expr, list[str | None]]]:
    """Return what is left of *expr* for each of *values*, with all values for which the same is left.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> groups = group_by_rest(parse("vip OR (new AND os:a)"), "os", ["a", "b", "c"])
    >>> [(render(rest), values) for rest, values in groups]
    [('vip OR new', ['a']), ('vip', ['b', 'c'])]
    """
    groups: list[tuple[Expr, list[str | None]]] = []
    for value in values:
        rest = restrict_to_value(expr, type_, value)
        for known, group in groups:
            if _are_equal(known, rest):
                group.append(value)
                break
        else:
            groups.append((rest, [value]))
    return groups


def values_of_type(expr: Expr, type_: str) -> list[str]:
    """Return the values of the attribute *type_* in *expr*, in reading order."""
    return [atom.value for atom in atoms(expr) if isinstance(atom, Tag) and atom.type == type_]


def _are_equal(lhs: Expr, rhs: Expr) -> bool:
    try:
        return lhs == rhs or equivalent(lhs, rhs)
    except ComplexityError:
        return False
