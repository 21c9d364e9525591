"""Read expressions over tags as trees of intersections and unions, whose operands are numbered.

A tree says what is combined, whatever the shard. It is read once for each expression object.
"""

#   (a OR b) AND NOT c          IntersectionTree((UnionTree((0, 1)),), (2,))     a, b and c are the operands 0, 1, 2
#   NOT a OR NOT (b OR c)     ~ IntersectionTree((0, UnionTree((1, 2))), ())
#   at most 1 of (a, b, c)    ~ ThresholdTree((0, 1, 2), (), 2)

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from audience.index.storage.shard_group import ShardGroup
from audience.language.ast import And, Except, Expr, Not, Or, Tag, Threshold

MERGED = 8.0  # times the cost of an intersection of the same operands, of a threshold
AND_OR = And, Or  # types are tested several times as fast as against `And | Or`
JUNCTIONS = And, Or, Except, Threshold

Tree: TypeAlias = "int | IntersectionTree | UnionTree | ThresholdTree"  # a number is the place of an operand
Part: TypeAlias = tuple["Tree", bool]  # rows of a tree, or all others if True


class IntersectionTree(NamedTuple):
    """Rows of all *plain* operands, one or more, that no *subtracted* one has."""

    plain: tuple[Tree, ...]
    subtracted: tuple[Tree, ...]


class UnionTree(NamedTuple):
    """Rows of any of two or more operands."""

    terms: tuple[Tree, ...]


class ThresholdTree(NamedTuple):
    """Rows that *needed* operands or more have, or as many if *exactly*; from 1 to all but one.

    One or more are *plain*. Of a *complemented* one, all other rows are counted.
    """

    plain: tuple[Tree, ...]
    complemented: tuple[Tree, ...]
    needed: int
    exactly: bool


class TagTree(NamedTuple):
    """Expression over tags: the rows of *tree*, or all others if *complemented*.

    The places in *tree* are those of *tags*, types and values. Their *weights* say how often each is read if the rows
    are counted, at most.
    """

    tree: Tree
    complemented: bool
    tags: tuple[tuple[str, str], ...]
    weights: tuple[float, ...]


def is_plain_threshold(tree: Tree) -> bool:
    """Return whether *tree* counts stored bitmaps alone."""
    return isinstance(tree, ThresholdTree) and not tree.complemented and is_flat(tree.plain)


def is_flat_union(tree: Tree) -> bool:
    """Return whether *tree* unites stored bitmaps alone."""
    return isinstance(tree, UnionTree) and is_flat(tree.terms)


def is_flat(terms: Sequence[Tree]) -> bool:
    """Return whether all *terms* are stored bitmaps."""
    return all(isinstance(term, int) for term in terms)


def find_tree(expr: Expr, group: ShardGroup) -> TagTree | None:
    """Return the tree of *expr*, which is kept for the shards of a group; None if there are other atoms than tags."""
    kept: tuple[Expr, TagTree | None] | None = group.tag_trees.get(id(expr))
    if kept is not None and kept[0] is expr:
        return kept[1]
    tree = read_tree(expr)
    group.keep_tree(expr, tree)
    return tree


def read_tree(expr: Expr) -> TagTree | None:
    """Return the tree of *expr*; None if there are other atoms than tags.

    >>> from audience.language.ast import all_of, bare
    >>> read_tree(all_of([bare("a"), Not(bare("b"))]))[:3]
    (IntersectionTree(plain=(0,), subtracted=(1,)), False, (('tag', 'a'), ('tag', 'b')))
    """
    places: dict[tuple[str, str], int] = {}
    part = _read(expr, places)
    if part is None:
        return None
    weights = [0.0] * len(places)
    _add_weights(part[0], count_factor(part[0]) - 1, weights)
    return TagTree(*part, tuple(places), tuple(weights))


def _add_weights(tree: Tree, factor: float, weights: list[float]) -> None:
    """Add to *weights* how often each operand is read by the operations of *tree*, and *factor* times by others."""
    if isinstance(tree, int):
        weights[tree] += factor
    else:
        own = MERGED if isinstance(tree, ThresholdTree) else 1.0
        for term in list_terms(tree):
            _add_weights(term, factor + own, weights)


def count_factor(tree: Tree) -> float:
    """Return how many times as long the last operations of *tree* take if its rows are counted.

    The last one makes no bitmap, which takes about half of its time.
    """
    return 1.0 if isinstance(tree, int | ThresholdTree) else 1 - 1 / max(len(list_terms(tree)), 2)


def list_terms(tree: IntersectionTree | UnionTree | ThresholdTree) -> tuple[Tree, ...]:
    """Return the operands of a node."""
    if isinstance(tree, UnionTree):
        return tree.terms
    return tree.plain + (tree.subtracted if isinstance(tree, IntersectionTree) else tree.complemented)


def _read(expr: Expr, places: dict[tuple[str, str], int]) -> Part | None:
    """Return *expr* as a part, whose tags join *places*; None if it cannot be read."""
    if isinstance(expr, Tag):
        return places.setdefault((expr.type, expr.value), len(places)), False
    if isinstance(expr, Not):
        return _complement(_read(expr.term, places))
    if isinstance(expr, AND_OR) or isinstance(expr, Threshold):  # noqa: SIM101
        terms = expr.terms
    elif isinstance(expr, Except):
        terms = expr.term, Not(expr.excluded)
    else:
        return None
    plain: list[Tree] = []
    complemented: list[Tree] = []
    for term in terms:
        part = _read(term, places)
        if part is None:
            return None
        (complemented if part[1] else plain).append(part[0])
    if isinstance(expr, Or):
        return _unite(plain, complemented)
    return _count_terms(expr, plain, complemented) if isinstance(expr, Threshold) else _intersect(plain, complemented)


def _complement(part: Part | None) -> Part | None:
    return None if part is None else (part[0], not part[1])


def _intersect(plain: list[Tree], complemented: list[Tree]) -> Part:
    if not plain:
        return _unite(complemented, [])[0], True
    return IntersectionTree(tuple(plain), tuple(complemented)), False


def _unite(plain: list[Tree], complemented: list[Tree]) -> Part:
    if complemented:
        return _intersect(complemented, plain)[0], True
    return UnionTree(tuple(plain)), False


def _count_terms(expr: Threshold, plain: list[Tree], complemented: list[Tree]) -> Part | None:
    exactly = expr.operator == "exactly" and expr.count > 0
    if exactly or expr.operator == "at least":
        return _reach(plain, complemented, expr.count, exactly)
    return _complement(_reach(plain, complemented, expr.count + 1, False))


def _reach(plain: list[Tree], complemented: list[Tree], count: int, exactly: bool) -> Part:
    """Return the rows that *count* parts have. Of complements alone, those that so many of the parts lack."""
    size = len(plain) + len(complemented)
    if count == size == 1:
        return (plain or complemented)[0], not plain
    if count == size:
        return _intersect(plain, complemented)
    if count == 1 and not exactly:
        return _unite(plain, complemented)
    if plain:
        return ThresholdTree(tuple(plain), tuple(complemented), count, exactly), False
    needed = size - count if exactly else size - count + 1
    return ThresholdTree(tuple(complemented), (), needed, exactly), not exactly
