"""What is known of attributes beyond the words of an expression, and what follows from it.

Of an *exclusive* attribute a device has at most one value, of an *exhaustive* one at least one. An attribute is
*closed* when all of its values are known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from audience.algebra.normal_forms import nnf
from audience.algebra.simplify import simplify
from audience.language.ast import And, Atom, Everyone, Expr, Nobody, Not, Or, Tag, all_of, any_of, atoms


@dataclass(frozen=True, slots=True)
class Facts:
    """The exclusive and the exhaustive attributes, and the values of the closed ones."""

    exclusive: frozenset[str] = frozenset()
    exhaustive: frozenset[str] = frozenset()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def excludes(self, one: Expr, other: Expr) -> bool:
        """Whether no device has both of two tags."""
        match one, other:
            case Tag(type=type_, value=value), Tag(type=other_type, value=other_value):
                return type_ == other_type and value != other_value and type_ in self.exclusive
        return False

    def tags(self, type_: str) -> list[Tag]:
        """All tags of a closed attribute."""
        return [Tag(type_, value) for value in self.values[type_]]


NONE = Facts()


def known(found: Iterable[Atom], facts: Facts) -> Expr:
    """What is true of every device, as far as the tags of *found* are concerned.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(known(atoms(parse("p:a OR p:b")), Facts(exclusive=frozenset("p"))))
    'NOT (p:a AND p:b)'
    """
    tags = [atom for atom in found if isinstance(atom, Tag)]
    exclusive = [tag for tag in tags if tag.type in facts.exclusive]
    pairs = [Not(And((one, other))) for one, other in combinations(exclusive, 2) if facts.excludes(one, other)]
    types = {tag.type for tag in tags} & facts.exhaustive & facts.values.keys()
    return all_of([*pairs, *(any_of(facts.tags(type_)) for type_ in sorted(types))])


def sharpen(expr: Expr, facts: Facts) -> Expr:
    """Simplify *expr* with what is known.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> facts = Facts(exclusive=frozenset("p"))
    >>> render(sharpen(parse("p:a AND p:b"), facts)), render(sharpen(parse("(p:a OR p:b) AND NOT p:c"), facts))
    ('nobody', 'p:a OR p:b')
    """
    expr = simplify(nnf(expr))
    return simplify(_sharper(expr, facts)) if facts.exclusive else expr


def _sharper(expr: Expr, facts: Facts) -> Expr:
    match expr:
        case Or(terms=terms):
            return any_of(_sharper(term, facts) for term in terms)
        case And(terms=terms):
            return _meet([_sharper(term, facts) for term in terms], facts)
    return expr


def _meet(terms: list[Expr], facts: Facts) -> Expr:
    """An intersection without what its own tags rule out."""
    tags = [term for term in terms if isinstance(term, Tag) and term.type in facts.exclusive]
    if any(facts.excludes(one, other) for one, other in combinations(tags, 2)):
        return Nobody()
    terms = [_without_excluded(term, tags, facts) for term in terms]
    lists = [_tags(term) for term in terms]
    return all_of(term for term in terms if not _goes_without_saying(term, lists, facts))


def _without_excluded(term: Expr, tags: list[Tag], facts: Facts) -> Expr:
    """A union without the tags that exclude one of *tags*."""
    if not isinstance(term, Or):
        return term
    return any_of(inner for inner in term.terms if not any(facts.excludes(inner, tag) for tag in tags))


def _goes_without_saying(term: Expr, lists: list[list[Expr]], facts: Facts) -> bool:
    """Whether *term* is the NOT of a tag that excludes all tags of one of the *lists* beside it."""
    if not isinstance(term, Not):
        return False
    return any(tags and all(facts.excludes(tag, term.term) for tag in tags) for tags in lists)


def _tags(term: Expr) -> list[Expr]:
    """The tags of a union of tags, or of a single one; none of anything else."""
    inner = term.terms if isinstance(term, Or) else (term,)
    return list(inner) if all(isinstance(tag, Tag) for tag in inner) else []


def bind(expr: Expr, facts: Facts, usable: Iterable[str]) -> Expr | None:
    """*expr* within the values of an exhaustive attribute, which changes nothing; None without such an attribute.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> facts = Facts(frozenset("p"), frozenset("p"), {"p": ("a", "b", "c")})
    >>> render(bind(parse("NOT p:a"), facts, ["p"]))
    'p:b OR p:c'
    """
    own = [atom.type for atom in atoms(expr) if isinstance(atom, Tag)]
    fitting = [type_ for type_ in usable if type_ in facts.exhaustive and type_ in facts.values]
    if not fitting:
        return None
    best = min(fitting, key=lambda type_: (type_ not in own, len(facts.values[type_])))
    return sharpen(all_of([expr, any_of(facts.tags(best))]) if expr != Everyone() else any_of(facts.tags(best)), facts)
