"""Write trees over stored bitmaps as steps, one roaring operation each, which take less time to follow than a tree.

Steps are written once for all trees of one shape. Walking a tree took as long as its operations if its tags are rare:
3 µs of Python for `a AND (b OR c) AND NOT d`, where following steps takes 0.4 µs.
"""

#   (a OR b) AND NOT c      places 0, 1, 2
#     or_  0, 1 → 3
#     isub 3, 2 → 4         the rows; a count takes the difference's cardinality of 3, 2 instead

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import and_, iand, ior, isub, or_, sub
from typing import Any, NamedTuple, TypeAlias

from audience.index.query.tag_trees import IntersectionTree, ThresholdTree, Tree, UnionTree, is_flat, list_terms
from audience.index.storage.bitmaps import BitMap

MAX_KEPT_STEPS = 4_096
IN_PLACE = {and_: iand, or_: ior, sub: isub}

LastStep: TypeAlias = tuple[Callable[[BitMap, BitMap], int], int, int]  # counts; the places of its operands


class BitmapStep(NamedTuple):
    """Operation on the bitmaps in two places; the result takes the next place.

    Without *right*, a union of more bitmaps or a threshold, or a reason to end: no row is left in *left*, which is the
    last place.
    """

    operation: Callable[[BitMap, BitMap], BitMap] | None
    left: Any  # place, or a union, chain or threshold whose terms are places
    right: int | None


class Chain(NamedTuple):
    """Places whose bitmaps are united one after the other, not all at once.

    That is faster if they fill their containers before the last one: a full container reads no further operand, and to
    unite all at once does not count rows, and finds that out later. It is also faster if they are few and small: to
    unite all at once makes words of the containers that several have.
    """

    terms: tuple[int, ...]


class BitmapSteps(NamedTuple):
    """Steps of *finding* the rows of a tree, then in *found*, or of *counting* them, before the *last* step.

    `is_chained` says that they are a union of one bitmap after the other.
    """

    finding: tuple[BitmapStep, ...]
    found: int
    counting: tuple[BitmapStep, ...]
    last: LastStep
    is_chained: bool = False


_STEPS_BY_TREE: dict[tuple[Tree, int], BitmapSteps] = {}


def find_steps(tree: Tree, costs: Sequence[float]) -> BitmapSteps:
    """Return the steps of *tree*, whose operands have these *costs*: those of an AND are taken by their cost.

    >>> steps = find_steps(IntersectionTree((0, UnionTree((1, 2))), (3,)), [4.0, 1.0, 1.0, 1.0])
    >>> [(operation.__name__, left, right) for operation, left, right in steps.finding], steps.found
    ([('or_', 1, 2), ('iand', 4, 0), ('isub', 5, 3)], 6)
    >>> len(steps.counting), steps.last[0].__name__, steps.last[1:]
    (2, 'difference_cardinality', (5, 3))
    """
    key = _order(tree, costs), len(costs)
    steps = _STEPS_BY_TREE.get(key)
    if steps is None:
        if len(_STEPS_BY_TREE) >= MAX_KEPT_STEPS:
            _STEPS_BY_TREE.clear()
        steps = _STEPS_BY_TREE[key] = _write_steps(*key)
    return steps


@lru_cache(MAX_KEPT_STEPS)
def find_chain_steps(operand_count: int) -> BitmapSteps:
    """Return the steps of a union of all operands, one after the other.

    >>> find_chain_steps(3).counting[0].left
    Chain(terms=(0, 1, 2))
    """
    steps = (BitmapStep(None, Chain(tuple(range(operand_count))), None),)
    return BitmapSteps(steps, operand_count, steps, (count_alone, operand_count, operand_count), is_chained=True)


def _order(tree: Tree, costs: Sequence[float]) -> Tree:
    """Return *tree* with the plain operands of each AND by their cost, and those that are computed after them."""
    if isinstance(tree, int | ThresholdTree):
        return tree
    if isinstance(tree, UnionTree):
        return tree if is_flat(tree.terms) else UnionTree(tuple([_order(term, costs) for term in tree.terms]))
    plain = tree.plain
    if len(plain) > 1:
        plain = tuple(sorted(plain, key=lambda term: costs[term] if isinstance(term, int) else float("inf")))
    if is_flat(plain) and is_flat(tree.subtracted):
        return IntersectionTree(plain, tree.subtracted)
    return IntersectionTree(*[tuple([_order(term, costs) for term in terms]) for terms in (plain, tree.subtracted)])


def _write_steps(tree: Tree, operand_count: int) -> BitmapSteps:
    finding, counting = _Writer(operand_count), _Writer(operand_count)
    found, last = finding.write(tree, is_all=True), counting.write_count(tree)
    return BitmapSteps(tuple(finding.steps), found, tuple(counting.steps), last)


def list_subtracted(tree: IntersectionTree) -> list[Tree]:
    """Return the trees that are subtracted one by one: instead of the union of two, each of them.

    The second one is subtracted in place, and a union would be a bitmap more.

    >>> list_subtracted(IntersectionTree((0,), (1, UnionTree((2, 3)), UnionTree((4, 5, 6)))))
    [1, 2, 3, UnionTree(terms=(4, 5, 6))]
    """
    listed: list[Tree] = []
    for term in tree.subtracted:
        listed += term.terms if isinstance(term, UnionTree) and len(term.terms) == 2 else [term]
    return listed


def count_alone(rows: BitMap, _: BitMap) -> int:
    """Return the number of *rows*, as the last step of a tree that no operation counts."""
    return len(rows)


class _Writer:
    """Writer of steps. A tree that is all of an expression ends as soon as an AND has no row left."""

    def __init__(self, operand_count: int):
        self.operand_count = operand_count
        self.steps: list[BitmapStep] = []
        self._place_count = operand_count

    def write(self, tree: Tree, *, is_all: bool = False) -> int:
        """Write the steps that find the rows of *tree*, and return their place."""
        if isinstance(tree, int):
            return tree
        if isinstance(tree, IntersectionTree):
            return self._narrow(tree.plain, list_subtracted(tree), is_all=is_all)
        if isinstance(tree, UnionTree):
            return self._unite([self.write(term) for term in tree.terms])
        plain, complemented = ([*map(self.write, terms)] for terms in (tree.plain, tree.complemented))
        return self._add(None, ThresholdTree(tuple(plain), tuple(complemented), tree.needed, tree.exactly), None)

    def write_count(self, tree: Tree) -> LastStep:
        """Write the steps before the one that counts the rows of *tree*, and return that one."""
        if isinstance(tree, int | ThresholdTree) or len(list_terms(tree)) == 1:
            place = self.write(tree)
            return count_alone, place, place
        if isinstance(tree, UnionTree):
            places = [self.write(term) for term in tree.terms]
            if len(places) == 2:
                return BitMap.union_cardinality, places[0], places[1]
            place = self._unite(places)  # all at once: to count the last one apart takes longer
            return count_alone, place, place
        count = BitMap.difference_cardinality if tree.subtracted else BitMap.intersection_cardinality
        *subtracted, last_tree = list_subtracted(tree) or tree.plain
        plain = tree.plain if tree.subtracted else subtracted
        place = self._narrow(plain, subtracted if tree.subtracted else (), is_all=True)
        self._end_early(place, last_tree, is_all=True)
        return count, place, self.write(last_tree)

    def _narrow(self, plain: Sequence[Tree], subtracted: Sequence[Tree], *, is_all: bool) -> int:
        """Write the steps that find the rows of all *plain* trees and of no *subtracted* one."""
        place = self.write(plain[0])
        for operation, trees in ((and_, plain[1:]), (sub, subtracted)):
            for tree in trees:
                self._end_early(place, tree, is_all=is_all)
                place = self._combine(operation, place, self.write(tree))
        return place

    def _end_early(self, place: int, following: Tree, *, is_all: bool) -> None:
        """Write a step that ends if no row is left, unless what follows is found sooner than that."""
        if is_all and place >= self.operand_count and not isinstance(following, int):
            self.steps.append(BitmapStep(None, place, None))

    def _unite(self, places: Sequence[int]) -> int:
        if len(places) == 1:
            return places[0]
        if len(places) == 2:
            return self._combine(or_, *places)
        return self._add(None, UnionTree(tuple(places)), None)

    def _combine(self, operation: Callable[[BitMap, BitMap], BitMap], left: int, right: int) -> int:
        """Write an operation, which overwrites a bitmap that an earlier step made: that saves up to a fifth."""
        if operation is not sub and left < self.operand_count <= right:
            left, right = right, left
        return self._add(IN_PLACE[operation] if left >= self.operand_count else operation, left, right)

    def _add(self, operation: Callable[[BitMap, BitMap], BitMap] | None, left: Any, right: int | None) -> int:
        self.steps.append(BitmapStep(operation, left, right))
        self._place_count += 1
        return self._place_count - 1
