"""List the stored bitmaps that an expression needs in a shard, to read them together from an object store.

There a request takes longer than most bitmaps, so what an AND might not need is read, too.
"""

from collections.abc import Iterable, Sequence

from audience.index.query.attribute_rows import find_slices, find_tag_ranks, query_ranges
from audience.index.schema.value_types import RankRange
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard
from audience.language.ast import And, Condition, Except, Expr, Has, Matches, Not, Or, Tag, Threshold

MAX_KEPT_EXPRS = 4_096
MAX_LISTED_VALUES = 1_024  # of an atom; more are found by their ranks, and read when they are needed


def load_together(exprs: Iterable[Expr], shard: Shard) -> None:
    """Load the bitmaps of *exprs*, which are expanded, unless that was done for the same objects."""
    new = [expr for expr in exprs if shard.loaded_exprs.get(id(expr)) is not expr]
    if new:
        shard.load_bitmaps(list(dict.fromkeys(row for expr in new for row in list_tag_rows(expr, shard))))
        if len(shard.loaded_exprs) >= MAX_KEPT_EXPRS:
            shard.loaded_exprs.clear()
        shard.loaded_exprs.update((id(expr), expr) for expr in new)


def list_tag_rows(expr: Expr, shard: Shard) -> list[int]:
    """Return the rows of the tags file in which the tags and values of *expr* are; of other atoms, none."""
    match expr:
        case Not(term=term):
            return list_tag_rows(term, shard)
        case And(terms=terms) | Or(terms=terms) | Threshold(terms=terms):
            return [row for term in terms for row in list_tag_rows(term, shard)]
        case Except(term=term, excluded=excluded):
            return [*list_tag_rows(term, shard), *list_tag_rows(excluded, shard)]
    if isinstance(expr, Matches) or not isinstance(expr, Tag | Has | Condition):
        return []
    attribute = shard.attributes.get(expr.type)
    return [] if attribute is None else _list_values(expr, attribute, shard)


def _list_values(expr: Tag | Has | Condition, attribute: StoredAttribute, shard: Shard) -> list[int]:
    ranges = [(start, stop) for start, stop in _find_ranges(expr, attribute, shard) if start < stop]
    if attribute.bit_slicing is not None:
        return find_slices(attribute, ranges)[0] if ranges else []
    if sum(stop - start for start, stop in ranges) > MAX_LISTED_VALUES:
        return []
    return [attribute.start + rank for start, stop in ranges for rank in range(start, stop)]


def _find_ranges(expr: Tag | Has | Condition, attribute: StoredAttribute, shard: Shard) -> Sequence[RankRange]:
    match expr:
        case Has() if attribute.bit_slicing is not None:
            return [(0, 1 << attribute.bit_slicing.bit_depth)]
        case Has():
            return [(0, attribute.value_count)]
        case Tag():
            return [find_tag_ranks(expr, attribute, shard)]
    return query_ranges(expr, attribute, shard)
