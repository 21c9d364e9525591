"""Count the devices that match an expression: the last step of an AND or OR counts rows without building its result."""

from collections.abc import Callable

from audience.index.query.evaluate import (
    count_live,
    evaluate_difference,
    evaluate_in_shard,
    evaluate_operands,
    note_at_once,
    take_note,
)
from audience.index.query.physical_plan import Answer, choose_at_once, choose_words, was_asked
from audience.index.query.shard_threads import map_expr
from audience.index.query.stored_bitmaps import load_together
from audience.index.query.tag_questions import TagQuestion, find_question, read_tags
from audience.index.query.tag_trees import JUNCTIONS, is_flat_union
from audience.index.query.tree_rows import count_tree_rows
from audience.index.query.validate import validate_and_expand
from audience.index.query.value_counts import count_matching_devices
from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import BitMap, LazyUnion, RowSet
from audience.index.storage.evaluation_notes import COMPUTED, ROARING, WORDS
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.word_programs import count_rows
from audience.language.as_of import AsOf
from audience.language.ast import And, Except, Expr, Limit, Matches, Not, Or, Threshold


def count_devices(expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None) -> int:
    """Return the number of devices that match *expr*, asked as `validate_and_expand` says.

    Raises:
        ExpressionError: The expression refers to something that the index does not have.
    """
    shards = snapshot.evaluated_shards
    question = find_question(expr, shards) if as_of is None else None
    if question is not None:
        return _count_question(expr, question, shards[0])
    return count_expanded(validate_and_expand(expr, snapshot, as_of), snapshot, count_in_shard)


def count_expanded(expr: Expr, snapshot: Snapshot, count: Callable[[Expr, Shard], int]) -> int:
    """Return the number of devices that match *expr*, which is expanded; *count* returns that of a shard."""
    if isinstance(expr, Limit):
        return min(expr.count, sum(map_expr(count, expr.term, snapshot.evaluated_shards)))
    return sum(map_expr(count, expr, snapshot.evaluated_shards))


def count_in_shard(expr: Expr, shard: Shard) -> int:
    """Return the number of devices of *shard* that match *expr*.

    The last step of an AND or OR counts rows without building its result. The shard is one of the `evaluated_shards` of
    a snapshot, whose bitmaps have no deleted rows.
    """
    if shard.is_remote:
        load_together([expr], shard)
    question = read_tags(expr, shard) if isinstance(expr, JUNCTIONS) else None
    return _count_operands(expr, shard) if question is None else _count_question(expr, question, shard)


def _count_question(expr: Expr, question: TagQuestion, shard: Shard) -> int:
    """Return the number of devices of *shard* that match *expr*, best counted from tags alone."""
    if question.is_counted_at_once:
        return _count_at_once(expr, question, shard)
    if isinstance(expr, Threshold) and was_asked(expr, shard, Answer.COUNT):
        return _count_operands(expr, shard)  # its rows are cached when it is asked again
    chosen = choose_words(expr, question, shard, Answer.COUNT)
    if chosen is not None:
        if shard.notes is not None:  # a call less for most
            take_note(expr, shard, WORDS)
        return count_rows(*chosen, shard.device_count)
    if choose_at_once(expr, question, shard, Answer.COUNT):
        return _count_at_once(expr, question, shard)
    if is_flat_union(question.tree.tree):
        return _count_united(expr, question, shard)
    return _count_operands(expr, shard)


def _count_at_once(expr: Expr, question: TagQuestion, shard: Shard) -> int:
    """Return the number of devices of *question*, from operations on its stored bitmaps alone."""
    note_at_once(expr, question, shard)
    return count_tree_rows(question, shard)


def _count_united(expr: Expr, question: TagQuestion, shard: Shard) -> int:
    """Return the number of devices with any tag of *question*, whose bitmaps take 2 µs each to find again."""
    take_note(expr, shard, ROARING)
    count = bitmaps.count_union([operand.rows for operand in question.operands], shard.row_count)
    return shard.device_count - count if question.complemented else count


def _count_operands(expr: Expr, shard: Shard) -> int:
    """Return the number of devices of *shard* that match *expr*, from the rows of its operands."""
    if isinstance(expr, Matches) and (count := count_matching_devices(expr, shard)) is not None:
        take_note(expr, shard, COMPUTED)
        return count
    if shard.deleted is not None:
        return _count_without_deleted(expr, shard, shard.deleted)
    match expr:
        case And():
            return bitmaps.count_intersection(evaluate_operands(expr, shard), shard.row_count)
        case Or(terms=terms):
            take_note(expr, shard, ROARING)
            return bitmaps.count_union([evaluate_in_shard(term, shard) for term in terms], shard.row_count)
        case Not(term=term):
            return shard.row_count - count_in_shard(term, shard)
        case Except():
            return bitmaps.count_intersection(evaluate_difference(expr, shard), shard.row_count)
    return evaluate_in_shard(expr, shard).count_rows(shard.row_count)


def _count_without_deleted(expr: Expr, shard: Shard, deleted: BitMap) -> int:
    """Return the number of live rows: for an AND, all its rows less those among the few deleted ones."""
    if isinstance(expr, Or):
        row_sets = [evaluate_in_shard(term, shard) for term in expr.terms]
        if all(map(_is_stored, row_sets)):
            take_note(expr, shard, ROARING)
            return bitmaps.count_union(row_sets, shard.row_count)
    if not isinstance(expr, And):
        row_set = evaluate_in_shard(expr, shard)
        return row_set.count_rows(shard.device_count) if row_set.cached else count_live(row_set, shard)
    operands = evaluate_operands(expr, shard)
    if any(map(_is_stored, operands)):
        return bitmaps.count_intersection(operands, shard.row_count)
    deleted_rows = RowSet(deleted, nbytes=2 * len(deleted))
    deleted_count = bitmaps.count_intersection([deleted_rows, *operands], shard.row_count)
    return bitmaps.count_intersection(operands, shard.row_count) - deleted_count


def _is_stored(operand: RowSet | LazyUnion) -> bool:
    """Return whether *operand* consists of stored bitmaps, none of them complemented."""
    return isinstance(operand, LazyUnion) or (operand.cached and not operand.complemented)
