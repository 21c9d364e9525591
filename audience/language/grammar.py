"""The door to Lark: the grammars in `grammar/`, and the bounds within which a text is read."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from audience.errors import ExpressionError, Problem
from audience.language.ast import MAX_DEPTH, TOO_DEEP

__all__ = ["Token", "Tree", "UnexpectedCharacters", "UnexpectedToken", "load_parser", "tokenize"]

DEFAULT_GRAMMAR = "audience"  # the language of this house
MAX_TOKENS = 150_000  # about a second and a half of reading
TOO_LONG = Problem(
    "too-long", f"more than {MAX_TOKENS:,} words and signs", hint="keep long lists in a file: registration_id(@ids.txt)"
)


def tokenize(text: str) -> Iterator[Token]:
    """The words and signs of *text*, in order."""
    return load_parser().lex(text)


@cache
def load_parser(grammar_name: str = DEFAULT_GRAMMAR) -> Lark:
    """The reader of the language in `grammar/NAME.lark`; a vendor whose language is text has one, too.

    It is made in each process that reads a text, which takes some 40 ms. Lark could keep it in a file, but as a pickle:
    whoever can write there, or has left one of another version, would run code in our place.

    A bracket is called _LPAR or _RPAR there and a NOT before its operand _NOT, so that depth is bounded.
    """
    return Lark(_read_grammar(grammar_name), parser="lalr", lexer="basic", regex=True, postlex=_BoundsPostLex())


def _read_grammar(grammar_name: str) -> str:
    """A grammar inside the installed package, or beside it in a checkout."""
    packed = files("audience") / "grammar" / f"{grammar_name}.lark"
    beside = Path(__file__).parents[2] / "grammar" / f"{grammar_name}.lark"
    return packed.read_text("utf-8") if packed.is_file() else beside.read_text("utf-8")


class _BoundsPostLex:
    """Refuses text that is too long or too deep while it is being read, so that nothing recurses to death."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth = nots = 0
        for count, token in enumerate(stream):
            depth += (token.type == "_LPAR") - (token.type == "_RPAR")
            nots = nots + 1 if token.type == "_NOT" else 0
            if count >= MAX_TOKENS:
                raise ExpressionError(TOO_LONG)
            if max(depth, nots) >= MAX_DEPTH:
                raise ExpressionError(TOO_DEEP)
            yield token
