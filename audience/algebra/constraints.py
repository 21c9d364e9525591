"""What is known of attributes beyond the words of an expression, and what follows from it.

Of an *exclusive* attribute a device has at most one value, of an *exhaustive* one at least one. An attribute is
*closed* when all of its values are known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.language.ast import And, Atom, Everyone, Expr, Nobody, Not, Or, Tag, all_of, any_of, atoms


@dataclass(frozen=True, slots=True)
class AttributeConstraints:
    """The exclusive and the exhaustive attributes, and the values of the closed ones."""

    exclusive: frozenset[str] = frozenset()
    exhaustive: frozenset[str] = frozenset()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def are_exclusive(self, lhs: Expr, rhs: Expr) -> bool:
        """Whether no device has both of two tags."""
        match lhs, rhs:
            case Tag(type=type_, value=value), Tag(type=other_type, value=other_value):
                return type_ == other_type and value != other_value and type_ in self.exclusive
        return False

    def all_tags(self, type_: str) -> list[Tag]:
        """All tags of a closed attribute."""
        return [Tag(type_, value) for value in self.values[type_]]


NO_CONSTRAINTS = AttributeConstraints()


def build_constraint_expr(used_atoms: Iterable[Atom], constraints: AttributeConstraints) -> Expr:
    """What is true of every device, as far as the tags of *found* are concerned.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(build_constraint_expr(atoms(parse("p:a OR p:b")), AttributeConstraints(exclusive=frozenset("p"))))
    'NOT (p:a AND p:b)'
    """
    tags = [atom for atom in used_atoms if isinstance(atom, Tag)]
    exclusive = [tag for tag in tags if tag.type in constraints.exclusive]
    pairs = [
        Not(And((one, other))) for one, other in combinations(exclusive, 2) if constraints.are_exclusive(one, other)
    ]
    types = {tag.type for tag in tags} & constraints.exhaustive & constraints.values.keys()
    return all_of([*pairs, *(any_of(constraints.all_tags(type_)) for type_ in sorted(types))])


def simplify_with_constraints(expr: Expr, constraints: AttributeConstraints) -> Expr:
    """Simplify *expr* with what is known.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> facts = AttributeConstraints(exclusive=frozenset("p"))
    >>> contradiction, implied = parse("p:a AND p:b"), parse("(p:a OR p:b) AND NOT p:c")
    >>> [render(simplify_with_constraints(expr, facts)) for expr in (contradiction, implied)]
    ['nobody', 'p:a OR p:b']
    """
    expr = simplify(nnf(expr))
    return simplify(_apply_constraints(expr, constraints)) if constraints.exclusive else expr


def _apply_constraints(expr: Expr, constraints: AttributeConstraints) -> Expr:
    match expr:
        case Or(terms=terms):
            return any_of(_apply_constraints(term, constraints) for term in terms)
        case And(terms=terms):
            return _simplify_intersection([_apply_constraints(term, constraints) for term in terms], constraints)
    return expr


def _simplify_intersection(terms: list[Expr], constraints: AttributeConstraints) -> Expr:
    """An intersection without what its own tags rule out."""
    tags = [term for term in terms if isinstance(term, Tag) and term.type in constraints.exclusive]
    if any(constraints.are_exclusive(one, other) for one, other in combinations(tags, 2)):
        return Nobody()
    terms = [_drop_excluded_tags(term, tags, constraints) for term in terms]
    lists = [_tags_of_union(term) for term in terms]
    return all_of(term for term in terms if not _is_implied(term, lists, constraints))


def _drop_excluded_tags(term: Expr, tags: list[Tag], constraints: AttributeConstraints) -> Expr:
    """A union without the tags that exclude one of *tags*."""
    if not isinstance(term, Or):
        return term
    return any_of(inner for inner in term.terms if not any(constraints.are_exclusive(inner, tag) for tag in tags))


def _is_implied(term: Expr, tag_lists: list[list[Expr]], constraints: AttributeConstraints) -> bool:
    """Whether *term* is the NOT of a tag that excludes all tags of one of the *lists* beside it."""
    if not isinstance(term, Not):
        return False
    return any(tags and all(constraints.are_exclusive(tag, term.term) for tag in tags) for tags in tag_lists)


def _tags_of_union(term: Expr) -> list[Expr]:
    """The tags of a union of tags, or of a single one; none of anything else."""
    inner = term.terms if isinstance(term, Or) else (term,)
    return list(inner) if all(isinstance(tag, Tag) for tag in inner) else []


def add_exhaustive_bound(expr: Expr, constraints: AttributeConstraints, usable_types: Iterable[str]) -> Expr | None:
    """*expr* within the values of an exhaustive attribute, which changes nothing; None without such an attribute.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> facts = AttributeConstraints(frozenset("p"), frozenset("p"), {"p": ("a", "b", "c")})
    >>> render(add_exhaustive_bound(parse("NOT p:a"), facts, ["p"]))
    'p:b OR p:c'
    """
    own = [atom.type for atom in atoms(expr) if isinstance(atom, Tag)]
    fitting = [type_ for type_ in usable_types if type_ in constraints.exhaustive and type_ in constraints.values]
    if not fitting:
        return None
    best = min(fitting, key=lambda type_: (type_ not in own, len(constraints.values[type_])))
    return simplify_with_constraints(
        all_of([expr, any_of(constraints.all_tags(best))])
        if expr != Everyone()
        else any_of(constraints.all_tags(best)),
        constraints,
    )
