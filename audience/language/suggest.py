"""Suggest a known word for a misspelled one."""

from collections.abc import Iterable
from difflib import get_close_matches

MAX_SUGGESTIONS_SEARCHED = 10_000  # a longer search would delay the error noticeably


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return a hint with the candidate closest to *word*, or None if none is close.

    >>> did_you_mean("provnce", ["province", "version"])
    'did you mean province?'
    """
    names = list(candidates)
    if len(names) > MAX_SUGGESTIONS_SEARCHED:
        names = [name for name in names if name[:2] == word[:2]][:MAX_SUGGESTIONS_SEARCHED]
    folded = {name.casefold(): name for name in names}
    matches = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f"did you mean {folded[matches[0]]}?" if matches else None
