"""Combine the stored bitmaps of an expression over tags straight away, without cache and without estimates.

The last operation of a count only counts.
"""

from collections.abc import Sequence

from audience.index.query.bitmap_steps import BitmapStep, Chain
from audience.index.query.tag_questions import TagQuestion
from audience.index.query.tag_trees import ThresholdTree, UnionTree
from audience.index.storage import thresholds
from audience.index.storage.bitmaps import BitMap, RowSet, remove_rows
from audience.index.storage.shard import Shard


def find_tree_rows(question: TagQuestion, shard: Shard, note: thresholds.Note | None = None) -> RowSet:
    """Return the rows of *question*; deleted rows may be among them if they are in the bitmaps of *shard*.

    *note* is for a threshold over tags, as in `thresholds.rows_at_least`.
    """
    rows = combine_bitmaps(question, shard, note)
    return RowSet(rows, question.complemented, 2 * len(rows))


def combine_bitmaps(question: TagQuestion, shard: Shard, note: thresholds.Note | None = None) -> BitMap:
    """Return the rows in the tree of *question*, as `find_tree_rows`; if it is complemented, they do not match."""
    steps = question.steps.finding
    if len(steps) == 1 and (operation := steps[0].operation) is not None:  # most often: two tags
        _, left, right = steps[0]
        return operation(question.bitmaps[left], question.bitmaps[right])  # type: ignore[index]  # it has two operands
    places = question.bitmaps.copy()
    is_left = _take_steps(steps, places, question, shard, note)
    return places[question.steps.found if is_left else -1]


def count_tree_rows(question: TagQuestion, shard: Shard) -> int:
    """Return the number of the devices of *shard*, whose bitmaps have no deleted rows, that *question* has."""
    steps, places = question.steps, question.bitmaps
    count, left, right = steps.last
    if not steps.counting:
        counted = count(places[left], places[right])
    else:
        places = places.copy()
        counted = count(places[left], places[right]) if _take_steps(steps.counting, places, question, shard) else 0
    return shard.device_count - counted if question.complemented else counted


def _take_steps(
    steps: Sequence[BitmapStep],
    places: list[BitMap],
    question: TagQuestion,
    shard: Shard,
    note: thresholds.Note | None = None,
) -> bool:
    """Append the results of *steps* to *places*. Return False if the last one is empty, and so are all rows."""
    for operation, left, right in steps:
        if operation is not None:
            places.append(operation(places[left], places[right]))  # type: ignore[index]  # it has two operands
        elif isinstance(left, UnionTree):
            places.append(BitMap.union(*[places[place] for place in left.terms]))  # type: ignore[index]
        elif isinstance(left, Chain):
            places.append(_unite_chain([places[place] for place in left.terms]))
        elif isinstance(left, ThresholdTree):
            places.append(_find_reached(left, places, question, shard, note))
        elif not places[left]:
            return False
    return True


def _unite_chain(bitmaps: Sequence[BitMap]) -> BitMap:
    first, second, *others = bitmaps
    rows = first | second
    for other in others:
        rows |= other
    return rows


def _find_reached(
    tree: ThresholdTree, places: Sequence[BitMap], question: TagQuestion, shard: Shard, note: thresholds.Note | None
) -> BitMap:
    """Return the rows of a threshold whose terms are in *places*."""
    if question.is_merged or (question.is_counted_at_once and not tree.complemented):
        if note is not None:
            note(thresholds.MERGE, {})
        terms = [places[place] for place in tree.plain]  # type: ignore[index]
        return thresholds.merge_bitmaps(terms, tree.needed, exactly=tree.exactly)
    stored = [operand.rows for operand in question.operands]
    row_sets = stored + [RowSet(rows, nbytes=2 * len(rows)) for rows in places[len(stored) :]]
    operands = [row_sets[place] for place in tree.plain] + [~row_sets[place] for place in tree.complemented]  # type: ignore[index]
    find_reached = thresholds.rows_exactly if tree.exactly else thresholds.rows_at_least
    reached = find_reached(operands, tree.needed, shard.row_count, note, shard.kept_forms).bitmap
    return remove_rows(reached, shard.deleted) if tree.complemented else reached  # complements have them
