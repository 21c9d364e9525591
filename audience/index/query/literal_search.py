"""Find the texts that may match a pattern by its longest part without wildcards, in the bytes of all texts at once.

A regular expression takes some 20 ns to begin with each text, however rare a match is.
"""

#   pattern    *anx*         texts   guangxi   hunan                literal part   a n x
#   bytes      g u a n g x i h u n a n                 no hit      of several cases: aA nN xX

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audience.language.patterns import Pattern, Token, Wildcard, cases_of
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LITERAL_BYTES = 8  # that are compared: more exclude hardly any text
MAX_HIT_RATIO = 1 / 8  # hits for each text; if there are more, all texts are matched as fast
BLOCK_BYTES = 1 << 18  # that are compared at a time, so that they stay in the cache of the processor


def find_literal(pattern: Pattern) -> tuple[bytes, ...]:
    """Return the longest part of *pattern* without wildcards: for each of its bytes, those that it may be.

    A character that has cases of several bytes is as good as a wildcard.

    >>> from audience.language.patterns import read_pattern
    >>> find_literal(read_pattern("n?an*7", ignores_case=True))
    (b'aA', b'nN')
    """
    parts: list[list[bytes]] = [[]]
    for token in pattern.tokens:
        choices = _find_bytes(token, pattern.ignores_case)
        if choices is None:
            parts.append([])
        else:
            parts[-1] += choices
    return tuple(max(parts, key=len)[:MAX_LITERAL_BYTES])


def _find_bytes(token: Token, ignores_case: bool) -> list[bytes] | None:
    if isinstance(token, Wildcard):
        return None
    cases = "".join(sorted(cases_of(token), reverse=True)) if ignores_case else token
    if len(cases) == 1:
        return [bytes([byte]) for byte in cases.encode("utf-8", "surrogatepass")]
    return [cases.encode()] if cases.isascii() else None


def find_texts_with(
    literal: Sequence[bytes], offsets: NDArray[np.int64], data: NDArray[np.uint8]
) -> NDArray[np.int64] | None:
    """Return the positions of the texts that have *literal*, in rising order; None if it is frequent.

    Args:
        literal: For each of its bytes, those that it may be; there is at least one.
        offsets: Where each text begins in *data*, from 0 on, and where the last one ends.
        data: Bytes of the texts, one after the other.

    >>> data = np.frombuffer(b"guangxihunan" + bytes(60), dtype=np.uint8)
    >>> find_texts_with([b"aA", b"nN"], np.array([0, 7, 12, *range(13, 73)]), data).tolist()
    [0, 1]
    """
    last = len(data) - len(literal) + 1
    blocks = [
        first + _find_hits(literal, data[first : first + BLOCK_BYTES + len(literal) - 1])
        for first in range(0, last, BLOCK_BYTES)
    ]
    hits = np.concatenate(blocks) if blocks else np.empty(0, dtype=np.int64)
    if len(hits) > MAX_HIT_RATIO * (len(offsets) - 1):
        return None
    positions = np.searchsorted(offsets, hits, side="right") - 1
    return np.unique(positions[hits + len(literal) <= offsets[positions + 1]])


def _find_hits(literal: Sequence[bytes], data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return where *literal* begins in *data*."""
    size = len(data) - len(literal) + 1
    is_hit = np.ones(size, dtype=np.bool_)
    for at, (choice, *others) in enumerate(literal):
        is_equal = data[at : at + size] == choice
        for other in others:
            is_equal |= data[at : at + size] == other
        is_hit &= is_equal
    return np.flatnonzero(is_hit)
