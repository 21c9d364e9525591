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
from audience.index.storage.bitmaps import BitMap, RowSet
from audience.index.storage.shard import Operand, Shard
from audience.language.ast import And, Except, Expr, Not, Or, Tag, Threshold

# Nanoseconds, measured.
MIN_COST = 25_000.0  # of all operations; with less, there is nothing to gain
WORD_CALL, WORD_ROW = 0.04, 1.75e-7  # parts of it that packed words take for an operand, and for each row of it
SPARSE_FACTOR = 6  # a sparse operand is looked up in a dense one, of which so many times its size is read at most
UNITED, MERGED = 0.6, 8.0  # times the cost of an intersection of the same operands: of a union, of a threshold
AND_OR = And, Or  # types are tested several times as fast as against `And | Or`

Tree: TypeAlias = "int | Intersection | Union | Reached"  # a number is the place of an operand


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


class Part(NamedTuple):
    """Rows of *tree*, or all others if *complemented*.

    `size` is the time of an operation with the rows, and `cost` the one that it takes to find them.
    """

    tree: Tree
    complemented: bool
    size: float
    cost: float = 0.0


class TagTree(NamedTuple):
    """Expression over tags of a shard, as a part of it is, with the operands whose places are in *tree*."""

    tree: Tree
    complemented: bool
    cost: float
    operands: list[Operand]


def read_tags(expr: Expr, shard: Shard) -> TagTree | None:
    """Return *expr* over stored bitmaps; None if one was not located before, or if there are other atoms than tags."""
    reader = _Reader(shard)
    part = reader.read(expr)
    return None if part is None else TagTree(part.tree, part.complemented, part.cost, reader.operands)


def has_few_rows(tags: TagTree, shard: Shard) -> bool:
    """Return whether a plan cannot save more than it takes."""
    return tags.cost < MIN_COST * (1 + len(tags.operands) * (WORD_CALL + WORD_ROW * shard.row_count))


class _Reader:
    """Reads an expression, and collects its operands."""

    __slots__ = ("_places", "_shard", "operands")

    def __init__(self, shard: Shard):
        self._shard = shard
        self._places: dict[tuple[str, str], Part] = {}  # by type and value
        self.operands: list[Operand] = []

    def read(self, expr: Expr) -> Part | None:
        """Return *expr* as a part, None if it cannot be read."""
        if isinstance(expr, Tag):
            return self._read_tag((expr.type, expr.value))
        if isinstance(expr, Not):
            part = self.read(expr.term)
            return None if part is None else Part(part.tree, not part.complemented, part.size, part.cost)
        if isinstance(expr, AND_OR):
            parts = self._read_terms(expr.terms)
            if parts is None:
                return None
            return _intersect(*parts) if isinstance(expr, And) else _unite(*parts)
        if isinstance(expr, Except):
            parts = self._read_terms((expr.term, Not(expr.excluded)))
            return None if parts is None else _intersect(*parts)
        return self._read_threshold(expr) if isinstance(expr, Threshold) else None

    def _read_tag(self, tag: tuple[str, str]) -> Part | None:
        part = self._places.get(tag)
        if part is None and (operand := self._shard.find_operand(tag)) is not None:
            part = self._places[tag] = Part(len(self.operands), False, operand.cost)
            self.operands.append(operand)
        return part

    def _read_terms(self, terms: Iterable[Expr]) -> tuple[list[Part], list[Part]] | None:
        """Return the parts that are plain, and those that are complements."""
        plain: list[Part] = []
        complemented: list[Part] = []
        for term in terms:
            part = self.read(term)
            if part is None:
                return None
            (complemented if part.complemented else plain).append(part)
        return plain, complemented

    def _read_threshold(self, expr: Threshold) -> Part | None:
        parts = self._read_terms(expr.terms)
        if parts is None:
            return None
        exactly = expr.operator == "exactly" and expr.count > 0
        if exactly or expr.operator == "at least":
            return _reach(*parts, expr.count, exactly)
        more = _reach(*parts, expr.count + 1, False)
        return Part(more.tree, not more.complemented, more.size, more.cost)


def _intersect(plain: list[Part], complemented: list[Part]) -> Part:
    if not plain:
        return _unite(complemented, [], True)
    cost, size = 0.0, min([part.size for part in plain])
    for part in (*plain, *complemented):
        cost += part.cost + min(part.size, SPARSE_FACTOR * size)
    return Part(Intersection(_trees_of(plain), _trees_of(complemented)), False, size, cost)


def _unite(plain: list[Part], complemented: list[Part], is_other: bool = False) -> Part:
    """Return the union of parts, or all other rows if *is_other*."""
    if complemented:
        tree, _, size, cost = _intersect(complemented, plain)
        return Part(tree, True, size, cost)
    size = sum([part.size for part in plain])
    return Part(Union(_trees_of(plain)), is_other, size, UNITED * size + sum([part.cost for part in plain]))


def _reach(plain: list[Part], complemented: list[Part], count: int, exactly: bool) -> Part:
    """Return the rows that *count* parts have. Of complements alone, those that so many of the parts lack."""
    total = len(plain) + len(complemented)
    if count == total:
        return _intersect(plain, complemented)
    if count == 1 and not exactly:
        return _unite(plain, complemented)
    size = sum([part.size for part in (*plain, *complemented)])
    cost = MERGED * size + sum([part.cost for part in (*plain, *complemented)])
    if plain:
        tree = Reached(_trees_of(plain), _trees_of(complemented), count, exactly)
        return Part(tree, False, size, cost)
    if exactly:
        return Part(Reached(_trees_of(complemented), (), total - count, True), False, size, cost)
    return Part(Reached(_trees_of(complemented), (), total + 1 - count, False), True, size, cost)


def _trees_of(parts: list[Part]) -> tuple[Tree, ...]:
    return tuple([part.tree for part in parts])


def find_tree_rows(tags: TagTree, shard: Shard) -> RowSet:
    """Return the rows of *tags*; deleted rows may be among them if they are in the bitmaps of *shard*."""
    rows = _Combination(tags.operands, shard.row_count).find(tags.tree)
    return RowSet(rows, tags.complemented, 2 * len(rows))


def count_tree_rows(tags: TagTree, shard: Shard) -> int:
    """Return the number of the devices of *shard*, whose bitmaps have no deleted rows, that *tags* has."""
    counted = _Combination(tags.operands, shard.row_count).count(tags.tree)
    return shard.device_count - counted if tags.complemented else counted


class _Combination:
    """Operands, out of some rows, as they are combined."""

    __slots__ = ("_operands", "_row_count")

    def __init__(self, operands: Sequence[Operand], row_count: int):
        self._operands, self._row_count = operands, row_count

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
        return find_reached(operands, tree.needed, self._row_count).bitmap

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
