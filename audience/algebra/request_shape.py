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
DEEP = 6  # levels of lists; what more of them hold is as good as without limit


@dataclass(frozen=True, slots=True)
class Slots:
    """One OR-list, one AND-list and one NOT-list of tags, joined by AND."""

    any_of: int
    all_of: int
    none_of: int
    lone_not: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """*levels* of AND and OR, *operands* in each, *tags* in all, each counted as often as it stands, *nots* of them."""

    levels: int = NO_LIMIT
    operands: int = NO_LIMIT
    tags: int = NO_LIMIT
    nots: int = NO_LIMIT
    lone_not: bool = False


@dataclass(frozen=True, slots=True)
class Clauses:
    """A union of intersections or an intersection of unions, of *most* clauses of tags and NOTs of tags."""

    most: int
    lone_not: bool = True


def entries_of(clauses: Sequence[Clause]) -> int:
    """The tags and NOTs of *clauses*, and the ORs between them."""
    return sum(map(len, clauses)) + len(clauses) - 1


@dataclass(frozen=True, slots=True)
class Flat:
    """A union of intersections without brackets, of so many *entries*; *takes* tells how many a union takes.

    Where nothing else is said, each tag or NOT of a tag is an entry, and each OR between is one.
    """

    entries: int
    lone_not: bool = True
    takes: Callable[[Sequence[Clause]], int] = entries_of


@dataclass(frozen=True, slots=True)
class Keyed:
    """Lists joined by AND, of at most *values* tags of one key each: any of them, all of them, or none of them.

    *lists* is how many lists one key has; *key* tells which key a tag has, its type where nothing else is said.
    """

    lists: int = NO_LIMIT
    values: int = NO_LIMIT
    lone_not: bool = False
    key: Callable[[Tag], str] = attrgetter("type")


@dataclass(frozen=True, slots=True)
class Operator:
    """At most *names* tags and one operator: any of them, all of them, or the first without the others."""

    names: int
    lone_not: bool = False


Shape: TypeAlias = Slots | Tree | Clauses | Flat | Keyed | Operator
NOTHING = Operator(names=0)  # the shape of a vendor that nothing is said to


def widest(shape: Shape, beside: Sequence[Expr] = ()) -> int:
    """The longest OR-list of tags that one request of *shape* says, where it also says what stands *beside*.

    >>> widest(Tree(levels=2, operands=10, tags=50)), widest(Tree(levels=2, operands=10, tags=50), [Tag("tag", "a")])
    (50, 10)
    """
    match shape:
        case Slots(any_of=most) | Clauses(most=most) | Keyed(values=most) | Operator(names=most):
            return most
        case Flat(entries=entries):
            return (entries + 1) // 2
        case Tree(levels=levels, operands=operands, tags=tags):
            below = min(levels, DEEP) - bool(beside)
            return min(tags - sum(map(count_tags, beside)), int(operands**below))


def most_nots(shape: Shape) -> int:
    """The most NOTs of tags that one request of *shape* joins by AND."""
    match shape:
        case Slots(none_of=most):
            return most
        case Tree(nots=most):
            return min(most, widest(shape))
        case Flat(entries=entries):
            return entries
        case Keyed():
            return NO_LIMIT  # each key has lists of its own
        case Operator(names=most):
            return most - 1
    return widest(shape)


def count_tags(expr: Expr) -> int:
    """How many tags stand in *expr*, each as often as it stands there."""
    return sum(isinstance(node, Tag) for node in walk(expr))
