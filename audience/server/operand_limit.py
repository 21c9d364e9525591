"""Limit on the operands of a call, so that no call keeps a thread for much longer than its time limit.

The weights come from indexes of a million and of ten million devices. 10,000 operands take a plan for all vendors about
20 seconds on one core, and 25 sums of events as long in an index of ten million devices.
"""

from collections.abc import Iterable, Mapping

from audience.errors import Problem
from audience.language.ast import (
    Aggregate,
    Did,
    EventMoment,
    Expr,
    Limit,
    Matches,
    Sample,
    Segment,
    Top,
    operands,
    walk_operands,
)
from audience.server.problems import HttpError

MAX_OPERANDS = 10_000  # of all expressions of a call
MAX_KEPT_COUNTS = 4_096
MAX_KEPT_OPERANDS = 1_000  # of an expression whose count is kept, and the expression with it
WEIGHTS: Mapping[type, int] = {
    Aggregate: 400,
    **dict.fromkeys((Did, EventMoment, Matches, Sample, Limit, Top), 100),
}


def count_operands(expr: Expr, segments: Mapping[str, Expr], limit: int = MAX_OPERANDS) -> int:
    """Return the operands of *expr* and of the segments in it, weighted by the time that they take.

    Counting ends at *limit* + 1.

    >>> from audience.language.parser import parse
    >>> count_operands(parse("@men AND did(purchase)"), {"men": parse("male OR age < 30")})
    102
    """
    found, pending = 0, [expr]
    while pending and found <= limit:
        node = pending.pop()
        if isinstance(node, Segment):
            pending += filter(None, [segments.get(node.name)])
        else:
            below = operands(node)
            found += WEIGHTS.get(type(node), 0 if below else 1)
            pending += below
    return min(found, limit + 1)


class OperandCounts:
    """Counts of expressions that are asked again and again, each counted once: the trees of recent texts are kept.

    Those with segments are counted whenever they are asked, because a segment may become another expression.

    >>> from audience.language.parser import parse
    >>> counts, expr = OperandCounts(), parse("male AND @old")
    >>> counts.count(expr, {}), counts.count(expr, {"old": parse("age > 80 OR age < 9")})
    (1, 3)
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Expr, int]] = {}

    def count(self, expr: Expr, segments: Mapping[str, Expr], limit: int = MAX_OPERANDS) -> int:
        """Return the operands of *expr* as `count_operands` does."""
        kept = self._kept.get(id(expr))
        if kept is not None and kept[0] is expr:
            return min(kept[1], limit + 1)
        count = count_operands(expr, segments, limit)
        if count <= min(limit, MAX_KEPT_OPERANDS) and not any(
            isinstance(node, Segment) for node in walk_operands(expr)
        ):
            if len(self._kept) >= MAX_KEPT_COUNTS:
                self._kept.clear()
            self._kept[id(expr)] = expr, count
        return count


_COUNTS = OperandCounts()


def limit_operands(exprs: Iterable[Expr], segments: Mapping[str, Expr], place: str = "body.expr") -> None:
    """Refuse expressions that have too many operands together.

    Args:
        exprs: Expressions of a call.
        segments: Saved expressions by name.
        place: Place of the expressions in the call.

    Raises:
        HttpError: There are too many.
    """
    remaining = MAX_OPERANDS
    for expr in exprs:
        remaining -= _COUNTS.count(expr, segments, remaining)
        if remaining < 0:
            message = (
                f"the expressions of a call have at most {MAX_OPERANDS:,} operands; conditions about events, patterns, "
                "samples and limits count as 100 each, and sums and averages of events as 400"
            )
            hint = "ask for less at once, or use the command line, which has no such limit"
            raise HttpError(400, Problem("too-many-operands", message, path=place, hint=hint))
