"""Why a count is what it is: the tree with a count at every node, like a funnel."""

from dataclasses import dataclass

from audience.index.bits import Bits, meet
from audience.index.evaluate import evaluate
from audience.index.store import Store
from audience.language.expr import And, Expr, Not, children
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
    return list(_lines(expr, store, 0, None))


def _lines(expr: Expr, store: Store, depth: int, left: int | None) -> list[Line]:
    found = evaluate(expr, store)
    lines = [Line(depth, title(expr), found.size(store.devices), left)]
    if isinstance(expr, Not) and not children(expr.term):
        return lines
    so_far: Bits | None = None
    for term in children(expr):
        if isinstance(expr, And):
            one = evaluate(term, store)
            so_far = one if so_far is None else meet([so_far, one])
            lines += _lines(term, store, depth + 1, so_far.size(store.devices))
        else:
            lines += _lines(term, store, depth + 1, None)
    return lines
