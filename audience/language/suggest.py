"""The known word that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

MAX_SUGGESTIONS_SEARCHED = 10_000  # beyond this many words a search takes longer than a reader waits


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """A hint that names the known word closest to *word*, or None.

    >>> did_you_mean("provnce", ["province", "version"])
    'did you mean province?'
    """
    names = list(candidates)
    if len(names) > MAX_SUGGESTIONS_SEARCHED:
        names = [name for name in names if name[:2] == word[:2]][:MAX_SUGGESTIONS_SEARCHED]
    folded = {name.casefold(): name for name in names}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f"did you mean {folded[close[0]]}?" if close else None
