"""Patterns of texts: one at a time, as a regular expression over many, and against a slow recursive matcher."""

from itertools import pairwise
from operator import contains

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.index.query import literal_search
from audience.index.query.literal_search import find_literal, find_texts_with
from audience.index.query.pattern_search import find_matches, find_prefix_ranks
from audience.index.schema.rank_ranges import group_into_ranges
from audience.language.patterns import Pattern, PatternError, escape_pattern, fold_case, read_pattern

LETTERS = ["a", "b", "A", "é", "e\u0301", "ß", "ẞ", "ſ", "s", "K", "k", "İ", "σ", "ς", "Σ", "ᾳ", "ᾼ", "中", "😀", "\n"]
LETTERS += [
    "\r\n",
    "\x00",
    ".",
    "^",
    "$",
    "[",
    "]",
    "&",
    "-",
    "~",
    "(",
    "|",
    "#",
    " ",
    "\u2028",
    "\\",
    "*",
    "?",
    "{",
    "\x85",
]
texts = st.lists(st.sampled_from(LETTERS), max_size=8).map("".join) | st.text(max_size=8)
pieces = st.sampled_from(["*", "?", "**", r"\*", r"\?", "\\\\", *(escape_pattern(letter) for letter in LETTERS)])
pattern_texts = st.lists(pieces, min_size=1, max_size=8).map("".join)


def is_match(pattern: str, text: str) -> bool:
    """Return whether *text* matches *pattern*, whose first piece takes every number of characters that it can."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(is_match(pattern[1:], text[taken:]) for taken in range(len(text) + 1))
    piece, rest = (pattern[1], pattern[2:]) if pattern[0] == "\\" else (pattern[0], pattern[1:])
    is_any = pattern[0] == "?"
    return bool(text) and (is_any or text[0] == piece) and is_match(rest, text[1:])


def fold(text: str) -> str:
    return "".join(map(fold_case, text))


@given(pattern=pattern_texts, values=st.lists(texts, max_size=6), ignores_case=st.booleans())
def test_patterns_match_as_recursion_does(pattern, values, ignores_case):
    read = read_pattern(pattern, ignores_case)
    values = [*values, pattern, fold(pattern)]
    expected = [is_match(fold(pattern), fold(value)) if ignores_case else is_match(pattern, value) for value in values]
    assert [read.matches(value) for value in values] == expected
    found = find_matches(read, pl.Series(values, dtype=pl.String))
    assert found.tolist() == np.flatnonzero(expected).tolist()


@given(
    pattern=pattern_texts,
    values=st.lists(texts, max_size=6),
    ignores_case=st.booleans(),
    block_bytes=st.sampled_from([1, 3, 1 << 18]),
)
def test_texts_with_a_literal_part_are_found_in_their_bytes(pattern, values, ignores_case, block_bytes):
    read = read_pattern(pattern, ignores_case)
    literal, values = find_literal(read), [*values, fold(pattern), ""]
    encoded = [value.encode() for value in values]
    offsets, data = np.cumsum([0, *map(len, encoded)]), np.frombuffer(b"".join(encoded), dtype=np.uint8)
    expected = [
        any(all(map(contains, literal, text[at : at + len(literal)])) for at in range(len(text) - len(literal) + 1))
        for text in encoded
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(literal_search, "MAX_HIT_RATIO", 1 << 10)
        patch.setattr(literal_search, "BLOCK_BYTES", block_bytes)
        found = find_texts_with(literal, offsets, data).tolist() if literal else list(range(len(values)))
    assert not literal or found == np.flatnonzero(expected).tolist()
    assert {position for position, value in enumerate(values) if read.matches(value)} <= set(found)


def test_frequent_parts_of_texts_are_not_searched_for():
    data, offsets = np.frombuffer(b"ab" * 80, dtype=np.uint8), np.arange(0, 161, 2)
    assert find_texts_with([b"a"], offsets, data) is None
    assert find_texts_with([b"a", b"a"], offsets, data).tolist() == []


@given(texts)
def test_escaped_text_matches_itself_alone(text):
    pattern = escape_pattern(text)
    assert read_pattern(pattern).literal == text
    assert read_pattern(pattern).matches(text)
    assert not read_pattern(pattern).matches(text + "a")


@given(prefix=texts, values=st.lists(texts, max_size=20, unique=True))
def test_prefix_is_a_range_of_sorted_texts(prefix, values):
    values = pl.Series(values, dtype=pl.String).sort().to_list()  # the order in which an index stores them
    start, stop = find_prefix_ranks(prefix, values)
    assert [rank for rank, value in enumerate(values) if value.startswith(prefix)] == list(range(start, stop))


@given(st.sets(st.integers(0, 30)))
def test_ranges_hold_the_same_numbers(numbers):
    ranges = group_into_ranges(np.array(sorted(numbers), dtype=np.int64))
    assert [number for start, stop in ranges for number in range(start, stop)] == sorted(numbers)
    assert all(stop < start for (_, stop), (start, _) in pairwise(ranges))


@pytest.mark.parametrize(("text", "position"), [("\\", 0), ("a\\", 1), (r"a\b*", 1), (r"\*\ ", 2)])
def test_other_escapes_are_errors(text, position):
    with pytest.raises(PatternError) as raised:
        read_pattern(text)
    assert raised.value.position == position


@pytest.mark.parametrize("text", ["?" * 3_000, "*a" * 400 + "*b", "*" * 5_000 + "b"])
def test_long_patterns_are_answered(text):
    values = ["a" * 2_000 + "b", "a" * 3_000, ""]
    read = read_pattern(text)
    assert find_matches(read, pl.Series(values)).tolist() == [
        at for at, value in enumerate(values) if read.matches(value)
    ]


def test_case_is_folded_character_by_character():
    assert read_pattern("straße", ignores_case=True).matches("STRAẞE")
    assert not read_pattern("straße", ignores_case=True).matches("STRASSE")
    assert Pattern(tuple("a")).matches("a") and not Pattern(tuple("a")).matches("A")
