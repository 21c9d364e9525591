"""What one request can say, as data: the form of its tags and how many it holds. No vendor is known here.

*lone_not* tells whether NOT may stand without a tag that bounds it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from audience.algebra.normal_forms import Clause
from audience.language.ast import Expr, Tag, walk

NO_LIMIT = 1_000_000  # where no page sets one
MAX_LEVELS_COUNTED = 6  # levels of lists; what more of them hold is as good as without limit


@dataclass(frozen=True, slots=True)
class Slots:
    """One OR-list, one AND-list and one NOT-list of tags, joined by AND."""

    max_any_of: int
    max_all_of: int
    max_none_of: int
    allows_unbounded_not: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """*levels* of AND and OR, *operands* in each, *tags* in all, each counted as often as it stands, *nots* of them."""

    max_levels: int = NO_LIMIT
    max_operands: int = NO_LIMIT
    max_tags: int = NO_LIMIT
    max_nots: int = NO_LIMIT
    allows_unbounded_not: bool = False


@dataclass(frozen=True, slots=True)
class NormalForm:
    """A union of intersections or an intersection of unions, of *most* clauses of tags and NOTs of tags."""

    max_clauses: int
    allows_unbounded_not: bool = True


def count_entries(clauses: Sequence[Clause]) -> int:
    """The tags and NOTs of *clauses*, and the ORs between them."""
    return sum(map(len, clauses)) + len(clauses) - 1


@dataclass(frozen=True, slots=True)
class FlatDnf:
    """A union of intersections without brackets, of so many *entries*; *takes* tells how many a union takes.

    Where nothing else is said, each tag or NOT of a tag is an entry, and each OR between is one.
    """

    max_entries: int
    allows_unbounded_not: bool = True
    cost: Callable[[Sequence[Clause]], int] = count_entries


@dataclass(frozen=True, slots=True)
class ListsByKey:
    """Lists joined by AND, of at most *values* tags of one key each: any of them, all of them, or none of them.

    *lists* is how many lists one key has; *key* tells which key a tag has, its type where nothing else is said.
    """

    max_lists: int = NO_LIMIT
    max_values: int = NO_LIMIT
    allows_unbounded_not: bool = False
    key: Callable[[Tag], str] = attrgetter("type")


@dataclass(frozen=True, slots=True)
class SingleOperator:
    """At most *names* tags and one operator: any of them, all of them, or the first without the others."""

    max_tags: int
    allows_unbounded_not: bool = False


RequestShape: TypeAlias = Slots | Tree | NormalForm | FlatDnf | ListsByKey | SingleOperator
EMPTY_SHAPE = SingleOperator(max_tags=0)  # the shape of a vendor that nothing is said to


def max_or_width(shape: RequestShape, other_terms: Sequence[Expr] = ()) -> int:
    """The longest OR-list of tags that one request of *shape* says, where it also says what stands *beside*.

    >>> tree = Tree(max_levels=2, max_operands=10, max_tags=50)
    >>> max_or_width(tree), max_or_width(tree, [Tag("tag", "a")])
    (50, 10)
    """
    match shape:
        case (
            Slots(max_any_of=most)
            | NormalForm(max_clauses=most)
            | ListsByKey(max_values=most)
            | SingleOperator(max_tags=most)
        ):
            return most
        case FlatDnf(max_entries=entries):
            return (entries + 1) // 2
        case Tree(max_levels=levels, max_operands=operands, max_tags=tags):
            below = min(levels, MAX_LEVELS_COUNTED) - bool(other_terms)
            return min(tags - sum(map(count_tags, other_terms)), int(operands**below))


def max_not_width(shape: RequestShape) -> int:
    """The most NOTs of tags that one request of *shape* joins by AND."""
    match shape:
        case Slots(max_none_of=most):
            return most
        case Tree(max_nots=most):
            return min(most, max_or_width(shape))
        case FlatDnf(max_entries=entries):
            return entries
        case ListsByKey():
            return NO_LIMIT  # each key has lists of its own
        case SingleOperator(max_tags=most):
            return most - 1
    return max_or_width(shape)


def count_tags(expr: Expr) -> int:
    """How many tags stand in *expr*, each as often as it stands there."""
    return sum(isinstance(node, Tag) for node in walk(expr))
