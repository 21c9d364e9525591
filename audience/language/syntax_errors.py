"""Explain syntax errors: the likely mistake, its position and a hint."""

from audience.errors import Problem
from audience.language.grammar import Token, UnexpectedToken, tokenize
from audience.span import Span

OPERATOR_TOKENS = {"_AND", "_OR"}
OPERAND_TOKENS = {"NAME", "STRING", "AT", "TPNS_TYPE", "EVERYONE", "NOBODY", "_LPAR", "_NOT"}
VALUE_TOKENS = {"NAME", "STRING", "AT"}
RESERVED_TOKENS = {"_AND", "_OR", "_NOT", "_IN", "WITHIN", "EVERYONE", "NOBODY"}

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
    "TPNS_TYPE": "a TPNS type",
    "EVERYONE": "everyone",
    "NOBODY": "nobody",
    "$END": "the end",
}

COLON_HINT = 'quote a name that contains a colon: "12:30"'

# Punctuation as a Chinese input method types it.
FULL_WIDTH_TO_ASCII = dict(zip("（）：，！＆｜＝＜＞“”＃％＠", '():,!&|=<>""#%@', strict=True))

# What other languages write, and the hint for it.
OTHER_SIGNS = {
    "'": 'write double quotes: "..."',
    "[": "write round brackets: in (a, b)",
    "]": "write round brackets: in (a, b)",
    "*": "write everyone for all devices",
    ";": "remove it, or join the expressions with AND or OR",
    "≥": "write >=",
    "≤": "write <=",
    "≠": "write !=",
    "∧": "write AND",
    "∨": "write OR",
    "¬": "write NOT",
    "、": "write ,",
    "；": "remove it, or join the expressions with AND or OR",
}
OTHER_COMPARISONS = {"=>": "write >=", "=<": "write <=", "<>": "write !=", "===": "write =", "!==": "write !="}
OTHER_WORDS = {
    "+": "write OR for any of them, AND for all of them",
    "between": "write age >= 18 AND age <= 25",
    "contains": "write tags as they are; a part of a text cannot be searched",
    "except": "write AND NOT",
    "exists": "write has(email)",
    "is": "write has(email) for any value, NOT has(email) for none",
    "like": "list the values: city in (Rome, Oslo)",
    "minus": "write AND NOT",
    "xor": "write (a AND NOT b) OR (b AND NOT a)",
}
PAYLOAD_HINT = "translate the payload of a vendor: audience translate PAYLOAD --from VENDOR"


def diagnose_character(text: str, position: int) -> Problem:
    """Return the problem of a character that starts no token."""
    char, span = text[position], Span(text, position, position + 1)
    if char == '"' or text.startswith('@"', position):
        return Problem("unclosed-quote", "this quote is not closed", span, hint='add " at the end')
    if char == "#":
        return Problem(
            "unexpected-character",
            "unexpected '#'",
            span,
            hint="quote the name, or put a space before a comment",
        )
    if char in FULL_WIDTH_TO_ASCII:
        return Problem("unexpected-character", f"unexpected {char!r}", span, hint=f"write {FULL_WIDTH_TO_ASCII[char]}")
    if char == "{" or (char == "[" and not text[:position].strip()):
        return Problem("unexpected-character", f"unexpected {char!r}", span, hint=PAYLOAD_HINT)
    if char in OTHER_SIGNS:
        return Problem("unexpected-character", f"unexpected {char!r}", span, hint=OTHER_SIGNS[char])
    hint = 'quote names with characters other than letters, digits and _ - . @ + / %: "..."'
    return Problem("unexpected-character", f"unexpected {char!r}", span, hint=hint)


def diagnose_token(text: str, error: UnexpectedToken) -> Problem:
    """Return the problem of a token that the grammar does not allow at its position."""
    expected = {str(name) for name in error.accepts or error.expected}
    if error.token.type == "$END":
        return _diagnose_end(text, expected)
    token = error.token
    span = Span(text, token.start_pos or 0, token.end_pos or 0)
    if token.type == "_RPAR" and "$END" in expected:
        return Problem("unopened-bracket", "this bracket was not opened", span, hint="remove it, or add ( before it")
    if token.type == "_RPAR" and text[: span.start].rstrip().endswith("("):
        return Problem("empty-list", "the brackets are empty", span, hint="name at least one, or use nobody")
    code, hint = _explain_token(token, expected)
    hint = _explain_other_language(text, token) or hint
    return Problem(code, f"unexpected {str(token)!r}", span, hint=hint)


def _explain_other_language(text: str, token: Token) -> str | None:
    """Return the hint for an operator of another language, or None if *token* is not the end of one."""
    if token.type == "CMP":
        before = text[: token.start_pos or 0]
        signs = before[len(before.rstrip("<>=!")) :] + token
        return OTHER_COMPARISONS.get(signs)
    return OTHER_WORDS.get(token.lower()) if token.type == "NAME" else None


def _explain_token(token: Token, expected: set[str]) -> tuple[str, str]:
    """Return the code and the hint for *token*, found where one of *expected* is required."""
    quote_hint = f'quote the name {token}: "{token}"'
    if expected <= VALUE_TOKENS:
        return _explain_missing_value(expected, quote_hint if token.type in RESERVED_TOKENS else "add a value")
    if expected == {"_LPAR"}:
        return "missing-list", "write the values in brackets: in (a, b)"
    if expected == {"_IN"}:
        return "no-operator", "put AND or OR before NOT, or write not in (a, b)"
    if token.type == "_COLON":
        return "unexpected-colon", "select a variant with =: split(…) = a" if "CMP" in expected else COLON_HINT
    if "_COMMA" in expected:
        return _explain_token_in_call(token)
    if expected & OPERAND_TOKENS and not expected & OPERATOR_TOKENS:
        return (
            "missing-operand",
            f"add a term before it, or {quote_hint}" if token.type in OPERATOR_TOKENS else "add a term",
        )
    if token.type in OPERAND_TOKENS and expected & OPERATOR_TOKENS:
        return "no-operator", "put AND or OR before it, or quote a name with spaces"
    if token.type == "_COMMA":
        return "unexpected-word", "join them with AND or OR, or write province in (a, b)"
    return "unexpected-word", f"expected {_join_token_labels(expected)}"


def _explain_token_in_call(token: Token) -> tuple[str, str]:
    """Explain a token that follows a name in a call, where a comma, a bracket or a percentage is expected."""
    if token == "%":
        return "bad-share", "write a percentage without spaces: 10%"
    if token.type == "CMP" or token.endswith("%"):
        return "unexpected-word", "join a variant and its percentage with a colon: a:50%"
    return "unexpected-word", "put a comma before it, or quote a name with spaces"


def _explain_missing_value(expected: set[str], hint: str) -> tuple[str, str]:
    """Explain a missing value. If only a NAME is expected, it is one of the words after `within`."""
    if expected == {"NAME"}:
        return "bad-within", "write: active within 3 days of 2020-04-08"
    return "missing-value", hint


def _diagnose_end(text: str, expected: set[str]) -> Problem:
    tokens = list(tokenize(text))
    if not tokens:
        start = Span(text, 0, 0)
        return Problem("empty-text", "the expression is empty", start, hint="name a tag, or use everyone or nobody")
    end = Span(text, tokens[-1].end_pos or 0, tokens[-1].end_pos or 0)
    if "_RPAR" in expected:
        opened = _last_open_bracket(tokens)
        return Problem("unclosed-bracket", "this bracket is not closed", Span(text, opened, opened + 1), hint="add )")
    code, hint = _explain_token(Token("$END", "the end"), expected)
    return Problem(code, "the expression ends too early", end, hint=hint)


def _last_open_bracket(tokens: list[Token]) -> int:
    """Return the position of the innermost bracket that is not closed."""
    opened: list[int] = []
    for token in tokens:
        if token.type == "_LPAR":
            opened.append(token.start_pos or 0)
        elif token.type == "_RPAR":
            opened.pop()
    return opened[-1]


def _join_token_labels(expected: set[str]) -> str:
    return ", ".join(TOKEN_LABELS.get(name, name) for name in TOKEN_LABELS if name in expected) or "nothing more"
