"""Bitmaps of a joined shard of an earlier snapshot, which one with the same first parts goes on with.

A small change deletes some rows and adds others. Most bitmaps have none of them: they stay as they are, as the same
objects. From the others, what was removed is taken away, which is far less work than to join them again.
"""

#   earlier parts   large shard   delta A   delta B
#   later parts     large shard   delta A   delta C             two are the same
#   removed         rows that were deleted since, and all rows of delta B

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from audience.index.storage.bitmaps import BitMap, LazyUnion, remove_rows_keeping_runs
from audience.index.storage.layout import ShardFiles
from audience.language.ast import Expr


class Numbering(NamedTuple):
    """Numbers of the rows of *files* in a joined shard, some of them closed up, and which of them are deleted.

    `left_out` are the rows of each file that have no number, None if all have one. `starts` are the first row of each
    file, and at last the number of all rows.
    """

    files: Sequence[ShardFiles]
    left_out: Sequence[BitMap | None]
    starts: Sequence[int]
    deleted: BitMap

    def count_common(self, other: "Numbering") -> int:
        """Return how many of the first parts have the same rows in *other*."""
        common = 0
        for files, other_files, left_out, other_left_out in zip(
            self.files, other.files, self.left_out, other.left_out, strict=False
        ):
            if files != other_files or left_out is not other_left_out:
                break
            common += 1
        return common


class Change(NamedTuple):
    """Change of a numbering: how many of its first parts are left, and the rows that are not."""

    common: int
    removed: BitMap


class EarlierBitmaps:
    """Bitmaps, by their row of the tags file, of rows that were numbered as in *earlier* and are as in *later*.

    *unions* are those of several, by the expression that they are asked for.
    """

    def __init__(self, bitmaps: dict[int, BitMap], unions: dict[Expr, BitMap], earlier: Numbering, later: Numbering):
        self.bitmaps = bitmaps
        self.unions = unions
        self._earlier = earlier
        self._later = later

    def pass_on(self, later: Numbering) -> "EarlierBitmaps":
        """Return the bitmaps for a numbering that follows; what each takes is its own."""
        return EarlierBitmaps(self.bitmaps.copy(), self.unions.copy(), self._earlier, later)

    @cached_property
    def change(self) -> Change | None:
        """Return what has changed, or None if no part is left or deleted rows have come back."""
        common = self._earlier.count_common(self._later)
        stop = self._earlier.starts[common]
        deleted, deleted_before = (_cut(rows, stop) for rows in (self._later.deleted, self._earlier.deleted))
        if not common or not deleted_before <= deleted:
            return None
        removed = deleted - deleted_before
        removed.add_range(stop, self._earlier.starts[-1])
        return Change(common, removed)

    def take(self, tag_row: int) -> BitMap | None:
        """Return the rows of a bitmap that are left, and forget it; None if it is not known."""
        return self._keep_left(self.bitmaps.pop(tag_row, None))

    def take_union(self, expr: Expr) -> BitMap | None:
        """Return the rows of a union that are left, and forget it; None if it is not known."""
        return self._keep_left(self.unions.pop(expr, None))

    def _keep_left(self, bitmap: BitMap | None) -> BitMap | None:
        return None if bitmap is None or self.change is None else remove_rows_keeping_runs(bitmap, self.change.removed)


def list_united(unions: dict[Expr, LazyUnion | None]) -> dict[Expr, BitMap]:
    """Return those of *unions* that are kept as one bitmap; other threads may keep more.

    >>> from audience.language.ast import bare
    >>> list_united({bare("a"): LazyUnion([BitMap([1])], 2, True), bare("b"): None})
    {Tag(type='tag', value='a'): BitMap([1])}
    """
    kept = unions.copy().items()
    return {expr: union.bitmaps[0] for expr, union in kept if union is not None and len(union.bitmaps) == 1}


def _cut(rows: BitMap, stop: int) -> BitMap:
    """Return the *rows* before *stop*."""
    return rows if not rows or rows.max() < stop else rows & BitMap(range(stop))
