"""Load the Lark grammars of `grammar/` and limit the size of their input. No other module imports Lark."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken
from lark.lexer import BasicLexer, LexerState

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
    interactive = load_parser().parse_interactive(text)
    return cast("Iterator[Token]", interactive.lexer_thread.lex(interactive.parser_state))  # type: ignore[no-untyped-call]


@cache
def load_parser(grammar_name: str = DEFAULT_GRAMMAR) -> Lark:
    """Load the parser of `grammar/NAME.lark`, once per process; it takes about 40 ms.

    Lark could cache it in a file, but as a pickle: whoever can write there, or has left a file of another version,
    would run code in this process.

    A grammar must ignore white space, and call its brackets _LPAR and _RPAR and a prefix NOT _NOT, because the depth
    is limited by them.
    """
    return Lark(_read_grammar(grammar_name), parser="lalr", lexer=_BoundedLexer, regex=True)


def _read_grammar(grammar_name: str) -> str:
    """Read a grammar from the installed package, or from the checkout beside it."""
    installed = files("audience") / "grammar" / f"{grammar_name}.lark"
    checkout = Path(__file__).parents[2] / "grammar" / f"{grammar_name}.lark"
    return installed.read_text("utf-8") if installed.is_file() else checkout.read_text("utf-8")


class _BoundedLexer(BasicLexer):
    """Lexer that marks soft keywords, and rejects input that is too long or too deep for the parser.

    Its tokens have positions but no lines and columns, which take Lark longer than the rest of a token.
    """

    __future_interface__ = 2  # Lark passes its own state, so that errors are those of Lark

    def lex(self, state: LexerState, parser_state: Any) -> Iterator[Token]:
        return mark_soft_keywords(self._iter_tokens(state, parser_state))

    def _iter_tokens(self, state: LexerState, parser_state: Any) -> Iterator[Token]:
        text, position = state.text, state.line_ctr.char_pos
        count = depth = nots = 0
        while position < text.end:
            if text.text[position] == " ":  # the white space that is most frequent needs no pattern
                position += 1
                continue
            found = self.match(text, position)  # type: ignore[no-untyped-call]
            if found is None:
                state.line_ctr.feed(text.text[:position])
                self.next_token(state, parser_state)  # raises UnexpectedCharacters
                return
            (value, type_), start = found, position
            position += len(value)
            if type_ in self.ignore_types:
                continue
            depth += (type_ == "_LPAR") - (type_ == "_RPAR")
            nots = nots + 1 if type_ == "_NOT" else 0
            if count >= MAX_TOKENS:
                raise ExpressionError(TOO_LONG)
            if depth >= MAX_DEPTH or nots >= MAX_DEPTH:
                raise ExpressionError(TOO_DEEP)
            count += 1
            yield Token(type_, value, start, None, None, None, None, position)
