"""Notes of how the nodes of an expression are evaluated in a shard, which are taken only when they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from audience.language.ast import Expr

AT_ONCE: Final = "at once"  # the ways of a node; those of a threshold's algorithms are in `thresholds`
ROARING: Final = "roaring"
WORDS: Final = "words"
CACHED: Final = "cached"
UNION: Final = "union"
COMPUTED: Final = "computed"


@dataclass(frozen=True, slots=True)
class Way:
    """Way in which the rows of a node are found.

    `costs` are the nanoseconds that were estimated for this way and for those that were not taken. Of stored bitmaps
    that are combined, `operand_count` is the number, and `cached_count` that of those whose words were cached before;
    their words are read in blocks of `block_bytes`. `is_kept` says that the operands of an AND were remembered.
    """

    name: str
    costs: Mapping[str, float] = field(default_factory=dict)
    operand_count: int = 0
    cached_count: int = 0
    block_bytes: int = 0
    is_kept: bool = False


class EvaluationNotes:
    """Ways that the nodes of one expression take in a shard, by the identity of the node.

    Of an object at several places, the way is that of its first evaluation.

    >>> from audience.language.ast import And, bare
    >>> notes, expr = EvaluationNotes(), And((bare("a"), bare("b")))
    >>> notes.weigh(expr, Way(WORDS, {"roaring": 9_000.0, "words": 6_000.0}, operand_count=2))
    >>> notes.take(expr, WORDS)
    >>> notes.find(expr).costs["words"], notes.find(bare("a"))
    (6000.0, None)
    """

    def __init__(self) -> None:
        self._weighed: dict[int, Way] = {}
        self._taken: dict[int, Way] = {}

    def weigh(self, expr: Expr, way: Way) -> None:
        """Note what a way of *expr* would cost, and its alternatives, before one is taken."""
        self._weighed[id(expr)] = way

    def take(
        self,
        expr: Expr,
        name: str,
        costs: Mapping[str, float] | None = None,
        *,
        operand_count: int | None = None,
        is_kept: bool = False,
    ) -> None:
        """Note which way *expr* takes, with *costs* beside those that were weighed before."""
        if id(expr) in self._taken:
            return
        weighed = None if name == CACHED else self._weighed.get(id(expr))
        way = weighed or Way(name)
        self._taken[id(expr)] = replace(
            way,
            name=name,
            costs={**way.costs, **(costs or {})},
            operand_count=way.operand_count if operand_count is None else operand_count,
            is_kept=is_kept,
        )

    def find(self, expr: Expr) -> Way | None:
        """Return the way that *expr* has taken; None if it was not evaluated, or within a node above it."""
        return self._taken.get(id(expr))
