"""Lexer of the language for Pygments, which finds it by the entry point `audience`.

The tokens are those of the grammar, so that a word such as `limit` is a keyword only where the parser reads one. Only
Pygments itself imports this module.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from pygments.lexer import Lexer
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from audience.errors import ExpressionError
from audience.language.comments import COMMENT
from audience.language.grammar import Token, UnexpectedCharacters, tokenize

PUNCTUATION = frozenset(["_LPAR", "_RPAR", "_COMMA", "_COLON"])
NAMES = frozenset(["NAME", "PATTERN", "TPNS_TYPE"])
OPERATORS = frozenset(["CMP", "SIGN"])


class AudienceLexer(Lexer):  # type: ignore[misc, unused-ignore]  # without stubs, a base is Any
    """Lexer of audience expressions."""

    name = "Audience"
    aliases: ClassVar[list[str]] = ["audience", "aud"]
    filenames: ClassVar[list[str]] = ["*.aud"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
        """Yield the position, the kind and the text of each token; a part that has no tokens is an error."""
        position = 0
        for token in _read_tokens(text):
            start, end = token.start_pos, token.end_pos
            yield from _lex_gap(text, position, start)
            yield start, kind_of(token), text[start:end]
            position = end
        yield from _lex_gap(text, position, len(text))


def kind_of(token: Token) -> Any:
    """Return the kind of a token of the grammar in Pygments; a type without another kind is a keyword."""
    match token.type:
        case type_ if type_ in PUNCTUATION:
            return Punctuation
        case type_ if type_ in OPERATORS:
            return Operator
        case "STRING":
            return String
        case "AT":
            return Name.Variable
        case type_ if type_ in NAMES:
            return Number if token.rstrip("%").replace(".", "", 1).isdecimal() else Name
        case "_AND" | "_OR" | "_NOT":
            return Operator.Word
    return Keyword


def _read_tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of *text* up to the first character that begins none."""
    try:
        yield from tokenize(text)
    except (UnexpectedCharacters, ExpressionError):
        return


def _lex_gap(text: str, start: int, stop: int) -> Iterator[tuple[int, Any, str]]:
    """Yield the comments and the white space between two tokens, and what is neither, as errors."""
    while start < stop:
        comment = COMMENT.match(text, start, stop)
        if comment:
            yield start, Comment.Single, comment.group()
            start = comment.end()
            continue
        end = start + 1
        is_space = text[start].isspace()
        while end < stop and text[end].isspace() == is_space and not COMMENT.match(text, end, stop):
            end += 1
        yield start, Whitespace if is_space else Error, text[start:end]
        start = end
