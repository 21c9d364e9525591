"""Why a count is what it is: the tree with a count at every node, like a funnel."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

from audience.index.query.evaluate import EMPTY, evaluate, size
from audience.index.query.validate import check
from audience.index.storage.bitmaps import Bits, meet, unite
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import And, Expr, Not, Or, Split, children
from audience.language.describe import title
from audience.language.printer import name

EVERYONE = Bits(EMPTY, outside=True)


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


def _lines(expr: Expr, shard: Shard, depth: int, before: Bits | None = None) -> tuple[list[Line], Bits]:
    """The lines of *expr*, and what it means; every node is evaluated once.

    *before* is what the AND above it has left before it is applied.
    """
    if isinstance(expr, And):
        return _funnelled(expr, shard, depth)
    if not children(expr) or (isinstance(expr, Not) and not children(expr.term)):
        found = evaluate(expr, shard)
        lines = [_line(depth, title(expr), found, shard)]
        return [*lines, *_sides(expr, shard, depth + 1, before)], _shared(found)
    below = [_lines(term, shard, depth + 1) for term in children(expr)]
    parts = [bits for _, bits in below]
    found = _shared(unite(parts) if isinstance(expr, Or) else ~parts[0])
    return [_line(depth, title(expr), found, shard), *(line for lines, _ in below for line in lines)], found


def _funnelled(expr: And, shard: Shard, depth: int) -> tuple[list[Line], Bits]:
    """The lines of *expr*, with what each of its terms leaves of those before it."""
    left, below = EVERYONE, list[Line]()
    for term in expr.terms:
        lines, found = _lines(term, shard, depth + 1, left)
        left = _shared(meet([left, found]))
        below += [replace(lines[0], left=size(left, shard)), *lines[1:]]
    return [_line(depth, title(expr), left, shard), *below], left


def _sides(expr: Expr, shard: Shard, depth: int, before: Bits | None) -> list[Line]:
    """A line for each side of a split, and for what is held out; none where one side is asked for."""
    if not isinstance(expr, Split) or expr.side is not None:
        return []
    held = 100 - sum(Fraction(part) for _, part in expr.sides)
    parts = [(f"{name(side)}:{part}%", evaluate(replace(expr, side=side), shard)) for side, part in expr.sides]
    if held:
        parts.append((f"held out, {float(held):.9g}%", ~evaluate(expr, shard)))
    return [_line(depth, text, found, shard, before) for text, found in parts]


def _line(depth: int, text: str, found: Bits, shard: Shard, before: Bits | None = None) -> Line:
    left = None if before is None else size(meet([before, _shared(found)]), shard)
    return Line(depth, text, size(found, shard), left)


def _shared(found: Bits) -> Bits:
    """*found* as it is when more than one line counts it."""
    return found._replace(own=False)
