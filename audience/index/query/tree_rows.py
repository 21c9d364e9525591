"""Combine the stored bitmaps of an expression over tags straight away, without cache and without estimates.

The last operation of a count only counts.
"""

from collections.abc import Iterable, Sequence

from audience.index.query.tag_questions import TagQuestion
from audience.index.query.tag_trees import Intersection, Tree, Union
from audience.index.storage import thresholds
from audience.index.storage.bitmaps import BitMap, RowSet, remove_rows
from audience.index.storage.shard import Shard


def find_tree_rows(question: TagQuestion, shard: Shard, note: thresholds.Note | None = None) -> RowSet:
    """Return the rows of *question*; deleted rows may be among them if they are in the bitmaps of *shard*.

    *note* is for a threshold over tags, as in `thresholds.rows_at_least`.
    """
    rows = _Combination(question, shard, note).find(question.tree.tree)
    return RowSet(rows, question.tree.complemented, 2 * len(rows))


def count_tree_rows(question: TagQuestion, shard: Shard) -> int:
    """Return the number of the devices of *shard*, whose bitmaps have no deleted rows, that *question* has."""
    counted = _Combination(question, shard).count(question.tree.tree)
    return shard.device_count - counted if question.tree.complemented else counted


class _Combination:
    """Operands, out of the rows of a shard, as they are combined."""

    __slots__ = ("_bitmaps", "_note", "_operands", "_shard")

    def __init__(self, question: TagQuestion, shard: Shard, note: thresholds.Note | None = None):
        self._operands, self._bitmaps, self._shard, self._note = question.operands, question.bitmaps, shard, note

    def find(self, tree: Tree) -> BitMap:
        """Return the rows of *tree*, in a bitmap that may be shared."""
        if isinstance(tree, int):
            return self._bitmaps[tree]
        if isinstance(tree, Union):
            return _unite_bitmaps(self._find_all(tree.terms))
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
            *bitmaps, last_bitmap = self._find_all(tree.terms)
            return _unite_bitmaps(bitmaps).union_cardinality(last_bitmap)
        if not isinstance(tree, Intersection):
            return len(self.find(tree))
        if len(tree.plain) == 2 and not tree.subtracted:
            one, other = self._find_all(tree.plain)
            return one.intersection_cardinality(other)
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

    def _find_all(self, trees: Sequence[Tree]) -> list[BitMap]:
        bitmaps, find = self._bitmaps, self.find
        return [bitmaps[tree] if isinstance(tree, int) else find(tree) for tree in trees]

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
