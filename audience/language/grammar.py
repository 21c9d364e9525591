"""Load the Lark grammars of `grammar/` and limit the size of their input. No other module imports Lark."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from audience.errors import ExpressionError, Problem
from audience.language.ast import MAX_DEPTH, TOO_DEEP
from audience.language.soft_keywords import mark_soft_keywords

__all__ = ["Token", "Tree", "UnexpectedCharacters", "UnexpectedToken", "load_parser", "tokenize"]

DEFAULT_GRAMMAR = "audience"  # the expression language
MAX_TOKENS = 150_000  # about 1.5 seconds of parsing
TOO_LONG = Problem(
    "too-long", f"more than {MAX_TOKENS:,} tokens", hint="move long lists of ids to a file: registration_id(@ids.txt)"
)


def tokenize(text: str) -> Iterator[Token]:
    """Yield the tokens of *text* in order."""
    return load_parser().lex(text)


@cache
def load_parser(grammar_name: str = DEFAULT_GRAMMAR) -> Lark:
    """Load the parser of `grammar/NAME.lark`, once per process; it takes about 40 ms.

    Lark could cache it in a file, but as a pickle: whoever can write there, or has left a file of another version,
    would run code in this process.

    A grammar must call its brackets _LPAR and _RPAR and a prefix NOT _NOT, because the depth is limited by them.
    """
    return Lark(_read_grammar(grammar_name), parser="lalr", lexer="basic", regex=True, postlex=_BoundsPostLex())


def _read_grammar(grammar_name: str) -> str:
    """Read a grammar from the installed package, or from the checkout beside it."""
    installed = files("audience") / "grammar" / f"{grammar_name}.lark"
    checkout = Path(__file__).parents[2] / "grammar" / f"{grammar_name}.lark"
    return installed.read_text("utf-8") if installed.is_file() else checkout.read_text("utf-8")


class _BoundsPostLex:
    """Token filter that marks soft keywords, and rejects input that is too long or too deep for the parser."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth = nots = 0
        for count, token in enumerate(mark_soft_keywords(stream)):
            depth += (token.type == "_LPAR") - (token.type == "_RPAR")
            nots = nots + 1 if token.type == "_NOT" else 0
            if count >= MAX_TOKENS:
                raise ExpressionError(TOO_LONG)
            if max(depth, nots) >= MAX_DEPTH:
                raise ExpressionError(TOO_DEEP)
            yield token
