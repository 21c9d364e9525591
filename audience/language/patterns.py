r"""Patterns of texts: `*` is any text, `?` is any one character, and `\*`, `\?` and `\\` are these characters.

A character is a code point, and texts are compared code point by code point: `é` written as one or as two code points
are two texts. A pattern that ignores case compares code points by `fold_case`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TypeAlias

ESCAPE = "\\"
SPECIAL_CHARACTERS = ("*", "?", ESCAPE)
MAX_CASED_CODE_POINT = 0x1FFFF  # planes above have ideographs and symbols, which have no case


class Wildcard(Enum):
    """Part of a pattern that matches several texts."""

    ANY_TEXT = "*"
    ANY_CHARACTER = "?"


Token: TypeAlias = str | Wildcard  # one character, or a wildcard


class PatternError(ValueError):
    """Pattern with an escape that is none; `position` is where it begins."""

    def __init__(self, position: int):
        super().__init__("a backslash quotes only * ? and \\")
        self.position = position


@dataclass(frozen=True, slots=True)
class Pattern:
    """Pattern that was read: characters and wildcards.

    >>> pattern = read_pattern("gua*")
    >>> pattern.prefix, pattern.is_prefix, pattern.matches("guangdong"), pattern.matches("Guangdong")
    ('gua', True, True, False)
    """

    tokens: tuple[Token, ...]
    ignores_case: bool = False

    @property
    def prefix(self) -> str:
        """Return the characters before the first wildcard."""
        return "".join(_leading_characters(self.tokens))

    @property
    def is_prefix(self) -> bool:
        """Return whether the pattern is characters followed by `*`, and case matters."""
        return not self.ignores_case and self.tokens[len(self.prefix) :] == (Wildcard.ANY_TEXT,)

    @property
    def literal(self) -> str | None:
        """Return the only text that matches, or None if several may match."""
        return self.prefix if len(self.prefix) == len(self.tokens) and not self.ignores_case else None

    def covers(self, other: "Pattern") -> bool:
        """Return whether every text that *other* matches is known to match this pattern too.

        >>> read_pattern("g*").covers(read_pattern("gua*")), read_pattern("gua*").covers(read_pattern("g*"))
        (True, False)
        """
        if self.ignores_case < other.ignores_case:
            return False
        if Wildcard.ANY_CHARACTER in self.tokens and Wildcard.ANY_TEXT in other.tokens:  # any text is not one character
            return self == other
        folds = self.ignores_case
        tokens = [fold_case(token) if folds and isinstance(token, str) else token for token in other.tokens]
        return _match_tokens(self.tokens, tokens)

    def matches(self, text: str) -> bool:
        """Return whether the whole of *text* matches."""
        characters: Sequence[Token] = [fold_case(character) for character in text] if self.ignores_case else text
        return _match_tokens(self.tokens, characters)


def contained_text(pattern: str) -> str | None:
    r"""Return the text that `contains` has written as *pattern*, or None if it is another pattern.

    >>> contained_text("*gua*"), contained_text("gua*"), contained_text(r"*5\**")
    ('gua', None, '5*')
    """
    try:
        first, *tokens, last = read_pattern(pattern).tokens
    except ValueError:  # not two characters, or an escape that is none
        return None
    inner = "".join(token for token in tokens if isinstance(token, str))
    is_contained = first == last == Wildcard.ANY_TEXT and len(inner) == len(tokens) > 0
    return inner if is_contained else None


def read_pattern(text: str, ignores_case: bool = False) -> Pattern:
    r"""Return the pattern that *text* describes; several `*` in a row are one.

    Raises:
        PatternError: A backslash precedes something else than `*`, `?` or a backslash.

    >>> [token if isinstance(token, str) else token.value for token in read_pattern(r"50\% off*").tokens]
    Traceback (most recent call last):
    audience.language.patterns.PatternError: a backslash quotes only * ? and \
    >>> read_pattern(r"what\?").literal
    'what?'
    """
    tokens: list[Token] = []
    for token in _iter_tokens(text):
        if token is Wildcard.ANY_TEXT and tokens[-1:] == [token]:
            continue
        tokens.append(fold_case(token) if ignores_case and isinstance(token, str) else token)
    return Pattern(tuple(tokens), ignores_case)


def escape_pattern(text: str) -> str:
    r"""Return the pattern that matches *text* alone.

    >>> escape_pattern("what?")
    'what\\?'
    """
    return "".join(ESCAPE + character if character in SPECIAL_CHARACTERS else character for character in text)


def _iter_tokens(text: str) -> Iterator[Token]:
    characters = enumerate(text)
    for position, character in characters:
        if character == ESCAPE:
            _, escaped = next(characters, (position, ""))
            if escaped not in SPECIAL_CHARACTERS:
                raise PatternError(position)
            yield escaped
        else:
            yield Wildcard(character) if character in SPECIAL_CHARACTERS else character


def _leading_characters(tokens: tuple[Token, ...]) -> Iterator[str]:
    for token in tokens:
        if isinstance(token, Wildcard):
            return
        yield token


def _match_tokens(tokens: tuple[Token, ...], characters: Sequence[Token]) -> bool:
    """Return whether *tokens* match all *characters*.

    After a mismatch, the last `*` takes one character more: whatever an earlier `*` would take, the last one can.
    """
    at, position = 0, 0
    star, star_position = -1, 0
    while position < len(characters):
        token = tokens[at] if at < len(tokens) else None
        if token is Wildcard.ANY_TEXT:
            star, star_position = at, position
            at += 1
        elif token is Wildcard.ANY_CHARACTER or token == characters[position]:
            at, position = at + 1, position + 1
        elif star >= 0:
            star_position += 1
            at, position = star + 1, star_position
        else:
            return False
    return tokens[at:] in ((), (Wildcard.ANY_TEXT,))


def fold_case(character: str) -> str:
    """Return the one character by which *character* and its other cases are compared.

    This is simple case folding: the case folding of Unicode where it is one character, else the lower case where that
    is one. `ß` and `ẞ` are equal then, `ß` and `ss` are not.

    >>> [fold_case(character) for character in "AßẞΣςİ"]
    ['a', 'ß', 'ß', 'σ', 'σ', 'İ']
    """
    folded = character.casefold()
    if len(folded) == 1:
        return folded
    lower = character.lower()
    return lower if len(lower) == 1 else character


def cases_of(character: str) -> str:
    r"""Return all characters that are equal to *character* if case is ignored, *character* folded first.

    >>> [ascii(case) for case in cases_of("k")]
    ["'k'", "'K'", "'\\u212a'"]
    """
    folded = fold_case(character)
    return folded + _characters_by_fold().get(folded, "")


@cache
def _characters_by_fold() -> Mapping[str, str]:
    """Return, by folded character, the other characters that are folded to it."""
    characters: dict[str, str] = {}
    for character in map(chr, range(MAX_CASED_CODE_POINT + 1)):
        folded = fold_case(character)
        if folded != character:
            characters[folded] = characters.get(folded, "") + character
    return characters
