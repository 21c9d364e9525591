"""Show how an expression is evaluated: the way that each node takes in each shard, and the threads that are used.

The evaluator itself is asked, on a detached copy of the snapshot whose shards take notes. What is shown is therefore
what it does, and the snapshot stays as it was.
"""

#   count ──▶ counting.count_in_shard ──▶ choices of `tag_trees`, `physical_plan` and `thresholds`
#                                           │ if the shard takes notes
#                                           ▼
#   explain_physical                      EvaluationNotes, one for each shard; those that are alike become one

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import get_ident
from time import perf_counter

from audience.index.query.counting import count_expanded, count_in_shard
from audience.index.query.physical_text import format_physical
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmap_forms import BitmapForm
from audience.index.storage.detached import detach_snapshot, take_notes
from audience.index.storage.evaluation_notes import ROARING, EvaluationNotes, Way
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Everyone, Expr, Nobody, Not, Tag, operands
from audience.language.describe import node_label

MAX_ASKED = 100


@dataclass(frozen=True, slots=True)
class TakenWay:
    """Way that a node takes in several shards, whose numbers begin with 1.

    `name` is "at once", "roaring", "words", "merge", "sorted runs", "counters", "sliced words", "cached", "union",
    "computed", or "skipped" if no device was left before the node. `costs` are the estimated nanoseconds of ways in all
    these shards together. Of stored bitmaps that are combined in each of them, `operand_count` is the number, and
    `cached_count` that of those whose words were cached; their words are read in blocks of `block_bytes`. `is_kept`
    says that the operands of an AND were remembered from the last time.
    """

    name: str
    shards: tuple[int, ...]
    costs: dict[str, float]
    operand_count: int = 0
    cached_count: int = 0
    block_bytes: int = 0
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class StoredForm:
    """Form of the stored bitmaps of a tag: rows, and containers of each kind, in all shards together.

    `cached_words` is in how many shards its packed words are cached.
    """

    rows: int
    array_containers: int
    bitset_containers: int
    run_containers: int
    nbytes: int
    cached_words: int


@dataclass(frozen=True, slots=True)
class PhysicalLine:
    """Line of an explanation: a node of the expression as it is evaluated, with its level and its place in the tree.

    `ways` is empty for a node that is a step of the way of a node above it. `form` is that of a tag whose bitmap is
    stored and was located.
    """

    depth: int
    path: tuple[int, ...]
    text: str
    ways: tuple[TakenWay, ...]
    form: StoredForm | None


@dataclass(frozen=True, slots=True)
class PhysicalExplanation:
    """Ways in which an expression was counted, the last of the times that it was *asked*.

    `microseconds` were measured, the taking of notes among them. Lines are nodes, parents before children.
    """

    device_count: int
    microseconds: float
    asked: int
    shard_count: int
    thread_count: int
    lines: tuple[PhysicalLine, ...]

    def __str__(self) -> str:
        return format_physical(self)

    def ways(self) -> list[list[tuple[str, tuple[int, ...], int]]]:
        """Return the ways of all lines, without costs: equal if the evaluator chose alike."""
        return [[(way.name, way.shards, way.cached_count) for way in line.ways] for line in self.lines]


def explain_physical(
    expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None, *, asked: int = 1
) -> PhysicalExplanation:
    """Count *expr* as often as it is *asked*, on a copy of *snapshot*, and return how it was counted the last time.

    Raises:
        ExpressionError: *expr* refers to something that the index does not have.
        ValueError: *asked* is not from 1 to 100.
    """
    if not 1 <= asked <= MAX_ASKED:
        raise ValueError(f"asked: expected 1 to {MAX_ASKED}, got {asked}")
    copied = detach_snapshot(snapshot)
    expanded = validate_and_expand(expr, copied, as_of)
    for _ in range(asked - 1):
        count_expanded(expanded, copied, count_in_shard)
    notes, threads = take_notes(copied), set[int]()

    def count(counted: Expr, shard: Shard) -> int:
        threads.add(get_ident())
        return count_in_shard(counted, shard)

    start = perf_counter()
    device_count = count_expanded(expanded, copied, count)
    microseconds = 1e6 * (perf_counter() - start)
    seen = list(zip(copied.evaluated_shards, notes, strict=True))
    lines = tuple(_explain_node(expanded, seen, (), may_be_skipped=()))
    return PhysicalExplanation(device_count, microseconds, asked, len(seen), len(threads), lines)


def _explain_node(
    expr: Expr, seen: Sequence[tuple[Shard, EvaluationNotes]], path: tuple[int, ...], *, may_be_skipped: Sequence[int]
) -> Iterator[PhysicalLine]:
    """Yield the line of *expr* and those of its operands.

    Args:
        expr: Node that was evaluated.
        seen: Shards, with what they noted.
        path: Position of the node.
        may_be_skipped: Numbers of the shards that evaluate operands of the node above it one after another.
    """
    if isinstance(expr, Not) and operands(expr.term):
        yield PhysicalLine(len(path), path, node_label(expr), (), None)
        yield from _explain_node(expr.term, seen, (*path, 0), may_be_skipped=may_be_skipped)
        return
    term = expr.term if isinstance(expr, Not) else expr
    found = [notes.find(term) for _, notes in seen]
    is_noted = not isinstance(term, Tag | Everyone | Nobody)  # these take no time, wherever they are
    skipped = [number for number in may_be_skipped if is_noted and found[number - 1] is None]
    ways = _group_ways([(number, way) for number, way in enumerate(found, 1) if way is not None])
    if skipped:
        ways.append(TakenWay("skipped", tuple(skipped), {}))
    form = _sum_forms(term, [shard for shard, _ in seen]) if isinstance(term, Tag) else None
    yield PhysicalLine(len(path), path, node_label(expr), tuple(ways), form)
    one_by_one = [
        number for number, way in enumerate(found, 1) if way is not None and way.name == ROARING and not way.is_kept
    ]
    for position, operand in enumerate(operands(term)):
        yield from _explain_node(operand, seen, (*path, position), may_be_skipped=one_by_one)


def _group_ways(ways: Iterable[tuple[int, Way]]) -> list[TakenWay]:
    """Return ways that are alike in all but their costs as one, with the numbers of their shards."""
    groups: dict[tuple[str, int, int, int, bool, tuple[str, ...]], list[tuple[int, Way]]] = {}
    for number, way in ways:
        alike = way.name, way.operand_count, way.cached_count, way.block_bytes, way.is_kept, tuple(way.costs)
        groups.setdefault(alike, []).append((number, way))
    return [
        TakenWay(
            name,
            tuple(number for number, _ in group),
            {cost: sum(way.costs[cost] for _, way in group) for cost in costs},
            operand_count,
            cached_count,
            block_bytes,
            is_kept,
        )
        for (name, operand_count, cached_count, block_bytes, is_kept, costs), group in groups.items()
    ]


def _sum_forms(tag: Tag, shards: Sequence[Shard]) -> StoredForm | None:
    """Return the form of the bitmaps of *tag* that were located; None if there is none."""
    located = [(shard, row) for shard in shards if (row := shard.find_tag_row((tag.type, tag.value))) is not None]
    if not located:
        return None
    forms: list[BitmapForm] = [shard.load_form(row) for shard, row in located]
    return StoredForm(
        sum(form.rows for form in forms),
        sum(form.array_containers for form in forms),
        sum(form.bitset_containers for form in forms),
        sum(form.run_containers for form in forms),
        sum(form.nbytes for form in forms),
        sum(shard.cache.holds(shard.name, row) for shard, row in located),
    )
