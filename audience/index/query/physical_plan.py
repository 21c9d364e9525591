"""Choose how a shard evaluates a junction: with roaring operations, or with packed words.

Roaring operations read only what the operands have, and end early; each result is a new bitmap. Packed words read one
bit for each row of the shard, whatever an operand has, at the speed of memory. Which is faster follows from the number
and the form of the operands' containers.
"""

from typing import TypeAlias

from audience.index.query.tag_trees import TagTree, Tree
from audience.index.query.word_expressions import write_program
from audience.index.storage import packed_words
from audience.index.storage.shard import Shard
from audience.index.storage.word_programs import WordPlan, WordProgram
from audience.language.ast import Expr

# Nanoseconds, measured. Words stay in the cache of the processor, but for the operands.
OPERAND_WORD, STEP_WORD, COUNTED_WORD, CALL = 0.2, 0.08, 0.1, 500.0
NEW_WORD, NEW_ARRAY_ROW = 0.25, 1.3  # of words that are made of a bitmap
RESULT_WORD = 1.5  # of a bitmap that is made of words
FIXED = 5_000.0  # of a program
MAX_KEPT_PROGRAMS = 4_096

Shape: TypeAlias = tuple[Tree, bool]  # of a `TagTree`, without its operands

_PROGRAMS: dict[Shape, WordProgram | None] = {}  # writing one takes as long as some of its steps


def find_kept_plan(expr: Expr, shard: Shard, *, counts: bool) -> WordPlan | None:
    """Return the plan that was chosen when the same object was evaluated before, if packed words were."""
    kept = shard.word_plans.get((id(expr), counts))
    return kept[1] if kept is not None and kept[0] is expr else None


def choose_words(expr: Expr, tags: TagTree, shard: Shard, *, counts: bool) -> WordPlan | None:
    """Return the plan of an expression with packed words, or None if roaring operations are faster.

    Args:
        expr: Expression, by whose identity the plan is kept.
        tags: The same over stored bitmaps.
        shard: Shard.
        counts: Whether live rows are counted, and no bitmap is made.
    """
    program, tag_rows = _find_program(tags), tuple([operand.tag_row for operand in tags.operands])
    if program is None or -1 in tag_rows:  # no device has a tag
        return None
    plan = WordPlan(program, tag_rows, tags.cost - estimate_words(program, shard.row_count, counts=counts))
    return shard.keep_word_plan(expr, counts, plan) if plan.gain > 0 and _are_worth_making(plan, shard) else None


def _find_program(tags: TagTree) -> WordProgram | None:
    """Return the program of *tags*, which is kept for expressions of the same shape."""
    shape = tags.tree, tags.complemented
    if shape not in _PROGRAMS:
        if len(_PROGRAMS) >= MAX_KEPT_PROGRAMS:
            _PROGRAMS.clear()
        _PROGRAMS[shape] = write_program(tags)
    return _PROGRAMS[shape]


def _are_worth_making(plan: WordPlan, shard: Shard) -> bool:
    """Return whether the words of all operands are there, pay at once, or would have been of use before."""
    cached = shard.cache.get_words(shard.name, plan.tag_rows)
    missing = [tag_row for tag_row, words in zip(plan.tag_rows, cached, strict=True) if words is None]
    if not missing:
        return True
    size = packed_words.word_count(shard.row_count)
    making = sum(size * NEW_WORD + shard.load_form(row).array_rows * NEW_ARRAY_ROW for row in missing)
    were_useful = [shard.cache.mark_seen(shard.name, tag_row) for tag_row in missing]
    return making < plan.gain or all(were_useful)


def estimate_words(program: WordProgram, row_count: int, *, counts: bool) -> float:
    """Return the estimated nanoseconds of *program*."""
    size = packed_words.word_count(row_count)
    steps, blocks = len(program.steps), -(-size // program.block_words)
    a_word = program.operand_count * OPERAND_WORD + steps * STEP_WORD + (COUNTED_WORD if counts else RESULT_WORD)
    return size * a_word + blocks * CALL * (steps + 4) + FIXED
