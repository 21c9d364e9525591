"""Explain likely mistakes in conditions of attributes: words of plain English and SQL, times, and misplaced signs."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from audience.language.grammar import Token
from audience.language.token_reader import NAMED_TIMES

NAME_TYPES = frozenset(["NAME", "STRING"])
OPERAND_STARTS = frozenset(["", "_LPAR", "_COMMA", "_AND", "_OR", "_NOT", "_EXCEPT"])
VALUE_STARTS = frozenset(["CMP", "_COLON", "MATCHER", "_BETWEEN", "_LIMIT", "TOP"])
ABSENT_WORDS = frozenset(["empty", "none", "blank", "missing", "nil", "unset", "unknown", "undefined"])
SIGN_WORDS = {  # words of comparisons, and their signs
    **dict.fromkeys(("equals", "equal", "eq"), "="),
    **dict.fromkeys(("greater", "above", "over", "bigger", "larger", "gt", "exceeds"), ">"),
    **dict.fromkeys(("below", "under", "smaller", "lower", "lt", "fewer"), "<"),
    **dict.fromkeys(("ge", "gte"), ">="),
    **dict.fromkeys(("le", "lte"), "<="),
    **dict.fromkeys(("ne", "neq"), "!="),
}
TEXT_WORDS = {  # words of comparisons of texts, and ours
    **dict.fromkeys(("start", "starts", "starting", "startswith", "starts_with", "prefix"), "starts with gua"),
    **dict.fromkeys(("begin", "begins", "beginning", "beginswith", "begins_with"), "starts with gua"),
    **dict.fromkeys(("end", "ends", "ending", "endswith", "ends_with", "suffix"), "ends with zhou"),
    **dict.fromkeys(("contain", "containing", "include", "includes", "including"), "contains gua"),
    **dict.fromkeys(("match", "matching", "glob"), 'matches "gua*"'),
    **dict.fromkeys(("exist", "existing", "present", "notnull", "isnotnull"), "exists"),
    **dict.fromkeys((*ABSENT_WORDS, "isnull"), "is null"),
}
OTHER_OPERATORS = {  # words of other languages, in any width, and ours
    **dict.fromkeys(("and", "plus", "且", "并且", "和", "与", "以及"), "write AND"),
    **dict.fromkeys(("or", "或", "或者"), "write OR"),
    **dict.fromkeys(("not", "非", "不是"), "write AND NOT"),
    **dict.fromkeys(("but", "without", "excluding", "unless"), "write AND NOT, or EXCEPT: a EXCEPT b"),
    **dict.fromkeys(
        ("desc", "asc", "descending", "ascending"), "leave it out: top has the largest, bottom the smallest"
    ),
    **dict.fromkeys(("order", "sort", "orderby"), "write top 1000 by spend for the largest, bottom for the smallest"),
    "first": "write limit 1000 seed summer for any 1000 devices, top 1000 by spend for the largest",
    "sample": "write AND sample(10%, summer)",
}
WORDS_BEFORE_NAMES = {  # words that were probably not meant as names, and the hint at a name behind them
    **dict.fromkeys(("at_least", "at-least", "least", "minimum"), "write at least 2 of (a, b, c)"),
    **dict.fromkeys(("at_most", "at-most", "most", "maximum"), "write at most 2 of (a, b, c)"),
    **dict.fromkeys(("no", "without", "missing"), "write NOT has(email), or email is null"),
    **dict.fromkeys(("exists", "exist"), "write has(email)"),
    **dict.fromkeys(("at", "more"), "write at least 2 of (a, b, c)"),
    **dict.fromkeys(("less", "fewer"), "write at most 2 of (a, b, c)"),
    "some": "write at least 1 of (a, b)",
    "sample": "write sample(10%, summer)",
    "anniversary": "write anniversary(birthday) = today",
}
ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
ISO_HOUR = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{1,2}", re.I)
CLOCK = re.compile(r"[0-9T:.-]*[0-9](?:Z\b|[+-][0-9]{2}:?[0-9]{2})?")
SHIFT = re.compile(r"([+-])([0-9]+)([a-z]*)", re.I)
SHIFTED = re.compile(r"(today|now)([+-])([0-9]+)", re.I)
DIGITS = re.compile(r"[0-9]+")
VALUE = re.compile(r"[0-9]+(\.[0-9]+)*|[0-9]{4}-[0-9]{2}-[0-9]{2}")


def explain_condition_mistake(text: str, tokens: Sequence[Token], token: Token) -> str | None:
    """Return the hint for *token*, which the grammar does not allow behind *tokens*; None if it is no known mistake.

    >>> from audience.language.grammar import tokenize
    >>> explain_condition_mistake("active today", [*tokenize("active")], Token("NAME", "today", 7, 12))
    'write active = today'
    """
    last = tokens[-1] if tokens else Token("", "")
    if last.type in NAME_TYPES and len(tokens) > 1 and tokens[-2].type == "_RPAR":
        return None
    for explain in EXPLAINERS:
        if hint := explain(text, tokens, token):
            return hint
    return None


def _explain_clock(text: str, tokens: Sequence[Token], token: Token) -> str | None:
    """Explain a time without quotes, `2026-11-28T09:00` or `2026-11-28 09:00`."""
    *_, before, last = [Token("", ""), Token("", ""), *tokens]
    is_after_day = ISO_DAY.fullmatch(last) and text[token.end_pos :].startswith(":") and token.isdecimal()
    if last.type != "NAME" or before.type in OPERAND_STARTS - {"_AND"}:
        return None
    if token.type == "_COLON" and ISO_HOUR.fullmatch(last):
        clock = CLOCK.match(text, last.start_pos)
        return f'put the time in quotes: "{clock.group() if clock else last}"'
    clock = CLOCK.match(text, token.start_pos) if is_after_day else None
    return f'put the time in quotes: "{last}T{clock.group()}"' if clock else None


def _explain_shift(text: str, tokens: Sequence[Token], token: Token) -> str | None:
    """Explain `today -7d`, `today-7 days`, `30 days` without `ago`, and `today()`."""
    *_, before, last = [Token("", ""), Token("", ""), *tokens]
    if last.lower() in ("today", "now") and (shift := SHIFT.fullmatch(token)):
        unit = shift[3] or _word_behind(text, token) or "days"
        return f"put spaces around the sign: {last} {shift[1]} {shift[2]}{' ' if len(unit) > 1 else ''}{unit}"
    if last.type == "UNIT" and (shifted := SHIFTED.fullmatch(before)):
        return f"put spaces around the sign: {shifted[1]} {shifted[2]} {shifted[3]} {last}"
    if last.type == "UNIT" and before.isdecimal() and not any(each.type in ("WITHIN", "SIGN") for each in tokens[-4:]):
        return f"write {before} {last} ago"
    if token.type == "_LPAR" and last.lower() in NAMED_TIMES:
        return f"leave the brackets out: {last}"
    return None


def _explain_is(text: str, tokens: Sequence[Token], token: Token) -> str | None:
    """Explain what follows `is` and `is not`, which stand before `null` only."""
    negated = bool(tokens) and tokens[-1].type == "_NOT"
    subject = tokens[: len(tokens) - 1 - negated]
    if not subject or tokens[len(subject)].type != "_IS" or token.type == "$END":
        return None
    name, word = subject[-1], token.lower()
    if word in ABSENT_WORDS:
        return None
    if word in ("true", "false"):
        return f"write {name}" if (word == "true") != negated else f"write NOT {name}"
    if token.type == "_IN":
        return f"write {name} {'not ' if negated else ''}in (a, b)"
    if (sign := SIGN_WORDS.get(word)) is not None:
        return f"write {name} {sign} 18"
    if token.type in NAME_TYPES and not _word_behind(text, token):
        return f"write {name} {'!=' if negated else '='} {token}"
    return f"leave out is: {name} {'not ' if negated else ''}{token} …"


def _explain_word(text: str, tokens: Sequence[Token], token: Token) -> str | None:
    """Explain a word behind a name, as in `email missing` and `city begins with gua`."""
    if token.type != "NAME":
        return None
    *_, third, before, last = [*[Token("", "")] * 3, *tokens]
    word = unicodedata.normalize("NFKC", token).lower()
    if word == "does" and last.type in NAME_TYPES:
        return _explain_does(text, last, token)
    if last.type != "_NOT" and (hint := OTHER_OPERATORS.get(word)) is not None:
        return hint
    if (hint := WORDS_BEFORE_NAMES.get(last.lower())) is not None:
        return hint
    if last.type == "_NOT":
        return _explain_comparison(before, word, "not ") if third.type in OPERAND_STARTS else None
    return _explain_comparison(last, word, "") if before.type in OPERAND_STARTS else None


def _explain_comparison(name: Token, word: str, negation: str) -> str | None:
    """Return the hint for *word*, with which another language compares the attribute *name*."""
    if name.type not in NAME_TYPES:
        return None
    if word in NAMED_TIMES:
        return f"write {name} {'!=' if negation else '='} {word}"
    if (words := TEXT_WORDS.get(word)) is not None:
        return f"write {name} is not null" if negation and words == "is null" else f"write {name} {negation}{words}"
    if (sign := SIGN_WORDS.get(word)) is not None:
        return f"write {name} {'!=' if negation and sign == '=' else sign} 18"
    if VALUE.fullmatch(word) and not negation:
        return f"write {name} = {word}, or put AND or OR before it"
    return None


def _explain_does(text: str, name: Token, token: Token) -> str:
    """Return the hint for `does not contain` behind *name*."""
    words = [word.lower() for word in text[token.end_pos :].split()[:2]]
    negation = "not " if words[:1] == ["not"] else ""
    verb = words[-1] if words else ""
    return _explain_comparison(name, verb, negation) or "write email exists, or email not exists"


def _explain_sign(text: str, tokens: Sequence[Token], token: Token) -> str | None:
    """Explain a sign in the wrong place: `age:>18`, `age > 18 AND < 25`, `>= 2 of (a, b)`, `=!`."""
    *_, fourth, third, before, last = [*[Token("", "")] * 4, *tokens]
    if token.type == "_NOT" and last.type == "CMP" and token == "!":
        return "write !="
    if token.type != "CMP":
        return None
    if last.type == "_COLON" and before.type in NAME_TYPES:
        return f"leave the colon out: {before} {token} …"
    if last.type in ("_AND", "_OR") and third.type == "CMP" and fourth.type in NAME_TYPES:
        return f"repeat the name: {fourth} {third} {before} {last} {fourth} {token} …"
    if counted := re.match(r"\s*([0-9]+)\s+of\b", text[token.end_pos :]):
        return f"write {'at most' if '<' in token else 'at least'} {counted[1]} of (a, b, c)"
    return None


def _explain_bound(text: str, tokens: Sequence[Token], token: Token) -> str | None:
    """Explain brackets and words around the bounds of ranges, thresholds and limits."""
    *_, before, last = [Token("", ""), Token("", ""), *tokens]
    if token.type == "_LPAR" and last.type == "_BETWEEN":
        return f"write {before} between 18 and 25, without brackets"
    if token.type == "_TO" and last.type in NAME_TYPES and before.type in OPERAND_STARTS:
        return f"write {last} <= 2026-11-01, or {last} from 2026-11-01 to 2026-11-11"
    if token.lower() == "of" and before.type in ("TOP", "_LIMIT"):
        return "write top 1000 by spend for the largest, limit 1000 seed summer for any"
    if token.lower() == "of" and last.isdecimal():
        return f"write at least {last} of (a, b, c)"
    if token.type == "PATTERN" and last.type in NAME_TYPES and before.type in VALUE_STARTS:
        return f"join them without a space: {last}{token}, or write AND or OR"
    return None


def _explain_comma(text: str, tokens: Sequence[Token], token: Token) -> str | None:
    """Explain a comma in a number, `1,000` or `5,2`."""
    *_, before, last = [Token("", ""), Token("", ""), *tokens]
    behind = DIGITS.match(text, token.end_pos)
    if token.type != "_COMMA" or not last.isdecimal() or before.type not in VALUE_STARTS or behind is None:
        return None
    if len(behind.group()) == 3:
        return "write the number without a comma"
    return f"write a decimal point: {last}.{behind.group()}"


def _word_behind(text: str, token: Token) -> str:
    """Return the word that follows *token*, if it is a unit or another word of the same condition."""
    found = re.match(r"\s+([^\W\d]\w*|[0-9][^\s)]*)", text[token.end_pos :])
    word = found[1] if found else ""
    return "" if word.lower() in ("and", "or", "except", "limit", "top", "bottom") else word


EXPLAINERS: tuple[Callable[[str, Sequence[Token], Token], str | None], ...] = (
    _explain_clock,
    _explain_shift,
    _explain_is,
    _explain_sign,
    _explain_bound,
    _explain_comma,
    _explain_word,
)
