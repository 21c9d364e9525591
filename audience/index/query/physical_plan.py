"""Choose how a shard evaluates a junction: with roaring operations, or with packed words.

Roaring operations read only what the operands have, and end early; each result is a new bitmap. Packed words read one
bit for each row of the shard, whatever an operand has, at the speed of memory. Which is faster follows from the number
and the form of the operands' containers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from audience.index.query.tag_trees import Reached, Tree, is_plain_threshold
from audience.index.storage import packed_words
from audience.index.storage.evaluation_notes import WORDS, EvaluationNotes, Way
from audience.index.storage.shard import Operand, Shard
from audience.index.storage.thresholds import estimate_costs
from audience.index.storage.viewed_words import ViewedWords
from audience.index.storage.word_programs import WordPlan, WordProgram
from audience.language.ast import Expr, Threshold

if TYPE_CHECKING:  # a question has the gains that are estimated here
    from audience.index.query.tag_questions import TagQuestion

# Nanoseconds, measured. Words stay in the cache of the processor, but for the operands of large shards.
OPERAND_WORD, CACHED_OPERAND_WORD, STEP_WORD, COUNTED_WORD, CALL = 0.2, 0.02, 0.08, 0.1, 450.0
MAX_CACHED_WORDS = 1 << 14  # of an operand
NEW_OPERAND, NEW_WORD, NEW_ARRAY_ROW = 14_000.0, 0.25, 1.3  # of words that are made of a bitmap
RESULT_WORD, RESULT = 0.8, 26_000.0  # of a bitmap that is made of words
FIXED = 3_500.0  # of a program
MAX_PLANNED_EXPRS = 4_096

LoadedWords: TypeAlias = tuple[WordProgram, list[ViewedWords]]


def is_planned(expr: Expr, shard: Shard, *, counts: bool) -> bool:
    """Return whether it was chosen how to count, or to find, the rows of the same object before, without the cache."""
    planned = shard.counted_with_words if counts else shard.found_with_words
    return planned.get(id(expr)) is expr


def mark_planned(expr: Expr, shard: Shard, *, counts: bool) -> None:
    """Record that it was chosen how to count, or to find, the rows of *expr* without the cache."""
    planned = shard.counted_with_words if counts else shard.found_with_words
    if len(planned) >= MAX_PLANNED_EXPRS:
        planned.clear()
    planned[id(expr)] = expr


def choose_words(expr: Expr, question: "TagQuestion", shard: Shard, *, counts: bool) -> LoadedWords | None:
    """Return the program of an expression and the words that it reads, or None if roaring operations are faster.

    Args:
        expr: Expression, by whose identity is kept that words were chosen.
        question: The same over stored bitmaps.
        shard: Shard.
        counts: Whether live rows are counted, and no bitmap is made.
    """
    plan = question.plan
    if plan is None:
        return None
    if shard.notes is not None:
        _note_costs(shard.notes, expr, question, plan, shard, counts=counts)
    gain = question.gains[counts]
    if gain <= 0:
        return None
    words = shard.cache.find_words(plan.keys)
    if words is not None and counts and not isinstance(expr, Threshold):
        return plan.program, words  # what follows is remembered for those whose rows may be cached
    if is_planned(expr, shard, counts=counts):
        return plan.program, words or shard.load_words(plan.tag_rows)
    if words is None:
        words = _load_useful(plan.tag_rows, gain, shard)
    if words is None:
        return None
    mark_planned(expr, shard, counts=counts)
    return plan.program, words


def _note_costs(
    notes: EvaluationNotes, expr: Expr, question: "TagQuestion", plan: WordPlan, shard: Shard, *, counts: bool
) -> None:
    """Note what roaring operations and words would cost, and to make the words that are not cached."""
    missing = [tag_row for tag_row in plan.tag_rows if not shard.cache.holds(shard.name, tag_row)]
    costs = {
        "roaring": _estimate_roaring(question.tree.tree, question.operands, question.cost, shard, enough=float("inf")),
        "words": estimate_words(plan.program, shard.row_count, counts=counts),
        **({"making words": estimate_making(missing, shard)} if missing else {}),
    }
    operand_count, length = len(plan.tag_rows), plan.program.choose_length(packed_words.word_count(shard.row_count))
    notes.weigh(expr, Way(WORDS, costs, operand_count, operand_count - len(missing), 8 * length))


def estimate_gains(
    tree: Tree, operands: Sequence[Operand], costs: tuple[float, float], program: WordProgram, shard: Shard
) -> tuple[float, float]:
    """Return the estimated nanoseconds that words save if rows are found, and if they are counted.

    Args:
        tree: Tree of an expression.
        operands: Its operands.
        costs: Estimated nanoseconds of roaring operations that find the rows, and that count them; not of a threshold.
        program: Program of the same expression.
        shard: Shard.
    """
    words = [estimate_words(program, shard.row_count, counts=counts) for counts in (False, True)]
    found, counted = (_estimate_roaring(tree, operands, cost, shard, enough=max(words)) for cost in costs)
    return found - words[0], counted - words[1]


def _estimate_roaring(tree: Tree, operands: Sequence[Operand], cost: float, shard: Shard, *, enough: float) -> float:
    """Return the estimated nanoseconds of roaring operations; of a threshold, *enough* or more if they are more.

    A threshold over tags alone knows its own cost, which takes long to find.
    """
    if not isinstance(tree, Reached) or not is_plain_threshold(tree):
        return cost
    least = sum([operand.cost for operand in operands])
    if least > enough:
        return least
    forms = [shard.load_form(operands[term].tag_row) for term in tree.plain if isinstance(term, int)]
    return min(estimate_costs(forms, shard.row_count, tree.needed + tree.exactly))


def _load_useful(tag_rows: tuple[int, ...], gain: float, shard: Shard) -> list[ViewedWords] | None:
    """Return the words of all operands if they pay at once, or would have been of use before."""
    missing = [tag_row for tag_row in tag_rows if not shard.cache.holds(shard.name, tag_row)]
    were_useful = [shard.cache.mark_seen(shard.name, tag_row) for tag_row in missing]
    return shard.load_words(tag_rows) if all(were_useful) or estimate_making(missing, shard) < gain else None


def estimate_making(tag_rows: Sequence[int], shard: Shard) -> float:
    """Return the estimated nanoseconds that it takes to make the words of stored bitmaps."""
    size = packed_words.word_count(shard.row_count)
    rows = sum(shard.load_form(row).array_rows for row in tag_rows)
    return len(tag_rows) * (NEW_OPERAND + size * NEW_WORD) + rows * NEW_ARRAY_ROW


def estimate_words(program: WordProgram, row_count: int, *, counts: bool) -> float:
    """Return the estimated nanoseconds of *program*."""
    size, steps = row_count // 64 + 1, len(program.counted[0] if counts else program.steps)
    blocks = -(-size // program.block_words)
    read = OPERAND_WORD if size > MAX_CACHED_WORDS else CACHED_OPERAND_WORD
    a_word = program.operand_count * read + steps * STEP_WORD + (COUNTED_WORD if counts else RESULT_WORD)
    return size * a_word + blocks * CALL * (steps + 2) + FIXED + (0 if counts else RESULT)
