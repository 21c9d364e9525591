"""What a syntax error most likely means, in the writer's words."""

from lark import Token, UnexpectedToken

from audience.errors import Problem
from audience.language.source import Span

OPERATORS = {"_AND", "_OR"}
OPERANDS = {"NAME", "STRING", "AT", "XG", "EVERYONE", "NOBODY", "_LPAR", "_NOT"}
VALUES = {"NAME", "STRING", "AT"}

# What a Chinese keyboard writes for our signs.
FULL_WIDTH = dict(zip("（）：，！＆｜＝＜＞“”＃", '():,!&|=<>""#', strict=True))  # noqa: RUF100


def unreadable(text: str, position: int) -> Problem:
    """The problem of a character that begins no word."""
    char, span = text[position], Span(text, position, position + 1)
    if char == '"' or text.startswith('@"', position):
        return Problem("unclosed-quote", "this quote is never closed", span, hint='add " at its end')
    if char == "#":
        return Problem(
            "unexpected-character",
            "unexpected '#'",
            span,
            hint="quote the name, or put a space before a comment",
        )
    if char in FULL_WIDTH:
        return Problem("unexpected-character", f"unexpected {char!r}", span, hint=f"write {FULL_WIDTH[char]}")
    hint = 'a bare name is letters, digits and _ - . @ + / %; put any other in quotes: "..."'
    return Problem("unexpected-character", f"unexpected {char!r}", span, hint=hint)


def misplaced(text: str, error: UnexpectedToken) -> Problem:
    """The problem of a word that stands where it cannot."""
    token = error.token
    expected = {str(name) for name in error.accepts or error.expected}
    if token.type == "$END":
        return _unfinished(text, expected)
    span = Span(text, token.start_pos or 0, token.end_pos or 0)
    found = f"unexpected {str(token)!r}"
    if token.type == "_RPAR" and "$END" in expected:
        return Problem("unopened-bracket", "this bracket was never opened", span, hint="remove it, or add ( before")
    if token.type == "_RPAR" and _follows(text, span.start, "("):
        return Problem("empty-list", "nothing between the brackets", span, hint="name at least one, or write nobody")
    if token.type == "_COLON" and expected.isdisjoint({"_COLON"}):
        return Problem("unexpected-colon", found, span, hint='a name that contains : goes in quotes: "12:30"')
    if _is_value_position(expected):
        return Problem("missing-value", found, span, hint=_value_hint(token, expected))
    if expected & OPERANDS and not expected & OPERATORS:
        return Problem("missing-operand", found, span, hint=_operand_hint(token))
    if token.type in OPERANDS - {"_NOT"} and expected & OPERATORS:
        return Problem(
            "no-operator", found, span, hint="put AND or OR between them, or quotes around a name with spaces"
        )
    if token.type == "_NOT" and expected & OPERATORS:
        return Problem("no-operator", found, span, hint="put AND or OR before NOT")
    return Problem("unexpected-word", found, span, hint=f"expected {_list(expected)}")


def _unfinished(text: str, expected: set[str]) -> Problem:
    end = len(text.rstrip())
    here = Span(text, end, end)
    if not text.strip():
        return Problem("empty-text", "there is no expression", here, hint="write everyone or nobody, or name a tag")
    if "_RPAR" in expected:
        opened = _last_opened(text)
        return Problem("unclosed-bracket", "this bracket is never closed", Span(text, opened, opened + 1), hint="add )")
    if expected & OPERANDS and not expected & OPERATORS:
        return Problem("missing-operand", "the expression ends too early", here, hint="name what is meant here")
    return Problem("unexpected-end", "the expression ends too early", here, hint=f"expected {_list(expected)}")


def _last_opened(text: str) -> int:
    """Where the innermost bracket stands that no other closes; quotes and comments are skipped."""
    from audience.language.parse import tokens

    opened: list[int] = []
    for token in tokens(text):
        if token.type == "_LPAR":
            opened.append(token.start_pos or 0)
        elif token.type == "_RPAR":
            opened.pop()
    return opened[-1]


def _follows(text: str, position: int, sign: str) -> bool:
    return text[:position].rstrip().endswith(sign)


def _is_value_position(expected: set[str]) -> bool:
    return bool(expected) and expected <= VALUES


def _value_hint(token: Token, expected: set[str]) -> str:
    if token.type in ("_AND", "_OR", "_NOT", "_IN", "WITHIN", "EVERYONE", "NOBODY"):
        return f'a value is expected here; put the word in quotes if it is one: "{token}"'
    return f"expected {_list(expected)}"


def _operand_hint(token: Token) -> str:
    if token.type in ("_AND", "_OR"):
        return f'name what is meant before it; a tag that is called {token} goes in quotes: "{token}"'
    return "name what is meant here"


WORDS = {
    "_AND": "AND",
    "_OR": "OR",
    "_NOT": "NOT",
    "_IN": "in",
    "WITHIN": "within",
    "_LPAR": "(",
    "_RPAR": ")",
    "_COMMA": ",",
    "_COLON": ":",
    "CMP": "a comparison",
    "NAME": "a name",
    "STRING": "a quoted name",
    "AT": "@file",
    "XG": "a TPNS type",
    "EVERYONE": "everyone",
    "NOBODY": "nobody",
    "$END": "the end",
}


def _list(expected: set[str]) -> str:
    return ", ".join(WORDS.get(name, name) for name in WORDS if name in expected) or "nothing more"
