"""Choose how a shard evaluates a junction: with roaring operations, or with packed words.

Roaring operations read only what the operands have, and end early; each result is a new bitmap. Packed words read one
bit for each row of the shard, whatever an operand has, at the speed of memory. Which is faster follows from the number
and the form of the operands' containers.
"""

from collections.abc import Sequence
from typing import TypeAlias

from audience.index.query.tag_trees import Reached, TagTree, Tree, is_plain_threshold, read_tags
from audience.index.query.word_expressions import write_program
from audience.index.storage import packed_words
from audience.index.storage.croaring import Words
from audience.index.storage.evaluation_notes import WORDS, EvaluationNotes, Way
from audience.index.storage.shard import Shard
from audience.index.storage.thresholds import estimate_costs
from audience.index.storage.word_programs import WordPlan, WordProgram
from audience.language.ast import Expr

# Nanoseconds, measured. Words stay in the cache of the processor, but for the operands.
OPERAND_WORD, STEP_WORD, COUNTED_WORD, CALL = 0.2, 0.08, 0.1, 500.0
NEW_WORD, NEW_ARRAY_ROW = 0.25, 1.3  # of words that are made of a bitmap
RESULT_WORD = 1.5  # of a bitmap that is made of words
FIXED = 5_000.0  # of a program
MAX_KEPT_PROGRAMS = 4_096

LoadedWords: TypeAlias = tuple[WordProgram, list[Words]]
Shape: TypeAlias = tuple[Tree, bool]  # of a `TagTree`, without its operands

_PROGRAMS: dict[Shape, tuple[WordProgram | None]] = {}  # writing one takes as long as some of its steps


def find_kept_plan(expr: Expr, shard: Shard, *, counts: bool) -> WordPlan | None:
    """Return the plan with words that was chosen when the same object was evaluated before, if one was."""
    kept = shard.word_plans.get((id(expr), counts))
    if kept is None or kept[0] is not expr:
        return None
    if shard.notes is not None and (tags := read_tags(expr, shard)) is not None:
        _note_costs(shard.notes, expr, tags, kept[1], shard, counts=counts)
    return kept[1]


def choose_words(expr: Expr, tags: TagTree, shard: Shard, *, counts: bool) -> LoadedWords | None:
    """Return the program of an expression and the words that it reads, or None if roaring operations are faster.

    Args:
        expr: Expression, by whose identity the plan is kept.
        tags: The same over stored bitmaps.
        shard: Shard.
        counts: Whether live rows are counted, and no bitmap is made.
    """
    program, tag_rows = _find_program(tags), tuple([operand.tag_row for operand in tags.operands])
    if program is None or -1 in tag_rows:  # no device has a tag
        return None
    if shard.notes is not None:
        _note_costs(shard.notes, expr, tags, WordPlan(program, tag_rows), shard, counts=counts)
    gain = _estimate_roaring(tags, shard) - estimate_words(program, shard.row_count, counts=counts)
    words = _load_useful(tag_rows, gain, shard) if gain > 0 else None
    if words is None:
        return None
    shard.keep_word_plan(expr, counts, WordPlan(program, tag_rows))
    return program, words


def _note_costs(
    notes: EvaluationNotes, expr: Expr, tags: TagTree, plan: WordPlan, shard: Shard, *, counts: bool
) -> None:
    """Note what roaring operations and words would cost, and to make the words that are not cached."""
    missing = [tag_row for tag_row in plan.tag_rows if not shard.cache.holds(shard.name, tag_row)]
    costs = {
        "roaring": _estimate_roaring(tags, shard),
        "words": estimate_words(plan.program, shard.row_count, counts=counts),
        **({"making words": estimate_making(missing, shard)} if missing else {}),
    }
    operand_count, length = len(plan.tag_rows), plan.program.choose_length(packed_words.word_count(shard.row_count))
    notes.weigh(expr, Way(WORDS, costs, operand_count, operand_count - len(missing), 8 * length))


def _estimate_roaring(tags: TagTree, shard: Shard) -> float:
    """Return the estimated nanoseconds of roaring operations; a threshold over tags alone knows its own."""
    tree = tags.tree
    if not isinstance(tree, Reached) or not is_plain_threshold(tree):
        return tags.cost
    forms = [shard.load_form(tags.operands[term].tag_row) for term in tree.plain if isinstance(term, int)]
    return min(estimate_costs(forms, shard.row_count, tree.needed + tree.exactly))


def _find_program(tags: TagTree) -> WordProgram | None:
    """Return the program of *tags*, which is kept for expressions of the same shape."""
    shape = tags.tree, tags.complemented
    kept = _PROGRAMS.get(shape)
    if kept is None:
        if len(_PROGRAMS) >= MAX_KEPT_PROGRAMS:
            _PROGRAMS.clear()
        kept = _PROGRAMS[shape] = (write_program(tags),)
    return kept[0]


def _load_useful(tag_rows: tuple[int, ...], gain: float, shard: Shard) -> list[Words] | None:
    """Return the words of all operands if they are there, pay at once, or would have been of use before."""
    words = shard.cache.get_words(shard.name, tag_rows)
    missing = [tag_row for tag_row, each in zip(tag_rows, words, strict=True) if each is None]
    if not missing:
        return words  # type: ignore[return-value]  # none of them is missing
    making = estimate_making(missing, shard)
    were_useful = [shard.cache.mark_seen(shard.name, tag_row) for tag_row in missing]
    return shard.load_words(tag_rows) if making < gain or all(were_useful) else None


def estimate_making(tag_rows: Sequence[int], shard: Shard) -> float:
    """Return the estimated nanoseconds that it takes to make the words of stored bitmaps."""
    size = packed_words.word_count(shard.row_count)
    return sum(size * NEW_WORD + shard.load_form(row).array_rows * NEW_ARRAY_ROW for row in tag_rows)


def estimate_words(program: WordProgram, row_count: int, *, counts: bool) -> float:
    """Return the estimated nanoseconds of *program*."""
    size = packed_words.word_count(row_count)
    steps, blocks = len(program.steps), -(-size // program.block_words)
    a_word = program.operand_count * OPERAND_WORD + steps * STEP_WORD + (COUNTED_WORD if counts else RESULT_WORD)
    return size * a_word + blocks * CALL * (steps + 4) + FIXED
