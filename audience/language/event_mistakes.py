"""Explain likely mistakes in conditions about events: a misplaced `where` or window, and words of plain English."""

from collections.abc import Sequence

from audience.language.event_atoms import AGGREGATE_FUNCTIONS, EVENT_FUNCTIONS
from audience.language.grammar import Token, list_open_brackets

WHERE_EXAMPLE = "did(purchase where amount > 20)"
TOKENS_BEHIND = frozenset(["CMP", "NAME", "TIMES", "_IN", "WITHIN", "_NOT"])
WINDOW_TOKENS = frozenset(["WITHIN", "_FROM", "DAY_ORDER"])
NAME_TOKENS = frozenset(["NAME", "STRING", "CMP", "_COLON", "_IN", "_BETWEEN", "MATCHER"])
FUNCTION_HINTS = {
    "did": "write did(purchase), or NOT did(purchase)",
    "sum": "write sum(purchase.amount) > 100",
    "min": "write min(purchase.amount) > 20",
    "max": "write max(purchase.amount) > 100",
    "avg": "write avg(purchase.amount) > 50",
    "first": "write first(purchase) within 7 days",
    "last": "write last(purchase) within 7 days",
}
COMPARED = {name: hint.removeprefix("write ") for name, hint in FUNCTION_HINTS.items()} | {"did": "did(purchase) >= 3"}
COUNT_HINT = "write did(purchase) >= 3 for at least 3 times, = 3 or <= 3; did(purchase) within 3 days for a time"
PERIOD_HINT = "write did(purchase) within 30 days, or did(purchase) from 2026-11-01 to 2026-11-11"
WORDS_BEHIND = {  # words behind the brackets of an event, and what to write instead
    **dict.fromkeys(("at", "least", "most", "exactly", "once", "twice", "more", "less", "fewer", "over"), COUNT_HINT),
    **dict.fromkeys(("in", "during", "last", "past", "previous", "since", "until", "the", "ago", "next"), PERIOD_HINT),
    **dict.fromkeys(("today", "yesterday", "now"), "write did(purchase) on today, or within 7 days"),
    "never": "write NOT did(purchase)",
    "ever": "leave it out: did(purchase) is at least once, ever",
    "with": f"put where inside the brackets: {WHERE_EXAMPLE}",
    "having": f"put where inside the brackets: {WHERE_EXAMPLE}",
    "where": f"put where inside the brackets: {WHERE_EXAMPLE}",
}


def explain_event_mistake(tokens: Sequence[Token], token: Token) -> str | None:
    """Return the hint for *token*, which the grammar does not allow behind *tokens*; None if it is not about events.

    >>> from audience.language.grammar import tokenize
    >>> explain_event_mistake([*tokenize("did(purchase)")], Token("NAME", "twice"))
    'write did(purchase) >= 3 for at least 3 times, = 3 or <= 3; did(purchase) within 3 days for a time'
    """
    opened = find_open_call(tokens)
    if opened is not None:
        return _explain_inside(tokens, opened, token)
    *_, second, last = [Token("", ""), Token("", ""), *tokens]
    if token.type == "_LPAR" and _is_function(last) and second.type == "CMP":
        is_behind_call = _find_closed_call(tokens[:-2]) is not None
        return "compare with a number" if is_behind_call else f"put the number behind it: {COMPARED[last.lower()]}"
    if _is_function(last) and token.type in ("NAME", "STRING") and not token.isdecimal():
        return FUNCTION_HINTS[last.lower()]
    if last.type == "_NOT" and second.lower() == "did":
        return FUNCTION_HINTS["did"]
    if token.type == "TIMES" and second.type == "THRESHOLD":
        return COUNT_HINT
    if token.type in WINDOW_TOKENS and last.type == "_RPAR" and any(map(_is_function, tokens)):
        return "put the window behind each event: did(purchase) within 30 days"
    return _explain_behind(tokens, token)


def _explain_inside(tokens: Sequence[Token], opened: int, token: Token) -> str | None:
    """Explain a token inside the brackets of a call."""
    function, last = tokens[opened - 1].lower(), tokens[-1]
    name = str(tokens[opened + 1]) if opened + 1 < len(tokens) else ""
    is_in_where = any(each.type == "_WHERE" for each in tokens[opened:])
    if token.type in WINDOW_TOKENS and name:
        return f"put the window behind the bracket: {function}({name}) within 30 days"
    if last.type == "_WHERE" and token.type in ("_RPAR", "$END"):
        return f"put a condition behind where: {WHERE_EXAMPLE}"
    if is_in_where:
        return "put AND or OR before it, or quote a name with spaces" if token.type in ("NAME", "STRING") else None
    if not name:
        return FUNCTION_HINTS[function] if token.type in ("_RPAR", "_LPAR") else None
    if token.type in ("_AND", "_OR"):
        word = token.type.removeprefix("_")
        return f"{function}() takes one event; join two: {function}({name}) {word} {function}(…)"
    if token.type == "_LPAR":
        return f"{function}() takes the name of an event: {FUNCTION_HINTS[function].removeprefix('write ')}"
    if token.type in NAME_TOKENS:
        return _explain_missing_where(function, name, token, is_first=last is tokens[opened + 1])
    return None


def _explain_missing_where(function: str, name: str, token: Token, is_first: bool) -> str:
    """Explain a condition behind the name of an event, or in its place, without `where`."""
    if function in AGGREGATE_FUNCTIONS and "." not in name and token.type == "NAME":
        path = f"{name.strip(chr(34))}.{token.lstrip('.')}"
        quote = '"' if name.startswith('"') else ""
        return f"write {function}({quote}{path}{quote}) > 100"
    if name.lower() == "where" or token.type not in ("NAME", "STRING"):
        return f"name the event, then where and a condition: {WHERE_EXAMPLE}"
    return f"put where before it: {function}({name} where {token} …)" if is_first else f"write {WHERE_EXAMPLE}"


def _explain_behind(tokens: Sequence[Token], token: Token) -> str | None:
    """Explain a token behind the brackets of a call, or behind how often."""
    at = len(tokens)
    while at and tokens[at - 1].type in TOKENS_BEHIND:  # >= 3 times within the last
        at -= 1
    function = _find_closed_call(tokens[:at])
    if function is None:
        return None
    behind = tokens[at:]
    if any(each.type in ("_IN", "WITHIN") for each in behind):
        return None if tokens[-1].isdecimal() else PERIOD_HINT
    if behind and tokens[-1].type == "_NOT":
        return f"put NOT before it: NOT {COMPARED[function]}"
    if token.type == "_COMMA" and tokens[-1].isdecimal():
        return "write the number without a comma"
    if function != "did" and (token.isdecimal() or WORDS_BEHIND.get(token.lower()) == COUNT_HINT):
        return FUNCTION_HINTS[function]
    if token.isdecimal() or token.type == "TIMES":
        return COUNT_HINT
    if token.type == "_WHERE":
        return WORDS_BEHIND["where"] if function == "did" else _show_where_inside(function)
    return None if token.startswith('"') else WORDS_BEHIND.get(token.lower())


def _show_where_inside(function: str) -> str:
    """Return the hint for `where` behind the brackets of a function with an example of that function.

    >>> _show_where_inside("sum")
    'put where inside the brackets: sum(purchase.amount where category:shoes) > 100'
    """
    return f"put where inside the brackets: {COMPARED[function].replace(')', ' where category:shoes)', 1)}"


def _is_function(token: Token) -> bool:
    return token.type == "NAME" and token.lower() in EVENT_FUNCTIONS


def find_open_call(tokens: Sequence[Token]) -> int | None:
    """Return the position of the innermost open bracket, if it belongs to a call about events."""
    opened = list_open_brackets(tokens)
    return opened[-1] if opened and opened[-1] and _is_function(tokens[opened[-1] - 1]) else None


def _find_closed_call(tokens: Sequence[Token]) -> str | None:
    """Return the function about events whose closing bracket is the last of *tokens*."""
    if not tokens or tokens[-1].type != "_RPAR":
        return None
    opened = find_open_call(tokens[:-1])
    return None if opened is None else tokens[opened - 1].lower()
