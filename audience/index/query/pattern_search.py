"""Find the values of an attribute that match a pattern.

Texts are sorted by code points, so that those with a prefix are one range, found by binary search. Any other pattern
is searched for among the values that begin with its characters before the first wildcard, and among those of them that
have its longest part without wildcards if these are few.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audience.index.query.literal_search import find_literal, find_texts_with
from audience.index.query.shard_threads import share_calls
from audience.index.schema.rank_ranges import group_into_ranges
from audience.index.schema.value_types import RankRange, StringSequence, value_type_of
from audience.index.storage import arrow_file
from audience.index.storage.layout import StoredAttribute
from audience.index.storage.shard import Shard
from audience.language.patterns import Pattern, Token, Wildcard, cases_of
from audience.lazy_imports import np

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

MAX_MATCHED_ONE_BY_ONE = 256  # values, for which Polars, which loads slowly, is not needed
MAX_REGEX_TOKENS = 1_000  # a regular expression of many `?` needs much memory


def find_matching_ranges(pattern: Pattern, attribute: StoredAttribute, shard: Shard) -> Sequence[RankRange]:
    """Return the ranks of the values of *attribute* that match *pattern*, as ranges in rising order."""
    texts = shard.attribute_values(attribute)
    start, stop = 0, len(texts)
    if not value_type_of(attribute.role).is_ordered and not pattern.ignores_case:
        start, stop = find_prefix_ranks(pattern.prefix, texts)
        if pattern.is_prefix:
            return [(start, stop)] if start < stop else []
    if stop - start <= MAX_MATCHED_ONE_BY_ONE:
        return group_into_ranges(np.array([rank for rank in range(start, stop) if pattern.matches(texts[rank])], int))
    if not shard.group.has_several_shards:
        return _search_ranges(pattern, attribute, shard, (start, stop))
    searched = pattern, shard.hash_values(attribute)  # of large shards, all have the same values as a rule
    known = shard.group.matching_ranges.get(searched)
    if known is not None:
        return known
    return shard.group.keep_ranges(searched, _search_ranges(pattern, attribute, shard, (start, stop)))


def _search_ranges(
    pattern: Pattern, attribute: StoredAttribute, shard: Shard, candidates: RankRange
) -> Sequence[RankRange]:
    """Return the ranks of the values that match *pattern*, all of them *candidates*, as ranges in rising order."""
    found = _find_with_literal(pattern, attribute, shard, candidates)
    if found is not None:
        return group_into_ranges(found)
    from audience.index.storage.polars_bridge import read_attribute_values  # Polars loads slowly

    start, stop = candidates
    texts = read_attribute_values(shard, attribute).slice(start, stop - start)
    middle = len(texts) // 2
    halves = texts.slice(0, middle), texts.slice(middle)
    first, second = share_calls(find_matches, [(pattern, half) for half in halves], shard)
    return group_into_ranges(np.concatenate([first, second + middle]) + start)


def _find_with_literal(
    pattern: Pattern, attribute: StoredAttribute, shard: Shard, candidates: RankRange
) -> NDArray[np.int64] | None:
    """Return the ranks of the values that match *pattern*, all of them *candidates*; None if it has no rare part."""
    literal, column, first = find_literal(pattern), shard.value_column("value"), attribute.start
    all_offsets, data = arrow_file.view_string_buffers(column)
    if not literal or all_offsets is None:
        return None
    offsets = all_offsets[first + candidates[0] : first + candidates[1] + 1]
    positions = find_texts_with(literal, offsets - offsets[0], data[offsets[0] : offsets[-1]])
    if positions is None:
        return None
    ranks = positions + candidates[0]
    if len(ranks) <= MAX_MATCHED_ONE_BY_ONE:
        texts = shard.attribute_values(attribute)
        return np.array([rank for rank in ranks.tolist() if pattern.matches(texts[rank])], dtype=np.int64)
    from audience.index.storage.polars_bridge import arrow_to_series  # Polars loads slowly

    texts_with = arrow_to_series(arrow_file.take_rows(column, (first + ranks).astype(np.uint32)))
    return ranks[find_matches(pattern, texts_with)]


def find_matching_positions(pattern: Pattern, texts: StringSequence) -> NDArray[np.int64]:
    """Return the positions of *texts*, in any order, that match *pattern*.

    >>> from audience.language.patterns import read_pattern
    >>> find_matching_positions(read_pattern("*angxi"), ["guangdong", "guangxi"]).tolist()
    [1]
    """
    if len(texts) <= MAX_MATCHED_ONE_BY_ONE:
        return np.array([at for at in range(len(texts)) if pattern.matches(texts[at])], dtype=np.int64)
    import polars as pl  # loads slowly

    return find_matches(pattern, pl.Series([texts[at] for at in range(len(texts))], dtype=pl.String))


def find_prefix_ranks(prefix: str, texts: StringSequence) -> RankRange:
    """Return the range of ranks of the sorted *texts* that begin with *prefix*.

    >>> find_prefix_ranks("gua", ["fujian", "guangdong", "guangxi", "guizhou"])
    (1, 3)
    """
    start = bisect_left(texts, prefix)
    return start, bisect_right(texts, prefix, lo=start, key=lambda text: text[: len(prefix)])


def find_matches(pattern: Pattern, texts: pl.Series) -> NDArray[np.int64]:
    """Return the positions of the *texts* that match *pattern*.

    >>> import polars as pl
    >>> from audience.language.patterns import read_pattern
    >>> find_matches(read_pattern("gua*g"), pl.Series(["guangxi", "guangdong"])).tolist()
    [1]
    """
    if len(pattern.tokens) > MAX_REGEX_TOKENS:
        return np.flatnonzero([pattern.matches(text) for text in texts.to_list()])
    return texts.str.contains(to_regex(pattern)).arg_true().to_numpy().astype(np.int64)


def to_regex(pattern: Pattern) -> str:
    r"""Return *pattern* as a regular expression of Rust, to be searched for; a `*` at either end is left out.

    >>> from audience.language.patterns import read_pattern
    >>> to_regex(read_pattern("a?\\?*c")), to_regex(read_pattern("*k*", ignores_case=True))
    ('(?s)\\Aa.\\x{3F}.*c\\z', '(?s)[kK\\x{212A}]')
    """
    tokens = pattern.tokens
    starts_anywhere, ends_anywhere = (token is Wildcard.ANY_TEXT for token in (tokens[0], tokens[-1]))
    middle = tokens[starts_anywhere : len(tokens) - ends_anywhere]
    body = "".join(_to_regex_token(token, pattern.ignores_case) for token in middle)
    return f"(?s){'' if starts_anywhere else chr(92) + 'A'}{body}{'' if ends_anywhere else chr(92) + 'z'}"


def _to_regex_token(token: Token, ignores_case: bool) -> str:
    match token:
        case Wildcard.ANY_TEXT:
            return ".*"
        case Wildcard.ANY_CHARACTER:
            return "."
    cases = cases_of(token) if ignores_case else token
    escaped = "".join(map(_escape, cases))
    return f"[{escaped}]" if len(cases) > 1 else escaped


def _escape(character: str) -> str:
    is_plain = character.isascii() and character.isalnum()
    return character if is_plain else f"\\x{{{ord(character):X}}}"
