"""Find the comments of a text, and where they belong in its canonical text.

Both texts are sequences of tokens. What both have is aligned; a comment stays beside the token that it follows or
precedes, and keeps its place among the other comments.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from audience.language.grammar import Token

COMMENT = re.compile(r"(?<!\S)#[^\n]*")
PREFIX_TOKENS = frozenset(["_AND", "_OR", "_NOT", "_EXCEPT"])  # written at the start of the line of their operand

TWO_WORDS = frozenset(["MATCHER", "THRESHOLD"])  # tokens such as `at least`, which may have a comment inside


@dataclass(frozen=True, slots=True)
class Comment:
    """Comment of a text.

    Attributes:
        text: The comment from `#` to the end of its line.
        position: Number of the token behind the comment.
        is_trailing: Whether it follows a token in the same line.
        follows_blank: Whether an empty line precedes it.
        precedes_blank: Whether an empty line separates it from the next token.
    """

    text: str
    position: int
    is_trailing: bool
    follows_blank: bool
    precedes_blank: bool = False


def find_comments(text: str, tokens: Sequence[Token]) -> list[Comment]:
    """Return the comments of *text* in order."""
    comments: list[Comment] = []
    ends = [0, *(token.end_pos for token in tokens)]
    starts = [*(token.start_pos for token in tokens), len(text)]
    for position, (start, stop) in enumerate(zip(ends, starts, strict=True)):
        if position and tokens[position - 1].type in TWO_WORDS:
            comments += _find_in_gap(text[starts[position - 1] : start], position, follows_token=True)
        comments += _find_in_gap(text[start:stop], position, position > 0)
    return comments


def _find_in_gap(gap: str, position: int, follows_token: bool) -> list[Comment]:
    """Return the comments of *gap*, the text between two tokens."""
    comments: list[Comment] = []
    end = 0
    for match in COMMENT.finditer(gap):
        newlines = gap.count("\n", end, match.start())
        is_trailing = follows_token and not comments and not newlines
        comments.append(Comment(match.group().rstrip(), position, is_trailing, newlines > 1))
        end = match.end()
    if comments and gap.count("\n", end) > 1:
        comments[-1] = replace(comments[-1], precedes_blank=True)
    return comments


def move_comments(comments: list[Comment], tokens: Sequence[Token], canonical: Sequence[Token]) -> list[Comment]:
    """Return *comments* with their positions among the tokens of the *canonical* text instead of *tokens*."""
    if not comments:
        return []
    old, new = _align([_key(token) for token in tokens], [_key(token) for token in canonical])
    moved: list[Comment] = []
    for comment in comments:
        position = _find_position(comment, len(tokens), canonical, old, new)
        position = max(_avoid_operators(position, canonical), moved[-1].position if moved else 0)
        is_trailing = comment.is_trailing and position > 0 and not (moved and moved[-1].position == position)
        moved.append(replace(comment, position=position, is_trailing=is_trailing))
    return moved


def _find_position(
    comment: Comment, count: int, canonical: Sequence[Token], old: Sequence[int], new: Sequence[int]
) -> int:
    """Return the position of *comment*, of a text of *count* tokens, given the positions of the common tokens."""
    if comment.position in (0, count):
        return comment.position and len(canonical)
    at = bisect_left(old, comment.position)  # common tokens before the comment
    if comment.is_trailing:
        return new[at - 1] + 1 if at else 0
    position = new[at] if at < len(new) else len(canonical)
    while position and canonical[position - 1].type == "_LPAR" and (not at or new[at - 1] != position - 1):
        position -= 1  # the bracket is not in the text
    return position


def _avoid_operators(position: int, canonical: Sequence[Token]) -> int:
    """Return a position that is not between an operator and its operand, nor before a comma."""
    while position > 0 and canonical[position - 1].type in PREFIX_TOKENS:
        position -= 1
    return position + (position < len(canonical) and canonical[position].type == "_COMMA")


def _align(old: list[str], new: list[str]) -> tuple[list[int], list[int]]:
    """Return the positions of the elements that *old* and *new* share, in rising order in both."""
    shared = min(len(old), len(new))
    head = next((at for at in range(shared) if old[at] != new[at]), shared)
    rest = shared - head
    tail = next((at for at in range(rest) if old[-1 - at] != new[-1 - at]), rest)
    pairs = [(at, at) for at in range(head)]
    middle = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail])
    for block in middle.get_matching_blocks():
        pairs += [(head + block.a + at, head + block.b + at) for at in range(block.size)]
    pairs += [(len(old) - at, len(new) - at) for at in range(tail, 0, -1)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _key(token: Token) -> str:
    """Return what *token* is, whatever its spelling: quotes, case, `&&` for AND."""
    if token.type in ("NAME", "STRING", "AT", "PATTERN"):
        return re.sub(r"\\(.)", r"\1", token.replace('"', ""))
    return token.type if token.type.startswith("_") else f"{token.type} {token.lower().replace('==', '=')}"
