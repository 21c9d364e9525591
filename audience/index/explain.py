"""Why a count is what it is: the tree with a count at every node, like a funnel."""

from dataclasses import dataclass, replace
from itertools import accumulate, repeat

from audience.index.bits import Bits, meet, unite
from audience.index.evaluate import evaluate
from audience.index.store import Store
from audience.language.expr import And, Expr, Not, Or, children
from audience.language.outline import title


@dataclass(frozen=True, slots=True)
class Line:
    """One node: how deep it stands, its text, its devices, and what is left of an AND once it has been applied."""

    depth: int
    text: str
    devices: int
    left: int | None = None


def funnel(expr: Expr, store: Store) -> list[Line]:
    """The lines of *expr*, each node before those below it."""
    return _lines(expr, store, 0)[0]


def _lines(expr: Expr, store: Store, depth: int) -> tuple[list[Line], Bits]:
    """The lines of *expr*, and what it means; every node is evaluated once."""
    if not children(expr) or (isinstance(expr, Not) and not children(expr.term)):
        found = evaluate(expr, store)
        return [Line(depth, title(expr), found.size(store.devices))], found
    below = [_lines(term, store, depth + 1) for term in children(expr)]
    parts = [bits._replace(own=False) for _, bits in below]  # each is used twice
    found = meet(parts) if isinstance(expr, And) else unite(parts) if isinstance(expr, Or) else ~parts[0]
    first = Line(depth, title(expr), found.size(store.devices))
    lefts = (
        accumulate(parts, lambda one, other: meet([one, other])._replace(own=False))
        if isinstance(expr, And)
        else repeat(None)
    )
    return [
        first,
        *(line for (lines, _), left in zip(below, lefts, strict=False) for line in _with_left(lines, left, store)),
    ], found


def _with_left(lines: list[Line], left: Bits | None, store: Store) -> list[Line]:
    """*lines* with what the AND above them has left in the first."""
    return lines if left is None else [replace(lines[0], left=left.size(store.devices)), *lines[1:]]
