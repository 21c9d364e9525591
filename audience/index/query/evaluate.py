"""Evaluate an expression against an index.

Cheap operands come first, NOT is a subtraction, and evaluation of an AND ends when no row is left. Expressions are
validated before (`audience.index.query.validate`); a shard that lacks an attribute simply has no rows for it.
"""

from collections.abc import Sequence
from functools import partial
from typing import get_args

from audience.index.query.attribute_rows import (
    NO_ROWS,
    as_row_set,
    find_tag_ranks,
    query_ranges,
    rows_in_rank_ranges,
    rows_in_ranks,
    rows_with_value,
)
from audience.index.query.kept_unions import unite_lazily
from audience.index.query.limits import choose_devices
from audience.index.query.physical_plan import Answer, choose_words, was_asked
from audience.index.query.ranking import choose_extremes
from audience.index.query.sampling import sample_rows
from audience.index.query.shard_threads import map_expr
from audience.index.query.stored_bitmaps import load_together
from audience.index.query.tag_questions import TagQuestion, read_tags
from audience.index.query.tag_trees import JUNCTIONS, is_plain_threshold
from audience.index.query.tree_rows import find_tree_rows
from audience.index.schema.columns import select_existence_columns
from audience.index.storage import bitmaps, single_ids, thresholds
from audience.index.storage.bitmaps import BitMap, LazyUnion, RowSet
from audience.index.storage.evaluation_notes import (
    AT_ONCE,
    CACHED,
    COMPUTED,
    ROARING,
    WORDS,
    Way,
)
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.shard import Operand, Shard
from audience.index.storage.word_programs import find_rows
from audience.language.ast import (
    Aggregate,
    And,
    AtomNode,
    Condition,
    Did,
    EventMoment,
    Everyone,
    Except,
    Expr,
    Has,
    Ids,
    Limit,
    Matches,
    Nobody,
    Not,
    Or,
    Sample,
    Split,
    Tag,
    Threshold,
    Top,
)

ALL_ROWS = ~NO_ROWS
NO_OPERAND = Operand(NO_ROWS, -1, 0.0, 0)  # of a tag that no device has
# These scan all values, all ids or many events, or choose among all devices, which is slow.
CACHED_AT_ONCE = (Ids, Sample, Split, Matches, Threshold, Limit, Top, Did, Aggregate, EventMoment)


def find_live_rows(expr: Expr, shard: Shard) -> BitMap:
    """Return the rows of *shard* that match *expr*, which is expanded, without deleted ones."""
    if shard.is_remote:
        load_together([expr], shard)
    return exclude_deleted(evaluate_in_shard(expr, shard), shard)


def exclude_deleted(row_set: RowSet, shard: Shard) -> BitMap:
    """Return the rows of *row_set* that are not deleted."""
    if row_set.complemented:
        return shard.live_rows - row_set.bitmap
    return bitmaps.remove_rows(row_set.bitmap, shard.deleted)


def count_live(row_set: RowSet, shard: Shard) -> int:
    """Return the number of rows of *row_set* that are not deleted."""
    count = len(row_set.bitmap)
    if shard.deleted is not None:
        count -= row_set.bitmap.intersection_cardinality(shard.deleted)
    return shard.device_count - count if row_set.complemented else count


def take_note(expr: Expr, shard: Shard, way: str) -> None:
    """Note in which way *expr* is evaluated, if the shard takes notes."""
    if shard.notes is not None:
        shard.notes.take(expr, way)


def note_at_once(expr: Expr, question: TagQuestion, shard: Shard) -> None:
    """Note that the stored bitmaps of *expr* are combined straight away, and what that is estimated to cost."""
    if shard.notes is not None:
        shard.notes.weigh(expr, Way(AT_ONCE, {AT_ONCE: question.cost}, len(question.operands)))
        shard.notes.take(expr, AT_ONCE)


def evaluate_in_shard(expr: Expr, shard: Shard) -> RowSet:
    """Return the rows of *shard* that match *expr*; deleted rows may be among them."""
    match expr:
        case Tag():
            return _evaluate_tag(expr, shard)
        case Not(term=term):
            return ~evaluate_in_shard(term, shard)
        case Everyone():
            return ALL_ROWS
        case Nobody():
            return NO_ROWS
    question = read_tags(expr, shard) if isinstance(expr, JUNCTIONS) else None
    found = None if question is None else _find_uncached_tags(expr, question, shard)
    if found is not None:
        return found
    cached = shard.cache.get(shard.name, expr)
    if cached is not None:
        take_note(expr, shard, CACHED)
        return cached
    chosen = None
    if question is not None and (isinstance(expr, Threshold) or was_asked(expr, shard, Answer.BITMAP)):
        chosen = choose_words(expr, question, shard, Answer.BITMAP)
    if chosen is not None:
        take_note(expr, shard, WORDS)
        row_set = find_rows(*chosen)
    elif question is not None and is_plain_threshold(question.tree.tree):
        row_set = find_tree_rows(question, shard, None if shard.notes is None else partial(shard.notes.take, expr))
    else:
        row_set = _evaluate_uncached(expr, shard)
    if isinstance(expr, CACHED_AT_ONCE):
        shard.cache.put(shard.name, expr, row_set)
    else:
        shard.cache.offer(shard.name, expr, row_set)
    return row_set


def _find_uncached_tags(expr: Expr, question: TagQuestion, shard: Shard) -> RowSet | None:
    """Return the rows if looking in the cache takes as long as finding them, or if the object is new; else None."""
    if question.is_found_at_once:
        note_at_once(expr, question, shard)
        return find_tree_rows(question, shard)
    if isinstance(expr, Threshold) or was_asked(expr, shard, Answer.BITMAP):
        return None
    chosen = choose_words(expr, question, shard, Answer.BITMAP)
    if chosen is None:
        return None
    take_note(expr, shard, WORDS)
    return find_rows(*chosen)


def _evaluate_uncached(expr: Expr, shard: Shard) -> RowSet:
    if isinstance(shard, JoinedShard) and isinstance(expr, AtomNode) and shard.is_evaluated_by_parts(expr):
        return shard.join_row_sets([_evaluate_uncached(expr, part) for part in shard.parts])
    if isinstance(expr, AtomNode | Limit | Top):
        take_note(expr, shard, COMPUTED)
    match expr:
        case And():
            return bitmaps.intersect(evaluate_operands(expr, shard))
        case Or(terms=terms):
            take_note(expr, shard, ROARING)
            return bitmaps.union([evaluate_in_shard(term, shard) for term in terms])
        case Except():
            return bitmaps.intersect(evaluate_difference(expr, shard))
        case Threshold():
            return combine_threshold(expr, [evaluate_in_shard(term, shard) for term in expr.terms], shard)
        case _ if isinstance(expr, Condition):
            return _evaluate_values(expr, shard)
        case Has():
            return _evaluate_existence(expr, shard)
        case Ids():
            return _evaluate_ids(expr, shard)
        case Sample() | Split():
            return as_row_set(sample_rows(expr, shard))
        case Limit() | Top():
            return _evaluate_choice(expr, shard)
        case Did() | Aggregate() | EventMoment():
            from audience.index.query.events.answers import find_event_rows  # few questions are about events

            return find_event_rows(expr, shard)
    raise AssertionError(f"{expr!r} was not expanded")


def _evaluate_values(expr: Condition, shard: Shard) -> RowSet:
    """Return the rows with a value that *expr* asks for."""
    attribute = shard.attributes.get(expr.type)
    if attribute is None:
        return NO_ROWS
    union = unite_lazily(expr, shard)
    if union is None:
        return rows_in_rank_ranges(attribute, query_ranges(expr, attribute, shard), shard)
    return union.materialize() if isinstance(union, LazyUnion) else union


def evaluate_difference(expr: Except, shard: Shard) -> list[RowSet]:
    """Return the operands of an EXCEPT, the second one as a complement, to be intersected."""
    take_note(expr, shard, ROARING)
    return [evaluate_in_shard(expr.term, shard), ~evaluate_in_shard(expr.excluded, shard)]


def combine_threshold(expr: Threshold, operands: Sequence[RowSet], shard: Shard) -> RowSet:
    """Return the rows of *shard* that reach the threshold *expr*; *operands* are the rows of its terms."""
    note = None if shard.notes is None else partial(shard.notes.take, expr)
    match expr.operator:
        case "at least":
            rows = thresholds.rows_at_least(operands, expr.count, shard.row_count, note, shard.kept_forms)
        case "at most":
            rows = ~thresholds.rows_at_least(operands, expr.count + 1, shard.row_count, note, shard.kept_forms)
        case "exactly":
            rows = thresholds.rows_exactly(operands, expr.count, shard.row_count, note, shard.kept_forms)
    take_note(expr, shard, ROARING)  # unless an algorithm was chosen
    return rows


def _evaluate_choice(expr: Limit | Top, shard: Shard) -> RowSet:
    """Return the rows of *shard* that *expr* chooses among the devices of all shards of the snapshot."""
    group = shard.group
    chosen = group.chosen_rows.get(expr)
    if chosen is None:
        rows = map_expr(find_live_rows, expr.term, group.shards)
        chosen = group.keep_rows(expr, choose_rows(expr, rows, group.shards))
    return as_row_set(chosen[shard.name])


def choose_rows(expr: Limit | Top, rows_by_shard: Sequence[BitMap], shards: Sequence[Shard]) -> list[BitMap]:
    """Return the rows that *expr* chooses among *rows_by_shard*, the live rows of each of *shards*."""
    if isinstance(expr, Limit):
        return choose_devices(rows_by_shard, expr.count, expr.seed, shards)
    return choose_extremes(rows_by_shard, expr.count, expr.by, shards, largest=expr.order == "top")


def _evaluate_existence(expr: Has, shard: Shard) -> RowSet:
    """Return the rows that have any value of the attribute, or an id in the id column of that name."""
    attribute = shard.attributes.get(expr.type)
    if attribute is not None:
        return rows_with_value(attribute, shard)
    return as_row_set(shard.rows_with_id(select_existence_columns(expr.type, shard.index_columns)))


def _evaluate_ids(ids: Ids, shard: Shard) -> RowSet:
    columns = single_ids.columns_of_kind(ids.kind, shard)
    if single_ids.are_few(ids.values, columns, shard):
        return as_row_set(BitMap(row for value in ids.values for row in single_ids.find_rows(value, columns, shard)))
    from audience.index.storage import id_search  # imports Polars, which only many ids need

    rows = id_search.locate_in_shard(ids, shard)["row"].unique().sort().to_numpy()
    return as_row_set(bitmaps.rows_to_bitmap(rows))


def evaluate_operands(expr: And, shard: Shard) -> list[RowSet | LazyUnion]:
    """Return the operands of an AND, cheapest first.

    An empty operand is returned alone and the operands after it are not evaluated. Operands that are all stored
    bitmaps are cached by the identity of *expr*.
    """
    cached = shard.and_cache.get(id(expr))
    is_kept = cached is not None and cached[0] is expr
    if shard.notes is not None:
        shard.notes.take(expr, ROARING, is_kept=is_kept)
    if cached is not None and is_kept:
        return cached[1]
    operands: list[RowSet | LazyUnion] = []
    for term in sorted(expr.terms, key=_evaluation_cost):
        operand = unite_lazily(term, shard) or evaluate_in_shard(term, shard)
        if isinstance(operand, RowSet) and not operand.complemented and not operand.bitmap:
            return [operand]
        operands.append(operand)
    if all(not operand.is_new if isinstance(operand, LazyUnion) else operand.cached for operand in operands):
        shard.cache_operands(expr, operands)
    return operands


EVALUATION_COST = {
    Tag: 0,
    Everyone: 0,
    Nobody: 0,
    And: 1,
    Or: 1,
    Except: 1,
    Threshold: 1,
    **dict.fromkeys(get_args(Condition), 2),
    Has: 2,
    Ids: 3,
    Sample: 4,
    Split: 4,
    Did: 4,
    Aggregate: 4,
    EventMoment: 4,
    Limit: 5,
    Top: 5,
}


def _evaluation_cost(expr: Expr) -> int:
    return _evaluation_cost(expr.term) if isinstance(expr, Not) else EVALUATION_COST[type(expr)]


def _evaluate_tag(tag: Tag, shard: Shard) -> RowSet:
    row = shard.find_tag_row((tag.type, tag.value))
    if row is not None:
        return RowSet(shard.load_bitmap(row), False, shard.bitmap_sizes[row], cached=True)
    attribute = shard.attributes.get(tag.type)
    if attribute is None and isinstance(shard, JoinedShard):
        return shard.join_row_sets([_evaluate_tag(tag, part) for part in shard.parts])
    if attribute is None:
        return NO_ROWS
    start, stop = find_tag_ranks(tag, attribute, shard)
    if attribute.bit_slicing is None and stop <= start:
        shard.operands[tag.type, tag.value] = NO_OPERAND
    if attribute.bit_slicing is None and stop - start == 1:
        shard.tag_rows[tag.type, tag.value] = attribute.start + start
    elif attribute.bit_slicing is not None or stop > start:
        take_note(tag, shard, COMPUTED)
    return rows_in_ranks(attribute, (start, stop), shard)
