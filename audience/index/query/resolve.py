"""Find the rows of each shard that match an expression.

When an expression over tags is asked for the first time, its bitmaps are combined straight away. Its parts are cached
when it is asked again.
"""

from __future__ import annotations

from collections.abc import Sequence

from audience.index.query.evaluate import evaluate_in_shard, exclude_deleted, find_live_rows
from audience.index.query.late_bitmaps import LateBitmap, has_late_bitmap
from audience.index.query.physical_plan import Answer, choose_at_once, choose_words, was_asked
from audience.index.query.shard_threads import map_expr
from audience.index.query.tag_questions import TagQuestion, find_question
from audience.index.query.tree_rows import combine_bitmaps, find_tree_rows
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import BitMap, RowSet
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.word_programs import find_rows
from audience.language.as_of import AsOf
from audience.language.ast import Expr, Threshold


def resolve_rows(expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None) -> Sequence[BitMap]:
    """Return the rows of each shard that match *expr*, asked as `validate_and_expand` says.

    The bitmaps may be shared and must not be changed. That of one shard may be made when it is taken.

    Raises:
        ExpressionError: The expression refers to something that the index does not have.
    """
    shards = snapshot.evaluated_shards
    question = find_question(expr, shards) if as_of is None else None
    if question is None:
        return snapshot.split_rows(map_expr(find_live_rows, validate_and_expand(expr, snapshot, as_of), shards))
    shard = shards[0]
    is_whole = shards is snapshot.shards and shard.deleted is None  # rows need not be split by shard, nor cleared
    if question.is_found_at_once:
        if is_whole and not question.complemented:
            return [combine_bitmaps(question, shard)]
        found = find_tree_rows(question, shard)
    else:
        new = _find_new(expr, question, shard, may_be_late=is_whole)
        if isinstance(new, LateBitmap):
            return new
        found = evaluate_in_shard(expr, shard) if new is None else new
    return snapshot.split_rows([exclude_deleted(found, shard)])


def _find_new(expr: Expr, question: TagQuestion, shard: Shard, *, may_be_late: bool) -> LateBitmap | RowSet | None:
    """Return the rows of an expression that is asked for the first time, or None if the cache is to be used.

    With *may_be_late*, words find the rows when they are needed.
    """
    if (isinstance(expr, Threshold) and not question.is_merged) or was_asked(expr, shard, Answer.BITMAP):
        return None
    is_late = may_be_late and question.plan is not None and has_late_bitmap(question.plan.program)
    chosen = choose_words(expr, question, shard, Answer.ROW_NUMBERS if is_late else Answer.BITMAP)
    if chosen is not None:
        return LateBitmap(*chosen) if is_late else find_rows(*chosen)
    return find_tree_rows(question, shard) if choose_at_once(expr, question, shard, Answer.BITMAP) else None
