"""Find the stored bitmaps of an expression over tags in a shard, and what it costs to combine them.

Rare tags, and all tags of a small table, are combined within a few microseconds, which is less time than it takes to
choose how. What was found for an expression object is kept for as long as the same object is asked.
"""

from collections.abc import Sequence
from math import log2, prod
from operator import attrgetter
from typing import NamedTuple

from audience.index.query.bitmap_steps import BitmapSteps, find_chain_steps, find_steps
from audience.index.query.physical_plan import WordGains, estimate_gains
from audience.index.query.tag_trees import (
    MERGED,
    Intersection,
    Reached,
    TagTree,
    Tree,
    Union,
    count_factor,
    find_tree,
    is_flat_union,
    is_plain_threshold,
    list_terms,
)
from audience.index.query.word_expressions import find_program
from audience.index.storage.bitmap_forms import BitmapForm
from audience.index.storage.bitmaps import CONTAINER_ROWS, MAX_ARRAY_CARDINALITY, BitMap
from audience.index.storage.shard import Operand, Shard
from audience.index.storage.thresholds import are_merged_at_once
from audience.index.storage.word_programs import WordPlan
from audience.language.ast import Expr

# Nanoseconds, measured.
MIN_COST_NS = 2_000.0  # of all operations; with less, there is nothing to gain
MAX_RECOUNTED_NS = 60_000.0  # of operations that are counted again rather than cached in parts
MAX_REPEATED_NS = 8_000.0  # of those that find the rows again
WORD_CALL, WORD_ROW = 0.15, 2.2e-6  # parts of it that packed words take for an operand, and for each row of it
MADE_BITMAP = 2  # times as much, if a bitmap is made of words
EXTRACTED_ROW_NS = 4.0  # of an array that is made of words
SPARSE_FACTOR = 6  # a sparse operand is looked up in a dense one, of which so many times its size is read at most
NO_GAINS = WordGains(0.0, 0.0, 0.0)
MIN_CHAINED, MAX_SMALL, SMALL_CONTAINER_NS = 3, 16, 160.0  # operands, and what a container of small ones costs
MAX_UNFILLED, FULL = 8, 2**-16  # operands whose union is not looked at so; the part of a container that a row is
FILLED = 0.8  # of what dense operands cost that fill all containers: they are in the cache of the processor
CHAINED_ROW_NS = 1.0  # of the rows in arrays, or runs, of a union to which the next small operand is added
UNITED_CONTAINER_NS, UNITED_ROW_NS = 600.0, 0.5  # of containers, and of rows of arrays, united with others at once
MAX_MERGED_ROWS, MERGED_ROW_NS = 1_024, 6.0  # of arrays in a container; CRoaring sets bits of words for more
SHRUNK_CONTAINER_NS = 1_600.0  # to make an array of such words again


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
    found_cost, cost = estimated = _estimate_costs(tree, operands, chain, shard)
    bound = _find_bound(len(operands), shard)
    is_found_at_once, is_counted_at_once = found_cost < MADE_BITMAP * bound, cost < bound
    plan, share, gains = None, 0.0, NO_GAINS
    if not (is_found_at_once and is_counted_at_once) and (plan := _plan_words(tree, operands, shard)) is not None:
        share = _estimate_share(tree.tree, operands, shard)
        gains = estimate_gains(tree.tree, operands, estimated, plan.program, share, shard)
    may_repeat = not isinstance(tree.tree, Reached)
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


def _find_bound(operand_count: int, shard: Shard) -> float:
    return MIN_COST_NS * (1 + operand_count * (WORD_CALL + WORD_ROW * shard.row_count))


def _estimate_costs(
    tree: TagTree, operands: Sequence[Operand], chain: Sequence[Operand], shard: Shard
) -> tuple[float, float]:
    """Return the estimated time to find the rows of *tree*, and to count them.

    The operands in *chain* are all that it unites, one after the other.
    """
    if chain:
        cost = _estimate_chain(chain, shard)
        return cost, cost
    costs = [operand.cost for operand in operands]
    united = _estimate_unions(tree.tree, operands, shard)
    found = _estimate_cost(tree, operands, costs, 1.0) + _estimate_arrays(tree.tree, operands, shard)
    return found + united, _estimate_cost(tree, operands, costs, count_factor(tree.tree)) + united


def _estimate_cost(tree: TagTree, operands: Sequence[Operand], costs: Sequence[float], factor: float) -> float:
    """Return the estimated time that it takes to find the rows of *tree*, the last step *factor* times.

    If no operand is far smaller than others, each is read by every operation on its way to the top.
    """
    root = tree.tree
    if max(costs) <= SPARSE_FACTOR * min(costs):
        counted = sum([cost * weight for cost, weight in zip(costs, tree.weights, strict=True)])
        return counted + (factor - count_factor(root)) * sum(costs)
    return _estimate_part(root, costs, factor)[1]


def _estimate_arrays(tree: Tree, operands: Sequence[Operand], shard: Shard) -> float:
    """Return the estimated time that it takes to make arrays of the intersection of dense, independent operands.

    CRoaring writes the rows of two containers of words one by one, if few are in both.
    """
    if not isinstance(tree, Intersection) or any(operand.tag_row < 0 for operand in operands):
        return 0.0
    dense = min([shard.load_form(operand.tag_row).bitset_containers for operand in operands])
    rows = float(dense * CONTAINER_ROWS)
    for term in list_terms(tree):
        if not isinstance(term, int):
            return 0.0
        share = operands[term].cardinality / max(shard.row_count, 1)
        rows *= 1 - share if term in tree.subtracted else share
    return rows * EXTRACTED_ROW_NS if rows <= dense * MAX_ARRAY_CARDINALITY else 0.0


def _estimate_unions(tree: Tree, operands: Sequence[Operand], shard: Shard) -> float:
    """Return the estimated time that unions of three or more stored bitmaps take beside reading them."""
    if isinstance(tree, int):
        return 0.0
    terms = list_terms(tree)
    cost = sum([_estimate_unions(term, operands, shard) for term in terms])
    if isinstance(tree, Union) and len(terms) > 2:
        stored = [operands[term] for term in terms if isinstance(term, int)]
        forms = [shard.load_form(operand.tag_row) for operand in stored if operand.tag_row >= 0]
        cost += _estimate_union(forms, -(-shard.row_count // CONTAINER_ROWS))
    return cost


def _estimate_union(forms: Sequence[BitmapForm], container_count: int) -> float:
    """Return the estimated time of a union of bitmaps at once, beside reading them.

    CRoaring merges arrays of few rows row by row. For more rows it sets bits of words, which become an array again
    if they are not too many. Neither is done where an operand has words or runs. Containers that one operand alone
    has are copied.
    """
    rows, containers = sum([form.array_rows for form in forms]), sum([form.container_count for form in forms])
    united = min(containers, container_count)
    if not united:
        return 0.0
    shared = min(containers / united - 1, 1.0)
    array_share = 1 - min(max([form.container_count - form.array_containers for form in forms]) / united, 1.0)
    cost = united * UNITED_CONTAINER_NS + rows * UNITED_ROW_NS
    if rows <= united * MAX_MERGED_ROWS:
        cost += array_share * rows * MERGED_ROW_NS
    elif rows <= united * MAX_ARRAY_CARDINALITY:
        cost += array_share * united * SHRUNK_CONTAINER_NS
    return shared * cost


def _estimate_share(tree: Tree, operands: Sequence[Operand], shard: Shard) -> float:
    """Return the part of all rows that matches *tree* if operands are independent; at most, with a threshold."""

    def estimate(terms: Sequence[Tree]) -> list[float]:
        return [_estimate_share(term, operands, shard) for term in terms]

    def estimate_others(terms: Sequence[Tree]) -> list[float]:
        return [1 - share for share in estimate(terms)]

    match tree:
        case int():
            return operands[tree].cardinality / max(shard.row_count, 1)
        case Intersection(plain, subtracted):
            return prod(estimate(plain)) * prod(estimate_others(subtracted))
        case Reached(plain, complemented, needed, _):
            return min(1.0, (sum(estimate(plain)) + sum(estimate_others(complemented))) / needed)
        case Union(terms):
            return 1 - prod(estimate_others(terms))


def _estimate_part(tree: Tree, costs: Sequence[float], factor: float = 1.0) -> tuple[float, float]:
    """Return the time of an operation with the rows of *tree*, and the one to find them, the last step *factor* times.

    A sparse operand is looked up in a dense one.
    """
    if isinstance(tree, int):
        return costs[tree], 0.0
    parts = [_estimate_part(term, costs) for term in list_terms(tree)]
    cost = sum([part[1] for part in parts])
    if isinstance(tree, Intersection):
        size = min([part[0] for part in parts[: len(tree.plain)]])
        return size, cost + factor * sum([min(part[0], SPARSE_FACTOR * size) for part in parts])
    size = sum([part[0] for part in parts])
    return size, cost + size * (MERGED if isinstance(tree, Reached) else factor)


def _order_chain(tree: Tree, operands: Sequence[Operand], shard: Shard) -> list[Operand]:
    """Return the *operands* of a union in the order in which one is united after the other; none otherwise.

    If no row is left out, those come first that fill containers for least: CRoaring reads no more of a container than
    that. Unions begin with the same few operands then, whatever is asked, and the cache of the processor keeps these.
    """
    if not is_flat_union(tree) or len(operands) < MIN_CHAINED:
        return []
    if len(operands) > MAX_UNFILLED:
        missing = prod([1 - operand.cardinality / max(shard.row_count, 1) for operand in operands])
        if missing < FULL:
            return sorted(operands, key=_rank_filling)
    return sorted(operands, key=attrgetter("cost")) if _are_small(operands, shard) else []


def _are_small(operands: Sequence[Operand], shard: Shard) -> bool:
    """Return whether *operands* are few, and a container has at most 150 rows or 15 runs on average."""
    if len(operands) > MAX_SMALL:
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


def _estimate_chain(operands: Sequence[Operand], shard: Shard) -> float:
    """Return what a union of independent *operands* costs until its containers are full: the others are not read.

    Of small ones, the arrays and runs that are united so far are read again with each operand.
    """
    missing, cost, united, reread = 1.0, 0.0, 0, 0
    for operand in operands:
        missing *= 1 - operand.cardinality / max(shard.row_count, 1)
        cost += operand.cost
        if missing < FULL:
            return cost * FILLED
        reread += united
        if operand.tag_row >= 0:
            form = shard.load_form(operand.tag_row)
            united += form.array_rows + form.run_count
    return cost + reread * CHAINED_ROW_NS
