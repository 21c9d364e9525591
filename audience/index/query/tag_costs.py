"""Estimate what it takes to combine the stored bitmaps of an expression over tags."""

from collections.abc import Sequence
from math import prod

from audience.index.query.tag_trees import (
    MERGED,
    IntersectionTree,
    TagTree,
    ThresholdTree,
    Tree,
    UnionTree,
    count_factor,
    list_terms,
)
from audience.index.storage.bitmap_forms import BitmapForm
from audience.index.storage.bitmaps import CONTAINER_ROWS, MAX_ARRAY_CARDINALITY
from audience.index.storage.shard import Operand, Shard

# Nanoseconds, measured.
MIN_COST_NS = 2_000.0  # of all operations; with less, there is nothing to gain
WORD_CALL_RATIO, WORD_ROW_RATIO = 0.15, 2.2e-6  # of it, that packed words take for an operand, and for each row of one
EXTRACTED_ROW_NS = 4.0  # of an array that is made of words
SPARSE_FACTOR = 6  # a sparse operand is looked up in a dense one, of which so many times its size is read at most
MIN_MISSING_RATIO = 2**-16  # of the rows: with fewer missing, containers are full
FILLED_COST_RATIO = 0.8  # of what operands cost that fill all containers: they are in the cache of the processor
CHAINED_ROW_NS = 1.0  # of the rows in arrays, or runs, of a union to which the next small operand is added
UNITED_CONTAINER_NS, UNITED_ROW_NS = 600.0, 0.5  # of containers, and of rows of arrays, united with others at once
MAX_MERGED_ROWS, MERGED_ROW_NS = 1_024, 6.0  # of arrays in a container; CRoaring sets bits of words for more
SHRUNK_CONTAINER_NS = 1_600.0  # to make an array of such words again


def find_bound(operand_count: int, shard: Shard) -> float:
    """Return the nanoseconds that packed words take at least, with so many operands."""
    return MIN_COST_NS * (1 + operand_count * (WORD_CALL_RATIO + WORD_ROW_RATIO * shard.row_count))


def estimate_costs(
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
    if not isinstance(tree, IntersectionTree) or any(operand.tag_row < 0 for operand in operands):
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
    if isinstance(tree, UnionTree) and len(terms) > 2:
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


def _estimate_chain(operands: Sequence[Operand], shard: Shard) -> float:
    """Return what a union of independent *operands* costs until its containers are full: the others are not read.

    Of small ones, the arrays and runs that are united so far are read again with each operand.
    """
    missing, cost, united, reread = 1.0, 0.0, 0, 0
    for operand in operands:
        missing *= 1 - operand.cardinality / max(shard.row_count, 1)
        cost += operand.cost
        if missing < MIN_MISSING_RATIO:
            return cost * FILLED_COST_RATIO
        reread += united
        if operand.tag_row >= 0:
            form = shard.load_form(operand.tag_row)
            united += form.array_rows + form.run_count
    return cost + reread * CHAINED_ROW_NS


def _estimate_part(tree: Tree, costs: Sequence[float], factor: float = 1.0) -> tuple[float, float]:
    """Return the time of an operation with the rows of *tree*, and the one to find them, the last step *factor* times.

    A sparse operand is looked up in a dense one.
    """
    if isinstance(tree, int):
        return costs[tree], 0.0
    parts = [_estimate_part(term, costs) for term in list_terms(tree)]
    cost = sum([part[1] for part in parts])
    if isinstance(tree, IntersectionTree):
        size = min([part[0] for part in parts[: len(tree.plain)]])
        return size, cost + factor * sum([min(part[0], SPARSE_FACTOR * size) for part in parts])
    size = sum([part[0] for part in parts])
    return size, cost + size * (MERGED if isinstance(tree, ThresholdTree) else factor)


def estimate_share(tree: Tree, operands: Sequence[Operand], shard: Shard) -> float:
    """Return the part of all rows that matches *tree* if operands are independent; at most, with a threshold."""

    def estimate(terms: Sequence[Tree]) -> list[float]:
        return [estimate_share(term, operands, shard) for term in terms]

    def estimate_others(terms: Sequence[Tree]) -> list[float]:
        return [1 - share for share in estimate(terms)]

    match tree:
        case int():
            return operands[tree].cardinality / max(shard.row_count, 1)
        case IntersectionTree(plain, subtracted):
            return prod(estimate(plain)) * prod(estimate_others(subtracted))
        case ThresholdTree(plain, complemented, needed, _):
            return min(1.0, (sum(estimate(plain)) + sum(estimate_others(complemented))) / needed)
        case UnionTree(terms):
            return 1 - prod(estimate_others(terms))
