"""Unions of stored bitmaps beside other operands of an AND: the values that a comparison asks for, or tags of an OR.

Thirty values beside one another in the order of rows are together as few runs as one of them. A small union that is
asked again is kept as one bitmap, which the next snapshot of a reader goes on with.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

from audience.index.query.attribute_rows import lazy_union, query_ranges
from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import LazyUnion, RowSet
from audience.index.storage.evaluation_notes import CACHED, UNION
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.shard import Shard
from audience.language.ast import Condition, Expr, Or, Tag

MIN_CACHED_UNION_BYTES = 1 << 16  # unions of smaller bitmaps are computed again, or kept as one
MAX_KEPT_UNIONS = 4_096  # in each shard


class UnitedRows(NamedTuple):
    """Rows of the tags file whose bitmaps are united, and whether no device is in two of them."""

    tag_rows: Collection[int]
    disjoint: bool


def unite_lazily(expr: Expr, shard: Shard) -> RowSet | LazyUnion | None:
    """Return an OR of tags or a comparison as a union of stored bitmaps, or None if *expr* is not one.

    The result is a RowSet if the union is cached.
    """
    match expr:
        case Or(terms=terms):
            return _unite_tags(expr, terms, shard)
        case _ if isinstance(expr, Condition):
            union = _load_union(expr, partial(_find_compared, expr, shard), shard)
            return None if union is None else _note_union(expr, union, shard)
    return None


def _unite_tags(expr: Or, terms: tuple[Expr, ...], shard: Shard) -> RowSet | LazyUnion | None:
    """Return the union of *terms* if all of them are tags whose stored bitmaps were located before."""
    tags = [term for term in terms if isinstance(term, Tag)]
    tag_rows = [row for tag in tags if (row := shard.find_tag_row((tag.type, tag.value))) is not None]
    if len(tag_rows) < len(terms):
        return None
    cached = shard.cache.get(shard.name, expr)
    if cached is not None:
        if shard.notes is not None:
            shard.notes.take(expr, CACHED)
        return cached
    disjoint = len({tag.type for tag in tags}) == 1 and shard.attributes[tags[0].type].is_single_valued
    union = _load_union(expr, lambda: UnitedRows(dict.fromkeys(tag_rows), disjoint), shard)
    assert union is not None, "unlike a comparison, it is one in every shard"
    if union.nbytes > MIN_CACHED_UNION_BYTES and shard.cache.mark_seen(shard.name, expr):
        shard.cache.put(shard.name, expr, union.materialize())
    return _note_union(expr, union, shard)


def _note_union(expr: Expr, union: LazyUnion, shard: Shard) -> LazyUnion:
    if shard.notes is not None:
        shard.notes.take(expr, UNION, operand_count=len(union.bitmaps))
    return union


def _load_union(expr: Expr, find: Callable[[], UnitedRows | None], shard: Shard) -> LazyUnion | None:
    """Return the union of what *find* finds for *expr*; from the second time on as one bitmap, if that is small."""
    known = shard.kept_unions.get(expr)
    if known is not None and known.is_new:
        known = shard.kept_unions[expr] = bitmaps.unite_if_small(known)
    elif known is None and expr not in shard.kept_unions:
        if len(shard.kept_unions) >= MAX_KEPT_UNIONS:
            shard.kept_unions = {}
        found = find()
        known = shard.kept_unions[expr] = None if found is None else _find_union(expr, found, shard)
    return known


def _find_union(expr: Expr, found: UnitedRows, shard: Shard) -> LazyUnion:
    """Return the union that a snapshot before kept, if it is still small, or one that is computed when it is needed."""
    rows = shard.take_union(expr, found.tag_rows) if isinstance(shard, JoinedShard) else None
    if rows is not None and (nbytes := bitmaps.bitmap_nbytes(rows)) <= bitmaps.MAX_KEPT_UNION_BYTES:
        return LazyUnion([rows], nbytes, found.disjoint)
    return lazy_union(found.tag_rows, found.disjoint, shard)._replace(is_new=len(found.tag_rows) > 1)


def _find_compared(expr: Condition, shard: Shard) -> UnitedRows | None:
    """Return the values that *expr* asks for, if they are several with bitmaps of their own."""
    if isinstance(shard, JoinedShard) and shard.is_evaluated_by_parts(expr):
        return None
    attribute = shard.attributes.get(expr.type)
    if attribute is None or attribute.bit_slicing is not None:
        return None
    ranges = query_ranges(expr, attribute, shard)
    tag_rows = [attribute.start + rank for start, stop in ranges for rank in range(start, stop)]
    return UnitedRows(tag_rows, attribute.is_single_valued) if len(tag_rows) > 1 else None
