"""Expression × index → rows: cheapest operands first, subtraction for NOT, and no more once nothing is left.

What is asked has been checked before (`audience.index.query.validate`), so here a shard may simply have none of it.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeAlias

from audience.index.query.sampling import sample_rows
from audience.index.query.validate import validate_and_expand
from audience.index.schema.columns import ORDERED_ROLES
from audience.index.schema.value_types import ArithmeticValues, RankRange, SortedStrings, SortedValues, find_rank_range
from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import LazyUnion, RowSet
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import And, Compare, Everyone, Expr, Ids, Nobody, Not, Or, Sample, Split, Tag, Within

RowBitmap: TypeAlias = bitmaps.BitMap
EMPTY_BITMAP = bitmaps.BitMap()
MIN_CACHED_UNION_BYTES = 1 << 16  # bytes of bitmaps whose union is worth keeping
MAX_CACHED_COMPARISONS = 4_096  # comparisons of a shard that are remembered


def resolve_rows(expr: Expr, snapshot: Snapshot) -> list[RowBitmap]:
    """The rows of each shard that *expr* means; the bitmaps may be shared and must not be changed.

    Raises ExpressionError for what the index does not know.
    """
    whole = validate_and_expand(expr, snapshot)
    return [exclude_deleted(evaluate_in_shard(whole, shard), shard) for shard in snapshot.shards]


def count_devices(expr: Expr, snapshot: Snapshot) -> int:
    """How many devices *expr* means; ExpressionError for what the index does not know."""
    whole = validate_and_expand(expr, snapshot)
    return sum(count_in_shard(whole, shard) for shard in snapshot.shards)


def exclude_deleted(row_set: RowSet, shard: Shard) -> RowBitmap:
    """The rows *found* that are not dead."""
    if row_set.complemented:
        return shard.live_rows - row_set.bitmap
    return row_set.bitmap if shard.deleted is None else row_set.bitmap - shard.deleted


def count_live(row_set: RowSet, shard: Shard) -> int:
    """How many rows *found* are not dead."""
    inside = len(row_set.bitmap)
    if shard.deleted is not None:
        inside -= row_set.bitmap.intersection_cardinality(shard.deleted)
    return shard.device_count - inside if row_set.complemented else inside


def count_in_shard(expr: Expr, shard: Shard) -> int:
    """How many rows *expr* means; the last step of an AND or OR counts without building its result."""
    if shard.deleted is not None:
        return _count_without_deleted(expr, shard, shard.deleted)
    match expr:
        case And():
            return bitmaps.count_intersection(_evaluate_operands(expr, shard), shard.row_count)
        case Or(terms=terms):
            return bitmaps.count_union([evaluate_in_shard(term, shard) for term in terms], shard.row_count)
        case Not(term=term):
            return shard.row_count - count_in_shard(term, shard)
    return evaluate_in_shard(expr, shard).count_rows(shard.row_count)


def _count_without_deleted(expr: Expr, shard: Shard, deleted: RowBitmap) -> int:
    """As `counted`, of a shard with *dead* rows: where they are few, an AND is soon counted among them alone."""
    if not isinstance(expr, And):
        return count_live(evaluate_in_shard(expr, shard), shard)
    operands = [
        one if isinstance(one, LazyUnion) else one._replace(owned=False) for one in _evaluate_operands(expr, shard)
    ]
    gone = bitmaps.count_intersection([RowSet(deleted, nbytes=2 * len(deleted)), *operands], shard.row_count)
    return bitmaps.count_intersection(operands, shard.row_count) - gone


def evaluate_in_shard(expr: Expr, shard: Shard) -> RowSet:
    """The rows that *expr* means, or those that it does not; rows that are dead may be among them."""
    match expr:
        case Tag():
            return _evaluate_tag(expr, shard)
        case Not(term=term):
            return ~evaluate_in_shard(term, shard)
        case Everyone():
            return RowSet(EMPTY_BITMAP, complemented=True)
        case Nobody():
            return RowSet(EMPTY_BITMAP)
    kept = shard.cache.get(shard.name, expr)
    if kept is not None:
        return kept
    found = _evaluate_uncached(expr, shard)
    dear = isinstance(expr, Ids | Sample | Split)  # found by looking at all ids, which is slow
    kept_now = shard.cache.put(shard.name, expr, found) if dear else shard.cache.offer(shard.name, expr, found)
    return found._replace(owned=False) if kept_now else found


def _evaluate_uncached(expr: Expr, shard: Shard) -> RowSet:
    """The rows that *expr* means, found anew."""
    match expr:
        case And():
            return bitmaps.intersect(_evaluate_operands(expr, shard))
        case Or(terms=terms):
            return bitmaps.union([evaluate_in_shard(term, shard) for term in terms])
        case Compare() | Within():
            attribute = shard.attributes.get(expr.type)
            return (
                RowSet(EMPTY_BITMAP)
                if attribute is None
                else _rows_in_ranks(attribute, _find_query_ranks(expr, attribute, shard), shard)
            )
        case Ids():
            from audience.index.storage import (
                id_search,  # here, as it takes Polars, and nothing else of a question does
            )

            return _as_row_set(
                bitmaps.rows_to_bitmap(id_search.locate_in_shard(expr, shard)["row"].unique().sort().to_numpy())
            )
        case Sample() | Split():
            return _as_row_set(sample_rows(expr, shard))
    raise AssertionError(f"{expr!r} is not written out")


def _evaluate_operands(expr: And, shard: Shard) -> list[RowSet | LazyUnion]:
    """What each operand means, simple ones first; one that is empty decides, and the others are left unread.

    Where all of them are stored bitmaps they are remembered with the object *expr*.
    """
    known = shard.and_cache.get(id(expr))
    if known is not None and known[0] is expr:
        return known[1]
    found: list[RowSet | LazyUnion] = []
    for term in sorted(expr.terms, key=_estimate_cost):
        one = _union_lazily(term, shard) or evaluate_in_shard(term, shard)
        if isinstance(one, RowSet) and not one.complemented and not one.bitmap:
            return [one]
        found.append(one)
    if all(isinstance(one, LazyUnion) or one.cached for one in found):
        shard.cache_operands(expr, found)
    return found


def _union_lazily(expr: Expr, shard: Shard) -> RowSet | LazyUnion | None:
    """The bitmaps of several values, of which a device has any, before they are united; or united and kept already."""
    match expr:
        case Or(terms=terms):
            return _union_tags(expr, terms, shard)
        case Compare() | Within():
            if expr in (known := shard.compare_cache):
                return known[expr]
            if len(known) >= MAX_CACHED_COMPARISONS:
                known = shard.compare_cache = {}
            known[expr] = found = _union_compared(expr, shard)
            return found
    return None


def _union_tags(expr: Or, terms: tuple[Expr, ...], shard: Shard) -> RowSet | LazyUnion | None:
    tags = [term for term in terms if isinstance(term, Tag)]
    rows = [row for tag in tags if (row := shard.tag_rows.get((tag.type, tag.value))) is not None]
    if len(rows) < len(terms):
        return None
    kept = shard.cache.get(shard.name, expr)
    if kept is not None:
        return kept
    apart = len({tag.type for tag in tags}) == 1 and shard.attributes[tags[0].type].is_single_valued
    found = _build_lazy_union(dict.fromkeys(rows), apart, shard)
    if found.nbytes > MIN_CACHED_UNION_BYTES and shard.cache.mark_seen(shard.name, expr):
        shard.cache.put(shard.name, expr, found.materialize())
    return found


def _union_compared(expr: Compare | Within, shard: Shard) -> LazyUnion | None:
    attribute = shard.attributes.get(expr.type)
    if attribute is None or attribute.bit_slicing is not None:
        return None
    start, stop = _find_query_ranks(expr, attribute, shard)
    if stop - start < 2:
        return None
    return _build_lazy_union(range(attribute.start + start, attribute.start + stop), attribute.is_single_valued, shard)


def _build_lazy_union(tag_rows: Iterable[int], disjoint: bool, shard: Shard) -> LazyUnion:
    return LazyUnion(
        [shard.load_bitmap(row) for row in tag_rows], sum(shard.bitmap_sizes[row] for row in tag_rows), disjoint
    )


EVALUATION_COST = {Tag: 0, Everyone: 0, Nobody: 0, And: 1, Or: 1, Compare: 2, Within: 2, Ids: 3, Sample: 4, Split: 4}


def _estimate_cost(expr: Expr) -> int:
    """How much reading it takes to know what *expr* means, roughly."""
    return _estimate_cost(expr.term) if isinstance(expr, Not) else EVALUATION_COST[type(expr)]


def _evaluate_tag(tag: Tag, shard: Shard) -> RowSet:
    row = shard.tag_rows.get((tag.type, tag.value))
    if row is not None:
        return RowSet(shard.load_bitmap(row), False, shard.bitmap_sizes[row], cached=True)
    attribute = shard.attributes.get(tag.type)
    if attribute is None:
        return RowSet(EMPTY_BITMAP)
    start, stop = find_tag_ranks(tag, attribute, shard)
    if stop - start == 1 and attribute.bit_slicing is None:
        shard.tag_rows[tag.type, tag.value] = attribute.start + start
    return _rows_in_ranks(attribute, (start, stop), shard)


def find_tag_ranks(tag: Tag, attribute: StoredAttribute, shard: Shard) -> RankRange:
    """The places of what *tag* means among the values of *attribute*; an empty stretch where no device has it."""
    if attribute.role in ORDERED_ROLES and attribute.role != "version":
        return _find_query_ranks(tag, attribute, shard)
    values = shard.attribute_values(attribute)
    if attribute.role not in ORDERED_ROLES:
        start = bisect_left(values, tag.value)
        return start, start + (start < len(values) and values[start] == tag.value)
    start, stop = _find_query_ranks(tag, attribute, shard)
    # 1.2 and 1.2.0 stand together, but to every vendor they are two tags
    same = [place for place in range(start, stop) if values[place] == tag.value]
    return (same[0], same[0] + 1) if same else (start, start)


def _find_query_ranks(query: Tag | Compare | Within, attribute: StoredAttribute, shard: Shard) -> RankRange:
    return find_rank_range(query, attribute.role, _load_sorted_values(attribute, shard))


def _load_sorted_values(attribute: StoredAttribute, shard: Shard) -> SortedValues:
    digits = attribute.bit_slicing
    if digits is not None and digits.step:
        return ArithmeticValues(attribute.role, digits.base, digits.step, digits.scale, 1 << digits.bit_depth)
    return SortedStrings(attribute.role, shard.attribute_values(attribute))


def _rows_in_ranks(attribute: StoredAttribute, ranks: RankRange, shard: Shard) -> RowSet:
    """The rows with a value at one of *places*."""
    start, stop = ranks
    if start >= stop:
        return RowSet(EMPTY_BITMAP)
    if attribute.bit_slicing is not None:
        return _as_row_set(_rows_by_bit_slices(attribute, start, stop, shard))
    rows = range(attribute.start + start, attribute.start + stop)
    return bitmaps.union([RowSet(shard.load_bitmap(row), False, shard.bitmap_sizes[row]) for row in rows])


def _rows_by_bit_slices(attribute: StoredAttribute, start: int, stop: int, shard: Shard) -> RowBitmap:
    """The rows whose place, kept as binary digits, lies from *start* to before *stop*."""
    has, *digits = (shard.load_bitmap(row) for row in range(attribute.start + attribute.value_count, attribute.stop))
    below = bitmaps.rows_less_than(digits, stop, has)
    return below - bitmaps.rows_less_than(digits, start, has) if start else below


def _as_row_set(rows: RowBitmap) -> RowSet:
    """Rows that were not read in one piece, at two bytes each."""
    return RowSet(rows, nbytes=2 * len(rows))
