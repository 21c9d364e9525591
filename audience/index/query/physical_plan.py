"""Choose how a shard evaluates a junction: with roaring operations, or with packed words.

Roaring operations read only what the operands have, and end early; each result is a new bitmap. Packed words read one
bit for each row of the shard, whatever an operand has, at the speed of memory. Which is faster follows from the number
and the form of the operands' containers.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from audience.index.query.tag_trees import ThresholdTree, Tree, is_flat_union, is_plain_threshold
from audience.index.storage import packed_words
from audience.index.storage.bitmaps import CONTAINER_ROWS, MAX_ARRAY_CARDINALITY
from audience.index.storage.croaring import is_question_shared
from audience.index.storage.evaluation_notes import WORDS, EvaluationNotes, Way
from audience.index.storage.shard import Operand, Shard
from audience.index.storage.thresholds import estimate_costs, sum_forms
from audience.index.storage.viewed_words import ViewedWords
from audience.index.storage.word_programs import WordPlan, WordProgram
from audience.language.ast import Expr, Threshold

if TYPE_CHECKING:  # a question has the gains that are estimated here
    from audience.index.query.tag_questions import TagQuestion

# Measured. The words of operands come from memory, those of results stay in the cache of the processor.
OPERAND_NS, OPERAND_WORD_NS, STEP_WORD_NS, COUNTED_WORD_NS, CALL_NS = 1_000.0, 0.22, 0.08, 0.1, 450.0
SCANNED_WORD_NS, SCANNED_NS = 1.5, 7_000.0  # of words that are listed; many rows take as long to list from a bitmap
NEW_OPERAND_NS, NEW_WORD_NS, NEW_ARRAY_ROW_NS = 14_000.0, 0.25, 1.3  # of words that are made of a bitmap
RESULT_WORD_NS, RESULT_NS = 0.8, 26_000.0  # of a bitmap that is made of words
PROGRAM_NS = 6_500.0  # to start a program, whose code is seldom in the cache of the processor
CHOICE_NS = 20_000.0  # to choose an algorithm for a threshold, and to cache its rows
MAX_AT_ONCE_NS = 400_000.0  # of operations on stored bitmaps; to look for cached parts first takes up to as long
MAX_ASKED_EXPRS = 4_096

LoadedWords: TypeAlias = tuple[WordProgram, list[ViewedWords]]


class Answer(IntEnum):
    """Answer that is asked of an expression: the bitmap of its rows, their numbers, or how many live ones there are."""

    BITMAP = 0
    ROW_NUMBERS = 1
    COUNT = 2


class WordGains(NamedTuple):
    """Nanoseconds that words save if they give each answer, by its number."""

    bitmap: float
    row_numbers: float
    counted: float


def was_asked(expr: Expr, shard: Shard, answer: Answer) -> bool:
    """Return whether the same expression object was asked for its count, or for its rows, before."""
    return _asked_exprs(shard, answer).get(id(expr)) is expr


def _asked_exprs(shard: Shard, answer: Answer) -> dict[int, Expr]:
    return shard.counted_exprs if answer is Answer.COUNT else shard.found_exprs


def _mark_asked(expr: Expr, shard: Shard, answer: Answer) -> None:
    asked = _asked_exprs(shard, answer)
    if len(asked) >= MAX_ASKED_EXPRS:
        asked.clear()
    asked[id(expr)] = expr


def choose_at_once(expr: Expr, question: "TagQuestion", shard: Shard, answer: Answer) -> bool:
    """Return whether to combine the stored bitmaps of *expr* straight away, whatever is cached of its parts.

    That is for an object which is asked for the first time; when it is asked again, it is cached, and so are its parts.
    Thresholds are cached at once, unless their bitmaps are small. Counts of unions are never cached. Operations hold
    the lock, which threads that share a question need.
    """
    if is_question_shared():
        return False
    if answer is Answer.COUNT and is_flat_union(question.tree.tree):
        return True
    if isinstance(expr, Threshold):
        may_combine = question.is_merged
    else:
        may_combine = question.steps.is_chained or question.cost <= MAX_AT_ONCE_NS
    if not may_combine or was_asked(expr, shard, answer):
        return False
    _mark_asked(expr, shard, answer)
    return True


def choose_words(expr: Expr, question: "TagQuestion", shard: Shard, answer: Answer) -> LoadedWords | None:
    """Return the program of an expression and the words that it reads, or None if roaring operations are faster.

    Args:
        expr: Expression, by whose identity is kept that words were chosen.
        question: The same over stored bitmaps.
        shard: Shard.
        answer: What is asked of the expression.
    """
    plan = question.plan
    if plan is None:
        return None
    if shard.notes is not None:
        _note_costs(shard.notes, expr, question, plan, shard, answer)
    gain = question.gains[answer]
    if gain <= 0:
        return None
    words = shard.cache.find_words(plan.keys)
    if words is not None and answer is Answer.COUNT and not isinstance(expr, Threshold):
        return plan.program, words  # what follows is remembered for those whose rows may be cached
    if words is None:  # or no more: others took their room
        words = _load_useful(plan.tag_rows, gain, shard)
    if words is None:
        return None
    _mark_asked(expr, shard, answer)
    return plan.program, words


def _note_costs(
    notes: EvaluationNotes, expr: Expr, question: "TagQuestion", plan: WordPlan, shard: Shard, answer: Answer
) -> None:
    """Note what roaring operations and words would cost, and to make the words that are not cached."""
    missing = [tag_row for tag_row in plan.tag_rows if not shard.cache.holds(shard.name, tag_row)]
    costs = {
        "roaring": _estimate_roaring(question.tree.tree, question.operands, question.cost, shard, enough=float("inf")),
        "words": estimate_words(plan.program, shard.row_count, answer, question.share),
        **({"making words": estimate_making(missing, shard)} if missing else {}),
    }
    operand_count, length = len(plan.tag_rows), plan.program.choose_length(packed_words.word_count(shard.row_count))
    notes.weigh(expr, Way(WORDS, costs, operand_count, operand_count - len(missing), 8 * length))


def estimate_gains(
    tree: Tree,
    operands: Sequence[Operand],
    costs: tuple[float, float],
    program: WordProgram,
    share: float,
    shard: Shard,
) -> WordGains:
    """Return the estimated nanoseconds that words save, by answer.

    Args:
        tree: Tree of an expression.
        operands: Its operands.
        costs: Estimated nanoseconds of roaring operations that find the rows, and that count them; not of a threshold.
        program: Program of the same expression.
        share: The part of all rows that is expected to match.
        shard: Shard.
    """
    words = [estimate_words(program, shard.row_count, answer, share) for answer in Answer]
    found, counted = (_estimate_roaring(tree, operands, cost, shard, enough=max(words)) for cost in costs)
    return WordGains(*[roaring - cost for roaring, cost in zip((found, found, counted), words, strict=True)])


def _estimate_roaring(tree: Tree, operands: Sequence[Operand], cost: float, shard: Shard, *, enough: float) -> float:
    """Return the estimated nanoseconds of roaring operations; of a threshold, *enough* or more if they are more.

    A threshold over tags alone knows its own cost, which takes long to find.
    """
    if not isinstance(tree, ThresholdTree) or not is_plain_threshold(tree):
        return cost
    least = sum([operand.cost for operand in operands])
    if least > enough:
        return least
    forms = [shard.load_form(operands[term].tag_row) for term in tree.plain if isinstance(term, int)]
    return CHOICE_NS + min(estimate_costs(sum_forms(forms), len(forms), shard.row_count, tree.needed + tree.exactly))


def _load_useful(tag_rows: tuple[int, ...], gain: float, shard: Shard) -> list[ViewedWords] | None:
    """Return the words of all operands if those that are missing would have saved, by now, the time to make them.

    However often they are asked for, a question takes at most twice as long as if that had been known. Words that
    cannot be kept are not made.
    """
    missing = [tag_row for tag_row in tag_rows if not shard.cache.holds(shard.name, tag_row)]
    if not shard.cache.has_room(len(missing) * 8 * packed_words.word_count(shard.row_count)):
        return None
    missed = sum([shard.cache.add_missed(shard.name, tag_row, gain / len(missing)) for tag_row in missing])
    return shard.load_words(tag_rows) if estimate_making(missing, shard) <= missed else None


def estimate_making(tag_rows: Sequence[int], shard: Shard) -> float:
    """Return the estimated nanoseconds that it takes to make the words of stored bitmaps."""
    size = packed_words.word_count(shard.row_count)
    rows = sum(shard.load_form(row).array_rows for row in tag_rows)
    return len(tag_rows) * (NEW_OPERAND_NS + size * NEW_WORD_NS) + rows * NEW_ARRAY_ROW_NS


def estimate_words(program: WordProgram, row_count: int, answer: Answer, share: float) -> float:
    """Return the estimated nanoseconds of *program*, whose result has the part *share* of all rows."""
    size = row_count // 64 + 1
    steps = len(program.counted[0] if answer is Answer.COUNT else program.steps)
    blocks = -(-size // program.block_words)
    word, fixed = _estimate_answer(answer, share)
    word += program.operand_count * OPERAND_WORD_NS + steps * STEP_WORD_NS
    return size * word + program.operand_count * OPERAND_NS + blocks * CALL_NS * (steps + 2) + PROGRAM_NS + fixed


def _estimate_answer(answer: Answer, share: float) -> tuple[float, float]:
    """Return the nanoseconds that it takes to give *answer*: for each word of the result, and once.

    To list many rows takes as long from words as from the bitmap that roaring operations make, and is no difference.
    """
    match answer:
        case Answer.COUNT:
            return COUNTED_WORD_NS, 0.0
        case Answer.BITMAP:
            return RESULT_WORD_NS, RESULT_NS
        case Answer.ROW_NUMBERS:
            return SCANNED_WORD_NS if share * CONTAINER_ROWS <= MAX_ARRAY_CARDINALITY else 0.0, SCANNED_NS
