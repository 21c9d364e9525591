"""Why a count is what it is: the tree with a count at every node, like a funnel."""

from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate, repeat

from audience.index.bits import Bits, meet, unite
from audience.index.check import check
from audience.index.evaluate import evaluate, size
from audience.index.shard import Shard
from audience.index.snapshot import Snapshot
from audience.language.expr import And, Expr, Not, Or, children
from audience.language.outline import title


@dataclass(frozen=True, slots=True)
class Line:
    """One node: how deep it stands, its text, its devices, and what is left of an AND once it has been applied."""

    depth: int
    text: str
    devices: int
    left: int | None = None

    def __add__(self, other: "Line") -> "Line":
        left = None if self.left is None else self.left + (other.left or 0)
        return replace(self, devices=self.devices + other.devices, left=left)


def funnel(expr: Expr, snapshot: Snapshot) -> list[Line]:
    """The lines of *expr*, each node before those below it."""
    whole = check(expr, snapshot)
    shards = [_lines(whole, shard, 0)[0] for shard in snapshot.shards]
    return [reduce(Line.__add__, lines) for lines in zip(*shards, strict=True)]


def _lines(expr: Expr, shard: Shard, depth: int) -> tuple[list[Line], Bits]:
    """The lines of *expr*, and what it means; every node is evaluated once."""
    if not children(expr) or (isinstance(expr, Not) and not children(expr.term)):
        found = evaluate(expr, shard)
        return [Line(depth, title(expr), size(found, shard))], found
    below = [_lines(term, shard, depth + 1) for term in children(expr)]
    parts = [bits._replace(own=False) for _, bits in below]  # each is used twice
    found = meet(parts) if isinstance(expr, And) else unite(parts) if isinstance(expr, Or) else ~parts[0]
    first = Line(depth, title(expr), size(found, shard))
    lefts = (
        accumulate(parts, lambda one, other: meet([one, other])._replace(own=False))
        if isinstance(expr, And)
        else repeat(None)
    )
    return [
        first,
        *(line for (lines, _), left in zip(below, lefts, strict=False) for line in _with_left(lines, left, shard)),
    ], found


def _with_left(lines: list[Line], left: Bits | None, shard: Shard) -> list[Line]:
    """*lines* with what the AND above them has left in the first."""
    return lines if left is None else [replace(lines[0], left=size(left, shard)), *lines[1:]]
