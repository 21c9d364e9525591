"""What a syntax error most likely means, in the writer's words."""

from audience.errors import Problem
from audience.language.grammar import Token, UnexpectedToken, tokenize
from audience.span import Span

OPERATOR_TOKENS = {"_AND", "_OR"}
OPERAND_TOKENS = {"NAME", "STRING", "AT", "XG", "EVERYONE", "NOBODY", "_LPAR", "_NOT"}
VALUE_TOKENS = {"NAME", "STRING", "AT"}
RESERVED_TOKENS = {"_AND", "_OR", "_NOT", "_IN", "WITHIN", "EVERYONE", "NOBODY"}

COLON_HINT = 'a name that contains a colon goes in quotes: "12:30"'

# What a Chinese keyboard writes for our signs.
FULL_WIDTH_TO_ASCII = dict(zip("（）：，！＆｜＝＜＞“”＃％＠", '():,!&|=<>""#%@', strict=True))


def diagnose_character(text: str, position: int) -> Problem:
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
    if char in FULL_WIDTH_TO_ASCII:
        return Problem("unexpected-character", f"unexpected {char!r}", span, hint=f"write {FULL_WIDTH_TO_ASCII[char]}")
    hint = 'a bare name is letters, digits and _ - . @ + / %; put any other in quotes: "..."'
    return Problem("unexpected-character", f"unexpected {char!r}", span, hint=hint)


def diagnose_token(text: str, error: UnexpectedToken) -> Problem:
    """The problem of a word that stands where it cannot."""
    expected = {str(name) for name in error.accepts or error.expected}
    if error.token.type == "$END":
        return _diagnose_end(text, expected)
    token = error.token
    span = Span(text, token.start_pos or 0, token.end_pos or 0)
    if token.type == "_RPAR" and "$END" in expected:
        return Problem("unopened-bracket", "this bracket was never opened", span, hint="remove it, or add ( before")
    if token.type == "_RPAR" and text[: span.start].rstrip().endswith("("):
        return Problem("empty-list", "nothing between the brackets", span, hint="name at least one, or write nobody")
    code, hint = _explain_token(token, expected)
    return Problem(code, f"unexpected {str(token)!r}", span, hint=hint)


def _explain_token(token: Token, expected: set[str]) -> tuple[str, str]:
    """The code and the hint for a *token* where one of *expected* should stand."""
    quoted = f'a name that is called {token} goes in quotes: "{token}"'
    if expected <= VALUE_TOKENS:
        return _explain_missing_value(expected, quoted if token.type in RESERVED_TOKENS else "name it here")
    if expected == {"_LPAR"}:
        return "missing-list", "write the values in brackets: in (a, b)"
    if expected == {"_IN"}:
        return "no-operator", "put AND or OR before NOT, or write not in (a, b)"
    if token.type == "_COLON":
        return "unexpected-colon", "a side is chosen with =, as in split(…) = a" if "CMP" in expected else COLON_HINT
    if "_COMMA" in expected:
        return _explain_token_in_call(token)
    if expected & OPERAND_TOKENS and not expected & OPERATOR_TOKENS:
        return (
            "missing-operand",
            f"name what is meant before it; {quoted}" if token.type in OPERATOR_TOKENS else "name it here",
        )
    if token.type in OPERAND_TOKENS and expected & OPERATOR_TOKENS:
        return "no-operator", "put AND or OR between them, or quotes around a name with spaces"
    return "unexpected-word", f"expected {_join_token_labels(expected)}"


def _explain_token_in_call(token: Token) -> tuple[str, str]:
    """What follows a name between brackets is a comma or the end of the list; of a split, a colon and a share."""
    if token == "%":
        return "bad-share", "write a share as one word: 10%"
    if token.type == "CMP" or token.endswith("%"):
        return "unexpected-word", "a side and its share are joined by a colon: a:50%"
    return "unexpected-word", "put a comma between them, or quotes around a name with spaces"


def _explain_missing_value(expected: set[str], hint: str) -> tuple[str, str]:
    """A value is missing; where only a bare word will do, it is one of those after `within`."""
    if expected == {"NAME"}:
        return "bad-within", "write: active within 3 days of 2020-04-08"
    return "missing-value", f"a value is expected here; {hint}"


def _diagnose_end(text: str, expected: set[str]) -> Problem:
    read = list(tokenize(text))
    if not read:
        start = Span(text, 0, 0)
        return Problem("empty-text", "there is no expression", start, hint="write everyone or nobody, or name a tag")
    end = Span(text, read[-1].end_pos or 0, read[-1].end_pos or 0)
    if "_RPAR" in expected:
        opened = _last_open_bracket(read)
        return Problem("unclosed-bracket", "this bracket is never closed", Span(text, opened, opened + 1), hint="add )")
    code, hint = _explain_token(Token("$END", "the end"), expected)
    return Problem(code, "the expression ends too early", end, hint=hint)


def _last_open_bracket(token_list: list[Token]) -> int:
    """Where the innermost bracket stands that no other closes."""
    opened: list[int] = []
    for token in token_list:
        if token.type == "_LPAR":
            opened.append(token.start_pos or 0)
        elif token.type == "_RPAR":
            opened.pop()
    return opened[-1]


TOKEN_LABELS = {
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
    "AT": "@name",
    "XG": "a TPNS type",
    "EVERYONE": "everyone",
    "NOBODY": "nobody",
    "$END": "the end",
}


def _join_token_labels(expected: set[str]) -> str:
    return ", ".join(TOKEN_LABELS.get(name, name) for name in TOKEN_LABELS if name in expected) or "nothing more"
