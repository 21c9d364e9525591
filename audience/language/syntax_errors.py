"""Explain syntax errors: the likely mistake, its position and a hint."""

from audience.errors import Problem
from audience.language.event_mistakes import explain_event_mistake
from audience.language.grammar import Token, UnexpectedToken, list_open_brackets, tokenize
from audience.span import Span

OPERATOR_TOKENS = {"_AND", "_OR"}
OPERAND_TOKENS = {"NAME", "STRING", "AT", "PATTERN", "TPNS_TYPE", "EVERYONE", "NOBODY", "THRESHOLD", "_LPAR", "_NOT"}
VALUE_TOKENS = {"NAME", "STRING", "AT", "PATTERN"}
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
    "PATTERN": "a pattern",
    "TPNS_TYPE": "a TPNS type",
    "EVERYONE": "everyone",
    "NOBODY": "nobody",
    "$END": "the end",
}

COLON_HINT = 'quote a name that contains a colon: "12:30"'

# Punctuation as a Chinese input method types it.
FULL_WIDTH_TO_ASCII = dict(zip("（）：，！＆｜＝＜＞“”＃％＠＂＊？−–—", '():,!&|=<>""#%@"*?---', strict=True))

# What other languages write, and the hint for it.
OTHER_SIGNS = {
    "'": 'write double quotes: "..."',
    "[": "write round brackets: in (a, b)",
    "]": "write round brackets: in (a, b)",
    "~": 'write city matches "gua*"; * is any text, ? one character',
    ";": "remove it, or join the expressions with AND or OR",
    "≥": "write >=",
    "≤": "write <=",
    "≠": "write !=",
    "∧": "write AND",
    "∨": "write OR",
    "¬": "write NOT",
    "、": "write ,",
    "；": "remove it, or join the expressions with AND or OR",
    "。": "remove it",
    **dict.fromkeys("‘’「」『』《》«»„‟`", 'write double quotes: "..."'),
    **dict.fromkeys("【】［］〔〕〈〉", "write round brackets: in (a, b)"),
    **dict.fromkeys("$€£¥￥", "write the number alone: spend > 100"),
}
OTHER_COMPARISONS = {"=>": "write >=", "=<": "write <=", "<>": "write !=", "===": "write =", "!==": "write !="}
OTHER_WORDS = {
    "+": "write OR for any of them, AND for all of them",
    "-": "write EXCEPT, or quote a name with spaces",
    "ago": "write active within 7 days, or signup after 7 days ago",
    "case": 'write city matches "gua*" ignoring case',
    "does": "write email exists, or email not exists",
    "ends": "write city ends with zhou",
    "endswith": "write city ends with zhou",
    "has": "write has(email) for any value, email:x for one",
    "ignore": 'write city matches "gua*" ignoring case',
    "ignoring": 'write city matches "gua*" ignoring case',
    "ilike": 'write city matches "gua*" ignoring case',
    "last": "write active within 7 days",
    "like": 'write city matches "gua*"; * is any text, ? one character',
    "less": "write signup after 30 days ago",
    "minus": "write EXCEPT",
    "more": "write signup before 30 days ago",
    "newer": "write signup after 30 days ago",
    "next": "write expires within next 7 days",
    "null": "write email is null, or email is not null",
    "of": "write at least 1 of (a, b), or join them with OR",
    "older": "write signup before 30 days ago",
    "past": "write active within 7 days",
    "regex": 'write city matches "gua*"; * is any text, ? one character',
    "rlike": 'write city matches "gua*"; * is any text, ? one character',
    "since": "write signup >= 2026-11-01, or active within 7 days",
    "starts": "write city starts with gua",
    "startswith": "write city starts with gua",
    "the": "leave it out: active within 7 days, expires within next 7 days",
    "times": "write did(purchase) >= 3",
    "until": "write signup <= 2026-11-01, or signup from 2026-11-01 to 2026-11-11",
    "where": "where is about the properties of events: did(purchase where amount > 20)",
    "xor": "write (a AND NOT b) OR (b AND NOT a)",
}
WORDS_BEFORE = {  # words that were probably not meant as names, and the hint at what follows them
    "all": "write a AND b, or at least 2 of (a, b, c)",
    "any": "write a OR b, or at least 2 of (a, b, c)",
    "atleast": "write at least 2 of (a, b, c)",
    "atmost": "write at most 2 of (a, b, c)",
    "bottom": "put the audience before it: vip bottom 1000 by spend",
    "except": "put the audience before it: a EXCEPT b",
    "has": "write has(email)",
    "last": "write active within 7 days",
    "limit": "put the audience before it: vip limit 1000 seed summer",
    "never": "write NOT did(purchase)",
    "none": "write NOT at least 1 of (a, b)",
    "past": "write active within 7 days",
    "top": "put the audience before it: vip top 1000 by spend",
}
LIMIT_HINT = "write limit 1000 seed summer for any 1000 devices, top 1000 by spend for the largest"
EXCEPT_HINT = "put brackets around the AND or OR beside it: (a OR b) EXCEPT c"
MISSING_WORDS = {  # the word that must come, the code, and the hint
    "_SEED": ("missing-seed", LIMIT_HINT),
    "_BY": ("bad-limit", LIMIT_HINT),
    "_AND": ("bad-range", "write age between 18 and 25"),
    "_TO": ("bad-range", "write signup from 2026-11-01 to 2026-11-11"),
    "_OF": ("bad-threshold", "write at least 2 of (a, b, c)"),
    "CASE": ("unexpected-word", 'write city matches "gua*" ignoring case'),
    "AGO": ("bad-time", "write 7 days ago"),
}
WORDS_BEFORE_NUMBERS = {  # the word before a number, the code, and the hint
    "_LIMIT": ("bad-limit", LIMIT_HINT),
    "TOP": ("bad-limit", LIMIT_HINT),
    "THRESHOLD": ("bad-threshold", "write at least 2 of (a, b, c)"),
    "SIGN": ("bad-time", "write today - 7 days"),
}
BRACKET_HINT = "put brackets around the limit: (vip limit 1000 seed summer) AND b"
SHIFT_EXAMPLES = "active >= today - 7 days, active between today - 7 days and today"
WITHIN_HINT = "write active within 7 days, or active within 7 days of 2026-11-28"
UNIT_HINT = "write minutes, hours, days, weeks, months or years; short: 7d 36h 2w"
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
    if not char.isprintable():
        return Problem("unexpected-character", f"unexpected {char!r}", span, hint="remove it: it is invisible")
    hint = 'quote names with characters other than letters, digits and _ - . @ + / %: "..."'
    return Problem("unexpected-character", f"unexpected {char!r}", span, hint=hint)


def diagnose_token(text: str, error: UnexpectedToken) -> Problem:
    """Return the problem of a token that the grammar does not allow at its position."""
    expected = error.expected
    if error.token.type == "$END":
        return _diagnose_end(text, expected)
    token = error.token
    span = Span(text, token.start_pos, token.end_pos)
    tokens = [*tokenize(text[: token.start_pos])]
    if hint := explain_event_mistake(tokens, token):
        return Problem("bad-event", f"unexpected {str(token)!r}", span, hint=hint)
    if token.type == "_RPAR" and "$END" in expected:
        return Problem("unopened-bracket", "this bracket was not opened", span, hint="remove it, or add ( before it")
    if token.type == "_RPAR" and text[: span.start].rstrip().endswith("("):
        return Problem("empty-list", "the brackets are empty", span, hint="name at least one, or use nobody")
    *_, second_before, before = [Token("", ""), Token("", ""), *tokens]
    if token.type == "NAME" and second_before.type in ("WITHIN", "NEXT") and before[:1].isdecimal():
        return Problem("no-unit", f"unknown unit {str(token)!r}", span, hint=UNIT_HINT)
    code, hint = _explain_token(token, expected, before.type)
    if token.type == "SIGN" and before.lower() in ("today", "now"):
        hint = f"put the attribute before {before}: {SHIFT_EXAMPLES}"
        return Problem(code, f"unexpected {str(token)!r}", span, hint=hint)
    mistake_hint = WORDS_BEFORE.get(before.lower()) or _explain_condition(text, tokens, token)
    hint = mistake_hint or _explain_other_language(text, token) or hint
    return Problem(code, f"unexpected {str(token)!r}", span, hint=hint)


def _explain_condition(text: str, tokens: list[Token], token: Token) -> str | None:
    from audience.language.condition_mistakes import (
        explain_condition_mistake,  # expressions without errors do not need it
    )

    return explain_condition_mistake(text, tokens, token)


def _explain_other_language(text: str, token: Token) -> str | None:
    """Return the hint for an operator of another language, or None if *token* is not the end of one."""
    if token.type == "CMP":
        before = text[: token.start_pos]
        signs = before[len(before.rstrip("<>=!")) :] + token
        return OTHER_COMPARISONS.get(signs)
    return None if token.startswith('"') else OTHER_WORDS.get(token.lower())


def _explain_token(token: Token, expected: frozenset[str], before: str) -> tuple[str, str]:
    """Return the code and the hint for *token*, found after *before* where one of *expected* is required."""
    quote_hint = f'quote the name {token}: "{token}"'
    if expected <= {"NAME", "NEXT"} and "NEXT" in expected:
        return "bad-within", WITHIN_HINT
    if expected <= VALUE_TOKENS:
        hint = quote_hint if token.type in RESERVED_TOKENS else "add a value"
        return _explain_missing_value(expected, before, hint)
    if before == "_OF" and expected == {"_LPAR"}:
        return MISSING_WORDS["_OF"]
    if expected == {"_LPAR"}:
        return "missing-list", "write the values in brackets: in (a, b)"
    if expected <= {"_NOT", "NULL"}:
        return "unexpected-word", "write email is null, or email is not null"
    for word in (word for word in MISSING_WORDS if word in expected):  # in their order: sets have none
        if not expected & OPERAND_TOKENS and not expected & {"_OR", "_RPAR", "$END"}:
            code, hint = MISSING_WORDS[word]
            return code, "write the number without a comma" if token.type == "_COMMA" and word == "_SEED" else hint
    is_after_limit = expected & {"_LIMIT", "TOP"} and not expected & {*OPERATOR_TOKENS, "_EXCEPT"}
    if is_after_limit and token.type in ("_EXCEPT", *OPERATOR_TOKENS):
        return "bad-limit", BRACKET_HINT
    if "_EXCEPT" in (token.type, *expected) and token.type in ("_EXCEPT", *OPERATOR_TOKENS):
        return "ambiguous-except", EXCEPT_HINT
    if "_IN" in expected and not expected & {"CMP", *OPERAND_TOKENS}:
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
    if token.type in OPERAND_TOKENS | {"SIGN"} and expected & OPERATOR_TOKENS:
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


def _explain_missing_value(expected: frozenset[str], before: str, hint: str) -> tuple[str, str]:
    """Explain a missing value. If only a NAME is expected, it is a number."""
    if expected == {"NAME"}:
        return WORDS_BEFORE_NUMBERS.get(before, ("bad-within", WITHIN_HINT))
    return "missing-value", hint


def _diagnose_end(text: str, expected: frozenset[str]) -> Problem:
    tokens = list(tokenize(text))
    if not tokens:
        start = Span(text, 0, 0)
        return Problem("empty-text", "the expression is empty", start, hint="name a tag, or use everyone or nobody")
    end = Span(text, tokens[-1].end_pos, tokens[-1].end_pos)
    if "_RPAR" in expected:
        opened = tokens[list_open_brackets(tokens)[-1]].start_pos
        return Problem("unclosed-bracket", "this bracket is not closed", Span(text, opened, opened + 1), hint="add )")
    token = Token("$END", "the end", end.start, end.end)
    code, hint = _explain_token(token, expected, tokens[-1].type)
    hint = _explain_condition(text, tokens, token) or hint
    return Problem(code, "the expression ends too early", end, hint=hint)


def _join_token_labels(expected: frozenset[str]) -> str:
    return ", ".join(TOKEN_LABELS.get(name, name) for name in TOKEN_LABELS if name in expected) or "nothing more"
