"""Test single rows of a shard against an expression, without the rows of the others.

A test reads the bitmap of each tag that the expression names in this shard, and nothing of other shards. Only what is
chosen among all devices, and unions of many values or ids, are evaluated as a whole; they are cached like those of a
count.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeAlias

from audience.index.query.attribute_rows import find_slices, find_tag_ranks, query_ranges
from audience.index.query.evaluate import evaluate_in_shard
from audience.index.query.events.members import make_event_test
from audience.index.query.sampling import find_positions
from audience.index.schema.columns import select_existence_columns
from audience.index.schema.value_types import RankRange
from audience.index.storage.bitmaps import RowSet
from audience.index.storage.column_lookup import encode_id
from audience.index.storage.id_lookup import scale_position
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard
from audience.index.storage.single_ids import columns_of_kind
from audience.language.ast import (
    Aggregate,
    And,
    Condition,
    Did,
    EventMoment,
    Everyone,
    Except,
    Expr,
    Has,
    Ids,
    Limit,
    Nobody,
    Not,
    Or,
    Sample,
    Split,
    Tag,
    Threshold,
    Top,
)
from audience.language.bucketing import bucket_range

RowTest: TypeAlias = Callable[[int], bool]  # whether a live row matches

MAX_TESTED_BITMAPS = 64  # of values; the union of more is one bitmap
MAX_TESTED_IDS = 64


def make_row_test(expr: Expr, shard: Shard) -> RowTest:
    """Return a test of the live rows of *shard* by *expr*, which is expanded as for `evaluate_in_shard`."""
    match expr:
        case Everyone():
            return lambda row: True
        case Nobody():
            return _reject
        case Not(term=term):
            return _negate(make_row_test(term, shard))
        case And(terms=terms):
            return _require_all([make_row_test(term, shard) for term in sorted(terms, key=_is_choice)])
        case Or(terms=terms):
            return _require_any([make_row_test(term, shard) for term in sorted(terms, key=_is_choice)])
        case Except(term=term, excluded=excluded):
            return _require_all([make_row_test(term, shard), _negate(make_row_test(excluded, shard))])
        case Threshold():
            return _count_terms(expr, [make_row_test(term, shard) for term in expr.terms])
        case Tag():
            return _test_tag(expr, shard)
        case _ if isinstance(expr, Condition):
            return _test_values(expr, shard)
        case Has():
            return _test_existence(expr, shard)
        case Ids() if len(expr.values) <= MAX_TESTED_IDS:
            return _test_ids(expr, shard)
        case Sample() | Split():
            return _test_position(expr, shard)
        case Did() | Aggregate() | EventMoment():
            return make_event_test(expr, shard)
    return lambda row: _has_row(evaluate_in_shard(expr, shard), row)


def _is_choice(expr: Expr) -> bool:
    """Return whether *expr* is chosen among all devices, which is the most expensive to find out."""
    return isinstance(expr, Limit | Top) or (isinstance(expr, Not) and _is_choice(expr.term))


def _reject(row: int) -> bool:
    return False


def _negate(test: RowTest) -> RowTest:
    return lambda row: not test(row)


def _require_all(tests: Sequence[RowTest]) -> RowTest:
    def has_all(row: int) -> bool:
        for test in tests:  # noqa: SIM110  # three times as fast as `all` of a generator
            if not test(row):
                return False
        return True

    return has_all


def _require_any(tests: Sequence[RowTest]) -> RowTest:
    if len(tests) == 1:
        return tests[0]

    def has_any(row: int) -> bool:
        for test in tests:  # noqa: SIM110  # as above
            if test(row):
                return True
        return False

    return has_any


def _count_terms(expr: Threshold, tests: Sequence[RowTest]) -> RowTest:
    match expr.operator:
        case "at least":
            return lambda row: sum(test(row) for test in tests) >= expr.count
        case "at most":
            return lambda row: sum(test(row) for test in tests) <= expr.count
        case "exactly":
            return lambda row: sum(test(row) for test in tests) == expr.count


def _test_tag(tag: Tag, shard: Shard) -> RowTest:
    attribute = shard.attributes.get(tag.type)
    return _reject if attribute is None else _test_ranks(attribute, [find_tag_ranks(tag, attribute, shard)], shard)


def _test_values(query: Condition, shard: Shard) -> RowTest:
    attribute = shard.attributes.get(query.type)
    if attribute is None:
        return _reject
    ranges = query_ranges(query, attribute, shard)
    if attribute.bit_slicing is None and sum(stop - start for start, stop in ranges) > MAX_TESTED_BITMAPS:
        return lambda row: _has_row(evaluate_in_shard(query, shard), row)
    return _test_ranks(attribute, ranges, shard)


def _test_ranks(attribute: StoredAttribute, ranges: Sequence[RankRange], shard: Shard) -> RowTest:
    """Return a test whether a row has a value whose rank is in one of *ranges*, which rise."""
    ranges = [(start, stop) for start, stop in ranges if start < stop]
    if not ranges:
        return _reject
    if attribute.bit_slicing is not None:
        return _test_sliced_rank(attribute, ranges, shard)
    ranks = [rank for start, stop in ranges for rank in range(start, stop)]
    loaded = shard.load_bitmaps([attribute.start + rank for rank in ranks])  # in one request, if they are far away
    return _require_any([bitmap.__contains__ for bitmap in loaded])


def _test_sliced_rank(attribute: StoredAttribute, ranges: Sequence[RankRange], shard: Shard) -> RowTest:
    slice_rows, bounds = find_slices(attribute, ranges)
    present, *slices = shard.load_bitmaps(slice_rows)

    def has_rank(row: int) -> bool:
        if row not in present:
            return False
        rank = sum(1 << bit for bit, rows in enumerate(slices) if row in rows)
        return bisect_right(bounds, rank) % 2 == 1  # behind the start of a range, and not behind its stop

    return has_rank


def _test_existence(expr: Has, shard: Shard) -> RowTest:
    attribute = shard.attributes.get(expr.type)
    if attribute is None:
        columns = select_existence_columns(expr.type, shard.index_columns)
        lookups = [lookup for column in columns if (lookup := shard.open_lookup(column))]
        return lambda row: any(any(lookup.stored_ids.read(row)) for lookup in lookups)
    if attribute.bit_slicing is not None:
        return shard.load_bitmap(attribute.start + attribute.value_count).__contains__
    if attribute.value_count > MAX_TESTED_BITMAPS:
        return lambda row: _has_row(evaluate_in_shard(expr, shard), row)
    return _test_ranks(attribute, [(0, attribute.value_count)], shard)


def _test_ids(expr: Ids, shard: Shard) -> RowTest:
    lookups = [lookup for column in columns_of_kind(expr.kind, shard) if (lookup := shard.open_lookup(column))]
    wanted = {encode_id(value) for value in expr.values}
    return lambda row: any(not wanted.isdisjoint(lookup.stored_ids.read(row)) for lookup in lookups)


def _test_position(expr: Sample | Split, shard: Shard) -> RowTest:
    low, high = map(scale_position, bucket_range(expr))
    return lambda row: any(low <= position < high for position in find_positions(row, expr.seed, shard))


def _has_row(row_set: RowSet, row: int) -> bool:
    return (row in row_set.bitmap) != row_set.complemented
