"""Shapes of requests: which forms of expressions over tags one request can hold, independent of vendors.

In every shape, `allows_unbounded_not` permits NOT without a tag that bounds it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from audience.algebra.normal_forms import Clause
from audience.language.ast import Expr, Tag, walk

NO_LIMIT = 1_000_000  # for vendors that document none
MAX_LEVELS_COUNTED = 6  # more levels hold practically any number of tags


@dataclass(frozen=True, slots=True)
class Slots:
    """One OR-list, one AND-list and one NOT-list of tags, joined by AND."""

    max_any_of: int
    max_all_of: int
    max_none_of: int
    allows_unbounded_not: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """Nested ANDs and ORs of tags and NOTs of tags.

    Args:
        max_levels: Levels of AND and OR.
        max_operands: Operands of each AND and OR.
        max_tags: Tags in total, counting each occurrence.
        max_nots: NOTs in total.
        allows_unbounded_not: NOT may occur without a tag that bounds it.
    """

    max_levels: int = NO_LIMIT
    max_operands: int = NO_LIMIT
    max_tags: int = NO_LIMIT
    max_nots: int = NO_LIMIT
    allows_unbounded_not: bool = False


@dataclass(frozen=True, slots=True)
class NormalForm:
    """DNF or CNF of tags and NOTs of tags with at most *max_clauses* clauses."""

    max_clauses: int
    allows_unbounded_not: bool = True


def count_entries(clauses: Sequence[Clause]) -> int:
    """Return the number of leaves of *clauses* plus the ORs between them."""
    return sum(map(len, clauses)) + len(clauses) - 1


@dataclass(frozen=True, slots=True)
class FlatDnf:
    """DNF without brackets, limited by the total *cost* of its clauses."""

    max_entries: int
    allows_unbounded_not: bool = True
    cost: Callable[[Sequence[Clause]], int] = count_entries


@dataclass(frozen=True, slots=True)
class ListsByKey:
    """Lists of tags joined by AND. The tags of a list have one key; it means any, all or none of them.

    Args:
        max_lists: Lists per key.
        max_values: Tags per list.
        allows_unbounded_not: NOT may occur without a tag that bounds it.
        key: Returns the key of a tag.
    """

    max_lists: int = NO_LIMIT
    max_values: int = NO_LIMIT
    allows_unbounded_not: bool = False
    key: Callable[[Tag], str] = attrgetter("type")


@dataclass(frozen=True, slots=True)
class SingleOperator:
    """At most *max_tags* tags and one operator: any of them, all of them, or the first without the others."""

    max_tags: int
    allows_unbounded_not: bool = False


RequestShape: TypeAlias = Slots | Tree | NormalForm | FlatDnf | ListsByKey | SingleOperator
EMPTY_SHAPE = SingleOperator(max_tags=0)  # of a read-only vendor


def max_or_width(shape: RequestShape, other_terms: Sequence[Expr] = ()) -> int:
    """Return the length of the longest OR-list of tags that fits one request beside *other_terms*.

    >>> tree = Tree(max_levels=2, max_operands=10, max_tags=50)
    >>> max_or_width(tree), max_or_width(tree, [Tag("tag", "a")])
    (50, 10)
    """
    match shape:
        case (
            Slots(max_any_of=width)
            | NormalForm(max_clauses=width)
            | ListsByKey(max_values=width)
            | SingleOperator(max_tags=width)
        ):
            return width
        case FlatDnf(max_entries=entries):
            return (entries + 1) // 2
        case Tree(max_levels=levels, max_operands=operands, max_tags=tags):
            or_levels = min(levels, MAX_LEVELS_COUNTED) - bool(other_terms)
            return min(tags - sum(map(count_tags, other_terms)), int(operands**or_levels))


def max_not_width(shape: RequestShape) -> int:
    """Return the maximum number of NOTs of tags that one request can join by AND."""
    match shape:
        case Slots(max_none_of=width):
            return width
        case Tree(max_nots=nots):
            return min(nots, max_or_width(shape))
        case FlatDnf(max_entries=entries):
            return entries
        case ListsByKey():
            return NO_LIMIT  # each key has its own lists
        case SingleOperator(max_tags=width):
            return width - 1
    return max_or_width(shape)


def count_tags(expr: Expr) -> int:
    """Return the number of tags in *expr*, counting each occurrence."""
    return sum(isinstance(node, Tag) for node in walk(expr))
