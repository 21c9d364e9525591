"""Find the stored bitmaps of an expression over tags in a shard, and plan how to combine them.

Rare tags, and all tags of a small table, are combined within a few microseconds, which is less time than it takes to
choose how. What was found for an expression object is kept for as long as the same object is asked.
"""

from collections.abc import Sequence
from math import log2, prod
from operator import attrgetter
from typing import NamedTuple

from audience.index.query.bitmap_steps import BitmapSteps, find_chain_steps, find_steps
from audience.index.query.physical_plan import WordGains, estimate_gains
from audience.index.query.tag_costs import MIN_MISSING_RATIO, estimate_costs, estimate_share, find_bound
from audience.index.query.tag_trees import (
    TagTree,
    ThresholdTree,
    Tree,
    find_tree,
    is_flat_union,
    is_plain_threshold,
)
from audience.index.query.word_expressions import find_program
from audience.index.storage.bitmaps import BitMap
from audience.index.storage.shard import Operand, Shard
from audience.index.storage.thresholds import are_merged_at_once
from audience.index.storage.word_programs import WordPlan
from audience.language.ast import Expr

# Nanoseconds, measured.
MAX_RECOUNTED_NS = 60_000.0  # of operations that are counted again rather than cached in parts
MAX_REPEATED_NS = 8_000.0  # of those that find the rows again
MADE_BITMAP_FACTOR = 2  # of what words take, if a bitmap is made of them
NO_GAINS = WordGains(0.0, 0.0, 0.0)
MIN_CHAINED_OPERANDS, MAX_SMALL_OPERANDS = 3, 16  # of a union of one after the other; of one of small operands
SMALL_CONTAINER_NS = 160.0  # what a container of a small operand costs, on average
MAX_UNCHECKED_OPERANDS = 8  # a union of so few is not expected to leave no row out


class TagQuestion(NamedTuple):
    """Expression over tags of a shard: its tree, the bitmaps in it, and the estimated time to count its rows.

    `steps` combine the bitmaps straight away. `plan` is how words would be combined; None if that cannot be of use, or
    has no steps; `gains` are the nanoseconds that they save. `share` is the part of all rows that is expected to match.
    `is_found_at_once` and `is_counted_at_once` say that words cannot save more than they take; or that they save
    nothing, and that operations take little longer than to look for cached parts. `is_merged` says that the bitmaps of
    a threshold are so small that they are merged, whatever else could be done.
    """

    is_counted_at_once: bool  # what rare tags need comes first: it is in one line of the processor's cache
    steps: BitmapSteps
    bitmaps: list[BitMap]
    complemented: bool
    is_found_at_once: bool
    gains: WordGains
    share: float
    plan: WordPlan | None
    tree: TagTree
    operands: list[Operand]
    cost: float
    is_merged: bool


def read_tags(expr: Expr, shard: Shard) -> TagQuestion | None:
    """Return *expr* over stored bitmaps; None if one was not located before, or if there are other atoms than tags."""
    kept: tuple[Expr, TagQuestion] | None = shard.tag_questions.get(id(expr))
    if kept is not None and kept[0] is expr:
        return kept[1]
    tree = find_tree(expr, shard.group)
    operands = None if tree is None else _find_operands(tree, shard)
    if tree is None or operands is None:
        return None
    question = _make_question(tree, operands, shard)
    shard.keep_tag_question(expr, question)
    return question


def find_question(expr: Expr, shards: Sequence[Shard]) -> TagQuestion | None:
    """Return what was found for the same object if it is all that a question in the zone of the index asks; else None.

    An expression that is kept here was validated, has only tags, and means the same whenever it is asked. To look it up
    first saves 2 µs, as much as rare tags take in one shard. Of several shards, threads may have a part.
    """
    if len(shards) != 1:
        return None
    kept: tuple[Expr, TagQuestion] | None = shards[0].tag_questions.get(id(expr))
    return kept[1] if kept is not None and kept[0] is expr else None


def _make_question(tree: TagTree, operands: list[Operand], shard: Shard) -> TagQuestion:
    costs = [operand.cost for operand in operands]
    chain = _order_chain(tree.tree, operands, shard)
    found_cost, cost = estimated = estimate_costs(tree, operands, chain, shard)
    bound = find_bound(len(operands), shard)
    is_found_at_once, is_counted_at_once = found_cost < MADE_BITMAP_FACTOR * bound, cost < bound
    plan, share, gains = None, 0.0, NO_GAINS
    if not (is_found_at_once and is_counted_at_once) and (plan := _plan_words(tree, operands, shard)) is not None:
        share = estimate_share(tree.tree, operands, shard)
        gains = estimate_gains(tree.tree, operands, estimated, plan.program, share, shard)
    may_repeat = not isinstance(tree.tree, ThresholdTree)
    is_recounted = may_repeat and gains.counted <= 0 and cost < MAX_RECOUNTED_NS
    is_repeated = may_repeat and max(gains.bitmap, gains.row_numbers) <= 0 and found_cost < MAX_REPEATED_NS
    return TagQuestion(
        is_counted_at_once=is_counted_at_once or is_recounted,
        steps=find_chain_steps(len(chain)) if chain else find_steps(tree.tree, costs),
        bitmaps=[operand.rows.bitmap for operand in chain or operands],
        complemented=tree.complemented,
        is_found_at_once=is_found_at_once or is_repeated,
        gains=gains,
        share=share,
        plan=plan,
        tree=tree,
        operands=operands,
        cost=cost,
        is_merged=is_plain_threshold(tree.tree) and are_merged_at_once([operand.rows for operand in operands]),
    )


def _plan_words(tree: TagTree, operands: Sequence[Operand], shard: Shard) -> WordPlan | None:
    program, tag_rows = find_program(tree), tuple([operand.tag_row for operand in operands])
    if program is None or -1 in tag_rows:  # no device has the tag
        return None
    return WordPlan(program, tag_rows, tuple([(shard.name, tag_row) for tag_row in tag_rows]))


def _find_operands(tree: TagTree, shard: Shard) -> list[Operand] | None:
    operands = list(map(shard.operands.get, tree.tags))
    if None in operands:
        operands = list(map(shard.find_operand, tree.tags))
    return None if None in operands else operands  # type: ignore[return-value]  # none of them is


def _order_chain(tree: Tree, operands: Sequence[Operand], shard: Shard) -> list[Operand]:
    """Return the *operands* of a union in the order in which one is united after the other; none otherwise.

    If no row is left out, those come first that fill containers for least: CRoaring reads no more of a container than
    that. Unions begin with the same few operands then, whatever is asked, and the cache of the processor keeps these.
    """
    if not is_flat_union(tree) or len(operands) < MIN_CHAINED_OPERANDS:
        return []
    if len(operands) > MAX_UNCHECKED_OPERANDS:
        missing = prod([1 - operand.cardinality / max(shard.row_count, 1) for operand in operands])
        if missing < MIN_MISSING_RATIO:
            return sorted(operands, key=_rank_filling)
    return sorted(operands, key=attrgetter("cost")) if _are_small(operands, shard) else []


def _are_small(operands: Sequence[Operand], shard: Shard) -> bool:
    """Return whether *operands* are few, and a container has at most 150 rows or 15 runs on average."""
    if len(operands) > MAX_SMALL_OPERANDS:
        return False
    containers = sum([shard.load_form(operand.tag_row).container_count for operand in operands if operand.tag_row >= 0])
    return sum([operand.cost for operand in operands]) < SMALL_CONTAINER_NS * containers


def _rank_filling(operand: Operand) -> tuple[int, int]:
    """Return what *operand* costs by row, in steps of a fifth, then how dense it is.

    Tags that order the rows cost a little less than others of the same density, and fill containers later: together,
    they leave whole containers out.
    """
    rows = max(operand.cardinality, 1)
    return round(4 * log2(max(operand.cost, 1.0) / rows)), -rows
