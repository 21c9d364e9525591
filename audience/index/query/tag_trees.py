"""Read expressions over tags as trees of intersections and unions, and combine few rows of them straight away.

Rare tags, and all tags of a small table, are combined within a few microseconds, which is less time than it takes to
choose how. That is done without cache and without estimates; the last operation of a count only counts.
"""

#   (a OR b) AND NOT c          Intersection((Union((0, 1)),), (2,))        a, b and c are the operands 0, 1 and 2
#   NOT a OR NOT (b OR c)     ~ Intersection((0, Union((1, 2))), ())
#   at most 1 of (a, b, c)    ~ Reached((0, 1, 2), (), 2)

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from audience.index.storage import thresholds
from audience.index.storage.bitmaps import BitMap, RowSet, remove_rows
from audience.index.storage.shard import Operand, Shard
from audience.language.ast import And, Except, Expr, Not, Or, Tag, Threshold

# Nanoseconds, measured.
MIN_COST = 40_000.0  # of all operations; with less, there is nothing to gain
WORD_CALL, WORD_ROW = 0.025, 1.1e-7  # parts of it that packed words take for an operand, and for each row of it
MADE_BITMAP = 2  # times as much, if a bitmap is made of words
SPARSE_FACTOR = 6  # a sparse operand is looked up in a dense one, of which so many times its size is read at most
MAX_UNFILLED, FULL = 8, 2**-16  # operands whose union leaves some rows out; the part of a container that a row is
MERGED = 8.0  # times the cost of an intersection of the same operands, of a threshold
AND_OR = And, Or  # types are tested several times as fast as against `And | Or`

Tree: TypeAlias = "int | Intersection | Union | Reached"  # a number is the place of an operand


# Rows of a tree, or all others if True; the time of an operation with the rows, and the one that it takes to find them.
Part: TypeAlias = tuple["Tree", bool, float, float]  # not a class: to make one took a third of the time of a count


class Intersection(NamedTuple):
    """Rows of all *plain* operands, one or more, that no *subtracted* one has."""

    plain: tuple[Tree, ...]
    subtracted: tuple[Tree, ...]


class Union(NamedTuple):
    """Rows of any of two or more operands."""

    terms: tuple[Tree, ...]


class Reached(NamedTuple):
    """Rows that *needed* operands or more have, or as many if *exactly*; from 1 to all but one.

    One or more are *plain*. Of a *complemented* one, all other rows are counted.
    """

    plain: tuple[Tree, ...]
    complemented: tuple[Tree, ...]
    needed: int
    exactly: bool


class TagTree(NamedTuple):
    """Expression over tags of a shard: the rows of *tree*, or all others if *complemented*.

    `cost` is the estimated time that it takes to find them. The places in *tree* are those of *operands*.
    """

    tree: Tree
    complemented: bool
    cost: float
    operands: list[Operand]


def read_tags(expr: Expr, shard: Shard) -> TagTree | None:
    """Return *expr* over stored bitmaps; None if one was not located before, or if there are other atoms than tags."""
    operands: list[Operand] = []
    part = _read(expr, shard, operands, {})
    if part is None:
        return None
    tree, complemented, _, cost = part
    if isinstance(tree, Union) and len(tree.terms) > MAX_UNFILLED:
        cost = min(cost, _estimate_filling(operands, shard) + cost / len(tree.terms))
    return TagTree(tree, complemented, cost, operands)


def _estimate_filling(operands: Sequence[Operand], shard: Shard) -> float:
    """Return what a union of independent *operands* costs until its containers are full: the others are not read."""
    missing, cost = 1.0, 0.0
    for operand in operands:
        if missing < FULL:
            break
        missing *= 1 - operand.cardinality / max(shard.row_count, 1)
        cost += operand.cost
    return cost


def has_few_rows(tags: TagTree, shard: Shard, *, counts: bool) -> bool:
    """Return whether a plan cannot save more than it takes, when rows are counted, or a bitmap is made of them."""
    cost = tags.cost if counts else tags.cost / MADE_BITMAP
    return cost < MIN_COST * (1 + len(tags.operands) * (WORD_CALL + WORD_ROW * shard.row_count))


def _read(expr: Expr, shard: Shard, operands: list[Operand], known: dict[tuple[str, str], Part]) -> Part | None:
    """Return *expr* as a part, whose operands join *operands*; None if it cannot be read."""
    if isinstance(expr, Tag):
        name = expr.type, expr.value
        part = known.get(name)
        if part is None and (operand := shard.operands.get(name) or shard.find_operand(name)) is not None:
            part = known[name] = len(operands), False, operand.cost, 0.0
            operands.append(operand)
        return part
    if isinstance(expr, Not):
        return _complement(_read(expr.term, shard, operands, known))
    if isinstance(expr, AND_OR) or isinstance(expr, Threshold):  # noqa: SIM101
        terms = expr.terms
    elif isinstance(expr, Except):
        terms = expr.term, Not(expr.excluded)
    else:
        return None
    plain: list[Part] = []
    complemented: list[Part] = []
    for term in terms:
        part = _read(term, shard, operands, known)
        if part is None:
            return None
        (complemented if part[1] else plain).append(part)
    if isinstance(expr, Or):
        return _unite(plain, complemented)
    return _count_terms(expr, plain, complemented) if isinstance(expr, Threshold) else _intersect(plain, complemented)


def _complement(part: Part | None) -> Part | None:
    return None if part is None else (part[0], not part[1], part[2], part[3])


def _intersect(plain: list[Part], complemented: list[Part]) -> Part:
    if not plain:
        tree, _, size, cost = _unite(complemented, [])
        return tree, True, size, cost
    cost, size = 0.0, plain[0][2]
    for part in plain:
        if part[2] < size:
            size = part[2]
    bound = SPARSE_FACTOR * size
    for part in (*plain, *complemented):
        cost += part[3] + (part[2] if part[2] < bound else bound)
    return Intersection(_trees_of(plain), _trees_of(complemented)), False, size, cost


def _unite(plain: list[Part], complemented: list[Part]) -> Part:
    if complemented:
        tree, _, size, cost = _intersect(complemented, plain)
        return tree, True, size, cost
    cost, size = 0.0, 0.0
    for part in plain:
        cost += part[3]
        size += part[2]
    return Union(_trees_of(plain)), False, size, cost + size


def _count_terms(expr: Threshold, plain: list[Part], complemented: list[Part]) -> Part | None:
    exactly = expr.operator == "exactly" and expr.count > 0
    if exactly or expr.operator == "at least":
        return _reach(plain, complemented, expr.count, exactly)
    return _complement(_reach(plain, complemented, expr.count + 1, False))


def _reach(plain: list[Part], complemented: list[Part], count: int, exactly: bool) -> Part:
    """Return the rows that *count* parts have. Of complements alone, those that so many of the parts lack."""
    parts = [*plain, *complemented]
    if count == len(parts):
        return _intersect(plain, complemented)
    if count == 1 and not exactly:
        return _unite(plain, complemented)
    size = sum([part[2] for part in parts])
    cost = MERGED * size + sum([part[3] for part in parts])
    if plain:
        return Reached(_trees_of(plain), _trees_of(complemented), count, exactly), False, size, cost
    needed = len(parts) - count if exactly else len(parts) - count + 1
    return Reached(_trees_of(complemented), (), needed, exactly), not exactly, size, cost


def _trees_of(parts: list[Part]) -> tuple[Tree, ...]:
    return tuple([part[0] for part in parts])


def is_plain_threshold(tree: Tree) -> bool:
    """Return whether *tree* counts stored bitmaps alone."""
    return isinstance(tree, Reached) and not tree.complemented and all(isinstance(term, int) for term in tree.plain)


def find_tree_rows(tags: TagTree, shard: Shard, note: thresholds.Note | None = None) -> RowSet:
    """Return the rows of *tags*; deleted rows may be among them if they are in the bitmaps of *shard*.

    *note* is for a threshold over tags, as in `thresholds.rows_at_least`.
    """
    rows = _Combination(tags.operands, shard, note).find(tags.tree)
    return RowSet(rows, tags.complemented, 2 * len(rows))


def count_tree_rows(tags: TagTree, shard: Shard) -> int:
    """Return the number of the devices of *shard*, whose bitmaps have no deleted rows, that *tags* has."""
    counted = _Combination(tags.operands, shard).count(tags.tree)
    return shard.device_count - counted if tags.complemented else counted


class _Combination:
    """Operands, out of the rows of a shard, as they are combined."""

    __slots__ = ("_note", "_operands", "_shard")

    def __init__(self, operands: Sequence[Operand], shard: Shard, note: thresholds.Note | None = None):
        self._operands, self._shard, self._note = operands, shard, note

    def find(self, tree: Tree) -> BitMap:
        """Return the rows of *tree*, in a bitmap that may be shared."""
        if isinstance(tree, int):
            return self._operands[tree].rows.bitmap
        if isinstance(tree, Union):
            return _unite_bitmaps([self.find(term) for term in tree.terms])
        if isinstance(tree, Intersection):
            first, *others = self._order(tree.plain)
            return self._narrow(first, others, tree.subtracted)
        operands = [*map(self._as_row_set, tree.plain), *(~self._as_row_set(term) for term in tree.complemented)]
        find_reached = thresholds.rows_exactly if tree.exactly else thresholds.rows_at_least
        shard = self._shard
        reached = find_reached(operands, tree.needed, shard.row_count, self._note, shard.kept_forms).bitmap
        return remove_rows(reached, shard.deleted) if tree.complemented else reached  # complements have them

    def count(self, tree: Tree) -> int:
        """Return the number of rows of *tree*; the last operation only counts."""
        if isinstance(tree, Union):
            *bitmaps, last_bitmap = [self.find(term) for term in tree.terms]
            return _unite_bitmaps(bitmaps).union_cardinality(last_bitmap)
        if not isinstance(tree, Intersection):
            return len(self.find(tree))
        first, *others = self._order(tree.plain)
        if tree.subtracted:
            *subtracted, last = tree.subtracted
            rows = self._narrow(first, others, subtracted)
            return rows.difference_cardinality(self.find(last)) if rows else 0
        if not others:
            return len(self.find(first))
        *others, last = others
        rows = self._narrow(first, others, ())
        return rows.intersection_cardinality(self.find(last)) if rows else 0

    def _narrow(self, first: Tree, others: Iterable[Tree], subtracted: Iterable[Tree]) -> BitMap:
        """Return the rows of *first* that all of *others* and none of *subtracted* have, ending when none is left."""
        rows = self.find(first)
        for tree in others:
            if not rows:
                return rows
            rows = rows & self.find(tree)
        for tree in subtracted:
            if not rows:
                return rows
            rows = rows - self.find(tree)
        return rows

    def _order(self, trees: tuple[Tree, ...]) -> Sequence[Tree]:
        """Return *trees* with stored bitmaps first, the smallest one before others."""
        return sorted(trees, key=self._weigh) if len(trees) > 1 else trees

    def _weigh(self, tree: Tree) -> float:
        return self._operands[tree].cost if isinstance(tree, int) else float("inf")

    def _as_row_set(self, tree: Tree) -> RowSet:
        if isinstance(tree, int):
            return self._operands[tree].rows
        rows = self.find(tree)
        return RowSet(rows, nbytes=2 * len(rows))


def _unite_bitmaps(bitmaps: Sequence[BitMap]) -> BitMap:
    match bitmaps:
        case [only]:
            return only
        case [first, second]:
            return first | second
    return BitMap.union(*bitmaps)
