"""Distinguish soft keywords, such as `between` and `limit`, from names that are spelled like them.

Two names are never side by side, so a word that follows an operand is a keyword:

    limit AND on             two tags
    last < first             an attribute and a value
    age between 18 and 25    `between` follows the name `age`
    did(where where x:1)     an event called `where`, and its condition

A word after a keyword is a name again, but for the fixed second words: `starts with`, `is null`, `ignoring case`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from audience.language.windows import TimeUnit

if TYPE_CHECKING:
    from audience.language.grammar import Token

OPERAND_ENDS = frozenset(
    ["NAME", "STRING", "AT", "PATTERN", "_RPAR", "EVERYONE", "NOBODY", "UNIT", "AGO", "EXISTS", "NULL", "CASE", "TIMES"]
)
AFTER_OPERAND = {
    "between": "_BETWEEN",
    "from": "_FROM",
    "to": "_TO",
    "before": "DAY_ORDER",
    "after": "DAY_ORDER",
    "on": "DAY_ORDER",
    "matches": "MATCHER",
    "contains": "MATCHER",
    "ignoring": "_IGNORING",
    "exists": "EXISTS",
    "is": "_IS",
    "except": "_EXCEPT",
    "limit": "_LIMIT",
    "seed": "_SEED",
    "top": "TOP",
    "bottom": "TOP",
    "by": "_BY",
    "of": "_OF",
    "ago": "AGO",
    "where": "_WHERE",
    "times": "TIMES",
    "time": "TIMES",
    "+": "SIGN",
    "-": "SIGN",
}
UNIT_WORDS: dict[str, TimeUnit] = {
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "minute"),
    **dict.fromkeys(("hour", "hours", "h", "hr", "hrs"), "hour"),
    **dict.fromkeys(("day", "days", "d"), "day"),
    **dict.fromkeys(("week", "weeks", "w"), "week"),
    **dict.fromkeys(("month", "months"), "month"),
    **dict.fromkeys(("year", "years", "y"), "year"),
}
AFTER_OPERAND |= dict.fromkeys(UNIT_WORDS, "UNIT")
FIRST_WORDS = {  # a keyword of two words: its first word, its second words, its type, and whether it follows an operand
    "starts": (("with",), "MATCHER", True),
    "ends": (("with",), "MATCHER", True),
    "at": (("least", "most"), "THRESHOLD", False),
}
AFTER_KEYWORD = {("_IS", "null"): "NULL", ("_IGNORING", "case"): "CASE", ("WITHIN", "next"): "NEXT"}


def mark_soft_keywords(tokens: Iterator["Token"]) -> Iterator["Token"]:
    """Yield *tokens* with the types of soft keywords; the two words of `starts with` become one token."""
    previous, follows_operand = "", False
    pending: Token | None = None
    while (token := pending or next(tokens, None)) is not None:
        pending = None
        if token.type == "NAME":
            word = token.lower()
            if word in FIRST_WORDS or (word == "exactly" and not follows_operand):
                pending = next(tokens, None)
                token = _join_words(token, pending, follows_operand)
                pending = pending if token.type == "NAME" or token == "exactly" else None
            elif (type_ := AFTER_KEYWORD.get((previous, word))) is not None:
                token.type = type_
            elif follows_operand and word in AFTER_OPERAND:
                token.type = AFTER_OPERAND[word]
        is_not_after_operand = token.type == "_NOT" and (follows_operand or previous == "_IS")
        follows_operand = token.type in OPERAND_ENDS or is_not_after_operand
        if not (token.type == "_NOT" and previous == "_IS"):  # `is not null`: null follows `is`
            previous = token.type
        yield token


def _join_words(first: "Token", second: Any, follows_operand: bool) -> "Token":
    """Return the keyword of two words, or *first* as it is; `exactly` is one before a number."""
    if second is None or second.type != "NAME":
        return first
    if first.lower() == "exactly":
        return first.update("THRESHOLD", "exactly") if second.isdecimal() else first
    seconds, type_, is_after_operand = FIRST_WORDS[first.lower()]
    if second.lower() not in seconds or is_after_operand != follows_operand:
        return first
    joined = first.update(type_, f"{first.lower()} {second.lower()}")
    joined.end_pos = second.end_pos
    return joined
