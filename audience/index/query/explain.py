"""Why a count is what it is: the tree with a count at every node, like a funnel."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

from audience.index.query.evaluate import EMPTY_BITMAP, count_live, evaluate_in_shard
from audience.index.query.validate import validate_and_expand
from audience.index.storage.bitmaps import RowSet, intersect, union
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import And, Expr, Not, Or, Split, children
from audience.language.describe import node_label
from audience.language.printer import quote_name

ALL_ROWS = RowSet(EMPTY_BITMAP, complemented=True)


@dataclass(frozen=True, slots=True)
class ExplainLine:
    """One node: how deep it stands, its text, its devices, and what is left of an AND once it has been applied."""

    depth: int
    text: str
    device_count: int
    remaining: int | None = None

    def __add__(self, other: "ExplainLine") -> "ExplainLine":
        left = None if self.remaining is None else self.remaining + (other.remaining or 0)
        return replace(self, device_count=self.device_count + other.device_count, remaining=left)


def explain_expr(expr: Expr, snapshot: Snapshot) -> list[ExplainLine]:
    """The lines of *expr*, each node before those below it."""
    whole = validate_and_expand(expr, snapshot)
    shards = [_explain_node(whole, shard, 0)[0] for shard in snapshot.shards]
    return [reduce(ExplainLine.__add__, lines) for lines in zip(*shards, strict=True)]


def _explain_node(
    expr: Expr, shard: Shard, depth: int, remaining: RowSet | None = None
) -> tuple[list[ExplainLine], RowSet]:
    """The lines of *expr*, and what it means; every node is evaluated once.

    *before* is what the AND above it has left before it is applied.
    """
    if isinstance(expr, And):
        return _explain_and(expr, shard, depth)
    if not children(expr) or (isinstance(expr, Not) and not children(expr.term)):
        found = evaluate_in_shard(expr, shard)
        lines = [_build_line(depth, node_label(expr), found, shard)]
        return [*lines, *_explain_variants(expr, shard, depth + 1, remaining)], _mark_shared(found)
    below = [_explain_node(term, shard, depth + 1) for term in children(expr)]
    parts = [bits for _, bits in below]
    found = _mark_shared(union(parts) if isinstance(expr, Or) else ~parts[0])
    return [_build_line(depth, node_label(expr), found, shard), *(line for lines, _ in below for line in lines)], found


def _explain_and(expr: And, shard: Shard, depth: int) -> tuple[list[ExplainLine], RowSet]:
    """The lines of *expr*, with what each of its terms leaves of those before it."""
    left, below = ALL_ROWS, list[ExplainLine]()
    for term in expr.terms:
        lines, found = _explain_node(term, shard, depth + 1, left)
        left = _mark_shared(intersect([left, found]))
        below += [replace(lines[0], remaining=count_live(left, shard)), *lines[1:]]
    return [_build_line(depth, node_label(expr), left, shard), *below], left


def _explain_variants(expr: Expr, shard: Shard, depth: int, remaining: RowSet | None) -> list[ExplainLine]:
    """A line for each side of a split, and for what is held out; none where one side is asked for."""
    if not isinstance(expr, Split) or expr.variant is not None:
        return []
    held = 100 - sum(Fraction(part) for _, part in expr.variants)
    parts = [
        (f"{quote_name(side)}:{part}%", evaluate_in_shard(replace(expr, variant=side), shard))
        for side, part in expr.variants
    ]
    if held:
        parts.append((f"held out, {float(held):.9g}%", ~evaluate_in_shard(expr, shard)))
    return [_build_line(depth, text, found, shard, remaining) for text, found in parts]


def _build_line(depth: int, text: str, row_set: RowSet, shard: Shard, remaining: RowSet | None = None) -> ExplainLine:
    left = None if remaining is None else count_live(intersect([remaining, _mark_shared(row_set)]), shard)
    return ExplainLine(depth, text, count_live(row_set, shard), left)


def _mark_shared(row_set: RowSet) -> RowSet:
    """*found* as it is when more than one line counts it."""
    return row_set._replace(owned=False)
